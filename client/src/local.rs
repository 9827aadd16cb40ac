//! Rights that need no server (L-18): what certificates on this machine grant by themselves. A pure function of them, of the
//! machine and of the instant; who reads them is the driver.
//!
//! A certificate is *local* if it is uncounted and locked to client hostids alone: nothing about it has to be counted, and
//! nobody but this machine can use it. A counted one in a file is not granted from there: somebody has to count.

use leasehold_protocol::{
    licence::{KeyType, SeatLimit, SignedCertificate, hostids::ClientLock},
    time::UnixMillis,
    vocab::{Denial, FeatureName, HostId, Version},
};

/// What certificates on this machine say to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAnswer {
    /// Granted, by the certificate of that index.
    Granted(usize),
    /// They speak of the feature, and refuse: the code, and why in words.
    Refused(Denial, String),
    /// They do not speak of it: ask a server.
    Silent,
}

/// Asks `certificates`, in their order, for `feature` in version `wanted` on a machine that shows `machine`, at `now`. The first
/// that grants does; otherwise the first that refuses says why.
#[must_use]
pub fn ask(
    certificates: &[SignedCertificate],
    feature: &FeatureName,
    wanted: Version,
    machine: &[HostId],
    now: UnixMillis,
) -> LocalAnswer {
    let mut refused = None;
    for (index, signed) in certificates.iter().enumerate().filter(|(_, c)| c.certificate.feature == *feature) {
        match grants(signed, wanted, machine, now) {
            Ok(()) => return LocalAnswer::Granted(index),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    refused.map_or(LocalAnswer::Silent, |(code, why)| LocalAnswer::Refused(code, why))
}

/// Whether a certificate grants without a server.
fn is_local(signed: &SignedCertificate) -> bool {
    let (c, t) = (&signed.certificate, &signed.certificate.terms);
    let of_itself = c.key_type != KeyType::Upgrade && c.count == SeatLimit::Uncounted && t.cost.is_none();
    of_itself && t.server_keys.is_empty() && t.server_hostids.is_empty() && t.trial_days.is_none()
}

fn grants(
    signed: &SignedCertificate,
    wanted: Version,
    machine: &[HostId],
    now: UnixMillis,
) -> Result<(), (Denial, String)> {
    let (c, id) = (&signed.certificate, signed.id);
    if !is_local(signed) {
        let why = format!(
            "certificate {id} for {} needs a server: its seats are counted, or are for a server to give",
            c.feature
        );
        return Err((Denial::NO_SUCH_FEATURE, why));
    }
    if c.version < wanted {
        let why = format!("{} {wanted} was asked for, and certificate {id} is for {} and lower", c.feature, c.version);
        return Err((Denial::VERSION_TOO_HIGH, why));
    }
    if c.starts_at().is_some_and(|starts| starts > now) {
        let day = c.start.map_or_else(String::new, |day| day.to_string());
        return Err((Denial::NOT_STARTED, format!("certificate {id} for {} begins on {day} in {}", c.feature, c.zone)));
    }
    if c.ends_at().is_some_and(|ends| ends < now) {
        let day = c.end.map_or_else(String::new, |day| day.to_string());
        let why =
            format!("certificate {id} for {} ended on {day} in {}: ask the publisher for a new one", c.feature, c.zone);
        return Err((Denial::EXPIRED, why));
    }
    match ClientLock::of(&c.terms).map(|lock| lock.lets_in(machine)) {
        Some(Err((code, why))) => Err((code, format!("certificate {id} for {} is locked: {why}", c.feature))),
        _ => Ok(()),
    }
}

/// A clock may be set back by so much before local rights are refused, in milliseconds: a change of the zone, and of the
/// clocks in it (T-5).
pub const WINDBACK_MAX_MS: u64 = 26 * 3_600_000;

/// Whether a clock that shows `now` is to be believed, where it has shown `seen` before.
#[must_use]
pub fn is_believed(now: UnixMillis, seen: Option<UnixMillis>) -> bool {
    seen.is_none_or(|seen| now.0.saturating_add(WINDBACK_MAX_MS) >= seen.0)
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::{
        licence::{Certificate, PublisherSecret, Terms, canonical},
        vocab::{Label, SeatCount},
    };

    use super::*;

    /// 2026-06-01T00:00Z.
    const NOW: UnixMillis = UnixMillis(1_780_272_000_000);

    fn signed(change: impl FnOnce(&mut Certificate)) -> SignedCertificate {
        let secret = PublisherSecret::generate(&Label::lossy("acme"), &mut |bytes: &mut [u8]| bytes.fill(3));
        let mut certificate = Certificate {
            publisher: Label::lossy("acme"),
            feature: "CAD".parse().unwrap(),
            version: "4.8".parse().unwrap(),
            count: SeatLimit::Uncounted,
            key_type: KeyType::Exclusive,
            zone: "UTC".to_owned(),
            start: None,
            end: None,
            terms: Terms { client_hostids: vec!["disk:1".parse().unwrap()], ..Terms::default() },
        };
        change(&mut certificate);
        canonical::sign(&certificate, &secret)
    }

    fn ask_on(all: &[SignedCertificate], version: &str, disk: &str) -> LocalAnswer {
        ask(all, &"CAD".parse().unwrap(), version.parse().unwrap(), &[disk.parse().unwrap()], NOW)
    }

    fn code(all: &[SignedCertificate], version: &str, disk: &str) -> Denial {
        match ask_on(all, version, disk) {
            LocalAnswer::Refused(code, why) => {
                assert!(why.contains(&all[0].id.to_string()), "{why}");
                code
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_uncounted_right_that_is_locked_to_this_machine_is_granted_by_itself() {
        let right = [signed(|_| {})];
        assert_eq!(ask_on(&right, "4.8", "disk:1"), LocalAnswer::Granted(0));
        assert_eq!(ask_on(&right, "4.0", "disk:1"), LocalAnswer::Granted(0));
        assert_eq!(code(&right, "4.9", "disk:1"), Denial::VERSION_TOO_HIGH);
        assert_eq!(code(&right, "4.8", "disk:2"), Denial::HOSTID_MISMATCH);
        let other = ask(&right, &"CAM".parse().unwrap(), Version::ANY, &[], NOW);
        assert_eq!(other, LocalAnswer::Silent);
    }

    /// LS-06: "removing COUNT makes the server refuse to serve it", and the other way round here.
    #[test]
    fn what_has_to_be_counted_is_not_granted_without_a_server() {
        let counted = signed(|c| c.count = SeatLimit::Counted(SeatCount::ONE));
        let for_a_server = signed(|c| c.terms.server_hostids = vec!["disk:9".parse().unwrap()]);
        for right in [counted, for_a_server] {
            assert_eq!(code(&[right], "4.8", "disk:1"), Denial::NO_SUCH_FEATURE);
        }
    }

    #[test]
    fn a_right_begins_and_ends_by_its_days_and_a_later_one_serves_in_its_place() {
        let late = signed(|c| c.start = Some("2026-06-02".parse().unwrap()));
        let over = signed(|c| c.end = Some("2026-05-31".parse().unwrap()));
        assert_eq!(code(std::slice::from_ref(&late), "4.8", "disk:1"), Denial::NOT_STARTED);
        assert_eq!(code(std::slice::from_ref(&over), "4.8", "disk:1"), Denial::EXPIRED);
        let today = signed(|c| c.end = Some("2026-06-01".parse().unwrap()));
        assert_eq!(ask_on(&[late, over, today], "4.8", "disk:1"), LocalAnswer::Granted(2));
    }

    #[test]
    fn a_clock_may_be_set_back_by_a_day_and_two_hours() {
        assert!(is_believed(NOW, None) && is_believed(NOW, Some(UnixMillis(NOW.0 + WINDBACK_MAX_MS))));
        assert!(!is_believed(NOW, Some(UnixMillis(NOW.0 + WINDBACK_MAX_MS + 1))));
    }
}
