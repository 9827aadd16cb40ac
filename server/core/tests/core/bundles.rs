//! Several features at once, all of them or none, or those of another alternative (R-9, SPEC 5.21).

mod races;

use std::collections::BTreeSet;

use leasehold_core::{
    Event, ServerConfig,
    policy::{Group, Groups, Limit, Per, Policy, Reservation, Rules},
};
use leasehold_protocol::{
    crypto::SiteKey,
    licence::certificate::{Cost, ShareBy},
    message::{Bundle, ClientFrame, Grant, Release, ReleaseOutcome, ServerFrame, Wait},
    vocab::{Denial, FeatureName, SeatCount, Version},
};

use crate::rig::{Client, Lot, Site};

fn seats(grants: &[Grant]) -> Vec<u32> {
    grants.iter().map(|grant| grant.seats.get()).collect()
}

fn used(site: &Site, features: &[&str]) -> Vec<u32> {
    features.iter().map(|name| site.feature(name).used).collect()
}

fn limited(max: u32) -> Policy {
    let everyone = Group { everyone: true, ..Group::default() };
    let limit = Limit { id: "few".into(), max, per: Per::User, group: 0, exempt: None, features: None };
    Policy::new(Groups::new(vec![everyone], true).unwrap(), Rules { limits: vec![limit], ..Rules::default() })
}

#[test]
fn rr_15_all_features_of_a_bundle_are_had_or_none() {
    for policy in [Policy::default(), limited(9)] {
        let mut site = Site::new();
        site.load(&[Lot::of("A", 2), Lot::of("B", 1)]);
        site.shared.set_policy(policy);
        let (mut one, mut two) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
        let grants = one.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap();
        let leases: BTreeSet<_> = grants.iter().map(|grant| grant.lease).collect();
        assert_eq!((seats(&grants), leases.len(), used(&site, &["A", "B"])), (vec![1, 1], 2, vec![1, 1]));

        let deny = two.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap_err();
        assert_eq!((deny.code, used(&site, &["A", "B"])), (Denial::NO_SEAT, vec![1, 1]), "nothing of A was taken");
        assert!(
            deny.sentence.starts_with("nothing of the bundle was taken: ") && deny.sentence.contains(" B"),
            "{deny:?}"
        );
        assert!(deny.retry_after_ms.is_some());
        let Some(Event::Denied(denied)) = site.events.last() else { panic!() };
        assert_eq!(denied.feature, Some(FeatureName::new("B").unwrap()), "the one that is in the way");
        assert!(denied.looked.is_some());

        // Each is a lease of its own.
        assert!(one.renew(&mut site, grants[0].lease, grants[0].claim).is_ok());
        assert_eq!(one.release(&mut site, grants[1].lease, grants[1].claim), ReleaseOutcome::Freed);
        assert_eq!(seats(&two.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap()), [1, 1]);
        site.shared.check_ledger().unwrap();
    }
}

#[test]
fn r_9_the_first_alternative_that_can_be_had_whole_is_taken_and_no_other() {
    for policy in [Policy::default(), limited(9)] {
        let mut site = Site::new();
        site.load(&[Lot::of("SOLVER", 2), Lot::of("MESH", 1), Lot::of("SUITE", 1)]);
        site.shared.set_policy(policy);
        let mut ann = Client::connected(1, &mut site);
        let wanted: [&[(&str, u32, u32)]; 2] = [&[("SOLVER", 2, 2), ("MESH", 1, 1)], &[("SUITE", 1, 1)]];
        let all = ["SOLVER", "MESH", "SUITE"];
        assert_eq!(seats(&ann.bundle(&mut site, &wanted).unwrap()), [2, 1]);
        assert_eq!(used(&site, &all), [2, 1, 0]);
        let claim = ann.claim();
        let bundle = ann.bundle_frame(claim, &wanted);
        let suite = ann.send_bundle(&mut site, &bundle).unwrap();
        assert_eq!((seats(&suite), suite[0].claim), (vec![1], Bundle::claim_of(claim, 2)), "the third item");
        assert_eq!(used(&site, &all), [2, 1, 1]);
        let deny = ann.bundle(&mut site, &wanted).unwrap_err();
        assert_eq!(deny.code, Denial::NO_SEAT);
        assert!(deny.sentence.starts_with("none of 2 alternatives can be had; number 1: "), "{}", deny.sentence);
        assert_eq!(used(&site, &all), [2, 1, 1]);
    }
}

