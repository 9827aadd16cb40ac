//! Randomness from the operating system.

use leasehold_protocol::Entropy;

/// The operating system's randomness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsEntropy(());

impl OsEntropy {
    /// Draws once, so that a system without randomness is told of while there is somebody to tell.
    ///
    /// # Errors
    /// If the system has none.
    #[expect(clippy::disallowed_methods, reason = "the driver's one source of randomness")]
    pub(crate) fn new() -> std::io::Result<Self> {
        getrandom::fill(&mut [0; 8]).map_err(std::io::Error::other)?;
        Ok(Self(()))
    }
}

impl Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "the driver's one source of randomness")]
    fn fill(&mut self, bytes: &mut [u8]) {
        // It worked when this value was made, and Linux's does not fail afterwards. A guessable key must never be the
        // way out, so a passing failure is waited for.
        while getrandom::fill(bytes).is_err() {
            std::thread::yield_now();
        }
    }
}
