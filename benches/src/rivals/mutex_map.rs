//! One lock around a map of leases and the counts of free seats.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use leasehold_protocol::time::Mono;

use super::{Design, Hand, record::Record};
use crate::counter::Terms;

/// `Mutex<HashMap>`.
pub struct Locked(Mutex<Inside>);

struct Inside {
    free: Vec<u32>,
    leases: HashMap<u64, Record, RandomState>,
    next: u64,
}

impl Locked {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Design for Locked {
    const NAME: &'static str = "Mutex<HashMap>";
    type Id = u64;
    type Hand<'a> = &'a Self;

    fn new(features: u32, seats: u32) -> Self {
        let free = vec![seats; features as usize];
        Self(Mutex::new(Inside { free, leases: HashMap::default(), next: 0 }))
    }

    fn hand(&self) -> &Self {
        self
    }
}

impl Hand for &Locked {
    type Id = u64;

    #[inline]
    fn check_out(&mut self, feature: u32, terms: &Terms, now: Mono) -> Option<u64> {
        let record = Record::new(feature, terms, now);
        let mut inside = self.lock();
        let free = inside.free.get_mut(feature as usize)?;
        *free = free.checked_sub(1)?;
        inside.next += 1;
        let id = inside.next;
        inside.leases.insert(id, record);
        Some(id)
    }

    #[inline]
    fn renew(&mut self, id: u64, terms: &Terms, now: Mono) -> bool {
        self.lock().leases.get_mut(&id).is_some_and(|record| record.renew(terms, now))
    }

    #[inline]
    fn release(&mut self, id: u64) -> bool {
        let mut inside = self.lock();
        let Some(record) = inside.leases.remove(&id) else { return false };
        inside.free[record.feature as usize] += 1;
        true
    }
}
