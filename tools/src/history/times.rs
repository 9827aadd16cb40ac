//! Instants as people write them.

use jiff::{Timestamp, civil, tz::TimeZone};
use leasehold_protocol::time::UnixMillis;

use crate::{exit::Failure, human};

/// Reads what `flag` was given: an instant of RFC 3339, a day or a time of day in UTC, `now`, or a span back from `now`.
pub(super) fn read(flag: &str, text: &str, now: UnixMillis) -> Result<UnixMillis, Failure> {
    instant(text, now).ok_or_else(|| {
        Failure::usage(format!("{flag} cannot be {text:?}"))
            .remedy("write 2026-11-01, 2026-11-01T08:00:00Z, or how long ago: -7d, -12h, -30m")
    })
}

fn instant(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    if text == "now" {
        return Some(now);
    }
    if let Some(ago) = text.strip_prefix('-') {
        // A bare number has no unit: -7 is a typing error, not seven seconds.
        let has_unit = ago.ends_with(|c: char| c.is_ascii_alphabetic());
        let ago = has_unit.then(|| human::span(ago).ok()).flatten()?;
        return Some(UnixMillis(now.0.saturating_sub(u64::try_from(ago.as_millis()).ok()?)));
    }
    let zoned = text.parse::<Timestamp>().ok();
    let civil = || text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let stamp = zoned.or_else(civil)?;
    u64::try_from(stamp.as_millisecond()).ok().map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_people_write_them() {
        let now = UnixMillis(1_795_336_200_123);
        let read = |text| instant(text, now).map(human::instant);
        for (text, expected) in [
            ("now", "2026-11-22T08:30:00Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T08:00", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:00+02:00", "2026-11-01T06:00:00Z"),
            ("-7d", "2026-11-15T08:30:00Z"),
            ("-12h", "2026-11-21T20:30:00Z"),
            ("-1h30m", "2026-11-22T07:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "-", "-7", "7d", "yesterday", "2026-13-01", "01.11.2026", "1969-12-31", "-7 parsecs"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
