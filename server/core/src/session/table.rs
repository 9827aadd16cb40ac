//! The sessions of all workers, in a slab that never grows past its bound.
//!
//! A session id is the slot's index in the low bits and the slot's generation in the rest, so that a datagram for a session
//! that is gone finds nothing, or at worst a session whose keys it does not know.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
};

use leasehold_protocol::{crypto::PublicKey, message::PathToken, packet::Hello2, time::Mono};

use super::{
    answered::Answered,
    state::{Client, Refused, Session},
};
use crate::{
    Path, ServerConfig, lock,
    pool::{Chunks, FreeList, Link, Tally},
};

/// All sessions.
pub(crate) struct SessionTable {
    slots: Chunks<Slot>,
    free: FreeList,
    index_bits: u32,
    /// The handshakes answered last, oldest first; some of them have become sessions.
    half_open: Mutex<VecDeque<u32>>,
    half_open_max: usize,
    answered: Answered,
    /// Which session a program has.
    programs: Box<[Mutex<BTreeMap<Program, u32>>]>,
    sessions_max: u64,
    live: Tally,
    /// Where the search for a session to reclaim goes on.
    hand: Tally,
}

struct Slot {
    link: Link,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    generation: u32,
    session: Option<Box<Session>>,
}

/// One program of one device in one realm (its `instance` is drawn once per process).
type Program = (usize, PublicKey, [u8; 8]);

/// A datagram that authenticated.
pub(crate) struct Opened<'a> {
    pub(crate) client: Client,
    pub(crate) plaintext: &'a [u8],
    /// It is the session's first.
    pub(crate) is_first: bool,
    /// The session went on from another address with it.
    pub(crate) moved: bool,
}

/// What became of a session that proved itself.
pub(crate) enum Confirmed {
    /// It counts now, and took the place of these.
    Open { replaced: Option<Client>, reclaimed: Option<Client> },
    /// The table is full of busy sessions, so it was closed.
    NoRoom,
}

const SHARDS: usize = 64;
/// How many slots are looked at for sessions that are too old, with every handshake.
const SWEEP_LOOK: u32 = 4;
/// How many slots one search for a session to reclaim looks at.
const RECLAIM_LOOK_MAX: u32 = 64;
/// A session heard within this time is never reclaimed, in milliseconds.
const RECLAIM_IDLE_MIN_MS: u64 = 60_000;

