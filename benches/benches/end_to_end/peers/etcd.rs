//! etcd: lease keep-alives over gRPC, one in flight on each stream, several streams on each connection.
//!
//! The two messages are written by hand. Both are `int64 ID` as field 1 or 2: one byte of key, one varint.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{Method, Request, Version};
use leasehold_benches::{
    blast::{Load, Outcome, Pace, Probe, Tally},
    served::{Cores, Served, free_address},
};
use tokio::{net::TcpStream, runtime::Runtime, task::JoinSet};

use super::{accepts, program};

/// Streams that keep their leases alive.
pub struct KeepAlives {
    runtime: Runtime,
    streams: Vec<Stream>,
}

struct Stream {
    lease: u64,
    to: SendStream<Bytes>,
    from: Incoming,
}

/// The answers: etcd sends its headers with the first of them.
enum Incoming {
    Announced(ResponseFuture),
    Open(RecvStream, BytesMut),
}

const CONNECTIONS: usize = 8;
/// Seconds a lease lives without a keep-alive: as long as a lease may, for nobody is to lose one here.
const TTL_S: u64 = 86_400;
/// What gRPC puts before a message: not compressed, and its length in four bytes.
const GRPC_HEADER_LEN: usize = 5;
const RUN_IN: Duration = Duration::from_millis(200);

/// Starts one member that is its own cluster.
pub fn start(cores: Cores) -> io::Result<(Served, SocketAddr)> {
    let (clients, peers) = (free_address()?, free_address()?);
    let command = |_: &_| {
        let (clients, peers) = (format!("http://{clients}"), format!("http://{peers}"));
        let mut command = program("etcd")?;
        command.args(["--data-dir", "data", "--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}"), "--log-level", "error"]);
        Ok(command)
    };
    Ok((Served::start("etcd", cores, command, || accepts(clients))?, clients))
}

impl KeepAlives {
    /// Opens `count` streams, each with a lease of its own.
    pub fn open(server: SocketAddr, count: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let streams = runtime.block_on(open(server, count)).map_err(io::Error::other)?;
        Ok(Self { runtime, streams })
    }

    fn run_for(&mut self, pace: Pace, length: Duration) -> io::Result<Tally> {
        let asking = if pace == Pace::Alone { 1 } else { self.streams.len() };
        let (start, turns) = (Instant::now(), Arc::new(AtomicU32::new(0)));
        let interval = match pace {
            Pace::Rate(rate) => Some(Duration::from_secs_f64(1.0 / rate)),
            _ => None,
        };
        let mut tasks = JoinSet::new();
        for stream in self.streams.drain(..asking) {
            let turns = turns.clone();
            tasks.spawn_on(ask(stream, start, start + length, interval, turns), self.runtime.handle());
        }
        let mut tally = Tally::new();
        self.runtime.block_on(async {
            while let Some(done) = tasks.join_next().await {
                let (stream, times) = done.map_err(io::Error::other)?.map_err(io::Error::other)?;
                self.streams.push(stream);
                for time in times {
                    tally.asked();
                    tally.answered(Some(time));
                }
            }
            Ok::<_, io::Error>(())
        })?;
        Ok(tally)
    }
}

impl Load for KeepAlives {
    fn run(&mut self, pace: Pace, length: Duration, probe: &Probe<'_>) -> io::Result<Outcome> {
        self.run_for(pace, RUN_IN.min(length))?;
        let (cpu, start) = (probe(), Instant::now());
        let tally = self.run_for(pace, length)?;
        Ok(tally.finish(start.elapsed(), probe().saturating_sub(cpu)))
    }
}

