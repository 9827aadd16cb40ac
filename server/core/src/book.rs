//! The seats of one feature: which lots they belong to, who has them, and when they are due.
//!
//! # One checkout over several lots (E-3)
//! Checkouts, ends and new plans of one feature are ordered by the lock of its book. A checkout that spans lots takes all
//! its parts under that lock or none, so nobody sees it half done, and nobody is denied by a half that is then given
//! back: who would be denied holds the lock, and has expired what is due under it. Renewals, which are nearly all there
//! is, never come here: they move a deadline in the slab, and the slab's hot word alone decides between a renewal and an
//! end. The count itself is atomic, so that those who only look need no lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use leasehold_protocol::{
    message::LotUse,
    time::Mono,
    vocab::{CertificateId, FeatureName, LeaseId, RealmId, SeatCount, Version},
};

use crate::{
    lease::Leases,
    lock,
    plan::{Lot, UNCOUNTED, serving},
    pool::Bucket,
};

/// All seats of one feature in one realm. Outlives every plan.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Unique on this server; orders pools whose leases are due in the same millisecond.
    pub(crate) id: u32,
    pub(crate) realm: RealmId,
    pub(crate) name: FeatureName,
    pub(crate) book: Mutex<Book>,
}

/// The pools of one realm, by name. A pool is made when a certificate first names its feature and stays.
#[derive(Debug)]
pub(crate) struct Pools {
    realm: RealmId,
    by_name: Mutex<BTreeMap<FeatureName, Arc<Pool>>>,
}

/// Who has which seats of one feature. The equation: in every entry, `free + leased == capacity`.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// By certificate: every lot in force, and every other one of which seats are out.
    pub(crate) entries: BTreeMap<CertificateId, Entry>,
    /// The lots in force, in the plan's order.
    lots: Vec<Lot>,
    /// Every lease, by the deadline it is filed under: its own or an earlier one (a renewal moves the deadline and not
    /// this).
    pub(crate) due: BTreeSet<(Mono, LeaseId)>,
    /// When this book has asked to be looked at.
    pub(crate) wake: Option<Mono>,
    /// Leases with seats of lots that are not in force: the overage, in the order they were granted.
    pub(crate) homeless: BTreeMap<u64, (LeaseId, Version)>,
}

/// The seats of one certificate.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The free ones.
    pub(crate) bucket: Arc<Bucket>,
    /// How many there are: the certificate's count while it is in force, else 0.
    pub(crate) capacity: i64,
    /// How many are out, counted lease by lease.
    pub(crate) leased: i64,
}

impl Pools {
    pub(crate) fn new(realm: RealmId) -> Self {
        Self { realm, by_name: Mutex::default() }
    }

    /// The pool of the feature called `name`, made if there is none.
    pub(crate) fn of(&self, name: &FeatureName, leases: &Leases) -> Arc<Pool> {
        let make = || {
            let id = leases.next_pool_id();
            Arc::new(Pool { id, realm: self.realm, name: name.clone(), book: Mutex::default() })
        };
        lock(&self.by_name).entry(name.clone()).or_insert_with(make).clone()
    }

    /// Every pool, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Pool>> {
        lock(&self.by_name).values().cloned().collect()
    }
}

impl Book {
    /// The bucket of `certificate`, made empty if there is none.
    pub(crate) fn bucket(&mut self, certificate: CertificateId) -> Arc<Bucket> {
        let empty = || Entry { bucket: Arc::new(Bucket::new(0)), capacity: 0, leased: 0 };
        self.entries.entry(certificate).or_insert_with(empty).bucket.clone()
    }

    /// Puts `lots` in force instead of those before. What is out of a lot that is not among them stays out, over its
    /// capacity of nothing.
    pub(crate) fn install(&mut self, lots: &[Lot]) {
        for lot in lots {
            // The last seat of a lot that was out of force may have come back since its bucket was asked for, and taken
            // the entry with it.
            let back = || Entry { bucket: lot.bucket.clone(), capacity: 0, leased: 0 };
            self.entries.entry(lot.certificate).or_insert_with(back);
        }
        let wanted: BTreeMap<_, _> = lots.iter().map(|lot| (lot.certificate, lot.capacity())).collect();
        for (id, entry) in &mut self.entries {
            let capacity = wanted.get(id).copied().unwrap_or(0);
            entry.bucket.change(capacity - entry.capacity);
            entry.capacity = capacity;
        }
        self.entries.retain(|id, entry| entry.leased != 0 || wanted.contains_key(id));
        self.lots = lots.to_vec();
    }

