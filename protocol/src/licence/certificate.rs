//! The typed claims of one certificate (L-2).

use super::dates::Day;
use crate::{
    crypto::Fingerprint,
    vocab::{FeatureName, Label, SeatCount, Version},
};

/// Rights to one feature of one publisher, as its publisher signs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Who grants: names the realm (SPEC 1.4).
    pub publisher: Label,
    /// What for.
    pub feature: FeatureName,
    /// Up to which version.
    pub version: Version,
    /// How many seats.
    pub count: SeatLimit,
    /// What it does to the feature's pool.
    pub key_type: KeyType,
    /// The zone its days are days of: an IANA name. Default `UTC` (L-9).
    pub zone: String,
    /// First day; `None` has always begun.
    pub start: Option<Day>,
    /// Last day; `None` is permanent.
    pub end: Option<Day>,
    /// Everything else that was granted.
    pub terms: Terms,
}

/// How many seats a certificate grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatLimit {
    /// So many.
    Counted(SeatCount),
    /// Any number (L-12).
    Uncounted,
}

/// What a certificate does to its feature's pool. The `#[non_exhaustive]` leaves room for upgrade, package and token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyType {
    /// Makes the pool from itself (L-6).
    #[default]
    Exclusive,
    /// Adds a lot to the pool (L-7).
    Additive,
}

/// Terms of a certificate that have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The longest a holder may go without renewing, in seconds, 2 to 86 400; `None` leaves it to the server's
    /// default of 300.
    pub lease_ttl_s: Option<u32>,
    /// How long a program may go on after that while no server answers, in seconds, 0 to 86 400; `None` is 0.
    pub grace_s: Option<u32>,
    /// Fingerprints of the servers that may serve it; empty: any. What PROOF shows (W-5).
    pub server_keys: Vec<Fingerprint>,
    /// Free text for the application.
    pub vendor_string: Option<String>,
    /// The publisher's number for this grant.
    pub serial: Option<String>,
    /// Who issued it, for people.
    pub issuer: Option<String>,
    /// What to show to people.
    pub notice: Option<String>,
}
