//! What a program is told, and how somebody waits for it.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use leasehold_protocol::{
    crypto::{Fingerprint, PublicKey},
    message::{FeatureLine, Grant, LicenceLine, LotUse},
    time::{Mono, UnixMillis},
    vocab::{FeatureName, LeaseId, RealmId, SeatCount},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::plan::Found;
use crate::{
    error::{CheckoutError, ConnectError, Misuse},
    holder::{LeaseHandle, LeaseState, Place},
};

/// The server in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Where it listens.
    pub address: SocketAddr,
    /// What people compare its key by.
    pub fingerprint: Fingerprint,
    /// Its key.
    pub key: PublicKey,
    /// The publisher's realm it serves us in.
    pub realm: RealmId,
    /// How it was found.
    pub found: Found,
    /// One round trip to it, when the session began.
    pub round_trip: Duration,
}

/// One change of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseEvent {
    /// The state from then on. Instants in it are of the lease clock; the ones below are the same on the wall clock.
    pub state: LeaseState,
    /// When it changed.
    pub at: SystemTime,
    /// Until when this state lasts if no server is heard from: the deadline of a lease that is held, the end of its grace.
    pub until: Option<SystemTime>,
}

/// A lease as it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) event: LeaseEvent,
    pub(crate) id: LeaseId,
}

/// What a lease was granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) seats: SeatCount,
    pub(crate) lots: Vec<LotUse>,
    pub(crate) right_ends: Option<UnixMillis>,
}

impl From<Box<Grant>> for Granted {
    fn from(grant: Box<Grant>) -> Self {
        Self { seats: grant.seats, lots: grant.lots, right_ends: grant.right_ends }
    }
}

/// What a checkout's waiter gets.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) grant: Granted,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) events: broadcast::Receiver<LeaseEvent>,
    /// What is asked of it while somebody waits; `None`: nobody asks.
    pub(crate) pleas: Option<watch::Receiver<Option<LetGo>>>,
}

/// Somebody waits for a seat of this lease, which is idle by the program's own word.
///
/// The program may save and give the seat back; or it says by [`Lease::set_activity`](crate::Lease::set_activity) that its user is at
/// work again, that it is busy or has unsaved work, and keeps it. One that does nothing loses the seat when the time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetGo {
    /// When the seat is taken otherwise; `None`: nobody needs it any more.
    pub until: Option<SystemTime>,
    /// The server's rule, for its administrator.
    pub rule: String,
    /// How many wait.
    pub waiting: u32,
}

/// What becomes of a denial that may clear.
#[derive(Clone, Debug)]
pub(crate) enum Patience {
    /// It is the answer.
    None,
    /// It is asked again for so long.
    Asks(Duration),
    /// A place in the queue is taken for so long, and told.
    Queues(Duration, Option<mpsc::UnboundedSender<Place>>),
}

/// What a query's waiter gets.
#[derive(Debug)]
pub(crate) enum Listed {
    Features(Vec<FeatureLine>),
    Licences(Vec<LicenceLine>),
}

/// What a bundle's waiter gets: which alternative it became, and its leases.
#[derive(Debug)]
pub(crate) struct BundleHeld {
    pub(crate) alternative: usize,
    pub(crate) leases: Vec<(LeaseHandle, FeatureName, Held)>,
}

pub(crate) type BundleAnswer = Result<BundleHeld, CheckoutError>;
pub(crate) type OpenAnswer = Result<ServerInfo, ConnectError>;
pub(crate) type CheckoutAnswer = Result<Held, CheckoutError>;
pub(crate) type QueryAnswer = Result<Listed, CheckoutError>;
pub(crate) type ReleaseAnswer = Result<(), CheckoutError>;

/// Somebody who waits for a `T`.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) reply: oneshot::Sender<T>,
    pub(super) since: Mono,
    /// When the wait is over without one.
    pub(super) until: Mono,
    pub(super) patience: Duration,
}

impl<T> Waiter<T> {
    pub(super) fn new(now: Mono, patience: Duration) -> (Self, oneshot::Receiver<T>) {
        let (reply, answer) = oneshot::channel();
        (Self { reply, since: now, until: now.plus(patience), patience }, answer)
    }
}

impl From<Misuse> for CheckoutError {
    fn from(misuse: Misuse) -> Self {
        Self::ApiMisuse(misuse)
    }
}
