//! What a load test found: a table for people, JSON for programs, and the verdict.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use serde::Serialize;

use super::{
    Args,
    process::Usage,
    tally::{Counts, Summary, Tally},
    target::TestServer,
    worker::Watch,
};
use crate::{
    exit::Failure,
    human,
    output::{self, BAD, GOOD, paint},
    table::Rows,
};

/// What the server's process used.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How long was measured.
    pub measured: Duration,
    /// Renewals answered meanwhile.
    pub renewals: u64,
    /// Seats held when it began.
    pub held: i64,
    /// Before the first client.
    pub idle: Option<Usage>,
    /// When the measuring began.
    pub before: Option<Usage>,
    /// When it ended.
    pub after: Option<Usage>,
    /// Our own process, when the measuring began.
    pub own_before: Option<Usage>,
    /// Our own process, when it ended.
    pub own_after: Option<Usage>,
}

impl Cost {
    fn renewals_per_second(&self) -> f64 {
        self.renewals as f64 / self.measured.as_secs_f64().max(1e-9)
    }

    fn cpu(&self) -> Option<Duration> {
        Some(self.after?.cpu.saturating_sub(self.before?.cpu))
    }

    /// How busy this process was, in cores: near the number of its threads it measures itself.
    fn own_cores(&self) -> Option<f64> {
        let used = self.own_after?.cpu.saturating_sub(self.own_before?.cpu);
        Some(used.as_secs_f64() / self.measured.as_secs_f64().max(1e-9))
    }

    /// How busy the server was, in cores.
    fn server_cores(&self) -> Option<f64> {
        Some(self.cpu()?.as_secs_f64() / self.measured.as_secs_f64().max(1e-9))
    }

    fn cpu_us_per_renewal(&self) -> Option<f64> {
        (self.renewals > 0).then(|| Some(self.cpu()?.as_secs_f64() * 1e6 / self.renewals as f64))?
    }

    fn memory_bytes_per_lease(&self) -> Option<f64> {
        let grown = self.before?.memory_bytes.saturating_sub(self.idle?.memory_bytes);
        (self.held > 0).then(|| grown as f64 / self.held as f64)
    }
}

/// The whole report. Its JSON form is interface: fields are added, never renamed.
#[derive(Debug, Serialize)]
pub struct Outcome {
    schema: u32,
    server: ServerPart,
    plan: PlanPart,
    latency: LatencyPart,
    counts: Counts,
    denials: BTreeMap<String, u64>,
    throughput: ThroughputPart,
    cost: CostPart,
    seats: SeatsPart,
    ok: bool,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServerPart {
    address: String,
    fingerprint: String,
    own: bool,
    pid: Option<u32>,
}

#[derive(Debug, Serialize)]
struct PlanPart {
    clients: u32,
    features: Vec<String>,
    renew_every_ms: Option<u64>,
    ramp_ms: u64,
    measured_ms: u64,
    threads: usize,
    seed: u64,
}

#[derive(Debug, Serialize)]
struct LatencyPart {
    checkouts: Summary,
    renewals: Summary,
    answers: Summary,
    releases: Summary,
}

#[derive(Debug, Serialize)]
struct ThroughputPart {
    renewals: u64,
    renewals_per_second: f64,
}

#[derive(Debug, Serialize)]
struct CostPart {
    cpu_ms: Option<u64>,
    cpu_us_per_renewal: Option<f64>,
    server_cores: Option<f64>,
    own_cores: Option<f64>,
    memory_bytes: Option<u64>,
    memory_bytes_per_lease: Option<f64>,
}

#[derive(Debug, Serialize)]
struct SeatsPart {
    free_before: u64,
    held_max: i64,
    out_after: Option<u64>,
}

impl Outcome {
    /// Puts everything together and judges.
    pub fn new(
        args: &Args,
        server: &TestServer,
        threads: usize,
        ramp: Duration,
        tally: Tally,
        cost: Cost,
        watch: &Watch,
    ) -> Self {
        let mut outcome = Self {
            schema: 1,
            server: ServerPart {
                address: server.address.to_string(),
                fingerprint: server.key.fingerprint().to_string(),
                own: server.is_own(),
                pid: server.pid,
            },
            plan: PlanPart {
                clients: args.clients,
                features: server.features.iter().map(ToString::to_string).collect(),
                renew_every_ms: args.renew_every.map(millis),
                ramp_ms: millis(ramp),
                measured_ms: millis(cost.measured),
                threads,
                seed: args.seed,
            },
            latency: LatencyPart {
                checkouts: tally.checkouts.summary(),
                renewals: tally.renewals.summary(),
                answers: tally.answers.summary(),
                releases: tally.releases.summary(),
            },
            counts: tally.counts,
            denials: tally.denials.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
            throughput: ThroughputPart { renewals: cost.renewals, renewals_per_second: cost.renewals_per_second() },
            cost: CostPart {
                cpu_ms: cost.cpu().map(millis),
                cpu_us_per_renewal: cost.cpu_us_per_renewal(),
                server_cores: cost.server_cores(),
                own_cores: cost.own_cores(),
                memory_bytes: cost.after.map(|usage| usage.memory_bytes),
                memory_bytes_per_lease: cost.memory_bytes_per_lease(),
            },
            seats: SeatsPart {
                free_before: server.seats,
                held_max: watch.holding_max.load(Ordering::Relaxed),
                out_after: server.seats_out(),
            },
            ok: true,
            problems: Vec::new(),
        };
        outcome.judge();
        outcome
    }

