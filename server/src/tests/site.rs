//! A publisher, a data folder and settings for one server, on a loopback address of its own.

use std::{
    fs::DirBuilder,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use leasehold_protocol::{
    licence::{Certificate, KeyType, PublisherSecret, SeatLimit, Terms, canonical, text},
    vocab::{FeatureName, Label, SeatCount, Version},
};

use crate::{HttpListen, ListenOn, Running, Settings, clock::SystemEntropy, storage::faulty::FaultyDisk};

pub struct Site {
    pub scratch: tempfile::TempDir,
    pub publisher: PublisherSecret,
    pub address: IpAddr,
}

impl Site {
    /// With a publisher that is trusted and no licence yet.
    pub fn new() -> Self {
        let site = Self::bare();
        site.write("publishers/acme.pub", &site.publisher.public().to_text());
        site
    }

    /// With nothing in it.
    pub fn bare() -> Self {
        // Every test's server has an address of its own, so that they do not hear each other's broadcasts as their own.
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let address = Ipv4Addr::new(127, 97, 0, NEXT.fetch_add(1, Relaxed));
        Self { scratch: tempfile::tempdir().unwrap(), publisher: publisher("acme"), address: address.into() }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.data_dir().join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A licence file in the data folder.
    pub fn licence(&self, name: &str, feature: &str, seats: u32, ttl_s: u32) -> PathBuf {
        self.licence_with(name, feature, seats, Some(ttl_s))
    }

    /// One whose TTL is left to the server, for one seat.
    pub fn licence_without_ttl(&self, name: &str, feature: &str) -> PathBuf {
        self.licence_with(name, feature, 1, None)
    }

    fn licence_with(&self, name: &str, feature: &str, seats: u32, lease_ttl_s: Option<u32>) -> PathBuf {
        let certificate = Certificate {
            publisher: Label::new("acme").unwrap(),
            feature: FeatureName::new(feature).unwrap(),
            version: Version { major: 4, minor: 8, patch: 0 },
            count: SeatLimit::Counted(SeatCount::new(seats).unwrap()),
            key_type: KeyType::Exclusive,
            zone: "UTC".into(),
            start: None,
            end: None,
            terms: Terms { lease_ttl_s, ..Terms::default() },
        };
        let signed = canonical::sign(&certificate, &self.publisher);
        self.write(&format!("licences/{name}"), &text::write(&[signed], ""))
    }

    pub fn settings(&self) -> Settings {
        Settings {
            listen: vec![ListenOn::Address(self.address)],
            port: 0,
            http: HttpListen::On(self.address, None),
            data_dir: self.data_dir(),
            workers: 2,
            ..Settings::default()
        }
    }

    pub async fn start(&self) -> Running {
        Running::start(self.settings()).await.unwrap()
    }

    /// The same with its ledger on `disk`.
    pub fn start_on(&self, disk: &FaultyDisk, settings: Settings) -> Running {
        crate::start::start(settings, Some(Arc::new(disk.clone()))).unwrap()
    }
}

/// A fresh key of the publisher called `name`.
pub fn publisher(name: &str) -> PublisherSecret {
    PublisherSecret::generate(&Label::new(name).unwrap(), &mut SystemEntropy)
}

/// Waits until `condition` holds, for at most ten seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let all = async {
        while !condition().await {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap_or_else(|_| panic!("never: {what}"));
}
