//! What happened, for the log, the journal and the counters of the shell.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use leasehold_protocol::{
    crypto::Fingerprint,
    message::{Activity, Holder, LotUse},
    time::{Mono, UnixMillis},
    vocab::{CertificateId, ClaimKey, Denial, FeatureName, LeaseId, OperationId, RealmId, SeatCount, Version},
};

use crate::{LedgerError, Looked};

/// One thing that happened, in the order it happened on this engine. What two engines report about one lease may arrive
/// in either order; the lease's id, which is used once, tells which grant an end belongs to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Seats went out.
    Granted(Box<Granted>),
    /// A lease goes on. Sent for renewals and for requests that found their lease alive.
    Renewed {
        /// Which.
        lease: LeaseId,
        /// When it ends now, if it is not renewed again.
        deadline: Mono,
        /// What its holder says it is doing; `None` if it came as a request.
        activity: Option<Activity>,
    },
    /// Seats came back by their holder's wish.
    Released(Box<Ended>),
    /// Seats came back because nobody renewed.
    Expired(Box<Ended>),
    /// A lease is not renewed any more, because its holder was idle, was asked in time, and somebody waits. Its end is told
    /// when it comes.
    Reclaimed(Box<Reclaimed>),
    /// The holder of an idle seat was asked to let it go.
    AskedToLetGo {
        /// Which lease.
        lease: LeaseId,
        /// The rule's id.
        rule: String,
        /// When it is renewed no more, unless he is at work again by then.
        until: Mono,
    },
    /// Seats that stayed with their holder after a release are free, or were taken over by him.
    LingerEnded(Box<Ended>),
    /// A request or a renewal was answered "no".
    Denied(Box<Denied>),
    /// A client proved itself: the first DATA of a session verified.
    SessionOpened {
        /// The realm it speaks in.
        realm: RealmId,
        /// Its device key.
        client: Fingerprint,
        /// Where it is.
        from: SocketAddr,
        /// Whether it replaced an older session of the same program.
        replaced: bool,
        /// By how much its calendar is ahead of our boot clock, by its own word, in milliseconds: for
        /// [`WallKeeper::heard`](crate::WallKeeper::heard).
        clock_ahead_ms: i64,
    },
    /// A session ended.
    SessionClosed {
        /// The realm it spoke in.
        realm: RealmId,
        /// Its device key.
        client: Fingerprint,
        /// Why.
        why: SessionEnd,
    },
    /// Wall clock and lease clock parted by more than 2 s since they were last looked at: somebody set the clock, or this
    /// machine was restored from a snapshot. All sessions were dropped; their clients come back by themselves.
    ClocksParted {
        /// By how much the wall clock moved against the lease clock, in milliseconds; below zero if it was set back.
        by_ms: i64,
        /// How many sessions were dropped.
        sessions: u64,
    },
    /// The seats of a bucket do not add up: a defect of this program, found by one of the looks it takes at itself.
    LedgerBroken(Box<LedgerError>),
    /// A trial was used for the first time: it ends some days from now, and must not begin again (L-16).
    TrialBegan {
        /// In which realm.
        realm: RealmId,
        /// Which.
        certificate: CertificateId,
        /// When.
        at: UnixMillis,
    },
    /// Units of a meter were used up, or given back in time if below zero (L-17). Reusable ones are not told of: they come
    /// back with their lease.
    Metered {
        /// In which realm.
        realm: RealmId,
        /// Of which certificate.
        certificate: CertificateId,
        /// How many.
        units: i64,
    },
    /// A client showed a ticket of a grant that the store does not know of although it should: the store is an old copy. Until
    /// `blind_until` only tickets count.
    StoreIsOld {
        /// How far the log had come when the ticket was made.
        ticket: u64,
        /// The number the log of this life begins with.
        ours: u64,
        /// Until when only tickets count.
        blind_until: Mono,
    },
    /// A certificate began or ended by itself (L-9).
    PlanChanged {
        /// In which realm.
        realm: RealmId,
        /// The instant the new plan was compiled for.
        at: UnixMillis,
    },
}

