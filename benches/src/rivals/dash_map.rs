//! A sharded map of leases, and one atomic counter a feature.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use leasehold_protocol::time::Mono;

use super::{
    Design, Hand,
    record::{Counter, Record},
};
use crate::counter::Terms;

/// `DashMap` and a counter.
pub struct Dash {
    free: Vec<Counter>,
    leases: DashMap<u64, Record, RandomState>,
    hands: AtomicU64,
}

/// Names its leases itself: 2^40 of them, under its own number.
pub struct At<'a> {
    dash: &'a Dash,
    next: u64,
}

impl Design for Dash {
    const NAME: &'static str = "DashMap + counter";
    type Id = u64;
    type Hand<'a> = At<'a>;

    fn new(features: u32, seats: u32) -> Self {
        let free = (0..features).map(|_| Counter::new(seats)).collect();
        Self { free, leases: DashMap::default(), hands: AtomicU64::new(0) }
    }

    fn hand(&self) -> At<'_> {
        At { dash: self, next: self.hands.fetch_add(1, Ordering::Relaxed) << 40 }
    }
}

impl Hand for At<'_> {
    type Id = u64;

    #[inline]
    fn check_out(&mut self, feature: u32, terms: &Terms, now: Mono) -> Option<u64> {
        self.dash.free[feature as usize].take().then(|| {
            self.next += 1;
            self.dash.leases.insert(self.next, Record::new(feature, terms, now));
            self.next
        })
    }

    #[inline]
    fn renew(&mut self, id: u64, terms: &Terms, now: Mono) -> bool {
        self.dash.leases.get_mut(&id).is_some_and(|mut record| record.renew(terms, now))
    }

    #[inline]
    fn release(&mut self, id: u64) -> bool {
        let Some((_, record)) = self.dash.leases.remove(&id) else { return false };
        self.dash.free[record.feature as usize].give();
        true
    }
}