/// Asks until `end`: at once, or as it is this stream's turn. How long each answer took.
async fn ask(
    mut stream: Stream,
    start: Instant,
    end: Instant,
    interval: Option<Duration>,
    turns: Arc<AtomicU32>,
) -> Result<(Stream, Vec<Duration>), h2::Error> {
    let mut times = Vec::new();
    loop {
        let due = interval.map_or_else(Instant::now, |each| start + each * turns.fetch_add(1, Ordering::Relaxed));
        // The runtime's own timer is a millisecond coarse.
        while Instant::now() < due.min(end) {
            tokio::task::yield_now().await;
        }
        if due >= end {
            return Ok((stream, times));
        }
        stream.keep_alive().await?;
        times.push(due.elapsed());
    }
}

async fn open(server: SocketAddr, count: usize) -> Result<Vec<Stream>, Box<dyn std::error::Error + Send + Sync>> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let tcp = TcpStream::connect(server).await?;
        tcp.set_nodelay(true)?;
        let (mut client, connection) = h2::client::handshake(tcp).await?;
        tokio::spawn(connection);
        for _ in 0..count / CONNECTIONS {
            let lease = grant(&mut client, server).await?;
            let (answer, to) = call(&mut client, server, "LeaseKeepAlive").await?;
            let mut stream = Stream { lease, to, from: Incoming::Announced(answer) };
            stream.keep_alive().await?;
            streams.push(stream);
        }
    }
    Ok(streams)
}

async fn grant(
    client: &mut SendRequest<Bytes>,
    server: SocketAddr,
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let (answer, mut to) = call(client, server, "LeaseGrant").await?;
    to.send_data(message(TTL_S), true)?;
    let mut from = Incoming::Announced(answer);
    // LeaseGrantResponse: a header as field 1, the id as field 2.
    let answer = from.message().await?;
    field_two(&answer).ok_or_else(|| "etcd grants no lease".into())
}

async fn call(
    client: &mut SendRequest<Bytes>,
    server: SocketAddr,
    method: &str,
) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    let uri = format!("http://{server}/etcdserverpb.Lease/{method}");
    let request = Request::builder().method(Method::POST).version(Version::HTTP_2).uri(uri);
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(());
    std::future::poll_fn(|context| client.poll_ready(context)).await?;
    client.send_request(request.expect("constant headers"), false)
}

impl Stream {
    async fn keep_alive(&mut self) -> Result<(), h2::Error> {
        self.to.send_data(message(self.lease), false)?;
        self.from.message().await.map(drop)
    }
}

impl Incoming {
    /// The next message.
    async fn message(&mut self) -> Result<Bytes, h2::Error> {
        loop {
            match self {
                Self::Announced(answer) => *self = Self::Open(answer.await?.into_body(), BytesMut::new()),
                Self::Open(body, came) => return next_message(body, came).await,
            }
        }
    }
}

async fn next_message(body: &mut RecvStream, came: &mut BytesMut) -> Result<Bytes, h2::Error> {
    loop {
        if let Some([_, len @ ..]) = came.first_chunk::<GRPC_HEADER_LEN>() {
            let len = GRPC_HEADER_LEN + u32::from_be_bytes(*len) as usize;
            if came.len() >= len {
                return Ok(came.split_to(len).split_off(GRPC_HEADER_LEN).freeze());
            }
        }
        let bytes = body.data().await.ok_or(h2::Reason::CANCEL)??;
        body.flow_control().release_capacity(bytes.len())?;
        came.extend_from_slice(&bytes);
    }
}

/// A gRPC message whose field 1 is this number.
fn message(number: u64) -> Bytes {
    let mut body = vec![8];
    let mut rest = number;
    while rest > 0x7f {
        body.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    body.push(rest.to_le_bytes()[0]);
    let mut out = vec![0; GRPC_HEADER_LEN - 1];
    out.extend(u8::try_from(body.len()));
    out.extend_from_slice(&body);
    out.into()
}

/// Field 2, a number, behind field 1, which is a message.
fn field_two(message: &[u8]) -> Option<u64> {
    let [0x0a, len, rest @ ..] = message else { return None };
    let [0x10, rest @ ..] = rest.get(usize::from(*len)..)? else { return None };
    let end = rest.iter().position(|byte| byte & 0x80 == 0)?;
    Some(rest[..=end].iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)))
}
