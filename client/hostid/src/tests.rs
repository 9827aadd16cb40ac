//! Machines made of files.

use std::fs;

use super::*;

struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn with(files: &[(&str, &str)]) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            let path = made.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        made
    }

    fn machine(&self) -> Machine {
        Machine {
            root: self.folder.path().to_owned(),
            host: Some("Render-3".to_owned()),
            user: Some("ada".to_owned()),
            addresses: vec![[10, 1, 2, 3].into()],
            display: None,
            workload: None,
            remote: None,
            tpm: None,
        }
    }

    fn told(&self, publisher: &str) -> Vec<(String, &'static str)> {
        let gathered = self.machine().gather(&publisher.parse().unwrap());
        gathered.found.into_iter().map(|found| (found.hostid.to_string(), found.stability.name())).collect()
    }
}

fn bare_metal() -> Made {
    Made::with(&[
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("dev/disk/by-id/ata-WDC_WD10_WD-1", ""),
        ("dev/disk/by-id/ata-WDC_WD10_WD-1-part1", ""),
        ("dev/disk/by-id/wwn-0x5000", ""),
        ("sys/class/net/eth0/address", "00:12:ab:34:cd:56\n"),
        ("sys/class/net/eth0/device/vendor", ""),
        ("sys/class/net/docker0/address", "02:42:ac:11:00:02\n"),
        ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
        ("sys/class/dmi/id/sys_vendor", "LENOVO\n"),
    ])
}

#[test]
fn a_machine_is_known_by_what_lasts_and_virtual_adapters_are_told_apart() {
    let told = bare_metal().told("acme");
    let has = |id: &str, stability| told.iter().any(|(found, is)| found == id && *is == stability);
    assert!(has("disk:WDC_WD10_WD-1", "lasting") && has("ethernet:0012ab34cd56", "lasting"), "{told:?}");
    assert!(has("ethernet:0242ac110002", "virtual") && has("host:render-3", "changing"), "{told:?}");
    assert!(has("user:ada", "changing") && has("ip:10.1.2.3", "changing"), "{told:?}");
    let count = |kind: &str| told.iter().filter(|(id, _)| id.starts_with(kind)).count();
    assert_eq!(
        (count("disk:"), count("ethernet:"), count("vm:"), count("composite:"), count("platform:")),
        (1, 2, 0, 1, 1)
    );
}

#[test]
fn publishers_cannot_compare_what_they_know_of_a_machine() {
    let made = bare_metal();
    let machine = |publisher: &str| {
        let told = made.told(publisher);
        told.iter().find(|(id, _)| id.starts_with("machine:")).unwrap().0.clone()
    };
    assert_ne!(machine("acme"), machine("demo"));
    assert_eq!(machine("acme"), machine("acme"));
    assert!(!made.told("acme").iter().any(|(id, _)| id.contains("0123456789abcdef")));
}

#[test]
fn a_virtual_machine_says_so_and_by_whom() {
    for (vendor, product, hypervisor) in [
        ("QEMU", "Standard PC", Some("kvm")),
        ("VMware, Inc.", "VMware7,1", Some("vmware")),
        ("Microsoft Corporation", "Virtual Machine", Some("hyper-v")),
        ("Amazon EC2", "m5.large", Some("ec2")),
        ("LENOVO", "20XW", None),
    ] {
        let made = Made::with(&[("sys/class/dmi/id/sys_vendor", vendor), ("sys/class/dmi/id/product_name", product)]);
        let told = made.told("acme");
        let found = told.iter().find_map(|(id, _)| id.strip_prefix("vm:"));
        assert_eq!(found, hypervisor, "{vendor}");
    }
    let flagged = Made::with(&[("proc/cpuinfo", "processor : 0\nflags : fpu hypervisor sse\n")]);
    assert!(flagged.told("acme").iter().any(|(id, _)| id == "vm:unknown"));
}

#[test]
fn a_workload_keeps_its_identity_whatever_machine_it_runs_on() {
    let pod = Made::with(&[("var/run/secrets/kubernetes.io/serviceaccount/namespace", "cad\n")]);
    let other = Made::with(&[
        ("var/run/secrets/kubernetes.io/serviceaccount/namespace", "cad\n"),
        ("etc/machine-id", "ffffffffffffffffffffffffffffffff\n"),
    ]);
    let container = |made: &Made| made.told("acme").into_iter().find(|(id, _)| id.starts_with("container:")).unwrap();
    assert_eq!(container(&pod), container(&other));
}

#[test]
fn whatever_is_in_those_files_nothing_panics_and_the_best_come_first() {
    let junk = String::from_utf8_lossy(&[0xff, 0xfe, 0, b'\n', 0x80]).into_owned();
    let made = Made::with(&[
        ("etc/machine-id", ""),
        ("sys/class/net/eth0/address", &junk),
        ("sys/class/net/eth1/address", "x"),
        ("sys/class/net/eth2/address", "zz:zz:zz:zz:zz:zz"),
        ("sys/class/dmi/id/sys_vendor", &junk),
        (&format!("dev/disk/by-id/ata-{}", "x".repeat(200)), ""),
    ]);
    let gathered = made.machine().gather(&"acme".parse().unwrap());
    assert!(gathered.found.iter().all(|found| found.hostid.check().is_ok()));
    let all = bare_metal().machine().gather(&"acme".parse().unwrap());
    let few = all.hostids(4);
    assert_eq!(few.len(), 4);
    assert!(
        few.iter().any(|id| id.kind == HostIdKind::PLATFORM) && few.iter().any(|id| id.kind == HostIdKind::MACHINE)
    );
}

#[test]
fn this_very_machine_has_a_name_and_a_platform() {
    let gathered = Machine::this().gather(&"acme".parse().unwrap());
    let has = |kind| gathered.found.iter().any(|found| found.hostid.kind == kind);
    assert!(has(HostIdKind::HOST_NAME) && has(HostIdKind::PLATFORM), "{gathered:?}");
}
