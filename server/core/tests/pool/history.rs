//! Recorded histories of real threads. They meet between short rounds, so that each round is a history of its own that
//! begins in a known state.

use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use leasehold_core::pool::{BucketId, Rank, Short, Stock, Use, Worker};

use crate::{
    dice::{Dice, told},
    linear::{Answer, Asked, BUCKETS, Event, State, explain},
    watch::watch,
};

/// How a game is played.
#[derive(Clone, Copy)]
struct Game {
    threads: usize,
    /// Calls of each thread between two meetings.
    calls: usize,
    /// Buckets in play.
    buckets: usize,
    /// The most seats a planner gives a bucket, and those it begins with.
    capacity_max: u32,
    /// Bundles of two neighbours alone, as those who cross.
    crossing: bool,
    pace: Pace,
    /// A clock says what came before what between threads. It also keeps them apart a little, so some games go without.
    has_clock: bool,
}

/// What a thread does between two calls.
#[derive(Clone, Copy)]
enum Pace {
    /// Nothing, or a few idle turns.
    Spin,
    /// Lets another thread run, now and then.
    Yield,
}

/// What came of a game.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    rounds: usize,
    calls: usize,
    grants: usize,
    denials: usize,
    /// Rounds in which two calls overlapped.
    overlapping: usize,
}

impl Figures {
    /// Grants and denials both were frequent.
    const fn is_contended(&self) -> bool {
        self.denials > self.calls / 20 && self.grants > self.calls / 20
    }
}

/// All threads leave when the last has come.
struct Gate {
    threads: usize,
    came: AtomicUsize,
    /// Those who left.
    ran: AtomicUsize,
}

/// How long who leaves waits for the others to run as well: some 100 µs.
const TURNS_MAX: usize = 4000;

impl Gate {
    const fn new(threads: usize) -> Self {
        Self { threads, came: AtomicUsize::new(0), ran: AtomicUsize::new(0) }
    }

    fn pass(&self) {
        let mine = self.came.fetch_add(1, Ordering::SeqCst) / self.threads;
        let all_of = |count: &AtomicUsize| count.load(Ordering::SeqCst) >= (mine + 1) * self.threads;
        for turn in 0_u32.. {
            if all_of(&self.came) {
                break;
            }
            if turn % 64 < 60 { spin_loop() } else { thread::yield_now() }
        }
        // The last to come would else be through before the others have their processors back. More than two do not all
        // run at once on a small machine: they overlap because they lose it in the middle.
        self.ran.fetch_add(1, Ordering::SeqCst);
        let turns = if self.threads > 2 { 0 } else { TURNS_MAX };
        (0..turns).take_while(|_| !all_of(&self.ran)).for_each(|_| spin_loop());
    }
}

/// A thread in a game.
struct Player<'a> {
    game: Game,
    is_planner: bool,
    worker: Worker,
    buckets: &'a [BucketId],
    clock: &'a AtomicU64,
    dice: Dice,
    held: Vec<Use>,
    uses: Vec<Use>,
}

