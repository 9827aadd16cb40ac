//! The server under test: one that is there, or one of our own beside us.

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use leasehold::holder::{Holder, HolderConfig, HolderEvent, Target};
use leasehold_protocol::{
    crypto::{PublicKey, SiteKey},
    licence::nearest::nearest,
    message::FeatureLine,
    vocab::{FeatureName, RealmId},
};

use leasehold_server::process::{Transport, holder_of};

use super::{
    Args,
    lean::Peer,
    process::{self, Usage},
    scenario::{PhaseSpec, Scenario, Span},
};
use crate::{
    connect::addresses,
    exit::{Exit, Failure},
    hand::{Hand, SDK_VERSION},
    human,
    kit::{Feature, Kit, Offer},
};

/// A server to test, looked at before the test.
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key.
    pub key: PublicKey,
    /// What to ask for, as the server told it before the test.
    pub features: Vec<FeatureLine>,
    /// How many seats of that are free.
    pub seats: u64,
    /// As every client has it.
    pub config: HolderConfig,
    /// Its process, if it is on this machine and known.
    pub pid: Option<u32>,
    realm: RealmId,
    own: Option<OwnServer>,
}

/// How long a server may take to answer before the test.
const PATIENCE: Duration = Duration::from_secs(5);

/// The server's own limits, which a test of our own server raises where it has to.
const LEASES_USUAL: u64 = 1 << 20;
const SESSIONS_USUAL: u64 = 1 << 18;
const LEASES_MOST: u64 = 1 << 24;
const SESSIONS_MOST: u64 = 1 << 20;

/// A server that grants everything asked counts features without end as this many.
const UNCOUNTED: u64 = i32::MAX as u64;

impl TestServer {
    /// The server that `args` name, or one of our own.
    ///
    /// # Errors
    /// If it does not answer, is not trusted, or has nothing to give.
    pub fn of(args: &Args, scenario: &Scenario) -> Result<Self, Failure> {
        match &args.server {
            Some(text) => Self::there(args, scenario, address_of(text)?, None),
            None => {
                let own = OwnServer::start(scenario)?;
                Self::there(args, scenario, own.address, Some(own))
            }
        }
    }

    fn there(args: &Args, scenario: &Scenario, address: SocketAddr, own: Option<OwnServer>) -> Result<Self, Failure> {
        let publisher_keys = match &own {
            Some(own) => vec![own.kit.publisher.clone()],
            None => args.trust.publisher_keys()?,
        };
        let site = args.trust.site_key()?.filter(|_| own.is_none()).unwrap_or(SiteKey::OPEN);
        let config = HolderConfig { realm: RealmId::ANY, publisher_keys, site, sdk_version: SDK_VERSION };
        let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let mut hand = Hand::new(config.clone(), any, Vec::new())?;
        let (key, realm) = connect(&mut hand, address)?;
        let lines = features(&mut hand)?;
        hand.act(Holder::close);
        let wanted = scenario.features.unwrap_or(1) as usize;
        let features: Vec<FeatureLine> = chosen(&args.named, wanted, &lines)?.into_iter().cloned().collect();
        let seats = features.iter().map(free).sum();
        let pid = args.server_pid.or(own.as_ref().map(|own| own.child.id())).or_else(|| pid_of(address));
        // The clients need no proof each: the one of the first holder stands for all.
        let config = HolderConfig { publisher_keys: Vec::new(), realm, ..config };
        Ok(Self { address, key, features, seats, config, pid, realm, own })
    }

    /// Where the clients connect to.
    pub fn target(&self) -> Target {
        Target::Known { address: self.address, key: self.key, realm: self.realm }
    }

    /// What its process has used, where that can be read.
    pub fn usage(&self) -> Option<Usage> {
        self.pid.and_then(process::usage)
    }

    /// Whether it was started for this test.
    pub const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Who it is, for lean sessions.
    pub fn peer(&self) -> Peer {
        Peer { key: self.key, realm: self.realm, site: self.config.site.clone() }
    }

