//! "Must show 4" of the first issue: a thousand clients, a bad network, one hour.

use std::time::Instant;

use leasehold_tests::{HOUR, Lan, MINUTE, Plan, SECOND};

const CLIENTS: usize = 1000;

fn bad_lan(seed: u64, seats: u32) -> Plan {
    let plan = Plan::seeded(seed).loss(30).duplication(20).latency_ms(5..=500);
    plan.feature("cad", seats).check_every(5_000)
}

/// Hours of the world: one, or `LEASEHOLD_HOURS`.
fn hours() -> u32 {
    std::env::var("LEASEHOLD_HOURS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Runs the hours and prints how much faster than the real one it was.
fn run_the_hour(lan: &mut Lan, name: &str) {
    let (began, worked) = (Instant::now(), cpu_time());
    let time = HOUR * hours();
    lan.run_for(time);
    let (took, worked) = (began.elapsed().as_secs_f64(), cpu_time() - worked);
    let factor = |seconds: f64| time.as_secs_f64() / seconds.max(0.001);
    println!("{name}, seed {}: {} h in {took:.2} s, {:.0} x real time;", lan.seed(), hours(), factor(took));
    println!("  {worked:.2} s of one core, {:.0} x real time where nobody else works", factor(worked));
    println!("  {}", lan.report);
    let (sent, lost, doubled) = (lan.net.sent, lan.net.lost, lan.net.doubled);
    println!("  {sent} datagrams sent, {lost} lost, {doubled} doubled, {}", lan.peaks());
    let counted = |name: &str| lan.servers[0].counter(name);
    let (shakes, retries) = (counted("handshakes"), counted("retries_sent"));
    println!("  {shakes} handshakes, {retries} retries sent, {} sessions", counted("sessions_opened"));
    println!("  bytes to unproved addresses / bytes from them, at worst: {:.3}", lan.worst_ratio());
}

/// Seconds this thread has worked: what the wall says too, on a machine that does nothing else.
fn cpu_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a thousand clients for an hour: in the release build")]
fn a_thousand_holders_keep_every_lease_for_an_hour_of_bad_network() {
    let mut lan = bad_lan(1, 1000).start();
    let seats: Vec<_> = (0..CLIENTS).map(|_| lan.checkout("cad", 1)).collect();
    run_the_hour(&mut lan, "a thousand holders");
    assert_eq!(lan.report.lost, 0, "lost leases");
    assert_eq!(lan.report.expiries, 0, "leases the server ended");
    assert!(seats.iter().all(|seat| lan.holds(*seat)));
    assert!(seats.iter().all(|seat| lan.watched(*seat).leases.len() == 1), "a lease changed its id");
    assert_eq!(lan.seats_out(0, "cad"), 1000);
    seats.into_iter().for_each(|seat| lan.release(seat));
    every_seat_comes_back(&mut lan);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a thousand clients for an hour: in the release build")]
fn a_thousand_clients_that_come_and_go_never_take_a_seat_too_many() {
    // 1000 clients for 600 seats: about 800 want one at any time.
    let mut lan = bad_lan(2, 600).start();
    for _ in 0..CLIENTS {
        let client = lan.client();
        lan.churn(client, "cad", (SECOND, 20 * MINUTE), (SECOND, 4 * MINUTE));
    }
    run_the_hour(&mut lan, "a thousand that come and go");
    assert!(lan.model.believed_peak[0] <= 600, "{} in use at once", lan.model.believed_peak[0]);
    assert_eq!(lan.model.believed_peak[0], 600, "the world was never full: it tests too little");
    assert_eq!(lan.report.lost, 0, "lost leases");
    assert!(lan.report.denials > 0 && lan.report.releases > 1000);
    assert_eq!(lan.report.expiries, 0, "seats out that nobody wanted, until their TTL ended");
    lan.end_habits();
    every_seat_comes_back(&mut lan);
}

/// Within one TTL of the last release, and without any: a release that was lost is repeated.
fn every_seat_comes_back(lan: &mut Lan) {
    let all_free = lan.run_until(5 * MINUTE, |lan| lan.seats_out(0, "cad") == 0);
    assert!(all_free, "{} seats still out", lan.seats_out(0, "cad"));
    lan.run_for(MINUTE);
    assert_eq!(lan.seats_out(0, "cad"), 0, "a seat went out again by itself");
    lan.check_ledger();
    assert!(lan.worst_ratio() <= 1.0);
}
