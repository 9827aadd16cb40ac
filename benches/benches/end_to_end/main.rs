//! A server as its clients see it: datagrams over sockets, beside a bare echo and beside servers that others wrote. In
//! rounds, each of which runs everything once, so that ratios are of neighbours in time. `benches/README.md` says how to
//! read it.
//!
//! `cargo bench -p leasehold-benches --bench end_to_end` prints tables and writes CSV and a plot to `target/end_to_end`.
//! `-- --flood`, `-- --overload` and `-- --reload` do something else instead; `-- --docs` does everything and puts what it found into
//! `benches/README.md` and `benches/docs` besides.

#[cfg(not(target_os = "linux"))]
compile_error!("end_to_end is for Linux: it batches, pins and reads processor time by system calls of its own");

mod contest;
mod flood;
mod line_up;
mod ours;
mod overload;
mod peers;
mod reload;
mod told;

use std::{env, io, net::UdpSocket, path::Path, process::ExitCode, time::Duration};

use leasehold_benches::{blast::serve_echo, report::Report, served::Cores};

/// How much of it.
pub struct Effort {
    rounds: usize,
    /// At full load.
    full: Duration,
    /// One question at a time.
    alone: Duration,
    /// At half of what the full load brought.
    half: Duration,
    /// Among strangers.
    flood: Duration,
    /// Beyond its limit.
    overload: Duration,
    /// While licences are read anew, each way.
    reload: Duration,
}

/// What the command line asks for.
struct Order {
    effort: Effort,
    folder: &'static str,
    /// Names of those who take part; all if empty.
    only: Vec<String>,
    sections: Vec<Section>,
    docs: bool,
}

type Section = fn(&Order, Cores, &mut Report) -> io::Result<()>;

const FULL: Effort = Effort {
    rounds: 7,
    full: Duration::from_millis(1500),
    alone: Duration::from_millis(300),
    half: Duration::from_millis(1000),
    flood: Duration::from_secs(30),
    overload: Duration::from_secs(60),
    reload: Duration::from_secs(20),
};
/// Whether it runs at all: what `cargo test --benches` wants to know.
const SMOKE: Effort = Effort {
    rounds: 1,
    full: Duration::from_millis(100),
    alone: Duration::from_millis(20),
    half: Duration::from_millis(50),
    flood: Duration::from_millis(200),
    overload: Duration::from_millis(200),
    reload: Duration::from_millis(200),
};

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> io::Result<()> {
    // The yardstick is a process of its own, as all who are held against it: this program once more.
    if let [word, address, answer] = words
        && word == line_up::SERVE_ECHO
    {
        return serve_echo(&UdpSocket::bind(address)?, answer.parse().map_err(io::Error::other)?);
    }
    if words.iter().any(|word| word == "--install") {
        peers::install()?;
    }
    let order = order(words)?;
    let cores = Cores::choose()?;
    cores.pin_load()?;
    line_up::allow_many_sockets()?;
    let mut report = Report::new("end_to_end");
    order.sections.iter().try_for_each(|section| section(&order, cores, &mut report))?;
    report.finish(&Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(order.folder), order.docs)
}

fn contest(order: &Order, cores: Cores, report: &mut Report) -> io::Result<()> {
    contest::run(&order.effort, line_up::of(cores, &order.only)?, report)
}

fn flood(order: &Order, cores: Cores, report: &mut Report) -> io::Result<()> {
    flood::measure(&order.effort, cores, report)
}

fn overload(order: &Order, cores: Cores, report: &mut Report) -> io::Result<()> {
    overload::measure(&order.effort, cores, report)
}

fn reload(order: &Order, cores: Cores, report: &mut Report) -> io::Result<()> {
    reload::measure(&order.effort, cores, report)
}

fn order(words: &[String]) -> io::Result<Order> {
    let is_said = |word: &str| words.iter().any(|said| said == word);
    // Cargo says `--bench` when it benches, and nothing when it tests.
    let (effort, folder) = if is_said("--bench") { (FULL, "end_to_end") } else { (SMOKE, "end_to_end-smoke") };
    let rounds = number(words, "--rounds")?.unwrap_or(effort.rounds);
    let seconds = number(words, "--seconds")?.map(|n| Duration::from_secs(n as u64));
    let [flood, overload, reload] =
        [effort.flood, effort.overload, effort.reload].map(|usual| seconds.unwrap_or(usual));
    let only = match after(words, "--only") {
        Some(names) => names.split(',').map(str::to_owned).collect(),
        // A test is not to build and start everything.
        None if !is_said("--bench") => vec!["echo".to_owned()],
        None => Vec::new(),
    };
    let docs = is_said("--docs");
    let others = [("--flood", self::flood as Section), ("--overload", self::overload), ("--reload", self::reload)];
    let mut sections: Vec<_> =
        others.into_iter().filter(|(word, _)| docs || is_said(word)).map(|(_, run)| run).collect();
    if docs || sections.is_empty() {
        sections.insert(0, contest);
    }
    Ok(Order { effort: Effort { rounds, flood, overload, reload, ..effort }, folder, only, sections, docs })
}

fn after<'a>(words: &'a [String], word: &str) -> Option<&'a String> {
    words.iter().skip_while(|said| *said != word).nth(1)
}

fn number(words: &[String], word: &str) -> io::Result<Option<usize>> {
    let read = |text: &String| text.parse().map_err(|_| io::Error::other(format!("{word} {text}: not a number")));
    after(words, word).map(read).transpose()
}
