//! Whether some order, one thing after the other, explains all answers of a history: the search of Wing and Gong, with
//! what was tried before remembered as Lowe does. `stateright` has a checker as well, and would bring forty crates and
//! a web server for these few lines.

use std::collections::HashSet;

pub const BUCKETS: usize = 4;

/// What was asked. No entry for a bucket that is not concerned, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// These seats of each bucket, all or none.
    Take([u32; BUCKETS]),
    /// So many, from those buckets that are `true`, wherever they are. Recorded when denied; a grant is a `Take`.
    TakeAnywhere([bool; BUCKETS], u32),
    /// All of the seats of the one or all of those of the other. Recorded when denied; a grant is a `Take`.
    TakeEither([u32; BUCKETS], [u32; BUCKETS]),
    Give(usize, u32),
    SetCapacity(usize, i64),
    Count(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Denied,
    Counted(i64),
}

/// One call, from the tick before it to the tick after it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub asked: Asked,
    pub answer: Answer,
    pub called: u64,
    pub answered: u64,
}

/// The sequential pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub free: [i64; BUCKETS],
    pub capacity: [i64; BUCKETS],
}

impl State {
    /// What becomes of it if `event` happens; `None` if the answer would have been another.
    pub fn after(mut self, event: &Event) -> Option<Self> {
        let is_free = |(free, want): (i64, u32)| want == 0 || free >= i64::from(want);
        let all_free = |wants: [u32; BUCKETS]| self.free.into_iter().zip(wants).all(is_free);
        let fits = match event.asked {
            Asked::Take(wants) => all_free(wants),
            Asked::TakeEither(one, other) => all_free(one) || all_free(other),
            Asked::TakeAnywhere(from, seats) => {
                let shares = self.free.into_iter().zip(from).map(|(free, from)| if from { free.max(0) } else { 0 });
                shares.sum::<i64>() >= i64::from(seats)
            }
            Asked::Give(..) | Asked::SetCapacity(..) | Asked::Count(_) => true,
        };
        match (event.asked, event.answer) {
            (Asked::Take(wants), Answer::Done) if fits => {
                self.free.iter_mut().zip(wants).for_each(|(free, want)| *free -= i64::from(want));
            }
            (Asked::Take(_) | Asked::TakeAnywhere(..) | Asked::TakeEither(..), Answer::Denied) if !fits => {}
            (Asked::Give(bucket, seats), Answer::Done) => self.free[bucket] += i64::from(seats),
            (Asked::SetCapacity(bucket, capacity), Answer::Done) => {
                self.free[bucket] += capacity - self.capacity[bucket];
                self.capacity[bucket] = capacity;
            }
            (Asked::Count(bucket), Answer::Counted(free)) if self.free[bucket] == free => {}
            _ => return None,
        }
        Some(self)
    }
}

impl Event {
    pub const fn is_grant(&self) -> bool {
        matches!((self.asked, self.answer), (Asked::Take(_), Answer::Done))
    }

    /// Changes nothing, whenever it happens.
    const fn only_reads(&self) -> bool {
        !matches!(self.answer, Answer::Done)
    }
}

/// The state after `lanes`, each the events of one thread in their order, if some order of all of them explains every
/// answer: each thread's own, and nothing before what was answered before it was called.
pub fn explain(start: State, lanes: &[Vec<Event>]) -> Option<State> {
    let mut search = Search { lanes, at: vec![0; lanes.len()], tried: HashSet::default() };
    search.go_on(start)
}

struct Search<'a> {
    lanes: &'a [Vec<Event>],
    /// How many events of each lane have happened.
    at: Vec<usize>,
    tried: HashSet<(Vec<usize>, State)>,
}

/// A history that takes longer is not decided, and the test that recorded it fails.
const TRIES_MAX: usize = 2_000_000;

