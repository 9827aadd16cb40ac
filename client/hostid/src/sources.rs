//! Where hostids come from.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use leasehold_protocol::vocab::{HostIdKind, Label};

use super::{Gathered, Machine, Stability, hashed};

pub(super) fn this() -> Machine {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| variable(name));
    let remote = [("SSH_CONNECTION", "ssh"), ("XRDP_SESSION", "xrdp"), ("VNCDESKTOP", "vnc")];
    Machine {
        root: PathBuf::from("/"),
        host: Some(host),
        user,
        addresses: addresses(),
        display: variable("WAYLAND_DISPLAY").or_else(|| variable("DISPLAY")),
        workload: variable("LEASEHOLD_WORKLOAD_ID"),
        tpm: variable("LEASEHOLD_TPM"),
        remote: remote.into_iter().find(|(name, _)| variable(name).is_some()).map(|(_, kind)| kind.to_owned()),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn addresses() -> Vec<IpAddr> {
    let Ok(all) = getifaddrs::getifaddrs() else { return Vec::new() };
    let mut found: Vec<IpAddr> = all
        .filter(|interface| !interface.flags.contains(getifaddrs::InterfaceFlags::LOOPBACK))
        .filter_map(|interface| interface.address.ip_addr())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A file of one line; `None` if there is no such file. What is there and cannot be read is named.
fn line(machine: &Machine, name: &str, out: &mut Gathered) -> Option<(String, PathBuf)> {
    let path = machine.path(name);
    match fs::read(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let first = text.lines().next().unwrap_or_default().trim().to_owned();
            (!first.is_empty()).then_some((first, path))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => {
            out.could_not(&path, &e);
            None
        }
    }
}

pub(super) fn machine_id(machine: &Machine, publisher: &Label, out: &mut Gathered) {
    let files = ["etc/machine-id", "var/lib/dbus/machine-id"];
    let Some((id, path)) = files.iter().find_map(|name| line(machine, name, out)) else { return };
    // What systemd writes into an image that has not been started yet.
    if id != "uninitialized" {
        out.add(HostIdKind::MACHINE, &hashed(publisher, HostIdKind::MACHINE, &id), Stability::Lasting, &path);
    }
}

/// Names of `/dev/disk/by-id` that are the disk's model and serial: `ata-WDC_WD10EZEX_WD-WCC6Y1`.
const DISKS: [&str; 4] = ["ata-", "nvme-", "scsi-S", "usb-"];

pub(super) fn disks(machine: &Machine, out: &mut Gathered) {
    let folder = machine.path("dev/disk/by-id");
    for name in names_in(&folder, out) {
        let is_part = name.rsplit_once("-part").is_some_and(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
        // A disk has two names: by its model and serial, and by a number that says nothing to people.
        let is_disk = DISKS.iter().any(|kind| name.starts_with(kind)) && !name.starts_with("nvme-eui.");
        if is_disk && !is_part {
            let serial = name.split_once('-').map_or(name.as_str(), |(_, serial)| serial);
            let removable = name.starts_with("usb-");
            let stability = if removable { Stability::Changing } else { Stability::Lasting };
            out.add(HostIdKind::DISK, serial, stability, &folder.join(&name));
        }
    }
}

fn names_in(folder: &Path, out: &mut Gathered) -> Vec<String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            out.could_not(folder, &e);
            return Vec::new();
        }
    };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned)).collect();
    names.sort();
    names
}

