//! Over generated certificates and generated text.

use proptest::{collection, option, prelude::*};

use super::*;
use crate::{
    crypto::Fingerprint,
    licence::{
        Certificate, Day, KeyType, SeatLimit, Terms,
        canonical::check,
        certificate::{Components, Dialect, Permission, Pooling, ShareBy, Superseded, Together},
    },
    vocab::{CertificateId, HostId, HostIdKind, Label, SeatCount, Version},
};

/// Texts with everything in them that a text format trips over.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        "[ -~]{1,12}",
        "[{}\"\\\\#=,> ]{1,6}",
        "[\\n \u{a0}\u{202e}\u{feff}é😀]{1,4}",
        Just("certificate {".to_owned())
    ];
    collection::vec(pieces, 1..6).prop_map(|pieces| pieces.concat())
}

fn day() -> impl Strategy<Value = Day> {
    (0..2_000_000i32).prop_map(|days| "1990-01-01".parse::<Day>().unwrap().plus_days(days))
}

fn terms() -> impl Strategy<Value = Terms> {
    let texts = [text(), text(), text(), text()].map(option::of);
    let keys = collection::vec(any::<[u8; 16]>().prop_map(Fingerprint), 0..5);
    (option::of(2..=86_400u32), option::of(0..=86_400u32), keys, texts, option::of((seat_terms(), places()))).prop_map(
        |(lease_ttl_s, grace_s, server_keys, [vendor_string, serial, issuer, notice], more)| {
            let (seats, places) = more.unwrap_or_default();
            Terms {
                lease_ttl_s,
                grace_s,
                server_keys,
                vendor_string,
                serial,
                issuer,
                notice,
                server_hostids: places.server_hostids,
                client_hostids: places.client_hostids,
                match_rate: places.match_rate,
                platforms: places.platforms,
                vm: places.vm,
                selectors: places.selectors,
                licensee: places.licensee,
                issued: places.issued,
                ..seats
            }
        },
    )
}

fn seat_terms() -> impl Strategy<Value = Terms> {
    let numbers = any::<[u8; 4]>();
    let features = collection::btree_map("[A-Za-z0-9_.+-]{1,20}", any::<(u16, u16, u16)>(), 0..4);
    let superseded = collection::vec(any::<Result<[u8; 8], bool>>(), 0..4);
    (numbers, option::of((1..=100u32, 0..=400u32)), features, superseded).prop_map(|(numbers, spans, features, old)| {
        let [first, second, third, _] = numbers;
        let pick = |n: u8| usize::from(n) % 2;
        let version = |(major, minor, patch)| Version { major, minor, patch };
        let features: Vec<_> =
            features.into_iter().map(|(name, at)| (FeatureName::new(&name).unwrap(), version(at))).collect();
        let superseded = |one: Result<[u8; 8], bool>| match one {
            Ok(id) => Superseded::Certificate(CertificateId(id)),
            Err(_) => Superseded::Feature(FeatureName::new("OLD").unwrap()),
        };
        Terms {
            dialect: Dialect::ALL[pick(first)],
            pools: Pooling::ALL[pick(second)],
            share: ShareBy::from_bits(third % 32),
            trial_days: spans.map(|(days, _)| u16::try_from(days).unwrap()),
            linger_s: spans.map(|(_, s)| s),
            overdraft: spans.map(|(n, _)| SeatCount::new(n).unwrap()),
            components: (!features.is_empty())
                .then_some(Components { together: Together::ALL[pick(first / 2)], features }),
            supersedes: old.into_iter().map(superseded).collect(),
            ..Terms::default()
        }
    })
}

