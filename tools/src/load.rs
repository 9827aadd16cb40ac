//! `leasehold load`: many clients at once against one server, and what that cost.
//!
//! | module | owns |
//! |---|---|
//! | `plan` | who starts when and asks for what |
//! | `worker`, `client` | the clients, in one event loop per thread |
//! | [`lean`] | sessions that cost as little as can be, for more load than SDK clients can make; benches use them too |
//! | `wire` | their sockets, and whose a datagram is |
//! | `target` | the server: one that is there, or one of our own |
//! | `tally` | what is counted |
//! | `process` | what the server's process costs |
//! | `report` | the table, the JSON and the verdict |

mod client;
pub mod lean;
mod plan;
mod process;
mod report;
mod tally;
mod target;
mod wire;
mod worker;

use std::{
    io::IsTerminal,
    sync::{Arc, Barrier, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use leasehold_protocol::vocab::FeatureName;
use leasehold_server::clock_now;

use crate::{
    connect::TrustArgs,
    exit::{Exit, Failure},
    human, say,
};
use report::{Cost, Outcome};
use tally::Tally;
use target::TestServer;
use worker::{Task, Watch};

/// How many, how fast, how long, against whom.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Each client is the SDK's own half with a key and a session of its own; it checks one seat out, renews it at the given \
pace, ± 10 %, and gives it back at the end. Renewals are measured from the moment they were due, not from when they were \
sent, so a stall shows in full. Ends with status 1 if a lease was lost or more seats were held than there are.

Without --server a server of its own is started beside it, on loopback, with a licence that is large enough.

Examples:
  leasehold load --clients 10000 --renew-every 1s --for 30s
  leasehold load --server 127.0.0.1:5097 --feature CAD_PRO --clients 50 --json")]
pub struct Args {
    /// Server to test [default: one of its own]. Not taken from LEASEHOLD_SERVER, so that nobody tests the site's own
    /// server by accident
    #[arg(long, short, value_name = "ADDRESS", help_heading = "Which server")]
    server: Option<String>,

    #[command(flatten)]
    trust: TrustArgs,

    /// Process of the server on this machine, for its CPU time and memory [default: its own server, or the one on loopback]
    #[arg(long, value_name = "PID", help_heading = "Which server")]
    server_pid: Option<u32>,

    /// How many clients
    #[arg(long, short = 'c', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        help_heading = "Load")]
    clients: u32,

    /// How many features to spread them over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = "Load")]
    features: u32,

    /// Which features, of a server that is there; may be repeated [default: its first --features ones]
    #[arg(long = "feature", value_name = "FEATURE", help_heading = "Load")]
    named: Vec<FeatureName>,

    /// How often each client renews [default: the server's pace]
    #[arg(long, value_name = "TIME", value_parser = human::span, help_heading = "Load")]
    renew_every: Option<Duration>,

    /// How long to measure, once all have started
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = human::span, help_heading = "Load")]
    measure: Duration,

    /// Over how long the clients start [default: 2.5s per 1000, below what a server takes from one network]
    #[arg(long, value_name = "TIME", value_parser = human::span, help_heading = "Load")]
    ramp: Option<Duration>,

    /// Threads of clients [default: one per core, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Load")]
    threads: Option<u16>,

    /// Spreads the starts; the same number gives the same spread
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    seed: u64,

    /// Print the report as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Sockets each thread spreads its clients over: a server with several workers hears them all.
const SOCKETS_PER_THREAD: usize = 16;

/// Time between two starts, in microseconds, unless a ramp is given: 400 handshakes a second, where a server takes 500
/// from one network by default.
const RAMP_US: u64 = 2_500;

/// How long after the ramp the last clients may take to have an answer.
const SETTLE: Duration = Duration::from_secs(10);

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs the test and reports.
///
/// # Errors
/// If the server cannot be used. A test that ran and went badly is status 1.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let server = TestServer::of(args)?;
    let threads = args.threads.map_or_else(default_threads, usize::from);
    let ramp = args.ramp.unwrap_or_else(|| Duration::from_micros(RAMP_US * u64::from(args.clients)));
    if args.clients as u64 > server.seats {
        say!("! {} clients and {} seats: the others will be denied", args.clients, server.seats);
    }
    say!(
        "{} against {} (fingerprint {}), {} over {}, then {}",
        human::count(args.clients, "client"),
        server.address,
        server.key.fingerprint(),
        human::count(server.features.len() as u64, "feature"),
        human::show(ramp),
        human::show(args.measure)
    );
    let outcome = test(args, &server, threads, ramp)?;
    outcome.tell(args.json)?;
    let exit = if outcome.problems().is_empty() { Exit::OK } else { Exit::FAILURE };
    server.stop();
    Ok(exit)
}

fn test(args: &Args, server: &TestServer, threads: usize, ramp: Duration) -> Result<Outcome, Failure> {
    let parts = plan::parts(args.clients, ramp, &server.features, args.seed);
    let watch = Arc::new(Watch::default());
    let idle = server.usage();
    let ready = Arc::new(Barrier::new(threads + 1));
    let task = Task {
        ready: ready.clone(),
        wall: clock_now().wall,
        target: server.target(),
        config: server.config.clone(),
        parts: Vec::new(),
        every: args.renew_every,
        sockets: SOCKETS_PER_THREAD,
        watch: watch.clone(),
    };
    let workers: Vec<_> = (0..threads)
        .map(|n| {
            let parts = parts.iter().skip(n).step_by(threads).cloned().collect();
            let task = Task { parts, ..task.clone() };
            thread::spawn(move || worker::run(task))
        })
        .collect();
    ready.wait();
    let cost = watch_over(args, server, &watch, ramp, idle);
    watch.end.store(true, Ordering::Relaxed);
    let mut tally = Tally::new()?;
    for worker in workers {
        let part = worker.join().unwrap_or_else(|_| Err(Failure::new("a thread of the load test broke")));
        tally.add(&part?)?;
    }
    Ok(Outcome::new(args, server, threads, ramp, tally, cost, &watch))
}

/// Waits while the threads work, shows how far they are, and takes the server's usage before and after the measuring.
fn watch_over(args: &Args, server: &TestServer, watch: &Watch, ramp: Duration, idle: Option<process::Usage>) -> Cost {
    let clients = u64::from(args.clients);
    let bar = bar(clients, "clients with an answer");
    let began = Instant::now();
    let settled = || watch.settled.load(Ordering::Relaxed);
    while settled() < clients && began.elapsed() < ramp + SETTLE {
        bar.set_position(settled());
        thread::sleep(LOOK_EVERY);
    }
    bar.finish_and_clear();

    let bar = self::bar(u64::try_from(args.measure.as_millis()).unwrap_or(u64::MAX), "ms measured");
    let (began, before, first) = (Instant::now(), server.usage(), watch.renewals.load(Ordering::Relaxed));
    let own_before = process::usage(std::process::id());
    let held = watch.holding.load(Ordering::Relaxed);
    while began.elapsed() < args.measure {
        bar.set_position(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        thread::sleep(LOOK_EVERY.min(args.measure.saturating_sub(began.elapsed())));
    }
    let renewals = watch.renewals.load(Ordering::Relaxed) - first;
    bar.finish_and_clear();
    let (after, own_after) = (server.usage(), process::usage(std::process::id()));
    Cost { measured: began.elapsed(), renewals, held, idle, before, after, own_before, own_after }
}

/// A progress bar on a terminal, nothing elsewhere.
fn bar(length: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length).with_message(what.to_owned());
    match ProgressStyle::with_template("{bar:40.cyan} {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(8)
}
