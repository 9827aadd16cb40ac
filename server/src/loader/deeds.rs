//! What the audit is told: of a change before it is done, and again if it could not be done after all.

use std::{collections::BTreeSet, fmt::Display};

use leasehold_protocol::vocab::CertificateId;
use serde_json::{Value, json};

use super::{AddReport, Loader, ReloadError};
use crate::{
    admin::AdminState,
    ledger::{By, Deed, KeptPolicy, LedgerError, Who},
    licences::{Found, LicenceReport, Licences},
    policy::PolicyFile,
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

/// Enters that certificate `id` will be taken out.
pub(super) fn enter_removal(state: &AdminState, by: &By, id: CertificateId, found: &Found) -> Result<(), LedgerError> {
    let there = found.certificates().find(|signed| signed.id == id);
    let feature = there.map(|signed| signed.certificate.feature.to_string());
    enter(state, by, "licence.remove", json!({ "certificate": id.to_string(), "feature": feature }), Value::Null)
}

impl Loader {
    /// Enters that `licences` and `policy` are read anew and will be in force. A file that changed and says the same is no change.
    pub(super) fn enter_reload(
        &self,
        by: &By,
        licences: &Licences,
        policy: Option<&PolicyFile>,
        state: &AdminState,
    ) -> Result<(), ReloadError> {
        let found = self.read(licences)?;
        let change = Certificates::of(&state.licences.load(), &found);
        let policy = policy.filter(|file| file.text != self.policy_text);
        if by.who == Who::File && policy.is_none() && change.is_none() {
            return Ok(());
        }
        let deed = Deed { by, action: "licence.reload", before: change.before(), after: change.after() };
        let done = match policy {
            Some(file) => {
                let kept = KeptPolicy { text: &file.text, rules: file.policy.len(), what: "file" };
                state.ledger.record_policy(&deed, &kept)
            }
            None => state.ledger.record(&deed).map(drop),
        };
        Ok(done?)
    }
}

/// What a reading changes about certificates.
struct Certificates {
    before: usize,
    after: usize,
    came: Vec<String>,
    went: Vec<String>,
}

impl Certificates {
    fn of(report: &LicenceReport, found: &Found) -> Self {
        let lines = report.files.iter().flat_map(|file| &file.certificates);
        let now: BTreeSet<String> = lines.map(|line| line.id.clone()).collect();
        let next: BTreeSet<String> = found.certificates().map(|signed| signed.id.to_string()).collect();
        Self {
            before: now.len(),
            after: next.len(),
            came: next.difference(&now).cloned().collect(),
            went: now.difference(&next).cloned().collect(),
        }
    }

    fn is_none(&self) -> bool {
        self.came.is_empty() && self.went.is_empty()
    }

    fn before(&self) -> Value {
        json!({ "certificates": self.before })
    }

    fn after(&self) -> Value {
        let told = |ids: &[String]| ids[..ids.len().min(TOLD_MAX)].to_vec();
        json!({ "certificates": self.after, "came": told(&self.came), "went": told(&self.went) })
    }
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
