//! Calendars that jump under load (S5): no right is lengthened, no lease is lost, and nothing is left of it once the clock is right.
//!
//! A dozen schedules; `LEASEHOLD_CLOCKS=200` runs as many as the promise wants.

use std::time::Duration;

use leasehold_core::FeatureStatus;
use leasehold_tests::{Lan, MINUTE, Plan, SECOND, clock::WALL_AT_START, rng::Rng};

const HOUR_MS: i64 = 3_600_000;
const YEARS_MS: i64 = 10 * 365 * 24 * HOUR_MS;
const MINUTE_MS: u64 = 60_000;
/// 2026-11-23T00:00:00Z: a seat of pro ends.
const MIDNIGHT: u64 = 1_795_305_600_000 + 24 * 3_600_000;

/// A world that begins so many minutes before that midnight, and where its calendars are right. The seats that are fought for have no
/// date, and those with a date are not fought for: the twin knows no dates.
fn world(seed: u64, minutes: u64) -> (Lan, i64) {
    let plan = Plan::seeded(seed)
        .feature_with("cad", 6, 60, 0)
        .feature_with("pro", 6, 60, 0)
        .upgrade("pro", 1, "UTC", Some("2026-11-22"))
        .calendar(MIDNIGHT - minutes * MINUTE_MS)
        .loss(5)
        .latency_ms(1..=60)
        .check_every(100)
        .workers(2);
    let right = plan.wall_ahead_ms();
    (plan.start(), right)
}

fn feature(lan: &Lan, name: &str) -> FeatureStatus {
    let server = &lan.servers[0];
    let all = server.shared().unwrap().features(server.clock.now(lan.at));
    all.into_iter().find(|feature| feature.name.as_str() == name).unwrap()
}

/// Where the calendar goes next, against true time.
fn jump(rng: &mut Rng) -> i64 {
    let far = [0, 1_000, HOUR_MS - 1_000, 2 * HOUR_MS, 25 * HOUR_MS, 27 * HOUR_MS, YEARS_MS];
    let ms = far[usize::try_from(rng.below(far.len() as u64)).unwrap()];
    if rng.chance(50) { ms } else { -ms }
}

/// What holds at every moment, whatever the calendar says. Effective time may be an hour ahead of the true one: small steps forward are
/// followed.
fn holds_always(lan: &mut Lan, right: i64, schedule: u64) {
    let at = lan.at;
    let status = lan.servers[0].clock_status(at).unwrap();
    let truth = WALL_AT_START.saturating_add_signed(right) + at;
    let lead = i64::try_from(status.effective.0).unwrap() - i64::try_from(truth).unwrap();
    assert!((0..=HOUR_MS).contains(&lead), "schedule {schedule}, {at} ms: effective time is {lead} ms wrong");
    let (cad, pro) = (feature(lan, "cad"), feature(lan, "pro"));
    // One of the six has ended for good, and no sooner than that hour before its midnight.
    let ended = pro.count == Some(5);
    assert!(ended || pro.count == Some(6), "schedule {schedule}, {at} ms: {:?} seats of pro", pro.count);
    assert!(ended || truth < MIDNIGHT, "schedule {schedule}, {at} ms: a right is longer");
    assert!(!ended || truth + 3_600_000 >= MIDNIGHT, "schedule {schedule}, {at} ms: a right is shorter");
    assert!(cad.count == Some(6) && cad.used <= 6 && pro.used <= 5, "schedule {schedule}, {at} ms: {cad:?} {pro:?}");
    assert_eq!(lan.report.lost + lan.report.expiries, 0, "schedule {schedule}, {at} ms: a lease was lost");
}

