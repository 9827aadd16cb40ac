//! Leases that were written down by the life of this server before, opened again (U-2).
//!
//! A lease comes back as it was: under its id and its claim key, with the seats it had, for a whole TTL from now on. Nobody is asked
//! whether he may have it: it was granted. What the licences in force do not cover any more is overage, as if the licences had
//! changed under it (L-10).

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use leasehold_protocol::{
    crypto::Fingerprint,
    message::{Holder, LotUse},
    time::{Mono, Now, UnixMillis},
    vocab::{ClaimKey, FeatureName, LeaseId, RealmId, SeatCount, Version},
};

use crate::{
    Granted, Shared,
    book::Pool,
    joint::{self, ShareKey},
    lease::{AskedFor, Leases, LotTerms, Opening, Record, owner_of},
    lock,
    plan::FeaturePlan,
    pool::{Terms, Use, Worker},
};

/// A lease as it is written down: what it takes to open it again.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldLease {
    /// In which realm.
    pub realm: RealmId,
    /// What it is called.
    pub lease: LeaseId,
    /// Its claim key.
    pub claim: ClaimKey,
    /// Whose device key.
    pub client: Fingerprint,
    /// What for.
    pub feature: FeatureName,
    /// The version wanted.
    pub version: Version,
    /// How many seats.
    pub seats: SeatCount,
    /// From which certificates; none if it shares the seats of another lease.
    pub lots: Vec<LotUse>,
    /// Who holds them, in the holder's own words.
    pub holder: Arc<Holder>,
    /// Where it was asked from.
    pub address: IpAddr,
    /// When it was granted, on the wall.
    pub granted: UnixMillis,
    /// Its number: grants in order, over all lives of the server.
    pub number: u64,
    /// How long it lives without a renewal, in milliseconds.
    pub ttl_ms: u32,
    /// Whether it may share its seats.
    pub shares: bool,
}

/// What became of leases that were written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restoration {
    /// Those that are out again.
    pub restored: u64,
    /// Of them, those with seats that no licence in force covers (L-10).
    pub overage: u64,
    /// Those of a realm that is not here any more: no client can speak of them.
    pub of_no_realm: u64,
    /// Those there is no room for.
    pub no_room: u64,
}

/// Why a lease did not come back.
enum Lost {
    NoRealm,
    NoRoom,
}

impl From<&Granted> for HeldLease {
    fn from(granted: &Granted) -> Self {
        Self {
            realm: granted.realm,
            lease: granted.lease,
            claim: granted.claim,
            client: granted.client,
            feature: granted.feature.clone(),
            version: granted.version,
            seats: granted.seats,
            lots: granted.lots.clone(),
            holder: granted.holder.clone(),
            address: granted.address,
            granted: granted.wall,
            number: granted.number,
            ttl_ms: granted.ttl_ms,
            shares: granted.shares,
        }
    }
}

impl Shared {
    /// Opens `held` again, each until a TTL from now. To be called once: when licences and policy are in force, and before the
    /// first [`Engine`](crate::Engine) is made.
    pub fn restore(&self, mut held: Vec<HeldLease>, now: Now) -> Restoration {
        held.sort_by_key(|lease| lease.number);
        let mut office = lock(&self.office);
        let ids: Vec<LeaseId> = held.iter().map(|lease| lease.lease).collect();
        let renamed: BTreeSet<usize> = office.set_aside(&ids).into_iter().collect();
        let mut done = Restoration::default();
        self.leases.begin_after(held.last().map_or(0, |lease| lease.number));
        for (index, mut lease) in held.into_iter().enumerate() {
            if renamed.contains(&index) {
                lease.lease = LeaseId::NONE;
            }
            let id = lease.lease;
            let lost = match self.restore_one(lease, now, &mut office) {
                Ok(is_over) => {
                    done.restored += 1;
                    done.overage += u64::from(is_over);
                    continue;
                }
                Err(Lost::NoRealm) => &mut done.of_no_realm,
                Err(Lost::NoRoom) => &mut done.no_room,
            };
            *lost += 1;
            if id != LeaseId::NONE {
                office.unreserve(id);
            }
        }
        done
    }

    /// Some of the leases that are out, as they are written down: those in slots from `from` on, at most `most` of them; and where to
    /// go on, if there may be more. Stops nobody. Of a lease that is opened or ended meanwhile its event tells.
    #[must_use]
    pub fn held(&self, from: u32, most: usize) -> (Vec<HeldLease>, Option<u32>) {
        let mut held = Vec::new();
        for slot in self.leases.stock.slab().indices().skip(from as usize) {
            if held.len() == most {
                return (held, Some(slot));
            }
            held.extend(self.leases.held_in(slot));
        }
        (held, None)
    }

    /// Opens one; whether it stands above what the licences allow.
    fn restore_one(&self, held: HeldLease, now: Now, worker: &mut Worker) -> Result<bool, Lost> {
        let realm = self.realm(held.realm).ok_or(Lost::NoRealm)?;
        let plan = realm.planner.plan();
        let feature = plan.features.get(&held.feature);
        let pool = match feature {
            Some(feature) => feature.seats().clone(),
            None => realm.pools.of(&held.feature, &self.leases).ok_or(Lost::NoRoom)?,
        };
        let coming = Coming { leases: &self.leases, held: &held, feature, pool: &pool, now };
        let record = match coming.rejoin(worker) {
            Some(record) => record,
            None => coming.open_with_seats(worker),
        };
        let record = record.ok_or(Lost::NoRoom)?;
        self.leases.claims.lock(held.realm, held.claim).set_lease(record.id, owner_of(held.client, held.realm));
        if pool.is_ruled() {
            self.leases.count_in(&record);
        }
        Ok(self.settle(&record, worker))
    }

