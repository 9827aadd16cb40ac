//! Decides everything, touches nothing: who gets a seat, until when, and what a denial says.
//!
//! # The contract
//! A driver owns sockets and clocks. It makes one [`Shared`] per server and one [`Engine`] per worker, and then, for each
//! engine: wait for a datagram or for [`Engine::poll_timeout`]; read both clocks once into a [`Now`]; feed
//! [`Engine::handle_datagram`] or [`Engine::handle_timeout`]; drain [`Engine::poll_transmit`] and [`Engine::poll_event`]
//! to `None`; ask `poll_timeout` again. That is all. Late datagrams, repeated timeouts and garbage do no harm; `now.mono`
//! never goes backwards on one engine.
//!
//! Nothing in here reads a clock, a socket, a file, the environment or ambient randomness, and nothing iterates a map
//! whose order is not its keys': the same inputs with the same entropy give the same outputs.
//!
//! # The rooms
//!
//! | module | owns |
//! |---|---|
//! | `engine` | one file per verb: what is answered to what |
//! | `plan` | certificates compiled into rights in force, by date |
//! | `book` | the seats of one feature, and the order of its checkouts |
//! | `expiry` | ordered deadlines |
//! | `lease` | leases: opened, renewed, ended |
//! | `claims` | claim keys and what they stand for |
//! | `ledger` | the seat equation |
//! | `ticket` | the sealed proof of a lease |
//! | `session` | who a datagram is from, and what may be sent back |
//! | `pool` | the lock-free part |
//! | `shared` | all of it together, and what an administrator sees |
//!
//! # What is ordered by what
//! A renewal takes its session's lock and no other; it races with ends of its lease on one atomic word. Everything else
//! takes locks in this order and never backwards: claim key, plan (for reading), book, then one of record and wakeups. A
//! session's lock is taken alone, or last. No lock is held across a call into the driver.

mod book;
mod claims;
mod config;
mod counters;
mod engine;
mod event;
mod expiry;
mod lease;
mod ledger;
mod path;
mod plan;
mod planted;
mod pool;
mod realm;
mod session;
mod shared;
mod status;
mod ticket;
mod wording;

pub use config::{RealmConfig, ServerConfig};
pub use engine::Engine;
pub use event::{Denied, Ended, Event, Granted, SessionEnd};
pub use ledger::LedgerError;
pub use path::{Path, Transmit};
pub use plan::{CertificateReport, Outcome, PlanReport};
pub use planted::Fault;
pub use shared::Shared;
pub use status::{FeatureStatus, LeaseStatus, LotStatus, RealmStatus};

#[cfg(doc)]
use leasehold_protocol::time::Now;

/// Locks `mutex`. A thread that panicked while it held the lock is a defect that its own test shows; the others go on, as
/// a server must.
fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
