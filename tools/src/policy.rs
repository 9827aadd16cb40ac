//! `leasehold policy`: look at a policy before it is in force, and ask it who may take seats (P-6, R-12).

mod change;
mod explain;
mod history;
mod import;
mod rehearse;
mod reservations;

use std::path::PathBuf;

use clap::ValueHint;
use leasehold_server::{config::ConfigError, policy::PolicyFile};
use serde_json::json;

use crate::{
    exit::{Exit, Failure},
    human::count,
    local,
    output::{self, GOOD, WARN, paint},
    say,
};

/// What to do with a policy.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Find mistakes in a policy file, and rules that change nothing
    Check(CheckArgs),
    /// Ask a policy file whether somebody may take seats, and why
    Explain(explain::ExplainArgs),
    /// Print the policy the running server has in force
    #[command(after_help = "\
Examples:
  leasehold policy show > policy.toml
  leasehold policy show --json | jq .policy.file")]
    Show(change::ShowArgs),
    /// Compare a policy file with what the running server has in force, or two files
    Diff(change::DiffArgs),
    /// Ask a draft what was asked of the running server of late: who would be denied
    Rehearse(rehearse::RehearseArgs),
    /// Put a policy in force on the running server, and keep the one before
    Apply(change::ApplyArgs),
    /// List every policy that was in force on the running server
    #[command(after_help = "\
Examples:
  leasehold policy history
  leasehold policy history --json | jq '.versions[-1]'")]
    History(change::ShowArgs),
    /// Go back to the policy before the last one that was put in force, or to any before
    Rollback(history::RollbackArgs),
    /// Make a policy of the options of another server, and say what became of each line
    Import(import::ImportArgs),
    /// Show what the running server keeps for whom, and whether its licences can
    Reservations(reservations::ReservationsArgs),
    /// Print a policy that explains itself
    Example,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit status: 0 it can be put in force (doubts are told and are no mistakes); 2 it is refused whole.

Examples:
  leasehold policy example > policy.toml
  leasehold policy check policy.toml
  leasehold serve --policy policy.toml            ... and `leasehold licence reload` after a change, or nothing: it is watched")]
struct CheckArgs {
    /// The policy file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The policy that `leasehold policy example` prints.
const EXAMPLE: &str = include_str!("policy/example.toml");

/// Does it.
///
/// # Errors
/// If the file is wrong.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check(args),
        Command::Explain(args) => explain::run(args),
        Command::Show(args) => change::show(args),
        Command::Diff(args) => change::diff(args),
        Command::Rehearse(args) => rehearse::run(args),
        Command::Apply(args) => change::apply(args),
        Command::History(args) => history::history(args),
        Command::Rollback(args) => history::roll_back(args),
        Command::Import(args) => import::run(args),
        Command::Reservations(args) => reservations::run(args),
        Command::Example => output::result(EXAMPLE).map(|()| Exit::OK),
    }
}

fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let read = PolicyFile::read(&args.file);
    if args.json {
        let (refused, exit) = match &read {
            Ok(_) => (json!([]), Exit::OK),
            Err(e) => (e.to_json()["problems"].clone(), Exit::USAGE),
        };
        let (doubts, rules) = read.map_or((json!([]), 0), |file| {
            let rules = file.policy.len();
            (ConfigError { problems: file.doubts }.to_json()["problems"].clone(), rules)
        });
        output::json(&json!({ "schema": 1, "mistakes": refused, "doubts": doubts, "rules": rules }))?;
        return Ok(exit);
    }
    let PolicyFile { policy, doubts, .. } = read.map_err(|e| wrong(&e))?;
    if !doubts.is_empty() {
        let count = count(doubts.len() as u64, "doubt");
        say!("{} {count}, which no server refuses\n{}", paint(WARN, "!"), drawn(&ConfigError { problems: doubts }));
    }
    let named = policy.groups().all().iter().filter(|group| group.name.is_some()).count();
    let (rules, groups) = (count(policy.len() as u64, "rule"), count(named as u64, "group"));
    output::result(&format!("{} {}: {rules}, {groups}", paint(GOOD, "✓"), local::shell_path(&args.file)))?;
    Ok(Exit::OK)
}

fn wrong(error: &ConfigError) -> Failure {
    let what = match error.problems.len() {
        1 => "the policy has a mistake, and none of it is used".to_owned(),
        count => format!("the policy has {count} mistakes, and none of it is used"),
    };
    Failure::usage(format!("{what}\n{}", drawn(error)))
}

fn drawn(error: &ConfigError) -> String {
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    error.render(colour, 110).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever somebody's editor left behind is a policy or a list of mistakes with places, and nothing else.
    #[test]
    fn a_damaged_policy_is_read_or_refused_with_places() {
        let (mut read, mut refused, mut dice) = (0, 0, 0x9e37_79b9_7f4a_7c15_u64);
        for _ in 0..3000 {
            let mut text = EXAMPLE.as_bytes().to_vec();
            for _ in 0..1 + dice % 3 {
                if text.is_empty() {
                    break;
                }
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(dice >> 33).unwrap_or(0) % text.len();
                match dice >> 20 & 3 {
                    0 => _ = text.remove(at),
                    1 => text.insert(at, b"\"[]{}=#\n"[usize::try_from(dice >> 24 & 7).unwrap_or(0)]),
                    2 => text.truncate(at.max(1)),
                    _ => text[at] = (dice >> 40 & 0x7f) as u8,
                }
            }
            match PolicyFile::parse("p.toml", &String::from_utf8_lossy(&text)) {
                Ok(_) => read += 1,
                Err(e) => {
                    refused += 1;
                    assert!(e.problems.iter().all(|problem| problem.place.starts_with("p.toml:")), "{e}");
                }
            }
        }
        assert!(read > 200 && refused > 200, "{read} read, {refused} refused");
    }
}
