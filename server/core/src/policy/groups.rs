//! Groups of holders, and which of them a holder is in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasherDefault, DefaultHasher},
    net::IpAddr,
};

use ipnet::IpNet;
use leasehold_protocol::{
    message::Holder,
    vocab::{DeviceId, Label},
};
use regex::{RegexSet, RegexSetBuilder};

/// A group: its place among those it was compiled with.
pub type GroupId = u32;

/// Who is in a group: whoever one of these describes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// What people call it; a rule's own list of members has none.
    pub name: Option<String>,
    /// Whether everybody is in it.
    pub everyone: bool,
    /// Login names; `*` stands for any characters, `?` for one.
    pub users: Vec<String>,
    /// Host names, likewise. A name without a dot is also that of a host which says its domain with it.
    pub hosts: Vec<String>,
    /// Displays or terminals, likewise.
    pub displays: Vec<String>,
    /// Project tags, likewise.
    pub projects: Vec<String>,
    /// Addresses a request comes from.
    pub addresses: Vec<IpNet>,
    /// Machines.
    pub devices: Vec<DeviceId>,
    /// Groups whose members are all in it.
    pub groups: Vec<GroupId>,
}

/// What is wrong with groups.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupsError {
    /// A group is in itself, through these, each in the one before.
    #[error("the group is in itself, through {} groups", .0.len())]
    Cycle(Vec<GroupId>),
    /// Groups are in groups so often that finding out who is in which takes more memory than it may
    /// ([`MEMBERSHIPS_MAX`]).
    #[error("too many groups are in groups that are in groups: make them flatter")]
    Nesting,
    /// There are more names of one kind with `*` or `?` than [`PATTERNS_MAX`], or they are too long to be compiled.
    #[error("more than {PATTERNS_MAX} names of one kind with * or ?: name members in full")]
    Patterns,
}

/// Groups, compiled: from a holder's words to groups.
#[derive(Debug, Default)]
pub struct Groups {
    all: Vec<Group>,
    /// By group: those it is in, itself among them, in order.
    within: Vec<Vec<GroupId>>,
    everyone: Vec<GroupId>,
    words: [Words; 4],
    devices: BTreeMap<DeviceId, Vec<GroupId>>,
    networks: BTreeMap<IpNet, Vec<GroupId>>,
    /// The lengths of prefixes there are among the networks, of IPv4 and of IPv6.
    prefixes: [BTreeSet<u8>; 2],
    ignores_case: bool,
}

/// What is looked up, once compiled: by a hash that is the same in every process, for whoever chooses what is in here is the
/// administrator, and strangers only ask.
pub(super) type Looked<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Names of one kind.
#[derive(Debug, Default)]
struct Words {
    exact: Looked<String, Vec<GroupId>>,
    patterns: RegexSet,
    /// By pattern.
    of_pattern: Vec<GroupId>,
}

/// The most names of one kind (users, hosts, ...) with `*` or `?`. Names in full are looked up however many there are; these are
/// tried one beside the other, and a request must not wait for them.
pub const PATTERNS_MAX: usize = 1000;
/// The most bytes the compiled patterns of one kind may take.
const PATTERNS_BYTES_MAX: usize = 64 << 20;

/// The most pairs of a group and one that it is in, directly or not: 16 MB.
pub const MEMBERSHIPS_MAX: usize = 4 << 20;

const USER: usize = 0;
const HOST: usize = 1;
const DISPLAY: usize = 2;
const PROJECT: usize = 3;

impl Groups {
    /// Compiles `all`; names are compared with or without regard to case.
    ///
    /// # Errors
    /// If a group is in itself, or there are more patterns than memory is spent on.
    pub fn new(all: Vec<Group>, ignores_case: bool) -> Result<Self, GroupsError> {
        let within = within(&all)?;
        let mut groups = Self { within, ignores_case, ..Self::default() };
        let mut patterns: [Vec<String>; 4] = Default::default();
        for (id, group) in (0..).zip(&all) {
            if group.everyone {
                groups.everyone.push(id);
            }
            for (kind, names) in [&group.users, &group.hosts, &group.displays, &group.projects].into_iter().enumerate()
            {
                names.iter().for_each(|name| groups.add_name(kind, name, id, &mut patterns[kind]));
            }
            for device in &group.devices {
                groups.devices.entry(*device).or_default().push(id);
            }
            for network in group.addresses.iter().map(IpNet::trunc) {
                groups.prefixes[family(network.addr())].insert(network.prefix_len());
                groups.networks.entry(network).or_default().push(id);
            }
        }
        for (words, patterns) in groups.words.iter_mut().zip(patterns) {
            if patterns.len() > PATTERNS_MAX {
                return Err(GroupsError::Patterns);
            }
            words.patterns = RegexSetBuilder::new(patterns)
                .case_insensitive(ignores_case)
                .size_limit(PATTERNS_BYTES_MAX)
                .build()
                .map_err(|_| GroupsError::Patterns)?;
        }
        groups.all = all;
        Ok(groups)
    }

    /// As they were given.
    #[must_use]
    pub fn all(&self) -> &[Group] {
        &self.all
    }

