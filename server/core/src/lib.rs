//! Decides everything, touches nothing.
mod config;
mod engine;
mod event;
mod ledger;
mod path;
mod plan;
mod planted;
mod shared;
mod status;

pub use config::{RealmConfig, ServerConfig};
pub use engine::Engine;
pub use event::{Denied, Ended, Event, Granted, SessionEnd};
pub use ledger::LedgerError;
pub use path::{Path, Transmit};
pub use plan::{CertificateReport, Outcome, PlanReport};
pub use planted::Fault;
pub use shared::Shared;
pub use status::{FeatureStatus, LeaseStatus, LotStatus, RealmStatus};
