//! A TPM of software, as the kernel would show one of hardware.
#![cfg(feature = "tpm")]

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use leasehold_hostid::Machine;
use leasehold_protocol::vocab::HostIdKind;

struct Tpm {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Tpm {
    fn new() -> Self {
        let mut tpm = Self { folder: tempfile::tempdir().unwrap(), port: free_port(), process: None };
        tpm.start();
        tpm
    }

    fn start(&mut self) {
        let (state, port) = (format!("dir={}", self.folder.path().display()), self.port);
        let server = format!("type=tcp,port={port},bindaddr=127.0.0.1,disconnect");
        let control = format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1);
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--tpmstate", &state, "--server", &server, "--ctrl", &control]);
        swtpm.args(["--flags", "not-need-init,startup-clear"]).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(swtpm.spawn().expect("swtpm"));
        std::thread::sleep(Duration::from_millis(500));
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn seen_by(&self, publisher: &str) -> Vec<String> {
        let tpm = Some(format!("swtpm:host=127.0.0.1,port={}", self.port));
        let machine = Machine { root: self.folder.path().to_owned(), tpm, ..Machine::this() };
        let gathered = machine.gather(&publisher.parse().unwrap());
        assert_eq!(gathered.unreadable, Vec::<String>::new());
        let tpms = gathered.found.into_iter().filter(|found| found.hostid.kind == HostIdKind::TPM);
        tpms.map(|found| found.hostid.to_string()).collect()
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One with the next one free, too.
fn free_port() -> u16 {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    TcpListener::bind(("127.0.0.1", port + 1)).map_or_else(|_| free_port(), |_| port)
}

#[test]
fn a_tpm_is_known_by_a_key_that_stays_and_that_publishers_cannot_compare() {
    if Command::new("swtpm").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED, LOUDLY: swtpm is not here, and neither is a TPM to ask");
        return;
    }
    let (mut tpm, other) = (Tpm::new(), Tpm::new());
    let first = tpm.seen_by("acme");
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with("tpm:") && first[0].len() == 36, "{first:?}");
    assert_eq!(tpm.seen_by("acme"), first);
    tpm.stop();
    tpm.start();
    assert_eq!(tpm.seen_by("acme"), first, "it was started again");
    assert_ne!(tpm.seen_by("zenith"), first);
    assert_ne!(other.seen_by("acme"), first);
}

#[test]
fn a_tpm_that_does_not_answer_is_named_and_stops_nothing() {
    let tpm = Some(format!("swtpm:host=127.0.0.1,port={}", free_port()));
    let gathered = Machine { tpm, ..Machine::this() }.gather(&"acme".parse().unwrap());
    assert!(gathered.unreadable.iter().any(|why| why.starts_with("swtpm:")), "{:?}", gathered.unreadable);
    assert!(!gathered.found.is_empty());
}
