//! Disks that fail, fill up or lose their files, and are well again (U-4, D2, D3).

use std::io::ErrorKind;

use super::*;
use crate::storage::faulty::Fails;

#[test]
fn after_a_failed_sync_nothing_is_told_before_everything_is_written_anew() {
    let mut rig = Rig::new();
    rig.grant(1, 1);
    rig.disk.fail(Fails::Syncs, ErrorKind::Other);
    let (noted, _) = rig.grant(2, CREDIT + 1);
    let Noted::After(number) = noted else { panic!("{noted:?}") };
    let failed = rig.keeper.sync().unwrap_err();
    rig.inner.fail(&failed);
    assert!(rig.inner.shared.is_storage_failing() && rig.synced() < number);
    // The disk says it is well: that is not believed of the file as it is.
    rig.disk.mend();
    rig.keeper.sync().unwrap();
    assert!(rig.synced() < number, "nothing is synced that was given up");
    let Noted::After(later) = rig.grant(3, 1).0 else { panic!("told without a journal") };
    rig.keeper.sync().unwrap();
    assert!(rig.synced() < number, "whatever is written behind it");
    rig.keeper.mend();
    let found = recover(&rig.disk.after_crash(Left::Nothing), Some(NEXT_BOOT)).unwrap();
    assert_eq!(ids(&found.held), [1, 2, 3], "all that is told now is on the disk");
    assert!(!rig.inner.shared.is_storage_failing() && rig.synced() >= later);
    assert_eq!(rig.grant(4, 1), (Noted::Written, true));
}

#[test]
fn a_file_that_cannot_grow_is_followed_by_the_one_that_has_its_place() {
    let mut rig = Rig::new();
    let used = FILES.map(|name| rig.disk.bytes(name).len() as u64).iter().sum();
    rig.disk.give_room(used);
    let mut n = 0;
    while rig.grant(n, 1).1 {
        n += 1;
        if n % 3 == 0 {
            rig.keeper.sync().unwrap();
        }
    }
    assert!(n > 10, "{n} grants went into what had its place");
    let failing = rig.inner.failing.load_full().unwrap();
    assert!(failing.is_full, "{failing:?}");
    assert!(rig.inner.shared.is_storage_failing());
    // What was told before is there.
    assert!(rig.recover().held.len() >= n as usize);
    // Both files have their place, and none has more: what is out must fit.
    rig.keeper.mend();
    assert!(rig.inner.failing.load().is_some(), "{n} leases do not");
    (3..n).for_each(|n| _ = rig.end(n, true));
    rig.keeper.mend();
    assert!(rig.inner.failing.load().is_none() && !rig.inner.shared.is_storage_failing());
}

#[test]
fn a_file_that_somebody_removes_is_noticed_and_written_anew() {
    let mut rig = Rig::new();
    rig.grant(1, 1);
    rig.disk.remove(FILES[0]);
    let gone = rig.keeper.sync().unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    rig.inner.fail(&gone);
    rig.keeper.mend();
    assert!(rig.inner.failing.load().is_none());
    assert_ne!(rig.recover().how, How::Damaged);
}

#[test]
fn a_server_that_starts_on_a_failing_disk_serves_and_mends_itself() {
    let disk = FaultyDisk::default();
    disk.fail(Fails::Writes, ErrorKind::PermissionDenied);
    let mut found = recover(&disk, Some(BOOT)).unwrap();
    let mut rig = Rig::start(&disk, &mut found);
    assert!(rig.inner.failing.load().is_some() && rig.inner.shared.is_storage_failing());
    rig.keeper.mend();
    assert!(rig.inner.failing.load().is_some());
    disk.mend();
    rig.keeper.mend();
    assert!(rig.inner.failing.load().is_none());
    assert_eq!(rig.grant(1, 1), (Noted::Written, true));
}

#[test]
fn on_a_full_disk_the_files_go_on_taking_turns() {
    let mut rig = Rig::new();
    rig.disk.give_room(FILES.map(|name| rig.disk.bytes(name).len() as u64).iter().sum());
    for n in 0..300 {
        assert!(rig.grant(n, 1).1, "grant {n}");
        rig.end(n, true);
        if n % 3 == 0 {
            rig.keeper.sync().unwrap();
        }
        if rig.keeper.wants_file() {
            // It is used up soon, and a longer one is wished for.
            rig.keeper.change_file();
        }
    }
    assert!(rig.inner.failing.load().is_none());
    assert!(rig.inner.figures.files.load(Relaxed) > 3);
}

#[test]
fn the_other_file_cannot_grow_and_this_one_goes_on() {
    let mut rig = Rig::new();
    let mut n = 0;
    while !lock(&rig.inner.ring).is_nearly_full() {
        rig.grant(n, 1);
        n += 1;
        if n % 3 == 0 {
            rig.keeper.sync().unwrap();
        }
    }
    rig.disk.remove(FILES[1]);
    rig.disk.give_room(rig.disk.bytes(FILES[0]).len() as u64);
    rig.keeper.change_file();
    assert!(rig.inner.failing.load().is_none(), "it is not full yet");
    assert_eq!(rig.grant(n, 1), (Noted::Written, true));
    assert!(!rig.keeper.wants_file(), "not before a second has passed");
    rig.keeper.sync().unwrap();
    let found = recover(&rig.disk.after_crash(Left::Nothing), Some(NEXT_BOOT)).unwrap();
    assert_eq!((found.how, found.held.len()), (How::PowerCut, n as usize + 1));
}