    /// What went wrong, in words; empty if nothing did.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn judge(&mut self) {
        let (counts, seats) = (&self.counts, &self.seats);
        let mut problems = Vec::new();
        if counts.lost > 0 {
            problems.push(format!("{} lost", human::count(counts.lost, "lease")));
        }
        if u64::try_from(seats.held_max).unwrap_or(0) > seats.free_before {
            problems.push(format!("{} seats were held at once and {} were free", seats.held_max, seats.free_before));
        }
        let unanswered = counts.never_held.saturating_sub(self.denials.values().sum());
        if unanswered > 0 {
            problems.push(format!("{} never had an answer", human::count(unanswered, "client")));
        }
        if self.server.own && seats.out_after.is_some_and(|out| out > 0) {
            problems.push(format!("{} seats are still out after every release", seats.out_after.unwrap_or(0)));
        }
        self.ok = problems.is_empty();
        self.problems = problems;
    }

    /// Prints it.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn tell(&self, json: bool) -> Result<(), Failure> {
        if json { output::json(self) } else { output::result(&self.text()) }
    }

    fn text(&self) -> String {
        let mut rows = Rows::new(&["latency", "count", "mean", "p50", "p90", "p99", "p99.9", "max"]);
        rows = rows.numbers(&[1, 2, 3, 4, 5, 6, 7]);
        let l = &self.latency;
        for (name, summary) in [
            ("checkouts", &l.checkouts),
            ("renewals, from when due", &l.renewals),
            ("renewals, from when sent", &l.answers),
            ("releases", &l.releases),
        ] {
            rows.push(latency_row(name, summary));
        }
        let mut figures = Rows::new(&["figure", "value"]).numbers(&[1]);
        let mut figure = |name: &str, value: String| figures.push(vec![name.to_owned(), value]);
        let (t, c, n) = (&self.throughput, &self.cost, &self.counts);
        figure("renewals per second", format!("{:.0}", t.renewals_per_second));
        figure("renewals measured", human::thousands(t.renewals));
        figure("seats held at most / free before", format!("{} / {}", self.seats.held_max, self.seats.free_before));
        figure("leases lost / in danger / regained", format!("{} / {} / {}", n.lost, n.danger, n.regained));
        figure("asked again for want of an answer", human::thousands(n.retries));
        figure(
            "datagrams sent / received",
            format!("{} / {}", human::thousands(n.datagrams_sent), human::thousands(n.datagrams_received)),
        );
        for (code, count) in &self.denials {
            figure(&format!("denied: {code}"), human::thousands(*count));
        }
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        figure("server CPU per renewal", or_dash(c.cpu_us_per_renewal.map(|us| format!("{us:.1} µs"))));
        let cores = |cores: Option<f64>| cores.map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2}"));
        figure("cores busy: server / this test", format!("{} / {}", cores(c.server_cores), cores(c.own_cores)));
        figure("server memory per lease", or_dash(c.memory_bytes_per_lease.map(|bytes| format!("{bytes:.0} B"))));
        figure("server memory", or_dash(c.memory_bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0))));
        format!("{}\n\n{}\n\n{}", rows.render(), figures.render(), self.verdict())
    }

    fn verdict(&self) -> String {
        if self.ok {
            return format!("{} no lease was lost and no seat was granted twice", paint(GOOD, "✓"));
        }
        let lines: Vec<String> = self.problems.iter().map(|p| format!("{} {p}", paint(BAD, "✗"))).collect();
        lines.join("\n")
    }
}

fn latency_row(name: &str, summary: &Summary) -> Vec<String> {
    let show = |us: u64| human::show(Duration::from_micros(us));
    let mean = human::show(Duration::from_secs_f64(summary.mean_us / 1e6));
    let mut row = vec![name.to_owned(), human::thousands(summary.count), mean];
    row.extend([summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us].map(show));
    if summary.count == 0 {
        row[2..].iter_mut().for_each(|cell| "-".clone_into(cell));
    }
    row
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
