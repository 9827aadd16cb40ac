//! LICENCE_QUERY: which certificates do the seats come from? (S-5, L-8, L-14.)

use leasehold_protocol::{
    licence::{
        PublisherKey, canonical,
        certificate::{Cost, KeyType},
    },
    message::{ClientFrame, FeatureQuery, LicenceInfo, LicenceLine, LicenceQuery, ServerFrame},
    vocab::{FeatureName, OperationId, SeatCount, Version},
};

use crate::rig::{Client, Lot, Site};

fn upgrade(seats: u32, serial: &str) -> Lot {
    let mut lot = Lot::of("A", seats).serial(serial);
    lot.certificate.key_type = KeyType::Upgrade;
    lot
}

fn ask(client: &mut Client, site: &mut Site, query: LicenceQuery) -> Box<LicenceInfo> {
    let mut answers = client.ask(site, &[ClientFrame::LicenceQuery(query)]);
    match (answers.pop(), answers.is_empty()) {
        (Some(ServerFrame::LicenceInfo(info)), true) => info,
        other => panic!("{other:?}"),
    }
}

/// All pages, and how many there were.
fn all(client: &mut Client, site: &mut Site, only: Option<&str>) -> (Vec<LicenceLine>, u64) {
    let (mut lines, mut pages): (Vec<LicenceLine>, u64) = (vec![], 0);
    loop {
        let from = lines.last().map(|line| line.feature.clone());
        let heard = lines.iter().filter(|line| Some(&line.feature) == from.as_ref()).count();
        let only = only.map(|name| FeatureName::new(name).unwrap());
        let query = LicenceQuery { operation: OperationId(pages), only, from, skip: heard.try_into().unwrap() };
        let info = ask(client, site, query);
        assert_eq!(info.operation, OperationId(pages));
        lines.extend(info.licences);
        pages += 1;
        if !info.more {
            return (lines, pages);
        }
    }
}

fn shown(lines: &[LicenceLine]) -> Vec<(&str, Option<u32>, u32, u32, u32)> {
    lines.iter().map(|l| (l.feature.as_str(), l.count, l.upgraded_by, l.overdraft, l.used)).collect()
}

/// L-8: "it is never listed as a licence: the exclusive one reports its upgrade count".
#[test]
fn an_upgrade_is_in_the_line_of_what_it_raises() {
    let mut site = Site::new();
    let overdraft = Some(SeatCount::new(4).unwrap());
    site.load(&[
        Lot::of("A", 5).exclusive().end("2030-12-31").terms(|t| t.overdraft = overdraft),
        upgrade(1, "one").end("2030-06-30"),
        upgrade(2, "two").end("2030-12-31"),
        Lot::of("B", 9),
    ]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 10).unwrap();
    let (lines, _) = all(&mut client, &mut site, None);
    assert_eq!(shown(&lines), [("A", Some(8), 3, 4, 10), ("B", Some(9), 0, 0, 0)]);
    // The end is the exclusive one's, not that of the upgrade that ends first.
    assert_eq!(lines[0].ends, site.feature("A").lots.iter().filter_map(|lot| lot.ends).max());
    assert_eq!(lines[0].starts, None);
    let (only, _) = all(&mut client, &mut site, Some("B"));
    assert_eq!(only, lines[1..]);
    assert_eq!(all(&mut client, &mut site, Some("C")).0, []);
}

/// What a publisher signed reaches the program as it was signed.
#[test]
fn the_signed_bytes_come_with_a_line() {
    let mut site = Site::new();
    let vendor = Lot::of("A", 5).terms(|t| t.vendor_string = Some("edition=pro;cells=4000".to_owned()));
    site.load(&[vendor]);
    let key: PublisherKey = site.publisher.public();
    let mut client = Client::connected(1, &mut site);
    let (lines, _) = all(&mut client, &mut site, Some("A"));
    let signed = canonical::verify_cose(&lines[0].signed, &[key]).unwrap();
    assert_eq!(signed.id, lines[0].certificate);
    assert_eq!(signed.certificate.terms.vendor_string.as_deref(), Some("edition=pro;cells=4000"));
}

#[test]
fn one_that_is_too_long_for_a_datagram_comes_without_them() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5).terms(|t| t.vendor_string = Some("x".repeat(2000))), Lot::of("B", 1)]);
    let mut client = Client::connected(1, &mut site);
    let (lines, _) = all(&mut client, &mut site, None);
    assert_eq!((lines[0].count, lines[0].signed.len()), (Some(5), 0));
    assert!(!lines[1].signed.is_empty());
}

#[test]
fn many_come_a_page_at_a_time_and_each_once() {
    let mut site = Site::new();
    let of_a = (0..40).map(|n| Lot::of("A", n + 1));
    let rest = (0..30).map(|n| Lot::of(&format!("F{n:02}"), 1));
    site.load(&of_a.chain(rest).collect::<Vec<_>>());
    let mut client = Client::connected(1, &mut site);
    let (lines, pages) = all(&mut client, &mut site, None);
    assert!(pages > 5, "{pages}");
    let mut seats: Vec<_> = lines.iter().filter(|l| l.feature.as_str() == "A").filter_map(|l| l.count).collect();
    seats.sort_unstable();
    assert_eq!(seats, (1..=40).collect::<Vec<_>>());
    assert_eq!(lines.len(), 70);
    assert!(lines.is_sorted_by_key(|line| line.feature.clone()));
    // Whatever number it is asked to skip, it answers.
    let a = FeatureName::new("A").ok();
    let query = LicenceQuery { operation: OperationId(1), only: a.clone(), from: a, skip: u32::MAX };
    assert_eq!(ask(&mut client, &mut site, query).licences, []);
}

/// L-14: a feature whose seats are another one's says so by the certificate that makes it so.
#[test]
fn a_token_is_listed_with_as_many_seats_as_can_be_made() {
    let cost = Cost { seats: SeatCount::new(3).unwrap(), of: FeatureName::new("T").unwrap(), version: Version::ANY };
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).uncounted().terms(|t| t.cost = Some(cost)), Lot::of("T", 20)]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 2).unwrap();
    let (lines, _) = all(&mut client, &mut site, None);
    assert_eq!(shown(&lines), [("A", Some(6), 0, 0, 2), ("T", Some(20), 0, 0, 6)]);
    assert_ne!(lines[0].certificate, lines[1].certificate);
    // FEATURE_INFO tells the same.
    let query = FeatureQuery { operation: OperationId(1), only: FeatureName::new("A").ok(), after: None };
    let answers = client.ask(&mut site, &[ClientFrame::FeatureQuery(query)]);
    let [ServerFrame::FeatureInfo(info)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((info.features[0].count, info.features[0].used), (Some(6), 2));
}
