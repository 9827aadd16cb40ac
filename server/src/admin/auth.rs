//! The bearer token, and JSON errors that say what to do.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::AdminState;

/// The one route that tells nothing and wants nothing.
const OPEN: &str = "/healthz";

/// Lets through who has the token.
pub(super) async fn check(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    if request.uri().path() == OPEN || bearer(request.headers()).is_some_and(|token| state.token.matches(token)) {
        return next.run(request).await;
    }
    let path = state.token_path.display();
    let message =
        format!("this needs the header \"Authorization: Bearer TOKEN\"; the token is in {path} on the server");
    let mut response = error(StatusCode::UNAUTHORIZED, "unauthorized", &message);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A request that cannot be read: its code, and what is wrong with it.
pub(super) struct Unreadable(pub(super) &'static str, pub(super) String);

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        error(StatusCode::BAD_REQUEST, self.0, &self.1)
    }
}

/// An error for programs and people: `{"error": {"code", "message"}}`.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
}
