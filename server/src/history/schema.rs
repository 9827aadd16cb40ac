//! The tables, and how an older file is brought up to date. `server/docs/history.md` tells people of them: what stands there stays.

use rusqlite::{Connection, TransactionBehavior};

/// One step for each version; a file says by `user_version` how many it has had.
pub(super) const STEPS: &[&str] = &[V1, V2, V3];

/// The version this program writes.
pub(super) const VERSION: usize = STEPS.len();

const V1: &str = "\
CREATE TABLE events (
    id        INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    realm     TEXT,
    feature   TEXT,
    version   TEXT,
    seats     INTEGER,
    lease     TEXT,
    holder    TEXT,
    host      TEXT,
    project   TEXT,
    held_ms   INTEGER,
    code      INTEGER,
    rule      TEXT,
    sentence  TEXT,
    by_ticket INTEGER
) STRICT;
CREATE INDEX events_at ON events (at_ms);
CREATE INDEX events_feature ON events (feature, at_ms);
CREATE TABLE gaps (
    id      INTEGER PRIMARY KEY,
    from_ms INTEGER NOT NULL,
    to_ms   INTEGER NOT NULL,
    events  INTEGER,
    why     TEXT NOT NULL
) STRICT;
CREATE TABLE names (
    pseudonym TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    last_ms   INTEGER NOT NULL,
    sealed    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

const V2: &str = "\
ALTER TABLE events ADD COLUMN display TEXT;
ALTER TABLE events ADD COLUMN by_ms INTEGER;
";

const V3: &str = "\
ALTER TABLE events ADD COLUMN address TEXT;
ALTER TABLE events ADD COLUMN device TEXT;
ALTER TABLE events ADD COLUMN lots TEXT;
ALTER TABLE events ADD COLUMN looked TEXT;
CREATE INDEX events_lease ON events (lease, id) WHERE lease IS NOT NULL;
";

/// The columns of `events`, and which step brought each.
const COLUMNS: &[(&str, usize)] = &[
    ("id", 1),
    ("at_ms", 1),
    ("kind", 1),
    ("realm", 1),
    ("feature", 1),
    ("version", 1),
    ("seats", 1),
    ("lease", 1),
    ("holder", 1),
    ("host", 1),
    ("project", 1),
    ("held_ms", 1),
    ("code", 1),
    ("rule", 1),
    ("sentence", 1),
    ("by_ticket", 1),
    ("display", 2),
    ("by_ms", 2),
    ("address", 3),
    ("device", 3),
    ("lots", 3),
    ("looked", 3),
];

/// The columns of `events` in a file that has had `had` of the steps, for who reads it before a server has brought it up to date.
pub(super) fn columns(had: usize) -> String {
    let column = |(name, since): &(&str, usize)| match *since <= had.max(1) {
        true => (*name).to_owned(),
        false => format!("NULL AS {name}"),
    };
    COLUMNS.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// A newer program wrote it.
    #[error(
        "it has version {found} of its tables, and this program knows them up to version {known}: a newer leasehold wrote it"
    )]
    Newer {
        /// What it says.
        found: i64,
        /// What we know.
        known: usize,
    },
    /// SQLite says no.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Brings a file up to date by those of `steps` it has not had, all or none.
pub(super) fn migrate(file: &mut Connection, steps: &[&str]) -> Result<(), SchemaError> {
    if check(file, steps.len())? == steps.len() {
        return Ok(());
    }
    let change = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Again: whoever was first may have done it.
    let had = check(&change, steps.len())?;
    for step in steps.iter().skip(had) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or(i64::MAX))?;
    Ok(change.commit()?)
}

/// How many steps a file has had, if that is not more than `known`.
pub(super) fn check(file: &Connection, known: usize) -> Result<usize, SchemaError> {
    let found: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(found).ok().filter(|had| *had <= known).ok_or(SchemaError::Newer { found, known })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(file: &Connection) -> i64 {
        file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_older_file_is_brought_up_to_date_and_keeps_what_it_holds() {
        let mut file = Connection::open_in_memory().unwrap();
        migrate(&mut file, STEPS).unwrap();
        file.execute("INSERT INTO events (at_ms, kind) VALUES (5, 'granted')", []).unwrap();
        let later = [STEPS, &["ALTER TABLE events ADD COLUMN more TEXT"]].concat();
        for _ in 0..2 {
            migrate(&mut file, &later).unwrap();
        }
        let row = file.query_row("SELECT at_ms, more FROM events", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
        });
        assert_eq!((row.unwrap(), version(&file)), ((5, None), i64::try_from(later.len()).unwrap()));
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let mut file = Connection::open_in_memory().unwrap();
        migrate(&mut file, STEPS).unwrap();
        let later = [STEPS, &["CREATE TABLE half (x)", "no SQL"]].concat();
        assert!(matches!(migrate(&mut file, &later), Err(SchemaError::Sqlite(_))));
        assert!(!file.table_exists(None, "half").unwrap());
        assert_eq!(version(&file), i64::try_from(VERSION).unwrap());
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused_and_left_as_it_is() {
        let mut file = Connection::open_in_memory().unwrap();
        file.pragma_update(None, "user_version", 99).unwrap();
        let refused = migrate(&mut file, STEPS).unwrap_err().to_string();
        assert!(refused.contains("version 99") && refused.contains("a newer leasehold"), "{refused}");
        assert_eq!(version(&file), 99);
    }
}
