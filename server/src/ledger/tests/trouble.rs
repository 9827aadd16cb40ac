//! Writes and syncs that fail, disks that are full: what is refused, and what comes back.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    ledger, open, open_in,
    script::{Contents, Kind, Step, Watched, script},
};
use crate::{
    ledger::{Condition, LEDGER, Ledger, LedgerError},
    storage::faulty::{Fails, FaultyDisk, Left},
};

/// A ledger whose disk fails at its sync number `nth`, and from then on until it is mended.
fn failing_at_sync(nth: u64) -> (Watched, Option<Ledger>) {
    let syncs = AtomicU64::new(0);
    let disk = Watched::new(move |disk, kind| {
        if kind == Kind::Sync && syncs.fetch_add(1, Relaxed) == nth {
            disk.fail(Fails::Syncs, io::ErrorKind::Other);
        }
    });
    let ledger = open_in(Arc::new(disk.clone()));
    (disk, ledger.ok())
}

/// Makes `steps` until one is refused; what is there then for certain, what was refused, and what is left.
fn until_refused<'s>(ledger: &Ledger, steps: &'s [Step]) -> Option<(Contents, Contents, &'s [Step])> {
    let mut contents = Contents::new();
    for (n, step) in steps.iter().enumerate() {
        let next = contents.after(step);
        if step.make(ledger).is_err() {
            return Some((contents, next, &steps[n + 1..]));
        }
        contents = next;
    }
    None
}

/// The same without what the ledger itself entered.
fn without_healing(mut contents: Contents) -> Contents {
    contents.audit.retain(|(action, _)| action != "ledger.heal");
    contents
}

#[test]
fn after_a_sync_that_failed_nothing_is_acknowledged_until_the_ledger_was_opened_and_checked_anew() {
    let steps = script(40);
    let (mut points, mut kept) = (0, 0);
    for nth in 0.. {
        let (disk, ledger) = failing_at_sync(nth);
        // Making the ledger failed: there is none, and the next start makes one.
        let Some(ledger) = ledger else {
            disk.disk.mend();
            assert_eq!(Contents::of(&open(&disk.disk.after_crash(Left::Nothing)).unwrap()), Contents::new());
            continue;
        };
        let Some((before, with, left)) = until_refused(&ledger, &steps) else { break };
        points += 1;
        assert_eq!(ledger.health().state, Condition::Failing);
        for step in left.iter().take(3) {
            let refused = step.make(&ledger).unwrap_err().to_string();
            assert!(refused.contains("storage failing: ") && refused.contains("cannot be synced"), "{refused}");
        }
        assert!(!ledger.heal() && ledger.get("clock").is_err(), "it does not come back while syncs fail");
        disk.disk.mend();
        assert!(ledger.heal() && ledger.health().is_good());
        let found = Contents::of(&ledger);
        let stands = found.audit.last().unwrap().1["refused_and_kept"].as_bool().unwrap();
        let found = without_healing(found);
        assert_eq!(found, if stands { with } else { before });
        kept += u64::from(stands);
        let after = left.iter().fold(found, |contents, step| {
            step.make(&ledger).unwrap();
            contents.after(step)
        });
        let next = open(&disk.disk.after_crash(Left::Nothing)).unwrap();
        assert_eq!(without_healing(Contents::of(&next)), after, "sync {nth}");
        assert!(next.verify().unwrap().is_ok());
    }
    println!("40 changes: {points} syncs that failed; {kept} of the refused changes stood, and were told to");
    assert!(points > 80, "{points}");
}

/// It fails again while it heals, at each of its steps.
#[test]
fn what_fails_while_it_heals_is_not_forgotten_either() {
    let mut points = 0;
    for nth in 0.. {
        let (steps, begins) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        let (counted, from) = (steps.clone(), begins.clone());
        let disk = Watched::new(move |disk, kind| {
            if counted.fetch_add(1, Relaxed) == from.load(Relaxed).saturating_add(nth) {
                let what = if kind == Kind::Sync { Fails::Syncs } else { Fails::Writes };
                disk.fail(what, io::ErrorKind::Other);
            }
        });
        let ledger = open_in(Arc::new(disk.clone())).unwrap();
        ledger.put("a", b"1").unwrap();
        disk.disk.fail(Fails::Syncs, io::ErrorKind::Other);
        assert!(ledger.put("a", b"2").is_err());
        disk.disk.mend();
        begins.store(steps.load(Relaxed), Relaxed);
        if ledger.heal() {
            break;
        }
        points += 1;
        assert!(ledger.put("a", b"3").is_err());
        disk.disk.mend();
        assert!(ledger.heal(), "{:?}", ledger.health());
        assert_ne!(ledger.get("a").unwrap().as_deref(), Some(&b"3"[..]));
        ledger.put("b", b"4").unwrap();
        let next = open(&disk.disk.after_crash(Left::Nothing)).unwrap();
        assert_eq!(next.get("b").unwrap().as_deref(), Some(&b"4"[..]), "step {nth}");
        assert!(next.verify().unwrap().is_ok());
    }
    println!("{points} steps at which healing failed");
    assert!(points > 10, "{points}");
}

