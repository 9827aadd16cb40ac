//! What is told of it: tables, goals, a picture.

use leasehold_benches::{
    machine,
    numbers::Rounds,
    plot::bars::{self, Bar},
    report::{Goal, Report},
};

use crate::{
    contest::{Contestant, Found},
    peers,
};

/// Below this part of its processor, a server waited for the load.
const BUSY: f64 = 0.95;
/// Above this part of the questions lost, figures are of something else.
const LOST: f64 = 0.001;

/// Tells everything.
pub fn tell(all: &[Contestant], skipped: &[String], report: &mut Report) {
    let echo = found(all, "echo");
    let costs = all.iter().map(|one| {
        let ratio = echo.map_or("–".to_owned(), |echo| one.found.cpu_ns.over(&echo.cpu_ns).to_string());
        format!("| {} | {} | {ratio} | {} |", one.name, one.found.cpu_ns, one.found.per_second)
    });
    report.table("What the server pays, at full load", "| server | CPU ns | ÷ echo | a second |", costs);
    let times = all.iter().map(|one| {
        let Found { alone_p50, full_p50, full_p99, half_p99, .. } = &one.found;
        format!("| {} | {alone_p50} | {half_p99} | {full_p50} | {full_p99} |", one.name)
    });
    let head = "| server | idle p50 | half load p99 | full load p50 | full load p99 |";
    report.table("Round trips of a datagram: µs", head, times);
    doubts(all, report);
    report.say(&format!("Servers of others, as packaged: {}.", peers::versions().join(", ")));
    for reason in skipped {
        report.say(&format!("Left out: {reason}."));
    }
    goals(all, report);
    notes(all, report);
    picture(all, report);
}

fn found<'a>(all: &'a [Contestant], id: &str) -> Option<&'a Found> {
    all.iter().find(|one| one.id == id).map(|one| &one.found)
}

/// Where the figures are not to be trusted.
fn doubts(all: &[Contestant], report: &mut Report) {
    let idle = all.iter().map(|one| (one.name, one.found.busy.median())).filter(|(_, busy)| *busy < BUSY);
    let idle: Vec<_> = idle.map(|(name, busy)| format!("{name} ({:.0} %)", busy * 100.0)).collect();
    if !idle.is_empty() {
        report.say(&format!(
            "**Not busy all the time: {}. They waited for the load, or others took their processor: run it again \
             on a quiet machine.**",
            idle.join(", ")
        ));
    }
    let lossy = all.iter().map(|one| (one.name, one.found.lost.median())).filter(|(_, lost)| *lost > LOST);
    let lossy: Vec<_> = lossy.map(|(name, lost)| format!("{name} ({:.2} %)", lost * 100.0)).collect();
    if !lossy.is_empty() {
        report.say(&format!("**Questions were lost: {}.**", lossy.join(", ")));
    }
}

fn goals(all: &[Contestant], report: &mut Report) {
    let Some(ours) = found(all, "ours") else { return };
    for (rival, name, most) in [
        ("echo", "the bare echo", 1.25),
        ("nsd", "an answer of nsd", 1.0),
        ("knot", "an answer of knot", 1.0),
        ("memcached", "a get of memcached", 1.0),
        ("redis", "an INCR of redis, not pipelined", 0.333),
        ("etcd", "a keep-alive of etcd", 0.067),
    ] {
        if let Some(rival) = found(all, rival) {
            let ratio = ours.cpu_ns.over(&rival.cpu_ns);
            report.judge(&format!("a sealed renewal ÷ {name}"), "", &ratio, Goal::AtMost(most));
        }
    }
    if let Some(many) = found(all, "ours-many") {
        report.judge("64 renewals in one frame, each", "ns", &many.cpu_ns, Goal::AtMost(150.0));
    }
}

fn notes(all: &[Contestant], report: &mut Report) {
    for one in all {
        let found = &one.found;
        let figures: [(&str, &Rounds); 8] = [
            ("CPU ns", &found.cpu_ns),
            ("a second", &found.per_second),
            ("idle p50 µs", &found.alone_p50),
            ("half load p99 µs", &found.half_p99),
            ("full load p50 µs", &found.full_p50),
            ("full load p99 µs", &found.full_p99),
            ("busy", &found.busy),
            ("lost", &found.lost),
        ];
        for (unit, rounds) in figures {
            report.note("contest", one.name, unit, rounds);
        }
    }
}

fn picture(all: &[Contestant], report: &mut Report) {
    let bar = |one: &Contestant| {
        let (least, most) = one.found.cpu_ns.spread();
        Bar { name: one.name, figure: (one.found.cpu_ns.median(), least, most), ours: one.id.starts_with("ours") }
    };
    let bars: Vec<_> = all.iter().map(bar).collect();
    let title = "Processor time of the server, in ns (log scale)";
    report.say("![Processor time of the server](docs/end_to_end.svg)");
    report.draw("end_to_end.svg", bars::svg(title, &machine::description(), &bars));
}
