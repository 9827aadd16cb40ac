//! Everything a server needs to be tried out: a publisher's keys, the server's own key, a licence that names it.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use leasehold_protocol::{
    crypto::Fingerprint,
    licence::{
        Certificate, Day, KeyType, PublisherKey, PublisherSecret, SeatLimit, SignedCertificate, Terms, canonical, text,
    },
    vocab::{FeatureName, Label, SeatCount, Version},
};
use leasehold_server::{clock::SystemEntropy, clock_now, state};

use crate::exit::Failure;

/// What to put on the licence.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Whose licence.
    pub publisher: Label,
    /// What for.
    pub features: Vec<Feature>,
    /// How long from today, in days.
    pub days: i32,
    /// The leases' TTL in seconds; `None` leaves it to the server.
    pub lease_ttl_s: Option<u32>,
    /// What people read at the top of the file and in the console.
    pub notice: String,
}

/// One feature of it.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Its name.
    pub name: FeatureName,
    /// Up to which version.
    pub version: Version,
    /// How many seats.
    pub seats: SeatLimit,
}

/// What was made, and where it lies.
#[derive(Clone, Debug)]
pub struct Kit {
    /// The publisher's public key.
    pub publisher: PublisherKey,
    /// Its file: what `--publisher-key` of clients wants.
    pub publisher_file: PathBuf,
    /// The publisher's secret key: not for the server.
    pub secret_file: PathBuf,
    /// The server's state folder.
    pub data_dir: PathBuf,
    /// The licence, inside the state folder.
    pub licence_file: PathBuf,
    /// What is on it.
    pub certificates: Vec<SignedCertificate>,
    /// The fingerprint of the server's key, which the licence names.
    pub fingerprint: Fingerprint,
    /// The licence's last day.
    pub last_day: Day,
}

impl Kit {
    /// How many seats the licence has in all; features that are not counted add none.
    #[must_use]
    pub fn seats(&self) -> u64 {
        let seats = |signed: &SignedCertificate| match signed.certificate.count {
            SeatLimit::Counted(seats) => u64::from(seats.get()),
            SeatLimit::Uncounted => 0,
        };
        self.certificates.iter().map(seats).sum()
    }
}

impl Offer {
    /// The demo: four features, 220 seats, 30 days.
    ///
    /// # Errors
    /// None: the names are constants.
    pub fn demo() -> Result<Self, Failure> {
        let features =
            [("VR_MODE", "5.0", 20), ("CAD_PRO", "2026.1", 100), ("SOLVER", "4.8", 50), ("VIEWER", "1.0", 50)];
        let features = features.into_iter().map(|(name, version, seats)| Feature::new(name, version, seats));
        Ok(Self {
            publisher: label("demo")?,
            features: features.collect::<Result<_, _>>()?,
            days: 30,
            lease_ttl_s: None,
            notice: "A demonstration: signed with a key that was made for this folder alone".to_owned(),
        })
    }

    /// Makes keys, licence and state folder below `folder`: `publisher/` stays with the publisher, `data/` is the
    /// server's.
    ///
    /// # Errors
    /// If a file is there already or cannot be written.
    pub fn make_in(&self, folder: &Path) -> Result<Kit, Failure> {
        let (publisher_dir, data_dir) = (folder.join("publisher"), folder.join("data"));
        make_folder(&publisher_dir)?;
        let secret = PublisherSecret::generate(&self.publisher, &mut SystemEntropy);
        let publisher = secret.public();
        let file = |extension: &str| publisher_dir.join(format!("{}.{extension}", self.publisher.as_str()));
        let (secret_file, publisher_file) = (file("key"), file("pub"));
        write_new(&secret_file, secret.to_text().as_bytes(), 0o600)?;
        write_new(&publisher_file, publisher.to_text().as_bytes(), 0o644)?;

        let fingerprint = self.server_key(&data_dir)?;
        let (certificates, last_day) = self.signed(&secret, fingerprint)?;
        let licence_file = data_dir.join("licences").join(format!("{}.lic", self.publisher.as_str()));
        write_new(&licence_file, text::write(&certificates, &self.notice).as_bytes(), 0o644)?;
        let trusted = data_dir.join("publishers").join(format!("{}.pub", self.publisher.as_str()));
        write_new(&trusted, publisher.to_text().as_bytes(), 0o644)?;
        Ok(Kit { publisher, publisher_file, secret_file, data_dir, licence_file, certificates, fingerprint, last_day })
    }

