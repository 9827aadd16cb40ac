//! A request that waits its turn.

use std::sync::Arc;

use arc_swap::Guard;
use leasehold_protocol::{message::Queued, time::Now, vocab::ClaimKey};

use super::{Asking, Step, seats::Taken};
use crate::{
    Shared,
    book::{Book, Pool, choices},
    engine::refusal::Refusal,
    lock,
    plan::Lot,
    pool::{BucketId, Worker},
    queue::{Asks, LOOKS_MAX, PASSED_MAX, PLACE_TTL_MS, Passed, Place, Turn},
    quota::Hurdle,
    realm::Realm,
};

/// One who waited and whose turn it is: his seats are taken, and his lease is to be opened.
pub(in crate::engine) struct Called {
    pub(in crate::engine) asks: Arc<Asks>,
    pub(in crate::engine) turn: Turn,
    pub(in crate::engine) taken: Taken,
}

impl Asking<'_> {
    /// Gives the request a place in the queue, or keeps the one it has. The claim's lock is held.
    pub(super) fn wait(&self, refusal: &Refusal, step: &mut Step<'_>) -> Result<Queued, Refusal> {
        let (shared, request, owner) = (self.shared, self.request, self.sender.client.owner);
        let plan = self.realm.planner.glance();
        let feature = plan.features.get(&request.feature).ok_or_else(|| self.unknown(&plan))?;
        let pool = feature.seats();
        let realm = self.realm.identity.id;
        if shared.leases.queues.pool_of(realm, request.claim).is_some_and(|other| other.id != pool.id) {
            // It waited for something else before.
            shared.leave_queue(self.realm, request.claim, owner, step.worker);
        }
        let policy = shared.policy.load();
        let priority = policy.priority(&request.feature, &request.holder, self.sender.path.from.ip());
        let mut book = lock(&pool.book);
        shared.forget_gone(pool, &mut book, self.now, step.worker);
        let known = book.queue.turn_of(request.claim).and_then(|turn| book.queue.get(turn));
        match known {
            Some(waiter) if waiter.asks.sender.client.owner != owner => return Err(Refusal::not_yours()),
            None if book.queue.len() >= policy.queue().waiters_max as usize => {
                return Err(Refusal::queue_full(&request.feature, book.queue.len()));
            }
            Some(_) | None => {}
        }
        let is_new = known.is_none() || self.waits == Some(true);
        let asks = Asks { sender: *self.sender, request: request.clone() };
        let turn = book.queue.join(asks, priority, self.now.mono);
        shared.leases.queues.note(realm, request.claim, pool);
        book.settle_waited(step.worker);
        if is_new {
            // A seat that came back before the buckets said that somebody waits has woken nobody.
            shared.leases.queues.stir(pool);
        }
        let Place { place, length, expected_ms, ask_after_ms } = book.queue.place(turn);
        Ok(Queued {
            operation: request.operation,
            claim: request.claim,
            code: refusal.code,
            place,
            length,
            expected_ms,
            ttl_ms: PLACE_TTL_MS,
            ask_after_ms,
        })
    }

    /// Takes the seats of one who waits, if they are there for him; else the buckets he waits for, if it is for want of seats in
    /// them.
    fn take_in_turn(&self, worker: &mut Worker, book: &mut Book, passed: &Passed) -> Result<Taken, Vec<BucketId>> {
        let plan = self.realm.planner.glance();
        let Some(feature) = plan.features.get(&self.request.feature) else { return Err(Vec::new()) };
        let machine = self.machine(feature);
        // Whoever may not have any by now is told so when he asks again.
        let may =
            self.check_policy().is_ok() && self.check_right(feature, &machine).is_ok() && self.check_room().is_ok();
        let Some(want) = self.want(feature, &machine).ok().filter(|_| may && book.is_of(&feature.lots)) else {
            return Err(Vec::new());
        };
        let (pool, mut uses) = (feature.seats().clone(), Vec::with_capacity(1));
        let ruling = pool.ruling();
        match self.take_in(worker, book, (feature, &want, false), passed, &mut uses) {
            Ok(number) => Ok(Taken { plan: Guard::from_inner(self.realm.planner.plan()), pool, uses, number, ruling }),
            Err(Hurdle::Limit(_)) => Err(Vec::new()),
            Err(_) => Err(choices(&book.lots, &want).concat()),
        }
    }
}

