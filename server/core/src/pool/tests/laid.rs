//! Seats laid out for a model: so many at home, so many in each worker's cell.

use std::sync::Arc;

use leasehold_protocol::{
    time::Mono,
    vocab::{ClaimKey, LeaseId},
};

use crate::pool::{BucketId, Rank, Short, Stock, Sums, Terms, Use, Worker, sync::Ordering, word::Word};

/// A stock in which nothing is out, and its workers.
pub(super) struct Laid<const WORKERS: usize> {
    pub(super) stock: Arc<Stock>,
    pub(super) buckets: Vec<BucketId>,
    pub(super) workers: [Worker; WORKERS],
}

/// A cell its worker has not opened.
pub(super) const CLOSED: Option<u32> = None;
pub(super) const TTL_MS: u32 = 2000;

/// For each bucket of `rows` the seats at its home and those in the cell of each worker, [`CLOSED`] or open. Makes
/// every table the threads will reach: those are not modelled.
pub(super) fn lay<const WORKERS: usize>(rows: &[(u32, [Option<u32>; WORKERS])]) -> Laid<WORKERS> {
    let stock = Stock::new(4);
    let workers = std::array::from_fn(|_| stock.join().unwrap());
    let laid = Laid { buckets: rows.iter().map(|_| stock.add_bucket().unwrap()).collect(), stock, workers };
    for (bucket, (home, cells)) in laid.buckets.iter().zip(rows) {
        let all = home + cells.iter().flatten().sum::<u32>();
        let seats = &laid.stock.seats;
        seats.change_capacity(*bucket, all.into(), || {
            seats.word(home_of(*bucket)).unwrap().store(Word::EMPTY.given((*home).into()).0, Ordering::SeqCst);
        });
        for (worker, cell) in laid.workers.iter().zip(cells) {
            let word = &worker.own.cell(*bucket).unwrap().word;
            if let Some(seats) = cell {
                word.store(Word::EMPTY.given((*seats).into()).with(Word::OPEN, true).0, Ordering::SeqCst);
            }
        }
    }
    laid
}

const fn home_of(bucket: BucketId) -> crate::pool::exchange::At {
    crate::pool::exchange::At { bucket: bucket.0, column: 0 }
}

impl Worker {
    /// Whether a newcomer got `seats` of `bucket`. It is never answered anything but yes or no seat.
    pub(super) fn takes(&mut self, bucket: BucketId, seats: u32) -> bool {
        granted(self.take(bucket, seats, Rank::Newcomer))
    }

    /// Whether a newcomer got one seat of each of `buckets`.
    pub(super) fn takes_all(&mut self, buckets: &[BucketId]) -> bool {
        let wants: Vec<_> = buckets.iter().map(|bucket| Use { bucket: *bucket, seats: 1 }).collect();
        granted(self.take_all(&wants, Rank::Newcomer))
    }

    /// Sees to it, once nobody is at work any more, that the equation of `bucket` holds and `out` seats are out.
    pub(super) fn expect_out(&mut self, bucket: BucketId, out: i64) {
        let sums = self.audit(bucket).expect("nobody moves");
        assert_eq!(sums, Sums { free: sums.capacity - out, out, capacity: sums.capacity });
    }

    /// A lease of [`TTL_MS`] over one seat of `bucket` that ends at `deadline`.
    pub(super) fn opens(&mut self, bucket: BucketId, claim: u8, deadline: u64) -> LeaseId {
        self.opens_for(bucket, claim, TTL_MS, deadline)
    }

    pub(super) fn opens_for(&mut self, bucket: BucketId, claim: u8, ttl_ms: u32, deadline: u64) -> LeaseId {
        assert!(self.takes(bucket, 1));
        let id = self.reserve().unwrap();
        self.publish(id, &terms(claim), ttl_ms, Mono(deadline), &[Use { bucket, seats: 1 }]);
        id
    }

    /// Ends what is due at `now` and gives its seats back; how many leases that were. Goes on until nothing is left.
    pub(super) fn sweeps(&mut self, now: u64) -> usize {
        let (mut ended, mut budget) = (0, usize::MAX);
        while !self.sweep(Mono(now), &mut budget, |worker, id, _| {
            worker.close(id);
            ended += 1;
        }) {}
        ended
    }
}

fn granted(taken: Result<(), Short>) -> bool {
    assert!(matches!(taken, Ok(()) | Err(Short::NoSeat)), "{taken:?}");
    taken.is_ok()
}

pub(super) fn terms(claim: u8) -> Terms {
    Terms { claim: ClaimKey([claim; 16]).fold(), owner: u64::from(claim), session: 0 }
}
