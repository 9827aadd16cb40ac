//! The `leasehold` binary and folders for it to live in: what tests of whole processes are made of.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use leasehold_protocol::{
    Entropy,
    crypto::{Fingerprint, Keypair},
    hex,
    licence::text,
};
use serde_json::Value;

use crate::{
    plan::{Feature, PUBLISHER, Publisher},
    rng::Rng,
};

/// The binary, built if it has to be. `LEASEHOLD_BINARY` names one that is built already.
///
/// # Panics
/// If it does not build: there is nothing to test.
#[must_use]
pub fn leasehold() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("LEASEHOLD_BINARY").map_or_else(build, PathBuf::from))
}

/// A port that is free for UDP and TCP on loopback, and that no connection takes by chance before a server has it, nor while it is
/// started again: those come from 32 768 on.
///
/// # Panics
/// If none is free.
#[must_use]
pub fn free_port() -> u16 {
    const RANGE: std::ops::Range<u16> = 12_000..32_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let is_free =
        |port: &u16| UdpSocket::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let len = u32::from(RANGE.end - RANGE.start);
    // Tests of several processes begin at places of their own.
    let first = std::process::id().wrapping_mul(101);
    std::iter::repeat_with(|| first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % len)
        .take(len as usize)
        .map(|nth| RANGE.start + u16::try_from(nth).expect("within the range"))
        .find(is_free)
        .expect("a free port on loopback")
}

fn build() -> PathBuf {
    cargo_build(&["-p", "leasehold-cli", "--bin", "leasehold"]).join("leasehold")
}

/// An example of the SDK, built if it has to be. Beside `LEASEHOLD_BINARY`, if that is set.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let beside = || std::env::var_os("LEASEHOLD_BINARY").and_then(|path| Some(Path::new(&path).parent()?.to_owned()));
    let folder = FOLDER.get_or_init(|| beside().unwrap_or_else(|| cargo_build(&["-p", "leasehold", "--examples"])));
    folder.join("examples").join(name)
}

/// Builds, in this test's own profile; returns the folder of what was built.
fn cargo_build(what: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&root).args(["build", "--quiet"]).args(what);
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    if profile == "release" {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo is there: it runs this test");
    assert!(status.success(), "{what:?} does not build");
    root.join("target").join(profile)
}

/// A folder with everything a server and its clients need: publisher, keys, licence, state.
pub struct House {
    folder: tempfile::TempDir,
    /// The server's fingerprint in the publisher's realm; the licence names it.
    pub fingerprint: Fingerprint,
}

impl House {
    /// A house whose licence grants `features`.
    ///
    /// # Panics
    /// If the folder cannot be written.
    #[must_use]
    pub fn with(features: &[Feature]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        // Keys of a test need no more chance than the folder's random name.
        let mut rng = Rng::new(hash_of(folder.path()));
        let keys = Keypair::generate(&mut rng);
        let publisher = Publisher::seeded(rng.draw());
        let fingerprint = keys.public().fingerprint();
        let house = Self { folder, fingerprint };
        let realm = house.path("state").join("realms").join(PUBLISHER);
        std::fs::create_dir_all(&realm).expect("the state folder");
        put(&realm.join("server.key"), &format!("{}\n", hex::encode(keys.private())));
        put(&house.path("acme.pub"), &publisher.key().to_text());
        put(&house.path("acme.lic"), &text::write(&publisher.sign(features, &[fingerprint]), "for a test"));
        house
    }

    /// Writes a site key, so that the site is closed; returns its file.
    #[must_use]
    pub fn close_site(&self) -> PathBuf {
        let mut key = [0; 32];
        Rng::new(hash_of(self.folder.path())).fork(1).fill(&mut key);
        let path = self.path("site.key");
        put(&path, &format!("{}\n", hex::encode(&key)));
        path
    }

    /// A file or folder of it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `serve` with this house's keys, licence and state.
    #[must_use]
    pub fn serve(&self) -> Vec<String> {
        let of = |name: &str| self.path(name).display().to_string();
        let words =
            ["serve", "--data-dir", &of("state"), "--licence", &of("acme.lic"), "--publisher-key", &of("acme.pub")];
        words.map(str::to_owned).to_vec()
    }

