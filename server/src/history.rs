//! The usage history: who had which seats when, and who was denied, in one file of SQLite (U-1, D-8).
//!
//! It is beside the way of a grant, never on it: a worker hands an event to a bounded queue and does not wait. A thread of its
//! own writes what has come, one transaction a second. Where that fails, or comes too slowly, events are dropped and counted, and a
//! *gap* is noted as soon as it can be: from when to when, how many, and why. Nobody who is served notices.
//!
//! Who is in it goes by pseudonyms ([`NameKey`]); the words they stand for are sealed beside them.
//!
//! | module | owns |
//! |---|---|
//! | `record` | what is told of an event |
//! | `gap` | what is missing |
//! | `names` | pseudonyms, and what they stand for |
//! | `schema` | the tables, and how an older file is brought up to date |
//! | `store` | the file |
//! | `keeper` | the thread that writes |
//! | `reader` | the file as one who asks sees it |
//! | `story` | one line and what belongs to it |
//! | `summary` | seats out and seat hours of each feature |
//!
//! Without the feature `history` there is no file, no thread and no SQLite: nothing is noted.

mod gap;
#[cfg(feature = "history")]
mod keeper;
#[cfg(feature = "history")]
mod names;
#[cfg(feature = "history")]
mod reader;
mod record;
#[cfg(feature = "history")]
mod schema;
#[cfg(feature = "history")]
mod store;
#[cfg(feature = "history")]
mod story;
#[cfg(feature = "history")]
mod summary;
#[cfg(all(test, feature = "history"))]
mod tests;

#[cfg(feature = "history")]
use std::sync::mpsc::sync_channel;
use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::SyncSender,
    },
    thread::{JoinHandle, Thread},
};

use arc_swap::ArcSwapOption;
use leasehold_core::{Event, Shared};
use leasehold_protocol::{
    Entropy,
    time::{Now, UnixMillis},
};

pub use self::{gap::Gap, record::Kind};
use self::{gap::Missed, record::is_told};
#[cfg(feature = "history")]
pub use self::{
    names::{NameKey, NameKind, key_in},
    reader::{Entry, Filter, ReadError, Reader, Row},
    summary::Usage,
};
use crate::{
    Settings,
    instant::rfc3339,
    state::{Folder, lock},
};

/// The file in the data folder.
pub const FILE: &str = "usage.sqlite";

/// The file in the data folder with the key of the pseudonyms.
pub const KEY_FILE: &str = "history.key";

/// Events that may wait to be written: two thirds of a second of a hundred thousand a second, in some 40 MB at the worst.
pub const QUEUE_LEN: usize = 1 << 16;

/// The history of a running server.
pub struct History {
    inner: Arc<Inner>,
    queue: Option<SyncSender<Noted>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// An event, and when a worker saw it.
type Noted = (Event, Now);

/// What workers and the keeper share.
#[derive(Default)]
struct Inner {
    figures: Figures,
    /// How many wait.
    queued: AtomicUsize,
    /// What found no room.
    missed: Missed,
    failing: ArcSwapOption<Failing>,
    ending: AtomicU8,
    /// Who is to be woken.
    keeper: OnceLock<Thread>,
}

/// The keeper is to go on.
const GOES_ON: u8 = 0;
/// It is to write what is there, and end.
const ENDS: u8 = 1;
/// It is to end at once.
const VANISHES: u8 = 2;

/// The life of the server that is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When it began.
    pub(crate) began: Now,
    /// How the one before ended, in a word.
    pub(crate) before: &'static str,
    /// Leases of the one before that are out again.
    pub(crate) restored: u64,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Figures {
    /// Events written.
    pub written: AtomicU64,
    /// Events dropped: the queue was full, or they could not be written.
    pub dropped: AtomicU64,
    /// Gaps noted in the file.
    pub gaps: AtomicU64,
}

/// Why the history cannot be written, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
    /// Since when.
    pub since: UnixMillis,
}

