//! Time in a simulated world: one true time, and machines that each read it in their own way.

use leasehold_protocol::time::{Mono, Now, UnixMillis};

/// True time in milliseconds since the world began.
pub type Instant = u64;

/// One second of true time.
pub const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
/// One minute of true time.
pub const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
/// One hour of true time.
pub const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

/// 2026-11-22T00:00:00Z: what calendars say when the world begins.
pub const WALL_AT_START: u64 = 1_795_305_600_000;

/// One machine's two clocks: its boot was some time before the world began, its oscillator runs fast or slow, and its
/// calendar is wrong by so much.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// What the lease clock showed at true time 0.
    pub boot_ms: u64,
    /// How much faster than true time it runs, in millionths; negative is slower.
    pub drift_ppm: i64,
    /// How much the calendar is ahead, in milliseconds; negative is behind. A test may change it: the wall jumped.
    pub wall_ahead_ms: i64,
}

impl Clock {
    /// What this machine reads at true time `at`.
    #[must_use]
    pub fn now(&self, at: Instant) -> Now {
        let drift = self.drift(at);
        let wall =
            WALL_AT_START.saturating_add_signed(self.wall_ahead_ms).saturating_add(at).saturating_add_signed(drift);
        Now { mono: Mono((self.boot_ms + at).saturating_add_signed(drift)), wall: UnixMillis(wall) }
    }

    /// The first true time at which this machine's lease clock shows `mono` or more.
    #[must_use]
    pub fn when(&self, mono: Mono) -> Instant {
        let shown = mono.0.saturating_sub(self.boot_ms);
        if self.drift_ppm == 0 {
            return shown;
        }
        let mut at = shown.saturating_sub_signed(self.drift(shown)).saturating_sub(2);
        while self.now(at).mono < mono {
            at += 1;
        }
        at
    }

    fn drift(&self, at: Instant) -> i64 {
        let at = i128::from(at) * i128::from(self.drift_ppm) / 1_000_000;
        i64::try_from(at).unwrap_or(0)
    }
}

/// `d` in whole milliseconds.
#[must_use]
pub fn ms(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_true_at_the_first_instant_the_machine_shows_it() {
        for drift_ppm in [-10_000, -37, 0, 250, 10_000] {
            let clock = Clock { boot_ms: 12_345, drift_ppm, wall_ahead_ms: 0 };
            for mono in [12_345, 12_346, 20_000, 4_000_000, 400_000_003] {
                let at = clock.when(Mono(mono));
                assert!(clock.now(at).mono >= Mono(mono), "{drift_ppm} ppm, {mono}: too early");
                assert!(at == 0 || clock.now(at - 1).mono < Mono(mono), "{drift_ppm} ppm, {mono}: too late");
            }
        }
    }
}
