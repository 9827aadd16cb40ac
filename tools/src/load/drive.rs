//! A thread of a closed or open loop: lean clients, their leases, one event loop.
//!
//! | module | owns |
//! |---|---|
//! | `fleet` | the clients' sessions, which outlive a phase |
//! | `book` | the leases |
//! | `flight` | the operations under way, and when they are asked for again |
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
pub mod net;

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use leasehold_protocol::{
    packet::DATAGRAM_MAX,
    vocab::{LeaseId, OperationId},
};

use self::{
    book::{Book, State},
    fleet::Client,
    flight::{Due, Flight, Operation, What},
    net::Outlet,
};
use super::{
    audit::Audit,
    lean::{Peer, RequestForm, ask},
    mix::{Mix, Verb},
    plan::SplitMix,
    schedule::{Arrivals, Rate, Schedule},
    series::{Recorder, Series},
    tally::Kind,
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
    /// Renewals in one datagram.
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
/// Operations issued before what has come is read.
const ISSUE_MAX: usize = 128;
/// First checkouts, releases and handshakes under way in one thread.
const SPREAD: u32 = 256;
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
    plaintext: Vec<u8>,
    datagram: Vec<u8>,
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
            plaintext: Vec::with_capacity(DATAGRAM_MAX),
            datagram: Vec::with_capacity(DATAGRAM_MAX),
            task,
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
            Stage::Running { end } if self.now >= end => self.drain(),
            Stage::Running { end } => self.issue(end),
            Stage::Draining { until } => self.drained(until),
            Stage::Leaving { until } => self.leave(until),
            Stage::Drained | Stage::Done => {}
        }
        Ok(())
    }

    /// How long nothing is due.
    fn sleep(&mut self) -> Duration {
        let due = match (self.stage, &mut self.schedule) {
            (Stage::Running { end }, Some(schedule)) => {
                let next = schedule.peek().map_or(end, |due| micros(*due).saturating_add(self.begin));
                // An operation that is due and finds nothing to ask for waits for an answer, and so do we.
                if next <= self.now { self.now + SLEEP_MAX_US } else { next }
            }
            (Stage::Opening, _) => self.now + 200,
            _ => self.now + SLEEP_MAX_US,
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

    fn drain(&mut self) {
        self.schedule = None;
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

    /// Issues what the plan has due, a bounded number at a time.
    fn issue(&mut self, end: u64) {
        for _ in 0..ISSUE_MAX {
            let due = match (&mut self.schedule, self.task.pace) {
                (None, Pace::Window(window)) if self.flight.planned() < window => self.now,
                (Some(schedule), _) => match schedule.peek().map(|due| self.begin + micros(*due)) {
                    Some(due) if due <= self.now && due < end => due,
                    _ => return,
                },
                _ => return,
            };
            let Some(issued) = self.issue_one(due) else { return };
            if let Some(schedule) = &mut self.schedule {
                // Operations that went along in one datagram were due with it.
                let _ = schedule.nth(issued - 1);
            }
        }
    }

    /// Issues the next operation of the mix; how many operations that were. `None` if nothing can be asked for now. Where
    /// nothing is held to renew or release, a seat is asked for, and where no place is free one is given back: so a mix
    /// that does not balance stays between none and all.
    fn issue_one(&mut self, due: u64) -> Option<usize> {
        if self.flight.is_full() {
            return None;
        }
        let asking = matches!(self.task.mix, Mix::Of { checkout: 1.., .. } | Mix::Pairs);
        match self.task.mix.pick(self.random.next()) {
            Verb::Pair => self.checkout(due, true, true),
            Verb::Checkout => self.checkout(due, false, true).or_else(|| self.release_oldest(due)),
            Verb::Renew => self.renew_some(due).or_else(|| asking.then(|| self.checkout(due, false, true))?),
            Verb::Release => self.release_oldest(due).or_else(|| asking.then(|| self.checkout(due, false, true))?),
        }
    }

    fn checkout(&mut self, due: u64, pair: bool, planned: bool) -> Option<usize> {
        let index = self.book.take_free()?;
        self.start(What::Checkout { pair }, index, due, planned);
        Some(1)
    }

    fn release_oldest(&mut self, due: u64) -> Option<usize> {
        let (_, index) = self.book.oldest()?;
        self.release(index, due, false, true);
        Some(1)
    }

    fn release(&mut self, index: u32, due: u64, pair: bool, planned: bool) {
        // Before it is sent: the seat may be somebody else's before its answer is here.
        self.task.shared.audit.gone(self.feature_of(index), self.book.lease(index).id);
        self.book.leaving(index);
        self.start(What::Release { pair }, index, due, planned);
    }

    /// Renews the lease that was asked for longest ago, and others of the same client with it as `batch` says. They would
    /// be one RENEW_MANY; as they are, they are one datagram.
    fn renew_some(&mut self, due: u64) -> Option<usize> {
        let (_, index) = self.book.oldest()?;
        let of_client = self.task.leases_per_client;
        let first = index / of_client * of_client;
        let others = (first..first + of_client).filter(|other| *other != index);
        let batch: Vec<u32> = if self.task.batch == 1 {
            Vec::new()
        } else {
            others.filter(|other| self.book.lease(*other).state == State::Held).take(self.task.batch - 1).collect()
        };
        self.plaintext.clear();
        for index in std::iter::once(index).chain(batch.iter().copied()) {
            self.book.asked(index, self.now);
            self.write(What::Renewal, index, due, true);
        }
        self.post(index / of_client);
        Some(1 + batch.len())
    }

    /// One operation in a datagram of its own.
    fn start(&mut self, what: What, of: u32, due: u64, planned: bool) {
        self.plaintext.clear();
        self.write(what, of, due, planned);
        self.post(self.client_of_operation(what, of));
    }

    /// Notes an operation and appends its frame to the plaintext.
    fn write(&mut self, what: What, of: u32, due: u64, planned: bool) {
        let era = if what == What::Greeting { 0 } else { self.book.lease(of).era };
        let operation = Operation { what, of, era, due, sent: self.now, planned, tries: 0 };
        let id = self.flight.add(operation);
        // In a closed loop nothing is due before it is sent, and the release of a pair is due when its grant has come.
        if planned && self.schedule.is_some() && !matches!(what, What::Release { pair: true }) {
            self.recorder.tally.record(Kind::Lateness, Duration::from_micros(self.now.saturating_sub(due)));
        }
        self.append(id, &operation);
    }

    fn append(&mut self, id: OperationId, operation: &Operation) {
        let (of, out) = (operation.of, &mut self.plaintext);
        let written = match operation.what {
            What::Greeting => ask::release(out, id, LeaseId::NONE, &self.clients[of as usize].greeting),
            What::Cleanup => ask::release(out, id, LeaseId::NONE, &self.book.lease(of).claim),
            What::Renewal => ask::renew(out, id, self.book.lease(of).id, &self.book.lease(of).claim),
            What::Release { .. } => ask::release(out, id, self.book.lease(of).id, &self.book.lease(of).claim),
            What::Checkout { .. } => {
                let form = self.task.form(of);
                form.append(out, id, &self.book.lease(of).claim)
            }
        };
        if let Err(e) = written {
            self.failure = Some(Failure::new("a question of the load test does not fit a datagram").because_of(&e));
        }
    }

    /// Seals the plaintext and queues it for this client's socket.
    fn post(&mut self, client: u32) {
        ask::pad(&mut self.plaintext);
        let client = &mut self.clients[client as usize];
        match client.seal(&self.plaintext, &mut self.datagram) {
            Some(Ok(())) => self.outlet.push(client.socket, &self.datagram),
            Some(Err(e)) => self.failure = Some(Failure::new("a session of the load test is used up").because_of(&e)),
            None => {}
        }
    }

    fn ask_again(&mut self) {
        for _ in 0..ISSUE_MAX {
            match self.flight.due(self.now) {
                None => return,
                Some(Due::Again(id, operation)) if self.is_current(&operation) => {
                    self.recorder.tally.counts.retries += 1;
                    self.plaintext.clear();
                    self.append(id, &operation);
                    self.post(self.client_of_operation(operation.what, operation.of));
                }
                Some(Due::Again(id, _)) => self.flight.end(id),
                Some(Due::GivenUp(operation)) => self.give_up(&operation),
            }
        }
    }

    /// An operation is without an answer after its last try. Whether a lease is lost by that its deadline decides.
    fn give_up(&mut self, operation: &Operation) {
        self.recorder.tally.counts.unanswered += 1;
        self.task.shared.uncertain.fetch_add(1, Ordering::AcqRel);
        if !self.is_current(operation) {
            return;
        }
        match operation.what {
            What::Greeting => {
                self.failure = Some(Failure::new("the server opened a session and then did not answer in it"));
            }
            What::Checkout { .. } => self.clean_up(operation.of),
            What::Release { .. } | What::Cleanup => self.book.over(operation.of),
            What::Renewal => {}
        }
    }

    /// Gives a claim back of which there may be a lease that we have not heard of.
    fn clean_up(&mut self, index: u32) {
        self.start(What::Cleanup, index, self.now, false);
    }

    /// Renews what the plan has not reached in time, and finds what has ended.
    fn keep_up(&mut self) {
        if matches!(self.stage, Stage::Leaving { .. } | Stage::Done) {
            return;
        }
        for _ in 0..ISSUE_MAX {
            match self.book.oldest() {
                Some((asked, index)) if self.now.saturating_sub(asked) >= self.renew_after_us => {
                    self.recorder.tally.counts.upkeep += 1;
                    self.book.asked(index, self.now);
                    self.start(What::Renewal, index, self.now, false);
                }
                _ => break,
            }
        }
        if self.now >= self.swept + SWEEP_US {
            self.swept = self.now;
            self.book.ended(self.now).into_iter().for_each(|index| self.lose(index));
        }
    }

    /// A lease has ended though its client wanted it.
    fn lose(&mut self, index: u32) {
        self.recorder.tally.counts.lost += 1;
        self.task.shared.uncertain.fetch_add(1, Ordering::AcqRel);
        self.task.shared.audit.gone(self.feature_of(index), self.book.lease(index).id);
        self.book.over(index);
    }

    fn is_current(&self, operation: &Operation) -> bool {
        operation.what == What::Greeting || self.book.lease(operation.of).era == operation.era
    }

    const fn client_of_operation(&self, what: What, of: u32) -> u32 {
        if matches!(what, What::Greeting) { of } else { of / self.task.leases_per_client }
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
