//! More seats out than a limit allows: a soft limit (L-13), or what the licences in force cover (L-10). Grants go on below a soft limit
//! and above it, and nobody is cut off; somebody should know.
//!
//! Counts are looked at every ten seconds, never at a grant. A limit that is passed is told once, and again only after it was kept at
//! a look, and no more than once a minute: seats that come and go around it are one piece of news.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use leasehold_core::FeatureStatus;
use leasehold_protocol::{
    time::Mono,
    vocab::{FeatureName, RealmId},
};

/// A limit of one feature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// In which realm.
    pub realm: RealmId,
    /// Whose.
    pub feature: FeatureName,
    /// Which.
    pub kind: LimitKind,
}

/// What seats can be above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitKind {
    /// The soft limit (L-13).
    Soft,
    /// What the licences in force cover (L-10).
    Covered,
}

/// How often each limit was passed since the server was started.
#[derive(Debug, Default)]
pub struct Alerts(Mutex<BTreeMap<Limit, u64>>);

/// Which limits are passed.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<Limit, Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    passed: bool,
    told: Mono,
}

/// How long after it was told a limit is told again at the earliest, in milliseconds.
const QUIET_MS: u64 = 60_000;

impl LimitKind {
    /// The word for it in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Covered => "covered",
        }
    }

    /// How many seats may be out before it is passed; `None` if `feature` has no such limit, or keeps it by itself.
    fn of(self, feature: &FeatureStatus) -> Option<u32> {
        match self {
            Self::Soft => feature.soft_limit,
            Self::Covered => Some(feature.used - feature.overage.min(feature.used)),
        }
    }
}

impl Alerts {
    /// Every limit that was passed, with how often.
    pub fn all(&self) -> Vec<(Limit, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(limit, times)| (limit.clone(), *times)).collect()
    }

    fn count(&self, limit: &Limit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(limit.clone()).or_default() += 1;
    }
}

impl Limits {
    /// Tells the log and `alerts` what is new about `features`.
    pub(super) fn look(&mut self, features: &[FeatureStatus], now: Mono, alerts: &Alerts) {
        for (limit, news) in self.news(features, now) {
            let (feature, kind) = (limit.feature.as_str(), limit.kind.word());
            match news {
                News::Passed(why) => {
                    alerts.count(&limit);
                    tracing::warn!(feature, limit = kind, "{why}");
                }
                News::Kept(why) => tracing::info!(feature, limit = kind, "{why}"),
            }
        }
    }

    fn news(&mut self, features: &[FeatureStatus], now: Mono) -> Vec<(Limit, News)> {
        let mut news = Vec::new();
        for feature in features {
            for kind in [LimitKind::Soft, LimitKind::Covered] {
                let limit = Limit { realm: feature.realm, feature: feature.name.clone(), kind };
                let passed = kind.of(feature).is_some_and(|most| feature.used > most);
                let seen = self.0.get(&limit).copied();
                match (seen, passed) {
                    (Some(Seen { passed: true, .. }), true) | (None | Some(Seen { passed: false, .. }), false) => {
                        continue;
                    }
                    (Some(Seen { told, .. }), true) if now.ms_since(told) < QUIET_MS => continue,
                    (_, true) => {
                        self.0.insert(limit.clone(), Seen { passed, told: now });
                        news.push((limit, News::Passed(passed_words(kind, feature))));
                    }
                    (Some(seen), false) => {
                        self.0.insert(limit.clone(), Seen { passed, ..seen });
                        news.push((limit, News::Kept(kept_words(kind, feature))));
                    }
                }
            }
        }
        news
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    Passed(String),
    Kept(String),
}

fn passed_words(kind: LimitKind, feature: &FeatureStatus) -> String {
    let (name, used) = (&feature.name, feature.used);
    match kind {
        LimitKind::Soft => {
            let soft = feature.soft_limit.unwrap_or_default();
            format!("{used} seats of {name} are out, more than its soft limit of {soft}; grants go on")
        }
        LimitKind::Covered => format!(
            "{} of the {used} seats of {name} that are out are over what the licences in force allow; nobody is cut off, and no more \
             go out until they are back",
            feature.overage
        ),
    }
}

fn kept_words(kind: LimitKind, feature: &FeatureStatus) -> String {
    let (name, used) = (&feature.name, feature.used);
    match kind {
        LimitKind::Soft => format!("{used} seats of {name} are out, no more than its soft limit"),
        LimitKind::Covered => format!("{used} seats of {name} are out, and the licences in force cover them"),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::time::UnixMillis;

    use super::{super::tests::feature, *};

    fn with(used: u32, soft: Option<u32>, overage: u32) -> Vec<FeatureStatus> {
        vec![FeatureStatus { used, soft_limit: soft, overage, ..feature(UnixMillis(0).0) }]
    }

    fn told(limits: &mut Limits, features: &[FeatureStatus], s: u64) -> Vec<(LimitKind, bool)> {
        let news = limits.news(features, Mono(s * 1000));
        news.into_iter().map(|(limit, news)| (limit.kind, matches!(news, News::Passed(_)))).collect()
    }

    #[test]
    fn a_limit_that_is_passed_is_told_once_and_again_after_it_was_kept_and_a_minute_has_gone() {
        let mut limits = Limits::default();
        let soft = Some(3);
        assert_eq!(told(&mut limits, &with(3, soft, 0), 0), []);
        assert_eq!(told(&mut limits, &with(4, soft, 0), 10), [(LimitKind::Soft, true)]);
        assert_eq!(told(&mut limits, &with(9, soft, 0), 90), [], "once");
        assert_eq!(told(&mut limits, &with(3, soft, 0), 100), [(LimitKind::Soft, false)]);
        assert_eq!(told(&mut limits, &with(4, soft, 0), 110), [(LimitKind::Soft, true)]);
        // Around the limit all the time.
        assert_eq!(told(&mut limits, &with(3, soft, 0), 120), [(LimitKind::Soft, false)]);
        assert_eq!(told(&mut limits, &with(4, soft, 0), 130), []);
        assert_eq!(told(&mut limits, &with(4, soft, 0), 170), [(LimitKind::Soft, true)]);
    }

    #[test]
    fn overage_is_a_limit_of_its_own() {
        let mut limits = Limits::default();
        assert_eq!(told(&mut limits, &with(9, None, 0), 0), []);
        assert_eq!(told(&mut limits, &with(9, None, 2), 10), [(LimitKind::Covered, true)]);
        assert_eq!(told(&mut limits, &with(7, None, 0), 20), [(LimitKind::Covered, false)]);
        let words = passed_words(LimitKind::Covered, &with(9, None, 2)[0]);
        assert!(words.starts_with("2 of the 9 seats of CAD that are out are over"), "{words}");
    }
}
