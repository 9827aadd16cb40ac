//! The seats of each feature, by name: what outlives every plan.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{Ordering, fence},
    },
};

use leasehold_protocol::{
    time::Mono,
    vocab::{FeatureName, LeaseId, RealmId},
};

use super::Book;
use crate::{
    joint::Joints,
    lease::Leases,
    lock,
    pool::{BucketId, Stock, Tally},
};

/// All seats of one feature in one realm. Outlives every plan.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Unique on this server.
    pub(crate) id: u32,
    pub(crate) realm: RealmId,
    pub(crate) name: FeatureName,
    /// Its leases, counted as an uncounted bucket counts: by those who open and close them.
    pub(crate) leases: BucketId,
    /// Its seats that are out and made of another feature's, counted likewise (L-14). Made when the first goes out.
    drawn_out: OnceLock<Option<BucketId>>,
    /// Its seats that stay after a release, counted likewise.
    lingering: OnceLock<Option<BucketId>>,
    pub(crate) book: Mutex<Book>,
    pub(crate) next_due: Mutex<NextDueHint>,
    /// Its leases that share seats.
    pub(crate) joints: Mutex<Joints>,
    /// Which policy its seats are counted by, by number; 0: by none ([`Book::quotas`]).
    ruling: Tally,
}

/// Which lease was found to be due back next, and when that was looked up.
#[derive(Debug, Default)]
pub(crate) struct NextDueHint {
    pub(crate) at: Option<Mono>,
    pub(crate) lease: Option<LeaseId>,
    /// The slot to go on looking at.
    pub(crate) slot: u32,
}

/// The pools of one realm, by name. A pool is made when a certificate first names its feature and stays.
#[derive(Debug)]
pub(crate) struct Pools {
    realm: RealmId,
    by_name: Mutex<BTreeMap<FeatureName, Arc<Pool>>>,
}

impl Pool {
    /// The bucket that counts its seats which are made of another feature's; `None` if there is no room for one.
    pub(crate) fn drawn_out(&self, stock: &Stock) -> Option<BucketId> {
        *self.drawn_out.get_or_init(|| stock.add_uncounted())
    }

    /// The bucket that counts its seats that stay after a release; `None` if there is no room for one.
    pub(crate) fn lingering(&self, stock: &Stock) -> Option<BucketId> {
        *self.lingering.get_or_init(|| stock.add_uncounted())
    }

    /// Its seats that are out and made of another feature's.
    pub(crate) fn drawn_seats(&self, stock: &Stock) -> u64 {
        out_of(&self.drawn_out, stock)
    }

    /// Its seats that stay after a release.
    pub(crate) fn lingering_seats(&self, stock: &Stock) -> u64 {
        out_of(&self.lingering, stock)
    }
}

impl Pool {
    /// Which policy its seats are counted by; 0: by none. For who has just published a lease: if this is still what it was
    /// before its seats were taken, who puts another policy in force finds the lease.
    ///
    /// Ordering: as in `Planner::is_still`, paired with [`Pool::set_ruling`].
    pub(crate) fn ruling(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.ruling.get()
    }

    /// Whether a lease of it that has been taken out of the records is to be taken out of the quotas. Whoever put it there
    /// had its record in hand, or its own book, and had set this before.
    pub(crate) fn is_ruled(&self) -> bool {
        self.ruling.get() != 0
    }

    /// Ordering: see [`Pool::ruling`].
    pub(crate) fn set_ruling(&self, number: u64) {
        self.ruling.set(number);
        fence(Ordering::SeqCst);
    }
}

fn out_of(bucket: &OnceLock<Option<BucketId>>, stock: &Stock) -> u64 {
    bucket.get().copied().flatten().map_or(0, |bucket| stock.out(bucket).max(0).unsigned_abs())
}

impl Pools {
    pub(crate) fn new(realm: RealmId) -> Self {
        Self { realm, by_name: Mutex::default() }
    }

    /// The pool of the feature called `name`, made if there is none; `None` if there is no room for one more.
    pub(crate) fn of(&self, name: &FeatureName, leases: &Leases) -> Option<Arc<Pool>> {
        let mut by_name = lock(&self.by_name);
        if let Some(pool) = by_name.get(name) {
            return Some(pool.clone());
        }
        let pool = Arc::new(Pool {
            id: leases.next_pool_id(),
            realm: self.realm,
            name: name.clone(),
            leases: leases.stock.add_uncounted()?,
            drawn_out: OnceLock::new(),
            lingering: OnceLock::new(),
            book: Mutex::default(),
            next_due: Mutex::default(),
            joints: Mutex::default(),
            ruling: Tally::default(),
        });
        by_name.insert(name.clone(), pool.clone());
        Some(pool)
    }

    /// Every pool, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Pool>> {
        lock(&self.by_name).values().cloned().collect()
    }
}
