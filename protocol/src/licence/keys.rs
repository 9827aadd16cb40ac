//! Publishers' keys and the files they live in (SPEC 7.6).

mod file;
mod sealed;
#[cfg(test)]
mod tests;

use std::fmt;

use blake2::{Blake2s256, Digest};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

pub use file::KeyFileError;
pub use sealed::{SealedSecret, SecretFile, Stretch, WrongPassphrase};

use crate::{
    Entropy, hex,
    vocab::{Label, RealmId},
};

/// A publisher's key by name: the first four bytes of `BLAKE2s-256("leasehold key id v1" ‖ public key)`. Finds a key, proves
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    fn of(key: &VerifyingKey) -> Self {
        let digest = Blake2s256::new().chain_update(b"leasehold key id v1").chain_update(key.as_bytes()).finalize();
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What checks a publisher's signatures: everybody may have it, and whoever trusts the publisher must.
#[derive(Clone, PartialEq, Eq)]
pub struct PublisherKey {
    publisher: Label,
    key: VerifyingKey,
    id: KeyId,
}

impl PublisherKey {
    /// Reads a `.pub` file.
    ///
    /// # Errors
    /// If the text is not one, naming the line.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let file = file::read_public(text)?;
        let key = VerifyingKey::from_bytes(&file.key).ok().filter(|key| !key.is_weak());
        let key = Self::of(file.publisher, key.ok_or(KeyFileError::NotAPoint { line: file.key_line })?);
        file::check_id(file.id, key.id)?;
        Ok(key)
    }

    /// The `.pub` file.
    #[must_use]
    pub fn to_text(&self) -> String {
        file::write_public(self)
    }

    /// The key's name.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.id
    }

    /// Whose it is.
    #[must_use]
    pub const fn publisher(&self) -> &Label {
        &self.publisher
    }

    /// Where that publisher's licences are served.
    #[must_use]
    pub fn realm(&self) -> RealmId {
        RealmId::of(&self.publisher)
    }

    /// Whether `signature` over `message` is this key's, by the strict rules: one signature per message and key, no key of
    /// small order.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    fn of(publisher: Label, key: VerifyingKey) -> Self {
        Self { publisher, key, id: KeyId::of(&key) }
    }
}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublisherKey({:?} {})", self.publisher.as_str(), self.id)
    }
}

/// What signs a publisher's licences. Whoever has it can grant anything in the publisher's name. Wiped when dropped.
#[derive(Clone)]
pub struct PublisherSecret {
    // `SigningKey` wipes itself.
    signing: SigningKey,
    public: PublisherKey,
}

impl PublisherSecret {
    /// A fresh key for `publisher`.
    pub fn generate(publisher: &Label, entropy: &mut dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        Self::of(publisher.clone(), &seed)
    }

    /// Reads a `.key` file that is under no passphrase.
    ///
    /// # Errors
    /// If the text is not one, naming the line; [`KeyFileError::Sealed`] if it takes a passphrase.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        match SecretFile::parse(text)? {
            SecretFile::Bare(secret) => Ok(*secret),
            SecretFile::Sealed(_) => Err(KeyFileError::Sealed),
        }
    }

    /// The `.key` file: to be written where only its owner can read it. Wiped when dropped.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        file::write_secret(self)
    }

    /// The half everybody may have.
    #[must_use]
    pub fn public(&self) -> PublisherKey {
        self.public.clone()
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    fn of(publisher: Label, seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let public = PublisherKey::of(publisher, signing.verifying_key());
        Self { signing, public }
    }
}

impl fmt::Debug for PublisherSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublisherSecret({:?} {})", self.public.publisher.as_str(), self.public.id)
    }
}
