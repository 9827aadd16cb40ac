//! `leasehold policy explain`: what a policy file says of one holder and one feature.

use std::{fmt::Write as _, net::IpAddr, path::PathBuf};

use clap::ValueHint;
use leasehold_core::policy::{AccessRule, GroupId, Limit, PRIORITY_DEFAULT, Per, Policy, Reservation, Verdict};
use leasehold_protocol::{
    message::Holder,
    vocab::{DeviceId, FeatureName, Label, Version},
};
use leasehold_server::policy::{PolicyFile, device_of};
use serde_json::json;

use super::wrong;
use crate::{
    exit::{Exit, Failure},
    human::count,
    output::{self, BAD, FAINT, GOOD, STRONG, paint},
    table::Rows,
};

/// Whom to ask about.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit status: 0 may take seats; 77 may not.

Examples:
  leasehold policy explain policy.toml CAD --user ann --host ws1
  leasehold policy explain policy.toml CAD --user ann --address 10.1.2.3 --json")]
pub(super) struct ExplainArgs {
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

/// Does it.
pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
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
    let concern = policy.concern(&args.feature, &holder, args.address);
    let limits: Vec<&Limit> = concern.limits.iter().map(|limit| &policy.limits()[*limit]).collect();
    let reservations: Vec<&Reservation> = concern.reservations.iter().map(|r| &policy.reservations()[*r]).collect();
    let priority = policy.priority(&args.feature, &holder, args.address);
    let reclaim = policy.reclaim(&args.feature, &holder, args.address);
    if args.json {
        let rule = |rule: &&AccessRule| {
            json!({ "id": rule.id, "action": rule.action.word(), "group": group(&policy, rule.group),
                    "all_features": rule.features.is_none(), "matches": groups.contains(&rule.group) })
        };
        let names: Vec<_> = groups.iter().filter_map(|id| policy.groups().all()[*id as usize].name.as_ref()).collect();
        let limit = |limit: &&Limit| json!({ "id": limit.id, "max": limit.max, "per": limit.per.word() });
        let reservation = |r: &&Reservation| json!({ "id": r.id, "seats": r.seats, "version": r.version.to_string() });
        let (word, by) = told(verdict);
        output::json(&json!({ "schema": 1, "feature": args.feature.as_str(), "groups": names, "verdict": word,
            "rule": by.map(|rule| &rule.id), "looked_at": looked.iter().map(rule).collect::<Vec<_>>(),
            "limits": limits.iter().map(limit).collect::<Vec<_>>(),
            "reservations": reservations.iter().map(reservation).collect::<Vec<_>>(), "priority": priority,
            "reclaim": reclaim.map(|reclaim| json!({ "id": reclaim.id, "idle_s": reclaim.idle_s, "notice_s": reclaim.notice_s })) }))?;
        return Ok(exit);
    }
    let mut text = text(args, &policy, &groups, &looked, verdict);
    if exit == Exit::OK {
        text += &numbers(&args.feature, &limits, &reservations);
        if let Some(reclaim) = reclaim {
            let _ = writeln!(
                text,
                "  a seat that is idle for {} s may go to whoever waits, by reclaim {}",
                reclaim.idle_s, reclaim.id
            );
        }
        if priority != PRIORITY_DEFAULT {
            let _ = writeln!(text, "  waits with priority {priority}, where others have {PRIORITY_DEFAULT}");
        }
    }
    output::result(&text)?;
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
            let says = format!("{} {}", rule.action.word(), group(policy, rule.group));
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

/// How many seats he may have, and what is kept for him.
fn numbers(feature: &FeatureName, limits: &[&Limit], reservations: &[&Reservation]) -> String {
    let mut text = String::new();
    for limit in limits {
        let whom = match limit.per {
            Per::Group => "all it is for together".to_owned(),
            per => format!("each {}", per.word()),
        };
        let seats = count(limit.max, "seat");
        let _ = writeln!(text, "  at most {seats} of {feature} for {whom}, by limit {}", limit.id);
    }
    for r in reservations {
        let version = if r.version == Version::ANY { String::new() } else { format!(" {} or higher", r.version) };
        let seats = count(r.seats, "seat");
        let _ = writeln!(text, "  {seats} of {feature}{version} kept for those of reservation {}", r.id);
    }
    text
}

const fn told(verdict: Verdict<'_>) -> (&'static str, Option<&AccessRule>) {
    match verdict {
        Verdict::Allowed(rule) => ("allowed", rule),
        Verdict::Excluded(rule) => ("excluded", Some(rule)),
        Verdict::NotIncluded(rule) => ("not-included", Some(rule)),
    }
}

fn group(policy: &Policy, id: GroupId) -> &str {
    policy.groups().all()[id as usize].name.as_deref().unwrap_or("its own list")
}

fn device(text: &str) -> Result<DeviceId, String> {
    device_of(text).ok_or_else(|| "expected 32 hexadecimal digits".to_owned())
}
