//! Where to look (S-3, in order of preference): what the program named, `LEASEHOLD_SERVER`, the server used last, and
//! everybody in reach. And what to say when nothing was found.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use leasehold_protocol::crypto::PublicKey;

use super::{net, state::State};
use crate::{
    address::ServerAddress,
    error::ConnectError,
    holder::{RejectReason, Target},
};

/// How the server in use was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// By the address the program or `LEASEHOLD_SERVER` gave.
    Named(String),
    /// Where it was last time.
    LastGood,
    /// It answered a broadcast, on this machine or on the network.
    Broadcast,
}

/// Everywhere to look.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) servers: Vec<ServerAddress>,
    pub(crate) broadcast: bool,
    pub(crate) port: u16,
    /// Certificates decide whom to trust; keys seen before do not.
    pub(crate) certified: bool,
    pub(crate) last_good: Option<SocketAddr>,
    /// Addresses of the servers' names, as far as they have been looked up.
    resolved: Vec<(SocketAddr, usize)>,
    unresolved: Vec<String>,
    rejected: Vec<(SocketAddr, RejectReason)>,
}

/// Addresses kept of all names together.
const RESOLVED_MAX: usize = 64;
/// Rejections kept for the error message.
const REJECTED_MAX: usize = 16;

impl Plan {
    pub(crate) fn new(servers: Vec<ServerAddress>, broadcast: bool, port: u16, certified: bool) -> Self {
        let (resolved, unresolved, rejected) = (Vec::new(), Vec::new(), Vec::new());
        Self { servers, broadcast, port, certified, last_good: None, resolved, unresolved, rejected }
    }

    /// Whether only pinned keys will do: somebody pinned one, so a stranger's is no substitute.
    fn pinned_only(&self) -> bool {
        !self.certified && self.servers.iter().any(|server| server.pin().is_some())
    }

    /// Where to look, as far as names have been looked up.
    pub(crate) fn target(&self, state: &State) -> Target {
        let mut to: Vec<SocketAddr> = Vec::new();
        for (address, _) in &self.resolved {
            if !to.contains(address) {
                to.push(*address);
            }
        }
        if self.servers.is_empty() {
            to.extend(self.last_good);
        }
        Target::Discover { to, broadcast: self.broadcast && !self.pinned_only(), pins: self.pins(state) }
    }

    fn pins(&self, state: &State) -> Vec<(SocketAddr, leasehold_protocol::crypto::Fingerprint)> {
        let mut pins = Vec::new();
        for (address, i) in &self.resolved {
            let server = &self.servers[*i];
            let remembered = || if self.certified { None } else { state.known(&server.label()) };
            pins.extend(server.pin().or_else(remembered).map(|pin| (*address, pin)));
        }
        if !self.certified {
            let known = state.known_addresses();
            pins.extend(known.filter(|(at, _)| !self.resolved.iter().any(|(address, _)| address == at)));
        }
        pins
    }

    /// Takes in the addresses a server's name has.
    pub(crate) fn resolved(&mut self, server: usize, addresses: &[SocketAddr]) {
        let name = self.servers[server].label();
        self.unresolved.retain(|unresolved| *unresolved != name);
        if addresses.is_empty() {
            self.unresolved.push(name);
            return;
        }
        self.resolved.retain(|(_, i)| *i != server);
        self.resolved.extend(addresses.iter().map(|address| (*address, server)));
        // Names are preferred in the order they were given, whichever was looked up first.
        self.resolved.sort_by_key(|(_, i)| *i);
        self.resolved.truncate(RESOLVED_MAX);
    }

    /// Notes that a server was found and is not used.
    pub(crate) fn reject(&mut self, address: SocketAddr, why: RejectReason) {
        if !why.is_final() && self.rejected.iter().any(|(at, _)| *at == address) {
            return;
        }
        self.rejected.retain(|(at, _)| *at != address);
        if self.rejected.len() < REJECTED_MAX {
            self.rejected.push((address, why));
        }
    }

    /// Whether waiting longer cannot help: every server somebody named has no address or was rejected, and nobody else
    /// is asked.
    pub(crate) fn is_hopeless(&self) -> bool {
        let everywhere = self.broadcast && !self.pinned_only();
        let hopeless = |(i, server): (usize, &ServerAddress)| {
            let mut found = self.resolved.iter().filter(|(_, of)| *of == i).peekable();
            let nowhere = found.peek().is_none() && self.unresolved.contains(&server.label());
            let rejected = |at: &SocketAddr| self.rejected.iter().any(|(address, why)| address == at && why.is_final());
            nowhere || found.peek().is_some() && found.all(|(at, _)| rejected(at))
        };
        let last = self.servers.is_empty() && self.last_good.is_some();
        !everywhere && !last && self.servers.iter().enumerate().all(hopeless)
    }

    /// How the server at `address` was found.
    pub(crate) fn found(&self, address: SocketAddr) -> Found {
        match self.named(address) {
            Some(server) => Found::Named(server.label()),
            None if self.last_good == Some(address) => Found::LastGood,
            None => Found::Broadcast,
        }
    }