impl Search<'_> {
    fn go_on(&mut self, state: State) -> Option<State> {
        let read = self.read_on(state);
        if self.lanes.iter().zip(&self.at).all(|(lane, at)| *at == lane.len()) {
            return Some(state);
        }
        assert!(self.tried.len() < TRIES_MAX, "too many orders to try");
        if self.tried.insert((self.at.clone(), state)) {
            for lane in self.choices() {
                let Some(next) = state.after(&self.lanes[lane][self.at[lane]]) else { continue };
                self.at[lane] += 1;
                if let Some(end) = self.go_on(next) {
                    return Some(end);
                }
                self.at[lane] -= 1;
            }
        }
        read.iter().for_each(|lane| self.at[*lane] -= 1);
        None
    }

    /// Lets every reader whose answer is right at this moment happen now: whatever order explains the rest without it
    /// explains it with it. Returns their lanes.
    fn read_on(&mut self, state: State) -> Vec<usize> {
        let mut read = vec![];
        let is_right = |event: &Event| event.only_reads() && state.after(event).is_some();
        loop {
            let found = self.ready().find(|(_, event)| is_right(event)).map(|(lane, _)| lane);
            let Some(lane) = found else { return read };
            self.at[lane] += 1;
            read.push(lane);
        }
    }

    /// Lanes whose next event may be the next of all: it was called before anything that is left was answered.
    fn ready(&self) -> impl Iterator<Item = (usize, &Event)> {
        let next =
            || self.lanes.iter().zip(&self.at).enumerate().filter_map(|(n, (lane, at))| Some((n, lane.get(*at)?)));
        let horizon = next().map(|(_, event)| event.answered).min().unwrap_or(0);
        next().filter(move |(_, event)| event.called < horizon)
    }

    /// The same, first answered first. Of several that ask and are answered the same, the first will do: if another can
    /// happen first, so can it, and they change places. (Not if no clock says which was answered first.)
    fn choices(&self) -> Vec<usize> {
        let mut ready: Vec<_> = self.ready().filter(|(_, event)| !event.only_reads()).collect();
        ready.sort_by_key(|(_, event)| event.answered);
        let is_first = |n: usize| {
            let (_, event) = ready[n];
            ready[..n].iter().all(|(_, other)| other.asked != event.asked || event.answered == u64::MAX)
        };
        (0..ready.len()).filter(|n| is_first(*n)).map(|n| ready[n].0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    const fn event(asked: Asked, answer: Answer, called: u64, answered: u64) -> Event {
        Event { asked, answer, called, answered }
    }

    const fn take(seats: u32, answer: Answer, called: u64, answered: u64) -> Event {
        event(Asked::Take([seats, 0, 0, 0]), answer, called, answered)
    }

    const fn count(bucket: usize, free: i64, called: u64, answered: u64) -> Event {
        event(Asked::Count(bucket), Answer::Counted(free), called, answered)
    }

    fn of(free: [i64; 2]) -> State {
        let free = [free[0], free[1], 0, 0];
        State { free, capacity: free }
    }

    #[test]
    fn the_last_seat_granted_twice_is_explained_by_nothing() {
        let twice = [vec![take(1, Answer::Done, 0, 3)], vec![take(1, Answer::Done, 1, 2)]];
        assert_eq!(explain(of([1, 0]), &twice), None);
        assert!(explain(of([2, 0]), &twice).is_some());
    }

    #[test]
    fn a_denial_needs_an_instant_without_a_seat() {
        let give = event(Asked::Give(0, 1), Answer::Done, 4, 6);
        let early = [vec![give], vec![take(1, Answer::Denied, 5, 8)]];
        let late = [vec![give], vec![take(1, Answer::Denied, 7, 8)]];
        assert!(explain(of([0, 0]), &early).is_some());
        assert_eq!(explain(of([0, 0]), &late), None);
    }

    #[test]
    fn half_a_bundle_is_never_seen() {
        let both = event(Asked::Take([1, 1, 0, 0]), Answer::Done, 0, 9);
        assert_eq!(explain(of([1, 1]), &[vec![both], vec![count(0, 0, 1, 2), count(1, 1, 3, 4)]]), None);
        assert!(explain(of([1, 1]), &[vec![both], vec![count(0, 1, 1, 2), count(1, 0, 3, 4)]]).is_some());
    }

    #[test]
    fn a_denial_of_both_alternatives_needs_one_instant_without_either() {
        let either = Asked::TakeEither([1, 0, 0, 0], [0, 1, 0, 0]);
        let denied = event(either, Answer::Denied, 0, 9);
        // The one comes back before the other is gone.
        let moved =
            vec![event(Asked::Give(0, 1), Answer::Done, 1, 2), event(Asked::Take([0, 1, 0, 0]), Answer::Done, 3, 4)];
        assert_eq!(explain(of([0, 1]), &[vec![denied], moved.clone()]), None);
        assert!(explain(of([0, 0]), &[vec![denied], moved[..1].to_vec()]).is_some());
    }

    #[test]
    fn nobody_is_denied_by_a_half_that_is_given_back() {
        let both = event(Asked::Take([1, 1, 0, 0]), Answer::Denied, 0, 9);
        assert_eq!(explain(of([1, 0]), &[vec![both], vec![take(1, Answer::Denied, 1, 2)]]), None);
        let anywhere = event(Asked::TakeAnywhere([true, true, false, false], 1), Answer::Denied, 1, 2);
        assert_eq!(explain(of([1, 0]), &[vec![both], vec![anywhere]]), None);
    }

    #[test]
    fn what_was_counted_must_have_been_so_while_it_was_counted() {
        let taken = vec![take(1, Answer::Done, 0, 2)];
        assert_eq!(explain(of([1, 0]), &[taken.clone(), vec![count(0, 1, 3, 4)]]), None);
        assert!(explain(of([1, 0]), &[taken.clone(), vec![count(0, 1, 1, 4)]]).is_some());
        assert_eq!(explain(of([1, 0]), &[taken, vec![count(0, 0, 1, 3), count(0, 1, 4, 5)]]), None);
    }

    #[test]
    fn fewer_seats_than_are_out_are_so_many_below_zero() {
        let shrink = event(Asked::SetCapacity(0, 1), Answer::Done, 0, 5);
        let mut start = of([0, 0]);
        start.capacity[0] = 3;
        assert!(explain(start, &[vec![shrink], vec![count(0, -2, 1, 2)]]).is_some());
        assert_eq!(explain(start, &[vec![shrink], vec![count(0, -2, 1, 2), count(0, 0, 3, 4)]]), None);
    }

    /// Tries every order there is.
    fn is_explained_by_some_order(state: State, lanes: &[Vec<Event>]) -> bool {
        let heads = || lanes.iter().enumerate().filter_map(|(n, lane)| Some((n, lane.first()?)));
        let all_follow = |event: &Event| lanes.iter().flatten().all(|other| other.answered >= event.called);
        let is_possible = |(n, event): (usize, &Event)| {
            let mut rest = lanes.to_vec();
            rest[n].remove(0);
            all_follow(event) && state.after(event).is_some_and(|next| is_explained_by_some_order(next, &rest))
        };
        heads().next().is_none() || heads().any(is_possible)
    }

    fn rolled_event(dice: &mut Dice, ticks: &mut u64) -> Event {
        let (seats, bucket) = (dice.seats(2), dice.below(2));
        let (asked, answer) = match dice.below(8) {
            0 => (Asked::Take([seats, 0, 0, 0]), Answer::Done),
            1 => (Asked::Take([seats, 1, 0, 0]), Answer::Done),
            2 => (Asked::Take([seats, 0, 0, 0]), Answer::Denied),
            3 => (Asked::Take([1, seats, 0, 0]), Answer::Denied),
            4 => (Asked::TakeAnywhere([true, true, false, false], seats), Answer::Denied),
            5 => (Asked::SetCapacity(0, i64::from(seats)), Answer::Done),
            6 => (Asked::Count(bucket), Answer::Counted(i64::from(seats) - 1)),
            _ => (Asked::Give(bucket, seats), Answer::Done),
        };
        let called = *ticks + dice.roll() % 3;
        *ticks = called + 1 + dice.roll() % 6;
        event(asked, answer, called, *ticks)
    }

    #[test]
    fn the_search_finds_an_order_exactly_if_there_is_one() {
        let (mut dice, mut found) = (Dice(3), [0, 0]);
        for _ in 0..4000 {
            let lane = |dice: &mut Dice| {
                let (len, mut ticks) = (1 + dice.below(2), 0);
                (0..len).map(|_| rolled_event(dice, &mut ticks)).collect::<Vec<_>>()
            };
            let lanes: Vec<_> = (0..3).map(|_| lane(&mut dice)).collect();
            // Calls come before answers of the same tick.
            let stretch =
                |event: &Event| Event { called: 2 * event.called, answered: 2 * event.answered + 1, ..*event };
            let lanes: Vec<Vec<_>> = lanes.iter().map(|lane| lane.iter().map(stretch).collect()).collect();
            let start = of([i64::from(dice.seats(3)) - 1, i64::from(dice.seats(3)) - 1]);
            let is_explained = is_explained_by_some_order(start, &lanes);
            assert_eq!(explain(start, &lanes).is_some(), is_explained, "{start:?} {lanes:#?}");
            found[usize::from(is_explained)] += 1;
        }
        assert!(found[0] > 400 && found[1] > 400, "both kinds were tried: {found:?}");
    }
}
