//! The network of a simulated world: what is lost, doubled, delayed, overtaken and cut.

use std::{collections::BTreeSet, net::SocketAddr, ops::RangeInclusive};

use crate::{clock::Instant, rng::Rng};

/// How bad the network is. The default is a good one: nothing lost, nothing doubled, one millisecond each way.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Datagrams lost on their way to a server, of 100.
    pub loss_to_server: u32,
    /// Datagrams lost on their way to a client, of 100.
    pub loss_to_client: u32,
    /// Datagrams that arrive twice, of 100; each copy is delayed by itself.
    pub duplication: u32,
    /// How long one takes, in milliseconds, each time drawn anew: a wide range is also reordering.
    pub latency_ms: RangeInclusive<u64>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { loss_to_server: 0, loss_to_client: 0, duplication: 0, latency_ms: 1..=1 }
    }
}

/// Who sent a datagram, whatever its source address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The client of that number.
    Client(usize),
    /// The server of that number.
    Server(usize),
    /// Somebody who is neither, from outside or on the wire.
    Stranger,
}

/// One datagram under way.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Which datagram this is: copies of one share it.
    pub id: u64,
    /// Who sent it.
    pub sender: Sender,
    /// The source address it bears.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// Whether it went to everybody.
    pub broadcast: bool,
    /// The last life of that server its sender had heard from at `from`, 0 for none: the arrival of this datagram in
    /// that life proves the address.
    pub heard: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// When the copies of one datagram arrive: none, one or two instants.
pub type Arrivals = [Option<Instant>; 2];

/// The wires between the machines.
#[derive(Debug)]
pub struct Network {
    /// How bad it is; a test may change it as it goes.
    pub conditions: Conditions,
    /// Datagrams that were sent.
    pub sent: u64,
    /// Datagrams that were lost, by chance or by a cut.
    pub lost: u64,
    /// Datagrams that were doubled.
    pub doubled: u64,
    rng: Rng,
    next_id: u64,
    cut_clients: BTreeSet<usize>,
    cut_servers: BTreeSet<usize>,
}

impl Network {
    /// A network with its own chance.
    #[must_use]
    pub fn new(conditions: Conditions, rng: Rng) -> Self {
        let (cut_clients, cut_servers) = (BTreeSet::new(), BTreeSet::new());
        Self { conditions, sent: 0, lost: 0, doubled: 0, rng, next_id: 0, cut_clients, cut_servers }
    }

    /// A number no other datagram has.
    pub const fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes the cable out of a client's machine, or puts it back.
    pub fn cut_client(&mut self, client: usize, cut: bool) {
        set(&mut self.cut_clients, client, cut);
    }

    /// Takes the cable out of a server's machine, or puts it back.
    pub fn cut_server(&mut self, server: usize, cut: bool) {
        set(&mut self.cut_servers, server, cut);
    }

    /// What becomes of a datagram sent at `at` between `client` and `server`; a stranger has no client number and the
    /// best of cables.
    pub fn send(&mut self, at: Instant, client: Option<usize>, server: usize, to_server: bool) -> Arrivals {
        self.sent += 1;
        let cut = client.is_some_and(|c| self.cut_clients.contains(&c)) || self.cut_servers.contains(&server);
        let loss = if to_server { self.conditions.loss_to_server } else { self.conditions.loss_to_client };
        if cut || self.rng.chance(loss) {
            self.lost += 1;
            return [None, None];
        }
        let first = at + self.rng.within(&self.conditions.latency_ms);
        if !self.rng.chance(self.conditions.duplication) {
            return [Some(first), None];
        }
        self.doubled += 1;
        [Some(first), Some(at + self.rng.within(&self.conditions.latency_ms))]
    }
}

fn set(of: &mut BTreeSet<usize>, member: usize, is_in: bool) {
    if is_in {
        of.insert(member);
    } else {
        of.remove(&member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_network_loses_doubles_and_delays_as_it_was_told() {
        let conditions = Conditions { loss_to_server: 30, loss_to_client: 0, duplication: 20, latency_ms: 5..=500 };
        let mut net = Network::new(conditions, Rng::new(3));
        let arrivals: Vec<Instant> = (0..50_000).flat_map(|_| net.send(0, Some(1), 0, true)).flatten().collect();
        assert!((14_000..16_000).contains(&net.lost), "{} of 50000 lost at 30 %", net.lost);
        assert!((6_500..7_500).contains(&net.doubled), "{} of 35000 doubled at 20 %", net.doubled);
        assert!(arrivals.iter().all(|at| (5..=500).contains(at)));
        assert!(arrivals.windows(2).any(|two| two[1] < two[0]), "nothing was overtaken");
    }

    #[test]
    fn nothing_passes_a_cut_and_everything_a_healed_one() {
        let mut net = Network::new(Conditions::default(), Rng::new(3));
        net.cut_client(4, true);
        assert_eq!(net.send(9, Some(4), 0, true), [None, None]);
        assert_eq!(net.send(9, Some(5), 0, true), [Some(10), None]);
        net.cut_client(4, false);
        assert_eq!(net.send(9, Some(4), 0, true), [Some(10), None]);
        net.cut_server(0, true);
        assert_eq!(net.send(9, Some(5), 0, false), [None, None]);
    }
}
