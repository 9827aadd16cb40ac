//! What there is of one feature, counted.

use leasehold_protocol::time::Now;

use super::{FeatureStatus, LotStatus};
use crate::{
    book::{Counts, Pool, counts_of},
    lock, narrow,
    plan::{Drawn, FeaturePlan, Lot, LotKind},
    pool::Worker,
};

/// What there is of one feature; nothing if no certificate names it and nothing is out.
pub(crate) fn feature_status(
    pool: &Pool,
    plan: Option<&FeaturePlan>,
    now: Now,
    worker: &mut Worker,
) -> Option<FeatureStatus> {
    let (Counts { out, overage }, count, (overdraft, overdraft_used), (used_up, withheld), (reserved, waiting)) = {
        let book = lock(&pool.book);
        let beside = (book.reserved(worker), book.queue.waiting(now.mono) as u64);
        (book.stand(worker), book.capacity(), book.overdraft(worker), (book.used_up(), book.withheld()), beside)
    };
    if plan.is_none() && out == 0 {
        return None;
    }
    let lots = plan.map_or(&[][..], |plan| &plan.lots);
    let first_later = plan.and_then(|plan| plan.later.iter().find(|(_, starts)| *starts > now.wall));
    let last_ended = plan.and_then(|plan| plan.ended.first()).filter(|_| lots.is_empty() && first_later.is_none());
    let best = lots.iter().map(|lot| lot.version).max();
    let free =
        count.map_or(i64::MAX, |count| (count + overdraft).cast_signed() - (out + used_up + withheld).cast_signed());
    let mut status = FeatureStatus {
        realm: pool.realm,
        name: pool.name.clone(),
        version: best.or(first_later.or(last_ended).map(|(version, _)| *version)).unwrap_or_default(),
        count: count.map(narrow),
        used: narrow(out),
        overdraft: narrow(overdraft),
        overdraft_used: narrow(overdraft_used),
        soft_limit: plan.and_then(|plan| plan.soft_limit).map(narrow),
        upgraded_by: lots.iter().map(|lot| lot.upgraded_by).sum(),
        largest: plan.filter(|plan| plan.is_separate()).and_then(FeaturePlan::largest).map(narrow),
        drawn: None,
        lingering: narrow(pool.lingering_seats(worker.stock())),
        used_up,
        withheld: narrow(withheld),
        free,
        overage: narrow(overage),
        reserved: narrow(reserved),
        leases: narrow(worker.stock().out(pool.leases).max(0).unsigned_abs()),
        waiting: narrow(waiting),
        next_end: lots.iter().filter_map(|lot| lot.ends).min(),
        not_started: first_later.filter(|_| lots.is_empty()).map(|(_, starts)| *starts),
        ended: last_ended.map(|(_, ended)| *ended),
        lots: lots.iter().map(|lot| lot_status(lot, worker)).collect(),
    };
    if let Some(drawn) = plan.and_then(|plan| plan.drawn.as_ref()) {
        draw(&mut status, pool, drawn, worker);
    }
    Some(status)
}

/// What there is of a feature whose seats are made of another one's (L-14): as many as that one's would make.
fn draw(status: &mut FeatureStatus, pool: &Pool, drawn: &Drawn, worker: &mut Worker) {
    let (Counts { out, overage }, count, (overdraft, _), used_up) = {
        let book = lock(&drawn.pool.book);
        (book.stand(worker), book.capacity(), book.overdraft(worker), book.used_up() + book.withheld())
    };
    let each = u64::from(drawn.each.max(1));
    let free = count.map(|count| (count + overdraft).saturating_sub(out.saturating_sub(overage) + used_up) / each);
    status.version = drawn.answers;
    status.count = count.map(|count| narrow(count / each));
    status.used += narrow(pool.drawn_seats(worker.stock()));
    status.free = free.map_or(i64::MAX, u64::cast_signed);
    status.overdraft = narrow(overdraft / each);
    status.drawn = Some((drawn.pool.name.clone(), drawn.each));
    status.lots.clear();
}

fn lot_status(lot: &Lot, worker: &mut Worker) -> LotStatus {
    LotStatus {
        certificate: lot.certificate,
        version: lot.version,
        source: lot.source,
        overdraft: lot.kind == LotKind::Overdraft,
        upgraded_by: lot.upgraded_by,
        group: lot.group,
        count: lot.count(),
        used: narrow(counts_of(worker, lot.bucket).0.unsigned_abs()),
        ends: lot.ends,
    }
}
