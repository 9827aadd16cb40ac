//! Operations that wait for their answers, and when they are asked for again.

use std::collections::VecDeque;

use leasehold_protocol::{message::Claimed, vocab::OperationId};

use crate::load::lean::ask::OPERATION_MIN;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A first word in a new session: a release of nothing, which is always answered.
    Greeting,
    /// A checkout; `pair`: its release follows at once.
    Checkout {
        /// Its release follows at once.
        pair: bool,
    },
    /// A renewal.
    Renewal,
    /// Renewals of one client's leases in one RENEW_MANY.
    Renewals {
        /// How many: 2 to 64.
        count: u8,
    },
    /// A release; `pair`: it ends a pair.
    Release {
        /// It ends a pair.
        pair: bool,
    },
    /// A release of a claim of which we do not know whether there is a lease.
    Cleanup,
}

/// One operation. Times are in microseconds since the beginning of the phase.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What it is.
    pub what: What,
    /// The index of its lease; of a greeting and of many renewals that of the client.
    pub of: u32,
    /// Which claim of that lease slot it is about: an answer for an earlier one changes nothing.
    pub era: u32,
    /// When it was due; of a pair's release, when the pair was.
    pub due: u64,
    /// When it was first sent: what deadlines count from.
    pub sent: u64,
    /// Whether it belongs to the plan that is measured.
    pub planned: bool,
    /// How often it has been sent.
    pub tries: u8,
}

/// One lease of a RENEW_MANY.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its index.
    pub of: u32,
    /// As in [`Operation`].
    pub era: u32,
    /// What the frame says of it. Another try says the same, whatever has become of the lease.
    pub claimed: Claimed,
}

/// What an operation id in an answer names.
#[derive(Clone, Copy, Debug)]
pub enum Named {
    /// An operation that waits.
    Waiting(Operation),
    /// One that was answered or given up.
    Past,
    /// None of ours.
    Never,
}

/// Something is due for an operation.
#[derive(Clone, Copy, Debug)]
pub enum Due {
    /// Ask again.
    Again(OperationId, Operation),
    /// Give it up.
    GivenUp(Operation),
}

/// All operations of one thread. An id holds the thread in bits 56 to 62, a running number in bits 24 to 55 and the place
/// here in bits 0 to 23, so an answer finds its operation without a search.
pub struct Flight {
    thread: u64,
    entries: Vec<Entry>,
    free: Vec<u32>,
    next: u32,
    /// Operations by how often they were sent, each in the order of its deadline.
    retries: [VecDeque<(u64, OperationId)>; WAITS_US.len()],
    /// By place, as far as one was needed.
    batches: Vec<Batch>,
    planned: usize,
    waiting: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    id: u64,
    operation: Option<Operation>,
}

/// What a RENEW_MANY is besides.
#[derive(Default)]
struct Batch {
    parts: Vec<Part>,
    /// The ids of its earlier tries: each has its own (SPEC 5.17.6), and an answer to any of them is one.
    earlier: Vec<u64>,
}

/// Waits after each time of asking (SPEC 9.1); after the last the operation is given up.
const WAITS_US: [u64; 4] = [500_000, 1_000_000, 2_000_000, 10_000_000];
const PLACE_BITS: u32 = 24;
const PLACES: usize = 1 << PLACE_BITS;

impl Flight {
    /// No operations yet, of the thread with this number, 0 to 63.
    pub fn new(thread: usize) -> Self {
        Self {
            thread: (thread as u64) << 56,
            entries: Vec::new(),
            free: Vec::new(),
            next: 0,
            retries: Default::default(),
            batches: Vec::new(),
            planned: 0,
            waiting: 0,
        }
    }

    /// How many operations of the plan wait for an answer.
    pub const fn planned(&self) -> usize {
        self.planned
    }

    /// How many operations wait for an answer.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether there is no room for another one: 16 million wait.
    pub const fn is_full(&self) -> bool {
        self.waiting >= PLACES
    }