    /// Remembers the server that was found, and its key if nothing but this first sight vouches for it.
    pub(crate) fn remember(&self, state: &mut State, address: SocketAddr, key: &PublicKey) {
        state.set_last_server(address);
        let named = self.named(address);
        if !self.certified && named.is_none_or(|server| server.pin().is_none()) {
            state.remember(&self.label(address), key.fingerprint());
        }
    }

    /// The most telling of all reasons why nothing was found.
    pub(crate) fn failure(&self, state: &State, waited: Duration) -> ConnectError {
        let wrong_key = self.rejected.iter().find_map(|(address, why)| match why {
            RejectReason::WrongKey { expected, found } => Some((*address, *expected, *found)),
            _ => None,
        });
        if let Some((address, expected, found)) = wrong_key {
            if self.named(address).is_some_and(|server| server.pin().is_some()) {
                return ConnectError::PinnedKeyDiffers { address, expected, found };
            }
            let (server, file): (String, PathBuf) = (self.label(address), state.known_file());
            return ConnectError::ServerKeyChanged { server, expected, found, file };
        }
        match self.rejected.first() {
            Some((address, why)) => ConnectError::NotTrusted { address: *address, why: why.clone() },
            None => ConnectError::NotFound { tried: self.tried(), waited },
        }
    }

    /// Everything that was tried, in words.
    pub(crate) fn tried(&self) -> Vec<String> {
        let mut tried: Vec<String> =
            self.servers.iter().enumerate().map(|(i, server)| self.in_words(i, server)).collect();
        if let Some(last) = self.last_good.filter(|last| self.named(*last).is_none()) {
            tried.push(format!("{last} (the server used last)"));
        }
        if self.broadcast && !self.pinned_only() {
            tried.push("this machine".to_owned());
            tried.push(net::reach_in_words(self.port));
        }
        tried
    }

    fn in_words(&self, i: usize, server: &ServerAddress) -> String {
        let label = server.label();
        let found: Vec<String> =
            self.resolved.iter().filter(|(_, of)| *of == i).map(|(address, _)| address.ip().to_string()).collect();
        if found.is_empty() && self.unresolved.contains(&label) {
            format!("{label} (no such host name)")
        } else if found.is_empty() || found == [server.host()] {
            label
        } else {
            format!("{label} ({})", found.join(" "))
        }
    }

    fn named(&self, address: SocketAddr) -> Option<&ServerAddress> {
        self.resolved.iter().find(|(at, _)| *at == address).map(|(_, i)| &self.servers[*i])
    }

    fn label(&self, address: SocketAddr) -> String {
        self.named(address).map_or_else(|| address.to_string(), ServerAddress::label)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::crypto::Fingerprint;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn plan(servers: &str, broadcast: bool, certified: bool) -> Plan {
        let mut plan = Plan::new(ServerAddress::list(servers).unwrap(), broadcast, 5097, certified);
        for (i, ip) in (0..plan.servers.len()).zip(1..) {
            plan.resolved(i, &[SocketAddr::new([192, 0, 2, ip].into(), plan.servers[i].port())]);
        }
        plan
    }

    #[test]
    fn a_pinned_server_is_not_replaced_by_a_stranger() {
        let state = State::open(None);
        let pinned = format!("a#{}", Fingerprint([7; 16]));
        let Target::Discover { to, broadcast, pins } = plan(&pinned, true, false).target(&state) else { panic!() };
        assert_eq!((to, broadcast), (vec![at("192.0.2.1:5097")], false));
        assert_eq!(pins, [(at("192.0.2.1:5097"), Fingerprint([7; 16]))]);
        let Target::Discover { broadcast, .. } = plan(&pinned, true, true).target(&state) else { panic!() };
        assert!(broadcast, "with a publisher's key a stranger must show a certificate anyway");
    }

    #[test]
    fn the_first_key_seen_is_remembered_by_the_name_it_was_reached_by_and_a_change_names_the_file() {
        let mut state = State::open(None);
        let mut plan = plan("licences.example:6000", false, false);
        let address = at("192.0.2.1:6000");
        plan.remember(&mut state, address, &PublicKey([1; 32]));
        let expected = PublicKey([1; 32]).fingerprint();
        assert_eq!(state.known("licences.example:6000"), Some(expected));
        let found = PublicKey([2; 32]).fingerprint();
        assert!(!plan.is_hopeless());
        plan.reject(address, RejectReason::WrongKey { expected, found });
        assert!(plan.is_hopeless(), "nothing else was named");
        let message = plan.failure(&state, Duration::ZERO).to_string();
        assert!(message.contains("licences.example:6000") && message.contains("known_servers"), "{message}");
    }

    #[test]
    fn nothing_found_names_everything_tried_and_the_remedy() {
        let mut plan = plan("a:1,b:2", true, false);
        plan.resolved(1, &[]);
        let message = plan.failure(&State::open(None), Duration::from_secs(5)).to_string();
        for part in ["a:1 (192.0.2.1)", "b:2", "127.255.255.255", "leasehold serve", "LEASEHOLD_SERVER", "5 s"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}
