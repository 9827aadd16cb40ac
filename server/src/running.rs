//! A server that is serving: what can be asked of it, and how it ends.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use leasehold_core::Shared;
use leasehold_protocol::time::Mono;
use tokio::{sync::Notify, time::Instant};

use crate::{
    admin::{Admin, AdminState},
    alarms::Alerts,
    banner,
    clock::{SteadyClock, clock_now},
    error::StartError,
    history::History,
    journal::Journal,
    ledger::{By, Deed, Ledger},
    licences::LicenceReport,
    loader::ReloadError,
    net::{InterfaceView, Workers},
    remembered::Remembered,
    settings::Settings,
    start,
};

/// A server that is serving. Dropping it ends it at once, as a crash would: end it by [`Running::drain_and_stop`].
pub struct Running {
    pub(crate) settings: Settings,
    pub(crate) udp: Vec<SocketAddr>,
    pub(crate) workers: Workers,
    pub(crate) admin: Option<Admin>,
    pub(crate) state: Arc<AdminState>,
    pub(crate) interfaces: Arc<InterfaceView>,
    pub(crate) lease_ended: Arc<Notify>,
    pub(crate) worker_failed: Arc<Notify>,
    pub(crate) token_path: PathBuf,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Leases that were out when it ended: the next start has them again.
    pub leases_out: u64,
    /// How long it waited for them.
    pub waited: Duration,
}

impl Running {
    /// Starts a server and returns when clients can be served.
    ///
    /// # Errors
    /// Each with its remedy. Nothing is left running.
    #[expect(clippy::unused_async, reason = "starting will wait for disks; callers should not have to change then")]
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        start::start(settings, None)
    }

    /// Where clients are served: the first address listened on, with the port really bound.
    #[must_use]
    pub fn udp_address(&self) -> SocketAddr {
        self.udp[0]
    }

    /// All addresses listened on.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where REST listens, if it does.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// What all workers share: snapshots for tests and tools.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.state.shared
    }

    /// The settings it was started with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What became of the licence files at the last reading.
    #[must_use]
    pub fn licence_report(&self) -> Arc<LicenceReport> {
        self.state.licences_now(self.state.clock.now())
    }

    /// What is not as it should be, each with its remedy.
    #[must_use]
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.state.warnings.load_full()
    }

    /// Until when only holders of tickets are granted seats, if it is not known what was granted before.
    #[must_use]
    pub fn blind_until(&self) -> Option<Mono> {
        self.shared().blind_until(clock_now().mono)
    }

    /// What was found of the life before.
    #[must_use]
    pub fn remembered(&self) -> &Remembered {
        &self.state.remembered
    }

    /// Where leases are written down.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.state.journal
    }

    /// Where usage is noted.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.state.history
    }

    /// What a person who starts the server wants to know, ending with the next command to type.
    #[must_use]
    pub fn banner(&self) -> String {
        banner::text(&banner::Facts {
            settings: &self.settings,
            udp: &self.udp,
            http: self.http_address(),
            token_path: &self.token_path,
            shared: self.shared(),
            licences: &self.licence_report(),
            interfaces: &self.interfaces.get(),
            warnings: &self.warnings(),
            now: self.state.clock.now(),
        })
    }

    /// The file with REST's token.
    #[must_use]
    pub fn rest_token_path(&self) -> &Path {
        &self.token_path
    }

    /// Reads the publishers' keys and the licences anew and puts them in force: see `Loader::reload`.
    ///
    /// # Errors
    /// If one file or certificate is not as it should be: nothing is changed then.
    pub fn reload(&self) -> Result<Arc<LicenceReport>, ReloadError> {
        self.reload_by(&By::server(""))
    }

    /// The same, for somebody.
    pub(crate) fn reload_by(&self, by: &By) -> Result<Arc<LicenceReport>, ReloadError> {
        self.state.loader().reload(by, &self.state)
    }

    /// What must be durable before it is acknowledged: for tests and tools.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.state.ledger
    }

    /// What time it is: licence dates are held against it.
    #[must_use]
    pub fn clock(&self) -> &SteadyClock {
        &self.state.clock
    }

    /// Writes down how late it is.
    pub(crate) fn keep_time(&self) {
        self.state.loader().keep_time(self.clock());
    }

    /// Where alerts are counted.
    pub(crate) fn alerts(&self) -> &Alerts {
        &self.state.alerts
    }

    /// What is not as it should be, anew.
    pub(crate) fn refresh_warnings(&self, now: leasehold_protocol::time::Now) {
        self.state.loader().refresh_warnings(&self.state, now);
    }

    /// The folders whose files are licences or keys.
    pub(crate) fn watched(&self) -> Vec<PathBuf> {
        self.state.loader().watched()
    }

    /// From here on new requests are denied; renewals and releases go on, and clients are told.
    pub fn begin_drain(&self) {
        self.state.draining.store(true, Relaxed);
        self.shared().begin_drain();
        self.workers.orders().goodbye();
    }

    /// Waits until no lease is out, at most for `wait`.
    pub async fn drained(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        loop {
            let ended = self.lease_ended.notified();
            tokio::pin!(ended);
            // Listening before looking: a lease that ends in between is not missed.
            ended.as_mut().enable();
            if self.shared().live_leases() == 0 || tokio::time::timeout_at(deadline, ended).await.is_err() {
                return;
            }
        }
    }

    /// Drains for at most `wait`, then ends.
    pub async fn drain_and_stop(self, wait: Duration) -> StopReport {
        let began = Instant::now();
        self.begin_drain();
        self.drained(wait).await;
        let waited = began.elapsed();
        StopReport { leases_out: self.finish().await, waited }
    }

    /// Ends without waiting for anybody.
    pub async fn stop_now(self) {
        self.finish().await;
    }

    /// Ends as a server does that is killed: nothing is said, and nothing more is written.
    #[cfg(test)]
    pub(crate) async fn vanish(self) {
        self.workers.stop().await;
        if let Some(admin) = self.admin {
            admin.stop().await;
        }
        drop(self.state.take_loader());
    }

    /// Returns when a worker has ended by a fault of its own, which it should never do.
    pub async fn worker_failed(&self) {
        self.worker_failed.notified().await;
    }

    /// Ends the workers and REST, and leaves the marker for the next start. How many leases were out.
    pub(crate) async fn finish(self) -> u64 {
        // Nothing may be granted between the count and the end.
        self.state.shared.begin_drain();
        self.workers.stop().await;
        if let Some(admin) = self.admin {
            admin.stop().await;
        }
        self.state.history.end();
        let leases_out = self.state.shared.live_leases();
        if let Err(e) = self.state.journal.close(leases_out, self.state.clock.now()) {
            tracing::warn!("the journal cannot be closed: {e}; the next start finds a server that was killed");
        }
        if let Some(loader) = self.state.take_loader()
            && let Err(e) = loader.end(leases_out, &self.state.clock)
        {
            tracing::warn!("{e}; the next start will be careful for one TTL");
        }
        let after = serde_json::json!({ "leases_out": leases_out });
        let by = By::server("");
        let deed = Deed { by: &by, action: "server.stop", before: serde_json::Value::Null, after };
        if let Err(e) = self.state.ledger.record(&deed) {
            tracing::warn!("the end is not in the audit: {e}");
        }
        self.state.ledger.close();
        leases_out
    }
}
