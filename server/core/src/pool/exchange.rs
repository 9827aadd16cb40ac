//! Several words of several buckets replaced at once, by helping (E-3). `docs/allocation.md` §3 has the argument.
//!
//! A worker writes down what it wants to replace in its own descriptor, puts its mark into the words one after the other,
//! in the one order there is, notes that it is done, and takes the marks out again. Whoever meets a mark does the same work
//! for its owner rather than wait. The exchange has happened from the moment its mark stands in the last word.

use super::{
    seats::Seats,
    sync::{AtomicU32, AtomicU64, Ordering, fence},
    word::Word,
};

/// The most words one exchange may replace: a bundle's buckets.
pub(super) const WIDTH: usize = 8;

/// Which word: the home of a bucket (column 0), or a worker's cell of it (column 1 + the worker's desk). Marks are put in
/// in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) bucket: u32,
    pub(super) column: u32,
}

/// One word's part in an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) at: At,
    /// What must be there.
    pub(super) from: Word,
    /// What will be. Differs from `from`.
    pub(super) to: Word,
}

/// A worker's descriptor, used again and again. Nothing is ever freed, so there is nothing to reclaim.
#[derive(Debug)]
pub(super) struct Exchange {
    /// sequence number << 2 | phase
    state: AtomicU64,
    len: AtomicU32,
    places: [Place; WIDTH],
}

#[derive(Debug)]
struct Place {
    at: AtomicU64,
    from: AtomicU64,
    to: AtomicU64,
}

/// The owner writes the places: nobody reads them.
const WRITING: u64 = 0;
/// Marks may be put in.
const POSTED: u64 = 1;
/// All marks were seen in place: from now on they stand for the new values, and may be taken out.
const DONE: u64 = 2;

/// Up to [`WIDTH`] moves, without a heap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moves {
    len: usize,
    moves: [Move; WIDTH],
}

impl Moves {
    const NONE: Move = Move { at: At { bucket: 0, column: 0 }, from: Word::EMPTY, to: Word::EMPTY };

    pub(super) const fn new() -> Self {
        Self { len: 0, moves: [Self::NONE; WIDTH] }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds `m`; of a ninth nothing is kept, and callers never have one.
    pub(super) fn push(&mut self, m: Move) {
        debug_assert!(self.len < WIDTH, "an exchange of nine words");
        if let Some(place) = self.moves.get_mut(self.len) {
            *place = m;
            self.len += 1;
        }
    }

    /// In the order in which marks are put in.
    fn sort(&mut self) {
        let moves = &mut self.moves[..self.len];
        if !moves.is_sorted_by_key(|m| m.at) {
            moves.sort_unstable_by_key(|m| m.at);
        }
    }

    fn as_slice(&self) -> &[Move] {
        &self.moves[..self.len]
    }
}

impl Exchange {
    pub(super) fn new() -> Self {
        let place = || Place { at: AtomicU64::new(0), from: AtomicU64::new(0), to: AtomicU64::new(0) };
        Self { state: AtomicU64::new(0), len: AtomicU32::new(0), places: std::array::from_fn(|_| place()) }
    }

    /// Writes `moves` down under the next sequence number and returns that. For the owner, once no mark of its last
    /// exchange is left in any word.
    ///
    /// Ordering: a seqlock's writer. The `Release` fence pairs with the `Acquire` fence of [`Exchange::read`]: who reads
    /// any of what follows also sees that the state moved on. The `Release` stores pair with its first load: the last makes
    /// what was written visible, and the first that the marks of the exchange before are gone.
    fn post(&self, moves: &[Move]) -> u64 {
        // Relaxed: the owner alone moves the sequence number.
        let sequence = (self.state.load(Ordering::Relaxed) >> 2) + 1;
        self.state.store(sequence << 2 | WRITING, Ordering::Release);
        fence(Ordering::Release);
        self.places.iter().zip(moves).for_each(|(place, m)| place.write(m));
        #[expect(clippy::cast_possible_truncation, reason = "at most eight")]
        self.len.store(moves.len() as u32, Ordering::Relaxed);
        self.state.store(sequence << 2 | POSTED, Ordering::Release);
        sequence
    }

    /// What exchange number `sequence` is about; `None` if it is over and its marks are gone.
    ///
    /// Ordering: a seqlock's reader; see [`Exchange::post`].
    fn read(&self, sequence: u64) -> Option<Moves> {
        self.phase_of(sequence)?;
        let mut moves = Moves::new();
        for place in self.places.iter().take(self.len.load(Ordering::Relaxed) as usize) {
            moves.push(place.read());
        }
        fence(Ordering::Acquire);
        (self.state.load(Ordering::Relaxed) >> 2 == sequence).then_some(moves)
    }

    /// How far exchange number `sequence` is; `None` if it is over and its marks are gone.
    ///
    /// Ordering: `Acquire` pairs with the `Release` of [`Exchange::post`], and with that of [`Exchange::note_done`].
    fn phase_of(&self, sequence: u64) -> Option<u64> {
        let state = self.state.load(Ordering::Acquire);
        (state >> 2 == sequence).then_some(state & 3)
    }

