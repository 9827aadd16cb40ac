//! What a stranger's bytes can make us allocate. Alone in its program, because it counts every allocation there is.

use leasehold_protocol::{
    codec::{BODY_MAX, DECODED_MAX},
    frame::{Frames, RawFrame},
    message::{ClientFrame, ServerFrame},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Lengths that lie: 2^30, 2^32 - 1, 2^64 - 1, one more than there are bytes, and some that the limit just lets pass.
const LIES: [&[u8]; 7] = [
    &[252, 0, 0, 0, 64],
    &[252, 0xff, 0xff, 0xff, 0xff],
    &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[251, 0x7d, 0x04],
    &[250],
    &[251, 0x00, 0x01],
    &[251, 0x00, 0x40],
];

/// The most that decoding one body may add: what the decoder was allowed, and a little for boxes and names.
const ALLOWED: usize = DECODED_MAX + 4096;

fn peak_of(run: impl FnOnce()) -> usize {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    run();
    MEMORY.peak_usage().saturating_sub(before)
}

fn decode(kind: u8, body: &[u8]) {
    let raw = RawFrame { kind, body };
    if kind.is_multiple_of(2) {
        drop(ClientFrame::decode(raw));
    } else {
        drop(ServerFrame::decode(raw));
    }
}

// One test: two would count each other.
#[test]
fn a_strangers_bytes_allocate_nothing_beyond_the_limit() {
    splitting_frames_allocates_nothing();
    lengths_that_lie_allocate_nothing_beyond_the_limit();
}

fn lengths_that_lie_allocate_nothing_beyond_the_limit() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    #[expect(clippy::disallowed_methods, reason = "the room is pure, its test data are files")]
    let files: Vec<Vec<u8>> = std::fs::read_dir(vectors)
        .expect("testdata is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "bin"))
        .map(|path| std::fs::read(path).expect("a vector"))
        .filter(|bytes| bytes[0] != 0x1e && usize::from(bytes[2]) + 4 == bytes.len())
        .collect();
    assert!(files.len() >= 16, "the frames among the vectors");
    let mut tried = 0;
    for frame in files {
        for at in 4..frame.len() {
            for lie in LIES {
                let mut body = [&frame[4..at], lie, &frame[at..]].concat();
                body.resize(body.len().max(400), 0);
                body.truncate(BODY_MAX);
                let peak = peak_of(|| decode(frame[0], &body));
                assert!(peak <= ALLOWED, "type {:#x}, {lie:?} at {at}: {peak} bytes", frame[0]);
                tried += 1;
            }
        }
    }
    assert!(tried > 5_000, "{tried}");
}

fn splitting_frames_allocates_nothing() {
    let plaintext: Vec<u8> = [4u8, 0, 4, 0, 1, 2, 3, 4].repeat(144);
    let peak = peak_of(|| {
        assert_eq!(Frames::new(&plaintext).filter(Result::is_ok).count(), 144);
    });
    assert_eq!(peak, 0);
}
