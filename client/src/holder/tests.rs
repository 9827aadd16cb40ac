//! The holder against a scripted server, in virtual time.
#![expect(clippy::cast_possible_truncation, reason = "seeds and draws are cut on purpose")]

mod bundle;
mod lan;
mod leases;
mod let_go;
mod many;
mod queue;
pub(crate) mod server;
mod sessions;
mod strangers;
mod trusting;
