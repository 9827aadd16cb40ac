//! One line and what belongs to it.

use super::*;

fn out_before(bench: &Bench, id: i64) -> Option<u64> {
    let reader = Reader::open(bench.scratch.path()).unwrap();
    let row = reader.event(id).unwrap().unwrap();
    reader.out_before(&row).unwrap()
}

#[test]
fn seats_that_were_out_before_a_line_are_counted_and_those_that_stayed_until_they_are_free() {
    let mut bench = Bench::new();
    let note = |bench: &Bench, event: Event, ms: u64| bench.note(event, ms);
    note(&bench, granted(1, "ada", "CAD", 2, at(1)), 1);
    note(&bench, granted(2, "bob", "CAD", 3, at(2)), 2);
    note(&bench, granted(3, "bob", "SIM", 9, at(3)), 3);
    // Ada's stay for her after the release, until 30.
    note(&bench, Event::Released(ended(1, "ada", "CAD", 2, 9, at(10))), 10);
    note(&bench, Event::Denied(denied_for("CAD")), 20);
    note(&bench, Event::LingerEnded(ended(1, "ada", "CAD", 2, 20, at(30))), 30);
    note(&bench, Event::Expired(ended(2, "bob", "CAD", 3, 38, at(40))), 40);
    note(&bench, Event::Denied(denied_for("CAD")), 50);
    bench.turn(100);
    // The first line is the start.
    let before: Vec<Option<u64>> = [2, 3, 6, 8, 9].map(|id| out_before(&bench, id)).to_vec();
    assert_eq!(before, [Some(0), Some(2), Some(5), Some(3), Some(0)]);
}

#[test]
fn nothing_is_counted_where_something_is_missing_or_seats_were_out_from_the_start() {
    let mut bench = Bench::with(2, None);
    (1..=4).for_each(|lease| bench.note(granted(lease, "ada", "CAD", 1, at(5)), 5));
    bench.turn(10);
    bench.note(Event::Denied(denied_for("CAD")), 20);
    bench.turn(30);
    assert_eq!(bench.gaps().len(), 1);
    let last = i64::try_from(bench.rows().len()).unwrap();
    assert_eq!((out_before(&bench, 2), out_before(&bench, last)), (Some(0), None));
}

#[test]
fn a_lease_whose_name_is_used_again_is_told_apart() {
    let mut bench = Bench::new();
    bench.grant(1, 1);
    bench.note(Event::Released(ended(1, "ada", "CAD", 1, 9, at(10))), 10);
    bench.grant(1, 20);
    bench.note(Event::Expired(ended(1, "ada", "CAD", 1, 9, at(30))), 30);
    bench.turn(100);
    let reader = Reader::open(bench.scratch.path()).unwrap();
    let told = |id| -> Vec<i64> { reader.lease("1.1", id).unwrap().into_iter().map(|row| row.id).collect() };
    assert_eq!(
        (told(None), told(Some(2)), told(Some(3)), told(Some(5))),
        (vec![4, 5], vec![2, 3], vec![2, 3], vec![4, 5])
    );
    assert!(reader.lease("9.9", None).unwrap().is_empty());
}

#[test]
fn lines_are_replayed_in_the_order_they_were_written_and_of_many_the_last() {
    let mut bench = Bench::new();
    // Of an end the time is its deadline, which may be before what was written before it.
    [(1, 50), (2, 20), (3, 60)].into_iter().for_each(|(lease, ms)| bench.grant(lease, ms));
    bench.turn(100);
    let replay = |from, most| {
        let (reader, mut ids) = (Reader::open(bench.scratch.path()).unwrap(), Vec::new());
        let left_out = reader.replay(at(from).wall, most, |row| ids.push(row.id)).unwrap();
        (ids, left_out)
    };
    assert_eq!(replay(0, 10), (vec![1, 2, 3, 4], false));
    assert_eq!(replay(30, 10), (vec![2, 4], false));
    assert_eq!((replay(0, 4), replay(0, 2)), ((vec![1, 2, 3, 4], false), (vec![3, 4], true)));
}

fn denied_for(feature: &str) -> Box<Denied> {
    let Event::Denied(denied) = denied("eve") else { unreachable!() };
    Box::new(Denied { feature: Some(FeatureName::new(feature).unwrap()), ..*denied })
}
