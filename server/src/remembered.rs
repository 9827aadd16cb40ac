//! What a start finds of the life of the server before, and what it makes of it (U-2, U-5, T-4).
//!
//! | found | leases | newcomers |
//! |---|---|---|
//! | the journal, closed; or whole, and the machine has run on | all are out again | are served at once |
//! | the journal, and the machine was off since | all that were on the disk are out again | are served at once, out of what cannot be out |
//! | the journal, damaged | what can be read is out again | wait for one longest TTL: the server is *blind* |
//! | no journal, and a life before that may have granted | come back by their tickets | wait likewise |
//! | a journal that is older than the anchor beside the data folder | come back by their tickets: what it says is out may have ended since | wait likewise |

use std::path::PathBuf;

use leasehold_core::{HeldLease, Past, Restoration, Shared};
use leasehold_protocol::time::{Mono, Now};

use crate::{
    instant::{rfc3339, wall_of, words},
    journal::{Anchored, Doubts, Finding, How, Journal, Recovery},
};

/// What was found, for the log, warnings and REST.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// How the life before ended.
    pub how: How,
    /// What became of its leases.
    pub restoration: Restoration,
    /// Seats that are withheld.
    pub withheld: u64,
    /// Until when.
    pub withheld_until: Option<Mono>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Whether the store is older than its anchor says.
    pub is_old: bool,
    /// Where the anchor is.
    pub anchor: PathBuf,
    /// Records that were read.
    pub records: u64,
    /// How long reading and opening took, in milliseconds.
    pub took_ms: u64,
}

/// For how long the server is blind, of the life before having granted for up to `left` milliseconds if it may have; `None`:
/// it is not.
pub(crate) fn blind_for(recovery: &Recovery, anchored: Option<&Anchored>, left: Option<u64>, now: Mono) -> Option<u64> {
    let still = still_blind_for(&recovery.doubts, left, now);
    let old = anchored.filter(|anchored| is_old(recovery, anchored)).map(|anchored| anchored.ttl_ms);
    match recovery.how {
        How::Nothing | How::Damaged => left.max(old).max(still),
        How::Closed | How::Killed | How::PowerCut => old.max(left.filter(|_| old.is_some())).max(still),
    }
}

/// How long the blindness of the life before goes on: it ended before it could see.
fn still_blind_for(doubts: &Doubts, left: Option<u64>, now: Mono) -> Option<u64> {
    let until = doubts.blind_until?;
    // By the clock of another boot nobody knows how much of it is over.
    if doubts.runs_on { Some(until.ms_since(now)).filter(|ms| *ms > 0) } else { left }
}

/// Until when, and from where in the log on, grants may be lost: by this power cut, or by one before, if the life that came after it
/// ended before all of that had come back.
fn lost(recovery: &Recovery, longest_ttl_ms: u64, now: Mono) -> Option<(Mono, u64)> {
    let doubts = &recovery.doubts;
    // A ticket is made a moment before its grant is written down.
    let own = recovery.round.saturating_sub(1);
    let before = doubts.withheld_until.map(|_| doubts.lost_from.min(own));
    match (recovery.how, doubts.withheld_until) {
        (How::PowerCut, _) => Some((now.plus_ms(longest_ttl_ms), before.unwrap_or(own))),
        (_, Some(until)) if !doubts.runs_on => Some((now.plus_ms(longest_ttl_ms).max(until), doubts.lost_from)),
        (_, Some(until)) if until > now => Some((until, doubts.lost_from)),
        _ => None,
    }
}

/// Whether the journal is older than what is written beside the data folder: the anchor is one sync ahead at most.
pub(crate) const fn is_old(recovery: &Recovery, anchored: &Anchored) -> bool {
    anchored.round > recovery.round + 1
}

/// What was used before, without what leases have used that are out again: those use it still (L-17).
pub(crate) fn without_held(mut past: Past, held: &[HeldLease]) -> Past {
    for lot in held.iter().flat_map(|lease| &lease.lots) {
        if let Some(used) = past.used.get_mut(&lot.certificate) {
            *used = used.saturating_sub(u64::from(lot.seats.get()));
        }
    }
    past
}

