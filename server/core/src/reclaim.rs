//! Idle seats for those who wait: who was asked to let go, until when, and whose lease is renewed no more.
//!
//! Nothing is asked of anybody while nobody waits, and a seat is taken only if its holder's own last word was idleness enough for its
//! rule. Taken means that the lease is not renewed any more: a holder who was told gives it back himself when his time is up, and
//! one who was not has what he was promised, until its deadline. So nobody is ever granted a seat that another believes he has.
//! The engine that looks is whichever finds it due; the others go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use leasehold_protocol::{
    message::{Activity, LetGo},
    time::Mono,
    vocab::{ClaimKey, LeaseId},
};

use crate::{
    lock, narrow,
    policy::Reclaim,
    pool::{BucketId, Tally},
};

/// How often is looked, in milliseconds: a seat goes to whoever waits within a second of when it may.
pub(crate) const LOOK_EVERY_MS: u64 = 250;
/// How often a holder is asked again, in milliseconds: what was sent may be lost, and the least notice is ten seconds.
pub(crate) const AGAIN_MS: u64 = 5_000;
/// The same while a walk over all leases is under way: a million are seen in twenty seconds.
const STEP_EVERY_MS: u64 = 20;
/// Leases that are looked at in one turn: some 50 µs, so that renewals do not wait.
pub(crate) const LOOKS_MAX: u32 = 1024;
/// Of those who wait, for so many seats are looked for at a time: the others come nearer.
pub(crate) const WAITERS_LOOKED_AT: usize = 8;

/// Who was asked to let go.
#[derive(Debug, Default)]
pub(crate) struct Pleas {
    inner: Mutex<Inner>,
    /// How many are asked: while that is 0 no renewal looks any further.
    any: Tally,
    /// When is looked next.
    next: Tally,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) asked: BTreeMap<LeaseId, Plea>,
    /// The walk over all leases: where it is, and what it found.
    pub(crate) cursor: u32,
    pub(crate) found: Vec<Found>,
}

/// One holder who was asked.
#[derive(Clone, Debug)]
pub(crate) struct Plea {
    /// Whose seats: the pool's number.
    pub(crate) pool: u32,
    pub(crate) seats: u32,
    pub(crate) claim: ClaimKey,
    pub(crate) rule: Arc<Reclaim>,
    pub(crate) until: Mono,
    /// When he is asked again: what was sent may be lost.
    pub(crate) again: Mono,
    pub(crate) waiting: u32,
    /// His time was up: the lease is not renewed any more.
    pub(crate) is_taken: bool,
}

/// A lease that might be asked for.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) lease: LeaseId,
    pub(crate) idle_s: u32,
    pub(crate) pool: u32,
    pub(crate) seats: u32,
    pub(crate) claim: ClaimKey,
    pub(crate) rule: Arc<Reclaim>,
}

/// What those who wait for seats of one pool need.
#[derive(Debug, Default)]
pub(crate) struct Need {
    pub(crate) seats: u32,
    /// Seats of these would serve them.
    pub(crate) buckets: BTreeSet<BucketId>,
    pub(crate) waiting: u32,
}

impl Plea {
    /// As its holder is told at `now`.
    pub(crate) fn told(&self, lease: LeaseId, now: Mono) -> LetGo {
        let (claim, rule) = (self.claim, self.rule.id.clone());
        LetGo { lease, claim, in_ms: Some(narrow(self.until.ms_since(now))), rule, waiting: self.waiting }
    }
}

impl Pleas {
    /// Whether anybody was asked of late: else nothing here concerns a renewal.
    pub(crate) fn has_any(&self) -> bool {
        self.any.get() > 0
    }

    /// When is looked next.
    pub(crate) fn next(&self) -> Mono {
        Mono(self.next.get())
    }

    /// All of it, for who looks at `now`; `None` if another does, or it is not time.
    pub(crate) fn look(&self, now: Mono) -> Option<MutexGuard<'_, Inner>> {
        if self.next() > now {
            return None;
        }
        let inner = self.inner.try_lock().ok()?;
        (self.next() <= now).then(|| {
            self.next.set(now.plus_ms(LOOK_EVERY_MS).0);
            inner
        })
    }

    /// Ends the look at `now`.
    pub(crate) fn looked(&self, inner: MutexGuard<'_, Inner>, now: Mono) {
        self.any.set(inner.asked.len() as u64);
        if inner.cursor > 0 {
            self.next.set(now.plus_ms(STEP_EVERY_MS).0);
        }
    }

    /// What the holder of `lease` is reminded of, if he was asked and `activity` is idleness enough still.
    pub(crate) fn reminder(&self, lease: LeaseId, activity: Activity, now: Mono) -> Option<LetGo> {
        let inner = lock(&self.inner);
        let plea = inner.asked.get(&lease).filter(|plea| plea.rule.takes(activity) && !plea.is_taken)?;
        Some(plea.told(lease, now))
    }

    /// By which rule `lease` is not renewed any more, if it is not.
    pub(crate) fn taken_by(&self, lease: LeaseId) -> Option<Arc<Reclaim>> {
        if !self.has_any() {
            return None;
        }
        let inner = lock(&self.inner);
        inner.asked.get(&lease).filter(|plea| plea.is_taken).map(|plea| plea.rule.clone())
    }
}

impl Inner {
    /// Of those that were found, the most idle first, as many as `needs` ask for beyond what is asked for already.
    pub(crate) fn choose(&mut self, needs: &BTreeMap<u32, Need>) -> Vec<Found> {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by_key(|found| std::cmp::Reverse(found.idle_s));
        let mut left: BTreeMap<u32, u32> = needs.iter().map(|(pool, need)| (*pool, need.seats)).collect();
        for plea in self.asked.values() {
            left.entry(plea.pool).and_modify(|left| *left = left.saturating_sub(plea.seats));
        }
        found.retain(|found| {
            let left = left.entry(found.pool).or_default();
            let is_asked = *left > 0;
            *left = left.saturating_sub(found.seats);
            is_asked
        });
        found
    }

    /// Whether seats of `pool` are asked for in the measure of `need`.
    pub(crate) fn has_asked(&self, pool: u32, need: &Need) -> bool {
        let asked: u32 = self.asked.values().filter(|plea| plea.pool == pool).map(|plea| plea.seats).sum();
        asked >= need.seats
    }
}