    /// Takes an operation in that is sent now for the first time. Must not be full.
    pub fn add(&mut self, operation: Operation) -> OperationId {
        debug_assert!(!self.is_full());
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { id: 0, operation: None });
            u32::try_from(self.entries.len() - 1).unwrap_or(0)
        });
        let id = self.name(place as usize);
        self.entries[place as usize] = Entry { id, operation: Some(Operation { tries: 1, ..operation }) };
        self.planned += operation.planned();
        self.waiting += operation.what.count();
        self.retries[0].push_back((operation.sent + WAITS_US[0], OperationId(id)));
        OperationId(id)
    }

    /// The same with a RENEW_MANY. Its `parts` are swapped for a list that was used before.
    pub fn add_many(&mut self, operation: Operation, parts: &mut Vec<Part>) -> OperationId {
        let id = self.add(operation);
        if self.batches.len() <= place(id) {
            self.batches.resize_with(place(id) + 1, Batch::default);
        }
        std::mem::swap(&mut self.batches[place(id)].parts, parts);
        id
    }

    /// The leases of a RENEW_MANY that waits.
    pub fn parts(&self, id: OperationId) -> &[Part] {
        self.batches.get(place(id)).map_or(&[], |batch| &batch.parts)
    }

    /// An id that nothing else has, for what is at `place`.
    fn name(&mut self, place: usize) -> u64 {
        self.next = self.next.wrapping_add(1);
        OPERATION_MIN | self.thread | u64::from(self.next) << PLACE_BITS | place as u64
    }

    /// Gives a RENEW_MANY that is sent again its new id.
    fn rename(&mut self, id: OperationId) -> OperationId {
        let new = self.name(place(id));
        self.entries[place(id)].id = new;
        self.batches[place(id)].earlier.push(id.0);
        OperationId(new)
    }

    /// Whether what is at the place of `id` has, or had, that id.
    fn is_at_its_place(&self, id: OperationId) -> bool {
        let is_known = self.entries.get(place(id)).is_some_and(|entry| entry.id == id.0);
        is_known || self.batches.get(place(id)).is_some_and(|batch| batch.earlier.contains(&id.0))
    }

    /// What an answer's operation id names.
    pub fn named(&self, id: OperationId) -> Named {
        let ours = id.0 >> 56 == (OPERATION_MIN | self.thread) >> 56;
        match self.entries.get(place(id)) {
            Some(Entry { operation: Some(operation), .. }) if self.is_at_its_place(id) => Named::Waiting(*operation),
            // A running number wraps only after 2^32 operations: by then nobody answers the first.
            Some(_) if ours && running(id).wrapping_sub(1) < self.next => Named::Past,
            _ => Named::Never,
        }
    }

    /// An operation is over.
    pub fn end(&mut self, id: OperationId) {
        if !self.is_at_its_place(id) {
            return;
        }
        if let Some(operation) = self.entries[place(id)].operation.take() {
            self.planned -= operation.planned();
            self.waiting -= operation.what.count();
            self.free.push(u32::try_from(place(id)).unwrap_or(0));
        }
        if let Some(batch) = self.batches.get_mut(place(id)) {
            batch.parts.clear();
            batch.earlier.clear();
        }
    }

    /// A RENEW_MANY is over. What its leases were is swapped for the list in `parts`, which is used again.
    pub fn end_many(&mut self, id: OperationId, parts: &mut Vec<Part>) {
        parts.clear();
        if let Some(batch) = self.batches.get_mut(place(id)) {
            std::mem::swap(&mut batch.parts, parts);
        }
        self.end(id);
    }

    /// The next operation that has waited long enough at `now`, if any. One to be asked again is noted as sent now, a
    /// RENEW_MANY under another id.
    pub fn due(&mut self, now: u64) -> Option<Due> {
        for wait in 0..WAITS_US.len() {
            while let Some(&(at, id)) = self.retries[wait].front() {
                if at > now {
                    break;
                }
                self.retries[wait].pop_front();
                let Named::Waiting(operation) = self.named(id) else { continue };
                let Some(next) = WAITS_US.get(wait + 1) else {
                    self.end(id);
                    return Some(Due::GivenUp(operation));
                };
                if let Some(entry) = &mut self.entries[place(id)].operation {
                    entry.tries += 1;
                }
                let id = if matches!(operation.what, What::Renewals { .. }) { self.rename(id) } else { id };
                self.retries[wait + 1].push_back((now + next, id));
                return Some(Due::Again(id, operation));
            }
        }
        None
    }

    /// Gives everything up that still waits; how many of them belonged to the plan.
    pub fn abandon(&mut self) -> usize {
        let planned = self.planned;
        self.retries.iter_mut().for_each(VecDeque::clear);
        for place in 0..self.entries.len() {
            if self.entries[place].operation.is_some() {
                self.end(OperationId(self.entries[place].id));
            }
        }
        planned
    }
}

impl What {
    /// How many operations it is.
    pub const fn count(self) -> usize {
        if let Self::Renewals { count } = self { count as usize } else { 1 }
    }

