//! A policy meets the seats that are out: which pools are counted from now on, and who has what of them already.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, MutexGuard},
};

use leasehold_protocol::vocab::FeatureName;

use crate::{
    book::{Book, Pool, Pools},
    lease::{Leases, Record},
    lock,
    plan::Plan,
    policy::Policy,
    pool::Use,
};

impl Leases {
    /// Counts the seats of `pools` by `policy` from now on, where its rules are about them or about features that are made of
    /// them under `plan`; no lease ends by it (P-6).
    ///
    /// Leases that were granted while nothing was counted are found in one walk over all. One that is published after that
    /// walk came by is brought here by who publishes it ([`Leases::count_in`]).
    pub(crate) fn rule(&self, pools: &Pools, plan: &Plan, policy: &Arc<Policy>) {
        let counted = counted(plan, policy);
        let all = pools.all();
        let mut new: BTreeMap<u32, MutexGuard<'_, Book>> = BTreeMap::new();
        for pool in &all {
            let is_on = counted.contains(&pool.id) || policy.counts(&pool.name);
            let mut book = lock(&pool.book);
            let is_as_before = book.quotas.is_on() == is_on && (!is_on || book.quotas.is_by(policy));
            if is_as_before {
                continue;
            }
            if !book.queue.is_empty() {
                self.queues.stir(pool);
            }
            book.quotas.set_policy(policy.clone(), &pool.name, is_on);
            pool.set_ruling(if is_on { self.next_ruling() } else { 0 });
            if is_on {
                new.insert(pool.id, book);
            }
        }
        if !new.is_empty() {
            self.count_all(&mut new);
        }
    }

    fn count_all(&self, books: &mut BTreeMap<u32, MutexGuard<'_, Book>>) {
        for slot in self.stock.slab().indices() {
            let Some(record) = self.records.get(slot) else { continue };
            let record = lock(record);
            let Some(record) = record.as_deref() else { continue };
            let Some(book) = books.get_mut(&record.pool.id) else { continue };
            if self.stock.slab().deadline_of(record.id).is_some() {
                count(book, record, &self.stock.slab().uses(slot));
            }
        }
    }

    /// Sees to a lease whose seats were taken while a policy was being put in force.
    pub(crate) fn count_in(&self, record: &Record) {
        let mut book = lock(&record.pool.book);
        if let Some((record, uses)) = self.record_and_uses(record.id) {
            count(&mut book, &record, &uses);
        }
    }
}

/// Counts a lease, if that has not been done.
fn count(book: &mut Book, record: &Record, uses: &[Use]) {
    // Who shares the seats of another has none.
    if book.quotas.is_on() && !uses.is_empty() && !book.quotas.knows(record.number) {
        let case = book.quotas.case(record.asked());
        book.enter(record.number, case, uses);
    }
}

/// The numbers of the pools that features are made of which `policy` counts.
fn counted(plan: &Plan, policy: &Policy) -> BTreeSet<u32> {
    let is_counted = |name: &FeatureName| policy.counts(name);
    let pool = |pool: &Arc<Pool>| pool.id;
    plan.features.iter().filter(|(name, _)| is_counted(name)).map(|(_, feature)| pool(feature.seats())).collect()
}
