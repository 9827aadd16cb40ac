//! Crossing bundles on real threads, each with an engine of its own: some order explains what they were answered, no bundle is had by half, nobody hangs.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
        mpsc::channel,
    },
    thread,
    time::Instant,
};

use leasehold_core::{Engine, policy::Policy};
use leasehold_protocol::{
    message::{ClientFrame, Release, ServerFrame},
    time::Now,
    vocab::{ClaimKey, LeaseId},
};

use super::limited;
use crate::{
    dice::{Dice, told},
    linear::{Answer, Asked, BUCKETS, Event, State, explain},
    races::ask,
    rig::{Client, Lot, Site},
    watch::watch,
};

const NAMES: [&str; 3] = ["A", "B", "C"];

/// One bundle that is held: its leases by feature.
type Bundle = Vec<(usize, LeaseId, ClaimKey)>;

struct Player<'a> {
    engine: Engine,
    client: Client,
    dice: Dice,
    now: Now,
    clock: &'a AtomicU64,
    held: Vec<Bundle>,
}

const fn pair(from: usize) -> [usize; 2] {
    [from % 3, (from + 1) % 3]
}

fn wants(pair: [usize; 2]) -> [u32; BUCKETS] {
    std::array::from_fn(|n| u32::from(pair.contains(&n)))
}

impl Player<'_> {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn play(&mut self) -> Vec<Event> {
        if self.dice.once_in(4) {
            thread::yield_now();
        }
        if !self.held.is_empty() && self.dice.once_in(2) {
            let which = self.dice.below(self.held.len());
            let bundle = self.held.swap_remove(which);
            return self.give(bundle);
        }
        let first = pair(self.dice.below(3));
        let second = self.dice.once_in(2).then(|| pair(self.dice.below(3)));
        vec![self.take(first, second)]
    }

    /// Asks for `first`, or else for `second`.
    fn take(&mut self, first: [usize; 2], second: Option<[usize; 2]>) -> Event {
        let named = |pair: [usize; 2]| pair.map(|n| (NAMES[n], 1, 1));
        let (one, other) = (named(first), second.map(named));
        let mut alternatives = vec![&one[..]];
        alternatives.extend(other.as_ref().map(|other| &other[..]));
        let claim = self.client.claim();
        let bundle = self.client.bundle_frame(claim, &alternatives);
        let called = self.tick();
        let answers = ask(&mut self.engine, self.now, &mut self.client, &[ClientFrame::Bundle(Box::new(bundle))]);
        let answered = self.tick();
        let grants: Vec<_> = answers
            .iter()
            .filter_map(|said| if let ServerFrame::Grant(grant) = said { Some(grant) } else { None })
            .collect();
        let (asked, answer) = match (&grants[..], &answers[..]) {
            ([a, b], [_, _]) => {
                let index = a.claim.0[15].wrapping_sub(claim.0[15]);
                let had = if index == 0 { first } else { second.expect("the second was asked for") };
                self.held.push(vec![(had[0], a.lease, a.claim), (had[1], b.lease, b.claim)]);
                (Asked::Take(wants(had)), Answer::Done)
            }
            ([], [ServerFrame::Deny(_)]) => (
                second.map_or(Asked::Take(wants(first)), |other| Asked::TakeEither(wants(first), wants(other))),
                Answer::Denied,
            ),
            _ => panic!("half a bundle: {answers:?}"),
        };
        Event { asked, answer, called, answered }
    }

    fn give(&mut self, bundle: Bundle) -> Vec<Event> {
        let mut events = vec![];
        for (feature, lease, claim) in bundle {
            let release = Release { lease, claim, operation: self.client.operation() };
            let called = self.tick();
            ask(&mut self.engine, self.now, &mut self.client, &[ClientFrame::Release(release)]);
            events.push(Event { asked: Asked::Give(feature, 1), answer: Answer::Done, called, answered: self.tick() });
        }
        events
    }

    fn done(&mut self) {
        while self.engine.poll_event().is_some() {}
    }
}

