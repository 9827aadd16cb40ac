//! The journal: every lease that is opened or ended, written down before anybody is told (U-1, U-2, U-4).
//!
//! Two files take turns. To one of them everything is appended; when three quarters of it are used up the other is begun, first with
//! whatever is out then, and the first is free once that is on the disk. Renewals write nothing: after a restart every lease has a
//! whole TTL.
//!
//! What a worker [notes](Journal::note) and [flushes](Journal::flush) survives the end of this process. It is on the disk within
//! [`SYNC_EVERY`], and what may be out and not be there is bounded: beyond a sixteenth of a pool's seats a grant waits for the disk before
//! its holder is told ([`leasehold_core::Granted::credit`]).
//!
//! | module | owns |
//! |---|---|
//! | `layout` | bytes of a file |
//! | `entry` | what a record says |
//! | `recover` | what is there at a start |
//! | `ring` | the file that is written to |
//! | `keeper` | the thread that syncs, changes files and mends |
//! | `anchor` | how far it had come, outside the data folder |

mod anchor;
pub(crate) mod entry;
mod keeper;
mod layout;
mod recover;
mod ring;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    fmt, fs, io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use leasehold_core::{Event, HeldLease, Shared};
use leasehold_protocol::{
    hex,
    time::{Now, UnixMillis},
};
use tokio::sync::watch;

pub(crate) use self::{
    anchor::{Anchor, Anchored},
    recover::recover,
};
use self::{
    entry::{Closed, Doubt, Ended, Entry, PlanChanged},
    keeper::Keeper,
    ring::Ring,
};
pub use self::{
    keeper::Failing,
    recover::{Doubts, Finding, How, Recovery},
};
use crate::{
    instant::wall_of,
    state::lock,
    storage::{Disk, Storage},
};

/// The two files.
pub(crate) const FILES: [&str; 2] = ["journal.0", "journal.1"];

/// How long something may be written and not be on the disk.
pub const SYNC_EVERY: Duration = Duration::from_millis(200);

