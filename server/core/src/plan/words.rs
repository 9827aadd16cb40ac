//! What became of a certificate, in words for whoever has to do something about it.

use std::collections::BTreeMap;

use leasehold_protocol::{
    licence::{KeyType, SeatLimit, hostids::matched},
    time::UnixMillis,
    vocab::{CertificateId, HostId},
};

use super::{
    Loaded, ServedBy,
    report::{CertificateReport, Outcome, UpgradeRule},
};
use crate::wording;

/// Everything that was judged, to be told.
pub(super) struct Told<'a> {
    pub(super) held: &'a [Loaded],
    pub(super) here: &'a ServedBy,
    /// The first certificate of every id.
    pub(super) by_id: &'a BTreeMap<CertificateId, usize>,
}

impl Told<'_> {
    /// The line of the load report for `loaded`.
    pub(super) fn line(&self, loaded: &Loaded, outcome: Outcome) -> CertificateReport {
        let certificate = &loaded.signed.certificate;
        CertificateReport {
            id: loaded.signed.id,
            feature: certificate.feature.clone(),
            version: certificate.version,
            place: loaded.signed.place,
            sentence: format!("{} {}", what(loaded), self.sentence(loaded, &outcome)),
            warnings: warnings(loaded),
            outcome,
        }
    }

    fn sentence(&self, loaded: &Loaded, outcome: &Outcome) -> String {
        let certificate = &loaded.signed.certificate;
        match outcome {
            Outcome::Applied => in_force(loaded),
            Outcome::Muted { by } => format!(
                "not in force: {} makes the feature's pool from itself, whatever was read before and after it (dialect \
                 replace)",
                self.name(*by)
            ),
            Outcome::Discarded { by } => {
                format!("not in force: {} was read first and stays (dialect first)", self.name(*by))
            }
            Outcome::OwnSeats { by } => {
                format!("not in force: the feature has seats of its own, and they come first: {}", self.name(*by))
            }
            Outcome::SecondPrice { by } => {
                format!("not in force: {} was read first and says what a seat costs", self.name(*by))
            }
            Outcome::NotStarted { starts } => format!("begin at {}, by themselves", zoned(*starts, &certificate.zone)),
            Outcome::Expired { ended } => {
                format!("ended at {}: ask the publisher for new ones", zoned(*ended, &certificate.zone))
            }
            Outcome::TrialOver { ended } => {
                format!(
                    "were a trial that ended at {}: ask the publisher for a licence",
                    zoned(*ended, &certificate.zone)
                )
            }
            Outcome::Duplicate => "not counted again: the same certificate was read before".to_owned(),
            Outcome::Superseded { by } => format!("not in force: {} supersedes them", self.name(*by)),
            Outcome::UpgradeRefused { rule, from } => self.refused_upgrade(*rule, *from),
            Outcome::Cycle => format!(
                "not in force: what a seat of {} costs leads back to {}: the publisher has to break the circle",
                certificate.feature, certificate.feature
            ),
            Outcome::NothingToDraw => {
                let of = certificate.terms.cost.as_ref().map_or_else(String::new, ToString::to_string);
                format!("not in force: a seat costs {of}, and no right to that is in force here")
            }
            Outcome::TooDear => "not in force: one seat would cost more seats than any feature has".to_owned(),
            Outcome::OtherRealm => {
                format!(
                    "not in force: they are from publisher {}, which this realm does not serve",
                    certificate.publisher
                )
            }
            Outcome::OtherServer => {
                "not in force: the certificate names the servers that may serve it, and the key of \
                                     this one is not among them: ask the publisher for a certificate that names it"
                    .to_owned()
            }
            Outcome::OtherMachine => self.other_machine(loaded),
            // Told where buckets are made.
            Outcome::NoRoom => String::new(),
            Outcome::UnknownKind => "not in force: this server does not know that kind of certificate".to_owned(),
        }
    }

    fn refused_upgrade(&self, rule: UpgradeRule, from: Option<UnixMillis>) -> String {
        let why = match rule {
            UpgradeRule::NoExclusive => "there is no exclusive certificate in force that it could raise",
            UpgradeRule::Uncounted => "an upgrade is counted",
            UpgradeRule::OfUncounted => "what it would raise is uncounted already",
            UpgradeRule::OfMetered => "what it would raise counts units, not seats",
            UpgradeRule::VersionAbove => "its version is above that of the exclusive certificate",
            UpgradeRule::NotWithin => "it would begin before the exclusive certificate does, or outlive it",
            UpgradeRule::TooMany => "with it there would be more than 2147483647 seats",
        };
        match from {
            Some(from) => format!("cannot raise anything: {why}; from {} on it could", wording::instant(from)),
            None => format!("cannot raise anything: {why}"),
        }
    }

    fn other_machine(&self, loaded: &Loaded) -> String {
        let terms = &loaded.signed.certificate.terms;
        let rate = terms.match_rate.unwrap_or(0);
        let shown = self.here.hostids.as_deref().unwrap_or_default();
        let found = matched(&terms.server_hostids, shown, rate);
        format!(
            "not in force: the certificate is for another machine: of the hostids it lists this one has {}, and has not \
             {}; {} must match: send the publisher what `leasehold hostid` prints here",
            list(&found.seen),
            list(&found.missing),
            if rate == 0 { "one".to_owned() } else { format!("{rate} %") }
        )
    }

    /// `certificate ID at line 3, column 1`.
    fn name(&self, id: CertificateId) -> String {
        let other = self.by_id.get(&id).map(|index| &self.held[*index]);
        let place = other.and_then(|other| other.signed.place.as_ref());
        match (other, place) {
            (Some(other), Some(place)) => {
                format!("the {} certificate {id} at {place}", other.signed.certificate.key_type.name())
            }
            (Some(other), None) => format!("the {} certificate {id}", other.signed.certificate.key_type.name()),
            (None, _) => format!("certificate {id}"),
        }
    }
}