fn places() -> impl Strategy<Value = Terms> {
    let hostid = prop_oneof![
        "[ -~é]{1,20}".prop_map(|value| HostId::new(HostIdKind::USER, &value).unwrap()),
        any::<[u8; 4]>().prop_map(|ip| HostId::new(HostIdKind::IP, &std::net::Ipv4Addr::from(ip).to_string()).unwrap()),
        Just(HostId::any()),
    ];
    let hostids = || collection::vec(hostid.clone(), 0..4);
    let labels = collection::vec("[ -~é]{1,20}".prop_map(|text| Label::new(&text).unwrap()), 0..3);
    (hostids(), hostids(), option::of(0..=100u8), labels, collection::vec(text(), 0..3), option::of(text()), day())
        .prop_map(|(server_hostids, client_hostids, match_rate, platforms, selectors, licensee, issued)| Terms {
            server_hostids,
            client_hostids,
            match_rate,
            platforms,
            vm: Permission::ALL[usize::from(licensee.is_some())],
            selectors,
            licensee,
            issued: Some(issued),
            ..Terms::default()
        })
}

prop_compose! {
    fn certificate()(
        feature in "[A-Za-z0-9_.+-]{1,64}",
        publisher in "[A-Za-z \"{}\\\\=#é>-]{1,20}",
        (major, minor, patch) in any::<(u16, u16, u16)>(),
        seats in option::of(1..=SeatCount::MAX.get()),
        additive in any::<bool>(),
        zone in prop_oneof![Just("UTC"), Just("Europe/Paris"), Just("Etc/GMT+12"), Just("America/Argentina/ComodRivadavia")],
        (start, end) in (option::of(day()), option::of(day())),
        terms in terms(),
    ) -> Certificate {
        let (start, end) = match (start, end) {
            (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
            either => either,
        };
        Certificate {
            publisher: Label::new(&publisher).unwrap(),
            feature: FeatureName::new(&feature).unwrap(),
            version: Version { major, minor, patch },
            count: seats.map_or(SeatLimit::Uncounted, |seats| SeatLimit::Counted(SeatCount::new(seats).unwrap())),
            key_type: if additive { KeyType::Additive } else { KeyType::Exclusive },
            zone: zone.to_owned(),
            start,
            end,
            terms,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_may_be_issued_reads_back_as_it_was(certificates in collection::vec(certificate(), 1..4), comment in text()) {
        let issued = certificates.iter().filter(|c| check(c).is_ok());
        let signed: Vec<_> = issued.map(|c| sign(c, &publisher(c.publisher.as_str(), 1))).collect();
        let keys: Vec<_> = certificates.iter().map(|c| publisher(c.publisher.as_str(), 1).public()).collect();
        let text = write(&signed, &comment);
        for line_end in ["\n", "\r\n", "\n> "] {
            let report = read(&text.replace('\n', line_end), &keys);
            // Equal keys under different names: the first name is tried first.
            prop_assert!(report.refused.iter().all(|r| matches!(r.why, LicenceError::Publisher { .. })), "{:?}\n{text}", report.refused);
            if keys.iter().all(|key| key.publisher() == keys[0].publisher()) {
                prop_assert_eq!(bare(&report.applied), signed.clone(), "{}", text);
            }
        }
    }

    #[test]
    fn one_changed_character_never_changes_what_is_granted(certificate in certificate(), at in any::<prop::sample::Index>(), c in any::<char>()) {
        if check(&certificate).is_err() {
            return Ok(());
        }
        let secret = publisher(certificate.publisher.as_str(), 1);
        let signed = sign(&certificate, &secret);
        let mut chars: Vec<char> = write(std::slice::from_ref(&signed), "").chars().collect();
        let at = at.index(chars.len());
        chars[at] = c;
        let text: String = chars.into_iter().collect();
        for found in read(&text, &[secret.public()]).applied {
            prop_assert_eq!(found.cose, signed.cose.clone(), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic_or_grant(pieces in collection::vec(prop_oneof![
        Just("certificate {".to_owned()), Just("}".to_owned()), Just("sign = 1a2b3c4d:ed25519:AAAA".to_owned()),
        Just("count = 10\n".to_owned()), Just("\"".to_owned()), Just("\\u".to_owned()), "\\PC{0,20}", any::<String>(), text(),
    ], 0..40)) {
        let report = read(&pieces.concat(), &keys());
        prop_assert_eq!(report.applied, vec![]);
    }
}
