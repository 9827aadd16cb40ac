//! Seats that several leases share: packages (L-14) and duplicate grouping.

use std::{sync::Barrier, thread};

use leasehold_protocol::{
    licence::certificate::{Components, Cost, KeyType, ShareBy, Terms, Together},
    message::{ClientFrame, Deny, Grant, Release, ReleaseOutcome, Request, ServerFrame},
    time::{Mono, Now},
    vocab::{Denial, FeatureName, Label, SeatCount, Version},
};

use crate::rig::{Client, Lot, Site};

fn name(text: &str) -> FeatureName {
    FeatureName::new(text).unwrap()
}

fn package(seats: u32) -> Lot {
    let features = ["A", "B"].map(|component| (name(component), Version::ANY)).to_vec();
    let together = Components { together: Together::Package, features };
    Lot::of("OFFICE", seats).exclusive().ttl_s(100).terms(|t| t.components = Some(together))
}

fn shared(seats: u32, by: ShareBy) -> Lot {
    Lot::of("A", seats).exclusive().ttl_s(100).terms(|t| t.share = Some(by))
}

/// A request of `user` on `host`.
fn request(client: &mut Client, feature: &str, seats: u32, (user, host): (&str, &str)) -> Request {
    let claim = client.claim();
    let mut request = client.request_frame(claim, feature, seats);
    (request.holder.user, request.holder.host) = (Label::lossy(user), Label::lossy(host));
    request
}

fn ask(client: &mut Client, site: &mut Site, feature: &str, seats: u32, who: (&str, &str)) -> Result<Grant, Box<Deny>> {
    let request = request(client, feature, seats, who);
    let answer = client.send_request(site, &request);
    site.shared.check_ledger().unwrap();
    answer
}

fn release(client: &mut Client, site: &mut Site, grant: &Grant) {
    client.release(site, grant.lease, grant.claim);
    site.shared.check_ledger().unwrap();
}

const ANN: (&str, &str) = ("ann", "ws1");
const BOB: (&str, &str) = ("bob", "ws2");

/// L-14: "checking out one component holds the package's seat for that holder".
#[test]
fn one_component_in_use_holds_the_packages_seat_for_its_holder_and_the_others_with_it() {
    let mut site = Site::new();
    assert_eq!(site.load(&[package(2)]).lines[0].warnings, Vec::<String>::new());
    let mut client = Client::connected(1, &mut site);
    let used = |site: &Site| ["OFFICE", "A", "B"].map(|feature| site.feature(feature).used);
    let a = ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    assert_eq!(used(&site), [1, 1, 0]);
    let b = ask(&mut client, &mut site, "B", 1, ANN).unwrap();
    assert_eq!(used(&site), [1, 1, 1], "the same seat");
    assert_eq!((b.lots.len(), b.seats.get(), b.ttl_ms), (1, 1, a.ttl_ms));
    // The package itself is the same seat, too, and another person's is another one.
    let office = ask(&mut client, &mut site, "OFFICE", 1, ANN).unwrap();
    let bobs = ask(&mut client, &mut site, "B", 1, BOB).unwrap();
    assert_eq!(used(&site), [2, 1, 2]);
    assert_eq!(ask(&mut client, &mut site, "A", 1, ("eve", "ws3")).unwrap_err().code, Denial::NO_SEAT);
    // The same person elsewhere is another holder.
    assert_eq!(ask(&mut client, &mut site, "A", 1, ("ann", "ws9")).unwrap_err().code, Denial::NO_SEAT);
    // None is left, and who holds one gets the rest of it all the same.
    let more = ask(&mut client, &mut site, "A", 1, BOB).unwrap();
    // Whoever took the seat first may go: it stays with those who share it, and comes back with the last.
    for grant in [&a, &office] {
        release(&mut client, &mut site, grant);
        assert_eq!(site.feature("OFFICE").used, 2);
    }
    release(&mut client, &mut site, &b);
    assert_eq!(used(&site), [1, 1, 1]);
    ask(&mut client, &mut site, "A", 1, ("eve", "ws3")).unwrap();
    release(&mut client, &mut site, &bobs);
    release(&mut client, &mut site, &more);
    assert_eq!(used(&site), [1, 1, 0]);
}

