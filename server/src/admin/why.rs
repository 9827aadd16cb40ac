//! Why somebody got seats or did not: a line of the usage history with what was looked at, and what would be answered now.

#[cfg(feature = "history")]
mod past;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use leasehold_core::{Answer, Explanation, Question};
use leasehold_protocol::{
    message::Holder,
    vocab::{DeviceId, FeatureName, Label, SeatCount, Version},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    AdminState,
    auth::{self, Unreadable},
    changes::{aside, query_of},
};
use crate::{instant::rfc3339, ledger::LedgerError, looked::LookedView, policy::device_of};

/// What may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    event: Option<i64>,
    lease: Option<String>,
    publisher: Option<String>,
    feature: Option<String>,
    version: Option<String>,
    seats: Option<u32>,
    user: Option<String>,
    host: Option<String>,
    display: Option<String>,
    project: Option<String>,
    share: Option<String>,
    device: Option<String>,
    address: Option<IpAddr>,
}

const UNDERSTOOD: &str = "event, or lease, or feature with publisher, version, seats, user, host, display, project, share, device \
                          and address are understood";

/// The policy that decided: one of those that the ledger keeps.
#[derive(Debug, Serialize)]
struct PolicyOf {
    version: u64,
    since: String,
    rules: usize,
}

/// Why nothing can be said, and the status it is told with.
struct Nothing(StatusCode, &'static str, String);

impl From<LedgerError> for Nothing {
    fn from(e: LedgerError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, "not_known", format!("the policy of then is not known: {e}"))
    }
}

pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Unreadable> {
    let asked = query_of(asked, UNDERSTOOD)?;
    let said = match &asked {
        Asked { event: None, lease: None, feature: Some(_), .. } => {
            let question = question(&state, &asked)?;
            aside(move || now(&state, &question)).await
        }
        Asked { event: Some(_), lease: None, feature: None, .. }
        | Asked { event: None, lease: Some(_), feature: None, .. } => aside(move || past(&state, &asked)).await,
        _ => {
            return Err(Unreadable("bad_query", format!("one of event, lease and feature is asked for; {UNDERSTOOD}")));
        }
    };
    Ok(match said {
        Ok(said) => Json(said).into_response(),
        Err(Nothing(status, code, why)) => auth::error(status, code, &why),
    })
}

#[cfg(feature = "history")]
fn past(state: &AdminState, asked: &Asked) -> Result<Value, Nothing> {
    past::tell(state, asked.event, asked.lease.as_deref())
}

#[cfg(not(feature = "history"))]
fn past(_: &AdminState, _: &Asked) -> Result<Value, Nothing> {
    let why =
        "this program was built without the usage history, and what was decided before is not known: ask for a feature";
    Err(Nothing(StatusCode::NOT_FOUND, "no_history", why.to_owned()))
}

/// What is asked, with the defaults of who does not say.
fn question(state: &AdminState, asked: &Asked) -> Result<Question, Unreadable> {
    let wrong = |what: &str, why: String| Unreadable("bad_query", format!("{what}: {why}"));
    let label = |name: &str, text: &Option<String>| -> Result<Option<Label>, Unreadable> {
        text.as_deref().map(Label::new).transpose().map_err(|e| wrong(name, e.to_string()))
    };
    let feature = FeatureName::new(asked.feature.as_deref().unwrap_or_default());
    let feature = feature.map_err(|e| wrong("feature", e.to_string()))?;
    let version = asked.version.as_deref().map_or(Ok(Version::ANY), str::parse);
    let device = asked.device.as_deref().map_or(Some(DeviceId::default()), device_of);
    let unknown = || Label::lossy("?");
    Ok(Question {
        realm: state.realm_of(asked.publisher.as_deref(), &feature)?,
        version: version.map_err(|e| wrong("version", e.to_string()))?,
        seats: SeatCount::new(asked.seats.unwrap_or(1)).map_err(|e| wrong("seats", e.to_string()))?,
        holder: Holder {
            user: label("user", &asked.user)?.unwrap_or_else(unknown),
            host: label("host", &asked.host)?.unwrap_or_else(unknown),
            display: label("display", &asked.display)?,
            process: unknown(),
            pid: 0,
            project: label("project", &asked.project)?,
            device: device.ok_or_else(|| wrong("device", "32 hexadecimal digits".into()))?,
            device_alias: None,
            share: label("share", &asked.share)?,
            hostids: Vec::new(),
        },
        address: asked.address.unwrap_or(IpAddr::from([0, 0, 0, 0])),
        feature,
    })
}

impl AdminState {
    /// The realm that is meant: of the publisher that is named, the only one, or the only one that has the feature.
    fn realm_of(
        &self,
        publisher: Option<&str>,
        feature: &FeatureName,
    ) -> Result<leasehold_protocol::vocab::RealmId, Unreadable> {
        let realms = self.shared.realms();
        let named = realms.iter().filter(|realm| publisher.is_none_or(|name| realm.publisher.as_str() == name));
        let mut ids: Vec<_> = named.map(|realm| realm.id).collect();
        if ids.len() > 1 {
            let with: Vec<_> = self
                .shared
                .features(self.clock.now())
                .into_iter()
                .filter(|f| f.name == *feature)
                .map(|f| f.realm)
                .collect();
            ids = if with.is_empty() { ids.into_iter().take(1).collect() } else { with };
        }
        match ids[..] {
            [id] => Ok(id),
            _ => {
                let names: Vec<&str> = realms.iter().map(|realm| realm.publisher.as_str()).collect();
                Err(Unreadable("bad_query", format!("publisher: one of {}", names.join(", "))))
            }
        }
    }
}

/// What would be answered now.
fn now(state: &AdminState, question: &Question) -> Result<Value, Nothing> {
    let at = state.clock.now();
    let Some(Explanation { answer, looked }) = state.shared.explain(question, at) else {
        return Err(Nothing(StatusCode::NOT_FOUND, "no_such_publisher", "there is no such publisher here".to_owned()));
    };
    let answer = match answer {
        Answer::Seats => json!({ "granted": true }),
        Answer::SeatsOf(lease) => json!({ "granted": true, "seats_of": lease.to_string() }),
        Answer::No { code, sentence, rule } => {
            json!({ "granted": false, "code": code.0, "denial": code.to_string(), "sentence": sentence, "rule": rule })
        }
    };
    let Question { feature, version, seats, holder, address, .. } = question;
    let of = json!({
        "feature": feature.as_str(), "version": version.to_string(), "seats": seats.get(), "user": holder.user.as_str(),
        "host": holder.host.as_str(), "address": address.to_string(),
    });
    Ok(json!({
        "schema": 1, "at": rfc3339(at.wall), "asked": of, "answer": answer, "policy": policy_at(state, at.wall.0)?,
        "looked": looked.as_ref().map(LookedView::from),
    }))
}

/// The policy that was in force at `at_ms`; `None`: none was, or none that the ledger knows.
fn policy_at(state: &AdminState, at_ms: u64) -> Result<Option<PolicyOf>, LedgerError> {
    let versions = state.ledger.policies()?;
    let of = versions.into_iter().rev().find(|version| version.at_ms <= at_ms).filter(|version| version.rules > 0);
    Ok(of.map(|version| PolicyOf { version: version.number, since: version.at, rules: version.rules }))
}
