//! A server from settings to sockets, and back.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use arc_swap::ArcSwap;
use leasehold_core::{RealmConfig, ServerConfig, Shared};
use leasehold_protocol::{
    Entropy as _,
    crypto::SiteKey,
    time::{Mono, Now},
};
use tokio::{sync::Notify, time::Instant};

use crate::{
    admin::{self, Admin, AdminState},
    banner,
    clock::{SystemEntropy, clock_now},
    error::StartError,
    licences::{LicenceReport, Licences, Trust, read_site_key},
    net::{self, InterfaceView, Interfaces, Listener, NetCounters, Wiring, Workers},
    settings::{HttpListen, Settings},
    state::{Folder, REST_TOKEN_FILE, Secrets, Serving, StateError, realm_keys},
};

/// A server that is serving. Dropping it ends it at once, as a crash would: end it by [`Running::drain_and_stop`].
pub struct Running {
    settings: Settings,
    folder: Folder,
    serving: Serving,
    licences: Licences,
    udp: Vec<SocketAddr>,
    workers: Workers,
    admin: Option<Admin>,
    state: Arc<AdminState>,
    interfaces: Arc<InterfaceView>,
    lease_ended: Arc<Notify>,
    worker_failed: Arc<Notify>,
    token_path: PathBuf,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Leases that were out when it ended. With none, the next start is an ordinary one; with any, it grants to holders
    /// of tickets alone for one TTL.
    pub leases_out: u64,
    /// How long it waited for them.
    pub waited: Duration,
}

/// A reload that changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// A file is not as it should be: `file:line:column: why`, one a line.
    #[error("the licences in force are kept, because of:\n{}", .0.join("\n"))]
    Faults(Vec<String>),
    /// The data folder.
    #[error("the licences in force are kept: {0}")]
    State(#[from] StateError),
}

/// Attempts at a free number that both UDP and TCP have, when port 0 was asked for.
const FREE_PORT_TRIES: usize = 16;

impl Running {
    /// Starts a server and returns when clients can be served.
    ///
    /// # Errors
    /// Each with its remedy. Nothing is left running.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let now = clock_now();
        let mut folder = Folder::open(&settings.data_dir)?;
        let secrets = Secrets::of(&mut folder, &mut SystemEntropy)?;
        let trust = Trust::read(&settings.publisher_keys, &folder.list("publishers", "pub")?)?;
        let realms = realms(&settings, &trust, &mut folder, &secrets)?;
        let interfaces = Interfaces::read().map_err(StartError::Interfaces)?;
        let (listeners, http) = open_ports(&settings, &interfaces)?;
        let udp: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();

        let licences = Licences {
            named: settings.licences.clone(),
            folder: folder.join("licences"),
            keys: trust.keys,
            default_ttl: settings.lease_ttl,
        };
        let found = licences.read();
        // On disk before the first grant, which the workers below may make.
        let serving = Serving::begin(&mut folder, licences.longest_ttl_ms(&found), now)?;
        let config = core_config(&settings, secrets.server_id, udp[0].port(), serving.blind_until());
        let shared = Shared::new(config, realms, &mut SystemEntropy);
        let report = licences.apply(found, &shared, now);
        report.log();

