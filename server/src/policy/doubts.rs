//! What is no mistake in a policy and may not be meant: unused groups, rules that change nothing (P-6).

use std::collections::{BTreeMap, BTreeSet};

use leasehold_core::policy::{AccessRule, Action, GroupId, Policy};
use leasehold_protocol::vocab::FeatureName;

/// One doubt.
pub(super) struct Doubt {
    pub(super) at: At,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// What it is about.
pub(super) enum At {
    Group(GroupId),
    /// By its kind, and its place among those of that kind.
    Rule(Kind, usize),
}

/// Kinds of rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Limit,
    Reservation,
    Priority,
    Reclaim,
}

/// Everything that is doubtful about `policy`.
pub(super) fn of(policy: &Policy) -> Vec<Doubt> {
    let mut doubts = unused(policy);
    doubts.extend(empty(policy));
    doubts.extend(shadowed(policy));
    doubts
}

fn unused(policy: &Policy) -> Vec<Doubt> {
    let groups = policy.groups().all();
    let by_limits = policy.limits().iter().flat_map(|limit| [Some(limit.group), limit.exempt]).flatten();
    let by_priorities = policy.priorities().iter().map(|priority| priority.group);
    let by_reservations = policy.reservations().iter().map(|reservation| reservation.group);
    let by_reclaims = policy.reclaims().iter().map(|reclaim| reclaim.group);
    let by_access = policy.rules().iter().map(|rule| rule.group);
    let by_rules = by_access.chain(by_limits).chain(by_reservations).chain(by_priorities).chain(by_reclaims);
    let used: BTreeSet<GroupId> =
        groups.iter().flat_map(|group| group.groups.iter().copied()).chain(by_rules).collect();
    let is_unused = |(id, _): &(GroupId, &String)| !used.contains(id);
    let named = (0..).zip(groups).filter_map(|(id, group)| Some((id, group.name.as_ref()?)));
    let doubt = |(id, name): (GroupId, &String)| Doubt {
        at: At::Group(id),
        message: format!("the group {name} is used by no rule and no other group"),
        help: None,
    };
    named.filter(is_unused).map(doubt).collect()
}

fn empty(policy: &Policy) -> Vec<Doubt> {
    let groups = policy.groups().all();
    let is_empty = |group: GroupId| {
        let group = &groups[group as usize];
        let words = [&group.users, &group.hosts, &group.displays, &group.projects];
        let has_none = words.iter().all(|names| names.is_empty()) && group.addresses.is_empty();
        has_none && group.devices.is_empty() && group.groups.is_empty() && !group.everyone
    };
    let access = policy.rules().iter().map(|rule| match rule.action {
        Action::Include => (rule.group, format!("rule {} includes nobody: nobody may use what it is for", rule.id)),
        Action::Exclude => (rule.group, format!("rule {} excludes nobody", rule.id)),
    });
    let limits = policy.limits().iter().map(|limit| (limit.group, format!("limit {} is for nobody", limit.id)));
    let reservations = policy
        .reservations()
        .iter()
        .map(|r| (r.group, format!("reservation {} keeps {} of {} for nobody", r.id, r.seats, r.feature)));
    let priorities = policy.priorities().iter().map(|p| (p.group, format!("priority {} is nobody's", p.id)));
    let reclaims =
        policy.reclaims().iter().map(|reclaim| (reclaim.group, format!("reclaim {} takes nobody's seats", reclaim.id)));
    let numbered = |kind: Kind, all: Vec<(GroupId, String)>| {
        all.into_iter().enumerate().map(move |(index, (group, message))| (kind, index, group, message))
    };
    let all = numbered(Kind::Access, access.collect())
        .chain(numbered(Kind::Limit, limits.collect()))
        .chain(numbered(Kind::Reservation, reservations.collect()))
        .chain(numbered(Kind::Priority, priorities.collect()))
        .chain(numbered(Kind::Reclaim, reclaims.collect()));
    let help = Some("put somebody into its group".to_owned());
    all.filter(|(_, _, group, _)| is_empty(*group))
        .map(|(kind, index, _, message)| Doubt { at: At::Rule(kind, index), message, help: help.clone() })
        .collect()
}

/// Rules that say what another says already, or that an exclude makes void: for the same group, and the same feature or all.
fn shadowed(policy: &Policy) -> Vec<Doubt> {
    let mut by_group: BTreeMap<GroupId, Vec<usize>> = BTreeMap::new();
    for (index, rule) in policy.rules().iter().enumerate() {
        by_group.entry(rule.group).or_default().push(index);
    }
    let mut doubts = Vec::new();
    for rules in by_group.values().filter(|rules| rules.len() > 1) {
        let others = Others::of(policy.rules(), rules);
        doubts.extend(rules.iter().filter_map(|index| others.doubt(policy.rules(), *index)));
    }
    doubts
}

/// The first rule for one group, by what it does and of which feature; `None`: of all.
struct Others(BTreeMap<(bool, Option<FeatureName>), usize>);

impl Others {
    fn of(all: &[AccessRule], rules: &[usize]) -> Self {
        let mut first = BTreeMap::new();
        for index in rules {
            let excludes = all[*index].action == Action::Exclude;
            match &all[*index].features {
                None => _ = first.entry((excludes, None)).or_insert(*index),
                Some(features) => {
                    for feature in features {
                        first.entry((excludes, Some(feature.clone()))).or_insert(*index);
                    }
                }
            }
        }
        Self(first)
    }

    fn doubt(&self, all: &[AccessRule], index: usize) -> Option<Doubt> {
        let rule = &all[index];
        let doubt = |other: usize, does: &str, says: &str| {
            let at = At::Rule(Kind::Access, index);
            let message = format!("rule {} {does}: rule {} {says}", rule.id, all[other].id);
            Some(Doubt { at, message, help: Some("take one of them out".to_owned()) })
        };
        if rule.action == Action::Include
            && let Some(other) = self.covers(true, rule)
        {
            return doubt(other, "lets nobody in", "excludes the same, and exclude wins");
        }
        let excludes = rule.action == Action::Exclude;
        // Includes for all and for one are asked both: only one of the same kind says the same.
        let other = match (excludes, &rule.features) {
            (true, _) => self.covers(true, rule),
            (false, None) => self.0.get(&(false, None)).copied(),
            (false, Some(features)) => self.each(false, features),
        };
        other
            .filter(|other| *other != index && (excludes || *other < index))
            .and_then(|other| doubt(other, "changes nothing", "says the same"))
    }

    /// A rule for everything `rule` is for.
    fn covers(&self, excludes: bool, rule: &AccessRule) -> Option<usize> {
        let of_all = self.0.get(&(excludes, None)).copied();
        of_all.or_else(|| self.each(excludes, rule.features.as_ref()?))
    }

    /// The rule that is for each of `features`, if they are all for one.
    fn each(&self, excludes: bool, features: &[FeatureName]) -> Option<usize> {
        let mut rules = features.iter().map(|feature| self.0.get(&(excludes, Some(feature.clone()))).copied());
        let first = rules.next()??;
        rules.all(|rule| rule == Some(first)).then_some(first)
    }
}
