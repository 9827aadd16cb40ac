//! How long a single pair takes, at worst.

use std::time::Duration;

use leasehold_benches::{
    contest::{Runner, Work},
    numbers::Rounds,
    report::{Goal, Report},
};

use crate::{Effort, contest::entrants};

const SHARES: [f64; 3] = [0.5, 0.99, 0.999];

struct Times {
    runner: Box<dyn Runner>,
    threads: u32,
    quantiles: [Rounds; 3],
    cut: Rounds,
}

pub fn measure(effort: &Effort, report: &mut Report) {
    let by =
        |threads| entrants(Work::Pairs, 1, 10_000, threads).into_iter().map(move |runner| Times::new(runner, threads));
    let mut all: Vec<_> = [1, 2, 16].into_iter().flat_map(by).collect();
    for _ in 0..effort.rounds {
        all.iter_mut().for_each(|times| times.add(effort.slice / 2));
    }
    let title = "One checkout and release, one feature: ns, less what the clock takes";
    let head = "| design | threads | p50 | p99 | p99.9 | descheduled, thrown away |";
    report.table(title, head, all.iter().map(Times::row));
    for times in &all {
        times.note(report);
    }
    for ours in all.iter().filter(|times| times.is_ours() && times.threads > 1) {
        let what = format!("pair, one feature, {} threads: p99.9", ours.threads);
        report.judge(&what, "ns", &ours.quantiles[2], Goal::AtMost(1000.0));
    }
}

impl Times {
    fn new(runner: Box<dyn Runner>, threads: u32) -> Self {
        Self { runner, threads, quantiles: Default::default(), cut: Rounds::default() }
    }

    fn is_ours(&self) -> bool {
        self.runner.name() == "leasehold"
    }

    fn add(&mut self, length: Duration) {
        let mut times = self.runner.time(length);
        for (rounds, time) in self.quantiles.iter_mut().zip(times.quantiles(SHARES)) {
            rounds.push(time);
        }
        self.cut.push(100.0 * times.share_cut());
    }

    fn row(&self) -> String {
        let [half, most, all] = &self.quantiles;
        let (name, threads) = (self.runner.name(), self.threads);
        format!("| {name} | {threads} | {half} | {most} | {all} | {:.1} % |", self.cut.median())
    }

    fn note(&self, report: &mut Report) {
        for (share, rounds) in ["p50", "p99", "p99.9"].iter().zip(&self.quantiles) {
            report.note("lateness", &format!("{} by {} {share}", self.runner.name(), self.threads), "ns", rounds);
        }
    }
}
