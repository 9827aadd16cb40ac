//! The machine's TPM: the name of its endorsement key, which its maker's seed makes anew whenever it is asked for, and which
//! cannot leave it. Nothing is kept in the TPM.

use std::{path::PathBuf, str::FromStr};

use leasehold_protocol::{
    hex,
    vocab::{HostIdKind, Label},
};
use tss_esapi::{Context, TctiNameConf, abstraction::ek, interface_types::algorithm::AsymmetricAlgorithm};

use super::{Gathered, Machine, Stability, hashed};

/// The kernel's door to the TPM, which several programs may use at once.
const DEVICE: &str = "dev/tpmrm0";

pub(super) fn endorsement_key(machine: &Machine, publisher: &Label, out: &mut Gathered) {
    let (tcti, source) = match &machine.tpm {
        Some(named) => (named.clone(), PathBuf::from(named)),
        None => {
            let device = machine.path(DEVICE);
            if !device.exists() {
                return;
            }
            (format!("device:{}", device.display()), device)
        }
    };
    match name_of_key(&tcti) {
        Ok(name) => {
            let id = hashed(publisher, HostIdKind::TPM, &hex::encode(&name));
            out.add(HostIdKind::TPM, &id, Stability::Lasting, &source);
        }
        Err(e) => out.could_not(&source, &std::io::Error::other(e)),
    }
}

/// The name of the key on NIST P-256 (TCG EK Credential Profile, template L-2): its algorithm and the digest of its public area.
fn name_of_key(tcti: &str) -> tss_esapi::Result<Vec<u8>> {
    let mut context = Context::new(TctiNameConf::from_str(tcti)?)?;
    let key = ek::create_ek_object(&mut context, AsymmetricAlgorithm::Ecc, None)?;
    let read = context.read_public(key);
    // It is in the TPM's working memory until it is flushed, of which there is little.
    let flushed = context.flush_context(key.into());
    let (_, name, _) = read?;
    flushed?;
    Ok(name.value().to_vec())
}
