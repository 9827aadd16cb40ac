//! A policy, rehearsed: what the requests of the last days would have been answered under it (P-6).
//!
//! The usage history tells who asked for what, when he had it and when he gave it back. All of that is asked once more, in the order it was
//! written, of the licences in force today: under the policy in force, and under the draft. What the two differ in is the draft's doing,
//! whatever else has changed since.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use axum::{
    Json,
    body::Bytes,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use leasehold_core::{Answer, Question, Rehearsal};
use leasehold_protocol::{
    message::Holder,
    time::{Now, UnixMillis},
    vocab::{FeatureName, Label, LeaseId, RealmId, SeatCount, Version},
};
use serde::{Deserialize, Serialize};

use super::{
    AdminState,
    auth::{self, Unreadable},
    changes::{aside, query_of, text_of},
};
use crate::{
    clock::SystemEntropy,
    history::{Kind, Reader, Row, key_in},
    instant::rfc3339,
    policy::{PolicyFile, device_of},
};

/// How far back, in days.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    days: Option<u32>,
}

/// Days that are looked back unless it is said.
const DAYS: u32 = 7;
/// Seats that were taken up to so many days before are out when the rehearsal begins.
const DAYS_BEFORE: u64 = 30;
const DAY_MS: u64 = 86_400_000;
/// Lines of the history that are rehearsed at most: some ten seconds.
const LINES_MAX: u64 = 500_000;
/// Different cases that are told.
const CASES_MAX: usize = 200;

/// What came of it.
#[derive(Debug, Serialize)]
pub struct RehearsalView {
    schema: u32,
    from: String,
    to: String,
    /// Requests that were asked once more.
    requests: u64,
    /// Of them, granted under both policies, and denied under both.
    granted: u64,
    denied: u64,
    /// Denied under both, though they were granted then: for want of licences, or of what the history does not know.
    denied_today: u64,
    /// What the draft would deny and the policy in force grants, most often first.
    newly_denied: Vec<CaseView>,
    /// The other way round.
    newly_granted: Vec<CaseView>,
    /// How many requests those are.
    newly_denied_requests: u64,
    newly_granted_requests: u64,
    /// Times from which something is missing in the history.
    gaps: usize,
    /// Earlier lines were left out: there are too many.
    left_out: bool,
    doubts: Vec<String>,
}

/// The same answer to the same holder, for the same feature.
#[derive(Debug, Serialize)]
struct CaseView {
    user: String,
    host: String,
    feature: String,
    denial: String,
    rule: String,
    sentence: String,
    times: u64,
    seats: u64,
    first: String,
    last: String,
}

/// By what cases are one.
type Case = (String, String, String, String, String);

