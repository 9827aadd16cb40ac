//! An array that grows without moving.

use super::sync::OnceLock;

/// Places for `len_max` values, made `LEN` at a time as they are first reached. A value never moves, so a reference to one
/// stays good while the array grows.
///
/// Chunks are of one size, not doubling: the moment a table grows is then never longer than making `LEN` values, whatever
/// the table has become.
#[derive(Debug)]
pub(crate) struct Chunks<T, const LEN: usize = CHUNK_LEN> {
    chunks: Box<[OnceLock<Box<[T; LEN]>>]>,
    len_max: u32,
}

/// Values per chunk, where nothing else is said.
pub(super) const CHUNK_LEN: usize = if cfg!(any(loom, shuttle)) { 2 } else { 4096 };

impl<T, const LEN: usize> Chunks<T, LEN> {
    /// No values yet, and room for `len_max`.
    pub(crate) fn new(len_max: u32) -> Self {
        let chunks = (0..(len_max as usize).div_ceil(LEN)).map(|_| OnceLock::new()).collect();
        Self { chunks, len_max }
    }

    /// How many values there may ever be.
    pub(crate) const fn len_max(&self) -> u32 {
        self.len_max
    }

    /// The value at `index`, if its chunk was ever reached.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        Some(&self.chunk(index as usize / LEN)?[index as usize % LEN])
    }

    /// The value at `index`; `None` beyond the end. Makes the whole chunk with `make` if nobody reached it before.
    #[inline]
    pub(crate) fn reach(&self, index: u32, make: impl Fn() -> T) -> Option<&T> {
        if index >= self.len_max {
            return None;
        }
        let chunk = self.chunks.get(index as usize / LEN)?.get_or_init(|| chunk_of(make));
        Some(&chunk[index as usize % LEN])
    }

    /// The values of chunk number `chunk`, if it was ever reached.
    #[inline]
    pub(crate) fn chunk(&self, chunk: usize) -> Option<&[T; LEN]> {
        self.chunks.get(chunk)?.get().map(AsRef::as_ref)
    }

    /// Every value of every chunk that was reached, with its index, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.chunks.len()).flat_map(|n| {
            let first = u32::try_from(n * LEN).unwrap_or(u32::MAX);
            (first..).zip(self.chunk(n).into_iter().flatten())
        })
    }
}

#[cold]
fn chunk_of<T, const LEN: usize>(make: impl Fn() -> T) -> Box<[T; LEN]> {
    let values: Vec<T> = (0..LEN).map(|_| make()).collect();
    values.try_into().unwrap_or_else(|_| unreachable!("LEN values are LEN values"))
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const LEN: u32 = 4096;

    #[test]
    fn values_are_made_a_chunk_at_a_time_and_stay_where_they_are() {
        let chunks = Chunks::<_>::new(3 * LEN);
        assert!(chunks.get(0).is_none());
        let first = std::ptr::from_ref(chunks.reach(0, || AtomicU32::new(7)).unwrap());
        chunks.reach(2 * LEN, || AtomicU32::new(8)).unwrap();
        assert_eq!(first, std::ptr::from_ref(chunks.get(0).unwrap()));
        assert!(chunks.get(LEN).is_none());
        assert!(chunks.reach(3 * LEN, || AtomicU32::new(9)).is_none());
        let last = chunks.iter().last().map(|(index, value)| (index, value.load(Ordering::Relaxed)));
        assert_eq!(last, Some((3 * LEN - 1, 8)));
    }
}
