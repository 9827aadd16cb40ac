//! Certificates in force, by date and by kind (L-4 to L-7, L-9 to L-12).

use leasehold_core::{Event, Outcome};
use leasehold_protocol::{
    message::LotUse,
    time::UnixMillis,
    vocab::{Denial, Version},
};

use crate::rig::{Client, Lot, Site};

const HOUR_MS: u64 = 3_600_000;

fn outcomes(site: &mut Site, lots: &[Lot]) -> Vec<Outcome> {
    site.load(lots).lines.into_iter().map(|line| line.outcome).collect()
}

/// What a lease was granted from: the end of each lot's version, and its seats.
fn told(lots: &[LotUse]) -> Vec<(String, u32)> {
    lots.iter().map(|lot| (lot.version.to_string(), lot.seats.get())).collect()
}

#[test]
fn additive_lots_are_one_pool_and_a_request_may_span_them() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1), Lot::of("A", 2).serial("2"), Lot::of("A", 3).serial("3")]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 4).unwrap();
    assert_eq!(told(&grant.lots), [("4.8".to_owned(), 1), ("4.8".to_owned(), 2), ("4.8".to_owned(), 1)]);
    assert_eq!((site.feature("A").used, site.feature("A").count), (4, Some(6)));
    let deny = client.request(&mut site, "A", 3).unwrap_err();
    assert_eq!((deny.code, deny.seats_out, deny.seats_total), (Denial::NO_SEAT, 4, 6));
    assert_eq!(site.feature("A").free, 2, "a half that was taken is given back");
    client.request(&mut site, "A", 2).unwrap();
    assert_eq!(client.request(&mut site, "A", 7).unwrap_err().code, Denial::TOO_MANY_SEATS);
}

#[test]
fn exact_versions_serve_before_higher_ones_and_sooner_ending_before_later() {
    let mut site = Site::new();
    site.load(&[
        Lot::of("A", 1).version("6.0"),
        Lot::of("A", 1).version("5.0").end("2026-12-31"),
        Lot::of("A", 1).version("5.0").end("2026-06-30"),
        Lot::of("A", 1).version("5.5").end("2026-03-31"),
        Lot::of("A", 1).version("4.0"),
        Lot::of("A", 1).version("5.0").end("2026-06-30").serial("twin"),
    ]);
    let mut client = Client::connected(1, &mut site);
    let ends = |day: &str| Some(day.parse::<leasehold_protocol::licence::Day>().unwrap().last_instant("UTC").unwrap());
    let mut ask = |version: &str| {
        let claim = client.claim();
        let mut request = client.request_frame(claim, "A", 1);
        request.version = version.parse().unwrap();
        client.send_request(&mut site, &request).map(|grant| (grant.lots[0].version.to_string(), grant.right_ends))
    };
    assert_eq!(ask("5.0").unwrap(), ("5.0".to_owned(), ends("2026-06-30")));
    assert_eq!(ask("5.0").unwrap(), ("5.0".to_owned(), ends("2026-06-30")));
    assert_eq!(ask("5.0").unwrap(), ("5.0".to_owned(), ends("2026-12-31")));
    assert_eq!(ask("5.0").unwrap(), ("5.5".to_owned(), ends("2026-03-31")));
    assert_eq!(ask("5.0").unwrap(), ("6.0".to_owned(), None));
    assert_eq!(ask("5.0").unwrap_err().code, Denial::NO_SEAT, "a right of 4.0 does not answer 5.0");
    assert_eq!(ask("0.0").unwrap(), ("4.0".to_owned(), None));
    assert_eq!(ask("6.0.1").unwrap_err().code, Denial::VERSION_TOO_HIGH);
}

