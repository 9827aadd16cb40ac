//! TOML with places to groups and rules. All mistakes are found at once, and one is enough to refuse the file.

mod rules;

use std::{collections::BTreeMap, ops::Range};

use leasehold_core::policy::{Group, GroupId, Groups, GroupsError, Policy, Rules};
use leasehold_protocol::licence::nearest::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    doubts,
    names::{self, Named},
};
use crate::config::{Problem, Quote, place};

type Value<'a> = Spanned<DeValue<'a>>;

const KEYS: &[&str] = &["case", "groups", "rules", "limits", "reservations", "priorities", "reclaim", "queue"];
const GROUP_KEYS: &[&str] = &["everyone", "users", "hosts", "displays", "projects", "addresses", "devices", "groups"];

/// Reads `text`, the whole of the file called `name`.
pub(super) fn read(name: &str, text: &str) -> Result<(Policy, Vec<Problem>), Vec<Problem>> {
    let whole = Quote::new(name, text, 0..0);
    let mut reader = Reader::new(name, whole);
    match DeTable::parse(text) {
        Ok(table) => reader.file(table.get_ref()),
        Err(e) => reader.wrong(e.span().unwrap_or(0..0), format!("not TOML: {}", e.message()), "here", None),
    }
    reader.finish()
}

struct Reader<'a> {
    name: &'a str,
    whole: Quote,
    problems: Vec<Problem>,
    ignores_case: bool,
    groups: Vec<Group>,
    /// By group: where it is.
    places: Vec<Range<usize>>,
    named: BTreeMap<String, GroupId>,
    /// Rules' own lists of members, so that the same list is one group.
    unnamed: BTreeMap<Group, GroupId>,
    rules: Rules,
    /// By kind of rule, and by rule: where its id is.
    rule_places: [Vec<Range<usize>>; 5],
    ids: BTreeMap<String, usize>,
}

impl<'a> Reader<'a> {
    fn new(name: &'a str, whole: Quote) -> Self {
        Self {
            name,
            whole,
            problems: Vec::new(),
            ignores_case: true,
            groups: Vec::new(),
            places: Vec::new(),
            named: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            rules: Rules::default(),
            rule_places: Default::default(),
            ids: BTreeMap::new(),
        }
    }

    fn file(&mut self, table: &DeTable<'_>) {
        self.check_keys(table, KEYS, "expected case, groups, queue, or a kind of rule");
        self.ignores_case = table.get("case").is_none_or(|value| self.ignores_case(value));
        if let Some(groups) = table.get("groups") {
            self.groups(groups);
        }
        self.tables(table, "rules", Self::rule);
        self.tables(table, "limits", Self::limit);
        self.tables(table, "reservations", Self::reservation);
        self.tables(table, "priorities", Self::priority);
        self.tables(table, "reclaim", Self::reclaim);
        if let Some(queue) = table.get("queue") {
            self.queue(queue);
        }
    }

