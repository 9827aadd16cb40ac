//! What was counted, by name.

use std::sync::{Arc, Mutex};

use crate::{lock, pool::Tally};

macro_rules! counters {
    ($($name:ident = $text:literal, $doc:literal;)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Counter { $(#[doc = $doc] $name,)* }

        impl Counter {
            /// The names, in the order of the variants.
            const NAMES: &[&str] = &[$($text),*];
        }
    };
}

counters! {
    DatagramsReceived = "datagrams_received", "Datagrams fed in.";
    BytesReceived = "bytes_received", "Their bytes.";
    DatagramsSent = "datagrams_sent", "Datagrams handed out.";
    BytesSent = "bytes_sent", "Their bytes.";
    DropBadSize = "drop_bad_size", "Shorter than 32 or longer than 1 200 bytes.";
    DropMalformed = "drop_malformed", "Not ours, not of this version, from the wrong side, or with reserved bits set.";
    DropUnknownRealm = "drop_unknown_realm", "HELLO1 for a realm that is not here.";
    DropBadMac = "drop_bad_mac", "HELLO1 or DISCOVER without the site's key.";
    DropBadHandshake = "drop_bad_handshake", "Noise did not authenticate.";
    DropRateLimited = "drop_rate_limited", "Above a rate limit.";
    DropUnknownSession = "drop_unknown_session", "DATA for a session that is not here.";
    DropReplayed = "drop_replayed", "DATA whose counter was seen or is too old.";
    DropForged = "drop_forged", "DATA that does not authenticate.";
    DropTooOld = "drop_too_old", "DATA of a session past its limits.";
    DropSessionsFull = "drop_sessions_full", "A new session, while the table was full of busy ones.";
    DropOffLink = "drop_off_link", "DISCOVER from beyond our networks, where that is not answered.";
    DropServicePort = "drop_service_port", "DISCOVER that claims to come from a well-known service.";
    DropUnspoken = "drop_unspoken_version", "DISCOVER of a client that does not speak this version.";
    DropWhileDraining = "drop_while_draining", "DISCOVER while this server is going away.";
    FramesBad = "frames_bad", "Frames in authentic DATA that could not be read.";
    FramesUnknown = "frames_unknown", "Frames of a type this build does not know.";
    FramesTooMany = "frames_too_many", "Frames beyond the 64th of a datagram.";
    AnswersWithheld = "answers_withheld", "Answers longer than what came from an address that is not proved.";
    AnswersShortened = "answers_shortened", "Denials sent without their sentence for the same reason.";
    DataAccepted = "data_accepted", "DATA that authenticated.";
    Retries = "retries_sent", "RETRYs sent.";
    Handshakes = "handshakes", "Handshakes answered.";
    HandshakesRepeated = "handshakes_repeated", "HELLO2s sent again for the same HELLO1.";
    DropShed = "drop_shed", "HELLO1s given up because more came than could be answered.";
    SessionsOpened = "sessions_opened", "Sessions whose first DATA verified.";
    SessionsReplaced = "sessions_replaced", "Of those, the ones that replaced an older one of the same program.";
    SessionsClosed = "sessions_closed", "Sessions ended, whatever the reason.";
    PathsChanged = "paths_changed", "Sessions that went on from another address.";
    PathsProved = "paths_proved", "Path challenges that came back.";
    Discovers = "discovers", "DISCOVERs that are worth an answer.";
    Offers = "offers_sent", "OFFERs sent.";
    Grants = "grants", "Leases opened.";
    GrantsRepeated = "grants_repeated", "Requests that found their lease alive.";
    GrantsByTicket = "grants_by_ticket", "Leases honoured after a restart.";
    Reclaimed = "reclaimed", "Leases that are renewed no more because they are idle and somebody waits.";
    LetGo = "let_go_asked", "Holders of idle seats asked to let go.";
    Queued = "queued", "Places in a queue given or kept.";
    GrantsInTurn = "grants_in_turn", "Leases opened for those who had waited, unasked.";
    LedgerErrors = "ledger_errors", "Buckets of seats that were found not to add up: never, unless this program is wrong.";
    Denials = "denials", "Requests and renewals answered with no.";
    DenialsNoSeat = "denials_no_seat", "Of those, for want of a seat.";
    Renewals = "renewals", "Renewals granted.";
    Releases = "releases", "Leases released.";
    ReleasesIdle = "releases_not_held", "Releases that found nothing to free.";
    Expiries = "expiries", "Leases that ended because nobody renewed.";
    FeatureQueries = "feature_queries", "Feature queries answered.";
    LicenceQueries = "licence_queries", "Licence queries answered.";
    ProofQueries = "proof_queries", "Proof queries answered.";
    ClockSteps = "clock_steps", "Times that wall clock and lease clock parted, and all sessions were dropped.";
    PlanChanges = "plan_changes", "Certificates that began or ended by themselves, counted by instant.";
}

/// The counters of one engine, which it alone writes.
#[derive(Debug)]
pub(crate) struct Block(Box<[Tally]>);

/// The counters of all engines.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    blocks: Mutex<Vec<Arc<Block>>>,
}

impl Block {
    /// Counts one.
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `n`.
    pub(crate) fn add(&self, counter: Counter, n: usize) {
        self.0[counter as usize].add(n as u64);
    }
}

impl Counters {
    /// Counters for one more engine.
    pub(crate) fn block(&self) -> Arc<Block> {
        let block = Arc::new(Block(Counter::NAMES.iter().map(|_| Tally::default()).collect()));
        lock(&self.blocks).push(block.clone());
        block
    }

    /// Every counter, by name, over all engines.
    pub(crate) fn totals(&self) -> Vec<(&'static str, u64)> {
        let blocks = lock(&self.blocks);
        let total = |index: usize| blocks.iter().map(|block| block.0[index].get()).sum();
        Counter::NAMES.iter().enumerate().map(|(index, name)| (*name, total(index))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_has_a_name_of_its_own_and_engines_add_up() {
        let names: BTreeSet<_> = Counter::NAMES.iter().collect();
        assert_eq!(names.len(), Counter::NAMES.len());
        let counters = Counters::default();
        let (one, two) = (counters.block(), counters.block());
        one.count(Counter::Grants);
        two.add(Counter::Grants, 2);
        let total = counters.totals().into_iter().find(|(name, _)| *name == "grants");
        assert_eq!(total, Some(("grants", 3)));
    }
}
