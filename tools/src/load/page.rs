//! The page with plots: one HTML file that needs nothing else, no script, no font, no network, and is read as well on a
//! telephone as on a screen, by day and by night.

mod plot;
mod style;

use std::{fmt::Write, fs, time::Duration};

use self::plot::{Axis, Band, Line, Plot};
use super::{
    report::{Figures, Outcome, PhasePart, latency_row},
    run::Ran,
    series::Row,
    tally::{Kind, Tally},
};
use crate::{exit::Failure, human};

/// The whole page.
///
/// # Errors
/// None in practice: all histograms have the same bounds.
pub fn of(outcome: &Outcome, phases: &[Ran]) -> Result<String, Failure> {
    let mut total = Tally::new()?;
    phases.iter().try_for_each(|ran| total.add(&ran.tally))?;
    let rows: Vec<&Row> = phases.iter().flat_map(|ran| &ran.rows).collect();
    let main = main_kind(&total);
    let mut out = String::new();
    _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>leasehold load</title>\n<style>{}</style></head><body>\n",
        style::SHEET
    );
    head(&mut out, outcome);
    tiles(&mut out, outcome, main);
    plots(&mut out, outcome, phases, &rows, &total, main);
    outcome.phases.iter().for_each(|phase| tables(&mut out, phase));
    circumstances(&mut out, outcome);
    out.push_str("</body></html>\n");
    Ok(out)
}

/// What most operations were: the latency that is shown over time.
fn main_kind(total: &Tally) -> Kind {
    let kinds = [Kind::Release, Kind::Checkout, Kind::Pair, Kind::Renewal];
    kinds.into_iter().max_by_key(|kind| total.of(*kind).histogram().len()).unwrap_or(Kind::Renewal)
}

fn head(out: &mut String, outcome: &Outcome) {
    let (class, verdict) = if outcome.ok { ("good", "passed") } else { ("bad", "failed") };
    let own = if outcome.server.own { ", a server of its own" } else { "" };
    _ = write!(
        out,
        "<header><h1>leasehold load <span class=\"badge {class}\">{verdict}</span></h1>\n<p>{}{own}</p>\n<ul>",
        escape(&outcome.server.address)
    );
    let fine = outcome.ok.then_some("No lease was lost and no seat was granted twice.");
    let lines = outcome.problems.iter().map(|one| ("bad", one.as_str()));
    let lines =
        lines.chain(outcome.notes.iter().map(|one| ("note", one.as_str()))).chain(fine.map(|one| ("good", one)));
    lines.for_each(|(class, line)| _ = write!(out, "<li class=\"{class}\">{}</li>", escape(line)));
    out.push_str("</ul></header>\n");
}

fn tiles(out: &mut String, outcome: &Outcome, main: Kind) {
    let (all, of) = (&outcome.all, outcome.all.of_kind(main));
    let span = |us: u64| human::show(Duration::from_micros(us));
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let cpu = all.cost.cpu_us_per_operation.map(|us| format!("{us:.1} µs"));
    out.push_str("<section class=\"tiles\">");
    for (name, value) in [
        ("operations a second", plot::number(all.throughput.operations_per_second)),
        ("p50", span(of.p50_us)),
        ("p99", span(of.p99_us)),
        ("p99.9", span(of.p999_us)),
        ("leases lost", all.counts.lost.to_string()),
        ("asked again", plot::number(all.counts.retries as f64)),
        ("server CPU an operation", or_dash(cpu)),
        ("most seats held", outcome.seats.held_max.to_string()),
    ] {
        _ = write!(out, "<div><b>{}</b><span>{name}</span></div>", escape(&value));
    }
    _ = writeln!(out, "</section>\n<p class=\"small\">Latencies: {}.</p>", main.words());
}

fn plots(out: &mut String, outcome: &Outcome, phases: &[Ran], rows: &[&Row], total: &Tally, main: Kind) {
    let bands: Vec<Band> = phases.iter().filter_map(|ran| band(ran, outcome.phases.len() > 1)).collect();
    let line = |name, of: &dyn Fn(&Row) -> Option<f64>| Line {
        name,
        points: rows.iter().map(|row| (row.second, of(row))).collect(),
    };
    let latency = |quantile: fn(&super::tally::Summary) -> u64| {
        move |row: &Row| (row.of(main).count > 0).then(|| quantile(row.of(main)) as f64)
    };
    let over_time = |title: String, y, lines| Plot { title, x: Axis::Seconds, y, lines, bands: bands.clone() };
    out.push_str("<section class=\"plots\">");
    for plot in [
        over_time(
            "Answered each second".to_owned(),
            Axis::Count,
            vec![
                line("operations", &|row| Some(row.operations as f64)),
                line("denials", &|row| Some(row.denied as f64)),
            ],
        ),
        over_time(
            format!("Latency of {}", main.words()),
            Axis::Latency,
            vec![
                line("p50", &latency(|of| of.p50_us)),
                line("p99", &latency(|of| of.p99_us)),
                line("p99.9", &latency(|of| of.p999_us)),
            ],
        ),
        over_time(
            "Asked again, and leases lost".to_owned(),
            Axis::Count,
            vec![line("asked again", &|row| Some(row.retries as f64)), line("lost", &|row| Some(row.lost as f64))],
        ),
        by_percentile(total),
    ] {
        out.push_str(&plot.figure());
    }
    out.push_str("</section>\n");
}

