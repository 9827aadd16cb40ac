//! Who waits, and in which order: the rows RR-20 to RR-24 of what such servers do.

use std::collections::BTreeMap;

use leasehold_core::{
    ServerConfig,
    policy::{Group, Groups, Limit, Per, Policy, Priority, QueueRules, Reservation, Rules},
};
use leasehold_protocol::{
    crypto::SiteKey,
    licence::certificate::ShareBy,
    message::{ClientFrame, Grant, Release, ReleaseOutcome, ServerFrame, Wait},
    time::Mono,
    vocab::{ClaimKey, Denial, FeatureName, Label, LeaseId},
};

use crate::rig::{Client, Hall, Lot, Site};

fn rules(hall: &Hall, rules: Rules) {
    let all = vec![Group { everyone: true, ..Group::default() }, users("ann"), users("bob")];
    hall.site.shared.set_policy(Policy::new(Groups::new(all, true).unwrap(), rules));
}

fn users(name: &str) -> Group {
    Group { users: vec![name.to_owned()], ..Group::default() }
}

#[test]
fn rr_20_a_seat_now_if_there_is_one_or_a_place_in_the_queue_or_a_place_in_any_case() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 3);
    let claim = hall.clients[0].claim();
    let grant = hall.wait(0, claim, 1).grant();
    assert_eq!(hall.wait(0, claim, 1).grant().lease, grant.lease, "the same lease");
    let second = hall.clients[1].claim();
    let queued = hall.wait(1, second, 1).queued();
    assert_eq!((queued.code, queued.place, queued.length), (Denial::NO_SEAT, 1, 1));
    assert_eq!((queued.ttl_ms, queued.ask_after_ms, queued.expected_ms), (15_000, 1_000, None));
    assert_eq!(hall.request(2, 1).denied().code, Denial::NO_SEAT, "now or not at all");
    assert_eq!(hall.site.feature("A").waiting, 1);
    hall.release(0, &grant);
    let granted = hall.unasked(1).expect("told without asking");
    assert_eq!((granted.claim, granted.operation, hall.site.feature("A").waiting), (second, queued.operation, 0));
    // It is for fifteen seconds, less the margin, until somebody says that he has it.
    assert_eq!(granted.ttl_ms, 15_000 - 150 - 1_500);
    hall.keep(1, &granted);
    hall.advance(20_000);
    assert_eq!(hall.site.feature("A").used, 1);
    // Even with a free seat: it comes by its own grant.
    hall.release(1, &granted);
    let claim = hall.clients[2].claim();
    let request = hall.clients[2].request_frame(claim, "A", 1);
    let queued = hall.told(2, &ClientFrame::Wait(Box::new(Wait { request, queue_only: true }))).queued();
    assert_eq!(queued.place, 1);
    assert_eq!(hall.unasked(2).expect("at once").claim, claim);
}

#[test]
fn rr_21_place_and_length_and_the_wait_to_be_expected() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 12);
    let mut held = hall.request(0, 1).grant();
    let claims: Vec<ClaimKey> = (1..12).map(|n| hall.queue(n, 1)).collect();
    let last = hall.wait(11, claims[10], 1).queued();
    assert_eq!((last.place, last.length, last.ask_after_ms), (11, 11, 5_000));
    for (n, claim) in (1..=2).zip(&claims) {
        for waiter in n..12 {
            hall.wait(waiter, claims[waiter - 1], 1).queued();
        }
        hall.advance(8_000);
        let holder = n - 1;
        hall.release(holder, &held);
        held = hall.unasked(n).unwrap();
        assert_eq!(held.claim, *claim);
        hall.keep(n, &held);
    }
    // A seat came every eight seconds: the third of nine.
    let third = hall.wait(5, claims[4], 1).queued();
    assert_eq!((third.place, third.length, third.expected_ms), (3, 9, Some(24_000)));
}

#[test]
fn order_is_kept_and_a_lost_grant_is_found_by_asking_again() {
    let mut hall = Hall::new(&[Lot::of("A", 2).ttl_s(300)], 5);
    let (one, two) = (hall.request(0, 1).grant(), hall.request(0, 1).grant());
    let claims: Vec<ClaimKey> = (1..4).map(|n| hall.queue(n, 1)).collect();
    hall.deaf = true;
    hall.release(0, &one);
    assert!(hall.unasked(1).is_none(), "lost");
    assert_eq!(hall.request(4, 1).denied().code, Denial::NO_SEAT, "the seat is somebody's");
    let found = hall.wait(1, claims[0], 1).grant();
    assert_eq!(found.ttl_ms, 300_000 - 3_000 - 2_000, "all of it: he has just asked");
    hall.deaf = false;
    hall.release(0, &two);
    assert!(hall.unasked(3).is_none());
    assert_eq!(hall.unasked(2).unwrap().claim, claims[1]);
    assert_eq!(hall.wait(3, claims[2], 1).queued().place, 1);
}

