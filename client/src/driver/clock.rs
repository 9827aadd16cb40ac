//! The two clocks, read together; and whether the machine slept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_protocol::time::{Mono, Now, UnixMillis};
use rustix::time::{ClockId, clock_gettime};

/// Counts suspend, so that a laptop that slept knows its leases are over.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LEASE_CLOCK: ClockId = ClockId::Boottime;
/// Counts suspend on the systems that have no other.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LEASE_CLOCK: ClockId = ClockId::Monotonic;

/// More than this between the clock that counts suspend and the one that does not is sleep.
const SLEPT_MS: u64 = 500;

/// Both clocks, now.
#[expect(clippy::disallowed_methods, reason = "the driver's one reading of the wall clock")]
pub(crate) fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
    Now { mono: Mono(read_ms(LEASE_CLOCK)), wall: UnixMillis(wall) }
}

/// `instant` of the lease clock on the wall clock, as both stand at `now`.
pub(crate) fn wall_of(instant: Mono, now: Now) -> SystemTime {
    let ms = (now.wall.0.saturating_add(instant.0)).saturating_sub(now.mono.0);
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

/// Notices that the machine slept.
#[derive(Debug)]
pub(crate) struct SleepWatch {
    asleep_ms: u64,
}

impl SleepWatch {
    pub(crate) fn new() -> Self {
        Self { asleep_ms: asleep_ms() }
    }

    /// Whether the machine slept since this was last asked.
    pub(crate) fn slept(&mut self) -> bool {
        let before = std::mem::replace(&mut self.asleep_ms, asleep_ms());
        self.asleep_ms.saturating_sub(before) > SLEPT_MS
    }
}

/// How long the machine has been asleep since it booted.
fn asleep_ms() -> u64 {
    read_ms(LEASE_CLOCK).saturating_sub(read_ms(ClockId::Monotonic))
}

fn read_ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let (s, ns) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    s.saturating_mul(1_000).saturating_add(ns / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_of_the_lease_clock_has_its_place_on_the_wall_clock() {
        let now = Now { mono: Mono(5_000), wall: UnixMillis(1_000_000) };
        assert_eq!(wall_of(Mono(7_000), now), UNIX_EPOCH + Duration::from_secs(1_002));
        assert_eq!(wall_of(Mono(0), now), UNIX_EPOCH + Duration::from_secs(995));
    }

    #[test]
    fn the_lease_clock_runs() {
        assert!(now().mono.0 > 0 && now().wall.0 > 1_700_000_000_000);
        assert!(!SleepWatch::new().slept());
    }
}
