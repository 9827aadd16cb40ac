//! Models of seats that move from word to word while somebody looks for them, who must not be denied or count wrong.

use loom::thread;

use super::{
    explore,
    laid::{CLOSED, Laid, lay},
};
use crate::pool::Rank;

#[test]
fn a_seat_that_is_brought_home_meanwhile_is_not_denied() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut looks, mut moves, third], .. } = lay(&[(0, [CLOSED, CLOSED, Some(1)])]);
        let bucket = buckets[0];
        let mover = thread::spawn(move || {
            moves.hand().close_cells(bucket);
            moves
        });
        assert!(looks.takes(bucket, 1), "it was free all the time");
        mover.join().unwrap();
        looks.expect_out(bucket, 1);
        drop(third);
    });
}

#[test]
fn a_seat_that_moves_to_a_cell_already_looked_at_is_not_denied() {
    explore(Some(3), || {
        // The mover takes one of three and moves another into its own cell, before or behind the eyes of who looks.
        let Laid { buckets, workers: [mut moves, mut looks, third], .. } = lay(&[(0, [Some(0), Some(0), Some(3)])]);
        let bucket = buckets[0];
        let mover = thread::spawn(move || moves.takes(bucket, 1));
        assert!(looks.takes(bucket, 2), "two were free all the time");
        assert!(mover.join().unwrap());
        looks.expect_out(bucket, 3);
        drop(third);
    });
}

#[test]
fn a_seat_that_moves_is_counted_once() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut looks, mut moves, third], .. } = lay(&[(0, [CLOSED, CLOSED, Some(1)])]);
        let bucket = buckets[0];
        let mover = thread::spawn(move || moves.hand().close_cells(bucket));
        assert_eq!(looks.count(bucket), 1);
        mover.join().unwrap();
        looks.expect_out(bucket, 0);
        drop(third);
    });
}

#[test]
fn the_equation_holds_whenever_it_can_be_read() {
    explore(Some(4), || {
        let Laid { buckets, workers: [mut looks, mut works], .. } = lay(&[(0, [CLOSED, Some(1)])]);
        let bucket = buckets[0];
        let worker = thread::spawn(move || {
            assert!(works.takes(bucket, 1));
            works.give(bucket, 1);
            works
        });
        if let Some(sums) = looks.audit(bucket) {
            assert!(sums.is_balanced(), "{sums:?}");
        }
        worker.join().unwrap();
        looks.expect_out(bucket, 0);
    });
}

#[test]
fn the_equation_holds_while_the_plan_changes() {
    explore(Some(2), || {
        let Laid { buckets, workers: [mut looks, mut plans], .. } = lay(&[(0, [CLOSED, Some(1)])]);
        let bucket = buckets[0];
        let planner = thread::spawn(move || plans.set_capacity(bucket, 0));
        if let Some(sums) = looks.audit(bucket) {
            assert!(sums.is_balanced(), "{sums:?}");
        }
        planner.join().unwrap();
        looks.expect_out(bucket, 0);
    });
}

#[test]
fn seats_in_order_of_two_buckets_are_not_denied_for_moving() {
    explore(Some(2), || {
        let Laid { buckets, workers: [mut looks, mut moves, third], .. } =
            lay(&[(0, [CLOSED, CLOSED, Some(1)]), (1, [CLOSED; 3])]);
        let bucket = buckets[0];
        let mover = thread::spawn(move || moves.hand().close_cells(bucket));
        let mut uses = vec![];
        looks.take_in_order(&buckets, 2, Rank::Newcomer, &mut uses).unwrap();
        mover.join().unwrap();
        assert_eq!(uses.iter().map(|used| used.seats).collect::<Vec<_>>(), [1, 1]);
        buckets.iter().for_each(|bucket| looks.expect_out(*bucket, 1));
        drop(third);
    });
}
