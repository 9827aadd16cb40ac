//! What loading would do.

use leasehold_protocol::{
    licence::{Day, PublisherSecret, SignedCertificate, canonical, text},
    time::UnixMillis,
};
use leasehold_server::state;

use super::{
    super::lint::{Standing, examine, trust_in},
    *,
};
use crate::exit::Exit;

/// Noon in Paris on 2026-06-15.
fn noon() -> UnixMillis {
    let midnight = "2026-06-15".parse::<Day>().unwrap().first_instant("Europe/Paris").unwrap();
    UnixMillis(midnight.0 + 12 * 3_600_000)
}

const TOP: &str = "zone = \"Europe/Paris\"\n";

/// Certificates of one publisher for `features`, each a name and settings.
fn signed(secret: &PublisherSecret, features: &[(&str, &str)]) -> Vec<SignedCertificate> {
    let block =
        |(name, more): &(&str, &str)| format!("[[feature]]\nname = \"{name}\"\nversion = \"1.0\"\ncount = 5\n{more}\n");
    let template = TOP.to_owned() + &features.iter().map(block).collect::<String>();
    let template = Template::read("t", &template, Some(secret.public().publisher())).unwrap();
    template.certificates.iter().map(|certificate| canonical::sign(certificate, secret)).collect()
}

fn licence(features: &[(&str, &str)]) -> String {
    text::write(&signed(&secret("acme"), features), "")
}

struct Looked {
    shown: String,
    json: serde_json::Value,
    exit: Exit,
}

fn look(files: &[(&str, &str)]) -> Looked {
    let folder = folder();
    let paths: Vec<_> = files.iter().map(|(name, text)| put(folder.path(), name, text)).collect();
    let lint = examine(&paths, &trust_in(vec![secret("acme").public()]), noon());
    let plain = anstream::adapter::strip_str(&lint.render(false)).to_string();
    Looked {
        shown: plain.replace(&format!("{}/", folder.path().display()), ""),
        json: lint.to_json(),
        exit: lint.exit(),
    }
}

