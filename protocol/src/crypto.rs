//! Keys and what they do (SPEC 3): keyed macs, the address cookie, the Noise handshake, transport sealing, the replay
//! window, tickets.
//!
//! Nothing here decides anything: the server's core and the client's holder own the rules. Nothing here is home-made
//! either: the Noise state machine is snow's, the primitives are RustCrypto's, dalek's and, by choice, ring's.

mod aead;
mod keys;
pub mod mac;
pub mod noise;
pub mod ticket;
mod transport;
mod window;

pub use keys::{Fingerprint, Keypair, PublicKey, SiteKey};
pub use noise::SessionKeys;
pub use transport::{AEAD_BACKEND, Forged, TransportKey, open_datagram, seal_datagram};
pub use window::ReplayWindow;
