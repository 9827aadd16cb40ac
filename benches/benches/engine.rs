//! What the decisions cost, with no socket and no kernel: a holder asks, an engine answers, datagram by datagram, sealed
//! and opened as on the wire.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use leasehold_benches::{Pair, World};
use leasehold_protocol::message::RENEW_MANY_MAX;

fn round_trips(c: &mut Criterion) {
    let mut group = c.benchmark_group("round trip");
    group.throughput(Throughput::Elements(1));
    let mut world = World::new(1_000_000);

    group.bench_function("renewal", |b| {
        let mut pair = Pair::holding(&mut world, 1);
        b.iter(|| pair.renew(&mut world));
    });
    group.bench_function("checkout and release", |b| {
        let mut pair = Pair::connected(&mut world, 2);
        b.iter(|| pair.check_out_and_in(&mut world));
    });
    group.bench_function("denial", |b| {
        let mut full = World::new(1);
        let _holder = Pair::holding(&mut full, 1);
        let mut pair = Pair::connected(&mut full, 2);
        b.iter(|| pair.ask_in_vain(&mut full));
    });
    group.bench_function("handshake to first grant", |b| {
        let mut n = 100;
        b.iter(|| {
            n += 1;
            Pair::holding(&mut world, n)
        });
    });
    group.finish();
}

/// The server's share of a renewal, alone and with others in its datagram, while other leases are out: opening, deciding, sealing the answer.
fn engine_alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine alone");
    group.throughput(Throughput::Elements(1));
    for leases in [1u32, 10_000, 100_000] {
        let mut world = World::new(1_000_000);
        let mut pair = Pair::holding(&mut world, 1);
        pair.hold_more(&mut world, leases - 1);
        group.bench_function(format!("renewal among {leases}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| timed(&mut pair, &mut world, Pair::sealed_renewal)).sum());
        });
    }
    group.throughput(Throughput::Elements(RENEW_MANY_MAX as u64));
    for leases in [100u32, 100_000] {
        let mut world = World::new(1_000_000);
        let mut pair = Pair::holding(&mut world, 1);
        pair.hold_more(&mut world, leases - 1);
        group.bench_function(format!("{RENEW_MANY_MAX} renewals in a datagram, among {leases}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| timed(&mut pair, &mut world, Pair::sealed_renewals)).sum());
        });
    }
    group.finish();
}

fn timed(pair: &mut Pair, world: &mut World, seal: fn(&mut Pair) -> Vec<u8>) -> Duration {
    let mut datagram = seal(pair);
    let began = Instant::now();
    world.feed(&mut datagram);
    let took = began.elapsed();
    pair.listen(world);
    took
}

criterion_group!(benches, round_trips, engine_alone);
criterion_main!(benches);
