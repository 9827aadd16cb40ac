//! Several features at once, all of them or none, or those of another alternative (R-9, SPEC 5.21).
//!
//! A bundle is one question until it is answered; what it is granted are leases like any other from then on.

use std::{collections::BTreeMap, time::Duration};

use leasehold_protocol::{
    Entropy,
    message::{self, Bundle as Asked, BundleItem, ClientFrame, Deny, Grant},
    time::{Mono, Now},
    vocab::{ClaimKey, OperationId},
};

use super::{
    CheckoutSpec, Holder, HolderEvent, LeaseHandle, Misbehaved,
    lease::{HINT_MIN_MS, Lease, Outcome, nonsense},
    pace::Ask,
    session::ServerMark,
    talk::tell_change,
};

/// Names one bundle of one [`Holder`] until it is answered. Never used twice by a holder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BundleHandle(pub u64);

/// Why there is nothing of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleRefused {
    /// The server said no, because of this item of the alternative it tells of.
    Denied {
        /// Which item was in the way.
        item: Box<BundleItem>,
        /// Why, and when asking again makes sense.
        deny: Box<Deny>,
    },
    /// The server is older than bundles.
    Unsupported,
    /// It proved itself and gave an answer outside the protocol. What it granted is being given back.
    Misbehaved(Misbehaved),
}

/// A bundle that is being asked for.
pub(super) struct Bundle {
    alternatives: Vec<Vec<BundleItem>>,
    claim: ClaimKey,
    ask: Ask,
    /// Until when a denial that may clear is asked again.
    patience: Option<Mono>,
    /// How many questions went out.
    asked: u32,
    /// What was granted so far, by the item's index: answers may come in several datagrams.
    granted: BTreeMap<u8, Box<Grant>>,
}

