//! One phase of a scenario.

use std::{fmt, str::FromStr, time::Duration};

use leasehold_protocol::message::RENEW_MANY_MAX;
use serde::{Deserialize, Serialize};

use super::{LEASES_MAX, Span, take, within};
use crate::{
    exit::Failure,
    load::{
        Args,
        drive::Pace,
        mix::Mix,
        schedule::{Arrivals, Rate},
    },
};

/// How operations come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// SDK clients that hold their leases and renew them at the server's pace.
    Population,
    /// So many operations under way at any time: as fast as the server answers.
    Closed,
    /// Operations at a rate, whatever the server does.
    Open,
}

/// A phase. `None` is the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PhaseSpec {
    /// What reports call it. Default: its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How operations come. Default: open with a rate, closed with a window, population with neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// How long is measured. Default 10 s.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub measure: Option<Span>,
    /// Clients. Default: those of the whole test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// Leases of each client. Default: those of the whole test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leases_per_client: Option<u32>,
    /// Over how long clients start. Default: 2.5 ms each against a server that is there, as fast as can be against our own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Span>,
    /// Of a population: how often each lease is renewed. Default: the server's pace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_every: Option<Span>,
    /// Of an open loop: operations a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateSpec>,
    /// Of an open loop: how they come. Default Poisson.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// Of a closed loop: operations under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// Of both loops: which operations. Default renewals alone.
    #[serde(skip_serializing_if = "Option::is_none", with = "mix_text")]
    pub mix: Option<Mix>,
    /// Of both loops: renewals in one frame, of leases of one client; 1 to 64. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
}

/// Operations a second: a number, or one that changes evenly through the phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a rate is a number of operations a second, or { from = 1000, to = 20000 }")]
pub enum RateSpec {
    /// The same all the time.
    Steady(f64),
    /// From one to the other.
    Ramp(Ramp),
}

/// A rate that changes evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// At the beginning of the phase.
    pub from: f64,
    /// At its end.
    pub to: f64,
}

/// More a second than any machine of ours can send.
const RATE_MAX: f64 = 100e6;

impl PhaseSpec {
    pub(super) fn overrule(&mut self, args: &Args) {
        // A rate on the command line makes an open loop of a phase that was something else, a window a closed one.
        if args.rate.is_some() || args.window.is_some() || args.model.is_some() {
            (self.model, self.rate, self.window) = (None, None, None);
        }
        take(&mut self.model, args.model);
        take(&mut self.measure, args.measure.map(Span));
        take(&mut self.clients, args.clients);
        take(&mut self.leases_per_client, args.leases_per_client);
        take(&mut self.ramp, args.ramp.map(Span));
        take(&mut self.renew_every, args.renew_every.map(Span));
        take(&mut self.rate, args.rate);
        take(&mut self.arrivals, args.arrivals);
        take(&mut self.window, args.window);
        take(&mut self.mix, args.mix);
        take(&mut self.batch, args.batch);
    }

    pub(super) fn fill(&mut self, number: usize, clients: u32, leases_per_client: u32) -> Result<(), Failure> {
        let guess = match (self.rate, self.window) {
            (Some(_), _) => Model::Open,
            (None, Some(_)) => Model::Closed,
            (None, None) => Model::Population,
        };
        let model = *self.model.get_or_insert(guess);
        self.name.get_or_insert_with(|| format!("phase {number}"));
        self.measure.get_or_insert(Span(Duration::from_secs(10)));
        self.clients.get_or_insert(clients);
        self.leases_per_client.get_or_insert(leases_per_client);
        if model == Model::Open {
            self.arrivals.get_or_insert_default();
        }
        if model != Model::Population {
            self.mix.get_or_insert(Mix::RENEWALS);
            self.batch.get_or_insert(1);
        }
        self.check(model).map_err(|e| e.because(format!("in the phase {:?}", self.name())))
    }

    fn check(&self, model: Model) -> Result<(), Failure> {
        self.check_model(model)?;
        within("clients", self.clients().into(), 1, 1_000_000)?;
        within("leases-per-client", self.leases_per_client().into(), 1, 10_000)?;
        within("clients times leases-per-client", self.leases(), 1, LEASES_MAX)?;
        within("batch", self.batch.unwrap_or(1).into(), 1, RENEW_MANY_MAX as u64)?;
        if self.batch.unwrap_or(1) > self.leases_per_client() {
            return Err(Failure::usage("batch is more than a client has leases")
                .remedy(format!("add --leases-per-client {}", self.batch.unwrap_or(1))));
        }
        if self.measure().is_zero() {
            return Err(Failure::usage("a phase lasts some time").remedy("give it one: for = \"10s\", --for 10s"));
        }
        Ok(())
    }

