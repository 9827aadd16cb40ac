//! What one worker does with leases: opens them, ends them, and ends those that are due.

use leasehold_protocol::{time::Mono, vocab::LeaseId};

use super::{
    due::Looked,
    seats::{BucketId, GIVING},
    slab::{Due, Terms},
    worker::{Use, Worker},
};

impl Worker {
    /// Takes a free slot for a lease to come; `None` if there are as many leases as there may be. The slot is this worker's
    /// alone until [`Worker::publish`] or [`Worker::unreserve`].
    ///
    /// The limit is exact for one worker; of several that reach it together, each may open one lease more, or be refused the
    /// last one while another is ending a lease.
    #[inline]
    pub fn reserve(&mut self) -> Option<LeaseId> {
        let slab = &self.stock.slab;
        if slab.indices().end >= slab.leases_max() || self.free.is_empty() {
            return self.reserve_slowly();
        }
        slab.named(self.free.pop()?)
    }

    /// Reserves the slots of `ids` under these very names, for leases that were written down: before any worker has opened one.
    /// The indices of those that could not be; each of the others is published or given back as any that was reserved.
    pub fn set_aside(&mut self, ids: &[LeaseId]) -> Vec<usize> {
        self.stock.slab.set_aside(ids, &mut self.free)
    }

    /// Gives back a slot that was reserved for nothing.
    pub fn unreserve(&mut self, id: LeaseId) {
        self.stock.slab.recycle(id.slot(), &mut self.free);
    }

    /// Makes `id` a lease over `uses`, which this worker took, that is alive until `deadline`.
    #[inline]
    pub fn publish(&mut self, id: LeaseId, terms: &Terms, ttl_ms: u32, deadline: Mono, uses: &[Use]) {
        self.stock.slab.publish(id, terms, ttl_ms, deadline, uses);
        self.own.count_leases(1);
    }

    /// [`Worker::reserve`] and [`Worker::publish`] in one, for who has nothing to do in between.
    #[inline]
    pub fn open(&mut self, terms: &Terms, ttl_ms: u32, deadline: Mono, uses: &[Use]) -> Option<LeaseId> {
        let slab = &self.stock.slab;
        if slab.indices().end >= slab.leases_max() || self.free.is_empty() {
            let id = self.reserve_slowly()?;
            self.publish(id, terms, ttl_ms, deadline, uses);
            return Some(id);
        }
        let id = slab.open(self.free.pop()?, terms, ttl_ms, deadline, uses)?;
        self.own.count_leases(1);
        Some(id)
    }

    /// Ends `id` whatever its deadline; whether the caller is the one that ended it, and what the deadline was. Who ended
    /// it must [`Worker::close`] it.
    #[inline]
    pub fn end(&mut self, id: LeaseId) -> Option<Mono> {
        match self.end_when(id, |_| true) {
            Due::Ended(deadline) => Some(deadline),
            Due::Later(_) | Due::Gone => None,
        }
    }

    /// Ends `id` if its deadline is `now` or earlier: the seat is free in the same millisecond, and not before. Who
    /// ended it must [`Worker::close`] it.
    pub fn end_if_due(&mut self, id: LeaseId, now: Mono) -> Due {
        self.end_when(id, |deadline| deadline <= now)
    }

    /// Gives back the seats of a lease this worker has ended, and its slot; whether somebody waits for one of them.
    #[inline]
    pub fn close(&mut self, id: LeaseId) -> bool {
        let waited = match self.stock.slab.short_uses(id.slot()) {
            Some([Some(only), None]) => self.give(only.bucket, only.seats),
            Some(uses) => self.give_all(uses.into_iter().flatten()),
            None => self.give_all(self.stock.slab.take_wide_uses(id.slot())),
        };
        self.put_away(id);
        waited
    }

    /// [`Worker::end`] and [`Worker::close`] in one, for who has nothing to do in between.
    #[inline]
    pub fn release(&mut self, id: LeaseId) -> Option<Mono> {
        let (slot, tenure) = self.stock.slab.place(id)?;
        // Nearly always the seats are of one bucket, and of one this worker has a cell of.
        if let Some(only) = tenure.only()
            && let Some(cell) = self.own.cells.get(only.bucket.0)
        {
            let out = cell.begin(GIVING);
            let Due::Ended(deadline) = slot.end_when(id, |_| true) else {
                cell.end(out, 0);
                return None;
            };
            // A guess until now; and if it was wrong, the wrong bucket is given nothing.
            if tenure.only() == Some(only) && cell.put_here(i64::from(only.seats)) {
                cell.end(out, -i64::from(only.seats));
                self.put_away(id);
                return Some(deadline);
            }
            cell.end(out, 0);
            self.close(id);
            return Some(deadline);
        }
        let deadline = self.end(id)?;
        self.close(id);
        Some(deadline)
    }

