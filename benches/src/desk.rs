//! One thread with a stock of its own: what the benches of single operations do.

use std::sync::Arc;

use leasehold_protocol::vocab::LeaseId;

use crate::counter::{self, BucketId, NOW, Rank, Stock, Sums, TTL_MS, Use, Worker, holder};

/// A worker, and the one bundle it takes again and again.
pub struct Desk {
    stock: Arc<Stock>,
    worker: Worker,
    uses: Vec<Use>,
    held: LeaseId,
    claim: u64,
}

impl Desk {
    /// Over a bundle of `width` buckets of `seats` seats each.
    ///
    /// # Panics
    /// If that is more than a stock has.
    #[must_use]
    pub fn new(width: u32, seats: i64) -> Self {
        let (stock, buckets) = counter::stocked(width, seats, 1 << 20);
        let worker = stock.join().expect("a desk");
        let uses = buckets.into_iter().map(|bucket| Use { bucket, seats: 1 }).collect();
        Self { stock, worker, uses, held: LeaseId::NONE, claim: 0 }
    }

    /// Over one bucket that is not counted down: what is left of a take and a give is the record of what is out.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn uncounted() -> Self {
        let mut desk = Self::new(1, 0);
        desk.uses[0].bucket = desk.stock.add_uncounted().expect("a bucket");
        desk
    }

    /// In a stock with so many desks that somebody sat at: who looks at a bucket looks at each.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn among(self, desks: usize) -> Self {
        let workers: Vec<_> = (1..desks).map(|_| self.stock.join().expect("a desk")).collect();
        drop(workers);
        self
    }

    /// With a lease to renew.
    #[must_use]
    pub fn holding(mut self) -> Self {
        self.held = self.check_out();
        self
    }

    /// With so many leases that all end at [`NOW`] and a TTL.
    #[must_use]
    pub fn filled(mut self, leases: u32) -> Self {
        (0..leases).for_each(|_| _ = self.check_out());
        self
    }

    /// Ends all leases that are due by then; how many there were.
    pub fn sweep(&mut self) -> u64 {
        counter::sweep(&mut self.worker, NOW.plus_ms(u64::from(TTL_MS)), usize::MAX, || {})
    }

    /// Takes one seat of the first bucket and gives it back.
    ///
    /// # Panics
    /// If there was none.
    #[inline]
    pub fn take_and_give(&mut self) {
        let bucket = self.bucket();
        self.worker.take(bucket, 1, Rank::Newcomer).expect("a free seat");
        self.worker.give(bucket, 1);
    }

    /// The same with a seat of each bucket.
    ///
    /// # Panics
    /// If there was none.
    #[inline]
    pub fn take_and_give_all(&mut self) {
        self.worker.take_all(&self.uses, Rank::Newcomer).expect("free seats");
        for used in &self.uses {
            self.worker.give(used.bucket, used.seats);
        }
    }

    /// A checkout of one seat and its release.
    ///
    /// # Panics
    /// If there was no seat.
    #[inline]
    pub fn pair(&mut self) {
        let id = self.check_out();
        counter::release(&mut self.worker, id);
    }

    /// The same with a seat of each bucket.
    ///
    /// # Panics
    /// If there was no seat.
    #[inline]
    pub fn bundle(&mut self) {
        self.claim += 1;
        let id = counter::check_out_bundle(&mut self.worker, &self.uses, &holder(self.claim), NOW).expect("free seats");
        counter::release(&mut self.worker, id);
    }

    /// Renews the lease that is held.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn renew(&mut self) {
        assert!(counter::renew(&self.stock, self.held, &holder(self.claim), NOW), "alive");
    }

    /// Asks for a seat where there is none.
    ///
    /// # Panics
    /// If it gets one.
    #[inline]
    pub fn be_denied(&mut self) {
        let bucket = self.bucket();
        assert!(self.worker.take(bucket, 1, Rank::Newcomer).is_err(), "no seat");
    }

    /// Adds up the ledger equation of the first bucket.
    ///
    /// # Panics
    /// If it does not hold.
    #[inline]
    pub fn audit(&mut self) {
        let bucket = self.bucket();
        assert!(self.worker.audit(bucket).is_some_and(Sums::is_balanced), "balanced");
    }

    fn bucket(&self) -> BucketId {
        self.uses[0].bucket
    }

    fn check_out(&mut self) -> LeaseId {
        self.claim += 1;
        let bucket = self.bucket();
        counter::check_out(&mut self.worker, bucket, &holder(self.claim), NOW).expect("a free seat")
    }
}
