//! Licences, from the publisher's side: `keygen`, `issue`, `lint` (L-1 to L-5).
//!
//! | module | owns |
//! |---|---|
//! | `keygen` | a publisher's keys: made, rotated, put under a passphrase |
//! | `passphrase` | passphrases: asked for or read, and stretched |
//! | `sign` | `issue`: template to signed licence file |
//! | `explain` | what a certificate grants, in plain words |
//! | `lint` | what loading would do, before it is done |
//! | `template` | our own template language, read with every mistake named |
//! | `problem` | a mistake in a text, drawn with its lines |
//! | `files` | reading with a limit, writing whole files or none |

mod explain;
mod files;
mod keygen;
mod lint;
mod passphrase;
mod problem;
mod sign;
mod template;
#[cfg(test)]
mod tests;

pub use files::{read_text, write_whole};
pub use keygen::{KeygenArgs, keygen};
pub use lint::{LintArgs, lint};
pub use passphrase::PassphraseArgs;
pub use problem::{Problem, Problems};
pub use sign::{IssueArgs, issue};
pub use template::{EXAMPLE, Language, Template};
