//! A client: found by one line, built by a few more.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use leasehold_protocol::{message::FeatureLine, vocab::FeatureName};

use crate::{
    builder::ClientBuilder,
    bundle::{Bundle, Item},
    checkout::Checkout,
    driver::{
        Handle,
        answers::{Held, Listed},
        shelf::{LocalGuard, Shelf},
    },
    error::{CheckoutError, ConnectError, Denied, Misuse},
    holder::{CheckoutSpec, Holder},
};

pub use crate::driver::ServerInfo;

/// A program's connection to its licence server. Cheap to clone; the last clone and the last [`Lease`](crate::Lease)
/// dropped end it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = leasehold::Client::discover().await?;
/// let lease = client.checkout("VR_MODE").version("4.8").await?;
/// // ... the program runs ...
/// lease.checkin().await?; // or just drop it
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) handle: Arc<Handle>,
    pub(crate) limit: Duration,
    /// Certificates on this machine.
    pub(crate) shelf: Arc<Mutex<Shelf>>,
    /// Whether servers come before files in the search path.
    pub(crate) server_first: bool,
}

/// How long closing waits for answers to releases.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

impl Client {
    /// Finds a server by every means at once: `LEASEHOLD_SERVER`, the server used last, this machine, broadcast and
    /// multicast. The first that proves itself wins; a named one has a head start of 40 ms.
    ///
    /// # Errors
    /// If none is found within 5 s, or none is one to trust.
    pub async fn discover() -> Result<Self, ConnectError> {
        Self::builder().open().await
    }

    /// Connects to the one server named: `host`, `host:port`, `port@host` or `[v6]:port`, with `#fingerprint` if its key
    /// is known.
    ///
    /// # Errors
    /// If the text is no address, the server does not answer within 5 s, or it is not one to trust.
    pub async fn connect(server: &str) -> Result<Self, ConnectError> {
        Self::builder().server(server).environment(false).broadcast(false).open().await
    }

    /// A client with settings of its own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Asks for one seat of `feature`, any version. The builder it returns changes that and is awaited.
    pub fn checkout(&self, feature: &str) -> Checkout<'_> {
        Checkout::new(self, feature)
    }

    /// Asks for seats of several features at once, all of them or none (R-9). The builder it returns names alternatives and is
    /// awaited.
    pub fn bundle(&self, items: impl IntoIterator<Item = Item>) -> Bundle<'_> {
        Bundle::new(self, items.into_iter().collect())
    }

    /// What features the server has, in order of name.
    ///
    /// # Errors
    /// If no server answers in time.
    pub async fn features(&self) -> Result<Vec<FeatureLine>, CheckoutError> {
        self.query(None).await
    }

    /// What the server has of one feature; `None` if it does not know it.
    ///
    /// # Errors
    /// If the name is no feature's, or no server answers in time.
    pub async fn feature(&self, name: &str) -> Result<Option<FeatureLine>, CheckoutError> {
        Ok(self.query(Some(feature_name(name)?)).await?.pop())
    }

    /// The server in use, or the last one if it is out of reach. `None` in a forked child and after the end.
    #[must_use]
    pub fn server(&self) -> Option<ServerInfo> {
        self.handle.with(|desk| desk.server()).ok().flatten()
    }

    /// Releases every lease of this client and ends it. Waits for the server's answers, at most 3 s. Closing twice is
    /// closing once.
    pub async fn close(self) {
        let (done, closed) = tokio::sync::oneshot::channel();
        if self.handle.with(|desk| desk.close(CLOSE_LIMIT, Some(done))).is_ok() {
            let _ = closed.await;
        }
    }

    /// What could not be used of the licence files in the search path, each with its place and the reason.
    #[must_use]
    pub fn refused_licences(&self) -> Vec<String> {
        self.shelf().refused.clone()
    }

    /// `error` with the licence files that were tried, too, and why they grant nothing.
    pub(crate) fn with_files(&self, mut error: ConnectError) -> ConnectError {
        if let ConnectError::NotFound { tried, .. } = &mut error {
            tried.splice(0..0, self.refused_licences());
        }
        error
    }

    pub(crate) fn has_local(&self) -> bool {
        !self.shelf().is_empty()
    }

    /// Grants from a file what `spec` asks for; `None` if no file speaks of it.
    pub(crate) fn take_local(&self, spec: &CheckoutSpec) -> Option<Result<(Held, LocalGuard), CheckoutError>> {
        let answer = self.shelf().checkout(spec)?;
        Some(answer.map_err(|(code, sentence)| CheckoutError::Denied(Box::new(Denied::local(spec, code, sentence)))))
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn query(&self, only: Option<FeatureName>) -> Result<Vec<FeatureLine>, CheckoutError> {
        let answer = self.handle.with(|desk| desk.query(only, self.limit, Holder::query_features))?;
        match answer.await.unwrap_or(Err(CheckoutError::ApiMisuse(Misuse::Closed)))? {
            Listed::Features(lines) => Ok(lines),
            Listed::Licences(_) => Ok(Vec::new()),
        }
    }
}

pub(crate) fn feature_name(name: &str) -> Result<FeatureName, CheckoutError> {
    FeatureName::new(name).map_err(|e| CheckoutError::ApiMisuse(Misuse::Feature(e)))
}
