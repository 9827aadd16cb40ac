//! Servers that others wrote, as Debian packages them: each on loopback, on a free port, in a folder of its own, with one
//! thread that serves.

pub mod dns;
pub mod etcd;
pub mod memcached;
pub mod redis;

use std::{
    io,
    net::{SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use leasehold_benches::blast::Dialect;

/// What `-- --install` gets from Debian.
pub const PACKAGES: [&str; 5] = ["memcached", "knot", "nsd", "redis-server", "etcd-server"];

/// Things asked for in turn, as many as there are clients that renew: the same memory is touched, or not.
pub const THINGS: usize = 1024;

/// Where the program `name` lies; Debian keeps servers where not every user looks.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The command that runs the program `name`.
pub fn program(name: &str) -> io::Result<Command> {
    find(name).map(Command::new).ok_or_else(|| io::Error::other(format!("{name} is not installed")))
}

/// Which packages are installed, with their versions, where Debian's own list is there to say so.
pub fn versions() -> Vec<String> {
    let list =
        Command::new("dpkg-query").args(["--show", "--showformat", "${Package} ${Version}\n"]).args(PACKAGES).output();
    let list = list.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&list).lines().filter(|line| line.contains(' ')).map(str::to_owned).collect()
}

/// Whether one question in `dialect` is answered at `server`.
pub fn answers(server: SocketAddr, dialect: &mut impl Dialect) -> bool {
    let mut ask = || -> io::Result<bool> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        socket.connect(server)?;
        let (mut question, mut answer) = (Vec::new(), [0; 2048]);
        dialect.ask(0, 0, &mut question);
        socket.send(&question)?;
        let len = socket.recv(&mut answer)?;
        Ok(dialect.take(0, &mut answer[..len]).is_some())
    };
    ask().unwrap_or(false)
}

/// Whether somebody takes connections at `server`.
pub fn accepts(server: SocketAddr) -> bool {
    TcpStream::connect(server).is_ok()
}

/// Installs what is missing, without starting any of it as a service.
pub fn install() -> io::Result<()> {
    let guard = NoServices::new()?;
    for arguments in [&["update"][..], &[&["install", "--yes", "--no-install-recommends"], &PACKAGES[..]].concat()] {
        let mut apt = Command::new("apt-get");
        if !apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status()?.success() {
            return Err(io::Error::other("apt-get failed: see above; it wants Debian and root"));
        }
    }
    drop(guard);
    Ok(())
}

/// While it lives, Debian starts no service it installs. The administrator's own rule, if there is one, stays.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> io::Result<Self> {
        use std::{fs, os::unix::fs::PermissionsExt};
        let ours = !Path::new(POLICY).exists();
        if ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
