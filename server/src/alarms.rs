//! Alarms before a right ends: 60, 30, 7 and 1 days before, each told once, with the instant and the time left (L-9); and
//! alerts when more seats are out than a limit allows (L-10, L-13). And what is said of the machine's clock, when it begins and when it
//! ends (T-5).

mod limits;

use std::{collections::BTreeMap, time::Duration};

use leasehold_core::FeatureStatus;
use leasehold_protocol::time::{Mono, Now, UnixMillis};

pub use self::limits::Alerts;
use self::limits::Limits;
use crate::{
    clock::words::Told,
    instant::{rfc3339, words},
    running::Running,
};

const DAY_MS: u64 = 86_400_000;
/// How many days before its end a right is told of, earliest first.
pub(crate) const DAYS: [u64; 4] = [60, 30, 7, 1];
/// How often is looked: an alert is never later than this, whatever the clock does.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often it is written down how late it is: of what was not written a clock that is set back may take advantage, once.
const KEEP_TIME_MS: u64 = 60_000;

/// Which alarms have been told.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// By realm and feature: the end, and the fewest days that were told of it.
    told: BTreeMap<(u32, String), (UnixMillis, u64)>,
    limits: Limits,
    clock: Told,
    /// When it was written down last how late it is.
    kept_at: Mono,
}

impl Alarms {
    /// Tells what is to be told, now and then every ten seconds; returns when it has looked. Dropping it loses nothing.
    pub(crate) async fn due(&mut self, running: &Running) {
        let now = running.clock().now();
        for line in self.clock.news(&running.clock().status(), now) {
            line.log();
        }
        if now.mono >= self.kept_at.plus_ms(KEEP_TIME_MS) {
            self.kept_at = now.mono;
            running.keep_time();
        }
        let features = running.shared().features(now);
        for line in self.news(&features, now) {
            tracing::warn!("{line}");
        }
        self.limits.look(&features, now.mono, running.alerts());
        running.refresh_warnings(now);
        tokio::time::sleep(LOOK_AGAIN).await;
    }

    /// What has not been told yet.
    fn news(&mut self, features: &[FeatureStatus], now: Now) -> Vec<String> {
        let mut news = Vec::new();
        for feature in features {
            let Some((end, days)) = alarm(feature, now) else { continue };
            let key = (feature.realm.0, feature.name.to_string());
            let told = self.told.get(&key).is_some_and(|(of, fewest)| *of == end && *fewest <= days);
            if !told {
                self.told.insert(key, (end, days));
                news.push(sentence(feature, end, now));
            }
        }
        news
    }
}

/// The next end of a right of `feature` if it is near enough to tell, and the alarm it is: so many days before.
pub(crate) fn alarm(feature: &FeatureStatus, now: Now) -> Option<(UnixMillis, u64)> {
    let end = feature.next_end.filter(|end| *end >= now.wall)?;
    let left = end.0 - now.wall.0;
    let days = DAYS.into_iter().rev().find(|days| left < days * DAY_MS)?;
    Some((end, days))
}

/// What is told of it.
pub(crate) fn sentence(feature: &FeatureStatus, end: UnixMillis, now: Now) -> String {
    let ending: u64 =
        feature.lots.iter().filter(|lot| lot.ends == Some(end)).map(|lot| u64::from(lot.count.unwrap_or(0))).sum();
    let seats = match (ending, feature.count) {
        (0, _) => "rights to".to_owned(),
        (1, _) => "1 seat of".to_owned(),
        (n, _) => format!("{n} seats of"),
    };
    let left = words(end.0.saturating_sub(now.wall.0));
    format!("{seats} {} end at {}, in {left}: ask the publisher for the next licence", feature.name, rfc3339(end))
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::vocab::{FeatureName, RealmId, Version};

    use super::*;

    pub(super) fn feature(end: u64) -> FeatureStatus {
        FeatureStatus {
            realm: RealmId(1),
            name: FeatureName::new("CAD").unwrap(),
            version: Version::ANY,
            count: Some(5),
            used: 0,
            overdraft: 0,
            overdraft_used: 0,
            soft_limit: None,
            upgraded_by: 0,
            largest: None,
            drawn: None,
            lingering: 0,
            used_up: 0,
            withheld: 0,
            free: 5,
            overage: 0,
            reserved: 0,
            waiting: 0,
            leases: 0,
            next_end: Some(UnixMillis(end)),
            not_started: None,
            ended: None,
            lots: vec![],
        }
    }

    #[test]
    fn each_alarm_is_told_once_and_a_new_end_is_a_new_alarm() {
        let mut alarms = Alarms::default();
        let end = 100 * DAY_MS;
        let mut at = |day: u64, end: u64| {
            let now = Now { mono: Mono(0), wall: UnixMillis(day * DAY_MS + 1) };
            alarms.news(&[feature(end)], now).len()
        };
        let told: Vec<u64> = (0..101).filter(|day| at(*day, end) == 1).collect();
        assert_eq!(told, [40, 70, 93, 99]);
        // Started late, or an end that was moved: the alarm that is due, and no other.
        assert_eq!((at(99, end + DAY_MS), at(99, end + DAY_MS)), (1, 0));
    }
}
