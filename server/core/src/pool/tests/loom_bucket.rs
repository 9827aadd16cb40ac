//! Models of the seat counter.

use loom::{sync::Arc, thread};

use crate::pool::Bucket;

#[test]
fn the_last_seat_is_granted_once() {
    loom::model(|| {
        let bucket = Arc::new(Bucket::new(1));
        let rival = thread::spawn({
            let bucket = bucket.clone();
            move || bucket.take(1)
        });
        let mine = bucket.take(1);
        assert!(mine ^ rival.join().unwrap(), "the last seat is granted exactly once");
        assert_eq!(bucket.free(), 0);
    });
}

#[test]
fn a_seat_given_back_is_granted_once_and_never_lost() {
    loom::model(|| {
        let bucket = Arc::new(Bucket::new(0));
        let giver = thread::spawn({
            let bucket = bucket.clone();
            move || bucket.change(1)
        });
        let rival = thread::spawn({
            let bucket = bucket.clone();
            move || i64::from(bucket.take(1))
        });
        let mine = bucket.take_up_to(1);
        giver.join().unwrap();
        assert_eq!(mine + rival.join().unwrap() + bucket.free(), 1);
    });
}

#[test]
fn capacity_taken_away_in_the_middle_of_a_race_is_exact() {
    loom::model(|| {
        let bucket = Arc::new(Bucket::new(2));
        let plan = thread::spawn({
            let bucket = bucket.clone();
            move || bucket.change(-2)
        });
        let taken = i64::from(bucket.take(2)) * 2;
        plan.join().unwrap();
        assert_eq!(bucket.free(), -taken);
        assert!(!bucket.take(1));
    });
}
