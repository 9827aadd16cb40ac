//! Games of threads that hang say so.

use std::{
    io::Write as _,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

/// Ends the process if nothing moves for half a minute: a hang should say so.
pub fn watch(over: &Receiver<()>, progress: &AtomicU64) {
    let mut seen = u64::MAX;
    while over.recv_timeout(Duration::from_secs(30)) == Err(RecvTimeoutError::Timeout) {
        let now = progress.load(Ordering::Relaxed);
        if now == seen {
            let _ = std::io::stderr().write_all(b"a game of threads hangs\n");
            std::process::abort();
        }
        seen = now;
    }
}
