//! Leases whose lots are gone (L-10): found when a plan changes, moved where there is room, oldest grant first, and marked
//! until then. All under the lock of their feature's book.

use std::{collections::BTreeSet, sync::Arc};

use leasehold_protocol::vocab::{LeaseId, Version};

use crate::{
    book::{Book, Pool},
    lease::{Leases, Record},
    lock,
    pool::{BucketId, Use, Worker},
};

impl Leases {
    /// Finds lots for the leases of `pool` whose lots are not in force any more, and marks those it finds none for. For a
    /// book whose lots have just changed and whose buckets are set waited; they stay so as long as somebody is over.
    pub(crate) fn rehome_all(&self, worker: &mut Worker, pool: &Arc<Pool>, book: &mut Book) {
        let gone: BTreeSet<BucketId> =
            book.entries.values().filter(|entry| !entry.in_force).map(|e| e.bucket).collect();
        let is_out = |bucket: &BucketId| worker.stock().out(*bucket) != 0;
        let found = if gone.iter().any(is_out) { self.holders_of(pool, &gone) } else { Vec::new() };
        for (id, _) in std::mem::take(&mut book.homeless).into_values() {
            self.stock.slab().set_overage(id, false);
        }
        for (number, id, version) in found {
            self.stock.slab().set_overage(id, true);
            book.homeless.insert(number, (id, version));
        }
        self.rehome(worker, book);
        book.set_waited(worker, !book.homeless.is_empty());
    }

    /// Sees to a lease that was granted while the plan it was granted under was being replaced: who looked for holders of
    /// lots that are gone may have come before it.
    pub(crate) fn settle_in(&self, worker: &mut Worker, record: &Record) {
        let mut book = lock(&record.pool.book);
        let Some((_, uses)) = self.record_and_uses(record.id) else { return };
        if uses.iter().all(|used| book.is_covered(used.bucket)) {
            return;
        }
        book.set_waited(worker, true);
        self.stock.slab().set_overage(record.id, true);
        book.homeless.insert(record.number, (record.id, record.version));
        self.rehome(worker, &mut book);
        book.set_waited(worker, !book.homeless.is_empty());
    }

    /// Passes on seats of `pool` that came back while somebody waited for them; grant number `number` has ended.
    pub(crate) fn tend(&self, worker: &mut Worker, pool: &Pool, number: u64) {
        let mut book = lock(&pool.book);
        book.homeless.remove(&number);
        self.rehome(worker, &mut book);
        book.set_waited(worker, !book.homeless.is_empty());
    }

    /// The leases that hold seats of `gone`: grant number, id, version wanted.
    fn holders_of(&self, pool: &Arc<Pool>, gone: &BTreeSet<BucketId>) -> Vec<(u64, LeaseId, Version)> {
        let slab = self.stock.slab();
        let holder = |slot: u32| {
            // The words of a lease that ends meanwhile may say anything: a glance, before the record is locked.
            if !slab.may_use(slot, |bucket| gone.contains(&bucket)) {
                return None;
            }
            let record = lock(self.records.get(slot)?);
            let record = record.as_deref().filter(|record| Arc::ptr_eq(&record.pool, pool))?;
            slab.deadline_of(record.id)?;
            let is_over = slab.uses(slot).iter().any(|used| gone.contains(&used.bucket));
            is_over.then_some((record.number, record.id, record.version))
        };
        slab.indices().filter_map(holder).collect()
    }

    /// Finds lots for the overage of `book`, oldest grant first.
    fn rehome(&self, worker: &mut Worker, book: &mut Book) {
        let waiting: Vec<_> = book.homeless.iter().map(|(number, lease)| (*number, *lease)).collect();
        for (number, (id, version)) in waiting {
            match book.best_free(worker) {
                None => return,
                Some(best) if best < version => continue,
                Some(_) => {}
            }
            if self.move_seats(worker, book, id, version) {
                book.homeless.remove(&number);
                self.stock.slab().set_overage(id, false);
            }
        }
    }

    /// Moves the seats of `id` onto lots in force, as far as there is room; whether all of them are then, or it has ended.
    fn move_seats(&self, worker: &mut Worker, book: &Book, id: LeaseId, version: Version) -> bool {
        let Some(record) = self.records.get(id.slot()) else { return true };
        let mut back: Vec<Use> = Vec::new();
        let all = {
            // Held until the uses are written: who ends the lease takes the record out first, and reads them then.
            let record = lock(record);
            if record.as_deref().is_none_or(|record| record.id != id) {
                return true;
            }
            let mut uses = self.stock.slab().uses(id.slot());
            let all = book.cover(worker, version, &mut uses, &mut back);
            self.stock.slab().set_uses(id.slot(), &uses);
            all
        };
        for used in back {
            worker.give(used.bucket, used.seats);
        }
        all
    }
}
