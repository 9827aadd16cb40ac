//! `leasehold policy`: look at a policy before it is in force, and ask it who may take seats (P-6, R-12).

mod import;

use std::{net::IpAddr, path::PathBuf};

use clap::ValueHint;
use leasehold_core::policy::{AccessRule, Action, GroupId, Policy, Verdict};
use leasehold_protocol::{
    message::Holder,
    vocab::{DeviceId, FeatureName, Label},
};
use leasehold_server::{
    config::ConfigError,
    policy::{PolicyFile, device_of},
};
use serde_json::json;

use crate::{
    exit::{Exit, Failure},
    human::count,
    local,
    output::{self, BAD, FAINT, GOOD, STRONG, WARN, paint},
    say,
    table::Rows,
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
    Explain(ExplainArgs),
    /// Make a policy of the options of another server, and say what became of each line
    Import(import::ImportArgs),
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

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit status: 0 may take seats; 77 may not.

Examples:
  leasehold policy explain policy.toml CAD --user ann --host ws1
  leasehold policy explain policy.toml CAD --user ann --address 10.1.2.3 --json")]
struct ExplainArgs {
    /// The policy file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Seats of what
    #[arg(value_name = "FEATURE")]
    feature: FeatureName,

    /// Login name
    #[arg(long, value_name = "NAME")]
    user: Label,

    /// Host name
    #[arg(long, value_name = "NAME", default_value = "?", hide_default_value = true)]
    host: Label,

    /// Address the request comes from
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0", hide_default_value = true)]
    address: IpAddr,

    /// Display or terminal
    #[arg(long, value_name = "NAME")]
    display: Option<Label>,

    /// Project tag
    #[arg(long, value_name = "TAG")]
    project: Option<Label>,

    /// The machine, 32 hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = device, default_value = "00000000000000000000000000000000",
        hide_default_value = true)]
    device: DeviceId,

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
        Command::Explain(args) => explain(args),
        Command::Import(args) => import::run(args),
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
            let rules = file.policy.rules().len();
            (ConfigError { problems: file.doubts }.to_json()["problems"].clone(), rules)
        });
        output::json(&json!({ "schema": 1, "mistakes": refused, "doubts": doubts, "rules": rules }))?;
        return Ok(exit);
    }
    let PolicyFile { policy, doubts } = read.map_err(|e| wrong(&e))?;
    if !doubts.is_empty() {
        let count = count(doubts.len() as u64, "doubt");
        say!("{} {count}, which no server refuses\n{}", paint(WARN, "!"), drawn(&ConfigError { problems: doubts }));
    }
    let named = policy.groups().all().iter().filter(|group| group.name.is_some()).count();
    let (rules, groups) = (count(policy.rules().len() as u64, "rule"), count(named as u64, "group"));
    output::result(&format!("{} {}: {rules}, {groups}", paint(GOOD, "✓"), local::shell_path(&args.file)))?;
    Ok(Exit::OK)
}

fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let PolicyFile { policy, .. } = PolicyFile::read(&args.file).map_err(|e| wrong(&e))?;
    let holder = Holder {
        user: args.user.clone(),
        host: args.host.clone(),
        display: args.display.clone(),
        process: Label::lossy("?"),
        pid: 0,
        project: args.project.clone(),
        device: args.device,
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    };
    let groups = policy.groups().of(&holder, args.address);
    let verdict = policy.judge(&args.feature, &holder, args.address);
    let exit = if matches!(verdict, Verdict::Allowed(_)) { Exit::OK } else { Exit::DENIED };
    let looked: Vec<&AccessRule> = policy.rules_for(&args.feature).collect();
    if args.json {
        let rule = |rule: &&AccessRule| {
            json!({ "id": rule.id, "action": action(rule), "group": group(&policy, rule.group),
                    "all_features": rule.features.is_none(), "matches": groups.contains(&rule.group) })
        };
        let names: Vec<_> = groups.iter().filter_map(|id| policy.groups().all()[*id as usize].name.as_ref()).collect();
        let (word, by) = told(verdict);
        output::json(&json!({ "schema": 1, "feature": args.feature.as_str(), "groups": names, "verdict": word,
            "rule": by.map(|rule| &rule.id), "looked_at": looked.iter().map(rule).collect::<Vec<_>>() }))?;
        return Ok(exit);
    }
    output::result(&text(args, &policy, &groups, &looked, verdict))?;
    Ok(exit)
}

fn text(
    args: &ExplainArgs,
    policy: &Policy,
    groups: &[GroupId],
    looked: &[&AccessRule],
    verdict: Verdict<'_>,
) -> String {
    let names: Vec<&str> = groups.iter().filter_map(|id| policy.groups().all()[*id as usize].name.as_deref()).collect();
    let groups_are =
        if names.is_empty() { "in no group that has a name".to_owned() } else { format!("in {}", names.join(", ")) };
    let mut text = format!("{} {groups_are}\n", paint(STRONG, &args.user));
    if looked.is_empty() {
        text += &format!("{}\n", paint(FAINT, format_args!("no rule is for {} or for all features", args.feature)));
    } else {
        let mut rows = Rows::new(&["rule", "says", "of", "and the holder is"]);
        for rule in looked {
            let of = if rule.features.is_none() { "all features" } else { args.feature.as_str() };
            let is = if groups.contains(&rule.group) { "in it" } else { "not in it" };
            let says = format!("{} {}", action(rule), group(policy, rule.group));
            rows.push(vec![rule.id.clone(), says, of.to_owned(), is.to_owned()]);
        }
        text += &rows.render();
        text.push('\n');
    }
    let (feature, user) = (&args.feature, &args.user);
    let (mark, sentence) = match verdict {
        Verdict::Allowed(None) => (paint(GOOD, "✓"), format!("may take seats of {feature}: no rule is against it")),
        Verdict::Allowed(Some(rule)) => {
            (paint(GOOD, "✓"), format!("may take seats of {feature}: rule {} includes {user}", rule.id))
        }
        Verdict::Excluded(rule) => {
            (paint(BAD, "✗"), format!("may not take seats of {feature}: rule {} excludes {user} (excluded)", rule.id))
        }
        Verdict::NotIncluded(rule) => (
            paint(BAD, "✗"),
            format!(
                "may not take seats of {feature}: rule {} includes others, and no rule {user} (not-included)",
                rule.id
            ),
        ),
    };
    format!("{text}{mark} {sentence}\n")
}

const fn told(verdict: Verdict<'_>) -> (&'static str, Option<&AccessRule>) {
    match verdict {
        Verdict::Allowed(rule) => ("allowed", rule),
        Verdict::Excluded(rule) => ("excluded", Some(rule)),
        Verdict::NotIncluded(rule) => ("not-included", Some(rule)),
    }
}

const fn action(rule: &AccessRule) -> &'static str {
    match rule.action {
        Action::Include => "include",
        Action::Exclude => "exclude",
    }
}

fn group(policy: &Policy, id: GroupId) -> &str {
    policy.groups().all()[id as usize].name.as_deref().unwrap_or("its own list")
}

fn device(text: &str) -> Result<DeviceId, String> {
    device_of(text).ok_or_else(|| "expected 32 hexadecimal digits".to_owned())
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
