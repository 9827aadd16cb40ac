//! Who may take seats at all (P-2): the rows PO-01 to PO-04 of what such servers do, and that a changed policy drops no lease (P-6).

use leasehold_core::policy::{AccessRule, Action, Group, GroupId, Groups, GroupsError, PATTERNS_MAX, Policy, Verdict};
use leasehold_protocol::{
    message::{Deny, Grant, Holder},
    vocab::{Denial, DeviceId, FeatureName, Label},
};

use crate::rig::{Client, Lot, Site};

/// Groups 0, 1, 2 … as given, named so.
fn groups(all: &[Group]) -> Groups {
    Groups::new(all.to_vec(), true).unwrap()
}

fn users(names: &[&str]) -> Group {
    Group { users: names.iter().map(ToString::to_string).collect(), ..Group::default() }
}

fn rule(id: &str, action: Action, group: GroupId, features: &[&str]) -> AccessRule {
    let features = features.iter().map(|name| FeatureName::new(name).unwrap()).collect::<Vec<_>>();
    AccessRule { id: id.into(), action, group, features: (!features.is_empty()).then_some(features) }
}

fn ask(client: &mut Client, site: &mut Site, feature: &str, user: &str) -> Result<Grant, Box<Deny>> {
    let claim = client.claim();
    let mut request = client.request_frame(claim, feature, 1);
    request.holder.user = Label::new(user).unwrap();
    client.send_request(site, &request)
}

fn code(answer: Result<Grant, Box<Deny>>) -> Option<(Denial, String)> {
    answer.err().map(|deny| (deny.code, deny.rule))
}

fn excluded(rule: &str) -> Option<(Denial, String)> {
    Some((Denial::EXCLUDED, format!("policy rule {rule}")))
}

fn not_included(rule: &str) -> Option<(Denial, String)> {
    Some((Denial::NOT_INCLUDED, format!("policy rule {rule}")))
}

fn site() -> (Site, Client) {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 9), Lot::of("B", 9)]);
    let client = Client::connected(1, &mut site);
    (site, client)
}

#[test]
fn po_01_where_something_is_included_nobody_else_may_take_seats_of_it() {
    let (mut site, mut client) = site();
    let rules = vec![rule("staff", Action::Include, 0, &["A"])];
    site.shared.set_policy(Policy::new(groups(&[users(&["ann"])]), rules));
    assert_eq!(code(ask(&mut client, &mut site, "A", "ann")), None);
    assert_eq!(code(ask(&mut client, &mut site, "A", "bob")), not_included("staff"));
    assert_eq!(code(ask(&mut client, &mut site, "B", "bob")), None, "nothing is included for B");
    let deny = ask(&mut client, &mut site, "A", "bob").unwrap_err();
    let says = "A is for those whom rule staff of this server includes, and bob on host10.0.0.1 is not among them: ask its \
                administrator";
    assert_eq!((&*deny.sentence, deny.retry_after_ms), (says, None));
    assert_eq!(site.feature("A").used, 1);
    // Of what is not there at all something better is said.
    assert_eq!(ask(&mut client, &mut site, "C", "bob").unwrap_err().code, Denial::NO_SUCH_FEATURE);
}

#[test]
fn po_02_exclude_is_asked_before_include_and_wins_and_with_neither_everybody_may() {
    let (mut site, mut client) = site();
    assert_eq!(code(ask(&mut client, &mut site, "A", "eve")), None);
    let rules = vec![rule("staff", Action::Include, 0, &["A"]), rule("not-bob", Action::Exclude, 1, &["A"])];
    site.shared.set_policy(Policy::new(groups(&[users(&["ann", "bob"]), users(&["bob"])]), rules));
    assert_eq!(code(ask(&mut client, &mut site, "A", "ann")), None);
    assert_eq!(code(ask(&mut client, &mut site, "A", "bob")), excluded("not-bob"), "on both lists");
    assert_eq!(code(ask(&mut client, &mut site, "A", "eve")), not_included("staff"), "on neither");
    assert_eq!(code(ask(&mut client, &mut site, "B", "bob")), None);
}

#[test]
fn po_03_rules_for_all_features_and_for_one_hold_together() {
    let (mut site, mut client) = site();
    let members = [users(&["ann", "bob"]), users(&["bob", "cid"]), users(&["dan"])];
    let rules = vec![
        rule("site", Action::Include, 0, &[]),
        rule("a-only", Action::Include, 1, &["A"]),
        rule("not-dan", Action::Exclude, 2, &[]),
    ];
    site.shared.set_policy(Policy::new(groups(&members), rules));
    let mut told = |feature, user| code(ask(&mut client, &mut site, feature, user));
    assert_eq!(told("A", "bob"), None);
    assert_eq!(told("A", "ann"), not_included("a-only"));
    assert_eq!(told("A", "cid"), not_included("site"));
    assert_eq!(told("B", "ann"), None);
    assert_eq!(told("B", "cid"), not_included("site"));
    assert_eq!(told("B", "dan"), excluded("not-dan"));
}

fn holder(user: &str, host: &str) -> Holder {
    let label = |text: &str| Label::new(text).unwrap();
    Holder {
        user: label(user),
        host: label(host),
        display: Some(label(":0")),
        process: label("cad"),
        pid: 1,
        project: Some(label("wing")),
        device: DeviceId([9; 16]),
        device_alias: None,
        share: None,
        hostids: vec![],
    }
}

