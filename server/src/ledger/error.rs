//! Why the ledger does not do what was asked.

use std::{io, path::PathBuf};

/// Why the ledger does not do what was asked. Each message ends with what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// There is no space left for it.
    #[error(
        "storage full: {} cannot take what must be kept ({why}); free some space: it goes on by itself within a second or two",
        path.display()
    )]
    Full {
        /// Its file.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// Its disk does not do what it should.
    #[error(
        "storage failing: {} cannot take what must be kept ({why}); look after the disk: it goes on by itself once the file can be \
         read, checked and written again", path.display()
    )]
    Failing {
        /// Its file.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// The server is on its way out.
    #[error("the ledger is closed, because the server is ending; try again when it runs")]
    Closed,
    /// It cannot be opened or made.
    #[error("{} cannot be opened: {what}; check its owner, its mode (chmod 600 {0}) and the space left", path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// What failed, and what the system says.
        what: String,
        /// The same for programs.
        kind: io::ErrorKind,
    },
    /// It is no ledger, or something in it is not as it was written.
    #[error("{} is damaged: {what}; it was not touched: restore it from a backup by leasehold restore FILE", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it, and where.
        what: String,
    },
    /// A newer program wrote it.
    #[error(
        "{} has form {form}, written by leasehold {by}, and this version knows form {} and older; it was not touched: start that \
         version or a newer one, or restore a backup of before by leasehold restore FILE", path.display(), super::FORM
    )]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Its form.
        form: u32,
        /// The version that wrote it.
        by: String,
    },
    /// Another installation wrote it.
    #[error(
        "{} is the ledger of server {of:016x}, and this is {here:016x}; it was not touched: if it is this one, write {of:016x} into \
         server.id beside it, else restore the right one by leasehold restore FILE", path.display()
    )]
    OfAnother {
        /// Its file.
        path: PathBuf,
        /// The server it says it is of.
        of: u64,
        /// This one.
        here: u64,
    },
    /// It is older than what was kept once.
    #[error(
        "{} has {has} changes and had {had} once: it is an old copy, or its header is damaged; it was not touched: restore the newest \
         backup by leasehold restore FILE, or remove ledger.anchor beside it to go on without what came later", path.display()
    )]
    Older {
        /// Its file.
        path: PathBuf,
        /// How many changes it has.
        has: u64,
        /// How many it had at least.
        had: u64,
    },
}

impl LedgerError {
    /// One word for programs: `storage_full`, `storage_failing`, `ledger_closed` or `ledger_refused`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "storage_full",
            Self::Failing { .. } => "storage_failing",
            Self::Closed => "ledger_closed",
            _ => "ledger_refused",
        }
    }

    /// Why it could not be opened, for who tries again by himself.
    pub(super) fn of_reopening(self) -> Self {
        match self {
            Self::Open { path, what, kind } => Self::of_io(path, kind, what),
            other => other,
        }
    }

    /// By what the system said.
    pub(super) fn of_io(path: PathBuf, kind: io::ErrorKind, why: String) -> Self {
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full { path, why }
        } else {
            Self::Failing { path, why }
        }
    }
}
