//! Who waits for which bundle.

use std::time::Duration;

use leasehold_protocol::{
    message::{BundleItem, Grant},
    time::{Mono, Now},
};
use tokio::sync::oneshot;

use super::{Desk, Slot};
use crate::{
    driver::{
        answers::{BundleAnswer, BundleHeld, Waiter},
        clock,
    },
    error::{CheckoutError, Denied, Misuse},
    holder::{BundleHandle, BundleRefused, CheckoutSpec, LeaseHandle},
};

impl Desk {
    /// Asks for all of the first of `alternatives` that can be had; with `patience` a denial that may clear is asked again for so long.
    /// `limit`: for an answer of any kind.
    pub(crate) fn checkout_bundle(
        &mut self,
        alternatives: Vec<Vec<BundleItem>>,
        patience: Option<Duration>,
        limit: Duration,
    ) -> Result<(BundleHandle, oneshot::Receiver<BundleAnswer>), Misuse> {
        let now = clock::now();
        let (waiter, answer) = Waiter::new(now.mono, limit);
        let handle = self.holder.checkout_bundle(now, alternatives.clone(), patience).map_err(Misuse::Bundle)?;
        self.bundles.insert(handle, (waiter, alternatives));
        self.drain();
        Ok((handle, answer))
    }

    /// Nobody waits for it any more: what it may have been granted goes back.
    pub(crate) fn abandon_bundle(&mut self, bundle: BundleHandle) {
        if self.bundles.remove(&bundle).is_some() {
            self.holder.abandon_bundle(clock::now(), bundle);
            self.drain();
        }
    }

    pub(super) fn on_bundle_granted(
        &mut self,
        now: Now,
        bundle: BundleHandle,
        alternative: usize,
        leases: Vec<(LeaseHandle, Box<Grant>)>,
    ) {
        let Some((waiter, alternatives)) = self.bundles.remove(&bundle) else { return };
        let mut all = Vec::with_capacity(leases.len());
        for ((lease, grant), item) in
            leases.into_iter().zip(alternatives.into_iter().nth(alternative).unwrap_or_default())
        {
            let spec = CheckoutSpec { seats: grant.seats, ..spec_of(&item) };
            let slot = Slot::new(spec, now);
            slot.view.send_modify(|view| view.id = grant.lease);
            all.push((lease, item.feature, slot.held(grant)));
            self.leases.insert(lease, slot);
        }
        let handles: Vec<LeaseHandle> = all.iter().map(|(lease, ..)| *lease).collect();
        if waiter.reply.send(Ok(BundleHeld { alternative, leases: all })).is_err() {
            // Nobody waits any more: the seats go back.
            handles.into_iter().for_each(|lease| self.holder.release(now, lease));
        }
    }

    pub(super) fn on_bundle_refused(&mut self, bundle: BundleHandle, why: BundleRefused) {
        let Some((waiter, _)) = self.bundles.remove(&bundle) else { return };
        let error = match why {
            BundleRefused::Denied { item, deny } => {
                CheckoutError::Denied(Box::new(Denied::new(&spec_of(&item), *deny)))
            }
            BundleRefused::Unsupported => {
                CheckoutError::Unsupported { what: "bundles of several features, or fewer seats than are asked for" }
            }
            BundleRefused::Misbehaved(what) => CheckoutError::ServerMisbehaved(what),
        };
        // Nobody may be waiting.
        let _ = waiter.reply.send(Err(error));
    }

    /// The server answers: the limit on its silence begins again.
    pub(super) fn on_bundle_waiting(&mut self, bundle: BundleHandle, again_at: Mono) {
        if let Some((waiter, _)) = self.bundles.get_mut(&bundle) {
            waiter.until = again_at.plus(waiter.patience);
        }
    }

    /// Answers those who have waited long enough.
    pub(super) fn time_out_bundles(&mut self, now: Now, unreachable: impl Fn(Mono) -> CheckoutError) {
        let late: Vec<_> = self.bundles.iter().filter(|(_, (w, _))| w.until <= now.mono).map(|(id, _)| *id).collect();
        for bundle in late {
            self.holder.abandon_bundle(now, bundle);
            if let Some((waiter, _)) = self.bundles.remove(&bundle) {
                let _ = waiter.reply.send(Err(unreachable(waiter.since)));
            }
        }
    }
}

fn spec_of(item: &BundleItem) -> CheckoutSpec {
    let BundleItem { feature, version, seats, .. } = item.clone();
    CheckoutSpec { feature, version, seats, claim: None }
}
