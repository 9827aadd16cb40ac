//! What a server does not know of itself, and what it does about it.
//!
//! | what | since | does |
//! |---|---|---|
//! | it remembers nothing | the start, or a ticket that proves its store to be old | grants to who shows a ticket, for one longest TTL: *blind* |
//! | the last few grants may be lost | the start after a power cut | withholds as many seats of each feature, but for those whose tickets come back |
//! | what it grants now would not be remembered | its storage fails | grants nothing new |
//!
//! Renewals and releases go on in any case, and so does who asks again for a lease that is out.

use std::sync::Arc;

use leasehold_protocol::time::{Mono, Now};

use crate::{
    Event, ServerConfig, Shared,
    book::Pool,
    lock,
    pool::{Tally, Worker},
    realm::Realm,
    ticket::Shown,
};

/// What is not known.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    /// Until when nothing is remembered, on the lease clock; 0: all is.
    blind_until: Tally,
    /// Until when seats are withheld; 0: none are.
    withheld_until: Tally,
    /// How far the log had come from which on grants may be lost.
    lost_from: Tally,
    /// Whether storage fails.
    failing: Tally,
    /// How far the log has come; 0: there is none.
    log: Tally,
    /// Whether a ticket has proved the store to be old.
    proved: Tally,
    /// Whether that is to be told.
    is_old: Tally,
}

/// The longest a server is blind, in milliseconds: the longest TTL there is.
const BLIND_MAX_MS: u64 = 86_400_000;

impl Doubt {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            blind_until: Tally::new(config.blind_until.map_or(0, |until| until.0)),
            log: Tally::new(config.log_begins),
            ..Self::default()
        }
    }

    /// When something about it changes by itself.
    pub(crate) fn next(&self) -> Option<Mono> {
        Some(self.withheld_until.get()).filter(|until| *until > 0).map(Mono)
    }
}

impl Shared {
    /// Until when only who shows a ticket is granted seats, because this server may have granted them and does not remember;
    /// `None`: it does.
    #[must_use]
    pub fn blind_until(&self, now: Mono) -> Option<Mono> {
        Some(Mono(self.doubt.blind_until.get())).filter(|until| now < *until)
    }

    /// Until when some seats are withheld, because the last grants before a power cut may be lost.
    #[must_use]
    pub fn withheld_until(&self) -> Option<Mono> {
        self.doubt.next()
    }

    /// How far the log had come from which on grants may be lost, while seats are withheld because of them.
    #[must_use]
    pub fn lost_from(&self) -> u64 {
        self.doubt.lost_from.get()
    }

    /// Whether the store is older than what this server has promised: a ticket has proved it, or [`Shared::set_store_old`] was told so.
    #[must_use]
    pub fn is_store_old(&self) -> bool {
        self.doubt.is_old.get() != 0
    }

    /// Something else has proved the store to be old; or an administrator knows that it is, and need not be told any more.
    pub fn set_store_old(&self, is_old: bool) {
        self.doubt.is_old.set(is_old.into());
    }

    /// From now on nothing new is granted, because it could not be remembered; or it is again. Whoever waits goes on waiting.
    pub fn set_storage_failing(&self, failing: bool) {
        self.doubt.failing.set(failing.into());
        if !failing {
            self.stir_queues();
        }
    }

    /// Whether newcomers are granted anything: whoever is going away, remembers nothing or could not remember it grants nothing new.
    pub(crate) fn may_grant(&self, now: Mono) -> bool {
        !self.is_draining() && !self.is_storage_failing() && self.blind_until(now).is_none()
    }

    /// Whether that is so.
    #[must_use]
    pub fn is_storage_failing(&self) -> bool {
        self.doubt.failing.get() != 0
    }

    /// Tickets to be made say that the log has come as far as `number`.
    pub fn set_log(&self, number: u64) {
        self.doubt.log.set(number);
    }

    pub(crate) fn log(&self) -> u64 {
        self.doubt.log.get()
    }

    /// Withholds until `until` as many free seats of each feature as there may be grants of it that were lost with the power (U-2),
    /// whose tickets say that the log had come as far as `lost_from`, or further; how many in all. To be called after
    /// [`Shared::restore`].
    pub fn withhold(&self, until: Mono, lost_from: u64) -> u64 {
        self.doubt.lost_from.set(lost_from);
        let mut office = lock(&self.office);
        let mut all = 0;
        for realm in &self.realms {
            let plan = realm.planner.plan();
            for feature in plan.features.values().filter(|feature| feature.drawn.is_none()) {
                let mut book = lock(&feature.pool.book);
                all += u64::from(book.withhold(&mut office, feature.credit()));
            }
        }
        self.doubt.withheld_until.set(until.0);
        all
    }

    /// Withholds nothing any more, if it is time.
    pub(crate) fn end_withholding(&self, now: Now, worker: &mut Worker) {
        let until = self.doubt.withheld_until.get();
        if until == 0 || now.mono.0 < until {
            return;
        }
        self.doubt.withheld_until.set(0);
        for pool in self.realms.iter().flat_map(|realm| realm.pools.all()) {
            lock(&pool.book).end_withholding(worker);
        }
        self.stir_queues();
    }

    /// Lets everybody who waits be looked at again.
    fn stir_queues(&self) {
        let pools = self.realms.iter().flat_map(|realm| realm.pools.all());
        let waits = |pool: &Arc<Pool>| !lock(&pool.book).queue.is_empty();
        pools.filter(waits).for_each(|pool| self.leases.queues.stir(&pool));
    }

    /// Whether `shown` is the ticket of a grant that may be lost.
    pub(crate) fn may_be_lost(&self, shown: &Shown) -> bool {
        let lost = (self.doubt.lost_from.get()..self.config.log_begins).contains(&shown.log);
        self.withheld_until().is_some() && !shown.is_of_this_life && lost
    }

    /// Whether `shown` is from a time that the store knows nothing of: then this server is blind from here on. What is to be told, the
    /// first time.
    pub(crate) fn doubt_store(&self, shown: &Shown, now: Now) -> Option<Event> {
        let begins = self.config.log_begins;
        if begins == 0 || shown.is_of_this_life || shown.log < begins || self.doubt.proved.get() != 0 {
            return None;
        }
        self.doubt.proved.set(1);
        self.doubt.is_old.set(1);
        let until = now.mono.plus_ms(self.longest_ttl_ms());
        self.doubt.blind_until.set(until.0.max(self.doubt.blind_until.get()));
        Some(Event::StoreIsOld { ticket: shown.log, ours: begins, blind_until: until })
    }

    fn longest_ttl_ms(&self) -> u64 {
        let of = |realm: &Arc<Realm>| {
            let plan = realm.planner.plan();
            plan.features.values().flat_map(|feature| &feature.lots).map(|lot| u64::from(lot.ttl_ms)).max()
        };
        let longest = self.realms.iter().filter_map(of).max().unwrap_or(0);
        longest.max(self.config.lease_ttl_default_ms).min(BLIND_MAX_MS)
    }
}
