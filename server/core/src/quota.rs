//! How many seats of a feature whom: limits and reservations, counted (P-2, P-3).
//!
//! A feature that no rule counts never comes here. For one that is counted, every checkout and every end goes through its
//! book (E-4), and this is the part of the book that knows who has what: each lease by its number, what it counts towards,
//! and what is still to be kept for whom. Seats themselves stay in the pool, where they cannot be granted twice whatever is
//! decided here.
//!
//! What is kept is kept out of what is free, over all lots together: a reservation is no set of seats of its own, so that it
//! is never kept twice where there are two lots, and that a new policy moves nothing. A seat that a member has counts
//! towards his reservation if its version is high enough; when one ends, another that a member has takes its place.

mod look;
mod share_out;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use leasehold_protocol::{
    message::Holder,
    vocab::{DeviceId, FeatureName, Label, Version},
};

pub(crate) use self::share_out::FreeLot;
use crate::policy::{Per, Policy, Reservation};

/// The limits and reservations of one pool, and who has what of it.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    policy: Arc<Policy>,
    /// Whether any rule counts seats of the pool.
    is_on: bool,
    /// Towards limits: never a zero.
    used: BTreeMap<Counter, u64>,
    /// Towards reservations, by reservation: never a zero.
    drawn: BTreeMap<usize, u64>,
    /// Still to be kept, by the lowest version that will do.
    withheld: BTreeMap<Version, u64>,
    /// By number of the grant.
    leases: BTreeMap<u64, Entry>,
    /// Reservations, and leases with seats that would do for them and do not count towards any.
    loose: BTreeSet<(usize, u64)>,
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What he asks for.
    pub(crate) feature: FeatureName,
    /// Seats of that.
    pub(crate) seats: u32,
    /// The feature the seats are taken from.
    pub(crate) from: FeatureName,
    /// Seats of that.
    pub(crate) taken: u32,
    pub(crate) holder: Arc<Holder>,
    pub(crate) address: IpAddr,
}

/// Who asks for what, and the rules that concern him.
#[derive(Debug)]
pub(crate) struct Case {
    asked: Asked,
    limits: Vec<(Counter, u32)>,
    /// Those he may draw from, in that order.
    reservations: Vec<usize>,
}

/// What keeps a holder from seats.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hurdle {
    /// There are not as many.
    NoSeat,
    /// He has, or others together with him have, as many as a limit allows.
    Limit(Reached),
    /// There are, and they are kept for others.
    Reserved(Kept),
}

/// A limit that is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) rule: String,
    pub(crate) per: Per,
    pub(crate) max: u32,
    /// Seats that count already.
    pub(crate) used: u64,
    /// Seats that would.
    pub(crate) wanted: u32,
    /// Of which feature.
    pub(crate) feature: FeatureName,
}

/// Seats that are kept for others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The first reservation of the file that keeps some.
    pub(crate) rule: String,
    /// How many others do.
    pub(crate) more: usize,
    pub(crate) seats: u64,
    /// Seats that reservations of others ask for, whoever has them now.
    pub(crate) of_others: u64,
}

/// What seats count towards: a limit, for one feature and one who counts as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Counter {
    limit: usize,
    feature: FeatureName,
    who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    All,
    Named(Option<String>),
    Device(DeviceId),
}

/// One lease, or one that is being opened.
#[derive(Debug)]
struct Entry {
    case: Case,
    /// Seats that count towards no reservation, by version.
    loose: BTreeMap<Version, u32>,
    /// Those that do.
    drawn: Vec<(usize, Version, u32)>,
}

impl Quotas {
    /// Whether anything is counted.
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether `policy` is what is counted by.
    pub(crate) fn is_by(&self, policy: &Arc<Policy>) -> bool {
        Arc::ptr_eq(&self.policy, policy)
    }

