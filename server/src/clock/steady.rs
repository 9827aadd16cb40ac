//! The effective wall time, shared by all threads (T-5): read once per batch by every worker, without a lock.

use std::{
    sync::{
        Mutex, MutexGuard, TryLockError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use leasehold_core::{Mark, WallKeeper, WallStatus, wall::gap_of};
use leasehold_protocol::{
    crypto::Fingerprint,
    time::{Mono, Now, UnixMillis},
};

use super::{
    clock_now,
    mark::{MarkKeys, load_mark, save_mark},
};
use crate::{
    journal,
    state::{Folder, StateError, lock},
};

/// How often the keeper is asked although the calendar runs as it did: a jump that stands is believed so much late at most.
const LOOK_AGAIN_MS: u64 = 1000;
/// How far the calendar may be behind what it was at the last look without being looked at again: two readings of two clocks are a
/// little apart.
const JITTER_MS: i64 = 100;

/// The machine's clocks with the effective wall time in the place of its calendar.
#[derive(Debug)]
pub struct SteadyClock {
    keeper: Mutex<WallKeeper>,
    /// By how much effective time is ahead of the boot clock, in milliseconds.
    gap: AtomicI64,
    /// The same of the calendar, as last looked at.
    raw_gap: AtomicI64,
    /// When it is looked at again, on the boot clock.
    due: AtomicU64,
    /// What its mark is sealed with.
    keys: MarkKeys,
    /// The boot of the machine.
    boot: Option<[u8; 16]>,
}

/// One reading of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The boot clock and the effective wall time.
    pub now: Now,
    /// By how much the machine's calendar is ahead of that, in milliseconds; below zero if it is behind.
    pub raw_ahead_ms: i64,
}

impl SteadyClock {
    /// Begins with the mark that the life before left in `folder`, and leaves one: see [`WallKeeper::start`] and
    /// [`load_mark`]. What is not as it should be comes as warnings: a server starts with any clock.
    pub fn start(folder: &mut Folder, keys: MarkKeys, tolerance: Duration) -> (Self, Vec<String>) {
        let boot = journal::kernel_boot();
        let is_new = journal::FILES.iter().all(|file| !folder.join(file).exists());
        let (mark, warning) = load_mark(folder, &keys, boot, is_new);
        let tolerance_ms = u64::try_from(tolerance.as_millis()).unwrap_or(u64::MAX);
        let clock = Self { keys, boot, ..Self::at(clock_now(), mark, tolerance_ms) };
        let saved = clock.save(folder).map_err(|e| e.to_string());
        (clock, warning.into_iter().chain(saved.err()).collect())
    }

    fn at(raw: Now, mark: Option<Mark>, tolerance_ms: u64) -> Self {
        let keeper = WallKeeper::start(raw, mark, tolerance_ms);
        Self {
            gap: keeper.gap_ms().into(),
            keeper: Mutex::new(keeper),
            raw_gap: gap_of(raw).into(),
            due: AtomicU64::new(0),
            keys: MarkKeys::of(&[]),
            boot: None,
        }
    }

    /// The boot clock and the effective wall time, now.
    #[must_use]
    pub fn now(&self) -> Now {
        self.read().now
    }

    /// The same, with where the machine's calendar is. Takes no lock as long as that runs as it did, but once a second; and never waits
    /// for one.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.read_at(clock_now())
    }

    // The three numbers are each right by themselves, whichever of two looks they are of; nothing else is read through them.
    fn read_at(&self, raw: Now) -> Reading {
        let raw_gap = gap_of(raw);
        let behind = self.raw_gap.load(Relaxed).saturating_sub(raw_gap);
        let usual = (0..JITTER_MS).contains(&behind) && raw.mono.0 < self.due.load(Relaxed);
        if !usual && let Some(mut keeper) = self.try_lock() {
            keeper.read(raw);
            self.note(&keeper, raw);
        }
        let gap = self.gap.load(Relaxed);
        Reading { now: Now { wall: wall_at(raw.mono, gap), ..raw }, raw_ahead_ms: raw_gap.saturating_sub(gap) }
    }

    /// A client that proved itself says that its calendar is so far ahead of our boot clock.
    pub fn heard(&self, client: Fingerprint, ahead_ms: i64) {
        lock(&self.keeper).heard(client, ahead_ms);
    }

    /// How the clocks stand.
    #[must_use]
    pub fn status(&self) -> WallStatus {
        let (raw, mut keeper) = (clock_now(), lock(&self.keeper));
        let status = keeper.status(raw);
        self.note(&keeper, raw);
        status
    }

    /// Takes the machine's calendar as right, also backwards: an administrator says so. By how much effective time moved.
    pub fn confirm(&self) -> i64 {
        let (raw, mut keeper) = (clock_now(), lock(&self.keeper));
        let moved = keeper.confirm(raw);
        self.note(&keeper, raw);
        moved
    }

    /// Writes down in `folder` what is to be kept over a restart: once a minute, and at the end.
    ///
    /// # Errors
    /// If it cannot be written: the mark before holds then.
    pub fn save(&self, folder: &Folder) -> Result<(), StateError> {
        let raw = clock_now();
        let mark = {
            let mut keeper = lock(&self.keeper);
            keeper.read(raw);
            keeper.mark(raw.mono)
        };
        save_mark(folder, &self.keys, self.boot, mark)
    }

    fn note(&self, keeper: &WallKeeper, raw: Now) {
        self.gap.store(keeper.gap_ms(), Relaxed);
        self.raw_gap.store(gap_of(raw), Relaxed);
        self.due.store(raw.mono.0.saturating_add(LOOK_AGAIN_MS), Relaxed);
    }

    /// `None` if another thread looks just then.
    fn try_lock(&self) -> Option<MutexGuard<'_, WallKeeper>> {
        match self.keeper.try_lock() {
            Ok(keeper) => Some(keeper),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

fn wall_at(mono: Mono, gap: i64) -> UnixMillis {
    UnixMillis(mono.0.saturating_add_signed(gap))
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::crypto::ticket::TicketKey;

    use super::*;
    use crate::clock::MARK_FILE;

    const DAY_MS: u64 = 86_400_000;
    /// 2027-07-01.
    const TODAY: u64 = 21_000 * DAY_MS;

    fn at(mono: u64, wall: u64) -> Now {
        Now { mono: Mono(mono), wall: UnixMillis(wall) }
    }

    fn clock() -> SteadyClock {
        SteadyClock::at(at(0, TODAY), None, 26 * 3_600_000)
    }

    #[test]
    fn the_calendar_may_go_where_it_likes_and_dates_go_on() {
        let clock = clock();
        let read = |mono: u64, wall: u64| {
            let Reading { now, raw_ahead_ms } = clock.read_at(at(mono, wall));
            assert_eq!(now.mono, Mono(mono));
            (now.wall.0 - TODAY, raw_ahead_ms)
        };
        assert_eq!(read(10, TODAY + 10), (10, 0));
        assert_eq!(read(20, TODAY + 25), (25, 0), "followed at once, though it was looked at just now");
        assert_eq!(read(30, TODAY + 34), (35, -1), "as clocks jitter");
        assert_eq!(read(40, TODAY - 90 * DAY_MS), (45, -90 * 86_400_000 - 45));
        assert_eq!(read(50, TODAY + 800 * DAY_MS), (55, 800 * 86_400_000 - 55));
        assert_eq!(read(60, TODAY + 65), (65, 0));
    }

    #[test]
    fn a_jump_that_stands_is_believed_without_anything_else_happening() {
        let clock = clock();
        for hour in 0..24 {
            let mono = hour * 3_600_000;
            assert_eq!(clock.read_at(at(mono, TODAY + 800 * DAY_MS + mono)).now.wall.0, TODAY + mono);
        }
        let end = clock.read_at(at(DAY_MS, TODAY + 801 * DAY_MS));
        assert_eq!((end.now.wall.0, end.raw_ahead_ms), (TODAY + 801 * DAY_MS, 0));
    }

    #[test]
    fn whoever_finds_another_looking_does_not_wait() {
        let clock = clock();
        let looking = clock.keeper.lock().unwrap();
        assert_eq!(clock.read_at(at(5, 1)).now.wall.0, TODAY + 5);
        drop(looking);
        assert!(clock.status().raw.0 > 0);
    }

    #[test]
    fn the_machines_own_clock_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(scratch.path()).unwrap();
        let key = TicketKey { id: 1, secret: [3; 32] };
        let start =
            |folder: &mut Folder| SteadyClock::start(folder, MarkKeys::of(std::slice::from_ref(&key)), Duration::ZERO);
        let (clock, warnings) = start(&mut folder);
        assert!(warnings.is_empty(), "{warnings:?}");
        let (before, now, after) = (clock_now(), clock.now(), clock_now());
        assert!(before.mono <= now.mono && now.mono <= after.mono);
        assert!(now.wall.0.abs_diff(after.wall.0) < 60_000);
        assert!(clock.confirm().abs() < 60_000);
        assert!(start(&mut folder).1.is_empty(), "it left its mark");
        folder.write(journal::FILES[0], "").unwrap();
        folder.remove(MARK_FILE).unwrap();
        assert_eq!(start(&mut folder).1.len(), 1, "somebody served here");
    }
}
