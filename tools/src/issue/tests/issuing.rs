//! From template to licence file.

use std::path::PathBuf;

use leasehold_protocol::licence::text;
use leasehold_server::clock_now;

use super::*;

const TEMPLATE: &str = "[[feature]]\nname = \"VR_MODE\"\nversion = \"4.8\"\ncount = 10\n";

struct Desk {
    folder: tempfile::TempDir,
    key: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let folder = folder();
        let key = put(folder.path(), "acme.key", &secret("acme").to_text());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        Self { folder, key }
    }

    fn args(&self, templates: &[&str]) -> IssueArgs {
        let put = |(i, text): (usize, &&str)| put(self.folder.path(), &format!("t{i}.toml"), text);
        IssueArgs {
            templates: templates.iter().enumerate().map(put).collect(),
            key: Some(self.key.clone()),
            passphrase: PassphraseArgs::default(),
            output: Some(self.out()),
            force: false,
            format: None,
            explain: false,
            example: false,
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("acme.lic")
    }
}

#[test]
fn templates_become_one_licence_file_in_their_order() {
    let desk = Desk::new();
    issue(&desk.args(&[TEMPLATE, EXAMPLE])).unwrap();
    let report = text::read(&fs::read_to_string(desk.out()).unwrap(), &[secret("acme").public()]);
    let names: Vec<&str> = report.applied.iter().map(|signed| signed.certificate.feature.as_str()).collect();
    assert_eq!((names, report.refused), (vec!["VR_MODE", "VR_MODE", "RENDER"], vec![]));
}

#[test]
fn one_mistake_anywhere_and_nothing_is_written() {
    let desk = Desk::new();
    let failure = issue(&desk.args(&[TEMPLATE, &TEMPLATE.replace("10", "0")])).unwrap_err();
    assert!(!desk.out().exists());
    assert!(
        failure.what().contains("nothing was written") && failure.what().contains("t1.toml:4:9"),
        "{}",
        failure.what()
    );
}

#[test]
fn a_licence_that_is_there_is_kept_unless_it_is_forced() {
    let desk = Desk::new();
    put(desk.folder.path(), "acme.lic", "precious");
    let failure = issue(&desk.args(&[TEMPLATE])).unwrap_err();
    assert!(words(&failure).contains("--force"));
    assert_eq!(fs::read_to_string(desk.out()).unwrap(), "precious");
    issue(&IssueArgs { force: true, ..desk.args(&[TEMPLATE]) }).unwrap();
    assert!(fs::read_to_string(desk.out()).unwrap().contains("VR_MODE"));
}

#[test]
fn the_same_grant_twice_is_a_mistake_until_serials_tell_them_apart() {
    let desk = Desk::new();
    let additive = format!("{TEMPLATE}type = \"additive\"\n");
    let failure = issue(&desk.args(&[&additive, &additive])).unwrap_err();
    assert!(failure.what().contains("it would count once") && failure.what().contains("serial"), "{}", failure.what());
    issue(&desk.args(&[&additive, &format!("{additive}serial = \"2\"\n")])).unwrap();
}

#[test]
fn the_wrong_file_for_a_key_is_told_from_a_key() {
    let desk = Desk::new();
    let public = put(desk.folder.path(), "acme.pub", &secret("acme").public().to_text());
    let failure = issue(&IssueArgs { key: Some(public), ..desk.args(&[TEMPLATE]) }).unwrap_err();
    assert!(words(&failure).contains("signing needs the .key file"), "{}", words(&failure));
    let missing = IssueArgs { key: Some(desk.folder.path().join("none.key")), ..desk.args(&[TEMPLATE]) };
    assert!(words(&issue(&missing).unwrap_err()).contains("cannot read"));
}

#[test]
fn a_template_without_features_is_no_licence() {
    let desk = Desk::new();
    let failure = issue(&desk.args(&["zone = \"UTC\"\n"])).unwrap_err();
    assert!(words(&failure).contains("--example") && !desk.out().exists());
}

#[test]
fn what_would_have_no_effect_is_issued_with_a_warning() {
    let text = format!("{TEMPLATE}end = 2020-01-01\n{TEMPLATE}serial = \"1\"\n{TEMPLATE}serial = \"2\"\n");
    let template = Template::read("t.toml", &text, Some(secret("acme").public().publisher())).unwrap();
    let signed = sign::sign_each(&[template], &secret("acme")).unwrap();
    let warnings = sign::warnings(&signed, clock_now().wall);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("has ended already") && warnings[1].contains("is replaced by"), "{warnings:?}");
}
