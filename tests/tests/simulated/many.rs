//! A program with many leases: they are renewed together, and a bad network takes none of them.

use leasehold_tests::{HOUR, Lan, MINUTE, Plan, SECOND, Seat};

const LEASES: usize = 200;

/// A client that checked out [`LEASES`] seats one after another, over a quarter of an hour.
fn holder_of_many(lan: &mut Lan) -> Vec<Seat> {
    let client = lan.client();
    let seats = (0..LEASES).map(|n| {
        let seat = lan.checkout_on(client, "cad", 1);
        lan.run_for(SECOND * u32::try_from(n % 10).expect("small"));
        seat
    });
    seats.collect()
}

#[test]
fn two_hundred_leases_over_a_lossy_lan_for_an_hour_are_all_kept_in_few_datagrams() {
    for seed in 70..75 {
        let plan = Plan::seeded(seed).loss(20).duplication(5).latency_ms(5..=100).workers(2);
        let mut lan = plan.feature("cad", 200).check_every(100).start();
        let seats = holder_of_many(&mut lan);
        lan.run_for(5 * MINUTE);
        let (sent, renewed) = (lan.net.sent, lan.report.renewals);
        lan.run_for(HOUR);
        let (sent, renewed) = (lan.net.sent - sent, lan.report.renewals - renewed);
        println!("seed {seed}: {renewed} renewals in {sent} datagrams, both ways");
        assert_eq!((lan.report.lost, lan.report.expiries), (0, 0), "seed {seed}");
        assert!(seats.iter().all(|seat| lan.holds(*seat) && lan.watched(*seat).leases.len() == 1), "seed {seed}");
        assert_eq!(lan.seats_out(0, "cad"), 200);
        assert!(renewed >= 200 * 33, "seed {seed}: {renewed} renewals");
        // One by one they would be twice as many datagrams as renewals, and more.
        assert!(sent * 10 <= renewed, "seed {seed}: {sent} datagrams for {renewed} renewals");
        lan.check_ledger();
        assert!(lan.worst_ratio() <= 1.0);
    }
}