#[test]
fn a_place_that_is_not_asked_for_again_is_left_and_so_is_one_that_is_released() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 4);
    let held = hall.request(0, 1).grant();
    let (first, second, third) = (hall.queue(1, 1), hall.queue(2, 1), hall.queue(3, 1));
    hall.advance(14_999);
    assert_eq!(hall.wait(2, second, 1).queued().place, 2);
    assert_eq!(hall.wait(3, third, 1).queued().place, 3);
    hall.advance(1);
    assert_eq!(hall.wait(3, third, 1).queued().place, 2, "the first is gone");
    let operation = hall.clients[2].operation();
    let release = Release { lease: LeaseId::NONE, claim: second, operation };
    let ServerFrame::Released(released) = hall.ask(2, &ClientFrame::Release(release)) else { panic!() };
    assert_eq!(released.outcome, ReleaseOutcome::NotHeld);
    assert_eq!(hall.wait(2, second, 1).denied().code, Denial::RELEASED);
    hall.release(0, &held);
    assert_eq!(hall.unasked(3).unwrap().claim, third);
    // Whoever comes back begins anew.
    assert_eq!(hall.wait(1, first, 1).queued().place, 1);
    // A request without a queue is the last asking of all.
    let request = hall.clients[1].request_frame(first, "A", 1);
    assert_eq!(hall.told(1, &ClientFrame::Request(Box::new(request))).denied().code, Denial::NO_SEAT);
    assert_eq!(hall.site.feature("A").waiting, 0);
}

#[test]
fn a_grant_nobody_comes_for_goes_to_the_next_after_fifteen_seconds() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 3);
    let held = hall.request(0, 1).grant();
    let (_, second) = (hall.queue(1, 1), hall.queue(2, 1));
    hall.release(0, &held);
    assert!(hall.unasked(1).is_some(), "and never renewed: the program has died");
    hall.advance(14_000);
    assert_eq!(hall.wait(2, second, 1).queued().place, 1);
    hall.advance(1_000);
    assert_eq!(hall.unasked(2).unwrap().claim, second);
}

#[test]
fn rr_22_a_small_request_may_pass_a_large_one_a_bounded_number_of_times() {
    let mut hall = Hall::new(&[Lot::of("A", 4).ttl_s(3_000)], 3);
    rules(&hall, Rules { queue: QueueRules { passing_max: 3, ..QueueRules::default() }, ..Rules::default() });
    let mut held: Vec<Grant> = (0..3).map(|_| hall.request(0, 1).grant()).collect();
    let large = hall.queue(1, 4);
    // One seat is free, and the large one cannot use it.
    for n in 0..3 {
        let grant = hall.request(2, 1).grant();
        hall.release(2, &grant);
        assert_eq!(hall.wait(1, large, 4).queued().place, 1, "passed {n}");
    }
    assert_eq!(hall.request(2, 1).denied().code, Denial::NO_SEAT, "passed often enough");
    let small = hall.queue(2, 1);
    hall.release(0, &held.remove(0));
    assert!(hall.unasked(2).is_none());
    held.drain(..).for_each(|grant| hall.release(0, &grant));
    assert_eq!(hall.unasked(1).unwrap().claim, large);
    assert_eq!(hall.wait(2, small, 1).queued().place, 1);
}

#[test]
fn rr_22_strict_order_where_nobody_may_pass() {
    let mut hall = Hall::new(&[Lot::of("A", 2).ttl_s(300)], 3);
    rules(&hall, Rules { queue: QueueRules { passing_max: 0, ..QueueRules::default() }, ..Rules::default() });
    let held = hall.request(0, 1).grant();
    let large = hall.queue(1, 2);
    assert_eq!(hall.request(2, 1).denied().code, Denial::NO_SEAT);
    let small = hall.queue(2, 1);
    hall.release(0, &held);
    assert_eq!((hall.unasked(1).unwrap().claim, hall.unasked(2)), (large, None));
    assert_eq!(hall.wait(2, small, 1).queued().place, 1);
}

