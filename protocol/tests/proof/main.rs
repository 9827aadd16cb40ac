//! The proof that this crate speaks what `SPEC.md` says: golden vectors written from the clauses by hand, refusals of
//! everything else, a second codec as oracle, and properties over generated values.
//!
//! | module | proves |
//! |---|---|
//! | [`golden`] | every packet, frame and ticket is, byte for byte, what `testdata/` holds and explains |
//! | [`licences`] | the signed certificates of `testdata/` are what the crate signs, reads and writes as text |
//! | [`refusals`] | prefixes, trailing bytes, reserved bits, the wrong side, out of range: all refused |
//! | [`oracle`] | wincode writes and reads every bincode body alike |
//! | [`properties`] | what is written is read back; random bytes never panic |
//! | [`framed`] | the tokio codec over real sockets |
//! | [`spec`] | clauses that code cites exist; tables in `SPEC.md` agree with the code |

mod by_hand;
mod fixed;
mod framed;
mod golden;
mod licences;
mod mirror;
mod oracle;
mod page;
mod properties;
mod refusals;
mod spec;
mod strategies;
mod vectors;
