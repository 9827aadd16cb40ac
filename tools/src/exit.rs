//! Exit statuses, as `leasehold help exit-codes` lists them, and the one way a command fails.

use std::{fmt, process::ExitCode};

/// How a command ended, for scripts. The numbers are interface: they do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// All went as asked.
    pub const OK: Self = Self(0);
    /// It failed, and no number below says why; `doctor`: there are warnings.
    pub const FAILURE: Self = Self(1);
    /// The command line is wrong; `doctor`: something is broken.
    pub const USAGE: Self = Self(2);
    /// No server answered (`EX_UNAVAILABLE`).
    pub const UNREACHABLE: Self = Self(69);
    /// Denied, and waiting may help (`EX_TEMPFAIL`).
    pub const DENIED_FOR_NOW: Self = Self(75);
    /// The server is not the one it should be, or does not speak our protocol (`EX_PROTOCOL`).
    pub const NOT_TRUSTED: Self = Self(76);
    /// Denied, and waiting cannot help (`EX_NOPERM`).
    pub const DENIED: Self = Self(77);
    /// The command to run exists and cannot be run.
    pub const NOT_RUNNABLE: Self = Self(126);
    /// The command to run was not found.
    pub const NOT_FOUND: Self = Self(127);

    /// The status of a command that signal `number` ended.
    #[must_use]
    pub fn of_signal(number: i32) -> Self {
        Self(u8::try_from(number).map_or(255, |n| n.saturating_add(128)))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// The table as people read it: a number or a range, and what it says.
pub const TABLE: &[(&str, &str)] = &[
    ("0", "all went as asked; also when the reader of our output went away"),
    ("1", "it failed: the message says what, why and what to do (`doctor`: warnings only)"),
    ("2", "the command line or a setting is wrong (`doctor`: something is broken)"),
    ("3", "`serve`: the port or the state folder is another program's"),
    ("4", "`serve`: the port needs a privilege"),
    ("69", "no server answered, or its REST is not reachable"),
    ("75", "denied, and waiting may help: no seat free, limit reached, server restarting"),
    ("76", "the server is not the one it should be: changed key, failed proof, broken protocol"),
    ("77", "denied, and waiting cannot help: no such feature, expired, excluded"),
    ("70", "`serve`: a fault of its own: a defect, please report it"),
    ("126", "`checkout`: the command was found and cannot be run"),
    ("127", "`checkout`: the command was not found"),
    ("128+n", "`checkout`: the command was ended by signal n"),
    ("other", "`checkout`: the command's own exit status"),
];

/// Why a command failed: what happened, why, and what to do about it.
///
/// Printed as one block on stderr by [`crate::main`], so commands only build it.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    why: Vec<String>,
    remedies: Vec<String>,
}

impl Failure {
    /// A usual failure (status 1): `what` is a lower-case sentence without its full stop.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::FAILURE, what: what.into(), why: Vec::new(), remedies: Vec::new() }
    }

    /// A wrong command line (status 2).
    #[must_use]
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(what).exit(Exit::USAGE)
    }

    /// The reader of our output went away (`leasehold status | head -1`): nothing to say, and nothing failed.
    #[must_use]
    pub fn reader_gone() -> Self {
        Self::new("").exit(Exit::OK)
    }

    /// The same with another exit status.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Adds a reason; the first is the nearest. Causes of an error are added by [`Failure::because_of`].
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why.push(why.to_string());
        self
    }

    /// Adds an error and everything that caused it.
    #[must_use]
    pub fn because_of(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors print their cause themselves.
            if !self.why.iter().any(|said| said.contains(&text)) {
                self.why.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a thing to do: a sentence or a command to type.
    #[must_use]
    pub fn remedy(mut self, what_to_do: impl Into<String>) -> Self {
        self.remedies.push(what_to_do.into());
        self
    }

    /// The status the process ends with.
    #[must_use]
    pub const fn status(&self) -> Exit {
        self.exit
    }

    /// Whether there is anything to tell.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.what.is_empty()
    }

    /// What happened, in one line.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why, nearest reason first.
    #[must_use]
    pub fn why(&self) -> &[String] {
        &self.why
    }

    /// What to do.
    #[must_use]
    pub fn remedies(&self) -> &[String] {
        &self.remedies
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let failure = Self::new(error.to_string());
        error.chain().skip(1).fold(failure, Failure::because)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_its_error_has_already_said_is_not_repeated() {
        let inner = std::io::Error::other("disk full");
        let outer = anyhow::Error::new(inner).context("cannot write x: disk full");
        let failure = Failure::new("no").because_of(outer.as_ref());
        assert_eq!(failure.why(), ["cannot write x: disk full"]);
    }

    #[test]
    fn a_signal_is_told_as_shells_tell_it() {
        assert_eq!(Exit::of_signal(15), Exit(143));
        assert_eq!(Exit::of_signal(2), Exit(130));
    }
}
