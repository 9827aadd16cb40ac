//! What limits and reservations say of one who asks, with their numbers.

use super::{Case, Quotas};
use crate::explain::{LookedLimit, LookedReservation};

impl Quotas {
    /// The limits that `case` is held to, and the reservations it may draw from: the first `most` of each.
    pub(crate) fn look(&self, case: &Case, most: usize) -> (Vec<LookedLimit>, Vec<LookedReservation>) {
        let limit = |(counter, wanted): &(super::Counter, u32)| {
            let limit = &self.policy.limits()[counter.limit];
            let used = self.used.get(counter).copied().unwrap_or(0);
            LookedLimit { rule: limit.id.clone(), per: limit.per, max: limit.max, used, wanted: *wanted }
        };
        let reservation = |index: &usize| {
            let reservation = &self.policy.reservations()[*index];
            let used = self.drawn.get(index).copied().unwrap_or(0);
            let (rule, version, seats) = (reservation.id.clone(), reservation.version, reservation.seats);
            LookedReservation { rule, version, seats, used }
        };
        let limits = case.limits.iter().take(most).map(limit).collect();
        (limits, case.reservations.iter().take(most).map(reservation).collect())
    }
}