/// `10 seats of CAD 4.8`.
fn what(loaded: &Loaded) -> String {
    let certificate = &loaded.signed.certificate;
    let terms = &certificate.terms;
    let of = format!("of {} {}", certificate.feature, certificate.version);
    match (certificate.count, &terms.cost) {
        (_, Some(cost)) => format!("seats {of}, each {cost},"),
        (SeatLimit::Counted(count), _) if certificate.key_type == KeyType::Upgrade => {
            format!("{} more {of}", wording::seats(count.get()))
        }
        (SeatLimit::Counted(count), _) if terms.metered.is_some() => format!("{count} units {of}"),
        (SeatLimit::Counted(count), _) => format!("{} {of}", wording::seats(count.get())),
        (SeatLimit::Uncounted, _) => format!("uncounted seats {of}"),
    }
}

fn in_force(loaded: &Loaded) -> String {
    let zone = &loaded.signed.certificate.zone;
    let until = match (loaded.ends, loaded.trial) {
        (None, Some(trial)) => format!("in force, a trial of {} days from its first use", trial.days),
        (Some(ends), Some(trial)) if trial.ends.is_none() => {
            format!("in force, a trial of {} days from its first use, at most until {}", trial.days, zoned(ends, zone))
        }
        (Some(ends), _) => format!("in force until {}", zoned(ends, zone)),
        (None, None) => "in force, permanently".to_owned(),
    };
    match loaded.signed.certificate.terms.overdraft {
        Some(overdraft) => format!("{until}, and {} of overdraft", wording::seats(overdraft.get())),
        None => until,
    }
}

/// What the certificate says and this server does not act upon.
fn warnings(loaded: &Loaded) -> Vec<String> {
    let terms = &loaded.signed.certificate.terms;
    let not_yet = [
        ("share", terms.share.is_some() && terms.metered.is_some(), "each request uses units of its own"),
        ("linger", terms.linger_s.is_some() && terms.metered.is_some(), "units that are used up stay with nobody"),
        (
            "min-checkout",
            terms.min_checkout_s.is_some() && terms.metered.is_some(),
            "units that are used up stay with nobody",
        ),
        ("borrow-max", terms.borrow_max_s.is_some(), "nothing can be borrowed"),
        ("selectors", !terms.selectors.is_empty(), "requests cannot choose by them"),
    ];
    let said = not_yet.into_iter().filter(|(_, there, _)| *there);
    said.map(|(name, _, instead)| format!("{name} is not acted upon by this version: {instead}")).collect()
}

fn list(hostids: &[&HostId]) -> String {
    match hostids {
        [] => "none".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// An instant and the zone it is the end or the beginning of a day in.
fn zoned(at: UnixMillis, zone: &str) -> String {
    match zone {
        "UTC" => wording::instant(at),
        zone => format!("{} (a day in {zone})", wording::instant(at)),
    }
}
