//! A server that was killed and finds its leases written down (U-2): each comes back as it was, and nobody is in its way.

use leasehold_core::{HeldLease, policy};
use leasehold_protocol::{
    licence::certificate::{Components, Cost, ShareBy, Together},
    message::{Grant, ReleaseOutcome},
    vocab::{Denial, FeatureName, Label, LeaseId, RealmId, SeatCount, Version},
};

use crate::{
    rig::{Client, Lot, Site},
    walks::Walk,
};

fn name(text: &str) -> FeatureName {
    FeatureName::new(text).unwrap()
}

/// A request of `user`.
fn ask(client: &mut Client, site: &mut Site, feature: &str, user: &str) -> Grant {
    let claim = client.claim();
    let mut request = client.request_frame(claim, feature, 1);
    request.holder.user = Label::lossy(user);
    client.send_request(site, &request).unwrap()
}

#[test]
fn a_lease_is_renewed_under_its_own_name_and_its_seats_are_nobody_elses() {
    let lots = [Lot::of("A", 3).ttl_s(10), Lot::of("A", 1).version("5.0").ttl_s(20)];
    let mut site = Site::new();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    let gone = client.request(&mut site, "A", 1).unwrap();
    let (one, two) = (client.request(&mut site, "A", 1).unwrap(), client.request(&mut site, "A", 2).unwrap());
    client.release(&mut site, gone.lease, gone.claim);
    site.advance(4_000);
    let before = (site.feature("A"), site.shared.leases(site.now));
    let done = site.revive(&lots);
    assert_eq!((done.restored, done.overage, done.of_no_realm, done.no_room), (2, 0, 0, 0));
    assert_eq!(site.feature("A"), before.0);
    for (now, was) in site.shared.leases(site.now).iter().zip(&before.1) {
        assert_eq!((now.id, now.claim, now.client, &now.lots), (was.id, was.claim, was.client, &was.lots));
        assert_eq!((&now.holder, now.granted_at, now.granted_wall), (&was.holder, was.granted_at, was.granted_wall));
        assert!(now.deadline > was.deadline, "a whole TTL from now on");
    }
    // Newcomers are served at once, and get what is free.
    let mut stranger = Client::connected(2, &mut site);
    assert_eq!(stranger.request(&mut site, "A", 2).unwrap_err().code, Denial::NO_SEAT);
    stranger.request(&mut site, "A", 1).unwrap();
    assert_eq!(stranger.renew(&mut site, one.lease, one.claim).unwrap_err().code, Denial::NOT_YOURS);
    client.connect(&mut site);
    client.renew(&mut site, one.lease, one.claim).unwrap();
    // The same claim is the same lease.
    let mut again = client.request_frame(two.claim, "A", 2);
    again.ticket = Some(two.ticket);
    assert_eq!(client.send_request(&mut site, &again).unwrap().lease, two.lease);
    assert_eq!(client.release(&mut site, two.lease, two.claim), ReleaseOutcome::Freed);
    assert_eq!(site.feature("A").used, 2);
    site.advance(20_000);
    assert_eq!(site.feature("A").used, 0, "who does not come back has one TTL");
}

#[test]
fn what_no_licence_covers_any_more_is_overage_and_moves_when_there_is_room() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 3).serial("old").ttl_s(10), Lot::of("B", 1).ttl_s(10)]);
    let mut client = Client::connected(1, &mut site);
    let a = client.request(&mut site, "A", 3).unwrap();
    let b = client.request(&mut site, "B", 1).unwrap();
    let new = [Lot::of("A", 2).serial("new").ttl_s(10)];
    assert_eq!(site.revive(&new).overage, 2);
    assert_eq!((site.feature("A").used, site.feature("A").overage), (3, 1), "two of three found a place");
    assert_eq!((site.feature("B").used, site.feature("B").overage), (1, 1));
    client.connect(&mut site);
    assert!(client.renew(&mut site, a.lease, a.claim).unwrap().overage);
    assert!(client.renew(&mut site, b.lease, b.claim).unwrap().overage);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    // The same licences again: nothing is over.
    site.load(&[Lot::of("A", 3).serial("old").ttl_s(10), Lot::of("B", 1).ttl_s(10)]);
    site.shared.check_ledger().unwrap();
    assert_eq!((site.feature("A").overage, site.feature("B").overage), (0, 0));
    client.release(&mut site, a.lease, a.claim);
    client.release(&mut site, b.lease, b.claim);
    assert_eq!((site.feature("A").free, site.feature("B").free), (3, 1));
}

