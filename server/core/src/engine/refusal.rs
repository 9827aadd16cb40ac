//! Every "no", in words: what was asked, what there is, and what to do.

use std::sync::Arc;

use leasehold_protocol::{
    message::{Deny, Holder, NextDue, Request, ServerFrame},
    time::{Now, UnixMillis},
    vocab::{ClaimKey, Denial, FeatureName, LeaseId, OperationId, SeatCount, Version},
};

use super::{Engine, data::Sender};
use crate::{
    Denied, Event,
    counters::Counter,
    explain::{Answer, Looked},
    narrow,
    plan::{Drawn, FeaturePlan},
    policy::Per,
    quota::{Kept, Reached},
    wording::{clip, instant, seats, seats_are, span},
};

/// An asking as far as a denial repeats it.
pub(super) struct Asked {
    pub(super) operation: OperationId,
    pub(super) claim: ClaimKey,
    pub(super) feature: Option<FeatureName>,
    pub(super) version: Version,
    pub(super) seats: Option<SeatCount>,
    pub(super) holder: Option<Arc<Holder>>,
    /// What decided.
    pub(super) looked: Option<Box<Looked>>,
}

impl Asked {
    /// A request; `looked`: what decided.
    pub(super) fn of(request: Request, looked: Option<Looked>) -> Self {
        let Request { operation, claim, feature, version, seats, holder, .. } = request;
        let (feature, seats, holder) = (Some(feature), Some(seats), Some(Arc::new(holder)));
        Self { operation, claim, feature, version, seats, holder, looked: looked.map(Box::new) }
    }

    /// One that says nothing but its names, as a renewal.
    pub(super) const fn by_name(operation: OperationId, claim: ClaimKey) -> Self {
        Self { operation, claim, feature: None, version: Version::ANY, seats: None, holder: None, looked: None }
    }
}

/// A "no" before it is put on the wire.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Denial,
    sentence: String,
    rule: String,
    out: u32,
    total: u32,
    next_due: Option<NextDue>,
    retry_after_ms: Option<u32>,
}

/// What there is of a feature in the moment of a denial.
#[derive(Debug)]
pub(super) struct Stand {
    /// Seats out.
    pub(super) out: u32,
    /// Seats there are.
    pub(super) total: u32,
    /// Seats of lots that answer the version asked for.
    pub(super) fitting: u32,
    /// Seats out that nothing in force covers.
    pub(super) overage: u32,
    /// Who is due back next.
    pub(super) next_due: Option<NextDue>,
    /// The certificates that decided.
    pub(super) rule: String,
}

/// The longest sentence and the longest rule, in bytes (SPEC 5.6).
const SENTENCE_MAX: usize = 200;
const RULE_MAX: usize = 100;
/// The longest wait that is suggested where a seat may come back at any time, in milliseconds.
const RETRY_MAX_MS: u32 = 1000;
/// When to ask again a server that goes away, in milliseconds: its successor needs a moment to start.
const RETRY_DRAINING_MS: u32 = 5000;

impl Refusal {
    fn new(code: Denial, sentence: String, rule: impl Into<String>, retry_after_ms: Option<u32>) -> Self {
        let (sentence, rule) = (clip(sentence, SENTENCE_MAX), clip(rule.into(), RULE_MAX));
        Self { code, sentence, rule, out: 0, total: 0, next_due: None, retry_after_ms }
    }

    fn with(self, stand: Stand) -> Self {
        Self { out: stand.out, total: stand.total, next_due: stand.next_due, ..self }
    }

    pub(super) fn no_such_feature(feature: &FeatureName, near: Option<&str>) -> Self {
        let sentence = match near {
            Some(near) => format!("no certificate on this server names feature {feature}; did you mean {near}?"),
            None => format!(
                "no certificate on this server names feature {feature}: check the name, or have its licence loaded"
            ),
        };
        Self::new(Denial::NO_SUCH_FEATURE, sentence, "the certificates that are loaded", None)
    }

    pub(super) fn version_too_high(feature: &FeatureName, wanted: Version, best: Version, rule: String) -> Self {
        let sentence = format!(
            "{feature} {wanted} was asked for and there are rights up to {best}: ask for {best} or lower, or have a \
             newer licence loaded"
        );
        Self::new(Denial::VERSION_TOO_HIGH, sentence, rule, None)
    }

    pub(super) fn not_started(feature: &FeatureName, version: Version, starts: UnixMillis, now: Now) -> Self {
        let wait_ms = starts.0.saturating_sub(now.wall.0);
        let sentence =
            format!("{feature} {version} begins at {}, in {}: ask again then", instant(starts), span(wait_ms));
        Self::new(Denial::NOT_STARTED, sentence, "the start of its certificate", Some(narrow(wait_ms)))
    }

