//! Servers under test: processes of their own, on a processor of their own, in a folder that goes with them.

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::signal::kill,
    time::ClockId,
    unistd::Pid,
};

pub use nix::sys::signal::Signal;

/// Which processor serves and which one asks. The two never share one, or the figures mean nothing.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// Runs the server under test.
    pub server: usize,
    /// Runs the load.
    pub load: usize,
}

/// A process under test. Ends with this value, and all it started with it.
pub struct Served {
    name: &'static str,
    child: Child,
    family: OnceLock<Vec<Pid>>,
    scratch: tempfile::TempDir,
}

/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take to end when asked to.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Where it writes what it has to say.
const LOG: &str = "said.log";

impl Cores {
    /// The first processor this process may use for the server, the last for the load.
    ///
    /// # Errors
    /// If there is only one.
    pub fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let all: Vec<_> = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true)).collect();
        match all[..] {
            [server, .., load] => Ok(Self { server, load }),
            _ => Err(io::Error::other("a server and its load need a processor each: this process may use only one")),
        }
    }

    /// Puts this thread, and the threads it starts, where the load belongs.
    ///
    /// # Errors
    /// What the system says.
    pub fn pin_load(self) -> io::Result<()> {
        pin(self.load)
    }
}

impl Served {
    /// Starts what `command` says, given a folder of its own, and waits until `answers`.
    ///
    /// # Errors
    /// If it cannot be started, ends at once or does not answer; with what it said.
    pub fn start(
        name: &'static str,
        cores: Cores,
        command: impl FnOnce(&Path) -> io::Result<Command>,
        mut answers: impl FnMut() -> bool,
    ) -> io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("leasehold-bench-").tempdir()?;
        let mut command = command(scratch.path())?;
        let log = File::create(scratch.path().join(LOG))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(scratch.path());
        // A process starts on the processors of the thread that starts it.
        pin(cores.server)?;
        let began = Instant::now();
        let child = command.spawn();
        cores.pin_load()?;
        let mut served = Self { name, child: child?, family: OnceLock::new(), scratch };
        while !answers() {
            if served.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                return Err(served.complaint());
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(served)
    }

    /// Processor time so far: user and system, all threads of the process and of those it started.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.family()
            .iter()
            .filter_map(|pid| ClockId::pid_cpu_clock_id(*pid).ok()?.now().ok())
            .map(Duration::from)
            .sum()
    }

    /// Sends it `signal`.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(pid(&self.child), signal)?)
    }

    /// How many lines of what it has said have `words` in them.
    #[must_use]
    pub fn times_said(&self, words: &str) -> usize {
        let said = fs::read_to_string(self.scratch.path().join(LOG)).unwrap_or_default();
        said.lines().filter(|line| line.contains(words)).count()
    }

    /// The number it gave for `field` in the first line with `words` in it.
    #[must_use]
    pub fn number_said(&self, words: &str, field: &str) -> Option<u64> {
        let said = fs::read_to_string(self.scratch.path().join(LOG)).ok()?;
        let line = said.lines().find(|line| line.contains(words))?;
        let (_, after) = line.split_once(field)?;
        let digits = after.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// Memory it has in hand, in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.family().iter().filter_map(|pid| crate::machine::resident_of(&pid.to_string())).sum()
    }

    /// The process and those it started. They are looked up once: all there will be are there when a server answers.
    fn family(&self) -> &[Pid] {
        self.family.get_or_init(|| family_of(pid(&self.child)))
    }

    fn complaint(&self) -> io::Error {
        let said = fs::read_to_string(self.scratch.path().join(LOG)).unwrap_or_default();
        let last: Vec<_> = said.lines().rev().take(10).collect();
        let last: String = last.iter().rev().map(|line| format!("\n    {line}")).collect();
        io::Error::other(format!("{} does not answer; it said:{last}", self.name))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let family = family_of(pid(&self.child));
        // Gently first: one that has started others ends them itself.
        let _ = kill(pid(&self.child), Signal::SIGTERM);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < FAREWELL {
            thread::sleep(Duration::from_millis(10));
        }
        // Then whoever is left, and orphans.
        family.into_iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).for_each(|pid| {
            let _ = kill(pid, Signal::SIGKILL);
        });
        let _ = self.child.wait();
    }
}

/// A port of 127.0.0.1 that is free for datagrams and for streams, at this moment.
///
/// # Errors
/// If there is none.
pub fn free_address() -> io::Result<SocketAddr> {
    for _ in 0..100 {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::other("no port of 127.0.0.1 is free"))
}

fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// `first` and all who descend from it.
fn family_of(first: Pid) -> Vec<Pid> {
    let parents: Vec<_> =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| parent_of(&e.path())).collect();
    let mut family = vec![first];
    let mut n = 0;
    while let Some(parent) = family.get(n).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        n += 1;
    }
    family
}

/// A process and its parent.
fn parent_of(folder: &Path) -> Option<(Pid, Pid)> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses itself: fields are counted after the last one.
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    Some((Pid::from_raw(pid), Pid::from_raw(parent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, answers: impl FnMut() -> bool) -> io::Result<Served> {
        let cores = Cores { server: 0, load: 0 };
        let script = script.to_owned();
        let command = move |_: &Path| {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            Ok(command)
        };
        Served::start("sh", cores, command, answers)
    }

    #[test]
    fn processor_time_of_those_a_process_started_counts() {
        let began = Instant::now();
        // The child of the shell works, the shell waits.
        let served = start("(while :; do :; done) & wait", || began.elapsed() > Duration::from_millis(100)).unwrap();
        let before = served.cpu();
        thread::sleep(Duration::from_millis(300));
        assert!(served.cpu() > before);
        assert!(served.resident() > 0);
        let family = served.family().to_vec();
        assert_eq!(family.len(), 2);
        drop(served);
        let ended =
            |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
        thread::sleep(Duration::from_millis(50));
        assert!(family.iter().all(ended), "they end with it");
    }

    #[test]
    fn one_that_ends_instead_of_answering_is_quoted() {
        let e = start("echo no such luck >&2", || false).err().expect("it does not answer");
        assert!(e.to_string().contains("no such luck"), "{e}");
    }
}
