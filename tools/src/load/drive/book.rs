//! The leases of one thread: which are held, which are free to be asked for, and which is next to be renewed.

use std::collections::VecDeque;

use leasehold_protocol::vocab::{ClaimKey, LeaseId};

use crate::load::plan::SplitMix;

/// What a place for a lease is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has asked.
    Free,
    /// Asked for.
    Asking,
    /// Held.
    Held,
    /// Its release is on the way.
    Leaving,
}

/// A place for one lease.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The claim key of this era.
    pub claim: ClaimKey,
    /// Its lease id while it is held.
    pub id: LeaseId,
    /// How many claims came before.
    pub era: u32,
    /// Its state.
    pub state: State,
    /// When it was last asked for or renewed, in microseconds; tells its one valid entry in the queue.
    pub asked: u64,
}

/// All leases of one thread; lease `i` belongs to client `i / leases_per_client`.
pub struct Book {
    leases: Vec<Lease>,
    /// When each ends, in microseconds, as its client counts; `u64::MAX` while it is not held. By itself, because it is
    /// swept.
    deadlines: Vec<u64>,
    /// Held leases, the one asked for longest ago first. An entry whose time is not its lease's is an old one.
    queue: VecDeque<(u64, u32)>,
    free: VecDeque<u32>,
    claims: SplitMix,
    held: usize,
}

impl Book {
    /// `count` places, all free. `claims` seeds their claim keys and comes from the operating system: a claim key is never
    /// used twice.
    pub fn new(count: u32, claims: u64) -> Self {
        let mut claims = SplitMix::new(claims);
        let lease = |claims: &mut SplitMix| Lease {
            claim: claim(claims),
            id: LeaseId::NONE,
            era: 0,
            state: State::Free,
            asked: 0,
        };
        Self {
            leases: (0..count).map(|_| lease(&mut claims)).collect(),
            deadlines: vec![u64::MAX; count as usize],
            queue: VecDeque::new(),
            free: (0..count).collect(),
            claims,
            held: 0,
        }
    }

    /// The lease at `index`.
    pub fn lease(&self, index: u32) -> &Lease {
        &self.leases[index as usize]
    }

    /// How many are held.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// A place to ask for, now being asked for.
    pub fn take_free(&mut self) -> Option<u32> {
        let index = self.free.pop_front()?;
        self.leases[index as usize].state = State::Asking;
        Some(index)
    }

    /// The lease whose last asking was longest ago and when that was.
    pub fn oldest(&mut self) -> Option<(u64, u32)> {
        while let Some(&(asked, index)) = self.queue.front() {
            let lease = &self.leases[index as usize];
            if lease.state == State::Held && lease.asked == asked {
                return Some((asked, index));
            }
            self.queue.pop_front();
        }
        None
    }

    /// A renewal of a held lease is sent at `now`: it goes to the end of the queue.
    pub fn asked(&mut self, index: u32, now: u64) {
        let lease = &mut self.leases[index as usize];
        // Two askings in one microsecond would make two valid entries.
        lease.asked = now.max(lease.asked + 1);
        self.queue.push_back((lease.asked, index));
    }

    /// Its grant has come: it is held until `deadline`.
    pub fn granted(&mut self, index: u32, id: LeaseId, asked: u64, deadline: u64) {
        let lease = &mut self.leases[index as usize];
        (lease.id, lease.state, lease.asked) = (id, State::Held, asked);
        self.deadlines[index as usize] = deadline;
        self.held += 1;
        self.queue.push_back((asked, index));
    }

    /// A renewal was answered: it is held until `deadline`, if that is later than what we knew.
    pub fn renewed(&mut self, index: u32, deadline: u64) {
        let known = &mut self.deadlines[index as usize];
        *known = deadline.max(*known);
    }

    /// A held lease is given back: its release is about to be sent.
    pub fn leaving(&mut self, index: u32) {
        self.leases[index as usize].state = State::Leaving;
        self.deadlines[index as usize] = u64::MAX;
        self.held -= 1;
    }

    /// Whatever was there is over: the place is free, with a new claim key.
    pub fn over(&mut self, index: u32) {
        let lease = &mut self.leases[index as usize];
        self.held -= usize::from(lease.state == State::Held);
        self.deadlines[index as usize] = u64::MAX;
        *lease = Lease {
            claim: claim(&mut self.claims),
            id: LeaseId::NONE,
            era: lease.era.wrapping_add(1),
            state: State::Free,
            asked: lease.asked,
        };
        self.free.push_back(index);
    }

    /// The held leases whose deadline has passed at `now`.
    pub fn ended(&self, now: u64) -> Vec<u32> {
        let ended = self.deadlines.iter().enumerate().filter(|(_, deadline)| **deadline <= now);
        ended.filter_map(|(index, _)| u32::try_from(index).ok()).collect()
    }
}

fn claim(random: &mut SplitMix) -> ClaimKey {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next().to_le_bytes());
    bytes[8..].copy_from_slice(&random.next().to_le_bytes());
    ClaimKey(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(count: u32) -> Book {
        let mut book = Book::new(count, 1);
        for n in 0..count {
            let index = book.take_free().unwrap();
            book.granted(index, LeaseId(u64::from(n) + 1), u64::from(n), 1_000 + u64::from(n));
        }
        book
    }

    #[test]
    fn the_lease_asked_for_longest_ago_is_next() {
        let mut book = held(3);
        let order: Vec<u32> = (0..6)
            .map(|n| {
                let (_, index) = book.oldest().unwrap();
                book.asked(index, 100 + n);
                index
            })
            .collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        book.leaving(0);
        assert_eq!(book.oldest(), Some((104, 1)));
    }

    #[test]
    fn a_lease_ends_at_the_latest_deadline_an_answer_gave_it() {
        let mut book = held(2);
        book.renewed(0, 5_000);
        book.renewed(0, 4_000);
        assert_eq!(book.ended(1_000), [] as [u32; 0]);
        assert_eq!(book.ended(1_001), [1]);
        assert_eq!(book.ended(5_000), [0, 1]);
        book.leaving(0);
        assert_eq!(book.ended(u64::MAX - 1), [1]);
    }

    #[test]
    fn a_place_that_is_over_is_free_under_another_claim_and_in_another_era() {
        let mut book = held(1);
        let before = *book.lease(0);
        book.over(0);
        let after = *book.lease(0);
        assert!(before.claim != after.claim && after.era == before.era + 1 && after.state == State::Free);
        assert_eq!((book.held(), book.oldest(), book.take_free(), book.take_free()), (0, None, Some(0), None));
    }
}
