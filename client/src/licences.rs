//! Feature info and licence info (S-5): what there is of a feature, and which certificates in which places say so.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use leasehold_protocol::{
    licence::{Certificate, KeyType, PublisherKey, SeatLimit, SignedCertificate, canonical},
    message::{FeatureLine, LicenceLine},
    time::UnixMillis,
    vocab::{CertificateId, FeatureName, SeatCount, Version},
};

use crate::{
    client::{Client, feature_name},
    driver::answers::Listed,
    error::{CheckoutError, Misuse},
    holder::Holder,
};

/// What there is of one feature.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FeatureInfo {
    /// Its name.
    pub name: FeatureName,
    /// The highest version there are rights for.
    pub version: Version,
    /// Seats, upgrades' included; `None` if they are not counted.
    pub count: Option<u32>,
    /// Those of them that upgrades add.
    pub upgraded_by: u32,
    /// Seats of overdraft besides.
    pub overdraft: u32,
    /// Seats out. 0 of what a file grants: nobody counts.
    pub used: u32,
    /// The next end of one of its rights, if any has one.
    pub next_end: Option<UnixMillis>,
    /// Where from.
    pub source: LicenceSource,
    /// The certificates that say so. Empty from a server that is older than this program.
    pub licences: Vec<Licence>,
}

/// One place of the licence search path, and what it grants.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LicencePath {
    /// The place.
    pub source: LicenceSource,
    /// The certificates there, in order of feature at a server and as they stand in a file. An upgrade is never one of
    /// them: it is in what it raises.
    pub licences: Result<Vec<Licence>, CheckoutError>,
}

/// Where rights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LicenceSource {
    /// A licence file on this machine.
    File(PathBuf),
    /// A licence server.
    Server(SocketAddr),
    /// Servers that were named, and of which none answered.
    NoServer,
}

/// A certificate that seats come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Licence {
    /// The feature.
    pub feature: FeatureName,
    /// Its id.
    pub id: CertificateId,
    /// Requests for this version and lower are served.
    pub version: Version,
    /// Its seats, upgrades' included; `None` if they are not counted.
    pub count: Option<u32>,
    /// Those of them that upgrades add.
    pub upgraded_by: u32,
    /// Seats of overdraft besides.
    pub overdraft: u32,
    /// Its seats that are out.
    pub used: u32,
    /// Its first millisecond, if it has one.
    pub starts: Option<UnixMillis>,
    /// Its last millisecond, if it has one.
    pub ends: Option<UnixMillis>,
    /// Everything its publisher says in it, the vendor string too. `None` if it is longer than a datagram, or signed by none of
    /// the client's [publisher keys](crate::ClientBuilder::publisher_key): then it is a server's word alone.
    pub certificate: Option<Certificate>,
}

/// How long a program that has licence files waits for a server to be found.
const SERVER_LIMIT: Duration = Duration::from_secs(1);

impl Client {
    /// What there is of one feature: seats, those that upgrades add, those that are out, the next end; `None` if nobody knows it.
    /// A file that grants it without a server answers, unless a server comes before it in the search path and knows it.
    ///
    /// # Errors
    /// If the name is no feature's, or no server answers in time.
    pub async fn feature_info(&self, name: &str) -> Result<Option<FeatureInfo>, CheckoutError> {
        let name = feature_name(name)?;
        let local = self.local_info(&name);
        if local.is_some() && !self.server_first {
            return Ok(local);
        }
        match self.feature(name.as_str()).await {
            Ok(Some(line)) => Ok(self.info_of(line).await),
            Ok(None) => Ok(local),
            Err(_) if local.is_some() => Ok(local),
            Err(e) => Err(e),
        }
    }

