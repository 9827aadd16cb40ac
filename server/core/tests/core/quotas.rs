//! How many seats whom: limits and reservations (P-2, P-3), and that a changed policy drops no lease (P-6).

use std::{collections::BTreeMap, sync::Barrier, thread};

use leasehold_core::policy::{AccessRule, Action, Group, GroupId, Groups, Limit, Per, Policy, Reservation, Rules};
use leasehold_protocol::{
    Entropy,
    licence::certificate::{Cost, ShareBy},
    message::{ClientFrame, Deny, Grant, Release, ServerFrame},
    time::{Mono, Now},
    vocab::{Denial, DeviceId, FeatureName, Label, LeaseId, SeatCount, Version},
};

use crate::{
    races,
    rig::{Client, Lot, Seeded, Site, told},
};

fn name(text: &str) -> FeatureName {
    FeatureName::new(text).unwrap()
}

fn users(names: &[&str]) -> Group {
    Group { users: names.iter().map(ToString::to_string).collect(), ..Group::default() }
}

fn device(n: u8) -> Group {
    Group { devices: vec![DeviceId([n; 16])], ..Group::default() }
}

fn everyone() -> Group {
    Group { everyone: true, ..Group::default() }
}

fn limit(id: &str, max: u32, per: Per, group: GroupId) -> Limit {
    Limit { id: id.into(), max, per, group, exempt: None, features: None }
}

fn reserve(id: &str, seats: u32, feature: &str, version: &str, group: GroupId) -> Reservation {
    Reservation { id: id.into(), seats, feature: name(feature), version: version.parse().unwrap(), group }
}

fn policy(groups: &[Group], limits: &[Limit], reservations: &[Reservation]) -> Policy {
    let rules =
        Rules { access: vec![], limits: limits.to_vec(), reservations: reservations.to_vec(), ..Rules::default() };
    Policy::new(Groups::new(groups.to_vec(), true).unwrap(), rules)
}

/// One who asks, and from where.
#[derive(Clone, Copy)]
struct Who<'a>(&'a str, u8);

const ANN: Who<'_> = Who("ann", 1);
const BOB: Who<'_> = Who("bob", 2);
const EVE: Who<'_> = Who("eve", 3);

fn ask(client: &mut Client, site: &mut Site, who: Who<'_>, feature: &str, seats: u32) -> Result<Grant, Box<Deny>> {
    let claim = client.claim();
    let mut request = client.request_frame(claim, feature, seats);
    (request.holder.user, request.holder.device) = (Label::lossy(who.0), DeviceId([who.1; 16]));
    site.advance(0);
    let foretold = client.would(site, &request);
    let answer = client.send_request(site, &request);
    assert_eq!(foretold, answer.as_ref().map(|_| ()).map_err(|deny| told(deny)), "R-12");
    answer
}

/// How many seats, one by one, before a denial; and its code and rule.
fn fill(client: &mut Client, site: &mut Site, who: Who<'_>, feature: &str) -> (usize, Denial, String) {
    for n in 0..1000 {
        if let Err(deny) = ask(client, site, who, feature, 1) {
            return (n, deny.code, deny.rule);
        }
    }
    panic!("seats without end")
}

fn site(lots: &[Lot]) -> (Site, Client) {
    let mut site = Site::new();
    site.load(lots);
    let client = Client::connected(1, &mut site);
    (site, client)
}

fn release(client: &mut Client, site: &mut Site, grant: &Grant) {
    client.release(site, grant.lease, grant.claim);
}

#[test]
fn po_05_reserved_seats_are_withheld_from_everybody_else_even_while_unused() {
    let (mut site, mut client) = site(&[Lot::of("A", 5)]);
    site.shared.set_policy(policy(&[users(&["ann"])], &[], &[reserve("lab", 2, "A", "0.0", 0)]));
    assert_eq!((site.feature("A").free, site.feature("A").reserved), (5, 2));
    let deny = ask(&mut client, &mut site, BOB, "A", 4).unwrap_err();
    let says = "4 seats of A asked for; 5 of 5 are free, and 2 seats are reserved for others by rule lab: ask for fewer, or \
                ask the administrator";
    assert_eq!((deny.code, &*deny.sentence, &*deny.rule), (Denial::RESERVED, says, "policy rule lab"));
    assert_eq!((deny.seats_out, deny.seats_total, deny.retry_after_ms), (0, 5, None));
    assert_eq!(fill(&mut client, &mut site, BOB, "A"), (3, Denial::RESERVED, "policy rule lab".into()));
    assert_eq!(fill(&mut client, &mut site, ANN, "A").0, 2);
    assert_eq!((site.feature("A").free, site.feature("A").reserved), (0, 0));
    assert_eq!(ask(&mut client, &mut site, BOB, "A", 1).unwrap_err().code, Denial::NO_SEAT);
}

