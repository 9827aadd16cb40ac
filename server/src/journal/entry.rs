//! What a record says. The bodies are encoded as those of frames are (SPEC 5.2), field after field as they stand here.

use std::{net::IpAddr, sync::Arc};

use bincode::{Decode, Encode, config};
use leasehold_core::HeldLease;
use leasehold_protocol::{
    crypto::Fingerprint,
    message::{Holder, LotUse},
    time::UnixMillis,
    vocab::{ClaimKey, FeatureName, LeaseId, RealmId, SeatCount, Version},
};

use super::layout::{BODY_MAX, Frame};

/// Lots of a lease that are written down at most: so that every record fits its frame.
const LOTS_MAX: usize = 256;

/// One thing that is written down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// Seats went out. Kind 1.
    Granted(HeldLease),
    /// They are out since before this file was begun. Kind 2.
    Held(HeldLease),
    /// They came back. Kinds 3, by their holder's wish, and 4, because nobody renewed.
    Ended(Ended),
    /// Certificates began or ended by their dates, or others were loaded. Kind 5.
    PlanChanged(PlanChanged),
    /// Everything that was out when the file was begun stands before this. Kind 6.
    Checkpoint(Checkpoint),
    /// The server ended as it should. Kind 7.
    Closed(Closed),
    /// It does not know all that was granted, until an instant of the lease clock. Kind 8.
    Doubt(Doubt),
}

/// A lease that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Ended {
    pub(crate) lease: LeaseId,
    /// Calendar time.
    pub(crate) at_ms: u64,
    pub(crate) released: bool,
}

/// Another plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PlanChanged {
    pub(crate) realm: RealmId,
    pub(crate) at_ms: u64,
}

/// The end of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Checkpoint {
    /// How many leases it holds.
    pub(crate) leases: u64,
}

/// An orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Closed {
    /// How many leases were out.
    pub(crate) leases: u64,
    pub(crate) at_ms: u64,
}

/// What a server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Doubt {
    /// Until when, on the lease clock of this boot of the machine.
    pub(crate) until_ms: u64,
    /// Nothing of what was granted before is known; else the last grants before a power cut may be lost.
    pub(crate) is_blind: bool,
    /// How far the log had come from which on they may be.
    pub(crate) lost_from: u64,
}

/// A lease, in the order of its fields on disk.
#[derive(Encode, Decode)]
struct Lease {
    realm: RealmId,
    lease: LeaseId,
    claim: ClaimKey,
    client: [u8; 16],
    feature: FeatureName,
    version: Version,
    seats: SeatCount,
    lots: Vec<LotUse>,
    holder: Arc<Holder>,
    address: IpAddr,
    granted_ms: u64,
    number: u64,
    ttl_ms: u32,
    shares: bool,
}

impl Entry {
    pub(crate) const fn kind(&self) -> u8 {
        match self {
            Self::Granted(_) => 1,
            Self::Held(_) => 2,
            Self::Ended(Ended { released: true, .. }) => 3,
            Self::Ended(_) => 4,
            Self::PlanChanged(_) => 5,
            Self::Checkpoint(_) => 6,
            Self::Closed(_) => 7,
            Self::Doubt(_) => 8,
        }
    }

    /// Appends the body to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Granted(held) | Self::Held(held) => put(&Lease::from(held), out),
            Self::Ended(ended) => put(ended, out),
            Self::PlanChanged(changed) => put(changed, out),
            Self::Checkpoint(checkpoint) => put(checkpoint, out),
            Self::Closed(closed) => put(closed, out),
            Self::Doubt(doubt) => put(doubt, out),
        }
    }

    /// What `frame` says; why not, if it says nothing that could be.
    pub(crate) fn read(frame: &Frame<'_>) -> Result<Self, String> {
        match frame.kind {
            1 => take::<Lease>(frame.body).map(|lease| Self::Granted(lease.into())),
            2 => take::<Lease>(frame.body).map(|lease| Self::Held(lease.into())),
            3 | 4 => take(frame.body).map(Self::Ended),
            5 => take(frame.body).map(Self::PlanChanged),
            6 => take(frame.body).map(Self::Checkpoint),
            7 => take(frame.body).map(Self::Closed),
            8 => take(frame.body).map(Self::Doubt),
            kind => Err(format!("a record of kind {kind}, which this version does not know")),
        }
    }
}

fn put<T: Encode>(body: &T, out: &mut Vec<u8>) {
    // Writing into memory cannot fail, and no body has a length that could be refused.
    let _ = bincode::encode_into_std_write(body, out, config::standard());
}

fn take<T: Decode<()>>(body: &[u8]) -> Result<T, String> {
    match bincode::decode_from_slice(body, config::standard().with_limit::<{ 4 * BODY_MAX }>()) {
        Ok((taken, used)) if used == body.len() => Ok(taken),
        Ok((_, used)) => Err(format!("{} bytes too many", body.len() - used)),
        Err(e) => Err(format!("a body that cannot be read: {e}")),
    }
}