    pub(super) fn expired(feature: &FeatureName, version: Version, ended: UnixMillis) -> Self {
        let sentence = format!("{feature} {version} ended at {}: have a newer licence loaded", instant(ended));
        Self::new(Denial::EXPIRED, sentence, "the end of its certificate", None)
    }

    pub(super) fn too_many_seats(
        feature: &FeatureName,
        wanted: SeatCount,
        plan: &FeaturePlan,
        mut stand: Stand,
    ) -> Self {
        let (asked, fitting) = (seats(wanted.get()), stand.fitting);
        let sentence = match &plan.drawn {
            Some(drawn) => format!(
                "{asked} of {feature} asked for, each {} of {}, of which there are {fitting} in all that would do: ask for fewer",
                drawn.each, drawn.pool.name
            ),
            None if plan.is_separate() => format!(
                "{asked} of {feature} asked for, and the largest of its pools, which a request may not span, has {fitting}: ask \
                 for fewer, or in several requests"
            ),
            None => {
                format!("{asked} of {feature} asked for and there are {fitting} in all that would do: ask for fewer")
            }
        };
        let rule = std::mem::take(&mut stand.rule);
        Self::new(Denial::TOO_MANY_SEATS, sentence, rule, None).with(stand)
    }

    pub(super) fn no_seat(feature: &FeatureName, wanted: SeatCount, mut stand: Stand) -> Self {
        let due = stand.next_due.as_ref().map(|due| due.in_ms);
        let next = due.map_or(String::new(), |ms| format!("; the next is due back in {}", span(u64::from(ms))));
        let (out, total) = (stand.out, stand.total);
        let what = match total.checked_sub(out) {
            _ if stand.overage > 0 => format!(
                "{} out of {feature} and the licences in force allow {total} in all: more go out only within that",
                seats_are(out)
            ),
            Some(0) if total == 1 => format!("the only seat of {feature} is out"),
            Some(0) => format!("all {total} seats of {feature} are out"),
            // What is free is of a version that does not do.
            Some(_) if stand.fitting < total => format!(
                "{} of {feature} asked for, and of the {} that answer the version asked for too few are free",
                seats(wanted.get()),
                stand.fitting
            ),
            Some(free) => {
                format!("{} of {feature} asked for, and of {total} only {free} may be free", seats(wanted.get()))
            }
            None => format!("{} out of {feature}", seats_are(out)),
        };
        let sentence = format!("{what}{next}: ask again, or have a seat given back");
        let retry_ms = due.map_or(RETRY_MAX_MS, |ms| ms.saturating_add(1).min(RETRY_MAX_MS));
        let rule = std::mem::take(&mut stand.rule);
        Self::new(Denial::NO_SEAT, sentence, rule, Some(retry_ms)).with(stand)
    }

    /// Too few seats of the feature that this one's are made of (L-14).
    pub(super) fn no_seat_to_draw(
        feature: &FeatureName,
        wanted: SeatCount,
        cost: SeatCount,
        drawn: &Drawn,
        stand: Stand,
    ) -> Self {
        let name = &drawn.pool.name;
        let free = stand.total.saturating_sub(stand.out);
        let what = format!(
            "{} of {feature} would take {} of {name}, and {free} of {} are free: ",
            seats(wanted.get()),
            seats(cost.get()),
            stand.total
        );
        let mut refusal = Self::no_seat(name, cost, stand);
        refusal.sentence = clip(what + &refusal.sentence, SENTENCE_MAX);
        refusal.rule = clip(format!("certificate {}", drawn.by.id), RULE_MAX);
        refusal
    }

    /// More than a number of seats can be (L-14).
    pub(super) fn too_dear(feature: &FeatureName, wanted: SeatCount, plan: &FeaturePlan) -> Self {
        let sentence = format!(
            "{} of {feature} asked for, each made of {} others: more than there can be: ask for fewer",
            seats(wanted.get()),
            plan.each()
        );
        Self::new(Denial::TOO_MANY_SEATS, sentence, "what a seat of it costs", None)
    }

    /// The right is not for the machine that asks (L-19, T-3).
    pub(super) fn locked(feature: &FeatureName, code: Denial, why: &str, rule: String) -> Self {
        let sentence = format!("{feature} is locked: {why}");
        Self::new(code, sentence, rule, None)
    }

