//! The policy over the administration's channel: shown, put in place of the one before, and taken back (P-6).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;

use super::{Loader, deeds};
use crate::{
    admin::AdminState,
    config::ConfigError,
    ledger::{By, Deed, KeptPolicy, LedgerError},
    policy::{FILE_MAX, PolicyFile},
    state::write_whole,
};

/// Why a policy was not put in force. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyRefused {
    /// There is no file to keep it in.
    #[error("this server was started without a policy file: start it with --policy FILE, which may be empty")]
    NoFile,
    /// It has mistakes: `place: why`, one a line.
    #[error("the policy in force is kept, because of:\n{0}")]
    Mistakes(ConfigError),
    /// It is longer than any policy that is read.
    #[error("the policy has {0} bytes, and {FILE_MAX} are read at most")]
    TooLong(usize),
    /// There is none to go back to.
    #[error("there is no {0} to go back to: nothing was put in force over the network yet")]
    NoneBefore(String),
    /// There is no such version.
    #[error("there is no version {0} of the policy: leasehold policy history lists them")]
    NoVersion(u64),
    /// What was to be done cannot be entered in the ledger.
    #[error("the policy in force is kept: {0}")]
    Ledger(#[from] LedgerError),
    /// The file system.
    #[error("the policy in force is kept: {path} cannot be {what}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What was to be done with it.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyInForce {
    /// The file it is kept in; null if the server was started without one.
    pub file: Option<String>,
    /// How many rules of all kinds it has.
    pub rules: usize,
    /// Its text.
    pub text: String,
    /// Whether there is one to go back to.
    pub has_before: bool,
}

/// What putting one in force did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyChange {
    /// Whether another one is in force than before.
    pub changed: bool,
    /// How many rules of all kinds it has.
    pub rules: usize,
    /// What is no mistake and may not be meant, `place: what`.
    pub doubts: Vec<String>,
}

impl Loader {
    /// The policy in force.
    pub fn policy_in_force(&self) -> PolicyInForce {
        PolicyInForce {
            file: self.policy.as_ref().map(|path| path.display().to_string()),
            rules: self.shared.policy().len(),
            text: self.policy_text.clone(),
            has_before: self.policy.as_deref().is_some_and(|path| before(path).exists()),
        }
    }

    /// Puts the policy `text` in force, and in the policy file; the one before is kept beside it. With `dry_run` nothing is
    /// done but told.
    ///
    /// # Errors
    /// If it has a mistake, or cannot be kept: nothing is changed then.
    pub fn apply_policy(
        &mut self,
        text: &str,
        dry_run: bool,
        by: &By,
        state: &AdminState,
    ) -> Result<PolicyChange, PolicyRefused> {
        let path = self.policy_path()?;
        let file = parse("the policy", text)?;
        let change = self.change(&file);
        if dry_run || !change.changed {
            return Ok(PolicyChange { changed: false, ..change });
        }
        self.put_policy_in_force(&path, file, &How { by, action: "policy.apply", what: "apply" }, state)?;
        Ok(change)
    }

    /// Goes back to version `number` of the policy, whenever it was in force. The one in force is kept beside it, as by
    /// [`Loader::apply_policy`].
    ///
    /// # Errors
    /// If there is none, or it has a mistake by now: nothing is changed then.
    pub fn roll_back_policy_to(
        &mut self,
        number: u64,
        by: &By,
        state: &AdminState,
    ) -> Result<PolicyChange, PolicyRefused> {
        let path = self.policy_path()?;
        let text = state.ledger.policy_text(number)?.ok_or(PolicyRefused::NoVersion(number))?;
        let file = parse(&format!("version {number} of the policy"), &text)?;
        let change = self.change(&file);
        if change.changed {
            let what = format!("rollback to {number}");
            self.put_policy_in_force(&path, file, &How { by, action: "policy.rollback", what: &what }, state)?;
        }
        Ok(change)
    }

