//! What the audit is told: of a change before it is done, and again if it could not be done after all.

use std::{collections::BTreeSet, fmt::Display};

use serde_json::{Value, json};

use super::AddReport;
use crate::{
    admin::AdminState,
    ledger::{By, Deed, LedgerError},
    licences::{Found, LicenceReport},
};

/// Ids and names that one entry tells at most.
const TOLD_MAX: usize = 32;

/// Enters a change that will be done next.
pub(super) fn enter(state: &AdminState, by: &By, action: &str, before: Value, after: Value) -> Result<(), LedgerError> {
    state.ledger.record(&Deed { by, action, before, after }).map(drop)
}

/// Enters that a change was not done although it was entered. If that cannot be kept either, it stands in the log alone.
pub(super) fn undone(state: &AdminState, by: &By, action: &str, why: &dyn Display) {
    let after = json!({ "undone": why.to_string() });
    if let Err(e) = enter(state, by, action, Value::Null, after) {
        tracing::error!("that {action} was not done is not in the audit: {e}");
    }
}

/// What certificates there are, and which will be: `before` and `after`.
pub(super) fn certificates(report: &LicenceReport, found: &Found) -> (Value, Value) {
    let now: BTreeSet<&str> =
        report.files.iter().flat_map(|file| &file.certificates).map(|line| line.id.as_str()).collect();
    let next: BTreeSet<String> = found.certificates().map(|signed| signed.id.to_string()).collect();
    let came: Vec<&String> = next.iter().filter(|id| !now.contains(id.as_str())).collect();
    let went: Vec<&&str> = now.iter().filter(|id| !next.contains(**id)).collect();
    let after = json!({
        "certificates": next.len(),
        "came": came.iter().take(TOLD_MAX).collect::<Vec<_>>(),
        "went": went.iter().take(TOLD_MAX).collect::<Vec<_>>(),
    });
    (json!({ "certificates": now.len() }), after)
}

/// What adding will do: `before` and `after`.
pub(super) fn added(report: &AddReport) -> (Value, Value) {
    let ids: Vec<&String> = report.certificates.iter().map(|line| &line.id).take(TOLD_MAX).collect();
    let seats = |of: fn(&super::FeatureChange) -> Option<u64>| {
        let named = report.features.iter().take(TOLD_MAX);
        named.map(|change| (change.name.clone(), of(change).into())).collect::<serde_json::Map<_, _>>()
    };
    let after = json!({ "certificates": ids, "persisted": report.persisted, "seats": seats(|change| change.after) });
    (json!({ "seats": seats(|change| change.before) }), after)
}
