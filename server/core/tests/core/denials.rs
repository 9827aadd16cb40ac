//! Every "no" this server says, word by word: one line for each code. Whoever shows denials to people takes them from here,
//! so that what is shown is what is said.

use std::fmt::Write as _;

use leasehold_core::{
    ServerConfig,
    policy::{AccessRule, Action, Group, Groups, Limit, Per, Policy, QueueRules, Reclaim, Reservation, Rules},
};
use leasehold_protocol::{
    crypto::SiteKey,
    licence::certificate::Permission,
    message::{ClientFrame, Deny, ServerFrame, Wait},
    time::Mono,
    vocab::{Denial, FeatureName, HostId, LeaseId},
};

use crate::rig::{Client, Hall, Lot, Site};

fn site(lots: &[Lot]) -> (Site, Client) {
    let mut site = Site::new();
    site.load(lots);
    let client = Client::connected(1, &mut site);
    (site, client)
}

fn of(lot: Lot) -> Box<Deny> {
    let (mut site, mut client) = site(&[lot]);
    client.request(&mut site, "VR_MODE", 1).unwrap_err()
}

fn by(rules: Rules) -> Box<Deny> {
    let (mut site, mut client) = site(&[Lot::of("VR_MODE", 2).ttl_s(300)]);
    let groups = Groups::new(vec![Group { everyone: true, ..Group::default() }, Group::default()], true).unwrap();
    site.shared.set_policy(Policy::new(groups, rules));
    loop {
        if let Err(deny) = client.request(&mut site, "VR_MODE", 1) {
            return deny;
        }
    }
}

fn access(action: Action, group: u32) -> Rules {
    vec![AccessRule { id: "cad-only".into(), action, group, features: None }].into()
}

fn shown(lot: Lot, ids: &[&str]) -> Box<Deny> {
    let (mut site, mut client) = site(&[lot]);
    let claim = client.claim();
    let mut request = client.request_frame(claim, "VR_MODE", 1);
    request.holder.hostids = ids.iter().map(|id| id.parse().unwrap()).collect();
    client.send_request(&mut site, &request).unwrap_err()
}

fn queue_full() -> Box<Deny> {
    let (mut site, mut client) = site(&[Lot::of("VR_MODE", 1).ttl_s(300)]);
    let queue = QueueRules { waiters_max: 1, ..QueueRules::default() };
    site.shared.set_policy(Policy::new(Groups::default(), Rules { queue, ..Rules::default() }));
    client.request(&mut site, "VR_MODE", 1).unwrap();
    let mut wait = || {
        let claim = client.claim();
        let request = client.request_frame(claim, "VR_MODE", 1);
        client.ask(&mut site, &[ClientFrame::Wait(Box::new(Wait { request, queue_only: false }))]).remove(0)
    };
    assert!(matches!(wait(), ServerFrame::Queued(_)));
    let ServerFrame::Deny(deny) = wait() else { panic!("not denied") };
    deny
}

fn too_many_leases() -> Box<Deny> {
    let mut site = Site::with(ServerConfig { leases_max: 1, ..ServerConfig::default() }, SiteKey::OPEN);
    site.load(&[Lot::of("VR_MODE", 10)]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "VR_MODE", 1).unwrap();
    client.request(&mut site, "VR_MODE", 1).unwrap_err()
}

fn restarting() -> Box<Deny> {
    let mut site = Site::new();
    let blind_until = Some(Mono(site.now.mono.0 + 90_000));
    site.restart(ServerConfig { boot_id: 2, blind_until, ..ServerConfig::default() });
    site.load(&[Lot::of("VR_MODE", 10)]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "VR_MODE", 1).unwrap_err()
}

/// What concerns one claim: a lease that is not there, one that was given back, another's, and another wish.
fn of_claims() -> Vec<Deny> {
    let (mut site, mut client) = site(&[Lot::of("VR_MODE", 10).ttl_s(300)]);
    let claim = client.claim();
    let unknown = client.renew(&mut site, LeaseId::new(9, 9), claim).unwrap_err();
    let grant = client.request_as(&mut site, claim, "VR_MODE", 1).unwrap();
    let other_wish = client.request_as(&mut site, claim, "VR_MODE", 2).unwrap_err();
    let mut other = Client::connected(2, &mut site);
    let not_yours = other.request_as(&mut site, claim, "VR_MODE", 1).unwrap_err();
    client.release(&mut site, grant.lease, claim);
    let released = client.request_as(&mut site, claim, "VR_MODE", 1).unwrap_err();
    vec![*unknown, *other_wish, *not_yours, *released]
}

fn draining() -> Box<Deny> {
    let (mut site, mut client) = site(&[Lot::of("VR_MODE", 10)]);
    site.shared.begin_drain();
    client.request(&mut site, "VR_MODE", 1).unwrap_err()
}

fn storage_failing() -> Box<Deny> {
    let (mut site, mut client) = site(&[Lot::of("VR_MODE", 10)]);
    site.shared.set_storage_failing(true);
    client.request(&mut site, "VR_MODE", 1).unwrap_err()
}

