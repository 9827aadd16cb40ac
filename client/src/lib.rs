//! The leasehold SDK: check out a seat, hold it, give it back.
//!
//! ```no_run
//! # async fn run_app() {}
//! # fn save_and_warn(_: leasehold::LeaseLost) {}
//! # macro_rules! select { ($($t:tt)*) => {} }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = leasehold::Client::discover().await?; // broadcast, LEASEHOLD_SERVER, the server used last
//! let lease = client.checkout("VR_MODE").version("4.8").await?; // the builder is the future
//! select! { _ = run_app() => {}, why = lease.lost() => save_and_warn(why) }
//! lease.checkin().await?; // or just drop it
//! # Ok(()) }
//! ```
//!
//! # What it promises the program
//! * It never ends, blocks or panics it. Heartbeats run on a thread of their own, under any executor or none.
//! * A lost lease is news, not an end: [`Lease::lost`] waits for it, [`Lease::states`] tells every change, and the
//!   program decides. The lease comes back by itself when a server does.
//! * A denial is its own thing, [`Denied`]: a stable code, a sentence, who is due back, when to ask again.
//! * A dropped guard gives its seats back; a checkout whose future is dropped is withdrawn.
//! * Sleep, changed addresses and restarted servers are normal events. After a fork the child is told to open a client
//!   of its own.
//!
//! # What it reads and keeps
//! | name | meaning |
//! |---|---|
//! | `LEASEHOLD_SERVER` | servers to ask, with commas between them: `host`, `host:port`, `port@host`, `[v6]:port`, each with `#fingerprint` if pinned |
//! | `LEASEHOLD_LICENSE_PATH` | licence files, folders and servers, with `:` between them: [`ClientBuilder::search_path`] |
//! | `LEASEHOLD_PROJECT` | the project seats are used for, for reports |
//! | `$XDG_STATE_HOME/leasehold-client`, else `~/.local/state/leasehold-client` | `device.key` and `device.id` (who this device is), `known_servers` (keys seen first), `last_server`. Made 0700 and 0600; memory if it cannot be |
//!
//! # Whom it trusts
//! With [`ClientBuilder::publisher_key`], a server whose certificate is signed with that key and names the server's own.
//! Else the fingerprint written beside an address. Else the key a server had when it was first seen; a change is an
//! error that names the file to edit.
//!
//! # Two halves
//! [`holder`] decides everything and touches nothing: it is driven by whoever has datagrams and a clock, the simulated
//! network of our tests as well as the driver. The driver, behind the default feature `tokio`, owns sockets, clocks and
//! the state folder, and is what [`Client`] uses. [`blocking`] is the same for programs without an executor.
#![deny(missing_docs)]
#![cfg_attr(not(feature = "tokio"), allow(rustdoc::broken_intra_doc_links))]

mod address;
#[cfg(feature = "tokio")]
pub mod blocking;
#[cfg(feature = "tokio")]
mod builder;
#[cfg(feature = "tokio")]
mod bundle;
#[cfg(feature = "tokio")]
mod checkout;
#[cfg(feature = "tokio")]
mod client;
#[cfg(feature = "tokio")]
mod discover;
#[cfg(feature = "tokio")]
mod driver;
mod error;
#[cfg(feature = "tokio")]
mod first;
pub mod holder;
#[cfg(feature = "tokio")]
mod licences;
pub mod local;
#[cfg(all(test, feature = "tokio"))]
mod tests;

pub use address::{AddressError, ServerAddress};
#[cfg(feature = "tokio")]
pub use builder::ClientBuilder;
#[cfg(feature = "tokio")]
pub use bundle::{Bundle, BundleHeld, Item};
#[cfg(feature = "tokio")]
pub use checkout::{Checkout, Lease, LeaseEvent, LeaseEvents, LeaseLost, LetGo, LetGoes, Places};
#[cfg(feature = "tokio")]
pub use client::{Client, ServerInfo};
#[cfg(feature = "tokio")]
pub use discover::{DiscoverOptions, FoundServer, discover};
#[cfg(feature = "tokio")]
pub use driver::{Found, this_process};
pub use error::{CheckoutError, ConnectError, Denied, Misuse};
#[cfg(feature = "tokio")]
pub use first::first_of;
pub use holder::{LeaseState, LossCause, Misbehaved, Place, RejectReason};
/// The words of the protocol: features, versions, keys, messages.
pub use leasehold_protocol as protocol;
/// What a program tells of itself while it holds a seat.
pub use leasehold_protocol::message::Activity;
#[cfg(feature = "tokio")]
pub use licences::{FeatureInfo, Licence, LicencePath, LicenceSource};
