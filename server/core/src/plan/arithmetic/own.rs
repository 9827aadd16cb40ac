//! The lots a feature has by itself: which exclusive certificate makes the pool, what adds to it, what raises it.

use std::cmp::Reverse;

use leasehold_protocol::{
    licence::{
        KeyType, SeatLimit,
        certificate::{Dialect, Pooling},
    },
    time::UnixMillis,
    vocab::SeatCount,
};

use super::{
    super::{
        Loaded, LotKind,
        report::{Outcome, UpgradeRule},
    },
    Case, DraftFeature, DraftLot,
};

/// Rights that begin later are looked at so far ahead: whether they will count then.
const LATER_MAX: usize = 16;

/// One feature's certificates, `indices` in file order, sorted into those in force and the others.
pub(super) fn feature(case: &mut Case<'_>, indices: &[usize]) -> DraftFeature {
    let mut draft = DraftFeature::default();
    asleep(case, indices, &mut draft);
    let alive: Vec<usize> = indices.iter().copied().filter(|index| case.is_alive(*index)).collect();
    let of_its_own = |case: &Case<'_>, index: &usize| case.loaded(*index).signed.certificate.terms.cost.is_none();
    let own: Vec<usize> = alive.into_iter().filter(|index| of_its_own(case, index)).collect();
    let (base, decides) = base(case, &own);
    let separate = decides.is_some_and(|index| pools(case, index) == Pooling::Separate);
    let raised = upgrade(case, indices, &own, base.first().copied().filter(|_| has_exclusive(case, &base)));
    lots(case, &base, &raised, separate, &mut draft);
    draft.soft_limit = soft_limit(case, &draft.lots);
    draft
}

/// Those that have not begun, and those that have ended.
fn asleep(case: &mut Case<'_>, indices: &[usize], draft: &mut DraftFeature) {
    let mut later: Vec<(UnixMillis, usize)> = Vec::new();
    for &index in indices {
        let loaded = case.loaded(index);
        let version = loaded.signed.certificate.version;
        let is_upgrade = loaded.signed.certificate.key_type == KeyType::Upgrade;
        match (loaded.starts, loaded.ends) {
            (_, Some(ended)) if loaded.has_ended(case.at) => {
                if !is_upgrade {
                    draft.ended.push((version, ended));
                }
                let trial = loaded.trial.is_some_and(|trial| trial.ends == Some(ended));
                case.set(index, if trial { Outcome::TrialOver { ended } } else { Outcome::Expired { ended } });
            }
            (Some(starts), _) if !loaded.has_started(case.at) => {
                if !is_upgrade {
                    later.push((starts, index));
                }
                case.set(index, Outcome::NotStarted { starts });
            }
            _ => {}
        }
    }
    later.sort_unstable();
    for (starts, index) in later.into_iter().take(LATER_MAX) {
        let then: Vec<usize> = indices.iter().copied().filter(|other| case.loaded(*other).is_alive(starts)).collect();
        let draws = case.loaded(index).signed.certificate.terms.cost.is_some();
        if draws || winners(case, &then).0.contains(&index) {
            draft.later.push((case.loaded(index).signed.certificate.version, starts));
        }
    }
    draft.ended.sort_by_key(|(_, ended)| Reverse(*ended));
}

fn key_type(case: &Case<'_>, index: usize) -> KeyType {
    case.loaded(index).signed.certificate.key_type
}

fn pools(case: &Case<'_>, index: usize) -> Pooling {
    case.loaded(index).signed.certificate.terms.pools
}

fn has_exclusive(case: &Case<'_>, base: &[usize]) -> bool {
    base.first().is_some_and(|index| key_type(case, *index) == KeyType::Exclusive)
}