/// An idle seat, of which the notice is over.
fn reclaimed() -> Box<Deny> {
    let mut hall = Hall::new(&[Lot::of("A", 1).ttl_s(300)], 2);
    let everyone = Group { everyone: true, ..Group::default() };
    let rule = Reclaim { id: "idle".into(), idle_s: 60, notice_s: 10, busy_max_s: None, group: 0, features: None };
    let rules = Rules { reclaims: vec![rule], ..Rules::default() };
    hall.site.shared.set_policy(Policy::new(Groups::new(vec![everyone], true).unwrap(), rules));
    let held = hall.request(0, 1).grant();
    let ClientFrame::Renew(mut renew) = hall.clients[0].renew_frame(held.lease, held.claim) else { panic!() };
    renew.activity.idle_s = 60;
    hall.ask(0, &ClientFrame::Renew(renew));
    hall.queue(1, 1);
    hall.advance(11_000);
    let frame = hall.clients[0].renew_frame(held.lease, held.claim);
    let ServerFrame::Deny(deny) = hall.ask(0, &frame) else { panic!("not denied") };
    deny
}

fn all() -> Vec<Deny> {
    let ids = |text: &str| vec![text.parse::<HostId>().unwrap()];
    let (mut full, mut client) = site(&[Lot::of("VR_MODE", 1).ttl_s(300)]);
    client.request(&mut full, "VR_MODE", 1).unwrap();
    let limit = Limit { id: "two-each".into(), max: 1, per: Per::User, group: 0, exempt: None, features: None };
    let kept = Reservation {
        id: "lab".into(),
        seats: 1,
        feature: FeatureName::new("VR_MODE").unwrap(),
        version: "0.0".parse().unwrap(),
        group: 1,
    };
    let all = [
        client.request(&mut full, "VR_MOED", 1).unwrap_err(),
        client.request(&mut full, "VR_MODE", 1).unwrap_err(),
        client.request(&mut full, "VR_MODE", 2).unwrap_err(),
        of(Lot::of("VR_MODE", 1).version("4.0")),
        of(Lot::of("VR_MODE", 1).start("2026-02-01")),
        of(Lot::of("VR_MODE", 1).end("2025-12-31")),
        by(Rules { reservations: vec![kept], ..Rules::default() }),
        by(Rules { limits: vec![limit], ..Rules::default() }),
        by(access(Action::Exclude, 0)),
        by(access(Action::Include, 1)),
        shown(Lot::of("VR_MODE", 1).terms(|t| t.client_hostids = ids("disk:1")), &["disk:2"]),
        shown(Lot::of("VR_MODE", 1).terms(|t| t.vm = Permission::Refused), &["vm:kvm"]),
        shown(
            Lot::of("VR_MODE", 1).terms(|t| t.platforms = vec!["x86_64-linux".parse().unwrap()]),
            &["platform:aarch64-macos"],
        ),
        queue_full(),
        too_many_leases(),
        restarting(),
        draining(),
        storage_failing(),
        reclaimed(),
    ];
    let mut all: Vec<Deny> = all.into_iter().map(|deny| *deny).chain(of_claims()).collect();
    all.sort_by_key(|deny| deny.code);
    all
}

#[test]
fn every_denial_this_server_says_is_on_the_golden_page() {
    let mut page = String::from(
        "# code, seats out, seats there are, ms until the next is due back, ms to ask again after; its rule; its sentence\n",
    );
    for deny in all() {
        let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (due, again) = (number(deny.next_due.as_ref().map(|due| due.in_ms)), number(deny.retry_after_ms));
        let (code, out, total) = (deny.code, deny.seats_out, deny.seats_total);
        writeln!(page, "{code} {out} {total} {due} {again}\n  {}\n  {}", deny.rule, deny.sentence).unwrap();
    }
    if writes() {
        return write(&page);
    }
    assert_eq!(page, include_str!("../golden/denials.txt"));
    let codes: Vec<Denial> = all().iter().map(|deny| deny.code).collect();
    assert!(codes.windows(2).all(|two| two[0] < two[1]), "each once: {codes:?}");
    // Those that belong to what this server does not do yet.
    let silent: Vec<Denial> = Denial::ALL.iter().filter(|code| !codes.contains(code)).copied().collect();
    let not_yet = [
        Denial::ZONE,
        Denial::CLOCK,
        Denial::NOT_LEADER,
        Denial::BORROW_NOT_ALLOWED,
        Denial::WRONG_KEYWORD,
        Denial::NOT_ASSIGNED,
    ];
    assert_eq!(silent, not_yet);
}

#[expect(clippy::disallowed_methods, reason = "whoever changes a denial writes the page anew")]
fn writes() -> bool {
    std::env::var_os("LEASEHOLD_WRITE_GOLDEN").is_some()
}

#[expect(clippy::disallowed_methods, reason = "see above")]
fn write(page: &str) {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/denials.txt"), page).unwrap();
}
