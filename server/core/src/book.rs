//! The seats of one feature: which lots they belong to, which of those are in force, and the slow path to them.
//!
//! Seats themselves are counted in the [pool](crate::pool), where checkouts, ends and counts of one feature meet without a
//! lock. A book is what has to be decided by one at a time: what a new plan gives and takes, who of those whose lot is gone
//! moves where (L-10), and who is next while somebody waits (E-4). As long as that is so, the buckets of the feature say
//! that they are waited for, and checkouts come here; otherwise nobody does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use leasehold_protocol::{
    message::LotUse,
    time::{Mono, UnixMillis},
    vocab::{CertificateId, FeatureName, LeaseId, RealmId, SeatCount, Version},
};

use crate::{
    lease::Leases,
    lock,
    plan::{Lot, serving},
    pool::{BucketId, Rank, Short, Use, Worker},
};

/// All seats of one feature in one realm. Outlives every plan.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Unique on this server.
    pub(crate) id: u32,
    pub(crate) realm: RealmId,
    pub(crate) name: FeatureName,
    /// Its leases, counted as an uncounted bucket counts: by those who open and close them.
    pub(crate) leases: BucketId,
    pub(crate) book: Mutex<Book>,
    pub(crate) next_due: Mutex<NextDueHint>,
}

/// Which lease was found to be due back next, and when that was looked up.
#[derive(Debug, Default)]
pub(crate) struct NextDueHint {
    pub(crate) at: Option<Mono>,
    pub(crate) lease: Option<LeaseId>,
    /// The slot to go on looking at.
    pub(crate) slot: u32,
}

/// The pools of one realm, by name. A pool is made when a certificate first names its feature and stays.
#[derive(Debug)]
pub(crate) struct Pools {
    realm: RealmId,
    by_name: Mutex<BTreeMap<FeatureName, Arc<Pool>>>,
}

/// What is decided about one feature by one at a time.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// By certificate: every one that ever was in force.
    pub(crate) entries: BTreeMap<CertificateId, Entry>,
    /// The lots in force, in the plan's order.
    pub(crate) lots: Vec<Lot>,
    /// Leases with seats of lots that are not in force: the overage, in the order they were granted.
    pub(crate) homeless: BTreeMap<u64, (LeaseId, Version)>,
    /// None of them wants a version below.
    pub(crate) homeless_least: Version,
}

/// The seats of one certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) bucket: BucketId,
    /// Whether there are any: otherwise all that is out of it is overage.
    pub(crate) in_force: bool,
}

impl Pools {
    pub(crate) fn new(realm: RealmId) -> Self {
        Self { realm, by_name: Mutex::default() }
    }

    /// The pool of the feature called `name`, made if there is none; `None` if there is no room for one more.
    pub(crate) fn of(&self, name: &FeatureName, leases: &Leases) -> Option<Arc<Pool>> {
        let mut by_name = lock(&self.by_name);
        if let Some(pool) = by_name.get(name) {
            return Some(pool.clone());
        }
        let pool = Arc::new(Pool {
            id: leases.next_pool_id(),
            realm: self.realm,
            name: name.clone(),
            leases: leases.stock.add_uncounted()?,
            book: Mutex::default(),
            next_due: Mutex::default(),
        });
        by_name.insert(name.clone(), pool.clone());
        Some(pool)
    }

    /// Every pool, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Pool>> {
        lock(&self.by_name).values().cloned().collect()
    }
}

impl Book {
    /// Whether `lots` are the lots in force, and in that order.
    pub(crate) fn is_of(&self, lots: &[Lot]) -> bool {
        self.lots.len() == lots.len()
            && self.lots.iter().zip(lots).all(|(ours, lot)| ours.certificate == lot.certificate)
    }

    /// Makes checkouts come here from now on, whatever they find, or no more.
    pub(crate) fn set_waited(&self, worker: &mut Worker, waited: bool) {
        self.entries.values().for_each(|entry| worker.set_waited(entry.bucket, waited));
    }

