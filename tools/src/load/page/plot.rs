//! One plot, as SVG inside the page: it takes its colours from there, and tells its figures under the pointer.

use std::{fmt::Write, time::Duration};

use super::escape;
use crate::human;

/// A plot.
pub struct Plot {
    /// Over it.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// At most five.
    pub lines: Vec<Line>,
    /// Parts of the time.
    pub bands: Vec<Band>,
}

/// A line of a plot.
pub struct Line {
    /// In the legend.
    pub name: &'static str,
    /// From left to right; `None` is a gap.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A named part of the time.
#[derive(Clone)]
pub struct Band {
    /// At its beginning; may be empty.
    pub name: String,
    /// Seconds.
    pub from: f64,
    /// Seconds.
    pub to: f64,
}

/// What an axis shows, and on which scale.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Seconds since the beginning.
    Seconds,
    /// How many, from 0.
    Count,
    /// Microseconds, logarithmic.
    Latency,
    /// How many nines: 1 is the 90th percentile, 2 the 99th.
    Nines,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 26.0;

/// What an axis spans and where its marks are.
struct Scale {
    axis: Axis,
    min: f64,
    max: f64,
    marks: Vec<f64>,
}

impl Plot {
    /// The figure with its legend.
    pub fn figure(&self) -> String {
        let mut out = format!("<figure><figcaption>{}<br>", escape(&self.title));
        for (n, line) in self.lines.iter().enumerate() {
            _ = write!(out, "<span><i class=\"b{n}\"></i>{}</span>", escape(line.name));
        }
        _ = write!(
            out,
            "</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(&self.title)
        );
        let (x, y) = (self.x_scale(), self.y_scale());
        grid(&mut out, &x, &y);
        self.bands.iter().skip(1).for_each(|band| separator(&mut out, &x, band));
        self.bands.iter().for_each(|band| label(&mut out, &x, band));
        for (n, line) in self.lines.iter().enumerate() {
            _ = writeln!(out, "<path class=\"l l{n}\" d=\"{}\"/>", path(line, &x, &y));
        }
        self.hover(&mut out, &x);
        out.push_str("</svg></figure>\n");
        out
    }

    fn x_scale(&self) -> Scale {
        let points = || self.lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x);
        let (least, most) = (points().fold(f64::INFINITY, f64::min), points().fold(1.0, f64::max));
        match self.x {
            Axis::Nines => Scale::new(self.x, 0.0, most.ceil()),
            _ => Scale::new(self.x, if least.is_finite() { least } else { 0.0 }, most),
        }
    }

    fn y_scale(&self) -> Scale {
        let values = || self.lines.iter().flat_map(|line| &line.points).filter_map(|(_, y)| *y);
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(1.0, f64::max));
        Scale::new(self.y, if least.is_finite() { least } else { 1.0 }, most)
    }

    /// A column under the pointer for each place on the horizontal axis, with what all lines say there.
    fn hover(&self, out: &mut String, x: &Scale) {
        let Some(longest) = self.lines.iter().max_by_key(|line| line.points.len()) else { return };
        let step = longest.points.get(1).map_or(1.0, |second| second.0 - longest.points[0].0);
        for (n, (at, _)) in longest.points.iter().enumerate() {
            let (left, right) = (x.place(at - step / 2.0).max(LEFT), x.place(at + step / 2.0).min(WIDTH - RIGHT));
            let mut tip = x.axis.tell(*at);
            for line in &self.lines {
                if let Some((_, Some(value))) = line.points.get(n) {
                    _ = write!(tip, "\n{}: {}", line.name, self.y.tell(*value));
                }
            }
            _ = writeln!(
                out,
                "<rect class=\"hover\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>{}</title></rect>",
                (right - left).max(0.5),
                HEIGHT - TOP - BOTTOM,
                escape(&tip)
            );
        }
    }
}

impl Scale {
    fn new(axis: Axis, least: f64, most: f64) -> Self {
        let (min, max, marks) = match axis {
            Axis::Count => {
                let step = step(most / 4.0).max(1.0);
                let max = (most / step).ceil() * step;
                (0.0, max, marks(0.0, max, step))
            }
            Axis::Seconds => (least, most, marks(least, most, step((most - least) / 6.0).max(1.0))),
            Axis::Nines => (0.0, most.max(1.0), marks(0.0, most.max(1.0), 1.0)),
            Axis::Latency => {
                let decade = |value: f64| value.max(1.0).log10();
                let (min, max) = (decade(least).floor(), decade(most).ceil());
                let max = if max > min { max } else { min + 1.0 };
                let tens = marks(min, max, 1.0).into_iter().map(|power| 10_f64.powf(power));
                (10_f64.powf(min), 10_f64.powf(max), tens.collect())
            }
        };
        Self { axis, min, max, marks }
    }

    /// Where a value is, in the plot's own units.
    fn place(&self, value: f64) -> f64 {
        let (min, max, value) = match self.axis {
            Axis::Latency => (self.min.log10(), self.max.log10(), value.max(1.0).log10()),
            _ => (self.min, self.max, value),
        };
        let share = (value - min) / (max - min).max(1e-9);
        match self.axis {
            Axis::Seconds | Axis::Nines => LEFT + share * (WIDTH - LEFT - RIGHT),
            Axis::Count | Axis::Latency => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM),
        }
    }
}

