//! Rules: who may, how many, and what is kept for whom.

use std::ops::{Range, RangeInclusive};

use leasehold_core::policy::{
    AccessRule, Action, Group, GroupId, Limit, Per, Priority, QueueRules, Reclaim, Reservation,
};
use leasehold_protocol::{
    licence::nearest::nearest,
    vocab::{FeatureName, SeatCount, Version},
};
use toml::de::{DeTable, DeValue};

use super::{Reader, Value};
use crate::policy::doubts::Kind;

const RULE_KEYS: &[&str] = &["id", "include", "exclude", "features"];
const LIMIT_KEYS: &[&str] = &["id", "max", "per", "for", "exempt", "features"];
const RESERVATION_KEYS: &[&str] = &["id", "seats", "feature", "version", "for"];
const PRIORITY_KEYS: &[&str] = &["id", "level", "for", "features"];
const RECLAIM_KEYS: &[&str] = &["id", "idle-s", "notice-s", "busy-max-s", "for", "features"];
const QUEUE_KEYS: &[&str] = &["passing-max", "waiters-max"];
/// The least idleness a seat may be taken for, in seconds: programs tell of theirs with their renewals, which are not more frequent.
const IDLE_MIN_S: u32 = 60;
/// The least notice, in seconds: a plea is sent again every five, and somebody has to read it.
const NOTICE_MIN_S: u32 = 10;
/// The notice where none is said, in seconds: enough to save a document.
const NOTICE_DEFAULT_S: u32 = 60;
/// The most of either: a month.
const SECONDS_MAX: u32 = 2_678_400;
/// The highest priority.
const PRIORITY_MAX: u8 = 100;
/// The most that may be let wait for one feature: a gigabyte of them.
const WAITERS_MAX: u32 = 1_000_000;
/// The longest id of a rule: a denial has 100 bytes for the rule (SPEC 5.6).
const ID_MAX: usize = 64;

