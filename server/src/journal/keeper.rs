//! The thread that syncs the journal, changes files, and mends what fails.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use leasehold_core::HeldLease;
use leasehold_protocol::time::{Mono, UnixMillis};

use super::{
    Anchor, Anchored, Beginning, FILES, Inner, SYNC_EVERY, Wants,
    entry::{Checkpoint, Doubt, Entry},
    layout::{BEGIN, Header},
    ring::{Len, Target},
};
use crate::{clock::clock_now, state::lock, storage::Storage};

/// Why the journal cannot be written.
#[derive(Clone, Debug)]
pub struct Failing {
    /// What the system said.
    pub why: String,
    /// Whether that was for want of space.
    pub is_full: bool,
    /// Since when.
    pub since: UnixMillis,
}

impl Failing {
    pub(super) fn new(why: &io::Error) -> Self {
        let is_full = matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self { why: why.to_string(), is_full, since: clock_now().wall }
    }
}

/// Some of the leases that are out, from a place on, and where to go on: see [`leasehold_core::Shared::held`].
pub(super) type HeldPages = Box<dyn Fn(u32, usize) -> (Vec<HeldLease>, Option<u32>) + Send>;

/// What keeps the journal.
pub(super) struct Keeper {
    inner: Arc<Inner>,
    /// Where leases that are out are read, page by page.
    pub(super) held: HeldPages,
    storage: Arc<dyn Storage>,
    anchor: Option<Anchor>,
    pub(super) header: Header,
    /// The newest file that holds everything that was out when it was begun.
    pub(super) base: Option<usize>,
    began: Instant,
    len_first: u64,
    len: u64,
    ttl_ms: u64,
    /// A file could not be begun although the one before could still be written: not before then again.
    again_at: Option<Instant>,
    anchor_failed: bool,
}

/// How often it is tried again when storage fails, and how often is looked whether the file is there still.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Leases that are written into a checkpoint in one go, so that no worker waits for all of them.
const BITE: usize = 256;
/// What a lease takes in a checkpoint, about.
const LEASE_LEN: u64 = 384;
/// A file that is used up sooner than this is followed by one twice as long.
const FILE_LASTS: Duration = Duration::from_secs(10);
/// Beyond this files do not grow for being used up soon.
const LEN_SOON_MAX: u64 = 256 << 20;

impl Keeper {
    pub(super) fn new(
        inner: Arc<Inner>,
        storage: Arc<dyn Storage>,
        beginning: Beginning,
        anchor: Option<Anchor>,
    ) -> Self {
        let header = Header {
            server_id: beginning.server_id,
            number: beginning.file,
            life: beginning.life + 1,
            kernel_boot: beginning.kernel_boot,
            first: 0,
            began_ms: 0,
            len: 0,
        };
        let shared = inner.shared.clone();
        Self {
            held: Box::new(move |from, most| shared.held(from, most)),
            inner,
            storage,
            anchor,
            header,
            base: beginning.base,
            began: Instant::now(),
            len_first: beginning.len_first,
            len: beginning.len_first,
            ttl_ms: beginning.ttl_ms,
            again_at: None,
            anchor_failed: false,
        }
    }

    /// Begins the first file, and takes the place of the one to come.
    pub(super) fn start(&mut self) {
        match self.begin_file() {
            Ok(()) => {
                if let Err(e) = self.take_place() {
                    tracing::warn!(
                        "there is no place for the journal's next file: {e}; make room on the disk of the data folder"
                    );
                }
            }
            Err(e) => self.inner.fail(&e),
        }
    }

    /// Makes the file that is not in use as long as the one that is: so that a full disk is no reason to stop (U-4).
    fn take_place(&self) -> io::Result<()> {
        let Some(base) = self.base else { return Ok(()) };
        let next = self.storage.open(FILES[1 - base])?;
        if next.len()? < self.len { next.set_len(self.len) } else { Ok(()) }
    }

    pub(super) fn run(&mut self) {
        loop {
            let wants = self.wait();
            if wants.ends {
                return;
            }
            if self.inner.failing.load().is_some() {
                self.mend();
            } else if self.wants_file() {
                self.change_file();
            } else if let Err(e) = self.sync() {
                self.inner.fail(&e);
            }
        }
    }

    /// Waits until there is something to do, and takes it.
    fn wait(&self) -> Wants {
        let mut wants = lock(&self.inner.wants);
        loop {
            let now = Instant::now();
            let due = wants.dirty_since.map(|since| since + SYNC_EVERY);
            let failing = self.inner.failing.load().is_some();
            // What fails is tried again once a second, however urgent it is.
            let is_now = wants.ends || !failing && (wants.is_urgent || due.is_some_and(|due| due <= now));
            if is_now {
                return std::mem::take(&mut *wants);
            }
            let wait = due.filter(|_| !failing).map_or(LOOK_EVERY, |due| (due - now).min(LOOK_EVERY));
            let waited = self.inner.wake.wait_timeout(wants, wait).unwrap_or_else(PoisonError::into_inner);
            wants = waited.0;
            if waited.1.timed_out() && (failing || wait == LOOK_EVERY) {
                return std::mem::take(&mut *wants);
            }
        }
    }

