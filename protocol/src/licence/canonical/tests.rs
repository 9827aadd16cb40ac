pub(in crate::licence) mod kinds;

use super::*;
use crate::{
    crypto::Fingerprint,
    licence::{KeyType, SeatLimit, Terms},
    vocab::{FeatureName, Label, SeatCount, Version},
};

/// A publisher whose key is the same in every run.
pub(in crate::licence) fn publisher(name: &str, seed: u8) -> PublisherSecret {
    PublisherSecret::generate(&Label::new(name).unwrap(), &mut |bytes: &mut [u8]| bytes.fill(seed))
}

/// A certificate with every claim there is.
pub(in crate::licence) fn full() -> Certificate {
    Certificate {
        publisher: Label::new("demo").unwrap(),
        feature: FeatureName::new("VR_MODE").unwrap(),
        version: Version { major: 4, minor: 8, patch: 1 },
        count: SeatLimit::Counted(SeatCount::new(10).unwrap()),
        key_type: KeyType::Additive,
        zone: "Europe/Paris".to_owned(),
        start: Some("2026-01-01".parse().unwrap()),
        end: Some("2026-12-31".parse().unwrap()),
        terms: Terms {
            lease_ttl_s: Some(600),
            grace_s: Some(120),
            server_keys: vec![Fingerprint([0x11; 16]), Fingerprint([0x22; 16])],
            vendor_string: Some("site=Lyon; seats {named}".to_owned()),
            serial: Some("2026-0042".to_owned()),
            issuer: Some("Demo \"Tools\" SA".to_owned()),
            notice: Some("For the Lyon office and its guests, not for resale to anybody else.\nThank you.".to_owned()),
            ..Terms::default()
        },
    }
}

/// A certificate with nothing that may be left out.
pub(in crate::licence) fn small() -> Certificate {
    let c = full();
    Certificate {
        key_type: KeyType::Exclusive,
        zone: "UTC".to_owned(),
        start: None,
        end: None,
        terms: Terms::default(),
        ..c
    }
}

#[test]
fn what_is_signed_verifies_and_reads_back() {
    let secret = publisher("demo", 1);
    for certificate in [small(), full()] {
        let signed = sign(&certificate, &secret);
        assert_eq!(verify_cose(&signed.cose, &[secret.public()]).as_ref(), Ok(&signed));
        assert_eq!(signed.certificate, certificate);
    }
}

#[test]
fn no_bit_of_a_signed_certificate_may_change() {
    let secret = publisher("demo", 1);
    let (signed, keys) = (sign(&full(), &secret), [secret.public(), publisher("acme", 2).public()]);
    for bit in 0..signed.cose.len() * 8 {
        let mut changed = signed.cose.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_cose(&changed, &keys).is_err(), "bit {bit}");
    }
    for len in 0..signed.cose.len() {
        assert!(verify_cose(&signed.cose[..len], &keys).is_err(), "{len} bytes");
    }
}

/// Bytes that `secret` really signed over `payload`, whatever it says.
fn signed_payload(payload: &[u8], secret: &PublisherSecret) -> Vec<u8> {
    let protected = cose::protected(Algorithm::Ed25519, secret.public().key_id());
    cose::encode(&protected, payload, &secret.sign(&cose::to_be_signed(&protected, payload)))
}

fn refusal(cose: &[u8], keys: &[PublisherKey]) -> LicenceError {
    verify_cose(cose, keys).expect_err("refused")
}

#[test]
fn another_cose_library_reads_what_we_sign_and_we_read_what_it_signs() {
    use coset::{AsCborValue, CborSerializable, TaggedCborSerializable, iana};
    let secret = publisher("demo", 1);
    let signed = sign(&full(), &secret);
    let theirs = coset::CoseSign1::from_tagged_slice(&signed.cose).unwrap();
    assert_eq!(theirs.protected.header.alg, Some(coset::Algorithm::Assigned(iana::Algorithm::EdDSA)));
    assert_eq!(theirs.protected.header.key_id, signed.key_id.0);
    let verified = theirs.verify_signature(CONTEXT.as_bytes(), |signature, message| {
        secret.public().verify(message, signature.try_into().unwrap()).then_some(()).ok_or(())
    });
    assert_eq!(verified, Ok(()));

    let header = coset::HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(signed.key_id.0.to_vec()).build();
    let rebuilt = coset::CoseSign1Builder::new()
        .protected(header)
        .payload(claims::encode(&full()))
        .create_signature(CONTEXT.as_bytes(), |message| secret.sign(message).to_vec())
        .build();
    assert_eq!(rebuilt.to_tagged_vec().unwrap(), signed.cose);

    // The claims themselves: a map of integers in ascending order, by their reader too.
    let claims = coset::cbor::Value::from_slice(&claims::encode(&full())).unwrap().to_cbor_value().unwrap();
    let keys: Vec<i128> = claims.as_map().unwrap().iter().map(|(key, _)| key.as_integer().unwrap().into()).collect();
    assert_eq!(keys, (1..=15).collect::<Vec<i128>>());
}

