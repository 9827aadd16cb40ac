//! Buckets: the seats of one certificate each, one counter to everybody, and many words inside.

use std::sync::Arc;

use super::{
    chunks::Chunks,
    exchange::{At, Exchange},
    sync::{AtomicI64, AtomicU32, AtomicU64, OnceLock, Ordering, Padded, fence},
    word::Word,
};

/// A bucket of seats. Buckets are made one after the other and are never unmade: a certificate that is gone leaves an
/// empty one behind.
///
/// The seats of an *uncounted* bucket never run out, and those that are out are counted for the record alone (L-12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(pub(super) u32);

impl BucketId {
    /// Above every index: the ways on which seats are taken find no cell for it and leave it to the slow one.
    const UNCOUNTED: u32 = 1 << 31;

    /// Its number; those of one stock are apart from 0 to [`BUCKETS_MAX`].
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0 & !Self::UNCOUNTED
    }

    /// Whether its seats run out.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        self.0 & Self::UNCOUNTED == 0
    }

    /// The same number, of seats that are not counted.
    pub(super) const fn uncounted(self) -> Self {
        Self(self.0 | Self::UNCOUNTED)
    }
}

/// The free seats of every bucket.
///
/// A bucket's free seats are the sum of its *home*, one word for all, and its *cells*, one word per worker, so that workers
/// who have seats at hand do not meet. To everybody the bucket is that sum: seats move between words only by exchanges,
/// which nobody sees half done.
///
/// # Ordering
/// Every change of a word and every look at several is `SeqCst`: "nobody had a seat at that instant" is a statement about
/// one order of all words, and two workers who make it must agree on the order. On x86-64 that costs nothing that `AcqRel`
/// would not. Who takes a seat thereby sees all that its last holder's end wrote.
#[derive(Debug)]
pub(super) struct Seats {
    homes: Chunks<Home, BUCKETS_PER_CHUNK>,
    desks: Box<[OnceLock<Arc<Desk>>]>,
    /// Desks that were ever taken: the columns of every bucket.
    joined: AtomicU32,
    buckets: AtomicU32,
}

/// What a bucket's seats are counted in when nobody's cell has them.
#[derive(Debug)]
#[repr(align(64))]
struct Home {
    word: AtomicU64,
    /// Seats there are, doubled, plus one while a planner changes them. Set after the word, in the same step.
    capacity: AtomicI64,
}

/// What belongs to one worker, and is read by all.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) exchange: Padded<Exchange>,
    pub(super) cells: Chunks<Cell, BUCKETS_PER_CHUNK>,
    taken: AtomicU32,
    lately: Padded<Lately>,
}

/// What a worker says of itself.
#[derive(Debug)]
struct Lately {
    /// Leases this worker opened less those it closed.
    leases: AtomicI64,
    /// How often it began or ended something that is more than one step: odd while it is about it.
    turns: AtomicU64,
}

/// One worker's part of one bucket.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) word: AtomicU64,
    /// Seats this worker took less seats it gave back, times four, plus what it is in the middle of ([`TAKING`], [`GIVING`]
    /// or 0). Below zero for a worker that ends what others granted.
    out: AtomicI64,
}

/// A worker takes seats, or looks for them.
pub(super) const TAKING: i64 = 1;
/// A worker gives seats back.
pub(super) const GIVING: i64 = 2;
/// The most workers at once.
pub const WORKERS_MAX: u32 = if cfg!(any(loom, shuttle)) { 4 } else { 1024 };
/// The most buckets in a server's life.
pub const BUCKETS_MAX: u32 = if cfg!(any(loom, shuttle)) { 4 } else { 1 << 20 };
const BUCKETS_PER_CHUNK: usize = if cfg!(any(loom, shuttle)) { 4 } else { 1024 };

impl Seats {
    pub(super) fn new() -> Self {
        Self {
            homes: Chunks::new(BUCKETS_MAX),
            desks: (0..WORKERS_MAX).map(|_| OnceLock::new()).collect(),
            joined: AtomicU32::new(0),
            buckets: AtomicU32::new(0),
        }
    }

    /// A new bucket with no seats; `None` once there were [`BUCKETS_MAX`].
    pub(super) fn add_bucket(&self) -> Option<BucketId> {
        // Relaxed: the number is all there is to see.
        let next = |n: u32| (n < BUCKETS_MAX).then(|| n + 1);
        let bucket = self.buckets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        self.homes.reach(bucket, Home::new)?;
        Some(BucketId(bucket))
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> u32 {
        self.buckets.load(Ordering::Relaxed)
    }

    /// Takes a desk that nobody sits at; `None` if there are [`WORKERS_MAX`] workers.
    ///
    /// Ordering: `Acquire` pairs with [`Desk::leave`]: the next worker goes on from the last one's counts. `joined` is
    /// `SeqCst` and raised before the worker's first exchange, so that who sees a cell's seats in no word yet sees the column.
    pub(super) fn join(&self) -> Option<(u32, Arc<Desk>)> {
        for desk in 0..WORKERS_MAX {
            let free = self.desks[desk as usize].get_or_init(|| Arc::new(Desk::new()));
            if free.taken.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                self.joined.fetch_max(desk + 1, Ordering::SeqCst);
                return Some((desk, free.clone()));
            }
        }
        None
    }

