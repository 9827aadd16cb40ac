//! Models of the lease slots.

use leasehold_protocol::{
    time::Mono,
    vocab::{ClaimKey, LeaseId},
};
use loom::{sync::Arc, thread};

use crate::pool::{
    Slab,
    slab::{Due, Renewal, Terms},
};

const TTL_MS: u32 = 1000;

fn terms(claim: u8) -> Terms {
    Terms { claim: ClaimKey([claim; 16]), owner: u64::from(claim), session: 0 }
}

fn publish(slab: &Slab, claim: u8) -> LeaseId {
    let id = slab.reserve().unwrap();
    slab.publish(id, &terms(claim), TTL_MS, Mono(1000));
    id
}

#[test]
fn a_free_slot_is_taken_by_one() {
    loom::model(|| {
        let slab = Arc::new(Slab::new(2));
        // Two slots that were used and came back, so that the list itself is raced for.
        let ids = [publish(&slab, 1), publish(&slab, 2)];
        for id in ids {
            slab.end(id).unwrap();
            slab.recycle(id.slot());
        }
        // The rival takes both, if it can, and puts the first back: the top is the same again and what is below is not.
        let rival = thread::spawn({
            let slab = slab.clone();
            move || {
                let (first, second) = (slab.reserve(), slab.reserve());
                first.inspect(|id| slab.recycle(id.slot()));
                second
            }
        });
        let mine = slab.reserve();
        let theirs = rival.join().unwrap();
        let rest = [slab.reserve(), slab.reserve()];
        let everybody = [mine, theirs].into_iter().chain(rest).flatten();
        let mut taken: Vec<_> = everybody.map(|id| id.slot()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1], "each slot has one owner");
    });
}

#[test]
fn who_sees_a_lease_sees_its_claim() {
    loom::model(|| {
        let slab = Arc::new(Slab::new(1));
        let id = slab.reserve().unwrap();
        let grant = thread::spawn({
            let slab = slab.clone();
            move || slab.publish(id, &terms(1), TTL_MS, Mono(1000))
        });
        if slab.deadline_of(id).is_some() {
            assert!(matches!(slab.renew(id, Mono(1), &terms(1), None), Renewal::Alive { .. }));
        }
        grant.join().unwrap();
    });
}

#[test]
fn of_release_and_expiry_exactly_one_wins() {
    loom::model(|| {
        let slab = Arc::new(Slab::new(2));
        let id = publish(&slab, 1);
        let release = thread::spawn({
            let slab = slab.clone();
            move || slab.end(id).is_some()
        });
        let expired = matches!(slab.end_if_due(id, Mono(1000)), Due::Ended(_));
        assert!(expired ^ release.join().unwrap(), "one of them gives the seats back");
    });
}

#[test]
fn a_lease_that_a_renewal_answered_is_not_expired_behind_its_back() {
    loom::model(|| {
        let slab = Arc::new(Slab::new(2));
        let id = publish(&slab, 1);
        let sweeper = thread::spawn({
            let slab = slab.clone();
            move || slab.end_if_due(id, Mono(1000))
        });
        // This worker's clock says 999, the sweeper's says 1000.
        let renewal = slab.renew(id, Mono(999), &terms(1), None);
        let swept = sweeper.join().unwrap();
        match renewal {
            Renewal::Alive { deadline, .. } => {
                assert_eq!(deadline, Mono(1999));
                assert_eq!(swept, Due::Later(Mono(1999)));
            }
            other => {
                assert_eq!(other, Renewal::NoSuchLease);
                assert_eq!(swept, Due::Ended(Mono(1000)));
            }
        }
    });
}

#[test]
fn a_late_renewal_of_a_reused_slot_feeds_nobody() {
    loom::model(|| {
        let slab = Arc::new(Slab::new(1));
        let old = publish(&slab, 1);
        let other = thread::spawn({
            let slab = slab.clone();
            move || {
                slab.end(old).unwrap();
                slab.recycle(old.slot());
                publish(&slab, 2)
            }
        });
        let late = slab.renew(old, Mono(500), &terms(1), None);
        let new = other.join().unwrap();
        assert!(matches!(late, Renewal::Alive { .. } | Renewal::NoSuchLease));
        assert_eq!(slab.deadline_of(new), Some(Mono(1000)), "the stranger's deadline did not move");
        assert_eq!(slab.deadline_of(old), None);
    });
}

#[test]
fn a_forged_renewal_never_sees_half_of_two_claims() {
    loom::model(|| {
        let slab = Arc::new(Slab::new(1));
        let old = publish(&slab, 1);
        let other = thread::spawn({
            let slab = slab.clone();
            move || {
                slab.end(old).unwrap();
                slab.recycle(old.slot());
                publish(&slab, 2)
            }
        });
        // Half of the first claim, half of the second.
        let mut mixed = [1; 16];
        mixed[8..].fill(2);
        let forged = Terms { claim: ClaimKey(mixed), owner: 2, session: 0 };
        assert_eq!(slab.renew(old, Mono(500), &forged, None), Renewal::NoSuchLease);
        other.join().unwrap();
    });
}
