//! What a decision looked at, as JSON: in the usage history and over REST. Field names are kept.

use leasehold_core::{
    Looked,
    explain::{LookedLimit, LookedLot, LookedReservation},
};
use serde::Serialize;

/// [`Looked`], as JSON. What does not apply is left out.
#[derive(Debug, Serialize)]
pub struct LookedView {
    /// The rule of access that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    admits: bool,
    /// The feature whose seats these are made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn: Option<String>,
    takes: u32,
    lots: Vec<LotView>,
    #[serde(skip_serializing_if = "is_zero")]
    more_lots: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<LimitView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reservations: Vec<ReservationView>,
    #[serde(skip_serializing_if = "is_zero")]
    kept: u32,
    #[serde(skip_serializing_if = "is_zero")]
    waiting: u32,
    leases: u32,
    leases_max: u32,
}

#[derive(Debug, Serialize)]
struct LotView {
    certificate: String,
    version: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    overdraft: bool,
    /// `null`: not counted.
    seats: Option<u32>,
    out: u32,
    /// Why it does not answer whatever is free: the name of a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    no: Option<String>,
}

#[derive(Debug, Serialize)]
struct LimitView {
    rule: String,
    per: &'static str,
    max: u32,
    used: u64,
    wanted: u32,
}

#[derive(Debug, Serialize)]
struct ReservationView {
    rule: String,
    version: String,
    seats: u32,
    used: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl From<&Looked> for LookedView {
    fn from(looked: &Looked) -> Self {
        Self {
            access: looked.access.clone(),
            admits: looked.admits,
            drawn: looked.drawn.as_ref().map(ToString::to_string),
            takes: looked.takes,
            lots: looked.lots.iter().map(LotView::from).collect(),
            more_lots: looked.more_lots,
            limits: looked.limits.iter().map(LimitView::from).collect(),
            reservations: looked.reservations.iter().map(ReservationView::from).collect(),
            kept: looked.kept,
            waiting: looked.waiting,
            leases: looked.leases.0,
            leases_max: looked.leases.1,
        }
    }
}

impl From<&LookedLot> for LotView {
    fn from(lot: &LookedLot) -> Self {
        Self {
            certificate: lot.certificate.to_string(),
            version: lot.version.to_string(),
            overdraft: lot.is_overdraft,
            seats: lot.count,
            out: lot.out,
            no: lot.no.map(|code| code.to_string()),
        }
    }
}

impl From<&LookedLimit> for LimitView {
    fn from(limit: &LookedLimit) -> Self {
        let LookedLimit { rule, per, max, used, wanted } = limit;
        Self { rule: rule.clone(), per: per.word(), max: *max, used: *used, wanted: *wanted }
    }
}

impl From<&LookedReservation> for ReservationView {
    fn from(reservation: &LookedReservation) -> Self {
        let LookedReservation { rule, version, seats, used } = reservation;
        Self { rule: rule.clone(), version: version.to_string(), seats: *seats, used: *used }
    }
}
