//! The journal over a disk that crashes, tears and fails: nothing that was told is forgotten (D1, D2, D3, D4).

mod crashes;
mod failures;
mod flips;

use std::collections::BTreeMap;

use leasehold_core::{Granted, RealmConfig, ServerConfig};
use leasehold_protocol::{
    Entropy,
    crypto::{Keypair, SiteKey},
    time::Mono,
    vocab::{Label, LeaseId, OperationId},
};

use super::{entry::tests::lease, *};
use crate::{
    clock_now,
    storage::faulty::{FaultyDisk, Left},
};

/// The boot everything runs in; after a power cut there is another one.
const BOOT: [u8; 16] = [1; 16];
const NEXT_BOOT: [u8; 16] = [2; 16];
/// Seats that may be out and not on the disk.
const CREDIT: u32 = 3;
const NOW: Now = Now { mono: Mono(1000), wall: UnixMillis(1_767_614_400_000) };

/// A journal without its thread: what the thread would do is done when the test says so.
struct Rig {
    disk: FaultyDisk,
    inner: Arc<Inner>,
    keeper: Keeper,
    /// What is out, as the server knows it.
    out: Arc<Mutex<BTreeMap<u32, HeldLease>>>,
    room: Vec<u8>,
}

/// Not used for anything that has to be secret.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        });
    }
}

/// A server of the realm that [`lease`] makes leases of.
fn server() -> Arc<Shared> {
    let (publisher, keys) = (Label::new("acme").unwrap(), Keypair::generate(&mut Counting(1)));
    let realm = RealmConfig { publisher, keys, site: SiteKey::OPEN, ticket_keys: vec![] };
    Shared::new(ServerConfig { log_begins: 2, ..ServerConfig::default() }, vec![realm], &mut Counting(2))
}

/// A journal that is kept by its thread, over a disk in memory.
pub(crate) fn running(disk: &FaultyDisk) -> Journal {
    let recovery = recover(disk, Some(BOOT)).unwrap();
    let round = recovery.round + 2;
    let beginning =
        Beginning { kernel_boot: BOOT, len_first: 16 << 10, ..Beginning::after(&recovery, 7, round, 300_000) };
    Journal::begin(Arc::new(disk.clone()), beginning, server(), None).unwrap()
}

impl Rig {
    /// The first life, or the next one, over `disk`; what is out in it is opened again.
    fn start(disk: &FaultyDisk, recovery: &mut Recovery) -> Self {
        Self::start_in(disk, recovery, BOOT)
    }

    /// The same in another boot of the machine.
    fn start_in(disk: &FaultyDisk, recovery: &mut Recovery, kernel_boot: [u8; 16]) -> Self {
        let shared = server();
        let held = std::mem::take(&mut recovery.held).into_iter().map(|held| (held.lease.slot(), held));
        let out = Arc::new(Mutex::new(held.collect::<BTreeMap<u32, HeldLease>>()));
        let round = recovery.round + 2;
        let beginning = Beginning { kernel_boot, len_first: 8 << 10, ..Beginning::after(recovery, 7, round, 300_000) };
        let inner = Arc::new(Inner::new(&beginning, shared));
        let mut keeper = Keeper::new(inner.clone(), Arc::new(disk.clone()), beginning, None);
        let pages = out.clone();
        keeper.held = Box::new(move |from, most| page(&lock(&pages), from, most));
        keeper.start();
        Self { disk: disk.clone(), inner, keeper, out, room: Vec::new() }
    }

    fn new() -> Self {
        let disk = FaultyDisk::default();
        let mut recovery = recover(&disk, Some(BOOT)).unwrap();
        Self::start(&disk, &mut recovery)
    }

    fn note(&mut self, event: &Event) -> Noted {
        self.inner.note(event, NOW, &mut self.room)
    }

    /// Notes and flushes; whether that worked.
    fn grant(&mut self, n: u32, seats: u32) -> (Noted, bool) {
        lock(&self.out).insert(n, lease(n, seats));
        let noted = self.note(&granted(n, seats));
        self.inner.flush();
        (noted, self.inner.failing.load().is_none())
    }

