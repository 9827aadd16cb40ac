//! Everybody in turn, round by round.

use std::{io, rc::Rc, time::Duration};

use leasehold_benches::{
    blast::{Load, Outcome, Pace},
    numbers::Rounds,
    report::Report,
    served::Served,
};

use crate::{Effort, line_up::LineUp, told};

/// One server, asked in one way.
pub struct Contestant {
    /// For the command line.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// What one answer counts: as many renewals as there are in a datagram, half a pair for a checkout.
    each: f64,
    served: Rc<Served>,
    load: Box<dyn Load>,
    pub found: Found,
}

/// What was found, round by round. Times without a unit in their names are microseconds.
#[derive(Default)]
pub struct Found {
    pub cpu_ns: Rounds,
    pub per_second: Rounds,
    pub full_p50: Rounds,
    pub full_p99: Rounds,
    pub alone_p50: Rounds,
    pub half_p99: Rounds,
    /// The part of its processor that the server used at full load.
    pub busy: Rounds,
    /// The part of the questions that were lost at full load.
    pub lost: Rounds,
}

/// Runs all of `line_up` and tells what came of it.
pub fn run(effort: &Effort, line_up: LineUp, report: &mut Report) -> io::Result<()> {
    let LineUp { mut contestants, skipped } = line_up;
    for round in 1..=effort.rounds {
        eprintln!("round {round} of {} ...", effort.rounds);
        for contestant in &mut contestants {
            contestant.round(effort).map_err(|e| io::Error::other(format!("{}: {e}", contestant.name)))?;
        }
    }
    told::tell(&contestants, &skipped, report);
    Ok(())
}

impl Contestant {
    /// A server that is up, and its load.
    pub fn new(id: &'static str, name: &'static str, each: f64, served: Rc<Served>, load: impl Load + 'static) -> Self {
        Self { id, name, each, served, load: Box::new(load), found: Found::default() }
    }

    fn round(&mut self, effort: &Effort) -> io::Result<()> {
        let alone = self.run(Pace::Alone, effort.alone)?;
        let full = self.run(Pace::Full, effort.full)?;
        let half = self.run(Pace::Rate(full.per_second() / 2.0), effort.half)?;
        let found = &mut self.found;
        found.alone_p50.push(alone.micros(0.5));
        found.cpu_ns.push(full.cpu_ns() / self.each);
        found.per_second.push(full.per_second() * self.each);
        found.full_p50.push(full.micros(0.5));
        found.full_p99.push(full.micros(0.99));
        found.busy.push(full.busy());
        found.lost.push(full.share_lost());
        found.half_p99.push(half.micros(0.99));
        Ok(())
    }

    fn run(&mut self, pace: Pace, length: Duration) -> io::Result<Outcome> {
        let outcome = self.load.run(pace, length, &|| self.served.cpu())?;
        if outcome.answered == 0 {
            return Err(io::Error::other(format!("no answer is right at {pace:?}")));
        }
        Ok(outcome)
    }
}
