//! redis over TCP: `INCR`, one or several in a go.

use std::{io, net::SocketAddr};

use leasehold_benches::{
    blast::Dialect,
    served::{Cores, Served, free_address},
};

use super::{THINGS, accepts, program};

/// Counts up in turn, so many at a time on each connection. A connection is a lane of its own.
pub struct Increments {
    at_once: usize,
    asked: usize,
    /// Of each connection: the question that is out, and how many lines of its answer are not there yet.
    waiting: Vec<(u16, usize)>,
}

/// Starts it with nothing written to disk.
pub fn start(cores: Cores) -> io::Result<(Served, SocketAddr)> {
    let address = free_address()?;
    let command = |_: &_| {
        let mut command = program("redis-server")?;
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.args(["--io-threads", "1", "--daemonize", "no"]);
        Ok(command)
    };
    Ok((Served::start("redis", cores, command, || accepts(address))?, address))
}

impl Increments {
    /// Over so many connections.
    pub fn new(connections: usize, at_once: usize) -> Self {
        Self { at_once, asked: 0, waiting: vec![(0, 0); connections] }
    }
}

impl Dialect for Increments {
    fn ask(&mut self, connection: usize, tag: u16, out: &mut Vec<u8>) {
        for _ in 0..self.at_once {
            self.asked = (self.asked + 1) % THINGS;
            out.extend_from_slice(format!("*2\r\n$4\r\nINCR\r\n$14\r\nlease-{:08}\r\n", self.asked).as_bytes());
        }
        let (last, left) = &mut self.waiting[connection];
        (*last, *left) = (tag, *left + self.at_once);
    }

    fn take(&mut self, connection: usize, answer: &mut [u8]) -> Option<u16> {
        let (tag, left) = &mut self.waiting[connection];
        let lines = answer.iter().filter(|byte| **byte == b'\n').count();
        // An error is a line too, and begins with a minus sign: then nothing is counted any more.
        *left = if answer.contains(&b'-') { usize::MAX / 2 } else { left.saturating_sub(lines) };
        (*left == 0).then_some(*tag)
    }
}
