//! The file as one who asks sees it: read only, while a server writes to it or not.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use leasehold_protocol::time::UnixMillis;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params_from_iter, types::Value};

use super::{
    FILE, Gap, Kind,
    schema::{self, SchemaError},
    store::int,
    summary::{Usage, summarise},
};

/// Why the history cannot be read. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is none.
    #[error(
        "there is no usage history {}: name the state folder of the server by --data-dir, and look whether its setting history is on",
        .0.display()
    )]
    NotThere(PathBuf),
    /// It cannot be opened.
    #[error("the usage history {} cannot be opened: {source}; read it as the server's user, or as root", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("the usage history {} cannot be read: {why}; use that leasehold", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// SQLite says no.
    #[error("the usage history {} cannot be read: {source}; if it is damaged, restore it from a backup", path.display())]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// What is asked for. `from` is part of it, `to` is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From when on; `None`: from the first line on.
    pub from: Option<UnixMillis>,
    /// Until when; `None`: to the last line.
    pub to: Option<UnixMillis>,
    /// Of this feature alone.
    pub feature: Option<String>,
    /// Of these kinds; none: of all.
    pub kinds: Vec<Kind>,
    /// Of the user with this pseudonym alone.
    pub user: Option<String>,
    /// The last so many; `None`: all.
    pub limit: Option<u64>,
}

/// A line of the history. What it has no value for is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number: lines in the order they were written.
    pub id: i64,
    /// When.
    pub at: UnixMillis,
    /// What happened: the word of a [`Kind`].
    pub kind: String,
    /// The publisher's name.
    pub realm: Option<String>,
    /// Of which feature.
    pub feature: Option<String>,
    /// Which version was asked for.
    pub version: Option<String>,
    /// How many seats; of a start: how many leases were out again.
    pub seats: Option<u64>,
    /// The lease.
    pub lease: Option<String>,
    /// The pseudonym of the user.
    pub user: Option<String>,
    /// That of the host.
    pub host: Option<String>,
    /// That of the project.
    pub project: Option<String>,
    /// For how long the seats were out, in milliseconds; of those that stayed after a release: for how long they stayed.
    pub held_ms: Option<u64>,
    /// The code of a denial.
    pub code: Option<u16>,
    /// The rule that denied; of a start: how the life before ended.
    pub rule: Option<String>,
    /// The pseudonym of a denial's sentence.
    pub sentence: Option<String>,
    /// Whether a ticket was shown that a restarted server honoured.
    pub by_ticket: Option<bool>,
    /// The pseudonym of the display.
    pub display: Option<String>,
    /// Of a clock that was set: by how many milliseconds, below zero if back.
    pub by_ms: Option<i64>,
    /// The pseudonym of the address it was asked from.
    pub address: Option<String>,
    /// That of the machine.
    pub device: Option<String>,
    /// Of a grant: the certificates its seats are of, `ID:VERSION:SEATS` each, with a blank between two; empty if it shares the seats of
    /// another.
    pub lots: Option<String>,
    /// Of a denial: what was looked at, as JSON.
    pub looked: Option<String>,
}

/// One thing in its place in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A line.
    Row(Box<Row>),
    /// From here on something is missing.
    Gap(Gap),
}

/// The history of a data folder.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    pub(super) file: Connection,
    /// As the version of the file has them.
    pub(super) columns: String,
}

