//! A secret key under a passphrase (SPEC 7.6.3): what a `.key` file holds instead of the bare seed.
//!
//! How a passphrase becomes 32 bytes takes memory and time on purpose, and is for who has them: the tools. Here is what is
//! done with those bytes.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag};
use zeroize::Zeroizing;

use super::{KeyFileError, KeyId, PublisherSecret, file};
use crate::{hex, vocab::Label};

/// How a passphrase is stretched to the 32 bytes that seal a key: by Argon2id, version 0x13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Memory it takes, in KiB: 8 to 1 048 576.
    pub memory_kib: u32,
    /// Passes over that memory: 1 to 64.
    pub passes: u32,
    /// Lanes it is cut into: 1 to 16.
    pub lanes: u32,
    /// Different in every file.
    pub salt: [u8; 16],
}

/// A `.key` file under a passphrase.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    publisher: Label,
    id: (KeyId, usize),
    stretch: Stretch,
    /// The seed and its tag.
    sealed: [u8; 48],
}

/// What a `.key` file holds.
#[derive(Clone, Debug)]
pub enum SecretFile {
    /// A key that signs.
    Bare(Box<PublisherSecret>),
    /// One that does under its passphrase.
    Sealed(Box<SealedSecret>),
}

/// The passphrase is another one, or the file was changed: nobody can tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase does not open this key, or the file was changed")]
pub struct WrongPassphrase;

/// The one algorithm that stretches.
pub(super) const ALGORITHM: &str = "argon2id";
pub(super) const EXPECTED: &str =
    "argon2id, memory in KiB, passes, lanes, 32 hexadecimal digits of salt, 96 of the sealed key";

impl SecretFile {
    /// Reads a `.key` file.
    ///
    /// # Errors
    /// If the text is not one, naming the line.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        file::read_secret(text)
    }

    /// Whose key it is.
    #[must_use]
    pub fn publisher(&self) -> &Label {
        match self {
            Self::Bare(secret) => &secret.public.publisher,
            Self::Sealed(sealed) => &sealed.publisher,
        }
    }

    /// The key's name.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        match self {
            Self::Bare(secret) => secret.public().key_id(),
            Self::Sealed(sealed) => sealed.id.0,
        }
    }
}

impl SealedSecret {
    pub(super) fn new(
        publisher: Label,
        id: (KeyId, usize),
        (value, line): (&str, usize),
    ) -> Result<Self, KeyFileError> {
        let wrong = KeyFileError::Value { line, name: "sealed-key", expected: EXPECTED };
        let (stretch, sealed) = read(value).ok_or(wrong)?;
        Ok(Self { publisher, id, stretch, sealed })
    }

    /// `secret` under the 32 bytes that a passphrase was stretched to by `stretch`.
    #[must_use]
    pub fn seal(secret: &PublisherSecret, stretch: Stretch, key: &[u8; 32]) -> Self {
        let mut sealed = [0; 48];
        sealed[..32].copy_from_slice(secret.signing.as_bytes());
        let public = &secret.public;
        let mut file = Self { publisher: public.publisher.clone(), id: (public.id, 0), stretch, sealed };
        let (seed, tag) = file.sealed.split_at_mut(32);
        let said = said(&file.publisher, file.id.0);
        match ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(&[0; 12].into(), &said, (&mut *seed).into()) {
            Ok(made) => tag.copy_from_slice(&made),
            // Thirty-two bytes are never too many for the cipher; and if they were, they would not be shown.
            Err(_) => seed.fill(0),
        }
        file
    }

    /// The secret, with the 32 bytes that its passphrase is stretched to by [`SealedSecret::stretch`].
    ///
    /// # Errors
    /// [`WrongPassphrase`] if they are others, or what is sealed, the publisher or the key id was changed.
    pub fn open(&self, key: &[u8; 32]) -> Result<PublisherSecret, WrongPassphrase> {
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&self.sealed[..32]);
        let tag = Tag::try_from(&self.sealed[32..]).map_err(|_| WrongPassphrase)?;
        let said = said(&self.publisher, self.id.0);
        let opened = ChaCha20Poly1305::new(key.into()).decrypt_inout_detached(
            &[0; 12].into(),
            &said,
            (&mut seed[..]).into(),
            &tag,
        );
        opened.map_err(|_| WrongPassphrase)?;
        let secret = PublisherSecret::of(self.publisher.clone(), &seed);
        if secret.public.id == self.id.0 { Ok(secret) } else { Err(WrongPassphrase) }
    }

    /// How its passphrase is stretched.
    #[must_use]
    pub const fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// Whose key it is.
    #[must_use]
    pub const fn publisher(&self) -> &Label {
        &self.publisher
    }

    /// The key's name.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.id.0
    }

    /// The `.key` file.
    #[must_use]
    pub fn to_text(&self) -> String {
        file::write_sealed(&self.publisher, self.id.0, &self.value())
    }

    fn value(&self) -> String {
        let Stretch { memory_kib, passes, lanes, salt } = &self.stretch;
        format!("{ALGORITHM} {memory_kib} {passes} {lanes} {} {}", hex::encode(salt), hex::encode(&self.sealed))
    }
}

/// What is sealed together with the key, so that neither can be changed without the other.
fn said(publisher: &Label, id: KeyId) -> Vec<u8> {
    [b"leasehold sealed key v1", &id.0[..], publisher.as_str().as_bytes()].concat()
}

fn read(value: &str) -> Option<(Stretch, [u8; 48])> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let [algorithm, memory_kib, passes, lanes, salt, sealed] = words[..] else { return None };
    let number = |word: &str, least: u32, most: u32| word.parse().ok().filter(|n| (least..=most).contains(n));
    let stretch = Stretch {
        memory_kib: number(memory_kib, 8, 1 << 20)?,
        passes: number(passes, 1, 64)?,
        lanes: number(lanes, 1, 16)?,
        salt: hex::decode(salt)?,
    };
    (algorithm == ALGORITHM && stretch.memory_kib >= 8 * stretch.lanes).then_some((stretch, hex::decode(sealed)?))
}

impl std::fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedSecret({:?} {})", self.publisher.as_str(), self.id.0)
    }
}

#[cfg(test)]
impl SealedSecret {
    pub(super) const fn sealed_bits(&self) -> usize {
        self.sealed.len() * 8
    }

    /// The same with one bit of what is sealed changed.
    pub(super) fn flipped(&self, bit: usize) -> Self {
        let mut other = self.clone();
        other.sealed[bit / 8] ^= 1 << (bit % 8);
        other
    }
}