impl Asking<'_> {
    /// Whether the claim is in the queue for another client than who asks.
    pub(super) fn waits_for_another(&self) -> bool {
        self.shared.waits_for_another(self.realm, self.request.claim, self.sender.client.owner)
    }

    /// Whether seats of what is asked for come back at all: units that are used up do not (L-17).
    pub(super) fn comes_back(&self) -> bool {
        let plan = self.realm.planner.glance();
        let feature = plan.features.get(&self.request.feature);
        let is_used_up = |lot: &Lot| lot.meter.is_some_and(|meter| !meter.reusable);
        feature.is_none_or(|feature| !feature.lots.iter().any(is_used_up))
    }

    /// Keeps the place of a request that was refused for a reason that passes.
    pub(super) fn keep_place(&self) {
        let claim = self.request.claim;
        let Some(pool) = self.shared.leases.queues.pool_of(self.realm.identity.id, claim) else { return };
        let mut book = lock(&pool.book);
        if let Some(turn) = book.queue.turn_of(claim) {
            book.queue.keep(turn, self.now.mono);
        }
    }
}

impl Shared {
    /// Whether `claim` is in a queue for another client than `owner`. The claim's lock is held.
    pub(in crate::engine) fn waits_for_another(&self, realm: &Realm, claim: ClaimKey, owner: u64) -> bool {
        let Some(pool) = self.leases.queues.pool_of(realm.identity.id, claim) else { return false };
        let book = lock(&pool.book);
        let waiter = book.queue.turn_of(claim).and_then(|turn| book.queue.get(turn));
        waiter.is_some_and(|waiter| waiter.asks.sender.client.owner != owner)
    }

    /// Takes seats for all who wait before `until`, in their order, as far as there are any; they are to be opened then. What may
    /// not be taken because of those who got none.
    pub(in crate::engine) fn serve_ahead(
        &self,
        (realm, pool, now): (&Realm, &Arc<Pool>, Now),
        (book, until): (&mut Book, Option<Turn>),
        step: &mut Step<'_>,
    ) -> Passed {
        self.forget_gone(pool, book, now, step.worker);
        let most = self.policy.load().queue().passing_max;
        let (mut passed, mut last, mut looks, mut others) = (Passed::default(), None, 0, 0);
        while self.may_grant(now.mono)
            && let Some((turn, asks)) = book.queue.next(last)
            && until.is_none_or(|until| turn < until)
            // Where seats are reserved, what is barred for one may be kept for another.
            && book.has_free(step.worker, if book.quotas.is_on() { &[] } else { &passed.barred })
        {
            if looks == LOOKS_MAX || others == PASSED_MAX {
                passed.has_more = true;
                break;
            }
            last = Some(turn);
            let Asks { sender, request } = &*asks;
            let asking = Asking { shared: self, realm, now, sender, request, waits: None, offered_ms: None };
            match asking.take_in_turn(step.worker, book, &passed) {
                Ok(taken) => {
                    book.queue.call(turn);
                    step.called.push(Called { asks, turn, taken });
                }
                Err(buckets) if buckets.is_empty() => others += 1,
                Err(buckets) => {
                    looks += 1;
                    book.queue.pass(&mut passed, turn, buckets, most);
                }
            }
        }
        passed
    }

    /// Takes those out of the queue who have not asked again in time.
    fn forget_gone(&self, pool: &Arc<Pool>, book: &mut Book, now: Now, worker: &mut Worker) {
        let gone = book.queue.expire(now.mono);
        gone.iter().for_each(|asks| self.leases.queues.forget(pool.realm, asks.request.claim));
        if !gone.is_empty() {
            book.settle_waited(worker);
            // Those behind may be next.
            self.leases.queues.stir(pool);
        }
    }

    /// Takes `claim` out of the queue it may be in, if it is the client's own. The claim's lock is held.
    pub(in crate::engine) fn leave_queue(&self, realm: &Realm, claim: ClaimKey, owner: u64, worker: &mut Worker) {
        let Some(pool) = self.leases.queues.pool_of(realm.identity.id, claim) else { return };
        let mut book = lock(&pool.book);
        let Some(turn) = book.queue.turn_of(claim) else { return };
        if book.queue.get(turn).is_some_and(|waiter| waiter.asks.sender.client.owner == owner) {
            book.queue.remove(turn);
            self.leases.queues.forget(realm.identity.id, claim);
            book.settle_waited(worker);
            // Those behind may be next.
            self.leases.queues.stir(&pool);
        }
    }
}