    fn end(&mut self, n: u32, released: bool) -> bool {
        lock(&self.out).remove(&n);
        self.note(&ended(n, released));
        self.inner.flush();
        self.inner.failing.load().is_none()
    }

    fn synced(&self) -> u64 {
        *self.inner.synced.borrow()
    }

    /// What the next start finds in the file system as it is.
    fn recover(&self) -> Recovery {
        recover(&self.disk, Some(BOOT)).unwrap()
    }
}

fn page(out: &BTreeMap<u32, HeldLease>, from: u32, most: usize) -> (Vec<HeldLease>, Option<u32>) {
    let held: Vec<HeldLease> = out.range(from..).take(most).map(|(_, held)| held.clone()).collect();
    let next = held.last().map(|last| last.lease.slot() + 1).filter(|_| held.len() == most);
    (held, next)
}

fn granted(n: u32, seats: u32) -> Event {
    let held = lease(n, seats);
    Event::Granted(Box::new(Granted {
        realm: held.realm,
        lease: held.lease,
        claim: held.claim,
        client: held.client,
        operation: OperationId(1),
        feature: held.feature,
        version: held.version,
        seats: held.seats,
        lots: held.lots,
        holder: held.holder,
        at: NOW.mono,
        wall: held.granted,
        deadline: NOW.mono,
        by_ticket: false,
        number: held.number,
        ttl_ms: held.ttl_ms,
        address: held.address,
        shares: held.shares,
        pool: 1,
        credit: CREDIT,
    }))
}

fn ended(n: u32, released: bool) -> Event {
    let held = lease(n, 1);
    let ended = leasehold_core::Ended {
        realm: held.realm,
        lease: held.lease,
        claim: held.claim,
        feature: held.feature,
        seats: held.seats,
        holder: held.holder,
        granted_at: NOW.mono,
        at: NOW.mono,
        renewals: 0,
        undone: vec![],
        stays_until: None,
        lingered: None,
    };
    if released { Event::Released(Box::new(ended)) } else { Event::Expired(Box::new(ended)) }
}

fn ids(held: &[HeldLease]) -> Vec<u32> {
    held.iter().map(|lease| lease.lease.slot()).collect()
}

#[test]
fn what_was_written_is_what_the_next_life_finds() {
    let mut rig = Rig::new();
    for n in 0..5 {
        rig.grant(n, 1);
    }
    assert!(rig.end(1, true) && rig.end(3, false));
    let found = rig.recover();
    assert_eq!((found.how, ids(&found.held), found.findings.len()), (How::Killed, vec![0, 2, 4], 0));
    assert_eq!(found.held[1], lease(2, 1), "every word of it");
    assert_eq!(recover(&rig.disk, Some(NEXT_BOOT)).unwrap().how, How::PowerCut);
    assert_eq!(recover(&rig.disk, None).unwrap().how, How::PowerCut, "a kernel that does not say");
}

#[test]
fn a_journal_that_was_closed_says_so_whatever_the_machine_did_since() {
    let disk = FaultyDisk::default();
    let journal = running(&disk);
    journal.note(&granted(1, 1), NOW, &mut Vec::new());
    journal.close(1, NOW).unwrap();
    for left in [Left::All, Left::Nothing, Left::Torn(1)] {
        let found = recover(&disk.after_crash(left), Some(NEXT_BOOT)).unwrap();
        assert_eq!((found.how, ids(&found.held)), (How::Closed, vec![1]));
    }
}