#[test]
fn r_2_a_bundle_that_is_asked_again_is_the_same_leases_whatever_has_come_free_since() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1), Lot::of("B", 1), Lot::of("C", 1)]);
    let (mut ann, mut bob) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
    let a = bob.request(&mut site, "A", 1).unwrap();
    let claim = ann.claim();
    let bundle = ann.bundle_frame(claim, &[&[("A", 1, 1), ("B", 1, 1)], &[("B", 1, 1), ("C", 1, 1)]]);
    let first = ann.send_bundle(&mut site, &bundle).unwrap();
    bob.release(&mut site, a.lease, a.claim);
    // The first alternative could be had by now; but the second is.
    let again = ann.send_bundle(&mut site, &bundle).unwrap();
    let ids = |grants: &[Grant]| grants.iter().map(|grant| (grant.lease, grant.claim)).collect::<Vec<_>>();
    assert_eq!((ids(&first), used(&site, &["A", "B", "C"])), (ids(&again), vec![0, 1, 1]));

    // One of its leases was lost on the way: it is had again, and the other stays.
    site.advance(200_000);
    ann.renew(&mut site, first[0].lease, first[0].claim).unwrap();
    site.advance(200_000);
    assert_eq!(used(&site, &["A", "B", "C"]), [0, 1, 0]);
    let again = ann.send_bundle(&mut site, &bundle).unwrap();
    assert!(again.iter().any(|grant| grant.lease == first[0].lease) && again.len() == 2);
    assert_eq!(used(&site, &["A", "B", "C"]), [0, 1, 1]);

    // Given up is given up, and another's claims are another's.
    let theirs = bob.bundle_frame(claim, &[&[("A", 1, 1)], &[("B", 1, 1)], &[("C", 1, 1)]]);
    let deny = bob.send_bundle(&mut site, &theirs).unwrap_err();
    assert_eq!((deny.code, used(&site, &["A"])), (Denial::NOT_YOURS, vec![0]));
    ann.release(&mut site, again[0].lease, again[0].claim);
    assert_eq!(ann.send_bundle(&mut site, &bundle).unwrap_err().code, Denial::RELEASED);
    site.shared.check_ledger().unwrap();
}

#[test]
fn rr_14_fewer_seats_will_do_where_that_is_said() {
    for policy in [Policy::default(), limited(9)] {
        let mut site = Site::new();
        site.load(&[Lot::of("A", 3), Lot::of("A", 2).serial("2"), Lot::of("B", 1)]);
        site.shared.set_policy(policy);
        let (mut ann, mut bob) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
        ann.request(&mut site, "A", 1).unwrap();
        let bundle = {
            let claim = bob.claim();
            bob.bundle_frame(claim, &[&[("A", 8, 2), ("B", 1, 1)]])
        };
        let grants = bob.send_bundle(&mut site, &bundle).unwrap();
        assert_eq!((seats(&grants), used(&site, &["A", "B"])), (vec![4, 1], vec![5, 1]), "over both lots");
        let again = bob.send_bundle(&mut site, &bundle).unwrap();
        assert_eq!((seats(&again), again[0].lease), (vec![4, 1], grants[0].lease));
        let deny = ann.bundle(&mut site, &[&[("A", 2, 1)]]).unwrap_err();
        assert_eq!(deny.code, Denial::NO_SEAT);
        let deny = ann.bundle(&mut site, &[&[("A", 9, 6)]]).unwrap_err();
        assert_eq!((deny.code, deny.retry_after_ms), (Denial::TOO_MANY_SEATS, None), "there are never six");
    }
    // As many as the limit allows.
    let mut site = Site::new();
    site.load(&[Lot::of("A", 20)]);
    site.shared.set_policy(limited(5));
    let mut ann = Client::connected(1, &mut site);
    assert_eq!(seats(&ann.bundle(&mut site, &[&[("A", 16, 1)]]).unwrap()), [5]);
    assert_eq!(ann.bundle(&mut site, &[&[("A", 16, 1)]]).unwrap_err().code, Denial::LIMIT_REACHED);
}

