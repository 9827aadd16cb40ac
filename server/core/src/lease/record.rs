//! What a lease is, besides its hot words; and what a bucket's seats are of.

use std::{net::IpAddr, sync::Arc};

use leasehold_protocol::{
    crypto::Fingerprint,
    message::Holder,
    time::{Mono, Now, UnixMillis},
    vocab::{CertificateId, ClaimKey, FeatureName, LeaseId, SeatCount, Version},
};

use crate::{
    book::Pool,
    joint::ShareKey,
    linger::Stay,
    plan::{FeaturePlan, Lot, Meter},
    pool::{BucketId, Use},
    quota::Asked,
};

/// What a bucket's seats are of.
#[derive(Clone, Debug)]
pub(crate) struct LotName {
    pub(crate) bucket: BucketId,
    pub(crate) certificate: CertificateId,
    pub(crate) version: Version,
    pub(crate) feature: FeatureName,
    /// The pool's number.
    pub(crate) pool: u32,
    /// How its units are used, if it is a meter (L-17).
    pub(crate) meter: Option<Meter>,
}

/// What a lease is, besides its hot words.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: LeaseId,
    /// Whose seats it has.
    pub(crate) pool: Arc<Pool>,
    /// What was asked for, if its seats are made of another feature's (L-14).
    pub(crate) drawn: Option<Arc<AskedFor>>,
    pub(crate) claim: ClaimKey,
    pub(crate) client: Fingerprint,
    /// The version wanted of those seats.
    pub(crate) version: Version,
    /// Seats of what was asked for.
    pub(crate) seats: SeatCount,
    pub(crate) holder: Arc<Holder>,
    /// Where it was asked from.
    pub(crate) address: IpAddr,
    pub(crate) granted: Now,
    /// Grants in order, over the whole server.
    pub(crate) number: u64,
    pub(crate) ttl_ms: u32,
    pub(crate) grace_ms: u32,
    /// The first end of the rights it was granted from.
    pub(crate) right_ends: Option<UnixMillis>,
    /// Whether it uses up units of a meter (L-17).
    pub(crate) is_metered: bool,
    /// What it shares its seats by, if it may.
    pub(crate) joint: Option<Arc<ShareKey>>,
    /// How long its seats stay after it is released.
    pub(crate) stay: Stay,
    /// Since when, if it is the server's own, for seats that stay after a release.
    pub(crate) lingers: Option<Mono>,
}

/// What a lease is of whose seats are another feature's.
#[derive(Debug)]
pub(crate) struct AskedFor {
    /// The feature's own pool.
    pub(crate) pool: Arc<Pool>,
    /// The version wanted of it.
    pub(crate) version: Version,
    /// Seats of the lots for each of its own.
    pub(crate) each: u32,
}

impl Record {
    /// What was asked for.
    pub(crate) fn feature(&self) -> &FeatureName {
        self.drawn.as_ref().map_or(&self.pool.name, |drawn| &drawn.pool.name)
    }

    /// Seats of the lots that were taken for it.
    pub(crate) fn taken(&self) -> u32 {
        self.seats.get().saturating_mul(self.drawn.as_ref().map_or(1, |drawn| drawn.each))
    }

    /// What rules count it as.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            feature: self.feature().clone(),
            seats: self.seats.get(),
            from: self.pool.name.clone(),
            taken: self.taken(),
            holder: self.holder.clone(),
            address: self.address,
        }
    }

    /// Whether others may come to have its seats.
    pub(crate) const fn is_joint(&self) -> bool {
        self.joint.is_some() || self.lingers.is_some()
    }

    /// The pool of what was asked for.
    pub(crate) fn asked_for(&self) -> &Pool {
        self.drawn.as_ref().map_or(&self.pool, |drawn| &drawn.pool)
    }

    /// The version that was asked for.
    pub(crate) fn wanted(&self) -> Version {
        self.drawn.as_ref().map_or(self.version, |drawn| drawn.version)
    }
}

/// The terms of a lease: of several lots, the strictest.
pub(crate) struct LotTerms {
    pub(crate) ttl_ms: u32,
    pub(crate) grace_ms: u32,
    pub(crate) right_ends: Option<UnixMillis>,
    pub(crate) is_metered: bool,
    pub(crate) stay: Stay,
}

impl LotTerms {
    /// Of the lots of `feature` that `uses` are of.
    pub(crate) fn of(feature: &FeaturePlan, uses: &[Use]) -> Self {
        let used = |lot: &&Lot| uses.iter().any(|used| used.bucket == lot.bucket);
        let lots = || feature.lots.iter().filter(used);
        Self {
            ttl_ms: lots().map(|lot| lot.ttl_ms).min().unwrap_or(2000),
            grace_ms: lots().map(|lot| lot.grace_ms).min().unwrap_or(0),
            right_ends: lots().filter_map(|lot| lot.ends).min(),
            is_metered: lots().any(|lot| lot.meter.is_some()),
            stay: lots().map(|lot| lot.stay).fold(Stay::default(), Stay::max),
        }
    }
}
