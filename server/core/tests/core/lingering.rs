//! Seats that stay with their holder after a release.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use leasehold_core::Event;
use leasehold_protocol::{
    licence::certificate::{Cost, ShareBy},
    message::{ClientFrame, Deny, Grant, Release, ReleaseOutcome, ServerFrame},
    time::{Mono, Now, UnixMillis},
    vocab::{Denial, FeatureName, Label, SeatCount, Version},
};

use crate::rig::{Client, Lot, Site};

fn linger(seats: u32, s: u32) -> Lot {
    Lot::of("A", seats).exclusive().ttl_s(100).terms(|t| t.linger_s = Some(s))
}

fn ask(client: &mut Client, site: &mut Site, feature: &str, seats: u32, user: &str) -> Result<Grant, Box<Deny>> {
    let claim = client.claim();
    let mut request = client.request_frame(claim, feature, seats);
    request.holder.user = Label::lossy(user);
    let answer = client.send_request(site, &request);
    site.shared.check_ledger().unwrap();
    answer
}

fn release(client: &mut Client, site: &mut Site, grant: &Grant) -> ReleaseOutcome {
    let outcome = client.release(site, grant.lease, grant.claim);
    site.shared.check_ledger().unwrap();
    outcome
}

/// Seats out, of those the ones that linger, and leases.
fn out(site: &Site) -> (u32, u32, u32) {
    let feature = site.feature("A");
    (feature.used, feature.lingering, feature.leases)
}

#[test]
fn rr_17_a_released_seat_stays_with_its_holder_to_the_millisecond() {
    let mut site = Site::new();
    assert_eq!(site.load(&[linger(1, 60)]).lines[0].warnings, Vec::<String>::new());
    let mut client = Client::connected(1, &mut site);
    let grant = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    assert_eq!(release(&mut client, &mut site, &grant), ReleaseOutcome::Freed);
    assert_eq!(out(&site), (1, 1, 1));
    assert_eq!(site.shared.live_leases(), 0, "nobody waits for it at the server's end");
    let lease = &site.shared.leases(site.now)[0];
    assert!(lease.lingers && lease.holder.user == Label::lossy("ann") && lease.remaining_ms == 60_000);
    let deny = ask(&mut client, &mut site, "A", 1, "bob").unwrap_err();
    assert_eq!((deny.code, deny.next_due.unwrap().in_ms), (Denial::NO_SEAT, 60_000));
    // The same asking again, and the old lease: it is over for them.
    assert_eq!(release(&mut client, &mut site, &grant), ReleaseOutcome::NotHeld);
    assert_eq!(client.renew(&mut site, grant.lease, grant.claim).unwrap_err().code, Denial::NO_SUCH_LEASE);
    site.sleep(59_999);
    assert!(ask(&mut client, &mut site, "A", 1, "bob").is_err());
    site.sleep(1);
    ask(&mut client, &mut site, "A", 1, "bob").unwrap();
    assert_eq!(out(&site), (1, 0, 1));
}

#[test]
fn its_holder_takes_it_over_and_it_stays_again_after_the_next_release() {
    let mut site = Site::new();
    site.load(&[linger(2, 60)]);
    let mut client = Client::connected(1, &mut site);
    let first = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    release(&mut client, &mut site, &first);
    site.sleep(50_000);
    let second = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    assert_eq!((out(&site), second.seats.get(), second.lots.len()), ((1, 0, 1), 1, 1));
    site.sleep(20_000);
    assert_eq!(out(&site), (1, 0, 1), "it is hers, and not until the first time was over");
    let third = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    assert_eq!(out(&site), (2, 0, 2), "nothing lingers: a seat of its own");
    release(&mut client, &mut site, &second);
    release(&mut client, &mut site, &third);
    assert_eq!(out(&site), (2, 2, 2));
    site.sleep(60_000);
    site.advance(1);
    assert_eq!(out(&site), (0, 0, 0));
    let ends = |wanted: fn(&Event) -> bool| site.events.iter().filter(|event| wanted(event)).count();
    assert_eq!(ends(|event| matches!(event, Event::Released(ended) if ended.stays_until.is_some())), 3);
    assert_eq!(
        (ends(|event| matches!(event, Event::LingerEnded(_))), ends(|event| matches!(event, Event::Expired(_)))),
        (3, 0)
    );
    let stayed = |event: &Event| match event {
        Event::LingerEnded(ended) => Some(ended.at.ms_since(ended.lingered?)),
        _ => None,
    };
    let stays: Vec<u64> = site.events.iter().filter_map(stayed).collect();
    assert_eq!(stays, [50_000, 60_000, 60_000], "from the release on: what was before is told of by that");
}