    /// A rule of the administrator's is against this holder (P-2).
    pub(super) fn excluded(feature: &FeatureName, holder: &Holder, rule: &str) -> Self {
        let sentence = format!(
            "a rule of this server excludes {} on {} from {feature}: ask its administrator about rule {rule}",
            holder.user, holder.host
        );
        Self::new(Denial::EXCLUDED, sentence, format!("policy rule {rule}"), None)
    }

    /// Rules of the administrator's are for others than this holder (P-2).
    pub(super) fn not_included(feature: &FeatureName, holder: &Holder, rule: &str) -> Self {
        let sentence = format!(
            "{feature} is for those whom rule {rule} of this server includes, and {} on {} is not among them: ask its \
             administrator",
            holder.user, holder.host
        );
        Self::new(Denial::NOT_INCLUDED, sentence, format!("policy rule {rule}"), None)
    }

    /// A limit of the administrator's is reached (P-2).
    pub(super) fn limit_reached(holder: &Holder, reached: &Reached, stand: Stand) -> Self {
        let Reached { rule, per, max, used, wanted, feature } = reached;
        let (who, whom) = match per {
            Per::Group => ("they have".to_owned(), "those it is for together"),
            Per::User => (format!("{} has", holder.user), "a user"),
            Per::Host => (format!("{} has", holder.host), "a host"),
            Per::Display => {
                (holder.display.as_ref().map_or("this one".to_owned(), ToString::to_string) + " has", "a display")
            }
            Per::Project => {
                (holder.project.as_ref().map_or("this one".to_owned(), ToString::to_string) + " has", "a project")
            }
            Per::Device => (format!("that of {} has", holder.host), "a machine"),
        };
        let (allowed, can_wait) = (seats(*max), wanted <= max);
        let sentence = if can_wait {
            format!(
                "rule {rule} allows {whom} {allowed} of {feature}, of which {who} {used}: have one given back, or ask the \
                 administrator"
            )
        } else {
            format!(
                "rule {rule} allows {whom} {allowed} of {feature}, and {wanted} were asked for: ask for fewer, or ask the \
                 administrator"
            )
        };
        Self::new(Denial::LIMIT_REACHED, sentence, format!("policy rule {rule}"), can_wait.then_some(RETRY_MAX_MS))
            .with(stand)
    }

    /// A bundle whose form is wrong.
    pub(super) fn bad_bundle(fault: &str) -> Self {
        Self::new(Denial::BAD_REQUEST, fault.to_owned(), "the form of a bundle (SPEC 5.21)", None)
    }

    /// The same of an item of that alternative of a bundle, counted from 0, which has so many; none of them can be had.
    pub(super) fn of_bundle(self, alternative: usize, alternatives: usize) -> Self {
        let sentence = match alternatives {
            1 => format!("nothing of the bundle was taken: {}", self.sentence),
            _ => {
                format!("none of {alternatives} alternatives can be had; number {}: {}", alternative + 1, self.sentence)
            }
        };
        Self { sentence: clip(sentence, SENTENCE_MAX), ..self }
    }

    /// The seats that are free are kept for others (P-3).
    pub(super) fn reserved(feature: &FeatureName, wanted: SeatCount, kept: &Kept, stand: Stand) -> Self {
        let free = stand.total.saturating_sub(stand.out);
        let by = match kept.more {
            0 => format!("rule {}", kept.rule),
            more => format!("rule {} and {more} more", kept.rule),
        };
        // More than is left beside them comes back at no time.
        let can_wait = u64::from(wanted.get()) <= u64::from(stand.total).saturating_sub(kept.of_others);
        let what = if can_wait { "again" } else { "for fewer" };
        let sentence = format!(
            "{} of {feature} asked for; {free} of {} are free, and {} reserved for others by {by}: ask {what}, or ask the \
             administrator",
            seats(wanted.get()),
            stand.total,
            seats_are(narrow(kept.seats)),
        );
        let again = can_wait.then_some(RETRY_MAX_MS);
        Self::new(Denial::RESERVED, sentence, format!("policy rule {}", kept.rule), again).with(stand)
    }

    /// As one who only wants to know is told.
    pub(super) fn into_answer(self) -> Answer {
        Answer::No { code: self.code, sentence: self.sentence, rule: self.rule }
    }

    /// Whether it may pass if one waits for seats.
    pub(super) fn can_wait(&self) -> bool {
        let passes = matches!(self.code, Denial::NO_SEAT | Denial::RESERVED | Denial::LIMIT_REACHED);
        passes && self.retry_after_ms.is_some()
    }

