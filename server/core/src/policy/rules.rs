//! What rules say, before they are compiled.

use leasehold_protocol::{
    message::Activity,
    vocab::{FeatureName, Version},
};

use super::GroupId;

/// Rules of every kind, each in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Who may take seats at all (P-2).
    pub access: Vec<AccessRule>,
    /// How many at a time (P-2).
    pub limits: Vec<Limit>,
    /// How many are kept for whom (P-3).
    pub reservations: Vec<Reservation>,
    /// Who is served first of those who wait.
    pub priorities: Vec<Priority>,
    /// Whose idle seats go to those who wait.
    pub reclaims: Vec<Reclaim>,
    /// What holds for all who wait.
    pub queue: QueueRules,
}

/// What is done with the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// They, and nobody else, may take seats.
    Include,
    /// They may not.
    Exclude,
}

impl Action {
    /// The word it has in a policy file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Include => "include",
            Self::Exclude => "exclude",
        }
    }
}

/// One rule of access.
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

/// Members of a group have no more than `max` seats at a time, of each of its features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What answers and logs call it.
    pub id: String,
    /// How many; 0: none.
    pub max: u32,
    /// Who has so many.
    pub per: Per,
    /// Whom it is for.
    pub group: GroupId,
    /// Who is not counted and not held to it, though he is in the group.
    pub exempt: Option<GroupId>,
    /// Of which features, each by itself; `None`: of all.
    pub features: Option<Vec<FeatureName>>,
}

/// Who counts as one for a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// All members of the group together.
    Group,
    /// Those with the same login name.
    User,
    /// Those on the same host.
    Host,
    /// Those at the same display; all without one are one.
    Display,
    /// Those with the same project tag; all without one are one.
    Project,
    /// Those on the same machine, whatever its name.
    Device,
}

/// Seats that are kept for the members of a group, even while they use none (P-3).
///
/// So many in all, never of each lot. Whatever members have counts towards it, and beyond it they take seats as anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// What answers and logs call it.
    pub id: String,
    /// How many; at least 1.
    pub seats: u32,
    /// Of which feature.
    pub feature: FeatureName,
    /// The lowest version that will do.
    pub version: Version,
    /// For whom.
    pub group: GroupId,
}

/// Members of a group wait with this priority for seats of its features. Of several the highest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// What logs call it.
    pub id: String,
    /// 0 to 100; whoever has none has [`PRIORITY_DEFAULT`].
    pub level: u8,
    /// Whom it is for.
    pub group: GroupId,
    /// Of which features; `None`: of all.
    pub features: Option<Vec<FeatureName>>,
}

/// Idle seats of the members of a group go to those who wait, once their holders were asked to let go. Of several the first of
/// the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reclaim {
    /// What answers and logs call it.
    pub id: String,
    /// How long a holder has to have been idle, by his program's own word, in seconds.
    pub idle_s: u32,
    /// How long he has to save and let go, in seconds.
    pub notice_s: u32,
    /// From how much idleness on his seat is taken although his program is busy or has unsaved work, in seconds; `None`: never.
    pub busy_max_s: Option<u32>,
    /// Whose seats.
    pub group: GroupId,
    /// Of which features; `None`: of all.
    pub features: Option<Vec<FeatureName>>,
}

impl Reclaim {
    /// Whether `activity`, as a holder told it last, is idleness enough.
    #[must_use]
    pub const fn takes(&self, activity: Activity) -> bool {
        let works = activity.busy || activity.unsaved;
        match self.busy_max_s {
            Some(limit) if works => activity.idle_s >= limit && activity.idle_s >= self.idle_s,
            None if works => false,
            _ => activity.idle_s >= self.idle_s,
        }
    }
}

/// The priority of whoever no rule gives another: in the middle, so that rules can put others before and behind him.
pub const PRIORITY_DEFAULT: u8 = 50;

/// What holds for all who wait for seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRules {
    /// How many may pass somebody for whom too few seats are free, with requests that can be served; 0: nobody. Default 8: a
    /// large request waits for no more than eight small ones, and small ones need not stand before free seats.
    pub passing_max: u32,
    /// How many may wait for seats of one feature. Default 10 000: some 10 MB.
    pub waiters_max: u32,
}

impl Default for QueueRules {
    fn default() -> Self {
        Self { passing_max: 8, waiters_max: 10_000 }
    }
}

impl From<Vec<AccessRule>> for Rules {
    fn from(access: Vec<AccessRule>) -> Self {
        Self { access, ..Self::default() }
    }
}

impl Per {
    /// Every one, in the order they are told in.
    pub const ALL: [Self; 6] = [Self::Group, Self::User, Self::Host, Self::Display, Self::Project, Self::Device];

    /// Its word in a policy file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::User => "user",
            Self::Host => "host",
            Self::Display => "display",
            Self::Project => "project",
            Self::Device => "device",
        }
    }
}