    /// Makes everything that was flushed durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let target = {
            let mut ring = lock(&self.inner.ring);
            if !ring.is_linked() {
                ring.give_up();
                return Err(io::Error::new(io::ErrorKind::NotFound, "somebody has removed the file"));
            }
            ring.flush()?;
            ring.begin_sync()
        };
        target.map_or(Ok(()), |target| self.finish(&target))
    }

    pub(super) fn finish(&mut self, target: &Target) -> io::Result<()> {
        let began = Instant::now();
        if let Err(e) = target.file.sync() {
            // Once a sync has failed nobody knows what is on the disk, however the next one ends.
            lock(&self.inner.ring).give_up();
            return Err(e);
        }
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let figures = &self.inner.figures;
        figures.syncs.fetch_add(1, Relaxed);
        figures.sync_us.fetch_add(took, Relaxed);
        figures.sync_us_max.fetch_max(took, Relaxed);
        let round = {
            let mut ring = lock(&self.inner.ring);
            ring.end_sync(target.number);
            self.inner.has_held.store(ring.has_held(), Relaxed);
            ring.round()
        };
        self.inner.shared.set_log(round);
        self.write_anchor(round - 1);
        self.inner.synced.send_replace(target.number);
        Ok(())
    }

    fn write_anchor(&mut self, round: u64) {
        let Some(anchor) = &self.anchor else { return };
        let written = anchor.write(&Anchored { server_id: self.header.server_id, round, ttl_ms: self.ttl_ms });
        if let Err(e) = &written
            && !self.anchor_failed
        {
            tracing::warn!(
                "{} cannot be written: {e}; a data folder that is put back is noticed later",
                anchor.path().display()
            );
        }
        self.anchor_failed = written.is_err();
    }

    pub(super) fn wants_file(&self) -> bool {
        let due = self.again_at.is_none_or(|at| at <= Instant::now());
        due && lock(&self.inner.ring).is_nearly_full()
    }

    /// Goes on in the other file; if that cannot be begun, in this one for as long as it can be written.
    pub(super) fn change_file(&mut self) {
        if let Err(e) = self.begin_file() {
            if lock(&self.inner.ring).place().is_some() && lock(&self.inner.ring).place() == self.base {
                tracing::warn!("the journal's next file cannot be begun: {e}; the one in use grows meanwhile");
                self.again_at = Some(Instant::now() + LOOK_EVERY);
            } else {
                lock(&self.inner.ring).give_up();
                self.inner.fail(&e);
            }
        }
    }

    /// Writes everything that is out into a file anew.
    pub(super) fn mend(&mut self) {
        lock(&self.inner.ring).give_up();
        match self.begin_file() {
            Ok(()) => {
                self.inner.failing.store(None);
                self.inner.shared.set_storage_failing(false);
                tracing::info!("the journal is written again: everything that is out is on the disk");
            }
            Err(e) => {
                lock(&self.inner.ring).give_up();
                // The reason may be another one by now.
                let since = self.inner.failing.load().as_ref().map(|failing| failing.since);
                let now = Failing::new(&e);
                self.inner.failing.store(Some(Arc::new(Failing { since: since.unwrap_or(now.since), ..now })));
            }
        }
    }

    /// Begins the file that is not the newest whole one, and writes everything into it that is out.
    pub(super) fn begin_file(&mut self) -> io::Result<()> {
        let place = self.base.map_or(0, |base| 1 - base);
        let len = self.next_len();
        self.header = Header { number: self.header.number + 1, began_ms: clock_now().wall.0, ..self.header };
        let (before, begun) = {
            let mut ring = lock(&self.inner.ring);
            ring.flush()?;
            let before = ring.begin_sync();
            (before, ring.begin(&*self.storage, place, &self.header, len))
        };
        if let Some(before) = before {
            self.finish(&before)?;
        }
        begun?;
        self.checkpoint()?;
        self.sync()?;
        (self.base, self.began, self.len, self.again_at) = (Some(place), Instant::now(), len.wished, None);
        self.inner.figures.files.fetch_add(1, Relaxed);
        Ok(())
    }

    fn next_len(&self) -> Len {
        let used_up_soon = self.base.is_some() && self.began.elapsed() < FILE_LASTS;
        let before = if used_up_soon { (self.len * 2).min(LEN_SOON_MAX.max(self.len)) } else { self.len };
        let leases = self.inner.shared.live_leases() * LEASE_LEN * 2;
        Len { least: BEGIN + leases, wished: before.max(self.len_first + leases) }
    }

    /// Writes down every lease that is out. Meanwhile workers append to the same file, and who waits for the disk does not wait
    /// for all of it.
    fn checkpoint(&mut self) -> io::Result<()> {
        let (mut from, mut leases, mut body) = (Some(0), 0, Vec::new());
        self.append(self.doubts().map(Entry::Doubt), &mut body)?;
        while let Some(slot) = from {
            let (held, next) = (self.held)(slot, BITE);
            leases += held.len() as u64;
            self.append(held.into_iter().map(Entry::Held), &mut body)?;
            from = next;
            if std::mem::take(&mut lock(&self.inner.wants).is_urgent) {
                self.sync()?;
            }
        }
        self.append([Entry::Checkpoint(Checkpoint { leases })], &mut body)
    }

    /// What the server does not know now: the next life would not, either.
    fn doubts(&self) -> impl Iterator<Item = Doubt> + use<> {
        let (shared, now) = (&self.inner.shared, clock_now().mono);
        let doubt = |is_blind, until: Option<Mono>| {
            let Mono(until_ms) = until?;
            Some(Doubt { until_ms, is_blind, lost_from: shared.lost_from() })
        };
        [doubt(true, shared.blind_until(now)), doubt(false, shared.withheld_until())].into_iter().flatten()
    }

    pub(super) fn append(&self, entries: impl IntoIterator<Item = Entry>, body: &mut Vec<u8>) -> io::Result<()> {
        let mut ring = lock(&self.inner.ring);
        for entry in entries {
            body.clear();
            entry.write(body);
            if ring.append(entry.kind(), body).is_none() {
                return Err(io::Error::other("the file was given up"));
            }
        }
        ring.flush()
    }
}
