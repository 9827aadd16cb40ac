//! What a server answers.

use bincode::{Decode, Encode};

use crate::{
    crypto::ticket::SealedTicket,
    time::UnixMillis,
    vocab::{CertificateId, ClaimKey, Denial, FeatureName, Label, LeaseId, OperationId, SeatCount, Version},
};

/// Seats granted (R-3, SPEC 5.4).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    /// Which asking this answers.
    pub operation: OperationId,
    /// Whose lease it is.
    pub claim: ClaimKey,
    /// What to renew and release it by.
    pub lease: LeaseId,
    /// How long it lives without a renewal, in milliseconds, counted by the client from when it *sent* the request.
    pub ttl_ms: u32,
    /// When to renew, in milliseconds from the same moment.
    pub renew_after_ms: u32,
    /// How long the program may go on after `ttl_ms` while no server answers, in milliseconds; 0 for not at all. The
    /// seat may be somebody else's by then.
    pub grace_ms: u32,
    /// How many seats.
    pub seats: SeatCount,
    /// Which certificates they came from, in the order of L-11.
    pub lots: Vec<LotUse>,
    /// When the first of the rights used ends, if one does. The lease goes on as overage (L-10, SPEC 5.14.6).
    pub right_ends: Option<UnixMillis>,
    /// The proof of this lease, to be shown after a restart.
    pub ticket: SealedTicket,
}

/// Seats of one lot that a lease uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LotUse {
    /// The certificate the lot came from.
    pub certificate: CertificateId,
    /// The version of its right.
    pub version: Version,
    /// How many of its seats.
    pub seats: SeatCount,
}

/// A place in the queue (R-10, SPEC 5.19). A GRANT with the same operation may follow at any time, unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Queued {
    /// Which asking this answers.
    pub operation: OperationId,
    /// Who waits.
    pub claim: ClaimKey,
    /// Why there is no seat now.
    pub code: Denial,
    /// The place: 1 is next.
    pub place: u32,
    /// How many wait.
    pub length: u32,
    /// How long it may take, in milliseconds, as seats came back of late; `None` if nobody knows.
    pub expected_ms: Option<u32>,
    /// How long the place is kept if it is not asked for again, in milliseconds.
    pub ttl_ms: u32,
    /// When to ask again, in milliseconds.
    pub ask_after_ms: u32,
}

/// Somebody waits, and your seat is idle: please let it go (R-14, SPEC 5.20). Comes unasked, and again with each renewal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LetGo {
    /// Which lease.
    pub lease: LeaseId,
    /// Whose.
    pub claim: ClaimKey,
    /// In how many milliseconds the lease is renewed no more, unless its holder is at work again by then; `None`: nobody needs it any more.
    pub in_ms: Option<u32>,
    /// The rule by which.
    pub rule: String,
    /// How many wait.
    pub waiting: u32,
}

/// No, and why (R-11, SPEC 5.6). Answers REQUEST and RENEW alike.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Deny {
    /// Which asking this answers.
    pub operation: OperationId,
    /// Whose.
    pub claim: ClaimKey,
    /// Why, for programs.
    pub code: Denial,
    /// Why, for people: one sentence, at most 200 bytes.
    pub sentence: String,
    /// The rule that decided, at most 100 bytes: a certificate, a reservation, a policy line.
    pub rule: String,
    /// Seats out in that moment.
    pub seats_out: u32,
    /// Seats there are.
    pub seats_total: u32,
    /// Who is due back next, as far as policy lets the asker see.
    pub next_due: Option<NextDue>,
    /// When asking again makes sense, in milliseconds; `None` if waiting cannot help.
    pub retry_after_ms: Option<u32>,
}

/// The lease that ends first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NextDue {
    /// Its user, unless policy hides it.
    pub user: Option<Label>,
    /// Its host, unless policy hides it.
    pub host: Option<Label>,
    /// Milliseconds until it ends if it is not renewed.
    pub in_ms: u32,
}

/// One page of features (S-5, SPEC 5.7).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FeatureInfo {
    /// Which asking this answers.
    pub operation: OperationId,
    /// In order of name, as many as fit.
    pub features: Vec<FeatureLine>,
    /// Whether more follow: ask again with `after` set to the last name.
    pub more: bool,
}

/// What there is of one feature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FeatureLine {
    /// Its name.
    pub name: FeatureName,
    /// The highest version there are rights for.
    pub version: Version,
    /// Seats, or `None` if they are not counted.
    pub count: Option<u32>,
    /// Seats out.
    pub used: u32,
    /// The next end of one of its rights, if any has one.
    pub next_end: Option<UnixMillis>,
}

/// One page of licences (S-5, SPEC 5.18).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LicenceInfo {
    /// Which asking this answers.
    pub operation: OperationId,
    /// In order of feature and, within one, in the order they serve in: as many as fit.
    pub licences: Vec<LicenceLine>,
    /// Whether more follow.
    pub more: bool,
}

/// A certificate that seats of a feature come from. Upgrades are in the line of what they raise (L-8).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LicenceLine {
    /// The feature.
    pub feature: FeatureName,
    /// The certificate.
    pub certificate: CertificateId,
    /// Requests for this version and lower are served.
    pub version: Version,
    /// Its seats, upgrades' included and overdraft not; `None` if they are not counted.
    pub count: Option<u32>,
    /// Those of them that upgrades add.
    pub upgraded_by: u32,
    /// Seats of overdraft besides.
    pub overdraft: u32,
    /// Its seats that are out, of whatever kind.
    pub used: u32,
    /// Its first millisecond; `None` if it has none.
    pub starts: Option<UnixMillis>,
    /// Its last millisecond; `None` if it has none.
    pub ends: Option<UnixMillis>,
    /// The COSE_Sign1 bytes as they are signed; empty where they are too long for a body.
    pub signed: Vec<u8>,
}

/// A publisher-signed certificate that names this server's key (W-5, SPEC 5.8).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Proof {
    /// Which asking this answers.
    pub operation: OperationId,
    /// The COSE_Sign1 bytes as they are signed; empty where no certificate names the key.
    pub certificate: Vec<u8>,
}

/// This server is going away: renew elsewhere, or come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ServerGoodbye {
    /// Why.
    pub code: Denial,
    /// When it expects to be back, in milliseconds; `None` if it does not know.
    pub back_in_ms: Option<u32>,
}

/// A frame type this server does not know (W-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Unsupported {
    /// That type.
    pub frame_type: u8,
}
