//! What flies: from clients to servers and back, past listeners and strangers.

use std::net::SocketAddr;

use leasehold::holder::Destination;

use super::{Lan, Tap, What};
use crate::{
    model::Checked,
    net::{Flight, Sender},
};

impl Lan {
    /// Adds a listener on the wire.
    pub fn tap(&mut self, tap: Tap) {
        self.taps.push(tap);
    }

    /// Keeps what comes to `address` from now on.
    pub fn listen(&mut self, address: SocketAddr) {
        self.mailboxes.entry(address).or_default();
    }

    /// Whether anything came to `address`.
    #[must_use]
    pub fn has_mail(&self, address: SocketAddr) -> bool {
        self.mailboxes.get(&address).is_some_and(|mailbox| !mailbox.datagrams.is_empty())
    }

    /// Takes what came to `address`.
    pub fn mail(&mut self, address: SocketAddr) -> Vec<Vec<u8>> {
        self.mailboxes.get_mut(&address).map(|mailbox| std::mem::take(&mut mailbox.datagrams)).unwrap_or_default()
    }

    /// The life of the server that was last heard at `address`; 0 for none.
    #[must_use]
    pub fn heard_at(&self, address: SocketAddr) -> u32 {
        self.mailboxes.get(&address).map_or(0, |mailbox| mailbox.heard)
    }

    /// Puts a stranger's datagram on the wire: it arrives in `delay_ms`, whatever the network's conditions.
    pub fn inject(&mut self, delay_ms: u64, flight: Flight) {
        let at = self.at + delay_ms;
        match self.servers.iter().position(|server| server.address == flight.to) {
            Some(server) => self.push(at, What::ToServer(server, flight)),
            None => self.push(at, What::ToClient(flight)),
        }
    }

    pub(super) fn overhear(&mut self, flight: &Flight) {
        let mut taps = std::mem::take(&mut self.taps);
        for tap in &mut taps {
            for (delay_ms, extra) in tap(flight, &mut self.rng) {
                self.inject(delay_ms, extra);
            }
        }
        self.taps = taps;
    }

    pub(super) fn reach_server(&mut self, server: usize, flight: Flight) -> Checked {
        if !self.servers[server].is_up() {
            return Ok(());
        }
        self.report.trace(self.at, &flight.bytes);
        let worker = self.servers[server].receive(self.at, flight)?;
        self.drain_server(server, worker)
    }

    pub(super) fn reach_client(&mut self, mut flight: Flight) -> Checked {
        let Some(&client) = self.by_address.get(&flight.to) else {
            if let Some(mailbox) = self.mailboxes.get_mut(&flight.to) {
                mailbox.heard = flight.heard;
                mailbox.datagrams.push(flight.bytes);
            }
            return Ok(());
        };
        let them = &mut self.clients[client];
        if !them.runs() {
            return Ok(());
        }
        self.report.trace(self.at, &flight.bytes);
        if let Sender::Server(server) = flight.sender {
            them.heard.insert(server, flight.heard);
        }
        them.holder.handle_datagram(them.clock.now(self.at), flight.from, &mut flight.bytes);
        self.drain_client(client)
    }

    pub(super) fn server_sends(&mut self, server: usize, to: SocketAddr, bytes: &[u8]) {
        let client = self.by_address.get(&to).copied();
        self.report.to_strangers += u64::from(client.is_none());
        let arrivals = self.net.send(self.at, client, server, false);
        let flight = Flight {
            id: self.net.fresh_id(),
            sender: Sender::Server(server),
            from: self.servers[server].address,
            to,
            broadcast: false,
            heard: self.servers[server].life,
            bytes: bytes.to_vec(),
        };
        for at in arrivals.into_iter().flatten() {
            self.push(at, What::ToClient(flight.clone()));
        }
    }

    pub(super) fn client_sends(&mut self, client: usize, to: &Destination, bytes: &[u8]) {
        let id = self.net.fresh_id();
        for server in 0..self.servers.len() {
            let address = self.servers[server].address;
            let broadcast = match to {
                Destination::To(to) if *to != address => continue,
                Destination::To(_) => false,
                Destination::Broadcast => true,
            };
            let them = &self.clients[client];
            let heard = if broadcast { 0 } else { them.heard.get(&server).copied().unwrap_or(0) };
            let flight = Flight {
                id,
                sender: Sender::Client(client),
                from: them.address,
                to: address,
                broadcast,
                heard,
                bytes: bytes.to_vec(),
            };
            self.overhear(&flight);
            for at in self.net.send(self.at, Some(client), server, true).into_iter().flatten() {
                self.push(at, What::ToServer(server, flight.clone()));
            }
        }
    }
}
