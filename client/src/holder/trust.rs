//! Whether a server is one to believe (W-5): pinned fingerprints, and certificates that name its key.

use std::net::SocketAddr;

use leasehold_protocol::{
    crypto::{Fingerprint, PublicKey},
    licence::canonical::verify_cose,
    time::UnixMillis,
    vocab::RealmId,
};

use super::{HolderConfig, RejectReason, Target};

/// Keys that showed a good certificate, and until when it is good: a return to such a server needs no second showing.
#[derive(Debug, Default)]
pub(super) struct Trust {
    proved: Vec<Proved>,
}

#[derive(Debug)]
struct Proved {
    key: PublicKey,
    realm: RealmId,
    until: Option<UnixMillis>,
}

/// What is known of a server before it has shown anything.
pub(super) enum Verdict {
    /// Use it.
    Trusted,
    /// Ask for PROOF.
    ProofWanted,
}

const PROVED_MAX: usize = 8;

impl Trust {
    /// What to do with a server of `key` that completed a handshake.
    pub(super) fn judge(&self, config: &HolderConfig, key: &PublicKey, realm: RealmId, wall: UnixMillis) -> Verdict {
        let holds = |p: &Proved| p.key == *key && p.realm == realm && p.until.is_none_or(|until| wall <= until);
        if config.publisher_keys.is_empty() || self.proved.iter().any(holds) {
            Verdict::Trusted
        } else {
            Verdict::ProofWanted
        }
    }

    /// Checks the certificate a server of `key` showed, and remembers a good one.
    pub(super) fn check(
        &mut self,
        config: &HolderConfig,
        key: &PublicKey,
        realm: RealmId,
        wall: UnixMillis,
        certificate: &[u8],
    ) -> Result<(), RejectReason> {
        if certificate.is_empty() {
            return Err(RejectReason::NoProof);
        }
        let signed = verify_cose(certificate, &config.publisher_keys).map_err(RejectReason::BadProof)?;
        let certificate = &signed.certificate;
        if certificate.realm() != realm {
            return Err(RejectReason::WrongRealm { expected: realm, found: certificate.realm() });
        }
        let found = key.fingerprint();
        if !certificate.terms.server_keys.contains(&found) {
            return Err(RejectReason::KeyNotNamed { found });
        }
        let until = certificate.ends_at();
        match until {
            Some(at) if at < wall => return Err(RejectReason::ProofEnded { at }),
            _ => self.remember(Proved { key: *key, realm, until }),
        }
        Ok(())
    }

    fn remember(&mut self, proved: Proved) {
        self.proved.retain(|p| p.key != proved.key || p.realm != proved.realm);
        if self.proved.len() == PROVED_MAX {
            self.proved.remove(0);
        }
        self.proved.push(proved);
    }
}

impl Target {
    /// The fingerprint a server at `address` must have, if one is pinned.
    pub(super) fn pin(&self, address: SocketAddr) -> Option<Fingerprint> {
        match self {
            Self::Known { address: known, key, .. } => (*known == address).then(|| key.fingerprint()),
            Self::Discover { pins, .. } => pins.iter().find(|(at, _)| *at == address).map(|(_, pin)| *pin),
        }
    }

    /// Whether somebody named this address.
    pub(super) fn names(&self, address: SocketAddr) -> bool {
        match self {
            Self::Known { address: known, .. } => *known == address,
            Self::Discover { to, .. } => to.contains(&address),
        }
    }
}
