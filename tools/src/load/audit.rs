//! What must hold at every moment of a load test, checked by all threads together while it runs.
//!
//! A seat counts as held from when its grant arrives until its release is *sent* or its deadline passes. The server holds
//! it for longer at both ends, so more seats held than there are is a fault of the server and never one of our timing.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use leasehold_protocol::{
    message::FeatureLine,
    vocab::{FeatureName, LeaseId},
};

/// The checks all threads share.
#[derive(Debug)]
pub struct Audit {
    features: Vec<Seats>,
    leases: Vec<Mutex<HashSet<u64>>>,
    held: AtomicI64,
    held_max: AtomicI64,
    violations: AtomicU64,
    first: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Seats {
    name: FeatureName,
    /// Seats there are; `None` if they are not counted.
    count: Option<u32>,
    held: AtomicI64,
}

/// Sets of lease ids, each behind a lock of its own: two threads seldom want the same one.
const SETS: usize = 64;

/// How many violations are kept in words: the first tell the story, and a broken server makes thousands.
const TOLD_MAX: usize = 5;

impl Audit {
    /// Nothing held yet of `features`.
    #[must_use]
    pub fn new(features: &[FeatureLine]) -> Self {
        let seats = |line: &FeatureLine| Seats { name: line.name.clone(), count: line.count, held: AtomicI64::new(0) };
        Self {
            features: features.iter().map(seats).collect(),
            leases: (0..SETS).map(|_| Mutex::default()).collect(),
            held: AtomicI64::new(0),
            held_max: AtomicI64::new(0),
            violations: AtomicU64::new(0),
            first: Mutex::default(),
        }
    }

    /// A grant of one seat of the feature with this index has arrived.
    pub fn granted(&self, feature: usize, lease: LeaseId) {
        let seats = &self.features[feature];
        let held = seats.held.fetch_add(1, Ordering::AcqRel) + 1;
        if seats.count.is_some_and(|count| held > i64::from(count)) {
            self.violation(format!(
                "{held} seats of {} are held and there are {}",
                seats.name,
                seats.count.unwrap_or(0)
            ));
        }
        if !self.set_of(lease).lock().unwrap_or_else(PoisonError::into_inner).insert(lease.0) {
            self.violation(format!("lease {lease} of {} was granted to two claims at once", seats.name));
        }
        let all = self.held.fetch_add(1, Ordering::AcqRel) + 1;
        self.held_max.fetch_max(all, Ordering::AcqRel);
    }

    /// That lease is about to be released, or its deadline has passed, or the server has ended it.
    pub fn gone(&self, feature: usize, lease: LeaseId) {
        self.set_of(lease).lock().unwrap_or_else(PoisonError::into_inner).remove(&lease.0);
        self.features[feature].held.fetch_sub(1, Ordering::AcqRel);
        self.held.fetch_sub(1, Ordering::AcqRel);
    }

    /// The server did what it must not.
    pub fn violation(&self, what: String) {
        self.violations.fetch_add(1, Ordering::AcqRel);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.len() < TOLD_MAX {
            first.push(what);
        }
    }

    /// Compares what the server says is out with what we hold; `before` was out when the test began. Only true while
    /// nothing is on its way, and of a server that nobody else uses.
    pub fn compare(&self, when: &str, before: &[FeatureLine], now: &[FeatureLine]) {
        let used = |lines: &[FeatureLine], name: &FeatureName| {
            lines.iter().find(|line| line.name == *name).map_or(0, |line| line.used)
        };
        for seats in &self.features {
            let held = seats.held.load(Ordering::Acquire);
            let (out, wanted) = (used(now, &seats.name), i64::from(used(before, &seats.name)) + held);
            if i64::from(out) != wanted {
                self.violation(format!(
                    "{when} the server counts {out} seats of {} out and it is {wanted}",
                    seats.name
                ));
            }
        }
    }

    /// Seats held now.
    pub fn held(&self) -> i64 {
        self.held.load(Ordering::Acquire)
    }

    /// The most seats held at one moment.
    pub fn held_max(&self) -> i64 {
        self.held_max.load(Ordering::Acquire)
    }

    /// What was found, the first few in words and a line about the rest; empty if all held.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let more = self.violations.load(Ordering::Acquire).saturating_sub(problems.len() as u64);
        if more > 0 {
            problems.push(format!("and {more} more like these"));
        }
        problems
    }

    fn set_of(&self, lease: LeaseId) -> &Mutex<HashSet<u64>> {
        &self.leases[lease.slot() as usize % SETS]
    }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::vocab::Version;

    use super::*;

    fn line(used: u32) -> FeatureLine {
        let name = FeatureName::new("CAD_PRO").unwrap();
        FeatureLine { name, version: Version::ANY, count: Some(2), used, next_end: None }
    }

    #[test]
    fn one_grant_too_many_is_a_violation() {
        let audit = Audit::new(&[line(0)]);
        (1..=2).for_each(|n| audit.granted(0, LeaseId(n)));
        assert!(audit.problems().is_empty());
        audit.granted(0, LeaseId(3));
        assert_eq!(audit.problems(), ["3 seats of CAD_PRO are held and there are 2"]);
    }

    #[test]
    fn a_seat_that_was_given_back_may_be_granted_again() {
        let audit = Audit::new(&[line(0)]);
        for n in 1..=10 {
            audit.granted(0, LeaseId(n));
            audit.gone(0, LeaseId(n));
        }
        assert!(audit.problems().is_empty());
        assert_eq!((audit.held(), audit.held_max()), (0, 1));
    }

    #[test]
    fn two_claims_with_one_lease_are_a_violation() {
        let audit = Audit::new(&[line(0)]);
        (0..2).for_each(|_| audit.granted(0, LeaseId(7)));
        assert_eq!(audit.problems(), ["lease 7.0 of CAD_PRO was granted to two claims at once"]);
    }

    #[test]
    fn a_server_that_counts_otherwise_than_we_do_is_told_so() {
        let audit = Audit::new(&[line(1)]);
        audit.granted(0, LeaseId(1));
        audit.compare("while held,", &[line(1)], &[line(2)]);
        assert!(audit.problems().is_empty());
        audit.compare("at the end,", &[line(1)], &[line(1)]);
        assert_eq!(audit.problems(), ["at the end, the server counts 1 seats of CAD_PRO out and it is 2"]);
    }

    #[test]
    fn the_first_few_violations_are_told_and_the_others_counted() {
        let audit = Audit::new(&[line(0)]);
        (0..12).for_each(|n| audit.violation(format!("number {n}")));
        let told = audit.problems();
        assert_eq!((told.len(), told[0].as_str(), told[5].as_str()), (6, "number 0", "and 7 more like these"));
    }
}
