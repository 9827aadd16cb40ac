//! Identities: who holds what, where, under which name.

use std::fmt;

use bincode::{Decode, Encode};
use blake2::{Blake2s256, Digest};

use super::Label;
use crate::{Entropy, hex};

/// A lease on one server: which slot of its slab, and which use of that slot (E-2). A late renewal for a slot that has
/// been used again names an older generation and feeds nobody's lease.
///
/// 64 bits: slot in the low 32, generation in the high 32. Zero is no lease: generations start at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LeaseId(pub u64);

impl LeaseId {
    /// No lease: what a release says when the grant was never seen.
    pub const NONE: Self = Self(0);

    /// The lease in `slot` at its `generation`-th use.
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | slot as u64)
    }

    /// Which slot.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the slot")]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// Which use of the slot.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.generation())
    }
}

/// The name a client gives a lease before it has one: the same key again, from any address, after any loss,
/// duplicate or restart, is the same lease and the same seats. 128 random bits, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ClaimKey(pub [u8; 16]);

impl ClaimKey {
    /// A fresh key.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// What a renewal shows of it (SPEC 5.17.2): its low half, and its high half turned by 32 bits, in one.
    #[must_use]
    pub const fn fold(self) -> ClaimProof {
        let both = u128::from_le_bytes(self.0);
        #[expect(clippy::cast_possible_truncation, reason = "the low half, then the high half")]
        let (low, high) = (both as u64, (both >> 64) as u64);
        ClaimProof(low ^ high.rotate_left(32))
    }
}

/// That somebody knows a claim key, in 64 bits: as hard to guess as 64 random bits are, where the lease is named besides.
/// It names nothing by itself; two keys may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimProof(pub u64);

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimKey({self})")
    }
}

/// One thing a client asked for (W-7). A retry is a new datagram with the same id and gets the same answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct OperationId(pub u64);

/// One publisher on one server: own keys, licences, seats and quotas; nothing shared with another but the socket.
/// Zero on the wire means "any" and is allowed in DISCOVER alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RealmId(pub u32);

impl RealmId {
    /// Any realm: a DISCOVER that does not care.
    pub const ANY: Self = Self(0);

    /// The realm of the publisher called `publisher` (SPEC 1.4): the first four bytes of
    /// `BLAKE2s-256("leasehold realm v1" ‖ name)`, little-endian, with 0 read as 1.
    #[must_use]
    pub fn of(publisher: &Label) -> Self {
        let digest = Blake2s256::new().chain_update(b"leasehold realm v1").chain_update(publisher.as_str()).finalize();
        let id = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Self(id.max(1))
    }
}

impl fmt::Display for RealmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A certificate: the first eight bytes of the BLAKE2s-256 of its signed bytes (SPEC 7.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CertificateId(pub [u8; 8]);

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateId({self})")
    }
}

/// A machine as its client SDK knows it: 128 bits, random, made once and kept beside the device key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct DeviceId(pub [u8; 16]);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_id_keeps_slot_and_generation_apart_at_every_width() {
        for slot in [0, 1, u32::MAX / 2, u32::MAX] {
            for generation in [0, 1, 0x00ff_ffff, u32::MAX] {
                let id = LeaseId::new(slot, generation);
                assert_eq!((id.slot(), id.generation()), (slot, generation));
            }
        }
    }

    #[test]
    fn every_bit_of_a_claim_key_is_in_its_proof_and_equal_halves_do_not_vanish() {
        let zero = ClaimKey([0; 16]);
        for bit in 0..128 {
            let key = ClaimKey((1u128 << bit).to_le_bytes());
            assert_ne!(key.fold(), zero.fold(), "bit {bit}");
        }
        let half = 0x0123_4567_89ab_cdef_u64;
        let twice = ClaimKey((u128::from(half) << 64 | u128::from(half)).to_le_bytes());
        assert_eq!(twice.fold(), ClaimProof(0x8888_8888_8888_8888));
    }

    #[test]
    fn realms_of_two_publishers_differ_and_are_never_any() {
        let (acme, demo) = (Label::new("acme").unwrap(), Label::new("demo").unwrap());
        assert_ne!(RealmId::of(&acme), RealmId::of(&demo));
        assert_ne!(RealmId::of(&acme), RealmId::ANY);
    }
}
