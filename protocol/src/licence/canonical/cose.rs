//! COSE_Sign1 (RFC 9052 §4.2, tagged 18), in the one encoding this build writes and accepts.

use minicbor::{Decoder, Encoder, data::Tag, decode::Error as CborError};

use super::{Algorithm, CONTEXT};
use crate::licence::{error::LicenceError, keys::KeyId};

const TAG_SIGN1: u64 = 18;
const HEADER_ALG: u64 = 1;
const HEADER_KID: u64 = 4;
/// EdDSA of RFC 9053 §2.2; the key says which curve.
const ALG_EDDSA: i64 = -8;
const WRITES: &str = "a vector takes every byte";

/// The parts of a COSE_Sign1, where they lie.
pub(super) struct Parts<'a> {
    pub(super) protected: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) key_id: KeyId,
}

/// The protected header: algorithm and key id, both signed.
pub(super) fn protected(algorithm: Algorithm, key_id: KeyId) -> Vec<u8> {
    let alg = match algorithm {
        Algorithm::Ed25519 => ALG_EDDSA,
    };
    written(|e| e.map(2)?.u64(HEADER_ALG)?.i64(alg)?.u64(HEADER_KID)?.bytes(&key_id.0)?.ok())
}

/// The Sig_structure: the bytes a signature is made over.
pub(super) fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    written(|e| e.array(4)?.str("Signature1")?.bytes(protected)?.bytes(CONTEXT.as_bytes())?.bytes(payload)?.ok())
}

/// The whole structure.
pub(super) fn encode(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    written(|e| e.tag(Tag::new(TAG_SIGN1))?.array(4)?.bytes(protected)?.map(0)?.bytes(payload)?.bytes(signature)?.ok())
}

/// Reads a structure that [`encode`] could have written, and nothing else.
pub(super) fn decode(bytes: &[u8]) -> Result<Parts<'_>, LicenceError> {
    let malformed = |_: CborError| LicenceError::Malformed("not a COSE_Sign1 structure");
    let (protected, payload, signature) = fields(bytes).map_err(malformed)?;
    let key_id = read_protected(protected)?;
    if encode(protected, payload, signature) != bytes {
        return Err(LicenceError::Malformed("not in canonical form"));
    }
    Ok(Parts { protected, payload, signature, key_id })
}

/// Protected header, payload, signature.
type Fields<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn fields(bytes: &[u8]) -> Result<Fields<'_>, CborError> {
    let mut d = Decoder::new(bytes);
    let sign1 = d.tag()? == Tag::new(TAG_SIGN1) && d.array()? == Some(4);
    let protected = d.bytes()?;
    // Nothing may stand where it is not signed.
    let empty_unprotected = d.map()? == Some(0);
    let (payload, signature) = (d.bytes()?, d.bytes()?);
    match sign1 && empty_unprotected {
        true => Ok((protected, payload, signature)),
        false => Err(CborError::message("not a COSE_Sign1")),
    }
}

fn read_protected(bytes: &[u8]) -> Result<KeyId, LicenceError> {
    let malformed = |_: CborError| LicenceError::Malformed("the protected header is not {1: algorithm, 4: key id}");
    let (alg, key_id) = header(bytes).map_err(malformed)?;
    let algorithm = match alg {
        ALG_EDDSA => Algorithm::Ed25519,
        other => return Err(LicenceError::Algorithm(format!("COSE {other}"))),
    };
    match protected(algorithm, key_id) == bytes {
        true => Ok(key_id),
        false => Err(LicenceError::Malformed("the protected header is not in canonical form")),
    }
}

fn header(bytes: &[u8]) -> Result<(i64, KeyId), CborError> {
    let mut d = Decoder::new(bytes);
    let wrong = || CborError::message("not the protected header");
    if d.map()? != Some(2) || d.u64()? != HEADER_ALG {
        return Err(wrong());
    }
    let alg = d.i64()?;
    if d.u64()? != HEADER_KID {
        return Err(wrong());
    }
    Ok((alg, KeyId(d.bytes()?.try_into().map_err(|_| wrong())?)))
}

pub(super) type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

/// What `write` writes.
pub(super) fn written(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out)).expect(WRITES);
    out
}