#[test]
fn a_certificate_that_comes_back_after_its_leases_did_is_granted_from_as_it_says() {
    let lots = [Lot::of("A", 1).uncounted().serial("all").ttl_s(10)];
    let mut site = Site::new();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    let held = client.request(&mut site, "A", 2).unwrap();
    assert_eq!(site.revive(&[Lot::of("B", 1)]).overage, 1, "it is not loaded any more");
    // It is: seats are not counted, and who had his has them.
    site.load(&lots);
    client.connect(&mut site);
    for _ in 0..3 {
        client.request(&mut site, "A", 5).unwrap();
    }
    assert!(!client.renew(&mut site, held.lease, held.claim).unwrap().overage);
    site.shared.check_ledger().unwrap();
    assert_eq!(client.release(&mut site, held.lease, held.claim), ReleaseOutcome::Freed);
    assert_eq!((site.feature("A").used, site.feature("A").overage), (15, 0));
}

#[test]
fn seats_that_are_shared_come_back_as_one_also_when_their_first_holder_has_gone() {
    let lots = [Lot::of("A", 2).exclusive().ttl_s(100).terms(|t| t.share = Some(ShareBy::USER))];
    let mut site = Site::new();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    let first = ask(&mut client, &mut site, "A", "ann");
    let others: Vec<Grant> = (0..2).map(|_| ask(&mut client, &mut site, "A", "ann")).collect();
    client.release(&mut site, first.lease, first.claim);
    ask(&mut client, &mut site, "A", "bob");
    assert_eq!(site.feature("A").used, 2);
    assert_eq!(site.revive(&lots).restored, 3);
    assert_eq!(site.feature("A").used, 2);
    client.connect(&mut site);
    ask(&mut client, &mut site, "A", "ann");
    assert_eq!(site.feature("A").used, 2, "she shares them still");
    for grant in &others {
        client.renew(&mut site, grant.lease, grant.claim).unwrap();
        client.release(&mut site, grant.lease, grant.claim);
    }
    assert_eq!((site.feature("A").used, site.feature("A").overage), (2, 0));
}

#[test]
fn packages_and_tokens_come_back_with_the_seats_they_are_made_of() {
    let together = Components { together: Together::Package, features: vec![(name("A"), Version::ANY)] };
    let cost = Cost { seats: SeatCount::new(3).unwrap(), of: name("TOKEN"), version: Version::ANY };
    let lots = [
        Lot::of("OFFICE", 2).exclusive().ttl_s(100).terms(|t| t.components = Some(together)),
        Lot::of("TOKEN", 10).ttl_s(100),
        Lot::of("SOLVER", 9).ttl_s(100).terms(|t| t.cost = Some(cost)),
    ];
    let mut site = Site::new();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    let held = [client.request(&mut site, "A", 1).unwrap(), client.request(&mut site, "SOLVER", 2).unwrap()];
    let used = |site: &Site| ["OFFICE", "A", "TOKEN", "SOLVER"].map(|feature| site.feature(feature).used);
    let before = used(&site);
    assert_eq!(before, [1, 1, 6, 2]);
    assert_eq!(site.revive(&lots).restored, 2);
    assert_eq!(used(&site), before);
    client.connect(&mut site);
    for grant in &held {
        client.renew(&mut site, grant.lease, grant.claim).unwrap();
        client.release(&mut site, grant.lease, grant.claim);
    }
    assert_eq!(used(&site), [0; 4]);
}

