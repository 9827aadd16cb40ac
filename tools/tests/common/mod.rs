//! The real binary in a scratch home: nothing of this machine's own servers, variables and folders gets in.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The binary under test.
pub const LEASEHOLD: &str = env!("CARGO_BIN_EXE_leasehold");

/// How long anything may take before a test fails: far more than it needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A scratch folder that is home and working folder of every command run in it.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// An empty one.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command line of the binary in it.
    pub fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(LEASEHOLD);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("LEASEHOLD_") || ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "COLUMNS"].contains(&&*name)
            {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.path()).env("XDG_STATE_HOME", self.path().join("state")).current_dir(self.path());
        command.args(line).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command line to its end.
    pub fn run(&self, line: &[&str]) -> Ran {
        Ran::of(self.command(line).spawn().unwrap(), line)
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub line: String,
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Waits for `child`, and fails the test if it takes too long.
    pub fn of(child: Child, line: &[&str]) -> Self {
        let line = line.join(" ");
        let output = in_time(&line, move || child.wait_with_output().unwrap());
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { line, status: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// Fails the test unless it ended with `status`.
    pub fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        self
    }

    /// Its output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// Does `work` on a thread of its own and fails the test if that takes too long.
pub fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    result.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} did not end in {PATIENCE:?}"))
}

/// A child process that does not outlive its test.
pub struct Guarded(pub Option<Child>);

impl Guarded {
    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    pub fn pid(&mut self) -> u32 {
        self.child().id()
    }

    /// Sends a signal by its number.
    pub fn signal(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn end(mut self, what: &str) -> Ran {
        Ran::of(self.0.take().unwrap(), &[what])
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `leasehold serve` over a demo folder of its own, on a free loopback port.
pub struct Server {
    pub udp: SocketAddr,
    pub http: SocketAddr,
    pub publisher_key: PathBuf,
    pub data_dir: PathBuf,
    pub process: Guarded,
}

impl Server {
    /// Made by `init --demo` in `home`, and serving when this returns.
    pub fn start(home: &Home, more: &[&str]) -> Self {
        home.run(&["init", "--demo", "demo"]).ends_with(0);
        let mut line = vec!["serve", "--config", "demo/leasehold.toml", "--listen", "127.0.0.1", "--port", "0"];
        line.extend(["--log-format", "json", "--drain-time", "0s"]);
        line.extend(more);
        let mut process = Guarded(Some(home.command(&line).spawn().unwrap()));
        let log = process.child().stderr.take().unwrap();
        let (udp, http) = in_time("the server's start", move || serving_at(log));
        let publisher_key = home.path().join("demo/publisher/demo.pub");
        Self { udp, http, publisher_key, data_dir: home.path().join("demo/data"), process }
    }

    /// What a client command needs to find and trust it.
    pub fn for_clients(&self) -> Vec<String> {
        let key = self.publisher_key.display().to_string();
        vec!["--server".into(), self.udp.to_string(), "--publisher-key".into(), key]
    }

    /// What `status` needs.
    pub fn for_status(&self) -> Vec<String> {
        let data_dir = self.data_dir.display().to_string();
        vec!["--url".into(), format!("http://{}", self.http), "--data-dir".into(), data_dir]
    }

    /// Seats of `feature` that are out, as `status --json` tells.
    pub fn used(&self, home: &Home, feature: &str) -> u64 {
        self.number(home, feature, "used")
    }

    fn number(&self, home: &Home, feature: &str, of: &str) -> u64 {
        let more = self.for_status();
        let mut line = vec!["status", "--json"];
        line.extend(more.iter().map(String::as_str));
        let told = home.run(&line).ends_with(0).json();
        let features = told["features"].as_array().unwrap();
        features.iter().find(|line| line["feature"] == feature).unwrap()[of].as_u64().unwrap()
    }

    /// Waits until so many seats are out.
    pub fn wait_until_used(&self, home: &Home, feature: &str, wanted: u64) {
        let began = Instant::now();
        while self.used(home, feature) != wanted {
            assert!(began.elapsed() < PATIENCE, "{feature} never has {wanted} seats out");
        }
    }

    /// Waits until so many wait in its queue.
    pub fn wait_until_waiting(&self, home: &Home, feature: &str, wanted: u64) {
        let began = Instant::now();
        while self.number(home, feature, "waiting") != wanted {
            assert!(began.elapsed() < PATIENCE, "{wanted} never wait for {feature}");
        }
    }
}

fn serving_at(log: ChildStderr) -> (SocketAddr, SocketAddr) {
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let mut said = String::new();
    for line in lines.by_ref() {
        said.push_str(&line);
        said.push('\n');
        let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let fields = value.get("fields").unwrap_or(&value);
        if let (Some(udp), Some(http)) = (fields["udp"].as_str(), fields["http"].as_str()) {
            let (udp, http) = (udp.parse().unwrap(), http.parse().unwrap());
            thread::spawn(move || lines.for_each(drop));
            return (udp, http);
        }
    }
    panic!("the server ended before it served:\n{said}");
}

/// Reads `from` line by line until one holds `what`; returns what was read.
pub fn read_until(from: impl Read + Send + 'static, what: &'static str) -> String {
    in_time(what, move || {
        let mut lines = BufReader::new(from).lines().map_while(Result::ok);
        let mut said = String::new();
        for line in lines.by_ref() {
            said.push_str(&line);
            said.push('\n');
            if line.contains(what) {
                thread::spawn(move || lines.for_each(drop));
                return said;
            }
        }
        panic!("{what:?} was never said:\n{said}")
    })
}
