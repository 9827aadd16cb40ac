//! Sealing and opening DATA datagrams in place (SPEC 4.1, 4.2).

use zerocopy::{FromBytes, IntoBytes};

use super::aead::{Aead, Chosen};
pub(super) use crate::packet::TAG_LEN;
use crate::packet::{DATA_HEADER_LEN, DataHeader, PacketType, Prefix};

/// The key of one direction of a session. Wiped when dropped; what the cipher copies of it to its stack is not.
#[derive(Clone)]
pub struct TransportKey(Chosen);

/// The library this build seals and opens with: `ring`, or `chacha20poly1305` without the feature of that name. Told by
/// `leasehold --version`.
pub const AEAD_BACKEND: &str = Chosen::NAME;

/// Bytes that were not sealed under this key and counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the datagram does not authenticate")]
pub struct Forged;

impl TransportKey {
    /// The key of these 32 bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Chosen::new(key))
    }

    /// Encrypts `bytes` in place and returns the tag. The nonce is four zero bytes and `counter`, little-endian: a
    /// counter is never used twice with one key.
    #[must_use]
    pub fn seal(&self, counter: u64, aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        self.0.seal(nonce(counter), aad, bytes)
    }

    /// Decrypts `bytes` in place.
    ///
    /// # Errors
    /// If they were not sealed under this key, counter and header; `bytes` is then of no use to anybody.
    pub fn open(&self, counter: u64, aad: &[u8], bytes: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Forged> {
        self.0.open(nonce(counter), aad, bytes, tag)
    }
}

/// Writes a whole DATA datagram into `out`, which is cleared first: header, sealed `plaintext`, tag.
pub fn seal_datagram(
    key: &TransportKey,
    kind: PacketType,
    receiver_sid: u32,
    counter: u64,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    let header = DataHeader { prefix: Prefix::of(kind), receiver_sid: receiver_sid.into(), counter: counter.into() };
    out.clear();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(plaintext);
    let tag = key.seal(counter, header.as_bytes(), &mut out[DATA_HEADER_LEN..]);
    out.extend_from_slice(&tag);
}

/// Opens a whole DATA datagram in place and returns its plaintext.
///
/// # Errors
/// If it is too short or does not authenticate; its body is then of no use to anybody.
pub fn open_datagram<'a>(key: &TransportKey, datagram: &'a mut [u8]) -> Result<&'a [u8], Forged> {
    let (header, rest) = datagram.split_at_mut_checked(DATA_HEADER_LEN).ok_or(Forged)?;
    let (body, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(Forged)?;
    let counter = DataHeader::ref_from_bytes(header).map_err(|_| Forged)?.counter.get();
    key.open(counter, header, body, tag)?;
    Ok(body)
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_bit_is_noticed_and_gives_nothing_away() {
        let key = TransportKey::new(&[7; 32]);
        let mut sealed = Vec::new();
        seal_datagram(&key, PacketType::DataToServer, 9, 41, &[3; 64], &mut sealed);
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_datagram(&key, &mut forged), Err(Forged), "bit {bit}");
            assert!(!forged.windows(8).any(|bytes| bytes == [3; 8]), "bit {bit}: no plaintext is left behind");
        }
        assert_eq!(open_datagram(&key, &mut sealed), Ok(&[3; 64][..]));
    }
}
