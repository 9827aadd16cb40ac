//! Models of the walk for leases that are due.

use leasehold_protocol::time::Mono;
use loom::thread;

use super::{
    explore,
    laid::{CLOSED, Laid, TTL_MS, lay, terms},
};
use crate::pool::{Due, Renewal, Use};

#[test]
fn a_lease_that_is_published_during_a_walk_is_not_overlooked() {
    explore(Some(5), || {
        let Laid { buckets, workers: [mut grants, mut sweeps], .. } = lay(&[(0, [Some(2), CLOSED])]);
        let bucket = buckets[0];
        grants.opens(bucket, 1, 400);
        assert!(grants.takes(bucket, 1));
        let id = grants.reserve().unwrap();
        let granter = thread::spawn(move || {
            grants.publish(id, &terms(2), TTL_MS, Mono(2500), &[Use { bucket, seats: 1 }]);
            grants
        });
        // No lease is granted for less than two seconds.
        assert_eq!(sweeps.sweeps(500), 1);
        granter.join().unwrap();
        assert_eq!(sweeps.sweeps(2499), 0);
        assert_eq!(sweeps.sweeps(2500), 1, "it was overlooked");
        sweeps.expect_out(bucket, 0);
    });
}

#[test]
fn the_first_lease_of_a_block_is_not_overlooked() {
    explore(None, || {
        // The other block's bound says "never" until the lease is there.
        let Laid { buckets, workers: [mut grants, mut sweeps], .. } = lay(&[(0, [Some(3), CLOSED])]);
        let bucket = buckets[0];
        grants.opens(bucket, 1, 400);
        grants.opens(bucket, 2, 9000);
        assert!(grants.takes(bucket, 1));
        let id = grants.reserve().unwrap();
        assert_eq!(id.slot(), 2);
        let granter = thread::spawn(move || {
            grants.publish(id, &terms(3), TTL_MS, Mono(2500), &[Use { bucket, seats: 1 }]);
            grants
        });
        assert_eq!(sweeps.sweeps(500), 1);
        granter.join().unwrap();
        assert_eq!(sweeps.sweeps(2500), 1, "it was overlooked");
        sweeps.expect_out(bucket, 1);
    });
}

#[test]
fn a_lease_of_a_shorter_ttl_than_any_before_is_not_overlooked() {
    explore(Some(4), || {
        let Laid { buckets, workers: [mut grants, mut sweeps], .. } = lay(&[(0, [Some(2), CLOSED])]);
        let bucket = buckets[0];
        let first = grants.opens_for(bucket, 1, 8000, 400);
        grants.opens_for(bucket, 2, 8000, 9000);
        grants.end(first).unwrap();
        grants.close(first);
        assert!(grants.takes(bucket, 1));
        let id = grants.reserve().unwrap();
        let granter = thread::spawn(move || {
            grants.publish(id, &terms(3), 600, Mono(1100), &[Use { bucket, seats: 1 }]);
            grants
        });
        // By what was granted before, nobody would look again before 4500.
        assert_eq!(sweeps.sweeps(500), 0);
        granter.join().unwrap();
        assert_eq!(sweeps.sweeps(1100), 1, "it was overlooked");
        sweeps.expect_out(bucket, 1);
    });
}

#[test]
fn a_lease_in_a_block_that_is_being_put_to_sleep_is_not_overlooked() {
    explore(Some(4), || {
        let Laid { buckets, workers: [mut grants, mut sweeps], .. } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        grants.opens(bucket, 1, 400);
        assert_eq!(sweeps.sweeps(500), 1, "it dozes");
        assert!(grants.takes(bucket, 1));
        let id = grants.reserve().unwrap();
        let granter = thread::spawn(move || {
            grants.publish(id, &terms(2), TTL_MS, Mono(3500), &[Use { bucket, seats: 1 }]);
            grants
        });
        assert_eq!(sweeps.sweeps(1500), 0, "and is left alone for good, if nobody came");
        granter.join().unwrap();
        assert_eq!(sweeps.sweeps(3500), 1, "it was overlooked");
        sweeps.expect_out(bucket, 0);
    });
}

#[test]
fn of_two_sweepers_one_ends_a_lease() {
    explore(Some(3), || {
        let Laid { stock, buckets, workers: [mut me, mut other] } = lay(&[(0, [Some(1), Some(0)])]);
        let bucket = buckets[0];
        me.opens(bucket, 1, 1000);
        let sweeper = thread::spawn(move || (other.sweeps(1000), other));
        let mine = me.sweeps(1000);
        assert_eq!(mine + sweeper.join().unwrap().0, 1);
        me.expect_out(bucket, 0);
        assert_eq!((stock.live(), me.sweeps(1000)), (0, 0));
    });
}

#[test]
fn a_seat_that_fell_due_is_granted_or_given_back_once() {
    explore(None, || {
        let Laid { buckets, workers: [mut takes, mut sweeps], .. } = lay(&[(0, [Some(1), Some(0)])]);
        let bucket = buckets[0];
        takes.opens(bucket, 1, 1000);
        let sweeper = thread::spawn(move || (sweeps.sweeps(1000), sweeps));
        let taken = takes.takes(bucket, 1);
        assert_eq!(sweeper.join().unwrap().0, 1);
        takes.expect_out(bucket, taken.into());
        assert!(taken || takes.takes(bucket, 1));
    });
}

#[test]
fn who_asks_at_the_deadline_gets_the_seat_although_a_sweeper_is_at_it() {
    explore(Some(5), || {
        let Laid { buckets, workers: [mut asks, mut sweeps], .. } = lay(&[(0, [Some(1), Some(0)])]);
        let bucket = buckets[0];
        let id = asks.opens(bucket, 1, 1000);
        let sweeper = thread::spawn(move || (sweeps.sweeps(1000), sweeps));
        let mine = matches!(asks.end_if_due(id, Mono(1000)), Due::Ended(_));
        if mine {
            asks.close(id);
        }
        let taken = asks.takes(bucket, 1);
        // Who ended it itself has given the seat back itself. If the sweeper did, it may be in the middle of that.
        assert!(taken || !mine);
        assert_eq!(usize::from(mine) + sweeper.join().unwrap().0, 1);
        asks.expect_out(bucket, taken.into());
    });
}

#[test]
fn a_lease_renewed_in_time_is_not_swept() {
    explore(None, || {
        let Laid { stock, buckets, workers: [mut grants, mut sweeps] } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        let id = grants.opens(bucket, 1, 1000);
        let sweeper = thread::spawn(move || (sweeps.sweeps(1000), sweeps));
        let renewal = stock.slab().renew(id, Mono(999), &terms(1), None, None);
        let (ended, mut sweeps) = sweeper.join().unwrap();
        match renewal {
            Renewal::Alive { deadline, .. } => assert_eq!((deadline, ended), (Mono(2999), 0)),
            other => assert_eq!((other, ended), (Renewal::NoSuchLease, 1)),
        }
        assert_eq!(sweeps.sweeps(2999), 1 - ended, "and is not forgotten");
        sweeps.expect_out(bucket, 0);
    });
}
