//! The workers' threads, what they share, and what can be asked of them.

use std::{io, net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use leasehold_core::Shared;
use tokio::{
    runtime,
    sync::{Notify, mpsc},
};

use crate::{clock::SteadyClock, history::History, journal::Journal, ledger::Uses};

use super::{
    InterfaceView, Listener, NetCounters,
    worker::{self, Worker},
};

/// What workers share and tell.
#[derive(Clone)]
pub struct Wiring {
    /// What the engines share.
    pub shared: Arc<Shared>,
    /// Which networks we are on.
    pub interfaces: Arc<InterfaceView>,
    /// What the sockets do.
    pub counters: Arc<NetCounters>,
    /// What time it is.
    pub clock: Arc<SteadyClock>,
    /// Where leases are written down.
    pub journal: Arc<Journal>,
    /// Where uses of trials and meters are noted.
    pub uses: Arc<Uses>,
    /// Where usage is noted, for who looks back.
    pub history: Arc<History>,
    /// Whether broadcast and multicast are heard.
    pub discovery: bool,
    /// How long a worker looks for datagrams before it sleeps.
    pub busy_poll: Duration,
    /// Told whenever a lease ends: what a shutdown waits for.
    pub lease_ended: Arc<Notify>,
    /// Told if a worker ends by a fault of its own.
    pub worker_failed: Arc<Notify>,
}

/// The running workers. Dropping them ends them.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    orders: Orders,
}

/// What can be asked of the workers.
#[derive(Clone, Debug)]
pub struct Orders(Vec<mpsc::UnboundedSender<Order>>);

/// One thing asked of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Goodbye,
    Stop,
}

impl Workers {
    /// Starts one worker for each socket of the listeners.
    ///
    /// # Errors
    /// If a thread, its runtime or a socket option cannot be had.
    pub fn start(listeners: Vec<Listener>, wiring: &Wiring) -> io::Result<Self> {
        let bound: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
        let steered = listeners.iter().all(|listener| listener.steered);
        let count = listeners.iter().map(|listener| listener.sockets.len()).min().unwrap_or(0);
        let (mut sockets, mut doors): (Vec<_>, Vec<_>) =
            listeners.into_iter().map(|listener| (listener.sockets.into_iter(), listener.doors.into_iter())).unzip();
        let mut workers = Self { threads: Vec::new(), orders: Orders(Vec::new()) };
        for number in 0..count {
            let own = [&mut sockets, &mut doors].map(|of_all| of_all.iter_mut().filter_map(Iterator::next).collect());
            let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            let (order, orders) = mpsc::unbounded_channel();
            let worker = Worker::new(number, own, &bound, orders, steered, wiring, &runtime)?;
            let name = format!("leasehold-{number}");
            workers.threads.push(std::thread::Builder::new().name(name).spawn(move || worker::run(worker, &runtime))?);
            workers.orders.0.push(order);
        }
        Ok(workers)
    }

    /// What can be asked of them, by others than their owner.
    #[must_use]
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Ends them and waits for it.
    pub async fn stop(self) {
        self.orders.all(Order::Stop);
        let joined = tokio::task::spawn_blocking(|| {
            for thread in self.threads {
                // A panic was told through `worker_failed` when it happened.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

impl Orders {
    /// Has every worker tell its clients that the server is going away.
    pub fn goodbye(&self) {
        self.all(Order::Goodbye);
    }

    fn all(&self, order: Order) {
        for worker in &self.0 {
            // One that has ended needs no order.
            let _ = worker.send(order);
        }
    }
}
