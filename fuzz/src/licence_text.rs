//! Licence files and keys: text that comes by mail, and the bytes that PROOF carries.

use std::sync::OnceLock;

use leasehold_protocol::{
    crypto::{Fingerprint, Keypair},
    licence::{
        Certificate, Day, KeyType, PublisherKey, PublisherSecret, SeatLimit, Terms,
        canonical::{self, SignedCertificate, verify_cose},
        certificate::{Class, Components, Cost, Dialect, Metered, Permission, Pooling, ShareBy, Superseded, Together},
        text,
    },
    vocab::{CertificateId, FeatureName, HostId, HostIdKind, Label, SeatCount, Version},
};

use crate::chance::{Chance, counting};

/// The first byte says what the rest is; any other begins a licence file.
const COSE: u8 = 0xf8;
const SIGN: u8 = 0xf9;
const KEYS: u8 = 0xfa;
const EDIT: u8 = 0xfb;

/// Memory a licence text may cost beside its own length: reports repeat parts of it.
const MEMORY: usize = 256 * 1024;

/// Reads `bytes` as a licence file; or, by the first byte, as COSE, as key files, as terms to sign and read back, or as
/// edits of a signed file.
pub fn run(bytes: &[u8]) {
    secret();
    match bytes.split_first() {
        Some((&COSE, rest)) => crate::memory::within(MEMORY, || cose(rest)),
        Some((&SIGN, rest)) => round_trip(&mut Chance::new(rest)),
        Some((&KEYS, rest)) => keys(&String::from_utf8_lossy(rest)),
        Some((&EDIT, rest)) => edit(&mut Chance::new(rest)),
        _ => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            crate::memory::within(MEMORY + 64 * text.len(), || file(&text));
        }
    }
}

/// The publisher all inputs are judged by. Its key is no secret: seeds are signed with it, changes are not.
pub fn secret() -> &'static PublisherSecret {
    static SECRET: OnceLock<PublisherSecret> = OnceLock::new();
    SECRET.get_or_init(|| PublisherSecret::generate(&Label::new("fuzz").expect("a label"), &mut counting(1)))
}

fn trusted() -> &'static [PublisherKey] {
    static KEYS: OnceLock<Vec<PublisherKey>> = OnceLock::new();
    KEYS.get_or_init(|| vec![secret().public()])
}

/// Whatever a file says: what is applied is signed, says what its bytes say, and is read back from our own text.
fn file(text: &str) {
    let report = text::read(text, trusted());
    for refused in &report.refused {
        assert!(refused.place.offset <= text.len() && refused.place.line >= 1, "{refused:?}");
        assert!(!refused.why.to_string().is_empty());
    }
    report.applied.iter().for_each(good);
    if !report.applied.is_empty() {
        let again = text::read(&text::write(&report.applied, "again"), trusted());
        assert!(again.refused.is_empty(), "{:?}", again.refused);
        assert_eq!(bare(&again.applied), bare(&report.applied));
    }
}

fn bare(certificates: &[SignedCertificate]) -> Vec<(&Certificate, &[u8])> {
    certificates.iter().map(|c| (&c.certificate, &c.cose[..])).collect()
}

fn good(signed: &SignedCertificate) {
    let verified = verify_cose(&signed.cose, trusted()).expect("what is applied verifies");
    assert_eq!((&verified.certificate, verified.id), (&signed.certificate, signed.id));
    assert_eq!(canonical::sign(&signed.certificate, secret()).cose, signed.cose, "one certificate, one encoding");
    let (starts, ends) = (signed.certificate.starts_at(), signed.certificate.ends_at());
    assert!(starts.zip(ends).is_none_or(|(starts, ends)| starts <= ends));
}

fn cose(bytes: &[u8]) {
    if let Ok(signed) = verify_cose(bytes, trusted()) {
        assert_eq!(signed.cose, bytes);
        good(&signed);
    }
}

fn keys(text: &str) {
    if let Ok(key) = PublisherKey::parse(text) {
        assert_eq!(PublisherKey::parse(&key.to_text()), Ok(key));
    }
    if let Ok(secret) = PublisherSecret::parse(text) {
        let again = PublisherSecret::parse(&secret.to_text()).expect("our own text");
        assert_eq!(again.public(), secret.public());
    }
}