impl Reader {
    /// Opens the history in `folder`, and changes nothing.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, ReadError> {
        let path = folder.join(FILE);
        match std::fs::File::open(&path) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ReadError::NotThere(path)),
            Err(source) => return Err(ReadError::Open { path, source }),
        }
        let opened = connect(&path).and_then(|file| match schema::check(&file, schema::VERSION)? {
            // A server has just begun it: nothing is told of yet.
            0 => empty(),
            had => Ok((file, had)),
        });
        match opened {
            Ok((file, had)) => Ok(Self { path, file, columns: schema::columns(had) }),
            Err(SchemaError::Sqlite(source)) => Err(ReadError::Sqlite { path, source }),
            Err(e @ SchemaError::Newer { .. }) => Err(ReadError::Newer { path, why: e.to_string() }),
        }
    }

    /// Hands what `filter` asks for to `each`, the oldest first, until that says no. Whether more was asked for than the limit lets
    /// through: then the oldest are left out.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn each(&self, filter: &Filter, each: impl FnMut(Entry) -> bool) -> Result<bool, ReadError> {
        self.told(self.walk(filter, each))
    }

    /// What each feature was used between `from` and `to`; what is out still counts until `now`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn usage(
        &self,
        from: Option<UnixMillis>,
        to: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<Vec<Usage>, ReadError> {
        let gaps = self.gaps(&Filter::default());
        let usage = gaps.and_then(|gaps| summarise(&self.file, &gaps, from, to, now));
        self.told(usage)
    }

    /// What is missing between `from` and `to`, the oldest first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn missing(&self, from: Option<UnixMillis>, to: Option<UnixMillis>) -> Result<Vec<Gap>, ReadError> {
        let filter = Filter { from, to, ..Filter::default() };
        self.told(self.gaps(&filter))
    }

    /// The sealed words of every pseudonym: for who has the key.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn sealed(&self) -> Result<HashMap<String, Vec<u8>>, ReadError> {
        let read = || -> rusqlite::Result<_> {
            let mut names = self.file.prepare("SELECT pseudonym, sealed FROM names")?;
            names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        self.told(read())
    }

    /// What SQLite says, with what to do about it.
    pub(super) fn told<T>(&self, read: rusqlite::Result<T>) -> Result<T, ReadError> {
        read.map_err(|source| ReadError::Sqlite { path: self.path.clone(), source })
    }

    /// The sealed words of one pseudonym.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn sealed_of(&self, pseudonym: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let sealed = self
            .file
            .query_row("SELECT sealed FROM names WHERE pseudonym = ?", [pseudonym], |row| row.get(0))
            .optional();
        self.told(sealed)
    }

    fn walk(&self, filter: &Filter, mut each: impl FnMut(Entry) -> bool) -> rusqlite::Result<bool> {
        let (sql, values) = statement(&self.columns, filter);
        let mut gaps = self.gaps(filter)?.into_iter().peekable();
        let mut prepared = self.file.prepare(&sql)?;
        let mut rows = prepared.query(params_from_iter(values))?;
        let left_out = filter.limit.map_or(Ok(false), |limit| self.is_more_than(limit, filter))?;
        let mut is_first = true;
        while let Some(row) = rows.next()? {
            let row = read(row)?;
            // Of the gaps before what is left out nothing is told either.
            while is_first && left_out && gaps.next_if(|gap| gap.to < row.at).is_some() {}
            is_first = false;
            while let Some(gap) = gaps.next_if(|gap| gap.from < row.at) {
                if !each(Entry::Gap(gap)) {
                    return Ok(left_out);
                }
            }
            if !each(Entry::Row(Box::new(row))) {
                return Ok(left_out);
            }
        }
        let _ = gaps.all(|gap| each(Entry::Gap(gap)));
        Ok(left_out)
    }

    /// Whether there are more than `limit` lines.
    fn is_more_than(&self, limit: u64, filter: &Filter) -> rusqlite::Result<bool> {
        let (wanted, mut values) = conditions(filter);
        values.push(Value::Integer(int(limit)));
        let sql = format!("SELECT EXISTS (SELECT 1 FROM events {wanted} LIMIT 1 OFFSET ?)");
        self.file.query_row(&sql, params_from_iter(values), |row| row.get(0))
    }

    fn gaps(&self, filter: &Filter) -> rusqlite::Result<Vec<Gap>> {
        let from = filter.from.map_or(0, |from| int(from.0));
        let to = filter.to.map_or(i64::MAX, |to| int(to.0));
        let mut gaps = self.file.prepare(
            "SELECT from_ms, to_ms, events, why FROM gaps WHERE to_ms >= ? AND from_ms < ? ORDER BY from_ms, id",
        )?;
        let gaps = gaps.query_map([from, to], |row| {
            Ok(Gap { from: instant(row.get(0)?), to: instant(row.get(1)?), events: row.get(2)?, why: row.get(3)? })
        })?;
        gaps.collect()
    }
}

