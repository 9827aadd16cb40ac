//! A crash at every step of a script, with everything that may be left on the disk then.

use std::collections::BTreeSet;

use super::*;

/// What the script was told, and when.
#[derive(Default)]
struct Told {
    /// Leases whose holders were told, and that were not ended, with the records that say so.
    out: BTreeMap<u32, u64>,
    /// Of them, those that are on the disk.
    durable: BTreeSet<u32>,
    /// Leases whose end was handed to the system.
    ended: BTreeSet<u32>,
    /// Everything that was ever asked for.
    all: BTreeSet<u32>,
    /// The highest number of the log that a ticket carries.
    log: u64,
    /// Those who wait for a record.
    waiting: BTreeMap<u64, u32>,
}

/// 200 operations: grants of one to four seats, ends, syncs, and changes of file; stops where the disk does.
fn script(disk: &FaultyDisk) -> Told {
    let mut told = Told::default();
    let mut found = recover(disk, Some(BOOT)).expect("an empty disk");
    let mut rig = Rig::start(disk, &mut found);
    let mut dice = 1u32;
    for n in 0..200u32 {
        if disk.has_crashed() {
            break;
        }
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match dice >> 24 & 7 {
            0 => told.settle(rig.keeper.sync().is_ok().then(|| rig.synced())),
            1..3 if !told.out.is_empty() => {
                let which = *told.out.keys().nth(dice as usize % told.out.len()).unwrap();
                told.out.remove(&which);
                told.durable.remove(&which);
                if rig.end(which, n % 2 == 0) {
                    told.ended.insert(which);
                }
            }
            _ => told.grant(&mut rig, n, 1 + (dice >> 8 & 3)),
        }
        if n % 60 == 59 {
            if rig.keeper.begin_file().is_err() {
                lock(&rig.inner.ring).give_up();
            }
            told.settle(Some(rig.synced()));
        }
    }
    told
}

impl Told {
    fn grant(&mut self, rig: &mut Rig, n: u32, seats: u32) {
        self.all.insert(n);
        let log = lock(&rig.inner.ring).round();
        match rig.grant(n, seats) {
            (Noted::Written, true) => {
                self.out.insert(n, lock(&rig.inner.ring).last());
                self.log = self.log.max(log);
            }
            (Noted::After(number), true) => drop(self.waiting.insert(number, n)),
            _ => {}
        }
        if self.waiting.values().any(|waits| *waits == n) && rig.keeper.sync().is_ok() {
            self.log = self.log.max(log);
            self.settle(Some(rig.synced()));
        }
    }

    /// Everything up to record `synced` is on the disk.
    fn settle(&mut self, synced: Option<u64>) {
        let Some(synced) = synced else { return };
        let later = self.waiting.split_off(&(synced + 1));
        self.out.extend(std::mem::replace(&mut self.waiting, later).into_iter().map(|(number, n)| (n, number)));
        self.durable.extend(self.out.iter().filter(|(_, number)| **number <= synced).map(|(n, _)| *n));
    }

    /// Holds `found` against what was told.
    fn check(&self, found: &Recovery, left: Left, at: u64) {
        let held: BTreeSet<u32> = found.held.iter().map(|lease| lease.lease.slot()).collect();
        let out: BTreeSet<u32> = self.out.keys().copied().collect();
        let place = || format!("crash at step {at}, {left:?}: {:?}", found.findings);
        assert!(held.is_subset(&self.all), "{}: a lease nobody was granted", place());
        assert!(held.is_superset(&self.durable), "{}: lost {:?}", place(), self.durable.difference(&held));
        assert!(self.log <= found.round + 1, "{}: a ticket of {} with a log of {}", place(), self.log, found.round);
        if left == Left::All {
            assert!(held.is_superset(&out), "{}: lost {:?}", place(), out.difference(&held));
            assert!(held.is_disjoint(&self.ended), "{}: ended ones are back", place());
        } else {
            let lost = out.difference(&held).count();
            assert!(lost <= CREDIT as usize, "{}: {lost} are lost", place());
            // The very first file may have been half begun, before anybody was granted anything.
            assert!(found.how != How::Damaged || self.all.is_empty(), "{}", place());
        }
        for lease in &found.held {
            let n = lease.lease.slot();
            assert_eq!((lease.claim, &lease.holder), (super::lease(n, 1).claim, &super::lease(n, 1).holder));
        }
    }
}

#[test]
fn at_whatever_step_it_ends_nothing_that_was_told_is_forgotten() {
    let whole = FaultyDisk::default();
    let told = script(&whole);
    assert!(told.out.len() > 20 && told.ended.len() > 20, "{} out, {} ended", told.out.len(), told.ended.len());
    let (steps, mut points) = (whole.steps(), 0);
    for at in 0..steps {
        let disk = FaultyDisk::default();
        disk.crash_at(at);
        let told = script(&disk);
        assert!(disk.has_crashed());
        let torn = (0..4).map(|seed| (Left::Torn(at * 4 + seed), NEXT_BOOT));
        for (left, boot) in
            [(Left::All, BOOT), (Left::All, NEXT_BOOT), (Left::Nothing, NEXT_BOOT)].into_iter().chain(torn)
        {
            let found = recover(&disk.after_crash(left), Some(boot)).expect("readable");
            told.check(&found, left, at);
            points += 1;
        }
    }
    println!("{steps} steps of 200 operations, {points} crash points: nothing lost, nothing half there");
    assert!(steps > 200);
}
