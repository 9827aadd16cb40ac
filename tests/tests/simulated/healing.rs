//! Servers that go and come back, cables that are pulled, machines that sleep.

use leasehold_protocol::vocab::Denial;
use leasehold_tests::{HOUR, Lan, MINUTE, Plan, SECOND, Seat, clock::ms};

const TTL_MS: u64 = 300_000;
const GRACE_MS: u64 = 120_000;

/// When a seat first came to `state` after `since`.
fn came_to(lan: &Lan, seat: Seat, state: &str, since: u64) -> u64 {
    let found = lan.story(seat).into_iter().find(|(at, name)| *at >= since && *name == state);
    found.unwrap_or_else(|| panic!("never {state} after {since} ms: {:?}", lan.story(seat))).0
}

#[test]
fn a_pulled_cable_is_told_as_retrying_then_grace_then_lost_and_a_healed_one_as_regained() {
    let mut lan = Plan::seeded(11).feature_with("cad", 1, 300, 120).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(10 * MINUTE);
    assert!(lan.holds(seat));
    let cut_at = lan.at;
    lan.cut(seat.client, true);
    lan.run_for(10 * MINUTE);
    let retrying = came_to(&lan, seat, "retrying", cut_at);
    let grace = came_to(&lan, seat, "grace", cut_at);
    let lost = came_to(&lan, seat, "lost", cut_at);
    assert!(retrying <= cut_at + TTL_MS / 3 + 10_000, "retrying only at {retrying}, cut at {cut_at}");
    assert!(grace > cut_at + TTL_MS / 2 && grace <= cut_at + TTL_MS, "grace at {grace}, cut at {cut_at}");
    assert_eq!(lost, grace + GRACE_MS, "grace lasts as long as the licence says");
    assert_eq!(lan.seats_out(0, "cad"), 0, "the server gave the seat up at its deadline");
    let healed_at = lan.at;
    lan.cut(seat.client, false);
    lan.run_for(MINUTE);
    let regained = came_to(&lan, seat, "healthy", healed_at);
    assert!(regained <= healed_at + 15_000, "regained {} ms after the cable", regained - healed_at);
    assert_eq!(lan.seats_out(0, "cad"), 1);
    println!("cut {cut_at}, retrying {retrying}, grace {grace}, lost {lost}, healed {healed_at}, regained {regained}");
}

#[test]
fn a_seat_lost_to_somebody_else_is_not_regained_until_it_is_free() {
    let mut lan = Plan::seeded(12).feature("cad", 1).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(MINUTE);
    lan.cut(seat.client, true);
    lan.run_for(10 * MINUTE);
    let other = lan.checkout("cad", 1);
    lan.run_for(MINUTE);
    assert!(lan.holds(other), "the seat of a vanished holder goes to the next");
    lan.cut(seat.client, false);
    lan.run_for(5 * MINUTE);
    assert!(!lan.holds(seat) && lan.holds(other));
    assert_eq!(lan.watched(seat).last_denial(), Some(Denial::NO_SEAT));
    assert_eq!(lan.seats_out(0, "cad"), 1);
}

#[test]
fn a_restarted_server_is_found_again_in_five_seconds_of_the_next_try_with_one_seat() {
    for seed in 0..10 {
        let mut lan = Plan::seeded(20 + seed).feature("cad", 1).start();
        let seat = lan.checkout("cad", 1);
        lan.run_for(7 * MINUTE);
        lan.crash(0);
        lan.run_for(5 * SECOND);
        lan.restart(0);
        let back = lan.at;
        let (tries, grants) = (lan.watched(seat).renewals, lan.watched(seat).grants);
        // The next renewal is due within TTL/3; from its first try on, five seconds.
        assert!(lan.run_until(2 * MINUTE, |lan| !lan.story(seat).is_empty() && retried_since(lan, seat, back)));
        let first_silence = lan.at;
        assert!(lan.run_until(5 * SECOND, |lan| lan.watched(seat).grants > grants), "not back in 5 s");
        println!("seed {}: back {} ms after its first unanswered try", lan.seed(), lan.at - first_silence);
        assert!(lan.holds(seat) && lan.watched(seat).renewals >= tries);
        assert_eq!(lan.seats_out(0, "cad"), 1);
        assert_eq!(lan.report.lost, 0);
        lan.run_for(HOUR);
        assert!(lan.holds(seat));
        lan.check_ledger();
    }
}

