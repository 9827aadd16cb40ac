//! An array that grows without moving.

use super::sync::OnceLock;

/// Places for `len_max` values, made a chunk at a time as they are first reached. A value never moves, so a reference to
/// one stays good while the array grows.
///
/// Chunks are of one size, not doubling: the moment a table grows is then never longer than making 4 096 values, whatever
/// the table has become.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Box<[OnceLock<Box<[T]>>]>,
    len_max: u32,
}

/// Values per chunk.
pub(super) const CHUNK_LEN: u32 = if cfg!(loom) { 2 } else { 4096 };

impl<T> Chunks<T> {
    /// No values yet, and room for `len_max`.
    pub(crate) fn new(len_max: u32) -> Self {
        let chunks = (0..len_max.div_ceil(CHUNK_LEN)).map(|_| OnceLock::new()).collect();
        Self { chunks, len_max }
    }

    /// How many values there may ever be.
    pub(crate) const fn len_max(&self) -> u32 {
        self.len_max
    }

    /// The value at `index`, if its chunk was ever reached.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get((index / CHUNK_LEN) as usize)?.get()?.get((index % CHUNK_LEN) as usize)
    }

    /// The value at `index`; `None` beyond the end. Makes the whole chunk with `make` if nobody reached it before.
    pub(crate) fn reach(&self, index: u32, make: impl Fn() -> T) -> Option<&T> {
        if index >= self.len_max {
            return None;
        }
        let chunk = self.chunks.get((index / CHUNK_LEN) as usize)?;
        chunk.get_or_init(|| (0..CHUNK_LEN).map(|_| make()).collect()).get((index % CHUNK_LEN) as usize)
    }

    /// Every value of every chunk that was reached, with its index, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().zip(0u32..).flat_map(|(chunk, n)| {
            let values = chunk.get().map_or(&[][..], |values| &values[..]);
            (n * CHUNK_LEN..).zip(values)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn values_are_made_a_chunk_at_a_time_and_stay_where_they_are() {
        let chunks = Chunks::new(3 * CHUNK_LEN);
        assert!(chunks.get(0).is_none());
        let first = std::ptr::from_ref(chunks.reach(0, || AtomicU32::new(7)).unwrap());
        chunks.reach(2 * CHUNK_LEN, || AtomicU32::new(8)).unwrap();
        assert_eq!(first, std::ptr::from_ref(chunks.get(0).unwrap()));
        assert!(chunks.get(CHUNK_LEN).is_none());
        assert!(chunks.reach(3 * CHUNK_LEN, || AtomicU32::new(9)).is_none());
        let last = chunks.iter().last().map(|(index, value)| (index, value.load(Ordering::Relaxed)));
        assert_eq!(last, Some((3 * CHUNK_LEN - 1, 8)));
    }
}
