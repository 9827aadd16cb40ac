//! A server from settings to sockets.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use arc_swap::ArcSwap;
use leasehold_core::{RealmConfig, ServerConfig, Shared};
use leasehold_protocol::{
    Entropy as _,
    crypto::SiteKey,
    time::{Mono, Now},
};
use tokio::sync::Notify;

use crate::{
    Running,
    admin::{self, Admin, AdminState},
    alarms::Alerts,
    clock::{SystemEntropy, clock_now},
    error::StartError,
    history::{History, Life},
    journal::{self, Anchor, Beginning, Journal, recover},
    licences::{Licences, Trust, read_site_key},
    loader::{self, Loader},
    net::{self, InterfaceView, Interfaces, Listener, NetCounters, Wiring, Workers},
    policy::PolicyFile,
    remembered::{self, Remembered},
    settings::{HttpListen, Settings},
    state::{Folder, REST_TOKEN_FILE, Secrets, Serving, StateError, Uses, realm_keys},
    storage::{Disk, Storage},
};

/// Attempts at a free number that both UDP and TCP have, when port 0 was asked for.
const FREE_PORT_TRIES: usize = 16;

/// What is had before the first thing runs. Up to here a failure leaves nothing behind but the data folder.
struct Ready {
    folder: Folder,
    secrets: Secrets,
    realms: Vec<RealmConfig>,
    licences: Licences,
    policy: Option<PolicyFile>,
    file_warnings: Vec<String>,
    interfaces: Interfaces,
    listeners: Vec<Listener>,
    http: Option<TcpListener>,
}

pub(crate) fn start(settings: Settings) -> Result<Running, StartError> {
    let mut ready = ready(&settings)?;
    // Read once the folder is ours alone: until then another server may have granted, and blindness counts from here.
    let (now, began) = (clock_now(), std::time::Instant::now());
    let found = ready.licences.read(&ready.folder)?;
    let storage: Arc<dyn Storage> = Arc::new(Disk::new(ready.folder.path()));
    let recovery = recover(&*storage, journal::kernel_boot()).map_err(|e| unreadable(&ready.folder, e))?;
    let (anchor, anchored, anchor_error) = Anchor::open(Anchor::path_of(ready.folder.path()));
    let anchored = anchored.filter(|anchored| anchored.server_id == ready.secrets.server_id);
    let longest_ttl_ms = ready.licences.longest_ttl_ms(&found);
    // On disk before the first grant.
    let blind_for = |left| remembered::blind_for(&recovery, anchored.as_ref(), left);
    let serving = Serving::begin(&mut ready.folder, longest_ttl_ms, now, blind_for)?;
    let port = ready.listeners[0].address.port();
    let log_begins = anchored.map_or(0, |anchored| anchored.round).max(recovery.round) + 2;
    let config =
        ServerConfig { log_begins, ..core_config(&settings, ready.secrets.server_id, port, serving.blind_until()) };
    let shared = Shared::new(config, std::mem::take(&mut ready.realms), &mut SystemEntropy);
    let (uses, past) = Uses::open(&mut ready.folder)?;
    loader::tell_past(&shared, &remembered::without_held(past, &recovery.held));
    let mut policy_text = String::new();
    if let Some(file) = ready.policy.take() {
        tracing::info!(rules = file.policy.len(), "policy read");
        shared.set_policy(file.policy);
        policy_text = file.text;
    }
    let mut report = ready.licences.apply(found, &shared, now);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.log();
    let beginning = Beginning::after(&recovery, ready.secrets.server_id, log_begins, longest_ttl_ms);
    let began = std::time::Instant::now();
    let anchor_path = anchor.path().to_owned();
    let mut remembered = Remembered::restore(recovery, (anchored.as_ref(), anchor_path), &shared, longest_ttl_ms, now);
    remembered.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    remembered.log(now);
    let journal = Journal::begin(storage, beginning, shared.clone(), Some(anchor)).map_err(StartError::Worker)?;
    let journal = Arc::new(journal);
    ready.file_warnings.extend(anchor_error.map(|e| no_anchor(ready.folder.path(), &e)));
    let life = Life { began: now, before: remembered.word(), restored: remembered.restoration.restored };
    let history = History::begin(&mut ready.folder, &settings, &shared, life, &mut SystemEntropy);
    let state = admin_state(&ready, shared, report, (journal, remembered, history), now);
    let Ready { folder, licences, file_warnings, interfaces, listeners, http, .. } = ready;
    let loader = Loader::new(&settings, folder, serving, licences, state.shared.clone(), file_warnings, policy_text);
    loader.refresh_warnings(&state, now);
    *state.loader.lock().unwrap_or_else(PoisonError::into_inner) = Some(loader);
    let wiring = wiring(&settings, &state, interfaces, uses, now);
    let (workers, admin) = match run(listeners, http, &state, &wiring) {
        Ok(running) => running,
        Err(e) => {
            // If nothing was granted, the next start need not be careful for our sake.
            if let Some(loader) = state.take_loader() {
                loader.end(state.shared.live_leases(), clock_now())?;
            }
            return Err(e);
        }
    };
    let Wiring { interfaces, lease_ended, worker_failed, .. } = wiring;
    let (udp, token_path) = (state.udp.clone(), state.token_path.clone());
    Ok(Running { settings, udp, workers, admin, state, interfaces, lease_ended, worker_failed, token_path })
}

fn ready(settings: &Settings) -> Result<Ready, StartError> {
    let mut folder = Folder::open(&settings.data_dir)?;
    let secrets = Secrets::of(&mut folder, &mut SystemEntropy)?;
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
    Ok(Ready { folder, secrets, realms, licences, policy, file_warnings, interfaces, listeners, http })
}

fn admin_state(
    ready: &Ready,
    shared: Arc<Shared>,
    report: crate::licences::LicenceReport,
    (journal, remembered, history): (Arc<Journal>, Remembered, History),
    started: Now,
) -> Arc<AdminState> {
    Arc::new(AdminState {
        shared,
        alerts: Alerts::default(),
        reads_failed: AtomicU64::new(0),
        net: Arc::new(NetCounters::default()),
        licences: ArcSwap::from_pointee(report),
        token: ready.secrets.rest_token.clone(),
        token_path: ready.folder.join(REST_TOKEN_FILE),
        server_id: ready.secrets.server_id,
        started,
        journal,
        history: Arc::new(history),
        remembered,
        udp: ready.listeners.iter().map(|listener| listener.address).collect(),
        warnings: ArcSwap::default(),
        draining: false.into(),
        loader: Mutex::new(None),
    })
}

fn wiring(settings: &Settings, state: &AdminState, interfaces: Interfaces, uses: Uses, now: Now) -> Wiring {
    Wiring {
        shared: state.shared.clone(),
        interfaces: Arc::new(InterfaceView::new(interfaces, now.mono, state.net.clone())),
        counters: state.net.clone(),
        journal: state.journal.clone(),
        uses: Arc::new(uses),
        history: state.history.clone(),
        discovery: settings.discovery,
        busy_poll: settings.busy_poll,
        lease_ended: Arc::new(Notify::new()),
        worker_failed: Arc::new(Notify::new()),
    }
}

fn unreadable(folder: &Folder, source: std::io::Error) -> StateError {
    StateError::Read { path: folder.join(journal::FILES[0]), source }
}

fn no_anchor(folder: &std::path::Path, e: &std::io::Error) -> String {
    let anchor = Anchor::path_of(folder);
    format!(
        "{} cannot be written: {e}; without it an old copy of the data folder is noticed later, and one that was removed is not: let \
         the server write there",
        anchor.display()
    )
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