/// Whether the client has begun to retry since `back`.
fn retried_since(lan: &Lan, seat: Seat, back: u64) -> bool {
    lan.story(seat).iter().any(|(at, name)| *at >= back && *name == "retrying")
}

#[test]
fn a_restarted_server_takes_back_its_holders_and_nobody_else_until_it_can_see_again() {
    let mut lan = Plan::seeded(31).feature("cad", 20).start();
    let seats: Vec<_> = (0..20).map(|_| lan.checkout("cad", 1)).collect();
    lan.run_for(10 * MINUTE);
    lan.crash(0);
    lan.run_for(SECOND);
    lan.restart(0);
    let back = lan.at;
    let newcomer = lan.checkout("cad", 1);
    lan.run_for(MINUTE / 2);
    assert_eq!(lan.watched(newcomer).last_denial(), Some(Denial::RESTARTING));
    let all = lan.run_until(3 * MINUTE, |lan| lan.seats_out(0, "cad") == 20);
    assert!(all, "only {} of 20 came back", lan.seats_out(0, "cad"));
    println!("20 holders back within {} s of the restart", (lan.at - back) / 1000);
    assert_eq!(lan.report.lost, 0);
    lan.run_for(HOUR);
    assert!(seats.iter().all(|seat| lan.holds(*seat)));
    lan.check_ledger();
}

#[test]
fn a_server_that_remembers_serves_newcomers_at_once_and_its_holders_notice_nothing() {
    for seed in 0..10 {
        let mut lan = Plan::seeded(40 + seed).feature("cad", 20).loss(10).start();
        let seats: Vec<_> = (0..19).map(|_| lan.checkout("cad", 1)).collect();
        lan.run_for(10 * MINUTE);
        lan.crash(0);
        lan.run_for(SECOND);
        lan.revive(0);
        assert_eq!(lan.seats_out(0, "cad"), 19);
        let newcomer = lan.checkout("cad", 1);
        assert!(lan.run_until(20 * SECOND, |lan| lan.holds(newcomer)), "{:?}", lan.watched(newcomer).last_denial());
        let late = lan.checkout("cad", 1);
        lan.run_for(HOUR);
        assert_eq!(lan.watched(late).last_denial(), Some(Denial::NO_SEAT));
        assert!(
            seats.iter().all(|seat| lan.holds(*seat) && lan.watched(*seat).leases.len() == 1),
            "the very same leases"
        );
        assert_eq!((lan.report.lost, lan.seats_out(0, "cad")), (0, 20));
        lan.check_ledger();
    }
}

#[test]
fn after_a_power_cut_nobody_gets_a_seat_whose_grant_was_lost_and_who_had_it_has_it_again() {
    for seed in 0..10 {
        let mut lan = Plan::seeded(60 + seed).feature("cad", 64).loss(10).start();
        let mut seats: Vec<_> = (0..60).map(|_| lan.checkout("cad", 1)).collect();
        lan.run_for(10 * MINUTE);
        // Of these the last are not on the disk when the power goes.
        seats.extend((0..4).map(|_| lan.checkout("cad", 1)));
        assert!(lan.run_until(MINUTE, |lan| seats.iter().all(|seat| lan.holds(*seat))), "everybody knows what he has");
        lan.crash(0);
        lan.run_for(SECOND);
        lan.power_up(0);
        assert_eq!(lan.seats_out(0, "cad"), 60, "four are not remembered");
        // Whoever comes now is told that there is none, and not given one of theirs.
        let newcomers: Vec<_> = (0..5).map(|_| lan.checkout("cad", 1)).collect();
        lan.run_for(HOUR);
        assert!(seats.iter().all(|seat| lan.holds(*seat)), "who had a seat has it");
        assert!(newcomers.iter().all(|seat| !lan.holds(*seat)));
        assert_eq!((lan.report.lost, lan.seats_out(0, "cad")), (0, 64));
        lan.check_ledger();
    }
}

