//! Which socket of a port the kernel gives a datagram to.
//!
//! All sockets of one address are a reuse-port group, which the kernel would spread over by a hash of source addresses. A
//! classic BPF program of ours looks at the datagram instead: DATA goes to the worker that its session's number says,
//! wherever the client has moved to, and everything else goes to a *door*, a socket beside each worker's first. So a
//! flood of handshakes, questions or noise fills a queue of its own, and renewals never stand behind it. A flood that looks like DATA
//! does come to the clients' queue: only the AEAD tells it from theirs, and that is no program for the kernel.

use std::{io, net::UdpSocket};

use leasehold_protocol::packet::{DATAGRAM_MIN, MAGIC, PacketType, VERSION};
use nix::{
    libc::{self, sock_filter, sock_fprog},
    sys::socket::{setsockopt, sockopt::AttachReusePortCbpf},
};

/// Where the number of the receiving session lies, least byte first: DATA's own field.
const RECEIVER_SID_OFFSET: u32 = 4;
/// Where HELLO1 and DISCOVER have something that their client drew.
const DRAWN_OFFSET: u32 = 8;

/// Has the kernel give DATA to the first `workers` sockets of the group of `any`, by session, and all else to as many doors
/// behind them.
///
/// # Errors
/// If the system has no such programs. The group is spread over by a hash then: every socket may get everything, which is all
/// answered, and a flood at the door is felt.
pub(super) fn steer(any: &UdpSocket, workers: u16) -> io::Result<()> {
    let mut program = program(workers);
    let len = u16::try_from(program.len()).expect("a few instructions");
    let program = sock_fprog { len, filter: program.as_mut_ptr() };
    setsockopt(any, AttachReusePortCbpf, &program).map_err(io::Error::from)
}

/// The number of a socket, counted in the order of binding, from the bytes of a datagram.
fn program(workers: u16) -> Vec<sock_filter> {
    let workers = u32::from(workers);
    let shift = op(libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K, 8);
    let put_aside = op(libc::BPF_MISC | BPF_TAX, 0);
    let add_what_was_put_aside = op(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X, 0);
    let shortest = u32::try_from(DATAGRAM_MIN).expect("a small number");
    let data = u32::from(VERSION << 4 | PacketType::DataToServer as u8);
    let byte_at = |offset| op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, offset);
    let modulo_workers = op(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, workers);
    let answer = op(libc::BPF_RET | BPF_A, 0);
    vec![
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0),
        // A datagram that is shorter than any has no byte to choose by.
        jump(libc::BPF_JGE, shortest, 0, 15),
        byte_at(0),
        jump(libc::BPF_JEQ, u32::from(MAGIC), 0, 9),
        byte_at(1),
        jump(libc::BPF_JEQ, data, 0, 7),
        // Two bytes: one would not spread sessions evenly over more than a few workers.
        byte_at(RECEIVER_SID_OFFSET + 1),
        shift,
        put_aside,
        byte_at(RECEIVER_SID_OFFSET),
        add_what_was_put_aside,
        modulo_workers,
        answer,
        byte_at(DRAWN_OFFSET),
        modulo_workers,
        op(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, workers),
        answer,
        op(libc::BPF_RET | libc::BPF_K, workers),
    ]
}

/// The accumulator, as what a program returns.
const BPF_A: u32 = 0x10;
/// Copies the accumulator to the other register.
const BPF_TAX: u32 = 0;

fn op(code: u32, k: u32) -> sock_filter {
    instruction(code, 0, 0, k)
}

fn jump(condition: u32, k: u32, if_so: u8, if_not: u8) -> sock_filter {
    instruction(libc::BPF_JMP | condition | libc::BPF_K, if_so, if_not, k)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).expect("an instruction of classic BPF"), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use leasehold_protocol::packet::{Hello1, Prefix};
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;
    use crate::net::bind;

    /// Which socket of a steered port gets `datagram`: a worker's first, or a door.
    fn receiver(datagram: &[u8]) -> String {
        let listener = bind(&[[127, 0, 0, 1].into()], 0, 3).unwrap().remove(0);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(datagram, listener.address).unwrap();
        let sockets = listener.sockets.iter().enumerate().map(|(n, socket)| (format!("worker {n}"), socket));
        let mut all = sockets.chain(listener.doors.iter().enumerate().map(|(n, socket)| (format!("door {n}"), socket)));
        std::thread::sleep(Duration::from_millis(5));
        let got = all.find(|(_, socket)| socket.recv(&mut [0; 2048]).is_ok());
        got.map(|(name, _)| name).unwrap_or_default()
    }

    fn data(sid: u32) -> Vec<u8> {
        let mut bytes = Prefix::of(PacketType::DataToServer).as_bytes().to_vec();
        bytes.extend_from_slice(&sid.to_le_bytes());
        bytes.resize(96, 7);
        bytes
    }

    #[test]
    fn data_goes_to_the_worker_of_its_session_from_any_address() {
        for sid in [0, 1, 2, 3, 254, 256, 257, 0xffff, 0x0102_0300] {
            for _ in 0..4 {
                assert_eq!(receiver(&data(sid)), format!("worker {}", (sid & 0xffff) % 3), "{sid}");
            }
        }
    }

    #[test]
    fn whatever_is_not_data_waits_at_a_door() {
        let mut hello = Hello1::new_zeroed();
        hello.prefix = Prefix::of(PacketType::Hello1);
        hello.client_sid = 5.into();
        assert_eq!(receiver(hello.as_bytes()), "door 2");
        assert_eq!(receiver(&[0x55; 96]), format!("door {}", 0x55 % 3));
        assert_eq!(receiver(&data(1)[..31]), "door 0", "too short for anything");
        assert_eq!(receiver(&[]), "door 0");
    }
}