    /// Sees to a lease whose lots are not in force; whether it is over then.
    fn settle(&self, record: &Record, worker: &mut Worker) -> bool {
        let uses = self.leases.uses_of(record.id);
        let is_covered = {
            let book = lock(&record.pool.book);
            uses.iter().all(|used| book.is_covered(used.bucket))
        };
        if !is_covered {
            self.leases.settle_in(worker, record);
        }
        self.leases.stock.slab().is_over(record.id.slot())
    }
}

/// A lease on its way back.
struct Coming<'a> {
    leases: &'a Leases,
    held: &'a HeldLease,
    /// What the plan says of what it is for, if anything.
    feature: Option<&'a FeaturePlan>,
    pool: &'a Arc<Pool>,
    now: Now,
}

impl Coming<'_> {
    /// Opens it with the seats of a lease that is back already, if it shared those; `None`: it did not.
    fn rejoin(&self, worker: &mut Worker) -> Option<Option<Record>> {
        let feature = self.feature.filter(|_| self.held.shares && self.held.lots.is_empty())?;
        for by in feature.shares() {
            let Some(key) = ShareKey::of(by, &self.held.holder).map(Arc::new) else { continue };
            let open = |uses: &[Use]| {
                let record = self.open(worker, (&[], uses), Some(key.clone()));
                (record.as_ref().map(|record| record.id), record)
            };
            let joined = self.leases.join(self.pool, &key, self.taken(), self.now.mono, |_, _| true, open);
            if let Some((_, record)) = joined {
                return Some(record);
            }
        }
        None
    }

    fn open_with_seats(&self, worker: &mut Worker) -> Option<Record> {
        let uses = {
            let mut book = lock(&self.pool.book);
            if self.held.lots.is_empty() {
                book.retake_any(worker, self.of_lots(), self.taken())?
            } else {
                book.retake(worker, (self.pool, self.leases), &self.held.lots)?
            }
        };
        let key = self.feature.filter(|_| self.held.shares);
        let key = key.and_then(|feature| joint::key_of(feature, &uses, &self.held.holder));
        let record = self.open(worker, (&uses, &uses), key);
        match &record {
            Some(record) => {
                if let Some(key) = &record.joint {
                    lock(&self.pool.joints).begin(key, record.id, record.taken());
                }
            }
            None => uses.iter().for_each(|used| _ = worker.give(used.bucket, used.seats)),
        }
        record
    }

    /// Opens it with `uses`, on the terms of `like`.
    fn open(
        &self,
        worker: &mut Worker,
        (uses, like): (&[Use], &[Use]),
        joint: Option<Arc<ShareKey>>,
    ) -> Option<Record> {
        let held = self.held;
        let deadline = self.now.mono.plus_ms(held.ttl_ms.into());
        let terms = Terms { claim: held.claim.fold(), owner: owner_of(held.client, held.realm), session: 0 };
        self.leases.open(worker, Opening { terms, record: self.record(like, joint), uses, deadline })
    }

    fn record(&self, like: &[Use], joint: Option<Arc<ShareKey>>) -> Record {
        let (held, terms) = (self.held, self.feature.map(|feature| LotTerms::of(feature, like)));
        // Of a machine that was started anew the lease clock has begun anew.
        let ago = self.now.wall.0.saturating_sub(held.granted.0);
        let granted = Now { mono: Mono(self.now.mono.0.saturating_sub(ago)), wall: held.granted };
        Record {
            id: held.lease,
            pool: self.pool.clone(),
            drawn: self.asked_for(),
            claim: held.claim,
            client: held.client,
            version: self.of_lots(),
            seats: held.seats,
            holder: held.holder.clone(),
            address: held.address,
            granted,
            number: held.number,
            ttl_ms: held.ttl_ms,
            grace_ms: terms.as_ref().map_or(0, |terms| terms.grace_ms),
            right_ends: terms.as_ref().and_then(|terms| terms.right_ends),
            is_metered: terms.as_ref().is_some_and(|terms| terms.is_metered),
            joint,
            stay: terms.map(|terms| terms.stay).unwrap_or_default(),
            lingers: None,
        }
    }

    fn asked_for(&self) -> Option<Arc<AskedFor>> {
        let feature = self.feature.filter(|feature| feature.drawn.is_some())?;
        let (pool, version, each) = (feature.pool.clone(), self.held.version, feature.each());
        Some(Arc::new(AskedFor { pool, version, each }))
    }

    /// The version that is wanted of the lots.
    fn of_lots(&self) -> Version {
        let drawn = self.feature.and_then(|feature| feature.drawn.as_ref());
        drawn.map_or(self.held.version, |drawn| drawn.version)
    }

    /// Seats of the lots that it takes.
    fn taken(&self) -> u32 {
        self.held.seats.get().saturating_mul(self.feature.map_or(1, FeaturePlan::each))
    }
}

impl Leases {
    /// Numbers of grants to come are higher than `number`.
    fn begin_after(&self, number: u64) {
        self.grants.set(number.max(self.grants.get()));
    }

    fn held_in(&self, slot: u32) -> Option<HeldLease> {
        let record = lock(self.records.get(slot)?);
        let record = record.as_deref().filter(|record| record.lingers.is_none())?;
        self.stock.slab().deadline_of(record.id)?;
        Some(HeldLease {
            realm: record.pool.realm,
            lease: record.id,
            claim: record.claim,
            client: record.client,
            feature: record.feature().clone(),
            version: record.wanted(),
            seats: record.seats,
            lots: crate::book::lot_uses(self, &self.stock.slab().uses(slot)),
            holder: record.holder.clone(),
            address: record.address,
            granted: record.granted.wall,
            number: record.number,
            ttl_ms: record.ttl_ms,
            shares: record.joint.is_some(),
        })
    }
}