impl Player<'_> {
    fn call(&mut self) -> Event {
        self.wait_a_little();
        let asked = self.choose();
        let tick = || if self.game.has_clock { self.clock.fetch_add(1, Ordering::SeqCst) } else { 0 };
        let called = tick();
        let (asked, answer) = self.ask(asked);
        let answered = if self.game.has_clock { self.clock.fetch_add(1, Ordering::SeqCst) } else { u64::MAX };
        Event { asked, answer, called, answered }
    }

    fn wait_a_little(&mut self) {
        match (self.game.pace, self.dice.below(4)) {
            (Pace::Spin, 0) => (0..self.dice.below(100)).for_each(|_| spin_loop()),
            (Pace::Yield, 0 | 1) => thread::yield_now(),
            _ => {}
        }
    }

    fn choose(&mut self) -> Asked {
        let (bucket, seats) = (self.dice.below(self.game.buckets), self.dice.seats(2));
        match self.dice.below(16) {
            0 | 15 => Asked::Count(bucket),
            1 if self.is_planner => {
                Asked::SetCapacity(bucket, (self.dice.seats(self.game.capacity_max + 1) - 1).into())
            }
            2..=8 if !self.held.is_empty() => {
                let used = self.held.swap_remove(self.dice.below(self.held.len()));
                Asked::Give(used.bucket.index() as usize, used.seats)
            }
            9 | 10 if !self.game.crossing => self.wants(&[bucket], seats),
            11 if !self.game.crossing => Asked::TakeAnywhere(std::array::from_fn(|n| n < self.game.buckets), seats + 1),
            _ => self.wants(&[bucket, (bucket + 1) % self.game.buckets], 1),
        }
    }

    fn wants(&self, buckets: &[usize], seats: u32) -> Asked {
        Asked::Take(std::array::from_fn(|n| if buckets.contains(&n) { seats } else { 0 }))
    }

    fn ask(&mut self, asked: Asked) -> (Asked, Answer) {
        let answer = match asked {
            Asked::Take(wants) => return self.take(wants),
            Asked::TakeAnywhere(_, seats) => return self.take_anywhere(asked, seats),
            Asked::TakeEither(..) => unreachable!("bundles with alternatives are asked for of engines"),
            Asked::Count(bucket) => Answer::Counted(self.worker.count(self.buckets[bucket])),
            Asked::Give(bucket, seats) => {
                self.worker.give(self.buckets[bucket], seats);
                Answer::Done
            }
            Asked::SetCapacity(bucket, capacity) => {
                self.worker.set_capacity(self.buckets[bucket], capacity);
                Answer::Done
            }
        };
        (asked, answer)
    }

    fn take(&mut self, wants: [u32; BUCKETS]) -> (Asked, Answer) {
        self.uses.clear();
        let wanted = self.buckets.iter().zip(wants).filter(|(_, seats)| *seats > 0);
        self.uses.extend(wanted.map(|(bucket, seats)| Use { bucket: *bucket, seats }));
        let taken = match self.uses[..] {
            [Use { bucket, seats }] => self.worker.take(bucket, seats, Rank::Newcomer),
            _ => self.worker.take_all(&self.uses, Rank::Newcomer),
        };
        (Asked::Take(wants), self.keep(taken))
    }

    /// What was granted is what a bundle of the same seats would have been granted.
    fn take_anywhere(&mut self, asked: Asked, seats: u32) -> (Asked, Answer) {
        let taken = self.worker.take_in_order(self.buckets, seats, Rank::Newcomer, &mut self.uses);
        if let Answer::Denied = self.keep(taken) {
            return (asked, Answer::Denied);
        }
        let of = |n| self.uses.iter().filter(|used| used.bucket == self.buckets[n]).map(|used| used.seats).sum();
        let granted: [u32; BUCKETS] = std::array::from_fn(|n| if n < self.buckets.len() { of(n) } else { 0 });
        assert_eq!(granted.iter().sum::<u32>(), seats, "all of them");
        (Asked::Take(granted), Answer::Done)
    }

    fn keep(&mut self, taken: Result<(), Short>) -> Answer {
        match taken {
            Ok(()) => {
                self.held.extend_from_slice(&self.uses);
                Answer::Done
            }
            Err(short) => {
                assert_eq!(short, Short::NoSeat, "nobody waits");
                Answer::Denied
            }
        }
    }
}

/// A stock, and what is known about it between two games.
struct Table {
    game: Game,
    stock: Arc<Stock>,
    _idle: Vec<Worker>,
    buckets: Vec<BucketId>,
    state: State,
    held: Vec<Vec<Use>>,
    played: u64,
    figures: Figures,
}

impl Table {
    fn new(game: Game) -> Self {
        let stock = Stock::new(1);
        let buckets: Vec<_> = (0..game.buckets).map(|_| stock.add_bucket().unwrap()).collect();
        let mut planner = stock.join().unwrap();
        let mut state = State::default();
        for (n, bucket) in buckets.iter().enumerate() {
            planner.set_capacity(*bucket, game.capacity_max.into());
            (state.free[n], state.capacity[n]) = (game.capacity_max.into(), game.capacity_max.into());
        }
        let (held, _idle) = (vec![vec![]; game.threads], sit_between(&stock));
        Self { game, stock, _idle, buckets, state, held, played: 0, figures: Figures::default() }
    }

    /// Plays `rounds` rounds with workers who come for them and leave, and explains each.
    fn play(&mut self, rounds: usize, progress: &AtomicU64) {
        self.played += 1;
        let (gate, clock) = (Gate::new(self.game.threads), AtomicU64::new(0));
        let play = |n: usize, held: Vec<Use>| {
            let (worker, dice) = (self.stock.join().unwrap(), Dice(self.played << 8 | n as u64));
            let (game, buckets, uses) = (self.game, &self.buckets[..], vec![]);
            let mut player = Player { game, is_planner: n == 0, worker, buckets, clock: &clock, dice, held, uses };
            let round = |_| {
                gate.pass();
                progress.fetch_add(1, Ordering::Relaxed);
                (0..game.calls).map(|_| player.call()).collect::<Vec<_>>()
            };
            let events: Vec<_> = (0..rounds).map(round).collect();
            (player.held, events)
        };
        let held = std::mem::take(&mut self.held);
        let played: Vec<_> = thread::scope(|scope| {
            let players: Vec<_> =
                held.into_iter().zip(0..).map(|(held, n)| scope.spawn(move || play(n, held))).collect();
            players.into_iter().map(|player| player.join().unwrap()).collect()
        });
        let (held, lanes): (Vec<_>, Vec<_>) = played.into_iter().unzip();
        self.held = held;
        let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
        for _ in 0..rounds {
            self.check(&lanes.iter_mut().flat_map(Iterator::next).collect::<Vec<_>>());
            progress.fetch_add(1, Ordering::Relaxed);
        }
        self.check_ledger();
    }

