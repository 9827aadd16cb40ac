//! Choices made from the fuzzer's bytes. When they run out every choice is the first one, so that each input ends.

use arbitrary::Unstructured;
use leasehold_protocol::Entropy;

/// The rest of an input.
pub struct Chance<'a>(Unstructured<'a>);

impl<'a> Chance<'a> {
    /// Choices from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// Whether all bytes are used up.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Any number of 32 bits.
    pub fn u32(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Any number of 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of `all`.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Up to `most` bytes as they stand.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let wanted = (usize::from(self.byte()) * 5).min(most).min(self.0.len());
        self.0.bytes(wanted).unwrap_or(&[])
    }

    /// So many bytes, zeros where there are no more.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let _ = self.0.fill_buffer(&mut out);
        out
    }

    /// A wait in milliseconds, from nothing to two days, with most of them short.
    pub fn wait_ms(&mut self) -> u64 {
        let n = u64::from(self.byte());
        match self.byte() % 6 {
            0 => n,
            1 => n * 10,
            2 => n * 100,
            3 => n * 1_000,
            4 => n * 60_000,
            _ => n * 700_000,
        }
    }
}

/// Entropy that is the same in every run.
pub fn counting(seed: u64) -> impl Entropy + use<> {
    let mut state = seed;
    move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }
}
