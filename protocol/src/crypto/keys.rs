//! Keys of servers, clients and sites.

use std::fmt;

use blake2::{Blake2s256, Digest};
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Entropy, hex};

/// An X25519 public key: a server's in one realm, or a client device's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// What people compare: the first 16 bytes of `BLAKE2s-256("leasehold fingerprint v1" ‖ key)`.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = Blake2s256::new().chain_update(b"leasehold fingerprint v1").chain_update(self.0).finalize();
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Fingerprint(short)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// A short name for a public key, 32 hexadecimal digits as text: what `LEASEHOLD_SERVER=host#fingerprint` pins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        hex::decode(text).map(Self).ok_or(NotAFingerprint)
    }
}

/// Text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 32 hexadecimal digits")]
pub struct NotAFingerprint;

/// An X25519 key pair. The private half is wiped when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Keypair {
    private: [u8; 32],
    #[zeroize(skip)]
    public: PublicKey,
}

impl Keypair {
    /// A fresh pair.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut private = [0; 32];
        entropy.fill(&mut private);
        let pair = Self::from_private(private);
        private.zeroize();
        pair
    }

    /// The pair of a stored private key.
    #[must_use]
    pub fn from_private(private: [u8; 32]) -> Self {
        let public = x25519_dalek::PublicKey::from(&StaticSecret::from(private));
        Self { private, public: PublicKey(public.to_bytes()) }
    }

    /// The half everybody may know.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The half to store in a file only its owner can read.
    #[must_use]
    pub const fn private(&self) -> &[u8; 32] {
        &self.private
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.public.fingerprint())
    }
}

/// What makes a site closed: 32 random bytes shared by its servers and clients, never a password (a guessable key would
/// allow partitioning attacks on the AEAD). All zeros on an open site.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct SiteKey(pub [u8; 32]);

impl SiteKey {
    /// The key of a site that lets anybody ask.
    pub const OPEN: Self = Self([0; 32]);

    /// Whether this is the key of an open site.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::OPEN
    }
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "SiteKey(open)" } else { "SiteKey(closed)" })
    }
}
