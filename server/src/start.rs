//! A server from settings to sockets.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use arc_swap::ArcSwap;
use leasehold_core::{Past, RealmConfig, ServerConfig, Shared};
use leasehold_protocol::{
    Entropy as _,
    crypto::SiteKey,
    time::{Mono, Now},
};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    Running,
    admin::{self, Admin, AdminState},
    alarms::Alerts,
    clock::{MarkKeys, SteadyClock, SystemEntropy},
    error::StartError,
    history::{History, Life},
    journal::{self, Anchor, Anchored, Beginning, Journal, Recovery, recover},
    ledger::{self, By, Deed, KeptPolicy, LEDGER, Ledger, Uses},
    licences::{Licences, Trust, read_site_key},
    loader::{self, Loader},
    net::{self, InterfaceView, Interfaces, Listener, NetCounters, Wiring, Workers},
    policy::PolicyFile,
    remembered::{self, Remembered},
    settings::{HttpListen, Settings},
    state::{Folder, REST_TOKEN_FILE, Secrets, Serving, StateError, lock, realm_keys},
    storage::{Disk, Storage},
};

/// Attempts at a free number that both UDP and TCP have, when port 0 was asked for.
const FREE_PORT_TRIES: usize = 16;

/// What is had before the first thing runs. Up to here a failure leaves nothing behind but the data folder.
struct Ready {
    folder: Folder,
    secrets: Secrets,
    storage: Arc<dyn Storage>,
    ledger: Ledger,
    realms: Vec<RealmConfig>,
    licences: Licences,
    policy: Option<PolicyFile>,
    file_warnings: Vec<String>,
    interfaces: Interfaces,
    listeners: Vec<Listener>,
    http: Option<TcpListener>,
}

/// Starts with what must not be lost in `storage`: the data folder, unless a test has another.
pub(crate) fn start(settings: Settings, storage: Option<Arc<dyn Storage>>) -> Result<Running, StartError> {
    let mut ready = ready(&settings, storage)?;
    let mark_keys = MarkKeys::of(&ready.secrets.ticket_keys);
    let (clock, clock_warnings) = SteadyClock::start(&mut ready.folder, mark_keys, settings.clock_tolerance);
    ready.file_warnings.extend(clock_warnings);
    // Read once the folder is ours alone: until then another server may have granted, and blindness counts from here.
    let (now, began) = (clock.now(), std::time::Instant::now());
    let found = ready.licences.read(&ready.folder)?;
    let before = Before::find(&ready, now, ready.licences.longest_ttl_ms(&found))?;
    // On disk before the first grant.
    let serving = Serving::begin(&mut ready.folder, before.ttl_ms, now, |left| before.blind_for(left))?;
    let port = ready.listeners[0].address.port();
    let config = core_config(&settings, ready.secrets.server_id, port, serving.blind_until());
    let config = ServerConfig { log_begins: before.log_begins(), ..config };
    let shared = Shared::new(config, std::mem::take(&mut ready.realms), &mut SystemEntropy);
    loader::tell_past(&shared, &before.used_up(ready.ledger.past()?));
    let mut policy_text = String::new();
    if let Some(file) = ready.policy.take() {
        tracing::info!(rules = file.policy.len(), "policy read");
        shared.set_policy(file.policy);
        policy_text = file.text;
    }
    tell_start(&ready.ledger, &policy_text, &shared);
    let mut report = ready.licences.apply(found, &shared, now);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.log();
    ready.file_warnings.extend(before.warning());
    let (journal, remembered) = before.go_on(ready.storage.clone(), &shared).map_err(StartError::Worker)?;
    let life = Life { began: now, before: remembered.word(), restored: remembered.restoration.restored };
    let history = History::begin(&mut ready.folder, &settings, &shared, life, &mut SystemEntropy);
    let state = admin_state(&ready, shared, report, (journal, remembered, history), clock, now);
    let Ready { folder, licences, file_warnings, interfaces, listeners, http, .. } = ready;
    let loader = Loader::new(&settings, folder, serving, licences, state.shared.clone(), file_warnings, policy_text);
    loader.refresh_warnings(&state, now);
    *lock(&state.loader) = Some(loader);
    let wiring = wiring(&settings, &state, interfaces, now);
    let (workers, admin) = match run(listeners, http, &state, &wiring) {
        Ok(running) => running,
        Err(e) => {
            // If nothing was granted, the next start need not be careful for our sake.
            if let Some(loader) = state.take_loader() {
                loader.end(state.shared.live_leases(), &state.clock)?;
            }
            return Err(e);
        }
    };
    let Wiring { interfaces, lease_ended, worker_failed, .. } = wiring;
    let (udp, token_path) = (state.udp.clone(), state.token_path.clone());
    Ok(Running { settings, udp, workers, admin, state, interfaces, lease_ended, worker_failed, token_path })
}

