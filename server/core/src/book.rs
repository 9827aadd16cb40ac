//! The seats of one feature: which lots they belong to, which of those are in force, and the slow path to them.
//!
//! Seats themselves are counted in the [pool](crate::pool), where checkouts, ends and counts of one feature meet without a
//! lock. A book is what has to be decided by one at a time: what a new plan gives and takes, who of those whose lot is gone
//! moves where (L-10), and who is next while somebody waits (E-4). As long as that is so, the buckets of the feature say
//! that they are waited for, and checkouts come here; otherwise nobody does.

mod counted;
mod pools;
mod retaken;
mod withheld;

use std::collections::{BTreeMap, BTreeSet};

use leasehold_protocol::{
    message::LotUse,
    time::UnixMillis,
    vocab::{HostId, LeaseId, SeatCount, Version},
};

pub(crate) use self::pools::{NextDueHint, Pool, Pools};
use crate::{
    lease::Leases,
    plan::{Lot, LotKey, LotKind, groups, serving},
    pool::{BucketId, Rank, Short, Use, Worker},
    queue::Queue,
    quota::Quotas,
};

/// What is decided about one feature by one at a time.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// By lot: every one that ever was in force.
    pub(crate) entries: BTreeMap<LotKey, Entry>,
    /// The lots in force, in the plan's order.
    pub(crate) lots: Vec<Lot>,
    /// Leases with seats of lots that are not in force: the overage, in the order they were granted.
    pub(crate) homeless: BTreeMap<u64, (LeaseId, Version)>,
    /// None of them wants a version below.
    pub(crate) homeless_least: Version,
    /// Who has what, where rules count it.
    pub(crate) quotas: Quotas,
    /// Who waits.
    pub(crate) queue: Queue,
}

/// The seats of one certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) bucket: BucketId,
    /// Whether there are any: otherwise all that is out of it is overage.
    pub(crate) in_force: bool,
    /// Units of it that are used up for ever (L-17).
    pub(crate) used_up: u64,
    /// Free seats that are withheld, because grants of them may be lost (U-2).
    pub(crate) withheld: u32,
}

impl Book {
    /// Whether `lots` are the lots in force, and in that order.
    pub(crate) fn is_of(&self, lots: &[Lot]) -> bool {
        self.lots.len() == lots.len()
            && self.lots.iter().zip(lots).all(|(ours, lot)| ours.key() == lot.key() && ours.group == lot.group)
    }

    /// Makes checkouts come here from now on, whatever they find, or no more.
    pub(crate) fn set_waited(&self, worker: &mut Worker, waited: bool) {
        self.entries.values().for_each(|entry| worker.set_waited(entry.bucket, waited));
    }

    /// The same, as it has to be once nothing else is going on: while somebody stands above what there is, or waits.
    pub(crate) fn settle_waited(&self, worker: &mut Worker) {
        self.set_waited(worker, !self.homeless.is_empty() || !self.queue.is_empty());
    }

    /// Whether any seat is free, of any lot but those of `barred`.
    pub(crate) fn has_free(&self, worker: &mut Worker, barred: &[BucketId]) -> bool {
        self.lots.iter().any(|lot| !barred.contains(&lot.bucket) && worker.count(lot.bucket) > 0)
    }

    /// Puts `lots` in force instead of those before. What is out of a lot that is not among them stays out, over its
    /// capacity of nothing. For who has set the buckets waited.
    pub(crate) fn install(&mut self, worker: &mut Worker, lots: &[Lot]) {
        for lot in lots {
            let entry = self.entries.entry(lot.key()).or_insert(lot.entry());
            entry.in_force = true;
            let used_up = i64::try_from(entry.used_up).unwrap_or(i64::MAX);
            let there = lot.capacity().unwrap_or(0).saturating_sub(used_up);
            worker.set_capacity(lot.bucket, there.saturating_sub(entry.withheld.into()));
        }
        let in_force: BTreeSet<LotKey> = lots.iter().map(Lot::key).collect();
        for (key, entry) in &mut self.entries {
            if entry.in_force && !in_force.contains(key) {
                entry.in_force = false;
                worker.set_capacity(entry.bucket, 0);
            }
        }
        self.lots = lots.to_vec();
    }

    /// Takes what is wanted as one who has waited: nobody else takes seats of this feature meanwhile. While more are out
    /// than there are, nothing is granted that there is not room for over all lots (L-10).
    ///
    /// Of pools that are separate one after the other is tried. Meanwhile nobody takes, so that what is free only grows: a
    /// pool that had too little when it was tried had too little when the first one was, and if none serves, there was that
    /// instant at which none could.
    pub(crate) fn take(&self, worker: &mut Worker, want: &Want<'_>, uses: &mut Vec<Use>) -> Result<(), Short> {
        if !self.homeless.is_empty() && self.spare(worker) < i64::from(want.seats.get()) {
            return Err(Short::NoSeat);
        }
        let choices = choices(&self.lots, want);
        let seats = want.seats.get();
        if let [only] = &choices[..] {
            match worker.take_in_order(only, seats, Rank::Chosen, uses) {
                Err(Short::TooWide) => {}
                decided => return decided,
            }
        }
        self.set_waited(worker, true);
        let taken = choices.iter().any(|buckets| take_of(worker, buckets, seats, uses).is_ok());
        self.settle_waited(worker);
        if taken { Ok(()) } else { Err(Short::NoSeat) }
    }

