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

impl Engine {
    /// Serves those who wait, wherever a seat came back.
    pub(super) fn serve_queues(&mut self, now: Now) {
        while self.shared.leases.queues.is_stirred()
            && let Some(pool) = self.shared.leases.queues.take()
        {
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
            let Asks { sender, request } = &*asks;
            let realm: &Realm = &shared.realms[sender.client.realm];
            let (pool, mut step) = (taken.pool.clone(), Step::new(&mut self.worker, &mut self.ended));
            let asking =
                Asking { shared: &shared, realm, now, sender, request, waits: None, offered_ms: Some(OFFERED_MS) };
            let mut claim = shared.leases.claims.lock(realm.identity.id, request.claim);
            // He may have given up, or found a seat that somebody shares with him.
            let waits = lock(&pool.book).queue.is_called(turn) && !matches!(claim.get(), Some(Claim::Released { .. }));
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
