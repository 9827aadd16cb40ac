//! The flags of `leasehold serve`, one per setting.

use clap::{Args, ValueHint};

/// Every setting of a server as a flag. Values stay text here: [`super::resolve`] reads all layers with one parser.
///
/// To be flattened into a command of the binary; `resolve` then wants that command's matches.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Configuration file [default: ./leasehold.toml, then /etc/leasehold/leasehold.toml, where there is one]
    #[arg(long, env = "LEASEHOLD_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Files")]
    pub config: Option<String>,

    /// Folder of keys, token and markers [default: /var/lib/leasehold as root, else ~/.local/state/leasehold]
    #[arg(long, env = "LEASEHOLD_DATA_DIR", value_name = "FOLDER", value_hint = ValueHint::DirPath, help_heading = "Files")]
    pub data_dir: Option<String>,

    /// Licence file, beside licences/*.lic in the data folder; may be repeated
    #[arg(long, visible_alias = "license", env = "LEASEHOLD_LICENCE", value_delimiter = ',', value_name = "FILE",
        value_hint = ValueHint::FilePath, help_heading = "Files")]
    pub licence: Vec<String>,

    /// Public key of a publisher to trust, beside publishers/*.pub in the data folder; may be repeated
    #[arg(long, env = "LEASEHOLD_PUBLISHER_KEY", value_delimiter = ',', value_name = "FILE",
        value_hint = ValueHint::FilePath, help_heading = "Files")]
    pub publisher_key: Vec<String>,

    /// Policy file: who may take seats [default: everybody may]
    #[arg(long, env = "LEASEHOLD_POLICY", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Files")]
    pub policy: Option<String>,

    /// File with the key of a closed site, 64 hexadecimal digits [default: an open site]
    #[arg(long, env = "LEASEHOLD_SITE_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Files")]
    pub site_key: Option<String>,

    /// Whether licence files, keys and the policy are read anew when they change: on or off [default: on]
    #[arg(long, env = "LEASEHOLD_WATCH", value_name = "SWITCH", help_heading = "Files")]
    pub watch: Option<String>,

    /// Address or interface to listen on for clients; may be repeated [default: 0.0.0.0 and ::]
    #[arg(long, env = "LEASEHOLD_LISTEN", value_delimiter = ',', value_name = "ADDRESS", help_heading = "Network")]
    pub listen: Vec<String>,

    /// Port, UDP for clients and TCP for REST; 0 picks a free one [default: 5097]
    #[arg(long, short, env = "LEASEHOLD_PORT", value_name = "PORT", help_heading = "Network")]
    pub port: Option<String>,

    /// Loopback address of REST, with or without a port, or "off" [default: 127.0.0.1]
    #[arg(long, env = "LEASEHOLD_HTTP", value_name = "ADDRESS", help_heading = "Network")]
    pub http: Option<String>,

    /// Whether broadcast and multicast discovery is answered: on or off [default: on]
    #[arg(long, env = "LEASEHOLD_DISCOVERY", value_name = "SWITCH", help_heading = "Network")]
    pub discovery: Option<String>,

    /// Whether unicast discovery from other networks is answered: on or off [default: on]
    #[arg(long, env = "LEASEHOLD_DISCOVERY_OFF_LINK", value_name = "SWITCH", help_heading = "Network")]
    pub discovery_off_link: Option<String>,

    /// Workers, each with its own socket and thread; 0 is one per core [default: 0]
    #[arg(long, env = "LEASEHOLD_WORKERS", value_name = "N", help_heading = "Network")]
    pub workers: Option<String>,

    /// How long a worker looks for datagrams before it sleeps, 0s to 1ms: saves a wake-up, takes the core [default: 0s]
    #[arg(long, env = "LEASEHOLD_BUSY_POLL", value_name = "TIME", help_heading = "Network")]
    pub busy_poll: Option<String>,

    /// Lease TTL where a certificate names none, 2s to 24h [default: 300s]
    #[arg(long, env = "LEASEHOLD_LEASE_TTL", value_name = "TIME", help_heading = "Leases and limits")]
    pub lease_ttl: Option<String>,

    /// Leases at once [default: 1048576]
    #[arg(long, env = "LEASEHOLD_LIMIT_LEASES", value_name = "N", help_heading = "Leases and limits")]
    pub limit_leases: Option<String>,

    /// Sessions at once [default: 262144]
    #[arg(long, env = "LEASEHOLD_LIMIT_SESSIONS", value_name = "N", help_heading = "Leases and limits")]
    pub limit_sessions: Option<String>,

    /// Handshakes a second [default: 1000]
    #[arg(long, env = "LEASEHOLD_LIMIT_HANDSHAKES", value_name = "N", help_heading = "Leases and limits")]
    pub limit_handshakes: Option<String>,

    /// Discovery answers a second [default: 200]
    #[arg(long, env = "LEASEHOLD_LIMIT_DISCOVERS", value_name = "N", help_heading = "Leases and limits")]
    pub limit_discovers: Option<String>,

    /// How far the machine's clock may be behind licence time without an alarm, 0s to 31d [default: 26h]
    #[arg(long, env = "LEASEHOLD_CLOCK_TOLERANCE", value_name = "TIME", help_heading = "Leases and limits")]
    pub clock_tolerance: Option<String>,

    /// How long a shutdown waits for leases to come back, 0s to 1h [default: 10s]
    #[arg(long, env = "LEASEHOLD_DRAIN_TIME", value_name = "TIME", help_heading = "Leases and limits")]
    pub drain_time: Option<String>,

    /// Whether the usage history is written, usage.sqlite in the data folder: on or off [default: on]
    #[arg(long, env = "LEASEHOLD_HISTORY", value_name = "SWITCH", help_heading = "History")]
    pub history: Option<String>,

    /// Days a line of the usage history is kept, 0 to 36500; 0 is for ever [default: 400]
    #[arg(long, env = "LEASEHOLD_HISTORY_KEEP", value_name = "DAYS", help_heading = "History")]
    pub history_keep: Option<String>,

    /// error, warn, info, debug, trace, or directives such as info,leasehold_server::net=debug [default: info]
    #[arg(long, env = "LEASEHOLD_LOG_LEVEL", value_name = "LEVEL", help_heading = "Log")]
    pub log_level: Option<String>,

    /// human, json, or auto: human on a terminal, json elsewhere [default: auto]
    #[arg(long, env = "LEASEHOLD_LOG_FORMAT", value_name = "FORMAT", help_heading = "Log")]
    pub log_format: Option<String>,
}
