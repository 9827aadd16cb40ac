//! What the machine says of itself and of us. Linux only: elsewhere the answers are "unknown".

use std::{fs, fs::File, io::Read, io::Seek};

/// How often the kernel gave this thread a processor. If that did not change, the thread kept the one it had.
pub struct Turns(File);

impl Turns {
    /// Of the calling thread.
    #[must_use]
    pub fn of_this_thread() -> Option<Self> {
        File::open("/proc/thread-self/schedstat").ok().map(Self)
    }

    /// Until now.
    pub fn count(&mut self) -> Option<u64> {
        let mut text = [0; 80];
        self.0.rewind().ok()?;
        let len = self.0.read(&mut text).ok()?;
        std::str::from_utf8(&text[..len]).ok()?.split_whitespace().nth(2)?.parse().ok()
    }
}

/// Memory this process has in hand, in bytes.
#[must_use]
pub fn resident() -> Option<u64> {
    resident_of("self")
}

/// Memory that process `pid` has in hand, in bytes.
#[must_use]
pub fn resident_of(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Processors that run threads of ours.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()).unwrap_or(1)
}

/// Processor and kernel, in a line.
#[must_use]
pub fn description() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |key: &str| info.lines().find(|line| line.starts_with(key))?.split(':').nth(1).map(str::trim);
    // All there are, not those that this thread is pinned to.
    let processors = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mhz = of("cpu MHz").and_then(|mhz| mhz.parse::<f64>().ok()).unwrap_or_default() / 1000.0;
    format!(
        "{processors} × {} at {mhz:.1} GHz, {} {} {}",
        of("model name").unwrap_or("unknown processor"),
        std::env::consts::OS,
        kernel.trim(),
        std::env::consts::ARCH,
    )
}
