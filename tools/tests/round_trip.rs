//! A server and its clients as real processes on loopback.

mod common;

use std::{io::Read, net::UdpSocket, process::Stdio};

use common::{Guarded, Home, Ran, Server, in_time, read_until};
use rustix::process::Signal;

fn line<'a>(words: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    words.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

/// `leasehold checkout WORDS… --server … --publisher-key … -- COMMAND…`.
fn checkout<'a>(words: &[&'a str], clients: &'a [String], command: &[&'a str]) -> Vec<&'a str> {
    let mut line = line(&[&["checkout"], words].concat(), clients);
    if !command.is_empty() {
        line.push("--");
        line.extend(command);
    }
    line
}

#[test]
fn the_demo_goes_round_and_ends_with_0() {
    let home = Home::new();
    let ran = home.run(&["demo", "--once", "--port", "0"]).ends_with(0);
    for step in ["keys, licence", "server", "discovery", "handshake", "proof", "checkout", "renew", "release"] {
        assert!(ran.out.contains(step), "{step}: {ran:#?}");
    }
    assert!(ran.out.contains("free 19 + leased 1 = capacity 20"), "{ran:#?}");
    assert!(ran.out.contains("free 20 + leased 0 = capacity 20"), "{ran:#?}");
}

#[test]
fn the_demo_takes_another_port_and_says_so_when_its_own_is_taken() {
    let home = Home::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = home.run(&["demo", "--once", "--port", &port]).ends_with(0);
    let said = format!("port {port} is taken by ");
    assert!(ran.err.contains(&said) && ran.err.contains(&format!("pid {}", std::process::id())), "{ran:#?}");
}

#[test]
fn the_demo_goes_on_serving_and_its_next_commands_work_as_they_stand() {
    let home = Home::new();
    let mut demo = Guarded(Some(home.command(&["demo", "--port", "0"]).spawn().unwrap()));
    let said = read_until(demo.child().stdout.take().unwrap(), " load --server ");
    let command = said.lines().find_map(|l| l.split_once("→ ").filter(|(_, c)| c.contains(" status "))).unwrap().1;
    let status = home.command(&[]).get_envs().count();
    assert!(status > 0);
    let ran = in_time(command, {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(command).current_dir(home.path()).stdin(Stdio::null());
        move || shell.output().unwrap()
    });
    assert!(ran.status.success(), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stdout).contains("VR_MODE"), "{ran:?}");
    demo.signal(Signal::INT);
    demo.end("demo").ends_with(0);
}

#[test]
fn a_seat_is_held_exactly_while_the_program_runs() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    // `cat` runs until its input ends.
    let mut command = home.command(&checkout(&["VR_MODE", "-n", "2"], &clients, &["cat"]));
    let mut held = Guarded(Some(command.stdin(Stdio::piped()).spawn().unwrap()));
    server.wait_until_used(&home, "VR_MODE", 2);

    let more = server.for_status();
    let leases = home.run(&line(&["status", "--json", "--leases"], &more)).ends_with(0).json();
    assert_eq!(leases["leases"].as_array().unwrap().len(), 1);
    assert_eq!(leases["leases"][0]["process"], "cat");
    let table = home.run(&line(&["status", "--leases"], &more)).ends_with(0).out;
    let row: Vec<&str> = table.lines().find(|l| l.starts_with("VR_MODE")).unwrap().split_whitespace().collect();
    assert_eq!(row[..5], ["VR_MODE", "5.0", "2", "18", "20"]);
    let csv = home.run(&line(&["status", "--format", "csv"], &more)).ends_with(0).out;
    assert!(csv.starts_with("feature,version,used,free,count,") && csv.contains("\nVR_MODE,5.0,2,18,20,1,"), "{csv}");

    drop(held.child().stdin.take());
    let ran = held.end("checkout").ends_with(0);
    assert!(
        ran.err.contains("2 seats of VR_MODE held") && ran.err.contains("2 seats of VR_MODE given back"),
        "{ran:#?}"
    );
    assert_eq!(server.used(&home, "VR_MODE"), 0);
}

