//! Handshakes and sessions (SPEC 3): who is believed, for how long, and how much room they take.

use leasehold_core::{Event, ServerConfig, SessionEnd};
use leasehold_protocol::{
    crypto::SiteKey,
    message::{ClientFrame, ClientGoodbye, ServerFrame},
    vocab::Denial,
};
use zerocopy::IntoBytes;

use crate::rig::{Client, Lot, Site, finish};

const HOUR_MS: u64 = 3_600_000;

#[test]
fn no_address_gets_past_the_cookie_without_hearing_it() {
    let mut site = Site::new();
    let mut client = Client::new(1);
    let (_, hello) = client.hello1_with_cookie(&mut site);
    // The cookie of one address, shown from another: another RETRY, and no key is touched.
    let said = site.feed("10.0.0.2:40000".parse().unwrap(), hello.as_bytes());
    assert_eq!((said.len(), said[0].1.len()), (1, 56));
    assert_eq!(site.feed(client.from, hello.as_bytes())[0].1.len(), 112);
    assert_eq!((site.counter("retries_sent"), site.counter("handshakes")), (2, 1));
}

#[test]
fn a_cookie_is_good_for_two_minutes_at_least_and_four_at_most() {
    let mut site = Site::new();
    let mut client = Client::new(1);
    let (_, hello) = client.hello1_with_cookie(&mut site);
    site.advance(119_999);
    assert_eq!(site.feed(client.from, hello.as_bytes())[0].1.len(), 112);
    site.advance(240_000);
    assert_eq!(site.feed(client.from, hello.as_bytes())[0].1.len(), 56);
}

#[test]
fn the_old_session_works_until_the_first_data_of_the_new_one() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let new = client.handshake(&mut site);
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    let old = client.session.replace(new).unwrap();
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    assert_eq!(site.shared.live_sessions(), 1);
    assert!(site.events.iter().any(|event| matches!(event, Event::SessionOpened { replaced: true, .. })));
    // The old one is gone: silence.
    client.session = Some(old);
    let frame = client.renew_frame(grant.lease, grant.claim);
    let datagram = client.seal(&[frame], 0);
    assert!(site.feed(client.from, &datagram).is_empty());
    assert_eq!(site.counter("drop_unknown_session"), 1);
}

#[test]
fn two_programs_with_one_device_key_have_a_session_each() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2)]);
    let mut one = Client::connected(1, &mut site);
    let grant = one.request(&mut site, "A", 1).unwrap();
    let mut two = one.moved_to("10.0.0.1:40001".parse().unwrap());
    two.instance = [7; 8];
    two.connect(&mut site);
    two.request(&mut site, "A", 1).unwrap();
    one.renew(&mut site, grant.lease, grant.claim).unwrap();
    assert_eq!(site.shared.live_sessions(), 2);
}

#[test]
fn a_lease_outlives_its_session_and_goes_on_under_the_next() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    assert!(client.ask(&mut site, &[ClientFrame::Goodbye(ClientGoodbye)]).is_empty());
    assert_eq!((site.shared.live_sessions(), site.shared.live_leases()), (0, 1));
    client.connect(&mut site);
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    let closed = |event: &Event| matches!(event, Event::SessionClosed { why: SessionEnd::Goodbye, .. });
    assert!(site.events.iter().any(closed));
}

#[test]
fn a_datagram_is_taken_once_and_late_ones_are_taken_too() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let frames: Vec<_> = (0..300).map(|_| client.renew_frame(grant.lease, grant.claim)).collect();
    let datagrams: Vec<_> = frames.iter().map(|frame| client.seal(std::slice::from_ref(frame), 0)).collect();
    let answered = |site: &mut Site, n: usize| site.feed(client.from, &datagrams[n]).len();
    assert_eq!(answered(&mut site, 299), 1);
    assert_eq!(answered(&mut site, 299), 0, "replayed");
    assert_eq!(answered(&mut site, 100), 1, "reordered");
    assert_eq!(answered(&mut site, 100), 0, "replayed");
    assert_eq!(answered(&mut site, 10), 0, "too old to tell");
    assert_eq!(site.counter("drop_replayed"), 3);
}

#[test]
fn a_forged_datagram_moves_nothing() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let frame = client.renew_frame(grant.lease, grant.claim);
    let datagram = client.seal(&[frame], 0);
    for byte in 0..datagram.len() {
        let mut forged = datagram.clone();
        forged[byte] ^= 0x10;
        assert!(site.feed("10.9.9.9:9999".parse().unwrap(), &forged).is_empty(), "byte {byte}");
    }
    assert_eq!(site.feed(client.from, &datagram).len(), 1, "the true one is still new, and the path where it was");
    assert_eq!(site.counter("paths_changed"), 0);
}

