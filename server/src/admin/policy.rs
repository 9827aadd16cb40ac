//! The policy over the administration's channel (P-6). Every change is a line of the log that says who and what.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    AdminState,
    auth::{self, Unreadable},
    changes::{Peer, aside, not_kept, query_of, text_of},
};
use crate::loader::{PolicyChange, PolicyRefused};

pub(super) async fn show(State(state): State<Arc<AdminState>>) -> Response {
    let shown = aside(move || Ok::<_, std::convert::Infallible>(state.loader().policy_in_force())).await;
    match shown {
        Ok(policy) => Json(policy).into_response(),
        Err(never) => match never {},
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn apply(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    how: Result<Query<How>, QueryRejection>,
    body: Bytes,
) -> Result<Response, Unreadable> {
    let (how, text) = (query_of(how, "dry_run is understood, true or false")?, text_of(body)?);
    let applied = aside(move || state.loader().apply_policy(&text, how.dry_run, &peer.by(), &state));
    Ok(tell(applied.await, peer, "policy put in force over the network"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct To {
    to: Option<u64>,
}

pub(super) async fn roll_back(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    to: Result<Query<To>, QueryRejection>,
) -> Result<Response, Unreadable> {
    let To { to } = query_of(to, "to is understood, the number of a version")?;
    let rolled = aside(move || match to {
        Some(number) => state.loader().roll_back_policy_to(number, &peer.by(), &state),
        None => state.loader().roll_back_policy(&peer.by(), &state),
    });
    Ok(tell(rolled.await, peer, "policy of before put in force over the network"))
}

pub(super) async fn history(State(state): State<Arc<AdminState>>) -> Response {
    match aside(move || state.ledger.policies()).await {
        Ok(versions) => Json(json!({ "versions": versions })).into_response(),
        Err(e) => not_kept(&e, &e.to_string()),
    }
}

fn tell(done: Result<PolicyChange, PolicyRefused>, Peer(by): Peer, what: &str) -> Response {
    match done {
        Ok(change) => {
            if change.changed {
                tracing::info!(%by, rules = change.rules, "{what}");
            }
            Json(change).into_response()
        }
        Err(e) => {
            let (status, code) = match &e {
                PolicyRefused::Ledger(why) => return not_kept(why, &e.to_string()),
                PolicyRefused::NoVersion(_) => (StatusCode::NOT_FOUND, "no_such_version"),
                PolicyRefused::NoFile => (StatusCode::CONFLICT, "no_policy_file"),
                PolicyRefused::Mistakes(_) => (StatusCode::UNPROCESSABLE_ENTITY, "faulty_policy"),
                PolicyRefused::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_long"),
                PolicyRefused::NoneBefore(_) => (StatusCode::NOT_FOUND, "none_before"),
                PolicyRefused::File { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "not_kept"),
            };
            auth::error(status, code, &e.to_string())
        }
    }
}
