//! Instants as people and programs read them.

use jiff::Timestamp;
use leasehold_protocol::time::{Mono, Now, UnixMillis};

/// `at` as RFC 3339 in UTC with milliseconds, such as `2026-11-22T08:30:00.123Z`.
#[must_use]
pub fn rfc3339(at: UnixMillis) -> String {
    let ms = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    ms.map_or_else(|| format!("{} ms after 1970", at.0), |stamp| format!("{stamp:.3}"))
}

/// The day of `at` in UTC, such as `2026-11-22`.
#[must_use]
pub fn day(at: UnixMillis) -> String {
    rfc3339(at).split('T').next().unwrap_or_default().to_owned()
}

/// What the wall clock reads, or read, when the lease clock is at `mono`, if neither is set meanwhile.
#[must_use]
pub const fn wall_of(mono: Mono, now: Now) -> UnixMillis {
    let (ahead, behind) = (mono.ms_since(now.mono), now.mono.ms_since(mono));
    UnixMillis(now.wall.0.saturating_add(ahead).saturating_sub(behind))
}

/// `ms` as people say it: the two largest units.
#[must_use]
pub fn words(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) if ms < 10_000 => format!("{s}.{} s", ms % 1000 / 100),
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_as_rfc_3339_and_as_words() {
        assert_eq!(rfc3339(UnixMillis(1_795_336_200_123)), "2026-11-22T08:30:00.123Z");
        assert_eq!(day(UnixMillis(1_795_336_200_123)), "2026-11-22");
        assert!(rfc3339(UnixMillis(u64::MAX)).ends_with("after 1970"));
        let cases = [
            (1500, "1.5 s"),
            (59_000, "59 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ];
        for (ms, expected) in cases {
            assert_eq!(words(ms), expected);
        }
    }

    #[test]
    fn the_lease_clock_maps_to_the_wall_both_ways() {
        let now = Now { mono: Mono(1000), wall: UnixMillis(50_000) };
        assert_eq!(wall_of(Mono(1500), now), UnixMillis(50_500));
        assert_eq!(wall_of(Mono(400), now), UnixMillis(49_400));
    }
}