    /// Takes `seats` from the lots that answer `wanted`, in the order of L-11, all or none.
    pub(crate) fn take(&mut self, wanted: Version, seats: SeatCount, too_many: bool) -> Option<Vec<LotUse>> {
        let want = i64::from(seats.get());
        let slack = i64::from(too_many);
        if !self.homeless.is_empty() && self.spare() < want - slack {
            return None;
        }
        let Self { lots, entries, .. } = self;
        let mut uses = Vec::with_capacity(1);
        // Nearly always the first lot with a free seat has them all.
        if let Some(lot) = serving(lots, wanted).find(|lot| lot.bucket.free() > 0)
            && lot.bucket.take(want)
        {
            note_taken(entries, &mut uses, lot, want);
            return Some(uses);
        }
        let free = serving(lots, wanted).map(|lot| lot.bucket.free()).fold(0, i64::saturating_add);
        if free < want - slack {
            return None;
        }
        let left = take_in_order(lots, wanted, want, entries, &mut uses);
        if left > 0 {
            // A fault that was planted: the seat that is not there.
            let lot = serving(lots, wanted).next()?;
            lot.bucket.change(-left);
            note_taken(entries, &mut uses, lot, left);
        }
        Some(uses)
    }

    /// Gives the seats of a lease back that has ended.
    pub(crate) fn give_back(&mut self, uses: &[LotUse]) {
        for used in uses {
            let seats = i64::from(used.seats.get());
            if let Some(entry) = self.entries.get_mut(&used.certificate) {
                entry.leased -= seats;
                entry.bucket.change(seats);
                if entry.leased == 0 && entry.capacity == 0 {
                    self.entries.remove(&used.certificate);
                }
            }
        }
    }

    /// Moves seats that no lot in force covers onto lots that are, as far as there is room for a lease that wants
    /// `wanted`. Whether all of `uses` are covered then.
    pub(crate) fn cover(&mut self, wanted: Version, uses: &mut Vec<LotUse>) -> bool {
        let (mut covered, homeless): (Vec<_>, Vec<_>) = uses.iter().copied().partition(|used| self.is_covered(used));
        let mut all = true;
        for used in homeless {
            let want = used.seats.get();
            let left = take_in_order(&self.lots, wanted, i64::from(want), &mut self.entries, &mut covered);
            let left = u32::try_from(left).unwrap_or(0);
            if let Ok(seats) = SeatCount::new(want - left) {
                self.give_back(&[LotUse { seats, ..used }]);
            }
            if let Ok(seats) = SeatCount::new(left) {
                covered.push(LotUse { seats, ..used });
                all = false;
            }
        }
        *uses = covered;
        all
    }

    /// The equation: in every entry, `free + leased == capacity`. So many sums as there are lots; asserted after every
    /// step of a debug build.
    pub(crate) fn is_balanced(&self) -> bool {
        let holds = |entry: &Entry| entry.leased >= 0 && entry.bucket.free() + entry.leased == entry.capacity;
        self.entries.values().all(holds)
    }

    /// Whether the lot `used` is of is in force.
    pub(crate) fn is_covered(&self, used: &LotUse) -> bool {
        self.entries.get(&used.certificate).is_some_and(|entry| entry.capacity > 0)
    }

    /// Whether seats are out of lots that are not in force.
    pub(crate) fn is_over(&self) -> bool {
        self.entries.values().any(|entry| entry.capacity < entry.leased)
    }

    /// The highest version any free seat is of.
    pub(crate) fn best_free(&self) -> Option<Version> {
        self.lots.iter().filter(|lot| lot.bucket.free() > 0).map(|lot| lot.version).max()
    }

    /// Seats out.
    pub(crate) fn out(&self) -> u64 {
        u64::try_from(self.entries.values().map(|entry| entry.leased).sum::<i64>()).unwrap_or(0)
    }

    /// Seats out of `certificate`.
    pub(crate) fn out_of(&self, certificate: CertificateId) -> u64 {
        self.entries.get(&certificate).map_or(0, |entry| u64::try_from(entry.leased).unwrap_or(0))
    }

    /// Seats of all lots in force; `None` if some are not counted.
    pub(crate) fn capacity(&self) -> Option<u64> {
        self.lots.iter().map(|lot| lot.count().map(u64::from)).sum()
    }

    /// Seats out that nothing in force covers.
    pub(crate) fn overage(&self) -> u64 {
        let over = |entry: &Entry| u64::try_from(entry.leased - entry.capacity).unwrap_or(0);
        self.entries.values().map(over).sum()
    }

    /// Seats that may still go out: what there is less what is out, of whatever lot (L-10).
    fn spare(&self) -> i64 {
        let capacity = self.lots.iter().map(Lot::capacity).fold(0, i64::saturating_add);
        capacity - self.entries.values().map(|entry| entry.leased).sum::<i64>()
    }
}

/// Takes up to `want` seats for a request of `wanted`, lot by lot in the order of L-11; how many it did not get.
fn take_in_order(
    lots: &[Lot],
    wanted: Version,
    want: i64,
    entries: &mut BTreeMap<CertificateId, Entry>,
    uses: &mut Vec<LotUse>,
) -> i64 {
    let mut left = want;
    for lot in serving(lots, wanted) {
        if left == 0 {
            break;
        }
        let taken = lot.bucket.take_up_to(left);
        note_taken(entries, uses, lot, taken);
        left -= taken;
    }
    left
}

