//! `leasehold policy show | diff | apply`: the policy of the running server, seen and changed (P-6).

use std::{collections::BTreeMap, path::PathBuf};

use clap::ValueHint;
use hyper::{Method, body::Bytes};
use leasehold_core::policy::{Group, GroupId, Policy};
use leasehold_server::policy::PolicyFile;
use serde::Deserialize;
use serde_json::{Value, json};

use super::wrong;
use crate::{
    block_on,
    exit::{Exit, Failure},
    human::count,
    issue::read_text,
    local::RestArgs,
    output::{self, BAD, FAINT, GOOD, WARN, paint},
    rest, say,
};

pub(super) const PAGE: &str = "/api/v1/policy";

/// Which server.
#[derive(clap::Args, Debug)]
pub(super) struct ShowArgs {
    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) rest: RestArgs,
}

/// What to compare.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Compares what rules say, by their ids, and who is in groups, by their names; not how the files are written.

Exit status: 0 they say the same; 1 they differ; 2 a file has mistakes.

Examples:
  leasehold policy diff policy.toml               the file against what the running server has in force
  leasehold policy diff policy.toml draft.toml")]
pub(super) struct DiffArgs {
    /// The policy file; with OTHER the one before
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// The one after [default: FILE is, and the one before is that of the running server]
    #[arg(value_name = "OTHER", value_hint = ValueHint::FilePath)]
    other: Option<PathBuf>,

    #[command(flatten)]
    show: ShowArgs,
}

/// What to put in force.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The file is read here first, then sent to the server, which writes it to its own policy file and has it in force from the next
request on. The one before is kept beside it: `leasehold policy rollback`. No lease ends by it.

Exit status: 0 done; 1 the server refuses; 2 the file has mistakes.

Examples:
  leasehold policy diff draft.toml && echo nothing to do
  leasehold policy apply draft.toml")]
pub(super) struct ApplyArgs {
    /// The policy file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Do nothing but tell what would be done
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    show: ShowArgs,
}

/// What the server says it did.
#[derive(Debug, Deserialize)]
struct Change {
    changed: bool,
    rules: u64,
    doubts: Vec<String>,
}

/// Prints the policy in force.
pub(super) fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let told: Value = block_on(args.rest.rest()?.get(PAGE))?;
    if args.json {
        output::json(&json!({ "schema": 1, "policy": told }))?;
        return Ok(Exit::OK);
    }
    let text = told["text"].as_str().unwrap_or_default();
    if text.is_empty() {
        say!("no rules are in force: everybody may take seats");
    }
    output::result(text.trim_end())?;
    Ok(Exit::OK)
}

/// Compares two policies.
pub(super) fn diff(args: &DiffArgs) -> Result<Exit, Failure> {
    let (before, after) = match &args.other {
        Some(other) => (PolicyFile::read(&args.file).map_err(|e| wrong(&e))?, PolicyFile::read(other)),
        None => {
            let told: Value = block_on(args.show.rest.rest()?.get(PAGE))?;
            let text = told["text"].as_str().unwrap_or_default();
            (PolicyFile::parse("the policy in force", text).map_err(|e| wrong(&e))?, PolicyFile::read(&args.file))
        }
    };
    let after = after.map_err(|e| wrong(&e))?;
    let lines = compare(&before.policy, &after.policy);
    if args.show.json {
        let line = |line: &Line| json!({ "what": line.what, "before": line.before, "after": line.after });
        output::json(&json!({ "schema": 1, "differences": lines.iter().map(line).collect::<Vec<_>>() }))?;
    } else if lines.is_empty() {
        output::result("they say the same")?;
    } else {
        let shown: Vec<String> = lines.iter().map(Line::shown).collect();
        let sum = paint(FAINT, count(lines.len() as u64, "difference")).to_string();
        output::result(&format!("{}\n{sum}", shown.join("\n")))?;
    }
    Ok(if lines.is_empty() { Exit::OK } else { Exit::FAILURE })
}

/// Puts a policy in force.
pub(super) fn apply(args: &ApplyArgs) -> Result<Exit, Failure> {
    let text = read_text(&args.file)?;
    PolicyFile::parse(&args.file.display().to_string(), &text).map_err(|e| wrong(&e))?;
    let page = format!("{PAGE}?dry_run={}", args.dry_run);
    let told: Value = block_on(args.show.rest.rest()?.ask(Method::POST, &page, Bytes::from(text)))?;
    tell(&told, &args.show, if args.dry_run { "would be in force" } else { "in force" })
}