/// A certificate of any terms: if it may be signed, its text reads back as it.
fn round_trip(chance: &mut Chance<'_>) {
    let Some(certificate) = certificate(chance) else { return };
    if canonical::check(&certificate).is_err() {
        return;
    }
    let signed = canonical::sign(&certificate, secret());
    good(&signed);
    let report = text::read(&text::write(std::slice::from_ref(&signed), "a comment"), trusted());
    assert!(report.refused.is_empty(), "{certificate:?}: {:?}", report.refused);
    assert_eq!(bare(&report.applied), bare(&[signed]));
}

fn words(chance: &mut Chance<'_>) -> String {
    String::from_utf8_lossy(chance.bytes(80)).into_owned()
}

fn day(chance: &mut Chance<'_>) -> Option<Day> {
    let (year, month, day) = (1970 + chance.below(200), 1 + chance.below(12), 1 + chance.below(28));
    if chance.coin() { format!("{year:04}-{month:02}-{day:02}").parse().ok() } else { None }
}

fn certificate(chance: &mut Chance<'_>) -> Option<Certificate> {
    let name = words(chance);
    let optional = |chance: &mut Chance<'_>| if chance.coin() { Some(words(chance)) } else { None };
    let number = |chance: &mut Chance<'_>| if chance.coin() { Some(chance.u32() % 100_000) } else { None };
    Some(Certificate {
        publisher: Label::new("fuzz").ok()?,
        feature: FeatureName::new(&name).or_else(|_| FeatureName::new("F")).ok()?,
        version: Version { major: chance.u32() as u16, minor: chance.u32() as u16, patch: chance.byte().into() },
        count: match chance.coin() {
            true => SeatLimit::Counted(SeatCount::new(chance.u32() & 0x7fff_ffff).ok()?),
            false => SeatLimit::Uncounted,
        },
        key_type: chance.one_of(&[KeyType::Exclusive, KeyType::Additive, KeyType::Upgrade]),
        zone: chance.one_of(&["UTC", "Asia/Beirut", "America/New_York", "Mars/Base", ""]).to_owned(),
        start: day(chance),
        end: day(chance),
        terms: Terms {
            lease_ttl_s: number(chance),
            grace_s: number(chance),
            server_keys: (0..chance.below(4)).map(|_| Fingerprint(chance.array())).collect(),
            vendor_string: optional(chance),
            serial: optional(chance),
            issuer: optional(chance),
            notice: optional(chance),
            ..if chance.coin() { more_terms(chance) } else { Terms::default() }
        },
    })
}

/// The terms from the sixteenth on.
fn more_terms(chance: &mut Chance<'_>) -> Terms {
    let number = |chance: &mut Chance<'_>| if chance.coin() { Some(chance.u32() % 100_000) } else { None };
    let seats = |chance: &mut Chance<'_>| number(chance).and_then(|n| SeatCount::new(n).ok());
    let hostid = |chance: &mut Chance<'_>| {
        let kind = chance.one_of(HostIdKind::ALL);
        HostId::new(kind, &words(chance)).unwrap_or_else(|_| HostId::any())
    };
    let hostids = |chance: &mut Chance<'_>| (0..chance.below(4)).map(|_| hostid(chance)).collect::<Vec<_>>();
    let name = |chance: &mut Chance<'_>| FeatureName::new(&words(chance)).or_else(|_| FeatureName::new("G")).ok();
    let version =
        |chance: &mut Chance<'_>| Version { major: chance.byte().into(), minor: chance.byte().into(), patch: 0 };
    let mut terms = Terms {
        dialect: chance.one_of(Dialect::ALL),
        pools: chance.one_of(Pooling::ALL),
        trial_days: number(chance).map(|n| n as u16),
        share: ShareBy::from_bits(chance.byte()),
        linger_s: number(chance),
        soft_limit: seats(chance),
        overdraft: seats(chance),
        server_hostids: hostids(chance),
        client_hostids: hostids(chance),
        vm: chance.one_of(Permission::ALL),
        class: chance.one_of(Class::ALL),
        issued: day(chance),
        maintenance_end: day(chance),
        selectors: (0..chance.below(3)).map(|_| words(chance)).collect(),
        ..Terms::default()
    };
    terms.match_rate = number(chance).map(|n| (n % 101) as u8);
    terms.metered = if chance.coin() { Some(chance.one_of(Metered::ALL)) } else { None };
    terms.supersedes = (0..chance.below(3)).map(|_| Superseded::Certificate(CertificateId(chance.array()))).collect();
    if chance.coin() {
        let features = (0..chance.below(4)).filter_map(|_| Some((name(chance)?, version(chance)))).collect();
        terms.components = Some(Components { together: chance.one_of(Together::ALL), features });
    } else if chance.coin() {
        let seats = SeatCount::new(1 + chance.u32() % 9).unwrap_or(SeatCount::ONE);
        terms.cost = name(chance).map(|of| Cost { seats, of, version: version(chance) });
    }
    // What has no order is one value in every order.
    terms.supersedes.sort();
    terms
}

