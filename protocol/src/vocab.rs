//! The field's words, each for one thing only.

mod denial;
mod ids;
mod names;
mod numbers;

pub use denial::Denial;
pub use ids::{CertificateId, ClaimKey, ClaimProof, DeviceId, LeaseId, OperationId, RealmId};
pub use names::{FeatureName, HostId, HostIdKind, Label, NameError};
pub use numbers::{NumberError, SeatCount, Version};
