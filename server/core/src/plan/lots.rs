//! What a plan says about one feature, and the seats of each certificate in force.

use std::sync::Arc;

use leasehold_protocol::{
    licence::{SeatLimit, SignedCertificate, certificate::ShareBy, hostids::ClientLock},
    time::UnixMillis,
    vocab::{CertificateId, HostId, Version},
};

use crate::{
    book::{Entry, Pool},
    linger::Stay,
    narrow,
    pool::BucketId,
};

/// What a plan says about one feature.
#[derive(Debug)]
pub(crate) struct FeaturePlan {
    /// Its seats, which outlive every plan.
    pub(crate) pool: Arc<Pool>,
    /// The lots in force, in the order they serve in. Of a feature whose seats are made of another one's, that one's.
    pub(crate) lots: Vec<Lot>,
    /// Whose lots those are, if not its own, and how many of their seats one of ours is made of (L-14).
    pub(crate) drawn: Option<Drawn>,
    /// From how many seats on alerts rise (L-13).
    pub(crate) soft_limit: Option<u64>,
    /// Rights that begin later and will then be in force: version and first millisecond, earliest first.
    pub(crate) later: Vec<(Version, UnixMillis)>,
    /// Rights that have ended: version and last millisecond, latest first.
    pub(crate) ended: Vec<(Version, UnixMillis)>,
}

/// Where a feature's seats come from that has none of its own.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    /// Whose they are.
    pub(crate) pool: Arc<Pool>,
    /// Seats of it for each of ours.
    pub(crate) each: u32,
    /// The certificate that says so.
    pub(crate) by: Arc<SignedCertificate>,
    /// Up to which version of ours it answers.
    pub(crate) answers: Version,
    /// The lowest version of those seats that will do.
    pub(crate) version: Version,
}

/// What a lot's seats are beside the others of its feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LotKind {
    /// What was bought.
    Regular,
    /// What may be used above that, and is reported apart (L-13).
    Overdraft,
}

/// The seats of one certificate in force.
#[derive(Clone, Debug)]
pub(crate) struct Lot {
    /// The certificate its seats come from.
    pub(crate) source: CertificateId,
    /// What its seats are.
    pub(crate) kind: LotKind,
    /// A request never spans two groups (L-7).
    pub(crate) group: u32,
    /// Seats that upgrades add to it.
    pub(crate) upgraded_by: u32,
    /// What it demands of the machine that asks; `None`: nothing.
    pub(crate) lock: Option<Arc<ClientLock>>,
    /// What requests must have in common to share its seats; `None`: each takes seats of its own.
    pub(crate) share: Option<ShareBy>,
    /// How many leases may share a seat at most, the one that took it among them.
    pub(crate) share_limit: Option<u32>,
    /// How long its seats stay after a release.
    pub(crate) stay: Stay,
    /// Whether its seats are units that are used up, and how (L-17).
    pub(crate) meter: Option<Meter>,
    /// Units of it that were used up before this server was started (L-17).
    pub(crate) used_before: u64,
    /// Whether it is a trial whose first use is still to come (L-16).
    pub(crate) is_fresh_trial: bool,
    /// The certificate that people see: of an upgrade, the one it raises (L-8).
    pub(crate) certificate: CertificateId,
    /// The version of its right: answers requests for it or lower.
    pub(crate) version: Version,
    /// That, as its publisher signed it.
    pub(crate) signed: Arc<SignedCertificate>,
    /// Its seats.
    pub(crate) seats: SeatLimit,
    /// Its first millisecond.
    pub(crate) starts: Option<UnixMillis>,
    /// Its last millisecond.
    pub(crate) ends: Option<UnixMillis>,
    /// How long a lease of it lives without a renewal, in milliseconds.
    pub(crate) ttl_ms: u32,
    /// Its grace, in milliseconds.
    pub(crate) grace_ms: u32,
    /// Its seats.
    pub(crate) bucket: BucketId,
}

/// By what a lot is told from others: whose seats, of what kind, and under which certificate's name they are granted. A
/// bucket is named once (an upgrade that raises another exclusive than before gets one of its own), so that no grant
/// names a certificate that is not in force.
pub(crate) type LotKey = (CertificateId, LotKind, CertificateId);

/// The most seats of one pool that may be out without being on disk (U-2).
const CREDIT_MAX: u32 = 256;

