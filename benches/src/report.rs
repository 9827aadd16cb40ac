//! Tables for people, figures for programs, a picture for both.

use std::{fs, io, path::Path};

use crate::{machine, numbers::Rounds};

/// All that one bench found.
pub struct Report {
    name: &'static str,
    text: String,
    csv: String,
    verdicts: Vec<String>,
    pictures: Vec<(&'static str, String)>,
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

impl Report {
    /// Of the bench `name`, which names its files and its marks in the README.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let csv = "section,what,unit,median,least,most\n".to_owned();
        Self { name, text: String::new(), csv, verdicts: Vec::new(), pictures: Vec::new() }
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

    /// Adds a picture, an SVG, under the name of its file.
    pub fn draw(&mut self, file: &'static str, svg: String) {
        self.pictures.push((file, svg));
    }

    /// Prints the report and writes it to files in `target`; to those of the documentation as well if `docs`.
    ///
    /// # Errors
    /// If a file cannot be written, or the README has no marks.
    pub fn finish(mut self, target: &Path, docs: bool) -> io::Result<()> {
        let verdicts = std::mem::take(&mut self.verdicts);
        let details = std::mem::take(&mut self.text);
        self.say(&format!(
            "Machine: {}. Medians of interleaved rounds, [least–most]; ratios are taken round by round.",
            machine::description()
        ));
        if !verdicts.is_empty() {
            self.table("Goals", "| what | goal | figure | |", verdicts);
        }
        let text = self.text.clone() + &details;
        println!("{text}");
        self.write(target)?;
        fs::write(target.join(self.name).with_extension("md"), &text)?;
        println!("written to {}", target.display());
        if docs {
            self.write(&Path::new(HERE).join("docs"))?;
            self.put_between_marks(&Path::new(HERE).join("README.md"), &text)?;
        }
        Ok(())
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join(self.name).with_extension("csv"), &self.csv)?;
        self.pictures.iter().try_for_each(|(file, svg)| fs::write(folder.join(file), svg))
    }

    /// Replaces what stands between our marks in `file`.
    fn put_between_marks(&self, file: &Path, text: &str) -> io::Result<()> {
        let old = fs::read_to_string(file)?;
        let [begin, end] = ["begin", "end"].map(|word| format!("<!-- {}: {word} -->\n", self.name));
        let parts = old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
        let Some((before, after)) = parts else { return Err(io::Error::other("README.md has lost its marks")) };
        fs::write(file, format!("{before}{begin}{text}\n{end}{after}"))
    }
}
