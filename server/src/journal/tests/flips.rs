//! A changed byte anywhere: named with its file and place, or without any meaning; never a panic, never believed (D4).

use super::*;

fn written() -> Rig {
    let mut rig = Rig::new();
    for n in 0..6 {
        rig.grant(n, 1);
    }
    rig.end(2, true);
    rig.keeper.sync().unwrap();
    rig.grant(7, 1);
    rig
}

fn used(rig: &Rig) -> usize {
    usize::try_from(lock(&rig.inner.ring).len().1).unwrap()
}

/// Where records begin.
const HEAD_LEN: usize = 4096;

#[test]
fn every_byte_that_means_something_is_looked_at() {
    let rig = written();
    let (good, used) = (rig.recover(), used(&rig));
    assert!(good.findings.is_empty() && good.held.len() == 6 && used > HEAD_LEN + 7 * 64);
    let (mut named, mut harmless) = (0, 0);
    for at in 0..used + 64 {
        for by in [0x01, 0x80, 0xff] {
            let disk = rig.disk.after_crash(Left::All);
            disk.flip(FILES[0], at, by);
            let found = recover(&disk, Some(BOOT)).unwrap();
            let finding = found.findings.first().unwrap_or_else(|| panic!("byte {at} by {by:#x} was believed"));
            assert!(finding.file.ends_with(FILES[0]), "{finding}");
            // The record it is in, or the header.
            let near = finding.offset.abs_diff(at as u64) < 64 * 8;
            assert!(near || at < HEAD_LEN, "byte {at} is told of at {}", finding.offset);
            if finding.serious {
                assert_eq!(found.how, How::Damaged);
                named += 1;
            } else {
                assert_eq!((found.how, &found.held), (How::Killed, &good.held), "byte {at}");
                harmless += 1;
            }
        }
    }
    println!("{} flips: {named} make the server careful, {harmless} are told of and lose nothing", named + harmless);
}

#[test]
fn after_a_power_cut_what_was_on_the_disk_for_certain_is_damage_and_the_rest_is_not() {
    let mut rig = Rig::new();
    let mut places = Vec::new();
    for n in 0..8 {
        places.push(used(&rig));
        rig.grant(n, 1);
        rig.keeper.sync().unwrap();
    }
    let how = |at: usize| {
        let disk = rig.disk.after_crash(Left::All);
        disk.flip(FILES[0], at + 40, 1);
        recover(&disk, Some(NEXT_BOOT)).unwrap()
    };
    for (n, at) in places.iter().enumerate() {
        let found = how(*at);
        assert_eq!(found.findings.len(), 1, "{n}");
        // A record of the last round, and of the one before, may be one that never came to the disk.
        let expected = if n < 5 { How::Damaged } else { How::PowerCut };
        assert_eq!((found.how, found.held.len()), (expected, 7), "{n}");
    }
}

#[test]
fn a_changed_byte_in_free_space_changes_nothing() {
    let rig = written();
    let (good, used) = (rig.recover(), used(&rig));
    for at in used + 64..rig.disk.bytes(FILES[0]).len() {
        let disk = rig.disk.after_crash(Left::All);
        disk.flip(FILES[0], at, 0x40);
        let found = recover(&disk, Some(BOOT)).unwrap();
        assert_eq!((found.how, &found.held, found.findings.len()), (good.how, &good.held, 0));
    }
}

#[test]
fn anything_at_all_may_stand_in_a_file() {
    let rig = written();
    let mut dice = 7u64;
    for _ in 0..2000 {
        let disk = rig.disk.after_crash(Left::All);
        for _ in 0..1 + dice % 9 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(dice >> 33).unwrap() % disk.bytes(FILES[0]).len();
            disk.flip(FILES[0], at, dice.to_be_bytes()[4]);
        }
        let _ = recover(&disk, Some(BOOT)).unwrap();
    }
    for len in [0, 1, 63, 4095, 4096, 4097, 5000] {
        let disk = rig.disk.after_crash(Left::All);
        disk.open(FILES[0]).unwrap().set_len(len).unwrap();
        let found = recover(&disk, Some(BOOT)).unwrap();
        assert!(len == 0 || !found.findings.is_empty(), "{len}: {found:?}");
    }
}
