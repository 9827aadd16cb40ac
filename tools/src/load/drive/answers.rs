//! What comes back: whose it is, whether it may be, and what it changes.

use std::time::Duration;

use leasehold_protocol::{
    message::{Deny, Grant, ReleaseOutcome, RenewedManyView},
    vocab::OperationId,
};

use super::{
    Driver, Stage,
    book::State,
    flight::{Named, Operation, What},
};
use crate::load::{
    lean::{self, Answer, answer},
    tally::Kind,
};

impl Driver {
    /// Takes one datagram that came to `socket`.
    pub(super) fn receive(&mut self, socket: usize, datagram: &mut [u8]) {
        self.recorder.tally.counts.datagrams_received += 1;
        let client = lean::sid_of_answer(datagram).and_then(|sid| self.client_of(sid, socket));
        let Some(index) = client else {
            self.recorder.tally.counts.datagrams_strange += 1;
            return;
        };
        self.tell_time();
        let client = &mut self.clients[index as usize];
        if !client.is_open() {
            return self.shake(index, datagram);
        }
        let Some(plaintext) = client.open(datagram) else { return };
        for answer in answer::read(plaintext) {
            match answer {
                Ok(answer) => self.answered(index, &answer),
                Err(e) => self.task.shared.audit.violation(format!("an answer cannot be read: {e}")),
            }
        }
    }

    pub(super) fn answered(&mut self, client: u32, answer: &Answer<'_>) {
        let Some(id) = answer.operation() else { return };
        match self.flight.named(id) {
            Named::Waiting(operation) if !self.is_current(&operation) => self.overtaken(id, &operation),
            Named::Waiting(operation) if self.is_answer(client, &operation, answer) => match answer {
                Answer::RenewedMany(many) => self.renewed_many(id, &operation, many),
                _ => {
                    self.flight.end(id);
                    self.take(&operation, answer);
                }
            },
            Named::Past => self.recorder.tally.counts.answers_again += 1,
            Named::Waiting(operation) => self.wrong(&format!("{:?}", operation.what), answer),
            Named::Never => self.wrong("an operation that was never asked", answer),
        }
    }

    fn wrong(&self, asked: &str, answer: &Answer<'_>) {
        self.task.shared.audit.violation(format!("{asked} was answered by {answer:?}"));
    }

    /// Whether this is an answer that this client can be given to this operation.
    fn is_answer(&self, client: u32, operation: &Operation, answer: &Answer<'_>) -> bool {
        if operation.what.is_of_client() {
            return client == operation.of
                && match (operation.what, answer) {
                    (What::Greeting, Answer::Released(_)) => true,
                    (What::Renewals { .. }, Answer::RenewedMany(many)) => many.leases().len() == operation.what.count(),
                    _ => false,
                };
        }
        let lease = self.book.lease(operation.of);
        client == operation.of / self.task.leases_per_client
            && match (operation.what, answer) {
                (What::Checkout { .. }, Answer::Granted(grant)) => grant.claim == lease.claim && grant.seats.get() == 1,
                (What::Checkout { .. } | What::Renewal, Answer::Denied(deny)) => deny.claim == lease.claim,
                (What::Renewal, Answer::Renewed(renewed)) => renewed.lease == lease.id,
                (What::Release { .. }, Answer::Released(released)) => released.lease == lease.id,
                (What::Cleanup, Answer::Released(_)) => true,
                _ => false,
            }
    }

    fn take(&mut self, operation: &Operation, answer: &Answer<'_>) {
        let index = operation.of;
        match (operation.what, answer) {
            (What::Greeting, _) => self.greeted(),
            (What::Checkout { pair }, Answer::Granted(grant)) => self.granted(operation, pair, grant),
            (What::Checkout { .. }, Answer::Denied(deny)) => self.denied(operation, deny),
            (What::Renewal, Answer::Renewed(renewed)) => self.renewed(operation, renewed.ttl_ms),
            (What::Renewal, Answer::Denied(deny)) => {
                *self.recorder.tally.denials.entry(deny.code).or_default() += 1;
                // A renewal that was overtaken by its own lease's release is rightly refused.
                if self.book.lease(index).state == State::Held {
                    self.lose(index);
                }
            }
            (What::Release { pair }, Answer::Released(released)) => {
                self.released(operation, pair, released.outcome);
            }
            (What::Cleanup, _) => self.book.over(index),
            _ => {}
        }
    }

