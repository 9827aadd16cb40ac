//! A disk that is full, and is not any more: nothing that is out is lost, what cannot be kept is refused, and nobody has to restart
//! anything (U-4, promise D3).
//!
//! The disk is a small tmpfs in a mount namespace of this test's own, which takes root. `LEASEHOLD_FULL_S` says for how long it is full;
//! 60 is what is promised.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use leasehold_tests::{
    binary::{House, free_port, run, until},
    plan::Feature,
};

use crate::{
    PATIENCE, Site,
    lives::{Holders, ask, count},
    start_with,
};

/// All there is of it.
const SIZE: &str = "16m";
/// How soon everything is as before once there is room.
const HEALS_WITHIN: Duration = Duration::from_secs(10);

/// A small disk where a folder was, until it is dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Puts what is in `folder` onto a disk of its own; `None`, said loudly, where that is not allowed.
    fn at(folder: &'a Path) -> Option<Self> {
        let aside = folder.with_added_extension("aside");
        fs::rename(folder, &aside).unwrap();
        fs::create_dir(folder).unwrap();
        let mount = |words: &[&str]| Command::new("mount").args(words).arg(folder).status().is_ok_and(|s| s.success());
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={SIZE},mode=700"), "leasehold-test"]);
        let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(folder).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        if !mounted {
            println!("SKIPPED, LOUDLY: no small disk can be mounted here: that takes root");
            return None;
        }
        Some(Self(folder))
    }

    /// Leaves no byte of it free.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        for len in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; len]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// Whether a policy is taken, and what is said if not.
fn apply(site: &Site, policy: &Path) -> Result<(), String> {
    let mut apply = site.house.admin(site.port, ["policy", "apply"]);
    apply.arg(policy);
    let output = run(apply);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_nobody_who_has_a_seat_and_heals_by_itself() {
    let full_for = Duration::from_secs(count("LEASEHOLD_FULL_S", 6) as u64);
    let house = House::with(&[Feature { name: "CAD".into(), seats: 64, ttl_s: 5, grace_s: 0 }]);
    let state = house.path("state");
    let Some(disk) = SmallDisk::at(&state) else { return };
    fs::write(state.join("policy.toml"), "").unwrap();
    let port = free_port();
    let server = start_with(&house, port, 5, &["--policy", &state.join("policy.toml").display().to_string()]);
    let site = Site { house, port, ttl_s: 5, server };
    let holders = Holders::of(&site.house, port, 20).await;
    let churning = Holders::of(&site.house, port, 1).await;

    disk.fill();
    let (full_since, mut pairs) = (Instant::now(), 0u64);
    let mut refused = None;
    while full_since.elapsed() < full_for {
        for _ in 0..200 {
            let lease = churning.client(0).checkout("CAD").await.expect("a seat, on a full disk");
            lease.checkin().await.unwrap();
            pairs += 1;
        }
        holders.are_well();
        let policy = site.house.path("new.toml");
        fs::write(
            &policy,
            format!("[[limits]]\nid = \"many-{pairs}\"\nmax = 60\nper = \"user\"\nfeatures = \"all\"\n"),
        )
        .unwrap();
        refused = apply(&site, &policy).err();
        assert!(refused.is_some(), "a policy was kept where there is no room for it");
    }
    let refused = refused.unwrap();
    assert!(refused.contains("No space left") || refused.contains("full"), "{refused}");
    println!(
        "full for {:?}: {pairs} checkouts and releases, 0 leases lost; a policy is refused:\n{refused}",
        full_since.elapsed()
    );

    disk.make_room();
    let room_since = Instant::now();
    let policy = site.house.path("new.toml");
    until(PATIENCE, "the policy is taken", || apply(&site, &policy).ok());
    until(PATIENCE, "the journal is well", || {
        (ask(&site, &["store", "info", "--json"])["store"]["journal"]["state"] == "ok").then_some(())
    });
    assert!(room_since.elapsed() <= HEALS_WITHIN, "healed after {:?}", room_since.elapsed());
    println!("healed {:?} after there was room", room_since.elapsed());
    holders.are_well();
    holders.end().await;
    churning.end().await;
}
