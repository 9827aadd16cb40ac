//! What administrators see: snapshots, made without stopping a renewal.

mod feature;

use std::{net::SocketAddr, sync::Arc};

use leasehold_protocol::{
    crypto::{Fingerprint, PublicKey},
    message::{Activity, Holder, LotUse},
    time::{Mono, UnixMillis},
    vocab::{ClaimKey, FeatureName, Label, LeaseId, RealmId, SeatCount, Version},
};

pub(crate) use feature::feature_status;

/// One realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmStatus {
    /// Its id on the wire.
    pub id: RealmId,
    /// Its publisher.
    pub publisher: Label,
    /// The server's public key in it.
    pub key: PublicKey,
    /// What people compare and pin.
    pub fingerprint: Fingerprint,
    /// Whether anybody may ask.
    pub open: bool,
    /// How many certificates are in force.
    pub certificates: usize,
    /// The next instant at which one begins or ends by itself.
    pub next_change: Option<UnixMillis>,
}

/// One feature, at one moment in which no checkout was half done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureStatus {
    /// In which realm.
    pub realm: RealmId,
    /// Its name.
    pub name: FeatureName,
    /// The highest version there are rights for now; of the next one to begin, if there are none; of the last one that
    /// ended, if none is to begin.
    pub version: Version,
    /// Seats there are, without those of overdraft; `None` if they are not counted. Of a feature whose seats are made of
    /// another one's, as many as that one's would make (L-14).
    pub count: Option<u32>,
    /// Seats out, with those of overdraft.
    pub used: u32,
    /// Seats of overdraft there are besides (L-13).
    pub overdraft: u32,
    /// Those of them that are out.
    pub overdraft_used: u32,
    /// From how many seats out on alerts rise (L-13).
    pub soft_limit: Option<u32>,
    /// Seats that upgrades add, which are in the count (L-8).
    pub upgraded_by: u32,
    /// The most seats one request may take, if that is less than all: its pools are separate (L-7).
    pub largest: Option<u32>,
    /// The feature whose seats its own are made of, and how many of those each takes (L-14).
    pub drawn: Option<(FeatureName, u32)>,
    /// Of the seats out, those that stay with their holder after a release.
    pub lingering: u32,
    /// Units that are used up for ever (L-17).
    pub used_up: u64,
    /// Free seats that are withheld after a power cut: grants of them may be lost (U-2).
    pub withheld: u32,
    /// Seats left: below zero where more are out than the licences in force allow (L-10). For seats that are not
    /// counted, [`i64::MAX`].
    pub free: i64,
    /// Seats out that no licence in force covers.
    pub overage: u32,
    /// Seats that are not out and kept for some by reservations, as far as there are any (P-3). Of a feature whose seats are
    /// made of another one's, 0: they are kept there.
    pub reserved: u32,
    /// How many leases hold the seats.
    pub leases: u32,
    /// How many wait for its seats, those of them that ask for another feature made of them included.
    pub waiting: u32,
    /// The next instant at which one of its rights ends.
    pub next_end: Option<UnixMillis>,
    /// When its first right begins, if none is in force yet.
    pub not_started: Option<UnixMillis>,
    /// The last millisecond of its last right, if all have ended and none is to begin.
    pub ended: Option<UnixMillis>,
    /// Its lots, in the order of L-11 for a request that takes any version.
    pub lots: Vec<LotStatus>,
}

/// One certificate in force, as part of its feature's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotStatus {
    /// Which certificate, with the version of its right and how many of its seats are out.
    pub certificate: leasehold_protocol::vocab::CertificateId,
    /// The version of its right.
    pub version: Version,
    /// The certificate its seats come from: of an upgrade, its own.
    pub source: leasehold_protocol::vocab::CertificateId,
    /// Whether it is overdraft.
    pub overdraft: bool,
    /// Seats that upgrades add to it, which are lots of their own.
    pub upgraded_by: u32,
    /// The pool it is in, where a request takes from one pool only.
    pub group: u32,
    /// Its seats; `None` if they are not counted.
    pub count: Option<u32>,
    /// Its seats that are out.
    pub used: u32,
    /// Its last millisecond.
    pub ends: Option<UnixMillis>,
}

/// One lease.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseStatus {
    /// Its id.
    pub id: LeaseId,
    /// In which realm.
    pub realm: RealmId,
    /// Its claim key.
    pub claim: ClaimKey,
    /// Whose device key: proved.
    pub client: Fingerprint,
    /// What for.
    pub feature: FeatureName,
    /// The version wanted.
    pub version: Version,
    /// How many seats.
    pub seats: SeatCount,
    /// From which certificates.
    pub lots: Vec<LotUse>,
    /// Who holds them, in the holder's own words.
    pub holder: Arc<Holder>,
    /// When it was granted, on the lease clock.
    pub granted_at: Mono,
    /// When it was granted, on the wall.
    pub granted_wall: UnixMillis,
    /// When it ends, if it is not renewed.
    pub deadline: Mono,
    /// How long that is from now, in milliseconds.
    pub remaining_ms: u64,
    /// How often it was renewed.
    pub renewals: u32,
    /// What the holder said it is doing at its last renewal.
    pub activity: Activity,
    /// Whether it stands above what the licences in force allow (L-10).
    pub overage: bool,
    /// Whether it was released and its seats stay with its holder.
    pub lingers: bool,
    /// Where its client's session is, if it has one.
    pub address: Option<SocketAddr>,
}

/// A reservation of the policy in force, in one realm (P-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationStatus {
    /// In which realm.
    pub realm: RealmId,
    /// What answers and logs call it.
    pub rule: String,
    /// Of which feature.
    pub feature: FeatureName,
    /// The lowest version that will do.
    pub version: Version,
    /// How many seats it asks for.
    pub seats: u32,
    /// How many of them its members have.
    pub used: u32,
    /// How many the licences in force cannot give it, after those before it in the file; 0: it is satisfied.
    pub short: u32,
}
