//! On a real disk: who removes the file, and who heals by itself.

use std::{fs, path::Path, sync::Arc};

use super::{SERVER, open_in};
use crate::{
    ledger::{Condition, LEDGER, Ledger},
    storage::Disk,
    tests::site::eventually,
};

fn open(folder: &Path) -> Ledger {
    open_in(Arc::new(Disk::new(folder))).unwrap()
}

#[test]
fn a_file_that_somebody_removes_is_put_back() {
    let scratch = tempfile::tempdir().unwrap();
    let ledger = open(scratch.path());
    ledger.put("a", b"1").unwrap();
    let path = scratch.path().join(LEDGER);
    fs::remove_file(&path).unwrap();
    let refused = ledger.put("a", b"2").unwrap_err().to_string();
    assert!(refused.contains("somebody removed it"), "{refused}");
    assert!(!path.exists());
    assert!(ledger.heal());
    assert_eq!(ledger.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    ledger.put("a", b"2").unwrap();
    ledger.close();
    assert_eq!(open(scratch.path()).get("a").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn a_file_in_its_place_is_not_written_over() {
    let scratch = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let ledger = open(scratch.path());
    open(other.path()).close();
    let path = scratch.path().join(LEDGER);
    fs::remove_file(&path).unwrap();
    fs::copy(other.path().join(LEDGER), &path).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(ledger.put("a", b"2").is_err() && !ledger.heal());
    let why = ledger.health().why.unwrap();
    assert!(why.contains("another file has its name; to use that one, start the server again"), "{why}");
    assert!(fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn it_heals_by_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(Arc::new(Disk::new(scratch.path())), SERVER).unwrap();
    fs::remove_file(scratch.path().join(LEDGER)).unwrap();
    assert!(ledger.put("a", b"1").is_err());
    eventually("it is well again", async || ledger.health().state == Condition::Good).await;
    ledger.put("a", b"1").unwrap();
    assert_eq!(ledger.healed(), 1);
}
