//! `leasehold history` beside a server that serves, and after it.

mod common;

use std::time::Instant;

use common::{Home, PATIENCE, Ran, Server};
use rustix::process::Signal;
use serde_json::Value;

/// `leasehold history COMMAND… --data-dir …`.
fn history(home: &Home, server: &Server, words: &[&str]) -> Ran {
    let folder = server.data_dir.display().to_string();
    let mut line = vec!["history"];
    line.extend(words);
    line.extend(["--data-dir", &folder]);
    home.run(&line)
}

fn entries(home: &Home, server: &Server, words: &[&str]) -> Vec<Value> {
    let line = [&["query", "--json"], words].concat();
    history(home, server, &line).ends_with(0).json()["history"].as_array().unwrap().clone()
}

/// One seat of `feature` for user ada.
fn checkout(home: &Home, server: &Server, feature: &str) -> Ran {
    let more = server.for_clients();
    let mut line = vec!["checkout", feature];
    line.extend(more.iter().map(String::as_str));
    line.extend(["--", "true"]);
    Ran::of(home.command(&line).env("USER", "ada").spawn().unwrap(), &line)
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

/// A server of whose life a grant, a release and a denial are written down.
fn served(home: &Home, more: &[&str]) -> Server {
    let server = Server::start(home, more);
    checkout(home, &server, "VR_MODE").ends_with(0);
    checkout(home, &server, "NO_SUCH").ends_with(77);
    let began = Instant::now();
    while entries(home, &server, &[]).len() < 4 {
        assert!(began.elapsed() < PATIENCE, "never written");
    }
    server
}

#[test]
fn what_happened_is_told_while_the_server_serves_and_names_only_to_who_asks() {
    let home = Home::new();
    let server = served(&home, &[]);
    let all = entries(&home, &server, &[]);
    assert_eq!(kinds(&all), ["started", "granted", "released", "denied"]);
    assert_eq!((&all[1]["feature"], &all[1]["publisher"]), (&"VR_MODE".into(), &"demo".into()));
    assert_eq!((&all[3]["denial"], &all[3]["sentence"]), (&"no-such-feature".into(), &Value::Null));
    let pseudonym = all[1]["user"].as_str().unwrap().to_owned();
    assert!(pseudonym.starts_with("u-"), "{pseudonym}");

    let named = entries(&home, &server, &["--names", "--user", "ada", "--kind", "granted,denied", "--from", "-1h"]);
    assert_eq!((kinds(&named), &named[0]["user"]), (vec!["granted", "denied"], &"ada".into()));
    assert_eq!((&named[1]["address"], &named[0]["event"]), (&"127.0.0.1".into(), &2.into()));
    assert!(named[0]["certificates"].as_str().unwrap().ends_with(":5.0:1"), "{named:#?}");
    assert!(named[1]["sentence"].as_str().unwrap().contains("NO_SUCH"), "{named:#?}");
    assert_eq!(entries(&home, &server, &["--user", &pseudonym, "--feature", "VR_MODE"]).len(), 2);
    assert_eq!(entries(&home, &server, &["--user", "eve"]).len(), 0);
    assert_eq!(entries(&home, &server, &["--to", "-1h"]).len(), 0);

    let table = history(&home, &server, &["query", "--limit", "2"]).ends_with(0);
    assert!(table.out.contains("released") && !table.out.contains("granted"), "{table:#?}");
    assert!(table.err.contains("older lines are left out"), "{table:#?}");
    let csv = history(&home, &server, &["query", "--csv"]).ends_with(0).out;
    assert!(csv.starts_with("time,kind,publisher,feature,version,seats,") && csv.lines().count() == 5, "{csv}");
    assert!(csv.lines().all(|line| line.split(',').count() == 24), "{csv}");

    let told = history(&home, &server, &["summary", "--json"]).ends_with(0).json();
    let vr = told["features"].as_array().unwrap().iter().find(|line| line["feature"] == "VR_MODE").unwrap();
    assert_eq!((&vr["granted"], &vr["peak"], &told["gaps"]), (&1.into(), &1.into(), &Value::Array(vec![])));
    let csv = history(&home, &server, &["summary", "--csv"]).ends_with(0).out;
    assert!(csv.contains("demo,NO_SUCH,0,1,0,-,0.00\n"), "{csv}");
}

#[test]
fn a_server_that_was_killed_leaves_a_gap_in_its_place() {
    let home = Home::new();
    let mut first = served(&home, &[]);
    first.process.signal(Signal::KILL);
    first.process.end("the first server");
    let data = home.path().join("demo/data");
    let line = ["serve", "--config", "demo/leasehold.toml", "--listen", "127.0.0.1", "--port", "0"];
    let mut again = common::Guarded(Some(home.command(&line).spawn().unwrap()));
    let query = |words: &[&str]| {
        let folder = data.display().to_string();
        let line = [&["history", "query", "--data-dir", &folder], words].concat();
        home.run(&line).ends_with(0)
    };
    let began = Instant::now();
    let entries = loop {
        let told = query(&["--json"]).json()["history"].as_array().unwrap().clone();
        if told.len() > 5 {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "{told:#?}");
    };
    assert_eq!(kinds(&entries)[3..], ["denied", "gap", "started"]);
    assert!(entries[4]["why"].as_str().unwrap().contains("killed"), "{entries:#?}");
    let table = query(&[]).out;
    let gap = table.lines().find(|line| line.contains("GAP")).unwrap();
    assert!(gap.contains("until ") && gap.contains("nobody knows"), "{gap}");
    again.signal(Signal::TERM);
    again.end("the second server");
    let last = query(&["--json", "--limit", "1"]).json();
    assert_eq!(last["history"][0]["kind"], "stopped");
}

#[test]
fn bad_input_is_named_with_what_to_write_instead() {
    let home = Home::new();
    let server = served(&home, &[]);
    for (words, status, parts) in [
        (&["query", "--from", "tomorrow"][..], 2, ["--from cannot be \"tomorrow\"", "2026-11-01"]),
        (&["summary", "--to", "-7"], 2, ["--to cannot be \"-7\"", "-7d"]),
        (&["query", "--from", "-1d", "--to", "-2d"], 2, ["is not before --to", "--from -7d --to -1d"]),
        (&["query", "--kind", "granted,denid"], 2, ["--kind cannot be \"denid\"", "did you mean \"denied\"?"]),
        (&["query", "--csv", "--json"], 2, ["--csv", "cannot be used with"]),
        (&["query", "--limit", "few"], 2, ["--limit", "few"]),
    ] {
        let ran = history(&home, &server, words).ends_with(status);
        assert!(parts.iter().all(|part| ran.err.contains(part)), "{ran:#?}");
        assert!(ran.out.is_empty(), "{ran:#?}");
    }
    let nowhere = home.run(&["history", "query", "--data-dir", "nowhere"]).ends_with(1);
    assert!(
        nowhere.err.contains("no usage history nowhere/usage.sqlite") && nowhere.err.contains("--data-dir"),
        "{nowhere:#?}"
    );
    std::fs::remove_file(server.data_dir.join("history.key")).unwrap();
    let ran = history(&home, &server, &["query", "--names"]).ends_with(1);
    assert!(ran.err.contains("history.key") && ran.err.contains("pseudonyms"), "{ran:#?}");
    history(&home, &server, &["query"]).ends_with(0);
}

#[test]
fn a_history_that_is_switched_off_is_not_there() {
    let home = Home::new();
    let server = Server::start(&home, &["--history", "off"]);
    checkout(&home, &server, "VR_MODE").ends_with(0);
    let ran = history(&home, &server, &["query"]).ends_with(1);
    assert!(ran.err.contains("history is on"), "{ran:#?}");
    let ran = home.run(&["serve", "--history-keep", "400d"]).ends_with(2);
    assert!(ran.err.contains("history-keep cannot be \"400d\"") && ran.err.contains("0 to 36500"), "{ran:#?}");
}
