//! The field's words, each for one thing only.

mod denial;
mod hostid;
mod ids;
mod names;
mod numbers;

pub use denial::Denial;
pub use hostid::{HostId, HostIdError, HostIdKind};
pub use ids::{CertificateId, ClaimKey, ClaimProof, DeviceId, LeaseId, OperationId, RealmId};
pub use names::{FeatureName, Label, NameError};
pub use numbers::{NumberError, SeatCount, Version};
