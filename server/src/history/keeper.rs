//! The thread that writes.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use leasehold_protocol::{
    time::{Now, UnixMillis},
    vocab::RealmId,
};

use super::{
    ENDS, Failing, GOES_ON, Gap, Inner, Kind, Life, Noted, QUEUE_LEN, gap,
    names::NameKey,
    record::Record,
    store::{BITE, Store, StoreError},
};
use crate::clock::clock_now;

/// How often what has come is written.
const EVERY: Duration = Duration::from_secs(1);
/// How often is looked for what is older than is kept, in milliseconds.
const FORGET_EVERY_MS: u64 = 600_000;

/// By how much it steps back behind the workers.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// What keeps the history.
pub(super) struct Keeper {
    inner: Arc<Inner>,
    queue: Receiver<Noted>,
    path: PathBuf,
    names: NameKey,
    realms: HashMap<RealmId, String>,
    keep: Option<Duration>,
    pub(super) store: Option<Store>,
    /// What is missing and not noted in the file yet.
    pub(super) gaps: Vec<Gap>,
    /// The start, until it is written.
    mark: Option<Record>,
    /// A file was opened before in this life.
    was_open: bool,
    /// Events that went into the open file, since when.
    written: (u64, UnixMillis),
    /// When this life began, by the time that licence dates are held against.
    began: Now,
    /// When there was nothing left that is older than is kept.
    forgot_at: UnixMillis,
}

impl Keeper {
    pub(super) fn new(
        inner: Arc<Inner>,
        queue: Receiver<Noted>,
        path: PathBuf,
        names: NameKey,
        realms: Vec<(RealmId, String)>,
        keep: Option<Duration>,
        life: Life,
    ) -> Self {
        let Life { began, before, restored } = life;
        let mark =
            Record { seats: Some(restored), rule: Some(before.to_owned()), ..Record::mark(Kind::Started, began.wall) };
        Self {
            inner,
            queue,
            path,
            names,
            realms: realms.into_iter().collect(),
            keep,
            store: None,
            gaps: Vec::new(),
            mark: Some(mark),
            was_open: false,
            written: (0, began.wall),
            began,
            forgot_at: UnixMillis(0),
        }
    }

    pub(super) fn run(mut self) {
        // Workers first. There it is a matter of this thread alone; that it cannot be had is no reason not to write.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(NICE);
        loop {
            let began = Instant::now();
            let ending = self.inner.ending.load(Relaxed);
            match ending {
                GOES_ON => self.turn(self.time_at(clock_now()), None),
                ENDS => return self.finish(self.time_at(clock_now())),
                _ => return,
            }
            thread::park_timeout(EVERY.saturating_sub(began.elapsed()));
        }
    }

    /// What time it is at `now`: by the start and what went by since, so that a calendar that is set years ahead makes nothing old enough to be
    /// forgotten (T-5).
    pub(super) fn time_at(&self, now: Now) -> UnixMillis {
        UnixMillis(self.began.wall.0.saturating_add(now.mono.ms_since(self.began.mono)))
    }

    /// Writes what is left, and that the server ended as it should.
    pub(super) fn finish(&mut self, now: UnixMillis) {
        self.turn(now, Some(Record::mark(Kind::Stopped, now)));
        let lost = self.gaps.iter().filter_map(|gap| gap.events).sum::<u64>();
        if lost > 0 {
            tracing::warn!(
                "the usage history ends with a gap that it does not tell of: {lost} events were not written"
            );
        }
    }

    /// Writes what has come by `now`, and `last` after it.
    pub(super) fn turn(&mut self, now: UnixMillis, last: Option<Record>) {
        let mut records = self.take();
        records.extend(last);
        if let Some(missed) = self.inner.missed.take(now) {
            tracing::warn!("the usage history misses {} events: {}", missed.events.unwrap_or(0), missed.why);
            gap::note(&mut self.gaps, missed);
        }
        match self.write(&records, now) {
            Ok(()) => self.wrote(&records),
            Err(e) => self.failed(&e, &records, now),
        }
        // More than came: a file that is old enough does not grow.
        let bites = 1 + 2 * records.len() / BITE;
        (0..bites).for_each(|_| self.forget(now));
    }

