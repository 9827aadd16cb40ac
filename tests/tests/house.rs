//! The house itself: what the SDK drags in, and what it must not.

use std::{collections::BTreeSet, process::Command};

/// The most third-party crates the SDK may bring into a program: each is somebody the host program has to trust.
const SDK_CRATES_MAX: usize = 65;

/// Crates of `package`'s normal dependency tree, without our own.
fn crates_of(package: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let words = ["tree", "-p", package, "-e", "normal", "--prefix", "none", "--no-dedupe", "--format", "{p}"];
    let output = cargo.args(words).output().expect("cargo is there: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let third_party = text.lines().filter(|line| !line.is_empty() && !line.contains('/'));
    third_party.map(|line| line.trim_end_matches(" (proc-macro)").to_owned()).collect()
}

#[test]
fn the_sdk_brings_65_third_party_crates_or_fewer() {
    let crates = crates_of("leasehold");
    println!("the SDK brings {} third-party crates: {crates:?}", crates.len());
    assert!(crates.len() <= SDK_CRATES_MAX, "{} crates: {crates:#?}", crates.len());
}

#[test]
fn the_sdk_brings_no_c() {
    // What compiles or links C announces itself by its build dependencies or its name.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let words = ["tree", "-p", "leasehold", "-e", "normal,build", "--prefix", "none", "--format", "{p}"];
    let output = cargo.args(words).output().expect("cargo is there: it runs this test");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `linux-raw-sys` is numbers and layouts in Rust, and links nothing.
    let links = |name: &str| name.ends_with("-sys") && name != "linux-raw-sys";
    let is_c = |name: &str| matches!(name, "cc" | "cmake" | "bindgen" | "pkg-config") || links(name);
    let windows = |name: &str| name.starts_with("windows");
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let c: BTreeSet<&str> = names.filter(|name| is_c(name) && !windows(name)).collect();
    assert!(c.is_empty(), "{c:?}");
}

#[test]
fn client_and_server_meet_in_the_protocol_alone() {
    let ours = |package: &str| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let words = ["tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"];
        let output = cargo.args(words).output().expect("cargo is there: it runs this test");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned);
        names.filter(|name| name.starts_with("leasehold")).collect::<BTreeSet<_>>()
    };
    assert_eq!(ours("leasehold"), ["leasehold", "leasehold-hostid", "leasehold-protocol"].map(str::to_owned).into());
    assert_eq!(ours("leasehold-hostid"), ["leasehold-hostid", "leasehold-protocol"].map(str::to_owned).into());
    assert_eq!(ours("leasehold-core"), ["leasehold-core", "leasehold-protocol"].map(str::to_owned).into());
    assert!(!ours("leasehold-server").contains("leasehold"), "the server imports the client");
    assert_eq!(ours("leasehold-protocol"), ["leasehold-protocol".to_owned()].into());
}
