//! Leases whose lots are gone (L-10): found when a plan changes, moved where there is room, oldest grant first, and marked
//! until then. All under the lock of their feature's book.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use leasehold_protocol::vocab::{LeaseId, Version};

use crate::{
    book::{Book, Pool},
    lease::{Leases, Record},
    lock,
    pool::{BucketId, Use, Worker},
};

/// Leases with seats of lots that are gone, by the number of their pool: grant number, id, version wanted.
pub(crate) type Holders = BTreeMap<u32, Vec<(u64, LeaseId, Version)>>;

impl Leases {
    /// The leases that hold seats of `gone`, found in one walk over all.
    pub(crate) fn holders_of(&self, gone: &BTreeSet<BucketId>) -> Holders {
        let (slab, mut holders) = (self.stock.slab(), Holders::new());
        if gone.is_empty() {
            return holders;
        }
        for slot in slab.indices() {
            // The words of a lease that ends meanwhile may say anything: a glance, before the record is locked.
            if !slab.may_use(slot, |bucket| gone.contains(&bucket)) {
                continue;
            }
            let Some(record) = self.records.get(slot) else { continue };
            if let Some(record) = lock(record).as_deref()
                && slab.deadline_of(record.id).is_some()
                && slab.uses(slot).iter().any(|used| gone.contains(&used.bucket))
            {
                holders.entry(record.pool.id).or_default().push((record.number, record.id, record.version));
            }
        }
        holders
    }

    /// Finds lots for the leases of a pool whose lots are not in force any more, `holders`, and marks those it finds none for.
    /// For a book whose lots have just changed and whose buckets are set waited; they stay so as long as somebody is over.
    pub(crate) fn rehome_all(&self, worker: &mut Worker, book: &mut Book, holders: Vec<(u64, LeaseId, Version)>) {
        for (id, _) in std::mem::take(&mut book.homeless).into_values() {
            self.mark(id, false);
        }
        book.homeless_least = holders.iter().map(|(_, _, version)| *version).min().unwrap_or_default();
        for (number, id, version) in holders {
            if self.mark(id, true) {
                book.homeless.insert(number, (id, version));
            }
        }
        self.rehome(worker, book);
        book.settle_waited(worker);
    }

    /// Sees to a lease that was granted while the plan it was granted under was being replaced: who looked for holders of
    /// lots that are gone may have come before it.
    pub(crate) fn settle_in(&self, worker: &mut Worker, record: &Record) {
        let mut book = lock(&record.pool.book);
        // Before it is looked at, so that who ends it from here on comes by.
        book.set_waited(worker, true);
        if let Some((_, uses)) = self.record_and_uses(record.id)
            && !uses.iter().all(|used| book.is_covered(used.bucket))
            && self.mark(record.id, true)
        {
            book.homeless_least = book.homeless_least.min(record.version);
            book.homeless.insert(record.number, (record.id, record.version));
            self.rehome(worker, &mut book);
        }
        book.settle_waited(worker);
    }

    /// Passes on seats of `pool` that came back while somebody waited for them; grant number `number` has ended.
    pub(crate) fn tend(&self, worker: &mut Worker, pool: &Arc<Pool>, number: u64) {
        let mut book = lock(&pool.book);
        book.homeless.remove(&number);
        self.rehome(worker, &mut book);
        if book.homeless.is_empty() {
            book.settle_waited(worker);
        }
        if !book.queue.is_empty() {
            self.queues.stir(pool);
        }
    }

    /// Finds lots for the overage of `book`, oldest grant first.
    fn rehome(&self, worker: &mut Worker, book: &mut Book) {
        let mut from = 0;
        let mut best = book.best_free(worker);
        // Nearly always there is nothing free, or nothing that any of them could use.
        while let Some(version) = best.filter(|best| *best >= book.homeless_least) {
            let next = book.homeless.range(from..).find(|(_, (_, wanted))| *wanted <= version);
            let Some((number, (id, wanted))) = next.map(|(number, lease)| (*number, *lease)) else { return };
            if self.move_seats(worker, book, id, wanted) {
                book.homeless.remove(&number);
            }
            from = number + 1;
            best = book.best_free(worker);
        }
    }

    /// Marks `id` as standing above what the licences allow, or no more; whether it is alive.
    fn mark(&self, id: LeaseId, over: bool) -> bool {
        let Some(record) = self.records.get(id.slot()) else { return false };
        // Held, so that the slot is not another lease's by then: who ends this one takes the record out first.
        let record = lock(record);
        let is_there = record.as_deref().is_some_and(|record| record.id == id);
        if is_there {
            self.stock.slab().set_overage(id, over);
        }
        is_there
    }

    /// Moves the seats of `id` onto lots in force, as far as there is room; whether all of them are then, or it has ended.
    fn move_seats(&self, worker: &mut Worker, book: &Book, id: LeaseId, version: Version) -> bool {
        let Some(record) = self.records.get(id.slot()) else { return true };
        let mut back: Vec<Use> = Vec::new();
        let all = {
            // Held until the uses are written: who ends the lease takes the record out first, and reads them then.
            let mut record = lock(record);
            let Some(record) = record.as_deref_mut().filter(|record| record.id == id) else { return true };
            let mut uses = self.stock.slab().uses(id.slot());
            let machine = &record.holder.hostids;
            let all = book.cover(worker, version, machine, &mut uses, &mut back);
            self.stock.slab().set_uses(id.slot(), &uses);
            if all {
                self.stock.slab().set_overage(id, false);
                record.right_ends = book.first_end(&uses);
            }
            all
        };
        for used in back {
            worker.give(used.bucket, used.seats);
        }
        all
    }
}
