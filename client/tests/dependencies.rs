//! What a program takes on with the SDK: few crates, none of them C.
#![expect(clippy::disallowed_methods, reason = "cargo tells its tests where it is by the environment")]

use std::{collections::BTreeSet, process::Command};

/// Third-party crates the SDK is built from, build scripts' and macros' own included, at most.
const CRATES_MAX: usize = 65;
/// Crates whose presence means that a C compiler, or another tool of the machine, is wanted.
const TOOLS: [&str; 8] = ["cc", "cmake", "bindgen", "pkg-config", "autotools", "nasm-rs", "vcpkg", "prost-build"];

/// Every package in the tree, as `name version`, for this machine: third-party ones, and ours.
fn packages() -> (BTreeSet<String>, BTreeSet<String>) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = Command::new(cargo)
        .args(["tree", "--package", "leasehold", "--edges", "normal,build", "--prefix", "none", "--offline"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    let (ours, theirs): (Vec<&str>, Vec<&str>) =
        text.lines().filter(|line| !line.trim().is_empty()).partition(|line| line.contains("(/"));
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    (theirs.into_iter().map(name).collect(), ours.into_iter().map(name).collect())
}

#[test]
fn the_sdk_stays_within_65_third_party_crates_and_needs_no_c() {
    let (theirs, ours) = packages();
    assert!(theirs.len() > 20 && ours.len() == 3, "the count itself is broken: {ours:?} {theirs:?}");
    println!("{} third-party crates", theirs.len());
    assert!(theirs.len() <= CRATES_MAX, "{} crates: {theirs:#?}", theirs.len());
    for crate_and_version in &theirs {
        let name = crate_and_version.split(' ').next().unwrap();
        assert!(!TOOLS.contains(&name), "{name} wants a tool of the machine");
        let c = name.ends_with("-sys") && name != "linux-raw-sys";
        assert!(!c, "{name} looks like a binding to C");
    }
}
