//! What the sockets did beside what the engine counts.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

macro_rules! counters {
    ($($name:ident: $doc:literal,)*) => {
        /// Counters all workers add to. They are read for people and order nothing, hence relaxed throughout.
        #[derive(Debug, Default)]
        pub struct NetCounters {
            $(#[doc = $doc] pub $name: AtomicU64,)*
        }

        impl NetCounters {
            /// Name, help and value of each.
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc, self.$name.load(Relaxed)),)*]
            }
        }
    };
}

counters! {
    receive_batches: "Batches of datagrams taken from sockets",
    broadcast_copies: "Copies of broadcasts left to the first worker",
    broadcast_ignored: "Broadcasts dropped because discovery is off",
    receive_from_port_0: "Datagrams from port 0, where nobody can be answered",
    receive_errors: "Errors while receiving",
    send_refused: "Sends refused by an ICMP answer",
    send_unreachable: "Sends with no route to the address",
    send_too_big: "Sends too large for the path",
    send_no_buffers: "Sends the system had no memory for",
    send_dropped: "Sends given up because the socket stayed full",
    send_errors: "Sends that failed for another reason",
    interface_refreshes: "Times the list of interfaces was read",
}

impl NetCounters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a send that failed. Nothing is ever fatal here: the peer asks again.
    pub(super) fn send_failed(&self, e: &io::Error) {
        use io::ErrorKind as K;
        // The standard library has no stable kind for ENOBUFS.
        const NO_BUFFERS: i32 = 105;
        Self::add(match e.kind() {
            K::ConnectionRefused => &self.send_refused,
            K::NetworkUnreachable | K::HostUnreachable | K::AddrNotAvailable | K::NetworkDown => &self.send_unreachable,
            K::OutOfMemory => &self.send_no_buffers,
            _ if e.raw_os_error() == Some(NO_BUFFERS) => &self.send_no_buffers,
            _ if quinn_udp::is_msg_size_err(e) => &self.send_too_big,
            _ => &self.send_errors,
        });
    }
}
