//! The effective wall time: what licence dates are held against, whatever somebody does to the machine's calendar (T-5, E-7).
//!
//! Leases run on the boot clock and never notice. No clock is read here: raw readings come in, effective ones go out.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use leasehold_protocol::{
    crypto::Fingerprint,
    time::{Mono, Now, UnixMillis},
};

const HOUR_MS: i64 = 3_600_000;
/// How long a machine may have been off: a calendar that is further ahead at a start is likelier to be wrong.
const OFF_MAX_MS: i64 = 366 * 24 * HOUR_MS;
/// 2026-01-01: no server runs earlier, and a calendar that says so was never set.
const SET_SINCE: UnixMillis = UnixMillis(1_767_225_600_000);
/// How far raw may run ahead and be followed at once, and how near two clocks are that agree.
const NEAR_MS: i64 = HOUR_MS;
/// How long a jump has to stand until it is believed, in milliseconds of boot time.
const STANDS_MS: u64 = 24 * 3_600_000;
/// How many clients have to be heard before their clocks count.
const CLIENTS_MIN: usize = 5;
/// How many clients are remembered: the ones that proved themselves last. An odd one out of so many decides nothing.
const CLIENTS_MAX: usize = 65;

/// Turns readings of the machine's clocks into the effective wall time.
///
/// # The rules
/// *Raw* is what the machine's calendar says, *effective* what dates are held against. Between two readings effective runs on
/// by boot time; what a reading changes, from the top:
///
/// | raw is | effective | the [mark](Mark) has | told |
/// |---|---|---|---|
/// | behind by more than the tolerance | runs on by boot time | effective | *suspicion*, until raw is back within the tolerance |
/// | behind by less, or equal | runs on by boot time | effective | nothing |
/// | ahead by up to 1 h | follows at once | effective | nothing |
/// | ahead at all, and effective is before 2026 | follows at once: what was never set is right at last | effective | nothing |
/// | ahead by up to 366 days, at a start in another boot | follows at once: the machine may have been off | effective | nothing |
/// | ahead by more | runs on by boot time, until the jump has stood for 24 h of boot time or the median of the clocks of at least 5 clients agrees with it within 1 h; then follows | effective, and the jump beside it | *pending*, and until when |
/// | anything, and an administrator [confirms](WallKeeper::confirm) | follows at once, also backwards | effective | by how much it moved |
///
/// A start in the same boot is a reading like any other: for how long the server was away is known. Without a mark raw is all there
/// is, and is taken.
///
/// Nothing but a confirmation makes effective run backwards, or slower than boot time: if it slowed down to let raw catch up, who
/// sets the calendar back by the tolerance, again and again, would stand still. So a calendar that was believed and is then set back
/// within the tolerance leaves effective ahead by that much.
///
/// A jump that is taken back while it is pending leaves no trace. A jump to another place, by more than 1 h, stands anew, and so does
/// one after the machine booted.
///
/// A client's clock is told in its sealed handshake and counted once it has proved itself: clocks of clients can confirm where
/// the machine's has gone, and can lead nowhere by themselves.
#[derive(Clone, Debug)]
pub struct WallKeeper {
    tolerance_ms: i64,
    /// By how much effective is ahead of the boot clock: it stays while effective runs on by boot time.
    gap: i64,
    /// The same of raw, as it was read last.
    raw_gap: i64,
    jump: Option<Jump>,
    /// By how much clients' clocks are ahead of our boot clock, the client heard last at the back. These do not age: both run
    /// at one rate.
    clients: VecDeque<(Fingerprint, i64)>,
}

/// A jump forward that is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// By how much the calendar is ahead of the boot clock since, in milliseconds.
    pub gap_ms: i64,
    /// When it is believed, if it stands.
    pub until: Mono,
}

/// What is to be kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The effective time: never a pending one.
    pub wall: UnixMillis,
    /// When that was, on the boot clock; `None` for another boot of the machine.
    pub at: Option<Mono>,
    /// A jump that is pending; `None` for another boot of the machine.
    pub jump: Option<Jump>,
}

/// How the clocks stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallStatus {
    /// The machine's calendar.
    pub raw: UnixMillis,
    /// What dates are held against.
    pub effective: UnixMillis,
    /// By how much raw is ahead of effective, in milliseconds; below zero if it is behind.
    pub raw_ahead_ms: i64,
    /// Whether raw is behind by more than the tolerance.
    pub is_suspect: bool,
    /// Until when a jump forward has to stand to be believed, if one is pending.
    pub pending_until: Option<Mono>,
    /// Of how many clients the clocks are known.
    pub clients: usize,
    /// By how much the median of their clocks is ahead of effective, in milliseconds, if they are enough.
    pub clients_ahead_ms: Option<i64>,
    /// Whether that is more than the tolerance, in either direction.
    pub clients_differ: bool,
}

