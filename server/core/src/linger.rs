//! Seats that stay with their holder after a release: for some time (*linger*), or until a least time has gone since they
//! were granted (*minimum checkout*).
//!
//! A lease that is released ends, as any; its seats go to a lease of the server's own instead of the pool, which nobody can
//! renew and which ends by its deadline. The same holder, asking for the same again, takes them over from it. To everybody
//! else they are out. What expires does not linger: its seats are free in the millisecond of its deadline.

use leasehold_protocol::{
    message::Holder,
    time::Mono,
    vocab::{LeaseId, SeatCount},
};

use crate::{
    Ended,
    book::Pool,
    joint::{Handed, Joints, ShareKey},
    lease::{Leases, Opening, Record, owner_of},
    lock,
    pool::{Terms, Use, Worker},
};

/// How long seats stay after a release, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stay {
    /// From the release on.
    pub(crate) linger_ms: u64,
    /// From the grant on.
    pub(crate) least_ms: u64,
}

/// Who may take over what lingers, and as what: the same user on the same host and display, with the same share id, for as
/// many seats of the same feature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Waits {
    /// The number of the pool of what was asked for.
    pool: u32,
    holder: ShareKey,
    seats: SeatCount,
}

impl Stay {
    /// The longer of both.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { linger_ms: self.linger_ms.max(other.linger_ms), least_ms: self.least_ms.max(other.least_ms) }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Until when what was granted at `granted` and is released at `at` stays; `None` if not at all.
    pub(crate) fn until(self, granted: Mono, at: Mono) -> Option<Mono> {
        // Workers read their clocks a little apart: what says nothing stays nowhere, even if it is released before it was granted.
        let least = if self.least_ms > 0 { granted.plus_ms(self.least_ms) } else { at };
        let until = at.plus_ms(self.linger_ms).max(least);
        (until > at).then_some(until)
    }
}

impl Waits {
    pub(crate) fn new(asked_for: &Pool, holder: &Holder, seats: SeatCount) -> Self {
        Self { pool: asked_for.id, holder: ShareKey::whole(holder), seats }
    }

    pub(crate) fn of(record: &Record) -> Self {
        Self::new(record.asked_for(), &record.holder, record.seats)
    }
}

impl Leases {
    /// Keeps the seats of the lease that its holder has just ended, until `until`: a lease of the server's own has them then. If
    /// others share them they stay with those, and if there is no room for a lease they are given back.
    pub(crate) fn linger(
        &self,
        worker: &mut Worker,
        joints: &mut Joints,
        record: &Record,
        at: Mono,
        until: Mono,
    ) -> Option<Handed> {
        if record.joint.as_ref().is_some_and(|key| joints.has_others(key, record.id)) {
            return self.hand_on(joints, record);
        }
        let slab = self.stock.slab();
        let uses = slab.uses(record.id.slot());
        // Nobody's key: who had it before must not renew it.
        let owner = !owner_of(record.client, record.pool.realm);
        let terms = Terms { claim: record.claim.fold(), owner, session: 0 };
        let ttl_ms = u32::try_from(until.ms_since(at)).unwrap_or(u32::MAX);
        let kept = Record { id: LeaseId::NONE, lingers: Some(at), ttl_ms, number: 0, ..record.clone() };
        let Some(kept) = self.open(worker, Opening { terms, record: kept, uses: &[], deadline: until }) else {
            return self.hand_on(joints, record);
        };
        if let Some(place) = self.records.get(kept.id.slot()) {
            let _kept = lock(place);
            slab.set_uses(kept.id.slot(), &uses);
            slab.set_uses(record.id.slot(), &[]);
        }
        match &record.joint {
            Some(key) => joints.replace(key, record.id, kept.id),
            None => joints.wait(Waits::of(record), kept.id),
        }
        Some(Handed { heir: kept.id, uses })
    }

    /// Finds what `who` left of `pool` lingering, and opens a lease with it by `open`, which is given the seats and says which
    /// lease it became, if any. `serves` says whether seats will do. What ended is added to `ended`. `None`: there is nothing,
    /// and `open` was not asked.
    pub(crate) fn take_over<T>(
        &self,
        worker: &mut Worker,
        (pool, who): (&Pool, &Waits),
        now: Mono,
        serves: impl Fn(&[Use]) -> bool,
        open: impl FnOnce(&mut Worker, &[Use]) -> (Option<LeaseId>, T),
        ended: &mut Vec<Ended>,
    ) -> Option<T> {
        let waiting = lock(&pool.joints).waiting(who);
        for old in waiting {
            let is_alive = self.stock.slab().deadline_of(old).is_some_and(|deadline| deadline > now);
            // Whoever ends it has its seats.
            if !is_alive || !serves(&self.uses_of(old)) || worker.end(old).is_none() {
                continue;
            }
            let uses = self.stock.slab().uses(old.slot());
            let (id, opened) = open(worker, &uses);
            if let Some(heir) = id
                && let Some(place) = self.records.get(old.slot())
            {
                let number = {
                    let record = lock(place);
                    self.stock.slab().set_uses(old.slot(), &[]);
                    record.as_ref().map(|record| record.number)
                };
                self.pass_on(pool, number, heir);
            }
            ended.extend(self.close(worker, old, now, false));
            if let Some(heir) = id {
                self.settle_heir(worker, &Handed { heir, uses });
            }
            return Some(opened);
        }
        None
    }

    /// Ends a lease that lingers ahead of its time, because another one that shares its seats is there for them.
    pub(crate) fn end_if_it_lingers(&self, worker: &mut Worker, id: LeaseId, now: Mono) -> Option<Ended> {
        self.record(id)?.lingers?;
        worker.end(id)?;
        self.close(worker, id, now, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_stay_for_the_longer_of_both_and_only_if_one_is_said() {
        let stay = |linger_ms, least_ms| Stay { linger_ms, least_ms }.until(Mono(1000), Mono(1500));
        assert_eq!(stay(0, 0), None);
        assert_eq!(stay(0, 400), None);
        assert_eq!(stay(0, 900), Some(Mono(1900)));
        assert_eq!(stay(700, 900), Some(Mono(2200)));
        // Another worker's clock.
        assert_eq!(Stay::default().until(Mono(1000), Mono(999)), None);
    }
}
