//! memcached over UDP: `get` of a small value. Each datagram begins with eight bytes: request id, number of the datagram,
//! how many there are, zero; all big-endian.

use std::{io, net::SocketAddr};

use leasehold_benches::{
    blast::Dialect,
    served::{Cores, Served, free_address},
};

use super::{THINGS, answers, program};

/// Gets values in turn.
#[derive(Default)]
pub struct Get {
    asked: usize,
}

/// Stores values in turn.
#[derive(Default)]
struct Set {
    stored: usize,
}

/// As much as a renewal tells: 24 bytes.
const VALUE: &str = "a lease of so many bytes";
const HEADER_LEN: usize = 8;

/// Starts it with every value in it.
pub fn start(cores: Cores) -> io::Result<(Served, SocketAddr)> {
    let address = free_address()?;
    let command = |_: &_| {
        let (mut command, port) = (program("memcached")?, address.port().to_string());
        // Root must name somebody to become.
        command.args(["-l", "127.0.0.1", "-p", &port, "-U", &port, "-t", "1", "-m", "64", "-u", "nobody"]);
        Ok(command)
    };
    let mut set = Set::default();
    let served = Served::start("memcached", cores, command, || {
        while set.stored < THINGS && answers(address, &mut set) {}
        set.stored == THINGS
    })?;
    Ok((served, address))
}

fn header(tag: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0]);
}

fn tag(answer: &[u8]) -> Option<u16> {
    answer.first_chunk().map(|id| u16::from_be_bytes(*id))
}

impl Dialect for Get {
    fn ask(&mut self, _: usize, tag: u16, out: &mut Vec<u8>) {
        self.asked = (self.asked + 1) % THINGS;
        header(tag, out);
        out.extend_from_slice(format!("get lease-{:08}\r\n", self.asked).as_bytes());
    }

    fn take(&mut self, _: usize, answer: &mut [u8]) -> Option<u16> {
        let text = answer.get(HEADER_LEN..)?;
        (text.starts_with(b"VALUE") && text.ends_with(b"\r\nEND\r\n")).then(|| tag(answer))?
    }
}

impl Dialect for Set {
    fn ask(&mut self, _: usize, tag: u16, out: &mut Vec<u8>) {
        header(tag, out);
        out.extend_from_slice(format!("set lease-{:08} 0 0 {}\r\n{VALUE}\r\n", self.stored, VALUE.len()).as_bytes());
    }

    fn take(&mut self, _: usize, answer: &mut [u8]) -> Option<u16> {
        if !answer.ends_with(b"STORED\r\n") {
            return None;
        }
        self.stored += 1;
        tag(answer)
    }
}
