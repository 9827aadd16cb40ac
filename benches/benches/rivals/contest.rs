//! Throughput of every design against threads.

use leasehold_benches::{
    contest::{Course, Limit, Runner, Sample, Work},
    machine,
    numbers::Rounds,
    plot::{self, Line, Panel},
    report::{Goal, Report},
    rivals::{Dash, Locked, Ours, Queues, Semaphores, Sharded},
};

use crate::Effort;

const THREADS: [u32; 5] = [1, 2, 4, 8, 16];

/// A workload, and who runs it by how many threads.
struct Heat {
    title: &'static str,
    work: Work,
    features: u32,
    seats: u32,
    /// By threads, then by design.
    runs: Vec<Vec<Run>>,
}

struct Run {
    runner: Box<dyn Runner>,
    per_us: Rounds,
    cpu_ns: Rounds,
    share: Rounds,
}

pub fn measure(effort: &Effort, report: &mut Report) {
    let mut heats = [
        Heat::new("Checkout and release, one feature", Work::Pairs, 1, 10_000),
        Heat::new("Checkout and release, 1 000 features", Work::Pairs, 1000, 1000),
        Heat::new("90 % renewals, 1 000 features", Work::Mix, 1000, 1000),
    ];
    for _ in 0..effort.rounds {
        for run in heats.iter_mut().flat_map(|heat| &mut heat.runs).flatten() {
            run.add(run.runner.run(Limit::Length(effort.slice)));
        }
    }
    for heat in &heats {
        heat.report(report);
    }
    let panels: Vec<_> = heats.iter().map(Heat::panel).collect();
    report.draw("throughput.svg", plot::svg("Throughput against threads", &machine::description(), &panels));
    judge(&heats, report);
    let shares = heats.iter().flat_map(|heat| &heat.runs).flatten().map(|run| 100.0 * run.share.median());
    let shares = Rounds::from_iter(shares);
    report.say(&format!("The threads got {shares} % of the processors they could use."));
    if shares.median() < 95.0 {
        report.say("**Others were at work on this machine: threads that should have met did not. Run it again.**");
    }
}

/// Every design, for a course of its own.
pub fn entrants(work: Work, features: u32, seats: u32, threads: u32) -> Vec<Box<dyn Runner>> {
    vec![
        Box::new(Course::<Ours>::new(work, features, seats, threads)),
        Box::new(Course::<Locked>::new(work, features, seats, threads)),
        Box::new(Course::<Dash>::new(work, features, seats, threads)),
        Box::new(Course::<Semaphores>::new(work, features, seats, threads)),
        Box::new(Course::<Queues>::new(work, features, seats, threads)),
        Box::new(Course::<Sharded>::new(work, features, seats, threads)),
    ]
}

fn judge([pairs, _, mix]: &[Heat; 3], report: &mut Report) {
    for (rival, goal) in [(2, 8.0), (3, 8.0), (1, 15.0)] {
        let name = pairs.runs[1][rival].runner.name();
        report.judge(
            &format!("pairs, 2 threads, one feature ÷ {name}"),
            "",
            &pairs.lead(1, rival),
            Goal::AtLeast(goal),
        );
    }
    let ours = |heat: &Heat, threads: usize| heat.runs[threads][0].per_us.clone();
    let scaling = ours(pairs, 1).over(&ours(pairs, 0));
    report.judge("pairs, one feature: 2 threads ÷ 1", "", &scaling, Goal::AtLeast(1.7));
    let crowd = ours(pairs, 4).over(&ours(pairs, 1));
    report.judge("pairs, one feature: 16 threads ÷ 2", "", &crowd, Goal::AtLeast(0.85));
    report.judge("90 % renewals, 2 threads, 1 000 features", "M/s", &ours(mix, 1), Goal::AtLeast(80.0));
}

impl Heat {
    fn new(title: &'static str, work: Work, features: u32, seats: u32) -> Self {
        let each = |threads| entrants(work, features, seats, threads).into_iter().map(Run::new).collect();
        Self { title, work, features, seats, runs: THREADS.into_iter().map(each).collect() }
    }

    /// Our throughput over a rival's.
    fn lead(&self, threads: usize, rival: usize) -> Rounds {
        self.runs[threads][0].per_us.over(&self.runs[threads][rival].per_us)
    }

    fn report(&self, report: &mut Report) {
        let unit = if self.work == Work::Pairs { "million pairs a second" } else { "million operations a second" };
        let title = format!("{} ({} seats each): {unit}, by threads", self.title, self.seats);
        let head = "| design | 1 | 2 | 4 | 8 | 16 | CPU ns each, 1 thread | 2 threads | ours ÷ it, 2 threads |";
        let rows: Vec<_> = (0..self.runs[0].len()).map(|n| self.row(n)).collect();
        report.table(&title, head, rows);
        for (threads, runs) in THREADS.iter().zip(&self.runs) {
            for run in runs {
                let section = format!("{:?}-{}", self.work, self.features).to_lowercase();
                let what = format!("{} by {threads}", run.runner.name());
                report.note(&section, &what, "M/s", &run.per_us);
                report.note(&section, &what, "CPU ns", &run.cpu_ns);
            }
        }
    }

    fn row(&self, n: usize) -> String {
        let cells: Vec<_> = self.runs.iter().map(|runs| runs[n].per_us.to_string()).collect();
        let [alone, two] = [0, 1].map(|threads| self.runs[threads][n].cpu_ns.median());
        let name = self.runs[0][n].runner.name();
        let lead = if n == 0 { "1".to_owned() } else { self.lead(1, n).to_string() };
        format!("| {name} | {} | {alone:.0} | {two:.0} | {lead} |", cells.join(" | "))
    }

    fn panel(&self) -> Panel {
        let lines = (0..self.runs[0].len()).map(|n| {
            let point = |(threads, runs): (&u32, &Vec<Run>)| {
                let (least, most) = runs[n].per_us.spread();
                (*threads, runs[n].per_us.median(), least, most)
            };
            let points = THREADS.iter().zip(&self.runs).map(point).collect();
            Line { name: self.runs[0][n].runner.name(), points }
        });
        Panel { title: self.title.to_owned(), lines: lines.collect() }
    }
}

impl Run {
    fn new(runner: Box<dyn Runner>) -> Self {
        let [per_us, cpu_ns, share] = Default::default();
        Self { runner, per_us, cpu_ns, share }
    }

    fn add(&mut self, sample: Sample) {
        self.per_us.push(sample.per_us);
        self.cpu_ns.push(sample.cpu_ns);
        self.share.push(sample.share);
    }
}