    fn check(&mut self, round: &[Vec<Event>]) {
        let Some(end) = explain(self.state, round) else {
            panic!("no order explains what {:?} became by {round:#?}", self.state);
        };
        self.state = end;
        let events = || round.iter().flatten();
        let overlaps =
            |event: &Event| events().any(|other| event.called < other.called && other.called < event.answered);
        self.figures.rounds += 1;
        self.figures.calls += events().count();
        self.figures.grants += events().filter(|event| event.is_grant()).count();
        self.figures.denials += events().filter(|event| event.answer == Answer::Denied).count();
        self.figures.overlapping += usize::from(events().any(overlaps));
    }

    fn check_ledger(&self) {
        let mut worker = self.stock.join().unwrap();
        for (n, bucket) in self.buckets.iter().enumerate() {
            let held: u32 =
                self.held.iter().flatten().filter(|used| used.bucket == *bucket).map(|used| used.seats).sum();
            let sums = worker.audit(*bucket).expect("nobody is in the middle of anything");
            assert_eq!((sums.free, sums.out, sums.capacity), (self.state.free[n], held.into(), self.state.capacity[n]));
            assert!(sums.is_balanced() && worker.count(*bucket) == sums.free, "{sums:?}");
        }
    }

    /// Gives everything back, and finds it there.
    fn clear(mut self) -> Figures {
        let mut worker = self.stock.join().unwrap();
        for used in self.held.drain(..).flatten() {
            worker.give(used.bucket, used.seats);
        }
        self.state.free = self.state.capacity;
        self.check_ledger();
        self.figures
    }
}

/// Idle workers between the places of those who will play: a look at all cells of a bucket then takes longer, and
/// more happens meanwhile.
pub fn sit_between(stock: &Arc<Stock>) -> Vec<Worker> {
    let workers: Vec<_> = (0..32).map(|_| stock.join().unwrap()).collect();
    workers.into_iter().zip(0_u32..).filter(|(_, n)| !n.is_multiple_of(4)).map(|(worker, _)| worker).collect()
}

/// Plays and checks for `LEASEHOLD_HISTORY_SECONDS`, or for a second.
#[expect(clippy::disallowed_methods, reason = "it is played against real time")]
#[expect(clippy::disallowed_macros, reason = "how much was checked is what one wants to know of it")]
fn play(name: &str, game: Game) -> Figures {
    let seconds = Duration::from_secs_f64(told("LEASEHOLD_HISTORY_SECONDS", 1.0));
    let (progress, (over, is_over), start) = (AtomicU64::new(0), channel(), Instant::now());
    let figures = thread::scope(|scope| {
        let progress = &progress;
        scope.spawn(move || watch(&is_over, progress));
        let mut table = Table::new(game);
        while start.elapsed() < seconds {
            table.play(50, progress);
        }
        drop(over);
        table.clear()
    });
    println!("{name}: {figures:?} in {:?}", start.elapsed());
    figures
}

const GAME: Game =
    Game { threads: 2, calls: 40, buckets: 3, capacity_max: 5, crossing: false, pace: Pace::Spin, has_clock: true };

#[test]
fn some_order_explains_what_two_threads_were_answered() {
    let figures = play("two threads", GAME);
    assert!(figures.is_contended(), "{figures:?}");
}

#[test]
fn some_order_explains_what_two_threads_were_answered_whom_no_clock_holds_up() {
    play("two threads without a clock", Game { has_clock: false, ..GAME });
}

#[test]
fn some_order_explains_what_four_threads_were_answered() {
    let figures = play("four threads", Game { threads: 4, calls: 16, capacity_max: 8, ..GAME });
    assert!(figures.is_contended(), "{figures:?}");
}

#[test]
fn some_order_explains_what_eight_threads_were_answered_that_let_each_other_run() {
    let game = Game { threads: 8, calls: 8, capacity_max: 14, pace: Pace::Yield, ..GAME };
    let figures = play("eight threads", game);
    assert!(figures.is_contended(), "{figures:?}");
}

#[test]
fn sixty_four_threads_that_ask_for_crossing_bundles_never_hang_and_some_order_explains_their_answers() {
    let game = Game { threads: 64, calls: 2, capacity_max: 60, crossing: true, pace: Pace::Yield, ..GAME };
    let figures = play("crossing bundles", game);
    assert!(figures.is_contended(), "{figures:?}");
}