impl SessionTable {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let half_open_max = config.half_open_max.clamp(1, 1 << 16);
        let sessions_max = config.sessions_max.clamp(1, 1 << 20);
        // Half-open ones have room of their own, and one more is made before the oldest goes.
        let len_max = sessions_max + half_open_max + 1;
        Self {
            slots: Chunks::new(len_max),
            free: FreeList::new(),
            index_bits: len_max.next_power_of_two().ilog2(),
            half_open: Mutex::default(),
            half_open_max: half_open_max as usize,
            answered: Answered::new(half_open_max as usize),
            programs: (0..SHARDS).map(|_| Mutex::default()).collect(),
            sessions_max: u64::from(sessions_max),
            live: Tally::default(),
            hand: Tally::default(),
        }
    }

    /// Puts a half-open session in and returns its id; the oldest half-open one may go for it. `None` if there is no room,
    /// which the bounds make impossible.
    pub(crate) fn insert(&self, session: Session) -> Option<u32> {
        let index = self.free.pop(self.slots.len_max(), |i| self.slots.get(i).map(|slot| &slot.link))?;
        let slot = self.slots.reach(index, Slot::empty)?;
        let sid = {
            let mut place = lock(&slot.place);
            place.generation = self.next_generation(place.generation);
            place.session = Some(Box::new(session));
            self.sid(index, place.generation)
        };
        let mut ring = lock(&self.half_open);
        ring.push_back(sid);
        let oldest = (ring.len() > self.half_open_max).then(|| ring.pop_front()).flatten();
        drop(ring);
        if let Some(oldest) = oldest {
            self.take_if(oldest, |session| !session.confirmed);
        }
        Some(sid)
    }

    /// Notes that `answer` was said to the HELLO1 with `mac1`.
    pub(crate) fn note_answer(&self, mac1: [u8; 16], answer: Hello2) {
        self.answered.put(mac1, answer);
    }

    /// What was said to the HELLO1 with `mac1`, if the session that came of it still waits for its first word.
    pub(crate) fn answer_to(&self, mac1: &[u8; 16]) -> Option<Hello2> {
        let answer = self.answered.get(mac1)?;
        self.with(answer.server_sid.get(), |session| !session.confirmed).filter(|waits| *waits).map(|_| answer)
    }

    /// Opens `datagram`, DATA for session `sid` with counter `counter`, in place. `Ok(None)` if there is no such session.
    pub(crate) fn open<'a>(
        &self,
        now: Mono,
        path: Path,
        (sid, counter): (u32, u64),
        datagram: &'a mut [u8],
        forget_window: bool,
        token: impl FnOnce() -> PathToken,
    ) -> Result<Option<Opened<'a>>, Refused> {
        let Some(mut place) = self.place(sid) else { return Ok(None) };
        let Some(session) = place.session.as_deref_mut() else { return Ok(None) };
        let len = datagram.len();
        let (plaintext, is_newest) = session.open(now, counter, datagram, forget_window)?;
        let moved = session.heard(path, len, is_newest, token);
        let is_first = !session.confirmed;
        if is_first {
            session.confirmed = true;
            self.live.add(1);
        }
        Ok(Some(Opened { client: session.client, plaintext, is_first, moved }))
    }

    /// Counts a session whose first DATA has just verified, in place of an older one of the same program (decision of the
    /// handshake: a replayed HELLO1 never gets here, so it cannot knock a client off).
    pub(crate) fn confirm(&self, sid: u32, client: &Client, now: Mono) -> Confirmed {
        let program = (client.realm, client.key, client.instance);
        let old = lock(self.shard(&program)).insert(program, sid);
        let replaced = old.filter(|old| *old != sid).and_then(|old| self.close(old));
        let mut reclaimed = None;
        if self.live.get() > self.sessions_max {
            reclaimed = self.reclaim(now, sid);
            if reclaimed.is_none() {
                self.close(sid);
                return Confirmed::NoRoom;
            }
        }
        Confirmed::Open { replaced, reclaimed }
    }

    /// Ends session `sid`; who it was, if it counted.
    pub(crate) fn close(&self, sid: u32) -> Option<Client> {
        let session = self.take_if(sid, |_| true)?;
        session.confirmed.then_some(session.client)
    }

    /// Ends every session, half-open ones too; how many counted.
    pub(crate) fn close_all(&self) -> u64 {
        let sids = self.slots.iter().filter_map(|(index, slot)| {
            let place = lock(&slot.place);
            place.session.is_some().then(|| self.sid(index, place.generation))
        });
        sids.filter_map(|sid| self.close(sid)).count() as u64
    }

    /// Runs `each` with session `sid`, if it is there.
    pub(crate) fn with<T>(&self, sid: u32, each: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let mut place = self.place(sid)?;
        place.session.as_deref_mut().map(each)
    }

    /// Where session `sid` is.
    pub(crate) fn address(&self, sid: u32) -> Option<SocketAddr> {
        self.with(sid, |session| session.route.path.from)
    }

    /// Runs `each` with every session that counts, in order of slots.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&mut Session)) {
        for (_, slot) in self.slots.iter() {
            if let Some(session) = lock(&slot.place).session.as_deref_mut().filter(|session| session.confirmed) {
                each(session);
            }
        }
    }

    /// Sessions that count.
    pub(crate) fn live(&self) -> u64 {
        self.live.get()
    }

    /// Sessions and half-open ones together: what the table holds in memory.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.slots.iter().filter(|(_, slot)| lock(&slot.place).session.is_some()).count()
    }

    /// Closes the sessions that are too old among the next few: a few with every handshake keep the table clean, and an
    /// idle server need not wake for it.
    pub(crate) fn drop_too_old(&self, now: Mono, mut each: impl FnMut(Client)) {
        let reached = self.free.reached();
        for _ in 0..SWEEP_LOOK.min(reached) {
            let index = u32::try_from(self.hand.add(1) % u64::from(reached)).unwrap_or(0);
            let Some(slot) = self.slots.get(index) else { continue };
            let old = {
                let place = lock(&slot.place);
                let too_old = place.session.as_deref().is_some_and(|session| session.is_too_old(now));
                too_old.then(|| self.sid(index, place.generation))
            };
            if let Some(client) = old.and_then(|sid| self.close(sid)) {
                each(client);
            }
        }
    }

    /// Closes the session that was silent longest among the next few, or one that is too old; who it was.
    fn reclaim(&self, now: Mono, spare: u32) -> Option<Client> {
        let reached = self.free.reached();
        let mut best: Option<(Mono, u32)> = None;
        for _ in 0..RECLAIM_LOOK_MAX.min(reached) {
            let index = u32::try_from(self.hand.add(1) % u64::from(reached)).unwrap_or(0);
            let Some(slot) = self.slots.get(index) else { continue };
            let place = lock(&slot.place);
            let Some(session) = place.session.as_deref().filter(|session| session.confirmed) else { continue };
            let sid = self.sid(index, place.generation);
            if sid != spare && best.is_none_or(|(heard, _)| session.heard_at < heard) {
                best = Some((session.heard_at, sid));
            }
        }
        let (heard, sid) = best?;
        (now.ms_since(heard) >= RECLAIM_IDLE_MIN_MS).then(|| self.close(sid)).flatten()
    }

    fn take_if(&self, sid: u32, is_it: impl Fn(&Session) -> bool) -> Option<Box<Session>> {
        let session = {
            let mut place = self.place(sid)?;
            if !is_it(place.session.as_deref()?) {
                return None;
            }
            place.session.take()?
        };
        let index = self.index(sid);
        if let Some(slot) = self.slots.get(index) {
            self.free.push(index, &slot.link);
        }
        if session.confirmed {
            self.live.sub(1);
            let program = (session.client.realm, session.client.key, session.client.instance);
            let mut programs = lock(self.shard(&program));
            if programs.get(&program) == Some(&sid) {
                programs.remove(&program);
            }
        }
        Some(session)
    }

    fn place(&self, sid: u32) -> Option<MutexGuard<'_, Place>> {
        let place = lock(&self.slots.get(self.index(sid))?.place);
        (place.generation == sid >> self.index_bits).then_some(place)
    }

    fn shard(&self, program: &Program) -> &Mutex<BTreeMap<Program, u32>> {
        &self.programs[usize::from(program.1.0[0]) % SHARDS]
    }

    const fn index(&self, sid: u32) -> u32 {
        sid & ((1 << self.index_bits) - 1)
    }

    const fn sid(&self, index: u32, generation: u32) -> u32 {
        generation << self.index_bits | index
    }

    /// Generations run from 1, so that no session is called 0.
    const fn next_generation(&self, generation: u32) -> u32 {
        let max = u32::MAX >> self.index_bits;
        if generation >= max { 1 } else { generation + 1 }
    }
}

