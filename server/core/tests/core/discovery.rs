//! Is there a server? (W-5, SPEC 6.)

use std::net::SocketAddr;

use leasehold_core::{Path, ServerConfig, Transmit};
use leasehold_protocol::{
    crypto::{SiteKey, mac::MacKey},
    packet::{self, Discover, Packet, PacketType, Prefix},
    vocab::RealmId,
};
use zerocopy::IntoBytes;

use crate::rig::{Lot, Site};

fn discover(realm: RealmId, key: &SiteKey, nonce: u8) -> Discover {
    let mut discover = Discover {
        prefix: Prefix::of(PacketType::Discover),
        realm: realm.0.into(),
        nonce: [nonce; 8],
        versions: 0b10.into(),
        zero: [0; 6],
        mac: [0; 16],
        padding: [0; 152],
    };
    discover.mac = MacKey::discovery(key).of(&discover.as_bytes()[..24]);
    discover
}

fn from() -> SocketAddr {
    "10.0.0.1:40000".parse().unwrap()
}

fn broadcast(from: SocketAddr, on_link: bool) -> Path {
    Path { from, local: None, on_link, broadcast: true }
}

fn assert_offer(site: &Site, said: &[(Transmit, Vec<u8>)], nonce: u8) {
    let [(to, datagram)] = said else { panic!("one OFFER, not {said:?}") };
    assert!(datagram.len() <= 192);
    let Ok(Packet::Offer(offer)) = packet::read_to_client(datagram) else { panic!("not an OFFER") };
    assert_eq!((to.to, offer.head.nonce_echo, offer.head.port.get()), (from(), [nonce; 8], 5097));
    assert_eq!((offer.head.realm.get(), offer.head.server_key), (site.realm().0, site.keys.public().0));
    assert!(MacKey::discovery(&site.key).verify(&datagram[..datagram.len() - 16], offer.mac));
}

#[test]
fn a_question_to_this_very_server_is_answered_at_once_from_anywhere() {
    let mut site = Site::new();
    for realm in [site.realm(), RealmId::ANY] {
        let said = site
            .feed_over(Path { on_link: false, ..Path::unicast(from()) }, discover(realm, &SiteKey::OPEN, 7).as_bytes());
        assert_offer(&site, &said, 7);
    }
    assert_eq!(site.counter("offers_sent"), 2);
}

#[test]
fn a_broadcast_is_answered_within_50_ms_and_to_neighbours_only() {
    let mut site = Site::new();
    let mut waits = std::collections::BTreeSet::new();
    for nonce in 0..40 {
        let question = discover(RealmId::ANY, &SiteKey::OPEN, nonce);
        let said = site.feed_over(broadcast(from(), true), question.as_bytes());
        let asked = site.now.mono;
        let (said, wait_ms) = match site.engine.poll_timeout() {
            Some(at) => {
                let wait_ms = at.ms_since(asked);
                (site.advance(wait_ms), wait_ms)
            }
            None => (said, 0),
        };
        assert_offer(&site, &said, nonce);
        waits.insert(wait_ms);
        site.advance(1000);
    }
    assert!(waits.len() > 10 && *waits.last().unwrap() <= 50, "{waits:?}");
    let said = site.feed_over(broadcast(from(), false), discover(RealmId::ANY, &SiteKey::OPEN, 1).as_bytes());
    assert!(said.is_empty() && site.engine.poll_timeout().is_none());
    assert_eq!(site.counter("drop_off_link"), 1);
}

#[test]
fn unicast_from_beyond_our_networks_can_be_switched_off() {
    let config = ServerConfig { discover_unicast_off_link: false, ..ServerConfig::default() };
    let mut site = Site::with(config, SiteKey::OPEN);
    let question = discover(RealmId::ANY, &SiteKey::OPEN, 1);
    assert!(site.feed_over(Path { on_link: false, ..Path::unicast(from()) }, question.as_bytes()).is_empty());
    assert_eq!(site.feed(from(), question.as_bytes()).len(), 1);
}

#[test]
fn a_closed_site_answers_those_who_know_its_key() {
    let mut site = Site::with(ServerConfig::default(), SiteKey([9; 32]));
    for wrong in [SiteKey::OPEN, SiteKey([8; 32])] {
        assert!(site.feed(from(), discover(RealmId::ANY, &wrong, 1).as_bytes()).is_empty());
    }
    assert_eq!(site.counter("drop_bad_mac"), 2);
    let said = site.feed(from(), discover(RealmId::ANY, &SiteKey([9; 32]), 1).as_bytes());
    assert_offer(&site, &said, 1);
}

#[test]
fn another_realm_another_version_or_a_service_port_is_not_answered() {
    let mut site = Site::new();
    let question = discover(RealmId(5), &SiteKey::OPEN, 1);
    assert!(site.feed(from(), question.as_bytes()).is_empty());
    let mut future = discover(RealmId::ANY, &SiteKey::OPEN, 1);
    future.versions = 0b100.into();
    future.mac = MacKey::discovery(&SiteKey::OPEN).of(&future.as_bytes()[..24]);
    assert!(site.feed(from(), future.as_bytes()).is_empty());
    for port in [0, 7, 53, 123, 1023, 1900, 11_211] {
        let question = discover(RealmId::ANY, &SiteKey::OPEN, 1);
        assert!(site.feed(SocketAddr::from(([10, 0, 0, 1], port)), question.as_bytes()).is_empty(), "{port}");
    }
    let counted = ["drop_unknown_realm", "drop_unspoken_version", "drop_service_port"].map(|name| site.counter(name));
    assert_eq!(counted, [1, 1, 7]);
}

#[test]
fn questions_are_held_to_their_rate_and_to_their_network() {
    let mut site = Site::new();
    let mut answered = [0; 8];
    for (net, count) in answered.iter_mut().enumerate() {
        for n in 0..100 {
            let from = SocketAddr::from(([10, 5, u8::try_from(net).unwrap(), n], 40_000));
            *count += site.feed(from, discover(RealmId::ANY, &SiteKey::OPEN, n).as_bytes()).len();
        }
    }
    assert_eq!(answered, [50, 50, 50, 50, 0, 0, 0, 0]);
    // This very machine is held to the rate of all, not to that of a network.
    site.advance(1000);
    let local = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let count =
        (0..250).filter(|n| !site.feed(local, discover(RealmId::ANY, &SiteKey::OPEN, *n).as_bytes()).is_empty());
    assert_eq!(count.count(), 200);
}

#[test]
fn a_server_that_goes_away_does_not_offer_itself_and_a_full_one_says_how_full_it_is() {
    let mut site = Site::with(ServerConfig { leases_max: 4, ..ServerConfig::default() }, SiteKey::OPEN);
    site.load(&[Lot::of("A", 9)]);
    let question = discover(RealmId::ANY, &SiteKey::OPEN, 1);
    let weight = |site: &mut Site| {
        let said = site.feed(from(), question.as_bytes());
        match packet::read_to_client(&said[0].1) {
            Ok(Packet::Offer(offer)) => offer.head.weight.get(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(weight(&mut site), 65_535);
    let mut client = crate::rig::Client::connected(1, &mut site);
    client.request(&mut site, "A", 1).unwrap();
    assert_eq!(weight(&mut site), 49_151);
    site.shared.begin_drain();
    assert!(site.feed(from(), question.as_bytes()).is_empty());
}
