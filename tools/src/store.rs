//! `leasehold store`: what a server writes down of its leases, whether it is whole, and what it found at its start (U-2, U-5).

use std::path::PathBuf;

use clap::ValueHint;
use hyper::{Method, body::Bytes};
use leasehold_server::journal::{self, How, Recovery};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    block_on,
    exit::{Exit, Failure},
    human::count,
    local::{LocalArgs, RestArgs, shell_path},
    output::{self, BAD, FAINT, GOOD, WARN, paint},
    rest,
};

/// What to look at.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Show what the running server writes down, and what it found at its start
    #[command(after_help = "\
Examples:
  leasehold store info
  leasehold store info --json | jq .store.before")]
    Info(InfoArgs),
    /// Check the files of a state folder, whether or not a server runs on it
    Check(CheckArgs),
    /// Tell the running server that you know its state folder is an old copy
    #[command(after_help = "\
Ends the warning and nothing else: what was changed since the copy was made (licences added over the network, the policy) is to be
done again by you, and programs that hold a seat come back by themselves.

Examples:
  leasehold store acknowledge")]
    Acknowledge(InfoArgs),
}

/// Which server.
#[derive(clap::Args, Debug)]
struct InfoArgs {
    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    rest: RestArgs,
}

/// Which folder.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Reads every record and changes nothing. A damaged journal is no reason not to start the server: it is careful then, for one TTL.
While a server runs on the folder its last record may be on its way, and is told of as cut short: check again.

Exit status: 0 everything is whole; 1 something is not, and it is said where.

Examples:
  leasehold store check
  leasehold store check /backup/leasehold --json")]
struct CheckArgs {
    /// The state folder [default: that of the server `leasehold serve` would start here]
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,

    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    local: LocalArgs,
}

/// As much of the server's answer as is printed.
#[derive(Debug, Deserialize)]
struct Store {
    journal: JournalLine,
    before: Before,
    old: bool,
    anchor: String,
}

#[derive(Debug, Deserialize)]
struct JournalLine {
    state: String,
    why: Option<String>,
    failing_since: Option<String>,
    bytes: u64,
    bytes_used: u64,
    log: u64,
    records: u64,
    syncs: u64,
    sync_us_mean: u64,
    sync_us_max: u64,
    grants_waited: u64,
}

#[derive(Debug, Deserialize)]
struct Before {
    sentence: String,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    file: String,
    offset: u64,
    what: String,
}

/// Does it.
///
/// # Errors
/// If no server answers, or a file cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Info(args) => show(args, block_on(args.rest.rest()?.get("/api/v1/store"))?),
        Command::Acknowledge(args) => {
            let rest = args.rest.rest()?;
            show(args, block_on(rest.ask(Method::POST, "/api/v1/store/acknowledge", Bytes::new()))?)
        }
        Command::Check(args) => check(args),
    }
}

fn show(args: &InfoArgs, told: Value) -> Result<Exit, Failure> {
    if args.json {
        output::json(&json!({ "schema": 1, "store": told }))?;
        return Ok(Exit::OK);
    }
    let Store { journal, before, old, anchor } = rest::read(&told)?;
    let state = match (&journal.why, &journal.failing_since) {
        (Some(why), Some(since)) => paint(BAD, format_args!("cannot be written since {since}: {why}")).to_string(),
        _ => paint(GOOD, &journal.state).to_string(),
    };
    let mut lines = vec![
        format!("journal   {state}"),
        format!(
            "          {} of {} KiB used, {}, {} in {} µs each ({} at most), {} waited for the disk",
            journal.bytes_used / 1024,
            journal.bytes / 1024,
            count(journal.records, "record"),
            count(journal.syncs, "sync"),
            journal.sync_us_mean,
            journal.sync_us_max,
            count(journal.grants_waited, "grant"),
        ),
        format!("start     {}", before.sentence),
    ];
    lines.extend(before.findings.iter().map(|found| {
        let Finding { file, offset, what } = found;
        paint(WARN, format_args!("          {file}, byte {offset}: {what}")).to_string()
    }));
    let age = if old { paint(BAD, "the state folder is an old copy").to_string() } else { "up to date".to_owned() };
    lines.push(format!("log       {}, {age}", journal.log));
    lines.push(paint(FAINT, format_args!("          anchor {anchor}")).to_string());
    output::result(&lines.join("\n"))?;
    Ok(Exit::OK)
}

fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => args.local.settings()?.data_dir,
    };
    if !folder.is_dir() {
        return Err(Failure::new(format!("there is no folder {}", folder.display()))
            .remedy("name the state folder: leasehold store check FOLDER"));
    }
    let found = journal::examine(&folder).map_err(|e| {
        Failure::new(format!("the journal in {} cannot be read", folder.display()))
            .because_of(&e)
            .remedy("check its owner and mode")
    })?;
    let exit = if found.findings.is_empty() { Exit::OK } else { Exit::FAILURE };
    if args.json {
        output::json(&json!({ "schema": 1, "folder": folder, "journal": as_json(&found) }))?;
        return Ok(exit);
    }
    output::result(&checked(&folder, &found))?;
    Ok(exit)
}

fn as_json(found: &Recovery) -> Value {
    let findings: Vec<Value> = found
        .findings
        .iter()
        .map(|f| json!({ "file": f.file, "offset": f.offset, "what": f.what, "serious": f.serious }))
        .collect();
    let ended = word(found.how);
    json!({ "ended": ended, "records": found.records, "leases": found.held.len(), "log": found.round, "findings": findings })
}

fn checked(folder: &std::path::Path, found: &Recovery) -> String {
    let mut lines: Vec<String> =
        found.findings.iter().map(|finding| paint(BAD, format_args!("✗ {finding}")).to_string()).collect();
    let (records, leases) = (count(found.records, "record"), count(found.held.len() as u64, "lease"));
    let sum = format!("journal in {}: {records}, {leases} out, {}", shell_path(folder), words(found.how));
    lines.push(match (found.how, found.findings.is_empty()) {
        (_, true) => format!("{} {sum}", paint(GOOD, "✓")),
        (How::Damaged, _) => format!("{} {sum}; a server started on it is careful for one TTL", paint(BAD, "✗")),
        _ => format!("{} {sum}; nothing that counts is lost", paint(WARN, "!")),
    });
    lines.join("\n")
}

const fn word(how: How) -> &'static str {
    match how {
        How::Nothing => "nothing",
        How::Closed => "closed",
        How::Killed => "running-or-killed",
        How::PowerCut => "power-cut",
        How::Damaged => "damaged",
    }
}

const fn words(how: How) -> &'static str {
    match how {
        How::Nothing => "nothing is written yet",
        How::Closed => "ended as it should",
        How::Killed => "in use, or its server was killed",
        How::PowerCut => "the machine went down with its server",
        How::Damaged => "damaged",
    }
}
