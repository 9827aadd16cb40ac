//! What was decided before, by the usage history and the policies that the ledger keeps.

use std::net::IpAddr;

use axum::http::StatusCode;
use leasehold_core::policy::{Policy, Verdict};
use leasehold_protocol::{
    message::Holder,
    vocab::{Denial, FeatureName, Label},
};
use serde_json::{Value, json};

use super::{Nothing, PolicyOf, policy_at};
use crate::{
    admin::AdminState,
    history::{NameKey, ReadError, Reader, Row, key_in},
    instant::rfc3339,
    policy::{PolicyFile, device_of},
};

impl From<ReadError> for Nothing {
    fn from(e: ReadError) -> Self {
        let status = match e {
            ReadError::NotThere(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, "no_history", e.to_string())
    }
}

/// Names behind pseudonyms, for who has the key.
struct Names<'a> {
    reader: &'a Reader,
    key: Option<NameKey>,
}

impl Names<'_> {
    fn of(&self, pseudonym: Option<&String>) -> Option<String> {
        let (pseudonym, key) = (pseudonym?, self.key.as_ref()?);
        key.open(pseudonym, &self.reader.sealed_of(pseudonym).ok()??)
    }

    /// Who asked, as far as it is known; `None` if the names cannot be opened.
    fn holder(&self, row: &Row) -> Option<(Holder, IpAddr)> {
        let label = |name: &Option<String>| self.of(name.as_ref()).map(|name| Label::lossy(&name));
        let holder = Holder {
            user: label(&row.user)?,
            host: label(&row.host)?,
            display: label(&row.display),
            process: Label::lossy("?"),
            pid: 0,
            project: label(&row.project),
            device: self.of(row.device.as_ref()).and_then(|id| device_of(&id)).unwrap_or_default(),
            device_alias: None,
            share: None,
            hostids: Vec::new(),
        };
        let address = self.of(row.address.as_ref()).and_then(|address| address.parse().ok());
        Some((holder, address.unwrap_or(IpAddr::from([0, 0, 0, 0]))))
    }
}

/// Tells of line `event`, or of what `lease` began with.
pub(super) fn tell(state: &AdminState, event: Option<i64>, lease: Option<&str>) -> Result<Value, Nothing> {
    let folder = state.token_path.parent().unwrap_or(&state.token_path);
    let reader = Reader::open(folder)?;
    let row = match (event, lease) {
        (Some(id), _) => reader.event(id)?,
        (None, lease) => reader.lease(lease.unwrap_or_default(), None)?.into_iter().next(),
    };
    let Some(row) = row else {
        let what = event.map_or_else(|| format!("lease {}", lease.unwrap_or_default()), |id| format!("an event {id}"));
        let why = format!(
            "the usage history has nothing of {what}: look for it by leasehold history query; what happened in the last second may \
             not be written yet"
        );
        return Err(Nothing(StatusCode::NOT_FOUND, "no_such_event", why));
    };
    let names = Names { reader: &reader, key: key_in(folder).ok().flatten() };
    let others = row.lease.as_ref().map(|lease| reader.lease(lease, Some(row.id))).transpose()?.unwrap_or_default();
    let policy = policy_at(state, row.at.0)?;
    let judged = policy.as_ref().map(|policy| judged(state, policy, &row, &names)).transpose()?.flatten();
    let looked: Option<Value> = row.looked.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let then: Vec<Value> = others.iter().filter(|other| other.id != row.id).map(line).collect();
    Ok(json!({
        "schema": 1, "event": told(&row, &names), "policy": policy, "by_policy": judged, "looked": looked,
        "out_before": reader.out_before(&row)?, "others": then,
    }))
}

fn told(row: &Row, names: &Names<'_>) -> Value {
    let name = |pseudonym: &Option<String>| names.of(pseudonym.as_ref()).or_else(|| pseudonym.clone());
    json!({
        "event": row.id, "at": rfc3339(row.at), "kind": row.kind, "publisher": row.realm, "feature": row.feature,
        "version": row.version, "seats": row.seats, "lease": row.lease, "user": name(&row.user), "host": name(&row.host),
        "display": name(&row.display), "project": name(&row.project), "address": name(&row.address),
        "device": name(&row.device), "held_ms": row.held_ms, "code": row.code,
        "denial": row.code.map(|code| Denial(code).to_string()), "rule": row.rule,
        "sentence": names.of(row.sentence.as_ref()), "by_ticket": row.by_ticket, "certificates": certificates(row),
    })
}

/// The certificates of a grant.
fn certificates(row: &Row) -> Option<Vec<Value>> {
    let lot = |lot: &str| {
        let mut parts = lot.split(':');
        let (certificate, version, seats) = (parts.next()?, parts.next()?, parts.next()?.parse::<u32>().ok()?);
        Some(json!({ "certificate": certificate, "version": version, "seats": seats }))
    };
    row.lots.as_deref().map(|lots| lots.split_whitespace().filter_map(lot).collect())
}

/// Another line of the same lease.
fn line(row: &Row) -> Value {
    json!({ "event": row.id, "at": rfc3339(row.at), "kind": row.kind, "held_ms": row.held_ms })
}

/// What the policy of then says of who asked: replayed. `None` if his names cannot be opened, or the policy cannot be read any more.
fn judged(state: &AdminState, of: &PolicyOf, row: &Row, names: &Names<'_>) -> Result<Option<Value>, Nothing> {
    let Some(text) = state.ledger.policy_text(of.version)? else { return Ok(None) };
    let (Ok(file), Some((holder, address))) = (PolicyFile::parse("the policy of then", &text), names.holder(row))
    else {
        return Ok(None);
    };
    let Some(Ok(feature)) = row.feature.as_deref().map(FeatureName::new) else { return Ok(None) };
    Ok(Some(by_policy(&file.policy, &feature, &holder, address)))
}

fn by_policy(policy: &Policy, feature: &FeatureName, holder: &Holder, address: IpAddr) -> Value {
    let (verdict, rule) = match policy.judge(feature, holder, address) {
        Verdict::Allowed(rule) => ("allowed", rule),
        Verdict::Excluded(rule) => ("excluded", Some(rule)),
        Verdict::NotIncluded(rule) => ("not-included", Some(rule)),
    };
    let concern = policy.concern(feature, holder, address);
    let limits = concern.limits.iter().map(|index| &policy.limits()[*index]);
    let limits: Vec<Value> =
        limits.map(|limit| json!({ "rule": limit.id, "max": limit.max, "per": limit.per.word() })).collect();
    let reservations = concern.reservations.iter().map(|index| &policy.reservations()[*index]);
    let reservations: Vec<Value> =
        reservations.map(|r| json!({ "rule": r.id, "seats": r.seats, "version": r.version.to_string() })).collect();
    let groups = policy.groups().of(holder, address);
    let groups: Vec<&String> =
        groups.iter().filter_map(|id| policy.groups().all()[*id as usize].name.as_ref()).collect();
    json!({
        "verdict": verdict, "rule": rule.map(|rule| &rule.id), "groups": groups, "limits": limits, "reservations": reservations,
        "priority": policy.priority(feature, holder, address),
    })
}