    /// Goes back to the policy before the last one that was put in force so; a second time back again.
    ///
    /// # Errors
    /// If there is none, or it has a mistake by now: nothing is changed then.
    pub fn roll_back_policy(&mut self, by: &By, state: &AdminState) -> Result<PolicyChange, PolicyRefused> {
        let path = self.policy_path()?;
        let before = before(&path);
        let name = before.display().to_string();
        let text = match fs::read_to_string(before) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(PolicyRefused::NoneBefore(name)),
            Err(source) => return Err(PolicyRefused::File { path: name, what: "read", source }),
        };
        let file = parse(&name, &text)?;
        let change = self.change(&file);
        self.put_policy_in_force(&path, file, &How { by, action: "policy.rollback", what: "rollback" }, state)?;
        Ok(change)
    }

    fn policy_path(&self) -> Result<PathBuf, PolicyRefused> {
        let path = self.policy.as_deref().ok_or(PolicyRefused::NoFile)?;
        // A bare name has no folder that could be named.
        std::path::absolute(path).map_err(|source| refused(path, "found", source))
    }

    fn change(&self, file: &PolicyFile) -> PolicyChange {
        let (changed, rules) = (file.text != self.policy_text, file.policy.len());
        PolicyChange { changed, rules, doubts: file.warnings().collect() }
    }

    /// Enters that `file` comes in force, keeps it as a version, and puts it in force.
    fn put_policy_in_force(
        &mut self,
        path: &Path,
        file: PolicyFile,
        how: &How<'_>,
        state: &AdminState,
    ) -> Result<(), PolicyRefused> {
        let in_short = |rules: usize, text: &str| json!({ "rules": rules, "bytes": text.len() });
        let before = in_short(self.shared.policy().len(), &self.policy_text);
        let (rules, text) = (file.policy.len(), file.text.clone());
        let deed = Deed { by: how.by, action: how.action, before, after: in_short(rules, &text) };
        state.ledger.record_policy(&deed, &KeptPolicy { text: &text, rules, what: how.what })?;
        let done = self.write_policy(path, file);
        done.inspect_err(|e| deeds::undone(state, how.by, how.action, e))?;
        self.refresh_warnings(state, state.clock.now());
        Ok(())
    }

    /// Puts `file` in force and in the file at `path`, and the one before beside it. That one takes its place last, so that
    /// where a write fails both files are as they were.
    fn write_policy(&mut self, path: &Path, file: PolicyFile) -> Result<(), PolicyRefused> {
        let (before, next) = (before(path), path.with_added_extension("next"));
        write(&next, &self.policy_text)?;
        write(path, &file.text)?;
        fs::rename(&next, &before).map_err(|source| refused(&before, "written", source))?;
        self.shared.set_policy(file.policy);
        self.policy_text = file.text;
        Ok(())
    }
}

/// Who puts a policy in force, and how.
struct How<'a> {
    by: &'a By,
    action: &'a str,
    what: &'a str,
}

/// Where the one before is kept.
fn before(path: &Path) -> PathBuf {
    path.with_added_extension("before")
}

fn parse(name: &str, text: &str) -> Result<PolicyFile, PolicyRefused> {
    if text.len() as u64 > FILE_MAX {
        return Err(PolicyRefused::TooLong(text.len()));
    }
    PolicyFile::parse(name, text).map_err(PolicyRefused::Mistakes)
}

/// Writes a file whole, and leaves it to those who could read it before.
fn write(path: &Path, text: &str) -> Result<(), PolicyRefused> {
    let mode = fs::metadata(path).map(|meta| meta.permissions());
    let written = write_whole(path, text).and_then(|()| mode.map_or(Ok(()), |mode| fs::set_permissions(path, mode)));
    written.map_err(|source| refused(path, "written", source))
}

fn refused(path: &Path, what: &'static str, source: io::Error) -> PolicyRefused {
    PolicyRefused::File { path: path.display().to_string(), what, source }
}
