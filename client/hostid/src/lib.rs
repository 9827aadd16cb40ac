//! What this machine can be recognised by (T-1), and the facts about it that a right may ask for (T-3).
//!
//! Everything is read from files and interfaces; nothing is changed, nothing is asked of a network, and no tool is run.
//! Whatever cannot be read is named with the reason, and is no failure: a licence lists several hostids for that (L-19).
//!
//! Machine ids, the UUIDs of virtual machines, workload and cloud ids are never shown as they are: they are hashed with the
//! publisher's name, so that two publishers cannot find out that they have a customer's machine in common. Ethernet
//! addresses, disk serials, names and addresses are shown as they are, because people compare them by eye.
//!
//! ```no_run
//! use leasehold_hostid::Machine;
//! let publisher = "acme".parse().unwrap();
//! for found in Machine::this().gather(&publisher).found {
//!     println!("{} ({})", found.hostid, found.stability.name());
//! }
//! ```
//!
//! The key of a TPM is looked at with the feature `tpm` alone, which links a C library (Debian: `libtss2-dev`). Asking a TPM takes it some
//! tenths of a second. Absent: dongles.

mod sources;
#[cfg(test)]
mod tests;
#[cfg(feature = "tpm")]
mod tpm;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use blake2::{Blake2s256, Digest};
use leasehold_protocol::{
    hex,
    vocab::{HostId, HostIdKind, Label},
};

/// A machine, as far as it is looked at.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Where its files begin: `/`, or what a test has put in place of it.
    pub root: PathBuf,
    /// Its name.
    pub host: Option<String>,
    /// Who uses it.
    pub user: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The display or terminal.
    pub display: Option<String>,
    /// What an orchestrator calls the workload: `LEASEHOLD_WORKLOAD_ID`.
    pub workload: Option<String>,
    /// Which kind of remote session this is; `None` if it is none.
    pub remote: Option<String>,
    /// How its TPM is reached, in the words of the TPM software stack (`device:/dev/tpmrm0`, `swtpm:port=2321`): `LEASEHOLD_TPM`.
    /// `None`: by `dev/tpmrm0`, if it is there. Without the feature `tpm` nobody asks.
    pub tpm: Option<String>,
}

/// Something it can be recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub hostid: HostId,
    /// How long it stays.
    pub stability: Stability,
    /// Where it was read.
    pub source: String,
}

/// How long a hostid stays what it is. Earlier ones are better to bind a licence to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stability {
    /// As long as the installation or the piece of hardware.
    Lasting,
    /// Until somebody renames or moves something.
    Changing,
    /// Made by software, for as long as it likes: a virtual adapter, a random address.
    Virtual,
    /// No hostid but a fact about this session.
    Fact,
}

impl Stability {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lasting => "lasting",
            Self::Changing => "changing",
            Self::Virtual => "virtual",
            Self::Fact => "fact",
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Best to bind a licence to first.
    pub found: Vec<Found>,
    /// What could not be read, each with the reason.
    pub unreadable: Vec<String>,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        sources::this()
    }

    /// What it can be recognised by, for licences of `publisher`.
    #[must_use]
    pub fn gather(&self, publisher: &Label) -> Gathered {
        let mut out = Gathered::default();
        sources::machine_id(self, publisher, &mut out);
        sources::disks(self, &mut out);
        sources::adapters(self, &mut out);
        sources::virtual_machine(self, publisher, &mut out);
        sources::workload(self, publisher, &mut out);
        sources::names(self, &mut out);
        composite(&mut out);
        // Not part of that one, which must not depend on how a program was built.
        #[cfg(feature = "tpm")]
        tpm::endorsement_key(self, publisher, &mut out);
        out.found.sort_by_key(|found| (found.stability, found.hostid.kind));
        out.found.dedup_by(|a, b| a.hostid == b.hostid);
        out
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

impl Gathered {
    /// The hostids alone, at most `most` of them: the best to bind a licence to, and every fact.
    #[must_use]
    pub fn hostids(&self, most: usize) -> Vec<HostId> {
        let (facts, ids): (Vec<_>, Vec<_>) = self.found.iter().partition(|found| found.stability == Stability::Fact);
        let room = most.saturating_sub(facts.len());
        ids.into_iter().take(room).chain(facts).map(|found| found.hostid.clone()).take(most).collect()
    }

    fn add(&mut self, kind: HostIdKind, value: &str, stability: Stability, source: &Path) {
        // What is empty or too long to be a hostid is none.
        if let Ok(hostid) = HostId::new(kind, value.trim()) {
            self.found.push(Found { hostid, stability, source: source.display().to_string() });
        }
    }

    fn could_not(&mut self, path: &Path, why: &std::io::Error) {
        self.unreadable.push(format!("{}: {why}", path.display()));
    }
}

/// `secret` as `publisher` may know it: 32 hexadecimal digits.
fn hashed(publisher: &Label, kind: HostIdKind, secret: &str) -> String {
    let digest = Blake2s256::new()
        .chain_update(b"leasehold hostid v1\0")
        .chain_update(publisher.as_str().as_bytes())
        .chain_update([0, kind.0])
        .chain_update(secret.trim().as_bytes())
        .finalize();
    hex::encode(&digest[..16])
}

/// One hostid over all that lasts: it changes when any of them does.
fn composite(out: &mut Gathered) {
    let mut lasting: Vec<String> = out
        .found
        .iter()
        .filter(|found| found.stability == Stability::Lasting)
        .map(|found| found.hostid.to_string())
        .collect();
    if lasting.is_empty() {
        return;
    }
    lasting.sort();
    let digest =
        Blake2s256::new().chain_update(b"leasehold composite v1\0").chain_update(lasting.join("\n")).finalize();
    let source = format!("the {} lasting ones", lasting.len());
    out.add(HostIdKind::COMPOSITE, &hex::encode(&digest[..16]), Stability::Changing, Path::new(&source));
}
