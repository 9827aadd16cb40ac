//! Spans, dates and sizes as people write and read them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use leasehold_protocol::time::UnixMillis;

/// Reads a span: `500ms`, `30s`, `5m`, `1h30m`, `2d`; a bare number is seconds.
///
/// # Errors
/// If it is none of these, or negative.
pub fn span(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a span of time: write it as 500ms, 30s, 5m or 1h30m");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| refused());
    }
    // jiff's friendly form has no days without a calendar; ours always last 24 hours.
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.trim().parse::<u32>().ok()) {
        return Ok(Duration::from_secs(u64::from(days) * 86_400));
    }
    let span: SignedDuration = text.parse().map_err(|_| refused())?;
    Duration::try_from(span).map_err(|_| refused())
}

/// A span to three digits or so, with its unit: `870 ns`, `41.2 µs`, `3.05 ms`, `12.4 s`, `2 min 05 s`, `3 h 20 min`, `4 d 2 h`.
#[must_use]
pub fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    match span.as_nanos() {
        0..1_000 => format!("{} ns", span.as_nanos()),
        1_000..1_000_000 => three_digits(span.as_secs_f64() * 1e6, "µs"),
        1_000_000..1_000_000_000 => three_digits(span.as_secs_f64() * 1e3, "ms"),
        _ if seconds < 60 => three_digits(span.as_secs_f64(), "s"),
        _ if seconds < 3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

fn three_digits(value: f64, unit: &str) -> String {
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

/// An instant as a day in UTC, `2026-12-22`.
#[must_use]
pub fn day(instant: UnixMillis) -> String {
    stamp(instant).map_or_else(|| "?".into(), |at| at.to_zoned(TimeZone::UTC).date().to_string())
}

/// An instant as RFC 3339 in UTC, `2026-12-22T10:00:00Z`, to the second.
#[must_use]
pub fn instant(instant: UnixMillis) -> String {
    stamp(UnixMillis(instant.0 / 1_000 * 1_000)).map_or_else(|| "?".into(), |at| at.to_string())
}

fn stamp(instant: UnixMillis) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(instant.0).ok()?).ok()
}

/// Whole days from `now` to `then`, rounded down; negative when it is past.
#[must_use]
pub fn days_until(then: UnixMillis, now: UnixMillis) -> i64 {
    let ms = i128::from(then.0) - i128::from(now.0);
    i64::try_from(ms.div_euclid(86_400_000)).unwrap_or(i64::MAX)
}

/// A number with its digits in threes for people, `1 234 567`; plain when another program reads them.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    if !crate::output::is_for_people() {
        return digits;
    }
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A noun with its number: `1 seat`, `3 seats`.
#[must_use]
pub fn count(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let ms = |text: &str| span(text).map(|d| d.as_millis());
        assert_eq!(ms("30"), Ok(30_000));
        assert_eq!(ms("0.5"), Ok(500));
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("30s"), Ok(30_000));
        assert_eq!(ms("1h30m"), Ok(5_400_000));
        assert_eq!(ms("2d"), Ok(172_800_000));
        for bad in ["", "soon", "-3s", "-1", "3 parsecs", "nan", "inf"] {
            assert!(span(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spans_are_shown_to_three_digits() {
        let show_ns = |ns| show(Duration::from_nanos(ns));
        assert_eq!(show_ns(870), "870 ns");
        assert_eq!(show_ns(41_230), "41.2 µs");
        assert_eq!(show_ns(3_050_000), "3.05 ms");
        assert_eq!(show_ns(12_400_000_000), "12.4 s");
        assert_eq!(show(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(show(Duration::from_secs(12_000)), "3 h 20 min");
        assert_eq!(show(Duration::from_secs(4 * 86_400 + 7_300)), "4 d 2 h");
    }

    #[test]
    fn days_until_rounds_down_on_both_sides_of_now() {
        let day = 86_400_000;
        assert_eq!(days_until(UnixMillis(30 * day), UnixMillis(day / 2)), 29);
        assert_eq!(days_until(UnixMillis(day / 2), UnixMillis(day)), -1);
    }

    #[test]
    fn dates_are_days_in_utc() {
        assert_eq!(day(UnixMillis(1_797_940_800_000)), "2026-12-22");
        assert_eq!(instant(UnixMillis(1_797_940_800_999)), "2026-12-22T12:00:00Z");
    }
}
