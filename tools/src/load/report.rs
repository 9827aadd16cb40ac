//! What a load test found: a table for people, JSON for programs, and the verdict.

mod text;

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

pub use text::latency_row;

use super::{
    audit::Audit,
    process::Usage,
    run::Ran,
    scenario::{Model, PhaseSpec, Scenario},
    tally::{Counts, Kind, Summary, Tally},
    target::TestServer,
};
use crate::{exit::Failure, human};

/// What the server's process used.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How long was measured.
    pub measured: Duration,
    /// Renewals of a population answered meanwhile.
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

    fn cpu_us_per(&self, count: u64) -> Option<f64> {
        (count > 0).then(|| Some(self.cpu()?.as_secs_f64() * 1e6 / count as f64))?
    }

    fn memory_bytes_per_lease(&self) -> Option<f64> {
        let grown = self.before?.memory_bytes.saturating_sub(self.idle?.memory_bytes);
        (self.held > 0).then(|| grown as f64 / self.held as f64)
    }
}

/// The whole report. Its JSON form is interface: fields are added, never renamed. What is on top is of all phases together;
/// a test of one phase has nothing else.
#[derive(Debug, Serialize)]
pub struct Outcome {
    schema: u32,
    /// The server tested.
    pub server: ServerPart,
    /// What was to be done.
    pub plan: PlanPart,
    #[serde(flatten)]
    /// All phases together.
    pub all: Figures,
    /// Seats.
    pub seats: SeatsPart,
    /// Each phase.
    pub phases: Vec<PhasePart>,
    /// Whether nothing went wrong.
    pub ok: bool,
    /// What went wrong.
    pub problems: Vec<String>,
    /// What makes figures worth less than they look.
    pub notes: Vec<String>,
}

/// The server tested.
#[derive(Debug, Serialize)]
pub struct ServerPart {
    /// Where it listens.
    pub address: String,
    /// Its key.
    pub fingerprint: String,
    /// Whether it was started for the test.
    pub own: bool,
    /// Its process.
    pub pid: Option<u32>,
}

/// What was to be done.
#[derive(Debug, Serialize)]
pub struct PlanPart {
    clients: u32,
    features: Vec<String>,
    renew_every_ms: Option<u64>,
    ramp_ms: u64,
    measured_ms: u64,
    /// Threads of clients.
    pub threads: usize,
    seed: u64,
    /// The scenario as a file.
    pub scenario: String,
}

/// The figures of one phase, or of all of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Latencies by kind.
    pub latency: BTreeMap<&'static str, Summary>,
    /// Counters.
    pub counts: Counts,
    /// Denials by name.
    pub denials: BTreeMap<String, u64>,
    /// How much was done.
    pub throughput: ThroughputPart,
    /// What it cost.
    pub cost: CostPart,
}

/// How much was done in the time measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ThroughputPart {
    renewals: u64,
    renewals_per_second: f64,
    /// Operations answered.
    pub operations: u64,
    /// The same for each second.
    pub operations_per_second: f64,
}

impl ThroughputPart {
    fn of(renewals: u64, operations: u64, seconds: f64) -> Self {
        let per_second = |count: u64| count as f64 / seconds;
        let (renewals_per_second, operations_per_second) = (per_second(renewals), per_second(operations));
        Self { renewals, renewals_per_second, operations, operations_per_second }
    }
}

/// What it cost the server, and us.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CostPart {
    cpu_ms: Option<u64>,
    cpu_us_per_renewal: Option<f64>,
    /// Server CPU for each operation answered.
    pub cpu_us_per_operation: Option<f64>,
    /// How busy the server was, in cores.
    pub server_cores: Option<f64>,
    /// How busy this program was, in cores.
    pub own_cores: Option<f64>,
    /// Resident memory of the server at the end.
    pub memory_bytes: Option<u64>,
    /// How much of it each lease held added.
    pub memory_bytes_per_lease: Option<f64>,
}

/// Seats.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SeatsPart {
    /// Free before the test.
    pub free_before: u64,
    /// Most held at one moment.
    pub held_max: i64,
    /// Out after the test.
    pub out_after: Option<u64>,
}

