//! Whose licences are served: publishers' public keys, and the key of a closed site.

use std::path::{Path, PathBuf};

use leasehold_protocol::{crypto::SiteKey, hex, licence::PublisherKey, vocab::Label};
use zeroize::Zeroizing;

use super::read_text;

/// A key file that was named by a setting and is of no use. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A publisher's key.
    #[error(
        "the publisher key {} {why}; get the .pub file from the publisher again, or leave it out of --publisher-key",
        path.display()
    )]
    Publisher {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The site key.
    #[error("the site key {} {why}; it must hold 64 hexadecimal digits, the same on every server and client of the site: \
             od -An -tx1 -N32 /dev/urandom | tr -d ' \\n' makes one", path.display())]
    Site {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Publishers that are trusted.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Their keys; a publisher may have a current and a next one.
    pub keys: Vec<PublisherKey>,
    /// Key files of the folder that are of no use, each with why.
    pub warnings: Vec<String>,
}

/// No key file is longer.
const KEY_FILE_MAX: usize = 4096;

impl Trust {
    /// Reads the keys that were named and those found in the data folder.
    ///
    /// # Errors
    /// If one that was named cannot be used. One of the folder is a warning: other publishers' licences go on.
    pub fn read(named: &[PathBuf], in_folder: &[PathBuf]) -> Result<Self, TrustError> {
        let mut trust = Self::default();
        for path in named {
            let key = read(path).map_err(|why| TrustError::Publisher { path: path.clone(), why })?;
            trust.add(key);
        }
        for path in in_folder {
            match read(path) {
                Ok(key) => trust.add(key),
                Err(why) => trust.warnings.push(format!("the publisher key {} {why}; it is not used", path.display())),
            }
        }
        Ok(trust)
    }

    fn add(&mut self, key: PublisherKey) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    /// The publishers, each once, in order of name.
    #[must_use]
    pub fn publishers(&self) -> Vec<Label> {
        let mut names: Vec<Label> = self.keys.iter().map(|key| key.publisher().clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn read(path: &Path) -> Result<PublisherKey, String> {
    let text = read_text(path, KEY_FILE_MAX)?;
    PublisherKey::parse(&text).map_err(|e| format!("is not one: {e}"))
}

/// Reads the file of a site key.
///
/// # Errors
/// If it cannot be read, or is not 64 hexadecimal digits, or is the open site's zeros.
pub fn read_site_key(path: &Path) -> Result<SiteKey, TrustError> {
    let wrong = |why: String| TrustError::Site { path: path.to_owned(), why };
    let text = Zeroizing::new(read_text(path, KEY_FILE_MAX).map_err(wrong)?);
    let key =
        hex::decode::<32>(text.trim()).map(SiteKey).ok_or_else(|| wrong("is not 64 hexadecimal digits".into()))?;
    if key.is_open() { Err(wrong("is all zeros, which means an open site".into())) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::licence::PublisherSecret;

    use super::*;
    use crate::clock::SystemEntropy;

    fn key_file(folder: &Path, name: &str, publisher: &str) -> PathBuf {
        let secret = PublisherSecret::generate(&Label::new(publisher).unwrap(), &mut SystemEntropy);
        let path = folder.join(name);
        std::fs::write(&path, secret.public().to_text()).unwrap();
        path
    }

    #[test]
    fn a_publisher_may_have_two_keys_and_is_one_publisher() {
        let scratch = tempfile::tempdir().unwrap();
        let files = [("a.pub", "acme"), ("b.pub", "acme"), ("c.pub", "bolt")];
        let paths = files.map(|(name, publisher)| key_file(scratch.path(), name, publisher));
        let trust = Trust::read(&paths[..2], &paths).unwrap();
        assert_eq!(trust.keys.len(), 3);
        assert_eq!(trust.publishers().iter().map(Label::as_str).collect::<Vec<_>>(), ["acme", "bolt"]);
    }

    #[test]
    fn a_bad_key_that_was_named_stops_and_one_in_the_folder_warns() {
        let scratch = tempfile::tempdir().unwrap();
        let bad = scratch.path().join("bad.pub");
        std::fs::write(&bad, "not a key").unwrap();
        let refused = Trust::read(std::slice::from_ref(&bad), &[]).unwrap_err().to_string();
        assert!(refused.contains("bad.pub") && refused.contains("get the .pub file"), "{refused}");
        let missing = Trust::read(&[scratch.path().join("none.pub")], &[]).unwrap_err().to_string();
        assert!(missing.contains("cannot be read"), "{missing}");
        let trust = Trust::read(&[], &[bad]).unwrap();
        assert!(trust.keys.is_empty() && trust.warnings[0].contains("bad.pub"));
    }

    #[test]
    fn a_site_key_is_64_digits_and_not_the_open_sites() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("site.key");
        for (text, good) in [("ab".repeat(32), true), ("00".repeat(32), false), ("ab".repeat(31), false)] {
            std::fs::write(&path, format!("{text}\n")).unwrap();
            assert_eq!(read_site_key(&path).is_ok(), good, "{text}");
        }
    }
}
