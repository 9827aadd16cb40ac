//! The language both sides of leasehold speak: `SPEC.md` beside this crate is the normative text, and the code cites
//! its clauses.
//!
//! This room is pure. It turns bytes it was handed into typed values and back, seals and opens them, and checks
//! signatures. It reads no clock, no socket, no disk and no ambient randomness: time and [`Entropy`] are arguments.
//!
//! | module | owns |
//! |---|---|
//! | [`vocab`] | the words: features, versions, seats, leases, claims, denials |
//! | [`time`] | the two clocks, as numbers |
//! | [`packet`] | the datagrams, byte for byte (SPEC 2) |
//! | [`frame`] | what is inside a sealed datagram (SPEC 4) |
//! | [`message`] | the frame bodies (SPEC 5) |
//! | [`codec`] | the one place bodies are encoded and decoded, and the tokio-util codec over it |
//! | [`crypto`] | keys, macs, the Noise handshake, transport sealing, replay window, tickets (SPEC 3) |
//! | [`licence`] | licence files: text, canonical form, signature (SPEC 7) |

#![warn(missing_docs, clippy::iter_over_hash_type)]

pub mod codec;
pub mod crypto;
pub mod error;
pub mod frame;
pub mod hex;
pub mod licence;
pub mod message;
pub mod packet;
pub mod time;
pub mod vocab;

pub use error::DecodeError;

/// The port for clients (UDP) and for the console and REST (TCP). Source: W-1; 5093 is Sentinel's and would clash.
pub const DEFAULT_PORT: u16 = 5097;

/// The IPv4 multicast group DISCOVER is sent to beside the broadcast addresses (SPEC 6.2). Administratively scoped:
/// routers do not carry it off the site by default.
pub const DISCOVERY_GROUP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(239, 255, 50, 97);

/// Randomness, handed in by whoever owns this room. The shell reads the operating system's; a test seeds its own.
pub trait Entropy: Send {
    /// Fills all of `bytes` with unpredictable values.
    fn fill(&mut self, bytes: &mut [u8]);

    /// Eight unpredictable bytes as a number.
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl<F: FnMut(&mut [u8]) + Send> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
