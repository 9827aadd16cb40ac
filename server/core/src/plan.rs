//! Certificates, compiled: for one realm and one instant, which rights there are, and what became of the others (E-1).
//!
//! A plan is immutable. Loading, and every midnight at which a certificate begins or ends, makes a new one; the seats that
//! are out outlive it, because they live in the pools, not here.

mod compile;
mod install;
mod report;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{Ordering, fence},
    },
};

use arc_swap::{ArcSwap, Guard};
use leasehold_protocol::{
    licence::{SeatLimit, SignedCertificate},
    time::{Now, UnixMillis},
    vocab::{CertificateId, FeatureName, Version},
};

use self::compile::compile;
pub use self::report::{CertificateReport, Outcome, PlanReport};
use crate::{
    book::{Pool, Pools},
    lease::Leases,
    lock,
    pool::{BucketId, Worker},
    realm::RealmIdentity,
};

/// What one realm grants at one time.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By name: every feature that any certificate names.
    pub(crate) features: BTreeMap<FeatureName, FeaturePlan>,
    /// The certificate PROOF shows: the first applied one that names the realm's key; empty if none does.
    pub(crate) proof: Vec<u8>,
    /// How many certificates are in force.
    pub(crate) applied: usize,
    /// The instants between which this plan is right: from the last change to the one before the next.
    pub(crate) since: UnixMillis,
    /// The next instant at which a certificate begins or ends.
    pub(crate) next_change: Option<UnixMillis>,
}

/// What a plan says about one feature.
#[derive(Debug)]
pub(crate) struct FeaturePlan {
    /// Its seats, which outlive every plan.
    pub(crate) pool: Arc<Pool>,
    /// The lots in force, sooner-ending before later, then in file order.
    pub(crate) lots: Vec<Lot>,
    /// Rights that begin later and will then be in force: version and first millisecond, earliest first.
    pub(crate) later: Vec<(Version, UnixMillis)>,
    /// Rights that have ended: version and last millisecond, latest first.
    pub(crate) ended: Vec<(Version, UnixMillis)>,
}

/// The seats of one certificate in force.
#[derive(Clone, Debug)]
pub(crate) struct Lot {
    /// Which certificate.
    pub(crate) certificate: CertificateId,
    /// The version of its right: answers requests for it or lower.
    pub(crate) version: Version,
    /// Its seats.
    pub(crate) seats: SeatLimit,
    /// Its last millisecond.
    pub(crate) ends: Option<UnixMillis>,
    /// How long a lease of it lives without a renewal, in milliseconds.
    pub(crate) ttl_ms: u32,
    /// Its grace, in milliseconds.
    pub(crate) grace_ms: u32,
    /// Its seats.
    pub(crate) bucket: BucketId,
}

/// The plan of one realm and the certificates it is made from.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    plan: ArcSwap<Plan>,
    /// Locked while a plan is made and put in force.
    certificates: Mutex<Vec<Loaded>>,
}

/// A certificate with its days turned into instants.
#[derive(Debug)]
pub(crate) struct Loaded {
    signed: SignedCertificate,
    starts: Option<UnixMillis>,
    ends: Option<UnixMillis>,
}

/// Where the seats are that a plan is about.
pub(crate) struct Stock<'a> {
    /// The realm's pools.
    pub(crate) pools: &'a Pools,
    /// The leases of every realm.
    pub(crate) leases: &'a Leases,
    /// Whose hand puts seats in and takes them out.
    pub(crate) worker: &'a mut Worker,
    /// How long a lease lives where its certificate does not say, in milliseconds.
    pub(crate) ttl_default_ms: u64,
}

/// A wall clock may step back by this much, in milliseconds, before a plan is made for an earlier time again: workers read
/// their clocks a little apart, and a plan must not flap between them.
pub(crate) const STEP_BACK_MAX_MS: u64 = 60_000;

impl Planner {
    /// The plan as it is now, to keep.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// The plan as it is now, for one request: no counter is touched. Another may be put in force at any time; who grants by
    /// it asks [`Planner::is_still`] afterwards.
    pub(crate) fn glance(&self) -> Guard<Arc<Plan>> {
        self.plan.load()
    }

    /// Whether `plan` is in force still, for who has just published a lease that was granted by it. If so, who puts the next
    /// one in force will find that lease.
    ///
    /// Ordering: the fence pairs with the one in [`Planner::put_in_force`]: a lease is published, then the plan is looked at;
    /// the plan is replaced, then leases are looked at. One of the two sees the other.
    pub(crate) fn is_still(&self, plan: &Arc<Plan>) -> bool {
        fence(Ordering::SeqCst);
        Arc::ptr_eq(&self.plan.load(), plan)
    }

    /// Ordering: see [`Planner::is_still`].
    fn put_in_force(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
        fence(Ordering::SeqCst);
    }

    /// Puts `certificates` in place of all that were loaded before.
    pub(crate) fn load(
        &self,
        certificates: Vec<SignedCertificate>,
        now: Now,
        identity: &RealmIdentity,
        stock: Stock<'_>,
    ) -> PlanReport {
        let mut held = lock(&self.certificates);
        *held = certificates.into_iter().map(Loaded::new).collect();
        self.replace(&held, now, identity, stock)
    }

    /// Makes the plan for `now` if the one in force is for another time (L-9); whether it did.
    pub(crate) fn keep_current(&self, now: Now, identity: &RealmIdentity, stock: Stock<'_>) -> bool {
        if self.plan.load().is_for(now.wall) {
            return false;
        }
        let held = lock(&self.certificates);
        // Another worker may have been quicker.
        let is_stale = !self.plan.load().is_for(now.wall);
        if is_stale {
            self.replace(&held, now, identity, stock);
        }
        is_stale
    }

    fn replace(&self, held: &[Loaded], now: Now, identity: &RealmIdentity, mut stock: Stock<'_>) -> PlanReport {
        let draft = compile(held, identity, now.wall);
        let mut report = PlanReport {
            realm: identity.id,
            at: now.wall,
            lines: draft.lines,
            next_change: draft.next_change,
            overage: 0,
        };
        let (plan, no_room) = install::plan_of(held, draft.plan, &stock, identity);
        no_room.into_iter().for_each(|index| report.lines[index].leave_out());
        install::install(plan, &mut stock, |plan| self.put_in_force(plan));
        let pools = stock.pools.all();
        report.overage = pools.iter().map(|pool| lock(&pool.book).stand(stock.worker).overage).sum();
        report
    }
}

impl Plan {
    fn is_for(&self, wall: UnixMillis) -> bool {
        self.next_change.is_none_or(|next| wall < next) && wall.0 >= self.since.0.saturating_sub(STEP_BACK_MAX_MS)
    }
}

impl Loaded {
    fn new(signed: SignedCertificate) -> Self {
        let (starts, ends) = (signed.certificate.starts_at(), signed.certificate.ends_at());
        Self { signed, starts, ends }
    }

    fn has_started(&self, at: UnixMillis) -> bool {
        self.starts.is_none_or(|starts| starts <= at)
    }

    fn has_ended(&self, at: UnixMillis) -> bool {
        self.ends.is_some_and(|ends| ends < at)
    }
}

impl Lot {
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
}

/// The lots of `lots` that answer a request for `wanted`, in the order of L-11: exact version before higher, then
/// sooner-ending before later, then file order; the last two are the order `lots` are in.
pub(crate) fn serving(lots: &[Lot], wanted: Version) -> impl Iterator<Item = &Lot> {
    let exact = lots.iter().filter(move |lot| lot.version == wanted);
    exact.chain(lots.iter().filter(move |lot| lot.version > wanted))
}