#[test]
fn rules_count_what_came_back() {
    let lots = [Lot::of("A", 5).ttl_s(100)];
    let mut site = Site::new();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 2).unwrap();
    let everyone = policy::Group { everyone: true, ..policy::Group::default() };
    let limit =
        policy::Limit { id: "two".into(), max: 2, per: policy::Per::User, group: 0, exempt: None, features: None };
    let rules = policy::Rules { limits: vec![limit], ..policy::Rules::default() };
    let policy = policy::Policy::new(policy::Groups::new(vec![everyone], true).unwrap(), rules);
    let written = site.written();
    site.restart(leasehold_core::ServerConfig::default());
    site.shared.set_policy(policy);
    site.load(&lots);
    site.shared.restore(written, site.now);
    client.connect(&mut site);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::LIMIT_REACHED);
    site.shared.check_ledger().unwrap();
}

#[test]
fn what_cannot_be_is_counted_and_harms_nothing() {
    let lots = [Lot::of("A", 3).ttl_s(10)];
    let mut site = Site::new();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 1).unwrap();
    let good = site.written().remove(0);
    let elsewhere = HeldLease { realm: RealmId(77), lease: LeaseId::new(5, 1), ..good.clone() };
    let mut other_claim = good.claim;
    other_claim.0[0] ^= 1;
    let twice = HeldLease { claim: other_claim, number: 9, ..good.clone() };
    site.restart(leasehold_core::ServerConfig::default());
    site.load(&lots);
    let done = site.shared.restore(vec![good, elsewhere, twice], site.now);
    assert_eq!((done.restored, done.of_no_realm), (2, 1), "of two under one name the second gets another");
    let ids: Vec<LeaseId> = site.shared.leases(site.now).iter().map(|lease| lease.id).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    assert_eq!(site.feature("A").used, 2);
    site.shared.check_ledger().unwrap();
    site.advance(10_000);
    assert_eq!((site.feature("A").free, site.shared.live_leases()), (3, 0));
}

#[test]
fn what_is_out_is_written_down_page_by_page_as_its_events_told_it() {
    for seed in 0..6 {
        let mut walk = Walk::new(seed);
        (0..150).for_each(|_| walk.step());
        let (mut pages, mut from) = (Vec::new(), Some(0));
        while let Some(slot) = from {
            let (page, next) = walk.site.shared.held(slot, 2);
            assert!(page.len() <= 2);
            pages.extend(page);
            from = next;
        }
        let mut written = walk.site.written();
        [&mut pages, &mut written].into_iter().for_each(|held| held.sort_by_key(|lease| lease.number));
        // Lots change under a lease when licences do (L-10): what is out says what is so, events what was.
        for (out, told) in pages.iter_mut().zip(&mut written) {
            told.lots.clear();
            out.lots.clear();
        }
        assert_eq!(pages, written, "seed {seed}");
    }
}

#[test]
fn after_any_day_the_same_is_out_as_before() {
    for seed in 0..20 {
        let mut walk = Walk::new(seed);
        for day in 0..6 {
            (0..40).for_each(|_| walk.step());
            let (mut from, mut held) = (Some(0), Vec::new());
            while let Some(slot) = from {
                let (page, next) = walk.site.shared.held(slot, 64);
                held.extend(page);
                from = next;
            }
            let before = walk.site.shared.features(walk.site.now);
            walk.revive(held);
            let after = walk.site.shared.features(walk.site.now);
            let sums = |features: &[leasehold_core::FeatureStatus]| -> Vec<_> {
                let out = features.iter().filter(|feature| feature.used > 0 || !feature.lots.is_empty());
                out.map(|f| (f.name.clone(), f.used, f.free, f.leases)).collect()
            };
            assert_eq!(sums(&after), sums(&before), "seed {seed}, day {day}");
        }
    }
}
