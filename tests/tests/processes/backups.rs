//! A state folder that is lost with its disk, and put back from a backup (U-5).

use std::fs;

use leasehold_tests::binary::{Process, command, run, until};

use crate::{PATIENCE, Site, lives::ask, start};

/// Runs `words` with the settings of the house; what it said, and its status.
fn ran(site: &Site, words: &[&str]) -> (Option<i32>, String) {
    let mut command = command(words);
    site.house.client_environment(&mut command, "admin");
    command.env("LEASEHOLD_DATA_DIR", site.house.path("state"));
    command.env("LEASEHOLD_URL", format!("http://127.0.0.1:{}", site.port));
    let output = run(command);
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    (output.status.code(), said)
}

#[test]
fn a_folder_that_is_gone_comes_back_from_its_backup_and_its_holder_by_his_ticket() {
    let mut site = Site::with("CAD", 20, 8);
    let file = site.house.path("backup.tar").display().to_string();
    let mut holder = Process::start(site.client("holder", &["checkout", "CAD", "--", "sleep", "60"]));
    let before = until(PATIENCE, "the holder holds", || site.the_lease());

    let (status, said) = ran(&site, &["backup", &file]);
    assert!(status == Some(0) && said.contains("acme.lic lies outside"), "{said}");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let (status, said) = ran(&site, &["restore", &file, "--replace"]);
    assert!(status == Some(1) && said.contains(&format!("pid {}", site.server.id())), "{said}");

    site.server.kill();
    let (status, said) = ran(&site, &["restore", &file]);
    assert!(status == Some(1) && said.contains("--replace"), "{said}");
    fs::remove_dir_all(site.house.path("state")).unwrap();
    let mut broken = fs::read(&file).unwrap();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    fs::write(site.house.path("broken.tar"), broken).unwrap();
    let (status, said) = ran(&site, &["restore", &site.house.path("broken.tar").display().to_string()]);
    assert!(status == Some(1) && said.contains("is not what it was when it was written"), "{said}");
    assert!(!site.house.path("state").exists(), "nothing of a damaged one is put back");
    let (status, said) = ran(&site, &["restore", &file]);
    assert!(status == Some(0) && said.contains("only to programs that hold a seat"), "{said}");

    site.server = start(&site.house, site.port, site.ttl_s);
    let store = ask(&site, &["store", "info", "--json"]);
    assert_eq!((&store["store"]["before"]["how"], &store["store"]["old"]), (&"old".into(), &true.into()));
    let stranger = run(site.client("stranger", &["checkout", "CAD", "--", "true"]));
    assert_eq!(stranger.status.code(), Some(75), "{}", String::from_utf8_lossy(&stranger.stderr));
    let lease = until(PATIENCE, "the holder is back", || site.the_lease());
    assert_eq!((&lease["pid"], &lease["client"]), (&before["pid"], &before["client"]));
    let patient = run(site.client("patient", &["checkout", "CAD", "--retry-for", "30s", "--", "true"]));
    assert!(patient.status.success(), "{}", String::from_utf8_lossy(&patient.stderr));
    let acknowledged = ask(&site, &["store", "acknowledge", "--json"]);
    assert_eq!(acknowledged["store"]["old"], false);
    let audit = ask(&site, &["audit", "--json"]);
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().filter_map(|entry| entry["action"].as_str()).collect();
    // That the backup was taken is in the backup.
    assert!(actions.contains(&"backup.take") && actions.contains(&"store.acknowledge"), "{actions:?}");
    holder.kill();
}
