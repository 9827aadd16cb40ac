//! Every kind of right, and the rules between its terms.

use super::*;
use crate::{
    licence::certificate::{
        Class, Components, Cost, Dialect, Metered, Permission, Pooling, ShareBy, Superseded, Together,
    },
    vocab::{CertificateId, HostId},
};

fn feature(name: &str) -> FeatureName {
    FeatureName::new(name).unwrap()
}

fn seats(n: u32) -> Option<SeatCount> {
    Some(SeatCount::new(n).unwrap())
}

fn hostids(text: &str) -> Vec<HostId> {
    text.split(' ').map(|id| id.parse().unwrap()).collect()
}

/// A certificate that has every term which may stand beside counted seats.
pub(in crate::licence) fn rich() -> Certificate {
    let terms = Terms {
        dialect: Dialect::First,
        pools: Pooling::Separate,
        trial_days: Some(30),
        share: Some(ShareBy::USER.with(ShareBy::SHARE_ID)),
        share_limit: Some(4),
        linger_s: Some(3600),
        min_checkout_s: Some(60),
        borrow_max_s: Some(30 * 86_400),
        soft_limit: seats(8),
        overdraft: seats(2),
        metered: Some(Metered::Reusable),
        undo_s: Some(120),
        components: Some(Components {
            together: Together::Package,
            features: vec![(feature("CAD"), Version::ANY), (feature("CAM"), Version { major: 2, minor: 1, patch: 0 })],
        }),
        supersedes: vec![Superseded::Feature(feature("OLD")), Superseded::Certificate(CertificateId([7; 8]))],
        server_hostids: hostids("ethernet:0012ab34cd56 disk:WD-1"),
        client_hostids: hostids("any ip:10.1.0.0/16 host:render-3"),
        match_rate: Some(50),
        platforms: vec![Label::new("x86_64-linux").unwrap(), Label::new("a platform, {new}").unwrap()],
        vm: Permission::Refused,
        terminal_server: Permission::Refused,
        class: Class::Education,
        maintenance_end: Some("2026-06-30".parse().unwrap()),
        part_number: Some("PN 7".to_owned()),
        selectors: vec!["site=Lyon".to_owned(), "two words, {a} comma".to_owned()],
        licensee: Some("École du Rhône".to_owned()),
        issued: Some("2025-12-24".parse().unwrap()),
        retention_days: Some(365),
        ..Terms::default()
    };
    Certificate { terms, key_type: KeyType::Exclusive, ..full() }.in_canonical_order()
}

/// One certificate of every kind.
pub(in crate::licence) fn every_kind() -> Vec<Certificate> {
    let with = |terms: Terms| Certificate { terms, ..small() };
    let upgrade = Terms {
        server_hostids: hostids("disk:1 disk:2"),
        match_rate: Some(100),
        serial: Some("2".to_owned()),
        ..Terms::default()
    };
    let suite = Components { together: Together::Suite, features: vec![(feature("A"), Version::ANY)] };
    let cost = Cost { seats: SeatCount::new(3).unwrap(), of: feature("TOKENS"), version: Version::ANY };
    let token = with(Terms { cost: Some(cost.clone()), ..Terms::default() });
    let cost = Cost { version: Version { major: 2, minor: 0, patch: 1 }, ..cost };
    let local = Terms { client_hostids: hostids("user:Ada"), ..Terms::default() };
    vec![
        small(),
        full(),
        rich(),
        Certificate { key_type: KeyType::Upgrade, ..with(upgrade) },
        with(Terms { components: Some(suite), ..Terms::default() }),
        Certificate { count: SeatLimit::Uncounted, ..token },
        Certificate { count: SeatLimit::Uncounted, ..with(Terms { cost: Some(cost), ..Terms::default() }) },
        Certificate { count: SeatLimit::Uncounted, ..with(local) },
        with(Terms { metered: Some(Metered::Consumed), ..Terms::default() }),
        with(Terms { share: Some(ShareBy::SITE), ..Terms::default() }),
    ]
}