    fn granted(&mut self, operation: &Operation, pair: bool, grant: &Grant) {
        let index = operation.of;
        let deadline = operation.sent + u64::from(grant.ttl_ms) * 1_000;
        self.renew_after_us = self.renew_after_us.min(u64::from(grant.renew_after_ms) * 1_000);
        self.record(Kind::Checkout, operation);
        let running = matches!(self.stage, Stage::Running { .. } | Stage::Draining { .. });
        self.recorder.tally.counts.regained += u64::from(running && !operation.planned);
        self.task.shared.audit.granted(self.feature_of(index), grant.lease);
        self.book.granted(index, grant.lease, operation.sent, deadline);
        if pair {
            self.release(index, operation.due, true, operation.planned);
        } else {
            self.done(operation);
        }
    }

    fn denied(&mut self, operation: &Operation, deny: &Deny) {
        *self.recorder.tally.denials.entry(deny.code).or_default() += 1;
        self.record(Kind::Denial, operation);
        self.done(operation);
        // SPEC 9.7: a copy of the question may still find a seat.
        if operation.tries > 1 { self.clean_up(operation.of) } else { self.book.over(operation.of) }
    }

    /// Every lease of a RENEW_MANY by itself. One that was not renewed is asked about by a RENEW of its own, whose answer
    /// says why (SPEC 5.17.5), and is due since the first was.
    fn renewed_many(&mut self, id: OperationId, operation: &Operation, answer: &RenewedManyView<'_>) {
        let mut parts = std::mem::take(&mut self.parts);
        self.flight.end_many(id, &mut parts);
        for (part, extended) in parts.iter().zip(answer.leases()) {
            let operation = Operation { what: What::Renewal, of: part.of, era: part.era, ..*operation };
            match extended {
                _ if !self.is_current(&operation) => self.left_behind(&operation),
                Some(extended) => self.renewed(&operation, extended.ttl_ms),
                None => self.ask(Operation { sent: self.now, ..operation }),
            }
        }
        self.parts = parts;
    }

    fn renewed(&mut self, operation: &Operation, ttl_ms: u32) {
        if self.book.lease(operation.of).state == State::Held {
            self.book.renewed(operation.of, operation.sent + u64::from(ttl_ms) * 1_000);
        }
        self.record(Kind::Renewal, operation);
        if operation.planned {
            let took = self.now.saturating_sub(operation.sent);
            self.recorder.tally.record(Kind::Answer, Duration::from_micros(took));
        }
        self.done(operation);
    }

    fn released(&mut self, operation: &Operation, pair: bool, outcome: ReleaseOutcome) {
        if outcome == ReleaseOutcome::NotHeld {
            // The lease was ours when we sent this, and the server had none.
            self.recorder.tally.counts.lost += 1;
        }
        self.record(if pair { Kind::Pair } else { Kind::Release }, operation);
        self.done(operation);
        self.book.over(operation.of);
    }

    fn record(&mut self, kind: Kind, operation: &Operation) {
        if operation.planned {
            self.recorder.tally.record(kind, Duration::from_micros(self.now.saturating_sub(operation.due)));
        }
    }

    /// An operation of the plan is answered. It counts for the throughput if that was inside the time measured.
    fn done(&mut self, operation: &Operation) {
        let inside = matches!(self.stage, Stage::Running { end } if self.now < end);
        self.recorder.tally.counts.operations += u64::from(operation.planned && inside);
    }

    fn client_of(&self, sid: u32, socket: usize) -> Option<u32> {
        let index = super::fleet::index_of(sid);
        let client = self.clients.get(index as usize)?;
        (client.sid() == Some(sid) && client.socket == socket).then_some(index)
    }
}
