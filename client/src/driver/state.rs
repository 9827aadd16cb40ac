//! What a client remembers between runs: its device's key and id, the keys of servers it has seen, the last server.
//!
//! A folder that cannot be read or written is never the program's problem: what is missing is drawn afresh and kept in
//! memory.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use leasehold_protocol::{
    Entropy,
    crypto::{Fingerprint, Keypair},
    hex,
    vocab::DeviceId,
};

use super::identity::variable;

/// The state folder, or its stand-in in memory.
#[derive(Debug)]
pub(crate) struct State {
    folder: Option<PathBuf>,
    known: Vec<(String, Fingerprint)>,
}

const DEVICE_KEY: &str = "device.key";
const DEVICE_ID: &str = "device.id";
const KNOWN_SERVERS: &str = "known_servers";
const LAST_SERVER: &str = "last_server";
/// A remembered file longer than this is not ours.
const FILE_MAX: u64 = 1 << 20;

impl State {
    /// The folder people's clients share: `$XDG_STATE_HOME/leasehold-client`, else `~/.local/state/leasehold-client`.
    pub(crate) fn default_folder() -> Option<PathBuf> {
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        state.or_else(home).map(|base| base.join("leasehold-client"))
    }

    /// Opens `folder`, or memory where there is none.
    pub(crate) fn open(folder: Option<PathBuf>) -> Self {
        let folder = folder.filter(|path| make_folder(path).is_ok());
        let known = folder.as_deref().and_then(|f| read(&f.join(KNOWN_SERVERS)));
        let known = known.map(|text| parse_known(&text)).unwrap_or_default();
        Self { folder, known }
    }

    /// The device's key pair: the stored one, or a fresh one that is stored.
    pub(crate) fn device_keys(&self, entropy: &mut dyn Entropy) -> Keypair {
        let stored = self.stored::<32>(DEVICE_KEY, entropy);
        stored.map_or_else(|| Keypair::generate(entropy), Keypair::from_private)
    }

    /// The device's id: the stored one, or a fresh one that is stored.
    pub(crate) fn device_id(&self, entropy: &mut dyn Entropy) -> DeviceId {
        let fresh = |entropy: &mut dyn Entropy| {
            let mut bytes = [0; 16];
            entropy.fill(&mut bytes);
            bytes
        };
        DeviceId(self.stored::<16>(DEVICE_ID, entropy).unwrap_or_else(|| fresh(entropy)))
    }

    /// The fingerprint remembered for the server called `label`.
    pub(crate) fn known(&self, label: &str) -> Option<Fingerprint> {
        self.known.iter().find(|(name, _)| name == label).map(|(_, pin)| *pin)
    }

    /// Everything remembered of servers that are named by their address.
    pub(crate) fn known_addresses(&self) -> impl Iterator<Item = (SocketAddr, Fingerprint)> + '_ {
        self.known.iter().filter_map(|(name, pin)| Some((name.parse().ok()?, *pin)))
    }

    /// Remembers a server seen for the first time.
    pub(crate) fn remember(&mut self, label: &str, pin: Fingerprint) {
        if self.known(label).is_some() {
            return;
        }
        self.known.push((label.to_owned(), pin));
        if let Some(path) = self.path(KNOWN_SERVERS) {
            // One short line in append mode: two programs that do this at once both keep theirs.
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
            let _ = file.and_then(|mut file| file.write_all(format!("{label} {pin}\n").as_bytes()));
        }
    }

    /// The file that remembers servers, for people who must change it.
    pub(crate) fn known_file(&self) -> PathBuf {
        self.path(KNOWN_SERVERS).unwrap_or_else(|| PathBuf::from(KNOWN_SERVERS))
    }

    /// Where the server used last was.
    pub(crate) fn last_server(&self) -> Option<SocketAddr> {
        read(&self.path(LAST_SERVER)?)?.trim().parse().ok()
    }

    /// Remembers where the server is.
    pub(crate) fn set_last_server(&self, address: SocketAddr) {
        if let Some(path) = self.path(LAST_SERVER).filter(|_| self.last_server() != Some(address)) {
            let _ = write_whole(&path, &format!("{address}\n"));
        }
    }

    /// The secret of `name`, drawn and stored if there is none. Two programs that start at once agree on one.
    fn stored<const N: usize>(&self, name: &str, entropy: &mut dyn Entropy) -> Option<[u8; N]> {
        let path = self.path(name)?;
        if let Some(found) = read(&path).and_then(|text| hex::decode(text.trim())) {
            return Some(found);
        }
        if path.exists() {
            // Not ours to lose: moved aside, where a person can look at it.
            let _ = fs::rename(&path, path.with_extension("unreadable"));
        }
        let mut fresh = [0; N];
        entropy.fill(&mut fresh);
        let _ = create_once(&path, &format!("{}\n", hex::encode(&fresh)), entropy);
        read(&path).and_then(|text| hex::decode(text.trim())).or(Some(fresh))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn read(path: &Path) -> Option<String> {
    let small = fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= FILE_MAX);
    small.and_then(|_| fs::read_to_string(path).ok())
}

