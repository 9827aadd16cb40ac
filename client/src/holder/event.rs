//! What a holder has to say.

use std::{fmt, net::SocketAddr, time::Duration};

use leasehold_protocol::{
    crypto::{Fingerprint, PublicKey},
    licence::LicenceError,
    message::{Deny, FeatureLine, Grant, LicenceLine, ReleaseOutcome},
    time::{Mono, UnixMillis},
    vocab::{Denial, OperationId, RealmId, SeatCount},
};

use super::{BundleHandle, BundleRefused, LeaseHandle};

/// Something that happened, in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HolderEvent {
    /// A server says it is there. A hint: nothing about it is proved.
    Offered {
        /// Where it says it listens.
        from: SocketAddr,
        /// The key it says it has.
        key: PublicKey,
        /// The realm it offers.
        realm: RealmId,
        /// Its id.
        server_id: u64,
        /// Higher is better.
        weight: u16,
    },
    /// There is a session with a server that proved itself. Comes again after a loss; not for a planned change of keys.
    Connected {
        /// Where the server is.
        address: SocketAddr,
        /// Its key.
        key: PublicKey,
        /// The realm served.
        realm: RealmId,
        /// One round trip to it, in milliseconds.
        rtt_ms: u64,
    },
    /// A server was found and is not trusted. The search goes on.
    ServerRejected {
        /// Where it is.
        address: SocketAddr,
        /// Why not.
        why: RejectReason,
    },
    /// Every target was tried and none is usable yet. The search goes on.
    ConnectFailed {
        /// Milliseconds since the search began.
        waited_ms: u64,
        /// How many servers answered, trusted or not.
        answered: u32,
    },
    /// A GRANT: the first of a lease, or one that confirms or regains it. If it changed the lease's state,
    /// [`HolderEvent::StateChanged`] came before.
    Granted {
        /// Whose.
        lease: LeaseHandle,
        /// What was granted.
        grant: Box<Grant>,
        /// Milliseconds from when the request was first sent.
        took_ms: u64,
    },
    /// The server said no. For a lease that never was, the end of it; otherwise [`HolderEvent::StateChanged`] follows.
    Denied {
        /// Whose.
        lease: LeaseHandle,
        /// Why, and when asking again makes sense.
        deny: Box<Deny>,
    },
    /// The server said no and the checkout is patient: it asks again.
    Waiting {
        /// Whose.
        lease: LeaseHandle,
        /// Why it waits.
        deny: Box<Deny>,
        /// When it asks again.
        again_at: Mono,
    },
    /// The checkout is in the queue. A grant may come at any time; it asks again so that its place is kept.
    Queued {
        /// Whose.
        lease: LeaseHandle,
        /// Where it stands.
        place: Place,
        /// When it asks again.
        again_at: Mono,
    },
    /// All seats of one alternative of a bundle. [`HolderEvent::StateChanged`] follows for each lease.
    BundleGranted {
        /// Of which bundle; the handle names nothing any more.
        bundle: BundleHandle,
        /// Which alternative, counted from 0.
        alternative: usize,
        /// Its leases and what each was granted, in the order of its items.
        leases: Vec<(LeaseHandle, Box<Grant>)>,
    },
    /// Nothing of a bundle; the handle names nothing any more.
    BundleRefused {
        /// Of which bundle.
        bundle: BundleHandle,
        /// Why.
        why: BundleRefused,
    },
    /// The server said no and the bundle is patient: it is asked for again.
    BundleWaiting {
        /// Which.
        bundle: BundleHandle,
        /// Why it waits.
        deny: Box<Deny>,
        /// When it is asked for again.
        again_at: Mono,
    },
    /// Somebody waits, and the lease's seat is idle by the program's own word. Comes again if it changes.
    AskedToLetGo {
        /// Whose.
        lease: LeaseHandle,
        /// What is asked.
        plea: Plea,
    },
    /// A renewal was answered.
    Renewed {
        /// Whose.
        lease: LeaseHandle,
        /// Milliseconds from when the renewal was first sent.
        took_ms: u64,
        /// The lease stands above what the licence now allows (L-10).
        overage: bool,
    },
    /// A server that proved itself gave an answer outside the protocol. What it granted is being given back.
    Misbehaved {
        /// Whose.
        lease: LeaseHandle,
        /// What it did.
        what: Misbehaved,
    },
    /// A lease is in another state than before.
    StateChanged {
        /// Whose.
        lease: LeaseHandle,
        /// The new state.
        state: LeaseState,
    },
    /// A release is over; the handle names nothing any more.
    Released {
        /// Whose.
        lease: LeaseHandle,
        /// What the server found; `None` if no server answered for as long as the lease could have lived.
        outcome: Option<ReleaseOutcome>,
    },
    /// All pages of a feature query.
    Features {
        /// Which query.
        operation: OperationId,
        /// In order of name.
        features: Vec<FeatureLine>,
    },
    /// All pages of a licence query.
    Licences {
        /// Which query.
        operation: OperationId,
        /// In order of feature and, within one, in the order they serve in; `None` if this server does not tell.
        licences: Option<Vec<LicenceLine>>,
    },
    /// The server is going away.
    ServerGoodbye {
        /// Why.
        code: Denial,
        /// When it expects to be back, in milliseconds.
        back_in_ms: Option<u32>,
    },
    /// Everything was released and the session ended: what [`Holder::close`](super::Holder::close) began is over.
    Closed,
}

