//! The allocation core alone: seats and leases, no datagrams, no plans. `rivals` sets it beside other designs, and counts
//! in ratios; this shows where a change made it slower.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use leasehold_benches::{
    contest::{Course, Limit, Runner, Work},
    counter::{self, NOW, Stock, Use, holder},
    crowd::Crowd,
    desk::Desk,
    rivals::Ours,
    wave::Shore,
};

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(20);
    group
}

fn one_thread(c: &mut Criterion) {
    let mut group = group(c, "one thread");
    let mut bench = |name, mut desk: Desk, once: fn(&mut Desk)| {
        group.bench_function(name, |b| b.iter(|| once(&mut desk)));
    };
    bench("take and give", Desk::new(1, 10_000), Desk::take_and_give);
    bench("take and give, bundle of 2", Desk::new(2, 10_000), Desk::take_and_give_all);
    bench("take and give, bundle of 4", Desk::new(4, 10_000), Desk::take_and_give_all);
    bench("checkout and release", Desk::new(1, 10_000), Desk::pair);
    bench("checkout and release, bundle of 2", Desk::new(2, 10_000), Desk::bundle);
    bench("checkout and release, bundle of 4", Desk::new(4, 10_000), Desk::bundle);
    bench("renewal", Desk::new(1, 10_000).holding(), Desk::renew);
    bench("denial, everything out", Desk::new(1, 0), Desk::be_denied);
    bench("denial, everything out, 16 desks", Desk::new(1, 0).among(16), Desk::be_denied);
}

/// What it costs to have the ledger equation at hand, and to check it.
fn ledger(c: &mut Criterion) {
    let mut group = group(c, "ledger");
    let mut bench = |name, mut desk: Desk, once: fn(&mut Desk)| {
        group.bench_function(name, |b| b.iter(|| once(&mut desk)));
    };
    bench("record of a take and a give", Desk::uncounted(), Desk::take_and_give);
    bench("equation of a bucket", Desk::new(1, 10_000), Desk::audit);
    bench("equation of a bucket, 16 desks", Desk::new(1, 10_000).among(16), Desk::audit);
}

fn many_threads(c: &mut Criterion) {
    for (name, work, features) in [
        ("checkout and release, one feature", Work::Pairs, 1),
        ("checkout and release, 1000 features", Work::Pairs, 1000),
        ("90 % renewals, 1000 features", Work::Mix, 1000),
    ] {
        let mut group = group(c, name);
        for threads in [1, 2, 4, 8, 16] {
            group.bench_function(format!("{threads} threads"), |b| {
                let course = Course::<Ours>::new(work, features, 10_000, threads);
                b.iter_custom(|n| {
                    let sample = course.run(Limit::Count(n));
                    Duration::from_secs_f64(n as f64 / sample.per_us / 1e6)
                });
            });
        }
    }
}

/// Two threads whose bundles name the same buckets the other way round.
fn crossing(c: &mut Criterion) {
    let mut group = group(c, "crossing bundles");
    for width in [2, 4] {
        group.bench_function(format!("checkout and release of {width}, 2 threads"), |b| {
            let (stock, buckets) = counter::stocked(width, 10_000, 1 << 20);
            let there: Vec<_> = buckets.into_iter().map(|bucket| Use { bucket, seats: 1 }).collect();
            let back: Vec<_> = there.iter().rev().copied().collect();
            b.iter_custom(|n| {
                thread::scope(|scope| {
                    let others = scope.spawn(|| bundles(&stock, &back, n.div_ceil(2)));
                    bundles(&stock, &there, n.div_ceil(2)).max(others.join().expect("no thread panics"))
                })
            });
        });
    }
}

fn bundles(stock: &Arc<Stock>, wants: &[Use], times: u64) -> Duration {
    let mut worker = stock.join().expect("a desk");
    let start = Instant::now();
    for n in 0..times {
        let id = counter::check_out_bundle(&mut worker, wants, &holder(n), NOW).expect("free seats");
        counter::release(&mut worker, id);
    }
    start.elapsed()
}

fn live_leases(c: &mut Criterion) {
    let mut group = group(c, "leases alive");
    // What is not optimised would take minutes to open ten million.
    let sizes: &[u32] = if cfg!(debug_assertions) { &[10_000] } else { &[10_000, 1_000_000, 10_000_000] };
    for leases in sizes {
        let mut crowd = None;
        for (name, once) in [
            ("renewal of any", Crowd::renew as fn(&mut Crowd)),
            ("release of any and checkout", Crowd::churn),
            ("checkout and release", Crowd::pair),
        ] {
            group.bench_function(format!("{name}, {leases}"), |b| {
                let crowd = crowd.get_or_insert_with(|| Crowd::new(*leases));
                b.iter(|| once(crowd));
            });
        }
    }
}

/// One iteration is all the leases.
fn mass_expiry(c: &mut Criterion) {
    let mut group = c.benchmark_group("mass expiry");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(3)).sample_size(10);
    let leases = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
    group.bench_function(format!("{leases}: CPU time"), |b| {
        let mut shore = Shore::new(leases);
        b.iter_custom(|n| (0..n).map(|_| shore.wave().cpu).sum());
    });
    group.bench_function(format!("{leases}: longest renewal meanwhile"), |b| {
        let mut shore = Shore::new(leases);
        let mut longest = || Duration::from_secs_f64(shore.wave().renewals.quantiles([1.0])[0] / 1e9);
        b.iter_custom(|n| (0..n).map(|_| longest()).sum());
    });
}

criterion_group!(benches, one_thread, ledger, many_threads, crossing, live_leases, mass_expiry);
criterion_main!(benches);
