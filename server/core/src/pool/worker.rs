//! What one worker does with seats: takes them, several buckets at once if need be, and gives them back.

use std::sync::Arc;

use super::{
    Stock,
    exchange::{Moves, WIDTH},
    hand::Hand,
    seats::{BucketId, Desk, GIVING, Sums, TAKING},
    word::Word,
};

/// One worker's hand in a [`Stock`]: the cells it takes from first, and the free slots it keeps. Made by [`Stock::join`],
/// one for each thread that grants.
///
/// Every call is one step that all others see done or not done. `&mut`: a worker does one thing at a time.
#[derive(Debug)]
pub struct Worker {
    pub(super) stock: Arc<Stock>,
    desk: u32,
    pub(super) own: Arc<Desk>,
    /// What the last look at a bucket found.
    seen: Vec<Word>,
    /// Room for an exchange.
    moves: Moves,
    /// Slots that are this worker's to use.
    pub(super) free: Vec<u32>,
}

/// Seats of one bucket, wanted or held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Of which bucket.
    pub bucket: BucketId,
    /// How many; at least 1.
    pub seats: u32,
}

/// Why no seats were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// There was an instant during the call at which a bucket had fewer free seats than were wanted of it.
    NoSeat,
    /// Somebody waits for the seats of a bucket ([`Worker::set_waited`]): who may go first is not decided here.
    Waited,
    /// The seats that are free lie in more buckets than one step can take from ([`BUNDLE_MAX`]).
    TooWide,
}

/// Who takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Anybody: goes behind those who wait.
    Newcomer,
    /// The slow path, which decides who is next.
    Chosen,
}

/// The most buckets one step can take from.
pub const BUNDLE_MAX: usize = WIDTH;

/// How often a reader looks at a bucket in motion before it has to gather the seats, or gives up.
pub(super) const LOOKS_MAX: u32 = if cfg!(any(loom, shuttle)) { 2 } else { 64 };

impl Worker {
    pub(super) fn new(stock: Arc<Stock>, (desk, own): (u32, Arc<Desk>)) -> Self {
        Self { stock, desk, own, seen: Vec::new(), moves: Moves::new(), free: Vec::new() }
    }

    /// Everybody's seats and leases.
    #[must_use]
    pub fn stock(&self) -> &Arc<Stock> {
        &self.stock
    }

    /// Takes `seats` of `bucket`, all or none.
    ///
    /// One compare-and-swap on a word of this worker's own while its cell has them.
    ///
    /// # Errors
    /// See [`Short`]. Never [`Short::TooWide`].
    #[inline]
    pub fn take(&mut self, bucket: BucketId, seats: u32, rank: Rank) -> Result<(), Short> {
        debug_assert!(seats > 0, "nobody takes no seat");
        let want = i64::from(seats);
        if let Some(cell) = self.own.cells.get(bucket.0) {
            let out = cell.begin(TAKING);
            if cell.take_here(want) {
                cell.end(out, want);
                return Ok(());
            }
        }
        self.take_slowly(bucket, want, rank)
    }

    /// Takes all of `wants`, each of another bucket and at most [`BUNDLE_MAX`] of them, or none (E-3): nobody sees some of
    /// them taken and others not, and nobody is denied by a part that is then given back.
    ///
    /// # Errors
    /// See [`Short`].
    pub fn take_all(&mut self, wants: &[Use], rank: Rank) -> Result<(), Short> {
        match wants {
            [] => Ok(()),
            [only] => self.take(only.bucket, only.seats, rank),
            _ if wants.len() > BUNDLE_MAX => Err(Short::TooWide),
            _ => self.take_several(wants, rank),
        }
    }

    fn take_several(&mut self, wants: &[Use], rank: Rank) -> Result<(), Short> {
        debug_assert!(
            (1..wants.len()).all(|n| wants[n..].iter().all(|w| w.bucket != wants[n - 1].bucket)),
            "a bucket twice"
        );
        let own = &*self.own;
        let mut begun = [None; BUNDLE_MAX];
        for (cell, want) in begun.iter_mut().zip(wants) {
            *cell = own.cell(want.bucket).map(|cell| (cell, cell.begin(TAKING)));
        }
        let Self { stock, desk, seen, moves, .. } = self;
        let taken = Hand { seats: &stock.seats, desk: *desk, own, seen, moves }.take_bundle(wants, &begun, rank);
        for ((cell, out), want) in begun.iter().zip(wants).filter_map(|(begun, want)| Some((begun.as_ref()?, want))) {
            cell.end(*out, if taken.is_ok() { i64::from(want.seats) } else { 0 });
        }
        taken
    }

    /// Takes `seats` from `buckets`, from as few as it takes in the order given, all or none; what it took of each is left
    /// in `uses`.
    ///
    /// The amounts follow from a look at the buckets; a seat that comes back to an earlier one in that moment may be passed
    /// over, a seat that is free is never denied.
    ///
    /// # Errors
    /// See [`Short`]; [`Short::NoSeat`] means that there was an instant at which all of them together had fewer.
    pub fn take_in_order(
        &mut self,
        buckets: &[BucketId],
        seats: u32,
        rank: Rank,
        uses: &mut Vec<Use>,
    ) -> Result<(), Short> {
        uses.clear();
        if let [only] = buckets {
            self.take(*only, seats, rank)?;
            uses.push(Use { bucket: *only, seats });
            return Ok(());
        }
        loop {
            self.hand().share_out(buckets, seats, rank, uses)?;
            match self.take_all(uses, rank) {
                // Somebody was quicker: share out anew.
                Err(Short::NoSeat) => uses.clear(),
                decided => return decided,
            }
        }
    }

