//! Whole days in a named zone, and the instants they begin and end (L-9).
//!
//! A day's midnight may not exist, and a day may last 23 or 25 hours: the zone's own rules decide, from the database
//! bundled into the binary, never from the host's.

use std::fmt;

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::time::UnixMillis;

/// A calendar day, `YYYY-MM-DD`, from 1970-01-02 to 9999-12-30, so that its instants exist in every zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    year: i16,
    month: i8,
    day: i8,
}

/// Why a day or its zone is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DateError {
    /// Not `YYYY-MM-DD`, or no such day.
    #[error("{0:?} is not a day: write it as YYYY-MM-DD, 1970-01-02 to 9999-12-30")]
    Day(String),
    /// Not a zone of the bundled database.
    #[error("{0:?} is not a time zone: use a name such as UTC or Europe/Paris")]
    Zone(String),
}

impl Day {
    /// The day `days` after this one (before, if negative), held inside the range.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Self {
        let there = self.civil().checked_add(jiff::Span::new().days(i64::from(days)));
        there.ok().and_then(|date| Self::from_civil(date).ok()).unwrap_or(self)
    }

    /// The day it is at `instant` in `zone`.
    ///
    /// # Errors
    /// If there is no such zone, or the day is outside the range.
    pub fn at(instant: UnixMillis, zone: &str) -> Result<Self, DateError> {
        let far = || DateError::Day(instant.0.to_string());
        let ms = i64::try_from(instant.0).map_err(|_| far())?;
        let stamp = Timestamp::from_millisecond(ms).map_err(|_| far())?;
        Self::from_civil(stamp.to_zoned(time_zone(zone)?).date())
    }

    /// The first instant of the day in `zone`.
    ///
    /// # Errors
    /// If there is no such zone.
    pub fn first_instant(self, zone: &str) -> Result<UnixMillis, DateError> {
        instant(self.civil(), zone)
    }

    /// The last millisecond of the day in `zone`.
    ///
    /// # Errors
    /// If there is no such zone.
    pub fn last_instant(self, zone: &str) -> Result<UnixMillis, DateError> {
        let next = self.civil().tomorrow().map_err(|_| DateError::Day(self.to_string()))?;
        instant(next, zone).map(|ms| UnixMillis(ms.0 - 1))
    }

    fn civil(self) -> civil::Date {
        civil::Date::constant(self.year, self.month, self.day)
    }

    fn from_civil(date: civil::Date) -> Result<Self, DateError> {
        let (first, last) = (civil::Date::constant(1970, 1, 2), civil::Date::constant(9999, 12, 30));
        if date < first || date > last {
            return Err(DateError::Day(date.to_string()));
        }
        Ok(Self { year: date.year(), month: date.month(), day: date.day() })
    }
}

/// Whether `zone` names a zone of the bundled database.
///
/// # Errors
/// If it does not.
pub fn check_zone(zone: &str) -> Result<(), DateError> {
    time_zone(zone).map(drop)
}

fn time_zone(zone: &str) -> Result<TimeZone, DateError> {
    jiff::tz::TimeZoneDatabase::bundled().get(zone).map_err(|_| DateError::Zone(zone.to_owned()))
}

fn instant(date: civil::Date, zone: &str) -> Result<UnixMillis, DateError> {
    let start = date.to_zoned(time_zone(zone)?).map_err(|_| DateError::Day(date.to_string()))?;
    u64::try_from(start.timestamp().as_millisecond()).map(UnixMillis).map_err(|_| DateError::Day(date.to_string()))
}

impl std::str::FromStr for Day {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let refused = || DateError::Day(text.to_owned());
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = plain.then(|| text.parse::<civil::Date>().ok()).flatten().ok_or_else(refused)?;
        Self::from_civil(date).map_err(|_| refused())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_without_a_midnight_starts_at_one_and_lasts_23_hours() {
        // Beirut, 2026-03-29: clocks go from 00:00 to 01:00.
        let (first, last) =
            (day("2026-03-29").first_instant("Asia/Beirut"), day("2026-03-29").last_instant("Asia/Beirut"));
        assert_eq!(last.unwrap().0 + 1 - first.unwrap().0, 23 * 3_600_000);
    }

    #[test]
    fn only_real_days_in_iso_form_are_days() {
        for bad in ["2026-02-29", "2026-1-02", "20260102", "2026-01-02T00", "1969-12-31", "", "2026-13-01"] {
            assert!(bad.parse::<Day>().is_err(), "{bad:?}");
        }
        assert_eq!(day("2026-02-28").plus_days(1).to_string(), "2026-03-01");
    }

    #[test]
    fn an_unknown_zone_is_named() {
        assert_eq!(day("2026-01-05").first_instant("Mars/Base"), Err(DateError::Zone("Mars/Base".into())));
    }
}
