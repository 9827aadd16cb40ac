//! What the life before has left: read, checked, and said in words (U-2, U-5).
//!
//! Order is nothing here: a lease is called what it is once in a life, so who was granted and has not ended is out, however its records
//! lie. What cannot be read is named with its file and place, and never guessed at.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
};

use leasehold_core::HeldLease;
use leasehold_protocol::{time::Mono, vocab::LeaseId};

use super::{
    FILES,
    entry::Entry,
    layout::{self, BEGIN, CELL, Frame, HEADERS, Header, NoHeader},
};
use crate::storage::{Storage, Stored};

/// What was found.
#[derive(Debug)]
pub struct Recovery {
    /// How the life before ended.
    pub how: How,
    /// The leases that are out.
    pub held: Vec<HeldLease>,
    /// How far the log had come.
    pub round: u64,
    /// What the life before did not know itself.
    pub doubts: Doubts,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Records that were read.
    pub records: u64,
    /// The number of the newest file, and of its life.
    pub(crate) file: u64,
    pub(crate) life: u64,
    /// The number of the next record.
    pub(crate) next: u64,
    /// The file that must stay as it is until another holds everything: an index into [`FILES`].
    pub(crate) base: Option<usize>,
}

/// What a server did not know when it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Whether the machine has run on since, so that instants of its lease clock mean something.
    pub runs_on: bool,
    /// Until when it was blind.
    pub blind_until: Option<Mono>,
    /// Until when it withheld seats.
    pub withheld_until: Option<Mono>,
    /// How far the log had come from which on grants may be lost.
    pub lost_from: u64,
}

/// How the life before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// There was none, or it left nothing.
    Nothing,
    /// As it should: everything is known.
    Closed,
    /// It was killed, and the machine runs on: everything is known.
    Killed,
    /// With the machine: the last grants may be missing.
    PowerCut,
    /// Something that was on the disk for certain cannot be read: what was granted is not known.
    Damaged,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub file: PathBuf,
    /// At which byte.
    pub offset: u64,
    /// What.
    pub what: String,
    /// Whether what was granted is not known because of it.
    pub serious: bool,
    /// Whether it is about a header, without which a file says nothing.
    of_header: bool,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, byte {}: {}", self.file.display(), self.offset, self.what)
    }
}

/// What the system writes in one go.
const PAGE: usize = 4096;
/// What stands before the records.
const HEAD_LEN: usize = 4096;

/// One file, read.
struct Read {
    path: PathBuf,
    place: usize,
    header: Header,
    entries: Vec<Entry>,
    /// Everything that was out when it was begun is in it.
    is_whole: bool,
    /// Records are missing.
    has_hole: bool,
    is_closed: bool,
    round: u64,
    next: u64,
}

/// Reads what is there. `kernel_boot` is this machine's running now.
///
/// # Errors
/// If a file is there and cannot be read at all.
pub(crate) fn recover(storage: &dyn Storage, kernel_boot: Option<[u8; 16]>) -> io::Result<Recovery> {
    let (mut files, mut findings) = (Vec::new(), Vec::new());
    for (place, name) in FILES.iter().enumerate() {
        let Some(file) = storage.open_existing(name)? else { continue };
        let Some(bytes) = contents(&*file)? else { continue };
        files.extend(File { path: storage.path(name), bytes: &bytes, kernel_boot }.read(place, &mut findings));
    }
    Ok(gather(files, findings, kernel_boot))
}

/// All of `file`; `None` if it was never used.
fn contents(file: &dyn Stored) -> io::Result<Option<Vec<u8>>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut head = vec![0; len.min(HEAD_LEN)];
    file.read_at(0, &mut head)?;
    if head.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

fn gather(mut files: Vec<Read>, mut findings: Vec<Finding>, kernel_boot: Option<[u8; 16]>) -> Recovery {
    files.sort_by_key(|file| file.header.number);
    judge(&files, &mut findings, kernel_boot);
    let (file, life) = files.last().map_or((0, 0), |file| (file.header.number, file.header.life));
    let mut recovery = Recovery {
        how: if findings.iter().any(|finding| finding.serious) { How::Damaged } else { How::Nothing },
        held: Vec::new(),
        doubts: Doubts::default(),
        round: files.iter().map(|file| file.round).max().unwrap_or(0),
        records: files.iter().map(|file| file.entries.len() as u64).sum(),
        next: files.iter().map(|file| file.next).max().unwrap_or(1),
        findings,
        file,
        life,
        base: None,
    };
    let Some(base) = files.iter().rposition(|file| file.is_whole) else {
        // The very first was begun and not finished: nothing was granted yet. Of any other, something has gone.
        if files.iter().any(|file| file.header.number > 1) {
            recovery.how = How::Damaged;
        }
        return recovery;
    };
    let base_life = files[base].header.life;
    recovery.base = Some(files[base].place);
    // What a later life began and did not finish was before it granted anything.
    files.drain(..base);
    files.retain(|file| file.header.life == base_life);
    if recovery.how == How::Nothing {
        recovery.how = how_it_ended(&files, kernel_boot);
    }
    let runs_on = files.last().is_some_and(|file| Some(file.header.kernel_boot) == kernel_boot);
    recovery.doubts = doubts(&files, runs_on);
    recovery.held = still_out(files);
    recovery
}

