//! `leasehold licence`: the licences of a running server: listed, added, taken out, read anew (L-4, L-5).

mod answer;

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use hyper::{Method, body::Bytes};
use serde_json::{Value, json};

use crate::{
    block_on,
    exit::{Exit, Failure},
    human,
    issue::read_text,
    local::RestArgs,
    output::{self, BAD, FAINT, GOOD, STRONG, WARN, paint},
    rest::{self, Rest},
};
use answer::{Added, Line, Report};

/// What to do with licences.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Asks a running server by its REST, with the token of its state folder.

Examples:
  leasehold licences                              what became of each: the same as licence list
  leasehold licence add acme.lic                  until the next restart
  leasehold licence add acme.lic --persist        for good
  leasehold licence add acme.lic --dry-run        says what it would do
  leasehold licence remove 0a4fd70bd0e14a2c
  leasehold licence reload

Ends with 0 if every certificate named is in force or begins by itself, with 1 if one is not or nothing was changed.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show what became of every certificate: in force or not, why, and where it stands
    List(ListArgs),
    /// Add the certificates of licence files to a running server, as if it had just read them
    Add(AddArgs),
    /// Take out a certificate that was added over the network
    Remove(RemoveArgs),
    /// Have the server read all its files anew; a bad one changes nothing
    Reload(ReloadArgs),
}

#[derive(clap::Args, Debug)]
struct ListArgs {
    /// Only those that are not in force, and what was refused
    #[arg(long)]
    problems: bool,
    /// Print as JSON: everything the server tells
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rest: RestArgs,
}

#[derive(clap::Args, Debug)]
struct AddArgs {
    /// Licence files
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Keep them: they are there after a restart. Otherwise they live in memory
    #[arg(long)]
    persist: bool,
    /// Say what it would do, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rest: RestArgs,
}

#[derive(clap::Args, Debug)]
struct RemoveArgs {
    /// Its id: 16 hexadecimal digits, as `leasehold licence list` shows it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    rest: RestArgs,
}

#[derive(clap::Args, Debug)]
struct ReloadArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rest: RestArgs,
}

const LICENCES: &str = "/api/v1/licences";

/// Does it.
///
/// # Errors
/// If no server answers, it does not let us in, or it refuses.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        None => list(&args.list),
        Some(Verb::List(args)) => list(args),
        Some(Verb::Add(args)) => add(args),
        Some(Verb::Remove(args)) => remove(args),
        Some(Verb::Reload(args)) => {
            let report = block_on(args.rest.rest()?.ask(Method::POST, "/api/v1/licences/reload", Bytes::new()))?;
            show(&report, false, args.json)
        }
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let report: Value = block_on(args.rest.rest()?.get(LICENCES))?;
    show(&report, args.problems, args.json)
}

fn show(report: &Value, problems: bool, json: bool) -> Result<Exit, Failure> {
    if json {
        output::json(report)?;
        return Ok(Exit::OK);
    }
    let report: Report = rest::read(report)?;
    output::result(&text(&report, problems))?;
    Ok(Exit::OK)
}

fn add(args: &AddArgs) -> Result<Exit, Failure> {
    let query = format!("persist={}&dry_run={}", args.persist, args.dry_run);
    let told = send_files(&args.rest.rest()?, &args.files, &query, args.dry_run)?;
    if args.json {
        output::json(&told.json)?;
    } else {
        output::result(&told.text)?;
    }
    Ok(if told.is_good { Exit::OK } else { Exit::FAILURE })
}

/// What a server says it would do with licence files, or did.
pub(crate) struct Foretold {
    pub(crate) text: String,
    pub(crate) json: Value,
    /// Whether every certificate is in force, or begins by itself.
    pub(crate) is_good: bool,
}

/// Asks `rest` what it would do with `files`.
pub(crate) fn foretell(rest: &Rest, files: &[PathBuf]) -> Result<Foretold, Failure> {
    send_files(rest, files, "persist=false&dry_run=true", true)
}

