//! Configuration: five layers, each value with its origin (D-6).
//!
//! Command line over the setting's own variable (`LEASEHOLD_PORT`) over `LEASEHOLD_OPTS`, a fragment of command line,
//! over the file over the default. A setting has one name: `--lease-ttl` is `LEASEHOLD_LEASE_TTL` and `lease-ttl = ` in
//! the file. Every layer's text is read by the same parser, so a mistake is answered the same way wherever it was made:
//! with its place, what was expected and the nearest word. A configuration with a mistake starts nothing.
//!
//! | module | owns |
//! |---|---|
//! | `args` | the flags, for clap |
//! | `table` | the list of settings, and how each reads and prints |
//! | `values` | text to typed values |
//! | `file` | `leasehold.toml` as spanned text |
//! | `layers` | which layer wins |
//! | `problem` | what is wrong, for people |
//! | `show` | `config show` as data |

mod args;
mod file;
mod layers;
mod problem;
mod show;
mod table;
mod values;

#[cfg(test)]
mod tests;

pub use args::ServeArgs;
pub(crate) use file::place;
pub use layers::{Origin, Resolved, Surroundings, resolve};
pub(crate) use problem::Quote;
pub use problem::{ConfigError, Problem};
pub use show::Row;
