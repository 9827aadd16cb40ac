//! The engine as its driver sees it: datagrams in, datagrams out, and a clock the test moves.

mod bundles;
mod claims;
mod denials;
#[path = "../pool/dice.rs"]
mod dice;
mod discovery;
mod door;
mod doubt;
mod expiry;
mod explained;
mod licence_info;
mod licence_rules;
#[path = "../pool/linear.rs"]
mod linear;
mod lingering;
mod many;
mod moments;
mod paths;
mod plans;
#[cfg(feature = "planted-faults")]
mod planted;
mod policy;
mod queue;
mod queue_walks;
mod quotas;
mod races;
mod reclaim;
mod rehearsal;
mod requests;
mod restart;
mod restored;
mod rig;
mod rights;
mod sessions;
mod shared_seats;
mod strangers;
mod walks;
mod walks_of_rights;
#[path = "../pool/watch.rs"]
mod watch;