    fn check_model(&self, model: Model) -> Result<(), Failure> {
        let stray = |name: &str, of: &str| Err(Failure::usage(format!("{name} belongs to {of}")));
        match model {
            Model::Open if self.window.is_some() => stray("a window", "a closed loop, and this one is open"),
            Model::Closed if self.rate.is_some() => stray("a rate", "an open loop, and this one is closed"),
            Model::Population if self.rate.is_some() || self.window.is_some() => {
                stray("a rate or a window", "a loop, and this is a population")
            }
            Model::Population if self.mix.is_some() || self.batch.is_some() => {
                Err(Failure::usage("a mix or a batch belongs to a loop, and this is a population")
                    .remedy("give a rate or a window: --rate 1000, --window 64"))
            }
            Model::Open | Model::Closed if self.renew_every.is_some() => {
                stray("renew-every", "a population; a loop has a rate or a window")
            }
            Model::Open => match self.rate.map(RateSpec::rate) {
                Some(rate) if rate.is_fine() => Ok(()),
                Some(_) => Err(Failure::usage("a rate is above 0 and at most 100 000 000 operations a second")),
                None => Err(Failure::usage("an open loop needs a rate").remedy("give one: --rate 1000")),
            },
            Model::Closed => match self.window {
                Some(window) => within("window", window.into(), 1, 1_000_000),
                None => Err(Failure::usage("a closed loop needs a window").remedy("give one: --window 64")),
            },
            Model::Population => Ok(()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Its model.
    pub fn model(&self) -> Model {
        self.model.unwrap_or(Model::Population)
    }

    /// How long is measured.
    pub fn measure(&self) -> Duration {
        self.measure.map_or(Duration::ZERO, |span| span.0)
    }

    /// How many clients.
    pub fn clients(&self) -> u32 {
        self.clients.unwrap_or(1)
    }

    /// How many leases each has.
    pub fn leases_per_client(&self) -> u32 {
        self.leases_per_client.unwrap_or(1)
    }

    /// How many leases there are.
    pub fn leases(&self) -> u64 {
        u64::from(self.clients()) * u64::from(self.leases_per_client())
    }

    /// Its mix.
    pub fn mix(&self) -> Mix {
        self.mix.unwrap_or(Mix::RENEWALS)
    }

    /// The pace of thread `thread` of `threads`.
    pub fn pace(&self, thread: usize, threads: usize) -> Pace {
        match self.rate {
            Some(rate) => Pace::Rate(rate.rate().share(1.0 / threads as f64), self.arrivals.unwrap_or_default()),
            None => {
                let window = self.window.unwrap_or(1) as usize;
                Pace::Window(window / threads + usize::from(thread < window % threads))
            }
        }
    }
}

impl RateSpec {
    /// Its first and last value.
    pub const fn rate(self) -> Rate {
        match self {
            Self::Steady(rate) => Rate::steady(rate),
            Self::Ramp(Ramp { from, to }) => Rate { from, to },
        }
    }
}

impl Rate {
    fn is_fine(self) -> bool {
        let bound = |rate: f64| (0.0..=RATE_MAX).contains(&rate);
        bound(self.from) && bound(self.to) && self.from + self.to > 0.0
    }
}

impl FromStr for RateSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let form = || format!("{text:?} is no rate: write it as 5000, or as 1000..20000 for one that changes");
            text.trim().parse::<f64>().map_err(|_| form())
        };
        match text.split_once("..") {
            None => number(text).map(Self::Steady),
            Some((from, to)) => Ok(Self::Ramp(Ramp { from: number(from)?, to: number(to)? })),
        }
    }
}

impl fmt::Display for RateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady(rate) => write!(f, "{rate}"),
            Self::Ramp(Ramp { from, to }) => write!(f, "{from}..{to}"),
        }
    }
}

/// A mix is text in a file as on the command line.
mod mix_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Mix;

    #[expect(clippy::ref_option, reason = "the shape serde calls")]
    pub fn serialize<S: Serializer>(mix: &Option<Mix>, to: S) -> Result<S::Ok, S::Error> {
        match mix {
            Some(mix) => to.serialize_str(&mix.to_string()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mix>, D::Error> {
        String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
    }
}
