//! The round trip, step by step, each checked.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use leasehold::holder::{CheckoutSpec, Holder, HolderConfig, HolderEvent, LeaseHandle, Target};
use leasehold_core::Shared;
use leasehold_protocol::{
    crypto::{PublicKey, SiteKey},
    message::{Grant, ReleaseOutcome},
    vocab::{FeatureName, RealmId, SeatCount, Version},
};
use leasehold_server::clock_now;

use crate::{
    exit::Failure,
    hand::{Hand, SDK_VERSION},
    human,
    kit::Kit,
    output::{self, FAINT, GOOD, STRONG, paint},
};

/// What is checked out.
const FEATURE: &str = "VR_MODE";

/// How long each step may take before it counts as failed; a handshake on a busy machine takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the search waits for an answer to a broadcast before it asks this machine directly. Servers answer
/// broadcasts within 50 ms.
const BROADCAST_PATIENCE: Duration = Duration::from_millis(1_500);

/// The numbered lines of the demo.
#[derive(Debug, Default)]
pub struct Steps {
    number: u32,
}

impl Steps {
    /// Does a step and tells it with the time it took.
    ///
    /// # Errors
    /// What the step says.
    pub fn time<T>(&mut self, name: &str, step: impl FnOnce() -> Result<(T, String), Failure>) -> Result<T, Failure> {
        let began = Instant::now();
        let (value, text) = step()?;
        self.tell(name, &text, began.elapsed())?;
        Ok(value)
    }

    /// Tells a step that took `took`.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn tell(&mut self, name: &str, text: &str, took: Duration) -> Result<(), Failure> {
        self.number += 1;
        let (number, name) = (self.number, paint(STRONG, format_args!("{name:<14}")));
        output::result(&format!("{number:>3}  {name} {:>8}  {text}", human::show(took)))
    }

    fn note(name: &str, text: &str) -> Result<(), Failure> {
        output::result(&format!("     {} {:>8}  {text}", paint(FAINT, format_args!("{name:<14}")), ""))
    }
}

/// Finds the server, proves it, checks a seat out, renews it and gives it back; the ledger is checked after each.
///
/// # Errors
/// If a step takes too long or its outcome is not what it must be.
pub fn round_trip(steps: &mut Steps, kit: &Kit, shared: &Arc<Shared>, server: SocketAddr) -> Result<(), Failure> {
    let feature = FeatureName::new(FEATURE).map_err(|e| Failure::new(FEATURE).because_of(&e))?;
    let ledger = Ledger { shared, feature: &feature };
    ledger.expect(0)?;

    let mut hand = find(steps, kit, server)?;
    let (key, took) = wait(&mut hand, "no session came about", connected)?;
    check(key.fingerprint() == kit.fingerprint, "the session is with another key than the server's")?;
    let publisher = format!("{} (key {})", kit.publisher.publisher(), kit.publisher.key_id());
    steps.tell("handshake", &format!("Noise IKpsk2, address proved by cookie, key {}", key.fingerprint()), took)?;
    Steps::note("proof", &format!("{} a certificate signed by {publisher} names that key", paint(GOOD, "✓")))?;

    let lease = hand.act(|holder, now| holder.checkout(now, spec(&feature)));
    let (grant, took) = wait(&mut hand, "no seat was granted", |event| granted(event, lease))?;
    let grant = grant?;
    let ttl = human::show(Duration::from_millis(grant.ttl_ms.into()));
    let text = format!(
        "{} of {feature}, lease {}, held for {ttl} without a renewal",
        human::count(grant.seats.get(), "seat"),
        grant.lease
    );
    steps.tell("checkout", &text, took)?;
    ledger.show(1)?;

    // A third of the TTL would be due first; after a sleep every lease is renewed at once.
    hand.act(Holder::resumed);
    let ((), took) = wait(&mut hand, "the renewal was not answered", |event| renewed(&event, lease))?;
    steps.tell("renew", &format!("lease {} goes on", grant.lease), took)?;
    ledger.show(1)?;

    hand.act(|holder, now| holder.release(now, lease));
    let (outcome, took) = wait(&mut hand, "the release was not answered", |event| released(&event, lease))?;
    check(outcome == Some(ReleaseOutcome::Freed), "the server knew nothing of the lease it was given back")?;
    steps.tell("release", &format!("{} back", human::count(grant.seats.get(), "seat")), took)?;
    ledger.show(0)?;
    hand.act(Holder::close);
    output::result(&format!("\n {} every step as it must be", paint(GOOD, "✓")))
}