    /// Ends the leases that are due at `now`, at most `budget` of them, and hands each to `each`, which must
    /// [`Worker::close`] it; whether none was left. Looks at a bounded number of slots: what is left is due at once again
    /// ([`Slab::soonest`](super::Slab::soonest)).
    pub fn sweep(&mut self, now: Mono, budget: &mut usize, mut each: impl FnMut(&mut Self, LeaseId, Mono)) -> bool {
        let stock = self.stock.clone();
        stock.slab.look_for_due(now, |id| {
            if *budget == 0 {
                return Looked::Enough;
            }
            match self.end_if_due(id, now) {
                Due::Ended(deadline) => {
                    *budget -= 1;
                    each(self, id, deadline);
                    Looked::Gone
                }
                Due::Later(deadline) => Looked::Later(deadline),
                Due::Gone => Looked::Gone,
            }
        })
    }

    /// The same for leases with seats of a bucket that `is_one`, all of them up to `budget`, and no others: for who wants just
    /// those seats.
    pub fn sweep_of(
        &mut self,
        now: Mono,
        is_one: impl Fn(BucketId) -> bool,
        mut budget: usize,
        mut each: impl FnMut(&mut Self, LeaseId, Mono),
    ) {
        let stock = self.stock.clone();
        stock.slab.look_for_due_of(now, is_one, |id| {
            if let Due::Ended(deadline) = self.end_if_due(id, now) {
                budget -= 1;
                each(self, id, deadline);
            }
            budget > 0
        });
    }

    #[inline]
    fn end_when(&mut self, id: LeaseId, is_due: impl Fn(Mono) -> bool) -> Due {
        let Some((slot, tenure)) = self.stock.slab.place(id) else { return Due::Gone };
        let cell_of = |used: Use| self.own.cells.get(used.bucket.0);
        // Said before the lease ends, so that nobody is denied its seats for the moment in which they are nobody's. Whose
        // they are is a guess until it has ended.
        let said = tenure.uses().unwrap_or_default().map(|used| used.and_then(cell_of));
        said.into_iter().flatten().for_each(|cell| _ = cell.begin(GIVING));
        let due = slot.end_when(id, is_due);
        if !matches!(due, Due::Ended(_)) {
            for cell in said.into_iter().flatten() {
                let out = cell.begin(GIVING);
                cell.end(out, 0);
            }
        }
        due
    }

    /// Says that seats of a lease which this worker has ended and closed were not given back: another lease has them.
    pub fn handed_on(&mut self, uses: &[Use]) {
        for cell in uses.iter().filter_map(|used| self.own.cells.get(used.bucket.0)) {
            let out = cell.begin(GIVING);
            cell.end(out, 0);
        }
    }

    /// Keeps the slot of a lease that was closed.
    #[inline]
    fn put_away(&mut self, id: LeaseId) {
        self.own.count_leases(-1);
        self.stock.slab.recycle(id.slot(), &mut self.free);
    }

    fn give_all(&mut self, uses: impl IntoIterator<Item = Use>) -> bool {
        let waited = |waited: bool, used: Use| self.give(used.bucket, used.seats) | waited;
        uses.into_iter().fold(false, waited)
    }

    #[cold]
    #[inline(never)]
    fn reserve_slowly(&mut self) -> Option<LeaseId> {
        let Self { stock, free, .. } = self;
        let is_full = || stock.live() >= u64::from(stock.slab.leases_max());
        if stock.slab.indices().end >= stock.slab.leases_max() && is_full() {
            return None;
        }
        stock.slab.reserve(free)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let count = self.free.len();
        self.stock.slab.hand_back(count, &mut self.free);
        self.own.leave();
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::{super::Stock, *};

    /// A sign that is left in a cell keeps the ledger from being looked at, and makes every denial look again and again.
    #[test]
    fn seats_that_were_handed_on_are_nobodys_no_longer() {
        let stock = Stock::new(16);
        let mut worker = stock.join().unwrap();
        let bucket = stock.add_bucket().unwrap();
        worker.set_capacity(bucket, 3);
        let uses = [Use { bucket, seats: 2 }];
        worker.take(bucket, 2, super::super::Rank::Chosen).unwrap();
        let terms = Terms { claim: leasehold_protocol::vocab::ClaimProof(1), owner: 2, session: 3 };
        let (old, heir) = (worker.reserve().unwrap(), worker.reserve().unwrap());
        worker.publish(old, &terms, 1000, Mono(1000), &uses);
        worker.publish(heir, &terms, 1000, Mono(1000), &[]);
        worker.end(old).unwrap();
        assert_eq!(worker.audit(bucket), None, "they are in its hand");
        stock.slab().set_uses(heir.slot(), &uses);
        stock.slab().set_uses(old.slot(), &[]);
        worker.close(old);
        worker.handed_on(&uses);
        let sums = worker.audit(bucket).expect("nothing moves");
        assert!(sums.is_balanced() && sums.out == 2, "{sums:?}");
        worker.end(heir).unwrap();
        worker.close(heir);
        assert_eq!(worker.audit(bucket).map(|sums| (sums.free, sums.out)), Some((3, 0)));
    }
}