#[test]
fn the_programs_own_status_and_output_are_passed_on() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    let run = |command: &[&str]| home.run(&checkout(&["VR_MODE"], &clients, command));
    assert_eq!(run(&["sh", "-c", "echo out; exit 7"]).ends_with(7).out, "out\n");
    run(&["sh", "-c", "kill -TERM $$"]).ends_with(143);
    run(&["/no/such/program"]).ends_with(127);
    run(&["/etc/passwd"]).ends_with(126);
    assert_eq!(server.used(&home, "VR_MODE"), 0, "a program that never ran holds nothing");
}

#[test]
fn signals_go_on_to_the_program_and_the_seat_comes_back() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let script = "echo ready; exec sleep 60";
        let mut held =
            Guarded(Some(home.command(&checkout(&["VR_MODE"], &clients, &["sh", "-c", script])).spawn().unwrap()));
        read_until(held.child().stdout.take().unwrap(), "ready");
        held.signal(signal);
        held.end("checkout").ends_with(status);
        assert_eq!(server.used(&home, "VR_MODE"), 0);
    }
}

#[test]
fn without_a_program_the_seat_is_held_until_ctrl_c() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    let mut held = Guarded(Some(home.command(&checkout(&["SOLVER"], &clients, &[])).spawn().unwrap()));
    server.wait_until_used(&home, "SOLVER", 1);
    held.signal(Signal::INT);
    held.end("checkout").ends_with(0);
    assert_eq!(server.used(&home, "SOLVER"), 0);
}

#[test]
fn each_kind_of_no_has_its_status_and_its_remedy() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    let run = |words: &[&str]| home.run(&checkout(words, &clients, &["true"]));
    let unknown = run(&["VR_MOED"]).ends_with(77);
    assert!(unknown.err.contains("did you mean VR_MODE?"), "{unknown:#?}");
    let version = run(&["VR_MODE", "-v", "9.0"]).ends_with(77);
    assert!(version.err.contains("version-too-high"), "{version:#?}");
    run(&["VR_MODE", "-n", "21"]).ends_with(77);
    run(&["VR_MODE", "-n", "0"]).ends_with(2);
    run(&["VR MODE"]).ends_with(2);

    let mut all = home.command(&checkout(&["VR_MODE", "-n", "20"], &clients, &["cat"]));
    let mut held = Guarded(Some(all.stdin(Stdio::piped()).spawn().unwrap()));
    server.wait_until_used(&home, "VR_MODE", 20);
    let full = run(&["VR_MODE"]).ends_with(75);
    assert!(full.err.contains("no-seat") && full.err.contains("--wait"), "{full:#?}");

    let patient = home.command(&checkout(&["VR_MODE", "--retry-for", "20s"], &clients, &["true"])).spawn().unwrap();
    drop(held.child().stdin.take());
    held.end("checkout").ends_with(0);
    Ran::of(patient, &["checkout --retry-for"]).ends_with(0);
}

#[test]
fn whoever_waits_in_the_queue_is_told_his_place_and_gets_the_seat_that_comes_back() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    let mut all = home.command(&checkout(&["VR_MODE", "-n", "20"], &clients, &["cat"]));
    let mut held = Guarded(Some(all.stdin(Stdio::piped()).spawn().unwrap()));
    server.wait_until_used(&home, "VR_MODE", 20);
    let waiter = || home.command(&checkout(&["VR_MODE", "--wait", "60s"], &clients, &["true"])).spawn().unwrap();
    let first = waiter();
    server.wait_until_waiting(&home, "VR_MODE", 1);
    let second = waiter();
    server.wait_until_waiting(&home, "VR_MODE", 2);
    let given_up = home.run(&checkout(&["VR_MODE", "--wait", "1s"], &clients, &["true"])).ends_with(75);
    assert!(given_up.err.contains("place 3 of 3 in the queue (no-seat)"), "{given_up:#?}");
    server.wait_until_waiting(&home, "VR_MODE", 2);
    drop(held.child().stdin.take());
    held.end("checkout").ends_with(0);
    let told = Ran::of(first, &["checkout --wait"]).ends_with(0);
    assert!(told.err.contains("place 1 of 1 in the queue (no-seat)"), "{told:#?}");
    Ran::of(second, &["checkout --wait"]).ends_with(0);
    assert_eq!(server.used(&home, "VR_MODE"), 0);
}

