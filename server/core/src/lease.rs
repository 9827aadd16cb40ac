//! Leases: opened, renewed, ended.
//!
//! The hot words lie in the slab ([`crate::pool`]), where a renewal finds all it needs; what a lease is besides lies in a
//! record of the same number, which a renewal never touches.

use std::sync::{Arc, Mutex};

use leasehold_protocol::{
    crypto::Fingerprint,
    message::{Holder, LotUse},
    time::{Mono, Now, UnixMillis},
    vocab::{ClaimKey, LeaseId, RealmId, SeatCount, Version},
};

use crate::{
    Ended, LeaseStatus,
    book::{Book, Pool},
    claims::Claims,
    expiry::{Front, Wakeups},
    lock,
    pool::{Chunks, Due, Renewal, Slab, Tally, Terms},
};

/// All leases of all realms.
#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) slab: Slab,
    pub(crate) claims: Claims,
    pub(crate) wakeups: Wakeups,
    records: Chunks<Mutex<Option<Box<Record>>>>,
    grants: Tally,
    pools: Tally,
}

/// What a lease is, besides its hot words.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) pool: Arc<Pool>,
    pub(crate) claim: ClaimKey,
    pub(crate) client: Fingerprint,
    /// The version wanted.
    pub(crate) version: Version,
    pub(crate) seats: SeatCount,
    /// Where the seats come from; moves when a lot ends and another has room.
    pub(crate) uses: Vec<LotUse>,
    pub(crate) holder: Arc<Holder>,
    pub(crate) granted: Now,
    /// Grants in order, over the whole server.
    pub(crate) number: u64,
    pub(crate) ttl_ms: u32,
    pub(crate) grace_ms: u32,
    /// The first end of the rights it was granted from.
    pub(crate) right_ends: Option<UnixMillis>,
}

/// A lease about to be opened: the caller has taken its seats.
pub(crate) struct Opening {
    pub(crate) terms: Terms,
    pub(crate) record: Record,
    /// When it ends, if it is not renewed.
    pub(crate) deadline: Mono,
}

impl Leases {
    /// No leases yet, and room for `len_max`.
    pub(crate) fn new(len_max: u32) -> Self {
        let len_max = len_max.clamp(1, 1 << 24);
        Self {
            slab: Slab::new(len_max),
            claims: Claims::default(),
            wakeups: Wakeups::default(),
            records: Chunks::new(len_max),
            grants: Tally::default(),
            pools: Tally::default(),
        }
    }

    /// Opens a lease in `book`; `None` if every slot is in use, and the caller still has the seats.
    pub(crate) fn open(&self, book: &mut Book, opening: Opening) -> Option<LeaseId> {
        let Opening { terms, mut record, deadline } = opening;
        let id = self.slab.reserve()?;
        let pool = record.pool.clone();
        record.number = self.grants.add(1);
        let ttl_ms = record.ttl_ms;
        *lock(self.records.reach(id.slot(), Mutex::default)?) = Some(Box::new(record));
        self.slab.publish(id, &terms, ttl_ms, deadline);
        book.file(&self.slab, id, deadline);
        self.wakeups.file(book, &pool);
        debug_assert!(book.is_balanced(), "after granting {id}: {book:?}");
        Some(id)
    }

    /// Renews `id` for who shows `terms`. Touches one slot and no lock.
    pub(crate) fn renew(&self, id: LeaseId, now: Mono, terms: &Terms, lasts_ms: Option<u32>) -> Renewal {
        self.slab.renew(id, now, terms, lasts_ms)
    }

    /// The record of `id`, if it is alive.
    pub(crate) fn record(&self, id: LeaseId) -> Option<Record> {
        let record = lock(self.records.get(id.slot())?);
        self.slab.deadline_of(id)?;
        record.as_deref().cloned()
    }

    /// Ends `id` at `at` by its holder's wish; `None` if it has ended before.
    pub(crate) fn release(&self, id: LeaseId, at: Mono) -> Option<Ended> {
        let pool = self.pool_of(id)?;
        let mut book = lock(&pool.book);
        self.slab.end(id)?;
        self.close(&mut book, id, at)
    }

    /// Ends `id` if it has reached its deadline.
    pub(crate) fn expire(&self, id: LeaseId, now: Mono) -> Option<Ended> {
        let pool = self.pool_of(id)?;
        let mut book = lock(&pool.book);
        match self.slab.end_if_due(id, now) {
            Due::Ended(deadline) => self.close(&mut book, id, deadline),
            Due::Later(_) | Due::Gone => None,
        }
    }

    /// Ends every lease of `book` that has reached its deadline, looking at no more than `budget` leases.
    pub(crate) fn expire_all_of(&self, book: &mut Book, now: Mono, budget: &mut usize, ended: &mut Vec<Ended>) {
        while let Front::Ended(id, deadline) = book.end_first_due(&self.slab, now, budget) {
            ended.extend(self.close(book, id, deadline));
        }
    }

    /// Ends the leases of all books that have reached their deadline, looking at no more than `budget` leases; what is
    /// left is due at once again.
    pub(crate) fn expire_due(&self, now: Mono, mut budget: usize, ended: &mut Vec<Ended>) {
        while budget > 0
            && let Some(pool) = self.wakeups.take_due(now)
        {
            let mut book = lock(&pool.book);
            self.expire_all_of(&mut book, now, &mut budget, ended);
            book.wake = None;
            self.wakeups.file(&mut book, &pool);
        }
    }

