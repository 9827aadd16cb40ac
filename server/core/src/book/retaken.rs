//! Seats of leases that were written down, taken again before anybody else takes any (U-2).

use leasehold_protocol::{
    message::LotUse,
    vocab::{CertificateId, Version},
};

use super::{Book, Entry, Pool, add_use, take_up_to};
use crate::{
    lease::{Leases, LotName},
    plan::{LotKind, serving},
    pool::{BucketId, Rank, Use, Worker},
};

/// The id of no certificate.
const NO_CERTIFICATE: CertificateId = CertificateId([0; 8]);

impl Book {
    /// Takes the seats of `lots` again, whatever there is: what the licences in force do not allow any more is overage (L-10). `None`
    /// if there is no room to count them.
    pub(crate) fn retake(
        &mut self,
        worker: &mut Worker,
        (pool, leases): (&Pool, &Leases),
        lots: &[LotUse],
    ) -> Option<Vec<Use>> {
        let mut uses = Vec::with_capacity(lots.len());
        for lot in lots {
            let buckets = self.buckets_of(lot);
            let left = take_up_to(worker, &buckets, lot.seats.get(), &mut uses);
            if left > 0 {
                let bucket = buckets.first().copied().or_else(|| self.bucket_of_gone(pool, leases, lot))?;
                overdraw(worker, Use { bucket, seats: left }, &mut uses);
            }
        }
        Some(uses)
    }

    /// Takes `seats` of any lots that answer `wanted`, whatever there is: of a lease that shared the seats of another one, which is
    /// not there any more. `None` if nothing in force answers it.
    pub(crate) fn retake_any(&self, worker: &mut Worker, wanted: Version, seats: u32) -> Option<Vec<Use>> {
        let mut uses = Vec::with_capacity(1);
        let buckets: Vec<BucketId> = serving(&self.lots, wanted).map(|lot| lot.bucket).collect();
        let left = take_up_to(worker, &buckets, seats, &mut uses);
        if left > 0 {
            overdraw(worker, Use { bucket: *buckets.first()?, seats: left }, &mut uses);
        }
        Some(uses)
    }

    /// The buckets that are granted from under the certificate of `lot`, those in force first.
    fn buckets_of(&self, lot: &LotUse) -> Vec<BucketId> {
        let under = |in_force| {
            let is_one = move |(key, entry): &(&_, &Entry)| {
                let (_, _, shown): &(_, _, _) = key;
                *shown == lot.certificate && entry.in_force == in_force
            };
            self.entries.iter().filter(is_one).map(|(_, entry)| entry.bucket)
        };
        under(true).chain(under(false)).collect()
    }

    /// A bucket of no seats, for those of a certificate that is not loaded any more.
    fn bucket_of_gone(&mut self, pool: &Pool, leases: &Leases, lot: &LotUse) -> Option<BucketId> {
        let bucket = leases.stock.add_bucket()?;
        let LotUse { certificate, version, .. } = *lot;
        // Under no lot's key: if the certificate comes back it brings a bucket of its own, counted or not, and these move over to it.
        let key = (NO_CERTIFICATE, LotKind::Regular, certificate);
        self.entries.insert(key, Entry { bucket, in_force: false, used_up: 0, withheld: 0 });
        leases.name_lot(LotName {
            bucket,
            certificate,
            version,
            feature: pool.name.clone(),
            pool: pool.id,
            meter: None,
        });
        Some(bucket)
    }
}

/// Takes seats that are not there.
fn overdraw(worker: &mut Worker, used: Use, uses: &mut Vec<Use>) {
    let capacity = worker.stock().capacity(used.bucket);
    let short = i64::from(used.seats) - worker.count(used.bucket);
    worker.set_capacity(used.bucket, capacity + short.max(0));
    let taken = worker.take(used.bucket, used.seats, Rank::Chosen);
    worker.set_capacity(used.bucket, capacity);
    if taken.is_ok() {
        add_use(uses, used);
    }
}