    /// The environment of a client that lives here: its own state folder, no colours, nothing of the machine's.
    pub fn client_environment(&self, command: &mut Command, name: &str) {
        let state = self.path(name);
        command.env("XDG_STATE_HOME", &state).env("HOME", &state).env("NO_COLOR", "1");
        for variable in ["LEASEHOLD_SERVER", "LEASEHOLD_PORT", "LEASEHOLD_SITE_KEY", "LEASEHOLD_DATA_DIR"] {
            command.env_remove(variable);
        }
    }

    /// An administrator's command for the server of this house that listens on `port` of loopback.
    #[must_use]
    pub fn admin<S: AsRef<OsStr>>(&self, port: u16, words: impl IntoIterator<Item = S>) -> Command {
        let mut admin = command(words);
        self.client_environment(&mut admin, "admin");
        admin.env("LEASEHOLD_URL", format!("http://127.0.0.1:{port}"));
        admin.env("LEASEHOLD_TOKEN_FILE", self.path("state").join("rest.token"));
        admin
    }

    /// A client's command of the machine called `name`, for that server.
    #[must_use]
    pub fn client<S: AsRef<OsStr>>(&self, port: u16, name: &str, words: impl IntoIterator<Item = S>) -> Command {
        let mut client = command(words);
        self.client_environment(&mut client, name);
        client.env("LEASEHOLD_SERVER", format!("127.0.0.1:{port}"));
        client
    }
}

fn hash_of(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().fold(17, |sum: u64, b| sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(*b)))
}

fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let secret = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, secret).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// A running process whose lines can be waited for. Killed when dropped, with everything it started.
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<(Instant, String)>,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `command`, reading what it says on both outputs.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: what it started ends with it, even if it is killed itself.
        command.process_group(0);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (sender, lines) = mpsc::channel();
        let said = Arc::new(Mutex::new(String::new()));
        if let Some(out) = child.stdout.take() {
            follow(out, sender.clone(), Arc::clone(&said));
        }
        if let Some(err) = child.stderr.take() {
            follow(err, sender, Arc::clone(&said));
        }
        Self { child, lines, said }
    }

    /// Waits for a line that contains `words`; when it came and what it says.
    ///
    /// # Panics
    /// If it does not come in `limit`, or the process ends before: with everything it said.
    pub fn wait_for(&mut self, words: &str, limit: Duration) -> (Instant, String) {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((at, line)) if line.contains(words) => return (at, line),
                Ok(_) => {}
                Err(e) => panic!("{words:?} was not said in {limit:?} ({e}); what was:\n{}", self.said()),
            }
        }
    }

    /// Everything it said so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().map(|said| said.clone()).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9` of it alone, and the instant after it.
    pub fn kill(&mut self) -> Instant {
        let _ = self.child.kill();
        let at = Instant::now();
        let _ = self.child.wait();
        at
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; its status code, or `None` if a signal ended it or `limit` passed.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- process {} said:\n{}---", self.child.id(), self.said());
        }
    }
}

fn follow(output: impl Read + Send + 'static, lines: mpsc::Sender<(Instant, String)>, said: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Ok(mut said) = said.lock() {
                said.push_str(&line);
                said.push('\n');
            }
            let _ = lines.send((Instant::now(), line));
        }
    });
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started.
pub fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Runs a command that must succeed and prints JSON.
///
/// # Panics
/// If it does not: with what it said.
pub fn json(command: Command) -> Value {
    let output = run(command);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("no JSON ({e}): {out}"))
}

/// The binary with `words`.
pub fn command<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(leasehold());
    command.args(words);
    command
}

/// Asks again every 20 ms until `answer` is there.
///
/// # Panics
/// If it is not in `limit`.
pub fn until<T>(limit: Duration, what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = answer() {
            return found;
        }
        assert!(Instant::now() < end, "not in {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
