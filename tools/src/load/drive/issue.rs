//! What the plan has due, and how a question becomes a datagram.

use std::time::Duration;

use leasehold_protocol::{
    message::Claimed,
    vocab::{LeaseId, OperationId},
};

use super::{
    Driver, ISSUE_MAX, Pace,
    book::{Lease, State},
    flight::{Operation, Part, What},
    micros,
};
use crate::{
    exit::Failure,
    load::{
        lean::ask,
        mix::{Mix, Verb},
        tally::Kind,
    },
};

impl Driver {
    /// Issues what the plan has due, a bounded number at a time.
    pub(super) fn issue(&mut self, end: u64) {
        (self.more, self.stuck) = (false, false);
        for _ in 0..ISSUE_MAX {
            let due = match (&mut self.schedule, self.task.pace) {
                (None, Pace::Window(window)) if self.flight.planned() < window => self.now,
                (Some(schedule), _) => match schedule.peek().map(|due| self.begin + micros(*due)) {
                    Some(due) if due <= self.now && due < end => due,
                    _ => return,
                },
                _ => return,
            };
            let Some(issued) = self.issue_one(due) else {
                self.stuck = true;
                return;
            };
            if let Some(schedule) = &mut self.schedule {
                // Renewals that went along in one frame were due with it.
                let _ = schedule.nth(issued - 1);
            }
        }
        self.more = true;
    }

    /// Issues the next operation of the mix; how many operations that were. `None` if nothing can be asked for now. Where
    /// nothing is held to renew or release, a seat is asked for, and where no place is free one is given back: so a mix
    /// that does not balance stays between none and all.
    fn issue_one(&mut self, due: u64) -> Option<usize> {
        if self.flight.is_full() {
            return None;
        }
        let asking = matches!(self.task.mix, Mix::Of { checkout: 1.., .. } | Mix::Pairs);
        match self.task.mix.pick(self.random.next()) {
            Verb::Pair => self.checkout(due, true, true),
            Verb::Checkout => self.checkout(due, false, true).or_else(|| self.release_oldest(due)),
            Verb::Renew => self.renew_some(due).or_else(|| asking.then(|| self.checkout(due, false, true))?),
            Verb::Release => self.release_oldest(due).or_else(|| asking.then(|| self.checkout(due, false, true))?),
        }
    }

    pub(super) fn checkout(&mut self, due: u64, pair: bool, planned: bool) -> Option<usize> {
        let index = self.book.take_free()?;
        self.start(What::Checkout { pair }, index, due, planned);
        Some(1)
    }

    fn release_oldest(&mut self, due: u64) -> Option<usize> {
        let (_, index) = self.book.oldest()?;
        self.release(index, due, false, true);
        Some(1)
    }

    pub(super) fn release(&mut self, index: u32, due: u64, pair: bool, planned: bool) {
        // Before it is sent: the seat may be somebody else's before its answer is here.
        self.task.shared.audit.gone(self.feature_of(index), self.book.lease(index).id);
        self.book.leaving(index);
        self.start(What::Release { pair }, index, due, planned);
    }

    /// Renews the lease that was asked for longest ago, and others of the same client with it as `batch` says: two and
    /// more by one RENEW_MANY.
    pub(super) fn renew_some(&mut self, due: u64) -> Option<usize> {
        let (_, index) = self.book.oldest()?;
        let of_client = self.task.leases_per_client;
        let first = index / of_client * of_client;
        // It and the ones that follow: in the order in which they were asked for, as far as no other client's came between.
        let in_turn = (0..of_client).map(|next| first + (index - first + next) % of_client);
        let held = in_turn.map(|of| (of, self.book.lease(of))).filter(|(_, lease)| lease.state == State::Held);
        let part = |(of, lease): (u32, &Lease)| Part {
            of,
            era: lease.era,
            claimed: Claimed { lease: lease.id, proof: lease.claim.fold() },
        };
        self.parts.clear();
        self.parts.extend(held.take(self.task.batch).map(part));
        self.parts.iter().for_each(|part| self.book.asked(part.of, self.now));
        let count = u8::try_from(self.parts.len()).unwrap_or(u8::MAX);
        match count {
            0 | 1 => self.start(What::Renewal, index, due, true),
            _ => self.start(What::Renewals { count }, index / of_client, due, true),
        }
        Some(count.into())
    }

    /// One operation, or many renewals, in a datagram of its own.
    pub(super) fn start(&mut self, what: What, of: u32, due: u64, planned: bool) {
        let era = if what.is_of_client() { 0 } else { self.book.lease(of).era };
        // In a closed loop nothing is due before it is sent, and the release of a pair is due when its grant has come.
        if planned && self.schedule.is_some() && !matches!(what, What::Release { pair: true }) {
            let late = Duration::from_micros(self.now.saturating_sub(due));
            (0..what.count()).for_each(|_| self.recorder.tally.record(Kind::Lateness, late));
        }
        self.ask(Operation { what, of, era, due, sent: self.now, planned, tries: 0 });
    }

    /// Notes an operation, which is sent now, and asks. The leases of a RENEW_MANY are in `parts`.
    pub(super) fn ask(&mut self, operation: Operation) {
        let id = match operation.what {
            What::Renewals { .. } => self.flight.add_many(operation, &mut self.parts),
            _ => self.flight.add(operation),
        };
        self.plaintext.clear();
        self.append(id, &operation);
        self.post(self.client_of_operation(operation.what, operation.of));
    }

    pub(super) fn append(&mut self, id: OperationId, operation: &Operation) {
        let (of, out) = (operation.of, &mut self.plaintext);
        let written = match operation.what {
            What::Greeting => ask::release(out, id, LeaseId::NONE, &self.clients[of as usize].greeting),
            What::Cleanup => ask::release(out, id, LeaseId::NONE, &self.book.lease(of).claim),
            What::Renewal => ask::renew(out, id, self.book.lease(of).id, &self.book.lease(of).claim),
            What::Renewals { .. } => ask::renew_many(out, id, self.flight.parts(id).iter().map(|part| part.claimed)),
            What::Release { .. } => ask::release(out, id, self.book.lease(of).id, &self.book.lease(of).claim),
            What::Checkout { .. } => {
                let form = self.task.form(of);
                form.append(out, id, &self.book.lease(of).claim)
            }
        };
        if let Err(e) = written {
            self.failure = Some(Failure::new("a question of the load test does not fit a datagram").because_of(&e));
        }
    }

    /// Seals the plaintext and queues it for this client's socket.
    pub(super) fn post(&mut self, client: u32) {
        ask::pad(&mut self.plaintext);
        let client = &mut self.clients[client as usize];
        match client.seal(&self.plaintext, &mut self.datagram) {
            Some(Ok(())) => self.outlet.push(client.socket, &self.datagram),
            Some(Err(e)) => self.failure = Some(Failure::new("a session of the load test is used up").because_of(&e)),
            None => {}
        }
    }
}