/// A physical adapter has a device behind it; bridges, tunnels and the ends of containers' cables have none. A bit in its
/// address says that nobody burnt it in.
pub(super) fn adapters(machine: &Machine, out: &mut Gathered) {
    let folder = machine.path("sys/class/net");
    for name in names_in(&folder, out) {
        let adapter = folder.join(&name);
        let Ok(address) = fs::read_to_string(adapter.join("address")) else { continue };
        let address = address.trim();
        let first = address.get(..2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
        let Some(first) = first.filter(|_| address.len() == 17 && address != "00:00:00:00:00:00") else { continue };
        let physical = adapter.join("device").exists() && first & 2 == 0;
        let stability = if physical { Stability::Lasting } else { Stability::Virtual };
        out.add(HostIdKind::ETHERNET, address, stability, &adapter);
    }
}

/// What the firmware of virtual machines calls itself, and the hypervisor it is of.
const HYPERVISORS: [(&str, &str); 12] = [
    ("qemu", "kvm"),
    ("kvm", "kvm"),
    ("bochs", "kvm"),
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("xen", "xen"),
    ("amazon ec2", "ec2"),
    ("google", "gce"),
    ("parallels", "parallels"),
    ("openstack", "openstack"),
    ("virtual machine", "hyper-v"),
];

pub(super) fn virtual_machine(machine: &Machine, publisher: &Label, out: &mut Gathered) {
    let firmware: String = ["sys_vendor", "product_name"]
        .iter()
        .filter_map(|name| line(machine, &format!("sys/class/dmi/id/{name}"), &mut Gathered::default()))
        .map(|(text, _)| text.to_lowercase() + " ")
        .collect();
    let flagged = fs::read_to_string(machine.path("proc/cpuinfo"))
        .is_ok_and(|info| info.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor")));
    let named = HYPERVISORS.iter().find(|(word, _)| firmware.contains(word)).map(|(_, name)| *name);
    let Some(hypervisor) = named.or(flagged.then_some("unknown")) else { return };
    let source = machine.path("sys/class/dmi/id");
    out.add(HostIdKind::VM, hypervisor, Stability::Fact, &source);
    if let Some((uuid, path)) = line(machine, "sys/class/dmi/id/product_uuid", out) {
        out.add(HostIdKind::VM_UUID, &hashed(publisher, HostIdKind::VM_UUID, &uuid), Stability::Lasting, &path);
    }
    if let Some((id, path)) = line(machine, "sys/class/dmi/id/board_asset_tag", &mut Gathered::default())
        && matches!(hypervisor, "ec2" | "gce")
    {
        out.add(HostIdKind::CLOUD, &hashed(publisher, HostIdKind::CLOUD, &id), Stability::Lasting, &path);
    }
}

/// A workload is what its orchestrator calls it, wherever it runs: a container's own files and addresses are new at every
/// start.
pub(super) fn workload(machine: &Machine, publisher: &Label, out: &mut Gathered) {
    let namespace = "var/run/secrets/kubernetes.io/serviceaccount/namespace";
    let named = machine.workload.clone().map(|id| (id, PathBuf::from("LEASEHOLD_WORKLOAD_ID")));
    let pod = || {
        let (namespace, path) = line(machine, namespace, out)?;
        Some((format!("k8s/{namespace}/{}", machine.host.as_deref()?), path))
    };
    if let Some((id, path)) = named.or_else(pod) {
        out.add(HostIdKind::CONTAINER, &hashed(publisher, HostIdKind::CONTAINER, &id), Stability::Lasting, &path);
    }
}

pub(super) fn names(machine: &Machine, out: &mut Gathered) {
    let own = |name: &str| PathBuf::from(name);
    if let Some(host) = &machine.host {
        out.add(HostIdKind::HOST_NAME, host, Stability::Changing, &own("host name"));
    }
    if let Some(user) = &machine.user {
        out.add(HostIdKind::USER, user, Stability::Changing, &own("user"));
    }
    for address in &machine.addresses {
        out.add(HostIdKind::IP, &address.to_string(), Stability::Changing, &own("interface"));
    }
    if let Some(display) = &machine.display {
        out.add(HostIdKind::DISPLAY, display, Stability::Virtual, &own("display"));
    }
    let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    out.add(HostIdKind::PLATFORM, &platform, Stability::Fact, &own("this program"));
    if let Some(remote) = &machine.remote {
        out.add(HostIdKind::TERMINAL_SERVER, remote, Stability::Fact, &own("environment"));
    }
}
