//! One worker's share of the server's mind.

use std::sync::Arc;

use leasehold_protocol::{
    Entropy,
    time::{Mono, Now},
};

use crate::{Event, Path, Shared, Transmit};

/// One worker's share of the server's mind.
pub struct Engine {
    #[allow(dead_code)]
    shared: Arc<Shared>,
    #[allow(dead_code)]
    entropy: Box<dyn Entropy>,
}

impl Engine {
    /// An engine over `shared`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, entropy: Box<dyn Entropy>) -> Self {
        Self { shared, entropy }
    }

    /// Feeds one datagram.
    pub fn handle_datagram(&mut self, _now: Now, _path: Path, _bytes: &mut [u8]) {}

    /// Runs what is due at `now`.
    pub fn handle_timeout(&mut self, _now: Now) {}

    /// Writes the next datagram into `out` and says where it goes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        out.clear();
        None
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When `handle_timeout` is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        None
    }

    /// Tells every proved path that this server is going away.
    pub fn begin_goodbye(&mut self, _now: Now) {}
}