/// Plays for `LEASEHOLD_HISTORY_SECONDS`, or for a second; how many bundles were granted and how many denied.
#[expect(clippy::disallowed_methods, reason = "it is played against real time")]
#[expect(clippy::disallowed_macros, reason = "how much was checked is what one wants to know of it")]
fn play(name: &str, threads: u8, calls: usize, seats: u32, policy: Policy) {
    let seconds: f64 = told("LEASEHOLD_HISTORY_SECONDS", 1.0);
    let mut site = Site::new();
    site.load(&NAMES.map(|name| Lot::of(name, seats)));
    site.shared.set_policy(policy);
    let clients: Vec<Client> = (1..=threads).map(|n| Client::connected(n, &mut site)).collect();
    let (clock, barrier, progress) = (AtomicU64::new(0), Barrier::new(usize::from(threads) + 1), AtomicU64::new(0));
    let free = std::array::from_fn(|n| if n < NAMES.len() { i64::from(seats) } else { 0 });
    let mut state = State { free, capacity: free };
    let ((over, is_over), (tell, heard), start) = (channel::<()>(), channel(), Instant::now());
    let stop = AtomicU64::new(0);
    let (mut rounds, mut granted, mut denied) = (0, 0, 0);
    thread::scope(|scope| {
        let (clock, barrier, stop, progress) = (&clock, &barrier, &stop, &progress);
        scope.spawn(move || watch(&is_over, progress));
        for (n, client) in clients.into_iter().enumerate() {
            let (engine, now, tell) = (site.worker(500 + n as u64), site.now, tell.clone());
            scope.spawn(move || {
                let mut player = Player { engine, client, dice: Dice(n as u64), now, clock, held: vec![] };
                loop {
                    barrier.wait();
                    if stop.load(Ordering::SeqCst) != 0 {
                        break;
                    }
                    let events: Vec<Event> = (0..calls).flat_map(|_| player.play()).collect();
                    player.done();
                    tell.send(events).unwrap();
                }
                player.held.drain(..).collect::<Vec<_>>().into_iter().for_each(|bundle| drop(player.give(bundle)));
            });
        }
        while start.elapsed().as_secs_f64() < seconds {
            barrier.wait();
            let lanes: Vec<Vec<Event>> = (0..threads).map(|_| heard.recv().unwrap()).collect();
            let Some(end) = explain(state, &lanes) else {
                panic!("no order explains what {state:?} became by {lanes:#?}");
            };
            state = end;
            rounds += 1;
            granted += lanes.iter().flatten().filter(|event| event.is_grant()).count();
            denied += lanes.iter().flatten().filter(|event| event.answer == Answer::Denied).count();
            progress.fetch_add(1, Ordering::Relaxed);
            for (n, name) in NAMES.iter().enumerate() {
                let feature = site.feature(name);
                assert_eq!((feature.free, i64::from(feature.used) + feature.free), (state.free[n], i64::from(seats)));
            }
            site.shared.check_ledger().unwrap();
        }
        stop.store(1, Ordering::SeqCst);
        barrier.wait();
        drop(over);
    });
    println!(
        "{name}: {rounds} rounds of {threads} threads, {granted} bundles granted, {denied} denied, in {:?}",
        start.elapsed()
    );
    assert!(granted > 20 && denied > 20, "both were frequent: {granted} {denied}");
    assert_eq!((site.shared.live_leases(), site.feature("A").used, site.feature("C").used), (0, 0, 0));
    site.shared.check_ledger().unwrap();
}

#[test]
fn sixty_four_engines_asked_for_crossing_bundles_with_alternatives_are_explained_by_some_order() {
    play("crossing bundles", 64, 1, 30, Policy::default());
}

#[test]
fn four_engines_asked_for_crossing_bundles_with_alternatives_are_explained_by_some_order() {
    play("crossing bundles of four", 4, 6, 3, Policy::default());
}

#[test]
fn where_rules_count_seats_the_same_holds() {
    play("crossing bundles under a limit", 8, 3, 5, limited(1000));
}
