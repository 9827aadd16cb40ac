//! One handshake with one server (SPEC 3): HELLO1, perhaps RETRY, HELLO2, and the wait for its PROOF.

use leasehold_protocol::{
    Entropy,
    crypto::{
        mac::MacKey,
        noise::{ClientInfo, Initiator},
    },
    packet::{Hello1, Hello2, PacketType, Prefix, Retry},
    time::{Mono, Now},
};
use zerocopy::{FromZeros, IntoBytes};

use super::{
    HolderConfig, Identity, ServerSeen,
    pace::{Ask, jittered},
    session::{Session, Settled},
};

/// A handshake under way.
pub(super) struct Attempt {
    pub(super) server: ServerSeen,
    pub(super) purpose: Purpose,
    /// Our session id in it.
    pub(super) sid: u32,
    pub(super) stage: Stage,
    mac: MacKey,
    /// A RETRY came: somebody is there.
    heard: bool,
    tries: usize,
    next: Mono,
    sent: Mono,
}

/// What a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A server that a search found.
    Candidate {
        /// Its fingerprint is pinned: it goes before those that are not.
        pinned: bool,
    },
    /// The server of the session that has fallen silent, or the one the program named.
    Return,
    /// That server again, later: one HELLO1 and a short wait.
    Knock,
    /// The server of the session, while that session still works.
    Rekey,
}

/// How far it is.
pub(super) enum Stage {
    /// HELLO1 not sent yet.
    Ready,
    /// HELLO1 sent.
    Hello(Box<Hello>),
    /// HELLO2 verified; the server is asked for its certificate.
    Proving { session: Box<Session>, ask: Ask },
}

/// A HELLO1 on its way: one for the whole attempt, so that whatever HELLO2 comes, however late, answers it.
pub(super) struct Hello {
    initiator: Initiator,
    packet: Hello1,
    /// A RETRY was believed since it was sent last. One is enough: a server that knows only RETRY makes no loop.
    retried: bool,
}

/// What a handshake wants done.
pub(super) enum Step {
    Nothing,
    Send(Vec<u8>),
    /// It came to nothing. `answered`: the server was there at first.
    Over {
        answered: bool,
    },
}

/// What every handshake of a holder starts from.
pub(super) struct Origin<'a> {
    pub(super) config: &'a HolderConfig,
    pub(super) identity: &'a Identity,
    pub(super) entropy: &'a mut dyn Entropy,
}

/// Waits after each HELLO1, ± 20 %; after the last the server is taken for dead.
const GAPS_MS: [u64; 4] = [250, 500, 1_000, 2_000];
/// The same once a RETRY came: somebody is there, and may be busy.
const HEARD_GAPS_MS: [u64; 4] = [500, 1_000, 2_000, 4_000];
/// Between two knocks at a server that was silent before, ± 20 %.
pub(super) const KNOCK_MS: u64 = 3_000;
/// The wait after the one HELLO1 of a knock, ± 20 %: always over before the next knock, which would find this one still
/// there and be left out.
const KNOCK_WAIT_MS: u64 = 1_900;
const MAC1_AT: usize = 136;
const RETRY_TAG_AT: usize = 40;
const HELLO2_MAC1_AT: usize = 96;

impl Attempt {
    /// A handshake with `server`, to begin at `at`.
    pub(super) fn new(server: ServerSeen, purpose: Purpose, at: Mono, origin: &mut Origin<'_>) -> Self {
        let sid = u32::from_le_bytes(low_half(origin.entropy.next_u64())).max(1);
        let tries = if purpose == Purpose::Knock { GAPS_MS.len() } else { 0 };
        let mac = MacKey::hello(&server.key, &origin.config.site);
        Self { server, purpose, sid, stage: Stage::Ready, mac, heard: false, tries, next: at, sent: at }
    }

    /// When [`Attempt::step`] is next wanted.
    pub(super) fn next(&self) -> Mono {
        match &self.stage {
            Stage::Proving { ask, .. } => ask.next(),
            Stage::Ready | Stage::Hello(_) => self.next,
        }
    }

    /// One round trip, in milliseconds, measured on the HELLO1 last sent.
    pub(super) const fn rtt_ms(&self, now: Mono) -> u64 {
        now.ms_since(self.sent)
    }

