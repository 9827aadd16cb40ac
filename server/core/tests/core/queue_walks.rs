//! Long queues, random days and racing workers: order holds, no wake-up is lost, and the ledger comes out.

use std::{sync::Barrier, thread};

use leasehold_protocol::{
    Entropy,
    message::{ClientFrame, Grant, Release, ServerFrame, Wait},
    time::{Mono, Now},
    vocab::{ClaimKey, Denial, LeaseId},
};

use crate::{
    races::ask,
    rig::{Client, Hall, Lot, Seeded, Site, Told},
};

/// Ten thousand who wait for one seat: each release wakes one, in order, and nobody is left.
#[test]
fn a_storm_of_waiters_on_one_seat_is_served_one_by_one_in_order() {
    const WAITERS: usize = 10_000;
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(3_000)], 2);
    let mut held = (0, hall.request(0, 1).grant());
    let claims: Vec<ClaimKey> = (0..WAITERS).map(|_| hall.queue(1, 1)).collect();
    assert_eq!(hall.site.feature("A").waiting as usize, WAITERS);
    let claim = hall.clients[1].claim();
    assert_eq!(hall.wait(1, claim, 1).denied().code, Denial::QUEUE_FULL);
    for claim in claims {
        let (n, grant) = held;
        hall.release(n, &grant);
        let next = hall.unasked(1).expect("somebody is next");
        assert_eq!(next.claim, claim);
        assert!(hall.unasked(1).is_none(), "one and no more");
        held = (1, next);
    }
    assert_eq!((hall.site.feature("A").waiting, hall.site.feature("A").used), (0, 1));
}

/// Random days in the hall: whoever waits and is still there gets his seats in the end, whatever is lost on the way.
#[test]
fn whatever_is_lost_and_whoever_goes_the_queue_is_served() {
    let mut served = 0;
    for seed in 0..20 {
        let mut hall = Hall::new(&[Lot::of("A", 3).ttl_s(20), Lot::of("A", 2).version("6.0").ttl_s(30)], 4);
        let mut dice = Seeded(seed);
        let mut roll = move |sides: u64| usize::try_from(dice.next_u64() % sides).unwrap();
        let mut waiting: Vec<(usize, ClaimKey, u32)> = vec![];
        let mut held: Vec<(usize, Grant)> = vec![];
        for _ in 0..400 {
            hall.deaf = roll(3) == 0;
            match roll(9) {
                0..3 if waiting.len() < 10 => {
                    let (n, seats) = (roll(4), 1 + u32::try_from(roll(3)).unwrap());
                    let claim = hall.clients[n].claim();
                    match hall.wait(n, claim, seats) {
                        Told::Grant(grant) => held.push((n, *grant)),
                        Told::Queued(_) => waiting.push((n, claim, seats)),
                        Told::Deny(deny) => panic!("{deny:?}"),
                    }
                }
                3..5 if !held.is_empty() => {
                    let (n, grant) = held.swap_remove(roll(held.len() as u64));
                    let operation = hall.clients[n].operation();
                    let release = Release { lease: grant.lease, claim: grant.claim, operation };
                    hall.ask(n, &ClientFrame::Release(release));
                }
                5 if !waiting.is_empty() => {
                    let (n, claim, _) = waiting.swap_remove(roll(waiting.len() as u64));
                    if roll(2) == 0 {
                        let operation = hall.clients[n].operation();
                        hall.ask(n, &ClientFrame::Release(Release { lease: LeaseId::NONE, claim, operation }));
                    }
                }
                6 => hall.advance(roll(4_000) as u64),
                _ => {
                    let all = std::mem::take(&mut waiting);
                    for (n, claim, seats) in all {
                        match hall.wait(n, claim, seats) {
                            Told::Grant(grant) => {
                                served += 1;
                                held.push((n, *grant));
                            }
                            Told::Queued(_) => waiting.push((n, claim, seats)),
                            Told::Deny(deny) => panic!("{deny:?}"),
                        }
                    }
                }
            }
            hall.site.shared.check_ledger().unwrap();
            assert!(hall.site.feature("A").used <= 5);
        }
        // Nobody releases any more, and all leases end: everybody who is still there is served, none twice.
        hall.deaf = false;
        for _ in 0..400 {
            if waiting.is_empty() {
                break;
            }
            for (n, claim, seats) in std::mem::take(&mut waiting) {
                match hall.wait(n, claim, seats) {
                    Told::Grant(_) => served += 1,
                    _ => waiting.push((n, claim, seats)),
                }
            }
            hall.advance(4_000);
        }
        assert!(waiting.is_empty(), "{} wait for ever", waiting.len());
        hall.advance(60_000);
        let feature = hall.site.feature("A");
        assert_eq!((feature.used, feature.waiting, hall.site.shared.live_leases()), (0, 0, 0));
    }
    assert!(served > 500, "{served} are too few to mean anything");
}

