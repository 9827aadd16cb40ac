//! The claims as a deterministic CBOR map (RFC 8949 §4.2): small integer keys in ascending order, absent means absent.

mod read;
mod write;

pub(super) use read::decode;
pub(super) use write::encode;

/// The keys of SPEC 7.3. A key is never used twice for different things; what is new gets the next number.
mod key {
    pub(super) const PUBLISHER: u64 = 1;
    pub(super) const FEATURE: u64 = 2;
    pub(super) const VERSION: u64 = 3;
    pub(super) const COUNT: u64 = 4;
    pub(super) const TYPE: u64 = 5;
    pub(super) const ZONE: u64 = 6;
    pub(super) const START: u64 = 7;
    pub(super) const END: u64 = 8;
    pub(super) const LEASE_TTL: u64 = 9;
    pub(super) const GRACE: u64 = 10;
    pub(super) const SERVER_KEYS: u64 = 11;
    pub(super) const VENDOR_STRING: u64 = 12;
    pub(super) const SERIAL: u64 = 13;
    pub(super) const ISSUER: u64 = 14;
    pub(super) const NOTICE: u64 = 15;
    pub(super) const DIALECT: u64 = 16;
    pub(super) const POOLS: u64 = 17;
    pub(super) const TRIAL: u64 = 18;
    pub(super) const SHARE: u64 = 19;
    pub(super) const SHARE_LIMIT: u64 = 20;
    pub(super) const LINGER: u64 = 21;
    pub(super) const MIN_CHECKOUT: u64 = 22;
    pub(super) const BORROW_MAX: u64 = 23;
    pub(super) const SOFT_LIMIT: u64 = 24;
    pub(super) const OVERDRAFT: u64 = 25;
    pub(super) const METERED: u64 = 26;
    pub(super) const UNDO: u64 = 27;
    pub(super) const PACKAGE: u64 = 28;
    pub(super) const SUITE: u64 = 29;
    pub(super) const COST: u64 = 30;
    pub(super) const SUPERSEDES: u64 = 31;
    pub(super) const SERVER_HOSTIDS: u64 = 32;
    pub(super) const CLIENT_HOSTIDS: u64 = 33;
    pub(super) const MATCH_RATE: u64 = 34;
    pub(super) const PLATFORMS: u64 = 35;
    pub(super) const VM: u64 = 36;
    pub(super) const TERMINAL_SERVER: u64 = 37;
    pub(super) const CLASS: u64 = 38;
    pub(super) const MAINTENANCE_END: u64 = 39;
    pub(super) const PART_NUMBER: u64 = 40;
    pub(super) const SELECTORS: u64 = 41;
    pub(super) const LICENSEE: u64 = 42;
    pub(super) const ISSUED: u64 = 43;
    pub(super) const RETENTION: u64 = 44;
}
