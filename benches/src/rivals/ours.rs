//! Ours: seats in per-worker cells, leases in slots.

use std::sync::Arc;

use leasehold_protocol::{time::Mono, vocab::LeaseId};

use super::{Design, Hand};
use crate::counter::{self, BucketId, Stock, Terms, Worker};

/// See `docs/allocation.md` of the core.
pub struct Ours {
    stock: Arc<Stock>,
    buckets: Vec<BucketId>,
}

/// A worker and the buckets it knows.
pub struct At<'a> {
    worker: Worker,
    buckets: &'a [BucketId],
}

impl Design for Ours {
    const NAME: &'static str = "leasehold";
    type Id = LeaseId;
    type Hand<'a> = At<'a>;

    fn new(features: u32, seats: u32) -> Self {
        let (stock, buckets) = counter::stocked(features, i64::from(seats), 1 << 20);
        Self { stock, buckets }
    }

    fn hand(&self) -> At<'_> {
        At { worker: self.stock.join().expect("a desk"), buckets: &self.buckets }
    }
}

impl Hand for At<'_> {
    type Id = LeaseId;

    #[inline]
    fn check_out(&mut self, feature: u32, terms: &Terms, now: Mono) -> Option<LeaseId> {
        counter::check_out(&mut self.worker, self.buckets[feature as usize], terms, now)
    }

    #[inline]
    fn renew(&mut self, id: LeaseId, terms: &Terms, now: Mono) -> bool {
        counter::renew(self.worker.stock(), id, terms, now)
    }

    #[inline]
    fn release(&mut self, id: LeaseId) -> bool {
        counter::release(&mut self.worker, id)
    }
}