/// One phase.
#[derive(Debug, Serialize)]
pub struct PhasePart {
    /// Its name.
    pub name: String,
    /// How operations came.
    pub model: Model,
    clients: u32,
    leases_per_client: u32,
    ramp_ms: u64,
    measured_ms: u64,
    #[serde(flatten)]
    /// Its figures.
    pub figures: Figures,
}

/// Operations sent later than this, one in a hundred, make a note.
const LATE_US: u64 = 1_000;

impl Figures {
    fn of(ran: &Ran) -> Self {
        let (tally, cost) = (&ran.tally, &ran.cost);
        let seconds = cost.measured.as_secs_f64().max(1e-9);
        let renewals = match ran.spec.model() {
            Model::Population => cost.renewals,
            Model::Open | Model::Closed => tally.of(Kind::Renewal).summary().count,
        };
        let operations = match ran.spec.model() {
            Model::Population => cost.renewals,
            Model::Open | Model::Closed => tally.counts.operations,
        };
        Self {
            throughput: ThroughputPart::of(renewals, operations, seconds),
            cost: CostPart {
                cpu_ms: cost.cpu().map(millis),
                cpu_us_per_renewal: cost.cpu_us_per(renewals),
                cpu_us_per_operation: cost.cpu_us_per(operations),
                server_cores: cost.server_cores(),
                own_cores: cost.own_cores(),
                memory_bytes: cost.after.map(|usage| usage.memory_bytes),
                memory_bytes_per_lease: cost.memory_bytes_per_lease(),
            },
            ..Self::counted(tally)
        }
    }

    fn counted(tally: &Tally) -> Self {
        Self {
            latency: Kind::ALL.iter().map(|kind| (kind.name(), tally.of(*kind).summary())).collect(),
            counts: tally.counts,
            denials: tally.denials.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
            ..Self::default()
        }
    }

    /// All phases together: sums, and what is for each second or operation by the sums.
    fn all(phases: &[Self], measured: &[Duration], total: &Tally) -> Self {
        let [one] = phases else { return Self::several(phases, measured, total) };
        one.clone()
    }

    fn several(phases: &[Self], measured: &[Duration], total: &Tally) -> Self {
        let seconds = measured.iter().sum::<Duration>().as_secs_f64().max(1e-9);
        let sum = |of: fn(&Self) -> u64| phases.iter().map(of).sum::<u64>();
        let (renewals, operations) = (sum(|p| p.throughput.renewals), sum(|p| p.throughput.operations));
        let cpu_ms = phases.iter().map(|p| p.cost.cpu_ms).sum::<Option<u64>>();
        let per = |count: u64| (count > 0).then(|| Some(cpu_ms? as f64 * 1e3 / count as f64))?;
        // Cores weigh by how long each phase was measured.
        let cores = |of: fn(&Self) -> Option<f64>| {
            let busy = phases.iter().zip(measured).map(|(p, span)| Some(of(p)? * span.as_secs_f64()));
            busy.sum::<Option<f64>>().map(|busy| busy / seconds)
        };
        Self {
            throughput: ThroughputPart::of(renewals, operations, seconds),
            cost: CostPart {
                cpu_ms,
                cpu_us_per_renewal: per(renewals),
                cpu_us_per_operation: per(operations),
                server_cores: cores(|p| p.cost.server_cores),
                own_cores: cores(|p| p.cost.own_cores),
                memory_bytes: phases.last().and_then(|p| p.cost.memory_bytes),
                memory_bytes_per_lease: None,
            },
            ..Self::counted(total)
        }
    }

    /// The figures of `kind`.
    pub fn of_kind(&self, kind: Kind) -> Summary {
        self.latency.get(kind.name()).copied().unwrap_or_default()
    }
}

impl PhasePart {
    fn of(ran: &Ran) -> Self {
        Self {
            name: ran.spec.name().to_owned(),
            model: ran.spec.model(),
            clients: ran.spec.clients(),
            leases_per_client: ran.spec.leases_per_client(),
            ramp_ms: millis(ran.ramp),
            measured_ms: millis(ran.cost.measured),
            figures: Figures::of(ran),
        }
    }

    fn problems(&self) -> Vec<String> {
        let (counts, mut problems) = (&self.figures.counts, Vec::new());
        if counts.lost > 0 {
            problems.push(format!("{} lost", human::count(counts.lost, "lease")));
        }
        let unanswered = counts.never_held.saturating_sub(self.figures.denials.values().sum());
        if unanswered > 0 {
            problems.push(format!("{} never had an answer", human::count(unanswered, "lease")));
        }
        if self.model != Model::Population && self.figures.throughput.operations == 0 {
            problems.push("no operation was answered".to_owned());
        }
        problems
    }

