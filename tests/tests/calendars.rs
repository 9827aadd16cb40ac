//! A whole server process whose calendar is set while a client holds a seat under a dated licence (T-5, S5).

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use leasehold_tests::{
    binary::{House, Process, command, free_port, json, run, until},
    plan::Feature,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR_MS: i64 = 3_600_000;

/// A server whose calendar is what a file says, with two seats of DATED that end some years from now.
struct Site {
    house: House,
    port: u16,
    library: String,
    server: Process,
}

impl Site {
    fn new(library: &str) -> Self {
        let house = House::with(&[Feature { name: "CAD".into(), seats: 1, ttl_s: 300, grace_s: 0 }]);
        let path = |name: &str| house.path(name).display().to_string();
        let ours = run(command(["keygen", "--publisher", "acme", "--out", &path("keys")]));
        assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
        for folder in ["publishers", "licences"] {
            std::fs::create_dir_all(house.path("state").join(folder)).unwrap();
        }
        std::fs::copy(house.path("keys/acme.pub"), house.path("state/publishers/ours.pub")).unwrap();
        let template = format!(
            "[[feature]]\nname = \"DATED\"\nversion = \"1.0\"\ncount = 2\nend = \"{}-12-31\"\n",
            this_year() + 4
        );
        std::fs::write(house.path("dated.toml"), template).unwrap();
        let (key, licence) = (path("keys/acme.key"), path("state/licences/dated.lic"));
        let issued = run(command(["issue", &path("dated.toml"), "--key", &key, "--output", &licence]));
        assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
        std::fs::write(house.path("calendar"), "+0").unwrap();
        let port = free_port();
        let server = start(&house, port, library);
        Self { house, port, library: library.to_owned(), server }
    }

    /// Sets the calendar of the server's process, against that of the machine.
    fn set(&self, offset: &str) {
        let half = self.house.path("calendar.half");
        std::fs::write(&half, offset).unwrap();
        std::fs::rename(half, self.house.path("calendar")).unwrap();
    }

    /// Kills it, sets the calendar, and starts another on the same folder.
    fn restart_at(&mut self, offset: &str) {
        self.server.kill();
        self.server.wait(PATIENCE);
        self.set(offset);
        self.server = start(&self.house, self.port, &self.library);
    }

    fn admin(&self, words: &[&str]) -> Command {
        self.house.admin(self.port, words)
    }

    fn client(&self, name: &str, words: &[&str]) -> Command {
        self.house.client(self.port, name, words)
    }

    /// What `leasehold clock` tells; its status is 1 where the calendar is not believed.
    fn clock(&self, words: &[&str]) -> Value {
        let told = run(self.admin(&[&["clock"], words, &["--json"]].concat()));
        let value: Value = serde_json::from_slice(&told.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&told.stderr)));
        let is_ok = value["clock"]["state"] == "ok";
        assert_eq!(told.status.code(), Some(if is_ok { 0 } else { 1 }));
        value["clock"].clone()
    }

    /// Waits until the calendar is seen as it was set, and what the server makes of it.
    fn until_clock(&self, what: &str, state: &str, raw_ahead_ms: i64) -> Value {
        until(PATIENCE, what, || {
            let clock = self.clock(&[]);
            let ahead = clock["raw_ahead_ms"].as_i64().unwrap();
            let near = 300 + raw_ahead_ms.abs() / 1000;
            (clock["state"] == state && (ahead - raw_ahead_ms).abs() < near).then_some(clock)
        })
    }

    /// Seats of DATED there are, and those that are out.
    fn seats(&self) -> (u64, u64) {
        let status = json(self.admin(&["status", "--json"]));
        let features = status["features"].as_array().unwrap();
        let dated = features.iter().find(|f| f["feature"] == "DATED").unwrap();
        (dated["count"].as_u64().unwrap(), dated["used"].as_u64().unwrap())
    }

    fn lease(&self) -> Value {
        json(self.admin(&["status", "--leases", "--json"]))["leases"][0].clone()
    }

    /// Somebody else takes a seat, and gives it back: the status of his command.
    fn another(&self) -> Option<i32> {
        run(self.client("another", &["checkout", "DATED", "--", "true"])).status.code()
    }

    fn metrics(&self) -> String {
        let token = std::fs::read_to_string(self.house.path("state/rest.token")).unwrap();
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer";
        write!(connection, "{head} {}\r\n\r\n", token.trim()).unwrap();
        let mut said = String::new();
        connection.read_to_string(&mut said).unwrap();
        said
    }
}

