//! A thread of a closed or open loop: lean clients, their leases, one event loop.
//!
//! | module | owns |
//! |---|---|
//! | `fleet` | the clients' sessions, which outlive a phase |
//! | `book` | the leases |
//! | `flight` | the operations under way, and when they are asked for again |
//! | `issue` | what the plan has due, and how a question becomes a datagram |
//! | `keep` | what nobody planned: questions asked again or given up, leases kept alive or lost |
//! | `net` | sockets, in batches |
//! | `answers` | what an answer changes, and what it must not be |
//!
//! A turn issues what is due, sends it, sleeps until something comes or is due, and reads what came. The clock is read
//! once a turn and once a batch. Leases are renewed in turn, the one asked for longest ago first; one that the plan does
//! not reach in time is renewed beside it, so that a lease is lost by the server or not at all.

mod answers;
mod book;
mod fleet;
mod flight;
mod issue;
mod keep;
pub mod net;

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use leasehold_protocol::packet::DATAGRAM_MAX;

use self::{
    book::Book,
    fleet::Client,
    flight::{Flight, Operation, Part, What},
    net::Outlet,
};
use super::{
    audit::Audit,
    lean::{Peer, RequestForm},
    mix::Mix,
    plan::SplitMix,
    schedule::{Arrivals, Rate, Schedule},
    series::{Recorder, Series},
};
use crate::exit::Failure;

pub use fleet::{Fleet, FleetPlan};

/// What a phase asks of one thread.
#[derive(Clone)]
pub struct Task {
    /// Which thread this is, 0 to 63.
    pub thread: usize,
    /// How many of the fleet's clients take part.
    pub clients: u32,
    /// Leases of each.
    pub leases_per_client: u32,
    /// What it is made of.
    pub mix: Mix,
    /// Renewals in one frame.
    pub batch: usize,
    /// How operations come.
    pub pace: Pace,
    /// How long is measured.
    pub measure: Duration,
    /// Over how long sessions are opened; zero is as fast as the server answers.
    pub ramp: Duration,
    /// Decides what comes when.
    pub seed: u64,
    /// The server to open sessions with.
    pub peer: Peer,
    /// One REQUEST per feature.
    pub forms: Arc<[RequestForm]>,
    /// What all threads share.
    pub shared: Arc<Shared>,
}

/// How operations come.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many under way at any time.
    Window(usize),
    /// At these times.
    Rate(Rate, Arrivals),
}

/// What all threads and the one that watches them share in a phase.
pub struct Shared {
    /// The zero of the phase's clock.
    pub epoch: Instant,
    /// The checks.
    pub audit: Arc<Audit>,
    /// The seconds.
    pub series: Arc<Series>,
    /// Threads whose sessions are open and whose first leases are held or denied.
    pub ready: AtomicUsize,
    /// Clients with a session, for the progress bar.
    pub settled: AtomicU64,
    /// When measuring begins, in microseconds; 0 while it has not been said.
    pub begin_us: AtomicU64,
    /// Threads whose last operation is answered or has taken too long.
    pub drained: AtomicUsize,
    /// What we cannot know for want of an answer: how many seats that may be out.
    pub uncertain: AtomicUsize,
    /// Set: give everything back and end.
    pub leave: AtomicBool,
}

/// How long the last operations of a phase, and its releases, may take.
const PATIENCE_US: u64 = 5_000_000;
/// The thread sleeps no longer than this: what another thread says is noticed that soon.
const SLEEP_MAX_US: u64 = 5_000;
/// The thread sleeps this long where it waits for what no datagram tells.
const SLEEP_MIN_US: u64 = 200;
/// Operations issued before what has come is read.
const ISSUE_MAX: usize = 128;
/// First checkouts and last releases under way in one thread.
const SPREAD: u32 = 256;
/// Handshakes under way in one thread: each costs both sides some 200 µs, and more of them would wait for longer than HELLO1
/// does before it is sent again.
const HANDSHAKES: u32 = 64;
/// How often deadlines are swept: well below the shortest margin there is (SPEC 5.14.2).
const SWEEP_US: u64 = 100_000;

/// Where a thread is in its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Opens sessions.
    Opening,
    /// Checks its first leases out; so many are still to be asked for.
    Filling(u32),
    /// Waits for the others.
    Ready,
    /// Is measured.
    Running { end: u64 },
    /// Waits for the last answers, until then at most.
    Draining { until: u64 },
    /// Waits for the word to leave.
    Drained,
    /// Gives everything back, until then at most.
    Leaving { until: u64 },
    /// Nothing more to do.
    Done,
}