/// RR-17: "re-claim only by same user, host, display, share id and unit count".
#[test]
fn nobody_else_takes_it_over_and_neither_does_another_wish_of_his() {
    let mut site = Site::new();
    site.load(&[linger(3, 60)]);
    let mut client = Client::connected(1, &mut site);
    let first = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    release(&mut client, &mut site, &first);
    for (user, seats, used) in [("bob", 1, 2), ("ann", 2, 4)] {
        let answer = ask(&mut client, &mut site, "A", seats, user);
        assert_eq!(answer.is_ok(), used <= 3, "{user} {seats}");
    }
    assert_eq!(out(&site), (2, 1, 2));
    ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    assert_eq!(out(&site), (2, 0, 2));
}

/// "Minimum checkout likewise": counted from the grant.
#[test]
fn rr_19_a_least_time_counts_from_the_grant() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).exclusive().ttl_s(1000).terms(|t| t.min_checkout_s = Some(100))]);
    let mut client = Client::connected(1, &mut site);
    let short = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    site.sleep(30_000);
    release(&mut client, &mut site, &short);
    assert_eq!(site.shared.leases(site.now)[0].remaining_ms, 70_000);
    let again = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    site.sleep(100_000);
    release(&mut client, &mut site, &again);
    assert_eq!(out(&site), (0, 0, 0), "longer than that: nothing stays");
    ask(&mut client, &mut site, "A", 1, "bob").unwrap();
}

/// "its seats can be granted in the same millisecond".
#[test]
fn what_expires_does_not_linger() {
    let mut site = Site::new();
    site.load(&[linger(1, 60)]);
    let mut client = Client::connected(1, &mut site);
    ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    site.sleep(100_000);
    ask(&mut client, &mut site, "A", 1, "bob").unwrap();
}

#[test]
fn what_is_shared_lingers_with_the_last_and_is_shared_again() {
    let mut site = Site::new();
    site.load(&[linger(2, 60).terms(|t| t.share = Some(ShareBy::USER))]);
    let mut client = Client::connected(1, &mut site);
    let first = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    let second = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    release(&mut client, &mut site, &first);
    assert_eq!(out(&site), (1, 0, 1), "the other one has it");
    release(&mut client, &mut site, &second);
    assert_eq!(out(&site), (1, 1, 1));
    let third = ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    assert_eq!(out(&site), (1, 0, 1), "and what lingered is over");
    ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    ask(&mut client, &mut site, "A", 1, "bob").unwrap();
    assert_eq!(out(&site), (2, 0, 3));
    release(&mut client, &mut site, &third);
    assert_eq!(out(&site), (2, 0, 2));
}

#[test]
fn a_tokens_price_lingers_with_what_it_bought() {
    let cost = Cost { seats: SeatCount::new(3).unwrap(), of: FeatureName::new("A").unwrap(), version: Version::ANY };
    let mut site = Site::new();
    site.load(&[linger(6, 60), Lot::of("T", 1).uncounted().terms(|t| t.cost = Some(cost))]);
    let mut client = Client::connected(1, &mut site);
    let grant = ask(&mut client, &mut site, "T", 1, "ann").unwrap();
    release(&mut client, &mut site, &grant);
    assert_eq!((site.feature("A").used, site.feature("T").used, site.feature("T").lingering), (3, 1, 1));
    ask(&mut client, &mut site, "A", 3, "ann").unwrap();
    assert_eq!(site.feature("A").used, 6, "that is another feature");
    ask(&mut client, &mut site, "T", 1, "ann").unwrap();
    assert_eq!((site.feature("A").used, site.feature("T").used, site.feature("T").lingering), (6, 1, 0));
}

