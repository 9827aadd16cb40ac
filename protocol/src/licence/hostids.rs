//! Which of the hostids a certificate lists are those of a machine, and whether they are enough (T-1, L-19).

use super::certificate::{Permission, Terms};
use crate::vocab::{Denial, HostId, HostIdKind, Label};

/// What became of the hostids a certificate lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched<'l> {
    /// Those the machine has.
    pub seen: Vec<&'l HostId>,
    /// Those it has not.
    pub missing: Vec<&'l HostId>,
    /// Whether those seen are enough.
    pub holds: bool,
}

/// Compares what a certificate lists with what a machine shows.
///
/// `rate` is the least part of `listed` that must be seen, in percent; the part that is seen is rounded down to a whole
/// percent. With 0, the default, one of them is enough, and with nothing listed any machine is.
#[must_use]
pub fn matched<'l>(listed: &'l [HostId], shown: &[HostId], rate: u8) -> Matched<'l> {
    let (seen, missing): (Vec<_>, Vec<_>) =
        listed.iter().partition(|id| shown.iter().any(|shown| id.means(shown)) || id.is_any());
    let holds = match (listed.len(), rate) {
        (0, _) => true,
        (_, 0) => !seen.is_empty(),
        (all, rate) => seen.len() * 100 / all >= usize::from(rate),
    };
    Matched { seen, missing, holds }
}

/// What a right demands of the machine that uses it (T-1, T-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLock {
    hostids: Vec<HostId>,
    rate: u8,
    platforms: Vec<Label>,
    no_vm: bool,
    no_terminal_server: bool,
}

impl ClientLock {
    /// Of a certificate; `None` if it lets everybody in.
    #[must_use]
    pub fn of(terms: &Terms) -> Option<Self> {
        let lock = Self {
            hostids: terms.client_hostids.clone(),
            rate: terms.match_rate.unwrap_or(0),
            platforms: terms.platforms.clone(),
            no_vm: terms.vm == Permission::Refused,
            no_terminal_server: terms.terminal_server == Permission::Refused,
        };
        let open = lock.hostids.is_empty() && lock.platforms.is_empty() && !lock.no_vm && !lock.no_terminal_server;
        (!open).then_some(lock)
    }

    /// Whether a machine that shows `shown` is let in.
    ///
    /// # Errors
    /// If it is not: the code, and why in words, with the hostids of the list that were seen and those that were not (L-19).
    pub fn lets_in(&self, shown: &[HostId]) -> Result<(), (Denial, String)> {
        let found = matched(&self.hostids, shown, self.rate);
        if !found.holds {
            let names = |ids: &[&HostId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let seen = if found.seen.is_empty() { "none of them".to_owned() } else { names(&found.seen) };
            let why = format!("of the hostids it lists this machine has {seen}, and has not {}", names(&found.missing));
            return Err((Denial::HOSTID_MISMATCH, why));
        }
        let fact = |kind| shown.iter().find(|id| id.kind == kind).map(|id| id.value.as_str());
        let platform = fact(HostIdKind::PLATFORM);
        if !self.platforms.is_empty() && !self.platforms.iter().any(|one| Some(one.as_str()) == platform) {
            let wanted: Vec<&str> = self.platforms.iter().map(Label::as_str).collect();
            let ours = platform.unwrap_or("a platform it does not tell");
            return Err((Denial::PLATFORM, format!("it is for {}, and this program is for {ours}", wanted.join(", "))));
        }
        match (fact(HostIdKind::VM), fact(HostIdKind::TERMINAL_SERVER)) {
            (Some(vm), _) if self.no_vm => {
                let why = format!("it may not be used in a virtual machine, and this is one ({vm})");
                Err((Denial::VM_NOT_ALLOWED, why))
            }
            (_, Some(remote)) if self.no_terminal_server => {
                let why = format!("it may not be used in a remote session, and this is one ({remote})");
                Err((Denial::VM_NOT_ALLOWED, why))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<HostId> {
        text.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// L-19, TR-05.
    #[test]
    fn at_least_the_rate_of_the_listed_hostids_must_match_rounded_down() {
        for (listed, shown, rate, holds) in [
            ("disk:1 disk:2", "disk:2", 50, true),
            ("disk:1 disk:2", "disk:2", 51, false),
            ("disk:1 disk:2 disk:3", "disk:1", 33, true),
            ("disk:1 disk:2 disk:3", "disk:1", 34, false),
            ("disk:1 disk:2 disk:3", "disk:1 disk:2", 66, true),
            ("disk:1 disk:2 disk:3", "disk:1 disk:2", 67, false),
            ("disk:1 disk:2", "disk:1 disk:2", 100, true),
            ("disk:1 disk:2", "disk:1", 0, true),
            ("disk:1 disk:2", "user:x", 0, false),
            ("", "", 0, true),
            ("any", "", 0, true),
            ("any disk:1", "", 100, false),
        ] {
            let (listed, shown) = (ids(listed), ids(shown));
            assert_eq!(matched(&listed, &shown, rate).holds, holds, "{listed:?} {shown:?} {rate}");
        }
    }

    #[test]
    fn what_was_seen_and_what_not_is_told_apart() {
        let listed = ids("disk:1 ip:10.0.0.0/8 user:x");
        let shown = ids("ip:10.2.3.4 user:y");
        let found = matched(&listed, &shown, 0);
        assert_eq!((found.seen, found.missing), (vec![&listed[1]], vec![&listed[0], &listed[2]]));
    }
}
