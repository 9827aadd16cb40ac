//! What the fuzzer runs: one module for each target, with a function `run` that takes the bytes and panics if anything
//! is not as it must be. `tests/replay.rs` runs them over `corpus/` without a fuzzer.
//!
//! | module | bytes are | what must hold |
//! |---|---|---|
//! | [`datagram`] | a datagram | readers agree with each other and with the layout; little memory |
//! | [`engine`] | a list of operations of three rude clients on the server's core | the seat equation, one lease a claim, nothing before its deadline, no byte too many, no session closed by a stranger |
//! | [`frames`] | a plaintext, or one body | what is read is written back the same; little memory |
//! | [`licence_text`] | a licence file, a key file, COSE bytes, or the terms of a certificate to sign | nothing unsigned is applied; what is written is read back |
//! | [`holder`] | a list of operations and answers for the client's sans-IO half | no panic, no busy loop, no state better than the truth |

pub mod chance;
pub mod datagram;
pub mod engine;
pub mod frames;
pub mod holder;
pub mod licence_text;
pub mod memory;
pub mod template;

/// A target as the body of a program: under cargo-fuzz the fuzzer's, otherwise one that runs the files it is given.
#[macro_export]
macro_rules! target {
    ($run:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $run(bytes));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::run_files($run);
        }
    };
}

/// Runs one input at a time: the files named on the command line. To look at a finding with a debugger at hand.
pub fn run_files(run: impl Fn(&[u8])) {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        run(&bytes);
        println!("{}: nothing found in {} bytes", path.display(), bytes.len());
    }
}
