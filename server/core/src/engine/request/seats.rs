//! The seats of a request: taken under the plan in force (E-1, L-11).

use std::sync::Arc;

use arc_swap::Guard;
use leasehold_protocol::vocab::{HostId, SeatCount};

use super::{Asking, Step};
use crate::{
    book::{Book, Pool, Want, choices},
    engine::refusal::{Refusal, Stand},
    lock,
    plan::{FeaturePlan, Plan},
    pool::{BucketId, Rank, Short, Use, Worker},
    queue::Passed,
    quota::{Asked, Hurdle},
};

/// Seats that were taken for a lease to come.
#[derive(Debug)]
pub(in crate::engine) struct Taken {
    /// Under which plan.
    pub(super) plan: Guard<Arc<Plan>>,
    /// Whose they are.
    pub(in crate::engine) pool: Arc<Pool>,
    pub(super) uses: Vec<Use>,
    /// The number they are counted under; 0 if they are not.
    pub(super) number: u64,
    /// What the pool was counted by before they were taken.
    pub(super) ruling: u64,
}

/// Leases that are looked at between two looks at whether there is room now.
const SWEEP_STEP: usize = 64;

impl Asking<'_> {
    /// If there are as many leases as there may be, sweeps what is due, whatever its feature.
    pub(super) fn make_room(&self, step: &mut Step<'_>) {
        let stock = &self.shared.leases.stock;
        while stock.live() >= u64::from(stock.slab().leases_max()) && self.sweep(step) {}
    }

    /// Ends some of the leases of `pool` that are due, no more than it takes: after an outage a whole site may be. Whether
    /// there were any.
    pub(super) fn sweep_pool(&self, pool: &Pool, step: &mut Step<'_>) -> bool {
        let before = step.ended.len();
        self.shared.leases.expire_due_of(step.worker, pool, self.now.mono, SWEEP_STEP, step.ended);
        step.ended.len() > before
    }

    /// Ends some of the leases that are due, of whatever feature; whether that may have changed anything.
    fn sweep(&self, step: &mut Step<'_>) -> bool {
        let before = step.ended.len();
        let all = self.shared.leases.expire_due(step.worker, self.now.mono, SWEEP_STEP, step.ended);
        !all || step.ended.len() > before
    }

    /// Takes the seats under the plan in force, after sweeping due leases if there are not enough: a seat is free in the
    /// very millisecond its lease ends, on whichever worker it was granted (E-5).
    pub(super) fn take(&self, step: &mut Step<'_>) -> Result<Taken, Refusal> {
        let mut swept = false;
        loop {
            let plan = self.realm.planner.glance();
            let feature = plan.features.get(&self.request.feature).ok_or_else(|| self.unknown(&plan))?;
            let machine = self.machine(feature);
            self.check_right(feature, &machine)?;
            let want = self.want(feature, &machine)?;
            let fitting = self.fitting(step.worker, feature, &want)?;
            self.check_room()?;
            if self.waits == Some(true) {
                let stand = self.stand(step.worker, feature, fitting.unwrap_or(0));
                return Err(self.denied(feature, &want, Hurdle::NoSeat, stand));
            }
            let (ruling, mut uses) = (feature.seats().ruling(), Vec::with_capacity(1));
            match self.take_from(step, feature, &want, &mut uses) {
                Ok(number) => {
                    let pool = feature.seats().clone();
                    return Ok(Taken { plan, pool, uses, number, ruling });
                }
                // And once more after there was nothing to sweep: another worker may have been at it.
                Err(_) if !swept => swept = !self.sweep_pool(feature.seats(), step),
                // Its seats were moved in the meantime.
                Err(_) if !self.realm.planner.is_still(&plan) => {}
                Err(hurdle) => {
                    let stand = self.stand(step.worker, feature, fitting.unwrap_or(0));
                    return Err(self.denied(feature, &want, hurdle, stand));
                }
            }
        }
    }

    /// Takes the seats from the lots that answer the version wanted, in the order of L-11; with the book in hand if somebody
    /// waits for them, if rules count them, or if one step cannot span as many lots as it takes. The number they are counted
    /// under; 0 if they are not.
    fn take_from(
        &self,
        step: &mut Step<'_>,
        feature: &FeaturePlan,
        want: &Want<'_>,
        uses: &mut Vec<Use>,
    ) -> Result<u64, Hurdle> {
        if step.returns && self.shared.withheld_until().is_some() {
            return self.take_withheld(step, feature, want, uses);
        }
        let seats = want.seats.get();
        let taken = match &feature.lots[..] {
            // Also where there are seats for everybody, who have nobody to wait for.
            _ if feature.seats().is_ruled() => Err(Short::Waited),
            [only] => step.worker.take_in_order(&[only.bucket], seats, Rank::Newcomer, uses),
            lots => take_from_one(step.worker, &choices(lots, want), seats, uses),
        };
        match taken {
            Ok(()) => Ok(0),
            Err(Short::Waited | Short::TooWide) => self.take_by_book(step, feature, want, uses),
            #[cfg(feature = "planted-faults")]
            Err(Short::NoSeat) if self.shared.planted.is(crate::Fault::OneSeatTooMany) => {
                use crate::plan::serving;
                let worker = &mut *step.worker;
                let free: i64 = serving(&feature.lots, want.version).map(|lot| worker.count(lot.bucket)).sum();
                let lot = serving(&feature.lots, want.version).next().filter(|_| free + 1 >= i64::from(seats));
                let lot = lot.ok_or(Hurdle::NoSeat)?;
                worker.overdraw(lot.bucket, seats);
                uses.push(Use { bucket: lot.bucket, seats });
                Ok(0)
            }
            Err(Short::NoSeat) => Err(Hurdle::NoSeat),
        }
    }

    /// The same for who had his seats when the power went, and whose grant may be lost: out of those that are withheld, and before
    /// anybody who waits (U-2).
    fn take_withheld(
        &self,
        step: &mut Step<'_>,
        feature: &FeaturePlan,
        want: &Want<'_>,
        uses: &mut Vec<Use>,
    ) -> Result<u64, Hurdle> {
        let mut book = lock(&feature.seats().book);
        if !book.is_of(&feature.lots) {
            return Err(Hurdle::NoSeat);
        }
        book.set_waited(step.worker, true);
        let before = book.open_way(step.worker, want);
        let taken = self.take_in(step.worker, &mut book, (feature, want, true), &Passed::default(), uses);
        if taken.is_err() {
            book.close_way(step.worker, &before);
        }
        book.settle_waited(step.worker);
        taken
    }

    /// The same with the book in hand, after everybody who waits.
    fn take_by_book(
        &self,
        step: &mut Step<'_>,
        feature: &FeaturePlan,
        want: &Want<'_>,
        uses: &mut Vec<Use>,
    ) -> Result<u64, Hurdle> {
        let pool = feature.seats();
        let mut book = lock(&pool.book);
        // Whoever held it may have put other lots in force: then nothing is taken under this plan.
        if !book.is_of(&feature.lots) {
            return Err(Hurdle::NoSeat);
        }
        let own = book.queue.turn_of(self.request.claim);
        let passed = self.shared.serve_ahead((self.realm, pool, self.now), (&mut book, own), step);
        if own.is_some_and(|own| book.queue.is_called(own)) {
            // Seats are being given to this very claim.
            return Err(Hurdle::NoSeat);
        }
        if passed.has_more && own.is_none() {
            // Some who wait were not looked at: whoever does not wait goes behind them.
            return Err(Hurdle::NoSeat);
        }
        let number = self.take_in(step.worker, &mut book, (feature, want, step.returns), &passed, uses)?;
        if let Some(own) = own {
            book.queue.remove(own);
            book.queue.note_served(self.now.mono);
            self.shared.leases.queues.forget(self.realm.identity.id, self.request.claim);
            book.settle_waited(step.worker);
        }
        Ok(number)
    }

    /// The same for whose turn it is, after those of `passed`.
    pub(super) fn take_in(
        &self,
        worker: &mut Worker,
        book: &mut Book,
        (feature, want, returns): (&FeaturePlan, &Want<'_>, bool),
        passed: &Passed,
        uses: &mut Vec<Use>,
    ) -> Result<u64, Hurdle> {
        let behind = Want { barred: &passed.barred, ..*want };
        if !book.quotas.is_on() {
            book.take(worker, &behind, uses).map_err(|_| Hurdle::NoSeat)?;
            book.queue.note_passing(passed, uses);
            return Ok(0);
        }
        let case = book.quotas.case(self.asked(feature, want));
        // What is kept for him is not what the others wait for.
        let is_kept = book.quotas.keeps_all(&case);
        let want = if is_kept { want } else { &behind };
        book.take_counted(worker, want, (&case, returns), uses)?;
        if !is_kept {
            book.queue.note_passing(passed, uses);
        }
        let number = self.shared.leases.next_number();
        book.enter(number, case, uses);
        Ok(number)
    }

    /// What is in the way of [taking](Asking::take_in) them, if anything; nothing is taken.
    pub(super) fn could_take_in(
        &self,
        worker: &mut Worker,
        book: &Book,
        (feature, want): (&FeaturePlan, &Want<'_>),
        passed: &Passed,
    ) -> Result<(), Hurdle> {
        let behind = Want { barred: &passed.barred, ..*want };
        if !book.quotas.is_on() {
            return book.would_take(worker, &behind, None);
        }
        let case = book.quotas.case(self.asked(feature, want));
        let want = if book.quotas.keeps_all(&case) { want } else { &behind };
        book.would_take(worker, want, Some(&case))
    }

    /// Gives seats back that were taken for a lease which is not opened.
    pub(super) fn give_back(&self, pool: &Arc<Pool>, uses: &[Use], number: u64, worker: &mut Worker) {
        let mut book = lock(&pool.book);
        book.quotas.leave(number);
        uses.iter().for_each(|used| _ = worker.give(used.bucket, used.seats));
        if !book.queue.is_empty() {
            self.shared.leases.queues.stir(pool);
        }
    }

    /// The same for all of it.
    pub(in crate::engine) fn put_back(&self, taken: &Taken, worker: &mut Worker) {
        self.give_back(&taken.pool, &taken.uses, taken.number, worker);
    }

    /// What rules count the request as.
    pub(super) fn asked(&self, feature: &FeaturePlan, want: &Want<'_>) -> Asked {
        Asked {
            feature: self.request.feature.clone(),
            seats: self.request.seats.get(),
            from: feature.seats().name.clone(),
            taken: want.seats.get(),
            holder: self.holder(),
            address: self.sender.path.from.ip(),
        }
    }

    /// Whether there is room for one more lease: asked before seats are taken, so that nobody is denied those for nothing.
    pub(super) fn check_room(&self) -> Result<(), Refusal> {
        self.check_room_for(1)
    }

    /// The same for so many.
    pub(super) fn check_room_for(&self, leases: usize) -> Result<(), Refusal> {
        let stock = &self.shared.leases.stock;
        let leases_max = stock.slab().leases_max();
        let fits = stock.live().saturating_add(leases as u64) <= u64::from(leases_max);
        if fits { Ok(()) } else { Err(Refusal::too_many_leases(leases_max)) }
    }

    /// What the request wants of the lots.
    pub(super) fn want<'m>(&self, feature: &FeaturePlan, machine: &'m [HostId]) -> Result<Want<'m>, Refusal> {
        Ok(Want { version: self.of_lots(feature), seats: self.cost(feature)?, machine, barred: &[] })
    }

    /// How many seats of the lots the request takes (L-14).
    pub(super) fn cost(&self, feature: &FeaturePlan) -> Result<SeatCount, Refusal> {
        let request = self.request;
        let seats = request.seats.get().checked_mul(feature.each()).and_then(|seats| SeatCount::new(seats).ok());
        seats.ok_or_else(|| Refusal::too_dear(&request.feature, request.seats, feature))
    }

    pub(super) fn denied(&self, feature: &FeaturePlan, want: &Want<'_>, hurdle: Hurdle, stand: Stand) -> Refusal {
        let (name, seats) = (&self.request.feature, self.request.seats);
        match (hurdle, &feature.drawn) {
            (Hurdle::NoSeat, Some(drawn)) => Refusal::no_seat_to_draw(name, seats, want.seats, drawn, stand),
            (Hurdle::NoSeat, None) => Refusal::no_seat(name, seats, stand),
            (Hurdle::Limit(reached), _) => Refusal::limit_reached(&self.request.holder, &reached, stand),
            (Hurdle::Reserved(kept), _) => Refusal::reserved(&feature.seats().name, want.seats, &kept, stand),
        }
    }
}

/// Takes `seats` from the first of `choices` that has them (L-7).
fn take_from_one(worker: &mut Worker, choices: &[Vec<BucketId>], seats: u32, uses: &mut Vec<Use>) -> Result<(), Short> {
    if let [only] = choices {
        return worker.take_in_order(only, seats, Rank::Newcomer, uses);
    }
    let taken = choices.iter().any(|buckets| worker.take_in_order(buckets, seats, Rank::Newcomer, uses).is_ok());
    // Whether there was an instant at which none had them is for who keeps the others from taking.
    if taken { Ok(()) } else { Err(Short::Waited) }
}