#[test]
fn po_06_a_reservation_is_so_many_in_total_and_not_of_each_lot() {
    let (mut site, mut client) = site(&[Lot::of("A", 3), Lot::of("A", 3).serial("2"), Lot::of("A", 3).serial("3")]);
    site.shared.set_policy(policy(&[users(&["ann"])], &[], &[reserve("lab", 4, "A", "0.0", 0)]));
    assert_eq!(site.feature("A").reserved, 4);
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 5);
    assert_eq!(ask(&mut client, &mut site, ANN, "A", 4).unwrap().lots.len(), 2, "over two lots");
}

#[test]
fn po_08_a_limit_for_each_user_host_machine_or_all_together_and_who_is_exempt() {
    let (mut site, mut client) = site(&[Lot::of("A", 20), Lot::of("B", 20)]);
    let all = [everyone(), users(&["eve"])];
    let two = Limit { exempt: Some(1), ..limit("two-each", 2, Per::User, 0) };
    site.shared.set_policy(policy(&all, std::slice::from_ref(&two), &[]));
    let held = ask(&mut client, &mut site, ANN, "A", 1).unwrap();
    assert_eq!(fill(&mut client, &mut site, ANN, "A"), (1, Denial::LIMIT_REACHED, "policy rule two-each".into()));
    let deny = ask(&mut client, &mut site, ANN, "A", 1).unwrap_err();
    let says =
        "rule two-each allows a user 2 seats of A, of which ann has 2: have one given back, or ask the administrator";
    assert_eq!((&*deny.sentence, deny.retry_after_ms), (says, Some(1000)));
    assert_eq!(fill(&mut client, &mut site, Who("ANN", 1), "A").0, 0, "whatever the case");
    assert_eq!(fill(&mut client, &mut site, ANN, "B").0, 2, "of each feature");
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 2);
    assert_eq!(fill(&mut client, &mut site, EVE, "A").0, 16, "exempt, and what she has counts towards nothing");
    release(&mut client, &mut site, &held);
    assert_eq!(ask(&mut client, &mut site, BOB, "A", 1).unwrap_err().code, Denial::LIMIT_REACHED);
    ask(&mut client, &mut site, ANN, "A", 1).unwrap();
    // More than can ever be.
    let deny = ask(&mut client, &mut site, ANN, "B", 3).unwrap_err();
    assert_eq!((deny.code, deny.retry_after_ms), (Denial::LIMIT_REACHED, None));
    assert_eq!(
        deny.sentence,
        "rule two-each allows a user 2 seats of B, and 3 were asked for: ask for fewer, or ask the administrator"
    );
}

#[test]
fn po_08_of_several_limits_each_holds() {
    let (mut site, mut client) = site(&[Lot::of("A", 20)]);
    let all = [everyone(), users(&["ann", "bob"])];
    let limits = [limit("team", 3, Per::Group, 1), limit("machine", 2, Per::Device, 0)];
    site.shared.set_policy(policy(&all, &limits, &[]));
    assert_eq!(fill(&mut client, &mut site, ANN, "A").2, "policy rule machine");
    assert_eq!(fill(&mut client, &mut site, BOB, "A"), (1, Denial::LIMIT_REACHED, "policy rule team".into()));
    assert_eq!(fill(&mut client, &mut site, Who("eve", 2), "A").0, 1, "bob has the other of this machine");
    assert_eq!(fill(&mut client, &mut site, EVE, "A").0, 2);
    let deny = ask(&mut client, &mut site, Who("bob", 9), "A", 1).unwrap_err();
    let says = "rule team allows those it is for together 3 seats of A, of which they have 3: have one given back, or ask the \
                administrator";
    assert_eq!(deny.sentence, says);
    // Nobody at all, which is a limit, too.
    site.shared.set_policy(policy(&all, &[limit("none", 0, Per::Group, 1)], &[]));
    assert_eq!(fill(&mut client, &mut site, Who("ann", 9), "A").0, 0);
    assert_eq!(fill(&mut client, &mut site, EVE, "A").0, 20 - 6);
}

