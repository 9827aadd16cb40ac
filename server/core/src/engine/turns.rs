//! Those who wait for seats, when it is their turn: their leases are opened, and they are told unasked.

use std::sync::Arc;

use leasehold_protocol::{message::ServerFrame, time::Now};

use super::{
    Engine,
    request::{Asking, Called, Step},
};
use crate::{book::Pool, claims::Claim, counters::Counter, lock, queue::Asks, realm::Realm};

/// How long a lease lives that nobody has asked for just now, in milliseconds: as long as a place in the queue. Whoever is still
/// there renews it, and has all of its time then.
const OFFERED_MS: u32 = 15_000;

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
        // Seats of leases that are due are nobody's any more.
        let mut book = lock(&pool.book);
        shared.serve_ahead(realm, now, (&mut book, None), &mut step);
        drop(book);
        let called = step.called;
        self.open_called(now, called);
    }

    /// Opens the leases of those whose turn it is, and tells them.
    pub(super) fn open_called(&mut self, now: Now, called: Vec<Called>) {
        let shared = self.shared.clone();
        for Called { asks, turn, taken } in called {
            // He may have asked again since.
            let latest = lock(&taken.pool.book).queue.get(turn).map(|waiter| waiter.asks.clone());
            let wants = |asks: &Asks| (asks.request.feature.clone(), asks.request.version, asks.request.seats);
            let is_same = latest.as_ref().is_some_and(|latest| wants(latest) == wants(&asks));
            let asks = latest.filter(|_| is_same).unwrap_or(asks);
            let Asks { sender, request } = &*asks;
            let realm: &Realm = &shared.realms[sender.client.realm];
            let (pool, mut step) = (taken.pool.clone(), Step::new(&mut self.worker, &mut self.ended));
            let asking =
                Asking { shared: &shared, realm, now, sender, request, waits: None, offered_ms: Some(OFFERED_MS) };
            let mut claim = shared.leases.claims.lock(realm.identity.id, request.claim);
            // He may have given up, or found a seat that somebody shares with him.
            let is_free = match claim.get() {
                None => true,
                Some(Claim::Lease { lease, .. }) => shared.leases.record(lease).is_none(),
                Some(Claim::Released { .. }) => false,
            };
            let waits = is_free && is_same && lock(&pool.book).queue.is_called(turn);
            let opened = if waits {
                Some(asking.checkout_called(&mut claim, taken, &mut step))
            } else {
                asking.put_back(&taken, step.worker);
                None
            };
            shared.leave_queue(realm, request.claim, sender.client.owner, step.worker);
            drop(claim);
            let began = step.began;
            self.tell_trials(&asking, began);
            self.settle();
            if let Some(Ok(held)) = opened {
                lock(&pool.book).queue.note_served(now.mono);
                self.counters.count(Counter::GrantsInTurn);
                let grant = self.grant(&asking, held);
                self.tell(sender.sid, grant);
            }
        }
    }

    /// Sends `frame` to a client that did not ask for it just now, if its address is proved.
    fn tell(&mut self, sid: u32, frame: ServerFrame) {
        let mut frames = vec![frame];
        self.send_unasked(sid, &mut frames);
    }
}
