//! Hosts on one network, for real: Linux network namespaces joined by a bridge. Everything is taken away again when the
//! value goes, whatever the test came to.

use std::{
    fs::File,
    io::Write,
    net::Ipv4Addr,
    os::fd::AsFd,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// Hosts `10.77.0.1`, `10.77.0.2` and so on, `/24`, on one bridge.
pub struct Hosts {
    prefix: String,
    count: u8,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Hosts {
    /// So many hosts; `None`, with a loud line, where namespaces are not allowed.
    #[must_use]
    pub fn new(count: u8) -> Option<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hosts = Self { prefix: format!("lh{}-{number}-", std::process::id()), count };
        match hosts.build() {
            Ok(()) => Some(hosts),
            Err(why) => {
                // Not by a macro: those are held back while a test passes, and this must be seen.
                let line = format!("SKIPPED, LOUDLY: a test of two hosts needs network namespaces; here: {why}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let switch = self.switch();
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        (1..=self.count).try_for_each(|n| self.build_host(n))
    }

    fn build_host(&self, n: u8) -> Result<(), String> {
        let (host, switch) = (self.name(n), self.switch());
        ip(&format!("netns add {host}"))?;
        ip(&format!("-n {host} link set lo up"))?;
        ip(&format!("-n {switch} link add p{n} type veth peer name eth0 netns {host}"))?;
        ip(&format!("-n {switch} link set p{n} master br0 up"))?;
        ip(&format!("-n {host} addr add {}/24 broadcast 10.77.0.255 dev eth0", Self::address(n)))?;
        ip(&format!("-n {host} link set eth0 up"))
    }

    /// The address of host `n`, counted from 1.
    #[must_use]
    pub const fn address(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, n)
    }

    /// `command` on host `n`.
    #[must_use]
    pub fn on(&self, n: u8, command: &Command) -> Command {
        let mut there = Command::new(ip_path());
        there.args(["netns", "exec", &self.name(n)]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }

    /// Runs `act` in a thread that lives on host `n`: sockets it opens are that host's.
    ///
    /// # Panics
    /// If `act` does, or the host cannot be entered.
    pub fn inside<T: Send>(&self, n: u8, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(self.name(n))).expect("the namespace is there");
        let enter = move || {
            rustix::thread::move_into_link_name_space(namespace.as_fd(), None).expect("we made it, we may enter it");
            act()
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
    }

    /// Takes host `n`'s cable out, or puts it in again.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn cable(&self, n: u8, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        ip(&format!("-n {} link set p{n} {state}", self.switch())).expect("the port is there");
    }

    /// Host `n` gets another address and loses its own, as on another network.
    ///
    /// # Panics
    /// If it cannot have it.
    pub fn move_to(&self, n: u8, address: Ipv4Addr) {
        let host = self.name(n);
        ip(&format!("-n {host} addr flush dev eth0")).expect("its addresses can go");
        ip(&format!("-n {host} addr add {address}/24 broadcast 10.77.0.255 dev eth0")).expect("a free address");
    }

    fn name(&self, n: u8) -> String {
        format!("{}h{n}", self.prefix)
    }

    fn switch(&self) -> String {
        format!("{}sw", self.prefix)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in (1..=self.count).map(|n| self.name(n)).chain([self.switch()]) {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new(ip_path()).args(words.split(' ')).output().map_err(|e| format!("ip: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("ip {words}: {}", said.trim())) }
}

fn ip_path() -> &'static str {
    ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("ip")
}
