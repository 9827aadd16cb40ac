//! Who takes part.

use std::{io, net::SocketAddr, process::Command, rc::Rc, time::Duration};

use leasehold_benches::{
    blast::{Blaster, Dialect, Echo, Load, Socket},
    served::{Cores, Served, free_address},
};
use leasehold_protocol::message::RENEW_MANY_MAX;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    contest::Contestant,
    ours::{self, Ours, Pairs, Renewals},
    peers::{self, dns, etcd, memcached, redis},
};

/// Those who take part, and those who do not, with the reason.
pub struct LineUp {
    pub contestants: Vec<Contestant>,
    pub skipped: Vec<String>,
}

/// Tells this program to be the echo: an address and the length of an answer follow.
pub const SERVE_ECHO: &str = "--serve-echo";

/// Sockets of each load: as many machines as one batch has datagrams.
pub const SOCKETS: usize = 64;
/// Questions in flight on each: one batch is served while the next one comes. More would only wait in the kernel, whose
/// own limit for a socket is some 270 of our datagrams.
pub const WINDOW: usize = 2;
/// Clients behind each socket, who ask in turn: 1 024 sessions in all.
pub const CLIENTS: usize = 16;
/// Files that are open at once, with room to spare.
const FILES: u64 = 4096;
/// Commands that redis is sent in a go where it is sent several.
const PIPELINE: usize = 16;
/// Nobody is to lose a lease between two rounds.
const TTL: Duration = Duration::from_secs(86_400);
/// Handshakes a second: all a server can make, for the load is to begin soon.
pub const HANDSHAKES: u32 = 1_000_000;

/// All, or those whose names `only` begins with.
pub fn of(cores: Cores, only: &[String]) -> io::Result<LineUp> {
    let [question, answer] = ours::sizes().map_err(io::Error::other)?;
    let mut gate = Gate { only, contestants: Vec::new(), skipped: Vec::new() };
    gate.admit(&["echo"], || echo(cores, question, answer))?;
    gate.admit(&["ours", "ours-many", "ours-pairs"], || ours(cores))?;
    gate.admit_installed("memcached", &["memcached"], || {
        let (served, address) = memcached::start(cores)?;
        Ok(vec![datagrams("memcached", "memcached, UDP get", served, address, memcached::Get::default())?])
    })?;
    gate.admit_installed("knotd", &["knot"], || {
        let (served, address) = dns::start_knot(cores, question)?;
        Ok(vec![datagrams("knot", "knot, an address", served, address, dns::Resolve::new(question))?])
    })?;
    gate.admit_installed("nsd", &["nsd"], || {
        let (served, address) = dns::start_nsd(cores, question)?;
        Ok(vec![datagrams("nsd", "nsd, an address", served, address, dns::Resolve::new(question))?])
    })?;
    gate.admit_installed("redis-server", &["redis", "redis-16"], || redis(cores))?;
    gate.admit_installed("etcd", &["etcd"], || {
        let (served, address) = etcd::start(cores)?;
        let load = etcd::KeepAlives::open(address, SOCKETS * WINDOW)?;
        Ok(vec![Contestant::new("etcd", "etcd, lease keep-alive", 1.0, Rc::new(served), load)])
    })?;
    Ok(LineUp { contestants: gate.contestants, skipped: gate.skipped })
}

/// Lets this process have as many sockets as all loads together, if the administrator does.
pub fn allow_many_sockets() -> io::Result<()> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, FILES.clamp(now.min(most), most), most)?)
}

/// Lets in who is wanted and there.
struct Gate<'a> {
    only: &'a [String],
    contestants: Vec<Contestant>,
    skipped: Vec<String>,
}

impl Gate<'_> {
    fn admit(&mut self, names: &[&str], start: impl FnOnce() -> io::Result<Vec<Contestant>>) -> io::Result<()> {
        let is_wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| name.starts_with(&**only));
        if names.iter().any(|name| is_wanted(name)) {
            eprintln!("starting {} ...", names[0]);
            let wanted = start()?.into_iter().filter(|contestant| is_wanted(contestant.id));
            self.contestants.extend(wanted);
        }
        Ok(())
    }

    /// The same for a server of `program`, if that is installed.
    fn admit_installed(
        &mut self,
        program: &str,
        names: &[&str],
        start: impl FnOnce() -> io::Result<Vec<Contestant>>,
    ) -> io::Result<()> {
        if peers::find(program).is_some() {
            return self.admit(names, start);
        }
        self.skipped.push(format!("{program} is not installed"));
        Ok(())
    }
}

fn echo(cores: Cores, question: usize, answer: usize) -> io::Result<Vec<Contestant>> {
    let address = free_address()?;
    let command = |_: &_| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SERVE_ECHO, &address.to_string(), &answer.to_string()]);
        Ok(command)
    };
    let mut dialect = Echo { question, answer };
    let served = Served::start("the echo", cores, command, || peers::answers(address, &mut dialect))?;
    Ok(vec![datagrams("echo", "bare echo", served, address, dialect)?])
}

fn ours(cores: Cores) -> io::Result<Vec<Contestant>> {
    let Ours { served, address, peer, .. } = Ours::start(cores, TTL, HANDSHAKES)?;
    let served = Rc::new(served);
    let [single, many, pairs] = [(); 3].map(|()| Socket::datagrams(address, SOCKETS));
    let (single, many, pairs) = (single?, many?, pairs?);
    let one = Renewals::open(&peer, &single, CLIENTS, 1)?;
    let most = Renewals::open(&peer, &many, CLIENTS, RENEW_MANY_MAX)?;
    let both = Pairs::open(&peer, &pairs, WINDOW)?;
    Ok(vec![
        Contestant::new("ours", "leasehold, a renewal", 1.0, served.clone(), blaster(one, single)),
        Contestant::new(
            "ours-many",
            "leasehold, 64 renewals in one frame",
            RENEW_MANY_MAX as f64,
            served.clone(),
            blaster(most, many),
        ),
        Contestant::new("ours-pairs", "leasehold, checkout and release", 0.5, served, blaster(both, pairs)),
    ])
}

fn redis(cores: Cores) -> io::Result<Vec<Contestant>> {
    let (served, address) = redis::start(cores)?;
    let (served, connections) = (Rc::new(served), SOCKETS * WINDOW);
    let load = |at_once| -> io::Result<_> {
        let sockets = Socket::streams(address, connections)?;
        Ok(Blaster::new(redis::Increments::new(connections, at_once), sockets, 1))
    };
    Ok(vec![
        Contestant::new("redis", "redis, INCR", 1.0, served.clone(), load(1)?),
        Contestant::new("redis-16", "redis, INCR pipelined by 16", PIPELINE as f64, served, load(PIPELINE)?),
    ])
}

fn datagrams(
    id: &'static str,
    name: &'static str,
    served: Served,
    address: SocketAddr,
    dialect: impl Dialect + 'static,
) -> io::Result<Contestant> {
    let load = blaster(dialect, Socket::datagrams(address, SOCKETS)?);
    Ok(Contestant::new(id, name, 1.0, Rc::new(served), load))
}

fn blaster<D: Dialect>(dialect: D, sockets: Vec<std::net::UdpSocket>) -> impl Load + use<D> {
    Blaster::new(dialect, sockets.into_iter().map(Socket::from).collect(), WINDOW)
}