#[test]
fn who_waits_for_a_higher_version_keeps_nobody_from_a_lower_one() {
    let mut hall =
        Hall::new(&[Lot::of("A", 1).version("4.8").ttl_s(300), Lot::of("A", 1).version("6.0").ttl_s(300)], 3);
    rules(&hall, Rules { queue: QueueRules { passing_max: 0, ..QueueRules::default() }, ..Rules::default() });
    let of = |hall: &mut Hall, n: usize, version: &str| {
        let claim = hall.clients[n].claim();
        let mut request = hall.clients[n].request_frame(claim, "A", 1);
        request.version = version.parse().unwrap();
        ClientFrame::Wait(Box::new(Wait { request, queue_only: false }))
    };
    let new = of(&mut hall, 0, "6.0");
    hall.told(0, &new).grant();
    let newer = of(&mut hall, 1, "5.0");
    hall.told(1, &newer).queued();
    let old = of(&mut hall, 2, "4.8");
    hall.told(2, &old).grant();
}

#[test]
fn rr_24_priority_by_rule_goes_before_who_came_first() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 4);
    let of = |id: &str, level, group| Priority { id: id.into(), level, group, features: None };
    rules(&hall, Rules { priorities: vec![of("high", 90, 1), of("low", 10, 2)], ..Rules::default() });
    let held = hall.request(0, 1).grant();
    let wait_as = |hall: &mut Hall, n: usize, user: &str| {
        let claim = hall.clients[n].claim();
        let mut request = hall.clients[n].request_frame(claim, "A", 1);
        request.holder.user = Label::lossy(user);
        hall.told(n, &ClientFrame::Wait(Box::new(Wait { request, queue_only: false }))).queued().place
    };
    assert_eq!(wait_as(&mut hall, 1, "bob"), 1);
    assert_eq!(wait_as(&mut hall, 2, "eve"), 1, "before bob");
    assert_eq!(wait_as(&mut hall, 3, "ann"), 1, "before both");
    hall.release(0, &held);
    let ann = hall.unasked(3).unwrap();
    hall.release(3, &ann);
    let eve = hall.unasked(2).unwrap();
    hall.release(2, &eve);
    hall.unasked(1).expect("bob");
}

#[test]
fn a_queue_has_an_end_and_a_claim_in_it_is_its_owners() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 4);
    rules(&hall, Rules { queue: QueueRules { waiters_max: 2, ..QueueRules::default() }, ..Rules::default() });
    hall.request(0, 1).grant();
    let (first, _) = (hall.queue(1, 1), hall.queue(2, 1));
    let claim = hall.clients[3].claim();
    let deny = hall.wait(3, claim, 1).denied();
    assert_eq!(
        (deny.code, &*deny.sentence),
        (Denial::QUEUE_FULL, "2 wait for A, and no more may: ask again, or ask the administrator")
    );
    assert_eq!(hall.wait(3, first, 1).denied().code, Denial::NOT_YOURS);
    let operation = hall.clients[3].operation();
    let ServerFrame::Released(_) =
        hall.ask(3, &ClientFrame::Release(Release { lease: LeaseId::NONE, claim: first, operation }))
    else {
        panic!()
    };
    assert_eq!(hall.site.feature("A").waiting, 2, "nobody else ends it");
    // What can never be granted does not wait.
    assert_eq!(hall.wait(1, claim, 2).denied().code, Denial::TOO_MANY_SEATS);
}

#[test]
fn more_seats_and_other_rules_serve_who_waits() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 3);
    hall.request(0, 1).grant();
    let (first, second) = (hall.queue(1, 1), hall.queue(2, 1));
    hall.site.load(&[Lot::of("A", 1).ttl_s(300), Lot::of("A", 1).serial("more").ttl_s(300)]);
    assert_eq!(hall.site.engine.poll_timeout(), Some(Mono(0)), "there is something to do");
    hall.advance(1);
    assert_eq!((hall.unasked(1).unwrap().claim, hall.unasked(2)), (first, None));
    let limit = Limit { id: "one".into(), max: 1, per: Per::Group, group: 0, exempt: None, features: None };
    rules(&hall, Rules { limits: vec![limit], ..Rules::default() });
    hall.site.load(&[Lot::of("A", 3).ttl_s(300)]);
    hall.advance(1);
    assert_eq!(hall.wait(2, second, 1).queued().code, Denial::LIMIT_REACHED);
    rules(&hall, Rules::default());
    hall.advance(1);
    assert_eq!(hall.unasked(2).unwrap().claim, second);
}