impl Reader<'_> {
    /// Who may take seats at all.
    pub(super) fn rule(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value.span(), "a rule is a table", "expected [[rules]]", None);
        };
        self.check_keys(table, RULE_KEYS, "expected id, include or exclude, and features");
        let id = self.id(table, value.span());
        let features = self.features(table, value.span());
        let (action, who) = match (table.get("include"), table.get("exclude")) {
            (Some(who), None) => (Action::Include, who),
            (None, Some(who)) => (Action::Exclude, who),
            (Some(_), Some(who)) => {
                let help = Some("make two rules of it".to_owned());
                return self.wrong(
                    who.span(),
                    "a rule includes or excludes, not both",
                    "there is an include, too",
                    help,
                );
            }
            (None, None) => {
                let help = Some("say who: include = \"GROUP\", or exclude = { users = [\"ann\"] }".to_owned());
                return self.wrong(value.span(), "the rule is for nobody", "expected include or exclude", help);
            }
        };
        let group = self.group(who);
        if let (Some((id, at)), Some(features), Some(group)) = (id, features, group) {
            self.rules.access.push(AccessRule { id, action, group, features });
            self.rule_places[Kind::Access as usize].push(at);
        }
    }

    /// No more than so many seats.
    pub(super) fn limit(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value.span(), "a limit is a table", "expected [[limits]]", None);
        };
        self.check_keys(table, LIMIT_KEYS, "expected id, max, per, for, exempt and features");
        let id = self.id(table, value.span());
        let max = self.number(table, "max", value.span(), 0);
        let per = self.per(table, value.span());
        let group = match table.get("for") {
            Some(who) => self.group(who),
            None => Some(self.unnamed(Group { everyone: true, ..Group::default() }, value.span())),
        };
        let exempt = match table.get("exempt").map(|who| self.group(who)) {
            Some(None) => return,
            exempt => exempt.flatten(),
        };
        let features = self.features(table, value.span());
        if let (Some((id, at)), Some(max), Some(per), Some(group), Some(features)) = (id, max, per, group, features) {
            self.rules.limits.push(Limit { id, max, per, group, exempt, features });
            self.rule_places[Kind::Limit as usize].push(at);
        }
    }

    /// So many seats for some.
    pub(super) fn reservation(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value.span(), "a reservation is a table", "expected [[reservations]]", None);
        };
        self.check_keys(table, RESERVATION_KEYS, "expected id, seats, feature, version and for");
        let id = self.id(table, value.span());
        let seats = self.number(table, "seats", value.span(), 1);
        let feature = self.feature(table, value.span());
        let version = self.version(table);
        let group = self.whom(table, value.span(), "the seats are kept for nobody");
        if let (Some((id, at)), Some(seats), Some(feature), Some(version), Some(group)) =
            (id, seats, feature, version, group)
        {
            self.rules.reservations.push(Reservation { id, seats, feature, version, group });
            self.rule_places[Kind::Reservation as usize].push(at);
        }
    }

    /// Who is served first of those who wait.
    pub(super) fn priority(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value.span(), "a priority is a table", "expected [[priorities]]", None);
        };
        self.check_keys(table, PRIORITY_KEYS, "expected id, level, for and features");
        let id = self.id(table, value.span());
        let level = self.within(table, "level", value.span(), 0..=PRIORITY_MAX.into());
        let group = self.whom(table, value.span(), "the priority is nobody's");
        let features = self.features(table, value.span());
        let level = level.and_then(|level| u8::try_from(level).ok());
        if let (Some((id, at)), Some(level), Some(group), Some(features)) = (id, level, group, features) {
            self.rules.priorities.push(Priority { id, level, group, features });
            self.rule_places[Kind::Priority as usize].push(at);
        }
    }

    /// Whose idle seats go to those who wait.
    pub(super) fn reclaim(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value.span(), "a reclaim is a table", "expected [[reclaim]]", None);
        };
        self.check_keys(table, RECLAIM_KEYS, "expected id, idle-s, notice-s, busy-max-s, for and features");
        let id = self.id(table, value.span());
        let idle_s = self.within(table, "idle-s", value.span(), IDLE_MIN_S..=SECONDS_MAX);
        let notice_s = match table.contains_key("notice-s") {
            true => self.within(table, "notice-s", value.span(), NOTICE_MIN_S..=SECONDS_MAX),
            false => Some(NOTICE_DEFAULT_S),
        };
        let busy_max_s = match table.contains_key("busy-max-s") {
            true => {
                self.within(table, "busy-max-s", value.span(), idle_s.unwrap_or(IDLE_MIN_S)..=SECONDS_MAX).map(Some)
            }
            false => Some(None),
        };
        let group = match table.get("for") {
            Some(who) => self.group(who),
            None => Some(self.unnamed(Group { everyone: true, ..Group::default() }, value.span())),
        };
        let features = self.features(table, value.span());
        if let (Some((id, at)), Some(idle_s), Some(notice_s), Some(busy_max_s), Some(group), Some(features)) =
            (id, idle_s, notice_s, busy_max_s, group, features)
        {
            self.rules.reclaims.push(Reclaim { id, idle_s, notice_s, busy_max_s, group, features });
            self.rule_places[Kind::Reclaim as usize].push(at);
        }
    }

    /// What holds for all who wait.
    pub(super) fn queue(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong(value.span(), "queue is a table", "expected [queue]", None);
        };
        self.check_keys(table, QUEUE_KEYS, "expected passing-max or waiters-max");
        let mut rules = QueueRules::default();
        if table.contains_key("passing-max") {
            let most = self.within(table, "passing-max", value.span(), 0..=SeatCount::MAX.get());
            rules.passing_max = most.unwrap_or(rules.passing_max);
        }
        if table.contains_key("waiters-max") {
            let most = self.within(table, "waiters-max", value.span(), 0..=WAITERS_MAX);
            rules.waiters_max = most.unwrap_or(rules.waiters_max);
        }
        self.rules.queue = rules;
    }

    /// Whom a rule is for that has to say so; `otherwise` is what is wrong with it.
    fn whom(&mut self, table: &DeTable<'_>, rule: Range<usize>, otherwise: &str) -> Option<GroupId> {
        let Some(who) = table.get("for") else {
            let help = Some("say whom: for = \"GROUP\", or for = { users = [\"ann\"] }".to_owned());
            self.wrong(rule, otherwise, "expected for", help);
            return None;
        };
        self.group(who)
    }

    /// A group by its name, or a rule's own.
    fn group(&mut self, who: &Value<'_>) -> Option<GroupId> {
        match who.get_ref() {
            DeValue::Table(_) => {
                let members = self.members(who);
                Some(self.unnamed(members, who.span()))
            }
            _ => self.group_named(who),
        }
    }

    fn per(&mut self, table: &DeTable<'_>, rule: Range<usize>) -> Option<Per> {
        const EXPECTED: &str = "expected per = \"group\", \"user\", \"host\", \"display\", \"project\" or \"device\"";
        let Some(value) = table.get("per") else {
            let help = Some("say who has so many: each user, or all of the group together".to_owned());
            self.wrong(rule, "the limit does not say who counts as one", EXPECTED, help);
            return None;
        };
        let said = value.get_ref().as_str();
        let per = said.and_then(|said| Per::ALL.into_iter().find(|per| per.word() == said));
        if per.is_none() {
            let near = said.and_then(|said| nearest(said, Per::ALL.into_iter().map(Per::word)));
            let help = near.map(|near| format!("did you mean \"{near}\"?"));
            self.wrong(value.span(), "nothing counts as one by that", EXPECTED, help);
        }
        per
    }

    /// A number of seats, at least `least`.
    fn number(&mut self, table: &DeTable<'_>, key: &str, rule: Range<usize>, least: u32) -> Option<u32> {
        self.within(table, key, rule, least..=SeatCount::MAX.get())
    }

    fn within(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        rule: Range<usize>,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let (least, most) = (range.start(), range.end());
        let expected = format!("expected a number from {least} to {most}");
        let Some(value) = table.get(key) else {
            self.wrong(rule, format!("it does not say how many: {key} is missing"), expected, None);
            return None;
        };
        let digits = value.get_ref().as_integer().filter(|number| number.radix() == 10);
        let number = digits.and_then(|number| number.as_str().parse().ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(value.span(), format!("this is no {key}"), expected, None);
        }
        number
    }

    fn feature(&mut self, table: &DeTable<'_>, rule: Range<usize>) -> Option<FeatureName> {
        let Some(value) = table.get("feature") else {
            let help = Some("one feature each: feature = \"CAD\"".to_owned());
            self.wrong(rule, "the reservation is of no feature", "expected feature", help);
            return None;
        };
        let feature = value.get_ref().as_str().and_then(|name| FeatureName::new(name).ok());
        if feature.is_none() {
            self.wrong(value.span(), "this is no feature", "expected 1 to 64 of letters, digits, _ - . +", None);
        }
        feature
    }

    /// The lowest version that will do; any, if none is said.
    fn version(&mut self, table: &DeTable<'_>) -> Option<Version> {
        let Some(value) = table.get("version") else { return Some(Version::ANY) };
        let version = value.get_ref().as_str().and_then(|version| version.parse().ok());
        if version.is_none() {
            let help = Some("as a text in quotes: version = \"4.2\"".to_owned());
            self.wrong(value.span(), "this is no version", "expected two numbers with a dot", help);
        }
        version
    }

    fn unnamed(&mut self, members: Group, at: Range<usize>) -> GroupId {
        if let Some(id) = self.unnamed.get(&members) {
            return *id;
        }
        let id = self.add_group(members.clone(), at);
        self.unnamed.insert(members, id);
        id
    }

    /// The rule's id, and where it is.
    fn id(&mut self, table: &DeTable<'_>, rule: Range<usize>) -> Option<(String, Range<usize>)> {
        let Some(value) = table.get("id") else {
            let help = Some("give it a name that a denial can tell: id = \"no-contractors\"".to_owned());
            self.wrong(rule, "the rule has no id", "expected id = \"...\"", help);
            return None;
        };
        let is_id = |id: &&str| (1..=ID_MAX).contains(&id.len()) && !id.chars().any(|c| c.is_control() || c == ' ');
        let Some(id) = value.get_ref().as_str().filter(is_id) else {
            self.wrong(value.span(), "this is no id", "expected a word of 1 to 64 bytes, without spaces", None);
            return None;
        };
        if let Some(first) = self.ids.insert(id.to_owned(), value.span().start) {
            let (line, _) = self.whole.at(first..first).line_column();
            self.wrong(
                value.span(),
                format!("two rules are called {id}"),
                format!("the other one is in line {line}"),
                None,
            );
        }
        Some((id.to_owned(), value.span()))
    }

    fn features(&mut self, table: &DeTable<'_>, rule: Range<usize>) -> Option<Option<Vec<FeatureName>>> {
        const EXPECTED: &str = "expected \"all\", or a list of features";
        match table.get("features").map(|value| (value.span(), value.get_ref())) {
            None => {
                let help = Some("say which: features = [\"CAD\"], or features = \"all\"".to_owned());
                self.wrong(rule, "the rule is for no feature", EXPECTED, help);
                None
            }
            Some((_, DeValue::String(all))) if all == "all" => Some(None),
            Some((span, DeValue::Array(list))) => {
                if list.is_empty() {
                    self.wrong(span, "the rule is for no feature", EXPECTED, None);
                }
                let feature = |text: &str| {
                    FeatureName::new(text).map_err(|_| ("expected 1 to 64 of letters, digits, _ - . +", None))
                };
                Some(Some(self.list(table, "features", feature))).filter(|_| !list.is_empty())
            }
            Some((span, _)) => {
                self.wrong(span, "these are no features", EXPECTED, None);
                None
            }
        }
    }
}