    /// Whether it says nothing of what was asked for, and passes by itself: who waits keeps his place.
    pub(super) fn passes(&self) -> bool {
        matches!(self.code, Denial::TOO_MANY_LEASES | Denial::RESTARTING | Denial::NOT_LEADER | Denial::STORAGE)
    }

    pub(super) fn queue_full(feature: &FeatureName, waiting: usize) -> Self {
        let sentence = format!("{waiting} wait for {feature}, and no more may: ask again, or ask the administrator");
        Self::new(Denial::QUEUE_FULL, sentence, "the policy's limit on queues", Some(RETRY_MAX_MS))
    }

    pub(super) fn too_many_leases(max: u32) -> Self {
        let sentence = format!(
            "this server holds {max} leases, as many as it was given room for: ask again, or have its limit raised"
        );
        Self::new(Denial::TOO_MANY_LEASES, sentence, "the server's limit on leases", Some(RETRY_MAX_MS))
    }

    pub(super) fn shutting_down() -> Self {
        let sentence = "this server is going away: ask another one, or ask again in a few seconds".to_owned();
        Self::new(Denial::SHUTTING_DOWN, sentence, "the administrator stopped this server", Some(RETRY_DRAINING_MS))
    }

    pub(super) fn storage_failing() -> Self {
        let sentence =
            "this server's storage fails, and a seat it grants now could be granted twice after a crash: ask another \
                        server, or have its administrator look at the disk"
                .to_owned();
        Self::new(Denial::STORAGE, sentence, "what is granted is written down", Some(RETRY_DRAINING_MS))
    }

    pub(super) fn restarting(wait_ms: u64) -> Self {
        let sentence = format!(
            "this server restarted and gives the leases it granted before {} to come back: ask again then",
            span(wait_ms)
        );
        Self::new(Denial::RESTARTING, sentence, "no seat may be granted twice", Some(narrow(wait_ms)))
    }

    pub(super) fn released() -> Self {
        let sentence =
            "this claim key was released, and a claim key is never used twice: ask with a new one".to_owned();
        Self::new(Denial::RELEASED, sentence, "the release of this claim", None)
    }

    pub(super) fn not_yours() -> Self {
        let sentence = "this claim key belongs to another client: ask with a new one".to_owned();
        Self::new(Denial::NOT_YOURS, sentence, "a claim belongs to the key that made it", None)
    }

    pub(super) fn claim_in_use(feature: &FeatureName, version: Version, held: SeatCount) -> Self {
        let sentence = format!(
            "this claim key stands for {} of {feature} {version}, and something else was asked for: release it first, or \
             ask with a new key",
            seats(held.get())
        );
        Self::new(Denial::BAD_REQUEST, sentence, "a claim key is one lease", None)
    }

    /// The seat was idle and went to who waited.
    pub(super) fn reclaimed(lease: LeaseId, rule: &str) -> Self {
        let sentence = format!(
            "lease {lease} was idle while somebody waited, and by rule {rule} its seat is for whoever is next: check one out anew"
        );
        Self::new(Denial::RECLAIMED, sentence, format!("policy rule {rule}"), None)
    }

    pub(super) fn no_such_lease(lease: LeaseId) -> Self {
        let sentence = format!("lease {lease} is not held here any more: ask afresh with the same claim key");
        Self::new(Denial::NO_SUCH_LEASE, sentence, "the lease's deadline", Some(0))
    }
}

impl Engine {
    /// Answers `asked` with "no".
    pub(super) fn deny(&mut self, sender: &Sender, asked: Asked, refusal: Refusal) {
        self.counters.count(Counter::Denials);
        if refusal.code == Denial::NO_SEAT {
            self.counters.count(Counter::DenialsNoSeat);
        }
        self.events.push_back(Event::Denied(Box::new(Denied {
            realm: self.shared.realms[sender.client.realm].identity.id,
            claim: asked.claim,
            client: sender.client.fingerprint,
            operation: asked.operation,
            feature: asked.feature,
            version: asked.version,
            seats: asked.seats,
            holder: asked.holder,
            address: sender.path.from.ip(),
            code: refusal.code,
            sentence: refusal.sentence.clone(),
            rule: refusal.rule.clone(),
            looked: asked.looked,
        })));
        self.answers.push(ServerFrame::Deny(Box::new(Deny {
            operation: asked.operation,
            claim: asked.claim,
            code: refusal.code,
            sentence: refusal.sentence,
            rule: refusal.rule,
            seats_out: refusal.out,
            seats_total: refusal.total,
            next_due: refusal.next_due,
            retry_after_ms: refusal.retry_after_ms,
        })));
    }
}
