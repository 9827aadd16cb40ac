//! What a load test does: phases in order, from a TOML file and the command line, with every default filled in.
//!
//! A file has options of the whole test on top and one `[[phase]]` for each phase. What the command line says takes the
//! place of what the file says, in every phase. `--print-scenario` prints the result, which is a scenario file itself.

mod phase;

use std::{fmt, fs, path::Path, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

pub use phase::{Model, PhaseSpec, RateSpec};

use super::Args;
use crate::{
    exit::{Exit, Failure},
    human,
};

/// A load test. `None` is the default; after [`Scenario::of`] only what depends on the machine is still `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Scenario {
    /// How many features clients are spread over, 1 to 10 000. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<u32>,
    /// Seats of each feature, of a server of our own. Default: enough for every lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seats: Option<u32>,
    /// How long a lease lives without a renewal, of a server of our own, 2 s to 24 h. Default: the server's, 300 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// Threads of clients, 1 to 64. Default: one per core, at most 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u16>,
    /// Addresses of 127.0.0.0/8 to send from; 0 is what the system picks. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<u32>,
    /// Decides when what comes; the same number gives the same plan. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Clients of the phases that do not say. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// Leases of each client, in the phases that do not say. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leases_per_client: Option<u32>,
    /// The phases, one after another.
    #[serde(rename = "phase")]
    pub phases: Vec<PhaseSpec>,
}

/// The most clients and leases of one phase: what a session id and an operation id have room for.
pub const LEASES_MAX: u64 = 16_000_000;

impl Scenario {
    /// The scenario that a command line asks for: its file if it names one, else one phase.
    ///
    /// # Errors
    /// If the file cannot be read or is no scenario, or what was asked for contradicts itself.
    pub fn of(args: &Args) -> Result<Self, Failure> {
        let mut scenario = match &args.scenario {
            Some(path) => Self::read(path)?,
            None => Self { phases: vec![PhaseSpec::default()], ..Self::default() },
        };
        scenario.overrule(args);
        scenario.fill()?;
        Ok(scenario)
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|e| {
            Failure::new(format!("cannot read the scenario {}", path.display()))
                .because_of(&e)
                .exit(Exit::USAGE)
                .remedy("print one to begin with: leasehold load --print-scenario > FILE")
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a scenario; `name` is what messages call it.
    ///
    /// # Errors
    /// If it is none: with the line, the column and what is allowed there.
    pub fn parse(text: &str, name: &str) -> Result<Self, Failure> {
        let scenario: Self = toml::from_str(text).map_err(|e| {
            Failure::usage(format!("{name} is no scenario"))
                .because(e.to_string().trim_end())
                .remedy("print one to begin with: leasehold load --print-scenario > FILE")
        })?;
        if scenario.phases.is_empty() {
            return Err(Failure::usage(format!("{name} has no phase")).remedy("add one: [[phase]]"));
        }
        Ok(scenario)
    }

    /// This scenario as a file.
    ///
    /// # Errors
    /// None in practice: everything in it has a form in TOML.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(self).map_err(|e| Failure::new("cannot write the scenario").because_of(&e))
    }

    fn overrule(&mut self, args: &Args) {
        take(&mut self.features, args.features);
        take(&mut self.seats, args.seats);
        take(&mut self.ttl, args.ttl.map(Span));
        take(&mut self.threads, args.threads);
        take(&mut self.sources, args.sources);
        take(&mut self.seed, args.seed);
        take(&mut self.clients, args.clients);
        take(&mut self.leases_per_client, args.leases_per_client);
        self.phases.iter_mut().for_each(|phase| phase.overrule(args));
    }

    /// Fills every default in that does not depend on the machine.
    fn fill(&mut self) -> Result<(), Failure> {
        let features = *self.features.get_or_insert(1);
        self.sources.get_or_insert(0);
        self.seed.get_or_insert(1);
        let clients = self.clients.take().unwrap_or(100);
        let leases = self.leases_per_client.take().unwrap_or(1);
        for (n, phase) in self.phases.iter_mut().enumerate() {
            phase.fill(n + 1, clients, leases)?;
        }
        within("features", features.into(), 1, 10_000)?;
        self.seats.map_or(Ok(()), |seats| within("seats", seats.into(), 1, i32::MAX.unsigned_abs().into()))?;
        self.threads.map_or(Ok(()), |threads| within("threads", threads.into(), 1, 64))?;
        within("sources", self.sources.unwrap_or(0).into(), 0, 65_000)?;
        match self.ttl {
            Some(Span(ttl)) if !(2..=86_400).contains(&ttl.as_secs()) => {
                Err(Failure::usage("ttl is a time of 2s to 24h").because(format!("it is {}", human::show(ttl))))
            }
            _ => Ok(()),
        }
    }

    /// The most leases any phase wants of one feature, if all of them are granted.
    #[must_use]
    pub fn seats_wanted(&self) -> u32 {
        let of = |phase: &PhaseSpec| {
            let clients = phase.clients().div_ceil(self.features.unwrap_or(1).max(1));
            clients.saturating_mul(phase.leases_per_client())
        };
        self.phases.iter().map(of).max().unwrap_or(1).max(1)
    }
}

fn take<T>(to: &mut Option<T>, from: Option<T>) {
    if from.is_some() {
        *to = from;
    }
}

fn within(name: &str, value: u64, min: u64, max: u64) -> Result<(), Failure> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Failure::usage(format!("{name} is a number from {min} to {max}")).because(format!("it is {value}")))
}

/// A span of time, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        human::span(text).map(Self)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            us if us.is_multiple_of(1_000_000) => write!(f, "{}s", us / 1_000_000),
            us if us.is_multiple_of(1_000) => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}

#[cfg(test)]
mod tests;
