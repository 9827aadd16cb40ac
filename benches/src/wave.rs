//! Very many leases end together, while somebody on another core renews what goes on living.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cpu_time::ThreadTime;
use leasehold_protocol::time::Mono;

use crate::{
    counter::{self, BucketId, Stock, TTL_MS, Worker, holder},
    latency::Latencies,
};

/// A stock in which it happens again and again.
pub struct Shore {
    stock: Arc<Stock>,
    bucket: BucketId,
    sweeper: Worker,
    opened: Mono,
    leases: u32,
}

/// What came of one wave.
pub struct Wave {
    /// Processor time of the sweeper, all leases together.
    pub cpu: Duration,
    /// The longest it was busy without looking up, in processor time.
    pub turn: Duration,
    /// The renewals meanwhile.
    pub renewals: Latencies,
}

/// Leases ended in a turn at most: what an engine does between two batches of datagrams.
pub const BUDGET: usize = 512;
/// Leases that go on living.
const OTHERS: u64 = 10_000;

impl Shore {
    /// With waves of so many leases.
    ///
    /// # Panics
    /// If that is more than a stock has.
    #[must_use]
    pub fn new(leases: u32) -> Self {
        let (stock, buckets) = counter::stocked(1, i64::from(i32::MAX), leases + 200_000);
        let sweeper = stock.join().expect("a desk");
        Self { stock, bucket: buckets[0], sweeper, opened: Mono(1), leases }
    }

    /// Opens the leases, lets them end, sweeps them.
    ///
    /// # Panics
    /// If one ends twice, or not at all.
    pub fn wave(&mut self) -> Wave {
        for n in 0..self.leases {
            let terms = holder(u64::from(n));
            counter::check_out(&mut self.sweeper, self.bucket, &terms, self.opened).expect("a free seat");
        }
        let due = self.opened.plus_ms(u64::from(TTL_MS));
        self.opened = due.plus_ms(10 * u64::from(TTL_MS));
        let ((cpu, turn), renewals) = self.meanwhile(due, |shore| shore.sweep(due));
        Wave { cpu, turn, renewals }
    }

    /// The same renewals, and nothing else, for as long as a wave took.
    pub fn calm(&mut self, length: Duration) -> Latencies {
        self.meanwhile(self.opened, |_| thread::sleep(length)).1
    }

    fn sweep(&mut self, due: Mono) -> (Duration, Duration) {
        let (cpu, mut longest) = (ThreadTime::now(), Duration::ZERO);
        let mut turn = cpu;
        let ended = counter::sweep(&mut self.sweeper, due, BUDGET, || {
            longest = longest.max(turn.elapsed());
            turn = ThreadTime::now();
        });
        assert_eq!(ended, u64::from(self.leases), "every lease ends once");
        (cpu.elapsed(), longest)
    }

    fn meanwhile<T>(&mut self, now: Mono, what: impl FnOnce(&mut Self) -> T) -> (T, Latencies) {
        let (stock, bucket) = (self.stock.clone(), self.bucket);
        let (ready, over) = (Barrier::new(2), AtomicBool::new(false));
        thread::scope(|scope| {
            let renewing = scope.spawn(|| renew_meanwhile(&stock, bucket, now, &ready, &over));
            ready.wait();
            let found = what(self);
            over.store(true, Ordering::Release);
            (found, renewing.join().expect("no thread panics"))
        })
    }
}

/// Holds some leases of its own and renews one after the other until it is over.
fn renew_meanwhile(stock: &Arc<Stock>, bucket: BucketId, now: Mono, ready: &Barrier, over: &AtomicBool) -> Latencies {
    let (mut worker, mut times) = (stock.join().expect("a desk"), Latencies::new());
    let open = |n| (counter::check_out(&mut worker, bucket, &holder(n), now).expect("a free seat"), holder(n));
    let held: Vec<_> = (0..OTHERS).map(open).collect();
    let mut next = held.iter().cycle();
    ready.wait();
    while !over.load(Ordering::Acquire) {
        times.batch(|_, watch| {
            let (id, terms) = next.next().expect("it has no end");
            watch.time(|| assert!(counter::renew(stock, *id, terms, now), "alive"));
        });
    }
    held.into_iter().for_each(|(id, _)| assert!(counter::release(&mut worker, id), "alive"));
    times
}
