//! The power goes, or the process dies, before each step of the disk and in the middle of each write.

use std::sync::{Arc, Mutex};

use super::{
    open, open_in,
    script::{Contents, Kind, Step, Watched, script},
};
use crate::storage::faulty::{FaultyDisk, Left};

/// What was acknowledged, and what was asked for and not answered yet.
#[derive(Default)]
struct Asked {
    acknowledged: Option<Contents>,
    asked: Option<Contents>,
}

impl Asked {
    /// Whether a ledger that was left with `found` lost nothing and did nothing by halves.
    fn allows(&self, found: &Contents) -> bool {
        // Before the first answer there may be no ledger, and the next start makes one: as new as the one asked for.
        self.acknowledged.as_ref() == Some(found) || self.asked.as_ref() == Some(found)
    }
}

/// Opens what a crash left of `disk`; every fourth time it crashes again meanwhile. How many ledgers were opened.
fn check(disk: &FaultyDisk, left: Left, asked: &Asked, point: u64) -> u64 {
    let mut after = disk.after_crash(left);
    let twice = point.is_multiple_of(4);
    if twice {
        // At one of the first steps of opening, another one each time.
        after.crash_at(after.steps() + point / 4 % 9);
        open(&after).into_iter().for_each(|ledger| ledger.close());
        after = after.after_crash(left);
    }
    let ledger = open(&after).unwrap_or_else(|e| panic!("{left:?} at {point}: {e}"));
    // The chain of the audit held, or it would not have been opened.
    let found = Contents::of(&ledger);
    assert!(asked.allows(&found), "{left:?} at {point}: {found:#?}\n{:#?}\nor {:#?}", asked.acknowledged, asked.asked);
    1 + u64::from(twice)
}

/// Runs `script` and crashes at every point of it that `is_mine`; how many points there were, and how many ledgers were opened.
fn crash_everywhere(script: &[Step], seeds: u64, is_mine: fn(u64) -> bool) -> (u64, u64) {
    let asked: Arc<Mutex<Asked>> = Arc::default();
    let tally: Arc<Mutex<(u64, u64)>> = Arc::default();
    let (at_a_step, counted) = (asked.clone(), tally.clone());
    let disk = Watched::new(move |disk, _| {
        let (asked, mut tally) = (at_a_step.lock().unwrap(), counted.lock().unwrap());
        tally.0 += 1;
        let point = tally.0;
        let torn = (0..seeds).map(|seed| Left::Torn(point * seeds + seed));
        for left in [Left::All, Left::Nothing].into_iter().chain(torn).filter(|_| is_mine(point)) {
            tally.1 += check(disk, left, &asked, point);
        }
    });
    let mut contents = Contents::new();
    asked.lock().unwrap().asked = Some(contents.clone());
    let ledger = open_in(Arc::new(disk.clone())).unwrap();
    asked.lock().unwrap().acknowledged = Some(contents.clone());
    for step in script {
        let next = contents.after(step);
        asked.lock().unwrap().asked = Some(next.clone());
        step.make(&ledger).unwrap();
        contents = next;
        asked.lock().unwrap().acknowledged = Some(contents.clone());
    }
    disk.look(Kind::Sync);
    ledger.close();
    disk.look(Kind::Sync);
    assert_eq!(Contents::of(&open(&disk.disk).unwrap()), contents);
    let tally = tally.lock().unwrap();
    *tally
}

#[test]
fn whatever_a_crash_leaves_what_was_acknowledged_is_there_and_nothing_is_half_done() {
    let seeds = if std::env::var_os("LEASEHOLD_LONG").is_some() { 10 } else { 2 };
    let script = script(200);
    let (even, odd) = std::thread::scope(|scope| {
        let half = scope.spawn(|| crash_everywhere(&script, seeds, |point| point.is_multiple_of(2)));
        let odd = crash_everywhere(&script, seeds, |point| !point.is_multiple_of(2));
        (half.join().unwrap(), odd)
    });
    let (points, opened) = (even.0, even.1 + odd.1);
    println!("{} changes: {points} crash points, {opened} ledgers opened after one", script.len());
    assert!(points > 5000 && points == odd.0, "{points} {}", odd.0);
}
