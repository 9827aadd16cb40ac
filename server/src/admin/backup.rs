//! A backup of the data folder, while the server serves (U-5).

use std::sync::Arc;

use axum::{
    extract::{Extension, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    AdminState, auth,
    changes::{Peer, aside, not_kept},
};
use crate::{ledger::Deed, loader::BackupFailed};

/// The backup as a tar archive. Whoever has one has every key of the server: it is entered in the audit.
pub(super) async fn take(State(state): State<Arc<AdminState>>, Extension(peer): Extension<Peer>) -> Response {
    let by = peer.by();
    let taken = aside(move || {
        let deed = Deed { by: &by, action: "backup.take", before: Value::Null, after: json!({}) };
        state.ledger.record(&deed).map_err(BackupFailed::Ledger)?;
        state.loader().back_up(&state.ledger, state.clock.now())
    });
    match taken.await {
        Ok(bytes) => {
            tracing::info!(by = %peer.0, bytes = bytes.len(), "backup taken");
            ([(header::CONTENT_TYPE, "application/x-tar")], bytes).into_response()
        }
        Err(BackupFailed::Ledger(e)) => not_kept(&e, &e.to_string()),
        Err(BackupFailed::Files(e)) => auth::error(StatusCode::INTERNAL_SERVER_ERROR, "not_readable", &e.to_string()),
    }
}