/// Eighty minutes of jumps, with a process that is killed and started again in between.
fn schedule(number: u64) {
    let (mut lan, right) = world(number, 70);
    let mut rng = Rng::new(lan.seed()).fork(0xc10c);
    let held: Vec<_> = ["cad", "cad", "pro"].map(|feature| lan.checkout(feature, 1)).into();
    let asker = lan.client();
    for n in 0..6 {
        let client = lan.client();
        let feature = if n < 4 { "cad" } else { "pro" };
        lan.churn(client, feature, (5 * SECOND, 3 * MINUTE), (5 * SECOND, 60 * SECOND));
    }
    lan.run_for(10 * SECOND);
    assert!(held.iter().all(|seat| lan.holds(*seat)));
    while lan.at < 80 * MINUTE_MS {
        let wrong = jump(&mut rng);
        lan.set_wall(0, right + wrong);
        // A machine of a user may be wrong as well; most are right.
        let user = usize::try_from(rng.below(lan.clients.len() as u64)).unwrap();
        lan.clients[user].clock.wall_ahead_ms = right + if rng.chance(20) { jump(&mut rng) } else { 0 };
        let greedy = lan.checkout_on(asker, "cad", 6);
        lan.run_for(Duration::from_millis(rng.within(&(1..=8 * MINUTE_MS))));
        holds_always(&mut lan, right, number);
        assert!(!lan.holds(greedy), "schedule {number}: more seats than there are");
        if rng.chance(25) {
            // Until the next mark is written, a start cannot tell a jump from a machine that was off.
            lan.run_for(61 * SECOND);
            lan.crash(0);
            lan.revive(0);
            lan.run_for(SECOND);
            holds_always(&mut lan, right, number);
        }
    }
    assert!(held.iter().all(|seat| lan.holds(*seat)), "schedule {number}: who held from the beginning holds yet");
    complete_service(lan, right, number);
}

/// The clock is right again: so is the server.
fn complete_service(mut lan: Lan, right: i64, schedule: u64) {
    lan.set_wall(0, right);
    lan.run_for(5 * MINUTE);
    holds_always(&mut lan, right, schedule);
    let at = lan.at;
    let status = lan.servers[0].clock_status(at).unwrap();
    assert!(!status.is_suspect && status.pending_until.is_none(), "schedule {schedule}: {status:?}");
    lan.end_habits();
    lan.run_for(2 * MINUTE);
    let used = |lan: &Lan| ["cad", "pro"].map(|name| feature(lan, name).used);
    assert_eq!(used(&lan), [2, 1], "schedule {schedule}");
    let rest = [lan.checkout("cad", 4), lan.checkout("pro", 4)];
    lan.run_for(MINUTE);
    assert!(rest.iter().all(|seat| lan.holds(*seat)), "schedule {schedule}: every seat there is");
    assert_eq!((used(&lan), feature(&lan, "pro").free), ([6, 5], 0), "schedule {schedule}");
    lan.check_ledger();
}

#[test]
fn whatever_the_calendar_does_no_right_is_longer_no_lease_shorter_and_nothing_is_left_of_it() {
    let count = std::env::var("LEASEHOLD_CLOCKS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    (1..=count).for_each(schedule);
    println!("{count} schedules of jumps over 80 minutes each: no right longer, no lease lost");
}

#[test]
fn a_server_that_was_days_behind_is_right_as_soon_as_five_clients_say_the_same_as_its_new_clock() {
    const BEHIND_MS: i64 = 3 * 24 * HOUR_MS;
    for (clients, believed) in [(5, true), (4, false)] {
        let (mut lan, right) = world(900, 2);
        lan.set_wall(0, right - BEHIND_MS);
        lan.restart_clean(0);
        lan.servers[0].confirm_clock(0);
        let seats: Vec<_> = (0..clients).map(|_| lan.checkout("cad", 1)).collect();
        lan.run_for(MINUTE);
        assert!(seats.iter().all(|seat| lan.holds(*seat)));
        lan.set_wall(0, right);
        // Sessions are dropped by the step; the clients are known already, and come back.
        lan.run_for(5 * MINUTE);
        let at = lan.at;
        let status = lan.servers[0].clock_status(at).unwrap();
        assert_eq!(status.raw_ahead_ms, if believed { 0 } else { BEHIND_MS }, "{clients} clients: {status:?}");
        assert_eq!(feature(&lan, "pro").count, Some(if believed { 5 } else { 6 }), "the midnight is past");
        assert!(seats.iter().all(|seat| lan.holds(*seat)));
        lan.servers[0].confirm_clock(at);
        lan.run_for(MINUTE);
        assert_eq!(feature(&lan, "pro").count, Some(5), "an administrator says so");
    }
}
