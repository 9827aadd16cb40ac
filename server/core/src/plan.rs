//! Certificates, compiled (E-1).

mod report;

pub use report::{CertificateReport, Outcome, PlanReport};
