//! A lock-free slab of leases, and one atomic counter a feature.

use leasehold_protocol::time::Mono;
use sharded_slab::Slab;

use super::{
    Design, Hand,
    record::{Counter, Shared},
};
use crate::counter::Terms;

/// `sharded-slab` and a counter.
pub struct Sharded {
    free: Vec<Counter>,
    leases: Slab<Shared>,
}

impl Design for Sharded {
    const NAME: &'static str = "sharded-slab + counter";
    type Id = usize;
    type Hand<'a> = &'a Self;

    fn new(features: u32, seats: u32) -> Self {
        Self { free: (0..features).map(|_| Counter::new(seats)).collect(), leases: Slab::new() }
    }

    fn hand(&self) -> &Self {
        self
    }
}

impl Hand for &Sharded {
    type Id = usize;

    #[inline]
    fn check_out(&mut self, feature: u32, terms: &Terms, now: Mono) -> Option<usize> {
        let free = self.free.get(feature as usize).filter(|free| free.take())?;
        let id = self.leases.insert(Shared::new(feature, terms, now));
        if id.is_none() {
            free.give();
        }
        id
    }

    #[inline]
    fn renew(&mut self, id: usize, terms: &Terms, now: Mono) -> bool {
        self.leases.get(id).is_some_and(|lease| lease.renew(terms, now))
    }

    #[inline]
    fn release(&mut self, id: usize) -> bool {
        let Some(lease) = self.leases.take(id) else { return false };
        self.free[lease.feature as usize].give();
        true
    }
}