struct Refused(StatusCode, &'static str, String);

pub(super) async fn rehearse(
    State(state): State<Arc<AdminState>>,
    how: Result<Query<How>, QueryRejection>,
    body: Bytes,
) -> Result<Response, Unreadable> {
    let days = query_of(how, "days is understood, how many to look back")?.days.unwrap_or(DAYS);
    if days == 0 {
        return Err(Unreadable("bad_query", "days is 1 or more".to_owned()));
    }
    let text = text_of(body)?;
    Ok(match aside(move || run(&state, &text, days)).await {
        Ok(view) => Json(view).into_response(),
        Err(Refused(status, code, why)) => auth::error(status, code, &why),
    })
}

fn run(state: &AdminState, text: &str, days: u32) -> Result<RehearsalView, Refused> {
    let draft = PolicyFile::parse("the draft", text).map_err(|e| {
        Refused(StatusCode::UNPROCESSABLE_ENTITY, "faulty_policy", format!("the draft has mistakes:\n{e}"))
    })?;
    let doubts = draft.warnings().collect();
    let in_force = state.loader().policy_in_force().text;
    let in_force = PolicyFile::parse("the policy in force", &in_force).map_err(|e| {
        Refused(StatusCode::CONFLICT, "faulty_policy", format!("the policy in force cannot be read any more:\n{e}"))
    })?;
    let now = state.clock.now();
    let stage = |policy| state.shared.rehearsal(policy, now, &mut SystemEntropy);
    let stages = [stage(in_force.policy), stage(draft.policy)];
    let since = UnixMillis(now.wall.0.saturating_sub(u64::from(days) * DAY_MS));
    let (reader, names) = open(state)?;
    let mut play = Play {
        stages,
        names,
        realms: realms(state),
        since,
        out: HashMap::new(),
        counts: Counts::default(),
        newly_denied: BTreeMap::new(),
        newly_granted: BTreeMap::new(),
    };
    let from = UnixMillis(since.0.saturating_sub(DAYS_BEFORE * DAY_MS));
    let left_out = reader.replay(from, LINES_MAX, |row| play.line(&row)).map_err(|e| unread(&e))?;
    let gaps = reader.missing(Some(from), None).map_err(|e| unread(&e))?.len();
    Ok(play.view(now, gaps, left_out, doubts))
}

fn realms(state: &AdminState) -> HashMap<String, RealmId> {
    state.shared.realms().into_iter().map(|realm| (realm.publisher.to_string(), realm.id)).collect()
}

/// The history, and what its pseudonyms stand for.
fn open(state: &AdminState) -> Result<(Reader, HashMap<String, String>), Refused> {
    let folder = state.token_path.parent().unwrap_or(&state.token_path);
    let reader = Reader::open(folder).map_err(|e| unread(&e))?;
    let key = key_in(folder).map_err(|e| unread(&e))?.ok_or_else(|| {
        unread(&"there is no history.key, and without it nobody can tell whom a rule of the draft would be about")
    })?;
    let sealed = reader.sealed().map_err(|e| unread(&e))?;
    let opened = sealed.into_iter().filter_map(|(name, sealed)| key.open(&name, &sealed).map(|words| (name, words)));
    Ok((reader, opened.collect()))
}

fn unread(why: &dyn std::fmt::Display) -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, "no_history", why.to_string())
}

/// Both policies, and what they answered so far.
struct Play {
    /// Under the policy in force, and under the draft.
    stages: [Rehearsal; 2],
    names: HashMap<String, String>,
    realms: HashMap<String, RealmId>,
    since: UnixMillis,
    /// By lease of the history: those on each stage.
    out: HashMap<String, [Option<LeaseId>; 2]>,
    counts: Counts,
    newly_denied: BTreeMap<Case, CaseView>,
    newly_granted: BTreeMap<Case, CaseView>,
}

#[derive(Default)]
struct Counts {
    requests: u64,
    granted: u64,
    denied: u64,
    denied_today: u64,
}

impl Play {
    fn line(&mut self, row: &Row) {
        match row.kind.parse() {
            Ok(Kind::Granted) => self.asked(row, true),
            Ok(Kind::Denied) => self.asked(row, false),
            Ok(Kind::Released | Kind::Expired | Kind::LingerEnded) => {
                if let Some(leases) = row.lease.as_ref().and_then(|lease| self.out.remove(lease)) {
                    self.give_back(leases);
                }
            }
            // Nothing was out again.
            Ok(Kind::Started) if row.seats == Some(0) => {
                let all: Vec<_> = self.out.drain().map(|(_, leases)| leases).collect();
                all.into_iter().for_each(|leases| self.give_back(leases));
            }
            _ => {}
        }
    }

    fn give_back(&mut self, leases: [Option<LeaseId>; 2]) {
        for (stage, lease) in self.stages.iter_mut().zip(leases) {
            lease.into_iter().for_each(|lease| stage.give_back(lease));
        }
    }

    fn asked(&mut self, row: &Row, was_granted: bool) {
        let Some(question) = self.question(row) else { return };
        let [now, draft] = self.stages.each_mut().map(|stage| stage.ask(&question));
        let (Some((now, now_lease)), Some((draft, draft_lease))) = (now, draft) else { return };
        match row.lease.clone().filter(|_| was_granted) {
            Some(lease) => {
                let lost = self.out.insert(lease, [now_lease, draft_lease]);
                lost.into_iter().for_each(|leases| self.give_back(leases));
            }
            // How long it would have been out nobody knows.
            None => self.give_back([now_lease, draft_lease]),
        }
        if row.at >= self.since {
            self.count(row, &question, was_granted, (&now, &draft));
        }
    }

