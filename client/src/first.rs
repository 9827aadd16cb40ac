//! The first of several checkouts: queues of several servers at once, and one grant kept (R-10).

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use crate::{
    checkout::{Checkout, Lease},
    error::{CheckoutError, Misuse},
};

/// Asks all of `checkouts` at once, each of a client of its own or of different features, and keeps the first lease that is
/// granted: which of them it was, and the lease. The others are withdrawn: whoever waited leaves the queue, and a seat that was
/// granted in the same moment is given back.
///
/// With [`Checkout::wait`] this is waiting at several servers at once, for whichever has a seat first. A server that is out of reach, or
/// says no for good, is one fewer to wait for.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// let berlin = leasehold::Client::connect("5097@berlin").await?;
/// let paris = leasehold::Client::connect("5097@paris").await?;
/// let patience = Duration::from_secs(600);
/// let both = [berlin.checkout("CAD").wait(patience), paris.checkout("CAD").wait(patience)];
/// let (which, lease) = leasehold::first_of(both).await?;
/// # drop((which, lease));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Why the last of them failed that says waiting may help; if none does, why the last one failed. [`Misuse::NoCheckout`] if there is
/// none.
pub async fn first_of<'c>(checkouts: impl IntoIterator<Item = Checkout<'c>>) -> Result<(usize, Lease), CheckoutError> {
    type Asked<'c> = Pin<Box<dyn Future<Output = Result<Lease, CheckoutError>> + Send + 'c>>;
    let mut asked: Vec<Option<Asked<'c>>> =
        checkouts.into_iter().map(|checkout| Some(Box::pin(checkout.send()) as Asked<'c>)).collect();
    if asked.is_empty() {
        return Err(CheckoutError::ApiMisuse(Misuse::NoCheckout));
    }
    let mut failed: Option<CheckoutError> = None;
    poll_fn(move |context| {
        for (which, place) in asked.iter_mut().enumerate() {
            let Some(Poll::Ready(answer)) = place.as_mut().map(|asked| asked.as_mut().poll(context)) else { continue };
            *place = None;
            match answer {
                Ok(lease) => return Poll::Ready(Ok((which, lease))),
                Err(error) => {
                    let keeps = failed.as_ref().is_some_and(may_clear) && !may_clear(&error);
                    failed = if keeps { failed.take() } else { Some(error) };
                }
            }
        }
        match failed.take_if(|_| asked.iter().all(Option::is_none)) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    })
    .await
}

fn may_clear(error: &CheckoutError) -> bool {
    matches!(error, CheckoutError::Denied(denied) if denied.may_clear())
}
