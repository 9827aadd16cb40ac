//! Seats that may be out without this server knowing: grants that a power cut took from its memory (U-2).

use super::{Book, Want, choices};
use crate::{
    narrow,
    pool::{BucketId, Worker},
};

impl Book {
    /// Withholds up to `credit` free seats of each lot; how many in all.
    ///
    /// Of each: nobody knows which of them the grants that were lost took from.
    pub(crate) fn withhold(&mut self, worker: &mut Worker, credit: u32) -> u32 {
        let mut all = 0;
        for lot in self.lots.iter().filter(|lot| lot.count().is_some()) {
            let Some(entry) = self.entries.get_mut(&lot.key()) else { continue };
            let free = u64::try_from(worker.count(lot.bucket)).unwrap_or(0);
            entry.withheld = narrow(free).min(credit);
            all += entry.withheld;
            shift(worker, lot.bucket, -i64::from(entry.withheld));
        }
        all
    }

    /// Lets somebody who shows that he had his seats when they were lost have what he wants of those that are withheld: for who
    /// has set the buckets waited. What was withheld before, for [`Book::close_way`].
    pub(crate) fn open_way(&mut self, worker: &mut Worker, want: &Want<'_>) -> Vec<(BucketId, u32)> {
        let (serving, mut left) = (choices(&self.lots, want).concat(), want.seats.get());
        let mut before = Vec::new();
        for bucket in serving {
            let Some(entry) = self.entries.values_mut().find(|entry| entry.bucket == bucket) else { continue };
            let given = entry.withheld.min(left);
            left -= given;
            before.push((bucket, entry.withheld));
            entry.withheld -= given;
            shift(worker, bucket, given.into());
        }
        before
    }

    /// Withholds what [`Book::open_way`] gave again: nobody took it.
    pub(crate) fn close_way(&mut self, worker: &mut Worker, before: &[(BucketId, u32)]) {
        for (bucket, withheld) in before {
            let Some(entry) = self.entries.values_mut().find(|entry| entry.bucket == *bucket) else { continue };
            shift(worker, *bucket, i64::from(entry.withheld) - i64::from(*withheld));
            entry.withheld = *withheld;
        }
    }

    /// Withholds nothing any more.
    pub(crate) fn end_withholding(&mut self, worker: &mut Worker) {
        for entry in self.entries.values_mut().filter(|entry| entry.withheld > 0) {
            if entry.in_force {
                shift(worker, entry.bucket, entry.withheld.into());
            }
            entry.withheld = 0;
        }
    }

    /// Seats of lots in force that are withheld.
    pub(crate) fn withheld(&self) -> u64 {
        self.entries.values().filter(|entry| entry.in_force).map(|entry| u64::from(entry.withheld)).sum()
    }
}

fn shift(worker: &mut Worker, bucket: BucketId, by: i64) {
    let capacity = worker.stock().capacity(bucket) + by;
    worker.set_capacity(bucket, capacity);
}