#[test]
fn a_bundle_of_a_wrong_form_says_what_is_wrong() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 9)]);
    let mut ann = Client::connected(1, &mut site);
    let many: Vec<(&str, u32, u32)> = ["A", "B", "C", "D", "E", "F", "G", "H", "I"].map(|name| (name, 1, 1)).to_vec();
    for (wrong, word) in [
        (&[][..], "at least one"),
        (&[&[][..]], "every alternative"),
        (&[&[("A", 1, 1), ("A", 2, 1)][..]], "once"),
        (&[&many[..]], "at most 8"),
        (&[&[("A", 1, 2)][..]], "not more than"),
    ] {
        let deny = ann.bundle(&mut site, wrong).unwrap_err();
        assert!(deny.code == Denial::BAD_REQUEST && deny.sentence.contains(word), "{}", deny.sentence);
    }
    assert_eq!(site.feature("A").used, 0);
}

#[test]
fn a_bundle_goes_behind_those_who_wait() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2), Lot::of("B", 2)]);
    let (mut ann, mut bob) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
    let held = ann.request(&mut site, "A", 2).unwrap();
    let claim = bob.claim();
    let request = bob.request_frame(claim, "A", 2);
    let waits = ClientFrame::Wait(Box::new(Wait { request, queue_only: false }));
    assert!(matches!(bob.ask(&mut site, &[waits])[..], [ServerFrame::Queued(_)]));
    let release = Release { lease: held.lease, claim: held.claim, operation: ann.operation() };
    let datagram = ann.seal(&[ClientFrame::Release(release)], 0);
    // He is told unasked.
    assert!(site.feed(ann.from, &datagram).iter().any(|(to, _)| to.to == bob.from));
    let deny = ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap_err();
    assert_eq!((deny.code, used(&site, &["A", "B"])), (Denial::NO_SEAT, vec![2, 0]), "he who waited has them");

    // And nobody who waits has his place for nothing: the seat of the bundle that comes back is his.
    let b = ann.request(&mut site, "B", 1).unwrap();
    let both = ann.bundle(&mut site, &[&[("B", 1, 1)]]).unwrap();
    let claim = bob.claim();
    let request = bob.request_frame(claim, "B", 1);
    let waits = ClientFrame::Wait(Box::new(Wait { request, queue_only: false }));
    assert!(matches!(bob.ask(&mut site, &[waits])[..], [ServerFrame::Queued(_)]));
    let release = Release { lease: both[0].lease, claim: both[0].claim, operation: ann.operation() };
    let datagram = ann.seal(&[ClientFrame::Release(release)], 0);
    assert!(site.feed(ann.from, &datagram).iter().any(|(to, _)| to.to == bob.from));
    assert!(ann.renew(&mut site, b.lease, b.claim).is_ok());
    site.shared.check_ledger().unwrap();
}

#[test]
fn the_denial_is_of_an_alternative_that_waiting_can_help_and_says_which() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1), Lot::of("B", 1)]);
    let mut ann = Client::connected(1, &mut site);
    ann.request(&mut site, "B", 1).unwrap();
    let deny = ann.bundle(&mut site, &[&[("A", 5, 5)], &[("A", 1, 1), ("B", 1, 1)]]).unwrap_err();
    assert_eq!((deny.code, deny.retry_after_ms.is_some()), (Denial::NO_SEAT, true), "there are never five of A");
    assert!(
        deny.sentence.starts_with("none of 2 alternatives can be had; number 2: the only seat of B"),
        "{}",
        deny.sentence
    );
    site.shared.begin_drain();
    let deny = ann.bundle(&mut site, &[&[("A", 1, 1)]]).unwrap_err();
    assert!(deny.code == Denial::SHUTTING_DOWN && !deny.sentence.contains("bundle"), "{}", deny.sentence);
}

#[test]
fn where_there_is_room_for_one_lease_a_bundle_of_two_takes_nothing() {
    let mut site = Site::with(ServerConfig { leases_max: 2, ..ServerConfig::default() }, SiteKey::OPEN);
    site.load(&[Lot::of("A", 3), Lot::of("B", 3)]);
    let mut ann = Client::connected(1, &mut site);
    let held = ann.request(&mut site, "A", 1).unwrap();
    let deny = ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap_err();
    assert_eq!((deny.code, used(&site, &["A", "B"])), (Denial::TOO_MANY_LEASES, vec![1, 0]));
    ann.release(&mut site, held.lease, held.claim);
    assert_eq!(seats(&ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap()), [1, 1]);
}

