//! The seats of a bundle: one alternative's, all or none.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
};

use arc_swap::Guard;
use leasehold_protocol::{
    message::Request,
    vocab::{HostId, SeatCount},
};

use super::{
    super::{Step, seats::Taken},
    Bundled, Item, No, NoTo, no,
};
use crate::{
    book::{Book, choices},
    lock,
    plan::{FeaturePlan, Plan},
    pool::{BucketId, Rank, Use, Worker},
    queue::Passed,
    quota::Hurdle,
};

/// What was got for one item.
pub(super) struct Part {
    /// What it asks for, with as many seats as it got.
    pub(super) request: Request,
    pub(super) got: Got,
}

/// Where its seats come from.
pub(super) enum Got {
    Taken(Box<Taken>),
    /// Those that another lease has, or had and left.
    Shared,
}

/// An item that a right answers.
struct Able<'p> {
    item: &'p Item,
    feature: &'p FeaturePlan,
    machine: Vec<HostId>,
    /// How many seats one request may take, if they are counted.
    fitting: Option<u64>,
    shares: bool,
}

/// The books of the pools that a bundle concerns, by the pools' numbers, and who was passed in each.
type Books<'b> = BTreeMap<u32, (MutexGuard<'b, Book>, Passed)>;

/// What is in the way of which item.
struct Stopped<'a, 'p> {
    alternative: usize,
    able: &'a Able<'p>,
    hurdle: Hurdle,
}