    /// Reads each table of the list `key`.
    fn tables(&mut self, table: &DeTable<'_>, key: &str, read: fn(&mut Self, &Value<'_>)) {
        match table.get(key).map(|value| (value.span(), value.get_ref())) {
            None => {}
            Some((_, DeValue::Array(all))) => all.iter().for_each(|one| read(self, one)),
            Some((span, _)) => {
                let one = if key == "priorities" { "priority" } else { key.trim_end_matches('s') };
                let help = Some(format!("begin each {one} with a line [[{key}]]"));
                self.wrong(span, format!("{key} is a list of tables"), format!("expected [[{key}]]"), help);
            }
        }
    }

    fn finish(mut self) -> Result<(Policy, Vec<Problem>), Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        match Groups::new(std::mem::take(&mut self.groups), self.ignores_case) {
            Ok(groups) => {
                let policy = Policy::new(groups, std::mem::take(&mut self.rules));
                let doubt = |span: &Range<usize>, message: String, label: &str, help: Option<String>| {
                    self.problem(span.clone(), message, label, help)
                };
                let doubts = doubts::of(&policy)
                    .into_iter()
                    .map(|found| match found.at {
                        doubts::At::Group(id) => {
                            doubt(&self.places[id as usize], found.message, "this group", found.help)
                        }
                        doubts::At::Rule(kind, rule) => {
                            doubt(&self.rule_places[kind as usize][rule], found.message, "this rule", found.help)
                        }
                    })
                    .collect();
                Ok((policy, doubts))
            }
            Err(GroupsError::Cycle(way)) => {
                let name_of =
                    |id: &GroupId| self.named.iter().find(|(_, known)| *known == id).map_or("?", |(name, _)| name);
                let names: Vec<&str> = way.iter().chain(way.first()).map(name_of).collect();
                let message = format!("the group {} is in itself: {}", names[0], names.join(" has "));
                let help = Some("take one of them out of the groups of another".to_owned());
                Err(vec![self.problem(
                    self.places[way[0] as usize].clone(),
                    message,
                    "its members are never all found",
                    help,
                )])
            }
            Err(e) => Err(vec![self.problem(0..0, e.to_string(), "somewhere in this file", None)]),
        }
    }

    fn ignores_case(&mut self, value: &Value<'_>) -> bool {
        match value.get_ref().as_str() {
            Some("ignore") => return true,
            Some("exact") => {}
            _ => {
                let help =
                    Some("ignore is what goes without saying: Windows tells users and hosts in either case".to_owned());
                self.wrong(
                    value.span(),
                    "there is no such way to compare names",
                    "expected \"ignore\" or \"exact\"",
                    help,
                );
            }
        }
        false
    }

    fn groups(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value.span(), "groups is a table", "expected [groups.NAME]", None);
        };
        // First the names: a group may have others in it that come later.
        for (name, _) in table {
            let id = self.add_group(Group::default(), name.span());
            self.named.insert(name.get_ref().to_string(), id);
        }
        for (name, value) in table {
            let id = self.named[name.get_ref().as_ref()];
            let group = self.members(value);
            self.groups[id as usize] = Group { name: Some(name.get_ref().to_string()), ..group };
        }
    }

    fn add_group(&mut self, group: Group, at: Range<usize>) -> GroupId {
        let id = GroupId::try_from(self.groups.len()).unwrap_or(GroupId::MAX);
        self.groups.push(group);
        self.places.push(at);
        id
    }

    fn members(&mut self, value: &Value<'_>) -> Group {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value.span(), "a group is a table", "expected users = [\"ann\"] and the like", None);
            return Group::default();
        };
        self.check_keys(table, GROUP_KEYS, "expected who is in the group");
        let everyone = table.get("everyone").is_some_and(|value| {
            value.get_ref().as_bool().unwrap_or_else(|| {
                self.wrong(value.span(), "everyone is true or false", "expected true or false", None);
                false
            })
        });
        Group {
            name: None,
            everyone,
            users: self.list(table, "users", names::name),
            hosts: self.list(table, "hosts", names::name),
            displays: self.list(table, "displays", names::name),
            projects: self.list(table, "projects", names::name),
            addresses: self.list(table, "addresses", names::network),
            devices: self.list(table, "devices", names::device),
            groups: self.inner(table),
        }
    }

    /// The groups in a group.
    fn inner(&mut self, table: &DeTable<'_>) -> Vec<GroupId> {
        let Some(value) = table.get("groups") else { return Vec::new() };
        let DeValue::Array(names) = value.get_ref() else {
            self.wrong(value.span(), "groups is a list", "expected [\"NAME\"]", None);
            return Vec::new();
        };
        names.iter().filter_map(|name| self.group_named(name)).collect()
    }

    fn list<T>(&mut self, table: &DeTable<'_>, key: &str, read: fn(&str) -> Named<T>) -> Vec<T> {
        let Some(value) = table.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(value.span(), format!("{key} is a list"), "expected [\"...\"]", None);
            return Vec::new();
        };
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref().as_str().map_or(Err(("expected a text in quotes", None)), read) {
                Ok(value) => all.push(value),
                Err((expected, help)) => self.wrong(item.span(), format!("this is none of {key}"), expected, help),
            }
        }
        all
    }

    fn group_named(&mut self, value: &Value<'_>) -> Option<GroupId> {
        let Some(name) = value.get_ref().as_str() else {
            self.wrong(value.span(), "a group is called by its name", "expected a text in quotes", None);
            return None;
        };
        let known = self.named.get(name).copied();
        if known.is_none() {
            let near =
                nearest(name, self.named.keys().map(String::as_str)).map(|near| format!("did you mean \"{near}\"?"));
            let help = near.unwrap_or_else(|| format!("write it down: [groups.{name}]"));
            self.wrong(
                value.span(),
                format!("there is no group \"{name}\""),
                "expected the name of a group",
                Some(help),
            );
        }
        known
    }

    fn check_keys(&mut self, table: &DeTable<'_>, known: &[&str], expected: &str) {
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let near = nearest(key.get_ref(), known.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
            let help = near.or_else(|| Some(format!("there are {}", known.join(", "))));
            self.wrong(key.span(), format!("there is no \"{}\" here", key.get_ref()), expected, help);
        }
    }

    fn wrong(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        let problem = self.problem(span, message, label, help);
        self.problems.push(problem);
    }

    fn problem(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) -> Problem {
        let quote = self.whole.at(span);
        Problem::new(message, place(self.name, &quote)).quoting(quote, label).with_help(help)
    }
}
