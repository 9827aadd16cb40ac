//! ChaCha20-Poly1305 behind one small trait: the reference, and a faster one for programs that seal all day.
//!
//! | backend | feature | 64 bytes sealed | why it is there |
//! |---|---|---|---|
//! | `chacha20poly1305` | none | 0.49 µs | no C, no build script: what a host program takes with the SDK |
//! | `ring` | `ring` | 0.21 µs | assembly; what the server and the command line are built with |
//!
//! Both give the same bytes: `the_backends_are_one_cipher` holds one against the other. ring is preferred to aws-lc-rs, which is as
//! fast, because its key is made on the stack for each message: a session then keeps 32 bytes a direction, where a
//! context of aws-lc is 600 bytes on C's heap.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

use super::transport::{Forged, TAG_LEN};

/// One key of ChaCha20-Poly1305 (RFC 8439).
pub(super) trait Aead: Clone + Sized {
    /// The backend's name, for people who ask what a build is made of.
    const NAME: &'static str;

    /// The key of these 32 bytes.
    fn new(key: &[u8; 32]) -> Self;

    /// Encrypts `bytes` in place and returns the tag.
    fn seal(&self, nonce: [u8; 12], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN];

    /// Decrypts `bytes` in place; what they are after an error is nobody's business.
    fn open(&self, nonce: [u8; 12], aad: &[u8], bytes: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Forged>;
}

/// The one this build seals with.
#[cfg(feature = "ring")]
pub(super) type Chosen = fast::Ring;
/// The one this build seals with.
#[cfg(not(feature = "ring"))]
pub(super) type Chosen = Reference;

/// The pure Rust one.
#[cfg_attr(feature = "ring", allow(dead_code, reason = "what the other is held against"))]
#[derive(Clone)]
pub(super) struct Reference(ChaCha20Poly1305);

impl Aead for Reference {
    const NAME: &'static str = "chacha20poly1305";

    fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    fn seal(&self, nonce: [u8; 12], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self.0.encrypt_inout_detached(&nonce.into(), aad, bytes.into());
        tag.expect("a datagram is far shorter than the cipher's 256 GiB").into()
    }

    fn open(&self, nonce: [u8; 12], aad: &[u8], bytes: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Forged> {
        self.0.decrypt_inout_detached(&nonce.into(), aad, bytes.into(), tag.into()).map_err(|_| Forged)
    }
}

#[cfg(feature = "ring")]
mod fast {
    use ring::aead::{Aad as RingAad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
    use zeroize::Zeroizing;

    use super::{Aead, Forged, TAG_LEN};

    /// ring's.
    #[derive(Clone)]
    pub(in super::super) struct Ring(Zeroizing<[u8; 32]>);

    impl Ring {
        /// The key as ring wants it: made anew each time, which is a copy of its 32 bytes.
        fn key(&self) -> LessSafeKey {
            let key = UnboundKey::new(&CHACHA20_POLY1305, &*self.0);
            LessSafeKey::new(key.expect("32 bytes are a key of this cipher"))
        }
    }

    impl Aead for Ring {
        const NAME: &'static str = "ring";

        fn new(key: &[u8; 32]) -> Self {
            Self(Zeroizing::new(*key))
        }

        fn seal(&self, nonce: [u8; 12], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let sealed = self.key().seal_in_place_separate_tag(nonce, RingAad::from(aad), bytes);
            let mut tag = [0; TAG_LEN];
            tag.copy_from_slice(sealed.expect("a datagram is far shorter than the cipher's 256 GiB").as_ref());
            tag
        }

        fn open(&self, nonce: [u8; 12], aad: &[u8], bytes: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Forged> {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let opened = self.key().open_in_place_separate_tag(nonce, RingAad::from(aad), Tag::from(*tag), bytes, 0..);
            opened.map(drop).map_err(|_| Forged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(&text.split_whitespace().collect::<String>()).unwrap()
    }

    /// RFC 8439, 2.8.2.
    fn seals_as_the_rfc_says<A: Aead>() {
        let key: [u8; 32] = std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap());
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad: [u8; 12] = bytes("50515253c0c1c2c3c4c5c6c7");
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                      sunscreen would be it.";
        let sealed: [u8; 114] = bytes(
            "d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6 3dbea45e8ca9671282fafb69da92728b
             1a71de0a9e060b2905d6a5b67ecd3b36 92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc
             3ff4def08e4b7a9de576d26586cec64b 6116",
        );
        let mut text = plain.to_vec();
        let cipher = A::new(&key);
        let tag = cipher.seal(nonce, &aad, &mut text);
        assert_eq!(text, sealed, "{}", A::NAME);
        assert_eq!(tag, bytes("1ae10b594f09e26a7e902ecbd0600691"), "{}", A::NAME);
        cipher.open(nonce, &aad, &mut text, &tag).unwrap();
        assert_eq!(text, plain, "{}", A::NAME);
        assert_eq!(cipher.open(nonce, &[], &mut text, &tag), Err(Forged), "{}", A::NAME);
    }

    #[test]
    fn every_backend_seals_as_the_rfc_says() {
        seals_as_the_rfc_says::<Reference>();
        seals_as_the_rfc_says::<Chosen>();
    }

    #[test]
    fn the_backends_are_one_cipher() {
        for len in (0..=1200).chain([4096]) {
            let byte = |n: usize| u8::try_from((len * 31 + n * 7) % 251).unwrap();
            let key = std::array::from_fn(byte);
            let nonce = std::array::from_fn(|i| byte(i + 32));
            let aad: Vec<u8> = (0..len % 33).map(byte).collect();
            let plain: Vec<u8> = (0..len).map(byte).collect();
            let (mut one, mut other) = (plain.clone(), plain.clone());
            let tag = Reference::new(&key).seal(nonce, &aad, &mut one);
            assert_eq!(Chosen::new(&key).seal(nonce, &aad, &mut other), tag, "{len} bytes");
            assert_eq!(one, other, "{len} bytes");
            Chosen::new(&key).open(nonce, &aad, &mut one, &tag).unwrap();
            Reference::new(&key).open(nonce, &aad, &mut other, &tag).unwrap();
            assert_eq!((&one, &other), (&plain, &plain), "{len} bytes");
        }
    }
}
