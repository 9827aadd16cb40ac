//! The policy file: who may take seats, as an administrator writes it down (P-1, P-2, P-6). `docs/policy.md` is for him.
//!
//! | module | owns |
//! |---|---|
//! | `read` | TOML with places to groups and rules |
//! | `names` | one value each: names, addresses, devices |
//! | `doubts` | rules that do nothing, or not what they seem to |

mod doubts;
mod names;
mod read;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::Path};

use leasehold_core::{ReservationStatus, Shared, policy::Policy};
use leasehold_protocol::{time::Now, vocab::FeatureName};

pub use self::names::device_of;
use crate::config::{ConfigError, Problem};

/// The longest policy file that is read, in bytes: ten thousand rules with groups of a thousand members fit.
pub const FILE_MAX: u64 = 64 << 20;

/// A policy file that can be put in force.
#[derive(Debug)]
pub struct PolicyFile {
    /// What it says.
    pub policy: Policy,
    /// What is no mistake and may not be meant: groups nobody uses, rules that change nothing.
    pub doubts: Vec<Problem>,
    /// As it was written.
    pub text: String,
}

impl PolicyFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// With everything that is wrong with it, each with its place and what to do. A part of a policy is never used.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let refuse = |why: String| {
            let help = format!("check that {name} is there and readable, or name another one by --policy");
            ConfigError { problems: vec![Problem::new(why, &name).with_help(Some(help))] }
        };
        let len = std::fs::metadata(path).map_err(|e| refuse(format!("the policy file cannot be read: {e}")))?.len();
        if len > FILE_MAX {
            return Err(refuse(format!("the policy file has {len} bytes, and {FILE_MAX} are read at most")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| refuse(format!("the policy file cannot be read: {e}")))?;
        Self::parse(&name, &text)
    }

    /// What is doubtful, one line each.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.doubts.iter().map(|doubt| format!("{}: {doubt}", doubt.place))
    }

    /// Reads `text`, which is the whole of the file called `name`.
    ///
    /// # Errors
    /// As [`PolicyFile::read`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let read = read::read(name, text).map_err(|problems| ConfigError { problems })?;
        let (policy, doubts) = read;
        Ok(Self { policy, doubts, text: text.to_owned() })
    }
}

/// What the rules of the policy in force ask for that the licences in force have not: features, and seats to keep.
pub(crate) fn beside_licences(shared: &Shared, now: Now) -> Vec<String> {
    without_licence(shared, now).into_iter().chain(unsatisfied(shared)).collect()
}

/// Rules of the policy for features that nothing loaded names.
fn without_licence(shared: &Shared, now: Now) -> Option<String> {
    let policy = shared.policy();
    let access = policy.rules().iter().flat_map(|rule| rule.features.iter().flatten());
    let limits = policy.limits().iter().flat_map(|limit| limit.features.iter().flatten());
    let reservations = policy.reservations().iter().map(|reservation| &reservation.feature);
    let priorities = policy.priorities().iter().flat_map(|priority| priority.features.iter().flatten());
    let named: BTreeSet<&FeatureName> = access.chain(limits).chain(reservations).chain(priorities).collect();
    if named.is_empty() {
        return None;
    }
    let there: BTreeSet<FeatureName> = shared.features(now).into_iter().map(|feature| feature.name).collect();
    let mut missing = named.into_iter().filter(|name| !there.contains(*name));
    let first = missing.next()?;
    Some(match missing.count() {
        0 => format!("the policy has rules for {first}, which no licence names: check the name"),
        more => format!("the policy has rules for {first} and {more} more that no licence names: check the names"),
    })
}

/// Reservations that the licences in force cannot satisfy.
fn unsatisfied(shared: &Shared) -> Option<String> {
    let short: Vec<_> = shared.reservations().into_iter().filter(|reservation| reservation.short > 0).collect();
    let (first, more) = short.split_first()?;
    let ReservationStatus { rule, feature, seats, short, .. } = first;
    let more = if more.is_empty() { String::new() } else { format!(", and {} more lack some, too", more.len()) };
    let lacks =
        format!("reservation {rule} asks for {seats} of {feature}, of which the licences in force lack {short}");
    Some(format!("{lacks}{more}: lower it, or have more loaded"))
}
