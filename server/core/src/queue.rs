//! Who waits for seats of one feature, and in which order.
//!
//! A waiter has a claim key and nothing else: no seat, and no lease but the one on its place, which it keeps by asking again.
//! The queue is part of the feature's book: while somebody is in it the buckets say so, every checkout comes to the book,
//! and whoever gives a seat back is told to see who is next (E-4). Served is in two steps: under the book's lock the seats
//! are taken for whoever is next, who is *called* then; without it, and with his claim in hand, his lease is opened. Whatever he does in
//! between finds him called, and nobody is called twice.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use leasehold_protocol::{
    message::Request,
    time::Mono,
    vocab::{ClaimKey, RealmId},
};

use crate::{
    book::Pool,
    engine::Sender,
    lock, narrow,
    pool::{BucketId, Tally, Use},
};

/// Those who wait for seats of one pool.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiters: BTreeMap<Turn, Waiter>,
    turns: BTreeMap<ClaimKey, Turn>,
    /// When places end.
    ends: BTreeSet<(Mono, Turn)>,
    arrivals: u64,
    pace: Pace,
}

/// Whose turn is when: the higher priority first, then whoever came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    priority: Reverse<u8>,
    number: u64,
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) asks: Arc<Asks>,
    ends: Mono,
    /// By how many he was passed that took seats he could have had.
    passed: u32,
    is_called: bool,
}

/// What a waiter asked for, and where from.
#[derive(Debug)]
pub(crate) struct Asks {
    pub(crate) sender: Sender,
    pub(crate) request: Request,
}

/// Where a waiter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// 1 is next.
    pub(crate) place: u32,
    pub(crate) length: u32,
    pub(crate) expected_ms: Option<u32>,
    pub(crate) ask_after_ms: u32,
}

/// Whoever was passed over because too few seats were free, and what may not be taken because of him.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    waiters: Vec<(Turn, Vec<BucketId>)>,
    /// Of those who were passed as often as may be.
    pub(crate) barred: Vec<BucketId>,
    /// Whether there are more who wait than were looked at.
    pub(crate) has_more: bool,
}

/// How fast seats come to those who wait.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Mono>,
    /// From one to the next, smoothed.
    every_ms: Option<u64>,
}

/// All queues of a server: which of them are to be looked at, and who waits in which.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// Pools of which a seat came back while somebody waited.
    stirred: Mutex<Vec<Arc<Pool>>>,
    /// How many those are.
    stirring: Tally,
    by_claim: Mutex<BTreeMap<(RealmId, ClaimKey), Arc<Pool>>>,
    /// How many wait.
    waiting: Tally,
}

