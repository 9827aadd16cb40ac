//! HELLO1: in order of cost, the mac; put aside; and then the cookie, what was said before, the rate, and only then Noise (SPEC 3.3 to 3.6).

use std::sync::Arc;

use leasehold_protocol::{
    crypto::noise::{Responder, ServerInfo},
    packet::{Hello1, Hello2, PacketType, Prefix, Retry},
    time::{Now, UnixMillis},
    vocab::RealmId,
};
use zerocopy::IntoBytes;

use super::{
    Engine,
    waiting::{self, Asked},
};
use crate::{
    Event, Path, SessionEnd,
    counters::Counter,
    lease::owner_of,
    realm::Realm,
    session::{Client, Session},
    ticket::short_id,
    wall::gap_of,
};

/// Bytes of HELLO1 that its mac covers: all before it.
const MAC1_OFFSET: usize = 136;

impl Engine {
    /// Puts a HELLO1 aside, if it comes from somebody who knows this server's key and the site's: see
    /// [`Waiting`](super::waiting::Waiting).
    pub(super) fn on_hello(&mut self, now: Now, path: Path, hello: &Hello1) {
        match self.realm_of(hello) {
            Ok(realm) => {
                let shed = self.waiting.push(Asked { at: now.mono, path, realm, hello: *hello });
                self.counters.add(Counter::DropShed, shed);
            }
            Err(counter) => self.counters.count(counter),
        }
    }

    /// Which realm a HELLO1 is for, as an index, if its mac is right.
    fn realm_of(&self, hello: &Hello1) -> Result<usize, Counter> {
        let realms = &self.shared.realms;
        let is_it = |realm: &Arc<Realm>| realm.identity.id == RealmId(hello.realm.get());
        let index = realms.iter().position(is_it).ok_or(Counter::DropUnknownRealm)?;
        let knows_us = realms[index].hello_mac.verify(&hello.as_bytes()[..MAC1_OFFSET], &hello.mac1);
        knows_us.then_some(index).ok_or(Counter::DropBadMac)
    }

    /// Answers some of the HELLO1s that wait: as many as one turn may cost.
    pub(super) fn answer_waiting(&mut self, now: Now) {
        let mut left = waiting::TURN;
        while left > 0 {
            let (stale, asked) = self.waiting.pop(now.mono);
            self.counters.add(Counter::DropShed, stale);
            let Some(asked) = asked else { return };
            let (Ok(counter) | Err(counter)) = self.answer_hello(now, asked.path, asked.realm, &asked.hello);
            self.counters.count(counter);
            let is_dear = matches!(counter, Counter::Handshakes | Counter::DropBadHandshake);
            left = if is_dear { 0 } else { left - 1 };
        }
    }

    fn answer_hello(&mut self, now: Now, path: Path, index: usize, hello: &Hello1) -> Result<Counter, Counter> {
        let shared = self.shared.clone();
        let id = shared.realms[index].identity.id;
        // Always, not only under load: one path, always tested, and it proves the address.
        let who = (path.from, hello.client_sid.get(), id);
        if let Err(cookie) = shared.cookies.check(now.mono, &mut *self.entropy, who, &hello.cookie) {
            self.send_retry(path, index, hello, cookie);
            return Ok(Counter::Retries);
        }
        if let Some(said) = shared.sessions.answer_to(&hello.mac1) {
            self.send(path, said.as_bytes());
            return Ok(Counter::HandshakesRepeated);
        }
        let limits = &shared.limits;
        if !limits.handshakes_by_prefix.take(now.mono, path.from) || !limits.handshakes.take(now.mono) {
            return Err(Counter::DropRateLimited);
        }
        self.send_hello2(now, path, index, hello)
    }

    fn send_retry(&mut self, path: Path, realm: usize, hello: &Hello1, cookie: [u8; 16]) {
        let mut retry = Retry {
            prefix: Prefix::of(PacketType::Retry),
            client_sid: hello.client_sid,
            mac1_echo: hello.mac1,
            cookie,
            tag: [0; 16],
        };
        let covered = size_of::<Retry>() - 16;
        retry.tag = self.shared.realms[realm].hello_mac.of(&retry.as_bytes()[..covered]);
        self.send(path, retry.as_bytes());
    }

    fn send_hello2(&mut self, now: Now, path: Path, index: usize, hello: &Hello1) -> Result<Counter, Counter> {
        let shared = self.shared.clone();
        let (realm, config) = (&shared.realms[index], &shared.config);
        let id = realm.identity.id;
        let responder = Responder::accept(&realm.keys, &realm.site, id, &hello.noise, &mut *self.entropy)
            .map_err(|_| Counter::DropBadHandshake)?;
        let fingerprint = responder.client.fingerprint();
        let client = Client {
            realm: index,
            key: responder.client,
            fingerprint,
            owner: owner_of(fingerprint, id),
            instance: responder.info.instance,
            client_sid: hello.client_sid.get(),
            clock_ahead_ms: gap_of(Now { wall: UnixMillis(responder.info.unix_ms.get()), ..now }),
        };
        let info = ServerInfo {
            cluster_id: config.cluster_id.into(),
            boot_id: config.boot_id.into(),
            server_id: short_id(config).into(),
            limits: 0.into(),
            log_number: self.shared.log().into(),
        };
        let (noise, keys) = responder.reply(&info).map_err(|_| Counter::DropBadHandshake)?;
        self.drop_too_old(now);
        let session = Session::new(client, keys, path, now.mono);
        let sid = shared.sessions.insert(session).ok_or(Counter::DropSessionsFull)?;
        let mut hello2 = Hello2 {
            prefix: Prefix::of(PacketType::Hello2),
            server_sid: sid.into(),
            client_sid: hello.client_sid,
            zero: 0.into(),
            noise,
            mac1: [0; 16],
        };
        let covered = size_of::<Hello2>() - 16;
        hello2.mac1 = realm.hello_mac.of(&hello2.as_bytes()[..covered]);
        shared.sessions.note_answer(hello.mac1, hello2);
        self.send(path, hello2.as_bytes());
        Ok(Counter::Handshakes)
    }

    /// Queues a datagram of its own.
    pub(super) fn send(&mut self, path: Path, datagram: &[u8]) {
        let mut buffer = self.outbox.buffer();
        buffer.clear();
        buffer.extend_from_slice(datagram);
        self.outbox.push(path.back(), buffer);
    }

    fn drop_too_old(&mut self, now: Now) {
        let Self { shared, events, counters, .. } = self;
        shared.sessions.drop_too_old(now.mono, |client| {
            counters.count(Counter::SessionsClosed);
            events.push_back(closed(&shared.realms[client.realm].identity.id, &client, SessionEnd::TooOld));
        });
    }

    pub(super) fn note_closed(&mut self, client: &Client, why: SessionEnd) {
        self.counters.count(Counter::SessionsClosed);
        self.events.push_back(closed(&self.shared.realms[client.realm].identity.id, client, why));
    }
}

fn closed(realm: &RealmId, client: &Client, why: SessionEnd) -> Event {
    Event::SessionClosed { realm: *realm, client: client.fingerprint, why }
}

const _: () = assert!(MAC1_OFFSET + 32 == size_of::<Hello1>());
