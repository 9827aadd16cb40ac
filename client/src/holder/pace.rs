//! When to ask again: the retry schedule, and the jitter that keeps a thousand clients from speaking at once.

use leasehold_protocol::{Entropy, time::Mono, vocab::OperationId};

/// One thing asked for (W-7): every try is a new datagram with the same id.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The id all tries share.
    pub(super) id: OperationId,
    /// When it went out first: what a lease's deadline counts from.
    first: Option<Mono>,
    /// The last tries on this session, oldest first.
    recent: [Mono; SILENT_TRIES],
    /// How many there were on this session.
    tries: u32,
    next: Mono,
}

/// Tries without any sign of life from the server that make a session doubtful (W-3: an unknown session is answered by
/// silence).
const SILENT_TRIES: usize = 3;
/// Waits after the first tries: they go out at 0, 0.5, 1.5 and 3.5 s.
const FIRST_GAPS_MS: [u64; 3] = [500, 1_000, 2_000];
/// Waits after those, ± 20 %.
const LATER_GAP_MS: u64 = 10_000;
/// Waits never get shorter than this, however close the deadline is.
const GAP_MIN_MS: u64 = 100;
/// An operation this old is asked anew under another id: its answer would count from too long ago to be worth much.
const STALE_MS: u64 = 30_000;

impl Ask {
    /// Something to ask at `at`.
    pub(super) fn at(at: Mono, entropy: &mut dyn Entropy) -> Self {
        let id = OperationId(entropy.next_u64());
        Self { id, first: None, recent: [Mono::default(); SILENT_TRIES], tries: 0, next: at }
    }

    /// When the next try is due.
    pub(super) const fn next(&self) -> Mono {
        self.next
    }

    /// When it was first sent.
    pub(super) const fn first_sent(&self) -> Option<Mono> {
        self.first
    }

    /// How many tries the present session has seen.
    pub(super) const fn tries(&self) -> u32 {
        self.tries
    }

    /// Whether it is too old to be worth repeating under its id.
    pub(super) fn is_stale(&self, now: Mono) -> bool {
        self.first.is_some_and(|first| now.ms_since(first) >= STALE_MS)
    }

    /// Notes a try at `now` and sets when the next is due: by the schedule, and sooner when `left_ms` (until the answer
    /// is of no use) runs short. What is jittered by one draw stays together.
    pub(super) fn sent(&mut self, now: Mono, left_ms: u64, drawn: u64) {
        self.first.get_or_insert(now);
        self.recent.rotate_left(1);
        self.recent[SILENT_TRIES - 1] = now;
        let scheduled = match FIRST_GAPS_MS.get(self.tries as usize) {
            Some(gap) => *gap,
            None => jittered_by(LATER_GAP_MS, 20, drawn),
        };
        self.tries = self.tries.saturating_add(1);
        self.next = now.plus_ms(scheduled.min((left_ms / 4).max(GAP_MIN_MS)));
    }

    /// Begins the schedule again at `now`, on a new session. The id and the first sending stay.
    pub(super) fn restart(&mut self, now: Mono) {
        self.tries = 0;
        self.next = now;
    }

    /// Whether a session last heard from at `heard` has let `limit` tries go by in silence.
    pub(super) fn is_unheard(&self, heard: Option<Mono>, limit: usize) -> bool {
        let limit = limit.clamp(1, SILENT_TRIES);
        self.tries as usize >= limit && heard.is_none_or(|heard| heard < self.recent[SILENT_TRIES - limit])
    }
}

/// `ms` give or take `percent` of it.
pub(super) fn jittered(ms: u64, percent: u64, entropy: &mut dyn Entropy) -> u64 {
    jittered_by(ms, percent, entropy.next_u64())
}

/// The same, by a number drawn before: things jittered by one draw stay together.
pub(super) const fn jittered_by(ms: u64, percent: u64, drawn: u64) -> u64 {
    let spread = ms.saturating_mul(percent) / 100;
    let at_most = spread.saturating_mul(2).saturating_add(1);
    ms.saturating_sub(spread).saturating_add(drawn % at_most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros() -> impl Entropy {
        |bytes: &mut [u8]| bytes.fill(0)
    }

    #[test]
    fn tries_go_out_at_0_and_half_and_one_and_a_half_and_three_and_a_half_seconds() {
        let mut ask = Ask::at(Mono(1_000), &mut zeros());
        let mut at = Vec::new();
        for _ in 0..5 {
            at.push(ask.next().0 - 1_000);
            let now = ask.next();
            ask.sent(now, u64::MAX, 0);
        }
        assert_eq!(at, [0, 500, 1_500, 3_500, 11_500]);
        assert_eq!(ask.first_sent(), Some(Mono(1_000)));
    }

    #[test]
    fn a_close_deadline_makes_tries_denser_but_never_a_flood() {
        let mut ask = Ask::at(Mono(0), &mut zeros());
        ask.sent(Mono(0), 800, 0);
        assert_eq!(ask.next(), Mono(200));
        ask.sent(Mono(200), 0, 0);
        assert_eq!(ask.next(), Mono(300));
    }

    #[test]
    fn three_tries_without_a_word_since_the_first_of_them_are_silence() {
        let mut ask = Ask::at(Mono(0), &mut zeros());
        for now in [0, 500, 1_500] {
            assert!(!ask.is_unheard(Some(Mono(0)), 3));
            ask.sent(Mono(now + 1), u64::MAX, 0);
        }
        assert!(ask.is_unheard(Some(Mono(0)), 3) && ask.is_unheard(None, 3));
        assert!(!ask.is_unheard(Some(Mono(900)), 3), "an answer to something else is a sign of life");
    }

    #[test]
    fn jitter_stays_inside_its_share() {
        let mut n = 0u8;
        let mut counting = |bytes: &mut [u8]| {
            n = n.wrapping_add(37);
            bytes.fill(n);
        };
        for _ in 0..300 {
            assert!((8_000..=12_000).contains(&jittered(10_000, 20, &mut counting)));
        }
        assert_eq!(jittered(0, 20, &mut counting), 0);
    }
}
