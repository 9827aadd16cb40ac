//! Why a request is answered as it is: everything that was looked at, in order, with the numbers of that instant.

use std::net::IpAddr;

use leasehold_protocol::{
    message::Holder,
    vocab::{CertificateId, Denial, FeatureName, LeaseId, RealmId, SeatCount, Version},
};

use crate::policy::Per;

/// What a decision about seats looked at. Names nobody: rules by their ids, certificates by theirs.
///
/// Of many lots, limits and reservations the first [`Looked::MOST`] are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// The rule of access that decides about this holder; `None`: no rule is for him, and none lets only others in (P-2).
    pub access: Option<String>,
    /// Whether he may take seats by the rules of access.
    pub admits: bool,
    /// The feature whose seats these are made of, if not its own (L-14).
    pub drawn: Option<FeatureName>,
    /// How many seats of that are taken; 0 if there can be no such number.
    pub takes: u32,
    /// The certificates in force, in the order they serve in (L-11).
    pub lots: Vec<LookedLot>,
    /// How many there are besides.
    pub more_lots: u32,
    /// The limits this holder is held to, in the order of the file.
    pub limits: Vec<LookedLimit>,
    /// The reservations he draws from, in the order he does (P-3).
    pub reservations: Vec<LookedReservation>,
    /// Free seats that reservations keep, his own among them.
    pub kept: u32,
    /// How many wait for seats, who ask before he does.
    pub waiting: u32,
    /// Leases of all features that are out, and how many there may be.
    pub leases: (u32, u32),
}

/// One certificate's seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookedLot {
    /// Which.
    pub certificate: CertificateId,
    /// The version of its right.
    pub version: Version,
    /// Whether it is overdraft (L-13).
    pub is_overdraft: bool,
    /// Its seats; `None` if they are not counted.
    pub count: Option<u32>,
    /// Those that are out.
    pub out: u32,
    /// Why it does not answer this request whatever is free: a lower version than wanted, or a lock to other machines; `None`: it does.
    pub no: Option<Denial>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedLimit {
    /// Its id.
    pub rule: String,
    /// Who counts as one.
    pub per: Per,
    /// How many seats it allows.
    pub max: u32,
    /// How many of them were out.
    pub used: u64,
    /// How many more were asked for.
    pub wanted: u32,
}

/// One reservation of the holder's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedReservation {
    /// Its id.
    pub rule: String,
    /// The lowest version that will do.
    pub version: Version,
    /// How many seats it keeps in all.
    pub seats: u32,
    /// How many of them its members have.
    pub used: u64,
}

/// Somebody who might ask.
#[derive(Clone, Debug)]
pub struct Question {
    /// In which realm.
    pub realm: RealmId,
    /// What for.
    pub feature: FeatureName,
    /// The lowest version that will do; 0.0.0 takes any.
    pub version: Version,
    /// How many.
    pub seats: SeatCount,
    /// Who, in his own words.
    pub holder: Holder,
    /// From where.
    pub address: IpAddr,
}

/// What would be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Yes or no.
    pub answer: Answer,
    /// What is looked at for that; `None` if no certificate names the feature.
    pub looked: Option<Looked>,
}

/// Yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Seats would go out; if some wait, unless they are for one of those.
    Seats,
    /// He would have the seats of this lease, which he may share or which stayed with him.
    SeatsOf(LeaseId),
    /// No.
    No {
        /// Why, for programs.
        code: Denial,
        /// Why, for people.
        sentence: String,
        /// What decides.
        rule: String,
    },
}

impl Looked {
    /// How many of each are told at most: so that a "no" costs the server as much however large the policy is.
    pub const MOST: usize = 8;
}