#[test]
fn who_is_at_his_own_limit_keeps_nobody_waiting_and_reserved_seats_wait_for_theirs() {
    let mut hall = Hall::new(&[Lot::of("A", 3).ttl_s(300)], 3);
    let limit = Limit { id: "one".into(), max: 1, per: Per::User, group: 1, exempt: None, features: None };
    let kept = Reservation {
        id: "bob".into(),
        seats: 1,
        feature: FeatureName::new("A").unwrap(),
        version: "0.0".parse().unwrap(),
        group: 2,
    };
    rules(
        &hall,
        Rules {
            limits: vec![limit],
            reservations: vec![kept],
            queue: QueueRules { passing_max: 0, ..QueueRules::default() },
            ..Rules::default()
        },
    );
    let wait_as = |hall: &mut Hall, n: usize, claim, user: &str| {
        let mut request = hall.clients[n].request_frame(claim, "A", 1);
        request.holder.user = Label::lossy(user);
        hall.told(n, &ClientFrame::Wait(Box::new(Wait { request, queue_only: false })))
    };
    let claims: Vec<ClaimKey> = (0..8).map(|_| hall.clients[0].claim()).collect();
    let ann = wait_as(&mut hall, 0, claims[0], "ann").grant();
    assert_eq!(wait_as(&mut hall, 0, claims[1], "ann").queued().code, Denial::LIMIT_REACHED);
    wait_as(&mut hall, 1, claims[2], "eve").grant();
    assert_eq!(wait_as(&mut hall, 1, claims[3], "eve").queued().code, Denial::RESERVED);
    let bob = wait_as(&mut hall, 2, claims[4], "bob").grant();
    // Bob's seat comes back: it is his, whoever waits.
    hall.release(2, &bob);
    assert!(hall.unasked(1).is_none() && hall.unasked(0).is_none());
    hall.release(0, &ann);
    assert_eq!(hall.unasked(0).unwrap().claim, claims[1]);
}

#[test]
fn those_who_may_share_get_one_seat_when_it_is_their_turn() {
    let by_user = |t: &mut leasehold_protocol::licence::Terms| t.share = Some(ShareBy::USER);
    let mut hall = Hall::new(&[Lot::of("A", 2).ttl_s(300).terms(by_user)], 4);
    let wait_as = |hall: &mut Hall, n: usize, user: &str| {
        let claim = hall.clients[n].claim();
        let mut request = hall.clients[n].request_frame(claim, "A", 1);
        request.holder.user = Label::lossy(user);
        hall.told(n, &ClientFrame::Wait(Box::new(Wait { request, queue_only: false })))
    };
    let ann = wait_as(&mut hall, 0, "ann").grant();
    let eve = wait_as(&mut hall, 0, "eve").grant();
    wait_as(&mut hall, 1, "bob").queued();
    wait_as(&mut hall, 2, "bob").queued();
    wait_as(&mut hall, 3, "dan").queued();
    hall.release(0, &ann);
    hall.unasked(1).expect("bob");
    hall.release(0, &eve);
    assert!(hall.unasked(2).is_some() && hall.unasked(3).is_some(), "bob shares, and dan has the other");
    assert_eq!(hall.site.feature("A").used, 2);
}

#[test]
fn a_server_that_goes_away_serves_nobody_who_waits() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 3);
    let held = hall.request(0, 1).grant();
    let (first, second) = (hall.queue(1, 1), hall.queue(2, 1));
    hall.site.shared.begin_drain();
    assert_eq!(hall.wait(1, first, 1).denied().code, Denial::SHUTTING_DOWN);
    hall.release(0, &held);
    assert_eq!(hall.wait(2, second, 1).denied().code, Denial::SHUTTING_DOWN);
}

#[test]
fn while_there_is_no_room_for_a_lease_nobody_loses_his_place() {
    let mut site = Site::with(ServerConfig { leases_max: 2, ..ServerConfig::default() }, SiteKey::OPEN);
    site.load(&[Lot::of("A", 1).ttl_s(300), Lot::of("B", 9).ttl_s(300)]);
    let clients = (1..=3).map(|n| Client::connected(n, &mut site)).collect();
    let mut hall = Hall { site, clients, heard: BTreeMap::new(), deaf: false };
    let held = hall.request(0, 1).grant();
    let waits = hall.queue(1, 1);
    for _ in 0..2 {
        let claim = hall.clients[2].claim();
        let request = hall.clients[2].request_frame(claim, "B", 1);
        hall.ask(2, &ClientFrame::Request(Box::new(request)));
    }
    // The seat of A comes back, and so does the room for its lease.
    hall.release(0, &held);
    assert_eq!(hall.unasked(1).map(|grant| grant.claim), Some(waits));
}

