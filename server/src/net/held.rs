//! Answers that say what is not on the disk yet (U-2): they leave once it is.

use std::collections::VecDeque;

use leasehold_core::{Engine, Transmit};
use tokio::sync::watch;

/// Answers that wait, oldest first.
pub(super) struct Held {
    letters: VecDeque<(u64, Transmit, Vec<u8>)>,
    synced: watch::Receiver<u64>,
}

/// Answers that wait at once, at most: while a disk hangs, clients ask again and again. The oldest are given up.
const HELD_MAX: usize = 4096;

impl Held {
    pub fn new(synced: watch::Receiver<u64>) -> Self {
        Self { letters: VecDeque::new(), synced }
    }

    /// Keeps everything `engine` has to say until record `number` is on the disk.
    pub fn keep(&mut self, number: u64, engine: &mut Engine) {
        let mut bytes = Vec::new();
        while let Some(transmit) = engine.poll_transmit(&mut bytes) {
            if self.letters.len() == HELD_MAX {
                self.letters.pop_front();
            }
            self.letters.push_back((number, transmit, std::mem::take(&mut bytes)));
        }
    }

    /// The next answer that waits no more.
    pub fn next(&mut self) -> Option<(Transmit, Vec<u8>)> {
        let synced = *self.synced.borrow_and_update();
        let at = self.letters.iter().position(|(number, ..)| *number <= synced)?;
        self.letters.remove(at).map(|(_, transmit, bytes)| (transmit, bytes))
    }

    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Whether something has come to the disk since it was looked at last.
    pub fn may_be_due(&self) -> bool {
        !self.letters.is_empty() && self.synced.has_changed().unwrap_or(false)
    }

    /// Returns when something comes to the disk.
    pub async fn changed(&mut self) {
        if self.synced.changed().await.is_err() {
            // Nothing ever will.
            std::future::pending::<()>().await;
        }
    }
}
