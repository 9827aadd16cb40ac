//! Sessions: who a datagram is from, where its sender is, and what may be sent there.
//!
//! | module | owns |
//! |---|---|
//! | [`table`] | the bounded slab of sessions, the ring of half-open ones, replacement and reclaim |
//! | [`state`] | one session: keys, replay window, counters, age |
//! | [`route`] | where its client is, and whether that is proved (W-4, W-8) |
//! | [`answered`] | what was said to which HELLO1 |
//! | [`cookie`] | the secret behind cookies |
//! | [`limit`] | rate limits |

mod answered;
mod cookie;
mod limit;
mod route;
mod state;
mod table;

pub(crate) use cookie::CookieJar;
pub(crate) use limit::{Bucket as RateBucket, PrefixSketch};
pub(crate) use route::Allowance;
pub(crate) use state::{Client, Refused, Session};
pub(crate) use table::{Confirmed, SessionTable};