#[test]
fn a_key_that_is_not_trusted_is_named_with_what_to_do() {
    let signed = sign(&small(), &publisher("demo", 1));
    let why = refusal(&signed.cose, &[publisher("acme", 2).public()]);
    assert_eq!(why, LicenceError::UnknownKey(signed.key_id));
    let sentence = why.to_string();
    assert!(sentence.contains(&signed.key_id.to_string()) && sentence.contains("--publisher-key"), "{sentence}");
}

#[test]
fn a_publisher_signs_for_itself_alone() {
    let acme = publisher("acme", 2);
    let why = refusal(&sign(&small(), &acme).cose, &[publisher("demo", 1).public(), acme.public()]);
    assert_eq!(why, LicenceError::Publisher { named: "demo".into(), signer: "acme".into() });
}

#[test]
fn one_key_under_two_names_signs_for_the_first_name_only() {
    // The same 32 bytes in two key files: the id is the same, and the name in the certificate must be the signer's.
    let (demo, copy) = (publisher("demo", 1), publisher("acme", 1));
    assert_eq!(demo.public().key_id(), copy.public().key_id());
    let signed = sign(&small(), &demo);
    assert!(verify_cose(&signed.cose, &[demo.public(), copy.public()]).is_ok());
    assert!(verify_cose(&signed.cose, &[copy.public()]).is_err());
}

#[test]
fn a_signature_by_another_key_of_that_id_does_not_hold() {
    let (demo, other) = (publisher("demo", 1), publisher("demo", 2));
    let protected = cose::protected(Algorithm::Ed25519, demo.public().key_id());
    let payload = claims::encode(&small());
    let forged = cose::encode(&protected, &payload, &other.sign(&cose::to_be_signed(&protected, &payload)));
    assert!(matches!(refusal(&forged, &[demo.public(), other.public()]), LicenceError::Signature { .. }));
}

#[test]
fn a_signature_made_for_another_purpose_is_no_licence() {
    let secret = publisher("demo", 1);
    let (protected, payload) =
        (cose::protected(Algorithm::Ed25519, secret.public().key_id()), claims::encode(&small()));
    let message = cose::to_be_signed(&protected, &payload);
    for context in ["", "leasehold licence v2", "leasehold ticket v1"] {
        let at = message.windows(CONTEXT.len()).position(|w| w == CONTEXT.as_bytes()).unwrap();
        let head = 0x40 | u8::try_from(context.len()).unwrap();
        let other = [&message[..at - 1], &[head], context.as_bytes(), &message[at + CONTEXT.len()..]].concat();
        let forged = cose::encode(&protected, &payload, &secret.sign(&other));
        assert!(matches!(refusal(&forged, &[secret.public()]), LicenceError::Signature { .. }), "{context:?}");
    }
}

