//! The audit over the administration's channel (D-2): who changed what, and whether the chain of it holds.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    AdminState,
    auth::Unreadable,
    changes::{aside, not_kept, query_of},
};

/// Entries on one page unless asked otherwise, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Unreadable> {
    let page = query_of(page, "after and limit are understood")?;
    let limit = page.limit.unwrap_or(PAGE);
    if limit == 0 || limit > PAGE_MAX {
        return Err(Unreadable("bad_query", format!("limit is 1 to {PAGE_MAX}")));
    }
    let after = page.after.unwrap_or(0);
    let read = aside(move || Ok((state.ledger.entry_count()?, state.ledger.entries(after, limit)?)));
    Ok(match read.await {
        Ok((total, entries)) => {
            Json(json!({ "total": total, "after": after, "limit": limit, "entries": entries })).into_response()
        }
        Err(e) => not_kept(&e, &e.to_string()),
    })
}

pub(super) async fn verify(State(state): State<Arc<AdminState>>) -> Response {
    match aside(move || state.ledger.verify()).await {
        Ok(Ok(chain)) => Json(json!({ "holds": true, "chain": chain, "broken": null })).into_response(),
        Ok(Err(broken)) => Json(json!({ "holds": false, "chain": null, "broken": broken })).into_response(),
        Err(e) => not_kept(&e, &e.to_string()),
    }
}
