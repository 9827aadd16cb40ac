//! The shell of a leasehold server: sockets, disk, clocks, signals, configuration, REST (DESIGN E-6, E-7, D).
//!
//! It decides nothing about seats. [`leasehold_core`] does, and is driven from here: wait for datagrams, feed, drain,
//! repeat. What this room must never do is touch a lease; what it must always do is go on serving: a socket error is
//! counted, a missing licence is said, a bad reload changes nothing.
//!
//! ```no_run
//! # async fn example() -> Result<(), leasehold_server::StartError> {
//! use leasehold_server::{Running, Settings};
//!
//! let running = Running::start(Settings::default()).await?;
//! eprint!("{}", running.banner());
//! running.drain_and_stop(std::time::Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | five layers of settings with their origins |
//! | [`state`] | the data folder: keys, token, markers |
//! | [`licences`] | licence files and publishers' keys |
//! | [`net`] | sockets, interfaces, workers |
//! | [`admin`] | REST on loopback |
//! | [`journal`] | every lease, written down |
//! | [`backup`] | a data folder in one file, and back |
//! | [`history`] | who had which seats when, for who looks back |
//! | [`remembered`] | what a start makes of the life before |
//! | [`ledger`] | what must be on the disk before it is acknowledged |
//! | [`storage`] | files that must lose nothing |
//! | [`process`] | who holds a port |
//! | [`clock`] | the clocks and the system's randomness |
//! | [`logs`] | the log |

pub mod admin;
mod alarms;
pub mod backup;
mod banner;
pub mod clock;
pub mod config;
mod error;
mod events;
#[cfg_attr(not(feature = "history"), allow(dead_code, reason = "without it nothing is written"))]
pub mod history;
pub mod instant;
pub mod journal;
pub mod ledger;
pub mod licences;
mod loader;
pub mod logs;
pub mod looked;
pub mod net;
pub mod policy;
pub mod process;
pub mod remembered;
mod running;
mod serve;
mod settings;
mod start;
pub mod state;
pub mod storage;
#[cfg(test)]
mod tests;
mod watch;

pub use clock::clock_now;
pub use error::{StartError, exit};
pub use loader::{
    AddReport, AddedLine, ChangeError, FeatureChange, Loader, PolicyChange, PolicyInForce, PolicyRefused, ReloadError,
};
pub use running::{Running, StopReport};
pub use serve::{Ending, run, run_with};
pub use settings::{BUSY_POLL_MAX, HttpListen, Limits, ListenOn, LogFormat, LogSettings, Settings, WORKERS_MAX};

/// This server's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