fn send_files(rest: &Rest, files: &[PathBuf], query: &str, dry_run: bool) -> Result<Foretold, Failure> {
    let texts = files.iter().map(|path| read_text(path)).collect::<Result<Vec<_>, _>>()?;
    let all = block_on(send(rest, &format!("{LICENCES}?{query}"), texts))?;
    let added: Vec<Added> = all.iter().map(rest::read).collect::<Result<_, _>>()?;
    let text = files.iter().zip(&added).map(|(file, added)| told(file, added, dry_run)).collect();
    let is_good = added.iter().flat_map(|added| &added.certificates).all(|line| is_good(&line.outcome));
    Ok(Foretold { text, json: json!({ "schema": 1, "files": all }), is_good })
}

async fn send(rest: &Rest, path: &str, texts: Vec<String>) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for text in texts {
        all.push(rest.ask(Method::POST, path, text.into()).await?);
    }
    Ok(all)
}

fn remove(args: &RemoveArgs) -> Result<Exit, Failure> {
    let id = &args.id;
    if id.len() != 16 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!("{id:?} is no certificate id"))
            .because("it has 16 hexadecimal digits")
            .remedy("leasehold licence list shows them"));
    }
    let report: Value = block_on(args.rest.rest()?.ask(Method::DELETE, &format!("{LICENCES}/{id}"), Bytes::new()))?;
    let report: Report = rest::read(&report)?;
    output::result(&format!("certificate {id} is gone; {} in force\n", report.in_force()))?;
    Ok(Exit::OK)
}

fn is_good(outcome: &str) -> bool {
    matches!(outcome, "applied" | "not_started" | "loaded_before")
}

fn told(file: &std::path::Path, added: &Added, dry_run: bool) -> String {
    let what = match (dry_run, added.changed, added.persisted) {
        (true, ..) => "nothing was changed (--dry-run)",
        (_, false, _) => "nothing was changed",
        (_, _, true) => "added, and kept for the next start",
        (_, _, false) => "added, until the next restart (--persist keeps it)",
    };
    let mut out = format!("{}: {}\n", file.display(), paint(STRONG, what));
    for line in &added.certificates {
        out += &certificate(&line.outcome, &line.sentence, &line.id, &line.warnings);
    }
    for feature in &added.features {
        let seats = |n: Option<u64>| n.map_or("uncounted".to_owned(), |n| n.to_string());
        let (before, after) = (seats(feature.before), seats(feature.after));
        out += &format!("  {}: {before} {} {after} seats\n", feature.name, if before == after { "=" } else { "→" });
    }
    out
}

fn certificate(outcome: &str, sentence: &str, place: &str, warnings: &[String]) -> String {
    let (sign, style) = match outcome {
        "applied" => ("✓", GOOD),
        "not_started" | "loaded_before" | "duplicate" => ("·", WARN),
        _ => ("✗", BAD),
    };
    let mut out = format!("  {} {sentence} {}\n", paint(style, sign), paint(FAINT, format!("({place})")));
    for warning in warnings {
        out += &format!("    {} {warning}\n", paint(WARN, "warning:"));
    }
    out
}

fn text(report: &Report, problems: bool) -> String {
    let mut out = String::new();
    for file in &report.files {
        let shown: Vec<&Line> = file.certificates.iter().filter(|line| !problems || !is_good(&line.outcome)).collect();
        if problems && shown.is_empty() && file.refused.is_empty() && file.problem.is_none() {
            continue;
        }
        let problem =
            file.problem.as_ref().map_or_else(String::new, |why| format!(" {} {why}", paint(BAD, "cannot be read:")));
        out += &format!("{}{problem}\n", paint(STRONG, &file.path));
        for line in shown {
            let place = line.line.map_or_else(|| line.id.clone(), |at| format!("line {at}, {}", line.id));
            out += &certificate(&line.outcome, &line.sentence, &place, &line.warnings);
        }
        for refused in &file.refused {
            let feature = refused.feature.as_ref().map_or_else(String::new, |name| format!("{name}: "));
            let place = format!("line {}, column {}", refused.line, refused.column);
            out += &certificate("refused", &format!("{feature}refused: {}", refused.why), &place, &[]);
        }
    }
    if report.files.is_empty() {
        out += "no licence file: put the publisher's .lic file into licences/ of the state folder\n";
    }
    let change =
        report.next_change_at.as_ref().map_or_else(String::new, |at| format!("; the next one begins or ends at {at}"));
    let over =
        if report.overage > 0 { format!("; {} over", human::count(report.overage, "seat")) } else { String::new() };
    out + &format!("{} in force{over}{change}\n", report.in_force())
}
