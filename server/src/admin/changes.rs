//! Licences over the administration's channel: listed, added, taken out, read anew (L-5). Every change is a line of the log
//! that says who and what.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use leasehold_protocol::{hex, vocab::CertificateId};
use serde::Deserialize;

use super::{
    AdminState,
    auth::{self, Unreadable},
};
use crate::{
    ledger::{By, LedgerError, Who},
    loader::{AddReport, ChangeError, ReloadError},
};

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Peer {
    /// For the audit: whoever has the token, from there.
    pub(super) fn by(self) -> By {
        By { who: Who::RestToken, from: self.0.to_string() }
    }
}

pub(super) async fn list(State(state): State<Arc<AdminState>>) -> Response {
    Json(&*state.licences_now(state.clock.now())).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    #[serde(default)]
    persist: bool,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn add(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    how: Result<Query<How>, QueryRejection>,
    body: Bytes,
) -> Result<Response, Unreadable> {
    let (how, text) = (query_of(how, "persist and dry_run are understood, true or false")?, text_of(body)?);
    let added = aside(move || {
        let mut loader = state.loader();
        loader.add(&text, how.persist, how.dry_run, &peer.by(), &state)
    });
    Ok(match added.await {
        Ok(report) => {
            tell_added(&report, peer);
            Json(report).into_response()
        }
        Err(e) => refused(&e),
    })
}

pub(super) async fn remove(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Response {
    let Some(id) = hex::decode(&id).map(CertificateId) else {
        let message =
            format!("{id:?} is no certificate id: it has 16 hexadecimal digits, as `leasehold licence list` shows");
        return auth::error(StatusCode::BAD_REQUEST, "bad_id", &message);
    };
    let removed = aside(move || {
        let mut loader = state.loader();
        loader.remove(id, &peer.by(), &state)
    });
    match removed.await {
        Ok(report) => {
            tracing::info!(%id, by = %peer.0, "certificate removed over the network");
            Json(&*report).into_response()
        }
        Err(e) => refused(&e),
    }
}

pub(super) async fn reload(State(state): State<Arc<AdminState>>, Extension(peer): Extension<Peer>) -> Response {
    let read = aside(move || {
        let mut loader = state.loader();
        loader.reload(&peer.by(), &state)
    });
    match read.await {
        Ok(report) => {
            tracing::info!(applied = report.applied(), by = %peer.0, "licences read anew");
            Json(&*report).into_response()
        }
        Err(e) => refused(&ChangeError::Reload(e)),
    }
}

/// What a query asks for; else what is wrong with it, and what is `understood`.
pub(super) fn query_of<T>(query: Result<Query<T>, QueryRejection>, understood: &str) -> Result<T, Unreadable> {
    let unreadable = |e: QueryRejection| Unreadable("bad_query", format!("{}; {understood}", e.body_text()));
    query.map(|Query(asked)| asked).map_err(unreadable)
}

/// What was sent, as text.
pub(super) fn text_of(body: Bytes) -> Result<String, Unreadable> {
    String::from_utf8(body.into()).map_err(|e| {
        let message = format!("what was sent is not text: byte {} is no UTF-8", e.utf8_error().valid_up_to());
        Unreadable("not_text", message)
    })
}

/// Runs what blocks where nobody else waits for it.
pub(super) async fn aside<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

fn tell_added(report: &AddReport, Peer(by): Peer) {
    for line in &report.certificates {
        let (id, outcome, persisted) = (&line.id, line.outcome, report.persisted);
        if report.changed {
            tracing::info!(%by, id, outcome, persisted, "certificate added over the network: {}", line.sentence);
        } else {
            tracing::info!(%by, id, outcome, "certificate sent over the network, and nothing changed: {}", line.sentence);
        }
    }
}

/// The answer where the ledger cannot keep a change, or tell what it has.
pub(super) fn not_kept(e: &LedgerError, message: &str) -> Response {
    auth::error(StatusCode::SERVICE_UNAVAILABLE, e.code(), message)
}

fn refused(e: &ChangeError) -> Response {
    if let ChangeError::Reload(ReloadError::Ledger(why)) = e {
        return not_kept(why, &e.to_string());
    }
    let (status, code) = match e {
        ChangeError::Nothing => (StatusCode::BAD_REQUEST, "nothing"),
        ChangeError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
        ChangeError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_certificate"),
        ChangeError::InFile { .. } => (StatusCode::CONFLICT, "in_a_file"),
        ChangeError::Reload(ReloadError::Faults(_)) => (StatusCode::CONFLICT, "faulty_files"),
        ChangeError::Reload(ReloadError::Policy(_)) => (StatusCode::CONFLICT, "faulty_policy"),
        ChangeError::Reload(_) => (StatusCode::INTERNAL_SERVER_ERROR, "not_loaded"),
    };
    auth::error(status, code, &e.to_string())
}
