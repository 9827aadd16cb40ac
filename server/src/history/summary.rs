//! Seats out and seat hours of each feature: what a site buys by.
//!
//! A lease that ended tells by itself how long it was out, even if its grant is missing. One that did not is out until `now`, unless a
//! stop ends the file, something is missing after its grant (its end may be in there), or a server started that knew of no
//! lease: then it counts until that began. So a figure is never too high by what is missing, and may be too low.

use std::collections::{BTreeMap, HashMap};

use leasehold_protocol::time::UnixMillis;
use rusqlite::Connection;

use super::{Gap, Kind, reader::instant, store::int};

/// What a feature was used in a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The publisher's name.
    pub realm: String,
    /// The feature.
    pub feature: String,
    /// Grants.
    pub granted: u64,
    /// Denials.
    pub denied: u64,
    /// The most seats that were out at once.
    pub peak: u64,
    /// When that was first so.
    pub peak_at: Option<UnixMillis>,
    /// Seats, each times the milliseconds it was out.
    pub seat_ms: u128,
}

impl Usage {
    /// Seats, each times the hours it was out.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn seat_hours(&self) -> f64 {
        self.seat_ms as f64 / 3_600_000.0
    }
}

/// A publisher's name and a feature's.
type Feature = (String, String);

/// Seats that were out.
struct Out {
    feature: Feature,
    seats: u64,
    from: UnixMillis,
    to: UnixMillis,
}

/// A grant whose end was not met yet.
struct Open {
    feature: Feature,
    seats: u64,
    from: UnixMillis,
}

/// One reading of the file, in the order it was written.
#[derive(Default)]
struct Reading {
    usage: BTreeMap<Feature, Usage>,
    open: HashMap<String, Open>,
    /// Ends that came before their grants: of two workers either may be first.
    early: HashMap<String, UnixMillis>,
    outs: Vec<Out>,
    /// When the last line was.
    last: UnixMillis,
    is_stopped: bool,
}

/// A line, as far as it counts here.
struct Line {
    at: UnixMillis,
    kind: Kind,
    feature: Feature,
    seats: u64,
    lease: String,
    held_ms: u64,
}

/// How far apart two workers may tell of a lease's grant and its end, in milliseconds.
const APART_MS: u64 = 10_000;

pub(super) fn summarise(
    file: &Connection,
    gaps: &[Gap],
    from: Option<UnixMillis>,
    to: Option<UnixMillis>,
    now: UnixMillis,
) -> rusqlite::Result<Vec<Usage>> {
    let (from, to) = (from.unwrap_or(UnixMillis(0)), to.unwrap_or(UnixMillis(u64::MAX)));
    let mut reading = Reading::default();
    // From the first line on: who was granted a seat before the time that is asked for may have it still.
    let mut lines = file.prepare(
        "SELECT at_ms, kind, realm, feature, seats, lease, held_ms FROM events WHERE at_ms < ? OR held_ms IS NOT NULL ORDER BY id",
    )?;
    let mut rows = lines.query([int(to.0)])?;
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        let Ok(kind) = kind.parse() else { continue };
        let text = |i| row.get::<_, Option<String>>(i).map(Option::unwrap_or_default);
        let number = |i| row.get::<_, Option<u64>>(i).map(Option::unwrap_or_default);
        let (at, feature) = (instant(row.get(0)?), (text(2)?, text(3)?));
        let line = Line { at, kind, feature, seats: number(4)?, lease: text(5)?, held_ms: number(6)? };
        reading.line(line, gaps, (from, to));
    }
    reading.end(gaps, now);
    Ok(reading.told(from, to))
}

impl Reading {
    fn line(&mut self, line: Line, gaps: &[Gap], (from, to): (UnixMillis, UnixMillis)) {
        let Line { at, kind, feature, seats, lease, held_ms } = line;
        let counts = at >= from && at < to;
        match kind {
            Kind::Granted => {
                self.of(&feature).granted += u64::from(counts);
                if self.early.remove(&lease).is_none_or(|ended| ended.0.saturating_add(APART_MS) < at.0) {
                    let lost = self.open.insert(lease, Open { feature, seats, from: at });
                    // Its name is used again: it ended, and nobody said when.
                    self.outs.extend(lost.map(|open| open.until(gaps, at)));
                }
            }
            Kind::Denied if feature.1.is_empty() => {}
            Kind::Denied => self.of(&feature).denied += u64::from(counts),
            Kind::Released | Kind::Expired | Kind::LingerEnded => {
                let began = UnixMillis(at.0.saturating_sub(held_ms));
                if self.open.remove(&lease).is_none() {
                    self.early.insert(lease, at);
                }
                self.outs.push(Out { feature, seats, from: began, to: at });
            }
            // Nothing was out again.
            Kind::Started if seats == 0 => {
                let end = self.last.min(at);
                self.outs.extend(self.open.drain().map(|(_, open)| open.until(gaps, end)));
            }
            Kind::Reclaimed | Kind::ClockSet | Kind::Started | Kind::Stopped => {}
        }
        if at < to {
            self.is_stopped = kind == Kind::Stopped;
            self.last = self.last.max(at);
        }
    }

    /// What never ended is out still, as far as one knows.
    fn end(&mut self, gaps: &[Gap], now: UnixMillis) {
        let end = if self.is_stopped { self.last } else { now.max(self.last) };
        self.outs.extend(self.open.drain().map(|(_, open)| open.until(gaps, end)));
    }

    fn of(&mut self, feature: &Feature) -> &mut Usage {
        // An entry's key would be made anew for each line.
        if !self.usage.contains_key(feature) {
            let (realm, name) = feature.clone();
            self.usage.insert(feature.clone(), Usage { realm, feature: name, ..Usage::default() });
        }
        self.usage.get_mut(feature).expect("there since a line above")
    }

    fn told(mut self, from: UnixMillis, to: UnixMillis) -> Vec<Usage> {
        let mut changes: BTreeMap<Feature, Vec<(UnixMillis, bool, u64)>> = BTreeMap::new();
        for out in std::mem::take(&mut self.outs) {
            let (begin, end) = (out.from.max(from), out.to.min(to));
            if begin >= end {
                continue;
            }
            self.of(&out.feature).seat_ms += u128::from(out.seats) * u128::from(end.0 - begin.0);
            // Seats that come back in a millisecond may go out again in it: ends first.
            changes.entry(out.feature).or_default().extend([(begin, true, out.seats), (end, false, out.seats)]);
        }
        for (feature, mut changes) in changes {
            changes.sort_unstable();
            let (usage, mut out) = (self.of(&feature), 0u64);
            for (at, goes_out, seats) in changes {
                out = if goes_out { out + seats } else { out - seats };
                if out > usage.peak {
                    (usage.peak, usage.peak_at) = (out, Some(at));
                }
            }
        }
        let used = |usage: &Usage| usage.granted + usage.denied > 0 || usage.seat_ms > 0;
        self.usage.into_values().filter(used).collect()
    }
}

impl Open {
    /// Out until `end`, or until something is missing.
    fn until(self, gaps: &[Gap], end: UnixMillis) -> Out {
        let missing = gaps.iter().filter(|gap| gap.to >= self.from).map(|gap| gap.from.max(self.from)).min();
        let to = missing.map_or(end, |missing| missing.min(end)).max(self.from);
        Out { feature: self.feature, seats: self.seats, from: self.from, to }
    }
}