/// A thread at work.
pub(super) struct Driver {
    task: Task,
    clients: Vec<Client>,
    outlet: Outlet,
    book: Book,
    flight: Flight,
    recorder: Recorder,
    random: SplitMix,
    schedule: Option<std::iter::Peekable<Schedule>>,
    stage: Stage,
    /// Microseconds since the beginning of the phase.
    now: u64,
    begin: u64,
    swept: u64,
    opened: u32,
    greeted: u32,
    /// Clients whose handshake is under way.
    opening: Vec<u32>,
    /// How long after it was asked for a lease wants to be renewed.
    renew_after_us: u64,
    /// The leases of the RENEW_MANY that is written or read at this moment.
    parts: Vec<Part>,
    plaintext: Vec<u8>,
    datagram: Vec<u8>,
    /// More is due than one turn issues.
    more: bool,
    /// What is due finds no lease to ask for.
    stuck: bool,
    failure: Option<Failure>,
}

/// Runs a thread's part of a phase, from its sessions to the end of its releases, and gives the fleet back for the next.
///
/// # Errors
/// If the sessions cannot be opened or a socket fails.
pub fn run(task: Task, fleet: Fleet) -> Result<Fleet, Failure> {
    let Fleet { clients, mut inlet, outlet } = fleet;
    // Otherwise every sleep is 50 µs longer than it was to be. Where the system refuses, lateness says so.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut driver = Driver::new(task, clients, outlet)?;
    let mut ready = net::Ready::default();
    while driver.stage != Stage::Done {
        driver.tell_time();
        driver.work()?;
        driver.outlet.flush();
        inlet.wait(driver.sleep(), &mut ready)?;
        for socket in &ready.sockets {
            inlet.take(*socket, |datagram| driver.receive(*socket, datagram))?;
        }
        if let Some(failure) = driver.failure.take() {
            return Err(failure);
        }
    }
    let Driver { mut recorder, clients, mut outlet, .. } = driver;
    recorder.tally.counts.datagrams_sent += std::mem::take(&mut outlet.sent);
    recorder.tally.counts.send_failures += std::mem::take(&mut outlet.failed);
    recorder.finish()?;
    Ok(Fleet { clients, inlet, outlet })
}

impl Driver {
    fn new(task: Task, clients: Vec<Client>, outlet: Outlet) -> Result<Self, Failure> {
        let mut claims = [0; 8];
        getrandom::fill(&mut claims).map_err(|e| Failure::new("the system gives no random numbers").because(e))?;
        Ok(Self {
            clients,
            outlet,
            book: Book::new(task.clients * task.leases_per_client, u64::from_le_bytes(claims)),
            flight: Flight::new(task.thread),
            recorder: Recorder::new(task.shared.series.clone())?,
            random: SplitMix::new(task.seed.wrapping_add(task.thread as u64)),
            schedule: None,
            stage: Stage::Opening,
            now: 0,
            begin: 0,
            swept: 0,
            opened: 0,
            greeted: 0,
            opening: Vec::new(),
            renew_after_us: u64::MAX,
            parts: Vec::new(),
            plaintext: Vec::with_capacity(DATAGRAM_MAX),
            datagram: Vec::with_capacity(DATAGRAM_MAX),
            task,
            more: false,
            stuck: false,
            failure: None,
        })
    }