    /// Puts `lots` in force instead of those before. What is out of a lot that is not among them stays out, over its
    /// capacity of nothing. For who has set the buckets waited.
    pub(crate) fn install(&mut self, worker: &mut Worker, lots: &[Lot]) {
        for lot in lots {
            self.entries.entry(lot.certificate).or_insert(Entry { bucket: lot.bucket, in_force: false }).in_force =
                true;
            worker.set_capacity(lot.bucket, lot.capacity().unwrap_or(0));
        }
        for (certificate, entry) in &mut self.entries {
            if entry.in_force && lots.iter().all(|lot| lot.certificate != *certificate) {
                entry.in_force = false;
                worker.set_capacity(entry.bucket, 0);
            }
        }
        self.lots = lots.to_vec();
    }

    /// Takes `seats` for a request of `wanted` as one who has waited: nobody else takes seats of this feature meanwhile.
    /// While more are out than there are, nothing is granted that there is not room for over all lots (L-10).
    pub(crate) fn take(
        &self,
        worker: &mut Worker,
        wanted: Version,
        seats: SeatCount,
        uses: &mut Vec<Use>,
    ) -> Result<(), Short> {
        if !self.homeless.is_empty() && self.spare(worker) < i64::from(seats.get()) {
            return Err(Short::NoSeat);
        }
        let buckets: Vec<BucketId> = serving(&self.lots, wanted).map(|lot| lot.bucket).collect();
        match worker.take_in_order(&buckets, seats.get(), Rank::Chosen, uses) {
            Err(Short::TooWide) => self.take_one_by_one(worker, &buckets, seats.get(), uses),
            decided => decided,
        }
    }

    /// Takes `seats` from more buckets than one step can: nobody sees the parts, because everybody waits here meanwhile.
    fn take_one_by_one(
        &self,
        worker: &mut Worker,
        buckets: &[BucketId],
        seats: u32,
        uses: &mut Vec<Use>,
    ) -> Result<(), Short> {
        uses.clear();
        self.set_waited(worker, true);
        let left = take_up_to(worker, buckets, seats, uses);
        if left > 0 {
            uses.drain(..).for_each(|used| _ = worker.give(used.bucket, used.seats));
        }
        self.set_waited(worker, !self.homeless.is_empty());
        if left > 0 { Err(Short::NoSeat) } else { Ok(()) }
    }

    /// Moves seats that no lot in force covers onto lots that are, as far as there is room for a lease that wants
    /// `wanted`; what is to be given back of the old ones is left in `back`. Whether all of `uses` are covered then.
    pub(crate) fn cover(&self, worker: &mut Worker, wanted: Version, uses: &mut Vec<Use>, back: &mut Vec<Use>) -> bool {
        let buckets: Vec<BucketId> = serving(&self.lots, wanted).map(|lot| lot.bucket).collect();
        let (mut covered, homeless): (Vec<_>, Vec<_>) =
            uses.iter().copied().partition(|used| self.is_covered(used.bucket));
        let mut all = true;
        for used in homeless {
            let left = take_up_to(worker, &buckets, used.seats, &mut covered);
            if left < used.seats {
                back.push(Use { seats: used.seats - left, ..used });
            }
            if left > 0 {
                covered.push(Use { seats: left, ..used });
                all = false;
            }
        }
        *uses = covered;
        all
    }

    /// Whether the lot `bucket` is of is in force.
    pub(crate) fn is_covered(&self, bucket: BucketId) -> bool {
        self.lots.iter().any(|lot| lot.bucket == bucket)
    }