/// What the life before has left, from its finding to where this one goes on.
struct Before {
    server_id: u64,
    now: Now,
    ttl_ms: u64,
    recovery: Recovery,
    anchor: Anchor,
    anchored: Option<Anchored>,
    anchor_error: Option<std::io::Error>,
}

impl Before {
    fn find(ready: &Ready, now: Now, ttl_ms: u64) -> Result<Self, StartError> {
        let unreadable = |source| StateError::Read { path: ready.folder.join(journal::FILES[0]), source };
        let recovery = recover(&*ready.storage, journal::kernel_boot()).map_err(unreadable)?;
        let (anchor, anchored, anchor_error) = Anchor::open(Anchor::path_of(ready.folder.path()));
        let server_id = ready.secrets.server_id;
        let anchored = anchored.filter(|anchored| anchored.server_id == server_id);
        Ok(Self { server_id, now, ttl_ms, recovery, anchor, anchored, anchor_error })
    }

    fn blind_for(&self, left: Option<u64>) -> Option<u64> {
        remembered::blind_for(&self.recovery, self.anchored.as_ref(), left, self.now.mono)
    }

    /// Two above everything that was certain: see [`ServerConfig::log_begins`].
    fn log_begins(&self) -> u64 {
        self.anchored.map_or(0, |anchored| anchored.round).max(self.recovery.round) + 2
    }

    fn used_up(&self, past: Past) -> Past {
        remembered::without_held(past, &self.recovery.held)
    }

    fn warning(&self) -> Option<String> {
        let e = self.anchor_error.as_ref()?;
        Some(format!(
            "{} cannot be written: {e}; without it an old copy of the data folder is noticed later, and one that was removed is not: \
             let the server write there",
            self.anchor.path().display()
        ))
    }

    /// Opens the leases again, where licences and policy are in force, and the journal that goes on from there.
    fn go_on(self, storage: Arc<dyn Storage>, shared: &Arc<Shared>) -> std::io::Result<(Arc<Journal>, Remembered)> {
        let beginning = Beginning::after(&self.recovery, self.server_id, self.log_begins(), self.ttl_ms);
        let began = std::time::Instant::now();
        let anchored = (self.anchored.as_ref(), self.anchor.path().to_owned());
        let mut remembered = Remembered::restore(self.recovery, anchored, shared, self.ttl_ms, self.now);
        remembered.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        remembered.log(self.now);
        let journal = Journal::begin(storage, beginning, shared.clone(), Some(self.anchor))?;
        Ok((Arc::new(journal), remembered))
    }
}

/// Enters that the server starts, and keeps its policy as a version. A start that cannot be entered is one all the same: the ledger tells
/// why, and heals.
fn tell_start(ledger: &Ledger, policy: &str, shared: &Shared) {
    let rules = shared.policy().len();
    let after = json!({ "version": crate::VERSION, "pid": std::process::id(), "rules": rules });
    let by = By::server("");
    let deed = Deed { by: &by, action: "server.start", before: json!(null), after };
    if let Err(e) = ledger.record_policy(&deed, &KeptPolicy { text: policy, rules, what: "start" }) {
        tracing::warn!("the start is not in the audit: {e}");
    }
}