impl WallKeeper {
    /// Begins with the raw reading of a start and what the life before left.
    ///
    /// `tolerance_ms`: how far the calendar may be behind without suspicion. The default of the server is 26 h: a day, and an
    /// hour in both directions for a calendar that was set in the wrong zone or summer time.
    #[must_use]
    pub fn start(raw: Now, mark: Option<Mark>, tolerance_ms: u64) -> Self {
        let mark = mark.map(|mark| if mark.at.is_some_and(|at| at > raw.mono) { mark.rebooted() } else { mark });
        let mut keeper = Self {
            tolerance_ms: i64::try_from(tolerance_ms).unwrap_or(i64::MAX),
            gap: mark.map_or(gap_of(raw), |mark| mark.gap(raw)),
            raw_gap: gap_of(raw),
            jump: mark.and_then(|mark| mark.jump),
            clients: VecDeque::new(),
        };
        let off_ms = keeper.raw_gap.saturating_sub(keeper.gap);
        if mark.is_some_and(|mark| mark.at.is_none()) && (0..=OFF_MAX_MS).contains(&off_ms) {
            keeper.gap = keeper.raw_gap;
        }
        keeper.read(raw);
        keeper
    }

    /// Takes a raw reading and gives the effective one. The boot clocks of two callers may be read a little apart.
    pub fn read(&mut self, raw: Now) -> Now {
        self.raw_gap = gap_of(raw);
        if self.raw_gap.saturating_sub(self.gap) <= NEAR_MS || self.at(raw.mono) < SET_SINCE {
            self.jump = None;
            self.gap = self.gap.max(self.raw_gap);
        } else {
            self.wait(raw.mono);
        }
        Now { wall: self.at(raw.mono), ..raw }
    }

    /// Raw is ahead by more than is followed at once.
    fn wait(&mut self, now: Mono) {
        let to = self.raw_gap;
        let noted = self.jump.filter(|jump| jump.is_to(to));
        let jump = noted.unwrap_or(Jump { gap_ms: to, until: now.plus_ms(STANDS_MS) });
        let agree = self.median().is_some_and(|median| near(median, to));
        let believed = now >= jump.until || agree;
        self.gap = if believed { to } else { self.gap };
        self.jump = (!believed).then_some(jump);
    }

    /// Effective time at `mono`, as far as has been read.
    #[must_use]
    pub fn at(&self, mono: Mono) -> UnixMillis {
        UnixMillis(u64::try_from(signed(mono.0).saturating_add(self.gap)).unwrap_or(0))
    }

    /// Takes the raw reading as right, also backwards: an administrator says so. By how much effective moved, in milliseconds.
    pub fn confirm(&mut self, raw: Now) -> i64 {
        let before = self.gap;
        self.gap = gap_of(raw);
        self.read(raw);
        self.gap.saturating_sub(before)
    }

    /// A client that has proved itself said that its clock is so far ahead of our boot clock, in milliseconds. The next reading
    /// counts it.
    pub fn heard(&mut self, client: Fingerprint, ahead_ms: i64) {
        self.clients.retain(|(known, _)| *known != client);
        if self.clients.len() == CLIENTS_MAX {
            self.clients.pop_front();
        }
        self.clients.push_back((client, ahead_ms));
    }

    /// What is to be kept over a restart.
    #[must_use]
    pub fn mark(&self, now: Mono) -> Mark {
        Mark { wall: self.at(now), at: Some(now), jump: self.jump }
    }

    /// Whether raw is behind by more than the tolerance, as it was read last.
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        self.gap.saturating_sub(self.raw_gap) > self.tolerance_ms
    }

    /// When a jump that is pending is believed, if it stands.
    #[must_use]
    pub fn pending_until(&self) -> Option<Mono> {
        self.jump.map(|jump| jump.until)
    }

    /// By how much effective is ahead of the boot clock, in milliseconds.
    #[must_use]
    pub const fn gap_ms(&self) -> i64 {
        self.gap
    }

    /// How the clocks stand at the raw reading `now`, which is taken.
    pub fn status(&mut self, now: Now) -> WallStatus {
        let effective = self.read(now).wall;
        let clients_ahead_ms = self.median().map(|median| median.saturating_sub(self.gap));
        WallStatus {
            raw: now.wall,
            effective,
            raw_ahead_ms: self.raw_gap.saturating_sub(self.gap),
            is_suspect: self.is_suspect(),
            pending_until: self.pending_until(),
            clients: self.clients.len(),
            clients_ahead_ms,
            clients_differ: clients_ahead_ms.is_some_and(|ms| ms.saturating_abs() > self.tolerance_ms),
        }
    }

    /// The median of clients' clocks, the lower one of two, if there are enough.
    fn median(&self) -> Option<i64> {
        let mut gaps: Vec<i64> = self.clients.iter().map(|(_, gap)| *gap).collect();
        gaps.sort_unstable();
        (gaps.len() >= CLIENTS_MIN).then(|| gaps[(gaps.len() - 1) / 2])
    }
}

impl Mark {
    /// By how much effective is ahead of the boot clock. In the same boot it is known how long the server was away: to start it again
    /// and again is no way to stand still.
    fn gap(&self, raw: Now) -> i64 {
        gap_of(Now { wall: self.wall, mono: self.at.unwrap_or(raw.mono) })
    }

    /// As much of it as holds in another boot of the machine.
    #[must_use]
    pub const fn rebooted(self) -> Self {
        Self { at: None, jump: None, ..self }
    }
}

impl Jump {
    fn is_to(&self, gap: i64) -> bool {
        near(self.gap_ms, gap)
    }
}

/// By how much the calendar of `now` is ahead of its boot clock, in milliseconds.
#[must_use]
pub fn gap_of(now: Now) -> i64 {
    signed(now.wall.0).saturating_sub(signed(now.mono.0))
}

const fn near(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= NEAR_MS.unsigned_abs()
}

/// A calendar beyond the year 292 million is at its end.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