/// Of `own`, all alive, those that make pools, the exclusive one first; and which of them says how (L-6, L-7).
fn winners(case: &Case<'_>, own: &[usize]) -> (Vec<usize>, Option<usize>) {
    let of = |kind| own.iter().copied().filter(move |index| key_type(case, *index) == kind);
    let first = of(KeyType::Exclusive).next();
    let dialect = first.map(|index| case.loaded(index).signed.certificate.terms.dialect);
    match (dialect, first) {
        (Some(Dialect::Replace), _) => {
            let last = of(KeyType::Exclusive).next_back();
            (last.into_iter().collect(), last)
        }
        (Some(Dialect::First), Some(first)) => {
            (std::iter::once(first).chain(of(KeyType::Additive)).collect(), Some(first))
        }
        _ => {
            let all: Vec<usize> = of(KeyType::Additive).collect();
            let decides = all.iter().copied().find(|index| pools(case, *index) == Pooling::Separate);
            let decides = decides.or(all.first().copied());
            (all, decides)
        }
    }
}

/// The same, and what becomes of those that make none.
fn base(case: &mut Case<'_>, own: &[usize]) -> (Vec<usize>, Option<usize>) {
    let (base, decides) = winners(case, own);
    if let Some(&by) = base.first().filter(|_| has_exclusive(case, &base)) {
        let dialect = own.iter().copied().find(|index| key_type(case, *index) == KeyType::Exclusive);
        let dialect = dialect.map(|index| case.loaded(index).signed.certificate.terms.dialect);
        let by = case.id(by);
        for &index in own {
            if key_type(case, index) == KeyType::Upgrade || base.contains(&index) && base[0] == index {
                continue;
            }
            match dialect {
                Some(Dialect::First) if key_type(case, index) == KeyType::Additive => {}
                Some(Dialect::First) => case.set(index, Outcome::Discarded { by }),
                _ => case.set(index, Outcome::Muted { by }),
            }
        }
    }
    (base, decides)
}

/// The upgrades among `own` that raise `exclusive`, and how many seats they add (L-8).
fn upgrade(case: &mut Case<'_>, indices: &[usize], own: &[usize], exclusive: Option<usize>) -> Vec<(usize, SeatCount)> {
    let mut raised = Vec::new();
    let mut total = exclusive.and_then(|index| count(case.loaded(index))).map_or(0, SeatCount::get);
    let upgrades: Vec<usize> = own.iter().copied().filter(|index| key_type(case, *index) == KeyType::Upgrade).collect();
    for index in upgrades {
        match may_raise(case, indices, index, exclusive, total) {
            Ok(seats) => {
                total += seats.get();
                raised.push((index, seats));
            }
            Err((rule, from)) => case.set(index, Outcome::UpgradeRefused { rule, from }),
        }
    }
    raised
}

type Refused = (UpgradeRule, Option<UnixMillis>);

/// Whether upgrade `index` raises `exclusive`, whose pool has `total` seats so far; the rule it breaks otherwise, and from
/// when on it would not.
fn may_raise(
    case: &Case<'_>,
    indices: &[usize],
    index: usize,
    exclusive: Option<usize>,
    total: u32,
) -> Result<SeatCount, Refused> {
    let upgrade = case.loaded(index);
    let Some(exclusive) = exclusive.map(|index| case.loaded(index)) else {
        return Err((UpgradeRule::NoExclusive, first_to_raise(case, indices, index)));
    };
    let no = |rule| Err((rule, None));
    let Some(seats) = count(upgrade) else { return no(UpgradeRule::Uncounted) };
    if exclusive.signed.certificate.count == SeatLimit::Uncounted {
        return no(UpgradeRule::OfUncounted);
    }
    if exclusive.signed.certificate.terms.metered.is_some() {
        return no(UpgradeRule::OfMetered);
    }
    if upgrade.signed.certificate.version > exclusive.signed.certificate.version {
        return Err((UpgradeRule::VersionAbove, first_to_raise(case, indices, index)));
    }
    if !lies_within(upgrade, exclusive) {
        return no(UpgradeRule::NotWithin);
    }
    match SeatCount::new(total.saturating_add(seats.get())) {
        Ok(_) => Ok(seats),
        Err(_) => no(UpgradeRule::TooMany),
    }
}