    /// Takes for each of `wants`, of other buckets than the others want, so many seats from as few of its buckets as it takes in the
    /// order given: all of it in one step, or nothing (E-3). What it took for each is left in `uses`.
    ///
    /// # Errors
    /// See [`Short`]; [`Short::NoSeat`] means that there was an instant at which not all of it could be had.
    pub fn take_each_in_order(
        &mut self,
        wants: &[(&[BucketId], u32)],
        rank: Rank,
        uses: &mut Vec<Vec<Use>>,
    ) -> Result<(), Short> {
        let has_one_way = wants.iter().all(|(buckets, _)| buckets.len() == 1);
        loop {
            uses.clear();
            for (buckets, seats) in wants {
                let mut shares = Vec::with_capacity(1);
                match buckets {
                    [only] if has_one_way => shares.push(Use { bucket: *only, seats: *seats }),
                    buckets => self.hand().share_out(buckets, *seats, rank, &mut shares)?,
                }
                uses.push(shares);
            }
            match self.take_all(&uses.concat(), rank) {
                // Somebody was quicker: share out anew.
                Err(Short::NoSeat) if !has_one_way => {}
                decided => return decided,
            }
        }
    }

    /// Gives `seats` of `bucket` back; whether somebody waits for them.
    ///
    /// One compare-and-swap on a word of this worker's own, unless somebody waits or more are out than there are.
    #[inline]
    pub fn give(&mut self, bucket: BucketId, seats: u32) -> bool {
        let give = i64::from(seats);
        if let Some(cell) = self.own.cells.get(bucket.0) {
            let out = cell.begin(GIVING);
            if cell.put_here(give) {
                cell.end(out, -give);
                return false;
            }
        }
        self.give_slowly(bucket, give)
    }

    /// Says that something begins that is more than one step: a checkout is taking seats and publishing a lease over them.
    /// So that who adds up all leases knows when the sum means something. [`Worker::turn`] again says that it is over.
    pub fn turn(&mut self) {
        self.own.turn();
    }

    /// Takes seats that are not there: a fault that is planted.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn overdraw(&mut self, bucket: BucketId, seats: u32) {
        let hand = self.hand();
        if let Some(cell) = hand.cell(bucket) {
            let out = cell.begin(TAKING);
            hand.overdraw(bucket, i64::from(seats));
            cell.end(out, i64::from(seats));
        }
    }

    /// Puts `capacity` seats into `bucket` in place of those there are, whatever is out: what is then missing is overage,
    /// and nobody is granted a seat until it is back (L-10). For one planner at a time.
    ///
    /// More seats are there at once. Fewer are first gathered in one word, so that the change is one step.
    pub fn set_capacity(&mut self, bucket: BucketId, capacity: i64) {
        if !bucket.is_counted() {
            return;
        }
        let mut hand = self.hand();
        let seats = hand.seats;
        let delta = capacity - seats.capacity(bucket);
        if delta != 0 {
            seats.change_capacity(bucket, capacity, || hand.resize(bucket, delta));
        }
    }

    /// Says whether somebody waits for seats of `bucket`. While somebody does, newcomers are answered
    /// [`Short::Waited`], and who gives seats back is told. For one planner at a time.
    pub fn set_waited(&mut self, bucket: BucketId, waited: bool) {
        if !bucket.is_counted() {
            return;
        }
        let hand = self.hand();
        hand.flag(bucket, Word::WAITED, waited);
        if waited {
            hand.close_cells(bucket);
        }
    }

    /// The free seats of `bucket` at one instant during the call, below zero while more are out than there are. Stops
    /// nobody: a bucket that never keeps still is gathered in its home for the time of a look. Of an uncounted bucket, more
    /// than anybody can want.
    pub fn count(&mut self, bucket: BucketId) -> i64 {
        if !bucket.is_counted() {
            return i64::MAX;
        }
        let mut hand = self.hand();
        let mut free = hand.count(bucket);
        while free.is_none() {
            hand.flag(bucket, Word::GATHERED, true);
            hand.close_cells(bucket);
            free = hand.count(bucket);
            hand.flag(bucket, Word::GATHERED, false);
        }
        free.unwrap_or(0)
    }

    /// The three numbers of the ledger equation of `bucket` at one instant; `None` if it was in motion every time it was
    /// looked at, or is not counted.
    pub fn audit(&mut self, bucket: BucketId) -> Option<Sums> {
        if !bucket.is_counted() {
            return None;
        }
        let hand = self.hand();
        (0..LOOKS_MAX).find_map(|_| hand.seats.audit(bucket, hand.seen))
    }

    #[cold]
    #[inline(never)]
    fn take_slowly(&mut self, bucket: BucketId, want: i64, rank: Rank) -> Result<(), Short> {
        let mut hand = self.hand();
        let Some(cell) = hand.cell(bucket) else { return Err(Short::NoSeat) };
        let out = cell.begin(TAKING);
        if !bucket.is_counted() {
            cell.end(out, want);
            return Ok(());
        }
        let taken = if cell.take_here(want) { Ok(()) } else { hand.take_anywhere(bucket, want, rank) };
        cell.end(out, if taken.is_ok() { want } else { 0 });
        taken
    }

    #[cold]
    #[inline(never)]
    fn give_slowly(&mut self, bucket: BucketId, seats: i64) -> bool {
        let hand = self.hand();
        let Some(cell) = hand.cell(bucket) else { return false };
        let out = cell.begin(GIVING);
        let waited = bucket.is_counted() && hand.put(cell, bucket, seats);
        cell.end(out, -seats);
        waited
    }

    pub(super) fn hand(&mut self) -> Hand<'_> {
        Hand { seats: &self.stock.seats, desk: self.desk, own: &self.own, seen: &mut self.seen, moves: &mut self.moves }
    }
}
