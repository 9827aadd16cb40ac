//! Those who wait for seats, when it is their turn: their leases are opened, and they are told unasked.

use std::sync::Arc;

use leasehold_protocol::time::Now;

use super::{
    Engine,
    request::{Asking, Called, Step},
};
use crate::{
    Shared,
    book::Pool,
    claims::{Claim, ClaimGuard},
    counters::Counter,
    lock,
    queue::{Asks, PLACE_TTL_MS, Turn},
};

/// How long a lease lives that nobody has asked for just now, in milliseconds: as long as a place in the queue. Whoever is still
/// there renews it, and has all of its time then.
const OFFERED_MS: u32 = PLACE_TTL_MS;

/// Queues that are looked at in one step, so that renewals do not wait for a day on which many seats come at once.
const SERVES_MAX: usize = 4;

impl Engine {
    /// Serves those who wait, wherever a seat came back.
    pub(super) fn serve_queues(&mut self, now: Now) {
        // What is left is due at once again.
        for _ in 0..SERVES_MAX {
            let queues = &self.shared.leases.queues;
            let Some(pool) = queues.is_stirred().then(|| queues.take()).flatten() else { return };
            self.serve(now, &pool);
        }
    }

    fn serve(&mut self, now: Now, pool: &Arc<Pool>) {
        let shared = self.shared.clone();
        let Some(realm) = shared.realms.iter().find(|realm| realm.identity.id == pool.realm) else { return };
        let mut step = Step::new(&mut self.worker, &mut self.ended);
        let mut book = lock(&pool.book);
        shared.serve_ahead((realm, pool, now), (&mut book, None), &mut step);
        drop(book);
        let called = step.called;
        self.open_called(now, called);
    }

    /// Opens the leases of those whose turn it is, and tells them.
    pub(super) fn open_called(&mut self, now: Now, called: Vec<Called>) {
        called.into_iter().for_each(|called| self.open_one(now, called));
    }

    fn open_one(&mut self, now: Now, Called { asks, turn, taken }: Called) {
        let (shared, pool) = (self.shared.clone(), taken.pool.clone());
        let (asks, is_same) = latest(&pool, turn, asks);
        let Asks { sender, request } = &*asks;
        let realm = &shared.realms[sender.client.realm];
        let asking = Asking { shared: &shared, realm, now, sender, request, waits: None, offered_ms: Some(OFFERED_MS) };
        let mut step = Step::new(&mut self.worker, &mut self.ended);
        let mut claim = shared.leases.claims.lock(realm.identity.id, request.claim);
        // He may have given up, or found a seat that somebody shares with him.
        let opens = is_same && holds_nothing(&shared, &claim) && lock(&pool.book).queue.is_called(turn);
        let opened = if opens {
            asking.checkout_called(&mut claim, taken, &mut step).ok()
        } else {
            asking.put_back(&taken, step.worker);
            None
        };
        shared.leave_queue(realm, request.claim, sender.client.owner, step.worker);
        drop(claim);
        let began = step.began;
        self.tell_trials(&asking, began);
        self.settle();
        if let Some(held) = opened {
            lock(&pool.book).queue.note_served(now.mono);
            self.counters.count(Counter::GrantsInTurn);
            let grant = self.grant(&asking, held);
            self.send_unasked(sender.sid, &mut vec![grant]);
        }
    }
}

/// What he who was called at `turn` with `asks` asked for last, and whether it is the same: he may have asked again since.
fn latest(pool: &Pool, turn: Turn, asks: Arc<Asks>) -> (Arc<Asks>, bool) {
    let wants = |asks: &Asks| (asks.request.feature.clone(), asks.request.version, asks.request.seats);
    match lock(&pool.book).queue.get(turn) {
        Some(waiter) if wants(&waiter.asks) == wants(&asks) => (waiter.asks.clone(), true),
        _ => (asks, false),
    }
}

/// Whether a claim has no lease that lives, and was not given up.
fn holds_nothing(shared: &Shared, claim: &ClaimGuard<'_>) -> bool {
    match claim.get() {
        None => true,
        Some(Claim::Lease { lease, .. }) => shared.leases.record(lease).is_none(),
        Some(Claim::Released { .. }) => false,
    }
}
