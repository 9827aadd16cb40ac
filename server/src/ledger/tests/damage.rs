//! Files that are not as they were written.

use std::sync::Arc;

use super::{
    SERVER, ledger, open, open_in,
    script::{Contents, script},
};
use crate::{
    ledger::{
        Deed, LEDGER, Ledger, LedgerError,
        book::Change,
        tables::{META, key},
    },
    storage::{
        Storage as _,
        faulty::{FaultyDisk, Left},
    },
};

/// A ledger with some of everything, ended well or not.
fn some(steps: u64, is_ended: bool) -> (FaultyDisk, Contents) {
    let (disk, ledger) = ledger();
    script(steps).iter().for_each(|step| step.make(&ledger).unwrap());
    let contents = Contents::of(&ledger);
    if is_ended {
        ledger.close();
        return (disk, contents);
    }
    (disk.after_crash(Left::All), contents)
}

/// Flips the byte at `at`; whether the ledger was refused. It is as it was before if so; else it says the same.
fn flip(disk: &FaultyDisk, at: usize, by: u8, contents: &Contents) -> bool {
    let damaged = disk.after_crash(Left::All);
    damaged.flip(LEDGER, at, by);
    let before = damaged.bytes(LEDGER);
    match open(&damaged) {
        Ok(ledger) => {
            assert_eq!(&Contents::of(&ledger), contents, "byte {at}");
            false
        }
        Err(e) => {
            assert!(e.to_string().contains("faulty/ledger.redb"), "byte {at}: {e}");
            assert!(damaged.bytes(LEDGER) == before, "byte {at}: it was written to");
            true
        }
    }
}

#[test]
fn a_changed_byte_of_the_header_is_refused_or_changes_nothing() {
    for is_ended in [true, false] {
        let (disk, contents) = some(30, is_ended);
        let refused = (0..4096).filter(|at| flip(&disk, *at, 1 << (at % 8), &contents)).count();
        println!("ended {is_ended}: 4096 bytes flipped, {refused} refused, the others changed nothing");
        assert!(refused > 20, "{refused}");
    }
}

#[test]
fn every_bit_of_what_redb_writes_at_the_beginning_is_refused_or_changes_nothing() {
    let (disk, contents) = some(30, true);
    for at in 0..320 {
        for bit in 0..8 {
            flip(&disk, at, 1 << bit, &contents);
        }
    }
}

#[test]
fn a_changed_byte_anywhere_else_is_refused_or_changes_nothing() {
    let (disk, contents) = some(30, true);
    let len = disk.bytes(LEDGER).len();
    let places = (4096..len).step_by(509).filter(|at| disk.bytes(LEDGER)[*at] != 0);
    let (mut tried, mut refused) = (0, 0);
    for at in places {
        tried += 1;
        refused += usize::from(flip(&disk, at, 0x10, &contents));
    }
    println!("{tried} bytes of pages flipped, {refused} refused, the others changed nothing");
    assert!(refused > 10, "{refused} of {tried}");
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let (disk, _) = some(30, true);
    let whole = disk.bytes(LEDGER);
    for len in [1, 8, 9, 100, 320, 4096, 8192, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        let other = FaultyDisk::default();
        let file = other.open(LEDGER).unwrap();
        file.write_at(0, &whole[..len]).unwrap();
        let refused = open(&other).map(|_| len).unwrap_err();
        assert!(matches!(refused, LedgerError::Damaged { .. } | LedgerError::Open { .. }), "{len}: {refused}");
        assert!(other.bytes(LEDGER) == whole[..len], "{len}");
    }
}

fn with(name: &'static str, text: &'static str) -> FaultyDisk {
    let (disk, ledger) = ledger();
    ledger.write(|change: &Change| Ok(change.tx.open_table(META)?.insert(name, text).map(drop)?)).unwrap();
    ledger.close();
    disk
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_not_touched() {
    let strange = FaultyDisk::default();
    strange.open(LEDGER).unwrap().write_at(0, b"SQLite format 3\0").unwrap();
    let refusals = [
        (strange, "at byte 0 it does not begin as a ledger does"),
        (with(key::FORM, "2"), "has form 2, written by leasehold 0.1.0, and this version knows form 1 and older"),
        (with(key::FORM, "x"), "it says form is \"x\""),
        (
            with(key::SERVER, "00000000000000aa"),
            "is the ledger of server 00000000000000aa, and this is 0000000000005eed",
        ),
        (with(key::AUDIT_HEAD, "7 x"), "the audit chain breaks at entry 1: it was put in"),
    ];
    for (disk, says) in refusals {
        let before = disk.bytes(LEDGER);
        let refused = open(&disk).map(drop).unwrap_err().to_string();
        assert!(refused.contains(says) && refused.contains("it was not touched: "), "{refused}\nexpected {says}");
        assert!(disk.bytes(LEDGER) == before);
    }
}

#[test]
fn an_old_copy_and_one_that_is_gone_are_noticed() {
    let (disk, ledger) = ledger();
    let old = disk.after_crash(Left::All);
    ledger.put("a", b"1").unwrap();
    let put_back = disk.after_crash(Left::All);
    ledger.close();
    let (before, now) = (old.bytes(LEDGER), put_back.bytes(LEDGER));
    (0..now.len()).filter(|at| before[*at] != now[*at]).for_each(|at| put_back.flip(LEDGER, at, before[at] ^ now[at]));
    let refused = open(&put_back).map(drop).unwrap_err().to_string();
    assert!(refused.contains("has 1 changes and had 2 once: it is an old copy"), "{refused}");
    put_back.remove("ledger.anchor");
    assert!(open(&put_back).is_ok(), "who removes the anchor goes on with it");

    disk.remove(LEDGER);
    let again: Ledger = open(&disk).unwrap();
    assert!(
        again.warnings()[0].contains("was gone, with 2 changes in it, and was made anew"),
        "{:?}",
        again.warnings()
    );
    assert_eq!(again.entries(0, 9).unwrap()[0].before, serde_json::json!({ "changes": 2 }));
}

#[test]
fn the_chain_is_checked_at_the_start() {
    let (disk, ledger) = ledger();
    let by = crate::ledger::By::server("");
    let null = serde_json::Value::Null;
    let deed = Deed { by: &by, action: "one", before: null.clone(), after: null };
    ledger.record(&deed).unwrap();
    ledger.write(|change| Ok(change.tx.open_table(crate::ledger::tables::AUDIT)?.remove(1).map(drop)?)).unwrap();
    ledger.close();
    let refused = open_in(Arc::new(disk)).map(drop).unwrap_err().to_string();
    assert!(refused.contains("the audit chain breaks at entry 1: it is missing"), "{refused}");
    assert_eq!(SERVER, 0x5eed);
}