        let counters = Arc::new(NetCounters::default());
        let interfaces = Arc::new(InterfaceView::new(interfaces, now.mono, counters.clone()));
        let token_path = folder.join(REST_TOKEN_FILE);
        let warnings = folder.warnings().iter().cloned().chain(trust.warnings).collect();
        let state = Arc::new(AdminState {
            shared: shared.clone(),
            net: counters.clone(),
            licences: ArcSwap::from_pointee(report),
            token: secrets.rest_token,
            token_path: token_path.clone(),
            server_id: secrets.server_id,
            started: now,
            blind_until: serving.blind_until(),
            udp: udp.clone(),
            warnings: ArcSwap::from_pointee(warnings),
            draining: false.into(),
        });
        let admin = http.map(|listener| Admin::start(listener, state.clone())).transpose()?;
        let wiring = Wiring {
            shared,
            interfaces: interfaces.clone(),
            counters,
            discovery: settings.discovery,
            lease_ended: Arc::new(Notify::new()),
            worker_failed: Arc::new(Notify::new()),
        };
        let workers = Workers::start(listeners, &wiring).map_err(StartError::Worker)?;
        let Wiring { lease_ended, worker_failed, .. } = wiring;
        let running = Self {
            settings,
            folder,
            serving,
            licences,
            udp,
            workers,
            admin,
            state,
            interfaces,
            lease_ended,
            worker_failed,
            token_path,
        };
        running.refresh_warnings(clock_now());
        Ok(running)
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
        self.state.licences.load_full()
    }

    /// What is not as it should be, each with its remedy.
    #[must_use]
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.state.warnings.load_full()
    }

    /// Until when only holders of tickets are granted seats, if the server before this one did not end cleanly.
    #[must_use]
    pub const fn blind_until(&self) -> Option<Mono> {
        self.serving.blind_until()
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
            now: clock_now(),
        })
    }

    /// The file with REST's token.
    #[must_use]
    pub fn rest_token_path(&self) -> &Path {
        &self.token_path
    }

    /// Reads the licences anew and puts them in force.
    ///
    /// # Errors
    /// If one file or certificate is not as it should be: nothing is changed then.
    pub fn reload(&mut self) -> Result<Arc<LicenceReport>, ReloadError> {
        let found = self.licences.read();
        let faults = found.faults();
        if !faults.is_empty() {
            return Err(ReloadError::Faults(faults));
        }
        self.serving.allow(&self.folder, self.licences.longest_ttl_ms(&found))?;
        let now = clock_now();
        let report = Arc::new(self.licences.apply(found, self.shared(), now));
        report.log();
        self.state.licences.store(report.clone());
        self.refresh_warnings(now);
        Ok(report)
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

    /// Returns when a worker has ended by a fault of its own, which it should never do.
    pub async fn worker_failed(&self) {
        self.worker_failed.notified().await;
    }

    /// Ends the workers and REST, and leaves the marker for the next start. How many leases were out.
    pub(crate) async fn finish(self) -> u64 {
        // No request may come in between the count and the marker.
        self.state.shared.begin_drain();
        self.workers.stop().await;
        if let Some(admin) = self.admin {
            admin.stop().await;
        }
        let leases_out = self.state.shared.live_leases();
        if let Err(e) = self.serving.end(&self.folder, leases_out, clock_now()) {
            tracing::warn!("{e}; the next start will be careful for one TTL");
        }
        leases_out
    }

    fn refresh_warnings(&self, now: Now) {
        let mut warnings = self.folder.warnings().to_vec();
        let trust: Vec<String> =
            self.state.warnings.load().iter().filter(|w| w.ends_with("it is not used")).cloned().collect();
        warnings.extend(trust);
        warnings.extend(banner::warnings(self.shared(), &self.licence_report(), self.serving.blind_until(), now));
        self.state.warnings.store(Arc::new(warnings));
    }
}

/// A realm for each publisher that is trusted.
fn realms(
    settings: &Settings,
    trust: &Trust,
    folder: &mut Folder,
    secrets: &Secrets,
) -> Result<Vec<RealmConfig>, StartError> {
    let site = settings.site_key.as_deref().map_or(Ok(SiteKey::OPEN), read_site_key)?;
    let realm = |publisher| {
        let keys = realm_keys(folder, &publisher, &mut SystemEntropy)?;
        Ok(RealmConfig { publisher, keys, site: site.clone(), ticket_keys: secrets.ticket_keys.clone() })
    };
    trust.publishers().into_iter().map(realm).collect()
}

fn core_config(settings: &Settings, server_id: u64, port: u16, blind_until: Option<Mono>) -> ServerConfig {
    let limits = &settings.limits;
    ServerConfig {
        server_id,
        cluster_id: server_id,
        boot_id: SystemEntropy.next_u64(),
        port,
        leases_max: limits.leases,
        sessions_max: limits.sessions,
        handshakes_per_second: limits.handshakes_per_second,
        handshakes_per_prefix: limits.handshakes_per_second.div_ceil(2),
        discovers_per_second: limits.discovers_per_second,
        discovers_per_prefix: limits.discovers_per_second.div_ceil(4),
        discover_unicast_off_link: settings.discovery_off_link,
        lease_ttl_default_ms: u64::try_from(settings.lease_ttl.as_millis()).unwrap_or(u64::MAX),
        blind_until,
        ..ServerConfig::default()
    }
}

/// The clients' sockets and REST's, at one number unless a setting says otherwise.
fn open_ports(
    settings: &Settings,
    interfaces: &Interfaces,
) -> Result<(Vec<Listener>, Option<TcpListener>), StartError> {
    let addresses = net::resolve_listen(&settings.listen, interfaces)?;
    for _ in 1..FREE_PORT_TRIES {
        match open_once(settings, &addresses) {
            Err(StartError::HttpInUse { .. }) if settings.port == 0 => {}
            outcome => return outcome,
        }
    }
    open_once(settings, &addresses)
}

fn open_once(settings: &Settings, addresses: &[IpAddr]) -> Result<(Vec<Listener>, Option<TcpListener>), StartError> {
    let listeners = net::bind(addresses, settings.port, settings.worker_count())?;
    let port = listeners.first().ok_or(StartError::NothingToListenOn)?.address.port();
    let http = match settings.http {
        HttpListen::Off => None,
        HttpListen::On(ip, own) => Some(admin::bind(SocketAddr::new(ip, own.unwrap_or(port)))?),
    };
    Ok((listeners, http))
}