#[test]
fn a_later_exclusive_certificate_makes_the_pool_from_itself() {
    let mut site = Site::new();
    let lots = [Lot::of("A", 9), Lot::of("A", 5).exclusive(), Lot::of("A", 2).exclusive(), Lot::of("A", 7).serial("x")];
    let by = site.sign(&lots[2]).id;
    let report = site.load(&lots);
    let muted = Outcome::Muted { by };
    let seen: Vec<_> = report.lines.iter().map(|line| line.outcome).collect();
    assert_eq!(seen, [muted, muted, Outcome::Applied, muted]);
    assert_eq!(site.feature("A").count, Some(2));
    let sentence = &report.lines[3].sentence;
    assert!(sentence.contains(&format!("the exclusive certificate {by} makes")), "{sentence}");
}

#[test]
fn the_report_says_what_became_of_each_certificate_and_why() {
    let mut site = Site::new();
    let mut stranger = Lot::of("A", 1);
    stranger.certificate.publisher = leasehold_protocol::vocab::Label::new("other").unwrap();
    let elsewhere =
        Lot::of("A", 2).terms(|terms| terms.server_keys = vec![leasehold_protocol::crypto::Fingerprint([1; 16])]);
    let lots = [
        Lot::of("A", 1),
        Lot::of("A", 1),
        stranger,
        elsewhere,
        Lot::of("A", 3).start("2026-02-01"),
        Lot::of("A", 4).end("2025-02-01"),
    ];
    let report = site.load(&lots);
    let words = [
        "1 seat of A 4.8 in force, permanently",
        "not counted again",
        "publisher other",
        "ask the publisher for a certificate that names it",
        "begin at 2026-02-01T00:00:00Z",
        "ended at 2025-02-01T23:59:59Z",
    ];
    for (line, words) in report.lines.iter().zip(words) {
        assert!(line.sentence.contains(words), "{line}");
    }
    assert_eq!((report.applied().count(), site.feature("A").count), (1, Some(1)));
    assert_eq!(report.next_change, lots[4].certificate.starts_at());
}

#[test]
fn a_right_begins_at_midnight_of_its_zone_by_itself() {
    let mut site = Site::new();
    // 2026-01-06 in Auckland begins at 11:00 UTC on the fifth: an hour ago. The seventh begins in 23 hours.
    site.load(&[
        Lot::of("A", 1).zone("Pacific/Auckland").start("2026-01-06"),
        Lot::of("A", 2).zone("Pacific/Auckland").start("2026-01-07"),
    ]);
    assert_eq!(site.feature("A").count, Some(1));
    site.sleep(23 * HOUR_MS - 1);
    assert_eq!(site.feature("A").count, Some(1));
    site.advance(0);
    assert_eq!(site.engine.poll_timeout().unwrap().ms_since(site.now.mono), 1);
    site.advance(1);
    assert_eq!(site.feature("A").count, Some(3));
    let changes = site.events.iter().filter(|event| matches!(event, Event::PlanChanged { .. })).count();
    assert_eq!((changes, site.counter("plan_changes")), (1, 1));
}

#[test]
fn a_request_at_the_instant_a_right_begins_is_granted_though_no_timer_ran() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).start("2026-01-06")]);
    let mut client = Client::connected(1, &mut site);
    site.sleep(12 * HOUR_MS - 1);
    let deny = client.request(&mut site, "A", 1).unwrap_err();
    assert_eq!((deny.code, deny.retry_after_ms), (Denial::NOT_STARTED, Some(1)));
    site.sleep(1);
    client.request(&mut site, "A", 1).unwrap();
}

#[test]
fn a_right_that_ends_at_midnight_interrupts_nobody_and_serves_nobody_new() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2).end("2026-01-05").ttl_s(86_400)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 2).unwrap();
    assert_eq!(grant.right_ends, Some(UnixMillis(site.now.wall.0 + 12 * HOUR_MS - 1)));
    site.sleep(12 * HOUR_MS - 1);
    assert!(!client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    site.sleep(1);
    assert!(client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    let feature = site.feature("A");
    assert_eq!((feature.count, feature.used, feature.free, feature.overage), (Some(0), 2, -2, 2));
    assert!(site.shared.leases(site.now)[0].overage);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::EXPIRED);
    client.release(&mut site, grant.lease, grant.claim);
    assert_eq!((site.feature("A").used, site.feature("A").overage), (0, 0));
}