impl Holder {
    /// Asks for all seats of the first of `alternatives` that can be had whole; with `patience` a denial that may clear is
    /// asked again for so long. [`HolderEvent::BundleGranted`] or [`HolderEvent::BundleRefused`] answers.
    ///
    /// # Errors
    /// What is wrong with it, in words: its form, or that it does not fit a datagram.
    pub fn checkout_bundle(
        &mut self,
        now: Now,
        alternatives: Vec<Vec<BundleItem>>,
        patience: Option<Duration>,
    ) -> Result<BundleHandle, &'static str> {
        self.observe(now);
        let (claim, ask) = (ClaimKey::random(&mut *self.entropy), Ask::at(now.mono, &mut *self.entropy));
        let patience = patience.map(|patience| now.mono.plus(patience));
        let bundle = Bundle { alternatives, claim, ask, patience, asked: 0, granted: BTreeMap::new() };
        let asked = bundle.frame(&self.identity.who);
        if let Some(fault) = asked.fault() {
            return Err(fault);
        }
        let fits = ClientFrame::Bundle(Box::new(asked)).append_to(&mut Vec::new());
        fits.map_err(|_| "a bundle with so many names does not fit a datagram: ask for fewer alternatives")?;
        let handle = BundleHandle(self.next_lease);
        self.next_lease += 1;
        self.bundles.insert(handle, bundle);
        self.turn(now);
        Ok(handle)
    }

    /// Asks for it no more. What may have been granted meanwhile is given back; no event follows.
    pub fn abandon_bundle(&mut self, now: Now, bundle: BundleHandle) {
        self.observe(now);
        if let Some(bundle) = self.bundles.remove(&bundle) {
            self.withdraw(now.mono, &bundle);
        }
        self.turn(now);
    }

    /// Tells the server that nothing of `bundle` is wanted, if it may know of it.
    pub(super) fn withdraw(&mut self, now: Mono, bundle: &Bundle) {
        for (spec, _) in bundle.specs().filter(|_| bundle.asked > 0) {
            let mut lease = Lease::of_bundle(now, spec, (&bundle.ask, bundle.asked), &mut *self.entropy);
            lease.release(now, &mut *self.entropy);
            self.withdrawn.push(lease);
        }
    }

    /// A grant that may be of a bundle.
    pub(super) fn on_grant_of_bundle(&mut self, now: Mono, by: ServerMark, grant: Box<Grant>) {
        let found =
            self.bundles.iter_mut().find_map(|(handle, bundle)| Some((*handle, bundle.index_of(&grant)?, bundle)));
        let Some((handle, index, bundle)) = found else { return };
        if let Some(nonsense) = bundle.nonsense(index, &grant) {
            return self.refuse(now, handle, BundleRefused::Misbehaved(nonsense));
        }
        bundle.granted.insert(index, grant);
        if let Some(whole) = bundle.whole() {
            self.open_bundle(now, by, handle, whole);
        }
    }

    /// All of an alternative is there.
    fn open_bundle(
        &mut self,
        now: Mono,
        by: ServerMark,
        handle: BundleHandle,
        (alternative, indices): (usize, Vec<u8>),
    ) {
        let Some(mut bundle) = self.bundles.remove(&handle) else { return };
        let mut leases = Vec::with_capacity(indices.len());
        for (spec, index) in bundle.specs().filter(|(_, index)| indices.contains(index)).collect::<Vec<_>>() {
            let Some(grant) = bundle.granted.remove(&index) else { continue };
            let spec = CheckoutSpec { seats: grant.seats, ..spec };
            let mut lease = Lease::of_bundle(now, spec, (&bundle.ask, bundle.asked), &mut *self.entropy);
            // One that came so late that it is over by now is asked for anew, as any lease is.
            let _: Outcome = lease.on_grant(now, by, &grant, self.pace, &mut *self.entropy);
            let lease_handle = LeaseHandle(self.next_lease);
            self.next_lease += 1;
            self.leases.insert(lease_handle, lease);
            leases.push((lease_handle, grant));
        }
        let opened: Vec<LeaseHandle> = leases.iter().map(|(lease, _)| *lease).collect();
        self.events.push_back(HolderEvent::BundleGranted { bundle: handle, alternative, leases });
        for lease_handle in opened {
            if let Some(lease) = self.leases.get(&lease_handle) {
                tell_change(&mut self.events, lease_handle, super::LeaseState::Asking, lease);
            }
        }
    }

    /// A denial that may be of a bundle.
    pub(super) fn on_deny_of_bundle(&mut self, now: Mono, deny: Box<Deny>) {
        let found = self.bundles.iter_mut().find(|(_, bundle)| bundle.asks_by(deny.operation));
        let Some((handle, bundle)) = found else { return };
        let handle = *handle;
        let again = bundle.patience.filter(|until| *until > now && deny.retry_after_ms.is_some());
        if let (Some(until), Some(hint_ms)) = (again, deny.retry_after_ms) {
            let again_at = now.plus_ms(u64::from(hint_ms).max(HINT_MIN_MS)).min(until);
            bundle.ask = Ask::at(again_at, &mut *self.entropy);
            bundle.granted.clear();
            self.events.push_back(HolderEvent::BundleWaiting { bundle: handle, deny, again_at });
            return;
        }
        let Some(item) = bundle.item_of(&deny) else { return };
        self.refuse(now, handle, BundleRefused::Denied { item: Box::new(item), deny });
    }

    /// This server is older than bundles.
    pub(super) fn on_no_bundles(&mut self, now: Mono) {
        let asked: Vec<BundleHandle> =
            self.bundles.iter().filter(|(_, b)| b.asked > 0).map(|(handle, _)| *handle).collect();
        asked.into_iter().for_each(|handle| self.refuse(now, handle, BundleRefused::Unsupported));
    }

    fn refuse(&mut self, now: Mono, handle: BundleHandle, why: BundleRefused) {
        let Some(bundle) = self.bundles.remove(&handle) else { return };
        // A copy of the question may be under way and find seats that are free by then.
        let is_known = matches!(why, BundleRefused::Misbehaved(_)) || !bundle.granted.is_empty();
        if bundle.asked > 1 && why != BundleRefused::Unsupported || is_known {
            self.withdraw(now, &bundle);
        }
        self.events.push_back(HolderEvent::BundleRefused { bundle: handle, why });
    }

    /// What every bundle asks by `now`.
    pub(super) fn ask_for_bundles(&mut self, now: Mono) {
        let Self { bundles, entropy, frames, session, identity, .. } = self;
        if session.is_some() {
            frames
                .extend(bundles.values_mut().filter_map(|bundle| bundle.question(now, &identity.who, &mut **entropy)));
        }
    }
}