impl Remembered {
    /// Opens what `recovery` holds in `shared`, where licences and policy are in force.
    pub(crate) fn restore(
        mut recovery: Recovery,
        (anchored, anchor): (Option<&Anchored>, PathBuf),
        shared: &Shared,
        longest_ttl_ms: u64,
        now: Now,
    ) -> Self {
        let is_old = anchored.is_some_and(|anchored| is_old(&recovery, anchored));
        shared.set_store_old(is_old);
        let mut held = std::mem::take(&mut recovery.held);
        if is_old {
            // What has ended since would stand in the way of those who have the seats.
            held.clear();
        }
        let restoration = shared.restore(held, now);
        let lost = lost(&recovery, longest_ttl_ms, now.mono).filter(|_| !is_old);
        let withheld = lost.map_or(0, |(until, from)| shared.withhold(until, from));
        Self {
            how: recovery.how,
            restoration,
            withheld,
            withheld_until: shared.withheld_until(),
            is_old,
            findings: recovery.findings,
            anchor,
            records: recovery.records,
            took_ms: 0,
        }
    }

    /// What happened, in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (self.is_old, self.how) {
            (true, _) => "old",
            (_, How::Nothing) => "nothing",
            (_, How::Closed) => "closed",
            (_, How::Killed) => "killed",
            (_, How::PowerCut) => "power-cut",
            (_, How::Damaged) => "damaged",
        }
    }

    /// What happened, in a sentence.
    #[must_use]
    pub fn sentence(&self, now: Now) -> String {
        let before = match self.how {
            How::Nothing => return "no journal of a server before this one".to_owned(),
            How::Closed => "the server before this one ended as it should",
            How::Killed => "the server before this one was killed",
            How::PowerCut => "the machine went down with the server before this one",
            How::Damaged => "the journal of the server before this one is damaged",
        };
        let Restoration { restored, overage, of_no_realm, no_room } = self.restoration;
        let mut sentence = format!("{before}: {} out again ({} ms)", of_leases(restored), self.took_ms);
        for (count, what) in [
            (overage, "over what the licences in force allow"),
            (of_no_realm, "of a publisher that is not trusted any more, left out"),
            (no_room, "left out because there is no room for them: raise the limit on leases"),
        ] {
            if count > 0 {
                sentence += &format!("; {count} {what}");
            }
        }
        if let Some(until) = self.withheld_until {
            sentence += &format!(
                "; the last grants may be lost, so {} seats are withheld until {} ({}) but for who shows that he has them",
                self.withheld,
                rfc3339(wall_of(until, now)),
                words(until.ms_since(now.mono)),
            );
        }
        sentence
    }

    /// Writes what happened into the log.
    pub(crate) fn log(&self, now: Now) {
        match self.how {
            How::Damaged => tracing::error!("{}", self.sentence(now)),
            _ => tracing::info!(records = self.records, "{}", self.sentence(now)),
        }
        self.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        if self.is_old {
            tracing::error!("{}", self.old_store());
        }
    }

    /// What somebody should look at.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.findings.iter().map(|finding| self.warning(finding)).collect()
    }

    /// What is said as long as nobody has acknowledged that the store is old.
    pub(crate) fn old_store(&self) -> String {
        let by =
            if self.is_old { format!("{} says so", self.anchor.display()) } else { "a client's ticket says so".into() };
        format!(
            "the data folder is older than what this server has promised ({by}): an old copy was put in its place. Only programs that \
             hold a seat are granted one for one TTL; what was changed since the copy was made is to be done again. leasehold store \
             acknowledge ends this warning"
        )
    }

    fn warning(&self, finding: &Finding) -> String {
        let what = if finding.serious && self.how == How::Damaged {
            "what was granted there is not known, so newcomers wait one TTL; nothing has to be done, and a disk that does this should be \
             replaced"
        } else {
            "nothing is lost by it"
        };
        format!("{finding}: {what}")
    }
}

