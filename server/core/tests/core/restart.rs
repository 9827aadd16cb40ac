//! A server that was killed remembers nothing: for one longest TTL only tickets count, so no seat is granted twice.

use leasehold_core::{Event, ServerConfig};
use leasehold_protocol::{message::Grant, time::Mono, vocab::Denial};

use crate::rig::{Client, Lot, Site};

/// A server that granted 2 of its 3 seats, was killed, and is blind for 10 s.
fn killed() -> (Site, Client, Grant) {
    let mut site = Site::new();
    let lots = [Lot::of("A", 3).ttl_s(10), Lot::of("B", 3).ttl_s(10)];
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 2).unwrap();
    let blind_until = Some(Mono(site.now.mono.0 + 10_000));
    site.restart(ServerConfig { boot_id: 2, blind_until, ..ServerConfig::default() });
    site.load(&lots);
    (site, client, grant)
}

#[test]
fn a_ticket_brings_the_lease_back_under_its_claim_key() {
    let (mut site, mut client, grant) = killed();
    client.connect(&mut site);
    assert_eq!(client.renew(&mut site, grant.lease, grant.claim).unwrap_err().code, Denial::NO_SUCH_LEASE);
    let mut request = client.request_frame(grant.claim, "A", 2);
    request.ticket = Some(grant.ticket);
    let again = client.send_request(&mut site, &request).unwrap();
    assert_eq!(again.seats, grant.seats);
    // Twice is once.
    assert_eq!(client.send_request(&mut site, &request).unwrap().lease, again.lease);
    assert_eq!((site.feature("A").used, site.counter("grants_by_ticket"), site.counter("grants")), (2, 1, 1));
    assert!(site.events.iter().any(|event| matches!(event, Event::Granted(granted) if granted.by_ticket)));
}

#[test]
fn without_a_ticket_nothing_is_granted_until_everybody_had_the_time_to_come_back() {
    let (mut site, ..) = killed();
    let mut stranger = Client::connected(2, &mut site);
    site.advance(4_000);
    let deny = stranger.request(&mut site, "A", 1).unwrap_err();
    assert_eq!((deny.code, deny.retry_after_ms), (Denial::RESTARTING, Some(6_000)));
    assert!(deny.sentence.contains("6 s to come back"), "{}", deny.sentence);
    site.advance(5_999);
    assert_eq!(stranger.request(&mut site, "A", 1).unwrap_err().code, Denial::RESTARTING);
    site.advance(1);
    stranger.request(&mut site, "A", 3).unwrap();
}

#[test]
fn a_ticket_is_good_for_its_own_client_claim_feature_and_seats_alone() {
    let (mut site, mut client, grant) = killed();
    let mut thief = Client::connected(2, &mut site);
    client.connect(&mut site);
    let mut refused = |who: &mut Client, claim, feature: &str, seats, ticket| {
        let mut request = who.request_frame(claim, feature, seats);
        request.ticket = Some(ticket);
        assert_eq!(who.send_request(&mut site, &request).unwrap_err().code, Denial::RESTARTING);
    };
    refused(&mut thief, grant.claim, "A", 2, grant.ticket);
    let other_claim = client.claim();
    refused(&mut client, other_claim, "A", 2, grant.ticket);
    refused(&mut client, grant.claim, "B", 2, grant.ticket);
    refused(&mut client, grant.claim, "A", 3, grant.ticket);
    let mut forged = grant.ticket;
    forged.0[50] ^= 1;
    refused(&mut client, grant.claim, "A", 2, forged);
}

#[test]
fn a_ticket_of_another_cluster_counts_for_nothing() {
    let (mut site, mut client, grant) = killed();
    site.restart(ServerConfig { cluster_id: 99, blind_until: Some(Mono(u64::MAX)), ..ServerConfig::default() });
    site.load(&[Lot::of("A", 3)]);
    client.connect(&mut site);
    let mut request = client.request_frame(grant.claim, "A", 2);
    request.ticket = Some(grant.ticket);
    assert_eq!(client.send_request(&mut site, &request).unwrap_err().code, Denial::RESTARTING);
}

#[test]
fn tickets_never_bring_back_more_seats_than_there_are() {
    let (mut site, mut client, grant) = killed();
    site.load(&[Lot::of("A", 1).ttl_s(10)]);
    client.connect(&mut site);
    let mut request = client.request_frame(grant.claim, "A", 2);
    request.ticket = Some(grant.ticket);
    assert_eq!(client.send_request(&mut site, &request).unwrap_err().code, Denial::TOO_MANY_SEATS);
}
