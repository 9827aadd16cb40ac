//! What is promised of the effective wall time (S5), over schedules that nobody would think of.

use proptest::prelude::*;

use super::*;

const DAY_MS: i64 = 24 * HOUR_MS;
const YEARS_MS: i64 = 10 * 365 * DAY_MS;
const TOLERANCE_MS: u64 = 26 * 3_600_000;
/// 2026-11-22.
const TODAY: u64 = 1_795_305_600_000;

/// A machine: true time goes by, and its calendar is wrong by so much.
struct Machine {
    boot_ms: u64,
    /// True time since the test began.
    at: u64,
    wrong_ms: i64,
    keeper: WallKeeper,
}

impl Machine {
    fn new() -> Self {
        let keeper = WallKeeper::start(reading(5_000, 0, 0), None, TOLERANCE_MS);
        Self { boot_ms: 5_000, at: 0, wrong_ms: 0, keeper }
    }

    fn raw(&self) -> Now {
        reading(self.boot_ms, self.at, self.wrong_ms)
    }

    fn pass(&mut self, ms: i64) -> i64 {
        self.at += ms.unsigned_abs();
        self.read()
    }

    fn set(&mut self, wrong_ms: i64) -> i64 {
        self.wrong_ms = wrong_ms;
        self.read()
    }

    /// How wrong effective is.
    fn read(&mut self) -> i64 {
        let raw = self.raw();
        signed(self.keeper.read(raw).wall.0) - signed(TODAY + self.at)
    }

    /// Another life on the same boot of the machine, or on the next.
    fn restart(&mut self, mark: Option<Mark>) -> i64 {
        self.keeper = WallKeeper::start(self.raw(), mark, TOLERANCE_MS);
        self.read()
    }

    fn mark(&self) -> Mark {
        self.keeper.mark(self.raw().mono)
    }
}

fn reading(boot_ms: u64, at: u64, wrong_ms: i64) -> Now {
    Now { mono: Mono(boot_ms + at), wall: UnixMillis((TODAY + at).saturating_add_signed(wrong_ms)) }
}

fn client(n: u8) -> Fingerprint {
    Fingerprint([n; 16])
}

#[test]
fn a_clock_set_back_lengthens_nothing_and_is_told_of_beyond_the_tolerance() {
    let mut machine = Machine::new();
    assert_eq!(machine.set(-25 * HOUR_MS), 0);
    assert!(!machine.keeper.is_suspect(), "a wrong zone");
    assert_eq!(machine.set(-YEARS_MS), 0);
    assert!(machine.keeper.is_suspect());
    assert_eq!(machine.pass(30 * DAY_MS), 0, "it runs on by boot time");
    assert_eq!(machine.set(0), 0);
    assert!(!machine.keeper.is_suspect());
}

#[test]
fn a_small_step_forward_is_followed_at_once() {
    let mut machine = Machine::new();
    assert_eq!(machine.set(1000), 1000);
    assert_eq!(machine.set(HOUR_MS), HOUR_MS);
    assert_eq!(machine.keeper.pending_until(), None);
}

#[test]
fn a_jump_forward_waits_a_day_and_one_taken_back_before_leaves_no_trace() {
    let mut machine = Machine::new();
    assert_eq!(machine.set(YEARS_MS), 0);
    assert_eq!(machine.pass(DAY_MS - 1), 0);
    assert!(machine.keeper.pending_until().is_some());
    assert_eq!(machine.mark().wall.0, TODAY + machine.at, "never a pending one");
    assert_eq!(machine.set(0), 0);
    assert_eq!((machine.keeper.pending_until(), machine.keeper.is_suspect()), (None, false));
    assert_eq!(machine.set(YEARS_MS), 0);
    assert_eq!(machine.pass(DAY_MS), YEARS_MS, "it has stood");
    assert_eq!(machine.keeper.pending_until(), None);
}

#[test]
fn a_jump_to_another_place_stands_anew() {
    let mut machine = Machine::new();
    machine.set(YEARS_MS);
    machine.pass(DAY_MS - 1);
    assert_eq!(machine.set(2 * YEARS_MS), 0);
    assert_eq!(machine.pass(DAY_MS - 1), 0);
    assert_eq!(machine.pass(1), 2 * YEARS_MS);
}

