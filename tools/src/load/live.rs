//! How far a test is, while it runs: one line on a terminal, a line every five seconds elsewhere if asked for.

use std::{
    cell::Cell,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    scenario::PhaseSpec,
    series::{Row, Series},
    tally::Kind,
};
use crate::{human, say};

/// The view.
pub struct Live {
    bar: ProgressBar,
    /// When the last line was said; `None` where no lines are.
    said: Option<Cell<Instant>>,
}

/// How far apart the lines are.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Live {
    /// A view: on a terminal always, elsewhere if `asked`.
    pub fn new(asked: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let bar = match ProgressStyle::with_template("{bar:30.cyan} {msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self { bar, said: (asked && !terminal).then(|| Cell::new(Instant::now())) }
    }

    /// `settled` of the phase's clients have started.
    pub fn starting(&self, spec: &PhaseSpec, settled: u64, series: &Series) {
        let line = || format!("{}: {settled} of {} clients ready{}", spec.name(), spec.clients(), last(series));
        self.show(settled, spec.clients().into(), line);
    }

    /// It has been measured for `elapsed`.
    pub fn running(&self, spec: &PhaseSpec, elapsed: Duration, series: &Series) {
        let all = spec.measure().as_secs_f64();
        let line = || format!("{}: {:.0} of {all:.0} s{}", spec.name(), elapsed.as_secs_f64(), last(series));
        self.show(millis(elapsed), millis(spec.measure()), line);
    }

    /// Takes the line off the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.bar.reset();
    }

    fn show(&self, position: u64, length: u64, line: impl Fn() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_length(length);
            self.bar.set_position(position);
            self.bar.set_message(line());
        }
        if let Some(said) = self.said.as_ref().filter(|said| said.get().elapsed() >= LINE_EVERY) {
            said.set(Instant::now());
            say!("{}", line());
        }
    }
}

/// The last second that is over, in words.
fn last(series: &Series) -> String {
    series.latest().as_ref().map_or_else(String::new, words)
}

fn words(row: &Row) -> String {
    let most =
        [Kind::Renewal, Kind::Pair, Kind::Checkout, Kind::Release].into_iter().max_by_key(|kind| row.of(*kind).count);
    let of = row.of(most.unwrap_or(Kind::Renewal));
    let (p50, p99) = (Duration::from_micros(of.p50_us), Duration::from_micros(of.p99_us));
    format!(
        " · {}/s · p50 {} · p99 {} · {} again · {} lost",
        human::thousands(row.operations),
        human::show(p50),
        human::show(p99),
        row.retries,
        row.lost
    )
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