/// Whether what is wrong with a header is serious. A file that was being begun when the power went may have none, or half of one: then
/// the other one holds everything. As long as the machine runs on, what was written is there.
fn judge(files: &[Read], findings: &mut Vec<Finding>, kernel_boot: Option<[u8; 16]>) {
    let base = files.iter().rfind(|file| file.is_whole);
    if let Some(base) = base {
        // What an older one says is in it, or over; and what a later life began and did not finish says nothing.
        let counts = |file: &&Read| file.header.number >= base.header.number && file.header.life == base.header.life;
        let others: Vec<&PathBuf> = files.iter().filter(|file| !counts(file)).map(|file| &file.path).collect();
        findings.retain(|finding| !others.contains(&&finding.file));
    }
    let runs_on = base.is_some_and(|base| Some(base.header.kernel_boot) == kernel_boot);
    let serious = base.is_none() || runs_on;
    findings.iter_mut().filter(|finding| finding.of_header).for_each(|finding| finding.serious = serious);
}

fn how_it_ended(files: &[Read], kernel_boot: Option<[u8; 16]>) -> How {
    let Some(last) = files.last() else { return How::Nothing };
    match () {
        () if last.is_closed => How::Closed,
        () if Some(last.header.kernel_boot) == kernel_boot => How::Killed,
        () => How::PowerCut,
    }
}

fn doubts(files: &[Read], runs_on: bool) -> Doubts {
    let mut doubts = Doubts { runs_on, ..Doubts::default() };
    for entry in files.iter().flat_map(|file| &file.entries) {
        let Entry::Doubt(doubt) = entry else { continue };
        let until = if doubt.is_blind { &mut doubts.blind_until } else { &mut doubts.withheld_until };
        *until = (*until).max(Some(Mono(doubt.until_ms)));
        if !doubt.is_blind {
            doubts.lost_from = doubt.lost_from;
        }
    }
    doubts
}

fn still_out(files: Vec<Read>) -> Vec<HeldLease> {
    let (mut held, mut ended) = (BTreeMap::new(), BTreeSet::<LeaseId>::new());
    for entry in files.into_iter().flat_map(|file| file.entries) {
        match entry {
            Entry::Granted(lease) | Entry::Held(lease) => drop(held.insert(lease.lease, lease)),
            Entry::Ended(end) => drop(ended.insert(end.lease)),
            Entry::PlanChanged(_) | Entry::Checkpoint(_) | Entry::Closed(_) | Entry::Doubt(_) => {}
        }
    }
    held.into_values().filter(|lease| !ended.contains(&lease.lease)).collect()
}

/// One file, as bytes.
struct File<'a> {
    path: PathBuf,
    bytes: &'a [u8],
    kernel_boot: Option<[u8; 16]>,
}