    /// Notes that every mark of `sequence` was seen in place, before any of them is taken out.
    ///
    /// Ordering: `Release`, and every change of a word is one too: who finds a mark gone finds this.
    fn note_done(&self, sequence: u64) {
        let (posted, done) = (sequence << 2 | POSTED, sequence << 2 | DONE);
        let _ = self.state.compare_exchange(posted, done, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl Place {
    fn write(&self, m: &Move) {
        self.at.store(u64::from(m.at.bucket) << 32 | u64::from(m.at.column), Ordering::Relaxed);
        self.from.store(m.from.0, Ordering::Relaxed);
        self.to.store(m.to.0, Ordering::Relaxed);
    }

    fn read(&self) -> Move {
        let at = self.at.load(Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "two halves")]
        let at = At { bucket: (at >> 32) as u32, column: at as u32 };
        let (from, to) = (self.from.load(Ordering::Relaxed), self.to.load(Ordering::Relaxed));
        Move { at, from: Word(from), to: Word(to) }
    }
}

impl Seats {
    /// Replaces every word of `moves` or none, as worker `desk`; whether it did. Sorts them.
    ///
    /// Progress: lock-free. It fails only if a word changed meanwhile, and of all changes that make exchanges fail, one in
    /// every chain is somebody's success.
    /// Model: `tests/loom_exchange.rs`.
    pub(super) fn exchange(&self, desk: u32, moves: &mut Moves) -> bool {
        match moves.as_slice() {
            [] => return true,
            [only] => return self.replace(only.at, only.from, only.to),
            _ => {}
        }
        let Some(own) = self.desk(desk) else { return false };
        let own = &own.exchange.0;
        moves.sort();
        let (words, moves) = (self.words_of(moves), moves.as_slice());
        let sequence = own.post(moves);
        let mark = Word::mark(desk, sequence);
        let done = match put_marks(self, moves, &words, mark) {
            Ok(()) => {
                // Ordering: as in [`Exchange::note_done`]. A store will do: who notes it at the same time notes the same.
                own.state.store(sequence << 2 | DONE, Ordering::Release);
                true
            }
            // If a helper finished it first, our look at the words told nothing: it noted so before it took out a mark.
            Err(_) => own.phase_of(sequence) == Some(DONE),
        };
        take_marks(moves, &words, mark, done);
        done
    }

    /// Finishes the exchange whose mark was met, or sees to it that it fails. The mark was loaded with `Acquire` at least: with
    /// it comes what it stands for.
    #[cold]
    pub(super) fn help(&self, mark: Word) {
        let Some((desk, sequence)) = mark.marked() else { return };
        let Some(owner) = self.desk(desk) else { return };
        let owner = &owner.exchange.0;
        let Some(moves) = owner.read(sequence) else { return };
        let (words, moves) = (self.words_of(&moves), moves.as_slice());
        let met = match owner.phase_of(sequence) {
            Some(POSTED) => put_marks(self, moves, &words, mark),
            _ => Ok(()),
        };
        if met.is_ok() {
            owner.note_done(sequence);
        }
        // A word that holds neither mark nor what was expected: it failed there, or it was done and the mark is out again.
        // In the second case that it is done was noted before.
        match (owner.phase_of(sequence), met) {
            (Some(DONE), _) => take_marks(moves, &words, mark, true),
            (Some(_), Err(met)) => take_marks(&moves[..met], &words, mark, false),
            (_, _) => {}
        }
    }

    /// The words `moves` are about, in their order; of one that was never reached, none.
    fn words_of(&self, moves: &Moves) -> Words<'_> {
        let mut words = [None; WIDTH];
        for (word, m) in words.iter_mut().zip(moves.as_slice()) {
            *word = self.word(m.at);
        }
        words
    }
}

type Words<'a> = [Option<&'a AtomicU64>; WIDTH];

/// Puts `mark` into every word of `moves`, unless it is there; at the first word that holds neither it nor what was
/// expected, stops and returns which. Such a word never holds them again: no value of a word comes back.
fn put_marks(seats: &Seats, moves: &[Move], words: &Words<'_>, mark: Word) -> Result<(), usize> {
    for (n, (m, word)) in moves.iter().zip(words).enumerate() {
        if !word.is_some_and(|word| put_mark(seats, m, word, mark)) {
            return Err(n);
        }
    }
    Ok(())
}

fn put_mark(seats: &Seats, m: &Move, word: &AtomicU64, mark: Word) -> bool {
    loop {
        // Ordering: see [`Seats`].
        match word.compare_exchange(m.from.0, mark.0, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return true,
            Err(seen) if seen == mark.0 => return true,
            // Exchanges are helped along words in one order, so this goes no deeper than there are workers.
            Err(seen) if Word(seen).is_mark() => seats.help(Word(seen)),
            Err(_) => return false,
        }
    }
}

/// Puts what was wanted in place of the marks, or what was there before under a new tag.
fn take_marks(moves: &[Move], words: &Words<'_>, mark: Word, done: bool) {
    for (m, word) in moves.iter().zip(words) {
        let value = if done { m.to } else { m.from.retagged() };
        // Fails where somebody took the mark out already.
        let _ = word.map(|word| word.compare_exchange(mark.0, value.0, Ordering::SeqCst, Ordering::Relaxed));
    }
}
