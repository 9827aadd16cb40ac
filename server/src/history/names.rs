//! Names of people, machines and projects: pseudonyms for who reads the file, the words themselves for who has the key.
//!
//! A pseudonym is a keyed hash: the same name has the same one for as long as the key is the same, and without the key nobody can
//! try names until one fits. The words are sealed under the same key, each under a nonce made of them: equal words are equal bytes, and
//! no nonce is ever used for two.

use std::path::Path;

use blake2::{
    Blake2sMac,
    digest::{FixedOutput, KeyInit as _, Update, consts::U32},
};
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, Nonce, Tag};
use leasehold_protocol::{Entropy, hex};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::KEY_FILE;
use crate::state::{Folder, StateError};

/// What a pseudonym stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// A login name.
    User,
    /// A host.
    Host,
    /// A display, of those who work over the network.
    Display,
    /// A project tag.
    Project,
    /// The address something was asked from.
    Address,
    /// A machine's device id.
    Device,
    /// The sentence of a denial, which names the others.
    Sentence,
}

impl NameKind {
    /// The word for it in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Host => "host",
            Self::Display => "display",
            Self::Project => "project",
            Self::Address => "address",
            Self::Device => "device",
            Self::Sentence => "sentence",
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::User => 'u',
            Self::Host => 'h',
            Self::Display => 'd',
            Self::Project => 'p',
            Self::Address => 'a',
            Self::Device => 'm',
            Self::Sentence => 's',
        }
    }
}

/// What makes pseudonyms, and opens what they stand for.
#[derive(Clone, ZeroizeOnDrop)]
pub struct NameKey {
    pseudonym: [u8; 32],
    nonce: [u8; 32],
    seal: [u8; 32],
}

impl NameKey {
    /// Of the 32 bytes of the key file.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |label: &[u8]| keyed(secret, &[label]);
        Self {
            pseudonym: derive(b"leasehold history pseudonym v1"),
            nonce: derive(b"leasehold history nonce v1"),
            seal: derive(b"leasehold history seal v1"),
        }
    }

    /// What stands for `text`: a letter for what it is, `-`, and 16 hexadecimal digits.
    #[must_use]
    pub fn pseudonym(&self, kind: NameKind, text: &str) -> String {
        let digest = keyed(&self.pseudonym, &[kind.word().as_bytes(), &[0], text.as_bytes()]);
        format!("{}-{}", kind.letter(), hex::encode(&digest[..8]))
    }

    /// `text` for those alone who have the key: nonce, sealed words, tag. Bound to its pseudonym.
    #[must_use]
    pub fn seal(&self, kind: NameKind, pseudonym: &str, text: &str) -> Vec<u8> {
        let digest = keyed(&self.nonce, &[kind.word().as_bytes(), &[0], text.as_bytes()]);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&digest[..NONCE_LEN]);
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(text.as_bytes());
        let tag = self
            .cipher()
            .encrypt_inout_detached(&Nonce::from(nonce), pseudonym.as_bytes(), (&mut sealed[NONCE_LEN..]).into())
            .expect("shorter than 256 GiB");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// What `pseudonym` stands for; `None` if it was sealed under another key, or changed.
    #[must_use]
    pub fn open(&self, pseudonym: &str, sealed: &[u8]) -> Option<String> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let (words, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let mut words = words.to_vec();
        let (nonce, tag) = (Nonce::from(*nonce), Tag::from(*tag));
        self.cipher().decrypt_inout_detached(&nonce, pseudonym.as_bytes(), (&mut words[..]).into(), &tag).ok()?;
        String::from_utf8(words).ok()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&self.seal.into())
    }
}

impl std::fmt::Debug for NameKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NameKey")
    }
}

