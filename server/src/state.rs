//! The data folder: keys, the REST token, and the two markers that say what the server before this one left behind.
//!
//! ```text
//! lock                          held while a server runs; its process id
//! server.id                     this installation, 16 hexadecimal digits
//! ticket.key                    what tickets are sealed with, newest first
//! rest.token                    what REST wants as a bearer token
//! history.key                   what names in the usage history are hidden with
//! usage.sqlite                  the usage history
//! clock.mark                    how late it is, for the next start
//! serving                       "seats may be out": the longest TTL they were granted for
//! ledger.redb                   what must not be lost: server/docs/ledger.md; ledger.anchor beside it
//! realms/PUBLISHER/server.key   our X25519 key in that publisher's realm
//! publishers/*.pub              publishers to trust
//! licences/*.lic                licences to serve
//! ```
//!
//! The folder is made for its owner alone (0700, files 0600). A folder that others can read is a warning with the
//! command that ends it; the server still starts, because a licence server that refuses over a file mode stops work.

mod folder;
mod secrets;
mod serving;

pub(crate) use folder::write_whole;
pub use folder::{Folder, StateError};
pub use secrets::{REST_TOKEN_FILE, RestToken, Secrets, realm_key_file, realm_keys};
pub use serving::Serving;

/// Locks `mutex`. Who panicked while it held the lock has shown a defect of its own; the others go on, as a server must.
pub(crate) fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The file with certificates that came over the network and were to be kept.
pub const ADDED: &str = "added.lic";
