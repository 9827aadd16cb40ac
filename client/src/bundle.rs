//! Several features at once, all of them or none, or those of another alternative (R-9).

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use leasehold_protocol::{
    message::BundleItem,
    vocab::{FeatureName, SeatCount, Version},
};

use crate::{
    checkout::{Guard, Lease},
    client::Client,
    driver::Handle,
    error::{CheckoutError, Misuse},
    holder::BundleHandle,
};

/// Seats of one feature in a [bundle](Client::bundle). One seat of any version, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    feature: String,
    version: Option<String>,
    seats: u32,
    at_least: Option<u32>,
}

/// A bundle being put together. Await it.
///
/// ```no_run
/// # async fn run(client: &leasehold::Client) -> Result<(), leasehold::CheckoutError> {
/// use leasehold::Item;
/// // 2 SOLVER and 1 MESH, or 1 SUITE.
/// let wanted = [Item::new("SOLVER").seats(2), Item::new("MESH")];
/// let held = client.bundle(wanted).or([Item::new("SUITE")]).await?;
/// println!("alternative {}: {} leases", held.alternative(), held.leases().len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a bundle asks nothing until it is awaited"]
pub struct Bundle<'c> {
    client: &'c Client,
    alternatives: Vec<Vec<Item>>,
    patience: Option<Duration>,
    limit: Duration,
}

/// The seats of a bundle. Each lease is renewed, lost and given back by itself; dropping this gives all of them back.
#[derive(Debug)]
pub struct BundleHeld {
    alternative: usize,
    leases: Vec<Lease>,
}

/// Gives the bundle up when it goes before it is answered.
struct Asking {
    handle: Arc<Handle>,
    bundle: BundleHandle,
}

impl Item {
    /// One seat of `feature`, of any version.
    #[must_use]
    pub fn new(feature: &str) -> Self {
        Self { feature: feature.to_owned(), version: None, seats: 1, at_least: None }
    }

    /// The lowest version that will do, `major.minor` or `major.minor.patch`. Default: any.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// How many seats. Default 1.
    #[must_use]
    pub const fn seats(mut self, seats: u32) -> Self {
        self.seats = seats;
        self
    }

    /// How many seats will do if there are not as many as that; [`Lease::seats`] says how many it became. Default: as many as
    /// [`Item::seats`].
    #[must_use]
    pub const fn at_least(mut self, seats: u32) -> Self {
        self.at_least = Some(seats);
        self
    }

    fn spec(&self) -> Result<BundleItem, Misuse> {
        Ok(BundleItem {
            feature: FeatureName::new(&self.feature).map_err(Misuse::Feature)?,
            version: self.version.as_deref().map_or(Ok(Version::ANY), str::parse).map_err(Misuse::Number)?,
            seats: SeatCount::new(self.seats).map_err(Misuse::Number)?,
            at_least: SeatCount::new(self.at_least.unwrap_or(self.seats)).map_err(Misuse::Number)?,
        })
    }
}

impl<'c> Bundle<'c> {
    pub(crate) fn new(client: &'c Client, items: Vec<Item>) -> Self {
        Self { client, alternatives: vec![items], patience: None, limit: client.limit }
    }

    /// What will do otherwise: the alternatives are tried in order, and the first that can be had whole is taken. Up to 8, each of
    /// up to 8 features.
    pub fn or(mut self, items: impl IntoIterator<Item = Item>) -> Self {
        self.alternatives.push(items.into_iter().collect());
        self
    }

    /// Where a denial may clear, asks again when the server says so, for as long as this. A bundle has no place in the queue: those
    /// who wait there are served first. Default: the first answer counts.
    pub const fn retry_for(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// How long to wait for an answer of any kind. Default: the client's
    /// ([`ClientBuilder::answer_within`](crate::ClientBuilder::answer_within)).
    pub const fn answer_within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks the server. Licence files on this machine are not asked: they have no seats to take together. The future may be dropped at any
    /// time: what was asked is then withdrawn.
    ///
    /// # Errors
    /// [`CheckoutError`] says whose fault it is; [`CheckoutError::Unsupported`] where the server is older than bundles.
    pub async fn send(self) -> Result<BundleHeld, CheckoutError> {
        let specs = |items: &Vec<Item>| items.iter().map(Item::spec).collect::<Result<Vec<_>, _>>();
        let alternatives = self.alternatives.iter().map(specs).collect::<Result<Vec<_>, _>>()?;
        let handle = Arc::clone(&self.client.handle);
        let (bundle, answer) = handle.with(|desk| desk.checkout_bundle(alternatives, self.patience, self.limit))??;
        // From here on, whatever ends this future gives the seats back.
        let asking = Asking { handle: Arc::clone(&handle), bundle };
        let held = answer.await.unwrap_or(Err(CheckoutError::ApiMisuse(Misuse::Closed)))?;
        let lease = |(lease, feature, held)| Lease {
            held,
            guard: Guard::Server { handle: Arc::clone(&handle), lease },
            feature,
        };
        let leases = held.leases.into_iter().map(lease).collect();
        drop(asking);
        Ok(BundleHeld { alternative: held.alternative, leases })
    }
}

impl<'c> IntoFuture for Bundle<'c> {
    type Output = Result<BundleHeld, CheckoutError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl BundleHeld {
    /// Which alternative it became, counted from 0.
    #[must_use]
    pub const fn alternative(&self) -> usize {
        self.alternative
    }

    /// A lease for each item of that alternative, in its order.
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// The same, each to be held for itself.
    #[must_use]
    pub fn into_leases(self) -> Vec<Lease> {
        self.leases
    }

    /// Gives all seats back and waits for the server's word.
    ///
    /// # Errors
    /// As [`Lease::checkin`], of the first that was not confirmed. All are given back in any case.
    pub async fn checkin(self) -> Result<(), CheckoutError> {
        let mut answer = Ok(());
        for lease in self.leases {
            answer = answer.and(lease.checkin().await);
        }
        answer
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.handle.with(|desk| desk.abandon_bundle(self.bundle));
    }
}
