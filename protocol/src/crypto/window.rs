//! The replay window (SPEC 4.2): which counters have been seen.

/// The last 256 counters of one direction of a session.
///
/// Asked before the AEAD is paid for, moved only after it verified: a forged counter moves nothing.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    /// One above the highest counter accepted; 0 before the first.
    next: u64,
    /// Bit `c % 256` says whether counter c was accepted, for the 256 counters below `next`.
    seen: [u64; WORDS],
}

const WORDS: usize = 4;
const BITS: u64 = 64 * WORDS as u64;

impl ReplayWindow {
    /// Whether `counter` is new: neither seen nor so old that we cannot tell.
    #[must_use]
    pub const fn is_new(&self, counter: u64) -> bool {
        counter >= self.next || (self.next - counter <= BITS && !self.bit(counter))
    }

    /// Notes that a datagram with `counter` verified. Returns whether it was new, as [`ReplayWindow::is_new`] says.
    pub fn accept(&mut self, counter: u64) -> bool {
        if !self.is_new(counter) || counter == u64::MAX {
            return false;
        }
        if counter >= self.next {
            let fresh = counter - self.next + 1;
            if fresh >= BITS {
                self.seen = [0; WORDS];
            } else {
                (self.next..counter).for_each(|skipped| self.clear(skipped));
            }
            self.next = counter + 1;
        }
        self.set(counter);
        true
    }

    const fn place(counter: u64) -> (usize, u64) {
        ((counter / 64 % WORDS as u64) as usize, 1 << (counter % 64))
    }

    const fn bit(&self, counter: u64) -> bool {
        let (word, bit) = Self::place(counter);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, counter: u64) {
        let (word, bit) = Self::place(counter);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, counter: u64) {
        let (word, bit) = Self::place(counter);
        self.seen[word] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_counter_is_accepted_once() {
        let mut window = ReplayWindow::default();
        for counter in [0, 5, 3, 255, 256, 4, 1000, 900] {
            assert!(window.accept(counter), "{counter}");
            assert!(!window.accept(counter), "{counter} again");
        }
        assert!(!window.accept(744), "256 below the highest + 1 is the last that can be told");
        assert!(window.accept(745));
        assert!(!window.accept(u64::MAX), "the counter space ends before it wraps");
    }

    #[test]
    fn the_window_agrees_with_a_set() {
        let mut seed = 1u64;
        let (mut window, mut seen, mut highest) = (ReplayWindow::default(), BTreeSet::new(), 0u64);
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let counter = (highest + (seed >> 33) % 40).saturating_sub((seed >> 50) % 300);
            let expected = !seen.contains(&counter) && (seen.is_empty() || counter + 256 > highest);
            assert_eq!(window.is_new(counter), expected, "{counter} with {highest} highest");
            assert_eq!(window.accept(counter), expected);
            if expected {
                seen.insert(counter);
                highest = highest.max(counter);
            }
        }
    }
}
