//! Worlds: the core and the holder as they are, in a LAN that a seed makes.
//!
//! In a debug build the worlds are the same and the big ones are left out; `cargo test --release -p leasehold-tests
//! --test simulated -- --nocapture` runs them all and prints the figures.

mod claims;
mod clocks;
mod discovery;
mod healing;
mod hour;
mod many;
mod midnights;
mod queues;
mod reclaim;
mod roaming;
mod seeds;
mod strangers;