/// A holder that has had an offer: by broadcast, or from this machine where there is no broadcast.
fn find(steps: &mut Steps, kit: &Kit, server: SocketAddr) -> Result<Hand, Failure> {
    let everybody = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255)), server.port());
    let mut hand = Hand::new(config(kit), IpAddr::V4(Ipv4Addr::LOCALHOST), vec![everybody])?;
    hand.act(|holder, now| holder.connect(now, Target::Discover { to: Vec::new(), broadcast: true, pins: Vec::new() }));
    if let Some((from, took)) = hand.wait(BROADCAST_PATIENCE, offered)? {
        steps.tell("discovery", &format!("{from} answered a broadcast to {everybody}"), took)?;
        return Ok(hand);
    }
    Steps::note("discovery", &format!("nobody answers broadcasts to {everybody} here: asking this machine directly"))?;
    let mut hand = Hand::new(config(kit), IpAddr::V4(Ipv4Addr::LOCALHOST), Vec::new())?;
    let target = Target::Discover { to: vec![server], broadcast: false, pins: Vec::new() };
    hand.act(|holder, now| holder.connect(now, target));
    let (from, took) = wait(&mut hand, "the server does not answer DISCOVER", offered)?;
    steps.tell("discovery", &format!("{from} answered when asked directly"), took)?;
    Ok(hand)
}

fn config(kit: &Kit) -> HolderConfig {
    HolderConfig {
        realm: RealmId::ANY,
        publisher_keys: vec![kit.publisher.clone()],
        site: SiteKey::OPEN,
        sdk_version: SDK_VERSION,
    }
}

fn spec(feature: &FeatureName) -> CheckoutSpec {
    CheckoutSpec { feature: feature.clone(), version: Version::ANY, seats: SeatCount::ONE, claim: None }
}

fn wait<T>(
    hand: &mut Hand,
    what_if_not: &str,
    pick: impl FnMut(HolderEvent) -> Option<T>,
) -> Result<(T, Duration), Failure> {
    let waited = human::show(PATIENCE);
    hand.wait(PATIENCE, pick)?.ok_or_else(|| {
        Failure::new(format!("{what_if_not} in {waited}"))
            .remedy("check that nothing filters loopback: leasehold doctor")
    })
}

fn offered(event: HolderEvent) -> Option<SocketAddr> {
    if let HolderEvent::Offered { from, .. } = event { Some(from) } else { None }
}

fn connected(event: HolderEvent) -> Option<PublicKey> {
    if let HolderEvent::Connected { key, .. } = event { Some(key) } else { None }
}

fn granted(event: HolderEvent, wanted: LeaseHandle) -> Option<Result<Box<Grant>, Failure>> {
    match event {
        HolderEvent::Granted { lease, grant, .. } if lease == wanted => Some(Ok(grant)),
        HolderEvent::Denied { lease, deny } if lease == wanted => {
            Some(Err(Failure::new(format!("the seat was denied: {}", deny.sentence)).because(deny.code)))
        }
        _ => None,
    }
}

fn renewed(event: &HolderEvent, wanted: LeaseHandle) -> Option<()> {
    matches!(event, HolderEvent::Renewed { lease, .. } if *lease == wanted).then_some(())
}

fn released(event: &HolderEvent, wanted: LeaseHandle) -> Option<Option<ReleaseOutcome>> {
    match event {
        HolderEvent::Released { lease, outcome } if *lease == wanted => Some(*outcome),
        _ => None,
    }
}

fn check(right: bool, what_if_not: &str) -> Result<(), Failure> {
    if right { Ok(()) } else { Err(Failure::new(what_if_not)) }
}

/// The server's books on the demo's feature.
struct Ledger<'a> {
    shared: &'a Shared,
    feature: &'a FeatureName,
}

impl Ledger<'_> {
    /// Tells the books, which must have `leased` seats out.
    fn show(&self, leased: u32) -> Result<(), Failure> {
        let (free, capacity) = self.expect(leased)?;
        let text = format!("{} free {free} + leased {leased} = capacity {capacity}", paint(GOOD, "✓"));
        Steps::note("ledger", &text)
    }

    fn expect(&self, leased: u32) -> Result<(i64, u32), Failure> {
        let wrong = |why: String| Failure::new("the server's ledger is wrong").because(why);
        self.shared.check_ledger().map_err(|e| wrong(e.to_string()))?;
        let features = self.shared.features(clock_now());
        let line = features.iter().find(|line| line.name == *self.feature);
        let line = line.ok_or_else(|| wrong(format!("it does not know {}", self.feature)))?;
        let capacity = line.count.ok_or_else(|| wrong(format!("{} is not counted", self.feature)))?;
        if line.used != leased || line.free + i64::from(leased) != i64::from(capacity) {
            let (used, free) = (line.used, line.free);
            return Err(wrong(format!("free {free}, leased {used}, capacity {capacity}; {leased} should be out")));
        }
        Ok((line.free, capacity))
    }
}