/// The key of `folder`, read or made.
///
/// # Errors
/// If its file cannot be read, written or understood.
pub(super) fn key(folder: &mut Folder, entropy: &mut dyn Entropy) -> Result<NameKey, StateError> {
    if let Some(text) = folder.read(KEY_FILE)?.map(Zeroizing::new) {
        return parse(&text, &folder.join(KEY_FILE));
    }
    let mut secret = Zeroizing::new([0; 32]);
    entropy.fill(&mut *secret);
    folder.write(KEY_FILE, &Zeroizing::new(format!("{}\n", &*Zeroizing::new(hex::encode(&*secret)))))?;
    Ok(NameKey::new(&secret))
}

/// The key of the data folder `folder`, for who only reads; `None` if there is none.
///
/// # Errors
/// If its file cannot be read or understood.
pub fn key_in(folder: &Path) -> Result<Option<NameKey>, StateError> {
    let path = folder.join(KEY_FILE);
    match std::fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => parse(&text, &path).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Read { path, source }),
    }
}

fn parse(text: &str, path: &Path) -> Result<NameKey, StateError> {
    let secret = hex::decode::<32>(text.trim()).map(Zeroizing::new);
    secret.map(|secret| NameKey::new(&secret)).ok_or_else(|| StateError::Damaged {
        path: path.to_owned(),
        what: "expected 64 hexadecimal digits".to_owned(),
        remedy: "delete it: who is in the history gets other pseudonyms from then on, and what the old ones stand for is lost",
    })
}

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Blake2sMac::<U32>::new(key.into());
    parts.iter().for_each(|part| Update::update(&mut mac, part));
    mac.finalize_fixed().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_pseudonym_under_one_key_and_each_kind_its_own() {
        let (key, other) = (NameKey::new(&[1; 32]), NameKey::new(&[2; 32]));
        let ada = key.pseudonym(NameKind::User, "ada");
        assert_eq!(ada, NameKey::new(&[1; 32]).pseudonym(NameKind::User, "ada"));
        assert!(ada.starts_with("u-") && ada.len() == 18 && !ada.contains("ada"), "{ada}");
        for another in [
            key.pseudonym(NameKind::User, "ade"),
            key.pseudonym(NameKind::Host, "ada").replace('h', "u"),
            other.pseudonym(NameKind::User, "ada"),
        ] {
            assert_ne!(ada, another);
        }
    }

    #[test]
    fn words_are_opened_by_the_key_alone_and_under_their_own_pseudonym() {
        let (key, other) = (NameKey::new(&[1; 32]), NameKey::new(&[2; 32]));
        for text in ["ada", "", "Ünïcode on ws-042"] {
            let pseudonym = key.pseudonym(NameKind::User, text);
            let sealed = key.seal(NameKind::User, &pseudonym, text);
            assert!(text.is_empty() || !sealed.windows(text.len()).any(|part| part == text.as_bytes()));
            assert_eq!(key.open(&pseudonym, &sealed).as_deref(), Some(text));
            assert_eq!(other.open(&pseudonym, &sealed), None);
            assert_eq!(key.open("u-0000000000000000", &sealed), None);
            for i in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[i] ^= 1;
                assert_eq!(key.open(&pseudonym, &changed), None, "byte {i}");
                assert_eq!(key.open(&pseudonym, &sealed[..i]), None, "cut at {i}");
            }
        }
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_a_damaged_one_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = tempfile::tempdir().unwrap();
        assert!(key_in(scratch.path()).unwrap().is_none());
        let mut folder = Folder::open(scratch.path()).unwrap();
        let made = key(&mut folder, &mut crate::clock::SystemEntropy).unwrap();
        let read = key_in(scratch.path()).unwrap().unwrap();
        assert_eq!(made.pseudonym(NameKind::Host, "x"), read.pseudonym(NameKind::Host, "x"));
        let mode = std::fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        folder.write(KEY_FILE, "short\n").unwrap();
        let refused = key(&mut folder, &mut crate::clock::SystemEntropy).unwrap_err().to_string();
        assert!(refused.contains(KEY_FILE) && refused.contains("64 hexadecimal digits"), "{refused}");
    }
}