impl Bundled<'_> {
    /// Takes the seats of the first alternative of `wanted` that can be had, under the plan in force, after sweeping due leases if
    /// none can.
    pub(super) fn take(&self, wanted: &[Vec<&Item>], step: &mut Step<'_>) -> Result<(usize, Vec<Part>), NoTo> {
        let mut swept = false;
        loop {
            let plan = self.realm.planner.glance();
            let (mut able, mut refused) = (Vec::new(), Vec::new());
            for (n, items) in wanted.iter().enumerate() {
                let looked: Result<Vec<_>, _> =
                    items.iter().map(|item| self.look_at(&plan, item, items.len(), step)).collect();
                match looked {
                    Ok(looked) => able.push((n, looked)),
                    Err(no) => refused.push((n, no)),
                }
            }
            let at_once = able.iter().find_map(|(n, items)| Some((*n, self.take_at_once(&plan, items, step)?)));
            if let Some(taken) = at_once {
                return Ok(taken);
            }
            let stopped = match self.take_by_books(&plan, &able, step) {
                Ok(taken) => return Ok(taken),
                Err(stopped) => stopped,
            };
            if !able.is_empty() && (!swept || !self.realm.planner.is_still(&plan)) {
                swept = !self.sweep(&able, step);
                continue;
            }
            refused.extend(stopped.into_iter().map(|stopped| (stopped.alternative, self.no(stopped, step))));
            refused.sort_by_key(|(n, _): &(usize, No)| *n);
            let told = refused.iter().position(|(_, no)| no.1.can_wait()).unwrap_or(0);
            return Err(refused.swap_remove(told));
        }
    }

    /// Ends leases that are due of the pools concerned; whether there were any.
    fn sweep(&self, able: &[(usize, Vec<Able<'_>>)], step: &mut Step<'_>) -> bool {
        let before = step.ended.len();
        for able in able.iter().flat_map(|(_, items)| items) {
            self.asking(&able.item.most).sweep_pool(able.feature.seats(), step);
        }
        step.ended.len() > before
    }

    /// Whether a right answers an item, with at least as many seats as will do.
    fn look_at<'p>(&self, plan: &'p Plan, item: &'p Item, leases: usize, step: &mut Step<'_>) -> Result<Able<'p>, No> {
        let least = item.of(item.least);
        let asking = self.asking(&least);
        let mut look = || {
            asking.check_policy()?;
            let feature = plan.features.get(&least.feature).ok_or_else(|| asking.unknown(plan))?;
            let machine = asking.machine(feature);
            asking.check_right(feature, &machine)?;
            let cost = self.asking(&item.most).cost(feature)?;
            let shares = self.asking(&item.most).would_share(feature, &machine, cost.get()).is_some();
            let want = asking.want(feature, &machine)?;
            let fitting = if shares { None } else { asking.fitting(step.worker, feature, &want)? };
            asking.check_room_for(leases)?;
            Ok(Able { item, feature, fitting, shares, machine })
        };
        look().map_err(|refusal| no(&item.most, refusal))
    }

    /// Takes all of an alternative in one step, if nobody waits and nothing counts; `None` if that cannot be, or cannot be so.
    fn take_at_once(&self, plan: &Guard<Arc<Plan>>, items: &[Able<'_>], step: &mut Step<'_>) -> Option<Vec<Part>> {
        let takers: Vec<&Able<'_>> = items.iter().filter(|able| !able.shares).collect();
        let pools: Vec<u32> = takers.iter().map(|able| able.feature.seats().id).collect();
        let is_apart = (1..pools.len()).all(|n| !pools[..n].contains(&pools[n]));
        let rulings: Vec<u64> = takers.iter().map(|able| able.feature.seats().ruling()).collect();
        if !is_apart || rulings.iter().any(|ruling| *ruling != 0) {
            return None;
        }
        let wants: Option<Vec<(Vec<BucketId>, u32)>> = takers.iter().map(|able| self.only_choice(able)).collect();
        let wants = wants?;
        let wants: Vec<(&[BucketId], u32)> = wants.iter().map(|(buckets, seats)| (&buckets[..], *seats)).collect();
        let mut uses = Vec::new();
        step.worker.take_each_in_order(&wants, Rank::Newcomer, &mut uses).ok()?;
        let mut taken = takers.iter().zip(uses).zip(rulings).map(|((able, uses), ruling)| {
            let taken = taken_of(plan, able.feature, (uses, 0), ruling);
            Part { request: able.item.most.clone(), got: Got::Taken(Box::new(taken)) }
        });
        let part = |able: &Able<'_>| if able.shares { Some(shared(able)) } else { taken.next() };
        Some(items.iter().filter_map(part).collect())
    }

    /// The buckets that may serve an item and how many seats of them it takes, if there is but one way.
    fn only_choice(&self, able: &Able<'_>) -> Option<(Vec<BucketId>, u32)> {
        let want = self.asking(&able.item.most).want(able.feature, &able.machine).ok()?;
        let mut choices = choices(&able.feature.lots, &want);
        (choices.len() == 1).then(|| choices.pop()).flatten().map(|buckets| (buckets, want.seats.get()))
    }

    /// Takes all of the first alternative that can be had, with the books of all of them in hand, after everybody who waits; or says what is
    /// in the way of each.
    fn take_by_books<'a, 'p>(
        &self,
        plan: &Guard<Arc<Plan>>,
        able: &'a [(usize, Vec<Able<'p>>)],
        step: &mut Step<'_>,
    ) -> Result<(usize, Vec<Part>), Vec<Stopped<'a, 'p>>> {
        let all = || able.iter().flat_map(|(_, items)| items);
        let features: BTreeMap<u32, &FeaturePlan> = all().map(|able| (able.feature.seats().id, able.feature)).collect();
        let mut books: Books<'_> =
            features.iter().map(|(id, feature)| (*id, (lock(&feature.seats().book), Passed::default()))).collect();
        for (id, (book, passed)) in &mut books {
            book.set_waited(step.worker, true);
            if let Some(feature) = features.get(id) {
                let ahead = (self.realm, feature.seats(), self.now);
                *passed = self.shared.serve_ahead(ahead, (&mut *book, None), step);
            }
        }
        // Whoever was served may have let the others in again.
        books.values().for_each(|(book, _)| book.set_waited(step.worker, true));
        let mut stopped = Vec::new();
        let mut found = None;
        for (alternative, items) in able {
            match self.take_with(plan, items, &mut books, step) {
                Ok(parts) => {
                    found = Some((*alternative, parts));
                    break;
                }
                Err((able, hurdle)) => stopped.push(Stopped { alternative: *alternative, able, hurdle }),
            }
        }
        books.values().for_each(|(book, _)| book.settle_waited(step.worker));
        found.ok_or(stopped)
    }

    /// Takes all of one alternative, or says which item it fails at. All are looked at before any is taken; only of two that are made of
    /// the same seats (L-14) the second may still fail, and then the first goes back.
    fn take_with<'a, 'p>(
        &self,
        plan: &Guard<Arc<Plan>>,
        items: &'a [Able<'p>],
        books: &mut Books<'_>,
        step: &mut Step<'_>,
    ) -> Result<Vec<Part>, (&'a Able<'p>, Hurdle)> {
        let mut seats = Vec::with_capacity(items.len());
        for able in items {
            let Some((book, passed)) = books.get_mut(&able.feature.seats().id) else {
                return Err((able, Hurdle::NoSeat));
            };
            let most = self.most_of(able, (book, passed), step.worker);
            seats.push(most.map_err(|hurdle| (able, hurdle))?);
        }
        let mut parts: Vec<Part> = Vec::with_capacity(items.len());
        for (able, seats) in items.iter().zip(seats) {
            let part = match books.get_mut(&able.feature.seats().id) {
                _ if able.shares => Ok(shared(able)),
                Some((book, passed)) => self.take_one(plan, able, seats, (&mut *book, passed), step.worker),
                None => Err(Hurdle::NoSeat),
            };
            match part {
                Ok(part) => parts.push(part),
                Err(hurdle) => {
                    undo(parts, books, step.worker);
                    return Err((able, hurdle));
                }
            }
        }
        Ok(parts)
    }

    /// How many seats an item can have, between the least that will do and what it asks for.
    fn most_of(
        &self,
        able: &Able<'_>,
        (book, passed): (&Book, &Passed),
        worker: &mut Worker,
    ) -> Result<SeatCount, Hurdle> {
        let (most, least) = (able.item.most.seats, able.item.least);
        if able.shares {
            return Ok(most);
        }
        if !book.is_of(&able.feature.lots) || passed.has_more {
            return Err(Hurdle::NoSeat);
        }
        let mut can = |seats: SeatCount| self.could_take(able, seats, (book, passed), worker);
        match can(most) {
            Err(_) if least < most => can(least)?,
            decided => return decided.map(|()| most),
        }
        // So many can be had, and so many cannot.
        let (mut yes, mut no) = (least.get(), most.get());
        while no - yes > 1 {
            let middle = yes + (no - yes) / 2;
            match SeatCount::new(middle).map(&mut can) {
                Ok(Ok(())) => yes = middle,
                _ => no = middle,
            }
        }
        Ok(SeatCount::new(yes).unwrap_or(least))
    }

    fn could_take(
        &self,
        able: &Able<'_>,
        seats: SeatCount,
        (book, passed): (&Book, &Passed),
        worker: &mut Worker,
    ) -> Result<(), Hurdle> {
        let request = able.item.of(seats);
        let asking = self.asking(&request);
        let want = asking.want(able.feature, &able.machine).map_err(|_| Hurdle::NoSeat)?;
        asking.could_take_in(worker, book, (able.feature, &want), passed)
    }

    fn take_one(
        &self,
        plan: &Guard<Arc<Plan>>,
        able: &Able<'_>,
        seats: SeatCount,
        (book, passed): (&mut Book, &Passed),
        worker: &mut Worker,
    ) -> Result<Part, Hurdle> {
        let request = able.item.of(seats);
        let asking = self.asking(&request);
        let want = asking.want(able.feature, &able.machine).map_err(|_| Hurdle::NoSeat)?;
        let (ruling, mut uses) = (able.feature.seats().ruling(), Vec::with_capacity(1));
        let number = asking.take_in(worker, book, (able.feature, &want, false), passed, &mut uses)?;
        book.set_waited(worker, true);
        let taken = taken_of(plan, able.feature, (uses, number), ruling);
        Ok(Part { request, got: Got::Taken(Box::new(taken)) })
    }

    /// The denial of an item that something is in the way of.
    fn no(&self, stopped: Stopped<'_, '_>, step: &mut Step<'_>) -> No {
        let Able { item, feature, machine, fitting, .. } = stopped.able;
        let request = item.of(item.least);
        let asking = self.asking(&request);
        let stand = asking.stand(step.worker, feature, fitting.unwrap_or(0));
        let want = asking.want(feature, machine);
        let refusal = want.map_or_else(|refusal| refusal, |want| asking.denied(feature, &want, stopped.hurdle, stand));
        no(&item.most, refusal)
    }
}

fn shared(able: &Able<'_>) -> Part {
    Part { request: able.item.most.clone(), got: Got::Shared }
}

fn taken_of(plan: &Guard<Arc<Plan>>, feature: &FeaturePlan, (uses, number): (Vec<Use>, u64), ruling: u64) -> Taken {
    Taken { plan: Guard::from_inner(Arc::clone(plan)), pool: feature.seats().clone(), uses, number, ruling }
}

/// Gives back what was taken, with the books in hand.
fn undo(parts: Vec<Part>, books: &mut Books<'_>, worker: &mut Worker) {
    for part in parts {
        let Got::Taken(taken) = part.got else { continue };
        if let Some((book, _)) = books.get_mut(&taken.pool.id) {
            book.quotas.leave(taken.number);
        }
        taken.uses.iter().for_each(|used| _ = worker.give(used.bucket, used.seats));
    }
}
