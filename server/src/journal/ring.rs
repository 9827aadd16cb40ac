//! The file that is written to, and how far.

use std::{collections::BTreeMap, io, sync::Arc};

use leasehold_protocol::vocab::LeaseId;

use super::{
    FILES,
    layout::{self, BEGIN, CELL, Header},
};
use crate::storage::{Storage, Stored};

/// What every worker appends to, one at a time.
#[derive(Debug)]
pub(super) struct Ring {
    /// The file in use; `None` while none can be written.
    active: Option<Active>,
    /// The number of the next record.
    next: u64,
    /// How far the log has come.
    round: u64,
    /// Seats that are out and not on disk, by pool: those of the sync under way, and those since.
    unsynced: [BTreeMap<u32, u32>; 2],
    /// Leases whose grant is to be on disk before anybody is told of it, with its record's number.
    held: BTreeMap<LeaseId, u64>,
}

/// A file that is written to.
#[derive(Debug)]
struct Active {
    file: Arc<dyn Stored>,
    /// Which of [`FILES`].
    place: usize,
    number: u64,
    len: u64,
    /// Where what is in `buffer` belongs.
    at: u64,
    buffer: Vec<u8>,
    is_dirty: bool,
}

/// Files grow by whole pages.
const PAGE: u64 = 4096;

/// How long a file is to be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Len {
    /// Without that it is of no use.
    pub(super) least: u64,
    pub(super) wished: u64,
}

/// What a sync has to wait for.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) file: Arc<dyn Stored>,
    /// The last record it covers.
    pub(super) number: u64,
}

impl Ring {
    pub(super) const fn new(next: u64, round: u64) -> Self {
        Self { active: None, next, round, unsynced: [BTreeMap::new(), BTreeMap::new()], held: BTreeMap::new() }
    }

    /// Begins the file at `place` as number `header.number`, and writes to it from here on: it is as long as is wished if that can be
    /// had, and in any case as long as it must be.
    pub(super) fn begin(
        &mut self,
        storage: &dyn Storage,
        place: usize,
        header: &Header,
        Len { least, wished }: Len,
    ) -> io::Result<()> {
        let file = storage.open(FILES[place])?;
        let there = file.len()?;
        let len = match file.set_len(wished.max(there)) {
            Ok(()) => wished.max(there),
            // The place it has is its own.
            Err(_) if there >= least => there,
            Err(e) => return Err(e),
        };
        let mut head = Header { first: self.next, len, ..*header }.bytes();
        // What stood here before must not be taken for what comes.
        head.resize(head.len() + CELL, 0);
        file.write_at(0, &head)?;
        let (number, at, buffer) = (header.number, BEGIN, Vec::new());
        self.active = Some(Active { file, place, number, len, at, buffer, is_dirty: true });
        Ok(())
    }

    /// Appends a record of `kind` with this body; its number. Nothing is appended while no file can be written: whatever is out then
    /// is in the next one's checkpoint.
    pub(super) fn append(&mut self, kind: u8, body: &[u8]) -> Option<u64> {
        let active = self.active.as_mut()?;
        let number = self.next;
        layout::frame(&mut active.buffer, (kind, number, self.round, active.number), body);
        active.is_dirty = true;
        self.next += 1;
        Some(number)
    }

    /// Notes that `seats` of `pool` go out by record `number`, of which `credit` may be out and not on disk; whether the grant has to be
    /// on disk before it is told.
    pub(super) fn owe(&mut self, pool: u32, seats: u32, credit: u32) -> bool {
        let [syncing, since] = &mut self.unsynced;
        let owed = since.entry(pool).or_default();
        *owed = owed.saturating_add(seats);
        seats > 0 && owed.saturating_add(syncing.get(&pool).copied().unwrap_or(0)) > credit
    }

    /// Nobody is told of `lease` before record `number` is on disk.
    pub(super) fn hold(&mut self, lease: LeaseId, number: u64) {
        self.held.insert(lease, number);
    }

    /// Which record must be on disk before anybody is told of `lease`, if it is not yet.
    pub(super) fn held(&self, lease: LeaseId) -> Option<u64> {
        self.held.get(&lease).copied()
    }

    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Hands everything appended to the system, where it survives the end of this process.
    ///
    /// # Errors
    /// What the system says. The file is not written to any more then: what it says is whole up to there.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let flushed = active.flush();
        if flushed.is_err() {
            self.active = None;
        }
        flushed
    }

    /// Begins a sync: what it has to wait for, if there is anything. Everything was flushed.
    pub(super) fn begin_sync(&mut self) -> Option<Target> {
        let active = self.active.as_mut().filter(|active| active.is_dirty)?;
        active.is_dirty = false;
        let [syncing, since] = &mut self.unsynced;
        for (pool, seats) in std::mem::take(since) {
            *syncing.entry(pool).or_default() += seats;
        }
        Some(Target { file: active.file.clone(), number: self.next - 1 })
    }

    /// Everything up to record `number` is on disk.
    pub(super) fn end_sync(&mut self, number: u64) {
        self.unsynced[0].clear();
        self.held.retain(|_, record| *record > number);
        self.round += 1;
    }

    /// The file cannot be relied upon: nothing more is written to it.
    pub(super) fn give_up(&mut self) {
        self.active = None;
    }

    /// The number of the last record.
    pub(super) const fn last(&self) -> u64 {
        self.next - 1
    }

    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    /// Which of [`FILES`] is written to.
    pub(super) fn place(&self) -> Option<usize> {
        self.active.as_ref().map(|active| active.place)
    }

    /// Whether three quarters of the file are used up.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.end() > active.len / 4 * 3)
    }

    /// How long the file is, and how much of it is used.
    pub(super) fn len(&self) -> (u64, u64) {
        self.active.as_ref().map_or((0, 0), |active| (active.len, active.end()))
    }

    /// Whether the file is there still for whoever looks by its name.
    pub(super) fn is_linked(&self) -> bool {
        self.active.as_ref().is_none_or(|active| active.file.is_linked().unwrap_or(false))
    }
}

impl Active {
    fn end(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let records = self.buffer.len();
        // What stood behind them before must not be taken for one.
        self.buffer.resize(records + CELL, 0);
        let end = self.end();
        if end > self.len {
            let longer = end.max(self.len + self.len / 2).next_multiple_of(PAGE);
            self.file.set_len(longer)?;
            self.len = longer;
        }
        self.file.write_at(self.at, &self.buffer)?;
        self.at += records as u64;
        self.buffer.clear();
        Ok(())
    }
}