    /// The server's key is made first, so that the licence can name it: that is what PROOF shows.
    fn server_key(&self, data_dir: &Path) -> Result<Fingerprint, Failure> {
        let made = state::Folder::open(data_dir).and_then(|mut folder| {
            folder.make_folder("publishers")?;
            folder.make_folder("licences")?;
            state::realm_keys(&mut folder, &self.publisher, &mut SystemEntropy)
        });
        let keys = made.map_err(|e| Failure::new("cannot make the server's state folder").because_of(&e))?;
        Ok(keys.public().fingerprint())
    }

    fn signed(&self, secret: &PublisherSecret, server: Fingerprint) -> Result<(Vec<SignedCertificate>, Day), Failure> {
        let dates = |e| Failure::new("cannot date the licence: is this machine's clock right?").because_of(&e);
        let today = Day::at(clock_now().wall, "UTC").map_err(dates)?;
        let last_day = today.plus_days(self.days);
        let terms = Terms {
            lease_ttl_s: self.lease_ttl_s,
            server_keys: vec![server],
            notice: Some(self.notice.clone()),
            ..Terms::default()
        };
        let certificate = |feature: &Feature| Certificate {
            publisher: self.publisher.clone(),
            feature: feature.name.clone(),
            version: feature.version,
            count: feature.seats,
            key_type: KeyType::Exclusive,
            zone: "UTC".to_owned(),
            start: Some(today),
            end: Some(last_day),
            terms: terms.clone(),
        };
        let sign = |feature| canonical::sign(&certificate(feature), secret);
        Ok((self.features.iter().map(sign).collect(), last_day))
    }
}

impl Feature {
    /// A counted feature.
    ///
    /// # Errors
    /// If a part is not what the licence format takes.
    pub fn new(name: &str, version: &str, seats: u32) -> Result<Self, Failure> {
        let refused = |e: &dyn std::error::Error| Failure::usage(format!("feature {name:?} {version}")).because_of(e);
        Ok(Self {
            name: FeatureName::new(name).map_err(|e| refused(&e))?,
            version: version.parse().map_err(|e| refused(&e))?,
            seats: SeatLimit::Counted(SeatCount::new(seats).map_err(|e| refused(&e))?),
        })
    }
}

fn label(text: &str) -> Result<Label, Failure> {
    Label::new(text).map_err(|e| Failure::usage(format!("publisher {text:?}")).because_of(&e))
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Failure::new(format!("cannot make the folder {}", path.display())).because_of(&e))
}

/// Writes a file that must not be there yet: keys and licences are never written over.
///
/// # Errors
/// If it is there, or cannot be written.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(content)).map_err(|e| {
        let failure = Failure::new(format!("cannot write {}", path.display())).because_of(&e);
        match e.kind() {
            std::io::ErrorKind::AlreadyExists => failure.remedy("name another folder, or remove the old file yourself"),
            _ => failure,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_demo_licence_loads_with_the_publishers_key_and_names_the_server() {
        let scratch = tempfile::tempdir().unwrap();
        let kit = Offer::demo().unwrap().make_in(scratch.path()).unwrap();
        let report = text::read(&fs::read_to_string(&kit.licence_file).unwrap(), std::slice::from_ref(&kit.publisher));
        assert!(report.refused.is_empty());
        assert_eq!((report.applied.len(), kit.seats()), (4, 220));
        assert!(report.applied.iter().all(|c| c.certificate.terms.server_keys == [kit.fingerprint]));
    }

    #[test]
    fn the_secret_is_for_its_owner_alone_and_nothing_is_written_over() {
        let scratch = tempfile::tempdir().unwrap();
        let offer = Offer::demo().unwrap();
        let kit = offer.make_in(scratch.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kit.secret_file), 0o600);
        assert!(offer.make_in(scratch.path()).is_err());
    }
}
