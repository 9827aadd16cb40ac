//! What a million ends at one instant cost, and whom they keep waiting.

use std::time::Duration;

use leasehold_benches::{
    latency::Latencies,
    numbers::Rounds,
    report::{Goal, Report},
    wave::{BUDGET, Shore},
};

use crate::Effort;

#[derive(Default)]
struct Found {
    cpu_ms: Rounds,
    turn_us: Rounds,
    meanwhile: Renewals,
    calm: Renewals,
}

#[derive(Default)]
struct Renewals {
    half_ns: Rounds,
    late_ns: Rounds,
    worst_us: Rounds,
    cut: Rounds,
}

pub fn measure(effort: &Effort, report: &mut Report) {
    let (mut shore, mut found) = (Shore::new(effort.expiring), Found::default());
    for _ in 0..effort.rounds {
        let wave = shore.wave();
        found.cpu_ms.push(wave.cpu.as_secs_f64() * 1e3);
        found.turn_us.push(wave.turn.as_secs_f64() * 1e6);
        found.meanwhile.add(wave.renewals);
        found.calm.add(shore.calm(wave.cpu + Duration::from_millis(1)));
    }
    found.report(effort, report);
}

impl Renewals {
    fn add(&mut self, mut times: Latencies) {
        let [half, late, worst] = times.quantiles([0.5, 0.9999, 1.0]);
        self.half_ns.push(half);
        self.late_ns.push(late);
        self.worst_us.push(worst / 1e3);
        self.cut.push(100.0 * times.share_cut());
    }

    fn row(&self, what: &str) -> String {
        let Self { half_ns, late_ns, worst_us, cut } = self;
        format!("| {what} | {half_ns} | {late_ns} | {worst_us} | {:.1} % |", cut.median())
    }
}

impl Found {
    fn report(&self, effort: &Effort, report: &mut Report) {
        let title = format!("{} leases that end at one instant, swept {BUDGET} a turn", effort.expiring);
        let head = "| renewals on the other core | p50, ns | p99.99, ns | longest, µs | descheduled, thrown away |";
        let rows = [self.meanwhile.row("during the sweep"), self.calm.row("with nobody sweeping")];
        report.table(&title, head, rows);
        let each = self.cpu_ms.median() * 1e6 / f64::from(effort.expiring);
        let (cpu, turn) = (&self.cpu_ms, &self.turn_us);
        report.say(&format!(
            "The sweep: {cpu} ms CPU in all ({each:.0} ns a lease); its longest turn {turn} µs of that."
        ));
        let worst = &self.meanwhile.worst_us;
        let what = format!("{} leases end together", effort.expiring);
        report.judge(&what, "ms CPU", cpu, Goal::AtMost(50.0));
        report.judge(&format!("{what}: longest renewal meanwhile"), "µs", worst, Goal::AtMost(100.0));
        report.judge(&format!("{what}: longest turn of the sweeper"), "µs", turn, Goal::AtMost(100.0));
        report.note("expiry", "longest renewal with nobody sweeping", "µs", &self.calm.worst_us);
    }
}