/// Where a phase lies in time, by its first and last second.
fn band(ran: &Ran, named: bool) -> Option<Band> {
    let (first, last) = (ran.rows.first()?, ran.rows.last()?);
    let name = if named { ran.spec.name().to_owned() } else { String::new() };
    Some(Band { name, from: first.second, to: last.second + 1.0 })
}

/// Latency by percentile, each nine as wide as the one before.
fn by_percentile(total: &Tally) -> Plot {
    /// Points of a line for each factor of ten.
    const STEPS: u32 = 20;
    let kinds = [Kind::Renewal, Kind::Checkout, Kind::Release, Kind::Pair, Kind::Denial];
    let filled = kinds.into_iter().filter(|kind| !total.of(*kind).histogram().is_empty());
    let line = |kind: Kind| {
        let histogram = total.of(kind).histogram();
        let nines = (histogram.len() as f64).log10();
        let steps = (0..=100 * STEPS).map(|step| f64::from(step) / f64::from(STEPS)).take_while(|at| *at <= nines);
        let at = |nines: f64| histogram.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1) as f64;
        Line { name: kind.words(), points: steps.map(|nines| (nines, Some(at(nines)))).collect() }
    };
    Plot {
        title: "Latency by percentile".to_owned(),
        x: Axis::Nines,
        y: Axis::Latency,
        lines: filled.map(line).collect(),
        bands: Vec::new(),
    }
}

fn tables(out: &mut String, phase: &PhasePart) {
    _ = write!(out, "<section><h2>{}</h2>\n<div class=\"wide\"><table><thead><tr>", escape(&phase.name));
    for (n, name) in ["latency", "count", "mean", "p50", "p90", "p99", "p99.9", "max"].iter().enumerate() {
        _ = write!(out, "<th{}>{name}</th>", if n == 0 { "" } else { " class=\"n\"" });
    }
    out.push_str("</tr></thead><tbody>");
    for kind in Kind::ALL.into_iter().filter(|kind| phase.figures.of_kind(*kind).count > 0) {
        row(out, &latency_row(kind.words(), &phase.figures.of_kind(kind)));
    }
    out.push_str("</tbody></table></div>\n<table class=\"figures\"><tbody>");
    figures(&phase.figures).iter().for_each(|(name, value)| row(out, &[name.clone(), value.clone()]));
    out.push_str("</tbody></table></section>\n");
}

fn figures(figures: &Figures) -> Vec<(String, String)> {
    let Figures { counts: n, denials, throughput: t, cost: c, .. } = figures;
    let cores = |cores: Option<f64>| cores.map_or_else(|| "–".to_owned(), |cores| format!("{cores:.2}"));
    let memory =
        c.memory_bytes.map_or_else(|| "–".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0));
    let mut rows = vec![
        ("operations answered in the time measured", t.operations.to_string()),
        ("operations a second", format!("{:.0}", t.operations_per_second)),
        ("leases lost", n.lost.to_string()),
        ("asked again for want of an answer", n.retries.to_string()),
        ("never answered / never sent", format!("{} / {}", n.unanswered, n.unsent)),
        ("renewals beside the plan", n.upkeep.to_string()),
        ("datagrams sent / received", format!("{} / {}", n.datagrams_sent, n.datagrams_received)),
        ("sessions opened", n.connects.to_string()),
        ("cores busy: server / this test", format!("{} / {}", cores(c.server_cores), cores(c.own_cores))),
        ("server memory", memory),
    ];
    rows.extend(c.memory_bytes_per_lease.map(|bytes| ("server memory a lease", format!("{bytes:.0} B"))));
    let rows = rows.into_iter().map(|(name, value)| (name.to_owned(), value));
    rows.chain(denials.iter().map(|(code, count)| (format!("denied: {code}"), count.to_string()))).collect()
}

fn row(out: &mut String, cells: &[String]) {
    out.push_str("<tr>");
    for (n, cell) in cells.iter().enumerate() {
        _ = write!(out, "<td{}>{}</td>", if n == 0 { "" } else { " class=\"n\"" }, escape(cell));
    }
    out.push_str("</tr>");
}

fn circumstances(out: &mut String, outcome: &Outcome) {
    let words = std::env::args().skip(1).map(|word| if word.contains(' ') { format!("'{word}'") } else { word });
    let line = std::iter::once("leasehold".to_owned()).chain(words).collect::<Vec<_>>().join(" ");
    _ = write!(
        out,
        "<section><h2>Circumstances</h2>\n<p>{}</p>\n<p>Version {}, {} threads.</p>\n<pre>{}</pre>\n<pre>{}</pre></section>\n",
        escape(&machine()),
        env!("CARGO_PKG_VERSION"),
        outcome.plan.threads,
        escape(&line),
        escape(outcome.plan.scenario.trim_end())
    );
}

/// This machine in words, as far as it tells.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{} ({cores} cores), {} {}", model.unwrap_or("unknown processor"), std::env::consts::OS, kernel.trim())
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
