//! Everything the `leasehold` command does. `main.rs` only calls [`main`].
//!
//! Results go to stdout, everything else to stderr; a reader that goes away ends us quietly; every failure says what
//! happened, why and what to do, and ends with a documented status ([`exit`]).
//!
//! | module | owns |
//! |---|---|
//! | [`cli`], [`help`] | the command tree and its help |
//! | [`connect`] | which server, and whom to trust |
//! | [`local`], [`rest`] | the server of this machine: its settings, and what it tells |
//! | [`kit`] | keys, licence and folder of a server that is tried out |
//! | the others | one command each |

pub mod audit;
pub mod backup;
pub mod checkout;
pub mod cli;
pub mod clock;
pub mod completions;
pub mod config;
pub mod connect;
pub mod demo;
pub mod discover;
pub mod doctor;
pub mod exit;
mod flexnet;
pub mod hand;
pub mod help;
#[cfg(feature = "history")]
pub mod history;
pub mod hostid;
pub mod human;
pub mod info;
pub mod init;
pub mod issue;
pub mod kit;
pub mod licence;
pub mod load;
pub mod local;
pub mod man;
pub mod output;
pub mod policy;
pub mod rest;
pub mod serve;
pub mod status;
pub mod store;
pub mod table;
pub mod why;

use std::process::ExitCode;

use exit::Failure;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::tell(&failure);
            failure.status().into()
        }
    }
}

/// Runs `work` on a runtime of this thread alone: enough for every command that waits more than it computes.
///
/// # Errors
/// What `work` says, or that the system has no more descriptors for a runtime.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::new("cannot start a runtime").because_of(&e))?.block_on(work)
}
