//! Many threads at one design for a slice of time.

use std::{
    thread,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;

use crate::{
    counter::{NOW, holder},
    latency::Latencies,
    machine,
    rivals::{Design, Hand},
};

/// What every thread does, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A checkout and its release; each such pair counts as one.
    Pairs,
    /// Eighteen renewals of leases the thread holds, a release and a checkout; each of the twenty counts as one.
    Mix,
}

/// How long.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// For a slice of time.
    Length(Duration),
    /// Until all threads together have done so many, or a few more.
    Count(u64),
}

/// What came of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Millions of them a second, all threads together.
    pub per_us: f64,
    /// Processor time each, in nanoseconds.
    pub cpu_ns: f64,
    /// The part they got of the processors they could use. Well below 1, others were at work, and threads that should
    /// have met did not.
    pub share: f64,
}

/// So many threads, so many features: a design set up once, and run again and again.
pub struct Course<D> {
    design: D,
    work: Work,
    features: u32,
    threads: u32,
}

/// A course, whatever the design.
pub trait Runner {
    /// The design's name.
    fn name(&self) -> &'static str;
    /// Runs so long.
    fn run(&self, limit: Limit) -> Sample;
    /// Runs for `length` and times one pair in eight.
    fn time(&self, length: Duration) -> Latencies;
}

/// Leases a thread holds in [`Work::Mix`].
const HELD: usize = 64;
/// Operations between two looks at the clock.
const STRIDE: u32 = 256;

struct Part {
    done: u64,
    cpu: Duration,
    end: Instant,
}

impl<D: Design> Course<D> {
    /// A fresh `D` with `features` features of `seats` seats.
    #[must_use]
    pub fn new(work: Work, features: u32, seats: u32, threads: u32) -> Self {
        Self { design: D::new(features, seats), work, features, threads }
    }

    /// Runs `body` in every thread at once, from one instant on.
    fn together<T: Send>(&self, body: impl Fn(u32, D::Hand<'_>, Instant) -> T + Sync) -> (Instant, Vec<T>) {
        let begin = Instant::now() + Duration::from_millis(2);
        let parts = thread::scope(|scope| {
            let each = |n| {
                let (design, body) = (&self.design, &body);
                scope.spawn(move || {
                    let hand = design.hand();
                    thread::sleep(begin.saturating_duration_since(Instant::now()));
                    body(n, hand, begin)
                })
            };
            let threads: Vec<_> = (0..self.threads).map(each).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        (begin, parts)
    }

    fn walk(&self, thread: u32) -> Walk {
        Walk { features: self.features, feature: thread * self.features / self.threads, claim: u64::from(thread) << 40 }
    }
}

impl<D: Design> Runner for Course<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn run(&self, limit: Limit) -> Sample {
        let (begin, parts) = self.together(|thread, mut hand, begin| {
            let (walk, cpu) = (self.walk(thread), ThreadTime::now());
            let goes_on = |done| match limit {
                Limit::Length(length) => Instant::now() < begin + length,
                Limit::Count(count) => done < count.div_ceil(u64::from(self.threads)),
            };
            let done = match self.work {
                Work::Pairs => pairs(&mut hand, walk, goes_on),
                Work::Mix => mix(&mut hand, walk, goes_on),
            };
            Part { done, cpu: cpu.elapsed(), end: Instant::now() }
        });
        let end = parts.iter().map(|part| part.end).max().unwrap_or(begin);
        let done = parts.iter().map(|part| part.done).sum::<u64>() as f64;
        let cpu = parts.iter().map(|part| part.cpu).sum::<Duration>().as_secs_f64();
        let (took, cores) = ((end - begin).as_secs_f64(), machine::cores().min(self.threads));
        Sample { per_us: done / took / 1e6, cpu_ns: cpu * 1e9 / done, share: cpu / took / f64::from(cores) }
    }

    fn time(&self, length: Duration) -> Latencies {
        let (_, parts) = self.together(|thread, mut hand, begin| {
            let (mut walk, mut times) = (self.walk(thread), Latencies::new());
            while Instant::now() < begin + length {
                times.batch(|n, start| {
                    if n % 8 == 0 { start.time(|| pair(&mut hand, &mut walk)) } else { pair(&mut hand, &mut walk) }
                });
            }
            times
        });
        parts.into_iter().fold(Latencies::new(), Latencies::and)
    }
}

/// Which feature is next, and whose claim.
struct Walk {
    features: u32,
    feature: u32,
    claim: u64,
}

impl Walk {
    #[inline]
    fn next(&mut self) -> (u32, u64) {
        self.feature += 1;
        if self.feature >= self.features {
            self.feature = 0;
        }
        self.claim += 1;
        (self.feature, self.claim)
    }
}

#[inline]
fn pair<H: Hand>(hand: &mut H, walk: &mut Walk) {
    let (feature, claim) = walk.next();
    let id = hand.check_out(feature, &holder(claim), NOW).expect("a free seat");
    assert!(hand.release(id), "a lease of its own");
}

fn pairs<H: Hand>(hand: &mut H, mut walk: Walk, goes_on: impl Fn(u64) -> bool) -> u64 {
    let mut done = 0;
    while goes_on(done) {
        for _ in 0..STRIDE {
            pair(hand, &mut walk);
        }
        done += u64::from(STRIDE);
    }
    done
}

fn mix<H: Hand>(hand: &mut H, mut walk: Walk, goes_on: impl Fn(u64) -> bool) -> u64 {
    let take = |hand: &mut H, walk: &mut Walk| {
        let (feature, claim) = walk.next();
        (hand.check_out(feature, &holder(claim), NOW).expect("a free seat"), claim)
    };
    let mut held: Vec<_> = (0..HELD).map(|_| take(hand, &mut walk)).collect();
    let (mut done, mut at) = (0, 0);
    while goes_on(done) {
        for _ in 0..STRIDE / 20 {
            for _ in 0..18 {
                at = (at + 1) % HELD;
                let (id, claim) = held[at];
                assert!(hand.renew(id, &holder(claim), NOW), "a lease of its own");
            }
            assert!(hand.release(held[at].0), "a lease of its own");
            held[at] = take(hand, &mut walk);
            done += 20;
        }
    }
    held.into_iter().for_each(|(id, _)| assert!(hand.release(id), "a lease of its own"));
    done
}
