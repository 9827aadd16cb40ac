//! The marker that says "seats may be out": what makes a restarted server careful.
//!
//! Leases are kept in memory and written down in the [journal](crate::journal). Where that is gone or damaged, a server cannot
//! know which seats were granted before it, so it is *blind* for the longest TTL they could have been granted for: it grants only to
//! holders who show a ticket. The marker is on disk before the first grant and is removed only when nothing is out.

use leasehold_protocol::time::{Mono, Now};

use super::folder::{Folder, StateError};

const FILE: &str = "serving";

/// The marker of a running server.
#[derive(Debug)]
pub struct Serving {
    ttl_ms: u64,
    blind_until: Option<Mono>,
}

impl Serving {
    /// Reads what the server before left, and marks this one as serving leases of at most `ttl_ms`. It is blind for the time that
    /// `blind_for` makes of the longest TTL the one before may have granted for, if that did not end with nothing out.
    ///
    /// # Errors
    /// If the marker cannot be read or written: without it a later restart could grant seats twice.
    pub fn begin(
        folder: &mut Folder,
        ttl_ms: u64,
        now: Now,
        blind_for: impl FnOnce(Option<u64>) -> Option<u64>,
    ) -> Result<Self, StateError> {
        let before = folder.read(FILE)?.map(|text| left_ttl_ms(&text));
        let serving = Self {
            // While blind, the leases of the life before count as ours: dying now must not make the next one less careful.
            ttl_ms: ttl_ms.max(before.unwrap_or(0)),
            blind_until: blind_for(before).map(|ms| now.mono.plus_ms(ms)),
        };
        serving.write(folder)?;
        Ok(serving)
    }

    /// Until when only tickets get seats, if the server before this one did not end cleanly.
    #[must_use]
    pub const fn blind_until(&self) -> Option<Mono> {
        self.blind_until
    }

    /// The longest TTL that leases may have.
    #[must_use]
    pub const fn ttl_ms(&self) -> u64 {
        self.ttl_ms
    }

    /// Notes that leases of up to `ttl_ms` may be granted from now on. To be called before a plan that allows them.
    ///
    /// # Errors
    /// If the marker cannot be written; the plan must then not be used.
    pub fn allow(&mut self, folder: &Folder, ttl_ms: u64) -> Result<(), StateError> {
        if ttl_ms <= self.ttl_ms {
            return Ok(());
        }
        let longer = Self { ttl_ms, blind_until: self.blind_until };
        longer.write(folder)?;
        *self = longer;
        Ok(())
    }

    /// Ends the server's life. The marker goes only if no seat can be out: none of ours, and none of the life before.
    ///
    /// # Errors
    /// If it should go and stays; the next start is then careful for nothing.
    pub fn end(self, folder: &Folder, leases_out: u64, now: Now) -> Result<(), StateError> {
        let blind = self.blind_until.is_some_and(|until| now.mono < until);
        if leases_out == 0 && !blind { folder.remove(FILE) } else { Ok(()) }
    }

    fn write(&self, folder: &Folder) -> Result<(), StateError> {
        folder.write(FILE, &format!("ttl_ms {}\n", self.ttl_ms))
    }
}

/// The longest TTL of the life before. A marker that cannot be read stands for the longest there is.
fn left_ttl_ms(text: &str) -> u64 {
    const TTL_MAX_MS: u64 = 86_400_000;
    let read = text.trim().strip_prefix("ttl_ms ").and_then(|ms| ms.parse().ok());
    read.unwrap_or(TTL_MAX_MS).min(TTL_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono: Mono(ms), ..Now::default() }
    }

    fn begin(folder: &mut Folder, ttl_ms: u64, now_ms: u64) -> Serving {
        Serving::begin(folder, ttl_ms, at(now_ms), |left| left).unwrap()
    }

    #[test]
    fn only_an_end_with_nothing_out_lets_the_next_one_see() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(scratch.path()).unwrap();
        let first = begin(&mut folder, 5000, 0);
        assert_eq!(first.blind_until(), None);
        first.end(&folder, 3, at(100)).unwrap();

        let second = begin(&mut folder, 2000, 1000);
        assert_eq!(second.blind_until(), Some(Mono(6000)), "the TTL the first one granted for");
        second.end(&folder, 0, at(5999)).unwrap();

        let third = begin(&mut folder, 2000, 7000);
        assert_eq!(third.blind_until(), Some(Mono(12_000)), "the second one was still blind when it ended");
        third.end(&folder, 0, at(12_000)).unwrap();
        assert_eq!(begin(&mut folder, 2000, 13_000).blind_until(), None);
    }

    #[test]
    fn a_reload_with_longer_leases_is_on_disk_first() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(scratch.path()).unwrap();
        let mut first = begin(&mut folder, 2000, 0);
        first.allow(&folder, 9000).unwrap();
        first.allow(&folder, 3000).unwrap();
        assert_eq!(begin(&mut folder, 2000, 0).blind_until(), Some(Mono(9000)));
    }

    #[test]
    fn a_damaged_marker_is_the_most_careful_one() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(scratch.path()).unwrap();
        folder.write(FILE, "ttl_ms forever").unwrap();
        assert_eq!(begin(&mut folder, 2000, 0).blind_until(), Some(Mono(86_400_000)));
    }
}