#[test]
fn five_clients_that_agree_are_enough_and_four_or_one_five_times_are_not() {
    let mut machine = Machine::new();
    machine.set(3 * DAY_MS);
    let right = gap_of(machine.raw());
    for _ in 0..5 {
        machine.keeper.heard(client(1), right);
    }
    (2..=4).for_each(|n| machine.keeper.heard(client(n), right + HOUR_MS));
    assert_eq!(machine.read(), 0);
    machine.keeper.heard(client(5), 0);
    assert_eq!(machine.read(), 3 * DAY_MS);
}

#[test]
fn clients_lead_nowhere_by_themselves_and_are_told_of_if_they_differ() {
    let mut machine = Machine::new();
    let there = gap_of(machine.raw()) + YEARS_MS;
    (0..200).for_each(|n| machine.keeper.heard(client(n), there));
    assert_eq!(machine.read(), 0);
    let raw = machine.raw();
    let status = machine.keeper.status(raw);
    assert_eq!((status.clients, status.clients_ahead_ms, status.clients_differ), (65, Some(YEARS_MS), true));
}

#[test]
fn an_administrator_takes_the_clock_as_right_in_both_directions() {
    let mut machine = Machine::new();
    machine.set(YEARS_MS);
    let raw = machine.raw();
    assert_eq!(machine.keeper.confirm(raw), YEARS_MS);
    assert_eq!(machine.read(), YEARS_MS);
    machine.set(0);
    assert!(machine.keeper.is_suspect());
    let raw = machine.raw();
    assert_eq!(machine.keeper.confirm(raw), -YEARS_MS);
    assert_eq!((machine.read(), machine.keeper.is_suspect()), (0, false));
}

#[test]
fn a_start_takes_the_later_of_clock_and_mark() {
    let mut machine = Machine::new();
    let mark = machine.mark();
    machine.set(-YEARS_MS);
    machine.at += 60_000;
    assert_eq!(machine.restart(Some(mark)), 0, "the minute that it was away counts");
    assert!(machine.keeper.is_suspect());
    assert_eq!(machine.restart(Some(mark.rebooted())), -60_000, "nothing tells how long the machine was off");
    machine.wrong_ms = 0;
    machine.at += 90 * DAY_MS.unsigned_abs();
    assert_eq!(machine.restart(Some(mark.rebooted())), 0, "it was off for so long");
    assert_eq!(machine.restart(None), 0);
}

#[test]
fn a_machine_that_boots_in_the_next_century_ends_no_right_and_serves_on_when_its_clock_is_right() {
    let mut machine = Machine::new();
    let mark = machine.mark().rebooted();
    machine.wrong_ms = 366 * DAY_MS + 1;
    assert_eq!(machine.restart(Some(mark)), 0);
    assert!(machine.keeper.pending_until().is_some(), "a battery is empty, or it was off for over a year: who knows");
    assert_eq!(machine.mark().wall.0, TODAY, "nor is it written down");
    assert_eq!(machine.set(60_000), 60_000);
    assert_eq!((machine.keeper.pending_until(), machine.keeper.is_suspect()), (None, false));
    machine.wrong_ms = 366 * DAY_MS;
    assert_eq!(machine.restart(Some(mark)), 366 * DAY_MS, "it may have been off");
}

#[test]
fn a_clock_that_was_never_set_is_followed_as_soon_as_it_is() {
    let mut machine = Machine::new();
    machine.wrong_ms = -signed(TODAY);
    machine.restart(None);
    assert_eq!(machine.keeper.at(machine.raw().mono), UnixMillis(0), "there is no mark, and no battery");
    assert_eq!(machine.set(0), 0, "a time server has answered");
    machine.set(YEARS_MS);
    assert!(machine.keeper.pending_until().is_some(), "once it is set it is like any other");
}