fn ready(settings: &Settings, storage: Option<Arc<dyn Storage>>) -> Result<Ready, StartError> {
    let mut folder = Folder::open(&settings.data_dir)?;
    let secrets = Secrets::of(&mut folder, &mut SystemEntropy)?;
    let storage = storage.unwrap_or_else(|| Arc::new(Disk::new(folder.path())));
    let ledger = Ledger::open(storage.clone(), secrets.server_id)?;
    ledger::migrate(&mut folder, &ledger)?;
    folder.check_mode(&folder.join(LEDGER), 0o600);
    let trust = Trust::read(&settings.publisher_keys, &folder.list("publishers", "pub")?)?;
    let site = settings.site_key.as_deref().map_or(Ok(SiteKey::OPEN), read_site_key)?;
    if let Some(path) = &settings.site_key {
        folder.check_mode(path, 0o600);
    }
    let realms = realms(&site, &trust, &mut folder, &secrets)?;
    let interfaces = Interfaces::read().map_err(StartError::Interfaces)?;
    let (listeners, http) = open_ports(settings, &interfaces)?;
    let policy = settings.policy.as_deref().map(PolicyFile::read).transpose().map_err(StartError::Policy)?;
    let doubts = policy.iter().flat_map(PolicyFile::warnings);
    let file_warnings = folder.warnings().iter().chain(&trust.warnings).cloned().chain(doubts).collect();
    let licences = Licences {
        named: settings.licences.clone(),
        keys: trust.keys,
        default_ttl: settings.lease_ttl,
        added: Vec::new(),
    };
    Ok(Ready { folder, secrets, storage, ledger, realms, licences, policy, file_warnings, interfaces, listeners, http })
}

fn admin_state(
    ready: &Ready,
    shared: Arc<Shared>,
    report: crate::licences::LicenceReport,
    (journal, remembered, history): (Arc<Journal>, Remembered, History),
    clock: SteadyClock,
    started: Now,
) -> Arc<AdminState> {
    Arc::new(AdminState {
        shared,
        alerts: Alerts::default(),
        reads_failed: AtomicU64::new(0),
        net: Arc::new(NetCounters::default()),
        licences: ArcSwap::from_pointee(report),
        ledger: ready.ledger.clone(),
        token: ready.secrets.rest_token.clone(),
        token_path: ready.folder.join(REST_TOKEN_FILE),
        server_id: ready.secrets.server_id,
        started,
        clock: Arc::new(clock),
        journal,
        history: Arc::new(history),
        remembered,
        udp: ready.listeners.iter().map(|listener| listener.address).collect(),
        warnings: ArcSwap::default(),
        draining: false.into(),
        loader: Mutex::new(None),
    })
}

fn wiring(settings: &Settings, state: &AdminState, interfaces: Interfaces, now: Now) -> Wiring {
    Wiring {
        shared: state.shared.clone(),
        interfaces: Arc::new(InterfaceView::new(interfaces, now.mono, state.net.clone())),
        counters: state.net.clone(),
        clock: state.clock.clone(),
        journal: state.journal.clone(),
        uses: Arc::new(Uses(state.ledger.clone())),
        history: state.history.clone(),
        discovery: settings.discovery,
        busy_poll: settings.busy_poll,
        lease_ended: Arc::new(Notify::new()),
        worker_failed: Arc::new(Notify::new()),
    }
}

/// REST first: workers grant as soon as they run, and what fails after that would have to be taken back.
fn run(
    listeners: Vec<Listener>,
    http: Option<TcpListener>,
    state: &Arc<AdminState>,
    wiring: &Wiring,
) -> Result<(Workers, Option<Admin>), StartError> {
    let admin = http.map(|listener| Admin::start(listener, state.clone())).transpose()?;
    let workers = Workers::start(listeners, wiring).map_err(StartError::Worker)?;
    Ok((workers, admin))
}

/// A realm for each publisher that is trusted.
fn realms(
    site: &SiteKey,
    trust: &Trust,
    folder: &mut Folder,
    secrets: &Secrets,
) -> Result<Vec<RealmConfig>, StartError> {
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
