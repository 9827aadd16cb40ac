//! What a peer that holds the keys may send: frames and their bodies.

use leasehold_protocol::{
    codec::BODY_MAX,
    frame::{self, FRAME_HEADER_LEN, Frames, RawFrame},
    message::{ClientFrame, Known, ServerFrame},
    packet::PLAINTEXT_MAX,
};

/// Splits `bytes` as a plaintext, reads every frame for both sides, and reads `bytes` as one body of a type.
pub fn run(bytes: &[u8]) {
    crate::memory::within(crate::memory::LIMIT, || read(bytes));
}

fn read(bytes: &[u8]) {
    let mut used = 0;
    let mut bad = 0;
    for raw in Frames::new(bytes) {
        assert_eq!(bad, 0, "an error is the last thing the splitter says");
        match raw {
            Ok(raw) => {
                assert_ne!(raw.kind, 0, "type 0 is padding");
                used += FRAME_HEADER_LEN + raw.body.len();
                one(raw);
            }
            Err(e) => {
                assert!(e.offset <= bytes.len());
                bad += 1;
            }
        }
    }
    assert!(used <= bytes.len());
    assert!(bad > 0 || bytes[used..].iter().all(|b| *b == 0), "what was not read is padding");
    if let Some((kind, body)) = bytes.split_first() {
        one(RawFrame { kind: *kind, body });
    }
}

fn one(raw: RawFrame<'_>) {
    let (client, server) = (ClientFrame::decode(raw), ServerFrame::decode(raw));
    assert!(client.is_err() || server.is_err(), "one side at most reads it");
    if let Ok(Known::Frame(frame)) = client {
        let mut again = Vec::new();
        frame.append_to(&mut again).expect("it came from no fewer bytes");
        let back = same_frame(raw, &mut again);
        assert_eq!(ClientFrame::decode(back), Ok(Known::Frame(frame)));
    }
    if let Ok(Known::Frame(frame)) = server {
        let mut again = Vec::new();
        frame.append_to(&mut again).expect("it came from no fewer bytes");
        let back = same_frame(raw, &mut again);
        assert_eq!(ServerFrame::decode(back), Ok(Known::Frame(frame)));
    }
}

/// The frame written anew, split off again. It may be shorter than what was read (SPEC 5.2.4), never longer.
fn same_frame<'a>(raw: RawFrame<'_>, again: &'a mut Vec<u8>) -> RawFrame<'a> {
    assert!(raw.body.len() <= BODY_MAX && again.len() <= FRAME_HEADER_LEN + raw.body.len());
    frame::pad(again, 0);
    assert!(again.len() <= PLAINTEXT_MAX);
    let mut frames = Frames::new(again);
    let back = frames.next().expect("a frame").expect("whole");
    assert_eq!((back.kind, frames.next()), (raw.kind, None));
    back
}
