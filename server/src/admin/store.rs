//! What the server writes down and what it found of the life before: `/api/v1/store` (U-2, U-4, U-5).

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{
    Json,
    extract::{Extension, State},
    response::{IntoResponse, Response},
};
use leasehold_protocol::time::Now;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    AdminState,
    changes::{Peer, aside, not_kept},
};
use crate::{
    instant::{rfc3339, wall_of},
    journal::{Finding, Journal},
    ledger::Deed,
    remembered::Remembered,
};

/// `/api/v1/store`.
#[derive(Clone, Debug, Serialize)]
pub struct StoreView {
    /// The journal of leases.
    pub journal: JournalView,
    /// What was found at the start.
    pub before: BeforeView,
    /// Whether the data folder is older than what this server has promised.
    pub old: bool,
    /// The file beside the data folder by which an old one is noticed.
    pub anchor: String,
}

/// The journal of leases.
#[derive(Clone, Debug, Serialize)]
pub struct JournalView {
    /// `ok`, or `failing`: then nothing new is granted.
    pub state: &'static str,
    /// Why, if it fails.
    pub why: Option<String>,
    /// Since when, if it fails.
    pub failing_since: Option<String>,
    /// How long the file in use is, in bytes.
    pub bytes: u64,
    /// How much of it is used.
    pub bytes_used: u64,
    /// How far the log has come: one more with every sync.
    pub log: u64,
    /// Records since the start.
    pub records: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// How long one took on the average, in microseconds.
    pub sync_us_mean: u64,
    /// The longest, in microseconds.
    pub sync_us_max: u64,
    /// Files begun since the start.
    pub files: u64,
    /// Grants that waited for the disk.
    pub grants_waited: u64,
    /// How often storage began to fail.
    pub failures: u64,
}

/// What was found at the start.
#[derive(Clone, Debug, Serialize)]
pub struct BeforeView {
    /// `nothing`, `closed`, `killed`, `power-cut`, `damaged` or `old`.
    pub how: &'static str,
    /// The same in a sentence.
    pub sentence: String,
    /// Leases that are out again.
    pub leases: u64,
    /// Of them, those over what the licences in force allow.
    pub overage: u64,
    /// Leases left out: of a publisher that is not trusted any more, or for want of room.
    pub left_out: u64,
    /// Seats that were withheld because the last grants may be lost.
    pub withheld: u64,
    /// Until when they are.
    pub withheld_until: Option<String>,
    /// Records that were read.
    pub records: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What is not as it should be.
    pub findings: Vec<FindingView>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct FindingView {
    /// In which file.
    pub file: String,
    /// At which byte.
    pub offset: u64,
    /// What.
    pub what: String,
    /// Whether what was granted is not known because of it.
    pub serious: bool,
}

impl StoreView {
    fn of(state: &AdminState, now: Now) -> Self {
        Self {
            journal: JournalView::of(&state.journal),
            before: BeforeView::of(&state.remembered, state.shared.withheld_until(), now),
            old: state.shared.is_store_old(),
            anchor: state.remembered.anchor.display().to_string(),
        }
    }
}

impl JournalView {
    fn of(journal: &Journal) -> Self {
        let (failing, figures) = (journal.failing(), journal.figures());
        let (bytes, bytes_used, log) = journal.extent();
        let syncs = figures.syncs.load(Relaxed);
        Self {
            state: if failing.is_some() { "failing" } else { "ok" },
            why: failing.as_ref().map(|failing| failing.why.clone()),
            failing_since: failing.map(|failing| rfc3339(failing.since)),
            bytes,
            bytes_used,
            log,
            records: figures.records.load(Relaxed),
            syncs,
            sync_us_mean: figures.sync_us.load(Relaxed).checked_div(syncs).unwrap_or(0),
            sync_us_max: figures.sync_us_max.load(Relaxed),
            files: figures.files.load(Relaxed),
            grants_waited: figures.waited.load(Relaxed),
            failures: figures.failures.load(Relaxed),
        }
    }
}

impl BeforeView {
    fn of(before: &Remembered, withheld_until: Option<leasehold_protocol::time::Mono>, now: Now) -> Self {
        let restoration = before.restoration;
        Self {
            how: before.word(),
            sentence: before.sentence(now),
            leases: restoration.restored,
            overage: restoration.overage,
            left_out: restoration.of_no_realm + restoration.no_room,
            withheld: before.withheld,
            withheld_until: withheld_until.map(|until| rfc3339(wall_of(until, now))),
            records: before.records,
            took_ms: before.took_ms,
            findings: before.findings.iter().map(FindingView::from).collect(),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let Finding { file, offset, what, serious, .. } = finding;
        Self { file: file.display().to_string(), offset: *offset, what: what.clone(), serious: *serious }
    }
}

pub(super) async fn show(State(state): State<Arc<AdminState>>) -> Json<StoreView> {
    Json(StoreView::of(&state, state.clock.now()))
}

/// An administrator knows that the data folder is old.
pub(super) async fn acknowledge(State(state): State<Arc<AdminState>>, Extension(peer): Extension<Peer>) -> Response {
    let done = aside(move || {
        if state.shared.is_store_old() {
            let deed = Deed {
                by: &peer.by(),
                action: "store.acknowledge",
                before: json!({ "old": true }),
                after: Value::Null,
            };
            state.ledger.record(&deed)?;
            tracing::warn!(by = %peer.0, "acknowledged: the data folder is an old copy");
        }
        state.shared.set_store_old(false);
        state.loader().refresh_warnings(&state, state.clock.now());
        Ok(StoreView::of(&state, state.clock.now()))
    });
    match done.await {
        Ok(view) => Json(view).into_response(),
        Err(e) => not_kept(&e, &e.to_string()),
    }
}
