//! Licence files: certificates a publisher signed, as text people can read (L-1, L-2, SPEC 7).
//!
//! | module | owns |
//! |---|---|
//! | [`certificate`] | the typed claims of one certificate |
//! | [`dates`] | whole days in a named zone, and the instants they begin and end (L-9) |
//! | [`canonical`] | the claims as deterministic CBOR inside COSE_Sign1: what is signed |
//! | [`text`] | the `.lic` text, read and written, with the place of every word |
//! | [`keys`] | a publisher's signing and verifying keys and their files' text |

pub mod canonical;
pub mod certificate;
pub mod dates;
pub mod keys;
pub mod text;

pub use certificate::{Certificate, KeyType, SeatLimit, Terms};
pub use dates::Day;
pub use keys::{KeyId, PublisherKey, PublisherSecret};
