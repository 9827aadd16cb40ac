//! Licences that change under a server process (L-4, L-5): whole processes, real files, kill -9.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use leasehold_protocol::licence::{PublisherKey, text};
use leasehold_tests::{
    binary::{House, Process, command, free_port, json, run, until},
    plan::Feature,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server process with one seat of CAD, and a publisher's key to sign more.
struct Site {
    house: House,
    port: u16,
    server: Process,
}

impl Site {
    fn new() -> Self {
        let house = House::with(&[Feature { name: "CAD".into(), seats: 1, ttl_s: 300, grace_s: 0 }]);
        let port = free_port();
        let site = Self { server: start(&house, port), house, port };
        let made = run(command(["keygen", "--publisher", "acme", "--out", &site.path("keys")]));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        site
    }

    /// A site whose server trusts a key of ours from the beginning.
    fn with_key() -> Self {
        let mut site = Self::new();
        let keys = PathBuf::from(site.path("state")).join("publishers");
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::create_dir_all(PathBuf::from(site.path("state")).join("licences")).unwrap();
        std::fs::copy(site.path("keys/acme.pub"), keys.join("next.pub")).unwrap();
        // It watches the folders that are there when it starts.
        site.restart();
        site
    }

    fn path(&self, name: &str) -> String {
        self.house.path(name).display().to_string()
    }

    /// Ends the server as an administrator does, and starts it again.
    fn restart(&mut self) {
        self.end();
        self.server = start(&self.house, self.port);
    }

    fn end(&mut self) {
        let pid = self.server.id().to_string();
        // The second signal does not wait for leases.
        for _ in 0..2 {
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
            std::thread::sleep(Duration::from_millis(200));
        }
        self.server.wait(PATIENCE);
    }

    /// An administrator's command.
    fn admin(&self, words: &[&str]) -> Command {
        self.house.admin(self.port, words)
    }

    /// A client's command.
    fn client(&self, name: &str, words: &[&str]) -> Command {
        let mut client = self.house.client(self.port, name, words);
        client.env("LEASEHOLD_PUBLISHER_KEY", self.house.path("acme.pub"));
        client
    }

    /// A licence file signed by our key.
    fn issue(&self, name: &str, features: &str) -> String {
        let (template, licence) = (self.path(&format!("{name}.toml")), self.path(&format!("{name}.lic")));
        std::fs::write(&template, features).unwrap();
        let key = self.path("keys/acme.key");
        let issued = run(command(["issue", &template, "--key", &key, "--output", &licence, "--force"]));
        assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
        licence
    }

    fn metrics(&self) -> String {
        let token = std::fs::read_to_string(self.house.path("state").join("rest.token")).unwrap();
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer";
        write!(connection, "{head} {}\r\n\r\n", token.trim()).unwrap();
        let mut said = String::new();
        connection.read_to_string(&mut said).unwrap();
        said
    }

    fn seats(&self) -> (u64, u64) {
        let status = json(self.admin(&["status", "--json"]));
        let cad = status["features"].as_array().unwrap().iter().find(|f| f["feature"] == "CAD").unwrap().clone();
        (cad["count"].as_u64().unwrap(), cad["used"].as_u64().unwrap())
    }
}

fn start(house: &House, port: u16) -> Process {
    start_as(command(house.serve()), house, port)
}

/// A server whose wall clock goes on from `at`, in UTC. Its leases run on another clock.
fn start_at(at: &str, house: &House, port: u16) -> Process {
    let serve = command(house.serve());
    let mut moved = Command::new("faketime");
    moved.env("TZ", "UTC").args(["-f", &format!("@{at}")]).arg(serve.get_program()).args(serve.get_args());
    start_as(moved, house, port)
}

fn start_as(mut serve: Command, house: &House, port: u16) -> Process {
    house.client_environment(&mut serve, "server");
    let port = port.to_string();
    serve.args(["--listen", "127.0.0.1", "--port", &port, "--log-format", "json"]);
    let mut server = Process::start(serve);
    server.wait_for("serving", PATIENCE);
    server
}

fn upgrade(seats: u32) -> String {
    format!("[[feature]]\nname = \"CAD\"\nversion = \"1.0\"\ncount = {seats}\ntype = \"upgrade\"\n")
}

/// LS-11, LS-12: "Check both variants across a restart."
#[test]
fn seats_that_are_added_are_there_at_once_and_after_a_restart_only_if_they_were_kept() {
    let mut site = Site::with_key();
    let mut holder = Process::start(site.client("holder", &["checkout", "CAD", "--", "sleep", "60"]));
    until(PATIENCE, "the holder holds", || (site.seats() == (1, 1)).then_some(()));
    let full = run(site.client("second", &["checkout", "CAD", "--", "true"]));
    assert_eq!(full.status.code(), Some(75));
    let licence = site.issue("more", &upgrade(2));
    let keys = ["--publisher-key", &site.path("keys/acme.pub"), "--publisher-key", &site.path("acme.pub")];
    let lint = run(site.admin(&[&["lint", &licence, "--running"], &keys[..]].concat()));
    assert!(
        String::from_utf8_lossy(&lint.stdout).contains("CAD: 1 → 3 seats"),
        "{}",
        String::from_utf8_lossy(&lint.stderr)
    );
    assert_eq!(site.seats(), (1, 1), "nothing is loaded by it");
    let added = run(site.admin(&["licence", "add", &licence]));
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    assert!(String::from_utf8_lossy(&added.stdout).contains("CAD: 1 → 3 seats"));
    assert_eq!(site.seats(), (3, 1), "nobody lost a seat");
    let second = run(site.client("second", &["checkout", "CAD", "--", "true"]));
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    holder.kill();
    site.restart();
    assert_eq!(site.seats().0, 1, "it lived in memory");
    let kept = run(site.admin(&["licence", "add", &licence, "--persist"]));
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    site.restart();
    assert_eq!(site.seats().0, 3, "it was kept");
}

/// S-5, L-8, LT-18: a program sees one licence, with what upgrades add to it; its vendor string comes as it was signed; and files
/// on this machine stand in the same list.
#[test]
fn a_program_sees_each_licence_by_the_place_it_comes_from_and_no_upgrade_by_itself() {
    let site = Site::with_key();
    let more = "[[feature]]\nname = \"PRO\"\nversion = \"2.0\"\ncount = 5\nvendor-string = \"cells=4000\"\n\
        [[feature]]\nname = \"PRO\"\nversion = \"2.0\"\ncount = 2\ntype = \"upgrade\"\nend = \"2099-06-30\"\n";
    let added = run(site.admin(&["licence", "add", &site.issue("more", more)]));
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let local = site.issue(
        "local",
        "[[feature]]\nname = \"HERE\"\nversion = \"1.0\"\ncount = \"uncounted\"\nclient-hostids = [\"host:*\"]\n",
    );
    let info = |words: &[&str]| {
        let mut info = site.client("program", &[&["info", "--json"], words].concat());
        let keys = [site.path("keys/acme.pub"), site.path("acme.pub")];
        info.env("LEASEHOLD_PUBLISHER_KEY", keys.join(","));
        info.env_remove("LEASEHOLD_SERVER");
        info.env("LEASEHOLD_LICENSE_PATH", format!("{local}:{}@127.0.0.1", site.port));
        info
    };
    let paths = json(info(&[]))["paths"].clone();
    assert_eq!((paths[0]["kind"].as_str(), paths[1]["kind"].as_str()), (Some("file"), Some("server")));
    let shown = |path: &Value| {
        let line =
            |l: &Value| (l["feature"].as_str().unwrap().to_owned(), l["count"].as_u64(), l["upgraded_by"].as_u64());
        path["licences"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(shown(&paths[0]), [("HERE".to_owned(), None, Some(0))]);
    assert_eq!(shown(&paths[1]), [("CAD".to_owned(), Some(1), Some(0)), ("PRO".to_owned(), Some(7), Some(2))]);
    assert_eq!(paths[1]["licences"][1]["vendor_string"], "cells=4000");
    assert_eq!(paths[1]["licences"][1]["verified"], true);
    let feature = json(info(&["PRO"]))["feature"].clone();
    assert_eq!(
        (feature["count"].as_u64(), feature["upgraded_by"].as_u64(), feature["used"].as_u64()),
        (Some(7), Some(2), Some(0))
    );
    assert!(feature["next_end_ms"].as_u64().is_some(), "that of the upgrade: {feature}");
    assert_eq!(run(info(&["NONE"])).status.code(), Some(77));
}

/// Current and next: a server that had both public keys from the first day takes licences of the next one after a rotation, and goes
/// on with those of the old one.
#[test]
fn a_rotated_key_signs_licences_that_a_server_takes_which_had_both_public_keys() {
    let mut site = Site::with_key();
    let next = PathBuf::from(site.path("state")).join("publishers/later.pub");
    std::fs::copy(site.path("keys/acme.next.pub"), next).unwrap();
    site.restart();
    let add = |site: &Site, name: &str| {
        let licence = site.issue(name, &upgrade(2).replace("version", &format!("serial = \"{name}\"\nversion")));
        let added = run(site.admin(&["licence", "add", &licence, "--persist"]));
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        std::fs::read_to_string(licence).unwrap()
    };
    let before = add(&site, "before");
    assert_eq!(site.seats().0, 3);
    let rotated = run(command(["keygen", "--publisher", "acme", "--out", &site.path("keys"), "--rotate"]));
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let after = add(&site, "after");
    let key = |text: &str| text.lines().find(|line| line.contains("key")).unwrap().to_owned();
    assert_ne!(key(&before), key(&after), "signed by another one");
    assert_eq!(site.seats().0, 5);
    site.restart();
    assert_eq!(site.seats().0, 5);
}

/// The worked example of upgrades on a live server: exclusive 5 + upgrade 1 + upgrade 2, which ends at midnight in Berlin on a day that
/// has 25 hours. Nobody is cut off, the excess is flagged, and everything that tells of licences tells of the end.
#[test]
fn at_the_midnight_an_upgrade_ends_seats_fall_and_nobody_is_cut_off() {
    if Command::new("faketime").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED, LOUDLY: faketime is not here, and nothing else moves the clock of a whole process");
        return;
    }
    let mut site = Site::with_key();
    site.end();
    site.server = start_at("2030-10-27 22:59:30", &site.house, site.port);
    // A calendar that was set while the server was stopped is believed on an administrator's word.
    let confirmed = run(site.admin(&["clock", "confirm"]));
    assert!(confirmed.status.success(), "{}", String::from_utf8_lossy(&confirmed.stderr));
    let features = "zone = \"Europe/Berlin\"\n\
        [[feature]]\nname = \"PRO\"\nversion = \"2.0\"\ncount = 5\nend = \"2031-12-31\"\n\
        [[feature]]\nname = \"PRO\"\nversion = \"2.0\"\ncount = 1\ntype = \"upgrade\"\n\
        [[feature]]\nname = \"PRO\"\nversion = \"2.0\"\ncount = 2\ntype = \"upgrade\"\nend = \"2030-10-27\"\n";
    let added = run(site.admin(&["licence", "add", &site.issue("pro", features)]));
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let client = |words: &[&str]| {
        let mut client = site.client("program", words);
        client.env_remove("LEASEHOLD_PUBLISHER_KEY");
        client
    };
    let pro = || {
        let status = json(site.admin(&["status", "--json"]));
        let pro = status["features"].as_array().unwrap().iter().find(|f| f["feature"] == "PRO").unwrap().clone();
        ["count", "used", "overage", "upgraded_by"].map(|field| pro[field].as_u64().unwrap())
    };
    let outcomes = || {
        let report = json(site.admin(&["licence", "list", "--json"]));
        let lines: Vec<Value> = report["files"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|f| f["certificates"].as_array().unwrap().clone())
            .collect();
        let pro = lines.iter().filter(|line| line["feature"] == "PRO");
        pro.map(|line| line["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut holder = Process::start(client(&["checkout", "PRO", "--seats", "8", "--", "sleep", "120"]));
    until(PATIENCE, "one checkout of all eight", || (pro() == [8, 8, 0, 3]).then_some(()));
    assert_eq!(outcomes(), ["applied"; 3]);
    until(Duration::from_secs(60), "midnight", || (pro() == [6, 8, 2, 1]).then_some(()));
    assert_eq!(outcomes(), ["applied", "applied", "expired"], "by now, not as it was loaded");
    let lease = json(site.admin(&["status", "--leases", "--json"]))["leases"][0].clone();
    assert_eq!((lease["overage"].as_bool(), lease["seats"].as_u64()), (Some(true), Some(8)));
    assert!(holder.is_alive(), "nobody is cut off");
    assert_eq!(run(client(&["checkout", "PRO", "--", "true"])).status.code(), Some(75), "and nobody new is granted");
    site.server.wait_for("over what the licences in force allow", PATIENCE);
    let metrics = site.metrics();
    for line in [
        "leasehold_feature_seats{publisher=\"acme\",feature=\"PRO\"} 6",
        "leasehold_feature_seats_upgraded{publisher=\"acme\",feature=\"PRO\"} 1",
        "leasehold_feature_seats_overage{publisher=\"acme\",feature=\"PRO\"} 2",
        "leasehold_feature_limit_passed_total{publisher=\"acme\",feature=\"PRO\",limit=\"covered\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    holder.kill();
}

/// A file that appears, changes and goes bad, without a signal.
#[test]
fn a_changed_file_is_read_by_itself_and_a_bad_one_changes_nothing() {
    let site = Site::with_key();
    let licence = std::fs::read_to_string(site.issue("more", &upgrade(4))).unwrap();
    let (file, temporary) = (site.house.path("state/licences/more.lic"), site.house.path("more.half"));
    // In two halves, as an editor may write it, and then whole.
    std::fs::write(&file, &licence[..licence.len() / 2]).unwrap();
    std::fs::write(&temporary, &licence).unwrap();
    std::fs::rename(&temporary, &file).unwrap();
    until(PATIENCE, "the file is read", || (site.seats().0 == 5).then_some(()));
    std::fs::write(&file, licence.replace("count = 4", "count = 400")).unwrap();
    let warned = || {
        let status = json(site.admin(&["status", "--json"]));
        (site.server.said().contains("the licences in force are kept")).then_some(status)
    };
    until(PATIENCE, "the bad file is told of", warned);
    assert_eq!(site.seats().0, 5, "what works is kept");
    std::fs::remove_file(&file).unwrap();
    until(PATIENCE, "the file is gone", || (site.seats().0 == 1).then_some(()));
}

/// The server is killed at random moments while certificates are added for good: the file is whole each time, and what was
/// acknowledged is in it.
#[test]
fn a_crash_at_any_point_of_the_append_leaves_the_file_whole() {
    let mut site = Site::with_key();
    let added = site.house.path("state").join("added.lic");
    let keys: Vec<_> = [site.path("keys/acme.pub"), site.path("acme.pub")]
        .iter()
        .map(|path| PublisherKey::parse(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    let (mut acknowledged, mut interrupted) = (Vec::<String>::new(), 0);
    for round in 0..12_u64 {
        let features: String =
            (0..40).map(|n| format!("[[feature]]\nname = \"F{round}_{n}\"\nversion = \"1.0\"\ncount = 1\n")).collect();
        let licence = site.issue("round", &features);
        let mut add = site.admin(&["licence", "add", &licence, "--persist"]);
        let mut adding = add.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From before it begins to after it is done, in steps.
        std::thread::sleep(Duration::from_millis(5 + 4 * round));
        site.server.kill();
        if adding.wait().unwrap().success() {
            acknowledged.push(format!("F{round}_39"));
        } else {
            interrupted += 1;
        }
        let whole = std::fs::read_to_string(&added).unwrap_or_default();
        let report = text::read(&whole, &keys);
        assert_eq!(report.refused, [], "round {round}");
        let names: Vec<String> = report.applied.iter().map(|signed| signed.certificate.feature.to_string()).collect();
        assert!(names.len().is_multiple_of(40), "all of a file or nothing of it: {}", names.len());
        for feature in &acknowledged {
            assert!(names.contains(feature), "{feature} was acknowledged before round {round}");
        }
        site.server = start(&site.house, site.port);
    }
    println!("{} added, {interrupted} interrupted", acknowledged.len());
    let status: Value = json(site.admin(&["licence", "list", "--json"]));
    assert!(status["files"].as_array().unwrap().iter().all(|file| file["refused"].as_array().unwrap().is_empty()));
}
