//! What the server tells of a decision, for people: each thing that was looked at on a line of its own, in order.

use std::{fmt::Write as _, time::Duration};

use serde::Deserialize;

use crate::{
    exit::Exit,
    human::{self, count},
    output::{BAD, FAINT, GOOD, STRONG, paint},
    table::Rows,
};

/// What would be answered now.
#[derive(Debug, Deserialize)]
pub(super) struct Now {
    at: String,
    asked: Asked,
    answer: Answer,
    policy: Option<Policy>,
    looked: Option<Looked>,
}

/// What was answered.
#[derive(Debug, Deserialize)]
pub(super) struct Past {
    event: Event,
    policy: Option<Policy>,
    by_policy: Option<ByPolicy>,
    looked: Option<Looked>,
    out_before: Option<u64>,
    others: Vec<Other>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    feature: String,
    version: String,
    seats: u32,
    user: String,
    host: String,
}

#[derive(Debug, Deserialize)]
struct Answer {
    granted: bool,
    seats_of: Option<String>,
    denial: Option<String>,
    sentence: Option<String>,
    rule: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Policy {
    version: u64,
    since: String,
    rules: u64,
}

#[derive(Debug, Deserialize)]
struct ByPolicy {
    verdict: String,
    rule: Option<String>,
    groups: Vec<String>,
    limits: Vec<Limit>,
    reservations: Vec<Reservation>,
}

#[derive(Debug, Deserialize)]
struct Event {
    event: u64,
    at: String,
    kind: String,
    feature: Option<String>,
    version: Option<String>,
    seats: Option<u64>,
    lease: Option<String>,
    user: Option<String>,
    host: Option<String>,
    address: Option<String>,
    denial: Option<String>,
    rule: Option<String>,
    sentence: Option<String>,
    by_ticket: Option<bool>,
    held_ms: Option<u64>,
    certificates: Option<Vec<Used>>,
}

#[derive(Debug, Deserialize)]
struct Used {
    certificate: String,
    version: String,
    seats: u32,
}

#[derive(Debug, Deserialize)]
struct Other {
    event: u64,
    at: String,
    kind: String,
    held_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Looked {
    access: Option<String>,
    admits: bool,
    drawn: Option<String>,
    takes: u32,
    lots: Vec<Lot>,
    #[serde(default)]
    more_lots: u32,
    #[serde(default)]
    limits: Vec<Limit>,
    #[serde(default)]
    reservations: Vec<Reservation>,
    #[serde(default)]
    kept: u32,
    #[serde(default)]
    waiting: u32,
    leases: u32,
    leases_max: u32,
}

#[derive(Debug, Deserialize)]
struct Lot {
    certificate: String,
    version: String,
    #[serde(default)]
    overdraft: bool,
    seats: Option<u32>,
    out: u32,
    no: Option<String>,
}

/// A limit: with what of it is used up, where that is known.
#[derive(Debug, Deserialize)]
struct Limit {
    rule: String,
    per: String,
    max: u32,
    used: Option<u64>,
    wanted: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Reservation {
    rule: String,
    version: String,
    seats: u32,
    used: Option<u64>,
}

/// What would be answered now, and the status that says so.
pub(super) fn of_now(now: &Now) -> (String, Exit) {
    let Asked { feature, version, seats, user, host } = &now.asked;
    let version = if version == "0.0" || version == "0.0.0" { String::new() } else { format!(" {version}") };
    let mut text = format!(
        "{} of {}{version} for {user} on {host}, asked at {}\n",
        count(*seats, "seat"),
        paint(STRONG, feature),
        now.at
    );
    text += &policy(now.policy.as_ref());
    match &now.looked {
        Some(looked) => text += &(access(looked, user) + &looked_at(looked)),
        None => text += "certificates  none names it\n",
    }
    let answer = &now.answer;
    if answer.granted {
        let seats = match &answer.seats_of {
            Some(lease) => format!("would share the seats of lease {lease}, or take them over"),
            None => match now.looked.as_ref().map_or(0, |looked| looked.waiting) {
                0 => "would go out".to_owned(),
                waiting => format!("would go out, unless they are for one of the {waiting} who wait"),
            },
        };
        let _ = write!(text, "{} {seats}", paint(GOOD, "✓"));
        return (text, Exit::OK);
    }
    let (denial, sentence, rule) = (told(&answer.denial), told(&answer.sentence), told(&answer.rule));
    text += &denied(denial, sentence, rule);
    (text, Exit::DENIED)
}

/// What was answered, and the status that says so.
pub(super) fn of_past(past: &Past) -> (String, Exit) {
    let event = &past.event;
    let mut text = heading(event);
    if event.feature.is_none() {
        return (text.trim_end().to_owned(), Exit::OK);
    }
    text += &policy(past.policy.as_ref());
    // The numbers of then say more than what the policy says by itself.
    let has_numbers =
        past.looked.as_ref().is_some_and(|looked| !looked.limits.is_empty() || !looked.reservations.is_empty());
    if let Some(by) = &past.by_policy {
        text += &by_policy(by, event, has_numbers);
    }
    if let Some(looked) = &past.looked {
        if past.by_policy.is_none() {
            text += &access(looked, event.user.as_deref().unwrap_or("the holder"));
        }
        text += &looked_at(looked);
    }
    if let (Some(out), None) = (past.out_before, &past.looked) {
        let _ = writeln!(text, "before        {} out", count(out, "seat"));
    }
    if let Some(used) = &event.certificates {
        text += &certificates(used);
    }
    let exit = if event.kind == "denied" { Exit::DENIED } else { Exit::OK };
    text += &match &*event.kind {
        "denied" => denied(told(&event.denial), told(&event.sentence), told(&event.rule)),
        "granted" => {
            let by = if event.by_ticket == Some(true) { ", by the ticket of a grant of before" } else { "" };
            format!("{} granted as lease {}{by}", paint(GOOD, "✓"), told(&event.lease))
        }
        kind => {
            let held =
                event.held_ms.map_or(String::new(), |ms| format!(" after {}", human::show(Duration::from_millis(ms))));
            format!("{} {kind}{held}", paint(GOOD, "·"))
        }
    };
    for Other { event, at, kind, held_ms } in &past.others {
        let held = held_ms.map_or(String::new(), |ms| format!(" after {}", human::show(Duration::from_millis(ms))));
        let _ = write!(text, "\n{}", paint(FAINT, format_args!("  event {event}, {at}: {kind}{held}")));
    }
    (text, exit)
}

fn told(word: &Option<String>) -> &str {
    word.as_deref().unwrap_or("?")
}

fn heading(event: &Event) -> String {
    let mut text = format!("event {}, {}: {}", event.event, event.at, event.kind);
    if let Some(feature) = &event.feature {
        let version = event.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        let seats = count(event.seats.unwrap_or(0), "seat");
        let _ = write!(text, "; {seats} of {}{version}", paint(STRONG, feature));
    }
    if let (Some(user), Some(host)) = (&event.user, &event.host) {
        let _ = write!(text, " for {user} on {host}");
    }
    if let Some(address) = &event.address {
        let _ = write!(text, ", from {address}");
    }
    text + "\n"
}

fn policy(policy: Option<&Policy>) -> String {
    match policy {
        Some(Policy { version, since, rules }) => {
            format!("policy        version {version}, in force since {since}, {}\n", count(*rules, "rule"))
        }
        None => "policy        none\n".to_owned(),
    }
}

/// What the policy of then says of who asked.
fn by_policy(by: &ByPolicy, event: &Event, has_numbers: bool) -> String {
    let user = event.user.as_deref().unwrap_or("the holder");
    let groups = if by.groups.is_empty() { "no group that has a name".into() } else { by.groups.join(", ") };
    let mut text = format!("groups        {user} is in {groups}\n");
    let access = match (&*by.verdict, &by.rule) {
        ("allowed", None) => "no rule is against it".to_owned(),
        ("allowed", Some(rule)) => format!("rule {rule} includes {user}"),
        ("excluded", rule) => format!("rule {} excludes {user}", told(rule)),
        (_, rule) => format!("rule {} includes others, and no rule {user}", told(rule)),
    };
    let _ = writeln!(text, "access        {access}");
    if !has_numbers {
        text += &limits(&by.limits);
        text += &reservations(&by.reservations);
    }
    text
}

/// What the rules of access say.
fn access(looked: &Looked, user: &str) -> String {
    let (mark, says) = if looked.admits { (paint(GOOD, "✓"), "may") } else { (paint(BAD, "✗"), "may not") };
    let by = looked.access.as_ref().map_or("no rule is against it".to_owned(), |rule| format!("by rule {rule}"));
    format!("access        {user} {says}, {by} {mark}\n")
}

fn limits(limits: &[Limit]) -> String {
    let mut text = String::new();
    for Limit { rule, per, max, used, wanted } in limits {
        let whom = if per == "group" { "all it is for together".to_owned() } else { format!("each {per}") };
        let _ = write!(text, "limit         {rule}: at most {} for {whom}", count(*max, "seat"));
        if let (Some(used), Some(wanted)) = (used, wanted) {
            let more = used + u64::from(*wanted);
            let mark = if more > u64::from(*max) { paint(BAD, "✗") } else { paint(GOOD, "✓") };
            let _ = write!(text, "; {used} out and {wanted} more asked for {mark}");
        }
        text += "\n";
    }
    text
}

fn reservations(reservations: &[Reservation]) -> String {
    let mut text = String::new();
    for Reservation { rule, version, seats, used } in reservations {
        let version = if version == "0.0" { String::new() } else { format!(" of {version} or higher") };
        let used = used.map_or(String::new(), |used| format!(", of which members have {used}"));
        let _ = writeln!(text, "reservation   {rule}: {}{version} kept for members{used}", count(*seats, "seat"));
    }
    text
}

fn looked_at(looked: &Looked) -> String {
    let mut text = String::new();
    if let Some(drawn) = &looked.drawn {
        let _ = writeln!(text, "made of       {} of {drawn}", count(looked.takes, "seat"));
    }
    text += &limits(&looked.limits);
    text += &reservations(&looked.reservations);
    if looked.kept > 0 {
        let _ =
            writeln!(text, "kept          {} by reservations, out of those that are free", count(looked.kept, "seat"));
    }
    if looked.waiting > 0 {
        let _ = writeln!(text, "queue         {} wait for seats, and go first", looked.waiting);
    }
    if looked.leases >= looked.leases_max {
        let _ = writeln!(text, "room          {} leases are out, as many as there may be", looked.leases);
    }
    text += &lots(looked);
    text
}

/// The certificates, in the order they serve.
fn lots(looked: &Looked) -> String {
    if looked.lots.is_empty() {
        return "certificates  none is in force\n".to_owned();
    }
    let mut rows =
        Rows::new(&["certificate", "version", "seats", "out", "free", "for this request"]).numbers(&[2, 3, 4]);
    for lot in &looked.lots {
        let (seats, free) = lot.seats.map_or_else(
            || ("not counted".to_owned(), "all".to_owned()),
            |seats| (seats.to_string(), seats.saturating_sub(lot.out).to_string()),
        );
        let kind = if lot.overdraft { " (overdraft)" } else { "" };
        let says =
            lot.no.as_deref().map_or("serves", |no| if no == "version-too-high" { "too low a version" } else { no });
        rows.push(vec![
            format!("{}{kind}", lot.certificate),
            lot.version.clone(),
            seats,
            lot.out.to_string(),
            free,
            says.to_owned(),
        ]);
    }
    let more = if looked.more_lots > 0 { format!("and {} more\n", looked.more_lots) } else { String::new() };
    format!("{}\n{more}", rows.render())
}

fn certificates(used: &[Used]) -> String {
    if used.is_empty() {
        return "certificates  none of its own: it shares the seats of another lease\n".to_owned();
    }
    let mut rows = Rows::new(&["certificate", "version", "seats taken"]).numbers(&[2]);
    for Used { certificate, version, seats } in used {
        rows.push(vec![certificate.clone(), version.clone(), seats.to_string()]);
    }
    rows.render() + "\n"
}

fn denied(denial: &str, sentence: &str, rule: &str) -> String {
    format!("{} {denial}: {sentence}\n  decided by {rule}", paint(BAD, "✗"))
}
