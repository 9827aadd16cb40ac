//! What options files of RLM have beside those of FlexNet: groups of addresses, who is exempt from limits, and how those who wait are
//! served. Names are compared without regard to case there.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Became, Importer, Members, Told, named, quoted};

/// What was read of it.
#[derive(Default)]
pub(super) struct Beside {
    internet_groups: BTreeMap<String, Members>,
    /// Whom limits of a product do not hold; `None`: of any. As policies say it.
    exempt: Vec<(Option<String>, String)>,
}

/// Its own statements.
pub(super) const KEYWORDS: &[&str] = &[
    "INTERNET_GROUP",
    "EXEMPT_MAX",
    "EXEMPTALL_MAX",
    "PRIORITY",
    "EXPRESS",
    "ROAM_MAX_DAYS",
    "ROAM_MAX_COUNT",
    "TIMEZONE",
];

/// The priority of whoever has none is 50 here; all those that have one come before.
const LEAST: u32 = 51;
const MOST: u32 = 100;

/// Takes a trailing `id=nnn` off `words`.
pub(super) fn take_id(words: &mut Vec<&str>) -> Option<String> {
    let last = words.last()?;
    last.to_ascii_lowercase().starts_with("id=").then(|| words.pop().unwrap_or_default().to_owned())
}

/// What a group of addresses is called in the policy.
pub(super) fn internet_key(group: &str) -> String {
    format!("{group}-addresses")
}