    /// The features tested as they are now; `None` if it does not say.
    pub fn look(&self) -> Option<Vec<FeatureLine>> {
        let any =
            if self.address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let mut hand = Hand::new(self.config.clone(), any, Vec::new()).ok()?;
        hand.act(|holder, now| holder.connect(now, self.target()));
        let mut lines = features(&mut hand).ok()?;
        hand.act(Holder::close);
        lines.retain(|line| self.features.iter().any(|feature| feature.name == line.name));
        Some(lines)
    }

    /// Ends it if it is our own.
    pub fn stop(self) {
        drop(self.own);
    }
}

/// A `leasehold serve` of our own in a scratch folder; ends with this value.
struct OwnServer {
    address: SocketAddr,
    kit: Kit,
    child: Child,
    _scratch: tempfile::TempDir,
}

impl OwnServer {
    fn start(scenario: &Scenario) -> Result<Self, Failure> {
        let scratch = tempfile::Builder::new().prefix("leasehold-load-").tempdir();
        let scratch = scratch.map_err(|e| Failure::new("cannot make a scratch folder").because_of(&e))?;
        let kit = offer(scenario)?.make_in(scratch.path())?;
        let config = scratch.path().join("leasehold.toml");
        crate::kit::write_new(&config, b"", 0o600)?;
        let child = command(&config, &kit.data_dir, scenario)?.spawn();
        let child = child.map_err(|e| Failure::new("cannot start a server for the test").because_of(&e))?;
        // Made before anything can fail, so that the process never outlives this value.
        let mut own = Self { address: ([127, 0, 0, 1], 0).into(), kit, child, _scratch: scratch };
        own.address = own.told_address()?;
        Ok(own)
    }

    /// Reads the server's log until it says where it serves; goes on reading, so that the server never waits for us.
    fn told_address(&mut self) -> Result<SocketAddr, Failure> {
        let log = self.child.stderr.take().ok_or_else(|| Failure::new("the server for the test has no log"))?;
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let mut said = Vec::new();
        for line in lines.by_ref() {
            if let Some(address) = serving_at(&line) {
                thread::spawn(move || lines.for_each(drop));
                return Ok(address);
            }
            said.push(line);
        }
        let failure = Failure::new("the server for the test did not start");
        Err(said.into_iter().fold(failure, Failure::because))
    }
}

/// The address in the line of log that says `serving`.
fn serving_at(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    fields.get("udp")?.as_str()?.split(',').next()?.parse().ok()
}