/// A signed file with some of its characters changed: what is applied says what was signed, whatever the file says.
fn edit(chance: &mut Chance<'_>) {
    let mut text = signed_file().as_bytes().to_vec();
    let wanted = text::read(signed_file(), trusted());
    while !chance.is_over() {
        let at = (usize::from(chance.byte()) << 8 | usize::from(chance.byte())) % text.len();
        match chance.byte() % 4 {
            0 => text[at] = chance.byte(),
            1 => drop(text.remove(at)),
            2 => text.insert(at, chance.byte()),
            _ => drop(text.splice(at..at, chance.bytes(40).iter().copied())),
        }
        if text.is_empty() {
            return;
        }
    }
    let report = text::read(&String::from_utf8_lossy(&text), trusted());
    for applied in &report.applied {
        assert!(
            bare(&wanted.applied).contains(&bare(std::slice::from_ref(applied))[0]),
            "{applied:?} was never signed"
        );
    }
}

/// Two certificates as their publisher sends them.
pub fn signed_file() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let plain = Certificate {
            publisher: Label::new("fuzz").expect("a label"),
            feature: FeatureName::new("VR_MODE").expect("a name"),
            version: Version { major: 4, minor: 8, patch: 0 },
            count: SeatLimit::Counted(SeatCount::new(10).expect("a count")),
            key_type: KeyType::Exclusive,
            zone: "UTC".into(),
            start: None,
            end: "2026-12-31".parse().ok(),
            terms: Terms::default(),
        };
        let rich = Certificate {
            feature: FeatureName::new("MESH").expect("a name"),
            count: SeatLimit::Uncounted,
            key_type: KeyType::Additive,
            zone: "Europe/Berlin".into(),
            start: "2026-01-01".parse().ok(),
            terms: Terms {
                lease_ttl_s: Some(60),
                grace_s: Some(600),
                server_keys: vec![Fingerprint([7; 16]), Fingerprint([9; 16])],
                vendor_string: Some("a \"quoted\" word".into()),
                serial: Some("A-17".into()),
                issuer: Some("desk".into()),
                notice: Some("für Ada".into()),
                ..Terms::default()
            },
            ..plain.clone()
        };
        text::write(&[canonical::sign(&plain, secret()), canonical::sign(&rich, secret())], "two of them")
    })
}

/// Certificates that name the servers of private keys `[0x70; 32]` and `[0x71; 32]`, as a PROOF shows them.
pub fn naming() -> &'static [SignedCertificate; 2] {
    static SIGNED: OnceLock<[SignedCertificate; 2]> = OnceLock::new();
    SIGNED.get_or_init(|| [0x70, 0x71].map(|byte| canonical::sign(&named(byte), secret())))
}

fn named(byte: u8) -> Certificate {
    Certificate {
        publisher: Label::new("fuzz").expect("a label"),
        feature: FeatureName::new("VR").expect("a name"),
        version: Version::ANY,
        count: SeatLimit::Uncounted,
        key_type: KeyType::Exclusive,
        zone: "UTC".into(),
        start: None,
        end: None,
        terms: Terms {
            server_keys: vec![Keypair::from_private([byte; 32]).public().fingerprint()],
            ..Terms::default()
        },
    }
}