/// 10 seats = 3 for the device D1 + 2 for the user U1 + 5 shared: what each combination of holders gets alone, and after the
/// others.
#[test]
fn po_12_device_and_user_reservations_both_apply_to_one_request() {
    const D1_U1: Who<'_> = Who("u1", 1);
    const D1: Who<'_> = Who("other", 1);
    const U1: Who<'_> = Who("u1", 9);
    const NEITHER: Who<'_> = Who("other", 9);
    let reservations = [reserve("for-u1", 2, "A", "1.0", 1), reserve("for-d1", 3, "A", "1.0", 0)];
    let try_in_order = |order: &[Who<'_>]| -> Vec<usize> {
        let (mut site, mut client) = site(&[Lot::of("A", 10)]);
        site.shared.set_policy(policy(&[device(1), users(&["u1"])], &[], &reservations));
        order.iter().map(|who| fill(&mut client, &mut site, *who, "A").0).collect()
    };
    // In one request as one by one.
    let most_at_once = |who: Who<'_>| -> u32 {
        let fits = |n: &u32| {
            let (mut site, mut client) = site(&[Lot::of("A", 10)]);
            site.shared.set_policy(policy(&[device(1), users(&["u1"])], &[], &reservations));
            ask(&mut client, &mut site, who, "A", *n).is_ok()
        };
        (1..=10).take_while(fits).last().unwrap_or(0)
    };
    for (who, alone) in [(D1_U1, 10), (D1, 8), (U1, 7), (NEITHER, 5)] {
        assert_eq!(try_in_order(&[who]), [alone]);
        assert_eq!(most_at_once(who) as usize, alone);
    }
    assert_eq!(try_in_order(&[NEITHER, D1, U1, D1_U1]), [5, 3, 2, 0]);
    assert_eq!(try_in_order(&[NEITHER, D1_U1, D1]), [5, 5, 0]);
    assert_eq!(try_in_order(&[D1, NEITHER, U1]), [8, 0, 2]);
    assert_eq!(try_in_order(&[U1, NEITHER, D1]), [7, 0, 3]);
    assert_eq!(try_in_order(&[D1, U1, NEITHER]), [8, 2, 0]);
}

#[test]
fn po_12_the_devices_reservation_is_drawn_from_before_the_users() {
    let (mut site, mut client) = site(&[Lot::of("A", 10)]);
    let reservations = [reserve("for-u1", 2, "A", "1.0", 1), reserve("for-d1", 3, "A", "1.0", 0)];
    site.shared.set_policy(policy(&[device(1), users(&["u1"])], &[], &reservations));
    let used = |site: &Site| site.shared.reservations().iter().map(|r| (r.rule.clone(), r.used)).collect::<Vec<_>>();
    ask(&mut client, &mut site, Who("u1", 1), "A", 3).unwrap();
    assert_eq!(used(&site), [("for-u1".into(), 0), ("for-d1".into(), 3)]);
    ask(&mut client, &mut site, Who("u1", 1), "A", 1).unwrap();
    assert_eq!(used(&site), [("for-u1".into(), 1), ("for-d1".into(), 3)]);
}

#[test]
fn po_13_a_reservation_is_satisfied_by_an_equal_or_higher_version_and_never_a_lower_one() {
    let (mut site, mut client) = site(&[Lot::of("A", 3).version("4.8"), Lot::of("A", 3).version("6.0")]);
    site.shared.set_policy(policy(&[users(&["ann"])], &[], &[reserve("new", 2, "A", "5.0", 0)]));
    // Bob wants 4.8: of the six, two of 6.0 are kept.
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 4);
    let mut six = client.request_frame(leasehold_protocol::vocab::ClaimKey::random(&mut Seeded(5)), "A", 2);
    (six.version, six.holder.user) = ("6.0".parse().unwrap(), Label::lossy("ann"));
    client.send_request(&mut site, &six).unwrap();
    assert_eq!(site.shared.reservations()[0].used, 2);
    // What ann has of the lower version counts towards nothing.
    let (mut site, mut client) = self::site(&[Lot::of("A", 3).version("4.8"), Lot::of("A", 2).version("6.0")]);
    site.shared.set_policy(policy(&[users(&["ann"])], &[], &[reserve("new", 2, "A", "5.0", 0)]));
    ask(&mut client, &mut site, ANN, "A", 1).unwrap();
    assert_eq!((site.shared.reservations()[0].used, site.feature("A").reserved), (0, 2));
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 2);
}