impl Axis {
    /// A value for people, to three digits.
    fn tell(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("second {value:.0}"),
            Self::Count => number(value),
            Self::Latency => human::show(Duration::from_secs_f64(value / 1e6)),
            Self::Nines => format!("{}%", percentile(value)),
        }
    }

    /// A mark, as short as can be.
    fn mark(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.0} s"),
            Self::Count => number(value),
            Self::Latency if value < 1e3 => format!("{value:.0} µs"),
            Self::Latency if value < 1e6 => format!("{:.0} ms", value / 1e3),
            Self::Latency => format!("{:.0} s", value / 1e6),
            Self::Nines if value > 4.5 => format!("{value:.0} nines"),
            Self::Nines => format!("{}%", percentile(value)),
        }
    }
}

/// `nines` nines as a percentage, with as many digits as it has nines.
fn percentile(nines: f64) -> String {
    let whole = nines.fract() == 0.0;
    let digits = (2..).take_while(|digits| f64::from(*digits) < nines).count().max(usize::from(!whole));
    format!("{:.digits$}", 100.0 * (1.0 - 10_f64.powf(-nines)))
}

/// A count to three digits: `870`, `12.4k`, `3.05M`.
pub fn number(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 999_500.0 => (v / 1e6, "M"),
        v if v >= 9_995.0 => (v / 1e3, "k"),
        v => return format!("{v:.0}"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// The next of 1, 2, 5, 10, … from `at_least` on.
fn step(at_least: f64) -> f64 {
    let ten = 10_f64.powf(at_least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|n| n * ten).into_iter().find(|n| *n >= at_least * 0.999).unwrap_or(10.0 * ten)
}

fn marks(min: f64, max: f64, step: f64) -> Vec<f64> {
    let first = (min / step).ceil();
    (0..=1_000).map(|n| (first + f64::from(n)) * step).take_while(|mark| *mark <= max * 1.000_001).collect()
}

fn grid(out: &mut String, x: &Scale, y: &Scale) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for mark in &y.marks {
        let at = y.place(*mark);
        _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>");
        text(out, LEFT - 6.0, at + 3.5, "end", &y.axis.mark(*mark));
    }
    for mark in &x.marks {
        let at = x.place(*mark);
        _ = writeln!(out, "<path class=\"grid\" d=\"M{at:.1} {bottom}v4\"/>");
        let anchor = if at > right - 14.0 { "end" } else { "middle" };
        text(out, at, bottom + 16.0, anchor, &x.axis.mark(*mark));
    }
}

fn separator(out: &mut String, x: &Scale, band: &Band) {
    _ = writeln!(out, "<path class=\"band\" d=\"M{:.1} {TOP}V{}\"/>", x.place(band.from), HEIGHT - BOTTOM);
}

/// A band's name, as much of it as there is room for.
fn label(out: &mut String, x: &Scale, band: &Band) {
    /// About the width of a letter.
    const LETTER: f64 = 5.6;
    let room = x.place(band.to) - x.place(band.from);
    let letters = band.name.chars().zip(1..).take_while(|(_, n)| f64::from(*n) * LETTER < room);
    let name: String = letters.map(|(letter, _)| letter).collect();
    text(out, x.place(band.from) + 3.0, TOP - 6.0, "start", &name);
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(what));
}

fn path(line: &Line, x: &Scale, y: &Scale) -> String {
    let (mut path, mut pen_down) = (String::new(), false);
    for (at, value) in &line.points {
        match value {
            // A point of its own is drawn by its round end.
            Some(value) => {
                let letter = if pen_down { 'L' } else { 'M' };
                _ = write!(path, "{letter}{:.1} {:.1}", x.place(*at), y.place(*value));
                if !pen_down {
                    path.push_str("h0");
                }
                pen_down = true;
            }
            None => pen_down = false,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_to_three_digits() {
        let told = [0.0, 870.0, 9_994.0, 12_430.0, 20_000.0, 3_050_000.0, 1e8].map(number);
        assert_eq!(told, ["0", "870", "9994", "12.4k", "20k", "3.05M", "100M"]);
    }

    #[test]
    fn percentiles_have_as_many_digits_as_nines() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 4.0].map(percentile), ["0", "90", "99", "99.9", "99.99"]);
    }

    #[test]
    fn marks_are_round_and_cover_the_axis() {
        let count = Scale::new(Axis::Count, 0.0, 870.0);
        assert_eq!(count.marks, [0.0, 500.0, 1_000.0]);
        let latency = Scale::new(Axis::Latency, 42.0, 3_000.0);
        assert_eq!((latency.min, latency.max), (10.0, 10_000.0));
        let flat = Scale::new(Axis::Latency, 100.0, 100.0);
        assert!(flat.max > flat.min);
    }

    #[test]
    fn a_gap_lifts_the_pen() {
        let line =
            Line { name: "p50", points: vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(1.0)), (3.0, Some(1.0))] };
        let (x, y) = (Scale::new(Axis::Seconds, 0.0, 3.0), Scale::new(Axis::Count, 0.0, 4.0));
        let path = path(&line, &x, &y);
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }

    #[test]
    fn an_empty_plot_is_a_plot() {
        let plot = Plot {
            title: "None & <nothing>".to_owned(),
            x: Axis::Nines,
            y: Axis::Latency,
            lines: Vec::new(),
            bands: Vec::new(),
        };
        let figure = plot.figure();
        assert!(figure.contains("None &amp; &lt;nothing&gt;") && !figure.contains("NaN"), "{figure}");
    }
}