/// Whether what an upgrade says of its life lies within the exclusive's. What it does not say is the exclusive's.
fn lies_within(upgrade: &Loaded, exclusive: &Loaded) -> bool {
    let begins = upgrade.starts.is_none_or(|starts| exclusive.starts.is_none_or(|from| from <= starts));
    let ends = upgrade.ends.is_none_or(|ends| exclusive.ends.is_none_or(|until| ends <= until));
    begins && ends
}

/// When the first exclusive certificate begins that upgrade `index` could raise.
fn first_to_raise(case: &Case<'_>, indices: &[usize], index: usize) -> Option<UnixMillis> {
    let upgrade = case.loaded(index);
    let fits = |other: &Loaded| {
        let certificate = &other.signed.certificate;
        certificate.key_type == KeyType::Exclusive
            && certificate.count != SeatLimit::Uncounted
            && certificate.version >= upgrade.signed.certificate.version
            && lies_within(upgrade, other)
    };
    let starts = indices.iter().map(|index| case.loaded(*index)).filter(|other| fits(other));
    let starts = starts.filter_map(|other| other.starts).filter(|starts| *starts > case.at);
    starts.filter(|starts| upgrade.ends.is_none_or(|ends| *starts <= ends)).min()
}

fn count(loaded: &Loaded) -> Option<SeatCount> {
    match loaded.signed.certificate.count {
        SeatLimit::Counted(seats) => Some(seats),
        SeatLimit::Uncounted => None,
    }
}

/// The lots of `base` and of what raises its first one, in the order they serve in.
fn lots(case: &Case<'_>, base: &[usize], raised: &[(usize, SeatCount)], separate: bool, draft: &mut DraftFeature) {
    let upgraded_by = raised.iter().map(|(_, seats)| seats.get()).sum();
    for (nth, &index) in base.iter().enumerate() {
        let certificate = &case.loaded(index).signed.certificate;
        let group = if separate { u32::try_from(nth).unwrap_or(u32::MAX) } else { 0 };
        let lot = DraftLot {
            source: index,
            shown: index,
            kind: LotKind::Regular,
            seats: certificate.count,
            ends: case.loaded(index).ends,
            group,
            upgraded_by: if nth == 0 { upgraded_by } else { 0 },
        };
        if let Some(overdraft) = certificate.terms.overdraft {
            let seats = SeatLimit::Counted(overdraft);
            draft.lots.push(DraftLot { kind: LotKind::Overdraft, seats, upgraded_by: 0, ..lot.clone() });
        }
        draft.lots.push(lot);
    }
    for &(index, seats) in raised {
        let exclusive = base[0];
        draft.lots.push(DraftLot {
            source: index,
            shown: exclusive,
            kind: LotKind::Regular,
            seats: SeatLimit::Counted(seats),
            ends: first_end(case.loaded(index).ends, case.loaded(exclusive).ends),
            group: 0,
            upgraded_by: 0,
        });
    }
    draft.lots.sort_by_key(|lot| (lot.kind, lot.ends.map_or(u64::MAX, |ends| ends.0), lot.source));
}

fn first_end(a: Option<UnixMillis>, b: Option<UnixMillis>) -> Option<UnixMillis> {
    a.into_iter().chain(b).min()
}

/// The soft limits of the lots, and all seats of those that have none; `None` if nobody has one (L-13).
fn soft_limit(case: &Case<'_>, lots: &[DraftLot]) -> Option<u64> {
    let soft = |lot: &DraftLot| case.loaded(lot.source).signed.certificate.terms.soft_limit;
    let regular = || lots.iter().filter(|lot| lot.kind == LotKind::Regular);
    regular().find_map(soft)?;
    let own = |lot: &DraftLot| match (soft(lot), lot.seats) {
        (Some(soft), _) => Some(u64::from(soft.get())),
        (None, SeatLimit::Counted(seats)) => Some(u64::from(seats.get())),
        (None, SeatLimit::Uncounted) => None,
    };
    regular().map(own).sum()
}
