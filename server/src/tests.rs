//! The shell as a whole, on loopback sockets, with a real engine inside.

mod afterlife;
mod changes;
mod client;
mod clock;
mod http;
mod ledger;
mod life;
mod policy;
#[cfg(feature = "history")]
mod rehearse;
mod rest;
mod seats;
pub(crate) mod site;
#[cfg(feature = "history")]
mod usage;
#[cfg(feature = "history")]
mod why;