fn start(house: &House, port: u16, library: &str) -> Process {
    let mut serve = command(house.serve());
    house.client_environment(&mut serve, "server");
    serve.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", house.path("calendar"));
    serve.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    serve.args(["--listen", "127.0.0.1", "--port", &port.to_string(), "--log-format", "json", "--lease-ttl", "6s"]);
    let mut server = Process::start(serve);
    server.wait_for("serving", PATIENCE);
    server
}

fn this_year() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    1970 + since.as_secs() / 31_556_952
}

/// What `faketime` puts before a program. Of the program itself only the calendar is to be moved, and while it runs.
fn library() -> Option<String> {
    let shown = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).stderr(Stdio::null()).output();
    let path = String::from_utf8(shown.ok()?.stdout).ok()?;
    let path = path.split([':', ' ', '\n']).find(|path| path.contains("faketime"))?.to_owned();
    PathBuf::from(&path).is_absolute().then_some(path)
}

/// The lease of `holder` goes on: the same one, renewed.
fn goes_on(site: &Site, holder: &mut Process, id: &Value) {
    let before = site.lease()["renewals"].as_u64().unwrap();
    until(PATIENCE, "a renewal", || (site.lease()["renewals"].as_u64()? > before).then_some(()));
    assert_eq!((&site.lease()["id"], holder.is_alive()), (id, true));
    assert_eq!(site.seats(), (2, 1), "the right is in force");
}

#[test]
fn a_calendar_that_is_set_while_the_server_runs_ends_no_lease_lengthens_no_right_and_is_told_of() {
    let Some(library) = library() else {
        println!("SKIPPED, LOUDLY: faketime is not here, and nothing else moves the calendar of a whole process");
        return;
    };
    let mut site = Site::new(&library);
    let mut holder = Process::start(site.client("holder", &["checkout", "DATED", "--", "sleep", "300"]));
    until(PATIENCE, "the holder holds", || (site.seats() == (2, 1)).then_some(()));
    let id = site.lease()["id"].clone();
    // By how much years differ is faketime's affair: it has 365 days to one.
    let years = 10 * 365 * 24 * HOUR_MS;
    for (offset, state, ahead) in [
        ("-10y", "suspect", -years),
        ("+0", "ok", 0),
        ("+10y", "pending", years),
        ("+0", "ok", 0),
        ("-1", "ok", -1_000),
        ("+1", "ok", 0),
        ("+3600", "ok", 0),
        ("-3600", "ok", -2 * HOUR_MS),
        ("+0", "ok", -HOUR_MS),
    ] {
        site.set(offset);
        site.until_clock(offset, state, ahead);
        goes_on(&site, &mut holder, &id);
        assert_eq!(site.another(), Some(0), "{offset}: service is complete");
    }

    // Not over a restart either, in which the lease is kept.
    site.set("-10y");
    site.until_clock("set back", "suspect", -years);
    site.server.wait_for("the machine's clock is", PATIENCE);
    site.restart_at("-10y");
    site.until_clock("set back before a start", "suspect", -years);
    assert!(site.metrics().contains("\nleasehold_clock_suspect 1\n"), "{}", site.metrics());
    // Nor is a calendar believed that was set while nobody looked: the machine was not off.
    site.restart_at("+10y");
    site.until_clock("set forward before a start", "pending", years);
    goes_on(&site, &mut holder, &id);

    // An administrator's word: the right has ended, and nobody is cut off.
    let moved = site.clock(&["confirm"])["moved_ms"].as_i64().unwrap();
    assert!((moved - years).abs() < 2 * HOUR_MS, "{moved}");
    until(PATIENCE, "the right ends", || (site.seats() == (0, 1)).then_some(()));
    assert_ne!(site.another(), Some(0), "it has ended");
    assert_eq!((site.lease()["id"].clone(), holder.is_alive()), (id.clone(), true));
    site.set("+0");
    site.until_clock("right again", "suspect", -years);
    assert_ne!(site.another(), Some(0), "a clock set back revives nothing");
    assert!(site.clock(&["confirm"])["moved_ms"].as_i64().unwrap() < -years / 2);
    goes_on(&site, &mut holder, &id);
    assert_eq!(site.another(), Some(0));
    let confirmed = site.server.said().lines().filter(|line| line.contains("confirmed: ")).count();
    assert_eq!(confirmed, 2, "both are in the log");
    holder.kill();
}
