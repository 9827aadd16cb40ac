//! Throughput against threads ([`bars`]: one figure each), as an SVG of its own: no fonts, scripts or style sheets from
//! elsewhere.

pub mod bars;

use std::fmt::Write;

/// One panel: a workload.
pub struct Panel {
    /// Over the panel.
    pub title: String,
    /// One a design, in the order of the legend.
    pub lines: Vec<Line>,
}

/// One design's throughput.
pub struct Line {
    /// In the legend.
    pub name: &'static str,
    /// Threads; million operations a second: median, least, most.
    pub points: Vec<(u32, f64, f64, f64)>,
}

/// Told apart by those who see colours differently, too (Okabe and Ito).
const COLOURS: [&str; 6] = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#b8860b", "#4d4d4d"];
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 104.0;
const GAP: f64 = 26.0;
const BOTTOM: f64 = 62.0;

/// The picture of `panels` side by side, under `title` and above `note`.
#[must_use]
pub fn svg(title: &str, note: &str, panels: &[Panel]) -> String {
    let width = LEFT + panels.len() as f64 * (WIDTH + GAP);
    let height = TOP + HEIGHT + BOTTOM + 26.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, \
         'Liberation Sans', sans-serif\" font-size=\"13\" fill=\"#222\">\n<title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escape(title)
    );
    text(&mut out, (LEFT, 28.0), "font-size=\"18\" font-weight=\"bold\"", title);
    legend(&mut out, panels);
    let scale = Scale::of(panels);
    for (n, panel) in panels.iter().enumerate() {
        scale.draw(&mut out, LEFT + n as f64 * (WIDTH + GAP), panel, n == 0);
    }
    let middle = TOP + HEIGHT / 2.0;
    let turned = format!("text-anchor=\"middle\" transform=\"rotate(-90 18 {middle})\"");
    text(&mut out, (18.0, middle), &turned, "million operations a second (log scale)");
    text(&mut out, (LEFT, height - 14.0), "font-size=\"12\" fill=\"#666\"", note);
    out.push_str("</svg>\n");
    out
}

/// Where threads and throughputs lie.
struct Scale {
    threads: Vec<u32>,
    least: f64,
    most: f64,
}

impl Scale {
    fn of(panels: &[Panel]) -> Self {
        let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let mut threads: Vec<_> = points().map(|point| point.0).collect();
        threads.sort_unstable();
        threads.dedup();
        let least = points().map(|point| point.2).fold(f64::INFINITY, f64::min) * 0.85;
        let most = points().map(|point| point.3).fold(0.0, f64::max) * 1.2;
        Self { threads, least, most }
    }

    /// Every doubling of threads is a step to the right.
    fn x(&self, threads: u32) -> f64 {
        let (first, last) = (self.threads.first().copied().unwrap_or(1), self.threads.last().copied().unwrap_or(2));
        let steps = |n: u32| f64::from(n).log2() - f64::from(first).log2();
        24.0 + (WIDTH - 48.0) * steps(threads) / steps(last).max(1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        TOP + HEIGHT * (1.0 - share)
    }

    fn draw(&self, out: &mut String, left: f64, panel: &Panel, is_first: bool) {
        self.grid(out, left, is_first);
        text(out, (left, TOP - 12.0), "font-size=\"15\" font-weight=\"bold\"", &panel.title);
        let middle = left + WIDTH / 2.0;
        text(out, (middle, TOP + HEIGHT + 42.0), "text-anchor=\"middle\"", "threads");
        // The first on top of the others.
        for (n, (line, colour)) in panel.lines.iter().zip(COLOURS).enumerate().rev() {
            // A little apart, so that the spreads do not hide each other.
            self.line(out, left + 4.0 * (n as f64 - 2.5), line, colour);
        }
    }

    fn grid(&self, out: &mut String, left: f64, is_first: bool) {
        let (right, bottom) = (left + WIDTH, TOP + HEIGHT);
        let decades = (-2..5).map(|power| 10_f64.powi(power));
        for value in decades.flat_map(|ten| [ten, 2.0 * ten, 5.0 * ten]).filter(|v| self.least <= *v && *v <= self.most)
        {
            let y = self.y(value);
            _ = writeln!(out, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#e3e3e3\"/>");
            if is_first {
                text(out, (left - 8.0, y + 4.5), "text-anchor=\"end\"", &value.to_string());
            }
        }
        for threads in &self.threads {
            let x = left + self.x(*threads);
            _ = writeln!(out, "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#f0f0f0\"/>");
            text(out, (x, bottom + 20.0), "text-anchor=\"middle\"", &threads.to_string());
        }
        _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#888\"/>"
        );
    }

    fn line(&self, out: &mut String, left: f64, line: &Line, colour: &str) {
        let at = |threads, value| (left + self.x(threads), self.y(value));
        let path: Vec<_> = line.points.iter().map(|(threads, median, ..)| at(*threads, *median)).collect();
        let points: Vec<_> = path.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let width = if colour == COLOURS[0] { 3.5 } else { 2.0 };
        _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            points.join(" ")
        );
        for (threads, _, least, most) in &line.points {
            let ((x, top), (_, bottom)) = (at(*threads, *most), at(*threads, *least));
            _ = writeln!(out, "<path d=\"M{x:.1} {top:.1}V{bottom:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.45\"/>");
        }
        for (x, y) in path {
            _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{}\" fill=\"{colour}\"/>", width + 1.0);
        }
    }
}

fn legend(out: &mut String, panels: &[Panel]) {
    let mut x = LEFT;
    let lines = panels.first().map_or(&[][..], |panel| &panel.lines);
    for (line, colour) in lines.iter().zip(COLOURS) {
        let end = x + 24.0;
        _ = writeln!(out, "<path d=\"M{x} 55H{end}\" stroke=\"{colour}\" stroke-width=\"3.5\"/>");
        text(out, (end + 7.0, 59.5), "", line.name);
        x = end + 36.0 + 8.1 * line.name.len() as f64;
    }
}

fn text(out: &mut String, (x, y): (f64, f64), how: &str, what: &str) {
    _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {how}>{}</text>", escape(what));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