#[test]
fn a_server_that_is_killed_while_it_does_not_know_everything_does_not_know_it_in_its_next_life_either() {
    for seed in 0..6 {
        // Its journal was lost, and it is killed before those who have seats have come back.
        let mut lan = Plan::seeded(80 + seed).feature("cad", 20).loss(10).start();
        let seats: Vec<_> = (0..20).map(|_| lan.checkout("cad", 1)).collect();
        assert!(lan.run_until(MINUTE, |lan| seats.iter().all(|seat| lan.holds(*seat))));
        lan.crash(0);
        lan.restart(0);
        lan.run_for(5 * SECOND);
        lan.crash(0);
        lan.revive(0);
        let newcomer = lan.checkout("cad", 1);
        lan.run_for(20 * SECOND);
        assert_eq!(lan.watched(newcomer).last_denial(), Some(Denial::RESTARTING));
        lan.run_for(10 * MINUTE);
        assert!(seats.iter().all(|seat| lan.holds(*seat)) && !lan.holds(newcomer));
        assert_eq!(lan.report.lost, 0);

        // The power took its last grants, and it is killed before they have come back.
        let mut lan = Plan::seeded(90 + seed).feature("cad", 64).loss(10).start();
        let seats: Vec<_> = (0..64).map(|_| lan.checkout("cad", 1)).collect();
        assert!(lan.run_until(MINUTE, |lan| seats.iter().all(|seat| lan.holds(*seat))));
        lan.crash(0);
        lan.power_up(0);
        assert_eq!(lan.seats_out(0, "cad"), 60);
        lan.run_for(2 * SECOND);
        lan.crash(0);
        lan.revive(0);
        let newcomers: Vec<_> = (0..4).map(|_| lan.checkout("cad", 1)).collect();
        lan.run_for(10 * MINUTE);
        assert!(seats.iter().all(|seat| lan.holds(*seat)), "who had a seat has it");
        assert!(newcomers.iter().all(|seat| !lan.holds(*seat)));
        assert_eq!((lan.report.lost, lan.seats_out(0, "cad")), (0, 64));
    }
}

#[test]
fn a_server_gone_for_longer_than_the_lease_gives_it_back_when_it_returns() {
    let mut lan = Plan::seeded(32).feature_with("cad", 1, 60, 30).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(5 * MINUTE);
    lan.crash(0);
    lan.run_for(10 * MINUTE);
    assert!(!lan.holds(seat));
    lan.restart(0);
    let back = lan.at;
    // Its ticket is worth nothing any more: the seat may have been somebody else's before the crash.
    assert!(lan.run_until(2 * MINUTE, |lan| lan.holds(seat)), "not regained: {:?}", lan.story(seat));
    println!("regained {} ms after the server's return", lan.at - back);
    assert!(lan.at - back >= 60_000, "not while the server cannot see who has its seats");
    assert_eq!(lan.seats_out(0, "cad"), 1);
}

#[test]
fn a_holder_that_slept_through_its_lease_takes_no_seat_from_a_server_that_forgot_who_has_it() {
    let mut lan = Plan::seeded(35).feature_with("cad", 1, 300, 0).start();
    let (client, other) = (lan.client(), lan.client());
    let sleeper = lan.checkout_on(client, "cad", 1);
    lan.run_for(MINUTE);
    lan.suspend(client, 10 * MINUTE);
    lan.run_for(6 * MINUTE);
    let next = lan.checkout_on(other, "cad", 1);
    lan.run_for(4 * MINUTE - 10 * SECOND);
    assert!(lan.holds(next));
    lan.crash(0);
    lan.restart(0);
    // It wakes while the server is blind, and the other one has not renewed since.
    lan.run_for(30 * SECOND);
    assert!(!lan.holds(sleeper), "{:?}", lan.story(sleeper));
    lan.run_for(10 * MINUTE);
    assert!(lan.holds(next) && !lan.holds(sleeper));
    assert_eq!(lan.seats_out(0, "cad"), 1);
}

