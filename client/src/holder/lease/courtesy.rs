//! What a program tells of itself, and what a server asks of it while somebody waits.

use leasehold_protocol::{
    message::{Activity, LetGo},
    time::Mono,
};

use crate::holder::Plea;

/// What the server knows of the program, and what it asks.
///
/// A server says it often, and what it says may be older than what it has heard since. So whatever is new is answered by a renewal,
/// and what is asked is told to the program once the server is known to ask it of what the program does now.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    activity: Activity,
    /// What the server is known to have heard of that.
    told: Option<Activity>,
    /// What the renewal being asked tells it; `None`: its tries tell different things.
    telling: Option<Activity>,
    asked: Option<Asked>,
    /// A renewal is due because of that.
    is_due: bool,
    /// What the program is to be told.
    news: Option<Plea>,
}

/// What a server asks.
#[derive(Debug)]
struct Asked {
    until: Mono,
    rule: String,
    waiting: u32,
    /// It said so since the last renewal was sent.
    is_fresh: bool,
    /// The program knows.
    is_told: bool,
}

/// Two pleas for one seat that differ by less are the same, told twice by a network that takes its time.
const SLACK_MS: u64 = 2_000;
/// How often a server is asked whether it is meant still, once the time of a plea is up.
const LAST_WORD_MS: u64 = 1_000;

impl Courtesy {
    pub(super) const fn activity(&self) -> Activity {
        self.activity
    }

    /// What the program does from now on: told with the next renewal, and at once if the seat was asked for.
    pub(super) fn set_activity(&mut self, activity: Activity) {
        self.is_due |= self.asked.is_some() && activity != self.activity;
        self.activity = activity;
    }

    /// Notes what is asked.
    pub(super) fn hear(&mut self, now: Mono, told: LetGo) {
        let Some(in_ms) = told.in_ms else { return self.let_be() };
        let until = now.plus_ms(in_ms.into());
        let before = self.asked.take().filter(|asked| until <= asked.until.plus_ms(SLACK_MS));
        self.is_due |= before.is_none();
        let (until, is_told) = before.map_or((until, false), |asked| (asked.until.min(until), asked.is_told));
        self.asked = Some(Asked { until, rule: told.rule, waiting: told.waiting, is_fresh: true, is_told });
        self.tell();
    }

    /// Notes that a renewal goes out, for the first time or again.
    pub(super) fn note_sent(&mut self, is_first: bool) {
        self.telling = Some(self.activity).filter(|activity| is_first || self.telling == Some(*activity));
        if let Some(asked) = self.asked.as_mut().filter(|_| is_first) {
            asked.is_fresh = false;
        }
    }

    /// Notes that a renewal was answered: without a plea that came since it was sent, nothing is asked.
    pub(super) fn note_answered(&mut self) {
        self.told = self.telling;
        match &self.asked {
            Some(asked) if !asked.is_fresh => self.let_be(),
            _ => self.tell(),
        }
    }

    /// Tells the program, if the server knows what it does.
    fn tell(&mut self) {
        let is_known = self.told == Some(self.activity);
        if let Some(asked) = self.asked.as_mut().filter(|asked| is_known && !asked.is_told) {
            asked.is_told = true;
            self.news = Some(Plea { until: Some(asked.until), rule: asked.rule.clone(), waiting: asked.waiting });
        }
    }

    fn let_be(&mut self) {
        if self.asked.take().is_some_and(|asked| asked.is_told) {
            self.news = Some(Plea { until: None, rule: String::new(), waiting: 0 });
        }
    }

    /// When a renewal is due because of what is asked.
    pub(super) fn next(&self) -> Option<Mono> {
        if self.is_due { Some(Mono(0)) } else { self.asked.as_ref().map(|asked| asked.until) }
    }

    /// Whether a renewal is due because of what is asked. When its time is up, the server says whether it is meant still.
    pub(super) fn is_due(&mut self, now: Mono) -> bool {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.until <= now) {
            asked.until = now.plus_ms(LAST_WORD_MS);
            self.is_due = true;
        }
        self.is_due
    }

    /// Notes that the renewal that was due begins.
    pub(super) const fn note_begun(&mut self) {
        self.is_due = false;
    }

    /// What the program is to be told.
    pub(super) const fn take_news(&mut self) -> Option<Plea> {
        self.news.take()
    }
}