    /// Counts by `policy` from now on, the leases that are known here anew; `feature` is the one whose seats these are. With
    /// `is_on` unset nothing is counted.
    pub(crate) fn set_policy(&mut self, policy: Arc<Policy>, feature: &FeatureName, is_on: bool) {
        let leases = if is_on { std::mem::take(&mut self.leases) } else { BTreeMap::new() };
        *self = Self { policy, is_on, ..Self::default() };
        for reservation in self.policy.reservations().iter().filter(|r| is_on && r.feature == *feature) {
            *self.withheld.entry(reservation.version).or_default() += u64::from(reservation.seats);
        }
        for (number, entry) in leases {
            let seats = entry.seats().collect::<Vec<_>>();
            let case = self.case(entry.case.asked);
            self.enter(number, case, &seats);
        }
    }

    /// Whether lease `number` is counted.
    pub(crate) fn knows(&self, number: u64) -> bool {
        self.leases.contains_key(&number)
    }

    /// The rules that concern `asked`.
    pub(crate) fn case(&self, asked: Asked) -> Case {
        let of_lots = self.policy.concern(&asked.from, &asked.holder, asked.address);
        let mut limits = Vec::new();
        if asked.feature != asked.from {
            let of_asked = self.policy.concern(&asked.feature, &asked.holder, asked.address);
            limits.extend(of_asked.limits.into_iter().map(|limit| (limit, &asked.feature, asked.seats)));
        }
        limits.extend(of_lots.limits.into_iter().map(|limit| (limit, &asked.from, asked.taken)));
        let counter = |(limit, feature, seats): (usize, &FeatureName, u32)| {
            let who = self.who(self.policy.limits()[limit].per, &asked.holder);
            (Counter { limit, feature: feature.clone(), who }, seats)
        };
        let limits = limits.into_iter().map(counter).collect();
        Case { limits, reservations: of_lots.reservations, asked }
    }

    /// Whether what is asked for is within all limits.
    pub(crate) fn check_limits(&self, case: &Case) -> Result<(), Hurdle> {
        for (counter, seats) in &case.limits {
            let limit = &self.policy.limits()[counter.limit];
            let used = self.used.get(counter).copied().unwrap_or(0);
            if used + u64::from(*seats) > u64::from(limit.max) {
                let (rule, per, max) = (limit.id.clone(), limit.per, limit.max);
                let (wanted, feature) = (*seats, counter.feature.clone());
                return Err(Hurdle::Limit(Reached { rule, per, max, used, wanted, feature }));
            }
        }
        Ok(())
    }

    /// Counts what grant `number` takes, whatever the limits say.
    pub(crate) fn enter(&mut self, number: u64, case: Case, seats: &[(Version, u32)]) {
        // An heir may have been found by who put a policy in force before it was told here.
        self.leave(number);
        for (counter, seats) in &case.limits {
            *self.used.entry(counter.clone()).or_default() += u64::from(*seats);
        }
        let mut loose = BTreeMap::new();
        for (version, seats) in seats {
            *loose.entry(*version).or_default() += seats;
        }
        self.leases.insert(number, Entry { case, loose, drawn: Vec::new() });
        self.draw(number);
    }

    /// Counts lease `number` no more. Other seats of members take its place in reservations.
    pub(crate) fn leave(&mut self, number: u64) {
        let Some(entry) = self.leases.remove(&number) else { return };
        for (counter, seats) in entry.case.limits {
            take_off(&mut self.used, counter, u64::from(seats));
        }
        for reservation in &entry.case.reservations {
            self.loose.remove(&(*reservation, number));
        }
        for (reservation, _, seats) in &entry.drawn {
            take_off(&mut self.drawn, *reservation, u64::from(*seats));
            *self.withheld.entry(self.policy.reservations()[*reservation].version).or_default() += u64::from(*seats);
        }
        for (reservation, _, _) in entry.drawn {
            while self.left(reservation) > 0 {
                let next = self.loose.range((reservation, 0)..).next().filter(|(of, _)| *of == reservation);
                let Some((_, number)) = next.copied() else { break };
                self.draw(number);
            }
        }
    }

    /// Whether as many seats are kept for who asks as he asks for.
    pub(crate) fn keeps_all(&self, case: &Case) -> bool {
        let left: u64 = case.reservations.iter().map(|reservation| self.left(*reservation)).sum();
        left >= u64::from(case.asked.taken)
    }

