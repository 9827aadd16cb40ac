//! The faults a simulator plants do what they say: else its checks would prove nothing.

use leasehold_core::{Event, Fault};
use leasehold_protocol::{
    message::{ClientFrame, FeatureQuery, ReleaseOutcome},
    vocab::OperationId,
};

use crate::{
    rig::{Client, Lot, Site},
    walks::Walk,
};

fn site_with(fault: Fault) -> (Site, Client) {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2), Lot::of("B", 2), Lot::of("C_WITH_A_LONG_NAME", 2)]);
    let client = Client::connected(1, &mut site);
    site.shared.plant(fault);
    (site, client)
}

#[test]
fn a_replayed_datagram_is_taken_again() {
    let (mut site, mut client) = site_with(Fault::ReplayAcceptedTwice);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let frame = client.renew_frame(grant.lease, grant.claim);
    let datagram = client.seal(&[frame], 0);
    assert_eq!((site.feed(client.from, &datagram).len(), site.feed(client.from, &datagram).len()), (1, 1));
}

#[test]
fn a_lease_ends_one_ttl_early() {
    let (mut site, mut client) = site_with(Fault::ExpiryOneTtlEarly);
    let grant = client.request(&mut site, "A", 1).unwrap();
    assert_eq!(grant.ttl_ms, 295_000, "its holder is told the whole TTL");
    site.advance(1);
    assert!(matches!(site.events.last(), Some(Event::Expired(_))));
}

#[test]
fn an_unproved_address_gets_more_than_it_sent() {
    let (mut site, mut client) = site_with(Fault::AmplificationUnchecked);
    client.request(&mut site, "A", 1).unwrap();
    client.from = "192.0.2.1:1".parse().unwrap();
    let query = ClientFrame::FeatureQuery(FeatureQuery { operation: OperationId(1), only: None, after: None });
    let datagram = client.seal(&[query], 0);
    site.feed(client.from, &datagram);
    let (received, sent) = site.traffic[&client.from];
    assert!(sent > received);
}

#[test]
fn a_stranger_releases_what_is_not_his() {
    let (mut site, mut client) = site_with(Fault::ForeignRelease);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let mut thief = Client::connected(2, &mut site);
    assert_eq!(thief.release(&mut site, grant.lease, grant.claim), ReleaseOutcome::Freed);
}

#[test]
fn a_claim_is_granted_twice_and_a_released_one_again() {
    let (mut site, mut client) = site_with(Fault::ClaimGrantedTwice);
    let grant = client.request(&mut site, "A", 1).unwrap();
    assert_ne!(client.request_as(&mut site, grant.claim, "A", 1).unwrap().lease, grant.lease);
    site.shared.plant(Fault::TombstonesForgotten);
    let grant = client.request(&mut site, "B", 1).unwrap();
    client.release(&mut site, grant.lease, grant.claim);
    client.request_as(&mut site, grant.claim, "B", 1).unwrap();
}

#[test]
fn one_seat_too_many_goes_out() {
    let (mut site, mut client) = site_with(Fault::OneSeatTooMany);
    for _ in 0..3 {
        client.request(&mut site, "A", 1).unwrap();
    }
    assert_eq!((site.feature("A").used, site.feature("A").count), (3, Some(2)));
    assert!(client.request(&mut site, "A", 1).is_err());
}

#[test]
#[should_panic = "a seat too many"]
fn a_random_day_with_one_seat_too_many_is_noticed() {
    let mut walk = Walk::new(1);
    walk.site.shared.plant(Fault::OneSeatTooMany);
    (0..400).for_each(|_| walk.step());
}