fn standings(looked: &Looked) -> Vec<String> {
    let files = looked.json["files"].as_array().unwrap().iter();
    let certificates = files.flat_map(|file| file["certificates"].as_array().unwrap().clone());
    certificates.map(|c| c["standing"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_in_force_is_shown_with_instants_zone_and_time_left() {
    let looked = look(&[(
        "a.lic",
        &licence(&[("CAD", ""), ("VR", "end = 2026-06-15"), ("X", "start = 2026-07-01\nend = 2026-07-02")]),
    )]);
    let lines: Vec<&str> = looked.shown.lines().collect();
    assert_eq!(lines[0], "a.lic: 3 certificates whose signatures hold, 0 refused");
    assert!(lines[1].starts_with("  CAD 1.0, 5 seats, exclusive: in force, permanent (line 5, "), "{}", looked.shown);
    let until = "in force, until 2026-06-15T21:59:59Z (Europe/Paris, 11 h 59 min from now)";
    assert!(lines[2].contains(until), "{}", looked.shown);
    let starts =
        "not started, begins 2026-06-30T22:00:00Z (Europe/Paris, 15 d 12 h from now); until 2026-07-02T21:59:59Z";
    assert!(lines[3].contains(starts), "{}", looked.shown);
    assert_eq!(looked.exit, Exit::OK);
    assert_eq!(standings(&looked), ["in-force", "in-force", "not-started"]);
}

#[test]
fn the_last_millisecond_of_the_last_day_still_counts() {
    let signed = signed(&secret("acme"), &[("VR", "end = 2026-06-15")]);
    let end = signed[0].certificate.ends_at().unwrap();
    let folder = folder();
    let path = [put(folder.path(), "a.lic", &text::write(&signed, ""))];
    let trusted = trust_in(vec![secret("acme").public()]);
    assert_eq!(examine(&path, &trusted, end).exit(), Exit::OK);
    assert_eq!(examine(&path, &trusted, UnixMillis(end.0 + 1)).exit(), Exit::FAILURE);
}

#[test]
fn expired_replaced_and_repeated_certificates_are_told_apart() {
    let additive = "type = \"additive\"\nend = 2026-12-31";
    let first = licence(&[("CAD", ""), ("CAD", additive), ("VR", "end = 2026-06-14"), ("VR", additive)]);
    let second = licence(&[("CAD", "serial = \"2\""), ("CAD", ""), ("CAD", "start = 2027-01-01")]);
    let looked = look(&[("a.lic", &first), ("b.lic", &second)]);
    assert_eq!(
        standings(&looked),
        ["replaced", "replaced", "expired", "in-force", "in-force", "duplicate", "not-started"],
        "{}",
        looked.shown
    );
    assert!(
        looked.shown.contains("expired, ended 2026-06-14T21:59:59Z (Europe/Paris, 12 h 00 min ago)"),
        "{}",
        looked.shown
    );
    assert_eq!(looked.exit, Exit::FAILURE);
}

#[test]
fn a_changed_value_is_drawn_where_it_stands_and_the_rest_is_shown() {
    let text = licence(&[("CAD", "serial = \"1\""), ("VR", "")]);
    let looked = look(&[("a.lic", &text.replacen("count = 5", "count = 50", 1))]);
    assert_eq!((looked.exit, standings(&looked)), (Exit::FAILURE, vec!["in-force".to_owned()]));
    assert!(looked.shown.contains("a.lic: 1 certificate whose signatures hold, 1 refused"), "{}", looked.shown);
    assert!(looked.shown.contains("× certificate for CAD refused: the signature of key"), "{}", looked.shown);
    assert!(looked.shown.contains("╭─[a.lic:14:3]"), "{}", looked.shown);
    let refused = &looked.json["files"][0]["refused"][0];
    assert_eq!((refused["line"].as_u64(), refused["column"].as_u64()), (Some(14), Some(3)));
}

#[test]
fn a_foreign_publisher_is_named_with_what_to_do() {
    let foreign = text::write(
        &signed(
            &PublisherSecret::generate(&Label::new("other").unwrap(), &mut |b: &mut [u8]| b.fill(9)),
            &[("CAD", "")],
        ),
        "",
    );
    let looked = look(&[("a.lic", &foreign)]);
    assert!(looked.shown.contains("which is not trusted here"), "{}", looked.shown);
    assert!(looked.shown.contains("--publisher-key"), "{}", looked.shown);
    assert_eq!(looked.exit, Exit::FAILURE);
}

#[test]
fn without_any_key_it_says_that_nothing_can_hold() {
    let folder = folder();
    let path = [put(folder.path(), "a.lic", &licence(&[("CAD", "")]))];
    let lint = examine(&path, &trust_in(Vec::new()), noon());
    assert!(lint.render(false).contains("no publisher's key is trusted"));
}

#[test]
fn templates_are_judged_too_and_files_that_cannot_be_read_end_with_status_2() {
    let good = look(&[("t.toml", EXAMPLE)]);
    assert_eq!((good.shown.as_str(), good.exit), ("t.toml: a template for 2 certificates, no mistakes\n", Exit::OK));
    let bad = look(&[("t.toml", "[[feature]]\nnaem = \"X\"\n")]);
    assert!(bad.shown.starts_with("t.toml: a template with 3 mistakes\n"), "{}", bad.shown);
    assert!(bad.shown.contains("did you mean \"name\"?"), "{}", bad.shown);
    assert_eq!(bad.exit, Exit::FAILURE);
    let lint = examine(&["/nonexistent/a.lic".into()], &trust_in(vec![secret("acme").public()]), noon());
    assert_eq!(lint.exit(), Exit::USAGE);
    assert!(lint.render(false).contains("/nonexistent/a.lic: "), "{}", lint.render(false));
    let empty = look(&[("a.lic", "# nothing\n")]);
    assert_eq!((empty.shown.as_str(), empty.exit), ("a.lic: no certificate in it\n", Exit::FAILURE));
}

#[test]
fn the_state_folders_publishers_are_trusted_and_a_broken_key_there_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("publishers")).unwrap();
    put(&folder.path().join("publishers"), "acme.pub", &secret("acme").public().to_text());
    put(&folder.path().join("publishers"), "bad.pub", "hello");
    put(&folder.path().join("publishers"), "notes.txt", "not a key");
    let trusted = lint::gather(&[], Some(folder.path())).unwrap();
    assert_eq!(trusted.keys, [secret("acme").public()]);
    assert_eq!(trusted.warnings.len(), 1);
    assert!(
        trusted.warnings[0].contains("bad.pub") && trusted.warnings[0].contains("line 1"),
        "{:?}",
        trusted.warnings
    );
    assert!(lint::gather(&[], Some(&folder.path().join("none"))).is_err());
}

#[test]
fn a_certificate_for_another_server_is_told_from_one_for_this() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("publishers")).unwrap();
    put(&folder.path().join("publishers"), "acme.pub", &secret("acme").public().to_text());
    let mut state = state::Folder::open(folder.path()).unwrap();
    let label = Label::new("acme").unwrap();
    let own = state::realm_keys(&mut state, &label, &mut |b: &mut [u8]| b.fill(3)).unwrap().public().fingerprint();
    let for_us = format!("server-keys = [\"{}\", \"{own}\"]", "0".repeat(32));
    let for_others = format!("server-keys = [\"{}\"]", "0".repeat(32));
    let path = [put(folder.path(), "a.lic", &licence(&[("CAD", &for_us), ("VR", &for_others), ("X", "")]))];
    let lint = examine(&path, &lint::gather(&[], Some(folder.path())).unwrap(), noon());
    let words: Vec<&str> = lint.files[0].standings.iter().map(Standing::word).collect();
    assert_eq!(words, ["in-force", "other-server", "in-force"]);
    assert_eq!(lint.exit(), Exit::FAILURE);
}

