//! Checking out: the question, the guard that holds the answer, and what becomes of it.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use leasehold_protocol::{
    message::{Activity, LotUse},
    time::UnixMillis,
    vocab::{FeatureName, LeaseId, SeatCount, Version},
};
use tokio::sync::{broadcast, mpsc, watch};

use crate::{
    blocking::wait,
    client::Client,
    driver::{Handle, Held, Patience, View, shelf::LocalGuard},
    error::{CheckoutError, Misuse},
    holder::{CheckoutSpec, LeaseHandle, LeaseState, LossCause, Place},
};

pub use crate::driver::{LeaseEvent, LetGo};

/// A checkout being put together. Await it.
#[derive(Clone, Debug)]
#[must_use = "a checkout asks nothing until it is awaited"]
pub struct Checkout<'c> {
    client: &'c Client,
    feature: String,
    version: Option<String>,
    seats: u32,
    patience: Patience,
    limit: Duration,
}

/// The places a checkout comes to while it waits, as the server tells them.
#[derive(Debug)]
pub struct Places(mpsc::UnboundedReceiver<Place>);

/// Seats this program holds. Renewed in the background; given back by [`Lease::checkin`] or by dropping it.
#[derive(Debug)]
pub struct Lease {
    pub(crate) held: Held,
    pub(crate) guard: Guard,
    pub(crate) feature: FeatureName,
}

/// A reader of one lease's changes.
#[derive(Debug)]
pub struct LeaseEvents {
    events: broadcast::Receiver<LeaseEvent>,
}

/// A reader of what a server asks of a lease while somebody waits.
#[derive(Debug)]
pub struct LetGoes {
    pleas: Option<watch::Receiver<Option<LetGo>>>,
}

/// A lease that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseLost {
    /// Why.
    pub why: LossCause,
    /// Since when.
    pub at: SystemTime,
}

/// Gives the lease back when it goes.
#[derive(Debug)]
pub(crate) enum Guard {
    /// To a server.
    Server { handle: Arc<Handle>, lease: LeaseHandle },
    /// To nobody.
    Local { _alive: LocalGuard },
}

/// How long [`Lease::checkin`] waits for the server's word.
const CHECKIN_LIMIT: Duration = Duration::from_secs(5);

impl<'c> Checkout<'c> {
    pub(crate) fn new(client: &'c Client, feature: &str) -> Self {
        let (version, patience, limit) = (None, Patience::None, client.limit);
        Self { client, feature: feature.to_owned(), version, seats: 1, patience, limit }
    }

    /// The lowest version that will do, `major.minor` or `major.minor.patch`. Default: any.
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// How many seats, all or none. Default 1.
    pub fn seats(mut self, seats: u32) -> Self {
        self.seats = seats;
        self
    }

    /// Where a denial may clear, asks again when the server says so, for as long as this. Default: the first answer
    /// counts.
    pub fn retry_for(mut self, patience: Duration) -> Self {
        self.patience = Patience::Asks(patience);
        self
    }

    /// Where a denial may clear, takes a place in the server's queue for as long as this: seats that come back go to whoever is
    /// next, and nobody passes him. Whoever drops the future leaves the queue. A server that has no queues is asked again as by
    /// [`Checkout::retry_for`]. Default: the first answer counts.
    pub fn wait(mut self, patience: Duration) -> Self {
        let places = match self.patience {
            Patience::Queues(_, places) => places,
            _ => None,
        };
        self.patience = Patience::Queues(patience, places);
        self
    }

    /// Tells the places this checkout comes to while it [waits](Checkout::wait): the reader gets each as the server tells it,
    /// and `None` once the checkout is answered.
    pub fn places(mut self) -> (Self, Places) {
        let (tell, told) = mpsc::unbounded_channel();
        let patience = match self.patience {
            Patience::Queues(patience, _) | Patience::Asks(patience) => patience,
            Patience::None => Duration::ZERO,
        };
        self.patience = Patience::Queues(patience, Some(tell));
        (self, Places(told))
    }

    /// How long to wait for an answer of any kind. Default: the client's
    /// ([`ClientBuilder::answer_within`](crate::ClientBuilder::answer_within)).
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks. The future may be dropped at any time: what was asked is then withdrawn.
    ///
    /// # Errors
    /// [`CheckoutError`] says whose fault it is.
    pub async fn send(self) -> Result<Lease, CheckoutError> {
        let spec = self.spec()?;
        // The order of the search path: whoever is named first is asked first (L-18).
        if self.client.server_first {
            match self.ask_server(spec.clone()).await {
                Err(CheckoutError::Denied(_) | CheckoutError::Unreachable { .. }) if self.client.has_local() => {}
                answer => return answer,
            }
        }
        match self.client.take_local(&spec) {
            Some(Ok((held, alive))) => Ok(Lease { held, guard: Guard::Local { _alive: alive }, feature: spec.feature }),
            Some(Err(refused)) if self.client.server_first => Err(refused),
            Some(Err(refused)) => match self.ask_server(spec).await {
                // What the files say is more than that nobody answers.
                Err(CheckoutError::Unreachable { .. }) => Err(refused),
                answer => answer,
            },
            None => self.ask_server(spec).await,
        }
    }

    async fn ask_server(&self, spec: CheckoutSpec) -> Result<Lease, CheckoutError> {
        let (feature, handle) = (spec.feature.clone(), Arc::clone(&self.client.handle));
        let (lease, answer) = handle.with(|desk| desk.checkout(spec, self.patience.clone(), self.limit))?;
        // From here on, whatever ends this future gives the seats back.
        let guard = Guard::Server { handle, lease };
        let held = answer.await.unwrap_or(Err(CheckoutError::ApiMisuse(Misuse::Closed)))?;
        Ok(Lease { held, guard, feature })
    }