impl Bundle {
    pub(super) const fn next(&self) -> Mono {
        self.ask.next()
    }

    /// Whether `operation` is what it asks by.
    pub(super) fn asks_by(&self, operation: OperationId) -> bool {
        self.ask.id == operation
    }

    pub(super) fn is_unheard(&self, now: Mono, heard: Option<Mono>, limit: usize) -> bool {
        self.ask.next() <= now && self.ask.is_unheard(heard, limit)
    }

    /// A new session: it is asked at once, and what another server may have granted of it counts no more.
    pub(super) fn reconnected(&mut self, now: Mono) {
        self.granted.clear();
        self.ask.restart(now);
    }

    fn question(&mut self, now: Mono, who: &message::Holder, entropy: &mut dyn Entropy) -> Option<ClientFrame> {
        if self.ask.next() > now {
            return None;
        }
        if self.ask.is_stale(now) {
            self.ask = Ask::at(now, entropy);
            self.granted.clear();
        }
        self.ask.sent(now, u64::MAX, entropy.next_u64());
        self.asked = self.asked.saturating_add(1);
        Some(ClientFrame::Bundle(Box::new(self.frame(who))))
    }

    fn frame(&self, who: &message::Holder) -> Asked {
        let Self { claim, alternatives, ask, .. } = self;
        Asked { operation: ask.id, claim: *claim, alternatives: alternatives.clone(), holder: who.clone() }
    }

    /// Every item as a checkout of its own, with its index.
    fn specs(&self) -> impl Iterator<Item = (CheckoutSpec, u8)> {
        self.alternatives.iter().flatten().zip(0_u8..).map(|(item, index)| {
            let claim = Some(Asked::claim_of(self.claim, index));
            let BundleItem { feature, version, seats, .. } = item.clone();
            (CheckoutSpec { feature, version, seats, claim }, index)
        })
    }

    fn item(&self, index: u8) -> Option<&BundleItem> {
        self.alternatives.iter().flatten().nth(usize::from(index))
    }

    /// The item that has `claim`.
    fn index(&self, claim: ClaimKey) -> Option<u8> {
        let index = claim.0[15].wrapping_sub(self.claim.0[15]);
        (Asked::claim_of(self.claim, index) == claim && self.item(index).is_some()).then_some(index)
    }

    fn index_of(&self, grant: &Grant) -> Option<u8> {
        self.index(grant.claim).filter(|_| self.asks_by(grant.operation) && self.ask.first_sent().is_some())
    }

    fn item_of(&self, deny: &Deny) -> Option<BundleItem> {
        let index = self.index(deny.claim).unwrap_or(0);
        self.item(index).cloned()
    }

    fn nonsense(&self, index: u8, grant: &Grant) -> Option<Misbehaved> {
        let item = self.item(index)?;
        nonsense(grant, item.seats, item.at_least)
    }

    /// The alternative all of whose items are granted, and their indices.
    fn whole(&self) -> Option<(usize, Vec<u8>)> {
        let mut first = 0_u8;
        self.alternatives.iter().enumerate().find_map(|(n, items)| {
            let end = first.saturating_add(u8::try_from(items.len()).unwrap_or(u8::MAX));
            let indices: Vec<u8> = (first..end).collect();
            first = end;
            indices.iter().all(|index| self.granted.contains_key(index)).then_some((n, indices))
        })
    }
}
