//! Bytes in and out of a server, address by address, as an observer on the wire counts them (W-4, promise F1).

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{clock::Instant, model::Violation, net::Flight};

/// What passed between a server and one address since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes that went to it before it was proved.
    pub sent_unproved: u64,
    /// Bytes that went to it after.
    pub sent_proved: u64,
    /// Whether something arrived that only a reader of what was sent there can have sent.
    pub proved: bool,
}

/// All accounts of one server.
#[derive(Debug)]
pub struct Accounts {
    /// Which life of the server this is, counted from 1.
    life: u32,
    by_address: BTreeMap<SocketAddr, Account>,
    worst: f64,
}

impl Accounts {
    /// The accounts of a server that begins its life of that number: it has proofs from nobody.
    #[must_use]
    pub const fn of_life(life: u32) -> Self {
        Self { life, by_address: BTreeMap::new(), worst: 0.0 }
    }

    /// Notes a datagram that arrived.
    pub fn received(&mut self, flight: &Flight) {
        let account = self.by_address.entry(flight.from).or_default();
        account.received += flight.bytes.len() as u64;
        account.proved |= flight.heard == self.life;
    }

    /// Notes an answer of `len` bytes to `to`.
    ///
    /// # Errors
    /// If `to` has not proved itself and now got more than it gave.
    pub fn sent(&mut self, at: Instant, to: SocketAddr, len: usize) -> Result<(), Violation> {
        let account = self.by_address.entry(to).or_default();
        if account.proved {
            account.sent_proved += len as u64;
            return Ok(());
        }
        account.sent_unproved += len as u64;
        if account.sent_unproved > account.received {
            let Account { received, sent_unproved, .. } = account;
            let what = format!("{sent_unproved} bytes sent to {to}, unproved, for {received} received from it");
            return Err(Violation { at, what });
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = account.sent_unproved as f64 / account.received as f64;
        self.worst = self.worst.max(ratio);
        Ok(())
    }

    /// The account of `address`.
    #[must_use]
    pub fn of(&self, address: SocketAddr) -> Account {
        self.by_address.get(&address).copied().unwrap_or_default()
    }

    /// The largest ratio of bytes sent to bytes received there ever was with an unproved address: at most 1.
    #[must_use]
    pub const fn worst_ratio(&self) -> f64 {
        self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Sender;

    fn flight(len: usize, heard: u32) -> Flight {
        let from = ([10, 0, 0, 1], 4000).into();
        let to = ([10, 9, 0, 1], 5097).into();
        Flight { id: 1, sender: Sender::Client(0), from, to, broadcast: false, heard, bytes: vec![0; len] }
    }

    #[test]
    fn one_byte_more_than_came_in_is_a_violation_until_the_address_is_proved() {
        let mut accounts = Accounts::of_life(1);
        let hello = flight(168, 0);
        accounts.received(&hello);
        assert!(accounts.sent(0, hello.from, 168).is_ok());
        assert!(accounts.sent(0, hello.from, 1).is_err());
        accounts.received(&flight(32, 1));
        assert!(accounts.sent(0, hello.from, 10_000).is_ok());
        assert!((accounts.worst_ratio() - 1.0).abs() < 1e-9);
    }
}