#[test]
fn a_forged_counter_beyond_all_limits_ends_no_session() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let frame = client.renew_frame(grant.lease, grant.claim);
    let datagram = client.seal(std::slice::from_ref(&frame), 0);
    for counter in [1u64 << 32, (1 << 32) + 1, u64::MAX - 1, u64::MAX] {
        let mut forged = datagram.clone();
        forged[8..16].copy_from_slice(&counter.to_le_bytes());
        assert!(site.feed(client.from, &forged).is_empty());
    }
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
}

#[test]
fn whether_the_clocks_parted_is_seen_by_the_machines_own_calendar() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2)]);
    let mut client = Client::connected(1, &mut site);
    let ahead = i64::try_from(site.now.wall.0).unwrap() - i64::try_from(site.now.mono.0).unwrap();
    let told = |event: &Event| matches!(event, Event::SessionOpened { clock_ahead_ms, .. } if *clock_ahead_ms == ahead);
    let grant = client.request(&mut site, "A", 1).unwrap();
    assert!(site.events.iter().any(told), "{:?}", site.events);
    // An administrator confirmed: effective time moved, and the calendar did not.
    site.now.wall.0 += 10_000;
    site.engine.note_raw(-10_000);
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    assert_eq!(site.counter("clock_steps"), 0);
    // The calendar was set back, and effective time ran on.
    site.engine.note_raw(-12_001);
    let frame = client.renew_frame(grant.lease, grant.claim);
    let datagram = client.seal(&[frame], 0);
    assert!(site.feed(client.from, &datagram).is_empty());
    assert!(site.events.contains(&Event::ClocksParted { by_ms: -2_001, sessions: 1 }));
    assert_eq!(site.shared.live_leases(), 1);
}

#[test]
fn clocks_that_part_end_every_session_and_no_lease() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    // A leap second and a little slewing are nothing.
    for _ in 0..10 {
        site.now.wall.0 += 1_000;
        client.renew(&mut site, grant.lease, grant.claim).unwrap();
    }
    site.now.wall.0 -= 2_001;
    let frame = client.renew_frame(grant.lease, grant.claim);
    let datagram = client.seal(&[frame], 0);
    assert!(site.feed(client.from, &datagram).is_empty());
    assert!(site.events.contains(&Event::ClocksParted { by_ms: -2_001, sessions: 1 }));
    assert_eq!((site.shared.live_sessions(), site.shared.live_leases(), site.counter("clock_steps")), (0, 1, 1));
    client.connect(&mut site);
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    // Another worker that looks now finds it noted.
    let mut other = site.worker(9);
    other.handle_timeout(site.now);
    assert_eq!(site.shared.live_sessions(), 1);
}

#[test]
fn a_session_ends_at_24_hours() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).ttl_s(86_400)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    site.advance(24 * HOUR_MS - 1);
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    site.advance(1);
    let frame = client.renew_frame(grant.lease, grant.claim);
    let datagram = client.seal(&[frame], 0);
    assert!(site.feed(client.from, &datagram).is_empty());
    assert_eq!((site.counter("drop_too_old"), site.shared.live_sessions()), (1, 0));
    client.connect(&mut site);
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
}

#[test]
fn sessions_nobody_speaks_under_any_more_are_cleared_away_by_later_handshakes() {
    let mut site = Site::new();
    for n in 0..50 {
        let mut client = Client::connected(n, &mut site);
        client.ask(&mut site, &[ClientFrame::PathResponse(leasehold_protocol::message::PathToken([0; 8]))]);
    }
    assert_eq!(site.shared.live_sessions(), 50);
    site.advance(25 * HOUR_MS);
    for n in 60..90 {
        Client::new(n).handshake(&mut site);
    }
    assert_eq!(site.shared.live_sessions(), 0);
}

#[test]
fn half_open_sessions_are_bounded_and_the_oldest_makes_room() {
    let config = ServerConfig { half_open_max: 4, ..ServerConfig::default() };
    let mut site = Site::with(config, SiteKey::OPEN);
    site.load(&[Lot::of("A", 9)]);
    let mut clients: Vec<_> = (1..=6).map(Client::new).collect();
    for client in &mut clients {
        client.connect(&mut site);
    }
    let datagrams: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let claim = client.claim();
            let request = client.request_frame(claim, "A", 1);
            client.seal(&[ClientFrame::Request(Box::new(request))], 512)
        })
        .collect();
    let answered: Vec<_> =
        clients.iter().zip(&datagrams).map(|(client, datagram)| site.feed(client.from, datagram).len()).collect();
    assert_eq!(answered, [0, 0, 1, 1, 1, 1]);
}

