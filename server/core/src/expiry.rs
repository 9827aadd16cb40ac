//! Ordered deadlines (E-5).
//!
//! A lease is filed under a deadline when it is granted, in its feature's book; the book is filed under the earliest of
//! them in [`Wakeups`]. A renewal moves the deadline in the slab and leaves both where they are: they are then too early,
//! and whoever comes by when they are due files the lease anew under its true deadline. So a renewal costs nothing here,
//! and each lease is looked at about once per TTL.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use leasehold_protocol::{time::Mono, vocab::LeaseId};

use crate::{
    book::{Book, Pool},
    lock,
    pool::{Due, Slab, Tally},
};

/// Which books have leases that may be due, and when.
#[derive(Debug)]
pub(crate) struct Wakeups {
    books: Mutex<BTreeMap<(Mono, u32), Arc<Pool>>>,
    /// The first key of `books`, for [`Wakeups::next`]; [`NEVER`] if there is none.
    next: Tally,
}

/// What a sweep found at the front of a book.
pub(crate) enum Front {
    /// A lease the caller has just ended in the slab; it was due at that deadline.
    Ended(LeaseId, Mono),
    /// Nothing is due.
    Quiet,
}

const NEVER: u64 = u64::MAX;
/// How many leases one denial files anew at most to find out who is due back next.
const LOOK_AHEAD_MAX: usize = 64;

impl Default for Wakeups {
    fn default() -> Self {
        Self { books: Mutex::default(), next: Tally::new(NEVER) }
    }
}

impl Wakeups {
    /// Files the book of `pool` under its earliest deadline, if it is not filed under that or an earlier one.
    pub(crate) fn file(&self, book: &mut Book, pool: &Arc<Pool>) {
        let Some((front, _)) = book.due.first().copied() else { return };
        if book.wake.is_some_and(|wake| wake <= front) {
            return;
        }
        let mut books = lock(&self.books);
        if let Some(wake) = book.wake.replace(front) {
            books.remove(&(wake, pool.id));
        }
        books.insert((front, pool.id), pool.clone());
        self.note_next(&books);
    }

    /// Takes out the first book that is filed under `now` or earlier. The caller looks at it and files it again.
    pub(crate) fn take_due(&self, now: Mono) -> Option<Arc<Pool>> {
        if self.next.get() > now.0 {
            return None;
        }
        let mut books = lock(&self.books);
        let entry = books.first_entry().filter(|entry| entry.key().0 <= now)?;
        let pool = entry.remove();
        self.note_next(&books);
        Some(pool)
    }

    /// The earliest instant any book is filed under: no lease is due before.
    pub(crate) fn next(&self) -> Option<Mono> {
        Some(self.next.get()).filter(|next| *next != NEVER).map(Mono)
    }

    fn note_next(&self, books: &BTreeMap<(Mono, u32), Arc<Pool>>) {
        self.next.set(books.first_key_value().map_or(NEVER, |((at, _), _)| at.0));
    }
}

impl Book {
    /// Files a lease under `deadline`.
    pub(crate) fn file(&mut self, slab: &Slab, lease: LeaseId, deadline: Mono) {
        slab.set_filed(lease, deadline);
        self.due.insert((deadline, lease));
    }

    /// Takes a lease out of the order.
    pub(crate) fn unfile(&mut self, slab: &Slab, lease: LeaseId) {
        self.due.remove(&(slab.filed(lease), lease));
    }

    /// Whether some lease is filed under `now` or earlier.
    pub(crate) fn has_due(&self, now: Mono) -> bool {
        self.due.first().is_some_and(|(filed, _)| *filed <= now)
    }

    /// Ends the first lease whose deadline is `now` or earlier, filing anew on the way those that were renewed since they
    /// were filed. At most `budget` leases are looked at; what is left of it is written back.
    pub(crate) fn end_first_due(&mut self, slab: &Slab, now: Mono, budget: &mut usize) -> Front {
        while let Some((filed, lease)) = self.due.first().copied() {
            if filed > now || *budget == 0 {
                break;
            }
            *budget -= 1;
            self.due.pop_first();
            match slab.end_if_due(lease, now) {
                Due::Ended(deadline) => return Front::Ended(lease, deadline),
                Due::Later(deadline) => self.file(slab, lease, deadline),
                Due::Gone => {}
            }
        }
        Front::Quiet
    }

