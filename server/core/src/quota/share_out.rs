//! Which free seats a holder may take, while some are kept for others.
//!
//! What is kept asks for a version or higher, so it is enough to look at the seats of each version that is asked for and
//! above: as many of them must stay free as are kept and there are to keep. A seat that counts towards the holder's own
//! reservation leaves that difference as it was, but for versions above what his reservation asks for.

use std::collections::BTreeMap;

use leasehold_protocol::vocab::Version;

use super::{Case, Hurdle, Kept, Quotas};
use crate::{
    policy::Reservation,
    pool::{BucketId, Use},
};

/// Free seats of one lot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeLot {
    pub(crate) bucket: BucketId,
    pub(crate) version: Version,
    /// Whether they were bought: reservations are kept out of those, and not of an overdraft.
    pub(crate) is_regular: bool,
    pub(crate) free: u64,
}

impl Quotas {
    /// From which lots, of all those in force, who asks may take the seats he wants; `serving` are those that answer him, in
    /// the order they serve in. Where that order would use up what is kept for others, those of the lowest version serve
    /// first.
    pub(crate) fn share_out(&self, all: &[FreeLot], serving: &[BucketId], case: &Case) -> Result<Vec<Use>, Hurdle> {
        let index_of = |bucket: &BucketId| all.iter().position(|lot| lot.bucket == *bucket);
        let mut order: Vec<usize> = serving.iter().filter_map(index_of).collect();
        let wanted = case.asked.taken;
        let take = |order: &[usize]| Taking::new(self, all, &case.reservations).take(order, wanted);
        if let Some(taken) = take(&order) {
            return Ok(taken);
        }
        order.sort_by_key(|index| (!all[*index].is_regular, all[*index].version));
        if let Some(taken) = take(&order) {
            return Ok(taken);
        }
        let free = order.iter().fold(0u64, |sum, index| sum.saturating_add(all[*index].free));
        if free < u64::from(wanted) { Err(Hurdle::NoSeat) } else { Err(self.reserved(case)) }
    }

    /// How many of the seats of `all` are kept for somebody.
    pub(crate) fn kept(&self, all: &[FreeLot]) -> u64 {
        Taking::new(self, all, &[]).kept(|_| true).1
    }

    /// Who the seats are kept for that he may not have.
    fn reserved(&self, case: &Case) -> Hurdle {
        let keeps = |(index, r): &(usize, &Reservation)| {
            r.feature == case.asked.from && !case.reservations.contains(index) && self.left(*index) > 0
        };
        let mut keepers = self.policy.reservations().iter().enumerate().filter(keeps);
        let Some((first, reservation)) = keepers.next() else { return Hurdle::NoSeat };
        let (mut more, mut seats) = (0, self.left(first));
        for (index, _) in keepers {
            more += 1;
            seats += self.left(index);
        }
        let others = self.policy.reservations().iter().enumerate();
        let others = others.filter(|(index, r)| r.feature == case.asked.from && !case.reservations.contains(index));
        let of_others = others.map(|(_, r)| u64::from(r.seats)).sum();
        Hurdle::Reserved(Kept { rule: reservation.id.clone(), more, seats, of_others })
    }
}

/// Seats being taken, on paper.
struct Taking<'a> {
    lots: &'a [FreeLot],
    /// By lot.
    free: Vec<u64>,
    /// Kept, by the lowest version that will do.
    withheld: BTreeMap<Version, u64>,
    /// The holder's own reservations: the version they ask for, and how many seats he may still draw.
    own: Vec<(Version, u64)>,
    taken: Vec<Use>,
}

impl<'a> Taking<'a> {
    fn new(quotas: &Quotas, lots: &'a [FreeLot], own: &[usize]) -> Self {
        let own = own.iter().map(|r| (quotas.policy.reservations()[*r].version, quotas.left(*r))).collect();
        let free = lots.iter().map(|lot| lot.free).collect();
        Self { lots, free, withheld: quotas.withheld.clone(), own, taken: Vec::new() }
    }

    /// Takes `wanted` seats from the lots of `order`, all or none.
    fn take(mut self, order: &[usize], wanted: u32) -> Option<Vec<Use>> {
        let mut left = u64::from(wanted);
        for index in order {
            let before = left;
            for own in 0..self.own.len() {
                left -= self.draw(*index, own, left);
            }
            left -= self.take_as_anybody(*index, left);
            if let Ok(seats @ 1..) = u32::try_from(before - left) {
                self.taken.push(Use { bucket: self.lots[*index].bucket, seats });
            }
        }
        (left == 0).then_some(self.taken)
    }

    /// Takes up to `wanted` seats of a lot that count towards one of the holder's own reservations.
    fn draw(&mut self, lot: usize, own: usize, wanted: u64) -> u64 {
        let FreeLot { version, is_regular, .. } = self.lots[lot];
        let (least, may) = self.own[own];
        if least > version {
            return 0;
        }
        let above = |at: Version| at > least && at <= version;
        let spare = if is_regular { self.spare(above) } else { u64::MAX };
        let n = wanted.min(self.free[lot]).min(may).min(spare);
        self.free[lot] -= n;
        self.own[own].1 -= n;
        if let Some(withheld) = self.withheld.get_mut(&least) {
            *withheld -= n;
        }
        n
    }

    fn take_as_anybody(&mut self, lot: usize, wanted: u64) -> u64 {
        let FreeLot { version, is_regular, .. } = self.lots[lot];
        let spare = if is_regular { self.spare(|at| at <= version) } else { u64::MAX };
        let n = wanted.min(self.free[lot]).min(spare);
        self.free[lot] -= n;
        n
    }

    /// Of the versions that something is kept of and that `concern` it, the least difference between what is free of that or
    /// above and what is kept of it and is there to keep.
    fn spare(&self, concern: impl Fn(Version) -> bool) -> u64 {
        self.kept(concern).0
    }

    /// That difference, and how many seats are kept in all.
    fn kept(&self, concern: impl Fn(Version) -> bool) -> (u64, u64) {
        let (mut least, mut kept) = (u64::MAX, 0);
        for (version, withheld) in self.withheld.iter().rev() {
            let lots = self.lots.iter().zip(&self.free).filter(|(lot, _)| lot.is_regular && lot.version >= *version);
            let free = lots.fold(0u64, |sum, (_, free)| sum.saturating_add(*free));
            kept = free.min(withheld.saturating_add(kept));
            if concern(*version) {
                least = least.min(free - kept);
            }
        }
        (least, kept)
    }
}
