//! BUNDLE: seats of several features, all of them or none (R-9, E-3).
//!
//! # Why nobody sees half of one
//! Where no rule counts seats and nobody waits, all buckets of an alternative are taken by one step of the allocation core
//! ([`Worker::take_each_in_order`](crate::pool::Worker::take_each_in_order)). Otherwise the books of all pools that any alternative concerns
//! are locked, in order of the pools' numbers, and their buckets send everybody else there: until they are let go nobody takes from them, and
//! what is free only grows. So an alternative that was looked at and had too little had too little when the last book was locked,
//! which is the instant of a denial; and one that has enough still has when it is taken.
//!
//! Locks, in the order they are taken: the claim keys of the items, which one lock covers; the [gates](crate::joint::Gates) of what they may
//! share, in order of their numbers; the books, in order of the pools' numbers. Requests for one feature take one of each.

mod taking;

use std::collections::BTreeSet;

use leasehold_protocol::{
    message::{Bundle, BundleItem, Request},
    time::Now,
    vocab::SeatCount,
};

use super::{Asking, HOSTIDS_MAX, Held, Step, opening::Opened};
use crate::{
    Shared,
    claims::{Claim, ClaimGuard},
    engine::{
        Engine,
        data::Sender,
        refusal::{Asked, Refusal},
    },
    realm::Realm,
};
use taking::{Got, Part};

/// One item of a bundle: what it asks for at most, and how many seats will do.
struct Item {
    most: Request,
    least: SeatCount,
}

/// One bundle being decided.
struct Bundled<'a> {
    shared: &'a Shared,
    realm: &'a Realm,
    now: Now,
    sender: &'a Sender,
    alternatives: &'a [Vec<Item>],
}

/// A "no", and to which item.
type No = Box<(Request, Refusal)>;

/// The same, and of which of the alternatives that were looked at.
type NoTo = (usize, No);

/// Items that are had.
type Had = Vec<(Request, Held)>;

fn no(request: &Request, refusal: Refusal) -> No {
    Box::new((request.clone(), refusal))
}

impl Engine {
    /// Answers a bundle: with a grant for each item of an alternative, or with one denial.
    pub(in crate::engine) fn on_bundle(&mut self, now: Now, sender: &Sender, mut bundle: Bundle) {
        if let Some(fault) = bundle.fault() {
            let asked = Asked::by_name(bundle.operation, bundle.claim);
            return self.deny(sender, asked, Refusal::bad_bundle(fault));
        }
        bundle.holder.hostids.truncate(HOSTIDS_MAX);
        let shared = self.shared.clone();
        let realm = &shared.realms[sender.client.realm];
        let alternatives = items_of(&bundle);
        let bundled = Bundled { shared: &shared, realm, now, sender, alternatives: &alternatives };
        let mut step = Step::new(&mut self.worker, &mut self.ended);
        let decided = bundled.decide(&mut step);
        let Step { began, called, news, .. } = step;
        self.events.extend(news);
        if let Some(item) = alternatives.iter().flatten().next() {
            self.tell_trials(&bundled.asking(&item.most), began);
        }
        self.settle();
        self.open_called(now, called);
        match decided {
            Ok(all) => {
                for (request, held) in all {
                    let grant = self.grant(&bundled.asking(&request), held);
                    self.answers.push(grant);
                }
            }
            Err(no) => {
                let (request, refusal) = *no;
                let looked = bundled.asking(&request).look(&mut self.worker);
                self.deny(sender, Asked::of(request, looked), refusal);
            }
        }
    }
}

/// The items of `bundle` as requests of their own, alternative by alternative.
fn items_of(bundle: &Bundle) -> Vec<Vec<Item>> {
    let mut index = 0_u8;
    let mut item = |item: &BundleItem| {
        let most = Request {
            operation: bundle.operation,
            claim: Bundle::claim_of(bundle.claim, index),
            feature: item.feature.clone(),
            version: item.version,
            seats: item.seats,
            holder: bundle.holder.clone(),
            ticket: None,
        };
        index = index.wrapping_add(1);
        Item { most, least: item.at_least }
    };
    bundle.alternatives.iter().map(|items| items.iter().map(&mut item).collect()).collect()
}

impl Item {
    /// What it asks for with so many seats.
    fn of(&self, seats: SeatCount) -> Request {
        Request { seats, ..self.most.clone() }
    }
}

