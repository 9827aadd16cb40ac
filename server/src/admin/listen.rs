//! The socket of REST: loopback only, few connections, small requests, short waits.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};

use super::{AdminState, changes::Peer, routes};
use crate::{
    error::StartError,
    process::{Transport, holder_of},
};

/// Connections at once. More wait in the system's queue.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take, and a kept connection may be silent.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes; of bodies the handlers take what they allow.
const HEAD_MAX: usize = 16 * 1024;
/// How long to rest when the system gives no connection, for want of files say.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Running REST. Dropping it ends it.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Opens REST's port.
///
/// # Errors
/// If it is not on loopback, or taken, or the system says no.
pub fn bind(address: SocketAddr) -> Result<StdListener, StartError> {
    if !address.ip().is_loopback() {
        return Err(StartError::HttpNotLoopback(address));
    }
    let listener = StdListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            let holder = holder_of(Transport::Tcp, address).unwrap_or_else(|| "another program".into());
            StartError::HttpInUse { address, holder }
        }
        _ => StartError::Http { address, source },
    })
}

impl Admin {
    /// Serves `state` on `listener`.
    ///
    /// # Errors
    /// If the listener cannot be waited for.
    pub fn start(listener: StdListener, state: Arc<AdminState>) -> Result<Self, StartError> {
        let address = listener.local_addr();
        let (listener, address) = address
            .and_then(|a| Ok((TcpListener::from_std(listener)?, a)))
            .map_err(|source| StartError::Http { address: SocketAddr::from(([127, 0, 0, 1], 0)), source })?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, routes::router(state), stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // It ends at its next turn; a panic in it has been reported by the runtime.
        let _ = self.task.await;
    }
}

async fn serve(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed; if it were, there would be nothing to serve with.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Also when the sender is gone.
            _ = stopped.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                drop(tokio::spawn(connection(stream, router, place, stopped.clone())));
            }
            Err(e) => {
                tracing::debug!("accepting a connection failed: {e}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    place: OwnedSemaphorePermit,
    mut stopped: watch::Receiver<bool>,
) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        _ = stopped.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a REST connection ended badly: {e}");
    }
    drop(place);
}
