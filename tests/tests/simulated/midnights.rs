//! A right that ends at a midnight while its seats are out, in a LAN that loses and delays (L-8, L-9, L-10).

use leasehold_tests::{HOUR, Lan, MINUTE, Plan};

/// Exclusive 5 + upgrade 1 + upgrade 2 that ends at `midnight`, in a world that begins an hour before it.
fn world(seed: u64, zone: &'static str, last_day: &'static str, midnight: u64) -> Lan {
    Plan::seeded(seed)
        .feature("cad", 8)
        .upgrade("cad", 1, zone, None)
        .upgrade("cad", 2, zone, Some(last_day))
        .calendar(midnight - 3_600_000)
        .loss(10)
        .latency_ms(1..=80)
        .workers(2)
        .start()
}

fn count(lan: &Lan) -> (Option<u32>, u32, u32) {
    let server = &lan.servers[0];
    let features = server.shared().unwrap().features(server.clock.now(lan.at));
    (features[0].count, features[0].used, features[0].overage)
}

fn capacity_falls_and_nobody_is_cut_off(seed: u64, zone: &'static str, last_day: &'static str, midnight: u64) {
    let mut lan = world(seed, zone, last_day, midnight);
    let all = lan.checkout("cad", 8);
    lan.run_for(59 * MINUTE);
    assert!(lan.holds(all), "one checkout of all eight");
    assert_eq!(count(&lan), (Some(8), 8, 0));
    lan.run_for(2 * MINUTE);
    assert_eq!(count(&lan), (Some(6), 8, 2), "over by two, from the midnight on");
    let late = lan.checkout("cad", 1);
    lan.run_for(3 * HOUR);
    assert!(lan.holds(all), "whoever holds goes on holding");
    assert!(!lan.holds(late), "nothing new goes out while more are out than there are");
    let leases = lan.servers[0].shared().unwrap().leases(lan.servers[0].clock.now(lan.at));
    assert_eq!(leases.iter().map(|lease| (lease.seats.get(), lease.overage)).collect::<Vec<_>>(), [(8, true)]);
    lan.release(all);
    lan.run_for(MINUTE);
    let six = lan.checkout("cad", 5);
    lan.run_for(10 * MINUTE);
    assert!(lan.holds(six) || lan.holds(late));
    lan.check_ledger();
    let (seats, used, overage) = count(&lan);
    assert!(seats == Some(6) && used <= 6 && overage == 0, "{used} of {seats:?}, {overage} over");
}

#[test]
fn an_upgrade_ends_at_both_changes_of_the_clocks_in_berlin() {
    // Days of 23 and of 25 hours: the midnights after them.
    capacity_falls_and_nobody_is_cut_off(71, "Europe/Berlin", "2026-03-29", 1_774_821_600_000);
    capacity_falls_and_nobody_is_cut_off(72, "Europe/Berlin", "2026-10-25", 1_792_969_200_000);
}

#[test]
fn an_upgrade_ends_before_a_day_that_has_no_midnight() {
    // 2018-11-04 begins at one o'clock in Sao Paulo.
    capacity_falls_and_nobody_is_cut_off(73, "America/Sao_Paulo", "2018-11-03", 1_541_300_400_000);
}

#[test]
fn an_upgrade_ends_at_a_midnight_like_any_other() {
    capacity_falls_and_nobody_is_cut_off(74, "UTC", "2026-09-30", 1_790_812_800_000);
}