impl File<'_> {
    fn read(&self, place: usize, findings: &mut Vec<Finding>) -> Option<Read> {
        let header = self.header(findings)?;
        let (mut read, mut at, mut next) = (Read::new(self.path.clone(), place, header), BEGIN, header.first);
        loop {
            match self.frame(at, &header).filter(|frame| frame.number == next) {
                Some(frame) => {
                    next += 1;
                    at += frame.len as u64;
                    read.take(&frame).unwrap_or_else(|what| findings.push(self.finding(at, what, true)));
                }
                None => match self.later(at, &header, next) {
                    Some((found, frame)) => {
                        findings.push(self.hole(at, &header, frame.round));
                        read.has_hole = true;
                        (at, next) = (found, frame.number);
                    }
                    None => break,
                },
            }
        }
        read.next = next;
        findings.extend(self.tail(at, self.runs_on(&header)));
        Some(read)
    }

    fn header(&self, findings: &mut Vec<Finding>) -> Option<Header> {
        let Some(head) = self.bytes.get(..HEAD_LEN) else {
            let is_begun = self.bytes.iter().any(|byte| *byte != 0);
            findings.extend(is_begun.then(|| self.of_header(0, "the file is cut short".into())));
            return None;
        };
        if let Some(at) = layout::stray_byte(head) {
            findings.push(self.finding(at as u64, "a byte that is not zero between the headers".into(), false));
        }
        let both = HEADERS.map(|at| Header::read(&head[at..]));
        if both == [Err(NoHeader::Unused); 2] {
            return None;
        }
        // Of one that was being written over, the later.
        let header = both.iter().filter_map(|header| header.ok()).max_by_key(|header| header.number);
        for (at, what) in HEADERS.iter().zip(both).filter_map(|(at, read)| Some((at, unlike(read, header.as_ref())?))) {
            findings.push(Finding { of_header: header.is_none(), ..self.finding(*at as u64, what, false) });
        }
        if let Some(header) = header.filter(|header| header.len > self.bytes.len() as u64) {
            findings.push(Finding { offset: self.bytes.len() as u64, ..self.of_header(0, cut_short(&header)) });
        }
        header
    }

    fn frame(&self, at: u64, header: &Header) -> Option<Frame<'_>> {
        layout::read_frame(self.bytes.get(usize::try_from(at).ok()?..)?, header.number)
    }

    /// The next whole record of the file behind `at`, numbered `next` or higher.
    fn later(&self, at: u64, header: &Header, next: u64) -> Option<(u64, Frame<'_>)> {
        let cells = (at + CELL as u64..self.bytes.len() as u64).step_by(CELL);
        cells.filter_map(|at| Some((at, self.frame(at, header)?))).find(|(_, frame)| frame.number >= next)
    }

    /// Records are missing at `at`, and those behind them begin with one of `round`. With the machine running on, nothing that was
    /// written can be missing; after a power cut, nothing that was written before the last round but one ended.
    fn hole(&self, at: u64, header: &Header, round: u64) -> Finding {
        let serious = self.runs_on(header) || round + 1 < self.last_round(at, header);
        let what = if serious { "a record that does not add up" } else { "a record that never reached the disk" };
        self.finding(at, what.to_owned(), serious)
    }

    /// Whether the machine has run since the file was begun.
    fn runs_on(&self, header: &Header) -> bool {
        Some(header.kernel_boot) == self.kernel_boot
    }

    /// The round of the last record of the file behind `at`.
    fn last_round(&self, at: u64, header: &Header) -> u64 {
        let cells = (at..self.bytes.len() as u64).step_by(CELL);
        cells.filter_map(|at| self.frame(at, header)).map(|frame| frame.round).max().unwrap_or(0)
    }

    /// What stands behind the last record, if it is not nothing. A process that is killed ends between two pages of what it writes, and
    /// nobody was told of that: what is broken elsewhere was whole.
    fn tail(&self, at: u64, runs_on: bool) -> Option<Finding> {
        let begin = usize::try_from(at).ok()?;
        let tail = self.bytes.get(begin..(begin + CELL).min(self.bytes.len()))?;
        let stray = tail.iter().any(|byte| *byte != 0);
        let what = "the last record is cut short, or a byte of it has changed";
        stray.then(|| self.finding(at, what.into(), runs_on && !self.may_be_torn(begin)))
    }

    /// Whether a write that ended between two pages can have left what stands at `begin`: then the zeros behind its last record never
    /// came, and there are none up to the end of the page.
    fn may_be_torn(&self, begin: usize) -> bool {
        let page = self.bytes.get(begin..begin.next_multiple_of(PAGE)).unwrap_or_default();
        page.chunks(CELL).all(|cell| cell.iter().any(|byte| *byte != 0))
    }

    fn finding(&self, offset: u64, what: String, serious: bool) -> Finding {
        Finding { file: self.path.clone(), offset, what, serious, of_header: false }
    }

    fn of_header(&self, offset: u64, what: String) -> Finding {
        Finding { of_header: true, ..self.finding(offset, what, true) }
    }
}

/// What is wrong with one of two headers, of which `header` is the one that is believed.
fn unlike(read: Result<Header, NoHeader>, header: Option<&Header>) -> Option<String> {
    match read {
        Ok(read) => {
            header.is_some_and(|header| *header != read).then(|| "a header that is not as the other one".into())
        }
        Err(NoHeader::Version(version)) => Some(format!("version {version}, which this program does not know")),
        Err(_) => Some("a header that does not add up".to_owned()),
    }
}

fn cut_short(header: &Header) -> String {
    format!("the file is cut short: it was {} bytes long", header.len)
}

impl Read {
    const fn new(path: PathBuf, place: usize, header: Header) -> Self {
        let (is_whole, has_hole, is_closed) = (false, false, false);
        Self { path, place, header, entries: Vec::new(), is_whole, has_hole, is_closed, round: 0, next: header.first }
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        self.round = self.round.max(frame.round);
        let entry = Entry::read(frame)?;
        // What is missing before it may be what it is about.
        self.is_whole |= matches!(entry, Entry::Checkpoint(_)) && !self.has_hole;
        self.is_closed = matches!(entry, Entry::Closed(_));
        self.entries.push(entry);
        Ok(())
    }
}