    /// What is still kept by `reservation`, which is of this pool.
    fn left(&self, reservation: usize) -> u64 {
        let seats = u64::from(self.policy.reservations()[reservation].seats);
        seats.saturating_sub(self.drawn.get(&reservation).copied().unwrap_or(0))
    }

    /// Lets as many seats of lease `number` as will do count towards its holder's reservations.
    fn draw(&mut self, number: u64) {
        let Some(mut entry) = self.leases.remove(&number) else { return };
        for reservation in entry.case.reservations.clone() {
            let least = self.policy.reservations()[reservation].version;
            let mut left = self.left(reservation);
            for (version, seats) in entry.loose.range_mut(least..) {
                let drawn = u32::try_from(left.min(u64::from(*seats))).unwrap_or(*seats);
                if drawn > 0 {
                    *seats -= drawn;
                    left -= u64::from(drawn);
                    entry.drawn.push((reservation, *version, drawn));
                    *self.drawn.entry(reservation).or_default() += u64::from(drawn);
                    take_off(&mut self.withheld, least, u64::from(drawn));
                }
            }
            entry.loose.retain(|_, seats| *seats > 0);
        }
        for reservation in &entry.case.reservations {
            let least = self.policy.reservations()[*reservation].version;
            if entry.loose.range(least..).next().is_some() {
                self.loose.insert((*reservation, number));
            } else {
                self.loose.remove(&(*reservation, number));
            }
        }
        self.leases.insert(number, entry);
    }

    fn who(&self, per: Per, holder: &Holder) -> Who {
        let named = |word: Option<&str>| Who::Named(word.map(|word| self.policy.groups().folded(word)));
        match per {
            Per::Group => Who::All,
            Per::User => named(Some(holder.user.as_str())),
            Per::Host => named(Some(holder.host.as_str())),
            Per::Display => named(holder.display.as_ref().map(Label::as_str)),
            Per::Project => named(holder.project.as_ref().map(Label::as_str)),
            Per::Device => Who::Device(holder.device),
        }
    }

    /// Each reservation of `feature`, the one whose seats these are, and how many seats its members have.
    pub(crate) fn drawn_of(&self, feature: &FeatureName) -> Vec<(Reservation, u64)> {
        let of = self.policy.reservations().iter().enumerate().filter(|(_, r)| self.is_on && r.feature == *feature);
        of.map(|(index, r)| (r.clone(), self.drawn.get(&index).copied().unwrap_or(0))).collect()
    }

    /// The leases that are counted and the seats of this pool each has; `None` if what is counted is not what they come to.
    pub(crate) fn audit(&self) -> Option<BTreeMap<u64, u32>> {
        let (mut used, mut drawn) = (BTreeMap::<&Counter, u64>::new(), BTreeMap::<usize, u64>::new());
        for entry in self.leases.values() {
            entry.case.limits.iter().for_each(|(counter, n)| *used.entry(counter).or_default() += u64::from(*n));
            entry.drawn.iter().for_each(|(of, _, n)| *drawn.entry(*of).or_default() += u64::from(*n));
        }
        let is_within = drawn.iter().all(|(of, n)| *n <= u64::from(self.policy.reservations()[*of].seats));
        let is_right = used.into_iter().eq(self.used.iter().map(|(counter, n)| (counter, *n)));
        let sums = self.leases.iter().map(|(number, entry)| (*number, entry.seats().map(|(_, n)| n).sum()));
        (is_within && is_right && drawn == self.drawn).then(|| sums.collect())
    }
}

impl Entry {
    /// Its seats, by version.
    fn seats(&self) -> impl Iterator<Item = (Version, u32)> {
        let drawn = self.drawn.iter().map(|(_, version, seats)| (*version, *seats));
        self.loose.iter().map(|(version, seats)| (*version, *seats)).chain(drawn)
    }
}

/// Takes `n` off what `counts` has for `key`.
fn take_off<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, n: u64) {
    if let std::collections::btree_map::Entry::Occupied(mut there) = counts.entry(key) {
        *there.get_mut() = there.get().saturating_sub(n);
        if *there.get() == 0 {
            there.remove();
        }
    }
}
