//! Whom to believe: certificates, pins, and the order of candidates.

use leasehold_protocol::{
    crypto::Fingerprint,
    licence::{Certificate, KeyType, PublisherSecret, SeatLimit, Terms, canonical},
    packet::{self, Packet},
    time::UnixMillis,
    vocab::{FeatureName, Label, RealmId, SeatCount, Version},
};

use super::{
    super::{HolderConfig, HolderEvent, RejectReason, Target},
    lan::{Lan, config, everybody, server_at},
    server::{TestServer, seeded},
};

fn publisher(name: &str, seed: u64) -> PublisherSecret {
    PublisherSecret::generate(&Label::new(name).unwrap(), &mut seeded(seed))
}

fn certificate(name: &str, keys: &[Fingerprint], end: Option<&str>) -> Certificate {
    Certificate {
        publisher: Label::new(name).unwrap(),
        feature: FeatureName::new("cad").unwrap(),
        version: Version::ANY,
        count: SeatLimit::Counted(SeatCount::ONE),
        key_type: KeyType::Exclusive,
        zone: "UTC".into(),
        start: None,
        end: end.map(|day| day.parse().unwrap()),
        terms: Terms { server_keys: keys.to_vec(), ..Terms::default() },
    }
}

/// A holder that trusts acme only, and servers that show what `shows` makes of their fingerprint.
fn world(shows: &[fn(&PublisherSecret, Fingerprint) -> Vec<u8>]) -> Lan {
    let acme = publisher("acme", 1);
    let mut lan = Lan::new(2, HolderConfig { publisher_keys: vec![acme.public()], ..config() });
    for (n, show) in (1..).zip(shows) {
        let mut server = TestServer::new(u64::from(n));
        server.realm = acme.public().realm();
        server.proof = show(&acme, server.keys.public().fingerprint());
        lan.servers.push((server_at(n), server));
    }
    lan.connect(everybody());
    lan
}

fn good(acme: &PublisherSecret, own: Fingerprint) -> Vec<u8> {
    canonical::sign(&certificate("acme", &[Fingerprint([1; 16]), own], None), acme).cose
}

fn rejection(lan: &Lan) -> Option<RejectReason> {
    lan.events.iter().find_map(|(_, event)| match event {
        HolderEvent::ServerRejected { why, .. } => Some(why.clone()),
        _ => None,
    })
}

#[test]
fn a_server_that_shows_the_publishers_certificate_with_its_key_is_used() {
    let mut lan = world(&[good]);
    lan.run_until(1_000, Lan::connected);
    lan.hold("cad");
    lan.server().restart(true);
    lan.run_for(200_000);
    let asked = lan.server().frames().filter(|f| matches!(f, leasehold_protocol::message::ClientFrame::ProofQuery(_)));
    assert_eq!(asked.count(), 1, "what was proved once need not be proved again to return");
}

#[test]
fn one_server_with_several_addresses_gets_one_session_and_keeps_it() {
    for seed in 0..10 {
        let mut lan = world(&[good]);
        lan.also_at = vec![server_at(101), server_at(102)];
        lan.wire.delay_ms = (0, 3 + seed);
        lan.connect(everybody());
        let lease = lan.hold("cad");
        lan.run_for(3_600_000);
        assert_eq!(lan.count(|e| matches!(e, HolderEvent::Connected { .. })), 1, "seed {seed}");
        assert_eq!(lan.states(lease).len(), 1, "seed {seed}");
    }
}

#[test]
fn a_crowd_of_servers_that_prove_nothing_is_tried_eight_at_a_time_and_hides_no_honest_one() {
    let mut lan = world(&[]);
    let question = lan.sent[0].2.clone();
    let Packet::Discover(discover) = packet::read_to_server(&question).unwrap() else { panic!() };
    let acme = publisher("acme", 1);
    let server = |n: u8| {
        let mut server = TestServer::new(u64::from(n));
        server.realm = acme.public().realm();
        server
    };
    for n in 1..=40 {
        lan.servers.push((server_at(n), server(n)));
        if n <= 18 {
            // One after the other, each tried and found wanting before the next one speaks.
            let offer = server(n).offer(discover);
            lan.inject(server_at(n), offer);
            lan.run_for(10);
        }
    }
    let tried = lan.servers.iter().filter(|(_, server)| !server.heard.is_empty()).count();
    assert_eq!(tried, 8, "until it asks around again");
    let mut honest = server(200);
    honest.proof = good(&acme, honest.keys.public().fingerprint());
    lan.servers.push((server_at(200), honest));
    lan.run_until(10_000, Lan::connected);
}

