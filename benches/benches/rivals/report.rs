//! Tables for people, figures for programs, a picture for both.

use std::{fs, io, path::Path};

use leasehold_benches::{
    machine,
    numbers::Rounds,
    plot::{self, Panel},
};

/// All that was found.
pub struct Report {
    text: String,
    csv: String,
    verdicts: Vec<String>,
    panels: Vec<Panel>,
}

/// Where a goal lies.
#[derive(Clone, Copy)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// What stands between these in the README is ours to replace.
const MARKS: [&str; 2] = ["<!-- rivals: begin -->\n", "<!-- rivals: end -->\n"];

impl Report {
    pub fn new() -> Self {
        let csv = "section,what,unit,median,least,most\n".to_owned();
        Self { text: String::new(), csv, verdicts: Vec::new(), panels: Vec::new() }
    }

    /// Notes `rounds` of `what` for programs.
    pub fn note(&mut self, section: &str, what: &str, unit: &str, rounds: &Rounds) {
        let (least, most) = rounds.spread();
        self.csv += &format!("{section},\"{what}\",{unit},{:.4},{least:.4},{most:.4}\n", rounds.median());
    }

    /// Holds `rounds` against a goal.
    pub fn judge(&mut self, what: &str, unit: &str, rounds: &Rounds, goal: Goal) {
        self.note("goals", what, if unit.is_empty() { "ratio" } else { unit }, rounds);
        let (words, met) = match goal {
            Goal::AtMost(most) => (format!("≤ {most}"), rounds.median() <= most),
            Goal::AtLeast(least) => (format!("≥ {least}"), rounds.median() >= least),
        };
        let unit = if unit.is_empty() { " ×".to_owned() } else { format!(" {unit}") };
        let verdict = if met { "met" } else { "**missed**" };
        self.verdicts.push(format!("| {what} | {words}{unit} | {rounds} | {verdict} |"));
    }

    /// A table: its head and rows, cells between bars.
    pub fn table(&mut self, title: &str, head: &str, rows: impl IntoIterator<Item = String>) {
        let columns = head.matches('|').count() - 1;
        let rule = format!("|{}", "---|".repeat(columns));
        let rows: String = rows.into_iter().map(|row| row + "\n").collect();
        self.text += &format!("\n### {title}\n\n{head}\n{rule}\n{rows}");
    }

    /// Adds a line of text.
    pub fn say(&mut self, line: &str) {
        self.text += &format!("\n{line}\n");
    }

    pub fn draw(&mut self, panel: Panel) {
        self.panels.push(panel);
    }

    /// Prints the report and writes it to files in `folder` of the target; to those of the documentation as well if
    /// `docs`.
    pub fn finish(mut self, folder: &str, docs: bool) -> io::Result<()> {
        let verdicts = std::mem::take(&mut self.verdicts);
        let details = std::mem::take(&mut self.text);
        self.say(&format!(
            "Machine: {}. Medians of interleaved rounds, [least–most]; ratios are taken round by round.",
            machine::description()
        ));
        self.table("Goals", "| what | goal | figure | |", verdicts);
        let text = self.text.clone() + &details;
        println!("{text}");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(folder);
        self.write(&target)?;
        fs::write(target.join("rivals.md"), &text)?;
        println!("written to {}", target.display());
        if docs {
            self.write(&Path::new(HERE).join("docs"))?;
            put_between_marks(&Path::new(HERE).join("README.md"), &text)?;
        }
        Ok(())
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("rivals.csv"), &self.csv)?;
        if !self.panels.is_empty() {
            let picture = plot::svg("Throughput against threads", &machine::description(), &self.panels);
            fs::write(folder.join("throughput.svg"), picture)?;
        }
        Ok(())
    }
}

fn put_between_marks(file: &Path, text: &str) -> io::Result<()> {
    let old = fs::read_to_string(file)?;
    let parts = old.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let Some((before, after)) = parts else { return Err(io::Error::other("README.md has lost its marks")) };
    fs::write(file, format!("{before}{}{text}\n{}{after}", MARKS[0], MARKS[1]))
}