#[test]
fn a_short_sleep_costs_nothing_and_a_long_one_costs_the_lease_until_it_wakes() {
    let mut lan = Plan::seeded(33).feature("cad", 1).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(MINUTE);
    lan.suspend(seat.client, 2 * MINUTE);
    lan.run_for(3 * MINUTE);
    assert!(lan.holds(seat));
    assert_eq!(lan.watched(seat).leases.len(), 1, "the same lease after a short sleep");
    let asleep = lan.at;
    lan.suspend(seat.client, HOUR);
    lan.run_for(HOUR + MINUTE);
    assert!(lan.holds(seat), "regained after waking: {:?}", lan.story(seat));
    assert!(lan.story(seat).iter().any(|(at, name)| *at >= asleep + ms(HOUR) && *name != "healthy"));
    assert_eq!(lan.seats_out(0, "cad"), 1);
}

#[test]
fn a_killed_holders_seat_is_free_at_its_deadline_and_not_before() {
    let mut lan = Plan::seeded(34).feature_with("cad", 1, 5, 0).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(30 * SECOND);
    lan.kill(seat.client);
    assert!(lan.run_until(6 * SECOND, |lan| lan.report.expiries == 1));
    let free_at = lan.at;
    assert!(lan.model.expiry_latest_ms <= 50, "noticed {} ms late", lan.model.expiry_latest_ms);
    let next = lan.checkout("cad", 1);
    lan.run_for(SECOND);
    assert!(lan.holds(next));
    assert!(lan.watched(next).granted_at.is_some_and(|at| at >= free_at));
}

#[test]
fn a_server_that_says_goodbye_keeps_renewing_and_grants_nothing_more() {
    let mut lan = Plan::seeded(35).feature("cad", 5).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(MINUTE);
    lan.drain(0);
    let late = lan.checkout("cad", 1);
    lan.run_for(10 * MINUTE);
    assert!(lan.holds(seat), "{:?}", lan.story(seat));
    assert!(!lan.holds(late));
    assert_eq!(lan.watched(late).last_denial(), Some(Denial::SHUTTING_DOWN));
    lan.release(seat);
    lan.run_for(SECOND);
    assert_eq!(lan.seats_out(0, "cad"), 0, "a release is taken to the end");
}

#[test]
fn clocks_that_run_apart_never_let_a_holder_outlive_its_seat() {
    for seed in 40..50 {
        let plan = Plan::seeded(seed).loss(20).latency_ms(5..=300).feature_with("cad", 3, 20, 0);
        let mut lan = plan.drift_ppm(10_000).start();
        let seats: Vec<_> = (0..3).map(|_| lan.checkout("cad", 1)).collect();
        for (n, seat) in (0..).zip(&seats) {
            lan.run_for((10 + 7 * n) * SECOND);
            lan.cut(seat.client, true);
        }
        // The twin checks that each stops believing before its seat is free.
        lan.run_for(MINUTE);
        assert_eq!(lan.seats_out(0, "cad"), 0);
    }
}

#[test]
fn a_calendar_that_jumps_ten_years_either_way_ends_no_lease_and_lengthens_none() {
    const TEN_YEARS_MS: i64 = 10 * 365 * 86_400_000;
    for (seed, jump) in [(61, TEN_YEARS_MS), (62, -TEN_YEARS_MS), (63, 3_000), (64, -3_000)] {
        let mut lan = Plan::seeded(seed).feature("cad", 4).start();
        let seats: Vec<_> = (0..3).map(|_| lan.checkout("cad", 1)).collect();
        lan.run_for(MINUTE);
        lan.set_wall(0, jump);
        lan.clients[seats[0].client].clock.wall_ahead_ms = -jump;
        lan.run_for(HOUR);
        assert!(seats.iter().all(|seat| lan.holds(*seat)), "{jump} ms");
        assert_eq!((lan.report.lost, lan.report.expiries), (0, 0), "{jump} ms");
        // Nor does the jump keep a dead holder's seat for longer.
        lan.kill(seats[1].client);
        lan.set_wall(0, 0);
        lan.run_for(6 * MINUTE);
        assert_eq!(lan.seats_out(0, "cad"), 2, "{jump} ms");
    }
}
