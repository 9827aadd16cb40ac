//! Signed certificates (SPEC 7.3, 7.4), laid down byte by byte: nothing here knows of a CBOR library.

use blake2::{Blake2s256, Digest};
use ed25519_dalek::{Signer, SigningKey};
use leasehold_protocol::{
    licence::{Certificate, KeyType, PublisherSecret, SeatLimit, Terms, canonical, text},
    vocab::{FeatureName, Label, SeatCount, Version},
};

use crate::{fixed, page::Page};

/// A certificate and the page that explains its signed bytes.
pub struct LicenceVector {
    pub page: Page,
    pub certificate: Certificate,
}

/// The publisher's secret key.
pub fn secret() -> PublisherSecret {
    let publisher = Label::new(fixed::PUBLISHER).expect("a label");
    PublisherSecret::generate(&publisher, &mut |bytes: &mut [u8]| {
        bytes.copy_from_slice(&fixed::counting(fixed::PUBLISHER_SECRET));
    })
}

/// Every certificate vector.
pub fn whole() -> Vec<LicenceVector> {
    vec![
        LicenceVector { page: small_page(), certificate: small() },
        LicenceVector { page: uncounted_page(), certificate: uncounted() },
        LicenceVector { page: full_page(), certificate: full() },
    ]
}

/// The same certificates as a licence file, and the key files.
pub fn texts() -> Vec<(&'static str, String)> {
    let signed: Vec<_> = whole().iter().map(|vector| canonical::sign(&vector.certificate, &secret())).collect();
    vec![
        ("licence-v1.lic", text::write(&signed, "A golden vector: see README.md beside it.")),
        ("licence-v1.pub", secret().public().to_text()),
        ("licence-v1.key", secret().to_text().to_string()),
    ]
}

const ISSUER: &str = "Acme \"Tools\" SARL";
const VENDOR_STRING: &str = "quality=high; nodes {1,2}";
const NOTICE: &str = "For the office in Lyon.\nNot for resale.";

fn small() -> Certificate {
    Certificate {
        publisher: Label::new(fixed::PUBLISHER).expect("a label"),
        feature: FeatureName::new("VR_MODE").expect("a name"),
        version: Version { major: 4, minor: 8, patch: 0 },
        count: SeatLimit::Counted(SeatCount::new(10).expect("in range")),
        key_type: KeyType::Exclusive,
        zone: "UTC".into(),
        start: None,
        end: None,
        terms: Terms::default(),
    }
}

fn uncounted() -> Certificate {
    let server_keys = vec![fixed::server().public().fingerprint()];
    Certificate { count: SeatLimit::Uncounted, terms: Terms { server_keys, ..Terms::default() }, ..small() }
}

fn full() -> Certificate {
    Certificate {
        version: Version { major: 2026, minor: 24, patch: 1 },
        count: SeatLimit::Counted(SeatCount::MAX),
        key_type: KeyType::Additive,
        zone: "Europe/Paris".into(),
        start: Some("2026-01-01".parse().expect("a day")),
        end: Some("2026-12-31".parse().expect("a day")),
        terms: Terms {
            lease_ttl_s: Some(600),
            grace_s: Some(0),
            server_keys: vec![fixed::server().public().fingerprint(), fixed::client().public().fingerprint()],
            vendor_string: Some(VENDOR_STRING.into()),
            serial: Some("0042".into()),
            issuer: Some(ISSUER.into()),
            notice: Some(NOTICE.into()),
            ..Terms::default()
        },
        ..small()
    }
}

fn small_page() -> Page {
    let claims = Page::new("", "", "")
        .raw("claims", &[0xa6], "map of 6")
        .text_claim(1, "publisher", fixed::PUBLISHER)
        .text_claim(2, "feature", "VR_MODE")
        .raw("version", &[3, 0x83, 4, 8, 0], "key 3: 4.8.0")
        .raw("count", &[4, 10], "key 4: 10")
        .raw("type", &[5, 0], "key 5: exclusive")
        .text_claim(6, "zone", "UTC");
    signed("licence-small", "A certificate with nothing that may be left out (SPEC 7.3).", claims)
}

