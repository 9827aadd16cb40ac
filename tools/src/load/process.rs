//! What a process on this machine costs: CPU time and memory, from `/proc`.

use std::{fs, time::Duration};

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time so far, user and system, all threads.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
}

/// What process `pid` has used; `None` where it is gone or there is no `/proc`.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage { cpu: cpu_of(&stat)?, memory_bytes: memory_of(&status)? })
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The name in parentheses may hold spaces and parentheses itself: fields are counted after the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let total = ticks()? + ticks()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(total * 1_000 / per_second))
}

fn memory_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_move_the_fields() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 700 300 0 0 20 0 1 0 100 0 0";
        let ticks = 1_000_000 / rustix::param::clock_ticks_per_second();
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(ticks)));
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(memory_of("Name:\tx\nVmRSS:\t    1024 kB\n"), Some(1 << 20));
        assert_eq!(memory_of("Name:\tx\n"), None);
    }

    #[test]
    fn we_ourselves_use_something() {
        assert!(usage(std::process::id()).is_some_and(|usage| usage.memory_bytes > 0));
        assert!(usage(u32::MAX).is_none());
    }
}
