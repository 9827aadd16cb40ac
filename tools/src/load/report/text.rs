//! A load test's outcome as people read it.

use std::time::Duration;

use super::{Figures, Outcome, PhasePart};
use crate::{
    exit::Failure,
    human,
    load::{
        scenario::Model,
        tally::{Kind, Summary},
    },
    output::{self, BAD, GOOD, WARN, paint},
    table::Rows,
};

impl Outcome {
    /// Prints it.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn tell(&self, json: bool) -> Result<(), Failure> {
        if json { output::json(self) } else { output::result(&self.text()) }
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        for phase in &self.phases {
            if self.phases.len() > 1 {
                parts.push(format!("{} ({:?}, {} clients)", phase.name, phase.model, phase.clients).to_lowercase());
            }
            parts.push(latencies(&phase.figures));
            parts.push(self.figures(phase));
        }
        parts.push(self.verdict());
        parts.join("\n\n")
    }

    fn figures(&self, phase: &PhasePart) -> String {
        let mut rows = Rows::new(&["figure", "value"]).numbers(&[1]);
        let mut figure = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
        let Figures { counts: n, denials, throughput: t, cost: c, .. } = &phase.figures;
        let population = phase.model == Model::Population;
        let what = if population { "renewals" } else { "operations" };
        figure(&format!("{what} per second"), format!("{:.0}", t.operations_per_second));
        figure(&format!("{what} measured"), human::thousands(t.operations));
        figure("seats held at most / free before", format!("{} / {}", self.seats.held_max, self.seats.free_before));
        figure("leases lost / in danger / regained", format!("{} / {} / {}", n.lost, n.danger, n.regained));
        figure("asked again for want of an answer", human::thousands(n.retries));
        if !population {
            figure("never answered / never sent", format!("{} / {}", n.unanswered, n.unsent));
            figure("renewals beside the plan", human::thousands(n.upkeep));
        }
        figure(
            "datagrams sent / received",
            format!("{} / {}", human::thousands(n.datagrams_sent), human::thousands(n.datagrams_received)),
        );
        for (code, count) in denials {
            figure(&format!("denied: {code}"), human::thousands(*count));
        }
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let single = what.trim_end_matches('s');
        figure(&format!("server CPU per {single}"), or_dash(c.cpu_us_per_operation.map(|us| format!("{us:.1} µs"))));
        let cores = |cores: Option<f64>| cores.map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2}"));
        figure("cores busy: server / this test", format!("{} / {}", cores(c.server_cores), cores(c.own_cores)));
        figure("server memory per lease", or_dash(c.memory_bytes_per_lease.map(|bytes| format!("{bytes:.0} B"))));
        figure("server memory", or_dash(c.memory_bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0))));
        rows.render()
    }

    fn verdict(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("{} {note}", paint(WARN, "!")));
        let problems = self.problems.iter().map(|problem| format!("{} {problem}", paint(BAD, "✗")));
        let fine = format!("{} no lease was lost and no seat was granted twice", paint(GOOD, "✓"));
        let lines: Vec<String> = notes.chain(problems).chain(self.ok.then_some(fine)).collect();
        lines.join("\n")
    }
}

fn latencies(figures: &Figures) -> String {
    let mut rows = Rows::new(&["latency", "count", "mean", "p50", "p90", "p99", "p99.9", "max"]);
    rows = rows.numbers(&[1, 2, 3, 4, 5, 6, 7]);
    for kind in Kind::ALL {
        let summary = figures.of_kind(kind);
        if summary.count > 0 {
            rows.push(latency_row(kind.words(), &summary));
        }
    }
    rows.render()
}

/// One line of a table of latencies.
pub fn latency_row(name: &str, summary: &Summary) -> Vec<String> {
    let show = |us: u64| human::show(Duration::from_micros(us));
    let mean = human::show(Duration::from_secs_f64(summary.mean_us / 1e6));
    let mut row = vec![name.to_owned(), human::thousands(summary.count), mean];
    row.extend([summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us].map(show));
    row
}
