//! The file that is written to.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use leasehold_protocol::time::UnixMillis;
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, params};

use super::{
    Gap, Kind,
    names::{NameKey, NameKind},
    record::{NAMED, Record},
    schema::{self, SchemaError},
};

/// How long another program that writes to the file is waited for: the queue has room for what comes meanwhile.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// How long the file beside the file may stay after somebody read for long, in bytes.
const WAL_LEN_MAX: i64 = 16 << 20;
/// Names whose pseudonyms are remembered. Beyond it all are forgotten: they are made anew.
const NAMES_MAX: usize = 1 << 16;
/// A name is noted as seen at most once in so many milliseconds.
const SEEN_EVERY_MS: u64 = 86_400_000;
/// Lines deleted in one go: some milliseconds.
pub(super) const BITE: usize = 5000;

/// Pages of the file that may always be free: a quarter of a megabyte.
const FREE_MAX: i64 = 64;
/// Pages given back in one go: some milliseconds.
const BITE_PAGES: u32 = 256;
/// What SQLite says of a file that can give pages back.
const INCREMENTAL: i64 = 2;

/// Why the file cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not one that we can use.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Schema(SchemaError::Sqlite(e))
    }
}

impl StoreError {
    /// What to do about it with the file at `path`.
    pub(super) fn remedy(&self, path: &Path) -> String {
        let path = path.display();
        let again = "it is tried again every second";
        let code = match self {
            Self::Schema(SchemaError::Newer { .. }) => {
                return format!("start that leasehold, or move {path} away to begin a new one; {again}");
            }
            Self::Schema(SchemaError::Sqlite(e)) => e.sqlite_error_code(),
            Self::Io(e) if e.kind() == io::ErrorKind::StorageFull => Some(ErrorCode::DiskFull),
            Self::Io(_) => None,
        };
        match code {
            Some(ErrorCode::DiskFull) => format!("make room on the disk of {path}; {again}"),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!("end the program that keeps {path} locked (fuser {path} names it); {again}")
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                format!("move {path} away, and a new one is begun; {again}")
            }
            _ => format!("check the owner and mode of {path} and its folder (chmod 600 {path}), and the disk; {again}"),
        }
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    file: Connection,
    path: PathBuf,
    /// Which file that is, whatever its name stands for by now.
    identity: Identity,
    /// The same of what SQLite has beside it.
    beside: [(PathBuf, Option<Identity>); 2],
    names: HashMap<(NameKind, String), Name>,
}

/// A device, and a file on it.
type Identity = (u64, u64);

#[derive(Debug)]
struct Name {
    pseudonym: String,
    seen_ms: u64,
}