    fn tell_time(&mut self) {
        self.now = u64::try_from(self.task.shared.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
    }

    /// Everything that is to be done now.
    fn work(&mut self) -> Result<(), Failure> {
        self.recorder.tick(Duration::from_micros(self.now))?;
        self.ask_again();
        self.keep_up();
        let leaving = matches!(self.stage, Stage::Leaving { .. } | Stage::Done);
        if !leaving && self.task.shared.leave.load(Ordering::Acquire) {
            self.stage = Stage::Leaving { until: self.now + PATIENCE_US };
        }
        match self.stage {
            Stage::Opening => self.open_sessions()?,
            Stage::Filling(left) => self.fill(left),
            Stage::Ready => self.begin(),
            Stage::Running { end } => {
                if self.is_through(end) {
                    self.drain(end);
                } else {
                    self.issue(end);
                }
            }
            Stage::Draining { until } => self.drained(until),
            Stage::Leaving { until } => self.leave(until),
            Stage::Drained | Stage::Done => {}
        }
        Ok(())
    }

    /// How long nothing is due.
    fn sleep(&mut self) -> Duration {
        let due = match (self.stage, &mut self.schedule) {
            (Stage::Running { .. }, _) if self.more => self.now,
            (Stage::Running { end }, Some(schedule)) => {
                let next = schedule.peek().map_or(end, |due| micros(*due).saturating_add(self.begin));
                // An operation that is due and finds nothing to ask for waits for an answer, and so do we.
                if next <= self.now { end } else { next }
            }
            (Stage::Running { end }, None) => end,
            (Stage::Ready, _) => self.task.shared.begin_us.load(Ordering::Acquire).max(self.now + SLEEP_MIN_US),
            (Stage::Opening, _) => self.now + SLEEP_MIN_US,
            _ => u64::MAX,
        };
        self.tell_time();
        Duration::from_micros(due.saturating_sub(self.now).min(SLEEP_MAX_US))
    }

    fn fill(&mut self, mut left: u32) {
        while left > 0 && self.flight.waiting() < SPREAD as usize {
            self.checkout(self.now, false, false);
            left -= 1;
        }
        self.stage = Stage::Filling(left);
        if left == 0 && self.flight.waiting() == 0 {
            self.task.shared.ready.fetch_add(1, Ordering::AcqRel);
            self.stage = Stage::Ready;
        }
    }

    fn begin(&mut self) {
        let begin = self.task.shared.begin_us.load(Ordering::Acquire);
        if begin == 0 || self.now < begin {
            return;
        }
        self.begin = begin;
        if let Pace::Rate(rate, arrivals) = self.task.pace {
            let seed = self.random.next();
            self.schedule = Some(Schedule::new(rate, self.task.measure, arrivals, seed).peekable());
        }
        self.stage = Stage::Running { end: begin + micros(self.task.measure) };
    }

    /// Whether everything that was due before `end` has been sent, or cannot be.
    fn is_through(&mut self, end: u64) -> bool {
        let next = self.schedule.as_mut().and_then(|schedule| schedule.peek().copied());
        let behind = next.is_some_and(|due| micros(due).saturating_add(self.begin) < end) && !self.stuck;
        self.now >= end && !(behind && self.now < end + PATIENCE_US)
    }

    fn drain(&mut self, end: u64) {
        if let Some(schedule) = self.schedule.take() {
            let due = |due: &Duration| micros(*due).saturating_add(self.begin) < end;
            self.recorder.tally.counts.unsent += schedule.take_while(due).count() as u64;
        }
        self.stage = Stage::Draining { until: self.now + PATIENCE_US };
    }

    fn drained(&mut self, until: u64) {
        if self.flight.waiting() > 0 && self.now < until {
            return;
        }
        self.task.shared.uncertain.fetch_add(self.flight.waiting(), Ordering::AcqRel);
        self.task.shared.drained.fetch_add(1, Ordering::AcqRel);
        self.stage = Stage::Drained;
    }

    fn leave(&mut self, until: u64) {
        while self.flight.waiting() < SPREAD as usize {
            let Some((_, index)) = self.book.oldest() else { break };
            self.release(index, self.now, false, false);
        }
        if (self.book.held() == 0 && self.flight.waiting() == 0) || self.now >= until {
            let left = self.flight.waiting() + self.book.held();
            self.task.shared.uncertain.fetch_add(left, Ordering::AcqRel);
            self.recorder.tally.counts.not_released += left as u64;
            self.recorder.tally.counts.unanswered += self.flight.abandon() as u64;
            self.stage = Stage::Done;
        }
    }

    fn is_current(&self, operation: &Operation) -> bool {
        // Of many renewals each is looked at by itself, when they are answered.
        operation.what.is_of_client() || self.book.lease(operation.of).era == operation.era
    }

    const fn client_of_operation(&self, what: What, of: u32) -> u32 {
        if what.is_of_client() { of } else { of / self.task.leases_per_client }
    }

    fn feature_of(&self, index: u32) -> usize {
        self.task.feature(index)
    }
}

impl Task {
    /// What the lease at `index` is for: features are taken in turn by all clients of all threads.
    fn feature(&self, index: u32) -> usize {
        let client = (index / self.leases_per_client) as usize * self.shared.series.threads() + self.thread;
        client % self.forms.len()
    }

    fn form(&self, index: u32) -> &RequestForm {
        &self.forms[self.feature(index)]
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