/// What is not as it should be with what this server remembers and writes down, each with its remedy.
pub(crate) fn warnings_of_storage(remembered: &Remembered, journal: &Journal, shared: &Shared) -> Vec<String> {
    let mut warnings = remembered.warnings();
    if shared.is_store_old() {
        warnings.push(remembered.old_store());
    }
    if let Some(failing) = journal.failing() {
        let what = if failing.is_full { "make room on" } else { "look at" };
        warnings.push(format!(
            "the journal cannot be written since {}: {}. Leases that are out go on, nothing new is granted: {what} the disk of the data \
             folder; it is tried again every second",
            rfc3339(failing.since),
            failing.why
        ));
    }
    warnings
}

/// `count` leases, with the verb.
fn of_leases(count: u64) -> String {
    if count == 1 { "1 lease is".to_owned() } else { format!("{count} leases are") }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::vocab::CertificateId;

    use super::*;

    const NOW: Mono = Mono(1000);

    fn recovery(how: How, round: u64) -> Recovery {
        let doubts = Doubts { runs_on: true, ..Doubts::default() };
        Recovery {
            how,
            held: vec![],
            doubts,
            round,
            findings: vec![],
            records: 0,
            file: 1,
            life: 1,
            next: 1,
            base: None,
        }
    }

    #[test]
    fn a_server_is_blind_where_it_cannot_know_what_was_granted_before_it() {
        let at = |round| Anchored { server_id: 1, round, ttl_ms: 700 };
        for how in [How::Closed, How::Killed, How::PowerCut] {
            assert_eq!(blind_for(&recovery(how, 5), None, Some(300), NOW), None);
            assert_eq!(
                blind_for(&recovery(how, 5), Some(&at(6)), Some(300), NOW),
                None,
                "a sync that the machine did not survive"
            );
            assert_eq!(blind_for(&recovery(how, 5), Some(&at(7)), Some(300), NOW), Some(700));
            assert_eq!(blind_for(&recovery(how, 5), Some(&at(7)), Some(900), NOW), Some(900));
            assert_eq!(blind_for(&recovery(how, 5), Some(&at(7)), None, NOW), Some(700), "the copy ended as it should");
        }
        for how in [How::Nothing, How::Damaged] {
            assert_eq!(blind_for(&recovery(how, 0), None, Some(300), NOW), Some(300));
            assert_eq!(blind_for(&recovery(how, 0), None, None, NOW), None, "nothing was out");
        }
        assert_eq!(blind_for(&recovery(How::Nothing, 0), Some(&at(9)), None, NOW), Some(700), "the folder was removed");
    }

    #[test]
    fn what_a_life_did_not_know_the_next_one_does_not_know_either() {
        let blind = |runs_on, until| {
            let doubts = Doubts { runs_on, blind_until: Some(Mono(until)), ..Doubts::default() };
            blind_for(&Recovery { doubts, ..recovery(How::Killed, 5) }, None, Some(300), NOW)
        };
        assert_eq!((blind(true, 1100), blind(true, 1000)), (Some(100), None));
        assert_eq!(blind(false, 5), Some(300), "another boot's clock says nothing");
        let lost_from = |how, runs_on, until: Option<u64>| {
            let doubts = Doubts { runs_on, withheld_until: until.map(Mono), lost_from: 3, ..Doubts::default() };
            lost(&Recovery { doubts, ..recovery(how, 9) }, 500, NOW)
        };
        assert_eq!(lost_from(How::Killed, true, None), None);
        assert_eq!(lost_from(How::PowerCut, false, None), Some((Mono(1500), 8)));
        assert_eq!(lost_from(How::Killed, true, Some(1200)), Some((Mono(1200), 3)), "killed before all had come back");
        assert_eq!(lost_from(How::Closed, true, Some(1000)), None);
        assert_eq!(lost_from(How::PowerCut, false, Some(1200)), Some((Mono(1500), 3)), "one power cut after the other");
        assert_eq!(lost_from(How::Closed, false, Some(1200)), Some((Mono(1500), 3)));
    }

    #[test]
    fn units_that_are_out_are_counted_once() {
        let lease = crate::journal::entry::tests::lease(1, 3);
        let (ours, other) = (lease.lots[0].certificate, CertificateId([1; 8]));
        let past = Past { used: [(ours, 10), (other, 2)].into(), ..Past::default() };
        assert_eq!(without_held(past, &[lease.clone(), lease]).used, [(ours, 4), (other, 2)].into());
    }
}