#[test]
fn every_kind_may_be_issued_and_reads_back_as_it_was() {
    let secret = publisher("demo", 1);
    for certificate in every_kind() {
        assert_eq!(check(&certificate), Ok(()));
        let signed = sign(&certificate, &secret);
        assert_eq!(signed.certificate, certificate);
        assert_eq!(verify_cose(&signed.cose, &[secret.public()]).as_ref(), Ok(&signed));
    }
}

/// TR-01.
#[test]
fn no_bit_of_any_kind_may_change() {
    let secret = publisher("demo", 1);
    let keys = [secret.public()];
    for certificate in every_kind() {
        let cose = sign(&certificate, &secret).cose;
        for bit in 0..cose.len() * 8 {
            let mut changed = cose.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_cose(&changed, &keys).is_err(), "bit {bit} of {certificate:?}");
        }
    }
}

#[test]
fn lists_in_another_order_are_refused_even_if_they_were_signed_so() {
    let secret = publisher("demo", 1);
    let mut other = rich();
    other.terms.client_hostids.reverse();
    let why = refusal(&signed_payload(&claims::encode(&other), &secret), &[secret.public()]);
    assert_eq!(why, LicenceError::Malformed("the claims are not in canonical form"));
}

/// L-8: an upgrade says how many, when and where it may be served.
#[test]
fn an_upgrade_with_a_term_of_the_exclusive_certificate_is_refused_by_its_name() {
    let allowed = ["server-keys", "server-hostids", "match-rate", "serial", "issued"];
    let upgrade = Certificate { key_type: KeyType::Upgrade, ..small() };
    let all = [full().terms, rich().terms, every_kind()[5].terms.clone()];
    let mut refused = 0;
    // These two mean nothing alone, and what they need is refused.
    let allowed = [&allowed[..], &["share-limit", "undo"]].concat();
    for name in all.iter().flat_map(Terms::set).filter(|name| !allowed.contains(name)) {
        let terms = all.iter().find(|terms| terms.set().contains(&name)).map(|terms| only(terms, name)).unwrap();
        let certificate = Certificate { terms, ..upgrade.clone() };
        let why = check(&certificate);
        assert_eq!(why, Err(ClaimError::NotOfAnUpgrade(name)), "{name}");
        refused += 1;
    }
    assert!(refused > 25, "{refused}");
    let uncounted = Certificate { count: SeatLimit::Uncounted, ..upgrade };
    assert_eq!(check(&uncounted), Err(ClaimError::UncountedUpgrade));
}

/// `terms` with nothing but the one called `name`, and what that needs.
fn only(terms: &Terms, name: &str) -> Terms {
    let t = terms.clone();
    let d = Terms::default();
    match name {
        "dialect" => Terms { dialect: t.dialect, ..d },
        "pools" => Terms { pools: t.pools, ..d },
        "trial" => Terms { trial_days: t.trial_days, ..d },
        "lease-ttl" => Terms { lease_ttl_s: t.lease_ttl_s, ..d },
        "grace" => Terms { grace_s: t.grace_s, ..d },
        "share" => Terms { share: t.share, ..d },
        "linger" => Terms { linger_s: t.linger_s, ..d },
        "min-checkout" => Terms { min_checkout_s: t.min_checkout_s, ..d },
        "borrow-max" => Terms { borrow_max_s: t.borrow_max_s, ..d },
        "soft-limit" => Terms { soft_limit: t.soft_limit, ..d },
        "overdraft" => Terms { overdraft: t.overdraft, ..d },
        "metered" => Terms { metered: t.metered, ..d },
        "package" => Terms { components: t.components, ..d },
        "cost" => Terms { cost: t.cost, ..d },
        "supersedes" => Terms { supersedes: t.supersedes, ..d },
        "client-hostids" => Terms { client_hostids: t.client_hostids, ..d },
        "platforms" => Terms { platforms: t.platforms, ..d },
        "vm" => Terms { vm: t.vm, ..d },
        "terminal-server" => Terms { terminal_server: t.terminal_server, ..d },
        "class" => Terms { class: t.class, ..d },
        "maintenance-end" => Terms { maintenance_end: t.maintenance_end, ..d },
        "part-number" => Terms { part_number: t.part_number, ..d },
        "selectors" => Terms { selectors: t.selectors, ..d },
        "vendor-string" => Terms { vendor_string: t.vendor_string, ..d },
        "licensee" => Terms { licensee: t.licensee, ..d },
        "issuer" => Terms { issuer: t.issuer, ..d },
        "notice" => Terms { notice: t.notice, ..d },
        "retention" => Terms { retention_days: t.retention_days, ..d },
        other => panic!("{other}"),
    }
}

