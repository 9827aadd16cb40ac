//! Load: questions over many sockets, a few in flight on each, as fast as they are answered or at a pace.
//!
//! One thread that never sleeps while it measures, and that hands the kernel what it can in one call: whoever answers is
//! to be what the figures speak of. All who answer get the very same load; only what stands in the datagrams differs, and
//! that is a [`Dialect`]'s.

mod batch;
mod echo;
mod lanes;
mod outcome;
mod socket;

pub use batch::{BATCH, Inbox};
pub use echo::{Echo, serve_echo};
pub use lanes::{SEQUENCES, lane_of};
pub use outcome::{Outcome, Probe, Tally};
pub use socket::Socket;

use std::{
    io,
    time::{Duration, Instant},
};

use batch::Outbox;
use lanes::Lanes;

/// What is asked, and how an answer is known.
pub trait Dialect {
    /// Writes the next question of `socket` into `out`, which is empty. Its answer must bring `tag` back; the lane in it
    /// ([`lane_of`]) has no other question out.
    fn ask(&mut self, socket: usize, tag: u16, out: &mut Vec<u8>);

    /// Reads what came on `socket`: the tag of the question it answers, if it answers one as it should.
    fn take(&mut self, socket: usize, answer: &mut [u8]) -> Option<u16>;
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Every answer is followed by the next question at once.
    Full,
    /// One question in flight in all, and the thread sleeps until its answer comes: the round trip of an idle server.
    Alone,
    /// So many questions a second, whether they are answered or not. What waits for a free lane counts from when it was
    /// due.
    Rate(f64),
    /// The same from a thread that sleeps in between, for when others want its processor.
    Sleepy(f64),
    /// So many a second, each lane's next whether its last was answered or not: more than a server can take. Times count
    /// from when a question was sent.
    Overrun(f64),
}

impl Pace {
    /// Questions a socket asks in one call.
    const fn at_once(self) -> usize {
        match self {
            Self::Full => usize::MAX,
            // One for each socket in turn, as from so many machines.
            Self::Alone | Self::Rate(_) | Self::Sleepy(_) => 1,
            // A load that is to be too much has to save.
            Self::Overrun(_) => 8,
        }
    }
}

/// Whatever makes load of a dialect.
pub trait Load {
    /// Asks at `pace` for `length`, once it has run in for a moment. `probe` reads the server's processor time.
    ///
    /// # Errors
    /// If the server is gone.
    fn run(&mut self, pace: Pace, length: Duration, probe: &Probe<'_>) -> io::Result<Outcome>;
}

/// A load of one dialect over connected sockets.
pub struct Blaster<D> {
    /// What is asked.
    pub dialect: D,
    sockets: Vec<Socket>,
    lanes: Lanes,
    inbox: Inbox,
    outbox: Outbox,
    next_due: Instant,
    interval: Duration,
    /// Which socket asks next.
    turn: usize,
}

/// An unanswered question is given up after this: a datagram was lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// How far a load that cannot ask fast enough falls behind at most.
const BEHIND: Duration = Duration::from_millis(20);
/// Load before the measuring begins.
const RUN_IN: Duration = Duration::from_millis(200);

impl<D: Dialect> Blaster<D> {
    /// Asks over `sockets`, with up to `window` questions in flight on each, 1 to 256.
    #[must_use]
    pub fn new(dialect: D, sockets: Vec<Socket>, window: usize) -> Self {
        let lanes = Lanes::new(sockets.len(), window);
        let (inbox, outbox) = (Inbox::new(window.min(BATCH)), Outbox::new(window));
        Self { dialect, sockets, lanes, inbox, outbox, next_due: Instant::now(), interval: Duration::ZERO, turn: 0 }
    }

    /// Asks at `pace` for `length`, from this moment on: what was asked before is forgotten, and nothing is waited for
    /// afterwards.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn run_at_once(&mut self, pace: Pace, length: Duration) -> io::Result<Outcome> {
        self.lanes.give_up(Duration::ZERO, &mut Tally::new());
        self.set(pace);
        let (mut tally, start) = (Tally::new(), Instant::now());
        self.run_for(pace, length, &mut tally)?;
        Ok(tally.finish(start.elapsed(), Duration::ZERO))
    }

    fn set(&mut self, pace: Pace) {
        if let Pace::Rate(rate) | Pace::Sleepy(rate) | Pace::Overrun(rate) = pace {
            self.interval = Duration::from_secs_f64(1.0 / rate.max(1.0));
        }
        self.next_due = Instant::now();
    }

