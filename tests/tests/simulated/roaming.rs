//! Machines that change their address.

use leasehold_tests::{HOUR, MINUTE, Plan, SECOND};

#[test]
fn a_holder_that_moves_keeps_its_lease_without_a_new_handshake() {
    for workers in [1, 2] {
        let mut lan = Plan::seeded(51).workers(workers).feature("cad", 1).start();
        let seat = lan.checkout("cad", 1);
        lan.run_for(MINUTE);
        let handshakes = lan.servers[0].counter("handshakes");
        for _ in 0..10 {
            lan.roam(seat.client);
            lan.run_for(3 * MINUTE);
            assert!(lan.holds(seat));
        }
        assert_eq!(lan.servers[0].counter("handshakes"), handshakes, "roaming costs no handshake");
        assert_eq!(lan.watched(seat).leases.len(), 1);
        assert_eq!(lan.report.lost, 0);
        assert!(lan.worst_ratio() <= 1.0, "{}", lan.worst_ratio());
    }
}

#[test]
fn holders_that_move_all_the_time_in_a_bad_network_lose_nothing() {
    let plan = Plan::seeded(52).loss(30).duplication(20).latency_ms(5..=500).workers(2).feature("cad", 30);
    let mut lan = plan.check_every(20).start();
    let seats: Vec<_> = (0..30).map(|_| lan.checkout("cad", 1)).collect();
    for round in 0..60 {
        lan.run_for(MINUTE);
        for seat in seats.iter().filter(|seat| seat.client % 6 == round % 6) {
            lan.roam(seat.client);
        }
    }
    assert_eq!(lan.report.lost, 0);
    assert!(seats.iter().all(|seat| lan.holds(*seat)));
    assert_eq!(lan.seats_out(0, "cad"), 30);
    assert!(lan.worst_ratio() <= 1.0, "{}", lan.worst_ratio());
    lan.check_ledger();
}

#[test]
fn two_machines_that_swap_addresses_keep_their_own_leases() {
    let mut lan = Plan::seeded(53).feature("cad", 2).start();
    let (a, b) = (lan.checkout("cad", 1), lan.checkout("cad", 1));
    lan.run_for(MINUTE);
    lan.swap_addresses(a.client, b.client);
    lan.run_for(HOUR);
    assert!(lan.holds(a) && lan.holds(b));
    assert_eq!(lan.report.lost, 0);
    lan.release(a);
    lan.run_for(SECOND);
    assert!(lan.holds(b), "one machine's release is not the other's");
    assert_eq!(lan.seats_out(0, "cad"), 1);
}
