//! How a ledger that was closed comes back: what may not be on the disk is written again, the file is looked at as at a start, opened,
//! and a change is made in it. Only then is anything else acknowledged.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    By, Deed, Health, LEDGER, Ledger, LedgerError, audit, backend,
    book::{Book, Down, Open},
    look,
};
use crate::{
    clock::clock_now,
    instant::words,
    storage::{Storage, Stored},
};

/// The least between two attempts.
const REST: Duration = Duration::from_secs(1);
/// An attempt reads the whole file: it is so many times longer between two than one takes.
const REST_TIMES: u32 = 4;
/// Bytes copied at once.
const PIECE: u64 = 1 << 20;

/// Heals `ledger` whenever it falls, until it is gone.
pub(super) fn in_background(ledger: &Ledger, woken: Receiver<()>) {
    let ledger = Arc::downgrade(&ledger.0);
    let work = move || {
        while woken.recv().is_ok() {
            loop {
                let Some(inner) = ledger.upgrade() else { return };
                let began = Instant::now();
                let is_well = Ledger(inner).heal();
                if !rest(&woken, REST.max(began.elapsed() * REST_TIMES)) {
                    return;
                }
                if is_well {
                    break;
                }
            }
        }
    };
    // Without a thread it stays closed once it fell, which is said then.
    if let Err(e) = std::thread::Builder::new().name("leasehold-ledger".into()).spawn(work) {
        tracing::error!("the ledger cannot heal by itself: no thread: {e}");
    }
}

/// Waits; whether there is a ledger after that.
fn rest(woken: &Receiver<()>, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        match woken.recv_timeout(until.saturating_duration_since(Instant::now())) {
            // It fell again meanwhile: that is looked at after the rest.
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

impl Ledger {
    /// Tries once to come back. Whether it is well then, or at its end.
    pub(super) fn heal(&self) -> bool {
        let mut book = self.book();
        let Some(mut down) = book.down.take().filter(|_| !book.is_closed) else { return true };
        match self.try_to_heal(&mut book, &mut down) {
            Ok(()) => {
                self.tell_health(Health::default());
                self.0.healed.fetch_add(1, Relaxed);
                let took = words(clock_now().wall.0.saturating_sub(down.since.0));
                tracing::info!("{} is well again, after {took}", self.0.path.display());
                true
            }
            Err(error) => {
                self.tell_health(Health::bad(error.clone(), down.since));
                let wanted = down.trouble.wanted().or(down.wanted);
                book.down = Some(Down { error, wanted, ..down });
                false
            }
        }
    }

    fn try_to_heal(&self, book: &mut Book, down: &mut Down) -> Result<(), LedgerError> {
        let path = &self.0.path;
        let mut open = match book.open.take() {
            Some(open) => open,
            None => self.reopen(down).map_err(LedgerError::of_reopening)?,
        };
        // Before anything is written: what had no space gets it now, and what is there can be read if it does not.
        if let Some(wanted) = down.wanted {
            let given = open.file.len().and_then(|len| if len < wanted { open.file.set_len(wanted) } else { Ok(()) });
            if let Err(e) = given {
                book.open = Some(open);
                let why = format!("it cannot be made {wanted} bytes long: {e}");
                return Err(LedgerError::of_io(path.clone(), e.kind(), why));
            }
        }
        let stands = open.changes > down.changes;
        open.commit(path, |change| {
            let by = By::server("");
            let before = json!({ "since": down.since.0, "why": down.error.to_string() });
            // A change that failed may be in the file all the same; who asked for it was told that it failed.
            let after = json!({ "refused_and_kept": stands });
            audit::append(change, &Deed { by: &by, action: "ledger.heal", before, after }).map(drop)
        })?;
        book.open = Some(open);
        Ok(())
    }

    fn reopen(&self, down: &mut Down) -> Result<Open, LedgerError> {
        let (path, storage) = (&self.0.path, &*self.0.storage);
        let failing = |e: io::Error| LedgerError::of_io(path.clone(), e.kind(), e.to_string());
        if !down.file.is_linked().map_err(failing)? {
            down.file = put_back(storage, &*down.file, path)?;
        }
        backend::write_again(&*down.file, &down.trouble.unsynced()).map_err(failing)?;
        down.trouble.is_over();
        let looked = look::look(storage, self.0.server_id)?;
        if looked.is_new() || looked.changes < down.changes {
            let (has, had) = (looked.changes, down.changes);
            return Err(LedgerError::Older { path: path.clone(), has, had });
        }
        Open::of(storage, self.0.server_id, &looked, down.trouble.clone())
    }
}

/// Writes the file that somebody removed, which we still have open, under its name again. Its beginning comes last: a copy that is
/// not whole is no ledger.
fn put_back(storage: &dyn Storage, lost: &dyn Stored, path: &Path) -> Result<Arc<dyn Stored>, LedgerError> {
    let failing = |e: io::Error| {
        LedgerError::of_io(path.to_owned(), e.kind(), format!("it was removed, and cannot be put back: {e}"))
    };
    let other = storage.open_existing(LEDGER).map_err(failing)?;
    if other.is_some_and(|file| look::begins_well(&*file).unwrap_or(true)) {
        let why = "another file has its name; to use that one, start the server again".to_owned();
        return Err(LedgerError::Failing { path: path.to_owned(), why });
    }
    let len = lost.len().map_err(failing)?;
    let file = storage.open(LEDGER).map_err(failing)?;
    let copy = || -> io::Result<()> {
        file.set_len(len)?;
        let later = (1..len.div_ceil(PIECE)).map(|piece| piece * PIECE);
        for at in later.chain([0]) {
            let mut bytes = vec![0; usize::try_from(PIECE.min(len - at)).unwrap_or(0)];
            lost.read_at(at, &mut bytes)?;
            if at == 0 {
                file.sync()?;
            }
            file.write_at(at, &bytes)?;
        }
        file.sync()
    };
    copy().map_err(failing)?;
    tracing::warn!("{} was removed by somebody, and is there again", path.display());
    Ok(file)
}