fn command(config: &Path, data_dir: &Path, scenario: &Scenario) -> Result<Command, Failure> {
    let program =
        std::env::current_exe().map_err(|e| Failure::new("cannot find this program's file").because_of(&e))?;
    let mut command = Command::new(program);
    // Nothing of the site's own configuration belongs into the test.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LEASEHOLD_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--config").arg(config).arg("--data-dir").arg(data_dir);
    command.args(["--listen", "127.0.0.1", "--port", "0", "--http", "off", "--drain-time", "0s"]);
    command.args(["--limit-handshakes", "1000000", "--log-level", "info", "--log-format", "json"]);
    let room = |wanted: u64, usual: u64, most: u64| (wanted + wanted / 4).clamp(usual, most).to_string();
    let most = |of: fn(&PhaseSpec) -> u64| scenario.phases.iter().map(of).max().unwrap_or(0);
    command.arg("--limit-leases").arg(room(most(PhaseSpec::leases), LEASES_USUAL, LEASES_MOST));
    command.arg("--limit-sessions").arg(room(most(|phase| phase.clients().into()), SESSIONS_USUAL, SESSIONS_MOST));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // Its state goes with the scratch folder: there is nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn offer(scenario: &Scenario) -> Result<Offer, Failure> {
    let seats = scenario.seats.unwrap_or_else(|| scenario.seats_wanted());
    let features = (1..=scenario.features.unwrap_or(1)).map(|n| Feature::new(&format!("LOAD_{n:04}"), "1.0", seats));
    // Whole seconds, rounded up: a licence has no others.
    let seconds = |Span(ttl): Span| u32::try_from(ttl.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
    Ok(Offer {
        features: features.collect::<Result<_, _>>()?,
        days: 1,
        lease_ttl_s: scenario.ttl.map(seconds),
        notice: "For a load test".to_owned(),
        ..Offer::demo()?
    })
}

fn connect(hand: &mut Hand, address: SocketAddr) -> Result<(PublicKey, RealmId), Failure> {
    let target = Target::Discover { to: vec![address], broadcast: false, pins: Vec::new() };
    hand.act(|holder, now| holder.connect(now, target));
    let began = Instant::now();
    let mut rejected = None;
    let found = hand.wait(PATIENCE, |event| match event {
        HolderEvent::Connected { key, realm, .. } => Some((key, realm)),
        HolderEvent::ServerRejected { why, .. } => {
            rejected = Some(why);
            None
        }
        _ => None,
    })?;
    match (found, rejected) {
        (Some((found, _)), _) => Ok(found),
        (None, Some(why)) => Err(Failure::new(format!("the server at {address} is not trusted"))
            .because_of(&why)
            .exit(Exit::NOT_TRUSTED)
            .remedy("give the key of its publisher: --publisher-key FILE")),
        (None, None) => Err(Failure::new(format!("no server answers at {address}"))
            .because(format!("waited {}", human::show(began.elapsed())))
            .exit(Exit::UNREACHABLE)
            .remedy("leave --server away to test a server of its own")),
    }
}

/// The process behind a server of this machine, where the system tells.
fn pid_of(address: SocketAddr) -> Option<u32> {
    let holder = holder_of(Transport::Udp, address).filter(|_| address.ip().is_loopback())?;
    holder.rsplit_once("(pid ")?.1.strip_suffix(')')?.parse().ok()
}

fn features(hand: &mut Hand) -> Result<Vec<FeatureLine>, Failure> {
    hand.act(|holder, now| holder.query_features(now, None));
    let told = hand.wait(PATIENCE, |event| match event {
        HolderEvent::Features { features, .. } => Some(features),
        _ => None,
    })?;
    let silent = || Failure::new("the server does not say which features it has").exit(Exit::UNREACHABLE);
    told.map(|(features, _)| features).ok_or_else(silent)
}

fn chosen<'a>(named: &[FeatureName], wanted: usize, lines: &'a [FeatureLine]) -> Result<Vec<&'a FeatureLine>, Failure> {
    if lines.is_empty() {
        return Err(Failure::new("the server has no feature to test")
            .remedy("give it a licence, or leave --server away to test a server of its own"));
    }
    if named.is_empty() {
        return Ok(lines.iter().take(wanted).collect());
    }
    let named = named
        .iter()
        .map(|name| lines.iter().find(|line| line.name == *name).ok_or_else(|| no_such_feature(name, lines)));
    named.collect()
}

fn no_such_feature(name: &FeatureName, lines: &[FeatureLine]) -> Failure {
    let known: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let failure = Failure::new(format!("the server has no feature {name}")).exit(Exit::DENIED);
    match nearest(name.as_str(), known.iter().copied()) {
        Some(near) => failure.remedy(format!("did you mean {near}?")),
        None => failure.remedy(format!("it has {}", known.join(", "))),
    }
}

fn free(line: &FeatureLine) -> u64 {
    line.count.map_or(UNCOUNTED, |count| u64::from(count.saturating_sub(line.used)))
}

fn address_of(text: &str) -> Result<SocketAddr, Failure> {
    let none = || Failure::usage("--server names no server").remedy("leave it away to test a server of its own");
    addresses(text)?.into_iter().next().ok_or_else(none)
}