    fn notes(&self) -> Vec<String> {
        let late = self.figures.of_kind(Kind::Lateness);
        let mut notes = Vec::new();
        if late.p99_us > LATE_US {
            let behind = human::show(Duration::from_micros(late.p99_us));
            notes.push(format!("this program was behind: one operation in a hundred was sent {behind} late or later"));
        }
        if self.figures.counts.unsent > 0 {
            let count = human::count(self.figures.counts.unsent, "operation");
            notes.push(format!("{count} that were due were never sent: every lease was busy, add --clients"));
        }
        if self.figures.counts.not_released > 0 {
            let count = human::count(self.figures.counts.not_released, "release");
            notes.push(format!("{count} at the end had no answer"));
        }
        if self.figures.counts.unanswered > 0 {
            let count = human::count(self.figures.counts.unanswered, "operation");
            notes.push(format!("{count} had no answer; latencies are of the others"));
        }
        notes
    }
}

impl Outcome {
    /// Puts everything together and judges.
    ///
    /// # Errors
    /// None in practice: all histograms have the same bounds.
    pub fn new(
        scenario: &Scenario,
        server: &TestServer,
        threads: usize,
        phases: &[Ran],
        audit: &Audit,
    ) -> Result<Self, Failure> {
        let mut total = Tally::new()?;
        phases.iter().try_for_each(|ran| total.add(&ran.tally))?;
        let measured: Vec<Duration> = phases.iter().map(|ran| ran.cost.measured).collect();
        let parts: Vec<PhasePart> = phases.iter().map(PhasePart::of).collect();
        let figures: Vec<Figures> = parts.iter().map(|part| part.figures.clone()).collect();
        let mut outcome = Self {
            schema: 1,
            server: ServerPart {
                address: server.address.to_string(),
                fingerprint: server.key.fingerprint().to_string(),
                own: server.is_own(),
                pid: server.pid,
            },
            plan: PlanPart {
                clients: scenario.phases.iter().map(PhaseSpec::clients).max().unwrap_or(0),
                features: server.features.iter().map(|line| line.name.to_string()).collect(),
                renew_every_ms: phases.first().and_then(|ran| ran.spec.renew_every).map(|span| millis(span.0)),
                ramp_ms: millis(phases.iter().map(|ran| ran.ramp).sum()),
                measured_ms: millis(measured.iter().sum()),
                threads,
                seed: scenario.seed.unwrap_or(1),
                scenario: scenario.to_toml()?,
            },
            all: Figures::all(&figures, &measured, &total),
            seats: SeatsPart {
                free_before: server.seats,
                held_max: audit.held_max(),
                out_after: server.look().map(|lines| lines.iter().map(|line| u64::from(line.used)).sum()),
            },
            phases: parts,
            ok: true,
            problems: Vec::new(),
            notes: Vec::new(),
        };
        outcome.judge(audit.problems());
        Ok(outcome)
    }

    fn judge(&mut self, violations: Vec<String>) {
        let several = self.phases.len() > 1;
        let named = |phase: &PhasePart, all: Vec<String>| {
            let name = phase.name.clone();
            all.into_iter().map(move |one| if several { format!("{name}: {one}") } else { one })
        };
        let mut problems: Vec<String> = self.phases.iter().flat_map(|phase| named(phase, phase.problems())).collect();
        self.notes = self.phases.iter().flat_map(|phase| named(phase, phase.notes())).collect();
        let seats = &self.seats;
        if seats.out_after.is_none() {
            problems.push("the server does not answer any more".to_owned());
        }
        if u64::try_from(seats.held_max).unwrap_or(0) > seats.free_before {
            problems.push(format!("{} seats were held at once and {} were free", seats.held_max, seats.free_before));
        }
        if self.server.own && seats.out_after.is_some_and(|out| out > 0) {
            problems.push(format!("{} seats are still out after every release", seats.out_after.unwrap_or(0)));
        }
        problems.extend(violations);
        self.ok = problems.is_empty();
        self.problems = problems;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
