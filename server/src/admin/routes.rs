//! The handlers.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query, Request, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use leasehold_protocol::{licence::text, vocab::FeatureName};
use serde::Deserialize;
use serde_json::json;

use super::{
    AdminState, audit,
    auth::{self, Unreadable},
    backup, changes, clock, metrics, policy, store, views, why,
};

/// How long an answer may take: ten thousand certificates are checked and put in force in less.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Leases on one page unless asked otherwise, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// The longest policy that is taken, in bytes.
const POLICY_MAX: usize = 64 << 20;

/// Every route with its guards. The token is asked for before anything else, even before "no such page".
pub(super) fn router(state: Arc<AdminState>) -> Router {
    let router = Router::new();
    #[cfg(feature = "history")]
    let router = router
        .route("/api/v1/policy/rehearse", post(super::rehearse::rehearse).layer(DefaultBodyLimit::max(POLICY_MAX)));
    router
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/features", get(features))
        .route("/api/v1/leases", get(leases))
        .route("/api/v1/reservations", get(reservations))
        .route("/api/v1/licences", get(changes::list).post(changes::add))
        .route("/api/v1/licences/reload", post(changes::reload))
        .route("/api/v1/licences/{id}", delete(changes::remove))
        .route("/api/v1/policy", get(policy::show).post(policy::apply).layer(DefaultBodyLimit::max(POLICY_MAX)))
        .route("/api/v1/policy/rollback", post(policy::roll_back))
        .route("/api/v1/backup", get(backup::take))
        .route("/api/v1/clock", get(clock::show))
        .route("/api/v1/clock/confirm", post(clock::confirm))
        .route("/api/v1/store", get(store::show))
        .route("/api/v1/store/acknowledge", post(store::acknowledge))
        .route("/api/v1/policy/history", get(policy::history))
        .route("/api/v1/audit", get(audit::list))
        .route("/api/v1/audit/verify", get(audit::verify))
        .route("/api/v1/why", get(why::show))
        .fallback(no_such_page)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(text::FILE_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), auth::check))
        .layer(middleware::from_fn(in_time))
        .with_state(state)
}

async fn in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(ANSWER_WAIT, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| {
        auth::error(StatusCode::SERVICE_UNAVAILABLE, "too_slow", "the answer took longer than 30 s")
    });
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<Arc<AdminState>>) -> Response {
    let reasons = views::not_ready(&state, state.clock.now());
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Seats are granted whatever the ledger does: it is told, and no reason.
    let ledger = state.ledger.health();
    (status, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons, "ledger": ledger }))).into_response()
}

async fn metrics(State(state): State<Arc<AdminState>>) -> Response {
    match metrics::text(&state, state.clock.now()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(e) => auth::error(StatusCode::INTERNAL_SERVER_ERROR, "metrics", &format!("cannot be written: {e}")),
    }
}

async fn status(State(state): State<Arc<AdminState>>) -> Json<views::StatusView> {
    Json(views::StatusView::of(&state, state.clock.now()))
}

async fn features(State(state): State<Arc<AdminState>>) -> Json<views::FeaturesView> {
    Json(views::FeaturesView::of(&state.shared, state.clock.now()))
}

async fn reservations(State(state): State<Arc<AdminState>>) -> Json<views::ReservationsView> {
    Json(views::ReservationsView::of(&state.shared, state.clock.now()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    feature: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
}

async fn leases(
    State(state): State<Arc<AdminState>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Unreadable> {
    let wrong = |message: String| Unreadable("bad_query", message);
    let page = changes::query_of(page, "feature, limit and offset are understood")?;
    let limit = page.limit.unwrap_or(PAGE);
    if limit == 0 || limit > PAGE_MAX {
        return Err(wrong(format!("limit is 1 to {PAGE_MAX}")));
    }
    let feature =
        page.feature.as_deref().map(FeatureName::new).transpose().map_err(|e| wrong(format!("feature: {e}")))?;
    let offset = page.offset.unwrap_or(0);
    let view = views::LeasesView::of(&state.shared, state.clock.now(), feature.as_ref(), offset, limit);
    Ok(Json(view).into_response())
}

async fn no_such_page() -> Response {
    let message = "no such page; there are /healthz, /readyz, /metrics and \
                   /api/v1/{status,features,leases,reservations,licences,policy,store,clock,backup,audit,why} with licences/reload, \
                   licences/ID, policy/rollback, policy/rehearse, policy/history, store/acknowledge, clock/confirm and audit/verify";
    auth::error(StatusCode::NOT_FOUND, "not_found", message)
}

async fn not_so() -> Response {
    let message = "this page does not do that: pages are read by GET; /api/v1/licences takes POST, /api/v1/licences/reload \
                   POST, /api/v1/licences/ID DELETE, /api/v1/policy, /api/v1/policy/rehearse, /api/v1/policy/rollback, \
                   /api/v1/store/acknowledge and /api/v1/clock/confirm POST";
    auth::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
