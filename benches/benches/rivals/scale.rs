//! Few leases alive, and many.

use std::time::Duration;

use cpu_time::ThreadTime;
use leasehold_benches::{
    crowd::Crowd,
    numbers::Rounds,
    report::{Goal, Report},
};

use crate::Effort;

/// Memory to be read line by line, each of which says which is next.
struct Chase {
    lines: Vec<[u32; 16]>,
    at: u32,
}

pub fn measure(effort: &Effort, report: &mut Report) {
    let mut crowds = [effort.live_few, effort.live_many].map(Crowd::new);
    let mut chase = Chase::new(effort.lines);
    let mut miss = Rounds::default();
    let mut took: [[Rounds; 2]; 3] = Default::default();
    for _ in 0..effort.rounds {
        miss.push(cpu_ns(effort.single, || chase.step()));
        for (rounds, step) in took.iter_mut().zip([Crowd::renew, Crowd::churn, Crowd::pair]) {
            for (rounds, crowd) in rounds.iter_mut().zip(&mut crowds) {
                rounds.push(cpu_ns(effort.single, || step(crowd)));
            }
        }
    }
    let [few, many] = [effort.live_few, effort.live_many].map(|leases| format!("{leases} alive"));
    let names = ["renewal of any lease", "release of any lease, checkout", "checkout, release of the same"];
    let rows = names.iter().zip(&took).map(|(name, [few, many])| {
        let more = many.with(few, |many, few| many - few).over(&miss);
        format!("| {name} | {few} | {many} | {more} |")
    });
    let title = "Among leases that are alive: CPU ns";
    report.table(title, &format!("| what | {few} | {many} | more, in cache misses |"), rows);
    let bytes = crowds[1].bytes_each();
    report.say(&format!("A cache miss: {miss} ns. Memory a lease: 32 bytes hot, {bytes:.1} all told in the core."));
    report.note("scale", "cache miss", "CPU ns", &miss);
    report.judge("memory a lease, in the core", "bytes", &Rounds::from_iter([bytes]), Goal::AtMost(128.0));
    for (name, [few, many]) in names.iter().zip(&took) {
        let more = many.with(few, |many, few| many - few).over(&miss);
        report.note("scale", &format!("{name}: few"), "CPU ns", few);
        report.note("scale", &format!("{name}: many"), "CPU ns", many);
        let what = format!("{name}: {} leases against {}", effort.live_many, effort.live_few);
        report.judge(&what, "misses more", &more, Goal::AtMost(1.0));
    }
}

fn cpu_ns(length: Duration, mut once: impl FnMut()) -> f64 {
    let (start, mut done) = (ThreadTime::now(), 0.0);
    while start.elapsed() < length {
        (0..4096).for_each(|_| once());
        done += 4096.0;
    }
    start.elapsed().as_secs_f64() * 1e9 / done
}

impl Chase {
    /// Over `lines` lines, a power of two: the congruence visits each once before it comes round.
    fn new(lines: u32) -> Self {
        let next = |n: u32| n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & (lines - 1);
        Self { lines: (0..lines).map(|n| [next(n); 16]).collect(), at: 0 }
    }

    fn step(&mut self) {
        self.at = self.lines[self.at as usize][0];
    }
}
