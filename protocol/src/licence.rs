//! Licence files: certificates a publisher signed, as text people can read (L-1, L-2, SPEC 7).
//!
//! | module | owns |
//! |---|---|
//! | [`certificate`] | the typed claims of one certificate |
//! | [`dates`] | whole days in a named zone, and the instants they begin and end (L-9) |
//! | [`hostids`] | which machines a certificate means (L-19) |
//! | [`keys`] | publishers' keys and their files |
//! | [`canonical`] | the bytes that are signed: deterministic CBOR in COSE_Sign1 |
//! | [`text`] | the `.lic` file |
//! | [`error`] | why a certificate is refused |
//! | [`nearest`] | the word somebody probably meant |

mod base64;
pub mod canonical;
pub mod certificate;
pub mod dates;
pub mod error;
pub mod hostids;
pub mod keys;
pub mod nearest;
pub mod text;

pub use canonical::SignedCertificate;
pub use certificate::{Certificate, KeyType, SeatLimit, Terms};
pub use dates::{DateError, Day};
pub use error::{ClaimError, LicenceError};
pub use keys::{
    KeyFileError, KeyId, PublisherKey, PublisherSecret, SealedSecret, SecretFile, Stretch, WrongPassphrase,
};
