//! The proof: a simulated LAN with the server's core and the SDK's holder unchanged inside, a slow and obvious twin
//! stepped beside it, and helpers for tests with real sockets and real processes.
//!
//! | module | owns |
//! |---|---|
//! | [`lan`] | the world: servers, clients, wires, the event loop and the checks after each event |
//! | [`plan`] | what a world is made of before it begins; seeds |
//! | [`model`] | the twin: who holds what by the rules alone |
//! | [`net`] | loss, doubling, delay, overtaking, cuts |
//! | [`accounts`] | bytes in and out of a server, address by address |
//! | [`server`], [`client`] | one machine each |
//! | [`raw`] | a client written by hand that keeps no rule of behaviour |
//! | [`binary`] | the `leasehold` binary, folders for it, processes |
//! | [`hosts`] | hosts on one network: namespaces and a bridge |
//! | [`stranger`] | what somebody without the site's key can send |
//! | [`clock`], [`rng`] | time and chance |
//!
//! A world is its seed: the same seed gives the same world to the last datagram. Every failure prints the seed and the
//! command that repeats it.

pub mod accounts;
pub mod binary;
pub mod client;
pub mod clock;
pub mod hosts;
pub mod lan;
pub mod model;
pub mod net;
pub mod plan;
pub mod raw;
pub mod rng;
pub mod server;
pub mod stranger;

pub use client::Seat;
pub use clock::{HOUR, MINUTE, SECOND};
pub use lan::Lan;
pub use model::{Checked, Violation};
pub use plan::{Plan, seeds};