    /// Whether names are compared without regard to case.
    #[must_use]
    pub const fn ignores_case(&self) -> bool {
        self.ignores_case
    }

    /// The groups `holder`, who asks from `address`, is in; in order, each once.
    #[must_use]
    pub fn of(&self, holder: &Holder, address: IpAddr) -> Vec<GroupId> {
        let mut direct = self.everyone.clone();
        self.find(USER, Some(&holder.user), &mut direct);
        self.find(HOST, Some(&holder.host), &mut direct);
        if let Some((short, _)) = holder.host.as_str().split_once('.') {
            self.find_word(HOST, short, &mut direct);
        }
        self.find(DISPLAY, holder.display.as_ref(), &mut direct);
        self.find(PROJECT, holder.project.as_ref(), &mut direct);
        direct.extend(self.devices.get(&holder.device).into_iter().flatten());
        let address = address.to_canonical();
        for prefix in &self.prefixes[family(address)] {
            let network = IpNet::new(address, *prefix).ok().map(|network| network.trunc());
            direct.extend(network.and_then(|network| self.networks.get(&network)).into_iter().flatten());
        }
        let mut all: Vec<GroupId> = direct.iter().flat_map(|id| &self.within[*id as usize]).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn add_name(&mut self, kind: usize, name: &str, id: GroupId, patterns: &mut Vec<String>) {
        if name.contains(['*', '?']) {
            patterns.push(pattern(name));
            self.words[kind].of_pattern.push(id);
        } else {
            let name = self.folded(name);
            self.words[kind].exact.entry(name).or_default().push(id);
        }
    }

    fn find(&self, kind: usize, word: Option<&Label>, found: &mut Vec<GroupId>) {
        if let Some(word) = word {
            self.find_word(kind, word.as_str(), found);
        }
    }

    fn find_word(&self, kind: usize, word: &str, found: &mut Vec<GroupId>) {
        let words = &self.words[kind];
        if !words.exact.is_empty() {
            found.extend(words.exact.get(&self.folded(word)).into_iter().flatten());
        }
        if !words.of_pattern.is_empty() {
            found.extend(words.patterns.matches(word).iter().map(|pattern| words.of_pattern[pattern]));
        }
    }

    /// A name as it is compared with others.
    pub(crate) fn folded(&self, name: &str) -> String {
        if self.ignores_case { name.to_lowercase() } else { name.to_owned() }
    }
}

const fn family(address: IpAddr) -> usize {
    if address.is_ipv4() { 0 } else { 1 }
}

/// A name with `*` and `?` as a regular expression: of the kind that takes time in proportion to the text, whatever it says.
fn pattern(name: &str) -> String {
    let part = |c: char| match c {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        c => regex::escape(c.encode_utf8(&mut [0; 4])),
    };
    format!("^(?s:{})$", name.chars().map(part).collect::<String>())
}

/// For each group: those it is in, itself among them.
fn within(all: &[Group]) -> Result<Vec<Vec<GroupId>>, GroupsError> {
    let mut holders: Vec<Vec<GroupId>> = vec![Vec::new(); all.len()];
    for (id, group) in (0..).zip(all) {
        group.groups.iter().for_each(|inner| holders[*inner as usize].push(id));
    }
    if let Some(cycle) = cycle(all) {
        return Err(GroupsError::Cycle(cycle));
    }
    let closure = |id: GroupId| {
        let (mut seen, mut left) = (BTreeSet::from([id]), vec![id]);
        while let Some(next) = left.pop() {
            left.extend(holders[next as usize].iter().filter(|outer| seen.insert(**outer)));
        }
        seen.into_iter().collect::<Vec<GroupId>>()
    };
    let (mut all_within, mut pairs) = (Vec::with_capacity(all.len()), 0);
    for id in (0..).take(all.len()) {
        let within = closure(id);
        pairs += within.len();
        if pairs > MEMBERSHIPS_MAX {
            return Err(GroupsError::Nesting);
        }
        all_within.push(within);
    }
    Ok(all_within)
}

/// Where a group is in the search for one that is in itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    OnTheWay,
    Done,
}

/// Groups each of which is in the one before, and the first in the last; without recursion, for a file may nest them deep.
fn cycle(all: &[Group]) -> Option<Vec<GroupId>> {
    let mut seen = vec![Seen::Never; all.len()];
    for start in (0..).take(all.len()) {
        // The way down: each group, and how many of its inner ones were looked at.
        let mut way: Vec<(GroupId, usize)> = Vec::new();
        if seen[start as usize] == Seen::Never {
            seen[start as usize] = Seen::OnTheWay;
            way.push((start, 0));
        }
        while let Some((id, next)) = way.last_mut() {
            let Some(inner) = all[*id as usize].groups.get(*next).copied() else {
                seen[*id as usize] = Seen::Done;
                way.pop();
                continue;
            };
            *next += 1;
            match seen[inner as usize] {
                Seen::Done => {}
                Seen::Never => {
                    seen[inner as usize] = Seen::OnTheWay;
                    way.push((inner, 0));
                }
                Seen::OnTheWay => {
                    let ids = way.iter().map(|(id, _)| *id);
                    return Some(ids.skip_while(|id| *id != inner).collect());
                }
            }
        }
    }
    None
}
