//! Sockets and the workers that drive an engine each (E-6).
//!
//! A worker is a thread with a runtime, a socket per listening address and an [`Engine`](leasehold_core::Engine) of its
//! own. The sockets of one address share it by `SO_REUSEPORT`: the kernel spreads sessions over them, and everybody else over
//! the doors beside them.
//! Every socket gets its own copy of a broadcast, so the first worker alone takes those.
//!
//! | module | owns |
//! |---|---|
//! | `interfaces` | which networks we are on, which addresses are broadcast |
//! | `sockets` | binding, and who is in the way when that fails |
//! | `steering` | which socket the kernel gives a datagram to |
//! | `discovery` | receiving broadcast and multicast |
//! | `ports` | a worker's sockets, and which of them an answer leaves from |
//! | `batch` | receive buffers and what came with each datagram |
//! | `outgoing` | answers collected, and sent together |
//! | `workers` | their threads, and what can be asked of them |
//! | `worker` | wait, feed, drain, repeat |
//! | `counters` | what the sockets did, for `/metrics` |

mod batch;
mod counters;
mod discovery;
mod held;
mod interfaces;
mod outgoing;
mod ports;
mod sockets;
mod steering;
mod worker;
mod workers;

pub use counters::NetCounters;
pub use interfaces::{Interface, InterfaceView, Interfaces};
pub use sockets::{BindError, Listener, bind, resolve_listen};
pub use workers::{Orders, Wiring, Workers};