const WORKERS: usize = 4;
const ROUNDS: u64 = 800;

/// Four workers, each with a client that waits until it has its seats and gives them back: all of them always get on.
#[test]
fn workers_racing_for_a_queue_lose_no_wake_up() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).ttl_s(3_000), Lot::of("A", 1).serial("2").ttl_s(3_000)]);
    let clients: Vec<_> = (1..=WORKERS).map(|n| Client::connected(u8::try_from(n).unwrap(), &mut site)).collect();
    let (start, barrier, shared) = (site.now, Barrier::new(WORKERS), &site.shared);
    let engines: Vec<_> = (0..WORKERS).map(|n| site.worker(90 + n as u64)).collect();
    thread::scope(|scope| {
        for (n, (mut client, mut engine)) in clients.into_iter().zip(engines).enumerate() {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let seats = 1 + u32::try_from(n % 2).unwrap();
                for _ in 0..ROUNDS {
                    let now = Now { mono: Mono(start.mono.0 + 1), wall: start.wall };
                    let claim = client.claim();
                    // What is told unasked goes to another worker's outbox here, and is lost: asking again finds it.
                    let mut asked = 0u32;
                    let grant = loop {
                        let request = client.request_frame(claim, "A", seats);
                        let wait = ClientFrame::Wait(Box::new(Wait { request, queue_only: false }));
                        let frames = ask(&mut engine, now, &mut client, &[wait]);
                        if let Some(ServerFrame::Grant(grant)) = frames
                            .iter()
                            .find(|frame| matches!(frame, ServerFrame::Grant(grant) if grant.claim == claim))
                        {
                            break grant.clone();
                        }
                        asked += 1;
                        assert!(asked < 5_000_000, "it waits for ever");
                        thread::yield_now();
                    };
                    let release = Release { lease: grant.lease, claim, operation: client.operation() };
                    ask(&mut engine, now, &mut client, &[ClientFrame::Release(release)]);
                    while engine.poll_event().is_some() {}
                    shared.check_ledger().unwrap();
                }
            });
        }
    });
    site.shared.check_ledger().unwrap();
    let feature = site.feature("A");
    assert_eq!((feature.used, feature.waiting, site.shared.live_leases()), (0, 0, 0));
}

/// A long queue of large requests before one free seat: nobody is served who cannot be, those who can are bounded in how many pass,
/// and no more than some are looked at.
#[test]
fn a_long_queue_of_large_requests_before_a_free_seat_is_not_walked_to_its_end() {
    let mut hall = Hall::new(&[Lot::of("A", 3).ttl_s(3_000)], 3);
    let held: Vec<Grant> = (0..2).map(|_| hall.request(0, 1).grant()).collect();
    let large: Vec<ClaimKey> = (0..600).map(|_| hall.queue(1, 2)).collect();
    assert_eq!(hall.request(2, 1).denied().code, Denial::NO_SEAT, "some who wait were not looked at");
    let small = hall.queue(2, 1);
    assert_eq!(hall.wait(2, small, 1).grant().claim, small, "asked for again, it passes them");
    for grant in &held {
        hall.release(0, grant);
    }
    assert_eq!(hall.unasked(1).unwrap().claim, large[0]);
    assert_eq!(hall.site.feature("A").waiting, 599);
}
