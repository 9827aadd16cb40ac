//! What is said of clocks that differ: as warnings, and once in the log when it begins and when it ends.

use leasehold_core::WallStatus;
use leasehold_protocol::time::Now;

use crate::instant::{rfc3339, wall_of, words};

/// What was told of the clocks, and is not told again.
#[derive(Debug, Default)]
pub(crate) struct Told([bool; 3]);

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Something is not as it should be.
    Begun(String),
    /// It is again.
    Ended(&'static str),
}

const ENDS: [&str; 3] = [
    "the machine's clock is no longer behind: dates follow it",
    "the jump of the machine's clock is no longer pending: it was believed or taken back",
    "the clocks of clients no longer differ from the time that licence dates are held against",
];

impl Told {
    /// What is to be told by now.
    pub(crate) fn news(&mut self, status: &WallStatus, now: Now) -> Vec<Line> {
        let mut news = Vec::new();
        for ((told, says), end) in self.0.iter_mut().zip(says(status, now)).zip(ENDS) {
            match (std::mem::replace(told, says.is_some()), says) {
                (false, Some(line)) => news.push(Line::Begun(line)),
                (true, None) => news.push(Line::Ended(end)),
                _ => {}
            }
        }
        news
    }
}

impl Line {
    /// Writes it.
    pub(crate) fn log(&self) {
        match self {
            Self::Begun(line) => tracing::warn!("{line}"),
            Self::Ended(line) => tracing::info!("{line}"),
        }
    }
}

/// What is not as it should be with the clocks, each with its remedy.
pub(crate) fn warnings(status: &WallStatus, now: Now) -> Vec<String> {
    says(status, now).into_iter().flatten().collect()
}

/// Of suspicion, of a pending jump, and of clients.
fn says(status: &WallStatus, now: Now) -> [Option<String>; 3] {
    let (raw, effective) = (rfc3339(status.raw), rfc3339(status.effective));
    let by = |ms: i64| words(ms.unsigned_abs());
    let side = |ms: i64| if ms < 0 { "behind" } else { "ahead of" };
    let ahead = status.raw_ahead_ms;
    let suspect = status.is_suspect.then(|| {
        format!(
            "the machine's clock is {} behind: it says {raw}, and licence dates are held against {effective}, which goes on. No lease \
             ends by it. Set the clock right; if it is right, say so: leasehold clock confirm",
            by(ahead)
        )
    });
    let pending = status.pending_until.map(|until| {
        format!(
            "the machine's clock has jumped ahead by {}, to {raw}: licence dates go on from {effective}, and follow at {} (in {}) if it \
             stands until then. Set the clock right; if it is right, say so: leasehold clock confirm",
            by(ahead),
            rfc3339(wall_of(until, now)),
            words(until.ms_since(now.mono)),
        )
    });
    let clients = status.clients_ahead_ms.filter(|_| status.clients_differ).map(|ms| {
        format!(
            "the clocks of {} clients are, in the middle, {} {} the time that licence dates are held against, {effective}: set this \
             machine's clock right, then say so: leasehold clock confirm",
            status.clients,
            by(ms),
            side(ms),
        )
    });
    [suspect, pending, clients]
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::time::{Mono, UnixMillis};

    use super::*;

    const TODAY: u64 = 1_795_305_600_000;

    fn well() -> WallStatus {
        WallStatus {
            raw: UnixMillis(TODAY),
            effective: UnixMillis(TODAY),
            raw_ahead_ms: 0,
            is_suspect: false,
            pending_until: None,
            clients: 0,
            clients_ahead_ms: None,
            clients_differ: false,
        }
    }

    #[test]
    fn each_trouble_is_told_once_when_it_begins_and_once_when_it_ends() {
        let now = Now { mono: Mono(0), wall: UnixMillis(TODAY) };
        let mut told = Told::default();
        assert_eq!(told.news(&well(), now), []);
        let behind = WallStatus { raw_ahead_ms: -200_000_000, is_suspect: true, ..well() };
        let begun = told.news(&behind, now);
        let [Line::Begun(line)] = &begun[..] else { panic!("{begun:?}") };
        assert!(line.contains("2 d 7 h behind") && line.ends_with("leasehold clock confirm"), "{line}");
        assert_eq!(told.news(&behind, now), []);
        let ahead = WallStatus { raw_ahead_ms: 7_200_000, pending_until: Some(Mono(3_600_000)), ..well() };
        let changed = told.news(&ahead, now);
        let [Line::Ended(_), Line::Begun(line)] = &changed[..] else { panic!("{changed:?}") };
        assert!(line.contains("follow at 2026-11-22T01:00:00.000Z (in 1 h 0 min)"), "{line}");
        let differ = WallStatus { clients: 6, clients_ahead_ms: Some(172_800_000), clients_differ: true, ..well() };
        assert_eq!(told.news(&differ, now).len(), 2);
        assert!(warnings(&differ, now)[0].contains("6 clients are, in the middle, 2 d 0 h ahead of"));
        assert_eq!(told.news(&well(), now), [Line::Ended(ENDS[2])]);
        assert!(warnings(&well(), now).is_empty());
    }
}