    /// Which lease is due back next, and when. Exact as long as no more than [`LOOK_AHEAD_MAX`] leases were renewed since
    /// anybody looked; else the earliest of those.
    pub(crate) fn next_due(&mut self, slab: &Slab) -> Option<(LeaseId, Mono)> {
        let mut best: Option<(Mono, LeaseId)> = None;
        for _ in 0..LOOK_AHEAD_MAX {
            let (filed, lease) = self.due.first().copied()?;
            let Some(deadline) = slab.deadline_of(lease) else {
                self.due.pop_first();
                continue;
            };
            best = Some(best.map_or((deadline, lease), |best| best.min((deadline, lease))));
            if filed == deadline {
                break;
            }
            self.due.pop_first();
            self.file(slab, lease, deadline);
        }
        best.map(|(deadline, lease)| (lease, deadline))
    }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::vocab::{ClaimKey, FeatureName, RealmId};

    use super::*;
    use crate::pool::Terms;

    const TTL_MS: u32 = 1000;

    fn pool(id: u32) -> Arc<Pool> {
        let name = FeatureName::new("A").unwrap();
        Arc::new(Pool { id, realm: RealmId(1), name, book: Mutex::default() })
    }

    fn terms() -> Terms {
        Terms { claim: ClaimKey([1; 16]), owner: 1, session: 0 }
    }

    /// Leases granted at 1, 2, 3, ... ms and filed.
    fn filed(slab: &Slab, book: &mut Book, count: u64) -> Vec<LeaseId> {
        let grant = |at: u64| {
            let (id, deadline) = (slab.reserve().unwrap(), Mono(at).plus_ms(u64::from(TTL_MS)));
            slab.publish(id, &terms(), TTL_MS, deadline);
            book.file(slab, id, deadline);
            id
        };
        (1..=count).map(grant).collect()
    }

    fn renew(slab: &Slab, ids: &[LeaseId], at: u64) {
        for id in ids {
            assert!(matches!(slab.renew(*id, Mono(at), &terms(), None), crate::pool::Renewal::Alive { .. }));
        }
    }

    #[test]
    fn who_is_due_next_is_found_behind_leases_that_were_renewed() {
        let (slab, mut book) = (Slab::new(100), Book::default());
        let ids = filed(&slab, &mut book, 10);
        renew(&slab, &ids[..6], 500);
        assert_eq!(book.next_due(&slab), Some((ids[6], Mono(1007))));
        assert_eq!(book.due.len(), 10);
        assert_eq!(Book::default().next_due(&slab), None);
    }

    #[test]
    fn looking_for_who_is_due_next_is_bounded() {
        let (slab, mut book) = (Slab::new(1000), Book::default());
        let ids = filed(&slab, &mut book, 500);
        renew(&slab, &ids, 600);
        let (_, deadline) = book.next_due(&slab).unwrap();
        assert_eq!(deadline, Mono(1600), "the best of those looked at");
        let filed_anew = book.due.iter().filter(|(at, _)| *at == Mono(1600)).count();
        assert_eq!(filed_anew, LOOK_AHEAD_MAX);
    }

    #[test]
    fn a_sweep_ends_what_is_due_and_files_the_rest_anew() {
        let (slab, mut book) = (Slab::new(100), Book::default());
        let ids = filed(&slab, &mut book, 4);
        renew(&slab, &ids[1..2], 900);
        let (mut budget, mut ended) = (100, vec![]);
        while let Front::Ended(id, at) = book.end_first_due(&slab, Mono(1003), &mut budget) {
            ended.push((id, at));
        }
        assert_eq!(ended, [(ids[0], Mono(1001)), (ids[2], Mono(1003))]);
        assert_eq!(budget, 97);
        let left: Vec<_> = book.due.iter().copied().collect();
        assert_eq!(left, [(Mono(1004), ids[3]), (Mono(1900), ids[1])]);
    }

    #[test]
    fn a_book_is_filed_under_its_earliest_deadline_once() {
        let (slab, wakeups, pool) = (Slab::new(100), Wakeups::default(), pool(1));
        let mut book = lock(&pool.book);
        wakeups.file(&mut book, &pool);
        assert_eq!(wakeups.next(), None);
        filed(&slab, &mut book, 3);
        wakeups.file(&mut book, &pool);
        wakeups.file(&mut book, &pool);
        assert_eq!((wakeups.next(), lock(&wakeups.books).len()), (Some(Mono(1001)), 1));
        drop(book);
        assert!(wakeups.take_due(Mono(1000)).is_none());
        assert!(wakeups.take_due(Mono(1001)).is_some());
        assert!(wakeups.take_due(Mono(9999)).is_none());
    }
}
