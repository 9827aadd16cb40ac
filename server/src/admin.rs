//! REST on loopback: what a server is doing, for `leasehold status`, monitors and scripts (D-3, D-7).
//!
//! Everything but `/healthz` wants the bearer token of the data folder. It reads snapshots and changes nothing, so it
//! never stops a checkout.
//!
//! | route | says |
//! |---|---|
//! | `/healthz` | the process is alive |
//! | `/readyz` | it grants seats, or why not |
//! | `/metrics` | counters and gauges as OpenMetrics text |
//! | `/api/v1/status` | the server, its realms, its warnings |
//! | `/api/v1/features` | seats of every feature |
//! | `/api/v1/leases` | who holds what; `?feature=`, `?limit=`, `?offset=` |
//! | `/api/v1/licences` | what became of each licence file |
//!
//! | module | owns |
//! |---|---|
//! | `listen` | the socket, connections and their limits |
//! | `auth` | the token, and what is said without it |
//! | `routes` | the handlers |
//! | `views` | the JSON, whose field names are kept |
//! | `metrics` | counters of the core and the sockets as OpenMetrics |

mod auth;
mod listen;
mod metrics;
mod routes;
mod views;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use leasehold_core::Shared;
use leasehold_protocol::time::{Mono, Now};

pub use listen::{Admin, bind};
pub use views::{FeatureView, FeaturesView, LeaseView, LeasesView, RealmView, StatusView};

use crate::{licences::LicenceReport, net::NetCounters, state::RestToken};

/// What the handlers look at.
pub struct AdminState {
    /// The core's shared half.
    pub shared: Arc<Shared>,
    /// What the sockets did.
    pub net: Arc<NetCounters>,
    /// What became of the licence files, as last read.
    pub licences: ArcSwap<LicenceReport>,
    /// What the bearer must be.
    pub token: RestToken,
    /// Where the token is, for the answer to those who have none.
    pub token_path: PathBuf,
    /// This installation.
    pub server_id: u64,
    /// When it started.
    pub started: Now,
    /// Until when only tickets get seats.
    pub blind_until: Option<Mono>,
    /// Where clients are listened to.
    pub udp: Vec<SocketAddr>,
    /// What is not as it should be, each with its remedy.
    pub warnings: ArcSwap<Vec<String>>,
    /// Whether it is on its way out.
    pub draining: AtomicBool,
}

impl AdminState {
    /// Whether it is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
