//! FEATURE_QUERY and LICENCE_QUERY: what is there, and whose seats are they? (S-5.)

use std::{
    collections::BTreeSet,
    ops::Bound::{self, Excluded, Included, Unbounded},
};

use leasehold_protocol::{
    codec,
    message::{FeatureInfo, FeatureLine, FeatureQuery, LicenceInfo, LicenceLine, LicenceQuery, ServerFrame},
    time::Now,
    vocab::{CertificateId, FeatureName, Version},
};

use super::{Engine, data::Sender};
use crate::{
    book::counts_of,
    counters::Counter,
    narrow,
    plan::{Drawn, FeaturePlan, Lot, LotKind, Plan},
    pool::Worker,
    status::feature_status,
};

/// Bytes of one page: the longest body less a little for whatever else the datagram says.
const PAGE_LEN_MAX: usize = codec::BODY_MAX - 64;
/// The most bytes a page has before its first line: an operation id, a count and whether there are more.
const HEAD_LEN_MAX: usize = 16;

impl Engine {
    pub(super) fn on_feature_query(&mut self, now: Now, sender: &Sender, query: &FeatureQuery) {
        let shared = self.shared.clone();
        let plan = shared.realms[sender.client.realm].planner.plan();
        let first = query.after.as_ref().map_or(Unbounded, Excluded);
        let features = asked_for(&plan, query.only.as_ref(), first);
        let mut lines = features.filter_map(|(_, feature)| feature_line(now, &mut self.worker, feature));
        let (features, more) = page(&mut lines, feature_len_max);
        self.counters.count(Counter::FeatureQueries);
        let operation = query.operation;
        self.answers.push(ServerFrame::FeatureInfo(Box::new(FeatureInfo { operation, features, more })));
    }

    pub(super) fn on_licence_query(&mut self, now: Now, sender: &Sender, query: &LicenceQuery) {
        let shared = self.shared.clone();
        let plan = shared.realms[sender.client.realm].planner.plan();
        let first = query.from.as_ref().map_or(Unbounded, Included);
        let features = asked_for(&plan, query.only.as_ref(), first);
        let worker = &mut self.worker;
        let mut lines = features.flat_map(|(name, feature)| {
            let skip = if query.from.as_ref() == Some(name) { query.skip } else { 0 };
            licence_lines(now, worker, feature, usize::try_from(skip).unwrap_or(usize::MAX))
        });
        let (licences, more) = page(&mut lines, licence_len_max);
        self.counters.count(Counter::LicenceQueries);
        let operation = query.operation;
        self.answers.push(ServerFrame::LicenceInfo(Box::new(LicenceInfo { operation, licences, more })));
    }
}

/// The feature called `only`, or all from `first` on.
fn asked_for<'a>(
    plan: &'a Plan,
    only: Option<&'a FeatureName>,
    first: Bound<&'a FeatureName>,
) -> impl Iterator<Item = (&'a FeatureName, &'a FeaturePlan)> {
    let range = match only {
        Some(only) => (Included(only), Included(only)),
        None => (first, Unbounded),
    };
    plan.features.range::<FeatureName, _>(range)
}

/// As many of `lines` as fit one body, and whether there are more.
fn page<T>(lines: &mut dyn Iterator<Item = T>, len_max: fn(&T) -> usize) -> (Vec<T>, bool) {
    let (mut page, mut len) = (Vec::new(), HEAD_LEN_MAX);
    for line in lines {
        len += len_max(&line);
        if len > PAGE_LEN_MAX {
            return (page, true);
        }
        page.push(line);
    }
    (page, false)
}

/// What is said of a feature; nothing of one with no right in force and no seat out.
fn feature_line(now: Now, worker: &mut Worker, feature: &FeaturePlan) -> Option<FeatureLine> {
    let status = feature_status(&feature.pool, Some(feature), now, worker)?;
    if feature.lots.is_empty() && status.used == 0 {
        return None;
    }
    Some(FeatureLine {
        name: status.name,
        version: if feature.lots.is_empty() { Version::default() } else { status.version },
        count: status.count,
        used: status.used,
        next_end: status.next_end,
    })
}