#[test]
fn what_can_never_come_is_not_waited_for() {
    let mut hall = Hall::new(&[Lot::of("A", 10).ttl_s(300)], 2);
    let kept = Reservation {
        id: "bob".into(),
        seats: 1,
        feature: FeatureName::new("A").unwrap(),
        version: "0.0".parse().unwrap(),
        group: 2,
    };
    rules(&hall, Rules { reservations: vec![kept], ..Rules::default() });
    let claim = hall.clients[0].claim();
    let deny = hall.wait(0, claim, 10).denied();
    assert_eq!((deny.code, deny.retry_after_ms), (Denial::RESERVED, None));
    let nine = hall.request(1, 9).grant();
    hall.queue(0, 9);
    hall.release(1, &nine);
    assert!(hall.unasked(0).is_some());
    // Units of a meter are used up for good.
    let metered = |t: &mut leasehold_protocol::licence::Terms| {
        t.metered = Some(leasehold_protocol::licence::certificate::Metered::Consumed);
    };
    let mut hall = Hall::new(&[Lot::of("A", 3).ttl_s(300).terms(metered)], 1);
    hall.request(0, 2).grant();
    let claim = hall.clients[0].claim();
    assert_eq!(hall.wait(0, claim, 2).denied().code, Denial::NO_SEAT);
}

#[test]
fn a_claim_that_waits_is_its_owners_alone() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 3);
    let held = hall.request(0, 1).grant();
    let waits = hall.queue(1, 1);
    let operation = hall.clients[2].operation();
    let release = Release { lease: LeaseId::NONE, claim: waits, operation };
    let ServerFrame::Released(_) = hall.ask(2, &ClientFrame::Release(release)) else { panic!() };
    let request = hall.clients[2].request_frame(waits, "A", 1);
    assert_eq!(hall.told(2, &ClientFrame::Request(Box::new(request))).denied().code, Denial::NOT_YOURS);
    assert_eq!(hall.wait(1, waits, 1).queued().place, 1, "nothing has become of it");
    hall.release(0, &held);
    assert_eq!(hall.unasked(1).unwrap().claim, waits);
}

#[test]
fn a_reason_that_passes_costs_nobody_his_place_and_asking_again_no_pace() {
    let mut site = Site::with(ServerConfig { leases_max: 2, ..ServerConfig::default() }, SiteKey::OPEN);
    site.load(&[Lot::of("A", 1).ttl_s(3_000), Lot::of("B", 9).ttl_s(3_000)]);
    let clients = (1..=3).map(|n| Client::connected(n, &mut site)).collect();
    let mut hall = Hall { site, clients, heard: BTreeMap::new(), deaf: false };
    let held = hall.request(0, 1).grant();
    let (first, second) = (hall.queue(1, 1), hall.queue(2, 1));
    let claim = hall.clients[2].claim();
    let request = hall.clients[2].request_frame(claim, "B", 1);
    let ServerFrame::Grant(other) = hall.ask(2, &ClientFrame::Request(Box::new(request))) else { panic!() };
    for _ in 0..30 {
        hall.advance(1_000);
        assert_eq!(hall.wait(1, first, 1).denied().code, Denial::TOO_MANY_LEASES);
        assert_eq!(hall.wait(2, second, 1).denied().code, Denial::TOO_MANY_LEASES);
    }
    hall.release(2, &other);
    assert_eq!(hall.wait(1, first, 1).queued().place, 1);
    hall.release(0, &held);
    let served = hall.unasked(1).unwrap();
    assert_eq!(served.claim, first);
    // A lone waiter asks again and again; what is expected is from seat to seat.
    hall.keep(1, &served);
    for _ in 0..60 {
        hall.advance(1_000);
        hall.wait(2, second, 1).queued();
    }
    hall.release(1, &served);
    let last = hall.unasked(2).unwrap();
    hall.keep(2, &last);
    hall.queue(0, 1);
    let claim = hall.clients[1].claim();
    let expected = hall.wait(1, claim, 1).queued().expected_ms;
    assert!(expected.is_some_and(|ms| ms > 40_000), "{expected:?}");
}