    /// Every place of the licence search path that rights come from, and the certificates there. The server is among them if there
    /// is one, or one was named; a program that has files waits for it a second at most.
    pub async fn licence_info(&self) -> Vec<LicencePath> {
        let mut paths = self.files();
        let limit = if paths.is_empty() || self.server().is_some() { self.limit } else { SERVER_LIMIT };
        let licences = self.licences(None, limit).await;
        let named = self.handle.with(|desk| desk.names_servers()).unwrap_or(false);
        let source = match self.server() {
            Some(server) => Some(LicenceSource::Server(server.address)),
            None => Some(LicenceSource::NoServer).filter(|_| named || paths.is_empty()),
        };
        let at = if self.server_first { 0 } else { paths.len() };
        if let Some(source) = source {
            paths.insert(at, LicencePath { source, licences });
        }
        paths
    }

    fn files(&self) -> Vec<LicencePath> {
        let path = |(path, all): (&Path, Vec<&SignedCertificate>)| LicencePath {
            source: LicenceSource::File(path.to_owned()),
            licences: Ok(all.into_iter().filter_map(in_file).collect()),
        };
        self.shelf().by_file().map(path).collect()
    }

    fn local_info(&self, name: &FeatureName) -> Option<FeatureInfo> {
        let shelf = self.shelf();
        let index = shelf.granting(name)?;
        let licence = in_file(&shelf.certificates[index])?;
        Some(FeatureInfo {
            name: name.clone(),
            version: licence.version,
            count: licence.count,
            upgraded_by: 0,
            overdraft: 0,
            used: 0,
            next_end: licence.ends,
            source: LicenceSource::File(shelf.file_of(index).to_owned()),
            licences: vec![licence],
        })
    }

    async fn info_of(&self, line: FeatureLine) -> Option<FeatureInfo> {
        // An older server does not tell, and one that has gone since then does not either.
        let licences = self.licences(Some(line.name.clone()), self.limit).await.unwrap_or_default();
        Some(FeatureInfo {
            version: line.version,
            count: line.count,
            upgraded_by: licences.iter().fold(0, |sum, licence| sum.saturating_add(licence.upgraded_by)),
            overdraft: licences.iter().fold(0, |sum, licence| sum.saturating_add(licence.overdraft)),
            used: line.used,
            next_end: line.next_end,
            source: LicenceSource::Server(self.server()?.address),
            name: line.name,
            licences,
        })
    }

    async fn licences(&self, only: Option<FeatureName>, limit: Duration) -> Result<Vec<Licence>, CheckoutError> {
        let answer = self.handle.with(|desk| desk.query(only, limit, Holder::query_licences))?;
        let listed = answer.await.unwrap_or(Err(CheckoutError::ApiMisuse(Misuse::Closed)))?;
        let Listed::Licences(lines) = listed else { return Ok(Vec::new()) };
        let shelf = self.shelf();
        Ok(lines.into_iter().map(|line| at_server(line, &shelf.keys)).collect())
    }
}

/// A server's line. What its publisher signed counts more than what the server says besides.
fn at_server(line: LicenceLine, keys: &[PublisherKey]) -> Licence {
    let signed = canonical::verify_cose(&line.signed, keys).ok().filter(|signed| signed.id == line.certificate);
    Licence {
        feature: line.feature,
        id: line.certificate,
        version: line.version,
        count: line.count,
        upgraded_by: line.upgraded_by,
        overdraft: line.overdraft,
        used: line.used,
        starts: line.starts,
        ends: line.ends,
        certificate: signed.map(|signed| signed.certificate),
    }
}

/// The same of a certificate in a file; nothing of an upgrade (L-8).
fn in_file(signed: &SignedCertificate) -> Option<Licence> {
    let certificate = &signed.certificate;
    let count = match certificate.count {
        SeatLimit::Counted(seats) => Some(seats.get()),
        SeatLimit::Uncounted => None,
    };
    (certificate.key_type != KeyType::Upgrade).then(|| Licence {
        feature: certificate.feature.clone(),
        id: signed.id,
        version: certificate.version,
        count,
        upgraded_by: 0,
        overdraft: certificate.terms.overdraft.map_or(0, SeatCount::get),
        used: 0,
        starts: certificate.starts_at(),
        ends: certificate.ends_at(),
        certificate: Some(certificate.clone()),
    })
}

impl fmt::Display for LicenceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(address) => write!(f, "{address}"),
            Self::NoServer => f.write_str("no server"),
        }
    }
}