fn uncounted_page() -> Page {
    let claims = Page::new("", "", "")
        .raw("claims", &[0xa7], "map of 7")
        .text_claim(1, "publisher", fixed::PUBLISHER)
        .text_claim(2, "feature", "VR_MODE")
        .raw("version", &[3, 0x83, 4, 8, 0], "key 3: 4.8.0")
        .raw("count", &[4, 0xf6], "key 4: null, uncounted")
        .raw("type", &[5, 0], "key 5: exclusive")
        .text_claim(6, "zone", "UTC")
        .raw("server-keys", &[11, 0x81, 0x50], "key 11: array of 1, bytes of 16")
        .raw("server key", &fixed::server().public().fingerprint().0, "fingerprint of the server");
    signed("licence-uncounted", "An uncounted certificate, locked to a server (SPEC 7.3).", claims)
}

fn full_page() -> Page {
    let (server, client) = (fixed::server().public().fingerprint(), fixed::client().public().fingerprint());
    let (low, high) = if server < client { (server, client) } else { (client, server) };
    let claims = Page::new("", "", "")
        .raw("claims", &[0xaf], "map of 15")
        .text_claim(1, "publisher", fixed::PUBLISHER)
        .text_claim(2, "feature", "VR_MODE")
        .raw("version", &[3, 0x83, 0x19, 0x07, 0xea, 0x18, 24, 1], "key 3: 2026.24.1")
        .raw("count", &[4, 0x1a, 0x7f, 0xff, 0xff, 0xff], "key 4: 2147483647")
        .raw("type", &[5, 1], "key 5: additive")
        .text_claim(6, "zone", "Europe/Paris")
        .text_claim(7, "start", "2026-01-01")
        .text_claim(8, "end", "2026-12-31")
        .raw("lease-ttl", &[9, 0x19, 0x02, 0x58], "key 9: 600 s")
        .raw("grace", &[10, 0], "key 10: 0 s, said although it is the default")
        .raw("server-keys", &[11, 0x82], "key 11: array of 2, in ascending order")
        .raw("server key", &[&[0x50], &low.0[..]].concat(), "bytes of 16")
        .raw("server key", &[&[0x50], &high.0[..]].concat(), "bytes of 16")
        .text_claim(12, "vendor-string", VENDOR_STRING)
        .text_claim(13, "serial", "0042")
        .text_claim(14, "issuer", ISSUER)
        .text_claim(15, "notice", NOTICE);
    signed("licence-full", "A certificate with every claim (SPEC 7.3).", claims)
}

/// A COSE_Sign1 around `claims` (SPEC 7.4).
fn signed(name: &'static str, intro: &'static str, claims: Page) -> Page {
    let key = SigningKey::from_bytes(&fixed::counting(fixed::PUBLISHER_SECRET));
    let digest =
        Blake2s256::new().chain_update(b"leasehold key id v1").chain_update(key.verifying_key().as_bytes()).finalize();
    let protected = [&[0xa2, 0x01, 0x27, 0x04, 0x44], &digest[..4]].concat();
    let payload_head = head(2, claims.bytes.len());
    let context = b"leasehold licence v1";
    let message =
        [&[0x84, 0x6a][..], b"Signature1", &[0x49], &protected, &[0x54], context, &payload_head, &claims.bytes]
            .concat();
    let signature = key.sign(&message).to_bytes();
    Page::new(name, "Signed certificate", intro)
        .raw("tag", &[0xd2], "18: COSE_Sign1")
        .raw("structure", &[0x84], "array of 4")
        .raw("protected", &[0x49], "bytes of 9")
        .raw("headers", &[0xa2], "map of 2")
        .raw("alg", &[0x01, 0x27], "1: -8, EdDSA")
        .raw("kid", &[&[0x04, 0x44], &digest[..4]].concat(), "4: key id, bytes of 4")
        .raw("unprotected", &[0xa0], "empty map")
        .raw("payload", &payload_head, &format!("bytes of {}", claims.bytes.len()))
        .then(claims)
        .raw("signature", &[0x58, 0x40], "bytes of 64")
        .raw("", &signature, "Ed25519 over the Sig_structure of SPEC 7.4")
}

fn head(major: u8, len: usize) -> Vec<u8> {
    let major = major << 5;
    match u16::try_from(len).expect("a certificate is short").to_be_bytes() {
        [0, low @ 0..=23] => vec![major | low],
        [0, low] => vec![major | 24, low],
        [high, low] => vec![major | 25, high, low],
    }
}

trait Claims {
    fn text_claim(self, key: u8, field: &str, text: &str) -> Self;
}

impl Claims for Page {
    fn text_claim(self, key: u8, field: &str, text: &str) -> Self {
        let bytes = [&[key], &head(3, text.len())[..], text.as_bytes()].concat();
        self.raw(field, &bytes, &format!("key {key}: {text:?}"))
    }
}