    fn drive(&mut self, pace: Pace, end: Instant, tally: &mut Tally) -> io::Result<()> {
        while Instant::now() < end {
            let mut came = 0;
            // Whoever asked last is last: what is due goes to each socket in turn, however often this thread wakes.
            let first = self.turn;
            for socket in (first..self.sockets.len()).chain(0..first) {
                came += self.receive(socket, tally)?;
                if self.fill(socket, pace, tally)? {
                    self.turn = (socket + 1) % self.sockets.len();
                }
            }
            self.lanes.give_up(PATIENCE, tally);
            if matches!(pace, Pace::Sleepy(_)) && came == 0 {
                socket::sleep(&self.waiting(), self.next_due.saturating_duration_since(Instant::now()))?;
            }
        }
        Ok(())
    }

    /// One question at a time.
    fn ping(&mut self, end: Instant, tally: &mut Tally) -> io::Result<()> {
        while Instant::now() < end {
            let question = self.lanes.begin(0, Instant::now());
            self.outbox.clear();
            self.dialect.ask(0, question.unwrap_or_default(), self.outbox.next());
            self.sockets[0].send(&mut self.outbox)?;
            while self.lanes.in_flight(0) > 0 {
                socket::sleep(&[&self.sockets[0]], PATIENCE)?;
                self.receive(0, tally)?;
                self.lanes.give_up(PATIENCE, tally);
            }
        }
        Ok(())
    }

    /// Takes what came on `socket`; how much that was.
    fn receive(&mut self, socket: usize, tally: &mut Tally) -> io::Result<usize> {
        if self.lanes.in_flight(socket) == 0 {
            return Ok(0);
        }
        let came = self.sockets[socket].receive(&mut self.inbox)?;
        if came > 0 {
            let now = Instant::now();
            for answer in self.inbox.filled() {
                if let Some(tag) = self.dialect.take(socket, answer) {
                    tally.answered(self.lanes.end(socket, tag).map(|asked| now.saturating_duration_since(asked)));
                }
            }
        }
        Ok(came)
    }

    /// Asks on `socket` what `pace` allows now; whether that was anything.
    fn fill(&mut self, socket: usize, pace: Pace, tally: &mut Tally) -> io::Result<bool> {
        self.outbox.clear();
        while let Some(asked) = self.due(pace) {
            if matches!(pace, Pace::Overrun(_)) {
                tally.lost(self.lanes.free_one(socket));
            }
            let Some(tag) = self.lanes.begin(socket, asked) else { break };
            self.dialect.ask(socket, tag, self.outbox.next());
            tally.asked();
            self.next_due += self.interval;
            if self.outbox.is_full() || self.outbox.filled().len() >= pace.at_once() {
                break;
            }
        }
        let asked = !self.outbox.filled().is_empty();
        self.sockets[socket].send(&mut self.outbox)?;
        Ok(asked)
    }

    /// When the question that may be asked now was due.
    fn due(&mut self, pace: Pace) -> Option<Instant> {
        let now = Instant::now();
        match pace {
            Pace::Full => Some(now),
            // Who cannot ask as much as was ordered has little to catch up on: how much was asked is told.
            Pace::Overrun(_) => {
                self.next_due = self.next_due.max(now - BEHIND);
                (self.next_due <= now).then_some(now)
            }
            Pace::Alone | Pace::Rate(_) | Pace::Sleepy(_) => Some(self.next_due).filter(|due| *due <= now),
        }
    }

    fn waiting(&self) -> Vec<&Socket> {
        self.sockets
            .iter()
            .enumerate()
            .filter(|(n, _)| self.lanes.in_flight(*n) > 0)
            .map(|(_, socket)| socket)
            .collect()
    }

    fn run_for(&mut self, pace: Pace, length: Duration, tally: &mut Tally) -> io::Result<()> {
        let end = Instant::now() + length;
        if pace == Pace::Alone { self.ping(end, tally) } else { self.drive(pace, end, tally) }
    }

    /// Waits for the answers that are still out, so that whoever is next finds an idle server.
    fn drain(&mut self) -> io::Result<()> {
        let (end, mut ignored) = (Instant::now() + PATIENCE, Tally::new());
        while Instant::now() < end && (0..self.sockets.len()).any(|socket| self.lanes.in_flight(socket) > 0) {
            for socket in 0..self.sockets.len() {
                self.receive(socket, &mut ignored)?;
            }
        }
        self.lanes.give_up(Duration::ZERO, &mut ignored);
        Ok(())
    }
}

impl<D: Dialect> Load for Blaster<D> {
    fn run(&mut self, pace: Pace, length: Duration, probe: &Probe<'_>) -> io::Result<Outcome> {
        self.set(pace);
        self.run_for(pace, RUN_IN.min(length), &mut Tally::new())?;
        let (mut tally, cpu, start) = (Tally::new(), probe(), Instant::now());
        self.run_for(pace, length, &mut tally)?;
        let outcome = tally.finish(start.elapsed(), probe().saturating_sub(cpu));
        self.drain()?;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