#[test]
fn po_04_groups_of_users_hosts_addresses_devices_and_groups() {
    let text = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = vec![
        users(&["Ann", "cae-*"]),
        Group { hosts: text(&["ws1", "db.example.com", "lab-?"]), ..Group::default() },
        Group { addresses: vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()], ..Group::default() },
        Group { devices: vec![DeviceId([9; 16])], ..Group::default() },
        Group { groups: vec![0, 2], ..Group::default() },
        Group { groups: vec![4], displays: text(&[":0"]), ..Group::default() },
        Group { projects: text(&["w*"]), ..Group::default() },
        Group { everyone: true, ..Group::default() },
    ];
    let groups = Groups::new(all.clone(), true).unwrap();
    let nowhere = "192.0.2.1".parse().unwrap();
    let mut plain = holder("bob", "ws9");
    assert_eq!(groups.of(&plain, nowhere), [3, 5, 6, 7]);
    (plain.display, plain.project, plain.device) = (None, None, DeviceId([1; 16]));
    let of = |user: &str, host: &str, address: &str| {
        let (user, host) = (Label::new(user).unwrap(), Label::new(host).unwrap());
        groups.of(&Holder { user, host, ..plain.clone() }, address.parse().unwrap())
    };
    assert_eq!(of("bob", "ws9", "192.0.2.1"), [7]);
    assert_eq!(of("ANN", "ws9", "192.0.2.1"), [0, 4, 5, 7], "and through two groups");
    assert_eq!(of("CAE-7", "ws9", "192.0.2.1"), [0, 4, 5, 7]);
    assert_eq!(of("xcae-7", "ws9", "192.0.2.1"), [7]);
    assert_eq!(of("bob", "WS1.example.com", "192.0.2.1"), [1, 7], "a short name is one with a domain, too");
    assert_eq!(of("bob", "db", "192.0.2.1"), [7], "and a long one is not a short one");
    assert_eq!(of("bob", "lab-4", "192.0.2.1"), [1, 7]);
    assert_eq!(of("bob", "lab-44", "192.0.2.1"), [7]);
    assert_eq!(of("bob", "ws9", "10.1.255.3"), [2, 4, 5, 7]);
    assert_eq!(of("bob", "ws9", "::ffff:10.1.2.3"), [2, 4, 5, 7]);
    assert_eq!(of("bob", "ws9", "10.2.0.1"), [7]);
    assert_eq!(of("bob", "ws9", "2001:db8:9::1"), [2, 4, 5, 7]);
    let exact = Groups::new(all, false).unwrap();
    let ann = Holder { user: Label::new("ann").unwrap(), ..plain.clone() };
    assert_eq!(exact.of(&ann, nowhere), [7]);
}

#[test]
fn a_changed_policy_ends_no_lease_and_holds_for_the_next_request() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 9).ttl_s(100)]);
    let mut client = Client::connected(1, &mut site);
    let claim = client.claim();
    let grant = client.request_as(&mut site, claim, "A", 1).unwrap();
    let nobody = Policy::new(groups(&[users(&["ada"])]), vec![rule("not-ada", Action::Exclude, 0, &[])]);
    site.shared.set_policy(nobody);
    client.renew(&mut site, grant.lease, claim).unwrap();
    client.request_as(&mut site, claim, "A", 1).expect("the same lease");
    assert_eq!(code(client.request(&mut site, "A", 1)), excluded("not-ada"));
    // Once it has ended it is a request like any other.
    site.advance(200_000);
    assert_eq!(code(client.request_as(&mut site, claim, "A", 1)), excluded("not-ada"));
    site.shared.set_policy(Policy::default());
    client.request_as(&mut site, claim, "A", 1).unwrap();
}

#[test]
fn of_several_rules_the_first_of_the_file_is_named() {
    let rules = vec![rule("one", Action::Exclude, 1, &[]), rule("two", Action::Exclude, 0, &["A"])];
    let policy = Policy::new(groups(&[users(&["ann"]), users(&["a*"])]), rules);
    let (feature, address) = (FeatureName::new("A").unwrap(), "192.0.2.1".parse().unwrap());
    let Verdict::Excluded(rule) = policy.judge(&feature, &holder("ann", "ws1"), address) else {
        panic!("not excluded")
    };
    assert_eq!(rule.id, "one");
}

#[test]
fn groups_that_are_in_themselves_or_nested_without_end_are_refused() {
    let inner = |ids: &[GroupId]| Group { groups: ids.to_vec(), ..Group::default() };
    let cycle = Groups::new(vec![inner(&[]), inner(&[2, 0]), inner(&[3]), inner(&[1])], true).unwrap_err();
    assert_eq!(cycle, GroupsError::Cycle(vec![1, 2, 3]));
    assert_eq!(Groups::new(vec![inner(&[0])], true).unwrap_err(), GroupsError::Cycle(vec![0]));
    let chain = |len: u32| (0..len).map(|id| inner(&if id == 0 { vec![] } else { vec![id - 1] })).collect::<Vec<_>>();
    assert!(Groups::new(chain(1000), true).is_ok());
    assert_eq!(Groups::new(chain(5000), true).unwrap_err(), GroupsError::Nesting);
}

#[test]
fn patterns_that_would_explode_are_matched_and_there_are_not_too_many() {
    let many = |n: usize| Group { users: (0..n).map(|n| format!("*a*a*a*a*{n}")).collect(), ..Group::default() };
    let groups = Groups::new(vec![many(PATTERNS_MAX)], true).unwrap();
    let name = "a".repeat(63) + "7";
    assert_eq!(groups.of(&holder(&name, "ws1"), "192.0.2.1".parse().unwrap()), [0]);
    assert_eq!(Groups::new(vec![many(PATTERNS_MAX + 1)], true).unwrap_err(), GroupsError::Patterns);
}
