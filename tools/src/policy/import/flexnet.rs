//! Options files of FlexNet vendor daemons, and of RLM's ISV servers, which are of the same kind, line by line.

mod rlm;

use std::{collections::BTreeMap, fmt::Write as _};

use leasehold_protocol::vocab::{FeatureName, SeatCount};

use super::{
    Became, Imported, Line,
    members::{Members, fits, quoted},
};
use crate::{
    exit::Failure,
    flexnet::{Word, lines},
};

#[derive(Default)]
struct Importer<'t> {
    text: &'t str,
    ignores_case: bool,
    /// By name: user groups, and host groups.
    groups: BTreeMap<String, Members>,
    host_groups: BTreeMap<String, Members>,
    rules: String,
    lines: Vec<Line>,
    /// What RLM has beside, if it is RLM's.
    rlm: Option<rlm::Beside>,
}

/// What became of a line.
type Told = (Became, String);

/// Statements nothing here stands for, and what is to be said about them.
const WITHOUT: &[(&str, &str)] = &[
    ("BORROW_LOWWATER", "seats are not borrowed from this server yet"),
    ("MAX_BORROW_HOURS", "seats are not borrowed from this server yet"),
    ("INCLUDE_BORROW", "seats are not borrowed from this server yet"),
    ("EXCLUDE_BORROW", "seats are not borrowed from this server yet"),
    ("MAX_OVERDRAFT", "a policy lowers no overdraft yet"),
    ("LINGER", "how long a seat stays after a release is said by its certificate"),
    ("NOLOG", "what is logged is a setting of the server: log-level"),
    ("REPORTLOG", "events are in the server's own log: log-format = \"json\""),
    ("DEBUGLOG", "the log goes to standard error, where the service manager keeps it"),
    ("FQDN_MATCHING", "a host name without a dot is also that of the host with its domain: nothing to switch"),
];

/// The least idleness a policy takes seats for, and the most, in seconds.
const TIMEOUT_MIN_S: u32 = 60;
const TIMEOUT_MAX_S: u32 = 2_678_400;

/// Reads the options file `text`, which is called `name`; of RLM, if `is_rlm`.
pub(super) fn import(name: &str, text: &str, is_rlm: bool) -> Result<Imported, Failure> {
    let statements = lines(text).map_err(|broken| {
        let line = line_of(text, broken.at);
        Failure::usage(format!("{name}:{line} cannot be read: {}", broken.expected))
    })?;
    let mut importer = Importer { text, ignores_case: is_rlm, ..Importer::default() };
    importer.rlm = is_rlm.then(rlm::Beside::default);
    // Groups and case first: rules may come before them.
    for statement in &statements {
        importer.prepare(statement);
    }
    for statement in &statements {
        importer.statement(statement);
    }
    Ok(importer.finish(name))
}