#[test]
fn every_other_certificate_is_refused_with_its_reason_and_the_next_server_is_used() {
    type Case = (fn(&PublisherSecret, Fingerprint) -> Vec<u8>, fn(&RejectReason) -> bool);
    let cases: [Case; 6] = [
        (|_, _| Vec::new(), |why| *why == RejectReason::NoProof),
        (
            |_, own| canonical::sign(&certificate("acme", &[own], None), &publisher("acme", 9)).cose,
            |why| matches!(why, RejectReason::BadProof(_)),
        ),
        (
            |_, own| canonical::sign(&certificate("other", &[own], None), &publisher("other", 9)).cose,
            |why| matches!(why, RejectReason::BadProof(_)),
        ),
        (
            |acme, _| canonical::sign(&certificate("acme", &[Fingerprint([1; 16])], None), acme).cose,
            |why| matches!(why, RejectReason::KeyNotNamed { .. }),
        ),
        (
            |acme, own| canonical::sign(&certificate("acme", &[own], Some("2020-01-05")), acme).cose,
            |why| matches!(why, RejectReason::ProofEnded { .. }),
        ),
        (
            |acme, own| {
                let mut bytes = good(acme, own);
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                bytes
            },
            |why| matches!(why, RejectReason::BadProof(_)),
        ),
    ];
    for (n, (show, expected)) in cases.into_iter().enumerate() {
        let mut lan = world(&[show]);
        lan.run_for(3_000);
        assert!(!lan.connected(), "case {n}");
        let why = rejection(&lan);
        assert!(why.as_ref().is_some_and(expected), "case {n}: {why:?}");
        assert!(!why.unwrap().to_string().is_empty());
        assert!(lan.server().heard.len() <= 3, "case {n}: it is not asked over and over");

        let mut lan = world(&[show, good]);
        lan.run_until(1_000, Lan::connected);
        assert_eq!(lan.holder.server().unwrap().address, server_at(2), "case {n}");
    }
}

#[test]
fn a_certificate_that_ends_is_asked_for_again_when_the_session_is_renewed() {
    let mut lan = world(&[|acme, own| canonical::sign(&certificate("acme", &[own], Some("2023-11-15")), acme).cose]);
    // 2023-11-14T22:13:20Z.
    assert_eq!(lan.clock().wall.0 / 1_000, UnixMillis(1_700_000_001_000).0 / 1_000);
    lan.run_until(1_000, Lan::connected);
    lan.run_for(48 * 3_600_000);
    let why = rejection(&lan);
    assert!(matches!(why, Some(RejectReason::ProofEnded { .. })), "{why:?}");
}

#[test]
fn a_server_that_falls_silent_before_its_proof_is_given_up() {
    let mut lan = world(&[good]);
    lan.run_until(1_000, |lan| lan.count(|e| matches!(e, HolderEvent::Offered { .. })) == 1);
    lan.tamper = |bytes| if bytes[1] & 15 == 7 { Vec::new() } else { vec![bytes] };
    lan.run_for(15_000);
    assert_eq!(rejection(&lan), Some(RejectReason::NoAnswer));
    lan.tamper = |bytes| vec![bytes];
    lan.run_until(15_000, Lan::connected);
}

#[test]
fn a_pinned_address_with_another_key_is_refused_and_named() {
    let mut lan = Lan::new(3, config());
    lan.servers.push((server_at(1), TestServer::new(1)));
    let expected = Fingerprint([9; 16]);
    lan.connect(Target::Discover { to: vec![server_at(1)], broadcast: false, pins: vec![(server_at(1), expected)] });
    lan.run_for(5_000);
    let found = lan.key(0).fingerprint();
    assert_eq!(rejection(&lan), Some(RejectReason::WrongKey { expected, found }));
    assert!(!lan.connected());
    lan.connect(Target::Discover { to: vec![server_at(1)], broadcast: false, pins: vec![(server_at(1), found)] });
    lan.run_for(40_000);
    assert!(lan.connected());
}

#[test]
fn a_crowd_of_rogue_offers_costs_eight_handshakes_and_the_pinned_server_is_tried_all_the_same() {
    let mut lan = Lan::new(4, config());
    lan.servers.push((server_at(200), TestServer::new(1)));
    let (pin, realm) = (lan.key(0).fingerprint(), lan.servers[0].1.realm);
    let mut rogue = TestServer::new(66);
    rogue.realm = realm;
    lan.servers[0].1.up = false;
    lan.connect(Target::Discover { to: vec![], broadcast: true, pins: vec![(server_at(200), pin)] });
    let question = lan.sent.last().unwrap().2.clone();
    let Packet::Discover(discover) = packet::read_to_server(&question).unwrap() else { panic!() };
    for n in 1..=50 {
        rogue.keys = leasehold_protocol::crypto::Keypair::generate(&mut seeded(1_000 + u64::from(n)));
        let offer = rogue.offer(discover);
        lan.inject(server_at(n), offer);
    }
    let hellos = |lan: &Lan| lan.sent.iter().filter(|(_, _, b)| b.len() == 168).count();
    assert_eq!(hellos(&lan), 8);
    lan.servers[0].1.up = true;
    let offer = lan.servers[0].1.offer(discover);
    lan.inject(server_at(200), offer);
    lan.run_until(1_000, Lan::connected);
    assert_eq!(lan.holder.server().unwrap().key.fingerprint(), pin);
}

#[test]
fn the_realm_asked_for_is_the_publishers_unless_another_is_stated() {
    let (acme, other) = (publisher("acme", 1).public(), publisher("other", 2).public());
    let with = |keys| HolderConfig { publisher_keys: keys, ..config() };
    assert_eq!(with(vec![acme.clone()]).wanted_realm(), acme.realm());
    assert_eq!(with(vec![acme.clone(), other]).wanted_realm(), RealmId::ANY);
    assert_eq!(with(vec![]).wanted_realm(), RealmId::ANY);
    assert_eq!(HolderConfig { realm: RealmId(5), ..with(vec![acme]) }.wanted_realm(), RealmId(5));
}
