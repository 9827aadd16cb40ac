//! Claim keys and what they stand for: the one place where a request finds out whether it was made before.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

use leasehold_protocol::{
    time::Mono,
    vocab::{ClaimKey, LeaseId, OperationId, RealmId},
};

use crate::lock;

/// Every claim key that is in use, and those that were released a short while ago.
///
/// Split over locks by the key itself, so that requests of different claims seldom meet. Ordered maps: keys are chosen by
/// strangers, and no choice of theirs makes these slow.
#[derive(Debug)]
pub(crate) struct Claims {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    claims: BTreeMap<Key, Claim>,
    /// Released keys, oldest first.
    released: VecDeque<(Mono, Key)>,
}

type Key = (RealmId, ClaimKey);

/// What a claim key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A lease, which may have ended by now: the slab knows.
    Lease {
        lease: LeaseId,
        /// Client key and realm, hashed: nobody else may use the key.
        owner: u64,
    },
    /// Nothing any more: it was released, and a request that was sent before the release and arrives after it must not
    /// bring it back.
    Released {
        /// By which asking; the same asking again gets the same answer.
        operation: OperationId,
        at: Mono,
        /// Whether there was something to free.
        freed: bool,
    },
}

/// One claim key, and nobody else deciding about it meanwhile.
pub(crate) struct ClaimGuard<'a> {
    shard: MutexGuard<'a, Shard>,
    key: Key,
}

const SHARDS: usize = 64;
/// How long a released key is remembered while there is room, in milliseconds: far longer than a datagram can be on its
/// way.
const RELEASED_KEEP_MS: u64 = 600_000;
/// Released keys remembered per shard: 262 144 in all, a minute of 4 000 releases a second.
const RELEASED_MAX: usize = 4096;

impl Default for Claims {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Claims {
    /// Locks `claim` of `realm`. The caller holds no book's lock.
    pub(crate) fn lock(&self, realm: RealmId, claim: ClaimKey) -> ClaimGuard<'_> {
        let shard = &self.shards[usize::from(claim.0[0]) % SHARDS];
        ClaimGuard { shard: lock(shard), key: (realm, claim) }
    }

    /// Forgets that `claim` stands for `lease`, which has ended. If the key stands for something newer, it stays.
    pub(crate) fn forget(&self, realm: RealmId, claim: ClaimKey, lease: LeaseId) {
        let mut guard = self.lock(realm, claim);
        if matches!(guard.get(), Some(Claim::Lease { lease: known, .. }) if known == lease) {
            let key = guard.key;
            guard.shard.claims.remove(&key);
        }
    }
}

impl ClaimGuard<'_> {
    /// What the key stands for.
    pub(crate) fn get(&self) -> Option<Claim> {
        self.shard.claims.get(&self.key).copied()
    }

    /// Turns to another key of the same realm, which the same lock covers: those of a bundle all are, as they differ in their last
    /// byte.
    pub(crate) fn turn_to(&mut self, claim: ClaimKey) {
        debug_assert_eq!(claim.0[0], self.key.1.0[0], "another lock");
        self.key.1 = claim;
    }

    /// Notes that it stands for `lease`.
    pub(crate) fn set_lease(&mut self, lease: LeaseId, owner: u64) {
        let key = self.key;
        self.shard.claims.insert(key, Claim::Lease { lease, owner });
    }

    /// Notes that it was released at `at` by `operation`, and forgets keys that were released long ago.
    pub(crate) fn set_released(&mut self, operation: OperationId, at: Mono, freed: bool) {
        let key = self.key;
        let shard = &mut *self.shard;
        shard.claims.insert(key, Claim::Released { operation, at, freed });
        shard.released.push_back((at, key));
        while let Some((since, old)) = shard.released.front().copied() {
            if at.ms_since(since) < RELEASED_KEEP_MS && shard.released.len() <= RELEASED_MAX {
                break;
            }
            shard.released.pop_front();
            if matches!(shard.claims.get(&old), Some(Claim::Released { at, .. }) if *at == since) {
                shard.claims.remove(&old);
            }
        }
    }

    /// Forgets the key.
    pub(crate) fn clear(&mut self) {
        let key = self.key;
        self.shard.claims.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REALM: RealmId = RealmId(1);

    fn key(n: u64) -> ClaimKey {
        // All in one shard.
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&n.to_le_bytes());
        ClaimKey(bytes)
    }

    #[test]
    fn a_released_key_is_remembered_for_ten_minutes() {
        let claims = Claims::default();
        claims.lock(REALM, key(1)).set_released(OperationId(5), Mono(0), true);
        claims.lock(REALM, key(2)).set_released(OperationId(6), Mono(RELEASED_KEEP_MS - 1), true);
        assert!(claims.lock(REALM, key(1)).get().is_some());
        claims.lock(REALM, key(3)).set_released(OperationId(7), Mono(RELEASED_KEEP_MS), true);
        assert_eq!(claims.lock(REALM, key(1)).get(), None);
        assert!(claims.lock(REALM, key(2)).get().is_some());
    }

    #[test]
    fn released_keys_do_not_grow_without_bound() {
        let claims = Claims::default();
        for n in 0..RELEASED_MAX as u64 * 3 {
            claims.lock(REALM, key(n)).set_released(OperationId(n), Mono(1), false);
        }
        let guard = claims.lock(REALM, key(0));
        assert_eq!((guard.shard.claims.len(), guard.shard.released.len()), (RELEASED_MAX, RELEASED_MAX));
    }

    #[test]
    fn forgetting_an_ended_lease_leaves_a_newer_one_alone() {
        let claims = Claims::default();
        let (old, new) = (LeaseId::new(1, 1), LeaseId::new(1, 2));
        claims.lock(REALM, key(1)).set_lease(new, 7);
        claims.forget(REALM, key(1), old);
        assert_eq!(claims.lock(REALM, key(1)).get(), Some(Claim::Lease { lease: new, owner: 7 }));
        claims.forget(REALM, key(1), new);
        assert_eq!(claims.lock(REALM, key(1)).get(), None);
    }

    #[test]
    fn one_key_in_two_realms_is_two_claims() {
        let claims = Claims::default();
        claims.lock(REALM, key(1)).set_lease(LeaseId::new(1, 1), 7);
        assert_eq!(claims.lock(RealmId(2), key(1)).get(), None);
    }
}