#[test]
fn with_several_servers_the_first_seat_that_comes_back_at_any_of_them_is_taken() {
    let (home, other) = (Home::new(), Home::new());
    let (first, second) = (Server::start(&home, &[]), Server::start(&other, &[]));
    let mut holders: Vec<Guarded> = [(&home, &first), (&other, &second)]
        .into_iter()
        .map(|(home, server)| {
            let clients = server.for_clients();
            let mut all = home.command(&checkout(&["VR_MODE", "-n", "20"], &clients, &["cat"]));
            Guarded(Some(all.stdin(Stdio::piped()).spawn().unwrap()))
        })
        .collect();
    first.wait_until_used(&home, "VR_MODE", 20);
    second.wait_until_used(&other, "VR_MODE", 20);
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers = format!("{},{},{nobody}", first.udp, second.udp);
    let keys = [&first, &second].map(|server| server.publisher_key.display().to_string());
    let line = [
        "checkout",
        "VR_MODE",
        "--wait",
        "60s",
        "--server",
        &servers,
        "--publisher-key",
        &keys[0],
        "--publisher-key",
        &keys[1],
    ];
    let waiter = home.command(&[&line[..], &["--", "true"]].concat()).spawn().unwrap();
    first.wait_until_waiting(&home, "VR_MODE", 1);
    second.wait_until_waiting(&other, "VR_MODE", 1);
    let mut holder = holders.remove(1);
    drop(holder.child().stdin.take());
    holder.end("checkout").ends_with(0);
    let told = Ran::of(waiter, &["checkout --wait"]).ends_with(0);
    assert!(told.err.contains(&format!("{nobody} is left out")), "{told:#?}");
    assert!(told.err.contains(&format!("place 1 of 1 in the queue (no-seat) at {}", first.udp)), "{told:#?}");
    first.wait_until_waiting(&home, "VR_MODE", 0);
    assert_eq!(second.used(&other, "VR_MODE"), 0);
}

#[test]
fn a_server_that_is_not_there_or_not_the_right_one_is_told_apart() {
    let home = Home::new();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = home.run(&["checkout", "VR_MODE", "--server", &nobody, "--", "true"]).ends_with(69);
    assert!(silent.err.contains("leasehold discover"), "{silent:#?}");

    let server = Server::start(&home, &[]);
    let pinned = format!("{}#00112233445566778899aabbccddeeff", server.udp);
    home.run(&["checkout", "VR_MODE", "--server", &pinned, "--", "true"]).ends_with(76);
    home.run(&["keygen", "--publisher", "demo", "--out", "other"]).ends_with(0);
    let udp = server.udp.to_string();
    let other = ["checkout", "VR_MODE", "--server", &udp, "--publisher-key", "other/demo.pub", "--", "true"];
    let ran = home.run(&other).ends_with(76);
    assert!(!ran.err.contains("held"), "{ran:#?}");
    home.run(&["checkout", "VR_MODE", "--server", "127.0.0.1:port", "--", "true"]).ends_with(2);
    home.run(&["checkout", "VR_MODE", "--publisher-key", "none.pub", "--", "true"]).ends_with(1);
}

