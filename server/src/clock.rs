//! The one place that reads clocks, and the one that draws randomness from the operating system.
//!
//! | module | owns |
//! |---|---|
//! | `steady` | the effective wall time, shared by all threads |
//! | `mark` | how it gets over a restart |
//! | `words` | what is said of it |
//!
//! Which clock is whose (T-5, E-7):
//!
//! | what | clock |
//! |---|---|
//! | leases, queues, sessions, limits of rates, all waits | boot time |
//! | dates of licences and of their certificates, alarms of an end, trials and meters | effective |
//! | when a lease was granted: in its ticket, in the journal, for who asks | effective: what a restart compares was written by the same |
//! | instants in answers of REST and in warnings | effective; `clock` of the status says how far the calendar is from it |
//! | whether the clocks parted, so that sessions are dropped | the calendar as it is set ([`Reading::raw_ahead_ms`]) |
//! | lines of the log, since when storage fails, when a journal file was begun | the calendar as it is set: for people, beside other logs |
//! | what a client's handshake says of its calendar | held against boot time, and only as a witness of where ours went |

mod mark;
mod steady;
pub(crate) mod words;

use std::time::{Duration, SystemTime};

use leasehold_protocol::{
    Entropy,
    time::{Mono, Now, UnixMillis},
};
use rustix::time::{ClockId, clock_gettime};

pub use self::{
    mark::{MARK_FILE, MarkKeys, load_mark, save_mark},
    steady::{Reading, SteadyClock},
};

/// Both clocks of the machine, now: `CLOCK_BOOTTIME`, which counts suspend, and the wall clock as it is set (E-7). What licence
/// dates are held against is [`SteadyClock::now`].
#[must_use]
pub fn clock_now() -> Now {
    // In this order: a thread that is stopped in between sees a calendar that is behind, which is harmless. One that is ahead would
    // be followed for good.
    let wall = UnixMillis(millis(unix_time()));
    Now { mono: Mono(millis(boot_time())), wall }
}

/// How long until the lease clock reads `deadline`, to the nanosecond: a sleep rounded down to whole milliseconds wakes
/// early, one rounded up wakes late. Zero if it has passed.
#[must_use]
pub fn until(deadline: Mono) -> Duration {
    Duration::from_millis(deadline.0).saturating_sub(boot_time())
}

fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

// A wall clock before 1970 is a dead battery: dates then say "not started", which is the truth as far as anybody knows.
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Fails only where the kernel has no generator at all, and then no key may be made from anything else.
        getrandom::fill(bytes).expect("the operating system's random number generator");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_clock_does_not_go_back_and_a_passed_deadline_is_now() {
        let (first, second) = (clock_now(), clock_now());
        assert!(first.mono <= second.mono);
        assert_eq!(until(first.mono), Duration::ZERO);
        let wait = until(second.mono.plus_ms(10_000));
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
    }
}