#[test]
fn a_smaller_licence_leaves_the_newest_leases_over_and_grants_nothing_until_they_are_gone() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..5).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    let report = site.load(&[Lot::of("A", 3).serial("smaller")]);
    assert_eq!(report.overage, 2);
    let over: Vec<_> = site.shared.leases(site.now).iter().map(|lease| lease.overage).collect();
    assert_eq!(over, [false, false, false, true, true]);
    let feature = site.feature("A");
    assert_eq!((feature.count, feature.used, feature.free, feature.overage), (Some(3), 5, -2, 2));
    let deny = client.request(&mut site, "A", 1).unwrap_err();
    assert_eq!((deny.code, deny.seats_out, deny.seats_total), (Denial::NO_SEAT, 5, 3));
    assert!(deny.sentence.starts_with("5 seats are out of A and the licences in force allow 3"), "{}", deny.sentence);
    // Everybody is renewed; the over ones are told.
    for (n, grant) in grants.iter().enumerate() {
        assert_eq!(client.renew(&mut site, grant.lease, grant.claim).unwrap().overage, n >= 3);
    }
    // Two of the covered ones go: the over ones take their places, oldest first, and still nothing is free.
    client.release(&mut site, grants[0].lease, grants[0].claim);
    assert!(!client.renew(&mut site, grants[3].lease, grants[3].claim).unwrap().overage);
    assert!(client.renew(&mut site, grants[4].lease, grants[4].claim).unwrap().overage);
    assert!(client.request(&mut site, "A", 1).is_err());
    client.release(&mut site, grants[1].lease, grants[1].claim);
    assert_eq!((site.feature("A").overage, site.feature("A").free), (0, 0));
    assert!(client.request(&mut site, "A", 1).is_err());
    client.release(&mut site, grants[2].lease, grants[2].claim);
    client.request(&mut site, "A", 1).unwrap();
}

#[test]
fn a_renewed_licence_takes_over_what_is_out_and_never_doubles_it() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5).serial("2025")]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..4).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    site.load(&[Lot::of("A", 6).serial("2026")]);
    let feature = site.feature("A");
    assert_eq!((feature.used, feature.free, feature.overage, feature.lots[0].used), (4, 2, 0, 4));
    client.request(&mut site, "A", 2).unwrap();
    assert!(client.request(&mut site, "A", 1).is_err());
    assert!(!client.renew(&mut site, grants[0].lease, grants[0].claim).unwrap().overage);
}

#[test]
fn what_is_out_of_a_right_that_ended_counts_against_what_is_left() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2).version("5.0").end("2026-01-05").ttl_s(86_400), Lot::of("A", 3).version("4.0")]);
    let mut client = Client::connected(1, &mut site);
    let claim = client.claim();
    let mut five = client.request_frame(claim, "A", 2);
    five.version = "5.0".parse().unwrap();
    client.send_request(&mut site, &five).unwrap();
    site.advance(12 * HOUR_MS);
    // The two of 5.0 have no right any more and 4.0 does not cover them: of three seats in all, one may still go out.
    assert_eq!((site.feature("A").overage, site.feature("A").free), (2, 1));
    let mut four = |seats: u32| {
        let claim = client.claim();
        let mut request = client.request_frame(claim, "A", seats);
        request.version = Version::ANY;
        client.send_request(&mut site, &request)
    };
    assert_eq!(four(2).unwrap_err().code, Denial::NO_SEAT);
    four(1).unwrap();
    assert_eq!(four(1).unwrap_err().code, Denial::NO_SEAT);
}

