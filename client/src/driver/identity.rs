//! Who holds the seats, in this machine's words. Shown to administrators; proof of nothing.

use std::path::PathBuf;

use leasehold_hostid::Machine;
use leasehold_protocol::{
    message::Holder,
    vocab::{DeviceId, HostId, HostIdKind, Label},
};

/// The holder this process is: login name, host, display or terminal, program, process id.
///
/// What the system does not tell is `?` or left out; [`ClientBuilder::identity`](crate::ClientBuilder::identity) takes a
/// changed one.
#[must_use]
pub fn this_process() -> Holder {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Holder {
        user: Label::lossy(&user()),
        host: Label::lossy(&host),
        display: display().map(|name| Label::lossy(&name)),
        process: Label::lossy(&process()),
        pid: std::process::id(),
        project: variable("LEASEHOLD_PROJECT").map(|name| Label::lossy(&name)),
        device: DeviceId::default(),
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    }
}

/// What this machine can be recognised by, for licences of `publisher`; without one, what is not hashed with its name. At
/// most 16, as many as a server looks at (SPEC 5.3).
pub(crate) fn hostids(publisher: Option<&Label>) -> Vec<HostId> {
    let gathered = Machine::this().gather(publisher.unwrap_or(&Label::lossy("?")));
    let hashed =
        [HostIdKind::MACHINE, HostIdKind::VM_UUID, HostIdKind::CONTAINER, HostIdKind::CLOUD, HostIdKind::COMPOSITE];
    let known = |id: &HostId| publisher.is_some() || !hashed.contains(&id.kind);
    let mut all: Vec<HostId> = gathered.hostids(4 * HOSTIDS_MAX).into_iter().filter(known).collect();
    // A request has to fit its datagram whatever the machine is called.
    while all.len() > HOSTIDS_MAX || all.iter().map(|id| id.value.as_str().len() + 3).sum::<usize>() > HOSTIDS_LEN_MAX {
        let last_id = all.iter().rposition(|id| !FACTS.contains(&id.kind)).unwrap_or(all.len() - 1);
        all.remove(last_id);
    }
    all
}

const HOSTIDS_MAX: usize = 16;
const HOSTIDS_LEN_MAX: usize = 480;
/// What a right may ask of a machine that is no matter of which one it is (T-3).
const FACTS: [HostIdKind; 3] = [HostIdKind::PLATFORM, HostIdKind::VM, HostIdKind::TERMINAL_SERVER];

fn user() -> String {
    let named = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| variable(name));
    // A service has no login: its user id is better than nothing.
    named.or_else(user_id).unwrap_or_else(|| "?".to_owned())
}

fn user_id() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|own| format!("uid {}", own.uid()))
}

fn display() -> Option<String> {
    let terminal = || {
        let name = std::fs::read_link("/proc/self/fd/0").ok()?;
        let name = name.to_str()?;
        (name.starts_with("/dev/pts/") || name.starts_with("/dev/tty")).then(|| name.to_owned())
    };
    variable("WAYLAND_DISPLAY").or_else(|| variable("DISPLAY")).or_else(terminal)
}

fn process() -> String {
    let path = std::env::current_exe().ok().or_else(|| std::env::args_os().next().map(PathBuf::from));
    let name = path.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| "?".to_owned())
}

/// An environment variable that is set to something.
#[expect(clippy::disallowed_methods, reason = "the driver may read the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hostids_of_a_request_fit_and_hold_the_facts() {
        let acme: Label = "acme".parse().unwrap();
        for publisher in [None, Some(&acme)] {
            let all = hostids(publisher);
            assert!(all.len() <= HOSTIDS_MAX && all.iter().any(|id| id.kind == HostIdKind::PLATFORM), "{all:?}");
        }
    }

    #[test]
    fn this_process_has_a_name_a_host_and_an_id() {
        let who = this_process();
        assert_ne!((who.process.as_str(), who.host.as_str()), ("?", "?"));
        assert_eq!(who.pid, std::process::id());
    }
}
