//! What is said back to a datagram, joined in as few datagrams as fit, and never more than its address may get (W-4).

use leasehold_protocol::{
    frame,
    message::{Deny, PathToken, ServerFrame, ServerGoodbye},
    packet::{DATA_HEADER_LEN, PADDING_STEP, TAG_LEN},
    time::Now,
    vocab::Denial,
};

use super::{Engine, data::Sender, outbox::Outbox};
use crate::{
    Fault, Path,
    counters::{Block, Counter},
    session::{Allowance, Session},
};

impl Engine {
    /// Sends what was answered to the sender's datagram; to an address that is not proved a challenge besides, or by itself
    /// if nothing was answered (SPEC 6.5.1).
    pub(super) fn answer(&mut self, sender: &Sender) {
        let Self { shared, answers, plaintext, outbox, counters, .. } = self;
        let unchecked = shared.planted.is(Fault::AmplificationUnchecked);
        let done = shared.sessions.with(sender.sid, |session| {
            let mut page = Page { session, path: sender.path, plaintext, outbox };
            page.plaintext.clear();
            match page.session.route.allowance(&sender.path, sender.len) {
                _ if unchecked => page.send_all(answers),
                Allowance::Proved => page.send_all(answers),
                Allowance::Challenge { bytes, token } => page.send_within(bytes, Some(token), answers, counters),
                Allowance::Overtaken { bytes } => page.send_within(bytes, None, answers, counters),
            }
        });
        if done.is_none() {
            // The session was closed by another worker meanwhile: there is nobody to answer any more.
            answers.clear();
        }
    }

    /// Sends `frames` to the client of session `sid` who did not ask for them just now, if its address is proved.
    pub(super) fn send_unasked(&mut self, sid: u32, frames: &mut Vec<ServerFrame>) {
        let Self { shared, plaintext, outbox, .. } = self;
        shared.sessions.with(sid, |session| {
            if session.route.is_proved() {
                plaintext.clear();
                let path = session.route.path;
                Page { session, path, plaintext, outbox }.send_all(frames);
            }
        });
    }

    /// Tells every client whose address is proved that this server goes away, so that it looks for another at once
    /// instead of when its renewals go unanswered. Each is told once, whichever engine is asked.
    pub fn begin_goodbye(&mut self, _now: Now) {
        let Self { shared, plaintext, outbox, answers, .. } = self;
        shared.sessions.for_each(|session| {
            if session.told_goodbye || !session.route.is_proved() {
                return;
            }
            session.told_goodbye = true;
            answers.push(ServerFrame::Goodbye(ServerGoodbye { code: Denial::SHUTTING_DOWN, back_in_ms: None }));
            plaintext.clear();
            let path = session.route.path;
            Page { session, path, plaintext, outbox }.send_all(answers);
        });
    }
}

/// A plaintext that fills up and is sealed.
struct Page<'a> {
    session: &'a mut Session,
    path: Path,
    plaintext: &'a mut Vec<u8>,
    outbox: &'a mut Outbox,
}

impl Page<'_> {
    /// Sends all of `frames`, in as many datagrams as it takes.
    fn send_all(&mut self, frames: &mut Vec<ServerFrame>) {
        for answer in frames.drain(..) {
            if answer.append_to(self.plaintext).is_err() {
                self.seal();
                let fits = answer.append_to(self.plaintext);
                debug_assert!(fits.is_ok(), "an answer longer than a datagram: {answer:?}");
            }
        }
        self.seal();
    }

    /// Sends as many of `frames` as fit into one datagram of at most `bytes`, after a challenge if there is a token. A
    /// denial that does not fit goes without its words; any other waits until the address is proved and its client asks
    /// again.
    fn send_within(&mut self, bytes: usize, token: Option<PathToken>, frames: &mut Vec<ServerFrame>, counters: &Block) {
        if let Some(token) = token {
            self.append_within(bytes, &ServerFrame::PathChallenge(token));
        }
        for answer in frames.drain(..) {
            if self.append_within(bytes, &answer) {
                continue;
            }
            let shortened = match answer {
                ServerFrame::Deny(deny) => self.append_within(bytes, &ServerFrame::Deny(Box::new(wordless(*deny)))),
                _ => false,
            };
            counters.count(if shortened { Counter::AnswersShortened } else { Counter::AnswersWithheld });
        }
        self.seal();
    }

    /// Appends `answer` if the datagram stays within `bytes`; whether it did.
    fn append_within(&mut self, bytes: usize, answer: &ServerFrame) -> bool {
        let before = self.plaintext.len();
        let fits = answer.append_to(self.plaintext).is_ok() && datagram_len(self.plaintext.len()) <= bytes;
        if !fits {
            self.plaintext.truncate(before);
        }
        fits
    }

    fn seal(&mut self) {
        if self.plaintext.is_empty() {
            return;
        }
        frame::pad(self.plaintext, 0);
        let mut datagram = self.outbox.buffer();
        if self.session.seal(self.plaintext, &mut datagram) {
            self.session.route.note_sent(&self.path, datagram.len());
            self.outbox.push(self.path.back(), datagram);
        }
        self.plaintext.clear();
    }
}

/// How long a datagram with so many bytes of plaintext is.
const fn datagram_len(plaintext_len: usize) -> usize {
    DATA_HEADER_LEN + plaintext_len.next_multiple_of(PADDING_STEP) + TAG_LEN
}

/// `deny` without what is only for people.
fn wordless(deny: Deny) -> Deny {
    Deny { sentence: String::new(), rule: String::new(), next_due: None, ..deny }
}
