//! Whether a server answers, and whether it may be trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use leasehold::holder::{Holder, HolderConfig, HolderEvent, OfferHint, Target};
use leasehold_protocol::{crypto::SiteKey, vocab::RealmId};
use std::time::Duration;

use super::Finding;
use crate::{
    connect::{ConnectArgs, addresses},
    exit::Failure,
    hand::{Hand, SDK_VERSION},
    human,
};

/// How long a handshake may take: three tries.
const PATIENCE: Duration = Duration::from_secs(3);

/// The servers named in `args`, else those that answered a broadcast; each is talked to.
pub(super) fn look(args: &ConnectArgs, heard: &[OfferHint]) -> Result<Vec<Finding>, Failure> {
    let mut targets: Vec<SocketAddr> = match args.named() {
        Some(text) => addresses(text)?,
        None => heard.iter().map(|offer| offer.address).collect(),
    };
    targets.sort();
    targets.dedup();
    if targets.is_empty() {
        return Ok(vec![Finding::warn(
            "server",
            "no server answers on this machine or on its networks",
            "start one: leasehold serve; or name one beyond a router: --server HOST",
        )]);
    }
    targets.into_iter().map(|address| talk(args, address)).collect()
}

fn talk(args: &ConnectArgs, address: SocketAddr) -> Result<Finding, Failure> {
    let check = format!("server-{address}");
    let publisher_keys = args.trust.publisher_keys()?;
    let proved = !publisher_keys.is_empty();
    let site = args.trust.site_key()?.unwrap_or(SiteKey::OPEN);
    let config = HolderConfig { realm: RealmId::ANY, publisher_keys, site, sdk_version: SDK_VERSION };
    let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let mut hand = Hand::new(config, any, Vec::new())?;
    let target = Target::Discover { to: vec![address], broadcast: false, pins: Vec::new() };
    hand.act(|holder, now| holder.connect(now, target));
    let answer = hand.wait(PATIENCE, |event| match event {
        HolderEvent::Connected { key, .. } => Some(Ok(key.fingerprint())),
        HolderEvent::ServerRejected { why, .. } => Some(Err(why)),
        _ => None,
    })?;
    hand.act(Holder::close);
    Ok(match answer {
        Some((Ok(fingerprint), took)) => {
            let trust = if proved { "proved by its publisher" } else { "not proved: give --publisher-key FILE" };
            let took = human::show(took);
            Finding::ok(check, format!("session in {took}, fingerprint {fingerprint} ({trust})"))
        }
        Some((Err(why), _)) => Finding::fail(
            check,
            format!("it answers and is not trusted: {why}"),
            "ask its administrator for its fingerprint and its publisher's .pub file",
        ),
        None => Finding::fail(
            check,
            format!("no answer in {}", human::show(PATIENCE)),
            format!("open udp {} in the firewalls between, and check the site key", address.port()),
        ),
    })
}
