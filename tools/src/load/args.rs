//! The command line of `leasehold load`.

use std::{path::PathBuf, time::Duration};

use clap::ValueHint;
use leasehold_protocol::vocab::FeatureName;

use super::{
    mix::Mix,
    scenario::{Model, RateSpec},
    schedule::Arrivals,
};
use crate::{connect::TrustArgs, human};

/// How many, how fast, how long, against whom.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Without --rate and --window each client is the SDK's own half with a key and a session of its own: it checks its leases \
out, renews them at the given pace, ± 10 %, and gives them back at the end. With --window so many operations are under way \
at any time; with --rate they come at that rate, whatever the server does. Latencies count from the moment an operation \
was due, not from when it was sent, so a stall shows in full.

Every answer is checked. Ends with status 1 if a lease was lost, more seats were held than there are, or an answer was \
not one to what was asked.

Without --server a server of its own is started beside it, on loopback, with a licence that is large enough.

Examples:
  leasehold load --clients 10000 --renew-every 1s --for 30s
  leasehold load --clients 1000 --window 64 --report load.html
  leasehold load --clients 1000 --rate 20000 --mix renew=90,checkout=5,release=5
  leasehold load --scenario day.toml --hdr day.hlog --csv day.csv
  leasehold load --server 127.0.0.1:5097 --feature CAD_PRO --clients 50 --json")]
pub struct Args {
    /// Server to test [default: one of its own]. Not taken from LEASEHOLD_SERVER, so that nobody tests the site's own
    /// server by accident
    #[arg(long, short, value_name = "ADDRESS", help_heading = "Which server")]
    pub(super) server: Option<String>,

    #[command(flatten)]
    pub(super) trust: TrustArgs,

    /// Process of the server on this machine, for its CPU time and memory [default: its own server, or the one on loopback]
    #[arg(long, value_name = "PID", help_heading = "Which server")]
    pub(super) server_pid: Option<u32>,

    /// How many features to spread the clients over [default: 1]
    #[arg(long, value_name = "N", help_heading = "Which server")]
    pub(super) features: Option<u32>,

    /// Which features, of a server that is there; may be repeated [default: its first --features ones]
    #[arg(long = "feature", value_name = "FEATURE", help_heading = "Which server")]
    pub(super) named: Vec<FeatureName>,

    /// Seats of each feature, of a server of its own [default: one for each lease]
    #[arg(long, value_name = "N", conflicts_with = "server", help_heading = "Which server")]
    pub(super) seats: Option<u32>,

    /// How long a lease lives without a renewal, of a server of its own [default: 300s]
    #[arg(long, value_name = "TIME", value_parser = human::span, conflicts_with = "server", help_heading = "Which server")]
    pub(super) ttl: Option<Duration>,

    /// How many clients [default: 100]
    #[arg(long, short = 'c', value_name = "N", help_heading = "Clients")]
    pub(super) clients: Option<u32>,

    /// How many leases each client holds [default: 1]
    #[arg(long, value_name = "N", help_heading = "Clients")]
    pub(super) leases_per_client: Option<u32>,

    /// Over how long the clients start [default: 2.5s per 1000, below what a server takes from one network; loops start
    /// as fast as a server of their own answers]
    #[arg(long, value_name = "TIME", value_parser = human::span, help_heading = "Clients")]
    pub(super) ramp: Option<Duration>,

    /// How often each client renews, without a rate or a window [default: the server's pace]
    #[arg(long, value_name = "TIME", value_parser = human::span, help_heading = "Clients")]
    pub(super) renew_every: Option<Duration>,

    /// Send from N addresses of 127.0.0.0/8, to a server on loopback [default: from one]
    #[arg(long, value_name = "N", help_heading = "Clients")]
    pub(super) sources: Option<u32>,

    /// Threads of clients [default: one per core, at most 8]
    #[arg(long, value_name = "N", help_heading = "Clients")]
    pub(super) threads: Option<u16>,

    /// Open loop: N operations a second, or FROM..TO for a rate that changes evenly
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) rate: Option<RateSpec>,

    /// Closed loop: N operations under way at any time
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) window: Option<u32>,

    /// How operations come [default: open with --rate, closed with --window, population with neither]
    #[arg(long, value_name = "MODEL", value_enum, hide_possible_values = true, help_heading = "Load")]
    pub(super) model: Option<Model>,

    /// Which operations, by weight, such as renew=90,checkout=5,release=5; or pairs of checkout and release
    /// [default: renew=1]
    #[arg(long, value_name = "MIX", help_heading = "Load")]
    pub(super) mix: Option<Mix>,

    /// How many leases of one client are renewed by one frame, 1 to 64 [default: 1]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) batch: Option<u32>,

    /// How operations of an open loop come: poisson, each by itself, or even [default: poisson]
    #[arg(long, value_name = "HOW", value_enum, hide_possible_values = true, help_heading = "Load")]
    pub(super) arrivals: Option<Arrivals>,

    /// How long to measure, once all have started [default: 10s]
    #[arg(long = "for", value_name = "TIME", value_parser = human::span, help_heading = "Load")]
    pub(super) measure: Option<Duration>,

    /// Decides what comes when; the same number gives the same plan [default: 1]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub(super) seed: Option<u64>,

    /// Phases from a TOML file; flags overrule it in every phase
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Scenario")]
    pub(super) scenario: Option<PathBuf>,

    /// Print the scenario that would run, as a file for --scenario, and end
    #[arg(long, help_heading = "Scenario")]
    pub(super) print_scenario: bool,

    /// Print the summary as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,

    /// Write the figures of every second
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(super) csv: Option<PathBuf>,

    /// Write the latencies of every second as a standard histogram log (HdrHistogram, V2)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(super) hdr: Option<PathBuf>,

    /// Write a page with plots, complete in one file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(super) report: Option<PathBuf>,

    /// Say how far it is every 5 s, also where stderr is no terminal
    #[arg(long, help_heading = "Output")]
    pub(super) progress: bool,
}