    fn count(&mut self, row: &Row, question: &Question, was_granted: bool, (now, draft): (&Answer, &Answer)) {
        self.counts.requests += 1;
        let no = |answer: &Answer| match answer {
            Answer::No { code, sentence, rule } => Some((code.to_string(), sentence.clone(), rule.clone())),
            Answer::Seats | Answer::SeatsOf(_) => None,
        };
        let (cases, why) = match (no(now), no(draft)) {
            (None, None) => return self.counts.granted += 1,
            (Some(_), Some(_)) => {
                self.counts.denied += 1;
                return self.counts.denied_today += u64::from(was_granted);
            }
            (None, Some(why)) => (&mut self.newly_denied, why),
            (Some(why), None) => (&mut self.newly_granted, why),
        };
        let (denial, sentence, rule) = why;
        let holder = &question.holder;
        let (user, host, feature) = (holder.user.to_string(), holder.host.to_string(), question.feature.to_string());
        let key = (rule.clone(), denial.clone(), feature.clone(), user.clone(), host.clone());
        let at = rfc3339(row.at);
        let (times, seats, first, last) = (0, 0, at.clone(), String::new());
        let fresh = CaseView { user, host, feature, denial, rule, sentence, times, seats, first, last };
        let case = cases.entry(key).or_insert(fresh);
        (case.times, case.seats, case.last) = (case.times + 1, case.seats + u64::from(question.seats.get()), at);
    }

    /// What was asked, as far as the history knows.
    fn question(&self, row: &Row) -> Option<Question> {
        let name = |pseudonym: &Option<String>| pseudonym.as_ref().and_then(|pseudonym| self.names.get(pseudonym));
        let label = |pseudonym: &Option<String>| name(pseudonym).map(|name| Label::lossy(name));
        Some(Question {
            realm: *self.realms.get(row.realm.as_ref()?)?,
            feature: FeatureName::new(row.feature.as_ref()?).ok()?,
            version: row.version.as_ref().map_or(Some(Version::ANY), |version| version.parse().ok())?,
            seats: SeatCount::new(u32::try_from(row.seats?).ok()?).ok()?,
            holder: Holder {
                user: label(&row.user)?,
                host: label(&row.host)?,
                display: label(&row.display),
                process: Label::lossy("?"),
                pid: 0,
                project: label(&row.project),
                device: name(&row.device).and_then(|id| device_of(id)).unwrap_or_default(),
                device_alias: None,
                share: None,
                hostids: Vec::new(),
            },
            address: name(&row.address).and_then(|address| address.parse().ok()).unwrap_or(IpAddr::from([0, 0, 0, 0])),
        })
    }

    fn view(self, now: Now, gaps: usize, left_out: bool, doubts: Vec<String>) -> RehearsalView {
        let told = |cases: BTreeMap<Case, CaseView>| {
            let requests = cases.values().map(|case| case.times).sum();
            let mut cases: Vec<CaseView> = cases.into_values().collect();
            cases.sort_by_key(|case| std::cmp::Reverse(case.times));
            cases.truncate(CASES_MAX);
            (cases, requests)
        };
        let (newly_denied, newly_denied_requests) = told(self.newly_denied);
        let (newly_granted, newly_granted_requests) = told(self.newly_granted);
        let Counts { requests, granted, denied, denied_today } = self.counts;
        RehearsalView {
            schema: 1,
            from: rfc3339(self.since),
            to: rfc3339(now.wall),
            requests,
            granted,
            denied,
            denied_today,
            newly_denied,
            newly_granted,
            newly_denied_requests,
            newly_granted_requests,
            gaps,
            left_out,
            doubts,
        }
    }
}