    /// Whether it is about a client, and not about one lease.
    pub const fn is_of_client(self) -> bool {
        matches!(self, Self::Greeting | Self::Renewals { .. })
    }
}

impl Operation {
    /// How many operations of the plan it is.
    const fn planned(&self) -> usize {
        if self.planned { self.what.count() } else { 0 }
    }
}

/// Where an operation is.
fn place(id: OperationId) -> usize {
    let [low, middle, high, ..] = id.0.to_le_bytes();
    u32::from_le_bytes([low, middle, high, 0]) as usize
}

/// Its running number.
fn running(id: OperationId) -> u32 {
    let [_, _, _, a, b, c, d, _] = id.0.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::vocab::{ClaimProof, LeaseId};

    use super::*;

    const RENEWAL: Operation =
        Operation { what: What::Renewal, of: 7, era: 1, due: 5, sent: 10, planned: true, tries: 0 };

    #[test]
    fn an_answer_finds_its_operation_once_and_knows_a_late_one_from_one_never_asked() {
        let mut flight = Flight::new(3);
        let id = flight.add(RENEWAL);
        assert!(matches!(flight.named(id), Named::Waiting(Operation { of: 7, .. })));
        assert_eq!((flight.planned(), flight.waiting()), (1, 1));
        flight.end(id);
        flight.end(id);
        assert_eq!((flight.planned(), flight.waiting()), (0, 0));
        assert!(matches!(flight.named(id), Named::Past));
        let other = flight.add(RENEWAL);
        assert!(other != id && matches!(flight.named(id), Named::Past), "the place is used again, the id is not");
        for stranger in [OperationId(other.0 + (1 << PLACE_BITS)), OperationId(other.0 ^ 1 << 56), OperationId(5)] {
            assert!(matches!(flight.named(stranger), Named::Never), "{stranger:?}");
        }
    }

    #[test]
    fn an_operation_is_asked_again_after_half_a_second_one_and_two_and_then_given_up() {
        let mut flight = Flight::new(0);
        let id = flight.add(RENEWAL);
        let mut times = Vec::new();
        for now in (0..20_000_000).step_by(10_000) {
            while let Some(due) = flight.due(now) {
                times.push((now / 10_000, matches!(due, Due::Again(..))));
            }
        }
        let again = |at| (at, true);
        assert_eq!(times, [again(51), again(151), again(351), (1_351, false)]);
        assert!(matches!(flight.named(id), Named::Past) && flight.planned() == 0);
    }

    #[test]
    fn an_answered_operation_is_not_asked_again() {
        let mut flight = Flight::new(0);
        let id = flight.add(RENEWAL);
        flight.end(id);
        assert!(flight.due(u64::MAX / 2).is_none());
    }

    #[test]
    fn many_renewals_are_one_question_whose_every_try_has_an_id_and_may_be_answered() {
        let mut flight = Flight::new(0);
        let claimed = Claimed { lease: LeaseId(3), proof: ClaimProof(4) };
        let mut parts = vec![Part { of: 7, era: 1, claimed }; 5];
        let first = flight.add_many(Operation { what: What::Renewals { count: 5 }, ..RENEWAL }, &mut parts);
        assert_eq!((flight.planned(), flight.waiting(), flight.parts(first).len(), parts.len()), (5, 5, 5, 0));
        let Some(Due::Again(second, _)) = flight.due(500_010) else { panic!("not asked again") };
        assert!(second != first && flight.parts(second).len() == 5);
        assert!([first, second].iter().all(|id| matches!(flight.named(*id), Named::Waiting(_))));
        flight.end_many(first, &mut parts);
        assert_eq!((flight.planned(), flight.waiting(), flight.parts(first).len(), parts.len()), (0, 0, 0, 5));
        flight.add(RENEWAL);
        assert!([first, second].iter().all(|id| matches!(flight.named(*id), Named::Past)), "the place is used again");
        assert!(flight.due(1_600_000).is_some_and(|due| matches!(due, Due::Again(id, _) if id != second)));
    }

    #[test]
    fn what_is_abandoned_waits_no_more() {
        let mut flight = Flight::new(0);
        flight.add(RENEWAL);
        flight.add(Operation { planned: false, ..RENEWAL });
        assert_eq!((flight.abandon(), flight.waiting(), flight.planned()), (1, 0, 0));
        assert!(flight.due(u64::MAX / 2).is_none());
    }
}
