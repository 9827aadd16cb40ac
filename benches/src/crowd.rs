//! A stock with many leases alive, and some of them at hand in no order.

use std::sync::Arc;

use leasehold_protocol::vocab::LeaseId;

use crate::{
    counter::{self, BucketId, NOW, Stock, Worker, holder},
    machine,
};

/// Leases, all of one feature.
pub struct Crowd {
    stock: Arc<Stock>,
    worker: Worker,
    bucket: BucketId,
    /// Lease and claim: to be renewed, and to be ended.
    renewed: Vec<(LeaseId, u64)>,
    ended: Vec<(LeaseId, u64)>,
    at: usize,
    claim: u64,
    bytes_each: f64,
}

/// Leases at hand: so many that the list of few comes by as often as that of many, and takes as much of a cache.
const AT_HAND: u32 = 1 << 19;

impl Crowd {
    /// So many leases.
    ///
    /// # Panics
    /// If that is more than a stock has.
    #[must_use]
    pub fn new(leases: u32) -> Self {
        let before = machine::resident();
        let (stock, buckets) = counter::stocked(1, i64::from(i32::MAX), leases + 1000);
        let (worker, bucket) = (stock.join().expect("a desk"), buckets[0]);
        let (renewed, ended, claim) = (Vec::new(), Vec::new(), 0);
        let mut crowd = Self { stock, worker, bucket, renewed, ended, at: 0, claim, bytes_each: f64::NAN };
        crowd.gather(leases);
        let at_hand = ((crowd.renewed.len() + crowd.ended.len()) * size_of::<(LeaseId, u64)>()) as f64;
        let used = machine::resident().zip(before).map_or(f64::NAN, |(after, before)| (after - before) as f64);
        crowd.bytes_each = (used - at_hand) / f64::from(leases);
        crowd.mingle();
        crowd
    }

    /// Memory the core took for each, as the kernel counts it.
    #[must_use]
    pub const fn bytes_each(&self) -> f64 {
        self.bytes_each
    }

    /// Renews one of them, whichever.
    ///
    /// # Panics
    /// If it is not alive.
    #[inline]
    pub fn renew(&mut self) {
        self.at = (self.at + 1) % self.renewed.len();
        let (id, claim) = self.renewed[self.at];
        assert!(counter::renew(&self.stock, id, &holder(claim), NOW), "alive");
    }

    /// Ends one of them, whichever, and opens another.
    ///
    /// # Panics
    /// If it is not alive.
    #[inline]
    pub fn churn(&mut self) {
        self.at = (self.at + 1) % self.ended.len();
        let (id, _) = self.ended[self.at];
        assert!(counter::release(&mut self.worker, id), "alive");
        self.ended[self.at] = self.open();
    }

    /// Opens one more and ends it.
    #[inline]
    pub fn pair(&mut self) {
        let (id, _) = self.open();
        counter::release(&mut self.worker, id);
    }

    fn open(&mut self) -> (LeaseId, u64) {
        self.claim += 1;
        let terms = holder(self.claim);
        (counter::check_out(&mut self.worker, self.bucket, &terms, NOW).expect("a free seat"), self.claim)
    }

    fn gather(&mut self, leases: u32) {
        let step = (leases / AT_HAND).max(2);
        for n in 0..leases {
            let lease = self.open();
            match n % step {
                0 => self.renewed.push(lease),
                1 => self.ended.push(lease),
                _ => {}
            }
        }
    }

    fn mingle(&mut self) {
        shuffle(&mut self.renewed);
        shuffle(&mut self.ended);
        self.renewed = self.renewed.iter().copied().cycle().take(AT_HAND as usize).collect();
    }
}

fn shuffle<T>(items: &mut [T]) {
    let mut state = 1_u64;
    for n in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(n, (state >> 33) as usize % (n + 1));
    }
}