/// How a lot's units are used (L-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meter {
    /// Whether they come back when a lease ends.
    pub(crate) reusable: bool,
    /// How soon after a grant a release gives them back in any case, in milliseconds.
    pub(crate) undo_ms: u64,
}

impl Lot {
    /// By what a lot is told from others, whatever else has changed about it.
    pub(crate) const fn key(&self) -> LotKey {
        (self.source, self.kind, self.certificate)
    }

    /// What a book begins with for it.
    pub(crate) const fn entry(&self) -> Entry {
        Entry { bucket: self.bucket, in_force: false, used_up: self.used_before, withheld: 0 }
    }

    /// Seats there are; `None` if they are not counted.
    pub(crate) const fn count(&self) -> Option<u32> {
        match self.seats {
            SeatLimit::Counted(count) => Some(count.get()),
            SeatLimit::Uncounted => None,
        }
    }

    /// The same as a bucket counts them.
    pub(crate) fn capacity(&self) -> Option<i64> {
        self.count().map(i64::from)
    }

    /// Whether a machine that shows `shown` may use it.
    pub(crate) fn lets_in(&self, shown: &[HostId]) -> bool {
        self.lock.as_ref().is_none_or(|lock| lock.lets_in(shown).is_ok())
    }
}

/// The lots of `lots` that answer a request for `wanted`, in the order of L-11: regular before overdraft, exact version before
/// higher, then sooner-ending before later, then file order; the last two are the order `lots` are in.
pub(crate) fn serving(lots: &[Lot], wanted: Version) -> impl Iterator<Item = &Lot> {
    let regular = lots.partition_point(|lot| lot.kind == LotKind::Regular);
    let (regular, overdraft) = lots.split_at(regular);
    [regular, overdraft].into_iter().flat_map(move |lots| {
        let exact = lots.iter().filter(move |lot| lot.version == wanted);
        exact.chain(lots.iter().filter(move |lot| lot.version > wanted))
    })
}

/// The groups of `lots`, each in order of its first lot: a request is served from one of them (L-7).
pub(crate) fn groups(lots: &[Lot]) -> Vec<u32> {
    let mut groups: Vec<u32> = Vec::new();
    for lot in lots {
        if !groups.contains(&lot.group) {
            groups.push(lot.group);
        }
    }
    groups
}

impl FeaturePlan {
    /// The pool whose seats its requests take.
    pub(crate) fn seats(&self) -> &Arc<Pool> {
        self.drawn.as_ref().map_or(&self.pool, |drawn| &drawn.pool)
    }

    /// How many seats of its lots may be out without being on disk: a sixteenth, at most 256, and none where there are fewer than 16
    /// (U-2). After a power cut so many have to be withheld until those who may hold them have had the time to say so.
    pub(crate) fn credit(&self) -> u32 {
        let seats: Option<u64> = self.lots.iter().map(|lot| lot.count().map(u64::from)).sum();
        seats.map_or(u32::MAX, |seats| narrow(seats / 16).min(CREDIT_MAX))
    }

    /// The lots that are its own.
    pub(crate) fn own_lots(&self) -> &[Lot] {
        if self.drawn.is_some() { &[] } else { &self.lots }
    }

    /// The seats of its largest pool; `None` if one is not counted.
    pub(crate) fn largest(&self) -> Option<u64> {
        let of = |group| -> Option<u64> {
            let lots = self.lots.iter().filter(|lot| lot.group == group);
            lots.map(|lot| lot.count().map(u64::from)).sum()
        };
        let pools: Option<Vec<u64>> = groups(&self.lots).into_iter().map(of).collect();
        pools?.into_iter().max()
    }

    /// What its seats may be shared by, in the order of its lots; nearly always nothing.
    pub(crate) fn shares(&self) -> Vec<ShareBy> {
        let mut shares = Vec::new();
        for by in self.lots.iter().filter_map(|lot| lot.share) {
            if !shares.contains(&by) {
                shares.push(by);
            }
        }
        shares
    }

    /// Whether its lots are several pools (L-7).
    pub(crate) fn is_separate(&self) -> bool {
        self.lots.windows(2).any(|two| two[0].group != two[1].group)
    }

    /// Seats of its lots for each of its own.
    pub(crate) fn each(&self) -> u32 {
        self.drawn.as_ref().map_or(1, |drawn| drawn.each)
    }
}