#[test]
fn terms_that_do_not_fit_each_other_are_refused_and_say_which() {
    type Change = fn(&mut Certificate);
    let broken: [(Change, &str); 17] = [
        (|c| c.terms.trial_days = Some(0), "trial is 0, and must be 1 to 3660"),
        (|c| c.terms.linger_s = Some(400 * 86_400 + 1), "linger is 34560001, and must be 0 to 34560000"),
        (|c| c.terms.share_limit = Some(1), "share-limit is 1, and must be 2 to"),
        (|c| c.terms.share = None, "sets share-limit without share"),
        (|c| c.terms.metered = None, "sets undo without metered"),
        (|c| c.terms.soft_limit = seats(11), "soft-limit is 11, and must be 1 to 10"),
        (
            |c| c.terms.overdraft = seats(SeatCount::MAX.get() - 9),
            "overdraft is 2147483638, and must be 1 to 2147483637",
        ),
        (|c| c.count = SeatLimit::Uncounted, "sets soft-limit and is uncounted"),
        (|c| c.terms.match_rate = Some(101), "match-rate is 101, and must be 0 to 100"),
        (
            |c| {
                c.terms.server_hostids.clear();
                c.terms.client_hostids.clear();
            },
            "sets match-rate without server-hostids or client-hostids",
        ),
        (|c| c.terms.selectors = vec![String::new()], "selectors is not valid: it is empty"),
        (|c| c.terms.selectors = (0..65).map(|n| n.to_string()).collect(), "65 are named, and at most 64 may be"),
        (|c| c.terms.components.as_mut().unwrap().features.clear(), "package is not valid: it names no component"),
        (
            |c| {
                let features = &mut c.terms.components.as_mut().unwrap().features;
                features[0].0 = features[1].0.clone();
            },
            "CAM is named twice",
        ),
        (|c| c.feature = feature("CAD"), "CAD cannot be a component of itself"),
        (
            |c| c.terms.cost = every_kind()[5].terms.cost.clone(),
            "sets cost and a count: seats that are made of another feature's are as many as those allow",
        ),
        (
            |c| {
                let mut token = every_kind()[5].clone();
                token.feature = feature("TOKENS");
                *c = token;
            },
            "a seat of TOKENS cannot be made of TOKENS itself",
        ),
    ];
    for (change, said) in broken {
        let mut certificate = rich();
        change(&mut certificate);
        let why = check(&certificate).unwrap_err().to_string();
        assert!(why.contains(said), "{why}\nexpected {said}");
    }
}

/// L-12: `any` is a hostid and locks nothing.
#[test]
fn an_uncounted_right_is_locked_to_a_machine() {
    let locked = |text: &str| {
        let terms = Terms { client_hostids: hostids(text), ..Terms::default() };
        check(&Certificate { count: SeatLimit::Uncounted, terms, ..small() })
    };
    assert_eq!(locked("disk:1"), Ok(()));
    assert_eq!(locked("any disk:1"), Ok(()));
    assert_eq!(locked("any"), Err(ClaimError::UncountedUnlocked));
}
