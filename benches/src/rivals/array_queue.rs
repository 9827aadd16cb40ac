//! Every seat is a slot of its own, and the free ones stand in a queue. So a checkout of several seats at once, or a
//! changed capacity, is out of its reach.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use leasehold_protocol::time::Mono;

use super::{
    Design, Hand,
    record::{deadline, note, proof},
};
use crate::counter::Terms;

/// crossbeam's `ArrayQueue`.
pub struct Queues(Vec<Feature>);

struct Feature {
    free: ArrayQueue<u32>,
    seats: Box<[Seat]>,
}

#[repr(align(32))]
struct Seat {
    /// generation 24 | deadline 40, 0 for none
    hot: AtomicU64,
    proof: AtomicU64,
    heard: AtomicU64,
    activity: AtomicU32,
}

/// Which seat, and which of its uses.
#[derive(Clone, Copy)]
pub struct Id {
    feature: u32,
    seat: u32,
    generation: u64,
}

const DEADLINE: u64 = (1 << 40) - 1;

impl Design for Queues {
    const NAME: &'static str = "ArrayQueue of seats";
    type Id = Id;
    type Hand<'a> = &'a Self;

    fn new(features: u32, seats: u32) -> Self {
        Self((0..features).map(|_| Feature::new(seats)).collect())
    }

    fn hand(&self) -> &Self {
        self
    }
}

impl Hand for &Queues {
    type Id = Id;

    #[inline]
    fn check_out(&mut self, feature: u32, terms: &Terms, now: Mono) -> Option<Id> {
        let own = &self.0[feature as usize];
        let index = own.free.pop()?;
        let seat = &own.seats[index as usize];
        let generation = (seat.hot.load(Ordering::Relaxed) >> 40).wrapping_add(1) & 0xff_ffff;
        seat.proof.store(proof(terms), Ordering::Relaxed);
        seat.heard.store(u64::from(terms.session) << 32, Ordering::Relaxed);
        seat.activity.store(0, Ordering::Relaxed);
        seat.hot.store(generation << 40 | deadline(now), Ordering::Release);
        Some(Id { feature, seat: index, generation })
    }

    #[inline]
    fn renew(&mut self, id: Id, terms: &Terms, now: Mono) -> bool {
        let seat = &self.0[id.feature as usize].seats[id.seat as usize];
        let later = |hot: u64| {
            let alive = id.holds(hot) && hot & DEADLINE > now.0 && seat.proof.load(Ordering::Relaxed) == proof(terms);
            alive.then(|| id.generation << 40 | (hot & DEADLINE).max(deadline(now)))
        };
        let alive = seat.hot.fetch_update(Ordering::AcqRel, Ordering::Acquire, later).is_ok();
        if alive {
            note(&seat.heard, &seat.activity, terms.session);
        }
        alive
    }

    #[inline]
    fn release(&mut self, id: Id) -> bool {
        let own = &self.0[id.feature as usize];
        let free = |hot: u64| id.holds(hot).then_some(id.generation << 40);
        let hot = &own.seats[id.seat as usize].hot;
        hot.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).is_ok() && own.free.push(id.seat).is_ok()
    }
}

impl Id {
    #[inline]
    const fn holds(self, hot: u64) -> bool {
        hot >> 40 == self.generation && hot & DEADLINE != 0
    }
}

impl Feature {
    fn new(seats: u32) -> Self {
        let free = ArrayQueue::new(seats as usize);
        (0..seats).for_each(|seat| free.push(seat).expect("room for every seat"));
        Self { free, seats: (0..seats).map(|_| Seat::free()).collect() }
    }
}

impl Seat {
    fn free() -> Self {
        let (hot, proof, heard) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { hot, proof, heard, activity: AtomicU32::new(0) }
    }
}