#[test]
fn a_full_table_gives_the_place_of_the_longest_silent_session_and_never_that_of_a_busy_one() {
    let config = ServerConfig { sessions_max: 3, ..ServerConfig::default() };
    let mut site = Site::with(config, SiteKey::OPEN);
    site.load(&[Lot::of("A", 9)]);
    for n in 1..=3 {
        Client::connected(n, &mut site).request(&mut site, "A", 1).unwrap();
        site.advance(10_000);
    }
    let mut late = Client::connected(4, &mut site);
    let claim = late.claim();
    let request = late.request_frame(claim, "A", 1);
    let datagram = late.seal(&[ClientFrame::Request(Box::new(request))], 512);
    assert!(site.feed(late.from, &datagram).is_empty());
    assert_eq!((site.counter("drop_sessions_full"), site.shared.live_sessions()), (1, 3));
    site.advance(40_000);
    let mut later = Client::connected(5, &mut site);
    later.request(&mut site, "A", 1).unwrap();
    assert_eq!(site.shared.live_sessions(), 3);
    let closed = site.events.iter().filter_map(|event| match event {
        Event::SessionClosed { client, why: SessionEnd::Reclaimed, .. } => Some(*client),
        _ => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [Client::new(1).keys.public().fingerprint()]);
}

#[test]
fn the_same_hello1_again_gets_the_same_hello2_and_makes_no_second_session() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 9)]);
    let mut client = Client::new(1);
    let (initiator, hello) = client.hello1_with_cookie(&mut site);
    let first = site.feed(client.from, hello.as_bytes());
    for _ in 0..3 {
        assert_eq!(site.feed(client.from, hello.as_bytes())[0].1, first[0].1);
    }
    assert_eq!((site.counter("handshakes"), site.counter("handshakes_repeated")), (1, 3));
    client.session = Some(finish(initiator, &first[0].1));
    client.request(&mut site, "A", 1).unwrap();
    assert_eq!(site.shared.live_sessions(), 1);
    // Its session has spoken: a copy that comes now, from whoever overheard it, is a handshake of its own.
    assert_ne!(site.feed(client.from, hello.as_bytes())[0].1, first[0].1);
    client.request(&mut site, "A", 1).unwrap();
    assert_eq!(site.shared.live_sessions(), 1);
}

#[test]
fn a_flood_of_handshakes_is_held_to_its_rate_and_to_its_network() {
    let config = ServerConfig { handshakes_per_second: 20, handshakes_per_prefix: 8, ..ServerConfig::default() };
    let mut site = Site::with(config, SiteKey::OPEN);
    let mut answered = std::collections::BTreeMap::<u8, usize>::new();
    for net in 0..4u8 {
        for n in 0..20u8 {
            let mut client = Client::new(n);
            client.from.set_ip([10, 7, net, n].into());
            client.entropy.0 += u64::from(net) << 32;
            let (_, hello) = client.hello1_with_cookie(&mut site);
            *answered.entry(net).or_default() += site.feed(client.from, hello.as_bytes()).len();
        }
    }
    assert_eq!(answered.into_values().collect::<Vec<_>>(), [8, 8, 4, 0]);
    assert_eq!(site.counter("drop_rate_limited"), 60);
}

#[test]
fn a_spoofed_flood_of_handshakes_costs_no_memory() {
    let mut site = Site::new();
    let mut client = Client::new(1);
    let (_, hello) = client.hello1(&site);
    for n in 0..20_000u32 {
        let from = std::net::SocketAddr::from((n.to_be_bytes(), 1024 + u16::try_from(n % 60_000).unwrap()));
        let said = site.feed(from, hello.as_bytes());
        assert!(said.len() == 1 && said[0].1.len() == 56);
    }
    assert_eq!((site.counter("retries_sent"), site.counter("handshakes"), site.shared.live_sessions()), (20_000, 0, 0));
}

#[test]
fn going_away_is_told_to_every_proved_address_once() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 9)]);
    let mut one = Client::connected(1, &mut site);
    one.request(&mut site, "A", 1).unwrap();
    let mut moved = Client::connected(2, &mut site);
    moved.request(&mut site, "A", 1).unwrap();
    moved.from.set_port(50_000);
    let claim = moved.claim();
    let request = moved.request_frame(claim, "A", 1);
    let datagram = moved.seal(&[ClientFrame::Request(Box::new(request))], 512);
    site.feed(moved.from, &datagram);
    // One that has not proved itself is told nothing.
    Client::new(3).handshake(&mut site);
    site.shared.begin_drain();
    site.engine.begin_goodbye(site.now);
    let said = site.drain();
    assert!(matches!(&one.open(&said)[..], [ServerFrame::Goodbye(goodbye)] if goodbye.code == Denial::SHUTTING_DOWN));
    let mut other = site.worker(5);
    other.begin_goodbye(site.now);
    assert_eq!(other.poll_transmit(&mut vec![]), None);
}