impl Importer<'_> {
    fn prepare(&mut self, words: &[Word]) {
        let text = self.text;
        let said: Vec<&str> = words.iter().map(|word| said(text, word)).collect();
        match (said[0].to_ascii_uppercase().as_str(), &said[1..]) {
            ("GROUPCASEINSENSITIVE", [on, ..]) => self.ignores_case = on.eq_ignore_ascii_case("ON"),
            ("GROUP", [group, members @ ..]) => {
                let users = members.iter().filter(|name| fits(name)).map(ToString::to_string);
                self.groups.entry((*group).to_owned()).or_default().users.extend(users);
            }
            (verb, rest) if self.rlm.is_some() && rlm::KEYWORDS.contains(&verb) => self.prepare_rlm(verb, rest),
            ("HOST_GROUP", [group, members @ ..]) => {
                let mut added = Members::default();
                members.iter().for_each(|host| _ = added.add("HOST", host));
                let group = self.host_groups.entry((*group).to_owned()).or_default();
                group.hosts.append(&mut added.hosts);
                group.addresses.append(&mut added.addresses);
            }
            _ => {}
        }
    }

    fn statement(&mut self, words: &[Word]) {
        let said: Vec<String> = words.iter().map(|word| said(self.text, word).to_owned()).collect();
        let mut rest: Vec<&str> = said[1..].iter().map(String::as_str).collect();
        let line = line_of(self.text, words[0].span.start);
        let only = if self.rlm.is_some() { rlm::take_id(&mut rest) } else { None };
        let (became, note) = match (said[0].to_ascii_uppercase().as_str(), &rest[..]) {
            (verb, rest) if self.rlm.is_some() && rlm::KEYWORDS.contains(&verb) => self.rlm_statement(verb, rest, line),
            ("GROUPCASEINSENSITIVE", [_, ..]) if self.ignores_case => (
                Became::Changed,
                "case = \"ignore\", which is for users and hosts that a rule names itself, too".to_owned(),
            ),
            ("GROUPCASEINSENSITIVE", [_, ..]) => (Became::Same, "case = \"exact\"".to_owned()),
            ("GROUP", [group, members @ ..]) => grouped(&key_of(group, false, self), members, fits),
            ("HOST_GROUP", [group, members @ ..]) => {
                grouped(&key_of(group, true, self), members, |name| Members::default().add("HOST", name))
            }
            (verb @ ("INCLUDE" | "EXCLUDE"), [feature, kind, names @ ..]) if !names.is_empty() => {
                self.rule(verb, Some(feature), kind, names, line)
            }
            (verb @ ("INCLUDEALL" | "EXCLUDEALL"), [kind, names @ ..]) if !names.is_empty() => {
                self.rule(verb, None, kind, names, line)
            }
            (verb @ ("MAX" | "RESERVE"), [seats, feature, kind, names @ ..]) if !names.is_empty() => {
                self.number(verb, (seats, feature), (kind, names), line)
            }
            // RLM has the seconds first.
            ("TIMEOUT", [seconds, feature]) if self.rlm.is_some() => self.timeout(Some(feature), seconds, line),
            ("TIMEOUT", [feature, seconds]) => self.timeout(Some(feature), seconds, line),
            ("TIMEOUTALL", [seconds]) => self.timeout(None, seconds, line),
            (
                "TIMEOUT"
                | "TIMEOUTALL"
                | "MAX"
                | "RESERVE"
                | "INCLUDE"
                | "EXCLUDE"
                | "INCLUDEALL"
                | "EXCLUDEALL"
                | "GROUP"
                | "HOST_GROUP"
                | "GROUPCASEINSENSITIVE",
                _,
            ) => (Became::Nothing, "the line is not complete".to_owned()),
            (verb, _) => {
                let known = WITHOUT.iter().find(|(name, _)| *name == verb).map(|(_, why)| *why);
                (Became::Nothing, known.unwrap_or("this statement is not known here").to_owned())
            }
        };
        let (became, note) = match only {
            Some(id) if became == Became::Same => (Became::Changed, format!("{note}, for all licences, not only {id}")),
            _ => (became, note),
        };
        self.lines.push(Line { line, text: said.join(" "), became, note });
    }

    /// One INCLUDE or EXCLUDE, for a feature or for all.
    fn rule(&mut self, verb: &str, feature: Option<&str>, kind: &str, names: &[&str], line: usize) -> Told {
        let (name, of_lot) = match feature.map(named).transpose() {
            Ok(named) => named.unwrap_or_default(),
            Err(why) => return (Became::Nothing, why),
        };
        let who = match self.who(kind, names) {
            Ok(who) => who,
            Err(why) => return (Became::Nothing, why),
        };
        let action = if verb.starts_with("INCLUDE") { "include" } else { "exclude" };
        let features = feature.map_or("\"all\"".to_owned(), |_| format!("[{}]", quoted(name)));
        let id = format!("line-{line}");
        let _ = writeln!(self.rules, "\n[[rules]]\nid = {}\n{action} = {who}\nfeatures = {features}", quoted(&id));
        match of_lot {
            Some(lot) => {
                (Became::Changed, format!("rule {id}, for all lots of the feature, not only those with {lot}"))
            }
            None => (Became::Same, format!("rule {id}")),
        }
    }

    /// One MAX or RESERVE.
    fn number(
        &mut self,
        verb: &str,
        (seats, feature): (&str, &str),
        (kind, names): (&str, &[&str]),
        line: usize,
    ) -> Told {
        let (is_max, id) = (verb == "MAX", format!("line-{line}"));
        let read = || -> Result<(u32, &str, Option<&str>, String), String> {
            let is_number = |seats: &u32| SeatCount::new(*seats).is_ok() || (is_max && *seats == 0);
            let seats: u32 =
                seats.parse().ok().filter(is_number).ok_or_else(|| format!("{seats} is no number of seats"))?;
            let (name, of_lot) = named(feature)?;
            Ok((seats, name, of_lot, self.who(kind, names)?))
        };
        let (seats, name, of_lot, who) = match read() {
            Ok(read) => read,
            Err(why) => return (Became::Nothing, why),
        };
        let (id_text, name) = (quoted(&id), quoted(name));
        let written = if is_max {
            let exempt = self.exempt_of(&name);
            format!(
                "[[limits]]\nid = {id_text}\nmax = {seats}\nper = \"group\"\nfor = {who}\n{exempt}features = [{name}]"
            )
        } else {
            format!("[[reservations]]\nid = {id_text}\nseats = {seats}\nfeature = {name}\nfor = {who}")
        };
        let _ = writeln!(self.rules, "\n{written}");
        let lot = of_lot.map(|lot| format!(", over all lots of the feature, not only those with {lot}"));
        match (is_max, lot) {
            (true, None) => (Became::Same, format!("limit {id}")),
            (true, Some(lot)) => (Became::Changed, format!("limit {id}{lot}")),
            (false, lot) => (
                Became::Changed,
                format!("reservation {id}, of so many in total, not of so many in each lot{}", lot.unwrap_or_default()),
            ),
        }
    }

    /// One TIMEOUT, of a feature or of all.
    fn timeout(&mut self, feature: Option<&str>, seconds: &str, line: usize) -> Told {
        let (name, of_lot) = match feature.map(named).transpose() {
            Ok(named) => named.unwrap_or_default(),
            Err(why) => return (Became::Nothing, why),
        };
        let Some(idle_s) = seconds.parse().ok().filter(|seconds| (1..=TIMEOUT_MAX_S).contains(seconds)) else {
            return (Became::Nothing, format!("{seconds} is no number of seconds"));
        };
        let (id, features) =
            (format!("line-{line}"), feature.map_or("\"all\"".to_owned(), |_| format!("[{}]", quoted(name))));
        let written = idle_s.max(TIMEOUT_MIN_S);
        let _ = writeln!(self.rules, "\n[[reclaim]]\nid = {}\nidle-s = {written}\nfeatures = {features}", quoted(&id));
        let least = if written > idle_s { format!(", after {written} s, which is the least") } else { String::new() };
        let lots =
            of_lot.map_or(String::new(), |lot| format!(", of all lots of the feature, not only those with {lot}"));
        let note = format!(
            "reclaim {id}{least}{lots}: only while somebody waits, with a minute's notice, from programs that say they are idle"
        );
        (Became::Changed, note)
    }

    /// What the group called `name` is called where it was written down. RLM has no regard to case.
    fn known<'g>(&self, groups: &'g BTreeMap<String, Members>, name: &str) -> Option<&'g String> {
        let is = |known: &&String| *known == name || (self.rlm.is_some() && known.eq_ignore_ascii_case(name));
        groups.keys().find(is)
    }

    /// Who a rule is for, as a policy says it.
    fn who(&self, kind: &str, names: &[&str]) -> Result<String, String> {
        match (&*kind.to_ascii_uppercase(), names) {
            ("GROUP", [group]) if let Some(group) = self.known(&self.groups, group) => {
                Ok(quoted(&key_of(group, false, self)))
            }
            ("HOST_GROUP", [group]) if let Some(group) = self.known(&self.host_groups, group) => {
                Ok(quoted(&key_of(group, true, self)))
            }
            ("INTERNET_GROUP", [group]) if let Some(group) = self.internet_group(group) => {
                Ok(quoted(&rlm::internet_key(group)))
            }
            (kind @ ("GROUP" | "HOST_GROUP" | "INTERNET_GROUP"), [group]) => {
                Err(format!("there is no {kind} {group} in this file"))
            }
            (kind @ ("USER" | "HOST" | "DISPLAY" | "INTERNET" | "PROJECT"), names) => {
                let mut members = Members::default();
                match names.iter().find(|name| !members.add(kind, name)) {
                    Some(name) => Err(format!("{name} cannot be told apart here as a {kind}")),
                    None => Ok(members.inline()),
                }
            }
            (kind, _) => Err(format!("what a {kind} is has no counterpart here")),
        }
    }

    fn finish(self, name: &str) -> Imported {
        let case = if self.ignores_case { "ignore" } else { "exact" };
        let mut policy = format!("# Imported from {}.\n\ncase = \"{case}\"\n", name.replace(char::is_control, " "));
        for (host, groups) in [(false, &self.groups), (true, &self.host_groups)] {
            for (group, members) in groups {
                let _ = writeln!(policy, "\n[groups.{}]", quoted(&key_of(group, host, &self)));
                members.written().iter().for_each(|line| _ = writeln!(policy, "{line}"));
            }
        }
        policy += &self.rlm_groups();
        Imported { policy: policy + &self.rules, lines: self.lines }
    }
}

