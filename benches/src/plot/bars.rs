//! One figure each of several things, as bars on a logarithmic scale.

use std::fmt::Write;

use super::{COLOURS, text};

/// One thing's figure.
pub struct Bar {
    /// Before the bar.
    pub name: &'static str,
    /// Median, least, most.
    pub figure: (f64, f64, f64),
    /// Ours stand out.
    pub ours: bool,
}

const WIDTH: f64 = 620.0;
const LEFT: f64 = 250.0;
const TOP: f64 = 64.0;
const STEP: f64 = 30.0;
const THICK: f64 = 16.0;

/// The picture of `bars`, one below the other, under `title` and above `note`.
#[must_use]
pub fn svg(title: &str, note: &str, bars: &[Bar]) -> String {
    let (width, bottom) = (LEFT + WIDTH + 90.0, TOP + STEP * bars.len() as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {}\" font-family=\"Helvetica, Arial, \
         'Liberation Sans', sans-serif\" font-size=\"13\" fill=\"#222\">\n<title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        bottom + 62.0,
        super::escape(title)
    );
    text(&mut out, (24.0, 32.0), "font-size=\"18\" font-weight=\"bold\"", title);
    let scale = Scale::of(bars);
    scale.grid(&mut out, bottom);
    for (n, bar) in bars.iter().enumerate() {
        scale.draw(&mut out, TOP + STEP * (n as f64 + 0.5), bar);
    }
    text(&mut out, (24.0, bottom + 46.0), "font-size=\"12\" fill=\"#666\"", note);
    out.push_str("</svg>\n");
    out
}

/// Where figures lie.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(bars: &[Bar]) -> Self {
        let least = bars.iter().map(|bar| bar.figure.1).fold(f64::INFINITY, f64::min) * 0.5;
        let most = bars.iter().map(|bar| bar.figure.2).fold(0.0, f64::max) * 1.2;
        Self { least, most }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + WIDTH * (value / self.least).ln() / (self.most / self.least).ln()
    }

    fn grid(&self, out: &mut String, bottom: f64) {
        for value in (0..9).map(|power| 10_f64.powi(power)).filter(|v| self.least <= *v && *v <= self.most) {
            let x = self.x(value);
            _ = writeln!(out, "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#e3e3e3\"/>");
            text(out, (x, bottom + 20.0), "text-anchor=\"middle\"", &value.to_string());
        }
    }

    fn draw(&self, out: &mut String, y: f64, bar: &Bar) {
        let (median, least, most) = bar.figure;
        let colour = if bar.ours { COLOURS[0] } else { COLOURS[1] };
        let (top, length) = (y - THICK / 2.0, self.x(median) - LEFT);
        _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{THICK}\" fill=\"{colour}\"/>"
        );
        let (from, to) = (self.x(least), self.x(most));
        _ = writeln!(out, "<path d=\"M{from:.1} {y:.1}H{to:.1}\" stroke=\"#222\" stroke-width=\"1.5\"/>");
        text(out, (LEFT - 10.0, y + 4.5), "text-anchor=\"end\"", bar.name);
        text(out, (to + 8.0, y + 4.5), "", &format!("{median:.0}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_time_has_a_longer_bar_with_its_spread_around_the_end() {
        let bars = [(100.0, 90.0, 120.0), (1000.0, 900.0, 1200.0)].map(|figure| Bar { name: "a", figure, ours: false });
        let scale = Scale::of(&bars);
        assert!(scale.x(90.0) > LEFT && scale.x(1200.0) < LEFT + WIDTH);
        let [short, long] = [100.0, 1000.0].map(|value| scale.x(value));
        assert!(short < long && scale.x(90.0) < short && short < scale.x(120.0));
        assert_eq!(svg("t", "n", &bars).matches("<rect").count(), 3, "the ground and two bars");
    }
}
