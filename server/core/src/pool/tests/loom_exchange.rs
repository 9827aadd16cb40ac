//! Models of several words replaced at once.

use loom::thread;

use super::{
    explore,
    laid::{CLOSED, Laid, lay},
};

#[test]
fn of_two_crossing_bundles_exactly_one_wins() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(1, [CLOSED; 2]), (1, [CLOSED; 2])]);
        let (one, other) = (buckets[0], buckets[1]);
        let rival = thread::spawn(move || rival.takes_all(&[other, one]));
        let mine = me.takes_all(&[one, other]);
        assert!(mine ^ rival.join().unwrap(), "nobody is denied by a half that is given back");
        me.expect_out(one, 1);
        me.expect_out(other, 1);
    });
}

#[test]
fn of_two_bundles_that_cross_in_each_others_cells_exactly_one_wins() {
    explore(Some(2), || {
        let Laid { buckets, workers: [mut me, mut rival], .. } =
            lay(&[(0, [Some(1), Some(0)]), (0, [Some(0), Some(1)])]);
        let (one, other) = (buckets[0], buckets[1]);
        let rival = thread::spawn(move || rival.takes_all(&[other, one]));
        let mine = me.takes_all(&[one, other]);
        assert!(mine ^ rival.join().unwrap());
        me.expect_out(one, 1);
        me.expect_out(other, 1);
    });
}

#[test]
fn a_bundle_and_a_take_of_its_last_word_do_not_deny_each_other() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(1, [CLOSED; 2]), (1, [CLOSED; 2])]);
        let (one, other) = (buckets[0], buckets[1]);
        let rival = thread::spawn(move || rival.takes(other, 1));
        let both = me.takes_all(&[one, other]);
        assert!(both ^ rival.join().unwrap(), "the last seat went to one of them");
        me.expect_out(one, both.into());
        me.expect_out(other, 1);
    });
}

#[test]
fn a_bundle_is_seen_whole_in_the_order_of_its_words() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(1, [CLOSED; 2]), (1, [CLOSED; 2])]);
        let (one, other) = (buckets[0], buckets[1]);
        let rival = thread::spawn(move || rival.takes_all(&[one, other]));
        let (first, second) = (me.takes(one, 1), me.takes(other, 1));
        let theirs = rival.join().unwrap();
        assert_eq!([first, second], [!theirs; 2], "all of the bundle was taken, or nothing");
    });
}

#[test]
fn a_bundle_is_seen_whole_against_the_order_of_its_words() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(1, [CLOSED; 2]), (1, [CLOSED; 2])]);
        let (one, other) = (buckets[0], buckets[1]);
        let rival = thread::spawn(move || rival.takes_all(&[one, other]));
        let (second, first) = (me.takes(other, 1), me.takes(one, 1));
        let theirs = rival.join().unwrap();
        assert_eq!([first, second], [!theirs; 2], "all of the bundle was taken, or nothing");
    });
}

#[test]
fn counts_see_a_bundle_whole() {
    explore(Some(3), || {
        let Laid { buckets, workers: [mut looks, mut rival], .. } = lay(&[(1, [CLOSED; 2]), (1, [CLOSED; 2])]);
        let (one, other) = (buckets[0], buckets[1]);
        let rival = thread::spawn(move || rival.takes_all(&[one, other]));
        let first = looks.count(one);
        let second = looks.count(other);
        assert!(rival.join().unwrap());
        assert!(second <= first, "what was gone once is gone: {first}, then {second}");
    });
}

#[test]
fn who_helps_an_exchange_that_is_over_does_not_undo_it() {
    explore(Some(4), || {
        // The helper meets the bundle's mark, and loses its processor until the bundle is long over, or ends it itself.
        let Laid { buckets, workers: [mut me, mut helps], .. } = lay(&[(0, [Some(2), CLOSED]), (1, [CLOSED, CLOSED])]);
        let (one, other) = (buckets[0], buckets[1]);
        let helper = thread::spawn(move || helps.takes(one, 1));
        assert!(me.takes_all(&[one, other]), "there was enough for everybody");
        assert!(helper.join().unwrap());
        me.expect_out(one, 2);
        me.expect_out(other, 1);
    });
}

#[test]
fn a_worker_goes_on_while_a_thief_takes_from_its_cells() {
    explore(None, || {
        let Laid { buckets, workers: [mut me, mut thief], .. } = lay(&[(0, [Some(3), CLOSED]), (0, [Some(3), CLOSED])]);
        let (one, other) = (buckets[0], buckets[1]);
        assert!(me.takes_all(&[one, other]));
        let thief = thread::spawn(move || thief.takes(other, 1));
        assert!(me.takes(one, 1));
        me.give(other, 1);
        assert!(thief.join().unwrap());
        me.expect_out(one, 2);
        me.expect_out(other, 1);
    });
}

#[test]
fn a_descriptor_is_used_again_while_somebody_still_reads_it() {
    explore(Some(2), || {
        // Two exchanges in a row over other words, so that a helper who reads half of each would do harm.
        let Laid { buckets, workers: [mut me, mut helps], .. } =
            lay(&[(2, [CLOSED; 2]), (2, [CLOSED; 2]), (1, [CLOSED; 2])]);
        let (one, other, last) = (buckets[0], buckets[1], buckets[2]);
        let helper = thread::spawn(move || helps.takes(one, 1));
        assert!(me.takes_all(&[one, other]));
        assert!(me.takes_all(&[other, last]));
        assert!(helper.join().unwrap());
        me.expect_out(one, 2);
        me.expect_out(other, 2);
        me.expect_out(last, 1);
    });
}

#[test]
fn a_failed_exchange_leaves_nothing_behind() {
    explore(Some(3), || {
        // The rival takes the seat the bundle's second word counts on, and a seat of the first word while it is marked.
        let Laid { buckets, workers: [mut me, mut rival], .. } = lay(&[(2, [CLOSED; 2]), (1, [CLOSED; 2])]);
        let (one, other) = (buckets[0], buckets[1]);
        let rival = thread::spawn(move || (rival.takes(other, 1), rival.takes(one, 1)));
        let both = me.takes_all(&[one, other]);
        let (second, first) = rival.join().unwrap();
        assert!(first && (both ^ second));
        me.expect_out(one, 1 + i64::from(both));
        me.expect_out(other, 1);
    });
}
