//! What one atomic word of a bucket says.

use std::fmt;

/// The value of a home or of a cell: how many seats are free there, or that a multi-word exchange is under way.
///
/// ```text
/// bit   63      62    61      60..32   31..0
///       mark=0  flag  waited  tag 29   seats (i32; below zero in a home alone: overage)
///       mark=1  worker 12 (62..51)     sequence number of its exchange 51 (50..0)
/// ```
///
/// Flag is [`Word::OPEN`] in a cell and [`Word::GATHERED`] in a home.
///
/// # No value comes back
/// Taking seats lowers the count and leaves the tag; everything else raises the tag. So the values of one word are strictly
/// ordered by (tag, fewer seats), and a compare-and-swap that expects an old one fails. The tag has 29 bits: for a value to
/// come back, 2^29 give-backs to the same word would have to fall between one thread's load and its compare-and-swap, and
/// end on the same count: at thirty million a second, 18 s of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    /// No seats, tag 0, no flags: a fresh home, and a fresh cell, which is closed.
    pub(super) const EMPTY: Self = Self(0);
    /// Of a cell: its worker may put seats in. A closed cell has none.
    pub(super) const OPEN: u64 = 1 << 62;
    /// Of a home: all seats are being brought here, and no cell may be opened.
    pub(super) const GATHERED: u64 = 1 << 62;
    /// Of a home: somebody waits for seats; no cell may be opened, and newcomers take the slow path.
    pub(super) const WAITED: u64 = 1 << 61;
    const MARK: u64 = 1 << 63;
    const SEQUENCE_BITS: u32 = 51;
    const TAG_UNIT: u64 = 1 << 32;
    const TAG_MASK: u64 = ((1 << 29) - 1) << 32;

    /// The mark of exchange number `sequence` of worker `desk`.
    pub(super) const fn mark(desk: u32, sequence: u64) -> Self {
        Self(Self::MARK | (desk as u64) << Self::SEQUENCE_BITS | sequence & Self::SEQUENCE_MASK)
    }

    const SEQUENCE_MASK: u64 = (1 << Self::SEQUENCE_BITS) - 1;

    /// Whose exchange, and which, if this is a mark.
    #[inline]
    pub(super) const fn marked(self) -> Option<(u32, u64)> {
        if self.0 & Self::MARK == 0 {
            return None;
        }
        let desk = (self.0 & !Self::MARK) >> Self::SEQUENCE_BITS;
        Some((desk as u32, self.0 & Self::SEQUENCE_MASK))
    }

    #[inline]
    pub(super) const fn is_mark(self) -> bool {
        self.0 & Self::MARK != 0
    }

    /// Free seats here. Of no meaning in a mark.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the count")]
    pub(super) const fn seats(self) -> i64 {
        (self.0 as u32).cast_signed() as i64
    }

    /// Whether `seats` can be taken from here.
    #[inline]
    pub(super) const fn holds(self, seats: i64) -> bool {
        !self.is_mark() && self.seats() >= seats
    }

    /// Whether this is the value of an open cell.
    #[inline]
    pub(super) const fn is_open(self) -> bool {
        self.0 & (Self::MARK | Self::OPEN) == Self::OPEN
    }

    #[inline]
    pub(super) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Whether a cell may be opened beside this home.
    pub(super) const fn may_open(self) -> bool {
        !self.has(Self::GATHERED | Self::WAITED)
    }

    /// This less `seats`, which must be here: the tag stays.
    #[inline]
    pub(super) const fn taken(self, seats: i64) -> Self {
        self.with_seats(self.seats() - seats)
    }

    /// This and `seats` more, or fewer, with the next tag.
    #[inline]
    pub(super) const fn given(self, seats: i64) -> Self {
        self.retagged().with_seats(self.seats() + seats)
    }

    /// This with `flag` set or not, and the next tag.
    pub(super) const fn with(self, flag: u64, set: bool) -> Self {
        let tagged = self.retagged();
        Self(if set { tagged.0 | flag } else { tagged.0 & !flag })
    }

    /// The same seats with the next tag.
    #[inline]
    pub(super) const fn retagged(self) -> Self {
        Self(self.0 & !Self::TAG_MASK | (self.0 & Self::TAG_MASK).wrapping_add(Self::TAG_UNIT) & Self::TAG_MASK)
    }

    #[inline]
    const fn with_seats(self, seats: i64) -> Self {
        debug_assert!(i32::MIN as i64 <= seats && seats <= i32::MAX as i64, "more seats than a certificate may grant");
        #[expect(clippy::cast_possible_truncation, reason = "a bucket's capacity is an i32")]
        Self(self.0 & !0xffff_ffff | (seats as i32).cast_unsigned() as u64)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.marked() {
            Some((desk, sequence)) => write!(f, "exchange {sequence} of {desk}"),
            None => {
                let tag = (self.0 & Self::TAG_MASK) >> 32;
                write!(f, "{} seats, tag {tag}, flags {}", self.seats(), self.0 >> 61)
            }
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn count_tag_and_flags_do_not_touch_each_other() {
        let word = Word::EMPTY.given(7).with(Word::OPEN, true);
        assert_eq!((word.seats(), word.has(Word::OPEN), word.has(Word::WAITED)), (7, true, false));
        assert_eq!(word.taken(7).seats(), 0);
        assert_eq!(word.given(-10).seats(), -3);
        assert!(word.given(-10).has(Word::OPEN) && !word.given(-10).is_mark());
        assert_eq!(Word::EMPTY.given(i64::from(i32::MAX)).seats(), i64::from(i32::MAX));
    }

    #[test]
    fn the_tag_wraps_without_touching_anything_else() {
        let last = Word(Word::TAG_MASK | Word::WAITED | 5);
        assert_eq!(last.retagged(), Word(Word::WAITED | 5));
    }

    #[test]
    fn a_mark_names_its_exchange_at_every_width() {
        for desk in [0, 1, 4095] {
            for sequence in [0, 1, (1 << 51) - 1] {
                assert_eq!(Word::mark(desk, sequence).marked(), Some((desk, sequence)));
            }
        }
        assert_eq!(Word::EMPTY.marked(), None);
    }

    #[test]
    fn no_change_of_a_word_brings_an_older_value_back() {
        let key = |word: Word| (word.0 & Word::TAG_MASK, std::cmp::Reverse(word.seats()));
        let mut word = Word::EMPTY.given(100);
        for step in 0..1000 {
            let next = match step % 4 {
                0 => word.taken(3),
                1 => word.given(2),
                2 => word.retagged(),
                _ => word.given(1),
            };
            assert!(key(next) > key(word), "{next:?} after {word:?}");
            word = next;
        }
    }
}