fn connect(path: &Path) -> Result<Connection, SchemaError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(std::time::Duration::from_secs(5))?;
    if file.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).is_ok() {
        return Ok(file);
    }
    // Nobody writes to it, and the folder does not let us make what SQLite wants beside it: as on a backup that is read only.
    if wal(path).exists() {
        return Ok(file);
    }
    let uri = format!("file:{}?immutable=1", escaped(&path.display().to_string()));
    Ok(Connection::open_with_flags(uri, flags)?)
}

/// A history of nothing.
fn empty() -> Result<(Connection, usize), SchemaError> {
    let mut file = Connection::open_in_memory()?;
    schema::migrate(&mut file, schema::STEPS)?;
    Ok((file, schema::VERSION))
}

fn wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A path as part of a URI.
fn escaped(path: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-".contains(b);
    path.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The lines that are asked for, the oldest first.
fn statement(columns: &str, filter: &Filter) -> (String, Vec<Value>) {
    let (wanted, mut values) = conditions(filter);
    let Some(limit) = filter.limit else {
        return (format!("SELECT {columns} FROM events {wanted} ORDER BY at_ms, id"), values);
    };
    values.push(Value::Integer(int(limit)));
    let last = format!("SELECT {columns} FROM events {wanted} ORDER BY at_ms DESC, id DESC LIMIT ?");
    (format!("SELECT * FROM ({last}) ORDER BY at_ms, id"), values)
}

fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let (mut wanted, mut values) = (Vec::new(), Vec::new());
    let mut want = |sql: &str, value: Value| {
        wanted.push(sql.to_owned());
        values.push(value);
    };
    if let Some(from) = filter.from {
        want("at_ms >= ?", Value::Integer(int(from.0)));
    }
    if let Some(to) = filter.to {
        want("at_ms < ?", Value::Integer(int(to.0)));
    }
    if let Some(feature) = &filter.feature {
        want("feature = ?", Value::Text(feature.clone()));
    }
    if let Some(user) = &filter.user {
        want("holder = ?", Value::Text(user.clone()));
    }
    if !filter.kinds.is_empty() {
        // Words of ours, without a quote in them.
        let words: Vec<String> = filter.kinds.iter().map(|kind| format!("'{kind}'")).collect();
        wanted.push(format!("kind IN ({})", words.join(", ")));
    }
    let all = if wanted.is_empty() { String::new() } else { format!("WHERE {}", wanted.join(" AND ")) };
    (all, values)
}

pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get(0)?,
        at: instant(row.get(1)?),
        kind: row.get(2)?,
        realm: row.get(3)?,
        feature: row.get(4)?,
        version: row.get(5)?,
        seats: row.get(6)?,
        lease: row.get(7)?,
        user: row.get(8)?,
        host: row.get(9)?,
        project: row.get(10)?,
        held_ms: row.get(11)?,
        code: row.get(12)?,
        rule: row.get(13)?,
        sentence: row.get(14)?,
        by_ticket: row.get(15)?,
        display: row.get(16)?,
        by_ms: row.get(17)?,
        address: row.get(18)?,
        device: row.get(19)?,
        lots: row.get(20)?,
        looked: row.get(21)?,
    })
}

pub(super) fn instant(ms: i64) -> UnixMillis {
    UnixMillis(u64::try_from(ms).unwrap_or(0))
}
