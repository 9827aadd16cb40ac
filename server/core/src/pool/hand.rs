//! How seats are found and moved, once they are not simply at hand.

use super::{
    exchange::{At, Move, Moves},
    seats::{BucketId, Cell, Desk, Seats},
    sync::Ordering,
    word::Word,
    worker::{LOOKS_MAX, Rank, Short, Use},
};

/// A [`Worker`](super::Worker) at work on the seats.
pub(super) struct Hand<'a> {
    pub(super) seats: &'a Seats,
    pub(super) desk: u32,
    pub(super) own: &'a Desk,
    /// What the last look at a bucket found: its home, then its cells.
    pub(super) seen: &'a mut Vec<Word>,
    /// Room for an exchange.
    pub(super) moves: &'a mut Moves,
}

/// What a look at a bucket came to.
enum Found {
    /// The seats wanted, in one word.
    Here(Move),
    /// Seats were moved: look again.
    Moved,
}

/// How often a worker looks again, before it says that there is no seat, while another is in the middle of a step that may
/// give one back. The other may have lost its processor; a denial must not wait for that.
const BUSY_LOOKS_MAX: u32 = if cfg!(any(loom, shuttle)) { 1 } else { 64 };

impl<'a> Hand<'a> {
    /// This worker's cell of `bucket`.
    #[inline]
    pub(super) fn cell(&self, bucket: BucketId) -> Option<&'a Cell> {
        self.own.cell(bucket)
    }

    /// Takes `want` seats of `bucket`, wherever they are; a share of what lies there comes into the own cell with them.
    pub(super) fn take_anywhere(&mut self, bucket: BucketId, want: i64, rank: Rank) -> Result<(), Short> {
        loop {
            let Found::Here(m) = self.find(bucket, want, rank)? else { continue };
            if self.seats.replace(m.at, m.from, m.to) {
                return Ok(());
            }
        }
    }

    /// Takes every one of `wants` from one word each, in one exchange; `begun` are the own cells of their buckets.
    pub(super) fn take_bundle(
        &mut self,
        wants: &[Use],
        begun: &[Option<(&Cell, i64)>],
        rank: Rank,
    ) -> Result<(), Short> {
        loop {
            self.moves.clear();
            for (want, begun) in wants.iter().zip(begun).filter(|(want, _)| want.bucket.is_counted()) {
                let m = self.find_one(want.bucket, begun.map(|(cell, _)| cell), i64::from(want.seats), rank)?;
                self.moves.push(m);
            }
            if self.seats.exchange(self.desk, self.moves) {
                return Ok(());
            }
        }
    }

    /// Which of `buckets`, in their order, are to give how much of `seats`, going by one look at each. The shortage it
    /// reports was there at one instant.
    pub(super) fn share_out(
        &mut self,
        buckets: &[BucketId],
        seats: u32,
        rank: Rank,
        uses: &mut Vec<Use>,
    ) -> Result<(), Short> {
        for again in 0.. {
            uses.clear();
            self.seen.clear();
            let (mut left, mut ends) = (i64::from(seats), vec![0]);
            for bucket in buckets {
                let free = self.free_of(*bucket, rank)?.unwrap_or(left);
                ends.push(self.seen.len());
                let share = free.clamp(0, left);
                left -= share;
                if let Ok(seats @ 1..) = u32::try_from(share) {
                    uses.push(Use { bucket: *bucket, seats });
                }
                if left == 0 {
                    return Ok(());
                }
            }
            let is_still = |(bucket, at): (&BucketId, &[usize])| self.seats.is_still(*bucket, &self.seen[at[0]..at[1]]);
            let is_short = buckets.iter().zip(ends.windows(2)).all(is_still);
            if is_short && (again >= BUSY_LOOKS_MAX || !self.is_any_being_given(buckets)) {
                break;
            }
        }
        Err(Short::NoSeat)
    }

    fn is_any_being_given(&self, buckets: &[BucketId]) -> bool {
        buckets.iter().any(|bucket| self.seats.is_being_given(*bucket, self.desk))
    }

    /// What a look at `bucket` finds free; `None` if it is not counted.
    fn free_of(&mut self, bucket: BucketId, rank: Rank) -> Result<Option<i64>, Short> {
        if !bucket.is_counted() {
            return Ok(None);
        }
        let (first, free) = (self.seen.len(), self.seats.look(bucket, self.seen));
        check_rank(self.seen[first], rank)?;
        Ok(Some(free))
    }

    /// Puts `seats` into the own cell, or into the home if that is closed; whether somebody waits for them.
    #[inline]
    pub(super) fn put(&self, cell: &Cell, bucket: BucketId, seats: i64) -> bool {
        loop {
            // Not Relaxed: who helps must see what the mark was put in for.
            let seen = Word(cell.word.load(Ordering::SeqCst));
            if seen.is_mark() {
                self.seats.help(seen);
            } else if !seen.has(Word::OPEN) {
                // Only its worker opens a cell: it stays closed.
                return self.change_home(bucket, |home| home.given(seats)).has(Word::WAITED);
            } else if cell.change(seen, seen.given(seats)) {
                return false;
            }
        }
    }

    /// Takes seats that are not there: a fault that is planted.
    #[cfg(feature = "planted-faults")]
    pub(super) fn overdraw(&self, bucket: BucketId, seats: i64) {
        self.change_home(bucket, |home| home.given(-seats));
    }

    /// Adds `delta` to the seats of `bucket`. To take some away, brings all of them home first: the change of the home is
    /// then the change of the bucket, and may go below zero.
    pub(super) fn resize(&mut self, bucket: BucketId, delta: i64) {
        if delta > 0 {
            self.change_home(bucket, |home| home.given(delta));
            return;
        }
        self.flag(bucket, Word::GATHERED, true);
        loop {
            self.close_cells(bucket);
            self.seen.clear();
            self.seats.look(bucket, self.seen);
            let home = self.seen[0];
            // No cell was opened between these looks and the change: it would have changed the home.
            if self.seen[1..].iter().all(|cell| !cell.has(Word::OPEN))
                && self.seats.replace(home_of(bucket), home, home.given(delta).with(Word::GATHERED, false))
            {
                return;
            }
        }
    }

    /// Sets or takes back a flag of the home of `bucket`.
    pub(super) fn flag(&self, bucket: BucketId, flag: u64, set: bool) {
        self.change_home(bucket, |home| home.with(flag, set));
    }

    /// Closes every open cell of `bucket` and brings its seats home.
    pub(super) fn close_cells(&self, bucket: BucketId) {
        for column in 1..=self.seats.columns() {
            let at = At { bucket: bucket.0, column };
            loop {
                let cell = self.seats.settled(at);
                if !cell.has(Word::OPEN) || self.bring_home(at, cell) {
                    break;
                }
            }
        }
    }

    /// The free seats of `bucket` at one instant, if it kept still for one.
    pub(super) fn count(&mut self, bucket: BucketId) -> Option<i64> {
        (0..LOOKS_MAX).find_map(|_| {
            self.seen.clear();
            let free = self.seats.look(bucket, self.seen);
            self.seats.is_still(bucket, self.seen).then_some(free)
        })
    }

    /// The move that takes `want` seats of `bucket` from one word.
    #[inline]
    fn find_one(&mut self, bucket: BucketId, cell: Option<&Cell>, want: i64, rank: Rank) -> Result<Move, Short> {
        // Relaxed: the exchange checks it.
        let seen = cell.map_or(Word::EMPTY, |cell| Word(cell.word.load(Ordering::Relaxed)));
        if seen.holds(want) {
            return Ok(Move { at: self.own_at(bucket), from: seen, to: seen.taken(want) });
        }
        loop {
            if let Found::Here(m) = self.find(bucket, want, rank)? {
                return Ok(m);
            }
        }
    }

    /// Looks through the words of `bucket` for one with `want` seats. Brings a share of what it finds into the own cell, so
    /// that the next want is met there; if no word has enough and all together have, brings them together.
    ///
    /// Progress: lock-free. Every move but one's own last is undone by others only in steps of theirs that succeed.
    fn find(&mut self, bucket: BucketId, want: i64, rank: Rank) -> Result<Found, Short> {
        for again in 0.. {
            self.seen.clear();
            let total = self.seats.look(bucket, self.seen);
            check_rank(self.seen[0], rank)?;
            if total >= want {
                break;
            }
            if self.seats.is_still(bucket, self.seen)
                && (again >= BUSY_LOOKS_MAX || !self.seats.is_being_given(bucket, self.desk))
            {
                return Err(Short::NoSeat);
            }
        }
        let (at, word) = self.richest(bucket, want);
        if !word.holds(want) {
            self.bring_home(at, word);
            return Ok(Found::Moved);
        }
        if at == self.own_at(bucket) || !self.restock(at, word, want) {
            return Ok(Found::Here(Move { at, from: word, to: word.taken(want) }));
        }
        Ok(Found::Moved)
    }

    /// Of the words last looked at: the own cell if it has `want` seats, else the home if it has, else the richest cell.
    fn richest(&self, bucket: BucketId, want: i64) -> (At, Word) {
        let at = |column| At { bucket: bucket.0, column };
        let words = || (0..).map(at).zip(self.seen.iter().copied());
        let own = words().nth(self.desk as usize + 1).filter(|(_, own)| own.holds(want));
        let home = words().next().filter(|(_, home)| home.holds(want));
        let cells = words().skip(1).max_by_key(|(_, cell)| cell.seats());
        own.or(home).or(cells).unwrap_or((home_of(bucket), Word::EMPTY))
    }

    /// Moves `want` seats and a share of the others from `at`, which holds `word`, into the own cell; whether it tried. Not
    /// if the share would be nothing, or cells may not be opened.
    fn restock(&self, at: At, word: Word, want: i64) -> bool {
        let own_at = self.own_at(BucketId(at.bucket));
        let (home, own) = (self.seen[0], self.seen.get(own_at.column as usize).copied().unwrap_or(Word::EMPTY));
        let parts = if at.column == 0 { 2 * (self.seen.len() as i64 - 1) } else { 2 };
        let share = (word.seats() - want) / parts.max(2);
        if share == 0 || !home.may_open() || self.cell(BucketId(at.bucket)).is_none() {
            return false;
        }
        let seats = want + share;
        let filled = Move { at: own_at, from: own, to: own.given(seats).with(Word::OPEN, true) };
        let mut moves = Moves::new();
        moves.push(filled);
        moves.push(Move { at, from: word, to: word.given(-seats) });
        if at.column != 0 && !own.has(Word::OPEN) {
            // Who opens a cell changes the home, for those who count on it.
            moves.push(Move { at: home_of(BucketId(at.bucket)), from: home, to: home.retagged() });
        }
        self.seats.exchange(self.desk, &mut moves);
        true
    }

    /// Brings the seats of the cell at `at`, which holds `cell`, home and closes it; whether it did.
    fn bring_home(&self, at: At, cell: Word) -> bool {
        let (home_at, seats) = (home_of(BucketId(at.bucket)), cell.seats());
        let home = self.seats.settled(home_at);
        let closed = cell.given(-seats).with(Word::OPEN, false);
        let home = Move { at: home_at, from: home, to: home.given(seats) };
        let mut moves = Moves::new();
        moves.push(home);
        moves.push(Move { at, from: cell, to: closed });
        self.seats.exchange(self.desk, &mut moves)
    }

    /// Changes the home of `bucket`; what it was.
    fn change_home(&self, bucket: BucketId, change: impl Fn(Word) -> Word) -> Word {
        loop {
            let home = self.seats.settled(home_of(bucket));
            if self.seats.replace(home_of(bucket), home, change(home)) {
                return home;
            }
        }
    }

    const fn own_at(&self, bucket: BucketId) -> At {
        At { bucket: bucket.0, column: self.desk + 1 }
    }
}

fn check_rank(home: Word, rank: Rank) -> Result<(), Short> {
    if rank == Rank::Newcomer && home.has(Word::WAITED) { Err(Short::Waited) } else { Ok(()) }
}

const fn home_of(bucket: BucketId) -> At {
    At { bucket: bucket.0, column: 0 }
}