/// Tells what was done.
pub(super) fn tell(told: &Value, args: &ShowArgs, what: &str) -> Result<Exit, Failure> {
    if args.json {
        output::json(&json!({ "schema": 1, "change": told }))?;
        return Ok(Exit::OK);
    }
    let change: Change = rest::read(told)?;
    for doubt in &change.doubts {
        say!("{} {doubt}", paint(WARN, "!"));
    }
    let rules = count(change.rules, "rule");
    let same = if change.changed || what.starts_with("would") { "" } else { ", as before" };
    output::result(&format!("{} {rules} {what}{same}", paint(GOOD, "✓")))?;
    Ok(Exit::OK)
}

/// One difference: a rule or a group that is new, gone, or other than before.
struct Line {
    what: String,
    before: Option<String>,
    after: Option<String>,
}

impl Line {
    fn shown(&self) -> String {
        let Self { what, before, after } = self;
        match (before, after) {
            (None, Some(after)) => format!("{} {what}: {after}", paint(GOOD, "+")),
            (Some(before), None) => format!("{} {what}: {before}", paint(BAD, "-")),
            (Some(before), Some(after)) => format!("{} {what}: {after}\n    before: {before}", paint(WARN, "~")),
            (None, None) => String::new(),
        }
    }
}

fn compare(before: &Policy, after: &Policy) -> Vec<Line> {
    let (mut before, after) = (described(before), described(after));
    let mut lines: Vec<Line> = Vec::new();
    for (what, after) in after {
        let known = before.remove(&what);
        if known.as_ref() != Some(&after) {
            lines.push(Line { what, before: known, after: Some(after) });
        }
    }
    lines.extend(before.into_iter().map(|(what, before)| Line { what, before: Some(before), after: None }));
    lines.sort_by(|one, other| one.what.cmp(&other.what));
    lines
}

/// Everything a policy says, in words, by what says it.
fn described(policy: &Policy) -> BTreeMap<String, String> {
    let who = |id: GroupId| {
        let group = &policy.groups().all()[id as usize];
        group.name.clone().unwrap_or_else(|| members(policy, group))
    };
    let of = |features: Option<&[_]>| match features {
        None => "all features".to_owned(),
        Some(features) => features.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut all = BTreeMap::new();
    for group in policy.groups().all() {
        if let Some(name) = &group.name {
            all.insert(format!("group {name}"), members(policy, group));
        }
    }
    for rule in policy.rules() {
        let says = format!("{} {} for {}", rule.action.word(), who(rule.group), of(rule.features.as_deref()));
        all.insert(format!("rule {}", rule.id), says);
    }
    for limit in policy.limits() {
        let exempt = limit.exempt.map_or(String::new(), |exempt| format!(", but {}", who(exempt)));
        let (per, max) = (limit.per.word(), count(limit.max, "seat"));
        let says = format!("{max} per {per} of {}{exempt}, of {}", who(limit.group), of(limit.features.as_deref()));
        all.insert(format!("limit {}", limit.id), says);
    }
    for r in policy.reservations() {
        let says = format!("{} of {} {} or higher for {}", count(r.seats, "seat"), r.feature, r.version, who(r.group));
        all.insert(format!("reservation {}", r.id), says);
    }
    for priority in policy.priorities() {
        let says =
            format!("level {} for {}, of {}", priority.level, who(priority.group), of(priority.features.as_deref()));
        all.insert(format!("priority {}", priority.id), says);
    }
    for reclaim in policy.reclaims() {
        let busy = reclaim.busy_max_s.map_or(String::new(), |s| format!(", busy or not from {s} s on"));
        let says = format!(
            "seats of {} idle for {} s, with {} s to let go{busy}, of {}",
            who(reclaim.group),
            reclaim.idle_s,
            reclaim.notice_s,
            of(reclaim.features.as_deref())
        );
        all.insert(format!("reclaim {}", reclaim.id), says);
    }
    let case = if policy.groups().ignores_case() { "ignored in names" } else { "regarded in names" };
    all.insert("case".to_owned(), case.to_owned());
    let queue = policy.queue();
    let says = format!("{} may pass, {} may wait", queue.passing_max, queue.waiters_max);
    all.insert("queue".to_owned(), says);
    all
}

/// Who is in a group.
fn members(policy: &Policy, group: &Group) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut list = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            said.push(format!("{what} {}", names.join(", ")));
        }
    };
    list("users", group.users.clone());
    list("hosts", group.hosts.clone());
    list("displays", group.displays.clone());
    list("projects", group.projects.clone());
    list("addresses", group.addresses.iter().map(ToString::to_string).collect());
    list("devices", group.devices.iter().map(ToString::to_string).collect());
    let inner = |id: &GroupId| policy.groups().all()[*id as usize].name.clone().unwrap_or_default();
    list("groups", group.groups.iter().map(inner).collect());
    match (group.everyone, said.is_empty()) {
        (true, _) => "everybody".to_owned(),
        (false, true) => "nobody".to_owned(),
        (false, false) => said.join("; "),
    }
}
