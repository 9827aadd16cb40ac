//! What happens to the file, and that it is told: locked, full, gone, replaced, forbidden, of a newer program, broken off.

use super::*;

#[test]
fn a_locked_file_costs_what_comes_meanwhile_and_it_goes_on_by_itself() {
    let mut bench = Bench::new();
    bench.turn(0);
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    bench.grant(1, 100);
    bench.turn(1000);
    assert_eq!(bench.figures(), (0, 1, 0));
    let warning = bench.warning();
    assert!(warning.contains("usage.sqlite") && warning.contains("locked") && warning.contains("fuser"), "{warning}");
    other.execute_batch("ROLLBACK").unwrap();
    bench.grant(2, 1100);
    bench.turn(2000);
    assert_eq!((bench.figures(), bench.history.warning()), ((1, 1, 1), None));
    let gap = &bench.gaps()[0];
    assert_eq!((gap.from, gap.to, gap.events), (at(100).wall, at(1000).wall, Some(1)));
    assert!(gap.why.contains("locked"), "{}", gap.why);
}

#[test]
fn a_full_disk_costs_what_comes_meanwhile_and_nothing_of_before() {
    let mut bench = Bench::new();
    bench.grant(1, 10);
    bench.turn(100);
    // As SQLite meets a disk without room.
    bench.keeper.store.as_ref().unwrap().file().pragma_update_and_check(None, "max_page_count", 1, |_| Ok(())).unwrap();
    (2..=2000).for_each(|lease| bench.grant(lease, 200));
    bench.turn(1000);
    assert_eq!(bench.figures(), (1, 1999, 0));
    assert!(bench.warning().contains("make room on the disk"), "{}", bench.warning());
    assert_eq!(bench.kinds(), ["started", "granted"], "all of a turn or nothing");
    bench.turn(2000);
    assert_eq!((bench.figures(), bench.gaps()[0].events), ((1, 1999, 1), Some(1999)));
    assert_eq!(bench.history.warning(), None);
}

#[test]
fn a_file_that_is_removed_or_replaced_is_begun_anew_and_told_of() {
    let mut bench = Bench::new();
    bench.grant(1, 10);
    bench.turn(1000);
    fs::remove_file(bench.path()).unwrap();
    bench.grant(2, 1100);
    bench.turn(2000);
    assert_eq!((bench.kinds(), bench.figures()), (vec!["granted".to_owned()], (2, 0, 1)));
    let gap = &bench.gaps()[0];
    assert_eq!((gap.from, gap.to, gap.events), (at(0).wall, at(2000).wall, Some(1)));
    assert!(gap.why.contains("removed"), "{}", gap.why);

    fs::rename(bench.path(), bench.scratch.path().join("old.sqlite")).unwrap();
    bench.grant(3, 2100);
    bench.turn(3000);
    assert_eq!((bench.kinds().len(), bench.gaps()[0].events), (1, Some(1)));
    let old = Connection::open(bench.scratch.path().join("old.sqlite")).unwrap();
    let rows: i64 = old.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1, "what was moved away is whole");
}

#[test]
fn a_file_that_is_no_history_is_left_as_it_is_and_named_with_the_remedy() {
    let mut bench = Bench::new();
    for (text, part) in [("not a database at all, but long enough to be looked at", "move"), ("", "")] {
        fs::write(bench.path(), text).unwrap();
        bench.grant(1, 10);
        bench.turn(1000);
        assert_eq!(bench.history.warning().is_none(), part.is_empty());
        if !part.is_empty() {
            assert!(bench.warning().contains(part), "{}", bench.warning());
            assert_eq!(fs::read_to_string(bench.path()).unwrap(), text);
        }
    }
    assert_eq!((bench.figures(), bench.kinds().len()), ((1, 1, 1), 2));
}

#[test]
fn a_file_that_must_not_be_written_heals_when_it_may() {
    // Root may write anything: a folder in the file's place nobody can.
    let mut bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    bench.grant(1, 10);
    bench.turn(1000);
    assert!(bench.warning().contains("check the owner and mode"), "{}", bench.warning());
    fs::remove_dir(bench.path()).unwrap();
    bench.turn(2000);
    assert_eq!((bench.history.warning(), bench.gaps()[0].events), (None, Some(1)));
    // A connection that only reads, as of a disk that was mounted so.
    bench.keeper.store.as_ref().unwrap().file().pragma_update(None, "query_only", true).unwrap();
    bench.grant(2, 2100);
    bench.turn(3000);
    assert!(bench.warning().contains("readonly"), "{}", bench.warning());
    bench.grant(3, 3100);
    bench.turn(4000);
    assert_eq!((bench.figures(), bench.history.warning()), ((1, 2, 2), None));
}

#[test]
fn a_history_of_a_newer_program_is_not_touched_and_seats_are_served() {
    let mut bench = Bench::new();
    let newer = Connection::open(bench.path()).unwrap();
    newer.execute_batch("CREATE TABLE later (x); PRAGMA user_version = 7").unwrap();
    bench.grant(1, 10);
    bench.turn(1000);
    let warning = bench.warning();
    assert!(warning.contains("version 7") && warning.contains("a newer leasehold wrote it"), "{warning}");
    assert!(warning.contains("Seats are granted all the same") && warning.contains("move"), "{warning}");
    assert!(!newer.table_exists(None, "events").unwrap());
    let refused = Reader::open(bench.scratch.path()).unwrap_err().to_string();
    assert!(refused.contains("version 7") && refused.contains("use that leasehold"), "{refused}");
}

#[test]
fn a_server_that_was_killed_leaves_a_gap_and_one_that_ended_as_it_should_none() {
    let mut bench = Bench::new();
    bench.grant(1, 10);
    bench.turn(100);
    bench.again(60_000);
    bench.turn(60_100);
    let gaps = bench.gaps();
    assert_eq!((gaps.len(), gaps[0].events), (1, None));
    assert_eq!((gaps[0].from, gaps[0].to), (at(10).wall, at(60_000).wall));
    bench.keeper.finish(at(61_000).wall);
    bench.again(70_000);
    bench.turn(70_100);
    assert_eq!(bench.gaps().len(), 1);
    assert_eq!(bench.kinds(), ["started", "granted", "started", "stopped", "started"]);
}
