//! The plan of an instant, before it has pools, and the timetable of all instants.

use std::collections::BTreeMap;

use leasehold_protocol::{
    licence::SeatLimit,
    time::UnixMillis,
    vocab::{CertificateId, FeatureName},
};

use super::{
    Loaded, ServedBy,
    arithmetic::{self, DraftFeature, Judged},
    report::{CertificateReport, Outcome},
    words,
};

/// A plan that has no pools yet: indices into the certificates it was made from.
pub(super) struct Draft {
    pub(super) plan: DraftPlan,
    pub(super) lines: Vec<CertificateReport>,
    pub(super) next_change: Option<UnixMillis>,
}

/// What [`super::install`] turns into a plan.
pub(super) struct DraftPlan {
    pub(super) features: BTreeMap<FeatureName, DraftFeature>,
    pub(super) applied: Vec<usize>,
    pub(super) since: UnixMillis,
    pub(super) next_change: Option<UnixMillis>,
}

/// Compiles `held` for the instant `at`.
pub(super) fn compile(held: &[Loaded], here: &ServedBy, at: UnixMillis) -> Draft {
    let Judged { features, outcomes } = arithmetic::judge(held, here, at);
    let (since, next_change) = changes_around(held, here, at);
    let applied = (0..held.len()).filter(|index| outcomes[*index] == Outcome::Applied).collect();
    let by_id: BTreeMap<CertificateId, usize> =
        held.iter().enumerate().rev().map(|(index, loaded)| (loaded.signed.id, index)).collect();
    let told = words::Told { held, here, by_id: &by_id };
    let lines = held.iter().zip(outcomes).map(|(loaded, outcome)| told.line(loaded, outcome)).collect();
    Draft { plan: DraftPlan { features, applied, since, next_change }, lines, next_change }
}

/// The last instant up to `at` and the first one after it at which something begins or has ended.
fn changes_around(held: &[Loaded], here: &ServedBy, at: UnixMillis) -> (UnixMillis, Option<UnixMillis>) {
    let (mut past, mut future) = (UnixMillis::default(), None);
    for change in arithmetic::instants(held, here) {
        if change <= at {
            past = past.max(change);
        } else {
            future = Some(future.map_or(change, |first: UnixMillis| first.min(change)));
        }
    }
    (past, future)
}

/// Seats of a feature from an instant on, until the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From when on.
    pub at: UnixMillis,
    /// Regular seats; `None` if some are not counted.
    pub seats: Option<u64>,
    /// The most seats one request may take: less than all where pools are separate (L-7).
    pub largest: Option<u64>,
    /// Seats of overdraft besides (L-13).
    pub overdraft: u64,
}

/// The seats of `feature` from `from` on, one step for each change up to `until`.
pub(super) fn timetable(
    held: &[Loaded],
    here: &ServedBy,
    feature: &FeatureName,
    from: UnixMillis,
    until: UnixMillis,
) -> Vec<Step> {
    let mut instants: Vec<UnixMillis> =
        arithmetic::instants(held, here).filter(|at| *at > from && *at <= until).collect();
    instants.push(from);
    instants.sort_unstable();
    instants.dedup();
    let mut steps: Vec<Step> = Vec::new();
    for at in instants {
        let judged = arithmetic::judge(held, here, at);
        let step = step(&judged, feature, at);
        if steps.last().is_none_or(|last| Step { at, ..last.clone() } != step) {
            steps.push(step);
        }
    }
    steps
}

fn step(judged: &Judged, feature: &FeatureName, at: UnixMillis) -> Step {
    let nothing = Step { at, seats: Some(0), largest: Some(0), overdraft: 0 };
    let Some(own) = judged.features.get(feature) else { return nothing };
    let (lots, each) = match &own.drawn {
        Some(draw) => (judged.features.get(&draw.from).map_or(&[][..], |from| &from.lots), u64::from(draw.each)),
        None => (&own.lots[..], 1),
    };
    let mut groups: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    let mut overdraft = 0;
    for lot in lots {
        let seats = match lot.seats {
            SeatLimit::Counted(seats) => Some(u64::from(seats.get())),
            SeatLimit::Uncounted => None,
        };
        if lot.kind == super::LotKind::Overdraft {
            overdraft += seats.unwrap_or(0);
        } else {
            let group = groups.entry(lot.group).or_insert(Some(0));
            *group = group.zip(seats).map(|(all, seats)| all + seats);
        }
    }
    let seats: Option<u64> = groups.values().copied().sum();
    let most = groups.values().any(Option::is_none);
    let largest = if most { None } else { groups.values().copied().flatten().max().or(Some(0)) };
    Step { at, seats: seats.map(|n| n / each), largest: largest.map(|n| n / each), overdraft: overdraft / each }
}