/// Where the usual order, exact versions first, would use up what is kept, a lot of a lower version serves instead.
#[test]
fn po_13_the_order_of_lots_gives_way_to_what_is_kept() {
    let (mut site, mut client) =
        site(&[Lot::of("A", 1).version("6.0").end("2026-02-01"), Lot::of("A", 1).version("5.0")]);
    site.shared.set_policy(policy(&[users(&["ann"])], &[], &[reserve("new", 1, "A", "6.0", 0)]));
    // The sooner-ending 6.0 would serve first.
    let grant = ask(&mut client, &mut site, BOB, "A", 1).unwrap();
    assert_eq!(grant.lots[0].version, "5.0".parse().unwrap());
    assert_eq!(ask(&mut client, &mut site, ANN, "A", 1).unwrap().lots[0].version, "6.0".parse().unwrap());
}

#[test]
fn po_14_each_reservation_tells_whether_the_licences_in_force_can_satisfy_it() {
    let (mut site, mut client) = site(&[Lot::of("A", 3).version("4.8"), Lot::of("A", 2).version("6.0")]);
    let all = [
        reserve("new", 3, "A", "5.0", 0),
        reserve("old", 3, "A", "1.0", 1),
        reserve("nothing", 1, "A", "7.0", 1),
        reserve("unknown", 1, "Z", "1.0", 1),
    ];
    site.shared.set_policy(policy(&[users(&["ann"]), users(&["bob"])], &[], &all));
    let told: Vec<_> = site.shared.reservations().into_iter().map(|r| (r.rule, r.seats, r.used, r.short)).collect();
    assert_eq!(told, [("new".into(), 3, 0, 1), ("old".into(), 3, 0, 0), ("nothing".into(), 1, 0, 1)]);
    // What cannot be kept keeps nobody from what there is.
    assert_eq!(site.feature("A").reserved, 5);
    assert_eq!(fill(&mut client, &mut site, EVE, "A").0, 0);
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 3);
    assert_eq!(fill(&mut client, &mut site, ANN, "A").0, 2);
}

#[test]
fn another_seat_of_a_member_takes_the_place_of_one_that_came_back() {
    let (mut site, mut client) = site(&[Lot::of("A", 5)]);
    site.shared.set_policy(policy(&[users(&["ann"])], &[], &[reserve("lab", 2, "A", "0.0", 0)]));
    let held: Vec<Grant> = (0..4).map(|_| ask(&mut client, &mut site, ANN, "A", 1).unwrap()).collect();
    release(&mut client, &mut site, &held[0]);
    // She has three still: nothing is kept for her beside them.
    assert_eq!((site.shared.reservations()[0].used, site.feature("A").reserved), (2, 0));
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 2);
    for grant in &held[1..3] {
        release(&mut client, &mut site, grant);
    }
    assert_eq!((site.shared.reservations()[0].used, site.feature("A").reserved), (1, 1));
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 1);
}

#[test]
fn a_changed_policy_counts_what_is_out_and_drops_none_of_it() {
    let (mut site, mut client) = site(&[Lot::of("A", 6).ttl_s(100)]);
    let anns: Vec<Grant> = (0..3).map(|_| ask(&mut client, &mut site, ANN, "A", 1).unwrap()).collect();
    let all = [everyone(), users(&["ann"]), users(&["bob"])];
    let two = limit("two", 2, Per::User, 0);
    site.shared.set_policy(policy(&all, std::slice::from_ref(&two), &[reserve("bob", 3, "A", "0.0", 2)]));
    site.shared.check_ledger().unwrap();
    assert_eq!(site.feature("A").used, 3);
    client.renew(&mut site, anns[0].lease, anns[0].claim).unwrap();
    assert_eq!(ask(&mut client, &mut site, ANN, "A", 1).unwrap_err().code, Denial::LIMIT_REACHED);
    assert_eq!(ask(&mut client, &mut site, EVE, "A", 1).unwrap_err().code, Denial::RESERVED);
    release(&mut client, &mut site, &anns[0]);
    assert_eq!(ask(&mut client, &mut site, ANN, "A", 1).unwrap_err().code, Denial::LIMIT_REACHED, "she has two");
    ask(&mut client, &mut site, EVE, "A", 1).unwrap();
    // Other rules, then none.
    site.shared.set_policy(policy(&all, &[], &[reserve("ann", 3, "A", "0.0", 1)]));
    assert_eq!(site.shared.reservations()[0].used, 2);
    site.shared.set_policy(Policy::default());
    assert_eq!(fill(&mut client, &mut site, ANN, "A"), (3, Denial::NO_SEAT, rule_of_none(&site)));
    site.advance(200_000);
    assert_eq!((site.feature("A").used, site.shared.live_leases()), (0, 0));
}