    /// Finds lots for the leases whose lots are not in force any more, oldest grant first, and marks those it finds none
    /// for. For a book whose lots have just changed.
    pub(crate) fn rehome_all(&self, book: &mut Book) {
        if !book.is_over() && book.homeless.is_empty() {
            return;
        }
        book.homeless.clear();
        let everyone: Vec<LeaseId> = book.due.iter().map(|(_, id)| *id).collect();
        for id in everyone {
            self.slab.set_overage(id, false);
            let Some(record) = self.records.get(id.slot()) else { continue };
            if let Some(record) = lock(record).as_deref()
                && !record.uses.iter().all(|used| book.is_covered(used))
            {
                self.slab.set_overage(id, true);
                book.homeless.insert(record.number, (id, record.version));
            }
        }
        self.rehome(book);
        debug_assert!(book.is_balanced(), "after a new plan: {book:?}");
    }

    /// Finds lots for the overage of `book`, oldest grant first.
    fn rehome(&self, book: &mut Book) {
        if book.best_free().is_none() {
            return;
        }
        let waiting: Vec<_> = book.homeless.iter().map(|(number, lease)| (*number, *lease)).collect();
        for (number, (id, version)) in waiting {
            match book.best_free() {
                None => return,
                Some(best) if best < version => continue,
                Some(_) => {}
            }
            let Some(record) = self.records.get(id.slot()) else { continue };
            if let Some(record) = lock(record).as_deref_mut()
                && book.cover(version, &mut record.uses)
            {
                book.homeless.remove(&number);
                self.slab.set_overage(id, false);
            }
        }
    }

    /// Takes a lease out of the books that the caller has just ended in the slab; its seats are free then.
    fn close(&self, book: &mut Book, id: LeaseId, at: Mono) -> Option<Ended> {
        let record = lock(self.records.get(id.slot())?).take()?;
        let renewals = self.slab.renewals(id.slot());
        book.unfile(&self.slab, id);
        book.give_back(&record.uses);
        book.homeless.remove(&record.number);
        self.slab.recycle(id.slot());
        if !book.homeless.is_empty() {
            self.rehome(book);
        }
        debug_assert!(book.is_balanced(), "after ending {id}: {book:?}");
        Some(Ended {
            realm: record.pool.realm,
            lease: id,
            claim: record.claim,
            feature: record.pool.name.clone(),
            seats: record.seats,
            holder: record.holder,
            granted_at: record.granted.mono,
            at,
            renewals,
        })
    }

    fn pool_of(&self, id: LeaseId) -> Option<Arc<Pool>> {
        let record = lock(self.records.get(id.slot())?);
        record.as_deref().map(|record| record.pool.clone())
    }

    /// A number for a new pool.
    pub(crate) fn next_pool_id(&self) -> u32 {
        u32::try_from(self.pools.add(1)).unwrap_or(u32::MAX)
    }

    /// Every lease, in order of its slot, each as it was at one moment. `address_of` knows where a session is.
    pub(crate) fn statuses(
        &self,
        now: Now,
        address_of: impl Fn(u32) -> Option<std::net::SocketAddr>,
    ) -> Vec<LeaseStatus> {
        self.slab.indices().filter_map(|slot| self.status(slot, now, &address_of)).collect()
    }

    fn status(
        &self,
        slot: u32,
        now: Now,
        address_of: impl Fn(u32) -> Option<std::net::SocketAddr>,
    ) -> Option<LeaseStatus> {
        let record = lock(self.records.get(slot)?);
        let (record, view) = (record.as_deref()?, self.slab.view(slot)?);
        // Past its deadline a lease has ended, whether or not anybody swept it.
        (view.deadline > now.mono).then(|| LeaseStatus {
            id: view.id,
            realm: record.pool.realm,
            claim: record.claim,
            client: record.client,
            feature: record.pool.name.clone(),
            version: record.version,
            seats: record.seats,
            lots: record.uses.clone(),
            holder: record.holder.clone(),
            granted_at: record.granted.mono,
            granted_wall: record.granted.wall,
            deadline: view.deadline,
            remaining_ms: view.deadline.ms_since(now.mono),
            renewals: view.renewals,
            activity: view.activity,
            overage: view.overage,
            address: address_of(view.session),
        })
    }

    /// Adds up what the leases filed in `book` hold, by certificate.
    pub(crate) fn held_in(&self, book: &Book, mut each: impl FnMut(LeaseId, &Record)) {
        for (_, id) in &book.due {
            if let Some(record) = self.records.get(id.slot())
                && let Some(record) = lock(record).as_deref()
            {
                each(*id, record);
            }
        }
    }
}

/// Which realm a client speaks in and with which key, in 64 bits: what a lease keeps of its owner. The key's share is
/// half of its fingerprint, so that finding another key for it takes 2^64 tries, and guessing the claim key as well.
pub(crate) fn owner_of(client: Fingerprint, realm: RealmId) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&client.0[..8]);
    u64::from_le_bytes(half) ^ u64::from(realm.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
