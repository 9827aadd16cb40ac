//! The same client for programs without an executor: every call waits on the thread it is made from, and nothing else
//! runs there.
//!
//! ```no_run
//! let client = leasehold::blocking::Client::discover()?;
//! let lease = client.checkout("VR_MODE").version("4.8").send()?;
//! // ... the program runs; heartbeats go on by themselves ...
//! lease.checkin()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use leasehold_protocol::{
    message::{Activity, FeatureLine},
    vocab::{LeaseId, SeatCount},
};

use crate::{
    CheckoutError, ClientBuilder, ConnectError, DiscoverOptions, FeatureInfo, FoundServer, LeaseEvent, LeaseLost,
    LeaseState, LetGo, LicencePath, ServerInfo,
};

/// A [`crate::Client`] whose calls wait.
#[derive(Clone, Debug)]
pub struct Client(crate::Client);

/// A [`crate::Checkout`] whose sending waits.
#[derive(Clone, Debug)]
#[must_use = "a checkout asks nothing until it is sent"]
pub struct Checkout<'c>(crate::Checkout<'c>);

/// A [`crate::Lease`] whose calls wait.
#[derive(Debug)]
pub struct Lease(crate::Lease);

/// A reader of what a server asks of a lease, which waits.
#[derive(Debug)]
pub struct LetGoes(crate::LetGoes);

/// A reader of one lease's changes that waits.
#[derive(Debug)]
pub struct LeaseEvents(crate::LeaseEvents);

impl Client {
    /// As [`crate::Client::discover`].
    ///
    /// # Errors
    /// As there.
    pub fn discover() -> Result<Self, ConnectError> {
        Self::open(crate::Client::builder())
    }

    /// As [`crate::Client::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(server: &str) -> Result<Self, ConnectError> {
        wait(crate::Client::connect(server)).map(Self)
    }

    /// Opens what a [`crate::Client::builder`] describes.
    ///
    /// # Errors
    /// As [`ClientBuilder::open`].
    pub fn open(builder: ClientBuilder) -> Result<Self, ConnectError> {
        wait(builder.open()).map(Self)
    }

    /// As [`crate::Client::checkout`].
    pub fn checkout(&self, feature: &str) -> Checkout<'_> {
        Checkout(self.0.checkout(feature))
    }

    /// As [`crate::Client::features`].
    ///
    /// # Errors
    /// As there.
    pub fn features(&self) -> Result<Vec<FeatureLine>, CheckoutError> {
        wait(self.0.features())
    }

    /// As [`crate::Client::feature`].
    ///
    /// # Errors
    /// As there.
    pub fn feature(&self, name: &str) -> Result<Option<FeatureLine>, CheckoutError> {
        wait(self.0.feature(name))
    }

    /// As [`crate::Client::feature_info`].
    ///
    /// # Errors
    /// As there.
    pub fn feature_info(&self, name: &str) -> Result<Option<FeatureInfo>, CheckoutError> {
        wait(self.0.feature_info(name))
    }

    /// As [`crate::Client::licence_info`].
    #[must_use]
    pub fn licence_info(&self) -> Vec<LicencePath> {
        wait(self.0.licence_info())
    }

    /// As [`crate::Client::server`].
    #[must_use]
    pub fn server(&self) -> Option<ServerInfo> {
        self.0.server()
    }

    /// As [`crate::Client::close`].
    pub fn close(self) {
        wait(self.0.close());
    }
}

impl Checkout<'_> {
    /// As [`crate::Checkout::version`].
    pub fn version(self, version: &str) -> Self {
        Self(self.0.version(version))
    }

    /// As [`crate::Checkout::seats`].
    pub fn seats(self, seats: u32) -> Self {
        Self(self.0.seats(seats))
    }

    /// As [`crate::Checkout::retry_for`].
    pub fn retry_for(self, patience: Duration) -> Self {
        Self(self.0.retry_for(patience))
    }

    /// As [`crate::Checkout::wait`]; the thread waits with it.
    pub fn wait(self, patience: Duration) -> Self {
        Self(self.0.wait(patience))
    }

    /// As [`crate::Checkout::answer_within`].
    pub fn answer_within(self, limit: Duration) -> Self {
        Self(self.0.answer_within(limit))
    }

    /// As [`crate::Checkout::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(self) -> Result<Lease, CheckoutError> {
        wait(self.0.send()).map(Lease)
    }
}

impl Lease {
    /// As [`crate::Lease::id`].
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.0.id()
    }

    /// As [`crate::Lease::seats`].
    #[must_use]
    pub fn seats(&self) -> SeatCount {
        self.0.seats()
    }

    /// As [`crate::Lease::state`].
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.0.state()
    }

    /// As [`crate::Lease::now`].
    #[must_use]
    pub fn now(&self) -> LeaseEvent {
        self.0.now()
    }

    /// As [`crate::Lease::states`].
    #[must_use]
    pub fn states(&self) -> LeaseEvents {
        LeaseEvents(self.0.states())
    }

    /// As [`crate::Lease::on_change`].
    ///
    /// # Errors
    /// As there.
    pub fn on_change(&self, tell: impl FnMut(LeaseEvent) + Send + 'static) -> std::io::Result<()> {
        self.0.on_change(tell)
    }

    /// As [`crate::Lease::lost`].
    #[must_use]
    pub fn lost(&self) -> LeaseLost {
        wait(self.0.lost())
    }

    /// As [`crate::Lease::let_goes`].
    #[must_use]
    pub fn let_goes(&self) -> LetGoes {
        LetGoes(self.0.let_goes())
    }

    /// As [`crate::Lease::set_activity`].
    pub fn set_activity(&self, activity: Activity) {
        self.0.set_activity(activity);
    }

    /// As [`crate::Lease::checkin`].
    ///
    /// # Errors
    /// As there.
    pub fn checkin(self) -> Result<(), CheckoutError> {
        wait(self.0.checkin())
    }
}

impl Iterator for LetGoes {
    type Item = LetGo;

    fn next(&mut self) -> Option<LetGo> {
        wait(self.0.next())
    }
}

impl Iterator for LeaseEvents {
    type Item = LeaseEvent;

    fn next(&mut self) -> Option<LeaseEvent> {
        wait(self.0.next())
    }
}

/// As [`crate::discover()`].
///
/// # Errors
/// As there.
pub fn discover(options: DiscoverOptions) -> Result<Vec<FoundServer>, ConnectError> {
    wait(crate::discover(options))
}

/// Waits for `future` on this thread. What the SDK awaits are channels, so it needs no executor, and it may be called
/// from inside one.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}