/// The journal of a running server.
pub struct Journal {
    inner: Arc<Inner>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What workers and the keeper share.
struct Inner {
    ring: Mutex<Ring>,
    shared: Arc<Shared>,
    wants: Mutex<Wants>,
    wake: Condvar,
    /// The last record that is on the disk.
    synced: watch::Sender<u64>,
    /// Whether anybody waits to be told of a grant.
    has_held: AtomicBool,
    failing: ArcSwapOption<Failing>,
    figures: Figures,
}

/// What the keeper is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Wants {
    /// Since when something is written and not on the disk.
    dirty_since: Option<Instant>,
    /// Somebody waits for the disk.
    is_urgent: bool,
    ends: bool,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noted {
    /// There was nothing to be noted.
    Nothing,
    /// It was, and is to be [flushed](Journal::flush) before anybody is told.
    Written,
    /// The same, and nobody is told before the record of this number is on the disk.
    After(u64),
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Figures {
    /// Records appended.
    pub records: AtomicU64,
    /// Syncs that succeeded.
    pub syncs: AtomicU64,
    /// How long they took in all, in microseconds.
    pub sync_us: AtomicU64,
    /// The longest of them.
    pub sync_us_max: AtomicU64,
    /// Files begun.
    pub files: AtomicU64,
    /// Times that storage began to fail.
    pub failures: AtomicU64,
    /// Grants that waited for the disk.
    pub waited: AtomicU64,
}

/// What this start goes on from.
pub(crate) struct Beginning {
    pub(crate) server_id: u64,
    pub(crate) kernel_boot: [u8; 16],
    /// What was found.
    pub(crate) file: u64,
    pub(crate) life: u64,
    pub(crate) next: u64,
    pub(crate) base: Option<usize>,
    /// The number the log begins with.
    pub(crate) round: u64,
    pub(crate) ttl_ms: u64,
    /// How long a file is at first, in bytes.
    pub(crate) len_first: u64,
}

/// Room for some ten thousand leases; the file is made longer when more are out.
const LEN_FIRST: u64 = 4 << 20;

impl Beginning {
    /// What goes on after `recovery`.
    pub(crate) fn after(recovery: &Recovery, server_id: u64, round: u64, ttl_ms: u64) -> Self {
        let Recovery { file, life, next, base, .. } = *recovery;
        // Without a name for this boot nothing is taken for written that may not be.
        let kernel_boot = kernel_boot().unwrap_or_default();
        Self { server_id, kernel_boot, file, life, next, base, round, ttl_ms, len_first: LEN_FIRST }
    }
}

impl Journal {
    /// Begins a file with everything that is out, and a thread that keeps it. If it cannot be written the server starts all the same,
    /// grants nothing new, and tries again every second.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn begin(
        storage: Arc<dyn Storage>,
        beginning: Beginning,
        shared: Arc<Shared>,
        anchor: Option<Anchor>,
    ) -> io::Result<Self> {
        let inner = Arc::new(Inner::new(&beginning, shared));
        let mut keeper = Keeper::new(inner.clone(), storage, beginning, anchor);
        keeper.start();
        let keeper = std::thread::Builder::new().name("journal".into()).spawn(move || keeper.run())?;
        Ok(Self { inner, keeper: Mutex::new(Some(keeper)) })
    }

    /// A journal in `folder`, which no server runs on, of the leases of `shared`: for benches and tools. What it held is returned and not
    /// opened.
    ///
    /// # Errors
    /// If what is there cannot be read, or there is no thread to be had.
    pub fn open(folder: &std::path::Path, shared: Arc<Shared>) -> io::Result<(Self, Recovery)> {
        let storage: Arc<dyn Storage> = Arc::new(Disk::new(folder));
        let recovery = recover(&*storage, kernel_boot())?;
        let beginning = Beginning::after(&recovery, 0, recovery.round + 2, 0);
        Ok((Self::begin(storage, beginning, shared, None)?, recovery))
    }

    /// Notes what `event` changes about leases, with `room` to write in.
    pub fn note(&self, event: &Event, now: Now, room: &mut Vec<u8>) -> Noted {
        self.inner.note(event, now, room)
    }

    /// Hands what was noted to the system, so that it survives the end of this process. To be called before anybody is told.
    pub fn flush(&self) {
        self.inner.flush();
    }

    /// The last record that is on the disk, as it comes.
    #[must_use]
    pub fn synced(&self) -> watch::Receiver<u64> {
        self.inner.synced.subscribe()
    }

    /// Why it cannot be written, if so.
    #[must_use]
    pub fn failing(&self) -> Option<Arc<Failing>> {
        self.inner.failing.load_full()
    }

    /// What was counted.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    /// How many bytes the file in use has, how many of them are used, and how far the log has come.
    #[must_use]
    pub fn extent(&self) -> (u64, u64, u64) {
        let ring = lock(&self.inner.ring);
        let (len, used) = ring.len();
        (len, used, ring.round())
    }

    /// Ends the thread, and writes that the server ended as it should with `leases` out. For when no worker is left.
    ///
    /// # Errors
    /// If it cannot be written: then the next start finds a server that was killed.
    pub fn close(&self, leases: u64, now: Now) -> io::Result<()> {
        self.end();
        let inner = &self.inner;
        let entry = Entry::Closed(Closed { leases, at_ms: now.wall.0 });
        let target = {
            let mut ring = lock(&inner.ring);
            let mut body = Vec::new();
            entry.write(&mut body);
            ring.append(entry.kind(), &body);
            ring.flush()?;
            ring.begin_sync()
        };
        target.map_or(Ok(()), |target| target.file.sync())
    }

    fn end(&self) {
        lock(&self.inner.wants).ends = true;
        self.inner.wake.notify_all();
        if let Some(keeper) = lock(&self.keeper).take() {
            // It has no way to panic; and if it had, the file is whole up to there.
            let _ = keeper.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("failing", &self.failing()).finish_non_exhaustive()
    }
}

impl Inner {
    fn new(beginning: &Beginning, shared: Arc<Shared>) -> Self {
        Self {
            ring: Mutex::new(Ring::new(beginning.next, beginning.round)),
            shared,
            wants: Mutex::default(),
            wake: Condvar::new(),
            synced: watch::Sender::new(0),
            has_held: AtomicBool::new(false),
            failing: ArcSwapOption::empty(),
            figures: Figures::default(),
        }
    }

    fn note(&self, event: &Event, now: Now, room: &mut Vec<u8>) -> Noted {
        let ended = |ended: &leasehold_core::Ended, released| {
            let UnixMillis(at_ms) = wall_of(ended.at, now);
            Entry::Ended(Ended { lease: ended.lease, at_ms, released })
        };
        let entry = match event {
            Event::Granted(granted) => Entry::Granted(HeldLease::from(&**granted)),
            Event::Released(lease) => ended(lease, true),
            Event::Expired(lease) => ended(lease, false),
            Event::StoreIsOld { blind_until, .. } => {
                let doubt = Doubt { until_ms: blind_until.0, is_blind: true, lost_from: self.shared.lost_from() };
                Entry::Doubt(doubt)
            }
            Event::PlanChanged { realm, at } => Entry::PlanChanged(PlanChanged { realm: *realm, at_ms: at.0 }),
            // Asked for again, and not told of yet.
            Event::Renewed { lease, .. } if self.has_held.load(Relaxed) => {
                return lock(&self.ring).held(*lease).map_or(Noted::Nothing, Noted::After);
            }
            _ => return Noted::Nothing,
        };
        room.clear();
        entry.write(room);
        self.figures.records.fetch_add(1, Relaxed);
        let mut ring = lock(&self.ring);
        let number = ring.append(entry.kind(), room);
        let Event::Granted(granted) = event else { return Noted::Written };
        let seats: u32 = granted.lots.iter().map(|lot| lot.seats.get()).sum();
        let waits = match number {
            Some(number) if ring.owe(granted.pool, seats, granted.credit) => number,
            Some(_) => return Noted::Written,
            // It is in the checkpoint of the file to come.
            None => ring.last() + 1,
        };
        ring.hold(granted.lease, waits);
        self.has_held.store(true, Relaxed);
        self.figures.waited.fetch_add(1, Relaxed);
        Noted::After(waits)
    }

    fn flush(&self) {
        let (flushed, is_urgent) = {
            let mut ring = lock(&self.ring);
            (ring.flush(), ring.has_held())
        };
        if let Err(e) = flushed {
            self.fail(&e);
        }
        let mut wants = lock(&self.wants);
        let wakes = wants.dirty_since.is_none() || is_urgent && !wants.is_urgent;
        wants.dirty_since.get_or_insert_with(Instant::now);
        wants.is_urgent |= is_urgent;
        drop(wants);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Storage fails: nothing new is granted until it is mended.
    fn fail(&self, why: &io::Error) {
        if self.failing.load().is_some() {
            return;
        }
        self.failing.store(Some(Arc::new(Failing::new(why))));
        self.figures.failures.fetch_add(1, Relaxed);
        self.shared.set_storage_failing(true);
        tracing::error!(
            "the journal cannot be written: {why}. Leases that are out go on, nothing new is granted; it is tried again every \
             second: look at the disk of the data folder"
        );
        lock(&self.wants).is_urgent = true;
        self.wake.notify_one();
    }
}

/// Reads the journal in `folder`, and changes nothing.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn examine(folder: &std::path::Path) -> io::Result<Recovery> {
    recover(&Disk::new(folder), kernel_boot())
}

/// What the kernel that runs now is called; `None` if it does not say.
pub(crate) fn kernel_boot() -> Option<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    hex::decode(&text.trim().replace('-', ""))
}
