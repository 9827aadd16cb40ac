//! A lean session against the protocol's own server half.

use leasehold_protocol::{
    Entropy,
    crypto::{
        Keypair, SessionKeys, SiteKey,
        mac::{CookieSecret, MacKey},
        noise::{Responder, ServerInfo},
        open_datagram, seal_datagram,
    },
    frame,
    message::{Claimed, ClientFrame, Known, ReleaseOutcome, Released, Renewed, RenewedMany, Request, ServerFrame},
    packet::{Hello1, Hello2, PacketType, Prefix, Retry},
    time::UnixMillis,
    vocab::{ClaimKey, FeatureName, LeaseId, OperationId, RealmId, SeatCount, Version},
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::*;

const REALM: RealmId = RealmId(6);
const SERVER_SID: u32 = 77;

fn seeded(mut seed: u8) -> impl Entropy {
    move |bytes: &mut [u8]| {
        for byte in bytes {
            seed = seed.wrapping_mul(167).wrapping_add(13);
            *byte = seed;
        }
    }
}

/// The little of a server that a handshake needs.
struct Half {
    keys: Keypair,
    mac: MacKey,
    secret: CookieSecret,
}

impl Half {
    fn new() -> Self {
        let keys = Keypair::generate(&mut seeded(2));
        let mac = MacKey::hello(&keys.public(), &SiteKey::OPEN);
        Self { keys, mac, secret: CookieSecret([9; 32]) }
    }

    fn peer(&self) -> Peer {
        Peer { key: self.keys.public(), realm: REALM, site: SiteKey::OPEN }
    }

    fn retry(&self, hello: &[u8]) -> Retry {
        let hello = Hello1::ref_from_bytes(hello).unwrap();
        let mut retry = Retry::new_zeroed();
        retry.prefix = Prefix::of(PacketType::Retry);
        retry.client_sid = hello.client_sid;
        retry.mac1_echo = hello.mac1;
        retry.cookie = self.secret.cookie(([127, 0, 0, 1], 1).into(), hello.client_sid.get(), REALM);
        retry.tag = self.mac.of(&retry.as_bytes()[..40]);
        retry
    }

    fn hello2(&self, hello: &[u8]) -> (Hello2, SessionKeys) {
        let hello = Hello1::ref_from_bytes(hello).unwrap();
        let responder = Responder::accept(&self.keys, &SiteKey::OPEN, REALM, &hello.noise, &mut seeded(4)).unwrap();
        let (noise, keys) = responder.reply(&ServerInfo { boot_id: 5.into(), ..ServerInfo::new_zeroed() }).unwrap();
        let mut reply = Hello2::new_zeroed();
        reply.prefix = Prefix::of(PacketType::Hello2);
        reply.server_sid = SERVER_SID.into();
        reply.client_sid = hello.client_sid;
        reply.noise = noise;
        reply.mac1 = self.mac.of(&reply.as_bytes()[..96]);
        (reply, keys)
    }
}

fn opening(half: &Half) -> Opening {
    let keys = Keypair::generate(&mut seeded(1));
    Opening::new(&half.peer(), &keys, [3; 8], UnixMillis(7), &mut seeded(3)).unwrap()
}

fn open(half: &Half) -> (Session, SessionKeys) {
    let mut opening = opening(half);
    let (reply, keys) = half.hello2(opening.hello());
    let Step::Open(session) = opening.handle(reply.as_bytes()) else { panic!("the handshake does not end") };
    (session, keys)
}

fn answer_with(keys: &SessionKeys, sid: u32, counter: u64, frames: &[ServerFrame]) -> Vec<u8> {
    let (mut plaintext, mut datagram) = (Vec::new(), Vec::new());
    frames.iter().for_each(|frame| frame.append_to(&mut plaintext).unwrap());
    frame::pad(&mut plaintext, 0);
    seal_datagram(&keys.send, PacketType::DataToClient, sid, counter, &plaintext, &mut datagram);
    datagram
}

#[test]
fn a_cookie_is_sent_back_and_a_true_answer_opens_the_session() {
    let half = Half::new();
    let mut opening = opening(&half);
    let retry = half.retry(opening.hello());
    assert_eq!(sid_of_answer(retry.as_bytes()), Some(opening.sid()));
    assert!(matches!(opening.handle(retry.as_bytes()), Step::Again));
    assert_eq!(Hello1::ref_from_bytes(opening.hello()).unwrap().cookie, retry.cookie);
    assert!(matches!(opening.handle(retry.as_bytes()), Step::Ignored), "one HELLO1 for each cookie");

    let (reply, _) = half.hello2(opening.hello());
    let Step::Open(session) = opening.handle(reply.as_bytes()) else { panic!("the handshake does not end") };
    assert_eq!((session.sid(), session.boot_id()), (opening.sid(), 5));
}

#[test]
fn what_is_forged_leaves_the_handshake_as_it_was() {
    let half = Half::new();
    let mut opening = opening(&half);
    let (reply, _) = half.hello2(opening.hello());
    let retry = half.retry(opening.hello());
    for forged in [reply.as_bytes(), retry.as_bytes()] {
        for byte in 0..forged.len() {
            let mut forged = forged.to_vec();
            forged[byte] ^= 1;
            assert!(matches!(opening.handle(&forged), Step::Ignored), "byte {byte} of {}", forged.len());
        }
    }
    assert!(matches!(opening.handle(reply.as_bytes()), Step::Open(_)));
}

#[test]
fn several_renewals_share_a_datagram_and_their_answers_come_back_in_order() {
    let (mut session, keys) = open(&Half::new());
    let (mut plaintext, mut datagram) = (Vec::new(), Vec::new());
    for n in 1..=3 {
        ask::renew(&mut plaintext, OperationId(n), LeaseId(n), &ClaimKey([1; 16])).unwrap();
    }
    ask::pad(&mut plaintext);
    session.seal(&plaintext, &mut datagram).unwrap();
    let opened = open_datagram(&keys.receive, &mut datagram).unwrap();
    assert_eq!(frame::Frames::new(opened).count(), 3);

    let renewed =
        |n| Renewed { lease: LeaseId(n), operation: OperationId(n), ttl_ms: 1, renew_after_ms: 1, overage: false };
    let released = Released { lease: LeaseId(9), operation: OperationId(9), outcome: ReleaseOutcome::Freed };
    let frames = [ServerFrame::Renewed(renewed(1)), ServerFrame::Renewed(renewed(2)), ServerFrame::Released(released)];
    let mut datagram = answer_with(&keys, session.sid(), 0, &frames);
    let again = datagram.clone();
    let told: Vec<_> = answer::read(session.open(&mut datagram).unwrap()).map(Result::unwrap).collect();
    let wanted = [Answer::Renewed(renewed(1)), Answer::Renewed(renewed(2)), Answer::Released(released)];
    assert_eq!(told, wanted);
    assert_eq!(told[2].operation(), Some(OperationId(9)));
    assert!(session.open(&mut again.clone()).is_none(), "a datagram is opened once");
}

#[test]
fn sixty_four_renewals_are_one_question_and_one_answer() {
    let (mut session, keys) = open(&Half::new());
    let (mut plaintext, mut datagram) = (Vec::new(), Vec::new());
    let claimed = |n| Claimed { lease: LeaseId(n), proof: ClaimKey([1; 16]).fold() };
    ask::renew_many(&mut plaintext, OperationId(5), (1..=64).map(claimed)).unwrap();
    ask::pad(&mut plaintext);
    session.seal(&plaintext, &mut datagram).unwrap();
    let opened = open_datagram(&keys.receive, &mut datagram).unwrap();
    let raw = frame::Frames::new(opened).next().unwrap().unwrap();
    let Ok(Known::Frame(ClientFrame::RenewMany(asked))) = ClientFrame::decode(raw) else { panic!("{raw:?}") };
    assert_eq!(asked.leases, (1..=64).map(claimed).collect::<Vec<_>>());

    let leases = vec![None; 64];
    let answer = ServerFrame::RenewedMany(RenewedMany { operation: OperationId(5), leases }.into());
    let mut datagram = answer_with(&keys, session.sid(), 0, &[answer]);
    let told: Vec<_> = answer::read(session.open(&mut datagram).unwrap()).map(Result::unwrap).collect();
    let [Answer::RenewedMany(many)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((told[0].operation(), many.leases().len()), (Some(OperationId(5)), 64));
}

#[test]
fn what_is_not_of_this_session_is_not_opened() {
    let (mut session, keys) = open(&Half::new());
    let mut other = answer_with(&keys, session.sid() ^ 1, 0, &[]);
    assert!(session.open(&mut other).is_none());
    let mut late = answer_with(&keys, session.sid(), 1 << 32, &[]);
    assert!(session.open(&mut late).is_none());
    let mut forged = answer_with(&keys, session.sid(), 0, &[]);
    forged[20] ^= 1;
    assert!(session.open(&mut forged).is_none());
    assert!(session.open(&mut []).is_none());
    assert!(session.open(&mut answer_with(&keys, session.sid(), 0, &[])).is_some(), "none of that moved anything");
}

#[test]
fn a_form_writes_the_request_that_the_protocol_writes() {
    let (feature, holder) = (FeatureName::new("CAD_PRO").unwrap(), leasehold::this_process());
    let form = RequestForm::new(&feature, SeatCount::ONE, &holder).unwrap();
    let (operation, claim) = (OperationId(ask::OPERATION_MIN + 5), ClaimKey([4; 16]));
    let mut ours = Vec::new();
    form.append(&mut ours, operation, &claim).unwrap();
    let request =
        Request { operation, claim, feature, version: Version::ANY, seats: SeatCount::ONE, holder, ticket: None };
    let frame = ClientFrame::Request(Box::new(request));
    let mut theirs = Vec::new();
    frame.append_to(&mut theirs).unwrap();
    assert_eq!(ours, theirs);
    let raw = frame::Frames::new(&ours).next().unwrap().unwrap();
    assert_eq!(ClientFrame::decode(raw).unwrap(), Known::Frame(frame));
    ask::pad(&mut ours);
    assert_eq!(ours.len(), ask::REQUEST_PLAINTEXT_MIN);
}

#[test]
fn a_query_is_padded_to_the_longest_answer_and_a_release_to_the_step() {
    let mut plaintext = Vec::new();
    ask::features(&mut plaintext, OperationId(1), None).unwrap();
    ask::pad(&mut plaintext);
    assert_eq!(plaintext.len(), ask::QUERY_PLAINTEXT_MIN);
    plaintext.clear();
    ask::release(&mut plaintext, OperationId(1), LeaseId::NONE, &ClaimKey([1; 16])).unwrap();
    ask::pad(&mut plaintext);
    assert_eq!(plaintext.len(), 64);
}

#[test]
fn a_session_out_of_counters_says_so_and_sends_nothing() {
    let (mut session, _) = open(&Half::new());
    session.spend();
    let mut datagram = vec![1];
    assert_eq!(session.seal(&[0; 32], &mut datagram), Err(Spent));
    assert_eq!(datagram, [1]);
}