    #[inline]
    pub(super) fn desk(&self, desk: u32) -> Option<&Desk> {
        self.desks.get(desk as usize)?.get().map(AsRef::as_ref)
    }

    /// Columns beside the home.
    pub(super) fn columns(&self) -> u32 {
        self.joined.load(Ordering::SeqCst)
    }

    /// The word at `at`, if it was ever reached.
    #[inline]
    pub(super) fn word(&self, at: At) -> Option<&AtomicU64> {
        match at.column.checked_sub(1) {
            None => self.homes.get(at.bucket).map(|home| &home.word),
            Some(desk) => self.desk(desk)?.cells.get(at.bucket).map(|cell| &cell.word),
        }
    }

    /// Replaces `from` at `at` by `to`; whether it did.
    #[inline]
    pub(super) fn replace(&self, at: At, from: Word, to: Word) -> bool {
        let Some(word) = self.word(at) else { return false };
        word.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// What stands at `at` once no exchange is under way there. A cell that was never reached is closed and empty.
    pub(super) fn settled(&self, at: At) -> Word {
        let Some(word) = self.word(at) else { return Word::EMPTY };
        loop {
            let seen = Word(word.load(Ordering::SeqCst));
            if !seen.is_mark() {
                return seen;
            }
            self.help(seen);
        }
    }

    /// Writes every word of `bucket` into `seen`, home first, and returns their sum. The words were there one after the
    /// other; if [`Seats::is_still`] then says so, all at once.
    pub(super) fn look(&self, bucket: BucketId, seen: &mut Vec<Word>) -> i64 {
        let first = seen.len();
        let at = |column| At { bucket: bucket.0, column };
        seen.push(self.settled(at(0)));
        seen.extend((1..=self.columns()).map(|column| self.settled(at(column))));
        seen[first..].iter().map(|word| word.seats()).sum()
    }

    /// Whether every word of `bucket` is what it was when `seen` was written: then all of them were that at one instant
    /// between, because no value of a word comes back, and a column that is not in `seen` was closed then, because opening
    /// it would have changed the home.
    pub(super) fn is_still(&self, bucket: BucketId, seen: &[Word]) -> bool {
        seen.iter().zip(0..).all(|(word, column)| self.settled(At { bucket: bucket.0, column }) == *word)
    }

    /// Whether a worker other than `but` is between ending a lease and giving its seats of `bucket` back.
    pub(super) fn is_being_given(&self, bucket: BucketId, but: u32) -> bool {
        let is_giving = |desk: u32| self.out(desk, bucket).is_some_and(|out| out & 3 == GIVING);
        (0..self.columns()).filter(|desk| *desk != but).any(is_giving)
    }

    /// Seats there are of `bucket`.
    pub(super) fn capacity(&self, bucket: BucketId) -> i64 {
        self.homes.get(bucket.0).map_or(0, |home| home.capacity.load(Ordering::SeqCst) >> 1)
    }

    /// Notes that the capacity of `bucket` is being changed to `capacity`, around `change`. For one planner at a time.
    pub(super) fn change_capacity(&self, bucket: BucketId, capacity: i64, change: impl FnOnce()) {
        let Some(home) = self.homes.get(bucket.0) else { return };
        let before = home.capacity.load(Ordering::Relaxed);
        home.capacity.store(before | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        home.capacity.store(capacity << 1, Ordering::Release);
    }

    /// One try at the equation of `bucket`: `None` if somebody was in the middle of a step, or changed it meanwhile.
    ///
    /// The counts are read between two looks at the words, because no value of a word comes back and one of a count may. A
    /// worker that has begun a step said so before it changed a word ([`Cell::begin`], whose `Release` fence the change of
    /// the word carries): who sees the change sees that, or the end of the step.
    pub(super) fn audit(&self, bucket: BucketId, words: &mut Vec<Word>) -> Option<Sums> {
        words.clear();
        let home = self.homes.get(bucket.0)?;
        let free = self.look(bucket, words);
        let (mut out, mut busy) = (0, 0);
        for each in (0..self.columns()).map(|desk| self.out(desk, bucket).unwrap_or(0)) {
            out += each >> 2;
            busy |= each & 3;
        }
        let capacity = home.capacity.load(Ordering::Acquire);
        let is_quiet = busy == 0 && capacity & 1 == 0;
        (is_quiet && self.is_still(bucket, words)).then_some(Sums { free, out, capacity: capacity >> 1 })
    }

    /// Seats of `bucket` that all workers together have taken and not given back.
    pub(super) fn out_of(&self, bucket: BucketId) -> i64 {
        (0..self.columns()).filter_map(|desk| self.out(desk, bucket)).map(|out| out >> 2).sum()
    }

    /// Leases that are out, as far as their workers' counts have come round.
    pub(super) fn leases(&self) -> i64 {
        let desks = (0..self.columns()).filter_map(|desk| self.desk(desk));
        desks.map(|desk| desk.lately.0.leases.load(Ordering::Relaxed)).sum()
    }

    /// How often the workers turned, all together; `None` if one of them is in the middle of something.
    ///
    /// Ordering: `Acquire` pairs with [`Desk::turn`]: what is read between two equal answers was not in anybody's hands.
    pub(super) fn turns(&self) -> Option<u64> {
        let turns = (0..self.columns())
            .filter_map(|desk| self.desk(desk))
            .map(|desk| desk.lately.0.turns.load(Ordering::Acquire));
        turns.map(|turns| (turns & 1 == 0).then_some(turns)).sum()
    }

    fn out(&self, desk: u32, bucket: BucketId) -> Option<i64> {
        Some(self.desk(desk)?.cells.get(bucket.index())?.out.load(Ordering::Acquire))
    }
}

/// The three numbers of the ledger equation, at one instant: `free + out == capacity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Free seats; below zero while more are out than there are (L-10).
    pub free: i64,
    /// Seats out.
    pub out: i64,
    /// Seats there are.
    pub capacity: i64,
}

impl Sums {
    /// Whether the equation holds.
    #[must_use]
    pub const fn is_balanced(self) -> bool {
        self.free + self.out == self.capacity
    }
}

impl Home {
    fn new() -> Self {
        Self { word: AtomicU64::new(Word::EMPTY.0), capacity: AtomicI64::new(0) }
    }
}

impl Desk {
    fn new() -> Self {
        Self {
            exchange: Padded(Exchange::new()),
            cells: Chunks::new(BUCKETS_MAX),
            taken: AtomicU32::new(0),
            lately: Padded(Lately { leases: AtomicI64::new(0), turns: AtomicU64::new(0) }),
        }
    }

