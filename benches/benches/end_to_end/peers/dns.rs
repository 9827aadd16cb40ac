//! knot and nsd: an address of a small zone, asked for over UDP by questions as long as a sealed renewal.

use std::{fmt::Write, fs, io, net::SocketAddr, path::Path, process::Command};

use leasehold_benches::{
    blast::Dialect,
    served::{Cores, Served, free_address},
};

use super::{THINGS, answers, program};

/// Asks for addresses in turn, each question padded (RFC 7830) to so many bytes.
#[derive(Clone, Copy)]
pub struct Resolve {
    question_len: usize,
    asked: usize,
}

const ZONE: &str = "bench";
const HEADER_LEN: usize = 12;
/// A, and IN.
const TYPE_CLASS: [u8; 4] = [0, 1, 0, 1];
/// An OPT record up to its length: root, 41, room for 1 232 bytes, no flags.
const OPT: [u8; 9] = [0, 0, 41, 4, 208, 0, 0, 0, 0];
/// The option of padding.
const PADDING: [u8; 2] = [0, 12];

/// Starts knot with one UDP worker.
pub fn start_knot(cores: Cores, question_len: usize) -> io::Result<(Served, SocketAddr)> {
    start("knot", cores, question_len, |folder, port| {
        let text = format!(
            "server:\n    rundir: {folder}\n    listen: 127.0.0.1@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
             background-workers: 1\ndatabase:\n    storage: {folder}\nlog:\n  - target: stderr\n    any: warning\n\
             zone:\n  - domain: {ZONE}\n    storage: {folder}\n    file: zone\n"
        );
        let mut command = program("knotd")?;
        command.arg("--config").arg(configuration(folder, &text)?);
        Ok(command)
    })
}

/// Starts nsd with one server.
pub fn start_nsd(cores: Cores, question_len: usize) -> io::Result<(Served, SocketAddr)> {
    start("nsd", cores, question_len, |folder, port| {
        // Debian's nsd answers 200 questions a second of a network unless told otherwise.
        let text = format!(
            "server:\n  server-count: 1\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  \
             database: \"\"\n  zonesdir: \"{folder}\"\n  zonelistfile: \"{folder}/zone.list\"\n  \
             pidfile: \"{folder}/nsd.pid\"\n  xfrdfile: \"{folder}/xfrd.state\"\n  xfrdir: \"{folder}\"\n  \
             rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\n\
             zone:\n  name: {ZONE}\n  zonefile: zone\n"
        );
        let mut command = program("nsd")?;
        command.arg("-d").arg("-c").arg(configuration(folder, &text)?);
        Ok(command)
    })
}

fn start(
    name: &'static str,
    cores: Cores,
    question_len: usize,
    command: impl FnOnce(&str, u16) -> io::Result<Command>,
) -> io::Result<(Served, SocketAddr)> {
    let address = free_address()?;
    let command = |folder: &Path| {
        fs::write(folder.join("zone"), zone())?;
        command(&folder.display().to_string(), address.port())
    };
    let served = Served::start(name, cores, command, || answers(address, &mut Resolve::new(question_len)))?;
    Ok((served, address))
}

fn configuration(folder: &str, text: &str) -> io::Result<String> {
    let file = format!("{folder}/server.conf");
    fs::write(&file, text)?;
    Ok(file)
}

fn zone() -> String {
    let mut text =
        format!("$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n");
    for n in 0..THINGS {
        _ = writeln!(text, "{} A 10.0.{}.{}", host(n), n / 256, n % 256);
    }
    text
}

fn host(n: usize) -> String {
    format!("h{n:04}")
}

impl Resolve {
    /// Asks in `question_len` bytes.
    pub fn new(question_len: usize) -> Self {
        Self { question_len, asked: 0 }
    }
}

impl Dialect for Resolve {
    fn ask(&mut self, _: usize, tag: u16, out: &mut Vec<u8>) {
        self.asked = (self.asked + 1) % THINGS;
        out.extend_from_slice(&tag.to_be_bytes());
        // A plain question: one name, no answer yet, one record beside it.
        out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        for label in [&*host(self.asked), ZONE, ""] {
            out.extend(u8::try_from(label.len()));
            out.extend_from_slice(label.as_bytes());
        }
        out.extend_from_slice(&TYPE_CLASS);
        out.extend_from_slice(&OPT);
        let padding = u16::try_from(self.question_len.saturating_sub(out.len() + 6)).unwrap_or(0);
        out.extend_from_slice(&(padding + 4).to_be_bytes());
        out.extend_from_slice(&PADDING);
        out.extend_from_slice(&padding.to_be_bytes());
        out.resize(out.len() + usize::from(padding), 0);
    }

    fn take(&mut self, _: usize, answer: &mut [u8]) -> Option<u16> {
        let header: [u8; HEADER_LEN] = *answer.first_chunk()?;
        let (is_answer, status, answers) = (header[2] & 0x80 != 0, header[3] & 15, header[7]);
        (is_answer && status == 0 && answers == 1).then(|| u16::from_be_bytes([header[0], header[1]]))
    }
}
