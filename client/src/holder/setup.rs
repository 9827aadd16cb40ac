//! What a holder is given: keys, who it is, where to look, what to check out.

use std::net::SocketAddr;

use leasehold_protocol::{
    crypto::{Fingerprint, Keypair, PublicKey, SiteKey},
    licence::PublisherKey,
    message,
    vocab::{ClaimKey, FeatureName, RealmId, SeatCount, Version},
};

/// What a program was built with: which publisher it belongs to and which site it runs at.
#[derive(Clone, Debug)]
pub struct HolderConfig {
    /// The publisher's realm. [`RealmId::ANY`] takes the realm of `publisher_keys` where they share one, and otherwise
    /// whichever realm a server offers.
    pub realm: RealmId,
    /// Keys a server's certificate may be signed with. Empty: a server is trusted by its pinned fingerprint, or on
    /// first use where there is none.
    pub publisher_keys: Vec<PublisherKey>,
    /// The site's key; [`SiteKey::OPEN`] where anybody may ask.
    pub site: SiteKey,
    /// The SDK's version as HELLO1 carries it: major 8 bits, minor 12, patch 12.
    pub sdk_version: u32,
}

impl HolderConfig {
    /// The realm to ask for: the stated one, else the publisher keys' where all agree, else any.
    #[must_use]
    pub fn wanted_realm(&self) -> RealmId {
        if self.realm != RealmId::ANY {
            return self.realm;
        }
        let mut realms = self.publisher_keys.iter().map(PublisherKey::realm);
        let first = realms.next().unwrap_or(RealmId::ANY);
        if realms.all(|realm| realm == first) { first } else { RealmId::ANY }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The device's key: what a server knows this client by.
    pub keys: Keypair,
    /// Drawn once per process: tells two programs with one device key apart.
    pub instance: [u8; 8],
    /// Who holds the seats, in this machine's words.
    pub who: message::Holder,
}

/// Where to look for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One server, whose key is known.
    Known {
        /// Where it listens.
        address: SocketAddr,
        /// Its key in `realm`.
        key: PublicKey,
        /// Which realm; never [`RealmId::ANY`].
        realm: RealmId,
    },
    /// Whoever answers: all of it at once, the first server that proves itself wins.
    Discover {
        /// Asked one by one. Their answers are taken up at once; those of a broadcast wait a moment, so that a server
        /// somebody named wins over one that happens to be near.
        to: Vec<SocketAddr>,
        /// Whether to ask everybody in reach too ([`Destination::Broadcast`]).
        broadcast: bool,
        /// Fingerprints that the servers at these addresses must have. They are tried before all others.
        pins: Vec<(SocketAddr, Fingerprint)>,
    },
}

/// What to check out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutSpec {
    /// What for.
    pub feature: FeatureName,
    /// The lowest version that will do; [`Version::ANY`] takes any.
    pub version: Version,
    /// How many seats, all or none.
    pub seats: SeatCount,
    /// The claim key of a lease this program held before; `None` draws a fresh one.
    pub claim: Option<ClaimKey>,
}

/// Names one checkout of one [`Holder`](super::Holder), from asking to the end. Never used twice by a holder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseHandle(pub u64);

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To one address.
    To(SocketAddr),
    /// To everybody in reach: every interface's broadcast address, this machine, and the multicast group. The driver
    /// knows the interfaces.
    Broadcast,
}
