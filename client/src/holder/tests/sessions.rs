//! Sessions: restarts, new keys, clocks that part, several servers.

use leasehold_protocol::{
    message::{ClientFrame, PathToken, ServerFrame},
    packet::{PacketType, classify},
};

use super::{
    super::{Destination, HolderEvent, LeaseState, Target},
    lan::{Lan, config, everybody, server_at},
    server::TestServer,
};

const HOUR: u64 = 3_600_000;

fn connections(lan: &Lan) -> usize {
    lan.count(|e| matches!(e, HolderEvent::Connected { .. }))
}

fn hellos(lan: &Lan) -> usize {
    lan.sent.iter().filter(|(_, _, bytes)| classify(bytes) == Ok(PacketType::Hello1)).count()
}

#[test]
fn keys_are_changed_after_twelve_hours_and_no_lease_notices() {
    let mut lan = Lan::with_server(1);
    let lease = lan.hold("cad");
    let before = hellos(&lan);
    lan.run_for(10 * HOUR);
    assert_eq!(hellos(&lan), before);
    lan.run_for(4 * HOUR);
    assert_eq!(hellos(&lan), before + 2, "one handshake with its cookie, at 12 h ± 10 %");
    assert_eq!((connections(&lan), lan.states(lease).len()), (1, 1));
    lan.run_for(48 * HOUR);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
}

#[test]
fn answers_under_the_keys_before_are_still_read() {
    for seed in 0..10 {
        let mut lan = Lan::with_server(seed);
        lan.wire.delay_ms = (0, 90);
        lan.holder.renew_every(Some(std::time::Duration::from_secs(60)));
        lan.hold("cad");
        lan.run_for(10_000);
        let (before, ignored) = (hellos(&lan), lan.holder.ignored());
        lan.run_until(14 * HOUR, |lan| hellos(lan) > before);
        for _ in 0..50 {
            // Somebody asks all the time, so that some answer is on its way when the keys change.
            let now = lan.clock();
            lan.holder.query_features(now, None);
            lan.drain();
            lan.run_for(10);
        }
        lan.run_for(1_000);
        assert!(hellos(&lan) > before && connections(&lan) == 1, "seed {seed}");
        assert_eq!(lan.holder.ignored(), ignored, "seed {seed}");
    }
}

#[test]
fn clocks_that_part_end_the_session_and_the_lease_lives_on_in_the_next() {
    let mut lan = Lan::with_server(2);
    let lease = lan.hold("cad");
    lan.wall_ahead_ms += 1_900;
    lan.run_for(110_000);
    assert_eq!(connections(&lan), 1, "a small step is a clock being set");
    lan.wall_ahead_ms -= 3_000;
    lan.run_for(120_000);
    assert_eq!(connections(&lan), 2);
    assert_eq!((lan.state(lease), lan.server().leases.len()), (Some(LeaseState::Healthy), 1));
}

#[test]
fn a_path_challenge_is_echoed() {
    let mut lan = Lan::with_server(3);
    lan.hold("cad");
    lan.announce(&ServerFrame::PathChallenge(PathToken([7; 8])));
    lan.run_for(100);
    assert!(lan.server().frames().any(|f| *f == ClientFrame::PathResponse(PathToken([7; 8]))));
}

#[test]
fn a_session_that_is_opened_says_something_so_that_the_server_knows() {
    let mut lan = Lan::with_server(4);
    lan.run_for(1_000);
    assert_eq!(lan.server().heard.len(), 1, "one datagram confirms the keys");
    lan.run_for(HOUR);
    assert_eq!(lan.server().heard.len(), 1, "and then there is nothing to say");
}

#[test]
fn while_nobody_answers_the_search_goes_on_ever_slower_and_finds_who_comes() {
    let mut lan = Lan::with_server(5);
    lan.server().up = false;
    let lease = lan.checkout("cad");
    lan.run_for(HOUR);
    let asked = lan.sent.len();
    assert!((300..500).contains(&asked), "{asked} questions in an hour");
    assert!(lan.count(|e| matches!(e, HolderEvent::ConnectFailed { .. })) > 100);
    lan.server().up = true;
    lan.run_until(12_500, |lan| lan.state(lease) == Some(LeaseState::Healthy));
}

#[test]
fn a_known_server_that_comes_back_is_found_within_five_seconds() {
    for seed in 0..10 {
        let mut lan = Lan::with_server(seed);
        let lease = lan.hold("cad");
        lan.server().up = false;
        lan.run_for(200_000 + seed * 777);
        lan.server().up = true;
        lan.server().restart(true);
        lan.run_until(5_000, |lan| lan.state(lease) == Some(LeaseState::Healthy));
    }
}

#[test]
fn a_known_target_is_reached_without_asking_around() {
    let mut lan = Lan::new(6, config());
    lan.servers.push((server_at(1), TestServer::new(7)));
    let (address, key) = (server_at(1), lan.key(0));
    lan.connect(Target::Known { address, key, realm: lan.servers[0].1.realm });
    lan.hold("cad");
    assert!(lan.sent.iter().all(|(_, to, _)| *to == Destination::To(address)));
    lan.server().up = false;
    lan.run_for(HOUR);
    lan.server().up = true;
    lan.server().restart(false);
    lan.run_until(5_000, |lan| lan.server_count() == 1);
}

#[test]
fn a_server_that_moved_is_found_by_asking_around_after_the_old_address_stays_silent() {
    let mut lan = Lan::with_server(7);
    let lease = lan.hold("cad");
    lan.servers[0].0 = server_at(9);
    lan.server().restart(true);
    lan.run_for(130_000);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
    assert_eq!(lan.holder.server().unwrap().address, server_at(9));
    assert!(lan.states(lease).iter().all(|(_, s)| s.is_held()));
}

#[test]
fn a_named_server_wins_over_one_that_happens_to_be_nearer() {
    let mut lan = Lan::new(9, config());
    lan.servers.push((server_at(1), TestServer::new(1)));
    lan.servers.push((server_at(2), TestServer::new(2)));
    lan.wire.delay_ms = (0, 6);
    lan.connect(Target::Discover { to: vec![server_at(2)], broadcast: true, pins: Vec::new() });
    lan.run_until(1_000, Lan::connected);
    assert_eq!(lan.holder.server().unwrap().address, server_at(2));
    let mut lan = Lan::new(9, config());
    lan.servers.push((server_at(1), TestServer::new(1)));
    lan.connect(Target::Discover { to: vec![server_at(2)], broadcast: true, pins: Vec::new() });
    let took = lan.run_until(1_000, Lan::connected);
    assert!(took < 50, "a dead entry in the list costs {took} ms");
}

#[test]
fn many_leases_come_back_together_after_a_restart() {
    let mut lan = Lan::with_server(10);
    lan.server().seats = 50;
    let leases: Vec<_> = (0..50).map(|_| lan.checkout("cad")).collect();
    lan.run_for(5_000);
    lan.server().restart(false);
    lan.run_for(130_000);
    assert!(leases.iter().all(|l| lan.state(*l) == Some(LeaseState::Healthy)));
    assert_eq!(lan.server().leases.len(), 50);
    assert!(leases.iter().all(|l| lan.states(*l).iter().all(|(_, s)| s.is_held())));
    lan.connect(everybody());
    assert_eq!(connections(&lan), 2);
}

impl Lan {
    fn server_count(&self) -> usize {
        usize::from(self.holder.server().is_some() && self.count(|e| matches!(e, HolderEvent::Connected { .. })) >= 2)
    }
}
