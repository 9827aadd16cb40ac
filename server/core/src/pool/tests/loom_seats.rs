//! Models of one bucket: takes, gives and thefts.

use loom::thread;

use super::{
    explore,
    laid::{CLOSED, Laid, lay},
};

#[test]
fn the_last_seat_is_granted_once() {
    explore(Some(5), || {
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(1, [CLOSED, CLOSED])]);
        let bucket = buckets[0];
        let rival = thread::spawn(move || rival.takes(bucket, 1));
        let mine = me.takes(bucket, 1);
        assert!(mine ^ rival.join().unwrap(), "the last seat is granted exactly once");
        me.expect_out(bucket, 1);
    });
}

#[test]
fn the_last_seat_in_a_cell_goes_to_its_worker_or_to_a_thief() {
    explore(None, || {
        let Laid { buckets, workers: [mut me, mut thief], .. } = lay(&[(0, [Some(1), Some(0)])]);
        let bucket = buckets[0];
        let thief = thread::spawn(move || thief.takes(bucket, 1));
        let mine = me.takes(bucket, 1);
        assert!(mine ^ thief.join().unwrap(), "exactly one of them has it");
        me.expect_out(bucket, 1);
    });
}

#[test]
fn a_seat_that_comes_back_is_taken_or_still_there() {
    explore(None, || {
        let Laid { buckets, workers: [mut giver, mut taker], .. } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        assert!(giver.takes(bucket, 1));
        let gives = thread::spawn(move || {
            assert!(!giver.give(bucket, 1), "nobody waits");
            giver
        });
        let taken = taker.takes(bucket, 1);
        gives.join().unwrap();
        taker.expect_out(bucket, taken.into());
        assert!(taken || taker.takes(bucket, 1));
    });
}

#[test]
fn a_cell_is_given_to_and_stolen_from_at_once() {
    explore(Some(5), || {
        let Laid { buckets, workers: [mut giver, mut thief], .. } = lay(&[(0, [Some(2), Some(0)])]);
        let bucket = buckets[0];
        assert!(giver.takes(bucket, 1));
        let gives = thread::spawn(move || {
            giver.give(bucket, 1);
            giver
        });
        assert!(thief.takes(bucket, 1), "one seat was free all the time");
        let another = thief.takes(bucket, 1);
        gives.join().unwrap();
        thief.expect_out(bucket, 1 + i64::from(another));
    });
}

#[test]
fn a_worker_takes_and_gives_while_a_thief_takes() {
    explore(Some(5), || {
        let Laid { buckets, workers: [mut owner, mut thief], .. } = lay(&[(0, [Some(1), Some(0)])]);
        let bucket = buckets[0];
        let steals = thread::spawn(move || thief.takes(bucket, 1));
        let taken = owner.takes(bucket, 1);
        if taken {
            owner.give(bucket, 1);
        }
        let stolen = steals.join().unwrap();
        assert!(taken || stolen);
        owner.expect_out(bucket, stolen.into());
    });
}

#[test]
fn two_thieves_share_a_third_workers_seats() {
    explore(None, || {
        let Laid { buckets, workers: [mut me, mut rival, third], .. } = lay(&[(0, [Some(0), Some(0), Some(2)])]);
        let bucket = buckets[0];
        let rival = thread::spawn(move || rival.takes(bucket, 1));
        assert!(me.takes(bucket, 1));
        assert!(rival.join().unwrap(), "there were two");
        me.expect_out(bucket, 2);
        drop(third);
    });
}

#[test]
fn two_thieves_do_not_both_get_a_third_workers_last_seat() {
    explore(Some(5), || {
        let Laid { buckets, workers: [mut me, mut rival, third], .. } = lay(&[(0, [Some(0), Some(0), Some(1)])]);
        let bucket = buckets[0];
        let rival = thread::spawn(move || rival.takes(bucket, 1));
        let mine = me.takes(bucket, 1);
        assert!(mine ^ rival.join().unwrap());
        me.expect_out(bucket, 1);
        drop(third);
    });
}

#[test]
fn two_workers_who_need_each_others_seats_do_not_both_go_without() {
    explore(Some(2), || {
        // Each has one seat in its cell and wants two: one of them has to steal the other's.
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(0, [Some(1), Some(1)])]);
        let bucket = buckets[0];
        let rival = thread::spawn(move || rival.takes(bucket, 2));
        let mine = me.takes(bucket, 2);
        assert!(mine ^ rival.join().unwrap(), "one of them had both");
        me.expect_out(bucket, 2);
    });
}

#[test]
fn the_gathering_of_two_seats_and_a_take_of_one_of_them_do_not_deny_each_other() {
    explore(Some(2), || {
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(0, [Some(1), Some(1)])]);
        let bucket = buckets[0];
        let rival = thread::spawn(move || rival.takes(bucket, 1));
        let both = me.takes(bucket, 2);
        assert!(both ^ rival.join().unwrap(), "one of them had what it wanted");
        me.expect_out(bucket, if both { 2 } else { 1 });
    });
}

#[test]
fn the_next_worker_at_a_desk_finds_the_seats_its_last_one_left() {
    explore(None, || {
        let Laid { stock, buckets, workers: [mut goes, stays] } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        assert!(goes.takes(bucket, 1));
        // So that the comer's desk, if that is another one, is there before threads start.
        drop((stays, stock.join().unwrap()));
        let leaves = thread::spawn(move || {
            goes.give(bucket, 1);
            drop(goes);
        });
        let mut comes = stock.join().unwrap();
        let taken = comes.takes(bucket, 1);
        leaves.join().unwrap();
        assert!(taken || comes.takes(bucket, 1));
        comes.expect_out(bucket, 1);
    });
}
