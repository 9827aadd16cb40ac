//! How the ledger is, for `/readyz`, `/metrics` and the warnings.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use leasehold_protocol::time::UnixMillis;
use serde::Serialize;

use super::{Ledger, LedgerError};
use crate::instant::rfc3339;

/// Whether changes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// They are.
    #[default]
    Good,
    /// There is no space for them: they are refused.
    Full,
    /// The disk fails: they are refused.
    Failing,
    /// The server is on its way out: they are refused.
    Closed,
}

/// How the ledger is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    /// Whether changes are kept.
    pub state: Condition,
    /// Why not, with the remedy.
    pub why: Option<String>,
    /// Since when, as RFC 3339.
    pub since: Option<String>,
    /// What is said to who asks for one.
    #[serde(skip)]
    pub(super) refusal: Option<LedgerError>,
}

impl Health {
    pub(super) fn bad(error: LedgerError, since: UnixMillis) -> Self {
        let state = if matches!(error, LedgerError::Full { .. }) { Condition::Full } else { Condition::Failing };
        Self { state, why: Some(error.to_string()), since: Some(rfc3339(since)), refusal: Some(error) }
    }

    pub(super) fn closed() -> Self {
        let error = LedgerError::Closed;
        Self { state: Condition::Closed, why: Some(error.to_string()), since: None, refusal: Some(error) }
    }

    /// Whether changes are kept.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self.state, Condition::Good)
    }
}

impl Ledger {
    /// How it is. Never waits for the disk.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tell_health(&self, health: Health) {
        *self.0.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// What is not as it should be, each with its remedy.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let now = self.health().why.map(|why| format!("changes are refused: {why}"));
        self.0.noticed.iter().cloned().chain(now).collect()
    }

    /// Changes that were refused or failed since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// How often it came back.
    #[must_use]
    pub fn healed(&self) -> u64 {
        self.0.healed.load(Relaxed)
    }

    /// Uses of trials and meters that are forgotten at the next start, because they could not be kept.
    #[must_use]
    pub fn uses_lost(&self) -> u64 {
        self.0.uses_lost.load(Relaxed)
    }
}