impl From<&HeldLease> for Lease {
    fn from(held: &HeldLease) -> Self {
        Self {
            realm: held.realm,
            lease: held.lease,
            claim: held.claim,
            client: held.client.0,
            feature: held.feature.clone(),
            version: held.version,
            seats: held.seats,
            // With more than that it comes back with seats of any lots that will do.
            lots: if held.lots.len() > LOTS_MAX { Vec::new() } else { held.lots.clone() },
            holder: held.holder.clone(),
            address: held.address,
            granted_ms: held.granted.0,
            number: held.number,
            ttl_ms: held.ttl_ms,
            shares: held.shares,
        }
    }
}

impl From<Lease> for HeldLease {
    fn from(lease: Lease) -> Self {
        Self {
            realm: lease.realm,
            lease: lease.lease,
            claim: lease.claim,
            client: Fingerprint(lease.client),
            feature: lease.feature,
            version: lease.version,
            seats: lease.seats,
            lots: lease.lots,
            holder: lease.holder,
            address: lease.address,
            granted: UnixMillis(lease.granted_ms),
            number: lease.number,
            ttl_ms: lease.ttl_ms,
            shares: lease.shares,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use leasehold_protocol::vocab::{CertificateId, DeviceId, Label};

    use super::{super::layout, *};

    /// A lease of `seats` seats, made up from `n`.
    pub(crate) fn lease(n: u32, seats: u32) -> HeldLease {
        let label = |text: &str| Label::new(text).unwrap();
        let seats = SeatCount::new(seats).unwrap();
        let version: Version = "4.8".parse().unwrap();
        HeldLease {
            realm: RealmId(7),
            lease: LeaseId::new(n, 1),
            claim: ClaimKey([n.to_le_bytes()[0]; 16]),
            client: Fingerprint([3; 16]),
            feature: FeatureName::new("CAD").unwrap(),
            version,
            seats,
            lots: vec![LotUse { certificate: CertificateId([5; 8]), version, seats }],
            holder: Arc::new(Holder {
                user: label("ada"),
                host: label("ws1"),
                display: None,
                process: label("solver"),
                pid: n,
                project: Some(label("bridge")),
                device: DeviceId([9; 16]),
                device_alias: None,
                share: None,
                hostids: vec![],
            }),
            address: [10, 0, 0, 1].into(),
            granted: UnixMillis(1_767_614_400_000),
            number: u64::from(n) + 1,
            ttl_ms: 300_000,
            shares: n % 2 == 1,
        }
    }

    #[test]
    fn every_kind_comes_back_as_it_was_written() {
        let (wide, ended) = (lease(1, 1).lots[0], Ended { lease: LeaseId::new(1, 2), at_ms: 5, released: true });
        let entries = [
            Entry::Granted(lease(1, 3)),
            Entry::Held(HeldLease { lots: vec![wide; LOTS_MAX], address: [0; 16].into(), ..lease(2, 1) }),
            Entry::Ended(ended),
            Entry::Ended(Ended { released: false, ..ended }),
            Entry::PlanChanged(PlanChanged { realm: RealmId(7), at_ms: 8 }),
            Entry::Checkpoint(Checkpoint { leases: 9 }),
            Entry::Closed(Closed { leases: 2, at_ms: 10 }),
            Entry::Doubt(Doubt { until_ms: 11, is_blind: true, lost_from: 12 }),
        ];
        for entry in entries {
            let (mut bytes, mut body) = (Vec::new(), Vec::new());
            entry.write(&mut body);
            layout::frame(&mut bytes, (entry.kind(), 1, 2, 3), &body);
            let frame = layout::read_frame(&bytes, 3).unwrap();
            assert_eq!(Entry::read(&frame).unwrap(), entry);
            let longer = [frame.body, &[0]].concat();
            assert!(Entry::read(&Frame { body: &longer, ..frame }).is_err());
        }
        let frame = Frame { kind: 99, number: 1, round: 1, body: &[], len: 64 };
        assert!(Entry::read(&frame).unwrap_err().contains("kind 99"));
    }

    #[test]
    fn a_lease_of_more_lots_than_are_written_comes_back_without_them() {
        let lot = lease(1, 1).lots[0];
        let (mut bytes, mut body) = (Vec::new(), Vec::new());
        Entry::Granted(HeldLease { lots: vec![lot; LOTS_MAX + 1], ..lease(1, 1) }).write(&mut body);
        layout::frame(&mut bytes, (1, 1, 2, 3), &body);
        let Ok(Entry::Granted(read)) = Entry::read(&layout::read_frame(&bytes, 3).unwrap()) else { panic!() };
        assert!(read.lots.is_empty() && read.seats.get() == 1);
    }
}