///
#[test]
fn rr_16_requests_that_are_equal_in_what_the_right_chose_share_and_others_do_not() {
    let user_host = ShareBy::USER.with(ShareBy::HOST);
    for (by, second_shares) in [
        (ShareBy::USER, [true, true, false, false]),
        (ShareBy::HOST, [true, false, true, false]),
        (user_host, [true, false, false, false]),
        (ShareBy::SITE, [true, true, true, true]),
        (ShareBy::SHARE_ID, [false, false, false, false]),
    ] {
        for (second, shares) in [ANN, ("ann", "ws2"), ("bob", "ws1"), BOB].into_iter().zip(second_shares) {
            let mut site = Site::new();
            site.load(&[shared(9, by)]);
            let mut client = Client::connected(1, &mut site);
            ask(&mut client, &mut site, "A", 1, ANN).unwrap();
            ask(&mut client, &mut site, "A", 1, second).unwrap();
            assert_eq!(site.feature("A").used, if shares { 1 } else { 2 }, "{by} {second:?}");
        }
    }
}

#[test]
fn a_share_id_is_shared_by_who_says_the_same() {
    let mut site = Site::new();
    site.load(&[shared(9, ShareBy::SHARE_ID)]);
    let mut client = Client::connected(1, &mut site);
    for (share, used) in [("job 7", 1), ("job 7", 1), ("job 8", 2)] {
        let mut request = request(&mut client, "A", 1, ANN);
        request.holder.share = Some(Label::lossy(share));
        client.send_request(&mut site, &request).unwrap();
        assert_eq!(site.feature("A").used, used);
    }
}

/// "up to a limit".
#[test]
fn no_more_share_a_seat_than_the_right_allows() {
    let mut site = Site::new();
    site.load(&[shared(3, ShareBy::USER).terms(|t| t.share_limit = Some(2))]);
    let mut client = Client::connected(1, &mut site);
    let mut grants = vec![];
    for used in [1, 1, 2, 2, 3, 3] {
        grants.push(ask(&mut client, &mut site, "A", 1, ANN).unwrap());
        assert_eq!(site.feature("A").used, used);
    }
    assert_eq!(ask(&mut client, &mut site, "A", 1, ANN).unwrap_err().code, Denial::NO_SEAT);
    release(&mut client, &mut site, &grants[0]);
    ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    assert_eq!((site.feature("A").used, site.feature("A").leases), (3, 6));
}

#[test]
fn the_same_claim_again_is_the_same_lease_whoever_has_the_seats() {
    let mut site = Site::new();
    site.load(&[shared(2, ShareBy::USER)]);
    let mut client = Client::connected(1, &mut site);
    let first = ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    let asked = request(&mut client, "A", 1, ANN);
    let second = client.send_request(&mut site, &asked).unwrap();
    let again = client.send_request(&mut site, &asked).unwrap();
    assert_eq!((again.lease, &again.lots), (second.lease, &second.lots));
    assert_ne!(first.lease, second.lease);
    assert_eq!((site.feature("A").used, site.feature("A").leases), (1, 2));
}

/// E-5: in the millisecond in which the last of them ends the seat is somebody else's, and not before.
#[test]
fn seats_pass_on_when_a_lease_expires_and_are_free_with_the_last_of_them() {
    let mut site = Site::new();
    site.load(&[shared(3, ShareBy::USER)]);
    let mut client = Client::connected(1, &mut site);
    ask(&mut client, &mut site, "A", 3, ANN).unwrap();
    site.sleep(40_000);
    let two = ask(&mut client, &mut site, "A", 2, ANN).unwrap();
    site.sleep(59_999);
    assert_eq!(ask(&mut client, &mut site, "A", 1, BOB).unwrap_err().code, Denial::NO_SEAT);
    site.sleep(1);
    // Three were wanted by the one that has gone, two by the one that goes on.
    let bobs = ask(&mut client, &mut site, "A", 1, BOB).unwrap();
    assert_eq!(site.feature("A").used, 3);
    client.renew(&mut site, two.lease, two.claim).unwrap();
    release(&mut client, &mut site, &bobs);
    site.sleep(100_000);
    // All are past their end, and none was swept: who asks for three gets them.
    ask(&mut client, &mut site, "A", 3, BOB).unwrap();
}

