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
//! | `/api/v1/backup` | the data folder in one file |
//! | `/api/v1/clock` | the machine's clock, and what licence dates are held against; `POST` to `/confirm`: it is right. `?by=` |
//! | `/api/v1/store` | what is written down, and what was found of the life before; `POST` to `/acknowledge`: an old copy is known |
//! | `/api/v1/licences` | what became of each licence file; `POST` the text of one to add it: `?persist=`, `?dry_run=` |
//! | `/api/v1/licences/reload` | `POST`: reads all files anew |
//! | `/api/v1/licences/ID` | `DELETE`: takes out a certificate that was added |
//! | `/api/v1/policy` | the policy in force; `POST` the text of one: `?dry_run=` |
//! | `/api/v1/policy/rollback` | `POST`: goes back to the one before, or to a version: `?to=` |
//! | `/api/v1/policy/rehearse` | `POST` the text of a draft: what the requests of the last days would be answered under it: `?days=` |
//! | `/api/v1/policy/history` | every version that was in force |
//! | `/api/v1/audit` | who changed what, page by page; `?after=`, `?limit=` |
//! | `/api/v1/audit/verify` | whether its chain holds, or where it breaks |
//! | `/api/v1/why` | why somebody got seats or did not: `?event=`, `?lease=`; or what would be answered now: `?feature=`, `?user=` and more |
//!
//! | module | owns |
//! |---|---|
//! | `listen` | the socket, connections and their limits |
//! | `auth` | the token, and what is said without it |
//! | `routes` | the handlers of what is only read |
//! | `changes`, `policy` | the handlers of what changes something |
//! | `store`, `backup` | what is written down, and all of it |
//! | `audit` | the handlers of who changed what |
//! | `clock` | the machine's clock, and what dates are held against |
//! | `views` | the JSON, whose field names are kept |
//! | `rehearse` | a draft of a policy, asked what was asked of late |
//! | `why` | why somebody got seats or did not |
//! | `metrics` | counters of the core and the sockets as OpenMetrics |

mod audit;
mod auth;
mod backup;
mod changes;
mod clock;
mod listen;
mod metrics;
mod policy;
#[cfg(feature = "history")]
mod rehearse;
mod routes;
mod store;
mod views;
mod why;

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use leasehold_core::Shared;
use leasehold_protocol::time::Now;

pub use clock::{ClockView, ConfirmedView};
pub use listen::{Admin, bind};
pub use store::{BeforeView, FindingView, JournalView, StoreView};
pub use views::{FeatureView, FeaturesView, LeaseView, LeasesView, RealmView, StatusView};

use crate::{
    alarms::Alerts, clock::SteadyClock, history::History, journal::Journal, ledger::Ledger, licences::LicenceReport,
    loader::Loader, net::NetCounters, remembered::Remembered, state::RestToken,
};

/// What the handlers look at.
pub struct AdminState {
    /// The core's shared half.
    pub shared: Arc<Shared>,
    /// What the sockets did.
    pub net: Arc<NetCounters>,
    /// What became of the licence files, as last read.
    pub licences: ArcSwap<LicenceReport>,
    /// What must be durable before it is acknowledged.
    pub ledger: Ledger,
    /// What the bearer must be.
    pub token: RestToken,
    /// Where the token is, for the answer to those who have none.
    pub token_path: PathBuf,
    /// This installation.
    pub server_id: u64,
    /// When it started.
    pub started: Now,
    /// What time it is.
    pub clock: Arc<SteadyClock>,
    /// Where leases are written down.
    pub journal: Arc<Journal>,
    /// Where usage is noted.
    pub history: Arc<History>,
    /// What was found of the life before.
    pub remembered: Remembered,
    /// Where clients are listened to.
    pub udp: Vec<SocketAddr>,
    /// What is not as it should be, each with its remedy.
    pub warnings: ArcSwap<Vec<String>>,
    /// Whether it is on its way out.
    pub draining: AtomicBool,
    /// How often a limit was passed, for the metrics.
    pub alerts: Alerts,
    /// Readings of the licence files that failed, so that the licences in force were kept.
    pub reads_failed: AtomicU64,
    /// Who loads licences; gone once the server ends.
    pub loader: Mutex<Option<Loader>>,
}

/// Who loads licences, for as long as the others have to wait.
pub struct LoaderGuard<'a>(MutexGuard<'a, Option<Loader>>);

impl Deref for LoaderGuard<'_> {
    type Target = Loader;

    fn deref(&self) -> &Loader {
        self.0.as_ref().expect("there until the server ends, which takes it from nobody")
    }
}

impl DerefMut for LoaderGuard<'_> {
    fn deref_mut(&mut self) -> &mut Loader {
        self.0.as_mut().expect("there until the server ends, which takes it from nobody")
    }
}

impl AdminState {
    /// Who loads licences, once nobody else does anything with them. Blocks: a load of many licences takes a second.
    ///
    /// # Panics
    /// If the server has ended.
    pub fn loader(&self) -> LoaderGuard<'_> {
        LoaderGuard(self.loader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has become of every certificate by `now`. While licences are being loaded, as it was before.
    pub fn licences_now(&self, now: Now) -> Arc<LicenceReport> {
        if let Ok(loader) = self.loader.try_lock()
            && let Some(loader) = loader.as_ref()
        {
            loader.refresh_report(self, now);
        }
        self.licences.load_full()
    }

    /// The same for good.
    pub(crate) fn take_loader(&self) -> Option<Loader> {
        self.loader.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether it is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
