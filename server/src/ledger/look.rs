//! Whether a ledger can be trusted: all of it is read and checked, and nothing of it is written.

use std::{
    fmt::Display,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use redb::{Builder, Database, ReadTransaction, ReadableDatabase as _};

use super::{
    FORM, LEDGER, LedgerError, anchor, audit,
    backend::{BLOCK, Fault},
    overlay::Overlay,
    tables::{self, META, key, meta},
};
use crate::storage::{Storage, Stored};

/// How redb's files begin.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// How much of the file redb writes before there is anything in it.
const HEADER: usize = 320;
/// Memory for pages, in bytes.
const CACHE: usize = 4 << 20;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// How many changes it has; of a new one, how many the one before it had.
    pub(super) changes: u64,
    /// Whether there is nothing in it yet, or no file.
    is_empty: bool,
    /// Whether it was being made when the power went: there is a file, and it says nothing.
    pub(super) is_unfinished: bool,
}

impl Looked {
    /// Whether a ledger is to be made.
    pub(super) const fn is_new(self) -> bool {
        self.is_empty
    }

    /// What people should know.
    pub(super) fn noticed(self, path: &Path) -> Option<String> {
        (self.is_empty && self.changes > 0).then(|| {
            format!(
                "{} was gone, with {} changes in it, and was made anew: trials, meters, policies and the audit of before are \
                 forgotten; restore it from a backup by leasehold restore FILE",
                path.display(),
                self.changes
            )
        })
    }
}

/// How we open files.
pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// Looks at the ledger in `storage`.
///
/// # Errors
/// If it cannot be read, or not be trusted.
pub(super) fn look(storage: &dyn Storage, server_id: u64) -> Result<Looked, LedgerError> {
    let path = storage.path(LEDGER);
    let failed = |e: io::Error| LedgerError::Open { path: path.clone(), what: e.to_string(), kind: e.kind() };
    let had = anchor::changes(storage, server_id).map_err(failed)?;
    let new = Looked { changes: had, is_empty: true, is_unfinished: false };
    let Some(file) = storage.open_existing(LEDGER).map_err(failed)? else { return Ok(new) };
    if file.is_empty().map_err(failed)? {
        return Ok(new);
    }
    if !begins_well(&*file).map_err(failed)? {
        return if had == 0 && says_nothing(&*file).map_err(failed)? {
            Ok(Looked { is_unfinished: true, ..new })
        } else {
            Err(LedgerError::Damaged { path, what: "at byte 0 it does not begin as a ledger does".into() })
        };
    }
    let found = look_inside(file, &path, server_id)?;
    match found {
        Some(changes) if changes >= had => Ok(Looked { changes, is_empty: false, is_unfinished: false }),
        None if had == 0 => Ok(new),
        has => Err(LedgerError::Older { path, has: has.unwrap_or(0), had }),
    }
}

/// How many changes are in the ledger that is in `file`; `None` if nothing was ever written to it.
fn look_inside(file: Arc<dyn Stored>, path: &Path, server_id: u64) -> Result<Option<u64>, LedgerError> {
    let last_read = Arc::new(AtomicU64::new(0));
    let failed = |e: io::Error| LedgerError::Open { path: path.to_owned(), what: e.to_string(), kind: e.kind() };
    let overlay = Overlay::of(file, last_read.clone()).map_err(failed)?;
    let explained = |e: redb::Error| explained(path, &e, None, &last_read);
    let db = builder().set_check_integrity_on_open(true).create_with_backend(overlay);
    let db = db.map_err(|e| explained(e.into()))?;
    let reading = db.begin_read().map_err(|e| explained(e.into()))?;
    if reading.list_tables().map_err(|e| explained(e.into()))?.next().is_none() {
        return Ok(None);
    }
    check(&reading, path, server_id, explained).map(Some)
}

fn check(
    reading: &ReadTransaction,
    path: &Path,
    server_id: u64,
    explained: impl Fn(redb::Error) -> LedgerError,
) -> Result<u64, LedgerError> {
    let damaged = |what: String| LedgerError::Damaged { path: path.to_owned(), what };
    let table = reading.open_table(META).map_err(|e| explained(e.into()))?;
    let said = |name: &str| {
        let text = meta(&table, name).map_err(&explained)?;
        text.ok_or_else(|| damaged(format!("it does not say {name}")))
    };
    let number = |name: &str| {
        let text = said(name)?;
        text.parse::<u64>().map_err(|_| damaged(format!("it says {name} is {text:?}")))
    };
    let form = u32::try_from(number(key::FORM)?).unwrap_or(u32::MAX);
    if form > FORM {
        return Err(LedgerError::Newer { path: path.to_owned(), form, by: said(key::MADE_BY)? });
    }
    let server = said(key::SERVER)?;
    let of = u64::from_str_radix(&server, 16).map_err(|_| damaged(format!("it says server is {server:?}")))?;
    if of != server_id {
        return Err(LedgerError::OfAnother { path: path.to_owned(), of, here: server_id });
    }
    tables::check(reading).map_err(&explained)?;
    match audit::verify(reading).map_err(&explained)? {
        Ok(_) => number(key::CHANGES),
        Err(broken) => Err(damaged(broken.to_string())),
    }
}

/// Whether `file` begins as a ledger does.
pub(super) fn begins_well(file: &dyn Stored) -> io::Result<bool> {
    let mut start = [0; MAGIC.len()];
    match file.read_at(0, &mut start) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| start == MAGIC),
    }
}

/// Whether nothing but a beginning was ever written to `file`: it was being made when the power went. redb makes it as long as it is to be
/// and writes its header without the first bytes, syncs, and writes these; nothing else is written before they are there.
fn says_nothing(file: &dyn Stored) -> io::Result<bool> {
    let (mut at, len) = (0, file.len()?);
    while at < len {
        let mut bytes = vec![0; usize::try_from(BLOCK.min(len - at)).unwrap_or(0)];
        file.read_at(at, &mut bytes)?;
        if at == 0 {
            let is_whole = bytes.len() as u64 == BLOCK;
            let comes = bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == 0 || is_whole && *byte == magic);
            if !comes {
                return Ok(false);
            }
            let header = HEADER.min(bytes.len());
            bytes[..header].fill(0);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += BLOCK;
    }
    Ok(true)
}

/// What redb says, for people.
pub(super) fn explained(path: &Path, error: &redb::Error, fault: Option<Fault>, last_read: &AtomicU64) -> LedgerError {
    let (path, near) = (path.to_owned(), last_read.load(Relaxed));
    let damaged = |what: &dyn Display| format!("{what}, near byte {near}");
    match (fault, error) {
        (Some(fault), _) => LedgerError::Open { path, what: fault.what, kind: fault.kind },
        (None, redb::Error::Io(e)) if e.kind() != io::ErrorKind::UnexpectedEof => {
            LedgerError::Open { path, what: e.to_string(), kind: e.kind() }
        }
        (None, error) => LedgerError::Damaged { path, what: damaged(error) },
    }
}