/// How a lease is doing. Times are on the lease clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// No grant yet.
    Asking,
    /// Granted, and the last renewal was answered.
    Healthy,
    /// A renewal is overdue. The seats are still this program's.
    Retrying {
        /// When it was first sent, or should have been.
        since: Mono,
    },
    /// The lease's deadline has passed with no server in reach. The licence lets the program go on until then.
    Grace {
        /// The end of that.
        until: Mono,
    },
    /// The program must not go on as if it had the seats.
    Lost {
        /// Since when.
        at: Mono,
        /// Why.
        why: LossCause,
    },
    /// Given back by the program.
    Released,
}

impl LeaseState {
    /// Whether the program may use what it checked out.
    #[must_use]
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Healthy | Self::Retrying { .. } | Self::Grace { .. })
    }
}

impl fmt::Display for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Asking => "asking",
            Self::Healthy => "healthy",
            Self::Retrying { .. } => "retrying",
            Self::Grace { .. } => "grace",
            Self::Lost { .. } => "lost",
            Self::Released => "released",
        })
    }
}

/// Why a lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossCause {
    /// No server answered in time. The holder goes on asking: the lease may come back.
    Unreachable,
    /// A server refused to let it go on. It comes back only if the denial may clear.
    Denied(Denial),
    /// The program closed the client the lease was held through.
    ClientClosed,
}

/// An answer outside the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaved {
    /// Another number of seats than asked for.
    SeatCount {
        /// Asked for.
        asked: SeatCount,
        /// Granted.
        granted: SeatCount,
    },
    /// A lease that lives no time at all.
    NoLifetime,
}

impl fmt::Display for Misbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeatCount { asked, granted } => write!(f, "asked for {asked} seats, granted {granted}"),
            Self::NoLifetime => f.write_str("a lease that lives no time"),
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no server answered before the lease's deadline"),
            Self::Denied(code) => write!(f, "the server ended the lease: {code}"),
            Self::ClientClosed => f.write_str("the program closed its licence client"),
        }
    }
}

/// Why a server that was found is not used.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RejectReason {
    /// Another key than the one pinned for its address.
    WrongKey {
        /// The pinned one.
        expected: Fingerprint,
        /// The one it has.
        found: Fingerprint,
    },
    /// It shows no certificate at all.
    NoProof,
    /// Its certificate is not one of the publisher's.
    BadProof(LicenceError),
    /// Its certificate is of another publisher.
    WrongRealm {
        /// The realm asked for.
        expected: RealmId,
        /// The realm the certificate is for.
        found: RealmId,
    },
    /// Its certificate does not name its key.
    KeyNotNamed {
        /// The server's.
        found: Fingerprint,
    },
    /// Its certificate has ended.
    ProofEnded {
        /// When.
        at: UnixMillis,
    },
    /// It answered and then fell silent before it had proved itself.
    NoAnswer,
}

impl RejectReason {
    /// Whether trying again cannot help while nobody changes the server or what is expected of it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::NoAnswer)
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKey { expected, found } => write!(f, "its key is {found} where {expected} is expected"),
            Self::NoProof => f.write_str("no licence of this program's publisher is loaded there that names its key"),
            Self::BadProof(e) => write!(f, "the certificate it shows is not this program's publisher's: {e}"),
            Self::WrongRealm { expected, found } => {
                write!(f, "the certificate it shows is for realm {found} where {expected} is expected")
            }
            Self::KeyNotNamed { found } => write!(f, "the certificate it shows does not name its key {found}"),
            Self::ProofEnded { at } => write!(f, "the certificate it shows ended at {} ms since 1970", at.0),
            Self::NoAnswer => f.write_str("it answered once and then fell silent"),
        }
    }
}

impl std::error::Error for RejectReason {}

/// What a server asks of the holder of an idle seat while somebody waits.
///
/// The program may save and give the seat back; or it says that it is at work again, busy, or has unsaved work
/// ([`Holder::set_activity`](super::Holder::set_activity)), and keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plea {
    /// When the seat is taken otherwise; `None`: nobody needs it any more.
    pub until: Option<Mono>,
    /// The server's rule.
    pub rule: String,
    /// How many wait.
    pub waiting: u32,
}

/// A place in a server's queue for seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// 1 is next.
    pub place: u32,
    /// How many wait.
    pub length: u32,
    /// How long it may take, as seats came back of late; `None` if nobody knows.
    pub expected: Option<Duration>,
    /// Why there is no seat now.
    pub why: Denial,
}
