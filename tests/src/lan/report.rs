//! What happened in a world, in numbers, and how to see it again.

use std::fmt;

use crate::clock::Instant;

/// Counts since the world began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events the loop ran.
    pub events: u64,
    /// Full checks it made.
    pub checks: u64,
    /// Addresses given out.
    pub addresses: u64,
    /// Checkouts asked for.
    pub checkouts: u64,
    /// Grants clients heard.
    pub grants: u64,
    /// Grants servers made.
    pub server_grants: u64,
    /// Renewals clients heard.
    pub renewals: u64,
    /// Renewals servers made.
    pub server_renewals: u64,
    /// Denials clients heard.
    pub denials: u64,
    /// Seats clients gave back.
    pub given_back: u64,
    /// Answers they heard to that.
    pub releases: u64,
    /// Leases servers ended because nobody renewed.
    pub expiries: u64,
    /// Leases clients lost.
    pub lost: u64,
    /// Datagrams servers sent to addresses that no client of the world has.
    pub to_strangers: u64,
    trace: u64,
}

impl Report {
    /// A number that depends on every datagram that arrived, when and in which order: two worlds of one seed have the
    /// same.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.trace
    }

    pub(super) fn trace(&mut self, at: Instant, bytes: &[u8]) {
        let mut mix = |word: u64| self.trace = (self.trace.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        mix(at);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(u64::from_le_bytes(word));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, checks, checkouts, grants, renewals, denials, releases, expiries, lost, .. } = self;
        write!(
            f,
            "{events} events, {checks} full checks, {checkouts} checkouts, {grants} grants, {renewals} renewals, "
        )?;
        write!(f, "{denials} denials, {releases} releases, {expiries} expiries, {lost} lost leases")
    }
}

/// The command that runs the current test again with `seed`.
#[must_use]
pub fn repeat_command(seed: u64) -> String {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("").to_owned();
    let binary = std::env::current_exe().ok();
    let stem = binary.as_deref().and_then(|path| path.file_stem()?.to_str()).unwrap_or("");
    let target = stem.rsplit_once('-').map_or(stem, |(name, _)| name);
    let release = if cfg!(debug_assertions) { "" } else { " --release" };
    let faults = if cfg!(feature = "planted-faults") { " --features planted-faults" } else { "" };
    format!(
        "LEASEHOLD_SEED={seed} cargo test -p leasehold-tests{release}{faults} --test {target} {test} -- --exact --nocapture"
    )
}