impl Bundled<'_> {
    fn asking<'b>(&'b self, request: &'b Request) -> Asking<'b> {
        let Self { shared, realm, now, sender, .. } = *self;
        Asking { shared, realm, now, sender, request, waits: None, offered_ms: None }
    }

    /// Grants all of an alternative, or refuses. The lock of the claims is held throughout.
    fn decide(&self, step: &mut Step<'_>) -> Result<Had, No> {
        let Some(first) = self.alternatives.iter().flatten().next() else { return Ok(Vec::new()) };
        let mut claim = self.shared.leases.claims.lock(self.realm.identity.id, first.most.claim);
        let (chosen, mut had) = self.had(&mut claim, step)?;
        let is_missing = |item: &&Item| had.iter().all(|(request, _)| request.claim != item.most.claim);
        let wanted: Vec<Vec<&Item>> = match chosen {
            Some(chosen) => vec![self.alternatives[chosen].iter().filter(is_missing).collect()],
            None => self.alternatives.iter().map(|items| items.iter().collect()).collect(),
        };
        if wanted.iter().all(Vec::is_empty) {
            return Ok(had);
        }
        self.admit(step)?;
        let items = wanted.iter().flatten();
        let gates: BTreeSet<usize> = items.filter_map(|item| self.asking(&item.most).gate_number()).collect();
        let _gates = self.shared.leases.gates.pass_all(&gates);
        let checked_out = self.checkout(&mut claim, &wanted, step).map_err(|(n, no)| {
            let (request, refusal) = *no;
            let refusal = refusal.of_bundle(chosen.unwrap_or(n), self.alternatives.len());
            Box::new((request, refusal))
        });
        had.extend(checked_out?);
        Ok(had)
    }

    /// Items that are had already, because it was asked before, and the alternative they are of.
    fn had(&self, claim: &mut ClaimGuard<'_>, step: &mut Step<'_>) -> Result<(Option<usize>, Had), No> {
        let (mut chosen, mut had) = (None, Vec::new());
        for (alternative, items) in self.alternatives.iter().enumerate() {
            for item in items {
                claim.turn_to(item.most.claim);
                match claim.get() {
                    Some(Claim::Released { .. }) => return Err(no(&item.most, Refusal::released())),
                    Some(Claim::Lease { lease, owner }) => {
                        let seats = self.shared.leases.record(lease).map(|record| record.seats);
                        let fits = seats.filter(|seats| (item.least..=item.most.seats).contains(seats));
                        let request = item.of(fits.unwrap_or(item.most.seats));
                        if let Some(known) = self.asking(&request).repeat(lease, owner, step) {
                            let held = known.map_err(|refusal| no(&request, refusal))?;
                            had.push((request, held));
                            chosen.get_or_insert(alternative);
                        }
                    }
                    None => {}
                }
            }
        }
        Ok((chosen, had))
    }

    /// Whether a fresh request for any of it is let in at all; if so, there is room for leases after that, if that can be made.
    fn admit(&self, step: &mut Step<'_>) -> Result<(), No> {
        for item in self.alternatives.iter().flatten() {
            let asking = self.asking(&item.most);
            asking.admit(step).map_err(|refusal| no(&item.most, refusal))?;
            asking.make_room(step);
        }
        Ok(())
    }

    /// Takes the seats of an alternative and opens a lease for each item, or does nothing.
    fn checkout(&self, claim: &mut ClaimGuard<'_>, wanted: &[Vec<&Item>], step: &mut Step<'_>) -> Result<Had, NoTo> {
        loop {
            let (alternative, parts) = self.take(wanted, step)?;
            // What was to be shared may have ended meanwhile: then all of it once more. It ends but once, and nobody opens another to be
            // shared while the gates are held.
            let Some(opened) = self.open_all(parts, step).map_err(|no| (alternative, no))? else { continue };
            let held = |(request, opened): (Request, Opened)| {
                claim.turn_to(request.claim);
                let held = self.asking(&request).held(claim, opened, false);
                (request, held)
            };
            return Ok(opened.into_iter().map(held).collect());
        }
    }

    /// Opens the leases of `parts`, those that share seats first; `None` if there is nothing to share any more. If one cannot be
    /// opened none is.
    fn open_all(&self, mut parts: Vec<Part>, step: &mut Step<'_>) -> Result<Option<Vec<(Request, Opened)>>, No> {
        parts.sort_by_key(|part| matches!(part.got, Got::Taken(_)));
        let mut opened: Vec<(Request, Opened)> = Vec::with_capacity(parts.len());
        let mut left = parts.into_iter();
        while let Some(Part { request, got }) = left.next() {
            let asking = self.asking(&request);
            let one = match got {
                Got::Taken(taken) => Some(asking.open_taken(*taken, step)),
                Got::Shared => asking.join(step).or_else(|| asking.take_over(step)),
            };
            match one {
                Some(Ok(one)) => opened.push((request, one)),
                failed => {
                    self.put_back(left.collect(), step);
                    opened.iter().for_each(|(_, one)| self.close(one, step));
                    return failed
                        .map_or(Ok(None), |refused| refused.map(|_| None).map_err(|refusal| no(&request, refusal)));
                }
            }
        }
        Ok(Some(opened))
    }

    /// Ends a lease that nobody was told of.
    fn close(&self, opened: &Opened, step: &mut Step<'_>) {
        let id = opened.record.id;
        if step.worker.end(id).is_some() {
            self.shared.leases.close(step.worker, id, self.now.mono, false);
        }
    }

    /// Gives back what was taken for leases that are not opened.
    fn put_back(&self, parts: Vec<Part>, step: &mut Step<'_>) {
        for Part { request, got } in parts {
            if let Got::Taken(taken) = got {
                self.asking(&request).put_back(&taken, step.worker);
            }
        }
    }
}