/// What a denial names where no rule of the policy decided.
fn rule_of_none(site: &Site) -> String {
    format!("certificate {}", site.feature("A").lots[0].certificate)
}

#[test]
fn what_a_lease_counts_towards_ends_with_it_in_the_millisecond_of_its_deadline() {
    let (mut site, mut client) = site(&[Lot::of("A", 5).ttl_s(10)]);
    site.shared.set_policy(policy(&[everyone()], &[limit("one", 1, Per::User, 0)], &[]));
    ask(&mut client, &mut site, ANN, "A", 1).unwrap();
    site.sleep(9_999);
    assert_eq!(ask(&mut client, &mut site, ANN, "A", 1).unwrap_err().code, Denial::LIMIT_REACHED);
    site.sleep(1);
    ask(&mut client, &mut site, ANN, "A", 1).expect("swept, though nobody came by");
}

#[test]
fn seats_made_of_others_count_as_what_is_asked_for_and_as_what_they_are_made_of() {
    let cost = Cost { seats: SeatCount::new(3).unwrap(), of: name("TOKEN"), version: Version::ANY };
    let (mut site, mut client) = site(&[Lot::of("TOKEN", 12), Lot::of("X", 1).terms(|t| t.cost = Some(cost))]);
    let of = |limit: Limit, feature: &str| Limit { features: Some(vec![name(feature)]), ..limit };
    let two = of(limit("two-x", 2, Per::User, 0), "X");
    site.shared.set_policy(policy(&[everyone()], std::slice::from_ref(&two), &[]));
    assert_eq!(fill(&mut client, &mut site, ANN, "X"), (2, Denial::LIMIT_REACHED, "policy rule two-x".into()));
    assert_eq!(fill(&mut client, &mut site, BOB, "TOKEN").0, 6, "no limit on those");
    site.advance(400_000);
    let four = of(limit("four-tokens", 4, Per::User, 0), "TOKEN");
    let all = [everyone(), users(&["eve"])];
    site.shared.set_policy(policy(&all, &[two, four], &[reserve("eve", 6, "TOKEN", "0.0", 1)]));
    assert_eq!(fill(&mut client, &mut site, ANN, "X"), (1, Denial::LIMIT_REACHED, "policy rule four-tokens".into()));
    assert_eq!(fill(&mut client, &mut site, BOB, "X").0, 1);
    assert_eq!(fill(&mut client, &mut site, Who("dan", 4), "X"), (0, Denial::RESERVED, "policy rule eve".into()));
    assert_eq!(fill(&mut client, &mut site, EVE, "TOKEN").0, 4);
}

#[test]
fn shared_and_lingering_seats_count_for_who_has_them() {
    let by_host = |t: &mut leasehold_protocol::licence::Terms| (t.share, t.linger_s) = (Some(ShareBy::HOST), Some(60));
    let (mut site, mut client) = site(&[Lot::of("A", 2).ttl_s(100).terms(by_host)]);
    let mut far = Client::connected(2, &mut site);
    site.shared.set_policy(policy(&[everyone()], &[limit("one", 1, Per::User, 0)], &[]));
    let anns = ask(&mut client, &mut site, ANN, "A", 1).unwrap();
    let bobs = ask(&mut client, &mut site, BOB, "A", 1).expect("ann's seat: it counts for her");
    assert_eq!(ask(&mut far, &mut site, ANN, "A", 1).unwrap_err().code, Denial::LIMIT_REACHED);
    release(&mut client, &mut site, &anns);
    // It is bob's now, and ann has none.
    assert_eq!(ask(&mut far, &mut site, BOB, "A", 1).unwrap_err().code, Denial::LIMIT_REACHED);
    let far_anns = ask(&mut far, &mut site, ANN, "A", 1).unwrap();
    // Released, it lingers and counts; taken over it counts once.
    release(&mut far, &mut site, &far_anns);
    release(&mut client, &mut site, &bobs);
    assert_eq!(site.feature("A").lingering, 2);
    let again = ask(&mut client, &mut site, BOB, "A", 1).unwrap();
    assert_eq!(site.feature("A").lingering, 1);
    release(&mut client, &mut site, &again);
    site.advance(61_000);
    assert_eq!((site.feature("A").used, site.shared.live_leases()), (0, 0));
}