    /// The lots that are not in force and of which seats are out.
    pub(crate) fn gone<'a>(&'a self, worker: &'a mut Worker) -> impl Iterator<Item = BucketId> + 'a {
        let gone = self.entries.values().filter(|entry| !entry.in_force).map(|entry| entry.bucket);
        gone.filter(|bucket| match bucket.is_counted() {
            // There are none: what is missing is out.
            true => worker.count(*bucket) < 0,
            false => worker.stock().out(*bucket) != 0,
        })
    }

    /// The first end of the rights `uses` are of.
    pub(crate) fn first_end(&self, uses: &[Use]) -> Option<UnixMillis> {
        let is_used = |lot: &&Lot| uses.iter().any(|used| used.bucket == lot.bucket);
        self.lots.iter().filter(is_used).filter_map(|lot| lot.ends).min()
    }

    /// The highest version any free seat is of.
    pub(crate) fn best_free(&self, worker: &mut Worker) -> Option<Version> {
        self.lots.iter().filter(|lot| worker.count(lot.bucket) > 0).map(|lot| lot.version).max()
    }

    /// Seats of all lots in force; `None` if some are not counted.
    pub(crate) fn capacity(&self) -> Option<u64> {
        self.lots.iter().map(|lot| lot.count().map(u64::from)).sum()
    }

    /// What there is of this feature, each lot at one instant.
    pub(crate) fn stand(&self, worker: &mut Worker) -> Counts {
        let mut counts = Counts::default();
        for entry in self.entries.values() {
            let (out, capacity) = counts_of(worker, entry.bucket);
            // Of what is not counted there is enough while it is in force, and nothing after.
            let capacity = if entry.in_force { capacity } else { 0 };
            counts.out += out.unsigned_abs();
            counts.overage += u64::try_from(out - capacity).unwrap_or(0);
        }
        counts
    }

    /// Seats that may still go out: what there is less what is out, of whatever lot (L-10).
    fn spare(&self, worker: &mut Worker) -> i64 {
        let capacity = self.lots.iter().map(|lot| lot.capacity().unwrap_or(i64::MAX)).fold(0, i64::saturating_add);
        capacity - i64::try_from(self.stand(worker).out).unwrap_or(i64::MAX)
    }
}

/// Seats of one feature.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Those that are out.
    pub(crate) out: u64,
    /// Of them, those that nothing in force covers.
    pub(crate) overage: u64,
}

/// How many seats of `bucket` are out, and up to how many may be.
pub(crate) fn counts_of(worker: &mut Worker, bucket: BucketId) -> (i64, i64) {
    if bucket.is_counted() {
        let capacity = worker.stock().capacity(bucket);
        ((capacity - worker.count(bucket)).max(0), capacity)
    } else {
        (worker.stock().out(bucket).max(0), i64::MAX)
    }
}

/// Takes up to `seats` from `buckets`, one after the other, and adds them to `uses`; how many it did not get. For who keeps
/// everybody else from taking.
fn take_up_to(worker: &mut Worker, buckets: &[BucketId], seats: u32, uses: &mut Vec<Use>) -> u32 {
    let mut left = seats;
    for bucket in buckets {
        let free = u32::try_from(worker.count(*bucket).clamp(0, i64::from(left))).unwrap_or(left);
        if free > 0 && worker.take(*bucket, free, Rank::Chosen).is_ok() {
            add_use(uses, Use { bucket: *bucket, seats: free });
            left -= free;
        }
    }
    left
}

fn add_use(uses: &mut Vec<Use>, more: Use) {
    match uses.iter_mut().find(|used| used.bucket == more.bucket) {
        Some(used) => used.seats += more.seats,
        None => uses.push(more),
    }
}

/// `uses` as the wire and the events name them.
pub(crate) fn lot_uses(leases: &Leases, uses: &[Use]) -> Vec<LotUse> {
    let name = |used: &Use| {
        let (lot, seats) = (leases.lot(used.bucket)?, SeatCount::new(used.seats).ok()?);
        Some(LotUse { certificate: lot.certificate, version: lot.version, seats })
    };
    uses.iter().filter_map(name).collect()
}
