//! The claim key is the lease's identity: the same key again is the same lease and the same seats.

use leasehold_core::Event;
use leasehold_protocol::{
    message::{ClientFrame, Release, ReleaseOutcome, ServerFrame},
    vocab::{Denial, LeaseId},
};

use crate::rig::{Client, Lot, Site};

#[test]
fn the_same_claim_a_hundred_times_from_ten_addresses_across_a_session_change_is_one_lease() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    let claim = client.claim();
    let mut leases = std::collections::BTreeSet::new();
    for n in 0..100u8 {
        if n == 50 {
            // A new session of the same program: the old one is replaced.
            client.connect(&mut site);
        }
        client.from.set_ip([10, 1, n % 10, 1].into());
        // A moved client is answered within what it sent, which a padded request allows for.
        let request = client.request_frame(claim, "A", 2);
        let datagram = client.seal(&[ClientFrame::Request(Box::new(request))], 512);
        for frame in client.open(&site.feed(client.from, &datagram)) {
            match frame {
                ServerFrame::Grant(grant) => drop(leases.insert(grant.lease)),
                ServerFrame::PathChallenge(_) => {}
                other => panic!("{other:?}"),
            }
        }
        site.advance(1000);
    }
    assert_eq!(leases.len(), 1);
    assert_eq!((site.feature("A").used, site.shared.live_leases(), site.shared.live_sessions()), (2, 1, 1));
    assert_eq!((site.counter("grants"), site.counter("grants_repeated")), (1, 99));
}

#[test]
fn a_retried_request_gets_the_same_lease_and_a_later_deadline() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5).ttl_s(10)]);
    let mut client = Client::connected(1, &mut site);
    let claim = client.claim();
    let request = client.request_frame(claim, "A", 1);
    let first = client.send_request(&mut site, &request).unwrap();
    site.advance(9_000);
    let second = client.send_request(&mut site, &request).unwrap();
    assert_eq!((second.lease, second.lots.clone()), (first.lease, first.lots));
    assert_eq!(site.shared.leases(site.now)[0].remaining_ms, 10_000);
}

#[test]
fn a_claim_that_lives_is_not_used_for_something_else() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5), Lot::of("B", 5)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 2).unwrap();
    for (feature, seats) in [("B", 2), ("A", 3)] {
        let deny = client.request_as(&mut site, grant.claim, feature, seats).unwrap_err();
        assert_eq!(deny.code, Denial::BAD_REQUEST);
        assert!(deny.sentence.contains("stands for 2 seats of A 4.8"), "{}", deny.sentence);
    }
    assert_eq!((site.feature("A").used, site.feature("B").used), (2, 0));
}

#[test]
fn a_claim_of_another_client_is_neither_granted_nor_renewed_nor_released() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let (mut owner, mut thief) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
    let grant = owner.request(&mut site, "A", 1).unwrap();
    assert_eq!(thief.request_as(&mut site, grant.claim, "A", 1).unwrap_err().code, Denial::NOT_YOURS);
    assert_eq!(thief.renew(&mut site, grant.lease, grant.claim).unwrap_err().code, Denial::NOT_YOURS);
    assert_eq!(thief.release(&mut site, grant.lease, grant.claim), ReleaseOutcome::NotHeld);
    assert_eq!(site.feature("A").used, 1);
    owner.renew(&mut site, grant.lease, grant.claim).unwrap();
    owner.request_as(&mut site, grant.claim, "A", 1).unwrap();
}

#[test]
fn a_claim_that_ran_out_is_free_for_its_owner_and_dies_with_nobody() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).ttl_s(2)]);
    let mut client = Client::connected(1, &mut site);
    let first = client.request(&mut site, "A", 1).unwrap();
    site.advance(2000);
    let second = client.request_as(&mut site, first.claim, "A", 1).unwrap();
    assert_ne!(second.lease, first.lease);
    assert_eq!(client.renew(&mut site, first.lease, first.claim).unwrap_err().code, Denial::NO_SUCH_LEASE);
    client.renew(&mut site, second.lease, second.claim).unwrap();
}

#[test]
fn a_renewal_with_a_wrong_claim_feeds_nobody() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let wrong = client.claim();
    site.advance(1000);
    assert_eq!(client.renew(&mut site, grant.lease, wrong).unwrap_err().code, Denial::NO_SUCH_LEASE);
    assert_eq!(site.shared.leases(site.now)[0].remaining_ms, 299_000);
}

#[test]
fn a_request_that_arrives_after_its_release_brings_nothing_back() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let claim = grant.claim;
    let late = client.request_frame(claim, "A", 1);
    assert_eq!(client.release(&mut site, grant.lease, claim), ReleaseOutcome::Freed);
    for wait_ms in [0, 59_000, 500_000] {
        site.advance(wait_ms);
        let deny = client.send_request(&mut site, &late).unwrap_err();
        assert_eq!((deny.code, deny.retry_after_ms), (Denial::RELEASED, None));
    }
    assert_eq!(site.feature("A").used, 0);
}

#[test]
fn a_release_that_overtakes_its_request_wins() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let claim = client.claim();
    assert_eq!(client.release(&mut site, LeaseId::NONE, claim), ReleaseOutcome::NotHeld);
    assert_eq!(client.request_as(&mut site, claim, "A", 1).unwrap_err().code, Denial::RELEASED);
}

#[test]
fn a_grant_that_was_never_seen_is_released_by_its_claim_key() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    assert_eq!(client.release(&mut site, LeaseId::NONE, grant.claim), ReleaseOutcome::Freed);
    assert_eq!(site.feature("A").used, 0);
}

#[test]
fn a_retried_release_gets_the_same_answer_and_another_one_finds_nothing() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let release = Release { lease: grant.lease, claim: grant.claim, operation: client.operation() };
    for _ in 0..3 {
        let answers = client.ask(&mut site, &[ClientFrame::Release(release)]);
        let [ServerFrame::Released(released)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(released.outcome, ReleaseOutcome::Freed);
    }
    assert_eq!(client.release(&mut site, grant.lease, grant.claim), ReleaseOutcome::NotHeld);
    let ends = site.events.iter().filter(|event| matches!(event, Event::Released(_))).count();
    assert_eq!(ends, 1);
}

#[test]
fn a_release_of_anything_at_all_is_answered() {
    let mut site = Site::new();
    let mut client = Client::connected(1, &mut site);
    for lease in [LeaseId::NONE, LeaseId::new(7, 9), LeaseId(u64::MAX)] {
        let claim = client.claim();
        assert_eq!(client.release(&mut site, lease, claim), ReleaseOutcome::NotHeld);
    }
}
