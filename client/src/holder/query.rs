//! A feature query: one page after the other, until there is no more (S-5, SPEC 5.7).

use leasehold_protocol::{
    Entropy,
    message::{FeatureInfo, FeatureLine, FeatureQuery},
    time::Mono,
    vocab::{FeatureName, OperationId},
};

use super::pace::Ask;

/// A query under way.
pub(super) struct Query {
    only: Option<FeatureName>,
    features: Vec<FeatureLine>,
    /// Asks for the next page.
    ask: Ask,
}

/// More features than any server has: a list that grows past it is one that never ends.
const FEATURES_MAX: usize = 100_000;

impl Query {
    /// A query to begin at `now`, and the id it is known by.
    pub(super) fn new(now: Mono, only: Option<FeatureName>, entropy: &mut dyn Entropy) -> (OperationId, Self) {
        let ask = Ask::at(now, entropy);
        (ask.id, Self { only, features: Vec::new(), ask })
    }

    pub(super) const fn next(&self) -> Mono {
        self.ask.next()
    }

    pub(super) fn is_unheard(&self, now: Mono, heard: Option<Mono>, limit: usize) -> bool {
        self.ask.next() <= now && self.ask.is_unheard(heard, limit)
    }

    /// A new session: ask at once.
    pub(super) fn reconnected(&mut self, now: Mono) {
        self.ask.restart(now);
    }

    /// The question due at `now`. Notes the try.
    pub(super) fn question(&mut self, now: Mono, entropy: &mut dyn Entropy) -> Option<FeatureQuery> {
        if self.ask.next() > now {
            return None;
        }
        self.ask.sent(now, u64::MAX, entropy.next_u64());
        let after = self.features.last().map(|f| f.name.clone());
        Some(FeatureQuery { operation: self.ask.id, only: self.only.clone(), after })
    }

    /// Takes a page. `None`: not an answer to this query. `Some(true)`: that was the last.
    ///
    /// A page that does not go on where the last one ended ends the list: no server makes a client read for ever.
    pub(super) fn on_page(&mut self, now: Mono, page: &mut FeatureInfo, entropy: &mut dyn Entropy) -> Option<bool> {
        if page.operation != self.ask.id {
            return None;
        }
        let mut last = self.features.last().map(|f| f.name.clone());
        let before = self.features.len();
        for line in page.features.drain(..) {
            if last.as_ref().is_some_and(|last| line.name <= *last) || self.features.len() >= FEATURES_MAX {
                return Some(true);
            }
            last = Some(line.name.clone());
            self.features.push(line);
        }
        if !page.more || self.features.len() == before {
            return Some(true);
        }
        self.ask = Ask::at(now, entropy);
        Some(false)
    }

    pub(super) fn into_features(self) -> Vec<FeatureLine> {
        self.features
    }
}
