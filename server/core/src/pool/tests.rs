//! Models of the pool for two model checkers. What one thread may do alone is tested beside the code.
//!
//! `loom` (`loom.sh`) tries every order in which the steps of two or three threads can run, and every value that a load may
//! return under the C11 memory model. It takes `SeqCst` for `AcqRel`: a model may therefore assert only what follows from
//! who has seen whom, and each of them does. `shuttle` (`shuttle.sh`) tries random orders of longer runs, in one order of all
//! accesses. `mutants.sh` plants faults and sees to it that these models notice.
//!
//! Under both, tables are tiny: 4 workers, 4 buckets, 2 slots to a block; a worker keeps one free slot and hands the others
//! back.

#[cfg(any(loom, shuttle))]
mod laid;
#[cfg(loom)]
mod loom_exchange;
#[cfg(loom)]
mod loom_expiry;
#[cfg(loom)]
mod loom_moves;
#[cfg(loom)]
mod loom_plan;
#[cfg(loom)]
mod loom_seats;
#[cfg(loom)]
mod loom_slab;
#[cfg(shuttle)]
mod shuttle_pool;

/// Tries `model` in every order, and says how many there were. With `preemptions_max`, only those in which no more than so
/// many threads are interrupted where they could have gone on: for models whose every order would take hours.
/// `LOOM_MAX_PREEMPTIONS` overrules it.
#[cfg(loom)]
fn explore<F: Fn() + Send + Sync + 'static>(preemptions_max: Option<usize>, model: F) {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = builder.preemption_bound.or(preemptions_max);
    let bound = builder.preemption_bound.map_or("exhaustive".to_owned(), |most| format!("preemptions <= {most}"));
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("model {}: {} executions, {bound}", name_of::<F>(), executions.load(Relaxed));
}

/// The test that `F` is a closure of.
#[cfg(any(loom, shuttle))]
fn name_of<F>() -> &'static str {
    let path = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::tests::").map_or(path, |(_, name)| name)
}

/// Runs `model` in random orders, half of them chosen to have few changes of thread at the worst places (PCT):
/// `SHUTTLE_ITERATIONS` of them, 10 000 unless it says otherwise.
#[cfg(shuttle)]
fn shuffle<F: Fn() + Send + Sync + 'static>(model: F) {
    use shuttle::{
        Runner,
        scheduler::{PctScheduler, RandomScheduler},
    };

    let iterations = std::env::var("SHUTTLE_ITERATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let model = std::sync::Arc::new(model);
    let (random, few) = (model.clone(), model);
    let half = iterations / 2;
    let done = Runner::new(RandomScheduler::new(iterations - half), Default::default()).run(move || random())
        + Runner::new(PctScheduler::new(3, half), Default::default()).run(move || few());
    println!("model {}: {done} schedules, half random, half PCT of depth 3", name_of::<F>());
}