/// L-5: "lint shows what loading would do before it is done", beside what is loaded.
#[test]
fn what_changes_beside_files_that_are_read_before_is_told() {
    let folder = folder();
    let loaded = folder.path().join("loaded");
    fs::create_dir(&loaded).unwrap();
    put(&loaded, "a.lic", &licence(&[("CAD", ""), ("VR", "")]));
    put(&loaded, "b.lic", &licence(&[("CAD", "type = \"additive\"\nserial = \"b\"")]));
    put(&loaded, "notes.txt", "not a licence");
    let trusted = trust_in(vec![secret("acme").public()]);
    let look = |features: &[(&str, &str)]| {
        let new = put(folder.path(), "new.lic", &licence(features));
        let beside = lint::Beside::read(std::slice::from_ref(&loaded), &trusted.keys).unwrap();
        lint::examine_beside(beside, &[new], &trusted, noon())
    };
    // An upgrade alone is worth nothing; beside what is loaded it is.
    let more = look(&[("CAD", "type = \"upgrade\"")]);
    let beside = &more.to_json()["beside"];
    assert_eq!(more.exit(), Exit::OK, "{}", more.render(false));
    assert_eq!(beside["seats"], serde_json::json!([{ "feature": "CAD", "before": 5, "after": 10 }]));
    assert_eq!(beside["changed"], serde_json::json!([]));
    // A later exclusive one mutes those before.
    let other = look(&[("CAD", "serial = \"new\"\nend = \"2027-01-01\"")]);
    let changed = other.to_json()["beside"]["changed"].clone();
    assert_eq!(changed[0]["feature"], "CAD");
    assert_eq!((changed[0]["before"].as_str(), changed[0]["after"].as_str()), (Some("in-force"), Some("replaced")));
    let shown = anstream::adapter::strip_str(&other.render(false)).to_string();
    assert!(shown.contains("CAD 1.0: in-force before, replaced then"), "{shown}");
    // The same again.
    let again = look(&[("VR", "")]);
    assert_eq!(standings_of(&again), ["duplicate"]);
    assert!(again.render(false).contains("nothing changes"), "{}", again.render(false));
    assert!(lint::Beside::read(&[folder.path().join("none.lic")], &trusted.keys).is_err());
}

fn standings_of(lint: &lint::Lint) -> Vec<&'static str> {
    lint.files.iter().flat_map(|file| file.standings.iter().map(Standing::word)).collect()
}
