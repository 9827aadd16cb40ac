//! The leasehold SDK: check out a seat, hold it, give it back.

pub mod holder;

pub use leasehold_protocol as protocol;
