//! Licence files: certificates a publisher signed, as text people can read (L-1, L-2, SPEC 7).
//!
//! | module | owns |
//! |---|---|
//! | [`certificate`] | the typed claims of one certificate |
//! | [`dates`] | whole days in a named zone, and the instants they begin and end (L-9) |

pub mod certificate;
pub mod dates;

pub use certificate::{Certificate, KeyType, SeatLimit, Terms};
pub use dates::{DateError, Day};
