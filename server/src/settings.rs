//! What a server is told: every setting, typed, whatever layer it came from.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use leasehold_protocol::DEFAULT_PORT;

use crate::config::Surroundings;

/// Everything a server is told at its start. [`crate::config::resolve`] fills it from the five layers; a test fills it
/// by hand.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients are listened to. Default: every address of both families.
    pub listen: Vec<ListenOn>,
    /// UDP port for clients, and TCP port of REST unless `http` names another. Default [`DEFAULT_PORT`]; 0 picks a free
    /// one.
    pub port: u16,
    /// Where REST listens. Default: 127.0.0.1 on `port`.
    pub http: HttpListen,
    /// Keys, token and markers live here. Default: `/var/lib/leasehold` as root, `$XDG_STATE_HOME/leasehold` otherwise.
    pub data_dir: PathBuf,
    /// Licence files beside `licences/*.lic` in the data folder.
    pub licences: Vec<PathBuf>,
    /// Publisher keys to trust beside `publishers/*.pub` in the data folder.
    pub publisher_keys: Vec<PathBuf>,
    /// The policy file: who may take seats. Default: none, so that everybody may.
    pub policy: Option<PathBuf>,
    /// The file with the site key: 64 hexadecimal digits. `None`: an open site.
    pub site_key: Option<PathBuf>,
    /// Workers, each with a socket and a thread of its own; 0 is one per core. Default 0, at most [`WORKERS_MAX`].
    pub workers: usize,
    /// How long a worker goes on looking for datagrams before it sleeps, up to [`BUSY_POLL_MAX`]. Default 0: a wake-up costs a
    /// request some microseconds, looking costs a whole core.
    pub busy_poll: Duration,
    /// TTL of leases whose certificate names none, 2 s to 24 h. Default 300 s: two of three renewals may be lost.
    pub lease_ttl: Duration,
    /// Bounds on memory and work.
    pub limits: Limits,
    /// Whether DISCOVER by broadcast and multicast is answered. Default yes.
    pub discovery: bool,
    /// Whether a unicast DISCOVER from beyond our own networks is answered. Default yes: it is never answered with more
    /// bytes than it brought.
    pub discovery_off_link: bool,
    /// Whether licence files, keys and the policy are read anew when they change. Default yes.
    pub watch: bool,
    /// Whether the usage history is written. Default yes, in a program that has it.
    pub history: bool,
    /// How long a line of the usage history is kept, in whole days; zero: for ever. Default 400 days: a year, and a month to compare
    /// with the same one of the year before.
    pub history_keep: Duration,
    /// What is logged and how.
    pub log: LogSettings,
    /// How far the machine's clock may be behind the time that licence dates are held against without suspicion, up to 31 days. Default
    /// 26 h: a day, and an hour to both sides for a wrong zone or summer time.
    pub clock_tolerance: Duration,
    /// How long a shutdown waits for leases to come back. Default 10 s: shorter than what service managers allow.
    pub drain: Duration,
    /// One line for the banner: where the settings came from.
    pub origins: String,
}

/// The most workers: more threads than any machine we know has cores.
pub const WORKERS_MAX: usize = 256;

const DAY: Duration = Duration::from_secs(86_400);

/// The longest a worker may look for datagrams before it sleeps. Longer gains nothing: a wake-up is a hundredth of it.
pub const BUSY_POLL_MAX: Duration = Duration::from_millis(1);

/// One thing to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenOn {
    /// This address; an unspecified one is every address of its family.
    Address(IpAddr),
    /// Every address of this interface.
    Interface(String),
}

/// Where REST listens. Loopback only: beyond it TLS is needed, which this server does not speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpListen {
    /// Nowhere.
    Off,
    /// On this loopback address; `None` takes the clients' port number.
    On(IpAddr, Option<u16>),
}

/// Bounds on memory and work, all enforced by the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Leases at once. Default 1 048 576.
    pub leases: u32,
    /// Sessions at once. Default 262 144.
    pub sessions: u32,
    /// Handshakes a second. Default 1 000: about a third of one core.
    pub handshakes_per_second: u32,
    /// DISCOVERs answered a second. Default 200.
    pub discovers_per_second: u32,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or directives such as `info,leasehold_server::net=debug`. Default `info`.
    pub filter: String,
    /// Lines for people or for programs.
    pub format: LogFormat,
}

/// Lines for people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people where stderr is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![ListenOn::Address([0; 4].into()), ListenOn::Address([0u16; 8].into())],
            port: DEFAULT_PORT,
            http: HttpListen::On([127, 0, 0, 1].into(), None),
            data_dir: Surroundings::of_process().default_data_dir(),
            licences: Vec::new(),
            publisher_keys: Vec::new(),
            policy: None,
            site_key: None,
            workers: 0,
            busy_poll: Duration::ZERO,
            watch: true,
            lease_ttl: Duration::from_secs(300),
            limits: Limits::default(),
            discovery: true,
            discovery_off_link: true,
            history: cfg!(feature = "history"),
            history_keep: 400 * DAY,
            log: LogSettings { filter: "info".into(), format: LogFormat::Auto },
            clock_tolerance: Duration::from_secs(26 * 3600),
            drain: Duration::from_secs(10),
            origins: "defaults".into(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { leases: 1 << 20, sessions: 1 << 18, handshakes_per_second: 1000, discovers_per_second: 200 }
    }
}

impl Settings {
    /// How many workers these settings ask for: one per core where they say 0.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.workers == 0 { cores().min(WORKERS_MAX) } else { self.workers.min(WORKERS_MAX) }
    }
}

impl std::fmt::Display for ListenOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Interface(name) => f.write_str(name),
        }
    }
}

impl std::fmt::Display for HttpListen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On(ip, None) => write!(f, "{ip}"),
            Self::On(ip, Some(port)) => write!(f, "{}", std::net::SocketAddr::new(*ip, *port)),
        }
    }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}