    fn spec(&self) -> Result<CheckoutSpec, Misuse> {
        let feature = FeatureName::new(&self.feature).map_err(Misuse::Feature)?;
        let version = self.version.as_deref().map_or(Ok(Version::ANY), str::parse).map_err(Misuse::Number)?;
        let seats = SeatCount::new(self.seats).map_err(Misuse::Number)?;
        Ok(CheckoutSpec { feature, version, seats, claim: None })
    }
}

impl<'c> IntoFuture for Checkout<'c> {
    type Output = Result<Lease, CheckoutError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Lease {
    /// What it is for.
    #[must_use]
    pub fn feature(&self) -> &FeatureName {
        &self.feature
    }

    /// Its id on the server, as `leasehold status` shows it. Changes when the lease is regained after a loss.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.held.view.borrow().id
    }

    /// How many seats.
    #[must_use]
    pub fn seats(&self) -> SeatCount {
        self.held.grant.seats
    }

    /// Which certificates the seats came from.
    #[must_use]
    pub fn lots(&self) -> &[LotUse] {
        &self.held.grant.lots
    }

    /// When the right itself ends, if it does.
    #[must_use]
    pub fn right_ends(&self) -> Option<UnixMillis> {
        self.held.grant.right_ends
    }

    /// Whether it was granted by a licence file on this machine, with no server (L-18). Nobody has to renew it, and it lasts as
    /// long as its right.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.guard, Guard::Local { .. })
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.held.view.borrow().event.state
    }

    /// How it stands, with times.
    #[must_use]
    pub fn now(&self) -> LeaseEvent {
        self.held.view.borrow().event
    }

    /// Every change from here on, in order. A reader that falls 64 changes behind misses the oldest.
    #[must_use]
    pub fn states(&self) -> LeaseEvents {
        LeaseEvents { events: self.held.events.resubscribe() }
    }

    /// Calls `tell` with every change from here on, on a thread of its own: it may take its time. Ends with the lease.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn on_change(&self, mut tell: impl FnMut(LeaseEvent) + Send + 'static) -> std::io::Result<()> {
        let mut states = self.states();
        let watch = move || {
            while let Some(event) = wait(states.next()) {
                tell(event);
            }
        };
        std::thread::Builder::new().name("leasehold-watch".to_owned()).spawn(watch).map(drop)
    }

    /// Waits until the lease is lost; for ever if it never is. A lost lease may come back: [`Lease::states`] tells.
    pub async fn lost(&self) -> LeaseLost {
        lost(self.held.view.clone()).await
    }

    /// What the server asks of this program while its seat is idle and somebody waits: see [`LetGo`]. Begins with what is
    /// asked now; of what changes faster than it is read, the reader gets the last.
    #[must_use]
    pub fn let_goes(&self) -> LetGoes {
        let mut pleas = self.held.pleas.clone();
        if let Some(pleas) = &mut pleas {
            let is_asked = pleas.borrow_and_update().as_ref().is_some_and(|plea| plea.until.is_some());
            if is_asked {
                pleas.mark_changed();
            }
        }
        LetGoes { pleas }
    }

    /// Tells the server what this program is doing: with the next renewal, or at once if it has asked for the seat. A program
    /// that never says anything is never idle.
    pub fn set_activity(&self, activity: Activity) {
        if let Guard::Server { handle, lease } = &self.guard {
            let _ = handle.with(|desk| desk.set_activity(*lease, activity));
        }
    }

    /// Gives the seats back and waits for the server's word.
    ///
    /// # Errors
    /// [`CheckoutError::Unreachable`] if none came within 5 s. The release goes on being sent all the same, for as long
    /// as the client lives and the lease could.
    pub async fn checkin(self) -> Result<(), CheckoutError> {
        let Guard::Server { handle, lease } = &self.guard else { return Ok(()) };
        let answer = handle.with(|desk| desk.release(*lease, Some(CHECKIN_LIMIT)))?;
        match answer {
            Some(answer) => answer.await.unwrap_or(Err(CheckoutError::ApiMisuse(Misuse::Closed))),
            None => Ok(()),
        }
    }
}

impl Places {
    /// The next place; `None` once the checkout is answered or was given up.
    pub async fn next(&mut self) -> Option<Place> {
        self.0.recv().await
    }
}

impl LeaseEvents {
    /// The next change; `None` once the lease is given back or the client ended.
    pub async fn next(&mut self) -> Option<LeaseEvent> {
        loop {
            match self.events.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl LetGoes {
    /// The next plea; `None` once the lease is given back or the client ended.
    pub async fn next(&mut self) -> Option<LetGo> {
        let pleas = self.pleas.as_mut()?;
        loop {
            pleas.changed().await.ok()?;
            let plea = pleas.borrow_and_update().clone();
            if plea.is_some() {
                return plea;
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Best effort and no waiting: one datagram leaves now, and the thread repeats it.
        if let Self::Server { handle, lease } = self {
            let _ = handle.with(|desk| desk.release(*lease, None));
        }
    }
}

impl fmt::Display for LeaseLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

async fn lost(mut view: watch::Receiver<View>) -> LeaseLost {
    loop {
        let event = view.borrow_and_update().event;
        if let LeaseState::Lost { why, .. } = event.state {
            return LeaseLost { why, at: event.at };
        }
        if view.changed().await.is_err() {
            return LeaseLost { why: LossCause::ClientClosed, at: event.at };
        }
    }
}
