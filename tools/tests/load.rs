//! `leasehold load` against a real server: both loops, pairs on few seats, scenarios, and what is left on disk.

mod common;

use std::{thread, time::Duration};

use common::{Home, Ran, Server};
use rustix::process::Signal;
use serde_json::Value;

/// A load on a server of its own, as JSON.
fn load(words: &str) -> Value {
    Home::new().run(&line(words)).ends_with(0).json()
}

fn line(words: &str) -> Vec<&str> {
    ["load", "--json"].into_iter().chain(words.split_whitespace()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value:#} is no number"))
}

#[test]
fn a_closed_loop_renews_as_fast_as_it_is_answered_and_loses_nothing() {
    let told = load("--clients 20 --leases-per-client 3 --features 2 --window 8 --for 2s");
    assert_eq!(told["ok"], true, "{told:#}");
    assert_eq!((&told["seats"]["held_max"], &told["seats"]["out_after"]), (&60.into(), &0.into()), "{told:#}");
    let operations = number(&told["throughput"]["operations"]);
    let renewals = number(&told["latency"]["renewals"]["count"]);
    assert!(operations > 100, "{told:#}");
    // Those that were under way when the time was over are measured and do not count for the throughput.
    assert!((operations..=operations + 8).contains(&renewals), "{told:#}");
    assert_eq!(told["phases"][0]["model"], "closed");
    assert!(told["cost"]["cpu_us_per_operation"].is_number(), "{told:#}");
}

#[test]
fn an_open_loop_asks_for_what_the_rate_says_and_counts_from_when_it_was_due() {
    let told = load("--clients 30 --rate 400 --arrivals even --mix renew=8,checkout=1,release=1 --for 2s --threads 2");
    assert_eq!(told["ok"], true, "{told:#}");
    let asked: u64 =
        ["renewals", "checkouts", "releases"].map(|kind| number(&told["latency"][kind]["count"])).iter().sum();
    assert!((799..=801).contains(&asked), "{told:#}");
    assert_eq!(number(&told["latency"]["lateness"]["count"]), asked, "{told:#}");
    let (due, sent) = (&told["latency"]["renewals"], &told["latency"]["answers"]);
    assert!(number(&due["max_us"]) >= number(&sent["max_us"]), "{told:#}");
}

#[test]
fn pairs_on_few_seats_are_denied_and_that_is_no_fault() {
    let told = load("--clients 16 --seats 2 --window 16 --mix pairs --for 2s");
    assert_eq!(told["ok"], true, "{told:#}");
    assert!(number(&told["denials"]["no-seat"]) > 0, "{told:#}");
    assert!(number(&told["latency"]["pairs"]["count"]) > 0, "{told:#}");
    assert!(told["seats"]["held_max"].as_i64().unwrap() <= 2, "{told:#}");
}

#[test]
fn what_is_due_and_finds_every_lease_busy_is_counted_and_noted() {
    let told = load("--clients 1 --rate 200000 --mix pairs --for 1s");
    let (pairs, unsent) = (number(&told["latency"]["pairs"]["count"]), number(&told["counts"]["unsent"]));
    assert!(pairs > 0 && (195_000..=205_000).contains(&(pairs + unsent)), "{told:#}");
    assert!(told["notes"].to_string().contains("--clients"), "{told:#}");
}

#[test]
fn renewals_share_frames_and_come_from_many_addresses() {
    let told = load("--clients 4 --leases-per-client 64 --window 128 --batch 64 --sources 5 --for 1s");
    assert_eq!(told["ok"], true, "{told:#}");
    let (renewals, datagrams) =
        (number(&told["latency"]["renewals"]["count"]), number(&told["counts"]["datagrams_sent"]));
    assert!(
        renewals > 200 && datagrams < renewals / 50 + 600,
        "{renewals} renewals in {datagrams} datagrams: {told:#}"
    );
}

#[test]
fn a_population_holds_many_leases_for_each_client() {
    let told = load("--clients 10 --leases-per-client 5 --renew-every 100ms --for 1s --ramp 100ms --sources 3");
    assert_eq!(told["ok"], true, "{told:#}");
    assert_eq!((&told["seats"]["held_max"], &told["latency"]["checkouts"]["count"]), (&50.into(), &50.into()));
    assert!(number(&told["throughput"]["renewals"]) > 200, "{told:#}");
    assert_eq!(told["latency"]["releases"]["count"], 50);
}

#[test]
fn leases_that_the_plan_does_not_reach_are_kept_alive_beside_it() {
    let told = load("--clients 40 --rate 1 --ttl 2s --for 4s");
    assert_eq!((&told["ok"], &told["counts"]["lost"]), (&true.into(), &0.into()), "{told:#}");
    assert!(number(&told["counts"]["upkeep"]) > 80, "{told:#}");
}

#[test]
fn a_server_that_is_there_is_loaded_too() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    let words = [
        "load",
        "--feature",
        "VR_MODE",
        "--clients",
        "30",
        "--window",
        "4",
        "--for",
        "1s",
        "--ramp",
        "100ms",
        "--json",
    ];
    let words: Vec<&str> = words.into_iter().chain(clients.iter().map(String::as_str)).collect();
    let told = home.run(&words).ends_with(0).json();
    assert_eq!(number(&told["denials"]["no-seat"]), 10, "{told:#}");
    assert_eq!((&told["server"]["own"], &told["seats"]["held_max"]), (&false.into(), &20.into()), "{told:#}");
    assert_eq!(server.used(&home, "VR_MODE"), 0);
}

