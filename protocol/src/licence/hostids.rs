//! Which of the hostids a certificate lists are those of a machine, and whether they are enough (T-1, L-19).

use crate::vocab::HostId;

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
