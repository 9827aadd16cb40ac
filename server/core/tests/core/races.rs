//! Several workers over one set of seats, on real threads.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicI64, Ordering},
    },
    thread,
};

use leasehold_core::{Engine, Event, Path, Shared};
use leasehold_protocol::{
    message::{ClientFrame, Release, ServerFrame},
    time::{Mono, Now},
};

use crate::rig::{Client, Lot, Site};

const SEATS: u32 = 7;
const WORKERS: usize = 4;
const ROUNDS: usize = 400;

/// Feeds one datagram to a worker and returns what it answers to this client.
pub fn ask(engine: &mut Engine, now: Now, client: &mut Client, frames: &[ClientFrame]) -> Vec<ServerFrame> {
    let mut datagram = client.seal(frames, 512);
    engine.handle_datagram(now, Path::unicast(client.from), &mut datagram);
    let (mut said, mut out) = (vec![], vec![]);
    while let Some(to) = engine.poll_transmit(&mut out) {
        // What others are told unasked is lost here.
        if to.to == client.from {
            said.push((to, out.clone()));
        }
    }
    client.open(&said)
}

/// What is true of all workers together: seats out never above what there is. Counted from the outside: up after a grant
/// arrived, down before a release is sent.
struct Tally {
    out: AtomicI64,
    most: AtomicI64,
}

fn work(shared: &Shared, engine: &mut Engine, client: &mut Client, start: Now, tally: &Tally) -> (u64, u64) {
    let (mut granted, mut denied) = (0, 0);
    for round in 0..ROUNDS {
        let now = Now { mono: Mono(start.mono.0 + round as u64), wall: start.wall };
        let seats = 1 + u32::try_from(round % 3).unwrap();
        let claim = client.claim();
        let request = client.request_frame(claim, "A", seats);
        match &ask(engine, now, client, &[ClientFrame::Request(Box::new(request))])[..] {
            [ServerFrame::Grant(grant)] => {
                let out = tally.out.fetch_add(i64::from(seats), Ordering::SeqCst) + i64::from(seats);
                tally.most.fetch_max(out, Ordering::SeqCst);
                granted += 1;
                let renew = client.renew_frame(grant.lease, claim);
                assert!(matches!(ask(engine, now, client, &[renew])[..], [ServerFrame::Renewed(_)]));
                tally.out.fetch_sub(i64::from(seats), Ordering::SeqCst);
                let release = Release { lease: grant.lease, claim, operation: client.operation() };
                ask(engine, now, client, &[ClientFrame::Release(release)]);
            }
            [ServerFrame::Deny(_)] => denied += 1,
            other => panic!("{other:?}"),
        }
        if round % 64 == 0 {
            shared.check_ledger().unwrap();
            assert_eq!(shared.features(now).len(), 1);
            assert!(shared.leases(now).len() <= SEATS as usize);
        }
        while engine.poll_event().is_some() {}
    }
    (granted, denied)
}