    /// Sends HELLO1, and sends it again as it is: a server that has answered it says the same again, at no cost, and one
    /// that has not reads it as if it were new.
    pub(super) fn step(&mut self, now: Now, origin: &mut Origin<'_>) -> Step {
        if now.mono < self.next() || matches!(self.stage, Stage::Proving { .. }) {
            return Step::Nothing;
        }
        let gap = match (&self.stage, self.gaps().get(self.tries)) {
            (_, Some(gap)) => *gap,
            (Stage::Ready, None) => KNOCK_WAIT_MS,
            _ => return Step::Over { answered: self.heard },
        };
        if matches!(self.stage, Stage::Ready) {
            let Some(hello) = self.hello(now, origin) else { return Step::Over { answered: false } };
            self.stage = Stage::Hello(Box::new(hello));
        }
        let Stage::Hello(hello) = &mut self.stage else { return Step::Nothing };
        hello.retried = false;
        self.tries += 1;
        self.sent = now.mono;
        self.next = now.mono.plus_ms(jittered(gap, 20, origin.entropy));
        Step::Send(hello.packet.as_bytes().to_vec())
    }

    const fn gaps(&self) -> &'static [u64; 4] {
        if self.heard { &HEARD_GAPS_MS } else { &GAPS_MS }
    }

    /// Takes a cookie from a RETRY that knows the HELLO1 it answers, and sends that HELLO1 again with it.
    pub(super) fn on_retry(&mut self, now: Mono, retry: &Retry) -> Option<Vec<u8>> {
        let Stage::Hello(hello) = &mut self.stage else { return None };
        let ours = retry.mac1_echo == hello.packet.mac1 && !hello.retried;
        if !ours || !self.mac.verify(&retry.as_bytes()[..RETRY_TAG_AT], &retry.tag) {
            return None;
        }
        hello.retried = true;
        hello.packet.cookie = retry.cookie;
        if !std::mem::replace(&mut self.heard, true) {
            // The server is there: the schedule begins again. Once: one that knows only RETRY is given up like a silent one.
            self.tries = 1;
            self.next = now.plus_ms(HEARD_GAPS_MS[0]);
        }
        self.sent = now;
        Some(hello.packet.as_bytes().to_vec())
    }

    /// Reads a HELLO2; a forged one changes nothing.
    pub(super) fn on_hello2(&mut self, now: Mono, reply: &Hello2, entropy: &mut dyn Entropy) -> Option<Session> {
        let Stage::Hello(hello) = &mut self.stage else { return None };
        if !self.mac.verify(&reply.as_bytes()[..HELLO2_MAC1_AT], &reply.mac1) {
            return None;
        }
        let (info, keys) = hello.initiator.finish(&reply.noise).ok()?;
        let settled =
            Settled { client_sid: self.sid, server_sid: reply.server_sid.get(), server: self.server, info, keys };
        Some(Session::open(now, settled, entropy))
    }

    fn hello(&self, now: Now, origin: &mut Origin<'_>) -> Option<Hello> {
        let Origin { config, identity, entropy } = origin;
        let info = ClientInfo {
            unix_ms: now.wall.0.into(),
            instance: identity.instance,
            sdk_version: config.sdk_version.into(),
            capabilities: 0.into(),
        };
        let (initiator, noise) =
            Initiator::start(&identity.keys, &self.server.key, &config.site, self.server.realm, &info, *entropy)
                .ok()?;
        let mut packet = Hello1::new_zeroed();
        packet.prefix = Prefix::of(PacketType::Hello1);
        packet.realm = self.server.realm.0.into();
        packet.client_sid = self.sid.into();
        packet.noise = noise;
        packet.mac1 = self.mac.of(&packet.as_bytes()[..MAC1_AT]);
        Some(Hello { initiator, packet, retried: false })
    }
}

fn low_half(n: u64) -> [u8; 4] {
    let b = n.to_le_bytes();
    [b[0], b[1], b[2], b[3]]
}

const _: () = assert!(KNOCK_WAIT_MS * 12 < KNOCK_MS * 8);
const _: () = assert!(size_of::<Hello1>() == MAC1_AT + 32 && size_of::<Retry>() == RETRY_TAG_AT + 16);
const _: () = assert!(size_of::<Hello2>() == HELLO2_MAC1_AT + 16);