impl Store {
    /// Opens the file at `path`, made for its owner alone if it is not there, and brings it up to date.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // What SQLite keeps beside the file gets the file's mode.
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut file = Connection::open_with_flags(path, flags)?;
        file.busy_timeout(BUSY_WAIT)?;
        schema::check(&file, schema::VERSION)?;
        // Of a new file. One that has tables stays as it is: its free room is used again and not given back.
        file.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        file.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        file.pragma_update(None, "synchronous", "NORMAL")?;
        file.pragma_update_and_check(None, "journal_size_limit", WAL_LEN_MAX, |_| Ok(()))?;
        schema::migrate(&mut file, schema::STEPS)?;
        let beside = ["-wal", "-shm"].map(|end| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            let path = PathBuf::from(name);
            let found = identity(&path).ok();
            (path, found)
        });
        Ok(Self { file, path: path.to_owned(), identity: identity(path)?, beside, names: HashMap::new() })
    }

    /// Whether its name stands for it still.
    pub(super) fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }

    /// Closes a file that its name does not stand for any more. What was beside it is brought into it, for who moved it away, and
    /// removed: the next file must not find it.
    pub(super) fn let_go(self) {
        let Self { file, beside, .. } = self;
        if let Err(e) = file.pragma_query(None, "wal_checkpoint", |_| Ok(())) {
            tracing::debug!("the last of a usage history that was moved away is lost: {e}");
        }
        drop(file);
        for (path, ours) in beside {
            if ours.is_some() && identity(&path).ok() == ours {
                // If it stays, SQLite finds out that it is of another file.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Writes all of it or nothing.
    pub(super) fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
        gaps: &[Gap],
        key: &NameKey,
    ) -> Result<(), StoreError> {
        let Self { file, names, .. } = self;
        if names.len() > NAMES_MAX {
            names.clear();
        }
        let written = write(file, records, gaps, names, key);
        if written.is_err() {
            // Names of what was taken back are not in the file.
            names.clear();
        }
        Ok(written?)
    }

    /// When the last event was, if the server that wrote it was killed.
    pub(super) fn broke_off(&self) -> Result<Option<UnixMillis>, StoreError> {
        let last = self.file.query_row("SELECT kind, at_ms FROM events ORDER BY id DESC LIMIT 1", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        });
        let at = last.optional()?.filter(|(kind, _)| kind != Kind::Stopped.word()).map(|(_, at)| at);
        Ok(at.map(|at| UnixMillis(u64::try_from(at).unwrap_or(0))))
    }

    /// Deletes [`BITE`] of the events before `before`, or what is left of them and everything else of that time; whether there may be
    /// more.
    pub(super) fn forget(&mut self, before: UnixMillis) -> Result<bool, StoreError> {
        let Self { file, names, .. } = self;
        let (before, bite) = (int(before.0), int(BITE as u64));
        let events = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at_ms < ? ORDER BY at_ms LIMIT ?)";
        if file.prepare_cached(events)?.execute([before, bite])? == BITE {
            return Ok(true);
        }
        file.execute("DELETE FROM gaps WHERE to_ms < ?", [before])?;
        // A name may be one day older than what it is in.
        let names_before = before.saturating_sub(int(SEEN_EVERY_MS));
        names.retain(|_, name| int(name.seen_ms) >= before);
        file.execute("DELETE FROM names WHERE last_ms < ?", [names_before])?;
        Ok(self.shrink()?)
    }

    /// Gives a bite of the file's free room back to the disk, if that is more than a quarter of it: less is soon used again. Whether
    /// there is more to give.
    fn shrink(&self) -> rusqlite::Result<bool> {
        let number = |name| self.file.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let spare = || Ok::<_, rusqlite::Error>(number("freelist_count")? - FREE_MAX.max(number("page_count")? / 4));
        if number("auto_vacuum")? != INCREMENTAL || spare()? <= 0 {
            return Ok(false);
        }
        // A row a page, each of which is to be asked for.
        let mut pages = self.file.prepare(&format!("PRAGMA incremental_vacuum({BITE_PAGES})"))?;
        let mut given = pages.query([])?;
        while given.next()?.is_some() {}
        Ok(spare()? > 0)
    }

    /// The connection, to be tampered with.
    #[cfg(test)]
    pub(super) const fn file(&self) -> &Connection {
        &self.file
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn write<'a>(
    file: &mut Connection,
    records: impl Iterator<Item = &'a Record>,
    gaps: &[Gap],
    names: &mut HashMap<(NameKind, String), Name>,
    key: &NameKey,
) -> rusqlite::Result<()> {
    let change = file.transaction()?;
    {
        let mut events = change.prepare_cached(
            "INSERT INTO events (at_ms, kind, realm, feature, version, seats, lease, holder, host, project, held_ms, code, rule, \
             sentence, by_ticket, display, by_ms, address, device, lots, looked) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for record in records {
            let mut stand = [const { None }; NAMED];
            for ((kind, text), stands) in record.named().into_iter().zip(&mut stand) {
                *stands = text.map(|text| pseudonym(&change, names, key, (kind, &text), record.at.0)).transpose()?;
            }
            insert(&mut events, record, stand)?;
        }
        let mut missing =
            change.prepare_cached("INSERT INTO gaps (from_ms, to_ms, events, why) VALUES (?, ?, ?, ?)")?;
        for gap in gaps {
            missing.execute(params![int(gap.from.0), int(gap.to.0), gap.events.map(int), gap.why])?;
        }
    }
    change.commit()
}

fn insert(events: &mut CachedStatement<'_>, record: &Record, names: [Option<String>; NAMED]) -> rusqlite::Result<()> {
    let [user, host, project, display, sentence, address, device] = names;
    events.execute(params![
        int(record.at.0),
        record.kind.word(),
        record.realm,
        record.feature,
        record.version,
        record.seats.map(int),
        record.lease,
        user,
        host,
        project,
        record.held_ms.map(int),
        record.code,
        record.rule,
        sentence,
        record.by_ticket,
        display,
        record.by_ms,
        address,
        device,
        record.lots,
        record.looked,
    ])?;
    Ok(())
}

/// The pseudonym of a name that was seen at `at_ms`, noted in the file with what it stands for.
fn pseudonym(
    change: &Transaction<'_>,
    names: &mut HashMap<(NameKind, String), Name>,
    key: &NameKey,
    (kind, text): (NameKind, &str),
    at_ms: u64,
) -> rusqlite::Result<String> {
    let known = names.get(&(kind, text.to_owned()));
    if let Some(name) = known.filter(|name| at_ms < name.seen_ms.saturating_add(SEEN_EVERY_MS)) {
        return Ok(name.pseudonym.clone());
    }
    let pseudonym = key.pseudonym(kind, text);
    let sealed = key.seal(kind, &pseudonym, text);
    change
        .prepare_cached(
            "INSERT INTO names (pseudonym, kind, last_ms, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (pseudonym) DO UPDATE SET \
             last_ms = max(last_ms, excluded.last_ms), sealed = excluded.sealed",
        )?
        .execute(params![pseudonym, kind.word(), int(at_ms), sealed])?;
    names.insert((kind, text.to_owned()), Name { pseudonym: pseudonym.clone(), seen_ms: at_ms });
    Ok(pseudonym)
}

/// SQLite's numbers have a sign.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