#[test]
fn a_grant_beyond_what_may_be_lost_waits_for_the_disk_and_who_asks_again_waits_too() {
    let mut rig = Rig::new();
    let noted: Vec<Noted> = (0..5).map(|n| rig.grant(n, 1).0).collect();
    assert_eq!(noted[..3], [Noted::Written; 3]);
    let Noted::After(fourth) = noted[3] else { panic!("{noted:?}") };
    assert_eq!(noted[4], Noted::After(fourth + 1));
    let again = |n| Event::Renewed { lease: LeaseId::new(n, 1), deadline: NOW.mono, activity: None };
    assert_eq!((rig.note(&again(3)), rig.note(&again(0))), (Noted::After(fourth), Noted::Nothing));
    assert!(rig.synced() < fourth);
    rig.keeper.sync().unwrap();
    assert_eq!(rig.synced(), fourth + 1);
    assert_eq!((rig.note(&again(3)), rig.grant(9, 1).0), (Noted::Nothing, Noted::Written));
    // A seat that is somebody's on paper only costs nothing: who shares it, or uncounted ones.
    assert_eq!(rig.grant(10, 3).0, Noted::After(fourth + 3), "three more at once");
}

#[test]
fn what_is_granted_while_the_disk_is_at_work_is_not_on_it_yet() {
    let mut rig = Rig::new();
    rig.grant(0, 1);
    let target = lock(&rig.inner.ring).begin_sync().unwrap();
    // These come too late for it.
    for n in 1..CREDIT {
        assert_eq!(rig.grant(n, 1).0, Noted::Written, "one is being synced, and counts until it is");
    }
    let Noted::After(number) = rig.grant(8, 1).0 else { panic!("four are not on the disk for certain") };
    rig.keeper.finish(&target).unwrap();
    assert!(rig.synced() < number);
    // Three are left that are not on the disk: one more waits.
    assert!(matches!(rig.grant(9, 1).0, Noted::After(_)));
    rig.keeper.sync().unwrap();
    assert_eq!((rig.synced() >= number, rig.grant(10, 1).0), (true, Noted::Written));
}

#[test]
fn files_take_turns_and_each_begins_with_what_is_out() {
    let mut rig = Rig::new();
    let mut held = Vec::new();
    for n in 0..400 {
        rig.grant(n, 1);
        held.push(n);
        if n % 3 > 0 {
            rig.end(held.remove(0), true);
        }
        if rig.keeper.wants_file() {
            rig.keeper.change_file();
            let mut found = rig.recover();
            assert_eq!((ids(&found.held), found.findings.len()), (held.clone(), 0));
            if n % 2 == 0 {
                rig = Rig::start(&rig.disk, &mut found);
            }
        }
    }
    let found = rig.recover();
    // What stood in the file before is longer than what stands in it now, and is not taken for any of it.
    assert_eq!((ids(&found.held), found.findings.len()), (held, 0));
    assert!(found.file > 4, "{} files", found.file);
    let lens: Vec<usize> = FILES.map(|name| rig.disk.bytes(name).len()).to_vec();
    assert!(lens.iter().all(|len| *len < 300 << 10), "{lens:?}");
}

#[test]
fn a_start_that_was_killed_before_it_was_whole_says_nothing_of_how_the_life_before_ended() {
    let mut rig = Rig::new();
    (0..9).for_each(|n| assert!(rig.grant(n, 1).1));
    rig.keeper.sync().unwrap();
    // The power goes, and the next start is killed somewhere in its first file.
    let mut unfinished = 0;
    for at in 1..6 {
        let disk = rig.disk.after_crash(Left::Nothing);
        let mut found = recover(&disk, Some(NEXT_BOOT)).unwrap();
        assert_eq!((found.how, found.held.len()), (How::PowerCut, 9));
        disk.crash_at(at);
        let _ = Rig::start_in(&disk, &mut found, NEXT_BOOT);
        let left = disk.after_crash(Left::All);
        let found = recover(&left, Some(NEXT_BOOT)).unwrap();
        // Once it is whole it is its own life that was killed.
        let how = if found.base == Some(0) { How::PowerCut } else { How::Killed };
        assert_eq!((found.how, found.held.len()), (how, 9), "step {at}: {:?}", found.findings);
        if how == How::PowerCut && found.records > 10 {
            unfinished += 1;
            // Nor does it if something in it is damaged.
            left.flip(FILES[1], 4096, 0xff);
            let found = recover(&left, Some(NEXT_BOOT)).unwrap();
            assert_eq!((found.how, found.held.len()), (How::PowerCut, 9), "{:?}", found.findings);
            assert!(found.findings.iter().all(|finding| !finding.serious));
        }
    }
    assert!(unfinished > 0, "none was killed with some of its leases written");
}