fn note_taken(entries: &mut BTreeMap<CertificateId, Entry>, uses: &mut Vec<LotUse>, lot: &Lot, taken: i64) {
    let Ok(seats) = SeatCount::new(u32::try_from(taken).unwrap_or(0)) else { return };
    if let Some(entry) = entries.get_mut(&lot.certificate) {
        entry.leased += taken;
    }
    match uses.iter_mut().find(|used| used.certificate == lot.certificate) {
        Some(used) => used.seats = SeatCount::new(used.seats.get() + seats.get()).unwrap_or(used.seats),
        None => uses.push(LotUse { certificate: lot.certificate, version: lot.version, seats }),
    }
}

const _: () = assert!(UNCOUNTED > i32::MAX as i64 * 2, "uncounted seats are never used up");

#[cfg(test)]
mod tests {
    use leasehold_protocol::licence::SeatLimit;

    use super::*;

    fn id(n: u8) -> CertificateId {
        CertificateId([n; 8])
    }

    /// A book with a lot per `(version, seats)`, certificates numbered from 1.
    fn book(lots: &[(&str, u32)]) -> Book {
        let mut book = Book::default();
        install(&mut book, lots, 1);
        book
    }

    fn install(book: &mut Book, lots: &[(&str, u32)], first: u8) {
        let lots = drafted(book, lots, first);
        book.install(&lots);
    }

    fn drafted(book: &mut Book, lots: &[(&str, u32)], first: u8) -> Vec<Lot> {
        let lot = |(n, (version, seats)): (u8, &(&str, u32))| Lot {
            certificate: id(n),
            version: version.parse().unwrap(),
            seats: SeatLimit::Counted(SeatCount::new(*seats).unwrap()),
            ends: None,
            ttl_ms: 2000,
            grace_ms: 0,
            bucket: book.bucket(id(n)),
        };
        (first..).zip(lots).map(lot).collect()
    }

    fn take(book: &mut Book, version: &str, seats: u32) -> Option<Vec<(u8, u32)>> {
        let uses = book.take(version.parse().unwrap(), SeatCount::new(seats).unwrap(), false)?;
        Some(uses.iter().map(|used| (used.certificate.0[0], used.seats.get())).collect())
    }

    #[test]
    fn seats_come_from_the_lots_in_order_all_or_none() {
        let mut book = book(&[("2.0", 2), ("1.0", 3), ("2.0", 4)]);
        assert_eq!(take(&mut book, "1.0", 2), Some(vec![(2, 2)]));
        assert_eq!(take(&mut book, "1.0", 4), Some(vec![(2, 1), (1, 2), (3, 1)]));
        assert_eq!(take(&mut book, "1.0", 4), None);
        assert_eq!((book.out(), book.capacity(), book.is_balanced()), (6, Some(9), true));
        assert_eq!(take(&mut book, "2.0", 3), Some(vec![(3, 3)]));
    }

    #[test]
    fn a_lot_that_is_gone_stays_until_its_last_seat_is_back() {
        let mut book = book(&[("1.0", 3)]);
        take(&mut book, "1.0", 2).unwrap();
        install(&mut book, &[("1.0", 1)], 9);
        assert_eq!((book.out(), book.overage(), book.entries.len()), (2, 2, 2));
        let one = LotUse { certificate: id(1), version: Version::ANY, seats: SeatCount::ONE };
        book.give_back(&[one]);
        assert!(book.is_balanced() && book.is_over());
        book.give_back(&[one]);
        assert_eq!((book.out(), book.entries.len(), book.is_over()), (0, 1, false));
    }

    #[test]
    fn a_lot_that_comes_back_has_its_seats_though_its_last_holder_left_in_that_moment() {
        let mut book = book(&[("1.0", 3)]);
        let held = book.take(Version::ANY, SeatCount::ONE, false).unwrap();
        install(&mut book, &[("1.0", 1)], 9);
        let lots = drafted(&mut book, &[("1.0", 3)], 1);
        book.give_back(&held);
        book.install(&lots);
        assert_eq!(take(&mut book, "1.0", 3), Some(vec![(1, 3)]));
        assert_eq!((book.out(), book.capacity(), book.is_balanced()), (3, Some(3), true));
    }

    #[test]
    fn seats_move_to_lots_that_are_in_force_as_far_as_there_is_room() {
        let mut book = book(&[("1.0", 5)]);
        let mut uses = book.take(Version::ANY, SeatCount::new(5).unwrap(), false).unwrap();
        install(&mut book, &[("1.0", 2), ("1.0", 1)], 5);
        assert!(!book.cover(Version::ANY, &mut uses));
        let held: Vec<_> = uses.iter().map(|used| (used.certificate.0[0], used.seats.get())).collect();
        assert_eq!(held, [(5, 2), (6, 1), (1, 2)]);
        assert_eq!((book.out(), book.overage(), book.is_balanced()), (5, 2, true));
    }
}
