//! Why: every "no" carries what was looked at, and what would be answered is told without taking anything. That what is
//! told is what is answered, word for word, is asked before every request of the walks and of the quotas' tests.

use leasehold_core::{
    Answer, Event, Looked, Question,
    explain::{LookedLimit, LookedLot, LookedReservation},
    policy::{AccessRule, Action, Group, Groups, Limit, Per, Policy, Reservation, Rules},
};
use leasehold_protocol::{
    licence::certificate::ShareBy,
    message::Request,
    vocab::{Denial, FeatureName, Label, RealmId, Version},
};

use crate::rig::{Client, Hall, Lot, Site};

fn name(text: &str) -> FeatureName {
    FeatureName::new(text).unwrap()
}

fn group(users: &[&str]) -> Group {
    Group { users: users.iter().map(ToString::to_string).collect(), ..Group::default() }
}

/// Two seats for each user, one of them kept for bob, and nobody but ann, bob and eve.
fn policy() -> Policy {
    let groups = Groups::new(vec![group(&["ann", "bob", "eve"]), group(&["bob"])], true).unwrap();
    let limit = Limit { id: "two".into(), max: 2, per: Per::User, group: 0, exempt: None, features: None };
    let reservation =
        Reservation { id: "for-bob".into(), seats: 1, feature: name("A"), version: Version::ANY, group: 1 };
    let access = AccessRule { id: "known".into(), action: Action::Include, group: 0, features: None };
    let rules =
        Rules { access: vec![access], limits: vec![limit], reservations: vec![reservation], ..Rules::default() };
    Policy::new(groups, rules)
}

fn request(client: &mut Client, feature: &str, seats: u32, user: &str) -> Request {
    let claim = client.claim();
    let mut request = client.request_frame(claim, feature, seats);
    request.holder.user = Label::lossy(user);
    request
}

fn ask(client: &mut Client, site: &mut Site, seats: u32, user: &str) -> Option<Denial> {
    let request = request(client, "A", seats, user);
    client.send_request(site, &request).err().map(|deny| deny.code)
}

/// What the last denial looked at.
fn looked(site: &Site) -> Option<Looked> {
    let denied = site.events.iter().rev().find_map(|event| match event {
        Event::Denied(denied) => Some(denied),
        _ => None,
    });
    denied.expect("somebody was denied").looked.as_deref().cloned()
}

#[test]
fn r_12_a_denial_carries_the_certificates_limits_and_reservations_with_the_numbers_of_that_instant() {
    let mut site = Site::new();
    let lots = [Lot::of("A", 2).version("5.0"), Lot::of("A", 3).version("1.0").serial("old")];
    site.load(&lots);
    site.shared.set_policy(policy());
    let mut client = Client::connected(1, &mut site);
    for _ in 0..2 {
        assert_eq!(ask(&mut client, &mut site, 1, "ann"), None);
    }
    assert_eq!(ask(&mut client, &mut site, 1, "ann"), Some(Denial::LIMIT_REACHED));
    let ids: Vec<_> = lots.iter().map(|lot| site.sign(lot).id).collect();
    let seen = looked(&site).unwrap();
    // Requests of the rig are for 4.8.
    let lot = |n: usize, version: &str, count, out, no| LookedLot {
        certificate: ids[n],
        version: version.parse().unwrap(),
        is_overdraft: false,
        count: Some(count),
        out,
        no,
    };
    assert_eq!(seen.lots, [lot(0, "5.0", 2, 2, None), lot(1, "1.0", 3, 0, Some(Denial::VERSION_TOO_HIGH))]);
    assert_eq!(seen.limits, [LookedLimit { rule: "two".into(), per: Per::User, max: 2, used: 2, wanted: 1 }]);
    assert_eq!((seen.access.as_deref(), seen.admits, seen.reservations.len()), (Some("known"), true, 0));
    assert_eq!((seen.takes, seen.waiting, seen.leases.0), (1, 0, 2));

    assert_eq!(ask(&mut client, &mut site, 1, "bob"), Some(Denial::NO_SEAT));
    let own = LookedReservation { rule: "for-bob".into(), version: Version::ANY, seats: 1, used: 0 };
    assert_eq!(looked(&site).unwrap().reservations, [own]);
    assert_eq!(ask(&mut client, &mut site, 1, "mallory"), Some(Denial::NOT_INCLUDED));
    let stranger = looked(&site).unwrap();
    assert_eq!((stranger.access.as_deref(), stranger.admits, stranger.limits.len()), (Some("known"), false, 0));

    let unknown = request(&mut client, "B", 1, "ann");
    assert_eq!(client.send_request(&mut site, &unknown).unwrap_err().code, Denial::NO_SUCH_FEATURE);
    assert_eq!(looked(&site), None, "there is nothing to look at");
}

#[test]
fn r_12_of_many_certificates_the_first_are_told_and_how_many_there_are_besides() {
    let mut site = Site::new();
    let lots: Vec<Lot> = (0..20).map(|n| Lot::of("A", 1).serial(&n.to_string())).collect();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    assert_eq!(ask(&mut client, &mut site, 21, "ann"), Some(Denial::TOO_MANY_SEATS));
    let seen = looked(&site).unwrap();
    assert_eq!((seen.lots.len(), seen.more_lots), (Looked::MOST, 12));
}

#[test]
fn r_12_asking_takes_nothing_and_is_answered_as_one_who_asks_would_be() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).exclusive().terms(|t| t.share = Some(ShareBy::USER))]);
    let mut client = Client::connected(1, &mut site);
    let (ann, bob) = (request(&mut client, "A", 1, "ann"), request(&mut client, "A", 1, "bob"));
    for _ in 0..3 {
        assert_eq!(client.would(&site, &ann), Ok(()));
        assert_eq!((site.feature("A").used, site.shared.live_leases()), (0, 0));
    }
    let grant = client.send_request(&mut site, &ann).unwrap();
    let question = |user: &str, realm| Question {
        realm,
        feature: name("A"),
        version: Version::ANY,
        seats: ann.seats,
        holder: leasehold_protocol::message::Holder { user: Label::lossy(user), ..ann.holder.clone() },
        address: client.from.ip(),
    };
    let answer = |user| site.shared.explain(&question(user, site.realm()), site.now).unwrap().answer;
    assert_eq!(answer("ann"), Answer::SeatsOf(grant.lease), "she shares with herself");
    assert_eq!(client.would(&site, &bob).unwrap_err().0, Denial::NO_SEAT);
    assert_eq!(site.shared.explain(&question("ann", RealmId(99)), site.now), None);
    site.shared.check_ledger().unwrap();
    site.shared.begin_drain();
    assert_eq!(client.would(&site, &ann).unwrap_err().0, Denial::SHUTTING_DOWN);
}

#[test]
fn r_12_who_waits_is_told_of() {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 4);
    let _held = hall.request(0, 1).grant();
    hall.queue(1, 1);
    hall.queue(2, 1);
    assert_eq!(hall.request(3, 1).denied().code, Denial::NO_SEAT);
    assert_eq!(looked(&hall.site).unwrap().waiting, 2);
}