#[test]
fn a_file_that_lacks_one_of_its_leases_is_not_taken_for_whole() {
    let mut rig = Rig::new();
    (0..9).for_each(|n| assert!(rig.grant(n, 1).1));
    rig.keeper.begin_file().unwrap();
    let place = rig.keeper.base.unwrap();
    let bytes = rig.disk.bytes(FILES[place]);
    // The power goes, and of the leases it begins with one never came to the disk.
    let held = (4096..bytes.len()).step_by(64).filter(|at| bytes[*at..].starts_with(b"JR\x02")).nth(4).unwrap();
    let disk = rig.disk.after_crash(Left::All);
    disk.flip(FILES[place], held, 0xff);
    let found = recover(&disk, Some(NEXT_BOOT)).unwrap();
    assert_eq!((found.held.len(), found.base), (9, Some(1 - place)), "the file before holds it still");
}

#[test]
fn what_waits_for_the_disk_while_files_change_is_told_only_when_the_old_one_is_on_it_too() {
    for at in 0..14 {
        let mut rig = Rig::new();
        // More leases than are written in one go, so that somebody who waits is seen to in between.
        for n in 0..600 {
            lock(&rig.out).insert(n, lease(n, 1));
        }
        rig.keeper.begin_file().unwrap();
        let Noted::After(number) = rig.grant(1000, CREDIT + 1).0 else { panic!("it waits") };
        lock(&rig.inner.wants).is_urgent = true;
        rig.disk.crash_at(rig.disk.steps() + at);
        let _ = rig.keeper.begin_file();
        let found = recover(&rig.disk.after_crash(Left::Nothing), Some(NEXT_BOOT)).unwrap();
        let is_there = found.held.iter().any(|held| held.lease.slot() == 1000);
        assert!(is_there || rig.synced() < number, "told in step {at}, and forgotten");
    }
}

#[test]
fn what_a_server_does_not_know_is_written_down_with_everything_else() {
    let rig = Rig::new();
    assert_eq!(rig.recover().doubts, Doubts { runs_on: true, ..Doubts::default() });
    let until = Mono(clock_now().mono.0 + 60_000);
    rig.inner.shared.withhold(until, 40);
    let mut rig = rig;
    rig.keeper.begin_file().unwrap();
    let expected = Doubts { runs_on: true, withheld_until: Some(until), lost_from: 40, ..Doubts::default() };
    assert_eq!(rig.recover().doubts, expected);
    rig.note(&Event::StoreIsOld { ticket: 9, ours: 5, blind_until: Mono(until.0 + 1) });
    rig.inner.flush();
    assert_eq!(rig.recover().doubts, Doubts { blind_until: Some(Mono(until.0 + 1)), ..expected });
    assert!(!recover(&rig.disk, Some(NEXT_BOOT)).unwrap().doubts.runs_on);
}

#[test]
fn a_thread_keeps_it_and_tells_when_something_is_on_the_disk() {
    let disk = FaultyDisk::default();
    let journal = running(&disk);
    let (mut synced, mut last) = (journal.synced(), 0);
    let mut noted = BTreeMap::new();
    for n in 0..40 {
        let note = journal.note(&granted(n, CREDIT + 1), NOW, &mut Vec::new());
        journal.flush();
        let Noted::After(number) = note else { panic!("{note:?}") };
        noted.insert(n, number);
        last = number;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { synced.wait_for(|number| *number >= last).await.map(drop) }).unwrap();
    let after = recover(&disk.after_crash(Left::Nothing), Some(NEXT_BOOT)).unwrap();
    assert_eq!(after.held.len(), 40);
    assert!(journal.figures().syncs.load(Relaxed) > 0 && journal.failing().is_none());
}
