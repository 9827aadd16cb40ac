mod issuing;
mod keys;
mod languages;
mod linting;
mod rules;
mod templates;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use leasehold_protocol::{
    licence::{PublisherKey, PublisherSecret},
    vocab::Label,
};

use super::*;
use crate::exit::Failure;

/// A publisher whose key is the same in every run.
fn secret(name: &str) -> PublisherSecret {
    PublisherSecret::generate(&Label::new(name).unwrap(), &mut |bytes: &mut [u8]| bytes.fill(7))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn put(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn words(failure: &Failure) -> String {
    [&[failure.what().to_owned()], failure.why(), failure.remedies()].concat().join("\n")
}

fn args(publisher: &str, out: &Path) -> KeygenArgs {
    KeygenArgs { publisher: publisher.to_owned(), out: out.to_owned(), ..KeygenArgs::default() }
}

#[test]
fn keygen_makes_a_pair_that_fits_and_hides_the_secret_half() {
    let folder = folder();
    let out = folder.path().join("keys");
    let said = keygen::make(&args("acme", &out)).unwrap();
    let text = |ending: &str| fs::read_to_string(out.join(format!("acme.{ending}"))).unwrap();
    let public = PublisherKey::parse(&text("pub")).unwrap();
    assert_eq!(PublisherSecret::parse(&text("key")).unwrap().public(), public);
    assert_eq!(public.publisher().as_str(), "acme");
    assert_eq!(fs::metadata(out.join("acme.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(said.contains(&public.key_id().to_string()) && said.contains("leasehold issue"), "{said}");
}

#[test]
fn keygen_keeps_keys_that_are_there_unless_it_is_forced() {
    let folder = folder();
    keygen::make(&args("acme", folder.path())).unwrap();
    let before = fs::read_to_string(folder.path().join("acme.key")).unwrap();
    let failure = keygen::make(&args("acme", folder.path())).unwrap_err();
    assert!(words(&failure).contains("is there already") && words(&failure).contains("--force"), "{}", words(&failure));
    // The public half alone is enough to refuse: a new secret would not fit it.
    fs::remove_file(folder.path().join("acme.key")).unwrap();
    assert!(keygen::make(&args("acme", folder.path())).is_err());
    keygen::make(&KeygenArgs { force: true, ..args("acme", folder.path()) }).unwrap();
    assert_ne!(fs::read_to_string(folder.path().join("acme.key")).unwrap(), before);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = folder();
    let path = put(folder.path(), "a.lic", "old");
    assert!(write_whole(&path, "new", 0o644, false).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    write_whole(&path, "new", 0o644, true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    assert!(write_whole(&folder.path().join("none/a.lic"), "new", 0o644, true).is_err());
}
