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
