//! FEATURE_QUERY: what is there? (S-5.)

use std::ops::Bound;

use leasehold_protocol::{
    codec,
    message::{FeatureInfo, FeatureLine, FeatureQuery, ServerFrame},
};

use super::{Engine, data::Sender};
use crate::{counters::Counter, lock, plan::FeaturePlan, pool::Worker};

/// Bytes of one page: the longest body less a little for whatever else the datagram says.
const PAGE_LEN_MAX: usize = codec::BODY_MAX - 64;

impl Engine {
    pub(super) fn on_feature_query(&mut self, sender: &Sender, query: &FeatureQuery) {
        let shared = self.shared.clone();
        let realm = &shared.realms[sender.client.realm];
        let plan = realm.planner.plan();
        let first = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (only, many) = match &query.only {
            Some(only) => (plan.features.get(only), None),
            None => (None, Some(plan.features.range((first, Bound::Unbounded)).map(|(_, feature)| feature))),
        };
        let mut info = FeatureInfo { operation: query.operation, features: Vec::new(), more: false };
        let mut len = 16;
        for line in
            only.into_iter().chain(many.into_iter().flatten()).filter_map(|feature| line(&mut self.worker, feature))
        {
            len += line_len_max(&line);
            if len > PAGE_LEN_MAX {
                info.more = true;
                break;
            }
            info.features.push(line);
        }
        self.counters.count(Counter::FeatureQueries);
        self.answers.push(ServerFrame::FeatureInfo(Box::new(info)));
    }
}

/// What is said of a feature; nothing of one with no right in force and no seat out.
fn line(worker: &mut Worker, feature: &FeaturePlan) -> Option<FeatureLine> {
    let book = lock(&feature.pool.book);
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let used = narrow(book.stand(worker).out);
    if feature.lots.is_empty() && used == 0 {
        return None;
    }
    Some(FeatureLine {
        name: feature.pool.name.clone(),
        version: feature.lots.iter().map(|lot| lot.version).max().unwrap_or_default(),
        count: book.capacity().map(narrow),
        used,
        next_end: feature.lots.iter().filter_map(|lot| lot.ends).min(),
    })
}

/// The most bytes a line may take: a length and the name, three parts of a version, a count, the seats out, an instant.
fn line_len_max(line: &FeatureLine) -> usize {
    1 + line.name.as_str().len() + 3 * 3 + 6 + 5 + 10
}