#[test]
fn a_restart_is_no_way_around_the_wait_of_a_jump() {
    let mut machine = Machine::new();
    machine.set(YEARS_MS);
    machine.pass(HOUR_MS);
    let mark = machine.mark();
    assert_eq!(machine.restart(Some(mark)), 0);
    assert_eq!(machine.keeper.pending_until(), mark.jump.map(|jump| jump.until), "as it was");
    assert_eq!(machine.set(0), 0, "and it may be taken back");
    assert_eq!(machine.restart(Some(Mark { jump: None, ..mark })), 0);
    machine.wrong_ms = YEARS_MS;
    assert_eq!(machine.restart(Some(Mark { jump: None, ..mark })), 0, "nor to set it while the server is stopped");
    assert!(machine.keeper.pending_until().is_some());
    machine.wrong_ms = 30 * DAY_MS;
    assert_eq!(machine.restart(Some(mark.rebooted())), 30 * DAY_MS, "another boot: it may have been off");
}

#[test]
fn clocks_at_the_ends_of_their_ranges_do_no_harm() {
    for (mono, wall) in [(0, 0), (u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        let mut keeper = WallKeeper::start(Now { mono: Mono(mono), wall: UnixMillis(wall) }, None, u64::MAX);
        for (mono, wall) in [(u64::MAX, u64::MAX), (0, u64::MAX), (u64::MAX, 0), (0, 0)] {
            let raw = Now { mono: Mono(mono), wall: UnixMillis(wall) };
            keeper.read(raw);
            keeper.confirm(raw);
            assert!(!keeper.is_suspect());
        }
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Act {
    Pass(i64),
    Set(i64),
    /// The calendar runs fast or slow for a day, by so many milliseconds.
    Drift(i64),
    /// Killed and started again; how old the mark is, and whether there is one.
    Restart {
        mark: Kept,
        reboot: bool,
    },
    Heard(u8, i64),
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    Whole,
    Lost,
    Old,
}

fn wrong() -> impl Strategy<Value = i64> {
    let about = prop_oneof![Just(0), Just(1000), Just(HOUR_MS), Just(25 * HOUR_MS), Just(40 * DAY_MS), Just(YEARS_MS)];
    (about, any::<bool>(), -2000..2000_i64).prop_map(|(ms, back, more)| if back { -ms } else { ms } + more)
}

fn act() -> impl Strategy<Value = Act> {
    let kept = prop_oneof![Just(Kept::Whole), Just(Kept::Whole), Just(Kept::Lost), Just(Kept::Old)];
    prop_oneof![
        3 => (1..3 * DAY_MS).prop_map(Act::Pass),
        1 => (1..60_000_i64).prop_map(Act::Pass),
        4 => wrong().prop_map(Act::Set),
        1 => (-9_000..9_000_i64).prop_map(Act::Drift),
        1 => (kept, any::<bool>()).prop_map(|(mark, reboot)| Act::Restart { mark, reboot }),
        1 => (0..8u8, wrong()).prop_map(|(n, wrong)| Act::Heard(n, wrong)),
    ]
}

/// The slow twin: what is believed to be the greatest lead of the calendar over true time.
#[derive(Debug)]
struct Twin {
    /// Effective's lead.
    lead: i64,
    /// Since when raw has been near where it is, and where that was first.
    stood: Option<(i64, u64)>,
}

impl Twin {
    /// The most that effective may lead by after this reading, by the rules read word by word.
    fn step(&mut self, machine: &Machine, clients: &[(u8, i64)]) {
        let raw = machine.wrong_ms;
        let never_set = signed(TODAY + machine.at) + self.lead < signed(SET_SINCE.0);
        if raw <= self.lead + HOUR_MS || never_set {
            self.lead = self.lead.max(raw);
            self.stood = None;
            return;
        }
        if self.stood.is_none_or(|(place, _)| (place - raw).abs() > HOUR_MS) {
            self.stood = Some((raw, machine.at));
        }
        let since = self.stood.map_or(machine.at, |(_, since)| since);
        let mut gaps: Vec<i64> = clients.iter().map(|(_, wrong)| *wrong).collect();
        gaps.sort_unstable();
        let agree = gaps.len() >= 5 && (gaps[(gaps.len() - 1) / 2] - raw).abs() <= HOUR_MS;
        if agree || machine.at - since >= DAY_MS.unsigned_abs() {
            (self.lead, self.stood) = (raw, None);
        }
    }
}

fn run(acts: &[Act]) {
    let mut machine = Machine::new();
    let mut twin = Twin { lead: 0, stood: None };
    let mut clients: Vec<(u8, i64)> = Vec::new();
    let mut old = machine.mark();
    let mut last = machine.keeper.at(machine.raw().mono);
    for (n, act) in acts.iter().enumerate() {
        let mut forgot = false;
        match act {
            Act::Pass(ms) => machine.at += ms.unsigned_abs(),
            Act::Set(wrong) => machine.wrong_ms = *wrong,
            Act::Drift(ms) => {
                machine.at += DAY_MS.unsigned_abs();
                machine.wrong_ms += ms;
            }
            Act::Heard(n, wrong) => {
                clients.retain(|(known, _)| known != n);
                clients.push((*n, *wrong));
                machine.keeper.heard(client(*n), gap_of(reading(machine.boot_ms, machine.at, *wrong)));
            }
            Act::Restart { mark, reboot } => {
                let kept = match mark {
                    Kept::Whole => Some(machine.mark()),
                    Kept::Old => Some(old),
                    Kept::Lost => None,
                };
                if *reboot {
                    machine.boot_ms = machine.boot_ms.saturating_sub(n as u64);
                    old = old.rebooted();
                }
                let kept = kept.map(|mark| if *reboot { mark.rebooted() } else { mark });
                clients.clear();
                forgot = !matches!(mark, Kept::Whole);
                let now = machine.raw().mono;
                let away = |mark: Mark| mark.at.map_or(0, |at| signed(now.ms_since(at)));
                let lead = kept.map_or(i64::MIN, |mark| signed(mark.wall.0) + away(mark) - signed(TODAY + machine.at));
                let off_ms = machine.wrong_ms.saturating_sub(lead);
                let was_off = kept.is_some_and(|mark| mark.at.is_none()) && (0..=366 * DAY_MS).contains(&off_ms);
                twin.lead = if kept.is_none() || was_off { machine.wrong_ms } else { lead };
                let stood = kept.and_then(|mark| mark.jump).map(|jump| {
                    let begun = jump.until.0 - DAY_MS.unsigned_abs() - machine.boot_ms;
                    (jump.gap_ms + signed(machine.boot_ms) - signed(TODAY), begun)
                });
                twin.stood = stood;
                machine.keeper = WallKeeper::start(machine.raw(), kept, TOLERANCE_MS);
            }
        }
        let lead = machine.read();
        twin.step(&machine, &clients);
        assert_eq!(lead, twin.lead, "after {act:?}, the {n}th");
        let effective = machine.keeper.at(machine.raw().mono);
        assert!(forgot || effective >= last, "never backwards: {act:?}, the {n}th");
        assert_eq!(machine.keeper.is_suspect(), lead - machine.wrong_ms > 26 * HOUR_MS);
        assert_eq!(machine.mark().wall, effective);
        last = effective;
        if n % 7 == 3 {
            old = machine.mark();
        }
    }
    // No poison stays: whatever happened, an administrator who sees that the clock is right ends it, also over a restart.
    machine.set(0);
    let raw = machine.raw();
    machine.keeper.confirm(raw);
    let mark = machine.mark();
    assert_eq!((machine.restart(Some(mark)), machine.keeper.is_suspect()), (0, false));
    assert_eq!(machine.pass(DAY_MS), 0);
}

/// A clock that is wrong for less than a day at a time, while the server runs: nobody has to do anything.
fn heals_by_itself(jumps: &[(i64, i64)]) {
    let mut machine = Machine::new();
    for (wrong, ms) in jumps {
        machine.set(*wrong);
        let lead = machine.pass(*ms);
        assert!((0..=HOUR_MS).contains(&lead), "{lead} ms wrong");
        machine.set(0);
        machine.pass(1);
        assert!(!machine.keeper.is_suspect() && machine.keeper.pending_until().is_none());
    }
    assert!((0..=HOUR_MS).contains(&machine.read()), "complete service");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_schedule_gives_what_the_rules_say_never_backwards_and_never_poisoned(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        run(&acts);
    }

    #[test]
    fn after_a_clock_that_was_wrong_for_less_than_a_day_service_is_complete_by_itself(
        jumps in prop::collection::vec(
            (prop_oneof![Just(-YEARS_MS), Just(YEARS_MS), -HOUR_MS..HOUR_MS, Just(1000), Just(-1000)], 1..DAY_MS),
            1..40,
        ),
    ) {
        heals_by_itself(&jumps);
    }
}