impl Importer<'_> {
    pub(super) fn prepare_rlm(&mut self, verb: &str, rest: &[&str]) {
        match (verb, rest) {
            ("INTERNET_GROUP", [group, addresses @ ..]) => {
                if let Some(beside) = &mut self.rlm {
                    let members = beside.internet_groups.entry((*group).to_owned()).or_default();
                    addresses.iter().for_each(|address| _ = members.add("INTERNET", address));
                }
            }
            ("EXEMPT_MAX", [product, kind, names @ ..]) => self.exempt(Some(product), kind, names),
            ("EXEMPTALL_MAX", [kind, names @ ..]) => self.exempt(None, kind, names),
            _ => {}
        }
    }

    fn exempt(&mut self, product: Option<&str>, kind: &str, names: &[&str]) {
        let who = self.who(kind, names);
        if let (Ok(who), Some(beside)) = (who, &mut self.rlm) {
            beside.exempt.push((product.map(str::to_owned), who));
        }
    }

    pub(super) fn internet_group(&self, name: &str) -> Option<&String> {
        self.known(&self.rlm.as_ref()?.internet_groups, name)
    }

    /// The line of a limit for the product called `name`, as TOML has it, that says who is exempt.
    pub(super) fn exempt_of(&self, name: &str) -> String {
        let is_any = self.rlm.iter().flat_map(|beside| &beside.exempt).any(|(of, _)| is_of(of.as_deref(), name));
        if is_any { format!("exempt = {}\n", quoted(&exempt_key(name))) } else { String::new() }
    }

    pub(super) fn rlm_statement(&mut self, verb: &str, rest: &[&str], line: usize) -> Told {
        match (verb, rest) {
            ("INTERNET_GROUP", [group, ..]) => (Became::Same, format!("group {}", internet_key(group))),
            ("EXEMPT_MAX", [_, kind, names @ ..]) | ("EXEMPTALL_MAX", [kind, names @ ..]) if !names.is_empty() => {
                match self.who(kind, names) {
                    Ok(_) => (Became::Same, "exempt in the limits of that product".to_owned()),
                    Err(why) => (Became::Nothing, why),
                }
            }
            ("PRIORITY", [number, product, kind, names @ ..]) if !names.is_empty() => {
                self.priority(number, product, (kind, names), line)
            }
            ("EXPRESS", [on, product @ ..]) => self.express(on, product),
            ("ROAM_MAX_DAYS" | "ROAM_MAX_COUNT", _) => {
                (Became::Nothing, "seats are not borrowed from this server yet".to_owned())
            }
            ("TIMEZONE", _) => (Became::Nothing, "a policy knows no time zones".to_owned()),
            _ => (Became::Nothing, "the line is not complete".to_owned()),
        }
    }

    /// A lower number comes first there, a higher level here.
    fn priority(&mut self, number: &str, product: &str, (kind, names): (&str, &[&str]), line: usize) -> Told {
        let Ok(number) = number.parse::<u32>() else { return (Became::Nothing, format!("{number} is no priority")) };
        let (feature, who) = match (named(product), self.who(kind, names)) {
            (Ok((feature, _)), Ok(who)) => (feature, who),
            (Err(why), _) | (_, Err(why)) => return (Became::Nothing, why),
        };
        let level = MOST.saturating_sub(number).max(LEAST);
        let (id, feature) = (quoted(&format!("line-{line}")), quoted(feature));
        let _ =
            write!(self.rules, "\n[[priorities]]\nid = {id}\nlevel = {level}\nfor = {who}\nfeatures = [{feature}]\n");
        (Became::Changed, format!("priority line-{line}, level {level}: of several the highest counts, not the first"))
    }

    fn express(&mut self, on: &str, product: &[&str]) -> Told {
        if on.eq_ignore_ascii_case("ON") && self.rules.contains("\n[queue]\n") {
            return (Became::Changed, "nobody may pass in any queue, because of the other EXPRESS".to_owned());
        }
        if on.eq_ignore_ascii_case("ON") {
            return (Became::Changed, "what goes without saying, but no more than eight may pass somebody".to_owned());
        }
        if self.rules.contains("\n[queue]\n") {
            return (Became::Same, "said before".to_owned());
        }
        self.rules.push_str("\n[queue]\npassing-max = 0\n");
        match product {
            [] => (Became::Same, "nobody may pass".to_owned()),
            _ => (Became::Changed, "nobody may pass, in the queue of any feature".to_owned()),
        }
    }

    /// Its groups: of addresses, and of whoever is exempt.
    pub(super) fn rlm_groups(&self) -> String {
        let Some(beside) = &self.rlm else { return String::new() };
        let mut text = String::new();
        for (group, members) in &beside.internet_groups {
            let _ = writeln!(text, "\n[groups.{}]", quoted(&internet_key(group)));
            members.written().iter().for_each(|line| _ = writeln!(text, "{line}"));
        }
        let limited = self.rules.lines().filter_map(|line| line.strip_prefix("exempt = "));
        for key in limited.collect::<std::collections::BTreeSet<_>>() {
            let who = beside
                .exempt
                .iter()
                .filter(|(of, _)| of.as_deref().is_none_or(|of| quoted(&exempt_key(&quoted(of))) == key));
            let _ = writeln!(text, "\n[groups.{key}]");
            text += &merged(who.map(|(_, who)| who.as_str()));
        }
        text
    }
}

fn is_of(of: Option<&str>, name: &str) -> bool {
    of.is_none_or(|of| quoted(of) == name)
}

/// What the group is called of those who are exempt from limits of the product called `name`, as TOML has it.
fn exempt_key(name: &str) -> String {
    format!("exempt-{}", name.trim_matches('"'))
}

/// The lines of a group of all of `who`: names of groups, and lists.
fn merged<'w>(who: impl Iterator<Item = &'w str>) -> String {
    let (mut groups, mut lists) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    for one in who {
        match toml::from_str::<toml::Table>(&format!("who = {one}")).ok().and_then(|mut table| table.remove("who")) {
            Some(toml::Value::Table(members)) => {
                for (key, names) in members {
                    let names = names.as_array().into_iter().flatten().map(ToString::to_string);
                    lists.entry(key).or_default().extend(names);
                }
            }
            Some(group) => groups.push(group.to_string()),
            None => {}
        }
    }
    if !groups.is_empty() {
        lists.insert("groups".to_owned(), groups);
    }
    lists.iter().map(|(key, names)| format!("{key} = [{}]\n", names.join(", "))).collect()
}
