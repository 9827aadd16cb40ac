//! Seats where rules count them: limits and reservations (P-2, P-3).

use leasehold_protocol::vocab::{FeatureName, Version};

use super::{Book, Want, choices};
use crate::{
    narrow,
    plan::{Lot, LotKind},
    policy::Reservation,
    pool::{BucketId, Rank, Short, Use, Worker},
    quota::{Case, FreeLot, Hurdle},
};

impl Book {
    /// Takes seats for `want` where rules count them, and leaves in `uses` of which lots. Whoever takes or gives some has the book in
    /// hand, but for who began before they did.
    ///
    /// # Errors
    /// What is in the way of `case`. For who had the seats before this server was started anew, whose lease is to come back
    /// (`returns`), there is only the want of seats.
    pub(crate) fn take_counted(
        &self,
        worker: &mut Worker,
        want: &Want<'_>,
        (case, returns): (&Case, bool),
        uses: &mut Vec<Use>,
    ) -> Result<(), Hurdle> {
        if returns {
            return self.take(worker, want, uses).map_err(|_| Hurdle::NoSeat);
        }
        self.quotas.check_limits(case)?;
        if !self.homeless.is_empty() && self.spare(worker) < i64::from(want.seats.get()) {
            return Err(Hurdle::NoSeat);
        }
        let choices = choices(&self.lots, want);
        loop {
            let all = self.free_lots(worker);
            let mut denied = Hurdle::NoSeat;
            let shares = choices.iter().find_map(|serving| match self.quotas.share_out(&all, serving, case) {
                Ok(shares) => Some(shares),
                Err(Hurdle::NoSeat) => None,
                Err(hurdle) => {
                    denied = hurdle;
                    None
                }
            });
            let Some(shares) = shares else { return Err(denied) };
            *uses = shares;
            if self.take_exactly(worker, uses).is_ok() {
                return Ok(());
            }
            // Somebody was quicker, who knows of no rules yet: there are fewer now.
        }
    }

    /// What is in the way of seats for `want`, if anything; nothing is taken. `case`: what rules count it as, if they do.
    pub(crate) fn would_take(&self, worker: &mut Worker, want: &Want<'_>, case: Option<&Case>) -> Result<(), Hurdle> {
        case.map_or(Ok(()), |case| self.quotas.check_limits(case))?;
        if !self.homeless.is_empty() && self.spare(worker) < i64::from(want.seats.get()) {
            return Err(Hurdle::NoSeat);
        }
        let all = self.free_lots(worker);
        let free = |serving: &[BucketId]| {
            let of = |lot: &FreeLot| if serving.contains(&lot.bucket) { lot.free } else { 0 };
            all.iter().map(of).fold(0, u64::saturating_add)
        };
        let mut denied = Err(Hurdle::NoSeat);
        for serving in choices(&self.lots, want) {
            denied = match case {
                Some(case) => self.quotas.share_out(&all, &serving, case).map(drop),
                None if free(&serving) >= u64::from(want.seats.get()) => Ok(()),
                None => Err(Hurdle::NoSeat),
            };
            if denied.is_ok() {
                break;
            }
        }
        denied
    }

    /// Takes `uses`, all or none. Of more buckets than one step can take from one after the other.
    fn take_exactly(&self, worker: &mut Worker, uses: &[Use]) -> Result<(), Short> {
        match worker.take_all(uses, Rank::Chosen) {
            Err(Short::TooWide) => {}
            decided => return decided,
        }
        let is_taken = |used: &&Use| worker.take(used.bucket, used.seats, Rank::Chosen).is_ok();
        let taken = uses.iter().take_while(is_taken).count();
        if taken == uses.len() {
            return Ok(());
        }
        uses.iter().take(taken).for_each(|used| _ = worker.give(used.bucket, used.seats));
        Err(Short::NoSeat)
    }

    /// Counts what grant `number` took.
    pub(crate) fn enter(&mut self, number: u64, case: Case, uses: &[Use]) {
        let version = |used: &Use| self.lots.iter().find(|lot| lot.bucket == used.bucket).map(|lot| lot.version);
        let seats: Vec<_> = uses.iter().map(|used| (version(used).unwrap_or_default(), used.seats)).collect();
        self.quotas.enter(number, case, &seats);
    }

    /// Free seats that are kept for some.
    pub(crate) fn reserved(&self, worker: &mut Worker) -> u64 {
        if self.quotas.is_on() { self.quotas.kept(&self.free_lots(worker)) } else { 0 }
    }

    fn free_lots(&self, worker: &mut Worker) -> Vec<FreeLot> {
        let free = |lot: &Lot| FreeLot {
            bucket: lot.bucket,
            version: lot.version,
            is_regular: lot.kind == LotKind::Regular,
            free: u64::try_from(worker.count(lot.bucket)).unwrap_or(0),
        };
        self.lots.iter().map(free).collect()
    }

    /// The reservations of this pool, in the order of the file: each with the seats its members have, and those that the lots in
    /// force cannot give it.
    pub(crate) fn reservations(&self, name: &FeatureName) -> Vec<(Reservation, u32, u32)> {
        let mut there: Vec<(Version, u64)> =
            self.of_kind(LotKind::Regular).map(|lot| (lot.version, lot.count().map_or(u64::MAX, u64::from))).collect();
        // The highest versions are for those that ask for them.
        there.sort_by_key(|(version, _)| *version);
        let mut all = Vec::new();
        for (reservation, used) in self.quotas.drawn_of(name) {
            let mut short = u64::from(reservation.seats);
            for (_, left) in there.iter_mut().filter(|(version, _)| *version >= reservation.version) {
                let given = short.min(*left);
                short -= given;
                *left -= given;
            }
            all.push((reservation, narrow(used), narrow(short)));
        }
        all
    }
}
