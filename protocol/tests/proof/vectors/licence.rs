//! Signed certificates (SPEC 7.3, 7.4), laid down byte by byte: nothing here knows of a CBOR library.

use blake2::{Blake2s256, Digest};
use ed25519_dalek::{Signer, SigningKey};
use leasehold_protocol::{
    licence::{
        Certificate, KeyType, PublisherSecret, SeatLimit, Terms, canonical,
        certificate::{Class, Components, Cost, Dialect, Metered, Permission, Pooling, ShareBy, Superseded, Together},
        text,
    },
    vocab::{CertificateId, FeatureName, Label, SeatCount, Version},
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
        LicenceVector { page: terms_page(), certificate: terms() },
        LicenceVector { page: upgrade_page(), certificate: upgrade() },
        LicenceVector { page: token_page(), certificate: token() },
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

/// Every claim that may stand beside counted seats, from the sixteenth on.
fn terms() -> Certificate {
    let seats = |n| Some(SeatCount::new(n).expect("in range"));
    let feature = |name| FeatureName::new(name).expect("a name");
    let hostids = |list: [&str; 2]| list.map(|id| id.parse().expect("a hostid")).to_vec();
    let terms = Terms {
        dialect: Dialect::First,
        pools: Pooling::Separate,
        trial_days: Some(30),
        share: Some(ShareBy::USER.with(ShareBy::SHARE_ID)),
        share_limit: Some(4),
        linger_s: Some(600),
        min_checkout_s: Some(60),
        borrow_max_s: Some(86_400),
        soft_limit: seats(8),
        overdraft: seats(2),
        metered: Some(Metered::Reusable),
        undo_s: Some(10),
        components: Some(Components {
            together: Together::Package,
            features: vec![(feature("CAD"), Version::ANY), (feature("CAM"), Version { major: 2, minor: 1, patch: 0 })],
        }),
        supersedes: vec![Superseded::Certificate(CertificateId([7; 8])), Superseded::Feature(feature("OLD"))],
        server_hostids: hostids(["disk:WD-1", "ethernet:0012ab34cd56"]),
        client_hostids: hostids(["any", "ip:10.1.0.0/16"]),
        match_rate: Some(50),
        platforms: vec![Label::new("x86_64-linux").expect("a label")],
        vm: Permission::Refused,
        terminal_server: Permission::Refused,
        class: Class::Education,
        maintenance_end: Some("2026-06-30".parse().expect("a day")),
        part_number: Some("PN 7".into()),
        selectors: vec!["site=Lyon".into()],
        licensee: Some("Lyon".into()),
        issued: Some("2025-12-24".parse().expect("a day")),
        retention_days: Some(365),
        ..Terms::default()
    };
    Certificate { terms, ..small() }
}

fn upgrade() -> Certificate {
    Certificate { key_type: KeyType::Upgrade, end: Some("2026-12-31".parse().expect("a day")), ..small() }
}

fn token() -> Certificate {
    let of = FeatureName::new("TOKENS").expect("a name");
    let cost =
        Cost { seats: SeatCount::new(3).expect("in range"), of, version: Version { major: 2, minor: 0, patch: 0 } };
    Certificate { count: SeatLimit::Uncounted, terms: Terms { cost: Some(cost), ..Terms::default() }, ..small() }
}

/// The claims before the terms.
fn beginning(map: &[u8], meaning: &str) -> Page {
    Page::new("", "", "")
        .raw("claims", map, meaning)
        .text_claim(1, "publisher", fixed::PUBLISHER)
        .text_claim(2, "feature", "VR_MODE")
        .raw("version", &[3, 0x83, 4, 8, 0], "key 3: 4.8.0")
}

fn terms_page() -> Page {
    let claims = beginning(&[0xb8, 33], "map of 33")
        .raw("count", &[4, 10], "key 4: 10")
        .raw("type", &[5, 0], "key 5: exclusive")
        .text_claim(6, "zone", "UTC")
        .raw("dialect", &[16, 1], "key 16: first")
        .raw("pools", &[17, 1], "key 17: separate")
        .raw("trial", &[18, 0x18, 30], "key 18: 30 days")
        .raw("share", &[19, 9], "key 19: user (1) and share-id (8)")
        .raw("share-limit", &[20, 4], "key 20: 4")
        .raw("linger", &[21, 0x19, 0x02, 0x58], "key 21: 600 s")
        .raw("min-checkout", &[22, 0x18, 60], "key 22: 60 s")
        .raw("borrow-max", &[23, 0x1a, 0, 1, 0x51, 0x80], "key 23: 86400 s")
        .raw("soft-limit", &[0x18, 24, 8], "key 24: 8")
        .raw("overdraft", &[0x18, 25, 2], "key 25: 2")
        .raw("metered", &[0x18, 26, 1], "key 26: reusable")
        .raw("undo", &[0x18, 27, 10], "key 27: 10 s")
        .raw("package", &[0x18, 28, 0x82], "key 28: array of 2, in ascending order")
        .raw("component", &[&[0x82, 0x63][..], b"CAD", &[0x83, 0, 0, 0]].concat(), "CAD, 0.0.0: any version")
        .raw("component", &[&[0x82, 0x63][..], b"CAM", &[0x83, 2, 1, 0]].concat(), "CAM, 2.1.0")
        .raw("supersedes", &[0x18, 31, 0x82], "key 31: array of 2, features first")
        .raw("feature", &[&[0x63][..], b"OLD"].concat(), "OLD")
        .raw("certificate", &[&[0x48][..], &[7; 8]].concat(), "certificate id, bytes of 8")
        .raw("server-hostids", &[0x18, 32, 0x82], "key 32: array of 2, in ascending order")
        .raw("hostid", &[&[0x82, 2, 0x6c][..], b"0012ab34cd56"].concat(), "2, Ethernet address")
        .raw("hostid", &[&[0x82, 5, 0x64][..], b"WD-1"].concat(), "5, disk")
        .raw("client-hostids", &[0x18, 33, 0x82], "key 33: array of 2, in ascending order")
        .raw("hostid", &[&[0x82, 6, 0x6b][..], b"10.1.0.0/16"].concat(), "6, addresses")
        .raw("hostid", &[&[0x82, 13, 0x63][..], b"any"].concat(), "13, any")
        .raw("match-rate", &[0x18, 34, 0x18, 50], "key 34: 50 percent")
        .raw("platforms", &[&[0x18, 35, 0x81, 0x6c][..], b"x86_64-linux"].concat(), "key 35: array of 1")
        .raw("vm", &[0x18, 36, 1], "key 36: refused")
        .raw("terminal-server", &[0x18, 37, 1], "key 37: refused")
        .raw("class", &[0x18, 38, 2], "key 38: education")
        .raw("maintenance-end", &[&[0x18, 39, 0x6a][..], b"2026-06-30"].concat(), "key 39")
        .raw("part-number", &[&[0x18, 40, 0x64][..], b"PN 7"].concat(), "key 40")
        .raw("selectors", &[&[0x18, 41, 0x81, 0x69][..], b"site=Lyon"].concat(), "key 41: array of 1")
        .raw("licensee", &[&[0x18, 42, 0x64][..], b"Lyon"].concat(), "key 42")
        .raw("issued", &[&[0x18, 43, 0x6a][..], b"2025-12-24"].concat(), "key 43")
        .raw("retention", &[0x18, 44, 0x19, 0x01, 0x6d], "key 44: 365 days");
    signed("licence-terms", "A certificate with the claims from 16 on (SPEC 7.3).", claims)
}

fn upgrade_page() -> Page {
    let claims = beginning(&[0xa7], "map of 7")
        .raw("count", &[4, 10], "key 4: 10")
        .raw("type", &[5, 2], "key 5: upgrade")
        .text_claim(6, "zone", "UTC")
        .text_claim(8, "end", "2026-12-31");
    signed("licence-upgrade", "A certificate that raises the count of another one (SPEC 7.2.6).", claims)
}

fn token_page() -> Page {
    let claims = beginning(&[0xa7], "map of 7")
        .raw("count", &[4, 0xf6], "key 4: null, uncounted")
        .raw("type", &[5, 0], "key 5: exclusive")
        .text_claim(6, "zone", "UTC")
        .raw(
            "cost",
            &[&[0x18, 30, 0x83, 3, 0x66][..], b"TOKENS", &[0x83, 2, 0, 0]].concat(),
            "key 30: 3 of TOKENS 2.0.0",
        );
    signed("licence-token", "A certificate whose seats are made of another feature's (SPEC 7.3).", claims)
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
    signed("licence-full", "A certificate with claims 1 to 15 (SPEC 7.3).", claims)
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