#[test]
fn workers_racing_for_the_same_seats_never_grant_one_too_many_and_lose_none() {
    let mut site = Site::new();
    // Three lots, so that checkouts span them.
    site.load(&[Lot::of("A", 2), Lot::of("A", 2).serial("2"), Lot::of("A", 3).serial("3")]);
    let clients: Vec<_> = (1..=WORKERS).map(|n| Client::connected(u8::try_from(n).unwrap(), &mut site)).collect();
    let tally = Arc::new(Tally { out: AtomicI64::new(0), most: AtomicI64::new(0) });
    let (start, barrier) = (site.now, Barrier::new(WORKERS));
    let totals: Vec<(u64, u64)> = thread::scope(|scope| {
        let workers: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(n, mut client)| {
                let (shared, tally, barrier) = (site.shared.clone(), tally.clone(), &barrier);
                let mut engine = site.worker(100 + n as u64);
                scope.spawn(move || {
                    barrier.wait();
                    work(&shared, &mut engine, &mut client, start, &tally)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    site.shared.check_ledger().unwrap();
    assert!(tally.most.load(Ordering::SeqCst) <= i64::from(SEATS));
    assert_eq!((site.feature("A").used, site.feature("A").free, site.shared.live_leases()), (0, i64::from(SEATS), 0));
    let (granted, denied) = totals.into_iter().fold((0, 0), |(g, d), (granted, denied)| (g + granted, d + denied));
    assert_eq!(granted + denied, (WORKERS * ROUNDS) as u64);
    assert_eq!((site.counter("grants"), site.counter("releases"), site.counter("denials")), (granted, granted, denied));
}

#[test]
fn one_claim_on_all_workers_at_once_is_one_lease() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 100)]);
    let mut client = Client::connected(1, &mut site);
    for _ in 0..50 {
        let claim = client.claim();
        let datagrams: Vec<_> = (0..WORKERS)
            .map(|_| {
                let request = client.request_frame(claim, "A", 1);
                client.seal(&[ClientFrame::Request(Box::new(request))], 512)
            })
            .collect();
        let (now, from, barrier) = (site.now, client.from, Barrier::new(WORKERS));
        let grants: usize = thread::scope(|scope| {
            let workers: Vec<_> = datagrams
                .into_iter()
                .enumerate()
                .map(|(n, mut datagram)| {
                    let (mut engine, barrier) = (site.worker(200 + n as u64), &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        engine.handle_datagram(now, Path::unicast(from), &mut datagram);
                        std::iter::from_fn(|| engine.poll_event()).filter(|e| matches!(e, Event::Granted(_))).count()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(grants, 1);
    }
    assert_eq!((site.feature("A").used, site.shared.live_leases()), (50, 50));
    site.shared.check_ledger().unwrap();
}

#[test]
fn expiry_release_and_renewal_on_different_workers_end_each_lease_once() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1000).ttl_s(2)]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..300).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    site.events.clear();
    let releases: Vec<_> = grants
        .iter()
        .map(|grant| {
            let release = Release { lease: grant.lease, claim: grant.claim, operation: client.operation() };
            let renew = client.renew_frame(grant.lease, grant.claim);
            (client.seal(&[ClientFrame::Release(release)], 0), client.seal(&[renew], 0))
        })
        .collect();
    let (start, from, barrier) = (site.now, client.from, Barrier::new(3));
    let at = |ms: u64| Now { mono: Mono(start.mono.0 + ms), wall: start.wall };
    let (releases, renewals): (Vec<_>, Vec<_>) = releases.into_iter().unzip();
    let ends: usize = thread::scope(|scope| {
        let ended = |engine: &mut Engine| {
            let end = |event: &Event| matches!(event, Event::Released(_) | Event::Expired(_));
            std::iter::from_fn(|| engine.poll_event()).filter(end).count()
        };
        let feed = |datagrams: Vec<Vec<u8>>, ms: u64, seed: u64| {
            let (mut engine, barrier) = (site.worker(seed), &barrier);
            scope.spawn(move || {
                barrier.wait();
                for mut datagram in datagrams {
                    engine.handle_datagram(at(ms), Path::unicast(from), &mut datagram);
                }
                ended(&mut engine)
            })
        };
        let workers = [feed(releases, 1_999, 1), feed(renewals, 1_999, 2)];
        let (mut sweeper, barrier) = (site.worker(3), &barrier);
        let sweeps = scope.spawn(move || {
            barrier.wait();
            (0..20).for_each(|_| sweeper.handle_timeout(at(2_000)));
            ended(&mut sweeper)
        });
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>() + sweeps.join().unwrap()
    });
    site.shared.check_ledger().unwrap();
    let left = site.shared.live_leases();
    assert_eq!(ends as u64 + left, 300, "each lease ended once or lives");
    site.advance(10_000);
    assert_eq!((site.feature("A").used, site.feature("A").free), (0, 1000));
}
