//! Those who wait for seats, on a bad network and with programs that die: order is kept, and no wake-up is lost.

use std::{collections::BTreeMap, time::Duration};

use leasehold_core::policy::{Group, Groups, Policy, Priority, Rules};
use leasehold_tests::{Lan, MINUTE, Plan, SECOND, Seat, clock::Instant};

const PATIENT: Duration = Duration::from_secs(3_600);

/// When each of `seats` was first held, as its client knew.
fn granted(lan: &Lan, seats: &[Seat]) -> Vec<Option<Instant>> {
    let first = |seat: &Seat| lan.story(*seat).iter().find(|(_, state)| *state == "healthy").map(|(at, _)| *at);
    seats.iter().map(first).collect()
}

/// Runs until all of `seats` that are alive were held, giving each back `hold` after it was granted.
fn serve_all(lan: &mut Lan, seats: &[Seat], hold: Duration, limit: Duration) {
    let (mut back, began) = (BTreeMap::new(), lan.at);
    let hold_ms = u64::try_from(hold.as_millis()).unwrap();
    while seats.iter().any(|seat| !lan.clients[seat.client].dead && !back.contains_key(seat)) {
        lan.run_for(Duration::from_millis(100));
        assert!(Duration::from_millis(lan.at - began) < limit, "somebody waits for ever: {:?}", granted(lan, seats));
        for seat in seats.iter().filter(|seat| !back.contains_key(*seat)).copied().collect::<Vec<_>>() {
            let since = granted(lan, &[seat])[0];
            if lan.holds(seat) && since.is_some_and(|since| lan.at >= since + hold_ms) {
                lan.release(seat);
                back.insert(seat, lan.at);
            }
        }
    }
}

/// A world with `holders` of the only seats, and waiters that came one after another, `apart` from each other.
fn hall(plan: Plan, waiters: usize, apart: Duration) -> (Lan, Vec<Seat>, Vec<Seat>) {
    let mut lan = plan.feature("cad", 2).start();
    let holders: Vec<Seat> = (0..2).map(|_| lan.checkout("cad", 1)).collect();
    assert!(lan.run_until(MINUTE, |lan| holders.iter().all(|seat| lan.holds(*seat))));
    let mut waiting = Vec::new();
    for _ in 0..waiters {
        let client = lan.client();
        let seat = lan.checkout_in_turn(client, "cad", 1, PATIENT);
        let placed = |lan: &Lan| !lan.watched(seat).places.is_empty();
        assert!(lan.run_until(MINUTE, placed), "nobody told it its place");
        lan.run_for(apart);
        waiting.push(seat);
    }
    (lan, holders, waiting)
}

/// The server's order: two seats, so that what a client hears may be a neighbour's turn apart.
fn in_order(granted: &[Option<Instant>], seed: u64) {
    let late = granted.windows(3).filter(|three| three[2] < three[0]).count();
    assert_eq!(late, 0, "seed {seed}: {granted:?}");
}

fn all_come_back(lan: &mut Lan) {
    lan.run_for(10 * MINUTE);
    assert_eq!(lan.seats_out(0, "cad"), 0);
    lan.check_ledger();
}

fn release_all(lan: &mut Lan, seats: &[Seat]) {
    seats.iter().for_each(|seat| lan.release(*seat));
}

#[test]
fn on_a_lossy_network_whoever_came_first_is_served_first_and_everybody_is() {
    for seed in 0..6 {
        let plan = Plan::seeded(800 + seed).workers(2).loss(10).duplication(5).latency_ms(1..=40);
        let (mut lan, holders, waiting) = hall(plan, 16, SECOND);
        release_all(&mut lan, &holders);
        serve_all(&mut lan, &waiting, 3 * SECOND, 10 * MINUTE);
        let order = granted(&lan, &waiting);
        in_order(&order, seed);
        all_come_back(&mut lan);
    }
}

#[test]
fn waiters_that_die_are_passed_over_and_hold_nobody_up_for_longer_than_their_place_lasts() {
    for seed in 0..6 {
        let plan = Plan::seeded(820 + seed).workers(2).loss(5).latency_ms(1..=20);
        let (mut lan, holders, waiting) = hall(plan, 12, SECOND);
        // Every third dies while it waits.
        waiting.iter().step_by(3).for_each(|seat| lan.kill(seat.client));
        release_all(&mut lan, &holders);
        serve_all(&mut lan, &waiting, 2 * SECOND, 5 * MINUTE);
        let alive: Vec<Seat> = waiting.iter().filter(|seat| !lan.clients[seat.client].dead).copied().collect();
        let order = granted(&lan, &alive);
        assert!(order.iter().all(Option::is_some));
        in_order(&order, seed);
        all_come_back(&mut lan);
    }
}

#[test]
fn a_priority_mix_is_served_by_priority_and_within_one_in_order() {
    for seed in 0..4 {
        let plan = Plan::seeded(840 + seed).workers(2).loss(10).latency_ms(1..=20);
        let (mut lan, holders, waiting) = hall(plan, 15, SECOND);
        // Every third client is of high priority, every third of low.
        let group = |of: usize| Group {
            addresses: waiting.iter().skip(of).step_by(3).map(|s| lan.clients[s.client].address.ip().into()).collect(),
            ..Group::default()
        };
        let groups = Groups::new(vec![group(0), group(1)], true).unwrap();
        let priority = |id: &str, level, group| Priority { id: id.into(), level, group, features: None };
        let priorities = vec![priority("high", 90, 0), priority("low", 10, 1)];
        let policy = Policy::new(groups, Rules { priorities, ..Rules::default() });
        lan.servers[0].shared().unwrap().set_policy(policy);
        // A place is by the rules of the last time it was asked for.
        lan.run_for(20 * SECOND);
        release_all(&mut lan, &holders);
        serve_all(&mut lan, &waiting, 3 * SECOND, 10 * MINUTE);
        let of = |of: usize| granted(&lan, &waiting.iter().skip(of).step_by(3).copied().collect::<Vec<_>>());
        let (high, low, middle) = (of(0), of(1), of(2));
        let (first, last) =
            (|all: &[Option<Instant>]| all.iter().min().copied(), |all: &[Option<Instant>]| all.iter().max().copied());
        // Two seats: of two turns next to each other the later may be heard of first.
        let slack = |at: Option<Option<Instant>>| at.flatten().map(|at| at + 3_000);
        assert!(last(&high).flatten() <= slack(first(&middle)), "seed {seed}: {high:?} {middle:?}");
        assert!(last(&middle).flatten() <= slack(first(&low)), "seed {seed}: {middle:?} {low:?}");
        lan.check_ledger();
    }
}

#[test]
fn a_server_that_restarts_finds_everybody_waiting_again_and_grants_no_seat_twice() {
    let plan = Plan::seeded(860).workers(2).loss(5).latency_ms(1..=20);
    let (mut lan, holders, waiting) = hall(plan, 8, SECOND);
    lan.crash(0);
    lan.run_for(2 * SECOND);
    lan.restart(0);
    lan.run_for(2 * MINUTE);
    release_all(&mut lan, &holders);
    serve_all(&mut lan, &waiting, 3 * SECOND, 30 * MINUTE);
    all_come_back(&mut lan);
}
