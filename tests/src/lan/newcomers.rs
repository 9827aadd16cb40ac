//! New machines: who they are, what their clocks say, where they look.

use std::net::SocketAddr;

use leasehold::holder::{Holder, HolderConfig, Identity, Target};
use leasehold_protocol::{
    crypto::Keypair,
    message,
    vocab::{DeviceId, RealmId},
};

use super::Lan;
use crate::{
    client::Client,
    clock::Clock,
    plan::{PUBLISHER, label},
    rng::Rng,
};

impl Lan {
    /// A new client, connecting.
    pub fn client(&mut self) -> usize {
        let number = self.clients.len();
        let address = self.fresh_address();
        let mut rng = self.rng.fork(0xc11e_0000 + number as u64);
        let clock = self.fresh_clock(&mut rng);
        let holder = self.fresh_holder(number, &mut rng);
        self.by_address.insert(address, number);
        self.clients.push(Client::new(holder, clock, address, rng));
        let (target, now) = (self.target(), self.clients[number].clock.now(self.at));
        self.clients[number].holder.connect(now, target);
        self.demand(|lan| lan.drain_client(number));
        number
    }

    pub(super) fn fresh_holder(&self, number: usize, rng: &mut Rng) -> Holder {
        let config = HolderConfig {
            realm: RealmId::of(&label(PUBLISHER)),
            publisher_keys: vec![self.publisher.key()],
            site: self.plan.site.clone(),
            sdk_version: 1 << 24,
        };
        let mut instance = [0; 8];
        leasehold_protocol::Entropy::fill(rng, &mut instance);
        let who = message::Holder {
            user: label(&format!("user{number}")),
            host: label(&format!("host{number}")),
            display: None,
            process: label("sim"),
            pid: 1,
            project: None,
            device: DeviceId([0; 16]),
            device_alias: None,
            share: None,
            hostids: Vec::new(),
        };
        let identity = Identity { keys: Keypair::generate(rng), instance, who };
        Holder::new(config, identity, Box::new(rng.fork(3)))
    }

    pub(super) fn fresh_clock(&self, rng: &mut Rng) -> Clock {
        let bound = self.plan.drift_ppm;
        let drift = i64::try_from(rng.within(&(0..=2 * bound))).unwrap_or(0) - i64::try_from(bound).unwrap_or(0);
        Clock {
            boot_ms: rng.within(&(1_000..=1_000_000_000)),
            drift_ppm: drift,
            wall_ahead_ms: self.plan.wall_ahead_ms(),
        }
    }

    /// An address nobody had yet.
    pub fn fresh_address(&mut self) -> SocketAddr {
        self.report.addresses += 1;
        let n = self.report.addresses;
        let octet = |shift: u32| u8::try_from(n >> shift & 0xff).unwrap_or(0);
        ([10, 1 + octet(16), octet(8), octet(0)], 40_000).into()
    }

    pub(super) fn target(&self) -> Target {
        let server = &self.servers[0];
        if self.plan.discovery {
            return Target::Discover { to: Vec::new(), broadcast: true, pins: Vec::new() };
        }
        if self.plan.servers > 1 {
            let to = self.servers[..self.plan.servers].iter().map(|s| s.address).collect();
            return Target::Discover { to, broadcast: false, pins: Vec::new() };
        }
        Target::Known { address: server.address, key: server.public_key(), realm: server.realm() }
    }
}
