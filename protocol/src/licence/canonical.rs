//! The canonical form: what is signed, and what PROOF shows (SPEC 7.3, 7.4).
//!
//! A certificate's claims in deterministic CBOR inside a COSE_Sign1 of RFC 9052. Whatever the text around them looked
//! like, equal claims give equal bytes, so a signature over the bytes is a signature over the values.
//!
//! The bytes are written and read by minicbor alone: the SDK's dependency tree is counted, and a strict reader wants to
//! refuse what a general COSE library forgives. That library, coset, is the oracle in the tests.

mod claims;
mod cose;
#[cfg(test)]
pub(in crate::licence) mod tests;

use blake2::{Blake2s256, Digest};

use super::{
    certificate::Certificate,
    error::{ClaimError, LicenceError},
    keys::{KeyId, PublisherKey, PublisherSecret},
    text::Place,
};
use crate::vocab::{CertificateId, RealmId};

/// The most bytes a signed certificate may have.
pub const COSE_MAX: usize = 8192;
/// The most bytes one that names server keys may have: it is shown as PROOF, in one datagram (W-5).
pub const PROOF_MAX: usize = 1100;

/// What every signature is bound to besides its bytes: a signature made for another purpose never passes for a licence.
pub const CONTEXT: &str = "leasehold licence v1";

/// A certificate whose signature held when this value was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCertificate {
    /// What it says.
    pub certificate: Certificate,
    /// The COSE_Sign1 bytes that say it: what PROOF shows.
    pub cose: Vec<u8>,
    /// Its name: the first eight bytes of the BLAKE2s-256 of [`SignedCertificate::cose`].
    pub id: CertificateId,
    /// The key that signed.
    pub key_id: KeyId,
    /// Where it stands in its file; `None` if it did not come from one.
    pub place: Option<Place>,
}

/// How a certificate is signed. Named in what is signed, so that a second algorithm has its place and none passes for
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519, strictly verified: COSE algorithm -8.
    Ed25519,
}

impl SignedCertificate {
    /// The realm it grants in.
    #[must_use]
    pub fn realm(&self) -> RealmId {
        self.certificate.realm()
    }

    /// Its signature alone, as the text form carries it.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        // The signature is the last field of the structure and its length is the algorithm's.
        &self.cose[self.cose.len().saturating_sub(SIGNATURE_LEN)..]
    }

    fn new(certificate: Certificate, cose: Vec<u8>, key_id: KeyId) -> Self {
        let id = certificate_id(&cose);
        Self { certificate, cose, id, key_id, place: None }
    }
}

impl Algorithm {
    /// The name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
        }
    }

    /// The algorithm of that name.
    ///
    /// # Errors
    /// [`LicenceError::Algorithm`] if this build knows none.
    pub fn named(name: &str) -> Result<Self, LicenceError> {
        match name {
            "ed25519" => Ok(Self::Ed25519),
            other => Err(LicenceError::Algorithm(other.to_owned())),
        }
    }
}

/// Signs `certificate`, with its server keys in canonical order.
///
/// It signs what it is given: ask [`check`] first, because nobody accepts what does not pass it.
#[must_use]
pub fn sign(certificate: &Certificate, secret: &PublisherSecret) -> SignedCertificate {
    let certificate = certificate.clone().in_canonical_order();
    let key_id = secret.public().key_id();
    let (protected, payload) = (cose::protected(Algorithm::Ed25519, key_id), claims::encode(&certificate));
    let signature = secret.sign(&cose::to_be_signed(&protected, &payload));
    SignedCertificate::new(certificate, cose::encode(&protected, &payload, &signature), key_id)
}

/// Whether everybody would accept `certificate` once it is signed: its claims make sense together and it fits where it
/// must fit.
///
/// # Errors
/// The first rule it breaks.
pub fn check(certificate: &Certificate) -> Result<(), ClaimError> {
    certificate.check()?;
    let protected = cose::protected(Algorithm::Ed25519, KeyId([0; 4]));
    let payload = claims::encode(&certificate.clone().in_canonical_order());
    let len = cose::encode(&protected, &payload, &[0; SIGNATURE_LEN]).len();
    let max = if certificate.terms.server_keys.is_empty() { COSE_MAX } else { PROOF_MAX };
    if len > max { Err(ClaimError::TooLarge { len, max }) } else { Ok(()) }
}

/// Verifies `bytes` with whichever of `keys` they name, and only then reads what they say.
///
/// # Errors
/// If they are not exactly one canonical signed certificate of one of `keys`, or its claims break a rule.
pub fn verify_cose(bytes: &[u8], keys: &[PublisherKey]) -> Result<SignedCertificate, LicenceError> {
    if bytes.len() > COSE_MAX {
        return Err(ClaimError::TooLarge { len: bytes.len(), max: COSE_MAX }.into());
    }
    let parts = cose::decode(bytes)?;
    let signer = signer(&cose::to_be_signed(parts.protected, parts.payload), parts.key_id, parts.signature, keys)?;
    let certificate = claims::decode(parts.payload)?;
    accept(certificate, bytes.to_vec(), signer)
}

/// Verifies claims that came as text, whose canonical bytes nobody has seen yet.
pub(super) fn verify_claims(
    certificate: Certificate,
    algorithm: Algorithm,
    key_id: KeyId,
    signature: &[u8],
    keys: &[PublisherKey],
) -> Result<SignedCertificate, LicenceError> {
    let certificate = certificate.in_canonical_order();
    let (protected, payload) = (cose::protected(algorithm, key_id), claims::encode(&certificate));
    let signer = signer(&cose::to_be_signed(&protected, &payload), key_id, signature, keys)?;
    accept(certificate, cose::encode(&protected, &payload, signature), signer)
}

/// The one of `keys` called `key_id` that signed `message`.
fn signer<'k>(
    message: &[u8],
    key_id: KeyId,
    signature: &[u8],
    keys: &'k [PublisherKey],
) -> Result<&'k PublisherKey, LicenceError> {
    let mut named = keys.iter().filter(|key| key.key_id() == key_id).peekable();
    let first = *named.peek().ok_or(LicenceError::UnknownKey(key_id))?;
    let refused = || LicenceError::Signature { key: key_id, signer: first.publisher().clone() };
    let signature = signature.try_into().map_err(|_| refused())?;
    named.find(|key| key.verify(message, signature)).ok_or_else(refused)
}

fn accept(certificate: Certificate, cose: Vec<u8>, signer: &PublisherKey) -> Result<SignedCertificate, LicenceError> {
    if certificate.publisher != *signer.publisher() {
        let (named, signer) = (certificate.publisher.to_string(), signer.publisher().to_string());
        return Err(LicenceError::Publisher { named, signer });
    }
    check(&certificate)?;
    Ok(SignedCertificate::new(certificate, cose, signer.key_id()))
}

fn certificate_id(cose: &[u8]) -> CertificateId {
    let digest = Blake2s256::digest(cose);
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    CertificateId(short)
}

const SIGNATURE_LEN: usize = 64;
