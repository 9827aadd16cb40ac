//! One worker's share of the server's mind. One file per verb.
//!
//! | module | answers |
//! |---|---|
//! | [`hello`] | HELLO1: with RETRY, with HELLO2, or not at all |
//! | [`waiting`] | HELLO1s that wait until everybody else was served |
//! | [`discover`] | DISCOVER |
//! | [`data`] | DATA: opens it and hands its frames on |
//! | [`turns`] | those who wait for seats, when it is their turn |
//! | [`request`] [`renew`] [`release`] [`query`] [`proof`] | one frame each |
//! | [`reclaim`] | idle seats for those who wait |
//! | [`answers`] | what is said back, and how much of it may be |
//! | [`refusal`] | every "no", in words |
//! | [`outbox`] | datagrams that wait to be taken |

mod answers;
mod data;
mod discover;
mod hello;
mod outbox;
mod proof;
mod query;
mod reclaim;
mod refusal;
mod release;
mod renew;
mod request;
mod turns;
mod waiting;

use std::{collections::VecDeque, sync::Arc};

use leasehold_protocol::{
    Entropy,
    error::DecodeErrorKind,
    message::{RenewedMany, ServerFrame},
    packet::{self, Packet},
    time::{Mono, Now, UnixMillis},
};

pub(crate) use self::data::Sender;
pub use self::request::Rehearsal;
use self::{outbox::Outbox, waiting::Waiting};
use crate::{
    Ended, Event, Path, Shared, Transmit,
    counters::{Block, Counter},
    ledger,
    pool::Worker,
};

/// One worker's share of the server's mind: it owns what it is about to say, and shares leases, sessions and seats with
/// the engines of the other workers.
///
/// # Contract
/// After any `handle_*` or [`Engine::begin_goodbye`], drain [`Engine::poll_transmit`] and [`Engine::poll_event`] to
/// `None`, then sleep until a datagram comes or [`Engine::poll_timeout`] says so. Ask `poll_timeout` again after every
/// step, of any engine: a lease granted by one may be expired by another. `now.mono` never goes backwards on one engine;
/// the clocks of two engines may be read a little apart.
///
/// The same inputs with the same entropy give the same outputs.
pub struct Engine {
    shared: Arc<Shared>,
    /// This engine's hand in the seats and leases of all.
    worker: Worker,
    /// The bucket whose equation is looked at next.
    audited: u32,
    entropy: Box<dyn Entropy>,
    counters: Arc<Block>,
    waiting: Waiting,
    outbox: Outbox,
    events: VecDeque<Event>,
    /// Whether renewals are told.
    tells_renewals: bool,
    /// By how much the machine's calendar is ahead of the wall time that steps are given.
    raw_ahead_ms: i64,
    /// Leases ended in this step, whose claim keys are still to be forgotten.
    ended: Vec<Ended>,
    /// What is said back to the datagram at hand.
    answers: Vec<ServerFrame>,
    /// Room for one plaintext.
    plaintext: Vec<u8>,
    /// The last answer to a RENEW_MANY, to be written over by the next.
    said_many: Option<Arc<RenewedMany>>,
}

/// How many leases one [`Engine::handle_timeout`] ends: some 50 µs, so that renewals do not wait for a site that goes.
const EXPIRY_BUDGET: usize = 128;

impl Engine {
    /// An engine over `shared`. `entropy` must be unpredictable, and different for every engine, in anything but a test.
    ///
    /// # Panics
    /// If there are 1 023 engines over `shared` already: one for each core is what they are for.
    #[must_use]
    pub fn new(shared: Arc<Shared>, entropy: Box<dyn Entropy>) -> Self {
        Self {
            counters: shared.counters.block(),
            worker: shared.leases.stock.join().expect("a place for each of up to 1 023 engines"),
            audited: 0,
            shared,
            entropy,
            waiting: Waiting::default(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            tells_renewals: true,
            raw_ahead_ms: 0,
            ended: Vec::new(),
            answers: Vec::new(),
            plaintext: Vec::new(),
            said_many: None,
        }
    }

    /// Whether [`Event::Renewed`] is told. Default yes; who does not read them need not have them made, which by
    /// perf was more than a twentieth of what a renewal in a frame for many cost.
    pub const fn tell_renewals(&mut self, tell: bool) {
        self.tells_renewals = tell;
    }

    /// By how much the machine's own calendar is ahead of `now.wall` of the steps that follow, in milliseconds; below zero if it is
    /// behind. Default 0. For who gives [effective](crate::wall) times: whether the clocks parted is seen by the calendar.
    pub const fn note_raw(&mut self, ahead_ms: i64) {
        self.raw_ahead_ms = ahead_ms;
    }

    /// Feeds one datagram, which is opened in place. Bad bytes are counted and dropped: a stranger's noise is not our
    /// error.
    pub fn handle_datagram(&mut self, now: Now, path: Path, bytes: &mut [u8]) {
        self.counters.count(Counter::DatagramsReceived);
        self.counters.add(Counter::BytesReceived, bytes.len());
        self.worker.turn();
        self.look(now);
        match packet::read_to_server(bytes) {
            Ok(Packet::Data(header)) => {
                let (sid, counter) = (header.receiver_sid.get(), header.counter.get());
                self.on_data(now, path, (sid, counter), bytes);
            }
            Ok(Packet::Hello1(hello)) => self.on_hello(now, path, hello),
            Ok(Packet::Discover(discover)) => self.on_discover(now, path, discover),
            // A server's own types never get past the reader.
            Ok(Packet::Retry(_) | Packet::Hello2(_) | Packet::Offer(_)) => self.counters.count(Counter::DropMalformed),
            Err(e) if e.field == "datagram" && e.kind != DecodeErrorKind::Trailing => {
                self.counters.count(Counter::DropBadSize);
            }
            Err(_) => self.counters.count(Counter::DropMalformed),
        }
        self.serve_queues(now);
        self.worker.turn();
    }

    /// Whether handshakes wait.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.waiting.since().is_some()
    }