#[test]
fn a_full_disk_refuses_with_the_reason_and_comes_back_when_there_is_space() {
    let (disk, ledger) = ledger();
    let long = "x".repeat(200_000);
    ledger.put("kept", b"before").unwrap();
    let room = disk.bytes(LEDGER).len() + disk.bytes("ledger.anchor").len();
    disk.give_room(room as u64);
    let full = (0..100).find_map(|n| ledger.put(&format!("long {n}"), long.as_bytes()).err()).unwrap();
    assert!(matches!(full, LedgerError::Full { .. }) && full.code() == "storage_full", "{full}");
    assert!(full.to_string().starts_with("storage full: faulty/ledger.redb cannot take"), "{full}");
    assert_eq!((ledger.health().state, ledger.warnings().len()), (Condition::Full, 1));
    assert!(ledger.put("small", b"x").is_err(), "nothing is acknowledged until it is checked");
    for _ in 0..3 {
        assert!(!ledger.heal());
        assert_eq!(ledger.health().state, Condition::Full);
        assert_eq!(ledger.get("kept").unwrap().as_deref(), Some(&b"before"[..]), "it is read while the disk is full");
    }
    assert!(ledger.put("small", b"x").is_err());
    disk.mend();
    assert!(ledger.heal());
    ledger.put("long again", long.as_bytes()).unwrap();
    assert_eq!((ledger.health().state, ledger.warnings().len(), ledger.healed()), (Condition::Good, 0, 1));
    let last = ledger.entries(0, 100).unwrap().pop().unwrap();
    assert_eq!((&*last.action, last.before["why"].as_str().unwrap().contains("storage full")), ("ledger.heal", true));
    assert!(open(&disk.after_crash(Left::Nothing)).unwrap().get("long again").unwrap().is_some());
}

#[test]
fn a_write_that_fails_is_told_with_its_place() {
    let (disk, ledger) = ledger();
    disk.fail(Fails::Writes, io::ErrorKind::Other);
    let refused = ledger.put("a", b"1").unwrap_err().to_string();
    assert!(refused.contains("ledger.redb cannot take what must be kept (byte "), "{refused}");
    assert!(!ledger.heal());
    disk.mend();
    assert!(ledger.heal());
    ledger.put("a", b"1").unwrap();
    assert_eq!(ledger.refused(), 1);
}

#[test]
fn a_closed_ledger_refuses_and_does_not_come_back() {
    let (disk, ledger) = ledger();
    ledger.close();
    assert!(matches!(ledger.put("a", b"1"), Err(LedgerError::Closed)) && ledger.heal());
    assert!(matches!(ledger.get("a"), Err(LedgerError::Closed)));
    assert_eq!(ledger.health().state, Condition::Closed);
    assert!(open(&disk).unwrap().put("a", b"1").is_ok());
}

#[test]
fn a_ledger_that_became_an_old_one_meanwhile_is_not_used() {
    let (disk, ledger) = ledger();
    let old: FaultyDisk = disk.after_crash(Left::All);
    ledger.put("a", b"1").unwrap();
    disk.fail(Fails::Syncs, io::ErrorKind::Other);
    assert!(ledger.put("a", b"2").is_err());
    disk.mend();
    let (old, now) = (old.bytes(LEDGER), disk.bytes(LEDGER));
    (0..old.len()).filter(|at| old[*at] != now[*at]).for_each(|at| disk.flip(LEDGER, at, old[at] ^ now[at]));
    assert!(!ledger.heal());
    let why = ledger.health().why.unwrap();
    assert!(why.contains("has 1 changes and had 2 once"), "{why}");
}
