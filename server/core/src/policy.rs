//! Who may take seats at all: the administrator's include and exclude rules, compiled (P-2).
//!
//! A rule is for a group of holders and for some features, or all. Exclude is asked before include, and wins. Where
//! something is included, nobody else may take seats of it; where nothing is, everybody may. Rules for all features and rules
//! for one are asked both: who is included for a feature must be among those included for all, too, if there are any.
//!
//! What a holder's words and address match is looked up, not searched for: a policy of ten thousand rules costs a request
//! as much as the groups its holder is in. Holders say themselves who they are, so that rules by user and host are an order
//! to keep, not a lock to trust.

mod groups;

use std::{collections::BTreeMap, net::IpAddr};

use leasehold_protocol::{message::Holder, vocab::FeatureName};

pub use self::groups::{Group, GroupId, Groups, GroupsError, MEMBERSHIPS_MAX, PATTERNS_MAX};

/// What is done with the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// They, and nobody else, may take seats.
    Include,
    /// They may not.
    Exclude,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// What answers and logs call it.
    pub id: String,
    /// What it does.
    pub action: Action,
    /// To whom.
    pub group: GroupId,
    /// Of which features; `None`: of all.
    pub features: Option<Vec<FeatureName>>,
}

/// Compiled rules. [`Policy::default`] lets everybody in.
#[derive(Debug, Default)]
pub struct Policy {
    groups: Groups,
    rules: Vec<AccessRule>,
    of_all: Scope,
    by_feature: BTreeMap<FeatureName, Scope>,
}

/// The rules for one feature, or for all: by group, the first rule of the file.
#[derive(Debug, Default)]
struct Scope {
    exclude: BTreeMap<GroupId, usize>,
    include: BTreeMap<GroupId, usize>,
    first_include: Option<usize>,
}

/// What the rules say of one holder and one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// He may take seats; because of this rule, or because none is against it.
    Allowed(Option<&'a AccessRule>),
    /// This rule is against it.
    Excluded(&'a AccessRule),
    /// Others are included, by this rule and maybe more, and he is not.
    NotIncluded(&'a AccessRule),
}

impl Policy {
    /// Compiles `rules`, in the order of the file: of several that apply the first is named.
    #[must_use]
    pub fn new(groups: Groups, rules: Vec<AccessRule>) -> Self {
        let mut policy = Self { groups, ..Self::default() };
        for (index, rule) in rules.iter().enumerate() {
            match &rule.features {
                None => policy.of_all.add(rule, index),
                Some(features) => {
                    for feature in features {
                        policy.by_feature.entry(feature.clone()).or_default().add(rule, index);
                    }
                }
            }
        }
        policy.rules = rules;
        policy
    }

    /// Its rules, in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[AccessRule] {
        &self.rules
    }

    /// Those that are for `feature`, or for all, in the order of the file.
    pub fn rules_for<'a>(&'a self, feature: &'a FeatureName) -> impl Iterator<Item = &'a AccessRule> {
        self.rules.iter().filter(move |rule| rule.features.as_ref().is_none_or(|features| features.contains(feature)))
    }

    /// Its groups.
    #[must_use]
    pub const fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Whether `holder`, who asks from `address`, may take seats of `feature`.
    #[must_use]
    pub fn judge(&self, feature: &FeatureName, holder: &Holder, address: IpAddr) -> Verdict<'_> {
        let scopes = [self.by_feature.get(feature).unwrap_or(Scope::NONE), &self.of_all];
        if scopes.iter().all(|scope| scope.is_empty()) {
            return Verdict::Allowed(None);
        }
        let groups = self.groups.of(holder, address);
        if let Some(rule) = scopes.iter().filter_map(|scope| first(&scope.exclude, &groups)).min() {
            return Verdict::Excluded(&self.rules[rule]);
        }
        let mut allowed_by = None;
        for scope in scopes {
            let Some(first_include) = scope.first_include else { continue };
            match first(&scope.include, &groups) {
                Some(rule) => allowed_by = allowed_by.or(Some(&self.rules[rule])),
                None => return Verdict::NotIncluded(&self.rules[first_include]),
            }
        }
        Verdict::Allowed(allowed_by)
    }
}

impl Scope {
    const NONE: &'static Self = &Self { exclude: BTreeMap::new(), include: BTreeMap::new(), first_include: None };

    fn add(&mut self, rule: &AccessRule, index: usize) {
        let rules = match rule.action {
            Action::Exclude => &mut self.exclude,
            Action::Include => {
                self.first_include.get_or_insert(index);
                &mut self.include
            }
        };
        rules.entry(rule.group).or_insert(index);
    }

    fn is_empty(&self) -> bool {
        self.exclude.is_empty() && self.include.is_empty()
    }
}

/// The first of `rules` that is for one of `groups`.
fn first(rules: &BTreeMap<GroupId, usize>, groups: &[GroupId]) -> Option<usize> {
    groups.iter().filter_map(|group| rules.get(group).copied()).min()
}