#[test]
fn discover_lists_the_server_by_name_and_by_broadcast() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let port = server.udp.port().to_string();
    let key = server.publisher_key.display().to_string();
    for words in [vec!["--port", &*port], vec!["--server", &*server.udp.to_string()]] {
        let mut line = vec!["discover", "--json", "--publisher-key", &key];
        line.extend(words);
        let told = home.run(&line).ends_with(0).json();
        let servers = told["servers"].as_array().unwrap();
        let ours = servers.iter().find(|s| s["address"] == server.udp.to_string()).expect("our server is listed");
        assert_eq!(ours["publisher"], "demo");
        assert_eq!(ours["fingerprint"].as_str().unwrap().len(), 32);
    }
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    home.run(&["discover", "--port", &nobody, "--timeout", "100ms"]).ends_with(69);
}

#[test]
fn status_tells_what_is_missing() {
    let home = Home::new();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let gone = home.run(&["status", "--url", &url]).ends_with(69);
    assert!(gone.err.contains(&url) && gone.err.contains("leasehold serve"), "{gone:#?}");

    let server = Server::start(&home, &[]);
    let url = format!("http://{}", server.http);
    let no_token = home.run(&["status", "--url", &url]).ends_with(1);
    assert!(no_token.err.contains("there is no token at") && no_token.err.contains("--data-dir"), "{no_token:#?}");
    std::fs::write(home.path().join("wrong"), "0".repeat(64)).unwrap();
    let wrong = home.run(&["status", "--url", &url, "--token-file", "wrong"]).ends_with(1);
    assert!(wrong.err.contains("is not that server's"), "{wrong:#?}");
    let more = server.for_status();
    let unknown = home.run(&line(&["status", "--feature", "VR_MOD"], &more)).ends_with(77);
    assert!(unknown.err.contains("did you mean VR_MODE?"), "{unknown:#?}");
    home.run(&["status", "--url", "https://127.0.0.1:1"]).ends_with(2);
}

#[test]
fn a_server_whose_port_is_taken_names_the_holder_and_the_flag() {
    let home = Home::new();
    let first = Server::start(&home, &[]);
    let port = first.udp.port().to_string();
    let line = ["serve", "--listen", "127.0.0.1", "--port", &port, "--data-dir", "other"];
    let ran = home.run(&line).ends_with(3);
    assert!(ran.err.contains("leasehold (pid") && ran.err.contains("--port"), "{ran:#?}");
}

#[test]
fn init_never_writes_over_and_serves_without_demo_too() {
    let home = Home::new();
    home.run(&["init", "--demo"]).ends_with(0);
    let again = home.run(&["init", "--demo"]).ends_with(1);
    assert!(again.err.contains("leasehold.toml is there already"), "{again:#?}");
    home.run(&["init", "empty"]).ends_with(0);
    let shown = home.run(&["config", "show", "--config", "empty/leasehold.toml", "--json"]).ends_with(0).json();
    let data_dir = shown["settings"][0]["value"][0].as_str().unwrap().to_owned();
    assert!(data_dir.ends_with("empty/data"), "{data_dir}");
}

#[test]
fn doctor_ends_with_the_worst_it_found() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let (port, data) = (server.udp.port().to_string(), server.data_dir.display().to_string());
    let key = server.publisher_key.display().to_string();
    let url = format!("http://{}", server.http);
    let line = ["doctor", "--json", "--port", &port, "--data-dir", &data, "--publisher-key", &key, "--url", &url];
    // The demo licence ends within 30 days: a warning.
    let told = home.run(&line).ends_with(1).json();
    let checks = told["checks"].as_array().unwrap();
    let level =
        |name: &str| checks.iter().find(|c| c["check"] == name).map(|c| c["level"].as_str().unwrap().to_owned());
    assert_eq!(level(&format!("server-{}", server.udp)).as_deref(), Some("ok"), "{told:#}");
    assert_eq!(level("licence-demo.lic").as_deref(), Some("warn"), "{told:#}");
    assert_eq!(level("broadcast-lo").as_deref(), Some("ok"), "{told:#}");
    assert_eq!(level("licence-clock").as_deref(), Some("ok"), "{told:#}");

    let licence = server.data_dir.join("licences/demo.lic");
    let altered = std::fs::read_to_string(&licence).unwrap().replacen("count = 20\n", "count = 90\n", 1);
    std::fs::write(&licence, altered).unwrap();
    let text = home.run(&["doctor", "--port", &port, "--data-dir", &data]).ends_with(2);
    assert!(text.out.contains("fail  licence-demo.lic") && text.out.contains("leasehold lint "), "{text:#?}");
}

