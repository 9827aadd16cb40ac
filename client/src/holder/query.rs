//! A query: one page after the other, until there is no more (S-5, SPEC 5.7, 5.18).

use leasehold_protocol::{
    Entropy,
    message::{ClientFrame, FeatureInfo, FeatureLine, FeatureQuery, LicenceInfo, LicenceLine, LicenceQuery},
    time::Mono,
    vocab::{FeatureName, OperationId},
};

use super::{event::HolderEvent, pace::Ask};

/// A query under way.
pub(super) struct Query {
    only: Option<FeatureName>,
    found: Found,
    /// Asks for the next page.
    ask: Ask,
}

/// What was heard so far, in order.
enum Found {
    Features(Vec<FeatureLine>),
    Licences(Vec<LicenceLine>),
}

/// More lines than any server has: a list that grows past it is one that never ends.
const LINES_MAX: usize = 100_000;

impl Query {
    /// A query for features, to begin at `now`, and the id it is known by.
    pub(super) fn features(now: Mono, only: Option<FeatureName>, entropy: &mut dyn Entropy) -> (OperationId, Self) {
        Self::new(now, only, Found::Features(Vec::new()), entropy)
    }

    /// The same for licences.
    pub(super) fn licences(now: Mono, only: Option<FeatureName>, entropy: &mut dyn Entropy) -> (OperationId, Self) {
        Self::new(now, only, Found::Licences(Vec::new()), entropy)
    }

    fn new(now: Mono, only: Option<FeatureName>, found: Found, entropy: &mut dyn Entropy) -> (OperationId, Self) {
        let ask = Ask::at(now, entropy);
        (ask.id, Self { only, found, ask })
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

    /// Whether it asks by frames of that type.
    pub(super) const fn asks_by(&self, frame_type: u8) -> bool {
        matches!(self.found, Found::Licences(_)) && frame_type == LicenceQuery::KIND
    }

    /// The question due at `now`. Notes the try.
    pub(super) fn question(&mut self, now: Mono, entropy: &mut dyn Entropy) -> Option<ClientFrame> {
        if self.ask.next() > now {
            return None;
        }
        self.ask.sent(now, u64::MAX, entropy.next_u64());
        let (operation, only) = (self.ask.id, self.only.clone());
        Some(match &self.found {
            Found::Features(lines) => {
                let after = lines.last().map(|line| line.name.clone());
                ClientFrame::FeatureQuery(FeatureQuery { operation, only, after })
            }
            Found::Licences(lines) => {
                let from = lines.last().map(|line| line.feature.clone());
                let heard = lines.iter().rev().take_while(|line| Some(&line.feature) == from.as_ref()).count();
                let skip = u32::try_from(heard).unwrap_or(u32::MAX);
                ClientFrame::LicenceQuery(LicenceQuery { operation, only, from, skip })
            }
        })
    }

    /// Takes a page of features. `None`: not an answer to this query. `Some(true)`: that was the last.
    ///
    /// A page that does not go on where the last one ended ends the list: no server makes a client read for ever.
    pub(super) fn on_features(&mut self, now: Mono, page: &mut FeatureInfo, entropy: &mut dyn Entropy) -> Option<bool> {
        let Found::Features(lines) = &mut self.found else { return None };
        if page.operation != self.ask.id {
            return None;
        }
        let goes_on = extend(lines, &mut page.features, |last, next| last.name < next.name);
        Some(self.is_over(now, goes_on && page.more, entropy))
    }

    /// The same of licences.
    pub(super) fn on_licences(&mut self, now: Mono, page: &mut LicenceInfo, entropy: &mut dyn Entropy) -> Option<bool> {
        let Found::Licences(lines) = &mut self.found else { return None };
        if page.operation != self.ask.id {
            return None;
        }
        let goes_on = extend(lines, &mut page.licences, |last, next| last.feature <= next.feature);
        Some(self.is_over(now, goes_on && page.more, entropy))
    }

    fn is_over(&mut self, now: Mono, goes_on: bool, entropy: &mut dyn Entropy) -> bool {
        if goes_on {
            self.ask = Ask::at(now, entropy);
        }
        !goes_on
    }

    /// What the query known as `operation` found.
    pub(super) fn into_event(self, operation: OperationId) -> HolderEvent {
        match self.found {
            Found::Features(features) => HolderEvent::Features { operation, features },
            Found::Licences(licences) => HolderEvent::Licences { operation, licences: Some(licences) },
        }
    }
}

/// Adds the lines of a page to those before, as far as they are in order; whether any came and all were.
fn extend<T>(lines: &mut Vec<T>, page: &mut Vec<T>, in_order: fn(&T, &T) -> bool) -> bool {
    let any = !page.is_empty();
    for line in page.drain(..) {
        if lines.last().is_some_and(|last| !in_order(last, &line)) || lines.len() >= LINES_MAX {
            return false;
        }
        lines.push(line);
    }
    any
}
