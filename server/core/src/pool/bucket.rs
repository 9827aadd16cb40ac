//! One counter of free seats.

use super::sync::{AtomicI64, Ordering};

/// The free seats of one lot: all or none are taken, and the count is exact whoever races.
///
/// Below zero the lot is over: its capacity fell while seats were out (L-10). Nothing is taken from it until they are
/// back, and nobody is interrupted.
#[derive(Debug)]
pub(crate) struct Bucket {
    free: AtomicI64,
}

impl Bucket {
    /// A bucket with `free` seats.
    pub(crate) fn new(free: i64) -> Self {
        Self { free: AtomicI64::new(free) }
    }

    /// Takes `seats`, all or none; whether it did.
    ///
    /// Ordering: `AcqRel` on success pairs with the `Release` half of [`Bucket::change`]: who takes a seat sees all that
    /// its last holder's end wrote. Failure is `Relaxed`: a lost race carries no data, we only look again.
    /// Progress: lock-free. A retry means that another caller changed the count.
    /// Model: `tests/loom_bucket.rs::the_last_seat_is_granted_once`.
    pub(crate) fn take(&self, seats: i64) -> bool {
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |free| (free >= seats).then_some(free - seats))
            .is_ok()
    }

    /// Takes as many of `seats` as there are; how many it took.
    ///
    /// Ordering: as [`Bucket::take`].
    pub(crate) fn take_up_to(&self, seats: i64) -> i64 {
        let taken = |free: i64| seats.min(free).max(0);
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |free| (taken(free) > 0).then(|| free - taken(free)))
            .map_or(0, taken)
    }

    /// Gives seats back or adds capacity (`delta` above zero), or takes capacity away, below zero if need be.
    ///
    /// Ordering: `Release` pairs with the `Acquire` of whoever takes them next. One step, so no count is ever seen half
    /// changed.
    pub(crate) fn change(&self, delta: i64) {
        self.free.fetch_add(delta, Ordering::AcqRel);
    }

    /// The free seats at some moment during the call.
    ///
    /// Ordering: `Acquire`, so that a reader who sees seats back also sees why.
    pub(crate) fn free(&self) -> i64 {
        self.free.load(Ordering::Acquire)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn seats_are_taken_all_or_none() {
        let bucket = Bucket::new(3);
        assert!(bucket.take(2));
        assert!(!bucket.take(2));
        assert_eq!(bucket.free(), 1);
        assert!(bucket.take(1));
        assert!(!bucket.take(1));
    }

    #[test]
    fn capacity_taken_away_while_seats_are_out_is_overage_until_they_are_back() {
        let bucket = Bucket::new(5);
        assert!(bucket.take(5));
        bucket.change(-2);
        assert_eq!(bucket.free(), -2);
        bucket.change(1);
        assert!(!bucket.take(1));
        assert_eq!(bucket.take_up_to(1), 0);
        bucket.change(2);
        assert!(bucket.take(1));
    }

    #[test]
    fn what_there_is_is_taken_up_to_the_wish() {
        let bucket = Bucket::new(3);
        assert_eq!(bucket.take_up_to(2), 2);
        assert_eq!(bucket.take_up_to(2), 1);
        assert_eq!(bucket.take_up_to(2), 0);
    }
}