#[test]
fn an_algorithm_from_the_future_is_refused_by_name() {
    let secret = publisher("demo", 1);
    let signed = sign(&small(), &secret);
    // -8 becomes -19: Ed25519 of RFC 9864, or anything else that fits one byte.
    for (byte, name) in [(0x32, "COSE -19"), (0x27, "")] {
        let mut changed = signed.cose.clone();
        let at = changed.windows(3).position(|w| w == [0xa2, 0x01, 0x27]).unwrap() + 2;
        changed[at] = byte;
        match verify_cose(&changed, &[secret.public()]) {
            Err(LicenceError::Algorithm(named)) => assert_eq!(named, name),
            Ok(same) => assert_eq!((same, name), (signed.clone(), "")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(Algorithm::named("ml-dsa-44"), Err(LicenceError::Algorithm("ml-dsa-44".into())));
}

#[test]
fn a_claim_from_the_future_is_refused_and_says_that_the_licence_is_newer() {
    let secret = publisher("demo", 1);
    let mut payload = claims::encode(&small());
    payload[0] += 1;
    payload.extend_from_slice(&[0x18, 45, 1]);
    let why = refusal(&signed_payload(&payload, &secret), &[secret.public()]);
    assert_eq!(why, LicenceError::UnknownClaim(45));
    assert!(why.to_string().contains("newer"));
}

#[test]
fn claims_in_any_other_form_than_the_canonical_one_are_refused() {
    let secret = publisher("demo", 1);
    let payload = claims::encode(&small());
    let (map, entries) = (payload[0], &payload[1..]);
    let publisher_entry = &entries[..6];
    assert_eq!(publisher_entry, b"\x01\x64demo");
    let rest = &entries[6..];
    let forms: [(&str, Vec<u8>); 7] = [
        ("another order", [&[map], rest, publisher_entry].concat()),
        ("a claim twice", [&[map + 1], publisher_entry, entries].concat()),
        ("no definite length", [&[0xbf], entries, &[0xff]].concat()),
        ("a long form of the length", [&[0xb8, map & 31], entries].concat()),
        ("a long form of a key", [&[map, 0x18], entries].concat()),
        ("bytes behind it", [&payload[..], &[0]].concat()),
        ("no map", vec![0x80]),
    ];
    for (what, form) in forms {
        let why = refusal(&signed_payload(&form, &secret), &[secret.public()]);
        assert!(matches!(why, LicenceError::Malformed(_)), "{what}: {why:?}");
    }
    let missing = [&[map - 1], rest].concat();
    let why = refusal(&signed_payload(&missing, &secret), &[secret.public()]);
    assert_eq!(why, LicenceError::Claim(ClaimError::Missing("publisher")));
}

#[test]
fn the_order_in_which_servers_are_named_is_not_a_value() {
    let secret = publisher("demo", 1);
    let mut other = full();
    other.terms.server_keys.reverse();
    other.terms.server_keys.push(other.terms.server_keys[0]);
    assert_eq!(sign(&other, &secret), sign(&full(), &secret));
}

#[test]
fn what_breaks_a_rule_is_refused_however_well_it_is_signed() {
    let secret = publisher("demo", 1);
    type Change = fn(&mut Certificate);
    let broken: [(Change, &str); 9] = [
        (|c| c.terms.lease_ttl_s = Some(1), "lease-ttl is 1, and must be 2 to 86400"),
        (|c| c.terms.grace_s = Some(86_401), "grace is 86401, and must be 0 to 86400"),
        (|c| c.start = Some("2027-01-01".parse().unwrap()), "ends on 2026-12-31, before it starts"),
        (|c| c.zone = "Europe/Lyon".into(), "\"Europe/Lyon\" is not a time zone"),
        (|c| c.terms.notice = Some("a\u{1b}[31m".into()), "control character"),
        (|c| c.terms.serial = Some(String::new()), "it is empty"),
        (|c| c.terms.notice = Some("x".repeat(1025)), "1025 bytes"),
        (|c| c.terms.server_keys = (0..33).map(|i| Fingerprint([i; 16])).collect(), "33 are named"),
        (
            |c| {
                c.count = SeatLimit::Uncounted;
                c.terms.server_keys.clear();
            },
            "uncounted and locked to nothing",
        ),
    ];
    for (change, said) in broken {
        let mut certificate = full();
        change(&mut certificate);
        let judged = check(&certificate).unwrap_err();
        assert!(judged.to_string().contains(said), "{judged}");
        let why = refusal(&sign(&certificate, &secret).cose, &[secret.public()]);
        assert!(matches!(&why, LicenceError::Claim(_)), "{why:?}");
    }
}

#[test]
fn a_certificate_that_would_not_fit_one_datagram_is_refused_at_issue_and_at_load() {
    let secret = publisher("demo", 1);
    let mut certificate = full();
    certificate.terms.notice = Some("x".repeat(1000));
    assert!(matches!(check(&certificate), Err(ClaimError::TooLarge { .. })));
    let signed = sign(&certificate, &secret);
    assert_eq!(
        refusal(&signed.cose, &[secret.public()]),
        ClaimError::TooLarge { len: signed.cose.len(), max: PROOF_MAX }.into()
    );
    // The longest that fits has exactly PROOF_MAX bytes.
    certificate.terms.notice = Some("x".repeat(1000 - (signed.cose.len() - PROOF_MAX)));
    assert_eq!(check(&certificate), Ok(()));
    assert_eq!(sign(&certificate, &secret).cose.len(), PROOF_MAX);
    // One that names no server is never shown as PROOF.
    certificate.terms.notice = Some("x".repeat(1024));
    certificate.terms.server_keys.clear();
    certificate.terms.selectors = (0..6).map(|n| format!("{n}{}", "y".repeat(1000))).collect();
    assert_eq!(check(&certificate), Ok(()));
    certificate.terms.selectors.extend((6..9).map(|n| format!("{n}{}", "y".repeat(1000))));
    assert!(matches!(check(&certificate), Err(ClaimError::TooLarge { max: COSE_MAX, .. })));
}

#[test]
fn the_days_of_a_certificate_are_days_of_its_zone() {
    let c = full();
    // Paris is an hour ahead of UTC in winter.
    let midnight = |day: &str| crate::licence::Day::first_instant(day.parse().unwrap(), "UTC").unwrap().0;
    assert_eq!(c.starts_at().unwrap().0, midnight("2026-01-01") - 3_600_000);
    assert_eq!(c.ends_at().unwrap().0, midnight("2027-01-01") - 3_600_000 - 1);
    assert_eq!((small().starts_at(), small().ends_at()), (None, None));
    assert_eq!((c.lease_ttl_ms(), small().lease_ttl_ms()), (600_000, 300_000));
}
