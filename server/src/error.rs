//! Why a server does not start.

use std::{io, net::SocketAddr};

use crate::{
    config::ConfigError,
    ledger::{LedgerError, MigrateError},
    licences::TrustError,
    net::BindError,
    state::StateError,
};

/// Why a server does not start. Each message names the place and ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What was used before there was a ledger.
    #[error(transparent)]
    Uses(#[from] MigrateError),
    /// The clients' port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A key file.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The policy file.
    #[error("the policy cannot be put in force:\n{0}")]
    Policy(ConfigError),
    /// REST's port is taken.
    #[error(
        "tcp {address} is in use by {holder}; stop that program, or choose another place for REST by --http \
         {}:{}, or none by --http off", address.ip(), address.port().wrapping_add(1).max(1024)
    )]
    HttpInUse {
        /// The address and port wanted.
        address: SocketAddr,
        /// Who has it.
        holder: String,
    },
    /// REST would be open to the network.
    #[error(
        "REST cannot listen on {0}: beyond this machine it needs TLS, which this server does not speak; choose a \
         loopback address by --http, such as 127.0.0.1"
    )]
    HttpNotLoopback(SocketAddr),
    /// REST's port cannot be opened.
    #[error("tcp {address} cannot be opened: {source}; choose another place for REST by --http, or none by --http off")]
    Http {
        /// The address and port wanted.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The list of interfaces.
    #[error("the network interfaces of this machine cannot be listed: {0}; check that /proc and netlink are allowed")]
    Interfaces(io::Error),
    /// Threads or sockets.
    #[error("a worker cannot be started: {0}; fewer may do: --workers 1")]
    Worker(io::Error),
    /// Signals.
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
    /// Nothing to listen on.
    #[error("there is no address to listen on; name one by --listen, such as 127.0.0.1")]
    NothingToListenOn,
}

impl StartError {
    /// The status `leasehold serve` ends with, the same for one cause in every version.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Bind(BindError::InUse { .. }) | Self::HttpInUse { .. } => exit::IN_USE,
            Self::State(StateError::Locked { .. }) => exit::IN_USE,
            Self::Bind(BindError::NotAllowed(_)) => exit::NOT_ALLOWED,
            Self::Trust(_) | Self::Policy(_) | Self::HttpNotLoopback(_) | Self::NothingToListenOn | Self::Bind(_) => {
                exit::BAD_SETTINGS
            }
            _ => exit::CANNOT_START,
        }
    }
}

/// Exit statuses of `leasehold serve`.
pub mod exit {
    /// Stopped because it was asked to; how many leases were out is said in the log.
    pub const STOPPED: u8 = 0;
    /// Cannot start: data folder, threads, interfaces.
    pub const CANNOT_START: u8 = 1;
    /// A setting is wrong. Nothing was started.
    pub const BAD_SETTINGS: u8 = 2;
    /// The port or the data folder is another program's.
    pub const IN_USE: u8 = 3;
    /// The port needs a privilege.
    pub const NOT_ALLOWED: u8 = 4;
    /// A worker ended by a fault of its own: a defect, please report it.
    pub const FAULT: u8 = 70;
    /// Ended at once by a second Ctrl-C.
    pub const AT_ONCE: u8 = 130;
}
