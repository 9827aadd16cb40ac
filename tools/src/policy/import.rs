//! `leasehold policy import`: what other servers call options, as a policy of ours, with what became of each line (P-1).

mod flexnet;
mod members;
mod rms;

use std::{fmt::Write as _, path::PathBuf};

use clap::{ValueEnum, ValueHint};
use leasehold_server::policy::PolicyFile;
use serde::Serialize;

use crate::{
    exit::{Exit, Failure},
    human::count,
    issue::{read_text, write_whole},
    output::{self, BAD, FAINT, GOOD, WARN, paint},
    say,
};

/// What to import.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The policy goes to standard output or a file, what became of each line to standard error: = it means the same, ~ its meaning
changed and how, ! nothing in a policy stands for it. Look at the last two before you serve it.

Exit status: 0 every line means the same; 1 some do not; 2 the file could not be read.

Examples:
  leasehold policy import --from flexnet acme.opt > policy.toml
  leasehold policy import --from flexnet acme.opt --output policy.toml --json
  leasehold policy import --from rms lsreserv > policy.toml")]
pub(super) struct ImportArgs {
    /// Whose file it is
    #[arg(long, value_enum)]
    from: From,

    /// The file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Write the policy here [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Overwrite the output file if there is one
    #[arg(long)]
    force: bool,

    /// Print what became of each line, and the policy, as JSON
    #[arg(long)]
    json: bool,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    /// An options file of a FlexNet vendor daemon
    Flexnet,
    /// A reservation file of Sentinel RMS, lsreserv
    Rms,
    /// An options file of an ISV server of RLM
    Rlm,
}

/// A policy, and what became of each line.
#[derive(Debug, Serialize)]
struct Imported {
    policy: String,
    lines: Vec<Line>,
}

/// What became of one line, with those that continue it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// From 1.
    line: usize,
    /// Its words, joined by single spaces.
    text: String,
    became: Became,
    /// What it is now, what changed, or why there is nothing.
    note: String,
}

/// How much of a line's meaning is in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Became {
    /// All of it.
    Same,
    /// Some of it, or a little more.
    Changed,
    /// Nothing.
    Nothing,
}

/// Imports it.
///
/// # Errors
/// If the file cannot be read, or the policy cannot be written.
pub(super) fn run(args: &ImportArgs) -> Result<Exit, Failure> {
    let text = read_text(&args.file)?;
    let name = args.file.display().to_string();
    let imported = match args.from {
        From::Flexnet => flexnet::import(&name, &text, false)?,
        From::Rlm => flexnet::import(&name, &text, true)?,
        From::Rms => rms::import(&name, &text),
    };
    // What we write we must be able to read: otherwise nothing is written.
    PolicyFile::parse("the imported policy", &imported.policy).map_err(|e| super::wrong(&e))?;
    if let Some(path) = &args.output {
        write_whole(path, &imported.policy, 0o644, args.force)?;
    }
    if args.json {
        output::json(&imported)?;
    } else {
        say!("{}", report(&imported.lines));
        if args.output.is_none() {
            output::result(&imported.policy)?;
        }
    }
    let is_same = imported.lines.iter().all(|line| line.became == Became::Same);
    Ok(if is_same { Exit::OK } else { Exit::FAILURE })
}

/// What became of each line, and the sums.
fn report(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let mark = match line.became {
            Became::Same => paint(GOOD, "="),
            Became::Changed => paint(WARN, "~"),
            Became::Nothing => paint(BAD, "!"),
        };
        let _ = writeln!(text, "{:>4} {mark} {}", line.line, shortened(&line.text));
        let _ = writeln!(text, "       {}", paint(FAINT, &line.note));
    }
    let of = |became| lines.iter().filter(|line| line.became == became).count() as u64;
    let (same, changed, nothing) = (of(Became::Same), of(Became::Changed), of(Became::Nothing));
    let _ = write!(
        text,
        "{}: {same} the same, {changed} changed, {nothing} without a counterpart",
        count(lines.len() as u64, "line")
    );
    text
}

fn shortened(text: &str) -> String {
    const MAX: usize = 90;
    let mut chars = text.chars();
    let short: String = chars.by_ref().take(MAX).collect();
    if chars.next().is_some() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The policy and the report of a realistic file, as people see them; the policy, read again.
    fn golden(file: &str, golden: &str, import: impl Fn(&str) -> Imported) -> leasehold_core::policy::Policy {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let imported = import(&std::fs::read_to_string(folder.join("options").join(file)).unwrap());
        let report = anstream::adapter::strip_str(&report(&imported.lines)).to_string();
        let page = format!("{}\n---- report ----\n{report}\n", imported.policy);
        let golden = folder.join("golden").join(golden);
        if std::env::var_os("LEASEHOLD_WRITE_GOLDEN").is_some() {
            std::fs::write(&golden, &page).unwrap();
        }
        assert_eq!(page, std::fs::read_to_string(golden).unwrap());
        PolicyFile::parse("imported", &imported.policy).unwrap().policy
    }

    #[test]
    fn an_options_file_becomes_a_policy_with_a_report_line_by_line() {
        let import = |text: &str| flexnet::import("acme.opt", text, false).unwrap();
        let policy = golden("acme.opt", "flexnet-options.txt", import);
        assert_eq!((policy.rules().len(), policy.limits().len(), policy.reservations().len()), (8, 3, 2));
    }

    #[test]
    fn po_07_a_reservation_file_becomes_a_policy_with_a_report_line_by_line() {
        let policy = golden("lsreserv", "rms-reservations.txt", |text| rms::import("lsreserv", text));
        assert_eq!((policy.rules().len(), policy.limits().len(), policy.reservations().len()), (3, 0, 4));
    }

    #[test]
    fn options_of_rlm_become_a_policy_with_a_report_line_by_line() {
        let policy = golden("rlm.opt", "rlm-options.txt", |text| flexnet::import("rlm.opt", text, true).unwrap());
        assert_eq!((policy.limits().len(), policy.priorities().len(), policy.queue().passing_max), (2, 3, 0));
        let limit = &policy.limits()[0];
        let exempt = &policy.groups().all()[limit.exempt.unwrap() as usize];
        assert_eq!((exempt.users.len(), exempt.groups.len()), (2, 1));
    }

    #[test]
    fn every_line_is_told_of_and_none_breaks_the_policy() {
        let text = "INCLUDE\nEXCLUDE a b c d\nINCLUDE \"a b\" USER x\nGROUP\nGROUP \"g h\" ann\nEXCLUDEALL USER \"o'neil\"\n\
                    EXCLUDE f INTERNET 1.2.*.4\nHOST_GROUP g *.*.*.* 300.1.*.*\nNEW thing\nEXCLUDEALL GROUP \"g h\"\n\
                    MAX x CAD USER ann\nMAX 0 CAD USER ann\nRESERVE 0 CAD USER ann\nRESERVE 2 CAD GROUP nobody\nMAX 2 CAD";
        let imported = flexnet::import("x.opt", text, false).unwrap();
        assert_eq!(imported.lines.len(), 15);
        PolicyFile::parse("imported", &imported.policy).unwrap();
    }

    #[test]
    fn a_text_that_is_not_closed_is_named_with_its_line() {
        let refused = flexnet::import("x.opt", "NOLOG IN\nINCLUDE \"CAD USER ann\n", false).unwrap_err();
        assert!(refused.what().starts_with("x.opt:"), "{}", refused.what());
    }
}