#[test]
fn a_lost_server_is_told_and_the_program_goes_on_unless_told_otherwise() {
    let home = Home::new();
    let mut server = Server::start(&home, &["--lease-ttl", "2s"]);
    let clients = server.for_clients();
    let start = |words: &[&str], script: &str| {
        let mut command = home.command(&checkout(words, &clients, &["sh", "-c", script]));
        Guarded(Some(command.stdin(Stdio::piped()).spawn().unwrap()))
    };
    let runs = |name: &str| home.path().join(name);
    let script = |name: &str, then: &str| format!("touch {}; {then}", runs(name).display());
    let mut keeps = start(&["VR_MODE"], &script("keeps", "cat > /dev/null; exit 5"));
    let mut stops = start(&["VR_MODE", "--on-loss", "stop"], &script("stops", "exec sleep 60"));
    // A seat is out a moment before its holder knows, while it is written down.
    let began = std::time::Instant::now();
    while !(runs("keeps").exists() && runs("stops").exists()) {
        assert!(began.elapsed() < common::PATIENCE, "they never began");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    server.process.signal(Signal::KILL);

    let stopped = stops.0.take().map(|child| Ran::of(child, &["checkout --on-loss stop"])).unwrap().ends_with(143);
    assert!(stopped.err.contains("VR_MODE is lost"), "{stopped:#?}");
    let said = read_until(keeps.child().stderr.take().unwrap(), "goes on without its seat");
    assert!(said.contains("does not answer"), "{said}");
    drop(keeps.child().stdin.take());
    keeps.end("checkout").ends_with(5);
}

#[test]
fn a_small_load_loses_nothing_and_says_so_in_json() {
    let home = Home::new();
    let line = ["load", "--clients", "40", "--features", "3", "--renew-every", "100ms", "--for", "1s", "--json"];
    let told = home.run(&line).ends_with(0).json();
    assert_eq!(told["ok"], true, "{told:#}");
    assert_eq!(told["seats"]["held_max"], 40);
    assert_eq!(told["seats"]["out_after"], 0);
    assert_eq!(told["counts"]["lost"], 0);
    assert_eq!(told["latency"]["checkouts"]["count"], 40);
    assert!(told["throughput"]["renewals"].as_u64().unwrap() > 100, "{told:#}");
    assert!(told["cost"]["cpu_us_per_renewal"].is_number(), "{told:#}");
}

#[test]
fn a_load_with_more_clients_than_seats_counts_the_denials() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let clients = server.for_clients();
    let words = ["load", "--feature", "VR_MODE", "--clients", "30", "--for", "200ms", "--ramp", "100ms", "--json"];
    let told = home.run(&line(&words, &clients)).ends_with(0).json();
    assert_eq!(told["denials"]["no-seat"], 10, "{told:#}");
    assert_eq!(told["seats"]["held_max"], 20);
    assert_eq!(server.used(&home, "VR_MODE"), 0);
    let unknown = home.run(&line(&["load", "--feature", "VRMODE"], &clients)).ends_with(77);
    assert!(unknown.err.contains("did you mean VR_MODE?"), "{unknown:#?}");
}

#[test]
fn a_pipe_into_head_ends_quietly_while_a_server_answers() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let more = server.for_status();
    let mut child = home.command(&line(&["status"], &more)).spawn().unwrap();
    let mut one = [0; 1];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut one).unwrap();
    drop(out);
    Ran::of(child, &["status | head -c1"]).ends_with(0);
}