#[test]
fn who_wants_more_than_is_shared_takes_seats_of_its_own() {
    let mut site = Site::new();
    site.load(&[shared(5, ShareBy::USER)]);
    let mut client = Client::connected(1, &mut site);
    let one = ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    let two = ask(&mut client, &mut site, "A", 2, ANN).unwrap();
    assert_eq!(site.feature("A").used, 3);
    let more = ask(&mut client, &mut site, "A", 2, ANN).unwrap();
    assert_eq!(site.feature("A").used, 3, "those of the second");
    release(&mut client, &mut site, &two);
    release(&mut client, &mut site, &one);
    assert_eq!(site.feature("A").used, 2);
    release(&mut client, &mut site, &more);
    assert_eq!(site.feature("A").used, 0);
}

#[test]
fn a_seat_is_shared_only_if_it_answers_the_request() {
    let mut site = Site::new();
    let newer = Lot::of("A", 1).version("6.0").ttl_s(100).terms(|t: &mut Terms| {
        t.share = Some(ShareBy::USER);
        t.client_hostids = vec!["disk:1".parse().unwrap()];
    });
    site.load(&[Lot::of("A", 1).ttl_s(100).terms(|t| t.share = Some(ShareBy::USER)), newer]);
    let mut client = Client::connected(1, &mut site);
    ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    // A newer version is not what she has, and the machine must be the one it is locked to.
    let mut newest = request(&mut client, "A", 1, ANN);
    newest.version = "6.0".parse().unwrap();
    assert_eq!(client.send_request(&mut site, &newest).unwrap_err().code, Denial::HOSTID_MISMATCH);
    newest.holder.hostids = vec!["disk:1".parse().unwrap()];
    client.send_request(&mut site, &newest).unwrap();
    assert_eq!(site.feature("A").used, 2);
    let mut elsewhere = request(&mut client, "A", 1, ANN);
    elsewhere.version = "6.0".parse().unwrap();
    elsewhere.holder.hostids = vec!["disk:2".parse().unwrap()];
    assert_eq!(client.send_request(&mut site, &elsewhere).unwrap_err().code, Denial::HOSTID_MISMATCH);
}

/// L-10: overage goes with the seats.
#[test]
fn who_inherits_seats_that_no_licence_covers_stands_above_them_too() {
    let mut site = Site::new();
    site.load(&[shared(2, ShareBy::USER)]);
    let mut client = Client::connected(1, &mut site);
    let first = ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    let second = ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    let bobs = ask(&mut client, &mut site, "A", 1, BOB).unwrap();
    site.load(&[shared(1, ShareBy::USER).serial("less")]);
    assert_eq!(site.feature("A").overage, 1);
    let over = |client: &mut Client, site: &mut Site, grant: &Grant| {
        client.renew(site, grant.lease, grant.claim).unwrap().overage
    };
    // Oldest grant first: she has the seat that is left.
    assert!(!over(&mut client, &mut site, &first) && over(&mut client, &mut site, &bobs));
    let shares = over(&mut client, &mut site, &second);
    assert!(!shares, "it has no seat of its own to be above with");
    site.load(&[Lot::of("B", 1)]);
    assert!(over(&mut client, &mut site, &first));
    release(&mut client, &mut site, &first);
    assert!(over(&mut client, &mut site, &second), "it has the seat now");
    // Nobody joins what is above.
    assert!(ask(&mut client, &mut site, "A", 1, ANN).is_err());
    site.load(&[shared(3, ShareBy::USER).serial("more")]);
    assert!(!over(&mut client, &mut site, &second) && !over(&mut client, &mut site, &bobs));
}

