//! A whole server, with its sockets, and a client: what renewals take in memory once both have run for a moment. Alone in
//! its program, because it counts every allocation there is.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use leasehold_cli::{
    kit::{Feature, Kit, Offer},
    load::lean::{Answer, Opening, Peer, RequestForm, Session, Step, answer, ask},
};
use leasehold_protocol::{
    crypto::{Keypair, SiteKey},
    message::{Claimed, Holder},
    packet::DATAGRAM_MAX,
    vocab::{ClaimKey, DeviceId, FeatureName, Label, LeaseId, OperationId, SeatCount},
};
use leasehold_server::{HttpListen, ListenOn, Running, Settings, clock::SystemEntropy, clock_now, state};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const LEASES: usize = 64;
/// Operation ids count from here: a smaller one would make a REQUEST shorter.
const OPERATION: u64 = 1 << 63;

/// A client in a session, which uses its buffers again.
struct Client {
    socket: UdpSocket,
    session: Session,
    plaintext: Vec<u8>,
    datagram: Vec<u8>,
    answer: Vec<u8>,
    operation: u64,
}

impl Client {
    fn connect(server: SocketAddr, peer: &Peer) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let keys = Keypair::generate(&mut SystemEntropy);
        let mut opening = Opening::new(peer, &keys, [7; 8], clock_now().wall, &mut SystemEntropy).unwrap();
        let mut answer = vec![0; DATAGRAM_MAX];
        let session = loop {
            socket.send(opening.hello()).unwrap();
            let len = socket.recv(&mut answer).unwrap();
            if let Step::Open(session) = opening.handle(&answer[..len]) {
                break session;
            }
        };
        Self { socket, session, plaintext: vec![], datagram: vec![], answer, operation: OPERATION }
    }

    /// Asks what `write` puts into a datagram, and gives `each` answer to it.
    fn ask(&mut self, write: impl FnOnce(&mut Vec<u8>, OperationId), mut each: impl FnMut(&Answer<'_>)) {
        self.operation += 1;
        self.plaintext.clear();
        write(&mut self.plaintext, OperationId(self.operation));
        ask::pad(&mut self.plaintext);
        self.session.seal(&self.plaintext, &mut self.datagram).unwrap();
        self.socket.send(&self.datagram).unwrap();
        let len = self.socket.recv(&mut self.answer).unwrap();
        let plaintext = self.session.open(&mut self.answer[..len]).expect("an authentic answer");
        answer::read(plaintext).for_each(|answer| each(&answer.unwrap()));
    }
}

/// A server with one worker, and what its client must know.
async fn serve(scratch: &std::path::Path) -> (Running, Peer) {
    let seats = u32::try_from(LEASES).unwrap();
    let features = vec![Feature::new("CAD", "1.0", seats).unwrap()];
    let kit: Kit = Offer { features, ..Offer::demo().unwrap() }.make_in(scratch).unwrap();
    let publisher = &kit.certificates[0].certificate.publisher;
    let mut folder = state::Folder::open(&kit.data_dir).unwrap();
    let keys = state::realm_keys(&mut folder, publisher, &mut SystemEntropy).unwrap();
    drop(folder);
    let settings = Settings {
        listen: vec![ListenOn::Address([127, 0, 0, 1].into())],
        port: 0,
        http: HttpListen::Off,
        data_dir: kit.data_dir.clone(),
        workers: 1,
        discovery: false,
        ..Settings::default()
    };
    let peer = Peer { key: keys.public(), realm: kit.publisher.realm(), site: SiteKey::OPEN };
    (Running::start(settings).await.unwrap(), peer)
}

fn holder() -> Holder {
    Holder {
        user: Label::lossy("maria"),
        host: Label::lossy("ws-042"),
        display: None,
        process: Label::lossy("my-app"),
        pid: 4121,
        project: None,
        device: DeviceId([1; 16]),
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn renewals_over_sockets_allocate_nothing_once_the_buffers_are_there() {
    let scratch = tempfile::tempdir().unwrap();
    let (running, peer) = serve(scratch.path()).await;
    let mut client = Client::connect(running.udp_address(), &peer);
    let form = RequestForm::new(&FeatureName::new("CAD").unwrap(), SeatCount::ONE, &holder()).unwrap();
    let mut held: Vec<(LeaseId, ClaimKey)> = Vec::new();
    for _ in 0..LEASES {
        let claim = ClaimKey::random(&mut SystemEntropy);
        client.ask(
            |plaintext, operation| form.append(plaintext, operation, &claim).unwrap(),
            |answer| match answer {
                Answer::Granted(grant) => held.push((grant.lease, claim)),
                other => panic!("a grant, not {other:?}"),
            },
        );
    }
    let mut renew = |times: usize| {
        let mut renewed = 0;
        for n in 0..times {
            let (lease, claim) = held[n % LEASES];
            client.ask(
                |plaintext, operation| ask::renew(plaintext, operation, lease, &claim).unwrap(),
                |answer| renewed += usize::from(matches!(answer, Answer::Renewed(_))),
            );
            let all = held.iter().map(|(lease, claim)| Claimed { lease: *lease, proof: claim.fold() });
            client.ask(
                |plaintext, operation| ask::renew_many(plaintext, operation, all).unwrap(),
                |answer| renewed += if let Answer::RenewedMany(many) = answer { many.leases().count() } else { 0 },
            );
        }
        renewed
    };
    assert_eq!(renew(500), 500 * (1 + LEASES));
    // What is written down of the grants is on the disk: from here on there is nothing to write.
    let mut synced = running.journal().synced();
    synced.wait_for(|record| *record > LEASES as u64).await.expect("a journal");
    // And in the history, whose thread looks around every second from here on, for nothing.
    let written = || running.history().figures().written.load(Relaxed);
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    while running.history().is_on() && written() < LEASES as u64 {
        tick.tick().await;
    }
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    assert_eq!(renew(5_000), 5_000 * (1 + LEASES));
    // Ten thousand datagrams: one allocation each, even one that is freed at once, would show.
    let grown = MEMORY.peak_usage().saturating_sub(before);
    assert_eq!(grown, 0, "bytes, in 10 000 datagrams");
    running.stop_now().await;
}
