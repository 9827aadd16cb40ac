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
//! | `policy` | who may take seats at all |
//! | `book` | the lots of one feature, and what is decided about them by one at a time |
//! | `lease` | leases: opened, renewed, ended |
//! | `overage` | leases whose lots are gone |
//! | `next_due` | who is due back next |
//! | `doubt` | what a server does not know of itself |
//! | `reclaim` | idle seats for those who wait |
//! | `claims` | claim keys and what they stand for |
//! | `restore` | leases of the life before, opened again |
//! | `ledger` | the seat equation |
//! | [`explain`] | why a request is answered as it is |
//! | `ticket` | the sealed proof of a lease |
//! | `session` | who a datagram is from, and what may be sent back |
//! | [`wall`] | the time that dates are held against |
//! | `pool` | the lock-free part |
//! | `shared` | all of it together, and what an administrator sees |
//!
//! # What is ordered by what
//! Seats and leases are ordered without locks, by the words of the [`pool`]: two checkouts of one feature do not wait for each
//! other, nor for a release, an expiry, a count or a plan that leaves the feature's lots alone. A renewal takes its session's
//! lock and no other; it races with ends of its lease on one atomic word. What locks there are guard what a lease is
//! besides, and are taken in this order and never backwards: claim key, certificates, book (by name), then a record. A book
//! is locked by who changes its lots, by who counts what is out (a status, a feature query, a denial), and by checkouts only
//! while somebody waits. A session's lock is taken alone, or last.
//! No lock is held across a call into the driver.

mod book;
mod claims;
mod config;
mod counters;
mod doubt;
mod engine;
mod event;
pub mod explain;
mod joint;
mod lease;
mod ledger;
mod linger;
mod next_due;
mod overage;
mod path;
mod plan;
mod planted;
pub mod policy;
pub mod pool;
mod queue;
mod quota;
mod realm;
mod reclaim;
mod restore;
mod ruling;
mod session;
mod shared;
mod status;
mod ticket;
pub mod wall;
mod wording;

pub use config::{RealmConfig, ServerConfig};
pub use engine::{Engine, Rehearsal};
pub use event::{Denied, Ended, Event, Granted, Reclaimed, SessionEnd};
pub use explain::{Answer, Explanation, Looked, Question};
pub use ledger::LedgerError;
pub use path::{Path, Transmit};
pub use plan::{CertificateReport, Outcome, Past, PlanReport, ServedBy, Step, UpgradeRule, preview, timetable};
pub use planted::Fault;
pub use restore::{HeldLease, Restoration};
pub use shared::Shared;
pub use status::{FeatureStatus, LeaseStatus, LotStatus, RealmStatus, ReservationStatus};
pub use wall::{Mark, WallKeeper, WallStatus};

#[cfg(doc)]
use leasehold_protocol::time::Now;

/// Locks `mutex`. A thread that panicked while it held the lock is a defect that its own test shows; the others go on, as
/// a server must.
fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `n` as the wire and REST carry it: the most there is room for, if it is more.
fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