/// LT-22: a token is never shared, though what it buys may be.
#[test]
fn a_token_buys_seats_of_its_own() {
    let mut site = Site::new();
    let cost = Cost { seats: SeatCount::new(2).unwrap(), of: name("A"), version: Version::ANY };
    site.load(&[shared(9, ShareBy::USER), Lot::of("T", 1).uncounted().terms(|t| t.cost = Some(cost))]);
    let mut client = Client::connected(1, &mut site);
    for (feature, used) in [("A", 1), ("T", 3), ("T", 5), ("A", 5)] {
        ask(&mut client, &mut site, feature, 1, ANN).unwrap();
        assert_eq!(site.feature("A").used, used, "{feature}");
    }
}

#[test]
fn an_upgrades_seats_are_shared_as_those_it_raises() {
    let mut site = Site::new();
    let mut upgrade = Lot::of("A", 1);
    upgrade.certificate.key_type = KeyType::Upgrade;
    site.load(&[shared(1, ShareBy::USER), upgrade]);
    let mut client = Client::connected(1, &mut site);
    let two = ask(&mut client, &mut site, "A", 2, ANN).unwrap();
    ask(&mut client, &mut site, "A", 1, ANN).unwrap();
    assert_eq!(site.feature("A").used, 2);
    release(&mut client, &mut site, &two);
    assert_eq!(site.feature("A").used, 1);
}

fn is_freed(answers: &[ServerFrame]) -> bool {
    matches!(answers, [ServerFrame::Released(released)] if released.outcome == ReleaseOutcome::Freed)
}

const WORKERS: usize = 4;
const ROUNDS: u64 = 1500;

/// Four workers and two people who share: whatever comes together, there are never more seats out than people, nobody is denied
/// a seat that somebody like him holds, and all come back.
#[test]
fn workers_racing_for_shared_seats_take_one_for_each_holder() {
    let mut site = Site::new();
    site.load(&[shared(2, ShareBy::USER)]);
    let clients: Vec<_> = (1..=WORKERS).map(|n| Client::connected(u8::try_from(n).unwrap(), &mut site)).collect();
    let (start, barrier, shared) = (site.now, Barrier::new(WORKERS), &site.shared);
    let engines: Vec<_> = (0..WORKERS).map(|n| site.worker(90 + n as u64)).collect();
    thread::scope(|scope| {
        for (n, (mut client, mut engine)) in clients.into_iter().zip(engines).enumerate() {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let mut held: Vec<Grant> = vec![];
                for round in 0..ROUNDS {
                    let now = Now { mono: Mono(start.mono.0 + round), wall: start.wall };
                    let who = if (n as u64 + round / 3).is_multiple_of(2) { ANN } else { BOB };
                    let asked = request(&mut client, "A", 1, who);
                    let answers =
                        crate::races::ask(&mut engine, now, &mut client, &[ClientFrame::Request(Box::new(asked))]);
                    let [ServerFrame::Grant(grant)] = &answers[..] else { panic!("{answers:?}") };
                    held.push(*grant.clone());
                    if held.len() > usize::try_from(round % 4).unwrap() {
                        let first = held.remove(0);
                        let (lease, claim) = (first.lease, first.claim);
                        let release = Release { lease, claim, operation: client.operation() };
                        let answers =
                            crate::races::ask(&mut engine, now, &mut client, &[ClientFrame::Release(release)]);
                        assert!(is_freed(&answers), "{answers:?}");
                    }
                    if round.is_multiple_of(32) {
                        shared.check_ledger().unwrap();
                        assert!(shared.features(now)[0].used <= 2);
                    }
                    while engine.poll_event().is_some() {}
                }
                for grant in held {
                    let release = Release { lease: grant.lease, claim: grant.claim, operation: client.operation() };
                    let answers = crate::races::ask(&mut engine, start, &mut client, &[ClientFrame::Release(release)]);
                    assert!(is_freed(&answers), "{answers:?}");
                }
            });
        }
    });
    site.shared.check_ledger().unwrap();
    assert_eq!((site.feature("A").used, site.shared.live_leases()), (0, 0));
}
