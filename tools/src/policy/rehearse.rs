//! `leasehold policy rehearse`: a draft, asked what was asked of late (P-6).

use std::path::PathBuf;

use clap::ValueHint;
use hyper::{Method, body::Bytes};
use leasehold_server::policy::PolicyFile;
use serde::Deserialize;
use serde_json::Value;

use super::{change::ShowArgs, wrong};
use crate::{
    block_on,
    exit::{Exit, Failure},
    human::count,
    issue::read_text,
    output::{self, BAD, GOOD, WARN, paint},
    rest, say,
    table::Rows,
};

/// What to rehearse.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Every request of the usage history is asked once more, in its order, and kept for as long as the seat was out then: of the licences in force
today, under the policy in force and under the draft. Shown is what the two differ in. Nothing is put in force, and no seat is taken.

The history does not know hostids and share ids, and how long a seat would have been out that was denied: such a seat is taken back at once.
A denial is one, though whoever waited had his seat later.

Exit status: 0 nobody would be denied who is not; 1 somebody would; 2 the file has mistakes.

Examples:
  leasehold policy rehearse draft.toml
  leasehold policy rehearse draft.toml --days 30 --json | jq '.newly_denied[] | [.rule, .user, .times] | @tsv'")]
pub(super) struct RehearseArgs {
    /// The policy file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// How many days to look back
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,

    #[command(flatten)]
    show: ShowArgs,
}

/// As much of the server's answer as is shown.
#[derive(Debug, Deserialize)]
struct Told {
    from: String,
    requests: u64,
    granted: u64,
    denied: u64,
    denied_today: u64,
    newly_denied: Vec<Case>,
    newly_granted: Vec<Case>,
    newly_denied_requests: u64,
    newly_granted_requests: u64,
    gaps: u64,
    left_out: bool,
}

#[derive(Debug, Deserialize)]
struct Case {
    user: String,
    host: String,
    feature: String,
    denial: String,
    rule: String,
    times: u64,
    first: String,
    last: String,
}

/// Does it.
pub(super) fn run(args: &RehearseArgs) -> Result<Exit, Failure> {
    // Mistakes are drawn here, with their places.
    PolicyFile::read(&args.file).map_err(|e| wrong(&e))?;
    let text = read_text(&args.file)?;
    let path = format!("{}/rehearse?days={}", super::change::PAGE, args.days);
    let told: Value = block_on(args.show.rest.rest()?.ask(Method::POST, &path, Bytes::from(text)))?;
    let read: Told = rest::read(&told)?;
    let exit = if read.newly_denied.is_empty() { Exit::OK } else { Exit::FAILURE };
    if args.show.json {
        output::json(&told)?;
        return Ok(exit);
    }
    if read.gaps > 0 || read.left_out {
        let missing = count(read.gaps, "gap");
        let left_out = if read.left_out { "; earlier lines were left out, there are too many" } else { "" };
        say!("{} the history has {missing}: what was out then may be more{left_out}", paint(WARN, "!"));
    }
    output::result(&text_of(&read))?;
    Ok(exit)
}

fn text_of(told: &Told) -> String {
    let Told { from, requests, granted, denied, denied_today, .. } = told;
    let mut text = format!(
        "{} since {from}: {granted} granted and {denied} denied under both policies",
        count(*requests, "request")
    );
    if *denied_today > 0 {
        text += &format!(" ({denied_today} of those were granted then: the licences are others today)");
    }
    text += "\n";
    text += &cases(&told.newly_denied, "the draft denies", "and the policy in force grants");
    text += &cases(&told.newly_granted, "the policy in force denies", "and the draft grants");
    let (mark, sum) = match (told.newly_denied_requests, told.newly_granted_requests) {
        (0, 0) => (paint(GOOD, "✓"), "the draft answers each as the policy in force does".to_owned()),
        (0, more) => (
            paint(GOOD, "✓"),
            format!("nobody is denied who is not, and {} more would be granted", count(more, "request")),
        ),
        (less, more) => {
            (paint(BAD, "✗"), format!("{} would be denied, and {more} more granted", count(less, "request")))
        }
    };
    text + &format!("{mark} {sum}")
}

fn cases(cases: &[Case], one: &str, other: &str) -> String {
    if cases.is_empty() {
        return String::new();
    }
    let mut rows = Rows::new(&["times", "user", "host", "feature", "denial", "rule", "first", "last"]).numbers(&[0]);
    for case in cases {
        let Case { user, host, feature, denial, rule, times, first, last } = case;
        let words = [&times.to_string(), user, host, feature, denial, rule, first, last];
        rows.push(words.map(Clone::clone).to_vec());
    }
    format!("\nwhat {one} {other}:\n{}\n\n", rows.render())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(newly_denied: Value) -> Told {
        rest::read(&json!({
            "from": "2026-11-20T00:00:00.000Z", "requests": 12, "granted": 9, "denied": 1, "denied_today": 1,
            "newly_denied_requests": newly_denied.as_array().unwrap().len(), "newly_granted_requests": 0,
            "newly_denied": newly_denied, "newly_granted": [], "gaps": 0, "left_out": false,
        }))
        .unwrap()
    }

    #[test]
    fn who_would_be_denied_is_told_with_rule_and_times() {
        let case = json!({ "user": "ann", "host": "ws1", "feature": "CAD", "denial": "limit-reached", "rule": "policy rule one",
            "times": 2, "first": "2026-11-21T08:00:00.000Z", "last": "2026-11-22T08:00:00.000Z" });
        let text = text_of(&told(json!([case])));
        assert!(
            text.starts_with(
                "12 requests since 2026-11-20T00:00:00.000Z: 9 granted and 1 denied under both policies (1 of"
            ),
            "{text}"
        );
        assert!(text.contains("2  ann   ws1   CAD      limit-reached  policy rule one"), "{text}");
        assert!(text.ends_with(" 1 request would be denied, and 0 more granted"), "{text}");
        assert!(text_of(&told(json!([]))).ends_with(" the draft answers each as the policy in force does"));
    }
}
