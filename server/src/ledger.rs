//! The ledger: what must be on the disk before it is acknowledged (U-1, U-3). One file in the data folder, `ledger.redb`; what is in it,
//! byte by byte, stands in `server/docs/ledger.md`.
//!
//! Nothing that failed is forgotten (RELIABILITY D2): after a write or a sync that failed the file is closed, everything that must be
//! durable is refused with the reason, and a thread of the ledger's own opens and checks the file anew, at most every second, until a
//! change is durable again. Seats are granted meanwhile. A file that cannot be trusted is never written to.
//!
//! | module | owns |
//! |---|---|
//! | `backend` | our file as redb sees it, and what went wrong with it |
//! | `overlay` | a file that is looked at and not touched |
//! | `look` | whether a file can be trusted |
//! | `book` | the open file: one change, one commit |
//! | `heal` | how it comes back |
//! | `health` | how it is |
//! | `audit`, `policies`, `uses`, `values` | what is in it |
//! | `snapshot` | all of it as one file |
//! | `anchor` | a second record, of how many changes there were |

mod anchor;
mod audit;
mod backend;
mod book;
mod error;
mod heal;
mod health;
mod look;
mod overlay;
mod policies;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;
mod uses;
mod values;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
};

use redb::{ReadTransaction, ReadableDatabase as _};

pub use audit::{Broken, By, Chain, Deed, Entry, Who};
pub use error::LedgerError;
pub use health::{Condition, Health};
pub use policies::{KeptPolicy, PolicyVersion};
pub use uses::{MigrateError, Uses, migrate};

use crate::{clock::clock_now, storage::Storage};
use book::{Book, Change, Down, Open};

/// Its file in the data folder.
pub const LEDGER: &str = "ledger.redb";

/// The form of what is in it that this version writes, and the newest it reads.
pub const FORM: u32 = 1;

/// The ledger of a server. Clones are the same ledger.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    storage: Arc<dyn Storage>,
    server_id: u64,
    path: PathBuf,
    /// Held while a change becomes durable.
    book: Mutex<Book>,
    /// How it is, for those who do not wait for a change.
    health: Mutex<Health>,
    /// What was noticed when it was opened.
    noticed: Vec<String>,
    refused: AtomicU64,
    healed: AtomicU64,
    uses_lost: AtomicU64,
    /// Wakes who heals it.
    wake: Sender<()>,
}

impl Ledger {
    /// Opens the ledger in `storage` and checks all of it; makes it if there is none. It heals by itself from then on.
    ///
    /// # Errors
    /// If it cannot be trusted (it is not touched then), opened or made: each with the file, what, and the remedy.
    pub fn open(storage: Arc<dyn Storage>, server_id: u64) -> Result<Self, LedgerError> {
        let (wake, woken) = channel();
        let ledger = Self::open_unhealed(storage, server_id, wake)?;
        heal::in_background(&ledger, woken);
        Ok(ledger)
    }

    fn open_unhealed(storage: Arc<dyn Storage>, server_id: u64, wake: Sender<()>) -> Result<Self, LedgerError> {
        let looked = look::look(&*storage, server_id)?;
        let noticed: Vec<String> = looked.noticed(&storage.path(LEDGER)).into_iter().collect();
        let open = Open::of(&*storage, server_id, &looked, Arc::default())?;
        Ok(Self(Arc::new(Inner {
            path: storage.path(LEDGER),
            storage,
            server_id,
            book: Mutex::new(Book { open: Some(open), down: None, is_closed: false }),
            health: Mutex::default(),
            noticed,
            refused: AtomicU64::new(0),
            healed: AtomicU64::new(0),
            uses_lost: AtomicU64::new(0),
            wake,
        })))
    }

    /// Ends it: what is durable stays so, and everything else is refused from now on.
    pub fn close(&self) {
        let mut book = self.book();
        book.is_closed = true;
        // redb writes that it was ended well; where it cannot, the next start looks a little longer.
        book.open = None;
        *self.0.health.lock().unwrap_or_else(PoisonError::into_inner) = Health::closed();
    }

    /// Makes what `work` does durable, all of it or nothing.
    fn write<T>(&self, work: impl FnOnce(&Change) -> Result<T, redb::Error>) -> Result<T, LedgerError> {
        // Without waiting for who heals it.
        if let Some(error) = self.health().refusal {
            self.0.refused.fetch_add(1, Relaxed);
            return Err(error);
        }
        let mut book = self.book();
        let done = match book.ready() {
            Ok(open) => open.commit(&self.0.path, work),
            Err(refused) => return Err(refused),
        };
        done.map_err(|error| {
            self.0.refused.fetch_add(1, Relaxed);
            self.fall(&mut book, error)
        })
    }

    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, LedgerError> {
        let begun = {
            let book = self.book();
            let Some(open) = &book.open else { return Err(book.refusal()) };
            open.db.begin_read().map_err(redb::Error::from)
        };
        begun.and_then(|reading| work(&reading)).map_err(|error| {
            let mut book = self.book();
            match &book.open {
                Some(open) => {
                    let error = open.explained(&self.0.path, &error);
                    self.fall(&mut book, error)
                }
                None => book.refusal(),
            }
        })
    }

    /// Closes the file because of `error`, and sees to it that it comes back.
    fn fall(&self, book: &mut Book, error: LedgerError) -> LedgerError {
        tracing::error!("{error}");
        if let Some(open) = book.open.take() {
            let since = book.down.as_ref().map_or_else(|| clock_now().wall, |down| down.since);
            book.down = Some(Down::of(open, error.clone(), since));
            self.tell_health(Health::bad(error.clone(), since));
            // Who heals it is gone only when the ledger is.
            let _ = self.0.wake.send(());
        }
        error
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("path", &self.0.path).field("health", &self.health()).finish_non_exhaustive()
    }
}