#[test]
fn overdraft_is_nothing_to_keep_and_uncounted_seats_are_enough_for_all() {
    let overdraft = |t: &mut leasehold_protocol::licence::Terms| t.overdraft = SeatCount::new(2).ok();
    let (mut site, mut client) = site(&[Lot::of("A", 3).exclusive().terms(overdraft), Lot::of("U", 1).uncounted()]);
    let all = [reserve("lab", 2, "A", "0.0", 0), reserve("many", 1000, "U", "0.0", 0)];
    site.shared.set_policy(policy(&[users(&["ann"])], &[], &all));
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 3, "one that was bought, and two of overdraft");
    assert_eq!(fill(&mut client, &mut site, ANN, "A").0, 2);
    (0..50).for_each(|_| drop(ask(&mut client, &mut site, BOB, "U", 9).unwrap()));
    assert_eq!(site.shared.reservations()[1].short, 0);
}

#[test]
fn po_09_access_rules_limits_and_reservations_hold_together() {
    let (mut site, mut client) = site(&[Lot::of("A", 5)]);
    let exclude = AccessRule { id: "not-eve".into(), action: Action::Exclude, group: 1, features: None };
    let rules = Rules {
        access: vec![exclude],
        limits: vec![limit("two", 2, Per::User, 0)],
        reservations: vec![reserve("lab", 1, "A", "0.0", 1)],
        ..Rules::default()
    };
    site.shared.set_policy(Policy::new(Groups::new(vec![everyone(), users(&["eve"])], true).unwrap(), rules));
    assert_eq!(fill(&mut client, &mut site, EVE, "A").1, Denial::EXCLUDED, "reserved for her, but she may not");
    assert_eq!(fill(&mut client, &mut site, ANN, "A").0, 2);
    assert_eq!(fill(&mut client, &mut site, BOB, "A").0, 2);
}