    /// What waits, at most one queue full.
    fn take(&self) -> Vec<Record> {
        let mut taken = 0;
        let records = self
            .queue
            .try_iter()
            .take(QUEUE_LEN)
            .inspect(|_| taken += 1)
            .filter_map(|(event, now)| Record::of(event, now, &self.realms));
        let records = records.collect();
        self.inner.queued.fetch_sub(taken, Relaxed);
        records
    }

    fn write(&mut self, records: &[Record], now: UnixMillis) -> Result<(), StoreError> {
        self.look(now);
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.open()?,
        };
        if self.mark.is_some() || !records.is_empty() || !self.gaps.is_empty() {
            store.write(self.mark.iter().chain(records), &self.gaps, &self.names)?;
        }
        self.store = Some(store);
        Ok(())
    }

    /// Lets go of a file whose name stands for another, or for none: what it holds is not to be found here any more.
    fn look(&mut self, now: UnixMillis) {
        match self.store.take() {
            Some(store) if !store.is_there() => store.let_go(),
            other => return self.store = other,
        }
        let (events, from) = std::mem::replace(&mut self.written, (0, now));
        let why = "the file was removed, or another was put in its place".to_owned();
        tracing::warn!("the usage history {}: {why}; a new one is begun", self.path.display());
        gap::note(&mut self.gaps, Gap { from, to: now, events: Some(events), why });
    }

    fn open(&mut self) -> Result<Store, StoreError> {
        let store = Store::open(&self.path)?;
        if !self.was_open
            && let (Some(mark), Some(from)) = (&self.mark, store.broke_off()?)
        {
            let why = match mark.rule.as_deref() {
                Some("power-cut") => "the machine went down: what was not on the disk yet is lost, up to half a minute",
                _ => "the server before was killed: what it had not written is lost, about the last second",
            };
            let why = why.to_owned();
            let gap = Gap { from: from.min(mark.at), to: mark.at, events: None, why };
            self.gaps.insert(0, gap);
        }
        self.was_open = true;
        Ok(store)
    }

    fn wrote(&mut self, records: &[Record]) {
        let (events, figures) = (count(records), &self.inner.figures);
        figures.written.fetch_add(events, Relaxed);
        figures.gaps.fetch_add(self.gaps.len() as u64, Relaxed);
        self.written.0 += events;
        self.mark = None;
        let gaps = std::mem::take(&mut self.gaps);
        if self.inner.failing.swap(None).is_some() {
            let lost = gaps.iter().filter_map(|gap| gap.events).sum::<u64>();
            tracing::info!(lost, "the usage history is written again");
        }
    }

    fn failed(&mut self, e: &StoreError, records: &[Record], now: UnixMillis) {
        self.store = None;
        let events = count(records);
        self.inner.figures.dropped.fetch_add(events, Relaxed);
        let why = format!("it could not be written: {e}");
        if events > 0 {
            let first = records.iter().map(|record| record.at).min().unwrap_or(now);
            gap::note(&mut self.gaps, Gap { from: first.min(now), to: now, events: Some(events), why });
        }
        let known = self.inner.failing.load_full();
        let (why, remedy) = (format!("{}: {e}", self.path.display()), e.remedy(&self.path));
        if known.as_ref().is_some_and(|known| known.why == why) {
            return;
        }
        tracing::warn!("the usage history cannot be written: {why}. Seats are granted all the same: {remedy}");
        let since = known.map_or(now, |known| known.since);
        self.inner.failing.store(Some(Arc::new(Failing { why, remedy, since })));
    }

    /// Deletes a bite of what is older than is kept.
    fn forget(&mut self, now: UnixMillis) {
        let (Some(keep), Some(store)) = (self.keep, &mut self.store) else { return };
        // Either way: somebody may have set the clock.
        if now.0.abs_diff(self.forgot_at.0) < FORGET_EVERY_MS {
            return;
        }
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let more = store.forget(UnixMillis(now.0.saturating_sub(keep_ms)));
        if let Err(e) = &more {
            tracing::debug!("the oldest of the usage history cannot be deleted yet: {e}");
        }
        if !more.unwrap_or(false) {
            self.forgot_at = now;
        }
    }
}

/// Events among `records`: a start and a stop are none.
fn count(records: &[Record]) -> u64 {
    records.iter().filter(|record| !matches!(record.kind, Kind::Started | Kind::Stopped)).count() as u64
}
