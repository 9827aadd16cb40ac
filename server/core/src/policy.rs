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
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use leasehold_protocol::{message::Holder, vocab::FeatureName};

use self::groups::Looked;
pub use self::{
    groups::{Group, GroupId, Groups, GroupsError, MEMBERSHIPS_MAX, PATTERNS_MAX},
    rules::{AccessRule, Action, Limit, PRIORITY_DEFAULT, Per, Priority, QueueRules, Reclaim, Reservation, Rules},
};

/// Compiled rules. [`Policy::default`] lets everybody in.
#[derive(Debug, Default)]
pub struct Policy {
    groups: Groups,
    rules: Rules,
    of_all: Scope,
    by_feature: Looked<FeatureName, Scope>,
    /// By reservation: see [`rank`].
    ranks: Vec<u8>,
}

/// The rules for one feature, or for all: of those of access the first of the file for each group, of the others every one.
#[derive(Debug, Default)]
struct Scope {
    exclude: BTreeMap<GroupId, usize>,
    include: BTreeMap<GroupId, usize>,
    first_include: Option<usize>,
    limits: BTreeMap<GroupId, Vec<usize>>,
    /// In the order they are drawn from.
    reservations: BTreeMap<GroupId, Vec<usize>>,
    /// The highest for each group.
    priorities: BTreeMap<GroupId, u8>,
    /// The first of the file for each group.
    reclaims: BTreeMap<GroupId, usize>,
}

/// The rules about numbers of seats that concern one holder: their places among those of their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concern {
    /// Limits he is held to, in the order of the file.
    pub limits: Vec<usize>,
    /// Reservations he draws from, in the order he does: those of his machine, those of his name, then the others.
    pub reservations: Vec<usize>,
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
    pub fn new(groups: Groups, rules: impl Into<Rules>) -> Self {
        let mut policy = Self { groups, rules: rules.into(), ..Self::default() };
        let Rules { access, limits, reservations, priorities, reclaims, queue: _ } = &policy.rules;
        let (of_all, by_feature) = (&mut policy.of_all, &mut policy.by_feature);
        for (index, rule) in access.iter().enumerate() {
            each_scope(of_all, by_feature, rule.features.as_deref(), |scope| scope.add(rule, index));
        }
        for (index, limit) in limits.iter().enumerate() {
            let add = |scope: &mut Scope| scope.limits.entry(limit.group).or_default().push(index);
            each_scope(of_all, by_feature, limit.features.as_deref(), add);
        }
        for priority in priorities {
            let add = |scope: &mut Scope| {
                let level = scope.priorities.entry(priority.group).or_default();
                *level = priority.level.max(*level);
            };
            each_scope(of_all, by_feature, priority.features.as_deref(), add);
        }
        for (index, reclaim) in reclaims.iter().enumerate() {
            let add = |scope: &mut Scope| _ = scope.reclaims.entry(reclaim.group).or_insert(index);
            each_scope(of_all, by_feature, reclaim.features.as_deref(), add);
        }
        for (index, reservation) in reservations.iter().enumerate() {
            let scope = by_feature.entry(reservation.feature.clone()).or_default();
            scope.reservations.entry(reservation.group).or_default().push(index);
            policy.ranks.push(rank(policy.groups.all().get(reservation.group as usize)));
        }
        policy
    }

    /// Its rules of access, in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[AccessRule] {
        &self.rules.access
    }

    /// How many rules of all kinds there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let Rules { access, limits, reservations, priorities, reclaims, queue: _ } = &self.rules;
        access.len() + limits.len() + reservations.len() + priorities.len() + reclaims.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are for `feature`, or for all, in the order of the file.
    pub fn rules_for<'a>(&'a self, feature: &'a FeatureName) -> impl Iterator<Item = &'a AccessRule> {
        self.rules().iter().filter(move |rule| rule.features.as_ref().is_none_or(|features| features.contains(feature)))
    }

    /// Its limits, in the order of the file.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.rules.limits
    }

    /// Its reservations, in the order of the file.
    #[must_use]
    pub fn reservations(&self) -> &[Reservation] {
        &self.rules.reservations
    }

    /// Its priorities, in the order of the file.
    #[must_use]
    pub fn priorities(&self) -> &[Priority] {
        &self.rules.priorities
    }

    /// Its rules about idle seats, in the order of the file.
    #[must_use]
    pub fn reclaims(&self) -> &[Reclaim] {
        &self.rules.reclaims
    }

    /// By which rule an idle seat of `feature` that `holder` has, who asked from `address`, may go to those who wait.
    #[must_use]
    pub fn reclaim(&self, feature: &FeatureName, holder: &Holder, address: IpAddr) -> Option<&Reclaim> {
        let scopes = [self.by_feature.get(feature).unwrap_or(Scope::NONE), &self.of_all];
        if scopes.iter().all(|scope| scope.reclaims.is_empty()) {
            return None;
        }
        let groups = self.groups.of(holder, address);
        let rule = scopes.iter().filter_map(|scope| first(&scope.reclaims, &groups)).min()?;
        self.rules.reclaims.get(rule)
    }

    /// What holds for all who wait.
    #[must_use]
    pub const fn queue(&self) -> QueueRules {
        self.rules.queue
    }

    /// With which priority `holder`, who asks from `address`, waits for seats of `feature`.
    #[must_use]
    pub fn priority(&self, feature: &FeatureName, holder: &Holder, address: IpAddr) -> u8 {
        let scopes = [self.by_feature.get(feature).unwrap_or(Scope::NONE), &self.of_all];
        if scopes.iter().all(|scope| scope.priorities.is_empty()) {
            return PRIORITY_DEFAULT;
        }
        let groups = self.groups.of(holder, address);
        let levels = scopes.iter().flat_map(|scope| groups.iter().filter_map(|group| scope.priorities.get(group)));
        levels.max().copied().unwrap_or(PRIORITY_DEFAULT)
    }

    /// Whether there is any limit or reservation for `feature`.
    pub(crate) fn counts(&self, feature: &FeatureName) -> bool {
        let counts = |scope: &Scope| !scope.limits.is_empty() || !scope.reservations.is_empty();
        counts(&self.of_all) || self.by_feature.get(feature).is_some_and(counts)
    }

    /// Which limits and reservations of `feature` concern `holder`, who asks from `address`.
    #[must_use]
    pub fn concern(&self, feature: &FeatureName, holder: &Holder, address: IpAddr) -> Concern {
        if !self.counts(feature) {
            return Concern::default();
        }
        let (own, groups) = (self.by_feature.get(feature).unwrap_or(Scope::NONE), self.groups.of(holder, address));
        let of = |rules: &BTreeMap<GroupId, Vec<usize>>| -> Vec<usize> {
            groups.iter().filter_map(|group| rules.get(group)).flatten().copied().collect()
        };
        let is_exempt =
            |limit: &usize| self.limits()[*limit].exempt.is_some_and(|exempt| groups.binary_search(&exempt).is_ok());
        let mut limits = of(&own.limits);
        limits.extend(of(&self.of_all.limits));
        limits.retain(|limit| !is_exempt(limit));
        limits.sort_unstable();
        let mut reservations = of(&own.reservations);
        reservations.sort_unstable_by_key(|reservation| (self.ranks[*reservation], *reservation));
        Concern { limits, reservations }
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
        if scopes.iter().all(|scope| scope.lets_all_in()) {
            return Verdict::Allowed(None);
        }
        let groups = self.groups.of(holder, address);
        if let Some(rule) = scopes.iter().filter_map(|scope| first(&scope.exclude, &groups)).min() {
            return Verdict::Excluded(&self.rules()[rule]);
        }
        let mut allowed_by = None;
        for scope in scopes {
            let Some(first_include) = scope.first_include else { continue };
            match first(&scope.include, &groups) {
                Some(rule) => allowed_by = allowed_by.or(Some(&self.rules()[rule])),
                None => return Verdict::NotIncluded(&self.rules()[first_include]),
            }
        }
        Verdict::Allowed(allowed_by)
    }
}