/// The most bytes a line may take: a length and the name, three parts of a version, a count, the seats out, an instant.
fn feature_len_max(line: &FeatureLine) -> usize {
    1 + line.name.as_str().len() + 3 * 3 + 6 + 5 + 10
}

/// The certificates the seats of a feature come from, without the first `skip`.
fn licence_lines(now: Now, worker: &mut Worker, feature: &FeaturePlan, skip: usize) -> Vec<LicenceLine> {
    if let Some(drawn) = &feature.drawn {
        return drawn_line(now, worker, feature, drawn).into_iter().skip(skip).collect();
    }
    let mut seen = BTreeSet::new();
    let certificates = feature.lots.iter().map(|lot| lot.certificate).filter(|id| seen.insert(*id));
    let certificates: Vec<CertificateId> = certificates.skip(skip).take(LINES_MAX).collect();
    let lots = |id| feature.lots.iter().filter(move |lot: &&Lot| lot.certificate == id);
    certificates.into_iter().filter_map(|id| line_of_lots(worker, &feature.pool.name, lots(id))).collect()
}

/// More lines than a page has room for: a feature may have ten thousand certificates.
const LINES_MAX: usize = 64;

/// One certificate's line: its own lot, those of the upgrades that raise it (L-8), and its overdraft.
fn line_of_lots<'a>(
    worker: &mut Worker,
    feature: &FeatureName,
    lots: impl Iterator<Item = &'a Lot>,
) -> Option<LicenceLine> {
    let mut line: Option<LicenceLine> = None;
    for lot in lots {
        let line = line.get_or_insert_with(|| LicenceLine {
            feature: feature.clone(),
            certificate: lot.certificate,
            version: lot.version,
            count: Some(0),
            upgraded_by: 0,
            overdraft: 0,
            used: 0,
            starts: lot.starts,
            ends: None,
            signed: signed(feature, &lot.signed.cose),
        });
        line.used = line.used.saturating_add(narrow(counts_of(worker, lot.bucket).0.max(0).unsigned_abs()));
        match lot.kind {
            LotKind::Overdraft => line.overdraft = line.overdraft.saturating_add(lot.count().unwrap_or(0)),
            LotKind::Regular => {
                line.count = line.count.zip(lot.count()).map(|(seats, more)| seats.saturating_add(more));
                if lot.source == lot.certificate {
                    line.ends = lot.ends;
                } else {
                    line.upgraded_by = line.upgraded_by.saturating_add(lot.count().unwrap_or(0));
                }
            }
        }
    }
    line
}

/// The certificate that says whose seats those of `feature` are made of (L-14).
fn drawn_line(now: Now, worker: &mut Worker, feature: &FeaturePlan, drawn: &Drawn) -> Option<LicenceLine> {
    let status = feature_status(&feature.pool, Some(feature), now, worker)?;
    let certificate = &drawn.by.certificate;
    Some(LicenceLine {
        certificate: drawn.by.id,
        version: drawn.answers,
        count: status.count,
        upgraded_by: 0,
        overdraft: status.overdraft,
        used: status.used,
        starts: certificate.starts_at(),
        ends: certificate.ends_at(),
        signed: signed(&status.name, &drawn.by.cose),
        feature: status.name,
    })
}

/// The signed bytes, if a page has room for them.
fn signed(feature: &FeatureName, cose: &[u8]) -> Vec<u8> {
    let room = PAGE_LEN_MAX - HEAD_LEN_MAX - LICENCE_LEN_MAX - feature.as_str().len();
    if cose.len() <= room { cose.to_vec() } else { Vec::new() }
}

/// The most bytes of a line without its name and signed bytes: lengths of both, an id, three parts of a version, four
/// numbers of which one may be absent, two instants that may.
const LICENCE_LEN_MAX: usize = 1 + 3 + 8 + 3 * 3 + 6 + 3 * 5 + 2 * 10;

fn licence_len_max(line: &LicenceLine) -> usize {
    LICENCE_LEN_MAX + line.feature.as_str().len() + line.signed.len()
}