    /// Answers some of the handshakes that wait; whether there are more. [`Engine::handle_timeout`] does the same and more:
    /// this is for who has nothing to do but them.
    pub fn handle_waiting(&mut self, now: Now) -> bool {
        self.worker.turn();
        self.look(now);
        self.answer_waiting(now);
        self.worker.turn();
        self.has_waiting()
    }

    /// Runs what is due at `now`: handshakes, plans, leases, answers that waited. Calling early, late or twice is harmless;
    /// work is bounded, and what is left over is due again at once.
    pub fn handle_timeout(&mut self, now: Now) {
        self.worker.turn();
        self.look(now);
        self.answer_waiting(now);
        if self.shared.next_change().is_some_and(|at| at <= now.mono) {
            // The wall clock was set back since: look again when it gets there.
            self.shared.note_changes(now);
        }
        self.outbox.release(now.mono);
        let shared = self.shared.clone();
        shared.leases.expire_due(&mut self.worker, now.mono, EXPIRY_BUDGET, &mut self.ended);
        self.settle();
        self.reclaim(now);
        self.serve_queues(now);
        self.worker.turn();
        self.audit();
    }

    /// Writes the next datagram into `out`, which is cleared first, and says where it goes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.outbox.take(out)?;
        self.counters.count(Counter::DatagramsSent);
        self.counters.add(Counter::BytesSent, out.len());
        Some(transmit)
    }

    /// What happened, in order: for the log, the journal and whoever counts.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Engine::handle_timeout`] is next wanted. `None`: nothing is pending. The instant may be early, when the lease
    /// it was about was renewed since.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        [self.waiting.since(), self.poll_due()].into_iter().flatten().min()
    }

    /// The same, the handshakes that wait left out: for who calls [`Engine::handle_waiting`] besides.
    #[must_use]
    pub fn poll_due(&self) -> Option<Mono> {
        let soonest = self.shared.leases.stock.slab().soonest();
        // Plans and policies are put in force by others, who have no way to tell those who wait.
        let stirred = self.shared.leases.queues.is_stirred().then_some(Mono(0));
        let others = [self.shared.next_change(), self.shared.withheld_until(), self.shared.next_reclaim()];
        [stirred, soonest, self.outbox.next()].into_iter().chain(others).flatten().min()
    }

    /// Holds the equation of one bucket against its leases' own counts, in release builds too: each timeout looks at the next
    /// one, and a sum that does not come out is told. Costs the same whatever the traffic, and stops nobody.
    fn audit(&mut self) {
        if let Some(error) = ledger::audit_next(&self.shared.leases, &mut self.worker, &mut self.audited) {
            self.counters.count(Counter::LedgerErrors);
            debug_assert!(false, "{error}");
            self.events.push_back(Event::LedgerBroken(Box::new(error)));
        }
    }

    /// What every step begins with: are the clocks together, and are the plans for now?
    fn look(&mut self, now: Now) {
        let raw = Now { wall: UnixMillis(now.wall.0.saturating_add_signed(self.raw_ahead_ms)), ..now };
        let Self { shared, events, counters, worker, .. } = self;
        shared.look_at_clocks(raw, |by_ms, sessions| {
            counters.count(Counter::ClockSteps);
            counters.add(Counter::SessionsClosed, usize::try_from(sessions).unwrap_or(usize::MAX));
            events.push_back(Event::ClocksParted { by_ms, sessions });
        });
        shared.end_withholding(now, worker);
        shared.keep_plans_current(now, worker, |realm| {
            counters.count(Counter::PlanChanges);
            events.push_back(Event::PlanChanged { realm, at: now.wall });
        });
    }

    /// Tells about the leases that ended in this step and forgets their claim keys. Holds no lock but theirs.
    fn settle(&mut self) {
        for ended in self.ended.drain(..) {
            if ended.lingered.is_some() {
                self.events.push_back(Event::LingerEnded(Box::new(ended)));
                continue;
            }
            self.shared.leases.claims.forget(ended.realm, ended.claim, ended.lease);
            self.counters.count(Counter::Expiries);
            self.events.push_back(Event::Expired(Box::new(ended)));
        }
    }
}