/// Random days with random policies: the ledger comes out after every step, nobody is above his limit but by a change of it,
/// and nobody takes what is kept for others.
#[test]
fn whatever_policies_come_and_go_limits_and_reservations_hold() {
    let people = [ANN, BOB, EVE, Who("ann", 2), Who("bob", 1)];
    let mut granted = 0;
    for seed in 0..60 {
        let (mut site, mut client) =
            site(&[Lot::of("A", 5).ttl_s(20), Lot::of("A", 4).version("6.0").ttl_s(30), Lot::of("B", 4).ttl_s(10)]);
        let (mut dice, mut held) = (Seeded(seed), Vec::<Grant>::new());
        let mut roll = move |sides: u64| dice.next_u64() % sides;
        let mut max = u32::MAX;
        for _ in 0..250 {
            let who = people[usize::try_from(roll(5)).unwrap()];
            match roll(10) {
                0..5 => {
                    let feature = ["A", "A", "B"][usize::try_from(roll(3)).unwrap()];
                    let kept = site.feature(feature).reserved;
                    let asked = 1 + u32::try_from(roll(3)).unwrap();
                    let Ok(grant) = ask(&mut client, &mut site, who, feature, asked) else { continue };
                    if who.0 == "eve" {
                        assert_eq!(site.feature(feature).reserved, kept, "what is kept stays");
                    }
                    let of = |f: &FeatureName| f.as_str() == feature;
                    let all = site.shared.leases(site.now);
                    let hers = all.iter().filter(|l| of(&l.feature) && l.holder.user.as_str() == who.0);
                    assert!(hers.map(|l| l.seats.get()).sum::<u32>() <= max);
                    held.push(grant);
                    granted += 1;
                }
                5..8 if !held.is_empty() => {
                    let n = usize::try_from(roll(held.len() as u64)).unwrap();
                    let grant = held.swap_remove(n);
                    client.release(&mut site, if n == 0 { LeaseId::NONE } else { grant.lease }, grant.claim);
                }
                8 => drop(site.advance(roll(9_000))),
                _ if roll(4) == 0 => {
                    let all = [everyone(), users(&["ann"]), users(&["bob"]), device(1), device(2)];
                    max = [u32::MAX, 2, 4][usize::try_from(roll(3)).unwrap()];
                    let limits = [limit("max", max, Per::User, 0)];
                    let n = |roll: u64| u32::try_from(roll).unwrap() + 1;
                    let all_reservations = [
                        reserve("r1", n(roll(3)), "A", "5.0", 1),
                        reserve("r2", n(roll(4)), "A", "0.0", 2),
                        reserve("r3", n(roll(2)), "A", "4.8", 3),
                        reserve("r4", n(roll(3)), "B", "0.0", 4),
                    ];
                    let count = usize::try_from(roll(5)).unwrap();
                    let limits = if roll(2) == 0 { &limits[..] } else { &[] };
                    max = if limits.is_empty() { u32::MAX } else { max };
                    site.shared.set_policy(policy(&all, limits, &all_reservations[..count]));
                    site.shared.check_ledger().unwrap();
                }
                _ => {}
            }
        }
        site.advance(60_000);
        site.shared.check_ledger().unwrap();
        assert_eq!(site.shared.live_leases(), 0);
        assert!(site.shared.reservations().iter().all(|r| r.used == 0));
    }
    assert!(granted > 3000, "{granted} grants are too few to mean anything");
}

const WORKERS: usize = 4;
const ROUNDS: u64 = 1200;

/// Four workers, two users with a limit each and a seat kept for a third, and policies that change under them.
#[test]
fn workers_racing_for_counted_seats_keep_to_the_limits() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 3), Lot::of("A", 3).serial("2")]);
    let with = || {
        policy(&[everyone(), users(&["eve"])], &[limit("two", 2, Per::User, 0)], &[reserve("eve", 1, "A", "0.0", 1)])
    };
    site.shared.set_policy(with());
    let clients: Vec<_> = (1..=WORKERS).map(|n| Client::connected(u8::try_from(n).unwrap(), &mut site)).collect();
    let (start, barrier, shared) = (site.now, Barrier::new(WORKERS), &site.shared);
    let engines: Vec<_> = (0..WORKERS).map(|n| site.worker(90 + n as u64)).collect();
    let out: BTreeMap<&str, std::sync::atomic::AtomicI64> = [("ann", 0.into()), ("bob", 0.into())].into();
    thread::scope(|scope| {
        for (n, (mut client, mut engine)) in clients.into_iter().zip(engines).enumerate() {
            let (barrier, out) = (&barrier, &out);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..ROUNDS {
                    let now = Now { mono: Mono(start.mono.0 + round), wall: start.wall };
                    let user = if (n as u64 + round).is_multiple_of(2) { "ann" } else { "bob" };
                    let claim = client.claim();
                    let mut request = client.request_frame(claim, "A", 1);
                    request.holder.user = Label::lossy(user);
                    let frames = [ClientFrame::Request(Box::new(request))];
                    if let [ServerFrame::Grant(grant)] = &races::ask(&mut engine, now, &mut client, &frames)[..] {
                        let mine = &out[user];
                        let before = mine.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert!(before < 2, "{user} has more than the limit");
                        mine.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        let release = Release { lease: grant.lease, claim, operation: client.operation() };
                        races::ask(&mut engine, now, &mut client, &[ClientFrame::Release(release)]);
                    }
                    if round.is_multiple_of(64) {
                        shared.check_ledger().unwrap();
                    }
                    if n == 0 && round.is_multiple_of(50) {
                        // The same again, and what is out is counted anew.
                        shared.set_policy(with());
                    }
                    while engine.poll_event().is_some() {}
                }
            });
        }
    });
    site.shared.check_ledger().unwrap();
    assert_eq!((site.feature("A").used, site.shared.live_leases()), (0, 0));
    assert_eq!(site.feature("A").reserved, 1);
}