    /// Moves seats that no lot in force covers onto lots that are, as far as there is room for a lease of `machine` that
    /// wants `wanted`; what is to be given back of the old ones is left in `back`. Whether all of `uses` are covered then.
    ///
    /// Here a lease may come to span pools that a request must not (L-7): it has its seats, and nobody is cut off.
    pub(crate) fn cover(
        &self,
        worker: &mut Worker,
        wanted: Version,
        machine: &[HostId],
        uses: &mut Vec<Use>,
        back: &mut Vec<Use>,
    ) -> bool {
        let lots = serving(&self.lots, wanted).filter(|lot| lot.lets_in(machine));
        let buckets: Vec<BucketId> = lots.map(|lot| lot.bucket).collect();
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

    /// Takes units that a lease which is about to end has used up out of what there is, so that they do not come back with
    /// it: for a moment they are missing twice, never there twice.
    pub(crate) fn use_up(&mut self, worker: &mut Worker, used: Use) {
        let Some(entry) = self.entries.values_mut().find(|entry| entry.bucket == used.bucket) else { return };
        entry.used_up += u64::from(used.seats);
        let there = worker.stock().capacity(used.bucket) - i64::from(used.seats);
        if entry.in_force {
            worker.set_capacity(used.bucket, there);
        }
    }

    /// Units of all lots in force that are used up for ever.
    pub(crate) fn used_up(&self) -> u64 {
        self.entries.values().filter(|entry| entry.in_force).map(|entry| entry.used_up).sum()
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

    /// Regular seats of all lots in force; `None` if some are not counted.
    pub(crate) fn capacity(&self) -> Option<u64> {
        self.of_kind(LotKind::Regular).map(|lot| lot.count().map(u64::from)).sum()
    }

    /// Seats of overdraft: how many there are, and how many of them are out (L-13).
    pub(crate) fn overdraft(&self, worker: &mut Worker) -> (u64, u64) {
        let there = self.of_kind(LotKind::Overdraft).map(|lot| lot.count().map_or(0, u64::from)).sum();
        let out = self.of_kind(LotKind::Overdraft).map(|lot| counts_of(worker, lot.bucket).0.unsigned_abs()).sum();
        (there, out)
    }

    fn of_kind(&self, kind: LotKind) -> impl Iterator<Item = &Lot> {
        self.lots.iter().filter(move |lot| lot.kind == kind)
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

/// Takes `seats` from `buckets`, for who keeps everybody else from taking: in one step, or from more buckets than one step
/// can, of which nobody sees the parts then.
fn take_of(worker: &mut Worker, buckets: &[BucketId], seats: u32, uses: &mut Vec<Use>) -> Result<(), Short> {
    match worker.take_in_order(buckets, seats, Rank::Chosen, uses) {
        Err(Short::TooWide) => {}
        decided => return decided,
    }
    uses.clear();
    if take_up_to(worker, buckets, seats, uses) == 0 {
        return Ok(());
    }
    uses.drain(..).for_each(|used| _ = worker.give(used.bucket, used.seats));
    Err(Short::NoSeat)
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

/// What is wanted of lots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want<'a> {
    /// The lowest version that will do.
    pub(crate) version: Version,
    /// How many.
    pub(crate) seats: SeatCount,
    /// What the machine that asks shows of itself (T-1). Asked for by lots that are locked alone.
    pub(crate) machine: &'a [HostId],
    /// Buckets it may not take from, because of those who wait for them.
    pub(crate) barred: &'a [BucketId],
}

/// The buckets of `lots` that may serve `want`, in the order they serve in: a list for each pool that a request may take
/// its seats from (L-7).
pub(crate) fn choices(lots: &[Lot], want: &Want<'_>) -> Vec<Vec<BucketId>> {
    let of = |group| {
        let lots = serving(lots, want.version).filter(move |lot| lot.group == group && lot.lets_in(want.machine));
        lots.map(|lot| lot.bucket).filter(|bucket| !want.barred.contains(bucket)).collect()
    };
    groups(lots).into_iter().map(of).collect()
}

/// `uses` as the wire and the events name them: an upgrade's seats are those of what it raises (L-8).
pub(crate) fn lot_uses(leases: &Leases, uses: &[Use]) -> Vec<LotUse> {
    let mut named: Vec<LotUse> = Vec::with_capacity(uses.len());
    for used in uses {
        let (Some(lot), Ok(seats)) = (leases.lot(used.bucket), SeatCount::new(used.seats)) else { continue };
        match named.iter_mut().find(|other| other.certificate == lot.certificate) {
            Some(other) => other.seats = SeatCount::new(other.seats.get() + seats.get()).unwrap_or(other.seats),
            None => named.push(LotUse { certificate: lot.certificate, version: lot.version, seats }),
        }
    }
    named
}
