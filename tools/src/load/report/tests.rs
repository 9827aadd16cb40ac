use super::*;
use crate::load::tally::Tally;

fn outcome(model: Model, change: impl FnOnce(&mut Tally)) -> Outcome {
    let mut tally = Tally::new().unwrap();
    tally.counts.operations = 10;
    change(&mut tally);
    let figures = Figures {
        throughput: ThroughputPart { operations: tally.counts.operations, ..ThroughputPart::default() },
        ..Figures::counted(&tally)
    };
    let phase = PhasePart {
        name: "steady".to_owned(),
        model,
        clients: 5,
        leases_per_client: 1,
        ramp_ms: 0,
        measured_ms: 1_000,
        figures: figures.clone(),
    };
    Outcome {
        schema: 1,
        server: ServerPart { address: String::new(), fingerprint: String::new(), own: true, pid: None },
        plan: PlanPart {
            clients: 5,
            features: Vec::new(),
            renew_every_ms: None,
            ramp_ms: 0,
            measured_ms: 1_000,
            threads: 1,
            seed: 1,
            scenario: String::new(),
        },
        all: figures,
        seats: SeatsPart { free_before: 5, held_max: 5, out_after: Some(0) },
        phases: vec![phase],
        ok: true,
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

fn problems(mut outcome: Outcome, violations: &[&str]) -> Vec<String> {
    outcome.judge(violations.iter().map(|one| (*one).to_owned()).collect());
    assert_eq!(outcome.ok, outcome.problems.is_empty());
    outcome.problems
}

#[test]
fn a_test_in_which_nothing_went_wrong_is_fine() {
    assert!(problems(outcome(Model::Open, |_| {}), &[]).is_empty());
}

#[test]
fn one_seat_too_many_held_at_once_is_a_problem() {
    let mut outcome = outcome(Model::Open, |_| {});
    outcome.seats.held_max = 6;
    assert_eq!(problems(outcome, &[]), ["6 seats were held at once and 5 were free"]);
}

#[test]
fn a_seat_that_is_still_out_at_the_end_is_a_problem_on_our_own_server_alone() {
    let out = |own| {
        let mut outcome = outcome(Model::Open, |_| {});
        (outcome.seats.out_after, outcome.server.own) = (Some(1), own);
        problems(outcome, &[])
    };
    assert_eq!(out(true), ["1 seats are still out after every release"]);
    assert!(out(false).is_empty());
}

#[test]
fn a_server_that_is_gone_after_the_test_is_a_problem() {
    let mut outcome = outcome(Model::Open, |_| {});
    outcome.seats.out_after = None;
    assert_eq!(problems(outcome, &[]), ["the server does not answer any more"]);
}

#[test]
fn a_lost_lease_and_a_violation_are_problems() {
    let lost = outcome(Model::Closed, |tally| tally.counts.lost = 1);
    assert_eq!(problems(lost, &["lease 7.0 was granted twice"]), ["1 lease lost", "lease 7.0 was granted twice"]);
}

#[test]
fn denials_are_no_problem_and_silence_is_one() {
    let denied = outcome(Model::Population, |tally| {
        tally.counts.never_held = 2;
        tally.denials.insert(leasehold_protocol::vocab::Denial::NO_SEAT, 2);
    });
    assert!(problems(denied, &[]).is_empty());
    let silent = outcome(Model::Population, |tally| tally.counts.never_held = 2);
    assert_eq!(problems(silent, &[]), ["2 leases never had an answer"]);
    let nothing = outcome(Model::Closed, |tally| tally.counts.operations = 0);
    assert_eq!(problems(nothing, &[]), ["no operation was answered"]);
}

#[test]
fn a_program_that_was_behind_itself_says_so_without_failing() {
    let mut late = outcome(Model::Open, |tally| {
        tally.record(Kind::Lateness, Duration::from_millis(30));
        tally.counts.unanswered = 3;
    });
    late.judge(Vec::new());
    assert!(late.ok && late.notes.len() == 2, "{:?}", late.notes);
    assert!(late.notes[0].contains("30") && late.notes[1].contains("3 operations"), "{:?}", late.notes);
}
