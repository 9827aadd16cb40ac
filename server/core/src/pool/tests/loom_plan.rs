//! Models of the planner's changes against those who take and give.

use loom::thread;

use super::{
    explore,
    laid::{CLOSED, Laid, lay},
};
use crate::pool::{Rank, Short};

#[test]
fn nothing_is_granted_from_a_capacity_that_is_gone() {
    explore(Some(2), || {
        let Laid { buckets, workers: [mut takes, mut plans], .. } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        let taker = thread::spawn(move || (takes.takes(bucket, 1), takes));
        plans.set_capacity(bucket, 0);
        assert!(!plans.takes(bucket, 1), "no seat is left, or less than none");
        let (taken, mut takes) = taker.join().unwrap();
        plans.expect_out(bucket, taken.into());
        assert_eq!(plans.count(bucket), -i64::from(taken));
        if taken {
            takes.give(bucket, 1);
        }
        assert!(!takes.takes(bucket, 1), "nor in its own cell");
    });
}

#[test]
fn a_seat_that_comes_back_after_a_cut_is_nobodys() {
    explore(Some(2), || {
        let Laid { buckets, workers: [mut gives, mut plans], .. } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        assert!(gives.takes(bucket, 1));
        let giver = thread::spawn(move || {
            gives.give(bucket, 1);
            gives
        });
        plans.set_capacity(bucket, 0);
        assert!(!plans.takes(bucket, 1));
        giver.join().unwrap();
        assert_eq!(plans.count(bucket), 0);
        assert!(!plans.takes(bucket, 1));
        plans.expect_out(bucket, 0);
    });
}

#[test]
fn a_cut_during_a_theft_is_not_overlooked() {
    explore(Some(3), || {
        // The thief would open its cell with a share of what it finds.
        let Laid { buckets, workers: [mut takes, mut plans], .. } = lay(&[(5, [CLOSED, CLOSED])]);
        let bucket = buckets[0];
        let taker = thread::spawn(move || takes.takes(bucket, 1));
        plans.set_capacity(bucket, 1);
        let left = plans.takes(bucket, 1);
        assert!(left ^ taker.join().unwrap(), "there is one seat for both");
        plans.expect_out(bucket, 1);
    });
}

#[test]
fn new_seats_are_taken_or_still_there() {
    explore(None, || {
        let Laid { buckets, workers: [mut takes, mut plans], .. } = lay(&[(0, [CLOSED, CLOSED])]);
        let bucket = buckets[0];
        let taker = thread::spawn(move || takes.takes(bucket, 1));
        plans.set_capacity(bucket, 1);
        let taken = taker.join().unwrap();
        plans.expect_out(bucket, taken.into());
        assert!(taken ^ plans.takes(bucket, 1));
    });
}

#[test]
fn who_gives_a_seat_somebody_waits_for_is_told_or_it_was_there_before() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut gives, mut plans], .. } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        assert!(gives.takes(bucket, 1));
        let giver = thread::spawn(move || gives.give(bucket, 1));
        plans.set_waited(bucket, true);
        let found = plans.take(bucket, 1, Rank::Chosen).is_ok();
        assert!(giver.join().unwrap() || found, "a wake-up was lost");
    });
}

#[test]
fn who_comes_after_one_that_waits_goes_behind_it() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut comes, mut plans], .. } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        let comer = thread::spawn(move || {
            let first = comes.take(bucket, 1, Rank::Newcomer);
            (comes, first)
        });
        plans.set_waited(bucket, true);
        let chosen = plans.take(bucket, 1, Rank::Chosen).is_ok();
        let (mut comes, first) = comer.join().unwrap();
        assert!(chosen ^ first.is_ok());
        assert_eq!(comes.take(bucket, 1, Rank::Newcomer), Err(Short::Waited));
    });
}

#[test]
fn who_opens_a_cell_while_somebody_begins_to_wait_leaves_it_closed() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut takes, mut plans], .. } = lay(&[(5, [CLOSED, CLOSED])]);
        let bucket = buckets[0];
        let taker = thread::spawn(move || {
            let taken = takes.take(bucket, 1, Rank::Newcomer);
            (takes, taken)
        });
        plans.set_waited(bucket, true);
        let (mut takes, taken) = taker.join().unwrap();
        assert!(matches!(taken, Ok(()) | Err(Short::Waited)));
        assert!(taken.is_err() || takes.give(bucket, 1), "who gives is told");
        plans.expect_out(bucket, 0);
    });
}