fn parse_known(text: &str) -> Vec<(String, Fingerprint)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(char::is_whitespace));
    pairs.filter_map(|(name, pin)| Some((name.to_owned(), pin.trim().parse().ok()?))).collect()
}

/// Writes the file unless somebody else did first; nobody ever sees half of it.
fn create_once(path: &Path, text: &str, entropy: &mut dyn Entropy) -> io::Result<()> {
    let own = path.with_extension(format!("{:016x}", entropy.next_u64()));
    let written = new_private(&own)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&own, path));
    let _ = fs::remove_file(&own);
    written
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let own = path.with_extension(std::process::id().to_string());
    let _ = fs::remove_file(&own);
    let written =
        new_private(&own).and_then(|mut file| file.write_all(text.as_bytes())).and_then(|()| fs::rename(&own, path));
    if written.is_err() {
        let _ = fs::remove_file(&own);
    }
    written
}

fn new_private(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn counting() -> impl Entropy {
        let mut n = 0u8;
        move |bytes: &mut [u8]| {
            n = n.wrapping_add(1);
            bytes.fill(n);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_device_keeps_its_key_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/leasehold-client");
        let mut entropy = counting();
        let first = State::open(Some(folder.clone()));
        let (key, id) = (first.device_keys(&mut entropy).public(), first.device_id(&mut entropy));
        assert_eq!((mode(&folder), mode(&folder.join(DEVICE_KEY))), (0o700, 0o600));

        let again = State::open(Some(folder.clone()));
        assert_eq!((again.device_keys(&mut entropy).public(), again.device_id(&mut entropy)), (key, id));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "no scratch files stay behind");
    }

    #[test]
    fn a_damaged_key_is_moved_aside_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(DEVICE_KEY), "half a ke").unwrap();
        let state = State::open(Some(dir.path().to_owned()));
        let key = state.device_keys(&mut counting()).public();
        assert_eq!(state.device_keys(&mut counting()).public(), key);
        assert!(dir.path().join("device.unreadable").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_memory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let mut state = State::open(Some(file.join("below")));
        let mut entropy = counting();
        let _ = (state.device_keys(&mut entropy), state.device_id(&mut entropy));
        state.remember("host:1", Fingerprint([1; 16]));
        state.set_last_server("127.0.0.1:1".parse().unwrap());
        assert_eq!(state.known("host:1"), Some(Fingerprint([1; 16])));
        assert_eq!(state.last_server(), None);
    }

    #[test]
    fn servers_are_remembered_by_the_first_key_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(Some(dir.path().to_owned()));
        state.remember("192.0.2.7:5097", Fingerprint([1; 16]));
        state.remember("192.0.2.7:5097", Fingerprint([2; 16]));
        state.set_last_server("192.0.2.7:5097".parse().unwrap());

        let again = State::open(Some(dir.path().to_owned()));
        assert_eq!(again.known("192.0.2.7:5097"), Some(Fingerprint([1; 16])));
        assert_eq!(again.known_addresses().count(), 1);
        assert_eq!(again.last_server(), "192.0.2.7:5097".parse().ok());
        assert_eq!(mode(&dir.path().join(KNOWN_SERVERS)), 0o600);
    }
}
