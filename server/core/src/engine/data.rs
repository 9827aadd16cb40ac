//! DATA: opened, and its frames handed on (SPEC 4).

use leasehold_protocol::{
    frame::{Frames, RawFrame},
    message::{ClientFrame, Known, PathToken, RenewMany, ServerFrame, Unsupported},
    time::Now,
};

use super::Engine;
use crate::{
    Event, Fault, Path, SessionEnd,
    counters::Counter,
    session::{Client, Confirmed, Refused},
};

/// Frames one datagram may hold; what follows is not read.
const FRAMES_MAX: usize = 64;

/// Who sent the datagram at hand, and from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    /// What we call the session.
    pub(crate) sid: u32,
    pub(crate) client: Client,
    pub(crate) path: Path,
    /// The datagram's length in bytes.
    pub(crate) len: usize,
}

impl Engine {
    /// Takes `datagram`, DATA for session `sid` with a counter.
    pub(super) fn on_data(&mut self, now: Now, path: Path, (sid, counter): (u32, u64), datagram: &mut [u8]) {
        let len = datagram.len();
        let Self { shared, entropy, .. } = self;
        let forget_window = shared.planted.is(Fault::ReplayAcceptedTwice);
        let token = || PathToken(entropy.next_u64().to_le_bytes());
        let opened = match shared.sessions.open(now.mono, path, (sid, counter), datagram, forget_window, token) {
            Ok(Some(opened)) => opened,
            // SPEC 3.7: silence. The client finds out by itself, and a stranger learns nothing.
            Ok(None) => return self.counters.count(Counter::DropUnknownSession),
            Err(refused) => return self.on_refused(sid, refused),
        };
        self.counters.count(Counter::DataAccepted);
        let sender = Sender { sid, client: opened.client, path, len };
        if opened.is_first && !self.confirm(now, &sender) {
            return;
        }
        if opened.moved {
            self.counters.count(Counter::PathsChanged);
        }
        let goes = self.on_frames(now, &sender, opened.plaintext);
        self.answer(&sender);
        if goes && let Some(client) = self.shared.sessions.close(sid) {
            self.note_closed(&client, SessionEnd::Goodbye);
        }
    }

    fn on_refused(&mut self, sid: u32, refused: Refused) {
        let (counter, end) = match refused {
            Refused::Replayed => (Counter::DropReplayed, None),
            Refused::Forged => (Counter::DropForged, None),
            Refused::TooOld => (Counter::DropTooOld, Some(SessionEnd::TooOld)),
            Refused::Attacked => (Counter::DropForged, Some(SessionEnd::Attacked)),
        };
        self.counters.count(counter);
        if let Some(why) = end
            && let Some(client) = self.shared.sessions.close(sid)
        {
            self.note_closed(&client, why);
        }
    }

    /// Counts the sender's session, which has just proved itself, in place of an older one of the same program; whether
    /// there is room for it.
    fn confirm(&mut self, now: Now, sender: &Sender) -> bool {
        match self.shared.sessions.confirm(sender.sid, &sender.client, now.mono) {
            Confirmed::NoRoom => {
                self.counters.count(Counter::DropSessionsFull);
                false
            }
            Confirmed::Open { replaced, reclaimed } => {
                self.counters.count(Counter::SessionsOpened);
                if let Some(client) = &reclaimed {
                    self.note_closed(client, SessionEnd::Reclaimed);
                }
                if let Some(client) = &replaced {
                    self.counters.count(Counter::SessionsReplaced);
                    self.note_closed(client, SessionEnd::Replaced);
                }
                self.events.push_back(Event::SessionOpened {
                    realm: self.shared.realms[sender.client.realm].identity.id,
                    client: sender.client.fingerprint,
                    from: sender.path.from,
                    replaced: replaced.is_some(),
                    clock_ahead_ms: sender.client.clock_ahead_ms,
                });
                true
            }
        }
    }

    /// Hands every frame on; whether the client said goodbye.
    fn on_frames(&mut self, now: Now, sender: &Sender, plaintext: &[u8]) -> bool {
        let mut goes = false;
        for (n, raw) in Frames::new(plaintext).enumerate() {
            if n == FRAMES_MAX {
                self.counters.count(Counter::FramesTooMany);
                break;
            }
            // Read where they lie: however many there are, no allocation.
            if let Ok(RawFrame { kind: RenewMany::KIND, body }) = raw {
                self.on_renew_many(now, sender, body);
                continue;
            }
            match raw.and_then(ClientFrame::decode) {
                Ok(Known::Frame(ClientFrame::Goodbye(_))) => goes = true,
                Ok(Known::Frame(frame)) => self.on_frame(now, sender, frame),
                Ok(Known::Unknown(frame_type)) => {
                    self.counters.count(Counter::FramesUnknown);
                    self.answers.push(ServerFrame::Unsupported(Unsupported { frame_type }));
                }
                Err(_) => self.counters.count(Counter::FramesBad),
            }
        }
        goes
    }

    fn on_frame(&mut self, now: Now, sender: &Sender, frame: ClientFrame) {
        match frame {
            ClientFrame::Renew(renew) => self.on_renew(now, sender, &renew),
            ClientFrame::Request(request) => self.on_request(now, sender, *request, None),
            ClientFrame::Wait(wait) => self.on_request(now, sender, wait.request, Some(wait.queue_only)),
            ClientFrame::Bundle(bundle) => self.on_bundle(now, sender, *bundle),
            ClientFrame::Release(release) => self.on_release(now, sender, &release),
            ClientFrame::FeatureQuery(query) => self.on_feature_query(now, sender, &query),
            ClientFrame::LicenceQuery(query) => self.on_licence_query(now, sender, &query),
            ClientFrame::ProofQuery(query) => self.on_proof_query(sender, query),
            ClientFrame::PathResponse(token) => self.on_path_response(sender, token),
            // Handled where the session is, and where the bytes are.
            ClientFrame::Goodbye(_) | ClientFrame::RenewMany(_) => {}
        }
    }

    fn on_path_response(&mut self, sender: &Sender, token: PathToken) {
        let proved = self.shared.sessions.with(sender.sid, |session| session.route.answered(&sender.path, token));
        if proved == Some(true) {
            self.counters.count(Counter::PathsProved);
        }
    }
}
