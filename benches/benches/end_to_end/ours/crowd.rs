//! Many clients: sessions, and whose datagrams are whose.

use std::{
    collections::HashMap,
    io,
    net::UdpSocket,
    time::{Duration, Instant},
};

use leasehold_cli::load::lean::{Answer, Opening, Peer, RequestForm, Session, Step, answer, ask, sid_of_answer};
use leasehold_protocol::{
    DecodeError,
    crypto::Keypair,
    packet::DATAGRAM_MAX,
    vocab::{ClaimKey, LeaseId, OperationId, SeatCount},
};
use leasehold_server::clock::{SystemEntropy, clock_now};

use super::feature;

/// Sessions with one server, the same number on each socket.
pub struct Crowd {
    sessions: Vec<Session>,
    by_sid: HashMap<u32, usize, foldhash::fast::RandomState>,
    form: RequestForm,
    plaintext: Vec<u8>,
    asked: u64,
    claims: u128,
}

/// A lease, as its holder knows it.
#[derive(Clone, Copy)]
pub struct Held {
    pub lease: LeaseId,
    pub claim: ClaimKey,
}

/// How long a client waits for an answer before the load begins, and how often it asks.
const PATIENCE: Duration = Duration::from_millis(250);
const TRIES: usize = 20;

impl Crowd {
    /// Opens `each` sessions with `peer` over every socket. A client of its own is behind each: its key is its own.
    pub fn open(peer: &Peer, sockets: &[UdpSocket], each: usize) -> io::Result<Self> {
        let mut sessions = Vec::with_capacity(sockets.len() * each);
        for socket in sockets {
            for _ in 0..each {
                sessions.push(shake_hands(peer, socket)?);
            }
        }
        let by_sid = sessions.iter().enumerate().map(|(n, session)| (session.sid(), n)).collect();
        let form = RequestForm::new(&feature(), SeatCount::ONE, &leasehold_benches::holder());
        let claims = u128::from_le_bytes(ClaimKey::random(&mut SystemEntropy).0);
        Ok(Self { sessions, by_sid, form: form.map_err(unfit)?, plaintext: Vec::new(), asked: 0, claims })
    }

    /// How many sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Seals what `write` puts into the plaintext, for session `n`.
    pub fn seal(&mut self, n: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeError>) {
        self.plaintext.clear();
        write(&mut self.plaintext).expect("as many frames as fit");
        self.finish(n, out);
    }

    /// The same with one REQUEST for a seat under `claim`.
    pub fn seal_request(&mut self, n: usize, out: &mut Vec<u8>, operation: OperationId, claim: ClaimKey) {
        self.plaintext.clear();
        self.form.append(&mut self.plaintext, operation, &claim).expect("one frame fits");
        self.finish(n, out);
    }

    fn finish(&mut self, n: usize, out: &mut Vec<u8>) {
        ask::pad(&mut self.plaintext);
        self.sessions[n].seal(&self.plaintext, out).expect("no session lives for 2^32 datagrams");
    }

    /// Opens a datagram: whose it is, and the answers in it.
    pub fn open_datagram<'a>(
        &mut self,
        datagram: &'a mut [u8],
    ) -> Option<(usize, impl Iterator<Item = Answer<'a>> + use<'a>)> {
        let n = *self.by_sid.get(&sid_of_answer(datagram)?)?;
        let plaintext = self.sessions[n].open(datagram)?;
        Some((n, answer::read(plaintext).map_while(Result::ok)))
    }

    /// An operation id that nothing else has. It says which question it belongs to: [`tag_of`].
    pub fn operation(&mut self, tag: u16) -> OperationId {
        self.asked += 1;
        OperationId(ask::OPERATION_MIN | self.asked << 16 | u64::from(tag))
    }

    /// A claim key that no lease has had. Drawn once and counted up: to draw each would cost the load a system call.
    pub fn claim(&mut self) -> ClaimKey {
        self.claims += 1;
        ClaimKey(self.claims.to_le_bytes())
    }

    /// Takes one seat in session `n`, over its socket, before the load begins.
    pub fn check_out(&mut self, n: usize, socket: &UdpSocket) -> io::Result<Held> {
        let (operation, claim) = (self.operation(0), self.claim());
        for _ in 0..TRIES {
            let mut datagram = Vec::new();
            self.seal_request(n, &mut datagram, operation, claim);
            socket.send(&datagram)?;
            let heard = self.hear(socket, operation, |answer| match answer {
                Answer::Granted(grant) => Some(Ok(Held { lease: grant.lease, claim })),
                Answer::Denied(deny) => Some(Err(io::Error::other(format!("denied: {deny:?}")))),
                _ => None,
            })?;
            if let Some(heard) = heard {
                return heard;
            }
        }
        Err(silent())
    }

    /// Gives a seat back in session `n`, over its socket.
    pub fn check_in(&mut self, n: usize, socket: &UdpSocket, held: Held) -> io::Result<()> {
        let operation = self.operation(0);
        for _ in 0..TRIES {
            let mut datagram = Vec::new();
            self.seal(n, &mut datagram, |plaintext| ask::release(plaintext, operation, held.lease, &held.claim));
            socket.send(&datagram)?;
            let is_released = |answer: Answer<'_>| matches!(answer, Answer::Released(_)).then_some(());
            if self.hear(socket, operation, is_released)?.is_some() {
                return Ok(());
            }
        }
        Err(silent())
    }

    /// Waits for an answer to `operation` that `read` finds something in.
    fn hear<T>(
        &mut self,
        socket: &UdpSocket,
        operation: OperationId,
        read: impl Fn(Answer<'_>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut datagram = [0; DATAGRAM_MAX];
        while let Some(len) = wait(socket, &mut datagram)? {
            let answers = self.open_datagram(&mut datagram[..len]).map(|(_, answers)| answers);
            let mut ours = answers.into_iter().flatten().filter(|answer| answer.operation() == Some(operation));
            let heard = ours.find_map(&read);
            if heard.is_some() {
                return Ok(heard);
            }
        }
        Ok(None)
    }
}

/// The tag of the question that has this operation id.
pub fn tag_of(operation: OperationId) -> u16 {
    let [low, high, ..] = operation.0.to_le_bytes();
    u16::from_le_bytes([low, high])
}

fn shake_hands(peer: &Peer, socket: &UdpSocket) -> io::Result<Session> {
    let keys = Keypair::generate(&mut SystemEntropy);
    let mut opening =
        Opening::new(peer, &keys, [0; 8], clock_now().wall, &mut SystemEntropy).map_err(io::Error::other)?;
    let mut datagram = [0; DATAGRAM_MAX];
    for _ in 0..TRIES {
        socket.send(opening.hello())?;
        while let Some(len) = wait(socket, &mut datagram)? {
            match opening.handle(&datagram[..len]) {
                Step::Open(session) => return Ok(session),
                Step::Again => _ = socket.send(opening.hello())?,
                Step::Ignored => {}
            }
        }
    }
    Err(silent())
}

/// The length of the next datagram, unless none comes for a while.
fn wait(socket: &UdpSocket, datagram: &mut [u8]) -> io::Result<Option<usize>> {
    let began = Instant::now();
    socket.set_read_timeout(Some(PATIENCE))?;
    match socket.recv(datagram) {
        Ok(len) => Ok(Some(len)),
        Err(_) if began.elapsed() >= PATIENCE => Ok(None),
        Err(e) => Err(e),
    }
}

fn silent() -> io::Error {
    io::Error::other("our server does not answer")
}

fn unfit(e: DecodeError) -> io::Error {
    io::Error::other(e)
}