    /// The worker's cell of `bucket`, made closed and empty if it is new here.
    #[inline]
    pub(super) fn cell(&self, bucket: BucketId) -> Option<&Cell> {
        self.cells.reach(bucket.index(), Cell::new)
    }

    /// Leaves the desk to the next worker, with the seats in its cells: anybody may take those.
    pub(super) fn leave(&self) {
        self.taken.store(0, Ordering::Release);
    }

    /// Counts leases the worker opened, or closed. Plain: nobody else writes here.
    #[inline]
    pub(super) fn count_leases(&self, more: i64) {
        let leases = &self.lately.0.leases;
        leases.store(leases.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    /// Says that something begins that is more than one step, or is over. Plain: nobody else writes here.
    pub(super) fn turn(&self) {
        let turns = &self.lately.0.turns;
        turns.store(turns.load(Ordering::Relaxed) + 1, Ordering::Release);
        fence(Ordering::Release);
    }
}

impl Cell {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(Word::EMPTY.0), out: AtomicI64::new(0) }
    }

    /// Takes `seats` from here, if they are here: one try. For its worker.
    #[inline]
    pub(super) fn take_here(&self, seats: i64) -> bool {
        // Relaxed: only the value is used, and the compare-and-swap checks it.
        let seen = Word(self.word.load(Ordering::Relaxed));
        seen.holds(seats) && self.change(seen, seen.taken(seats))
    }

    /// Puts `seats` in here, if it is open: one try. For its worker.
    #[inline]
    pub(super) fn put_here(&self, seats: i64) -> bool {
        // Relaxed: as above.
        let seen = Word(self.word.load(Ordering::Relaxed));
        seen.is_open() && self.change(seen, seen.given(seats))
    }

    /// Replaces `from` by `to`; whether it did. Ordering: see [`Seats`].
    #[inline]
    pub(super) fn change(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Says that its worker begins a step, `TAKING` or `GIVING`; returns what it had out. Plain stores: nobody else writes
    /// here.
    #[inline]
    pub(super) fn begin(&self, step: i64) -> i64 {
        let out = self.out.load(Ordering::Relaxed) & !3;
        self.out.store(out | step, Ordering::Relaxed);
        fence(Ordering::Release);
        out
    }

    /// Says that the step that began with `out` is over, with `taken` seats more out (or fewer).
    #[inline]
    pub(super) fn end(&self, out: i64, taken: i64) {
        self.out.store(out + 4 * taken, Ordering::Release);
    }
}