impl History {
    /// Begins to write into the file of `folder`, as the settings say. If that cannot be, the server serves all the same, and it is
    /// tried again every second.
    pub(crate) fn begin(
        folder: &mut Folder,
        settings: &Settings,
        shared: &Shared,
        life: Life,
        entropy: &mut dyn Entropy,
    ) -> Self {
        if !settings.history {
            return Self::off();
        }
        let since = life.began.wall;
        #[cfg(not(feature = "history"))]
        let begun: Result<Self, (String, &str)> = {
            let _ = (folder, shared, entropy);
            Err(("this program was built without it".into(), "take one with the feature history, or say history = off"))
        };
        #[cfg(feature = "history")]
        let begun = Self::spawn(folder, settings, shared, life, entropy);
        begun.unwrap_or_else(|(why, remedy)| Self::refused(why, remedy, since))
    }

    #[cfg(feature = "history")]
    fn spawn(
        folder: &mut Folder,
        settings: &Settings,
        shared: &Shared,
        life: Life,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, (String, &'static str)> {
        let names = names::key(folder, entropy).map_err(|e| (e.to_string(), "then start the server again"))?;
        let (sender, receiver) = sync_channel(QUEUE_LEN);
        let inner = Arc::<Inner>::default();
        let realms = shared.realms().into_iter().map(|realm| (realm.id, realm.publisher.to_string())).collect();
        let keep = Some(settings.history_keep).filter(|keep| !keep.is_zero());
        let keeper = keeper::Keeper::new(inner.clone(), receiver, folder.join(FILE), names, realms, keep, life);
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || keeper.run());
        let thread = thread.map_err(|e| (format!("there is no thread for it: {e}"), "start the server again"))?;
        // Set once, here.
        let _ = inner.keeper.set(thread.thread().clone());
        Ok(Self { inner, queue: Some(sender), keeper: Mutex::new(Some(thread)) })
    }

    /// None: nothing is noted.
    #[must_use]
    pub fn off() -> Self {
        Self { inner: Arc::default(), queue: None, keeper: Mutex::new(None) }
    }

    /// None because of `why`, which is a warning for as long as the server runs.
    fn refused(why: String, remedy: &str, since: UnixMillis) -> Self {
        tracing::warn!("there is no usage history: {why}; {remedy}");
        let off = Self::off();
        off.inner.failing.store(Some(Arc::new(Failing { why, remedy: remedy.to_owned(), since })));
        off
    }

    /// Whether events are noted.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Hands on what happened at `now`. Never waits: where the queue is full the event is dropped and counted.
    pub fn note(&self, event: Event, now: Now) {
        let Some(queue) = self.queue.as_ref().filter(|_| is_told(&event)) else { return };
        let waiting = self.inner.queued.fetch_add(1, Relaxed);
        if queue.try_send((event, now)).is_err() {
            self.inner.queued.fetch_sub(1, Relaxed);
            self.inner.figures.dropped.fetch_add(1, Relaxed);
            self.inner.missed.add(now.wall);
        } else if waiting == QUEUE_LEN / 2 {
            // Once in a while of much: the keeper comes by every second anyway.
            self.inner.wake();
        }
    }

    /// What was counted.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    /// Why it cannot be written, if so.
    #[must_use]
    pub fn failing(&self) -> Option<Arc<Failing>> {
        self.inner.failing.load_full()
    }

    /// What is not as it should be, with its remedy.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let failing = self.failing()?;
        let Failing { why, remedy, since } = &*failing;
        Some(format!(
            "the usage history is not written since {}: {why}. Seats are granted all the same, and what happens meanwhile is missing \
             from it: {remedy}",
            rfc3339(*since)
        ))
    }

    /// Writes what has come and that the server ended as it should, and ends the thread. For when no worker is left.
    pub fn end(&self) {
        self.stop(ENDS);
    }

    fn stop(&self, how: u8) {
        let Some(keeper) = lock(&self.keeper).take() else { return };
        self.inner.ending.store(how, Relaxed);
        self.inner.wake();
        // It has no way to panic; and if it had, the file is whole up to its last transaction.
        let _ = keeper.join();
    }
}

impl Drop for History {
    /// As a crash would: what waits is lost. End it by [`History::end`].
    fn drop(&mut self) {
        self.stop(VANISHES);
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("on", &self.is_on()).field("failing", &self.failing()).finish_non_exhaustive()
    }
}

impl Inner {
    fn wake(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }
}