/// A load on a server whose leases live for two seconds, while `trouble` happens to it.
fn load_in_trouble(words: &str, trouble: impl FnOnce(&mut Server)) -> Value {
    let home = Home::new();
    let mut server = Server::start(&home, &["--lease-ttl", "2s"]);
    let clients = server.for_clients();
    let mut line = line("--feature CAD_PRO --clients 20 --ramp 100ms");
    line.extend(words.split_whitespace().chain(clients.iter().map(String::as_str)));
    let load = home.command(&line).spawn().unwrap();
    server.wait_until_used(&home, "CAD_PRO", 20);
    trouble(&mut server);
    Ran::of(load, &line).ends_with(1).json()
}

#[test]
fn leases_that_a_stopped_server_lets_end_are_lost_and_every_operation_is_accounted_for() {
    let told = load_in_trouble("--rate 100 --arrivals even --for 7s", |server| {
        server.process.signal(Signal::STOP);
        // A stopped process tells of nothing: longer than its leases live.
        thread::sleep(Duration::from_secs(3));
        server.process.signal(Signal::CONT);
    });
    let counts = &told["counts"];
    assert!(told["problems"].to_string().contains("lost") && number(&counts["lost"]) > 0, "{told:#}");
    assert!(number(&counts["regained"]) > 0, "{told:#}");
    let denied: u64 = told["denials"].as_object().unwrap().values().map(number).sum();
    let answered = number(&told["latency"]["renewals"]["count"]) + denied;
    let all = answered + number(&counts["unanswered"]) + number(&counts["unsent"]);
    assert!((699..=760).contains(&all), "{all} of 700: {told:#}");
}

#[test]
fn a_server_that_dies_under_the_load_fails_the_test() {
    let told = load_in_trouble("--window 4 --for 4s", |server| server.process.signal(Signal::KILL));
    assert!(told["problems"].to_string().contains("does not answer any more"), "{told:#}");
    assert_eq!(told["ok"], false);
}

#[test]
fn a_scenario_runs_phase_by_phase_and_leaves_its_files() {
    let home = Home::new();
    let scenario = "clients = 10\n[[phase]]\nname = \"fast\"\nfor = \"1s\"\nwindow = 4\n\
                    [[phase]]\nname = \"hold\"\nfor = \"1s\"\nramp = \"50ms\"\nrenew-every = \"100ms\"\n\
                    [[phase]]\nname = \"steady\"\nfor = \"1s\"\nrate = 200\nmix = \"pairs\"\n";
    std::fs::write(home.path().join("three.toml"), scenario).unwrap();
    let words = "--scenario three.toml --csv load.csv --hdr load.hlog --report load.html";
    let told = home.run(&line(words)).ends_with(0).json();
    let names: Vec<_> = told["phases"].as_array().unwrap().iter().map(|phase| phase["name"].clone()).collect();
    assert_eq!(names, ["fast", "hold", "steady"], "{told:#}");
    assert_eq!(told["ok"], true, "{told:#}");
    // The loops' ten sessions once, and the population's ten.
    assert_eq!(number(&told["counts"]["connects"]), 20, "{told:#}");

    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    let csv = read("load.csv");
    assert!(csv.starts_with("second,phase,operations,"), "{csv}");
    assert!(names.iter().all(|name| csv.contains(&format!(",{},", name.as_str().unwrap()))), "{csv}");
    let log = read("load.hlog");
    assert!(log.contains("#[BaseTime: ") && log.contains("\nTag=pairs,"), "{log}");
    let page = read("load.html");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert_eq!(page.matches("<svg ").count(), 4);
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("NaN"), "{page}");
}

#[test]
fn the_scenario_that_is_printed_is_the_one_that_runs() {
    let home = Home::new();
    let printed = home.run(&["load", "--print-scenario", "--rate", "100..200", "--mix", "pairs"]).ends_with(0).out;
    std::fs::write(home.path().join("one.toml"), &printed).unwrap();
    let again = home.run(&["load", "--print-scenario", "--scenario", "one.toml"]).ends_with(0).out;
    assert_eq!(printed, again);
    assert!(printed.contains("mix = \"pairs\"") && printed.contains("model = \"open\""), "{printed}");
}

#[test]
fn what_cannot_be_run_says_why_and_what_to_do() {
    let home = Home::new();
    let failed = |words: &str, status| home.run(&line(words)).ends_with(status).err;
    assert!(failed("--rate 5 --window 5", 2).contains("closed loop"));
    assert!(failed("--mix halves --window 5", 2).contains("renew=90"));
    assert!(failed("--scenario none.toml", 2).contains("--print-scenario"));
    assert!(failed("--window 4 --csv no/such/folder.csv", 1).contains("no/such/folder.csv"));
}
