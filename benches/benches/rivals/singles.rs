//! What one thread takes for one of each, beside the read-modify-writes of which it consists.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cpu_time::ThreadTime;
use leasehold_benches::{
    desk::Desk,
    numbers::Rounds,
    report::{Goal, Report},
};

use crate::Effort;

/// One operation, and what it took, round by round.
struct Single {
    name: &'static str,
    /// Does it so many times.
    run: Box<dyn FnMut(u64)>,
    cpu_ns: Rounds,
}

/// A word that shares its cache line with nothing.
#[repr(align(128))]
struct Line(AtomicU64);

pub fn measure(effort: &Effort, report: &mut Report) {
    let mut singles = all();
    for _ in 0..effort.rounds {
        singles.iter_mut().for_each(|single| single.add(effort.single));
    }
    let of = |name: &str| &singles.iter().find(|single| single.name == name).expect("one of them").cpu_ns;
    let rows = singles
        .iter()
        .map(|single| format!("| {} | {} | {} |", single.name, single.cpu_ns, single.cpu_ns.over(of(RMW))));
    report.table("One thread, nobody else about: CPU ns", "| what | ns | ÷ one compare-and-swap |", rows);
    for single in &singles {
        report.note("singles", single.name, "CPU ns", &single.cpu_ns);
    }
    for (what, this, other, most) in [
        ("checkout and release ÷ two compare-and-swaps", "checkout, release", RMW_TWO, 4.0),
        ("renewal ÷ one compare-and-swap", "renewal", RMW, 1.5),
        ("bundle of 2 ÷ single: take, give", "take, give of 2 buckets", "take, give", 3.0),
        ("bundle of 2 ÷ single: checkout, release", "checkout, release of 2 buckets", "checkout, release", 3.0),
    ] {
        report.judge(what, "", &of(this).over(of(other)), Goal::AtMost(most));
    }
}

const RMW: &str = "compare-and-swap";
const RMW_TWO: &str = "compare-and-swap on two lines";

fn all() -> Vec<Single> {
    let mut singles = Vec::from(machine());
    singles.extend(bare());
    singles.extend(whole());
    singles.extend(refused_and_counted());
    singles
}

fn machine() -> [Single; 4] {
    let [add, one, both, first, second] = std::array::from_fn(|_| Line(AtomicU64::new(0)));
    [
        Single::new("fetch-and-add", move || _ = add.0.fetch_add(1, Ordering::SeqCst)),
        Single::new(RMW, move || swap(&one)),
        Single::new("compare-and-swap twice on one line", move || {
            swap(&both);
            swap(&both);
        }),
        Single::new(RMW_TWO, move || {
            swap(&first);
            swap(&second);
        }),
    ]
}

/// Seats without leases.
fn bare() -> [Single; 3] {
    [
        Single::at("take, give", Desk::new(1, 10_000), Desk::take_and_give),
        Single::at("take, give of 2 buckets", Desk::new(2, 10_000), Desk::take_and_give_all),
        Single::at("take, give of 4 buckets", Desk::new(4, 10_000), Desk::take_and_give_all),
    ]
}

/// Seats and leases.
fn whole() -> [Single; 4] {
    [
        Single::at("checkout, release", Desk::new(1, 10_000), Desk::pair),
        Single::at("checkout, release of 2 buckets", Desk::new(2, 10_000), Desk::bundle),
        Single::at("checkout, release of 4 buckets", Desk::new(4, 10_000), Desk::bundle),
        Single::at("renewal", Desk::new(1, 10_000).holding(), Desk::renew),
    ]
}

/// Denials, and the ledger.
fn refused_and_counted() -> [Single; 5] {
    [
        Single::at("denial, 1 desk", Desk::new(1, 0), Desk::be_denied),
        Single::at("denial, 16 desks", Desk::new(1, 0).among(16), Desk::be_denied),
        Single::at("ledger: the record of a take and a give", Desk::uncounted(), Desk::take_and_give),
        Single::at("ledger: equation of a bucket, 1 desk", Desk::new(1, 10_000), Desk::audit),
        Single::at("ledger: equation of a bucket, 16 desks", Desk::new(1, 10_000).among(16), Desk::audit),
    ]
}

impl Single {
    fn new(name: &'static str, mut once: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(move |times| (0..times).for_each(|_| once())), cpu_ns: Rounds::default() }
    }

    fn at(name: &'static str, mut desk: Desk, mut once: impl FnMut(&mut Desk) + 'static) -> Self {
        Self::new(name, move || once(&mut desk))
    }

    fn add(&mut self, length: Duration) {
        const STRIDE: u64 = 4096;
        let (start, mut done) = (ThreadTime::now(), 0);
        while start.elapsed() < length {
            (self.run)(STRIDE);
            done += STRIDE;
        }
        self.cpu_ns.push(start.elapsed().as_secs_f64() * 1e9 / done as f64);
    }
}

fn swap(line: &Line) {
    let seen = line.0.load(Ordering::Relaxed);
    _ = black_box(line.0.compare_exchange(seen, seen + 1, Ordering::SeqCst, Ordering::Relaxed));
}
