//! However long they walk side by side, stock and twin never part.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use crate::{
    dice::{Dice, told},
    operations::{Operation, Start, operation, start},
    walk::Walk,
};

/// Operations of a long walk between two fresh stocks.
const LEG_LEN: usize = 20_000;
/// Looking takes much longer than an operation.
const LOOK_EVERY_MIN: usize = 50;

fn run(start: &Start, operations: impl IntoIterator<Item = Operation>) {
    let mut walk = Walk::new(start);
    for (n, operation) in operations.into_iter().enumerate() {
        walk.step(&operation);
        if n % start.look_every == start.look_every - 1 {
            walk.look(n);
        }
    }
    walk.finish();
}

/// Not the default generator: a plain build would spend its time on that.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, rng_algorithm: RngAlgorithm::XorShift, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_is_done_is_answered_as_the_twin_answers(
        start in start(),
        operations in prop::collection::vec(operation(), 1..=200),
    ) {
        run(&start, operations);
    }
}

/// Walks one leg; `Err` with its last operations if the twins parted.
fn walk_leg(seed: u64, len: usize) -> Result<(), String> {
    let mut dice = Dice(seed);
    let bytes: Vec<u8> = (0..2).flat_map(|_| dice.roll().to_le_bytes()).collect();
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
    let mut runner = TestRunner::new_with_rng(config(), rng);
    let mut start = start().new_tree(&mut runner).expect("nothing is ever rejected").current();
    start.look_every = start.look_every.max(LOOK_EVERY_MIN);
    let (all, mut done) = (operation(), vec![]);
    let mut next = || all.new_tree(&mut runner).expect("nothing is ever rejected").current();
    let operations = (0..len).map(|_| next()).inspect(|operation| {
        if done.len() == 64 {
            done.drain(..32);
        }
        done.push(operation.clone());
    });
    let walked = catch_unwind(AssertUnwindSafe(|| run(&start, operations)));
    walked.map_err(|_| format!("{start:?}, at last {done:#?}"))
}

/// `LEASEHOLD_MODEL_OPS` says how many operations, `LEASEHOLD_MODEL_SEED` which.
#[test]
fn a_long_walk_never_parts_from_the_twin() {
    let (seed, operations): (u64, usize) = (told("LEASEHOLD_MODEL_SEED", 1), told("LEASEHOLD_MODEL_OPS", 200_000));
    for (seed, from) in (seed..).zip((0..operations).step_by(LEG_LEN)) {
        if let Err(why) = walk_leg(seed, LEG_LEN.min(operations - from)) {
            panic!("LEASEHOLD_MODEL_SEED={seed} LEASEHOLD_MODEL_OPS={LEG_LEN}: {why}");
        }
    }
}
