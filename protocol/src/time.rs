//! The two clocks, as plain numbers: zero in a test, printable in a vector (E-7).

use std::time::Duration;

use bincode::{Decode, Encode};

/// Milliseconds on a clock that counts suspend (`CLOCK_BOOTTIME` on Linux) and never goes back. Leases run on this.
/// Its zero is the machine's boot, or a test's beginning: values of two machines mean nothing to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// This instant plus `wait`, in whole milliseconds; stays at the last instant instead of wrapping.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        self.plus_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    /// This instant plus `ms` milliseconds; stays at the last instant instead of wrapping.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant; 0 if it is not earlier.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time from `earlier` to this instant; zero if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.ms_since(earlier))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z on a wall clock. Licence dates run on this, leases never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct UnixMillis(pub u64);

/// Both clocks, read once together and passed down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The lease clock.
    pub mono: Mono,
    /// The calendar clock.
    pub wall: UnixMillis,
}
