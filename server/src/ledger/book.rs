//! The open file: one change, one commit, durable when it returns.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use leasehold_protocol::time::UnixMillis;
use redb::{Database, Durability, WriteTransaction};

use super::{
    By, Deed, LEDGER, LedgerError,
    anchor::Anchor,
    audit,
    backend::{Backend, Fault, Trouble},
    look::{self, Looked},
    tables::{self, META, key},
};
use crate::{
    clock::clock_now,
    storage::{Storage, Stored},
};

/// The ledger's file, or why it is closed.
pub(super) struct Book {
    pub(super) open: Option<Open>,
    pub(super) down: Option<Down>,
    pub(super) is_closed: bool,
}

/// The file, open.
pub(super) struct Open {
    pub(super) db: Database,
    pub(super) file: Arc<dyn Stored>,
    pub(super) trouble: Arc<Trouble>,
    anchor: Anchor,
    /// How many changes are in it.
    pub(super) changes: u64,
}

/// What is known of a file that was closed because something failed.
pub(super) struct Down {
    pub(super) error: LedgerError,
    pub(super) since: UnixMillis,
    pub(super) file: Arc<dyn Stored>,
    pub(super) trouble: Arc<Trouble>,
    /// How many changes were acknowledged.
    pub(super) changes: u64,
    /// How long the file must become before anything can be written.
    pub(super) wanted: Option<u64>,
}

/// A change that is being made.
pub(super) struct Change {
    pub(super) tx: WriteTransaction,
    /// When.
    pub(super) at: UnixMillis,
}

impl Book {
    /// The file, if changes can be made.
    pub(super) fn ready(&mut self) -> Result<&mut Open, LedgerError> {
        let refused = self.refusal();
        match (&mut self.open, &self.down) {
            (Some(open), None) if !self.is_closed => Ok(open),
            _ => Err(refused),
        }
    }

    /// Why nothing is done.
    pub(super) fn refusal(&self) -> LedgerError {
        match &self.down {
            Some(down) if !self.is_closed => down.error.clone(),
            _ => LedgerError::Closed,
        }
    }
}

impl Down {
    /// Closes `open` because of `error`.
    pub(super) fn of(open: Open, error: LedgerError, since: UnixMillis) -> Self {
        let Open { db, file, trouble, changes, .. } = open;
        // After a failure redb touches the file no more.
        drop(db);
        let wanted = trouble.wanted();
        Self { error, since, file, trouble, changes, wanted }
    }
}

impl Open {
    /// Opens the file that was `looked` at, and makes what it lacks. What goes wrong with it is noted in `trouble`.
    pub(super) fn of(
        storage: &dyn Storage,
        server_id: u64,
        looked: &Looked,
        trouble: Arc<Trouble>,
    ) -> Result<Self, LedgerError> {
        let path = storage.path(LEDGER);
        let failed = |e: std::io::Error| LedgerError::Open { path: path.clone(), what: e.to_string(), kind: e.kind() };
        let file = storage.open(LEDGER).map_err(failed)?;
        if looked.is_unfinished {
            file.set_len(0).map_err(failed)?;
        }
        let backend = Backend { file: file.clone(), trouble: trouble.clone() };
        let explained = |e: &redb::Error| look::explained(&path, e, trouble.first(), &AtomicU64::new(0));
        let db = look::builder().create_with_backend(backend).map_err(|e| explained(&e.into()))?;
        let anchor = Anchor::open(storage, server_id).map_err(failed)?;
        let mut open = Self { db, file, trouble: trouble.clone(), anchor, changes: looked.changes };
        if looked.is_new() {
            open.commit(&path, |change| make(change, server_id, looked.changes))?;
        } else {
            open.note();
        }
        Ok(open)
    }

    /// Makes what `work` does durable.
    pub(super) fn commit<T>(
        &mut self,
        path: &Path,
        work: impl FnOnce(&Change) -> Result<T, redb::Error>,
    ) -> Result<T, LedgerError> {
        if !self.file.is_linked().unwrap_or(true) {
            let why = "somebody removed it".to_owned();
            return Err(LedgerError::Failing { path: path.to_owned(), why });
        }
        let done = self.try_commit(work).map_err(|e| self.explained(path, &e))?;
        self.changes += 1;
        self.note();
        Ok(done)
    }

    fn try_commit<T>(&self, work: impl FnOnce(&Change) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let mut tx = self.db.begin_write()?;
        tx.set_durability(Durability::Immediate)?;
        // Two syncs instead of one, for which no commit that was acknowledged is ever in doubt, and a start after a crash is quick.
        tx.set_quick_repair(true);
        let change = Change { tx, at: clock_now().wall };
        let done = work(&change)?;
        change.tx.open_table(META)?.insert(key::CHANGES, &*(self.changes + 1).to_string())?;
        change.tx.commit()?;
        Ok(done)
    }

    /// The anchor may lag behind: that it could not be written is no reason to refuse what is durable.
    fn note(&self) {
        if let Err(e) = self.anchor.note(self.changes) {
            tracing::warn!("{} cannot be written: {e}; an older ledger would not be noticed", super::anchor::ANCHOR);
        }
    }

    /// `error` for people, with what failed first in the file.
    pub(super) fn explained(&self, path: &Path, error: &redb::Error) -> LedgerError {
        let fault = self.trouble.first();
        let Fault { kind, what } =
            fault.unwrap_or_else(|| Fault { kind: std::io::ErrorKind::Other, what: error.to_string() });
        LedgerError::of_io(path.to_owned(), kind, what)
    }
}

/// What a new ledger begins with; `gone` is how many changes the one had that was here before.
fn make(change: &Change, server_id: u64, gone: u64) -> Result<(), redb::Error> {
    tables::make(&change.tx)?;
    {
        let mut meta = change.tx.open_table(META)?;
        meta.insert(key::FORM, &*super::FORM.to_string())?;
        meta.insert(key::SERVER, &*format!("{server_id:016x}"))?;
        meta.insert(key::MADE_AT, &*change.at.0.to_string())?;
        meta.insert(key::MADE_BY, crate::VERSION)?;
    }
    let before = if gone > 0 { serde_json::json!({ "changes": gone }) } else { serde_json::Value::Null };
    let by = By::server("");
    audit::append(change, &Deed { by: &by, action: "ledger.make", before, after: serde_json::Value::Null })?;
    Ok(())
}
