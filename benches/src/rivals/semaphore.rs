//! A semaphore a feature. What it lacks, the leases, lie in `sharded-slab`: of what was at hand, that costs least.

use leasehold_protocol::time::Mono;
use sharded_slab::Slab;
use tokio::sync::Semaphore;

use super::{Design, Hand, record::Shared};
use crate::counter::Terms;

/// tokio's `Semaphore`, and a slab.
pub struct Semaphores {
    free: Vec<Semaphore>,
    leases: Slab<Shared>,
}

impl Design for Semaphores {
    const NAME: &'static str = "tokio Semaphore + slab";
    type Id = usize;
    type Hand<'a> = &'a Self;

    fn new(features: u32, seats: u32) -> Self {
        Self { free: (0..features).map(|_| Semaphore::new(seats as usize)).collect(), leases: Slab::new() }
    }

    fn hand(&self) -> &Self {
        self
    }
}

impl Hand for &Semaphores {
    type Id = usize;

    #[inline]
    fn check_out(&mut self, feature: u32, terms: &Terms, now: Mono) -> Option<usize> {
        let permit = self.free.get(feature as usize)?.try_acquire().ok()?;
        let id = self.leases.insert(Shared::new(feature, terms, now))?;
        // The lease has it: it comes back by `release`.
        permit.forget();
        Some(id)
    }

    #[inline]
    fn renew(&mut self, id: usize, terms: &Terms, now: Mono) -> bool {
        self.leases.get(id).is_some_and(|lease| lease.renew(terms, now))
    }

    #[inline]
    fn release(&mut self, id: usize) -> bool {
        let Some(lease) = self.leases.take(id) else { return false };
        self.free[lease.feature as usize].add_permits(1);
        true
    }
}
