//! Whose signatures count, and for which server: as the server decides it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use leasehold_protocol::{
    crypto::{Fingerprint, Keypair},
    hex,
    licence::PublisherKey,
    vocab::RealmId,
};
use leasehold_server::state;
use zeroize::Zeroizing;

use crate::{exit::Failure, issue::files, local::LocalArgs};

/// The publishers whose certificates would be loaded.
#[derive(Clone, Debug, Default)]
pub(in crate::issue) struct Trusted {
    pub(in crate::issue) keys: Vec<PublisherKey>,
    /// The server's own key in each realm it has served in: what `server-keys` must name.
    pub(in crate::issue) servers: BTreeMap<RealmId, Fingerprint>,
    /// Key files of the folder that cannot be used.
    pub(in crate::issue) warnings: Vec<String>,
}

/// The keys in `named` and in the folder `publishers/` of `data_dir`. With neither, those of this machine's server.
pub(in crate::issue) fn gather(named: &[PathBuf], data_dir: Option<&Path>) -> Result<Trusted, Failure> {
    let mut named = named.to_vec();
    let mut folder = data_dir.map(Path::to_owned);
    if named.is_empty() && folder.is_none() {
        let settings = LocalArgs::default().settings()?;
        named = settings.publisher_keys;
        folder = Some(settings.data_dir);
    }
    let mut trusted = Trusted::default();
    for path in &named {
        trusted.keys.push(read(path)?);
    }
    if let Some(folder) = folder {
        if data_dir.is_some() && !folder.is_dir() {
            return Err(Failure::new(format!("there is no state folder {}", folder.display()))
                .remedy("name the folder that `leasehold serve` has as --data-dir"));
        }
        trusted.add_folder(&folder.join("publishers"))?;
        trusted.add_servers(&folder);
    }
    Ok(trusted)
}

impl Trusted {
    /// Adds every `.pub` file of `folder`, if there is that folder.
    fn add_folder(&mut self, folder: &Path) -> Result<(), Failure> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Failure::new(format!("cannot read the folder {}", folder.display())).because_of(&e)),
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "pub"));
        paths.sort();
        for path in paths {
            match read(&path) {
                Ok(key) => self.keys.push(key),
                Err(e) => self.warnings.push(format!("{}: {}", e.what(), e.why().join("; "))),
            }
        }
        Ok(())
    }

    /// Notes the server's fingerprints. A realm it has no key in yet will get one, and then nothing names it.
    fn add_servers(&mut self, data_dir: &Path) {
        for key in &self.keys {
            let file = data_dir.join(state::realm_key_file(key.publisher()));
            let text = files::read_text(&file).ok().map(Zeroizing::new);
            if let Some(private) = text.and_then(|text| hex::decode(text.trim())) {
                let fingerprint = Keypair::from_private(private).public().fingerprint();
                self.servers.insert(key.realm(), fingerprint);
            }
        }
    }
}

fn read(path: &Path) -> Result<PublisherKey, Failure> {
    let text = Zeroizing::new(files::read_text(path)?);
    PublisherKey::parse(&text)
        .map_err(|e| Failure::new(format!("{} is not a publisher's key", path.display())).because(e))
}