impl Slot {
    fn empty() -> Self {
        Self { link: Link::new(), place: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::{
        crypto::{Keypair, SessionKeys, TransportKey},
        packet::PacketType,
    };

    use super::*;

    fn key(n: u8) -> SessionKeys {
        SessionKeys { send: TransportKey::new(&[n; 32]), receive: TransportKey::new(&[n; 32]) }
    }

    fn path() -> Path {
        Path::unicast("10.0.0.1:1".parse().unwrap())
    }

    fn session(n: u8) -> Session {
        let key_pair = Keypair::from_private([n; 32]).public();
        let fingerprint = key_pair.fingerprint();
        let client = Client {
            realm: 0,
            key: key_pair,
            fingerprint,
            owner: 0,
            instance: [n; 8],
            client_sid: 5,
            clock_ahead_ms: 0,
        };
        Session::new(client, key(n), path(), Mono(0))
    }

    /// Sends a first datagram under `sid`; whether the session is there and took it.
    fn speak(table: &SessionTable, sid: u32, n: u8) -> bool {
        let mut datagram = vec![];
        let sealed_with = key(n).send;
        leasehold_protocol::crypto::seal_datagram(
            &sealed_with,
            PacketType::DataToServer,
            sid,
            0,
            &[0; 32],
            &mut datagram,
        );
        let opened = table.open(Mono(0), path(), (sid, 0), &mut datagram, false, || PathToken([0; 8]));
        let Ok(Some(opened)) = opened else { return false };
        assert!(opened.is_first);
        matches!(table.confirm(sid, &opened.client, Mono(0)), Confirmed::Open { .. })
    }

    #[test]
    fn handshakes_without_end_hold_no_more_than_the_half_open_bound() {
        let config = ServerConfig { half_open_max: 16, sessions_max: 32, ..ServerConfig::default() };
        let table = SessionTable::new(&config);
        let sids: Vec<u32> = (0..50_000).map(|_| table.insert(session(1)).unwrap()).collect();
        assert_eq!((table.held(), table.live()), (16, 0));
        let distinct: std::collections::BTreeSet<_> = sids.iter().collect();
        assert_eq!(distinct.len(), sids.len(), "an id is not used again soon");
        assert!(!sids.contains(&0));
    }

    #[test]
    fn sessions_that_were_confirmed_are_not_pushed_out_by_half_open_ones() {
        let config = ServerConfig { half_open_max: 4, sessions_max: 3, ..ServerConfig::default() };
        let table = SessionTable::new(&config);
        let mut confirmed = vec![];
        for n in 1..=3 {
            let sid = table.insert(session(n)).unwrap();
            assert!(speak(&table, sid, n));
            confirmed.push(sid);
        }
        (0..100).for_each(|_| assert!(table.insert(session(9)).is_some()));
        assert_eq!((table.live(), table.held()), (3, 7));
        assert!(confirmed.iter().all(|sid| table.address(*sid).is_some()));
        // A fourth is refused while the three are busy, and takes no room.
        let sid = table.insert(session(4)).unwrap();
        assert!(!speak(&table, sid, 4));
        assert_eq!(table.live(), 3);
    }

    #[test]
    fn an_id_of_a_closed_session_opens_nothing() {
        let table = SessionTable::new(&ServerConfig::default());
        let old = table.insert(session(1)).unwrap();
        assert!(speak(&table, old, 1));
        assert!(table.close(old).is_some());
        assert!(table.close(old).is_none());
        let new = table.insert(session(2)).unwrap();
        assert!(!speak(&table, old, 1));
        assert!(table.address(old).is_none() && table.address(new).is_some());
        assert_eq!(table.live(), 0);
    }
}
