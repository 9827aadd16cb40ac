//! The async half: sockets, clocks, a thread of its own, and the state folder.
//!
//! A client lives on one background thread with a small runtime. So it works under any executor or none, its heartbeats go on
//! while the program computes, and what the program awaits are plain channels. Calls from the program take a short lock,
//! change the [`Holder`](crate::holder::Holder) and send what it wants sent, without waiting for anything: a guard that is
//! dropped as the process ends has still sent its release.

pub(crate) mod answers;
pub(crate) mod clock;
mod desk;
pub(crate) mod entropy;
pub(crate) mod identity;
pub(crate) mod net;
pub(crate) mod plan;
pub(crate) mod shelf;
pub(crate) mod state;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

pub(crate) use answers::{Held, Patience, View};
pub use answers::{LeaseEvent, LetGo, ServerInfo};
pub(crate) use desk::Desk;
pub use identity::this_process;
pub use plan::Found;
use tokio::{runtime::Runtime, sync::Notify, task::JoinHandle, time::timeout};

use crate::error::Misuse;

/// A program's hold on its client. The last one dropped closes it.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    /// The process the thread lives in.
    pid: u32,
}

#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    /// The desk's next deadline has changed.
    wake: Notify,
}

/// A release nobody waits for is repeated this long after the last handle is gone.
const LINGER: Duration = Duration::from_secs(2);
/// Larger than any datagram of ours: a longer one is cut and then refused for its size.
const RECEIVE_LEN: usize = 2_048;
/// A socket that reports so many errors in a row is opened afresh.
const ERRORS_MAX: u32 = 16;
/// Sockets are opened afresh at most this often.
const REOPEN_WAIT: Duration = Duration::from_secs(1);

impl Handle {
    /// Starts the client's thread.
    ///
    /// # Errors
    /// If the system gives no thread or no runtime.
    pub(crate) fn start(desk: Desk) -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let shared = Arc::new(Shared { desk: Mutex::new(desk), wake: Notify::new() });
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("leasehold".to_owned()).spawn(move || serve(theirs, runtime))?;
        Ok(Arc::new(Self { shared, pid: std::process::id() }))
    }

    /// Does something at the desk, and sends what comes of it.
    ///
    /// # Errors
    /// [`Misuse::Forked`] in a child of the process that opened the client: its thread is not here, and the lock may be
    /// held for ever. [`Misuse::Closed`] after the end.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> Result<T, Misuse> {
        if self.is_forked() {
            return Err(Misuse::Forked);
        }
        let done = self.shared.with(|desk| if desk.is_over() { Err(Misuse::Closed) } else { Ok(act(desk)) });
        self.shared.wake.notify_one();
        done
    }

    /// This handle as a child of a fork would have it.
    #[cfg(test)]
    pub(crate) fn as_in_a_child(&self) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(&self.shared), pid: self.pid.wrapping_add(1) })
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.with(|desk| desk.close(LINGER, None));
    }
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        // A panic under the lock would be a defect of ours; it must not become one of the program.
        act(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends the desk when the thread does, however it does: nobody waits for an answer that cannot come.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.with(Desk::end);
    }
}

fn serve(shared: Arc<Shared>, runtime: Runtime) {
    let ending = Ending(shared);
    runtime.block_on(run(&ending.0));
    // A name being looked up may hang for long; nobody waits for it.
    runtime.shutdown_background();
}

/// Waits for one thing, does it, repeats.
async fn run(shared: &Arc<Shared>) {
    let mut receivers = receive_all(shared);
    loop {
        let turn = shared.with(Desk::turn);
        if turn.over {
            break;
        }
        for (i, host, port) in turn.look_up {
            tokio::spawn(look_up(Arc::clone(shared), i, host, port));
        }
        if turn.reopen {
            receivers.drain(..).for_each(|task| task.abort());
            if shared.with(Desk::reopen).is_err() {
                tokio::time::sleep(REOPEN_WAIT).await;
            }
            receivers = receive_all(shared);
        }
        let _ = timeout(turn.wait, shared.wake.notified()).await;
    }
}

fn receive_all(shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let sockets = shared.with(|desk| desk.receivers());
    sockets.into_iter().map(|socket| tokio::spawn(receive(Arc::clone(shared), socket))).collect()
}

async fn receive(shared: Arc<Shared>, socket: UdpSocket) {
    let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else { return };
    let mut bytes = [0; RECEIVE_LEN];
    let mut errors = 0;
    while errors < ERRORS_MAX {
        match socket.recv_from(&mut bytes).await {
            Ok((len, from)) => {
                errors = 0;
                shared.with(|desk| desk.receive(from, &mut bytes[..len]));
                shared.wake.notify_one();
            }
            // "Connection refused" tells of a datagram sent before; the others pass or do not, and then it is enough.
            Err(_) => errors += 1,
        }
    }
    tokio::time::sleep(REOPEN_WAIT).await;
    shared.with(Desk::wear_out);
    shared.wake.notify_one();
}

async fn look_up(shared: Arc<Shared>, server: usize, host: String, port: u16) {
    let found: Vec<SocketAddr> = match tokio::net::lookup_host((host.as_str(), port)).await {
        Ok(addresses) => addresses.collect(),
        Err(_) => Vec::new(),
    };
    shared.with(|desk| desk.resolved(server, &found));
    shared.wake.notify_one();
}