#[test]
fn e_5_seats_of_leases_that_have_just_ended_are_there_for_a_bundle() {
    for policy in [Policy::default(), limited(9)] {
        let mut site = Site::new();
        site.load(&[Lot::of("A", 1).ttl_s(60), Lot::of("B", 1).ttl_s(60)]);
        site.shared.set_policy(policy);
        let (mut ann, mut bob) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
        ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap();
        // No timer has run since they ended.
        site.sleep(60_000);
        let grants = bob.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap();
        assert_eq!((seats(&grants), used(&site, &["A", "B"])), (vec![1, 1], vec![1, 1]));
    }
}

#[test]
fn an_item_shares_a_seat_where_the_certificate_allows_it() {
    let mut site = Site::new();
    let shared = |lot: Lot| lot.terms(|terms| terms.share = Some(ShareBy::USER.with(ShareBy::HOST)));
    site.load(&[shared(Lot::of("A", 1)), Lot::of("B", 2), shared(Lot::of("C", 1))]);
    let mut ann = Client::connected(1, &mut site);
    ann.request(&mut site, "A", 1).unwrap();
    let first = ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1), ("C", 1, 1)]]).unwrap();
    assert_eq!((seats(&first), used(&site, &["A", "B", "C"])), (vec![1, 1, 1], vec![1, 1, 1]));
    let second = ann.bundle(&mut site, &[&[("C", 1, 1), ("B", 1, 1), ("A", 1, 1)]]).unwrap();
    assert_eq!((seats(&second).len(), used(&site, &["A", "B", "C"])), (3, vec![1, 2, 1]));
    // B is the only one in the way.
    let deny = ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap_err();
    assert_eq!((deny.code, site.shared.live_leases()), (Denial::NO_SEAT, 7), "{}", deny.sentence);
    for grant in first.iter().chain(&second) {
        ann.release(&mut site, grant.lease, grant.claim);
    }
    assert_eq!(used(&site, &["A", "B", "C"]), [1, 0, 0]);
    site.shared.check_ledger().unwrap();
}

#[test]
fn two_items_made_of_the_same_seats_are_had_together_or_not_at_all() {
    let mut site = Site::new();
    let token = |feature: &str| {
        Lot::of(feature, 1).terms(|terms| {
            terms.cost = Some(Cost {
                seats: SeatCount::new(2).unwrap(),
                of: FeatureName::new("TOKEN").unwrap(),
                version: Version::ANY,
            });
        })
    };
    site.load(&[Lot::of("TOKEN", 5), token("A"), token("B")]);
    let mut ann = Client::connected(1, &mut site);
    let grants = ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap();
    assert_eq!((seats(&grants), used(&site, &["TOKEN"])), (vec![1, 1], vec![4]));
    ann.release(&mut site, grants[0].lease, grants[0].claim);
    let deny = ann.bundle(&mut site, &[&[("A", 1, 1), ("B", 1, 1)]]).unwrap_err();
    assert_eq!((deny.code, used(&site, &["TOKEN"])), (Denial::NO_SEAT, vec![2]));
    site.shared.check_ledger().unwrap();
}

#[test]
fn reservations_are_kept_from_bundles_and_given_to_their_members() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2), Lot::of("B", 2)]);
    let group = Group { devices: vec![leasehold_protocol::vocab::DeviceId([2; 16])], ..Group::default() };
    let kept = Reservation {
        id: "lab".into(),
        seats: 2,
        feature: FeatureName::new("A").unwrap(),
        version: "0.0".parse().unwrap(),
        group: 0,
    };
    let rules = Rules { reservations: vec![kept], ..Rules::default() };
    site.shared.set_policy(Policy::new(Groups::new(vec![group], true).unwrap(), rules));
    let mut ann = Client::connected(1, &mut site);
    let deny = ann.bundle(&mut site, &[&[("B", 1, 1), ("A", 1, 1)]]).unwrap_err();
    assert_eq!((deny.code, used(&site, &["A", "B"])), (Denial::RESERVED, vec![0, 0]));
}