/// Seats that went out.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// In which realm.
    pub realm: RealmId,
    /// The lease.
    pub lease: LeaseId,
    /// Its name before it had one.
    pub claim: ClaimKey,
    /// Who asked: proved.
    pub client: Fingerprint,
    /// Which asking this was.
    pub operation: OperationId,
    /// What for.
    pub feature: FeatureName,
    /// The version wanted.
    pub version: Version,
    /// How many.
    pub seats: SeatCount,
    /// From which certificates.
    pub lots: Vec<LotUse>,
    /// Who holds them, in the holder's own words.
    pub holder: Arc<Holder>,
    /// When it was granted.
    pub at: Mono,
    /// The same on the wall.
    pub wall: UnixMillis,
    /// When it ends, if it is not renewed.
    pub deadline: Mono,
    /// Whether a ticket was shown that a restarted server honoured.
    pub by_ticket: bool,
    /// Its number: grants in order, over the whole server and all its lives.
    pub number: u64,
    /// How long it lives without a renewal, in milliseconds.
    pub ttl_ms: u32,
    /// Where it was asked from.
    pub address: IpAddr,
    /// Whether it may share its seats with others.
    pub shares: bool,
    /// The pool its seats are of, by its number on this server.
    pub pool: u32,
    /// How many seats of that pool may be out without being on disk (U-2).
    pub credit: u32,
}

/// A lease that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// In which realm.
    pub realm: RealmId,
    /// Which lease.
    pub lease: LeaseId,
    /// Its claim key.
    pub claim: ClaimKey,
    /// What for.
    pub feature: FeatureName,
    /// How many seats came back.
    pub seats: SeatCount,
    /// Who held them.
    pub holder: Arc<Holder>,
    /// When it was granted.
    pub granted_at: Mono,
    /// The instant its seats were free: of the release, or its deadline for one that expired. A sweeper may come by
    /// later; nobody was denied for it.
    pub at: Mono,
    /// How often it was renewed.
    pub renewals: u32,
    /// Units of meters that it gave back, because it was released soon enough (L-17).
    pub undone: Vec<(CertificateId, u32)>,
    /// Until when its seats stay with its holder, if they do.
    pub stays_until: Option<Mono>,
    /// Since when, if it was the server's own, for seats that stayed after a release: of the time before, that release tells.
    pub lingered: Option<Mono>,
}

/// A lease that is renewed no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Reclaimed {
    /// In which realm.
    pub realm: RealmId,
    /// Which lease.
    pub lease: LeaseId,
    /// What for.
    pub feature: FeatureName,
    /// How many seats.
    pub seats: SeatCount,
    /// Who holds them.
    pub holder: Arc<Holder>,
    /// The id of the rule by which.
    pub rule: String,
}

/// An asking that was answered "no".
#[derive(Clone, Debug, PartialEq)]
pub struct Denied {
    /// In which realm.
    pub realm: RealmId,
    /// Whose.
    pub claim: ClaimKey,
    /// Who asked: proved.
    pub client: Fingerprint,
    /// Which asking this was.
    pub operation: OperationId,
    /// What for; `None` for a renewal, which names a lease.
    pub feature: Option<FeatureName>,
    /// The version wanted; any for a renewal.
    pub version: Version,
    /// How many seats; `None` for a renewal.
    pub seats: Option<SeatCount>,
    /// Who asked, in the holder's own words; `None` for a renewal.
    pub holder: Option<Arc<Holder>>,
    /// Where it was asked from.
    pub address: IpAddr,
    /// Why, for programs.
    pub code: Denial,
    /// Why, for people.
    pub sentence: String,
    /// Which rule decided.
    pub rule: String,
    /// What else was looked at, at the end of that step; `None` for a renewal, and for a feature that no certificate names.
    pub looked: Option<Box<Looked>>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Its client said so.
    Goodbye,
    /// The same program opened a new one.
    Replaced,
    /// It was 24 hours old, or its counters were used up.
    TooOld,
    /// The table was full and it had been silent the longest.
    Reclaimed,
    /// Too many datagrams under its id did not authenticate.
    Attacked,
}