/// L-10: what lingers is out like everything else, and nobody takes over what no licence covers.
#[test]
fn what_lingers_above_the_licences_is_not_taken_over() {
    let mut site = Site::new();
    site.load(&[linger(2, 60)]);
    let mut client = Client::connected(1, &mut site);
    let grants = ["ann", "bob"].map(|user| ask(&mut client, &mut site, "A", 1, user).unwrap());
    grants.iter().for_each(|grant| assert_eq!(release(&mut client, &mut site, grant), ReleaseOutcome::Freed));
    site.load(&[linger(1, 60).serial("less")]);
    assert_eq!((site.feature("A").overage, out(&site)), (1, (2, 2, 2)));
    assert!(ask(&mut client, &mut site, "A", 1, "bob").is_err());
    ask(&mut client, &mut site, "A", 1, "ann").unwrap();
    assert_eq!(out(&site), (2, 1, 2));
    site.sleep(60_000);
    assert!(ask(&mut client, &mut site, "A", 1, "bob").is_err(), "she has the one there is");
    assert_eq!((site.feature("A").overage, out(&site)), (0, (1, 0, 1)));
}

const WORKERS: usize = 4;
const ROUNDS: u64 = 800;

/// Four workers for two people, and seats that linger for a second of a clock that all of them move on: nothing is granted that is
/// not there, what is taken over is taken over once, and all comes back.
#[test]
fn workers_racing_for_lingering_seats_grant_none_twice() {
    let mut site = Site::new();
    site.load(&[linger(3, 1)]);
    let clients: Vec<_> = (1..=WORKERS).map(|n| Client::connected(u8::try_from(n).unwrap(), &mut site)).collect();
    let (start, barrier, shared) = (site.now, Barrier::new(WORKERS), &site.shared);
    let (clock, grants) = (AtomicU64::new(0), AtomicU64::new(0));
    let engines: Vec<_> = (0..WORKERS).map(|n| site.worker(70 + n as u64)).collect();
    thread::scope(|scope| {
        for (n, (mut client, mut engine)) in clients.into_iter().zip(engines).enumerate() {
            let (barrier, clock, grants) = (&barrier, &clock, &grants);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..ROUNDS {
                    let ms = 10 * clock.fetch_add(1, Ordering::Relaxed);
                    let now = Now { mono: Mono(start.mono.0 + ms), wall: UnixMillis(start.wall.0 + ms) };
                    let claim = client.claim();
                    let mut request = client.request_frame(claim, "A", 1);
                    request.holder.user = Label::lossy(["ann", "bob"][n % 2]);
                    let asked = ClientFrame::Request(Box::new(request));
                    let answers = crate::races::ask(&mut engine, now, &mut client, &[asked]);
                    if let [ServerFrame::Grant(grant)] = &answers[..] {
                        grants.fetch_add(1, Ordering::Relaxed);
                        let release = Release { lease: grant.lease, claim, operation: client.operation() };
                        let answers =
                            crate::races::ask(&mut engine, now, &mut client, &[ClientFrame::Release(release)]);
                        let [ServerFrame::Released(released)] = &answers[..] else { panic!("{answers:?}") };
                        assert_eq!(released.outcome, ReleaseOutcome::Freed);
                    }
                    if round.is_multiple_of(32) {
                        shared.check_ledger().unwrap();
                        assert!(shared.features(now)[0].used <= 3);
                    }
                    while engine.poll_event().is_some() {}
                }
            });
        }
    });
    site.shared.check_ledger().unwrap();
    // Of the seats some are always taken over: more grants than seats could be had by waiting for each to be free.
    let (ms, grants) = (10 * clock.into_inner(), grants.into_inner());
    assert!(grants > 3 * ms / 1000, "{grants} grants in {ms} ms");
    site.sleep(ms + 2_000);
    site.advance(1);
    assert_eq!(out(&site), (0, 0, 0));
    site.shared.check_ledger().unwrap();
}
