//! Kinds of right as the engine serves them: upgrades, separate pools, overdraft, tokens, suites, trials, meters, and rights
//! that are for certain machines (L-7, L-8, L-10, L-13, L-14, L-16, L-17, L-19).

use leasehold_core::{Event, Past};
use leasehold_protocol::{
    licence::certificate::{Components, Cost, KeyType, Metered, Permission, Pooling, Terms, Together},
    message::{Deny, Grant},
    time::UnixMillis,
    vocab::{Denial, FeatureName, HostId, SeatCount, Version},
};

use crate::rig::{Client, Lot, Site};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn upgrade(seats: u32) -> Lot {
    let mut lot = Lot::of("A", seats);
    lot.certificate.key_type = KeyType::Upgrade;
    lot
}

fn exclusive(seats: u32) -> Lot {
    Lot::of("A", seats).exclusive()
}

fn seats(n: u32) -> Option<SeatCount> {
    Some(SeatCount::new(n).unwrap())
}

fn token(name: &str, n: u32, of: &str) -> Lot {
    let cost = Cost { seats: SeatCount::new(n).unwrap(), of: FeatureName::new(of).unwrap(), version: Version::ANY };
    Lot::of(name, 1).uncounted().terms(|t| t.cost = Some(cost))
}

fn ask_as(client: &mut Client, site: &mut Site, hostids: &[&str]) -> Result<Grant, Box<Deny>> {
    let claim = client.claim();
    let mut request = client.request_frame(claim, "A", 1);
    request.holder.hostids = hostids.iter().map(|id| id.parse().unwrap()).collect();
    client.send_request(site, &request)
}

