//! The machine's clock and the time that licence dates are held against: `/api/v1/clock` (T-5).

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use leasehold_core::WallStatus;
use leasehold_protocol::time::Now;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    AdminState,
    auth::Unreadable,
    changes::{Peer, aside, not_kept, query_of},
};
use crate::{
    clock::words,
    instant::{rfc3339, wall_of},
    ledger::{Deed, LedgerError},
};

/// The most characters of a name that are logged.
const NAME_MAX: usize = 64;

/// `/api/v1/clock`, and `clock` of `/api/v1/status`.
#[derive(Clone, Debug, Serialize)]
pub struct ClockView {
    /// `ok`, `suspect` (the machine's clock is behind by more than the tolerance) or `pending` (it has jumped ahead).
    pub state: &'static str,
    /// What the machine's clock says.
    pub raw: String,
    /// What licence dates are held against.
    pub effective: String,
    /// By how much the machine's clock is ahead of that, in milliseconds; below zero if it is behind.
    pub raw_ahead_ms: i64,
    /// When licence dates follow a jump ahead, if it stands until then.
    pub pending_until: Option<String>,
    /// How long that is from now.
    pub pending_ms: Option<u64>,
    /// How many clients' clocks are known; five are enough to believe a jump.
    pub clients: usize,
    /// By how much the median of those is ahead of the time that licence dates are held against, if they are enough.
    pub clients_ahead_ms: Option<i64>,
    /// What is not as it should be, each with its remedy.
    pub warnings: Vec<String>,
}

/// The answer to a confirmation.
#[derive(Clone, Debug, Serialize)]
pub struct ConfirmedView {
    /// By how much the time that licence dates are held against moved, in milliseconds; below zero if it went back.
    pub moved_ms: i64,
    /// How the clocks stand since.
    #[serde(flatten)]
    pub clock: ClockView,
}

/// Who confirms, in his own words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct By {
    by: Option<String>,
}

impl ClockView {
    pub(super) fn of(state: &AdminState, now: Now) -> Self {
        Self::from(&state.clock.status(), now)
    }

    fn from(status: &WallStatus, now: Now) -> Self {
        let WallStatus { raw, effective, raw_ahead_ms, pending_until, clients, clients_ahead_ms, .. } = *status;
        Self {
            state: match (status.is_suspect, pending_until) {
                (true, _) => "suspect",
                (_, Some(_)) => "pending",
                _ => "ok",
            },
            raw: rfc3339(raw),
            effective: rfc3339(effective),
            raw_ahead_ms,
            pending_until: pending_until.map(|until| rfc3339(wall_of(until, now))),
            pending_ms: pending_until.map(|until| until.ms_since(now.mono)),
            clients,
            clients_ahead_ms,
            warnings: words::warnings(status, now),
        }
    }
}

pub(super) async fn show(State(state): State<Arc<AdminState>>) -> Json<ClockView> {
    Json(ClockView::of(&state, state.clock.now()))
}

/// An administrator says that the machine's clock is right.
pub(super) async fn confirm(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    by: Result<Query<By>, QueryRejection>,
) -> Result<Response, Unreadable> {
    let by = query_of(by, "by is understood: who confirms")?.by.unwrap_or_default();
    let name: String = by.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
    Ok(match aside(move || ConfirmedView::made(&state, peer, &name)).await {
        Ok(confirmed) => Json(confirmed).into_response(),
        Err(e) => not_kept(&e, &e.to_string()),
    })
}

impl ConfirmedView {
    fn made(state: &AdminState, peer: Peer, by: &str) -> Result<Self, LedgerError> {
        let status = state.clock.status();
        let (before, after) = (json!({ "effective": rfc3339(status.effective) }), rfc3339(status.raw));
        let after = json!({ "effective": after, "named": by });
        state.ledger.record(&Deed { by: &peer.by(), action: "clock.confirm", before, after })?;
        let moved_ms = state.clock.confirm();
        let now = state.clock.now();
        let effective = rfc3339(now.wall);
        tracing::warn!(peer = %peer.0, by, moved_ms, "confirmed: the machine's clock is right; licence dates are held against {effective}");
        let loader = state.loader();
        // On disk at once: a crash must not take the confirmation back.
        loader.keep_time(&state.clock);
        loader.refresh_warnings(state, now);
        Ok(Self { moved_ms, clock: ClockView::of(state, now) })
    }
}