/// How long a place is kept without a word, in milliseconds: three askings of the slower pace.
pub(crate) const PLACE_TTL_MS: u32 = 15_000;
/// At how many who wait for seats is looked, from the first on, for one who can be served while others cannot: so that a long queue
/// of large requests before a few free seats holds nobody up. Those behind come nearer, or find a seat when they ask again; nobody
/// who does not wait passes them.
pub(crate) const LOOKS_MAX: usize = 256;
/// The same of those who cannot for another reason, as a limit of their own.
pub(crate) const PASSED_MAX: usize = 2048;
/// How often whoever is near the front asks again, and how often the others do. They are told when it is their turn; asking is
/// for what was lost.
const ASK_NEAR_MS: u32 = 1_000;
const ASK_FAR_MS: u32 = 5_000;
/// Up to which place is near.
const NEAR: u32 = 8;

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// How many have asked in time, whether or not anybody has looked.
    pub(crate) fn waiting(&self, now: Mono) -> usize {
        self.ends.iter().rev().take_while(|(ends, _)| *ends > now).count()
    }

    /// Puts `asks` into the queue, or notes that it asked again: then it keeps its number, and its place unless its priority is
    /// another by now.
    pub(crate) fn join(&mut self, asks: Asks, priority: u8, now: Mono) -> Turn {
        let claim = asks.request.claim;
        let known = self.turns.get(&claim).copied();
        let before = known.and_then(|turn| self.remove(turn));
        let number = known.map_or_else(|| self.next_number(), |turn| turn.number);
        let is_called = before.as_ref().is_some_and(|waiter| waiter.is_called);
        // Whoever is called is looked for where he was.
        let priority = known.filter(|_| is_called).map_or(Reverse(priority), |turn| turn.priority);
        let turn = Turn { priority, number };
        let ends = now.plus_ms(PLACE_TTL_MS.into());
        let passed = before.map_or(0, |waiter| waiter.passed);
        if known.is_none() && self.waiters.is_empty() {
            self.pace.last = Some(now);
        }
        self.waiters.insert(turn, Waiter { asks: Arc::new(asks), ends, passed, is_called });
        self.turns.insert(claim, turn);
        self.ends.insert((ends, turn));
        turn
    }

    fn next_number(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Takes `turn` out.
    pub(crate) fn remove(&mut self, turn: Turn) -> Option<Waiter> {
        let waiter = self.waiters.remove(&turn)?;
        self.turns.remove(&waiter.asks.request.claim);
        self.ends.remove(&(waiter.ends, turn));
        Some(waiter)
    }

    /// The turn of whoever waits by `claim`.
    pub(crate) fn turn_of(&self, claim: ClaimKey) -> Option<Turn> {
        self.turns.get(&claim).copied()
    }

    pub(crate) fn get(&self, turn: Turn) -> Option<&Waiter> {
        self.waiters.get(&turn)
    }

    /// Keeps the place of `turn`, whatever he was told.
    pub(crate) fn keep(&mut self, turn: Turn, now: Mono) {
        if let Some(waiter) = self.waiters.get_mut(&turn) {
            self.ends.remove(&(waiter.ends, turn));
            waiter.ends = now.plus_ms(PLACE_TTL_MS.into());
            self.ends.insert((waiter.ends, turn));
        }
    }

    /// The first who is not called, behind `last`.
    pub(crate) fn next(&self, last: Option<Turn>) -> Option<(Turn, Arc<Asks>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = (last.map_or(Unbounded, Excluded), Unbounded);
        let mut waiting = self.waiters.range(behind).filter(|(_, waiter)| !waiter.is_called);
        waiting.next().map(|(turn, waiter)| (*turn, waiter.asks.clone()))
    }

    /// Whether seats are taken for `turn` already.
    pub(crate) fn is_called(&self, turn: Turn) -> bool {
        self.get(turn).is_some_and(|waiter| waiter.is_called)
    }

    /// Calls `turn`: his seats are taken.
    pub(crate) fn call(&mut self, turn: Turn) {
        if let Some(waiter) = self.waiters.get_mut(&turn) {
            waiter.is_called = true;
        }
    }

    /// Takes out whoever has not asked again in time; those that are called are somebody's business already.
    pub(crate) fn expire(&mut self, now: Mono) -> Vec<Arc<Asks>> {
        let due: Vec<Turn> = self.ends.iter().take_while(|(ends, _)| *ends <= now).map(|(_, turn)| *turn).collect();
        let gone: Vec<Turn> = due.into_iter().filter(|turn| !self.is_called(*turn)).collect();
        gone.into_iter().filter_map(|turn| self.remove(turn)).map(|waiter| waiter.asks).collect()
    }

    /// Where `turn` stands.
    pub(crate) fn place(&self, turn: Turn) -> Place {
        let place = narrow(self.waiters.range(..turn).count() as u64 + 1);
        let expected_ms = self.pace.every_ms.map(|every| narrow(every.saturating_mul(u64::from(place))));
        let ask_after_ms = if place <= NEAR { ASK_NEAR_MS } else { ASK_FAR_MS };
        Place { place, length: narrow(self.waiters.len() as u64), expected_ms, ask_after_ms }
    }

    /// Notes that somebody who waited was served.
    pub(crate) fn note_served(&mut self, now: Mono) {
        if let Some(last) = self.pace.last.replace(now) {
            let took = now.ms_since(last);
            self.pace.every_ms = Some(self.pace.every_ms.map_or(took, |every| (every * 7 + took) / 8));
        }
    }

    /// Notes that whoever took `uses` passed those of `passed` who could have had some of them.
    pub(crate) fn note_passing(&mut self, passed: &Passed, uses: &[Use]) {
        for (turn, buckets) in &passed.waiters {
            if uses.iter().any(|used| buckets.contains(&used.bucket))
                && let Some(waiter) = self.waiters.get_mut(turn)
            {
                waiter.passed = waiter.passed.saturating_add(1);
            }
        }
    }

    /// Notes that `turn` waits for more seats of `buckets` than are free, and may be passed by `most`.
    pub(crate) fn pass(&self, passed: &mut Passed, turn: Turn, buckets: Vec<BucketId>, most: u32) {
        if self.get(turn).is_some_and(|waiter| waiter.passed >= most) {
            passed.barred.extend(&buckets);
        }
        passed.waiters.push((turn, buckets));
    }
}

impl Queues {
    /// Notes that somebody who waits for seats of `pool` may be served.
    pub(crate) fn stir(&self, pool: &Arc<Pool>) {
        let mut stirred = lock(&self.stirred);
        if stirred.iter().all(|other| other.id != pool.id) {
            stirred.push(pool.clone());
            self.stirring.set(stirred.len() as u64);
        }
    }

    /// Whether there is anything to see to; may be late by a moment for what another worker has just noted, and that one sees
    /// to it itself.
    pub(crate) fn is_stirred(&self) -> bool {
        self.stirring.get() > 0
    }

    /// The next pool to look at.
    pub(crate) fn take(&self) -> Option<Arc<Pool>> {
        let mut stirred = lock(&self.stirred);
        let pool = stirred.pop();
        self.stirring.set(stirred.len() as u64);
        pool
    }

    /// Whether anybody waits.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Every pool whose seats somebody waits for.
    pub(crate) fn pools(&self) -> Vec<Arc<Pool>> {
        if !self.has_waiting() {
            return Vec::new();
        }
        let pools: BTreeMap<u32, Arc<Pool>> =
            lock(&self.by_claim).values().map(|pool| (pool.id, pool.clone())).collect();
        pools.into_values().collect()
    }

    /// The pool in whose queue `claim` was last, for who holds the claim's lock. Where nobody waits no lock is taken: whoever
    /// began to wait by this claim held that same lock.
    pub(crate) fn pool_of(&self, realm: RealmId, claim: ClaimKey) -> Option<Arc<Pool>> {
        if self.waiting.get() == 0 {
            return None;
        }
        lock(&self.by_claim).get(&(realm, claim)).cloned()
    }

    /// Notes that `claim` waits in the queue of `pool`.
    pub(crate) fn note(&self, realm: RealmId, claim: ClaimKey, pool: &Arc<Pool>) {
        let mut by_claim = lock(&self.by_claim);
        by_claim.insert((realm, claim), pool.clone());
        self.waiting.set(by_claim.len() as u64);
    }

    /// Notes that it does no more.
    pub(crate) fn forget(&self, realm: RealmId, claim: ClaimKey) {
        let mut by_claim = lock(&self.by_claim);
        by_claim.remove(&(realm, claim));
        self.waiting.set(by_claim.len() as u64);
    }
}
