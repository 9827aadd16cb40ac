//! How clients find a server, and whom they turn away.

use std::{cell::RefCell, rc::Rc};

use leasehold_protocol::{
    crypto::{Keypair, mac::MacKey},
    packet::{OfferHead, Packet, PacketType, Prefix, read_to_server},
};
use leasehold_tests::{
    MINUTE, Plan, SECOND,
    net::{Flight, Sender},
    rng::Rng,
};
use zerocopy::IntoBytes;

#[test]
fn a_broadcast_finds_the_server_in_well_under_a_second() {
    let mut lan = Plan::seeded(61).discovery().latency_ms(1..=5).feature("cad", 10).start();
    let seats: Vec<_> = (0..10).map(|_| lan.checkout("cad", 1)).collect();
    assert!(lan.run_until(SECOND, |lan| seats.iter().all(|seat| lan.holds(*seat))));
    println!("ten clients found it by broadcast and held a seat after {} ms", lan.at);
}

#[test]
fn a_broadcast_finds_the_server_in_a_bad_network() {
    let mut waits = Vec::new();
    for seed in 0..if cfg!(debug_assertions) { 2 } else { 10 } {
        let plan = Plan::seeded(620 + seed).discovery().loss(30).duplication(20).latency_ms(5..=500);
        let mut lan = plan.feature("cad", 50).check_every(100).start();
        let seats: Vec<_> = (0..50).map(|_| lan.checkout("cad", 1)).collect();
        assert!(lan.run_until(10 * MINUTE, |lan| seats.iter().all(|seat| lan.holds(*seat))), "seed {}", lan.seed());
        waits.extend(seats.iter().filter_map(|seat| lan.watched(*seat).granted_at));
        assert!(lan.worst_ratio() <= 1.0);
    }
    waits.sort_unstable();
    let [half, most, last] = [50, 90, 100].map(|percent| waits[(waits.len() - 1) * percent / 100]);
    println!(
        "{} clients in a bad network hold a seat after {half} ms (half), {most} (90 %), {last} (all)",
        waits.len()
    );
    assert!(most <= 60_000, "90 % only after {most} ms");
}

#[test]
fn a_server_the_publisher_never_named_is_turned_away_and_the_right_one_found() {
    // The rogues have the true licence, another key, and answer as fast.
    let mut lan = Plan::seeded(63).discovery().rogues(5).feature("cad", 10).start();
    let seats: Vec<_> = (0..10).map(|_| lan.checkout("cad", 1)).collect();
    assert!(lan.run_until(10 * SECOND, |lan| seats.iter().all(|seat| lan.holds(*seat))));
    let server = lan.servers[0].address;
    assert!(lan.clients.iter().all(|c| c.connections.iter().all(|(_, to)| *to == server)));
    println!("through five rogues: all ten hold a seat after {} ms", lan.at);
}

#[test]
fn with_nobody_but_rogues_a_client_goes_on_searching_and_takes_no_seat() {
    let mut lan = Plan::seeded(64).discovery().rogues(3).feature("cad", 10).start();
    lan.crash(0);
    let seat = lan.checkout("cad", 1);
    lan.run_for(2 * MINUTE);
    assert!(!lan.holds(seat));
    assert!(!lan.clients[seat.client].failures.is_empty(), "it says that it found nobody");
    lan.restart_clean(0);
    lan.run_for(10 * MINUTE);
    assert!(lan.holds(seat), "and finds the right one when it comes: {:?}", lan.story(seat));
}

/// Answers every DISCOVER at once with offers of its own, for keys and addresses that lead nowhere.
fn forger(count: Rc<RefCell<u64>>, site: leasehold_protocol::crypto::SiteKey) -> leasehold_tests::lan::Tap {
    Box::new(move |flight: &Flight, rng: &mut Rng| {
        let Ok(Packet::Discover(discover)) = read_to_server(&flight.bytes) else { return Vec::new() };
        let mut forged = Vec::new();
        for n in 0..4u8 {
            let head = OfferHead {
                prefix: Prefix::of(PacketType::Offer),
                realm: discover.realm,
                nonce_echo: discover.nonce,
                server_id: u64::from(n).into(),
                cluster_id: 0.into(),
                server_key: Keypair::generate(rng).public().0,
                port: (6000 + u16::from(n)).into(),
                weight: u16::MAX.into(),
                peer_count: 0,
            };
            let mut bytes = head.as_bytes().to_vec();
            let mac = MacKey::discovery(&site).of(&bytes);
            bytes.extend_from_slice(&mac);
            let (from, to) = (([10, 0, 0, 200 + n], 6000 + u16::from(n)).into(), flight.from);
            *count.borrow_mut() += 1;
            forged.push((0, Flight { id: 0, sender: Sender::Stranger, from, to, broadcast: false, heard: 0, bytes }));
        }
        forged
    })
}

#[test]
fn forged_offers_delay_a_client_and_cannot_keep_it_away() {
    let plan = Plan::seeded(65).discovery().feature("cad", 1);
    let site = plan.site.clone();
    let mut lan = plan.start();
    let count = Rc::new(RefCell::new(0));
    lan.tap(forger(Rc::clone(&count), site));
    let seat = lan.checkout("cad", 1);
    assert!(lan.run_until(2 * MINUTE, |lan| lan.holds(seat)), "{:?}", lan.clients[seat.client].rejections);
    println!("{} forged offers, a seat after {} ms", count.borrow(), lan.at);
}

#[test]
fn of_two_servers_the_other_one_answers_when_the_first_dies() {
    let mut lan = Plan::seeded(66).servers(2).feature_with("cad", 5, 60, 0).start();
    let seats: Vec<_> = (0..5).map(|_| lan.checkout("cad", 1)).collect();
    lan.run_for(MINUTE);
    assert!(seats.iter().all(|seat| lan.holds(*seat)));
    lan.crash(0);
    let moved = lan.run_until(5 * MINUTE, |lan| lan.seats_out(1, "cad") == 5);
    assert!(moved, "{} of 5 moved", lan.seats_out(1, "cad"));
    assert!(seats.iter().all(|seat| lan.holds(*seat)));
}