/// "Exclusive 5 + upgrade 1 + upgrade 2 (ending earlier)" around `midnight`, in UTC, after which that one has ended.
fn upgrade_ends_at(zone: &str, last_day: &str, midnight: u64) {
    let mut site = Site::new();
    site.now.wall = UnixMillis(midnight - HOUR_MS);
    site.load(&[exclusive(5).zone(zone).ttl_s(86_400), upgrade(1).zone(zone), upgrade(2).zone(zone).end(last_day)]);
    let mut client = Client::connected(1, &mut site);
    assert_eq!((site.feature("A").count, site.feature("A").upgraded_by), (Some(8), 3));
    let grant = client.request(&mut site, "A", 8).unwrap();
    // Whoever looks sees one licence.
    assert_eq!((grant.lots.len(), grant.lots[0].seats.get()), (1, 8));
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    site.sleep(HOUR_MS - 1);
    assert!(!client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    assert_eq!(site.feature("A").count, Some(8), "to its last millisecond");
    site.sleep(1);
    // What is told of certificates is what they are by now.
    let words =
        |site: &Site| site.shared.reports(site.now)[0].lines.iter().map(|l| l.outcome.word()).collect::<Vec<_>>();
    assert_eq!(words(&site), ["applied", "applied", "expired"]);
    // Nobody is cut off: the lease goes on, is flagged, and nothing new goes out.
    assert!(client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    let feature = site.feature("A");
    assert_eq!((feature.count, feature.used, feature.free, feature.overage), (Some(6), 8, -2, 2));
    assert!(site.shared.leases(site.now)[0].overage);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    assert_eq!(client.request(&mut site, "A", 7).unwrap_err().code, Denial::TOO_MANY_SEATS);
    client.release(&mut site, grant.lease, grant.claim);
    client.request(&mut site, "A", 6).unwrap();
}

#[test]
fn an_upgrade_that_ends_leaves_overage_and_cuts_nobody_off() {
    // 2026-10-01T00:00Z.
    upgrade_ends_at("UTC", "2026-09-30", 1_790_812_800_000);
}

#[test]
fn the_same_at_both_changes_of_the_clocks_in_berlin() {
    // 2026-03-29 has 23 hours and ends at 22:00Z; 2026-10-25 has 25 and ends at 23:00Z.
    upgrade_ends_at("Europe/Berlin", "2026-03-29", 1_774_821_600_000);
    upgrade_ends_at("Europe/Berlin", "2026-10-25", 1_792_969_200_000);
}

#[test]
fn the_same_before_a_day_that_has_no_midnight() {
    // 2018-11-04 begins at 01:00 in Sao Paulo, 03:00Z: the day before ends then.
    upgrade_ends_at("America/Sao_Paulo", "2018-11-03", 1_541_300_400_000);
}

#[test]
fn a_lease_on_an_upgrades_seats_moves_to_free_ones_when_it_ends() {
    let mut site = Site::new();
    site.load(&[exclusive(5).ttl_s(86_400), upgrade(2).end("2026-01-05")]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 3).unwrap();
    // Sooner-ending seats go out first.
    let lots = site.feature("A").lots;
    assert_eq!(lots.iter().map(|lot| (lot.count, lot.used)).collect::<Vec<_>>(), [(Some(2), 2), (Some(5), 1)]);
    assert_eq!(grant.right_ends, Some(UnixMillis(site.now.wall.0 + 12 * HOUR_MS - 1)));
    site.advance(12 * HOUR_MS);
    assert!(!client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    let feature = site.feature("A");
    assert_eq!((feature.count, feature.used, feature.overage, feature.lots[0].used), (Some(5), 3, 0, 3));
}

/// L-7, LT-10.
#[test]
fn pools_of_one_two_and_three_serve_a_request_from_one_of_them() {
    let pool = |n: u32| Lot::of("A", n).serial(&n.to_string()).terms(|t| t.pools = Pooling::Separate);
    let mut site = Site::new();
    site.load(&[pool(1), pool(2), pool(3)]);
    let mut client = Client::connected(1, &mut site);
    let feature = site.feature("A");
    assert_eq!((feature.count, feature.largest), (Some(6), Some(3)));
    let deny = client.request(&mut site, "A", 4).unwrap_err();
    assert_eq!(deny.code, Denial::TOO_MANY_SEATS);
    assert!(
        deny.sentence.contains("the largest of its pools, which a request may not span, has 3"),
        "{}",
        deny.sentence
    );
    // Three takes the third pool, two the second, and then three more would need both.
    let three = client.request(&mut site, "A", 3).unwrap();
    assert_eq!(three.lots.len(), 1);
    assert_eq!(site.feature("A").lots.iter().map(|lot| lot.used).collect::<Vec<_>>(), [0, 0, 3]);
    assert_eq!(client.request(&mut site, "A", 3).unwrap_err().code, Denial::NO_SEAT);
    client.request(&mut site, "A", 2).unwrap();
    client.request(&mut site, "A", 1).unwrap();
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    client.release(&mut site, three.lease, three.claim);
    client.request(&mut site, "A", 3).unwrap();
}

/// L-13, LT-30.
#[test]
fn overdraft_goes_out_last_and_is_told_apart() {
    let mut site = Site::new();
    site.load(&[exclusive(2).terms(|t| (t.overdraft, t.soft_limit) = (seats(2), seats(1)))]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..3).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    let feature = site.feature("A");
    assert_eq!((feature.count, feature.used, feature.overdraft, feature.overdraft_used), (Some(2), 3, 2, 1));
    assert_eq!((feature.soft_limit, feature.free, feature.overage), (Some(1), 1, 0));
    // A regular seat that comes back is taken before more overdraft is.
    client.release(&mut site, grants[0].lease, grants[0].claim);
    client.request(&mut site, "A", 1).unwrap();
    assert_eq!(site.feature("A").overdraft_used, 1);
    client.request(&mut site, "A", 1).unwrap();
    let deny = client.request(&mut site, "A", 1).unwrap_err();
    assert_eq!((deny.code, deny.seats_out, deny.seats_total), (Denial::NO_SEAT, 4, 4));
}

/// L-14, LT-21.
#[test]
fn a_token_takes_its_price_all_or_nothing_and_gives_it_back() {
    let mut site = Site::new();
    site.load(&[token("A", 3, "B"), token("B", 2, "T"), Lot::of("T", 20).ttl_s(100)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 2).unwrap();
    assert_eq!(grant.seats.get(), 2);
    let (a, t) = (site.feature("A"), site.feature("T"));
    assert_eq!((a.count, a.used, a.free), (Some(3), 2, 1));
    assert_eq!(a.drawn.as_ref().map(|(name, each)| (name.as_str(), *each)), Some(("T", 6)));
    assert_eq!((t.count, t.used, t.free), (Some(20), 12, 8));
    let lease = &site.shared.leases(site.now)[0];
    assert_eq!((lease.feature.as_str(), lease.seats.get(), lease.lots[0].seats.get()), ("A", 2, 12));
    // Eight are free: one more of A fits, two do not, three never would.
    let deny = client.request(&mut site, "A", 2).unwrap_err();
    assert_eq!(deny.code, Denial::NO_SEAT);
    assert!(
        deny.sentence.starts_with("2 seats of A would take 12 seats of T, and 8 of 20 are free"),
        "{}",
        deny.sentence
    );
    let deny = client.request(&mut site, "A", 4).unwrap_err();
    assert_eq!(deny.code, Denial::TOO_MANY_SEATS);
    assert!(deny.sentence.contains("each 6 of T, of which there are 20"), "{}", deny.sentence);
    assert_eq!(client.request(&mut site, "A", u32::MAX >> 1).unwrap_err().code, Denial::TOO_MANY_SEATS);
    // The same asking again is the same lease; the same claim for something else is not.
    let again = client.request_frame(grant.claim, "A", 2);
    assert_eq!(client.send_request(&mut site, &again).unwrap().lease, grant.lease);
    let other = client.request_frame(grant.claim, "T", 12);
    assert_eq!(client.send_request(&mut site, &other).unwrap_err().code, Denial::BAD_REQUEST);
    let direct = client.request(&mut site, "T", 8).unwrap();
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    client.release(&mut site, direct.lease, direct.claim);
    client.release(&mut site, grant.lease, grant.claim);
    assert_eq!((site.feature("A").used, site.feature("T").used), (0, 0));
    // One that is not renewed comes back too, in the same millisecond for who asks.
    client.request(&mut site, "A", 3).unwrap();
    site.sleep(100_000);
    client.request(&mut site, "A", 3).unwrap();
}

#[test]
fn a_token_lease_outlives_the_certificate_that_set_its_price() {
    let mut site = Site::new();
    site.load(&[token("A", 3, "T"), Lot::of("T", 9)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 2).unwrap();
    // Now A has seats of its own, and T has fewer.
    site.load(&[Lot::of("A", 5), Lot::of("T", 4).serial("fewer")]);
    assert!(client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    assert_eq!((site.feature("T").used, site.feature("T").overage, site.feature("A").count), (6, 2, Some(5)));
    assert_eq!(client.request(&mut site, "T", 1).unwrap_err().code, Denial::NO_SEAT);
    client.request(&mut site, "A", 5).unwrap();
    client.release(&mut site, grant.lease, grant.claim);
    client.request(&mut site, "T", 4).unwrap();
}

/// L-14.
#[test]
fn components_of_a_suite_draw_on_its_seats() {
    let features = ["A", "B"].map(|name| (FeatureName::new(name).unwrap(), Version::ANY)).to_vec();
    let suite = Components { together: Together::Suite, features };
    let mut site = Site::new();
    site.load(&[Lot::of("OFFICE", 2).exclusive().terms(|t| t.components = Some(suite))]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 1).unwrap();
    client.request(&mut site, "B", 1).unwrap();
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    assert_eq!((site.feature("OFFICE").used, site.feature("A").used, site.feature("B").used), (2, 1, 1));
    let claim = client.claim();
    let mut newer = client.request_frame(claim, "A", 1);
    newer.version = "5.0".parse().unwrap();
    assert_eq!(client.send_request(&mut site, &newer).unwrap_err().code, Denial::VERSION_TOO_HIGH);
}

/// L-16.
#[test]
fn a_trial_begins_with_its_first_use_and_ends_for_good() {
    let trial = || exclusive(2).ttl_s(86_400).terms(|t: &mut Terms| t.trial_days = Some(10));
    let mut site = Site::new();
    site.load(&[trial()]);
    site.advance(30 * DAY_MS);
    let mut client = Client::connected(1, &mut site);
    let begun = site.now.wall;
    let grant = client.request(&mut site, "A", 1).unwrap();
    // Noon of a day: the tenth day after it ends twelve hours and ten days later.
    let ends = UnixMillis(begun.0 + 10 * DAY_MS + 12 * HOUR_MS - 1);
    assert_eq!(grant.right_ends, Some(ends));
    let began: Vec<_> = site.events.iter().filter(|event| matches!(event, Event::TrialBegan { .. })).collect();
    let certificate = site.sign(&trial()).id;
    assert_eq!(began, [&Event::TrialBegan { realm: site.realm(), certificate, at: begun }]);
    client.request(&mut site, "A", 1).unwrap();
    site.load(&[]);
    site.load(&[trial()]);
    assert_eq!(site.feature("A").next_end, Some(ends), "loading it again begins nothing");
    site.sleep(11 * DAY_MS);
    client.connect(&mut site);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::EXPIRED);
    // A server that is started again is told when it began.
    site.restart(leasehold_core::ServerConfig::default());
    let past = Past { trials: [(certificate, begun)].into(), ..Past::default() };
    site.shared.serve_as(site.realm(), Vec::new(), &past);
    let report = site.load(&[trial()]);
    assert_eq!(report.lines[0].outcome.word(), "trial_over");
}

/// L-17, LT-23, LT-33.
#[test]
fn units_are_used_up_unless_they_are_given_back_in_time() {
    let metered = |kind| exclusive(10).ttl_s(100).terms(move |t| (t.metered, t.undo_s) = (Some(kind), Some(60)));
    let mut site = Site::new();
    site.load(&[metered(Metered::Consumed)]);
    let mut client = Client::connected(1, &mut site);
    let stand = |site: &Site| {
        let feature = site.feature("A");
        (feature.used, feature.used_up, feature.free)
    };
    // Given back within a minute: nothing was used.
    let undone = client.request(&mut site, "A", 2).unwrap();
    site.sleep(59_999);
    client.release(&mut site, undone.lease, undone.claim);
    assert_eq!(stand(&site), (0, 0, 10));
    // After it: used up.
    let kept = client.request(&mut site, "A", 3).unwrap();
    site.sleep(60_000);
    client.release(&mut site, kept.lease, kept.claim);
    assert_eq!(stand(&site), (0, 3, 7));
    // Not renewed: used up, however short it was.
    client.request(&mut site, "A", 4).unwrap();
    site.advance(100_001);
    assert_eq!(stand(&site), (0, 7, 3));
    assert_eq!(client.request(&mut site, "A", 4).unwrap_err().code, Denial::NO_SEAT);
    client.request(&mut site, "A", 3).unwrap();
    let told: Vec<i64> = site
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Metered { units, .. } => Some(*units),
            _ => None,
        })
        .collect();
    assert_eq!(told, [2, -2, 3, 4, 3]);
    // A server that is started again is told what was used.
    site.restart(leasehold_core::ServerConfig::default());
    let certificate = site.sign(&metered(Metered::Consumed)).id;
    let past = Past { used: [(certificate, 9)].into(), ..Past::default() };
    site.shared.serve_as(site.realm(), Vec::new(), &past);
    site.load(&[metered(Metered::Consumed)]);
    let mut client = Client::connected(2, &mut site);
    client.request(&mut site, "A", 1).unwrap();
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    // Reusable units come back like seats.
    let mut site = Site::new();
    site.load(&[metered(Metered::Reusable)]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 10).unwrap();
    site.advance(100_001);
    assert_eq!(stand(&site), (0, 0, 10));
}

/// T-1, L-19, TR-04.
#[test]
fn a_right_for_certain_machines_says_which_of_them_it_saw() {
    let ids = |text: &str| text.split(' ').map(|id| id.parse::<HostId>().unwrap()).collect::<Vec<_>>();
    let mut site = Site::new();
    site.load(&[exclusive(9).terms(|t| {
        (t.client_hostids, t.match_rate) = (ids("disk:1 ethernet:0012ab34cd56 host:render"), Some(66));
    })]);
    let mut client = Client::connected(1, &mut site);
    let deny = ask_as(&mut client, &mut site, &["disk:1", "user:ada"]).unwrap_err();
    assert_eq!(deny.code, Denial::HOSTID_MISMATCH);
    let sentence =
        "A is locked: of the hostids it lists this machine has disk:1, and has not ethernet:0012ab34cd56, host:render";
    assert_eq!(deny.sentence, sentence);
    ask_as(&mut client, &mut site, &["disk:1", "host:Render"]).unwrap();
    // The address a request comes from is one of the asker's, whatever it says.
    site.load(&[exclusive(9).serial("2").terms(|t| t.client_hostids = ids("ip:10.0.0.0/30"))]);
    ask_as(&mut client, &mut site, &[]).unwrap();
    let mut stranger = Client::connected(9, &mut site);
    assert_eq!(ask_as(&mut stranger, &mut site, &[]).unwrap_err().code, Denial::HOSTID_MISMATCH);
}

/// T-3, LT-48.
#[test]
fn platforms_virtual_machines_and_remote_sessions_are_asked_about_only_where_a_right_says_so() {
    let mut site = Site::new();
    site.load(&[exclusive(9).terms(|t| {
        t.platforms = vec!["x86_64-linux".parse().unwrap()];
        (t.vm, t.terminal_server) = (Permission::Refused, Permission::Refused);
    })]);
    let mut client = Client::connected(1, &mut site);
    let here = "platform:x86_64-linux";
    ask_as(&mut client, &mut site, &[here]).unwrap();
    for (shown, code, why) in [
        (vec![], Denial::PLATFORM, "this program is for a platform it does not tell"),
        (
            vec!["platform:aarch64-macos"],
            Denial::PLATFORM,
            "it is for x86_64-linux, and this program is for aarch64-macos",
        ),
        (
            vec![here, "vm:kvm"],
            Denial::VM_NOT_ALLOWED,
            "it may not be used in a virtual machine, and this is one (kvm)",
        ),
        (vec![here, "terminal-server:ssh"], Denial::VM_NOT_ALLOWED, "a remote session, and this is one (ssh)"),
    ] {
        let deny = ask_as(&mut client, &mut site, &shown).unwrap_err();
        assert_eq!(deny.code, code, "{}", deny.sentence);
        assert!(deny.sentence.contains(why), "{}", deny.sentence);
    }
    site.load(&[exclusive(9)]);
    ask_as(&mut client, &mut site, &["vm:kvm", "terminal-server:ssh"]).unwrap();
}

#[test]
fn a_machine_that_one_lot_locks_out_is_served_by_another() {
    let locked = Lot::of("A", 1).terms(|t| t.client_hostids = vec!["disk:1".parse().unwrap()]);
    let mut site = Site::new();
    site.load(&[locked, Lot::of("A", 1).serial("open")]);
    let mut client = Client::connected(1, &mut site);
    ask_as(&mut client, &mut site, &["disk:2"]).unwrap();
    assert_eq!(ask_as(&mut client, &mut site, &["disk:2"]).unwrap_err().code, Denial::NO_SEAT);
    ask_as(&mut client, &mut site, &["disk:1"]).unwrap();
}