#[test]
fn a_lease_split_by_an_end_keeps_all_its_seats() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 4).end("2026-01-05").ttl_s(86_400), Lot::of("A", 3).serial("kept")]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 4).unwrap();
    site.advance(12 * HOUR_MS);
    let lease = &site.shared.leases(site.now)[0];
    assert_eq!((lease.seats.get(), lease.overage), (4, true));
    assert_eq!(lease.lots.iter().map(|lot| lot.seats.get()).collect::<Vec<_>>(), [3, 1]);
    client.release(&mut site, grant.lease, grant.claim);
    assert_eq!((site.feature("A").free, site.feature("A").overage), (3, 0));
}

#[test]
fn a_feature_that_left_the_licences_keeps_its_holders_and_comes_back_with_them() {
    let mut site = Site::new();
    let lot = Lot::of("A", 2);
    site.load(std::slice::from_ref(&lot));
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 2).unwrap();
    site.load(&[Lot::of("B", 1)]);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SUCH_FEATURE);
    assert!(client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    site.load(&[lot]);
    assert!(!client.renew(&mut site, grant.lease, grant.claim).unwrap().overage);
    assert_eq!((site.feature("A").used, site.feature("A").free), (2, 0));
}

#[test]
fn loading_the_same_again_changes_nothing_for_those_who_hold() {
    let mut site = Site::new();
    let lots = [Lot::of("A", 2), Lot::of("A", 2).serial("2")];
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 3).unwrap();
    for _ in 0..3 {
        assert_eq!(outcomes(&mut site, &lots), [Outcome::Applied, Outcome::Applied]);
        assert_eq!((site.feature("A").used, site.feature("A").free, site.feature("A").overage), (3, 1, 0));
    }
}

#[test]
fn uncounted_seats_are_counted_for_the_record_and_never_run_out() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).uncounted(), Lot::of("A", 1).uncounted().serial("2")]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 2_147_483_647).unwrap();
    client.request(&mut site, "A", 2_147_483_647).unwrap();
    let feature = site.feature("A");
    assert_eq!((feature.count, feature.used, feature.free), (None, 4_294_967_294, i64::MAX));
}

#[test]
fn a_wall_clock_a_little_behind_does_not_bring_a_right_back_and_one_far_behind_does() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).end("2026-01-05")]);
    let mut client = Client::connected(1, &mut site);
    site.sleep(12 * HOUR_MS);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::EXPIRED);
    site.now.wall.0 -= 30_000;
    client.connect(&mut site);
    assert_eq!(client.request(&mut site, "A", 1).unwrap_err().code, Denial::EXPIRED);
    // An administrator corrected a clock that was wrong.
    site.now.wall.0 -= HOUR_MS;
    client.connect(&mut site);
    client.request(&mut site, "A", 1).unwrap();
    site.advance(10_000);
    assert_eq!(site.feature("A").used, 1);
}

#[test]
fn a_feature_whose_rights_have_all_ended_says_which_and_when() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).end("2026-01-05"), Lot::of("B", 1)]);
    assert_eq!(site.feature("A").ended, None);
    site.advance(12 * HOUR_MS);
    let (ended, lasting) = (site.feature("A"), site.feature("B"));
    assert_eq!(ended.ended.map(|UnixMillis(ms)| ms % 1000), Some(999), "the last millisecond of its last day");
    assert_eq!((ended.version, ended.count, ended.free), (lasting.version, Some(0), 0));
    assert_eq!((ended.next_end, lasting.ended), (None, None));
}

#[test]
fn loading_into_a_realm_that_is_not_here_says_so() {
    let site = Site::new();
    let signed = vec![site.sign(&Lot::of("A", 1))];
    let report = site.shared.load(leasehold_protocol::vocab::RealmId(77), signed, site.now);
    assert_eq!(report.lines[0].outcome, Outcome::OtherRealm);
    assert!(report.lines[0].sentence.contains("no realm for publisher acme"));
}