impl Scope {
    const NONE: &'static Self = &Self {
        exclude: BTreeMap::new(),
        include: BTreeMap::new(),
        first_include: None,
        limits: BTreeMap::new(),
        reservations: BTreeMap::new(),
        priorities: BTreeMap::new(),
        reclaims: BTreeMap::new(),
    };

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

    fn lets_all_in(&self) -> bool {
        self.exclude.is_empty() && self.include.is_empty()
    }
}

/// Does `add` to the scope of each of `features`, or to the one of all.
fn each_scope(
    of_all: &mut Scope,
    by_feature: &mut Looked<FeatureName, Scope>,
    features: Option<&[FeatureName]>,
    mut add: impl FnMut(&mut Scope),
) {
    let Some(features) = features else { return add(of_all) };
    // One that is named twice is meant once.
    for feature in features.iter().collect::<BTreeSet<_>>() {
        add(by_feature.entry(feature.clone()).or_default());
    }
}

/// Whose reservation is drawn from first: that of a machine, then that of a user, then any other (PO-12).
fn rank(group: Option<&Group>) -> u8 {
    let Some(Group { name: _, everyone, users, hosts, displays, projects, addresses, devices, groups }) = group else {
        return 2;
    };
    let has_others = *everyone
        || ![hosts, displays, projects].iter().all(|names| names.is_empty())
        || !addresses.is_empty()
        || !groups.is_empty();
    match (users.is_empty(), devices.is_empty()) {
        (true, false) if !has_others => 0,
        (false, true) if !has_others => 1,
        _ => 2,
    }
}

/// The first of `rules` that is for one of `groups`.
fn first(rules: &BTreeMap<GroupId, usize>, groups: &[GroupId]) -> Option<usize> {
    groups.iter().filter_map(|group| rules.get(group).copied()).min()
}