/// The name of a feature, and by what some of its lots are told from the others, if only those are meant.
fn named(feature: &str) -> Result<(&str, Option<&str>), String> {
    let (name, of_lot) = match feature.split_once(':') {
        Some((name, lot)) => (name, Some(lot)),
        None => (feature, None),
    };
    match FeatureName::new(name) {
        Ok(_) => Ok((name, of_lot)),
        Err(_) => Err(format!("{name} is no name a feature can have here")),
    }
}

/// A word as it stands in the file, without quotes.
fn said<'w>(text: &'w str, word: &'w Word) -> &'w str {
    if word.key.is_some() { &text[word.span.clone()] } else { &word.value }
}

/// A group's name in the policy: user groups and host groups have names of their own there, so a host group gives way.
fn key_of(group: &str, host: bool, importer: &Importer<'_>) -> String {
    let mut key = group.to_owned();
    while host && importer.groups.contains_key(&key) {
        key += "-hosts";
    }
    key
}

fn grouped(group: &str, members: &[&str], fits: impl Fn(&str) -> bool) -> Told {
    let out: Vec<&str> = members.iter().copied().filter(|name| !fits(name)).collect();
    match out[..] {
        [] => (Became::Same, format!("group {group}")),
        _ => (Became::Changed, format!("group {group}, without {}: no name a holder can have here", out.join(", "))),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}
