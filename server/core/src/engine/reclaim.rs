//! LET_GO: somebody waits, and your seat is idle.

use std::{collections::BTreeMap, sync::Arc};

use leasehold_protocol::{
    message::{Activity, LetGo, ServerFrame},
    time::{Mono, Now},
    vocab::LeaseId,
};

use super::{Engine, request::needs_of};
use crate::{
    Event, Reclaimed, Shared,
    counters::Counter,
    lock,
    pool::SlotView,
    reclaim::{AGAIN_MS, Found, Inner, LOOKS_MAX, Need, Plea},
};

impl Shared {
    /// When idle seats are looked for next; `None` while nobody waits, or no rule is about idle seats.
    pub(super) fn next_reclaim(&self) -> Option<Mono> {
        let waits = self.leases.queues.has_waiting() && !self.policy.load().reclaims().is_empty();
        (waits || self.pleas.has_any()).then(|| self.pleas.next())
    }
}

impl Engine {
    /// Looks for idle seats where somebody waits, asks their holders to let go, and renews the leases no more whose time is up. Work is
    /// bounded, and what is left over is due again soon.
    pub(super) fn reclaim(&mut self, now: Now) {
        let shared = self.shared.clone();
        if shared.next_reclaim().is_none_or(|next| next > now.mono) {
            return;
        }
        let Some(mut pleas) = shared.pleas.look(now.mono) else { return };
        let needs = self.needs(now);
        self.see_to_pleas(now, &mut pleas, &needs);
        self.walk(now, &mut pleas, &needs);
        shared.pleas.looked(pleas, now.mono);
    }

    /// What those who wait need, by pool.
    fn needs(&mut self, now: Now) -> BTreeMap<u32, Need> {
        let shared = self.shared.clone();
        let pools = shared.leases.queues.pools();
        let needs = pools.iter().filter_map(|pool| {
            let realm = shared.realms.iter().find(|realm| realm.identity.id == pool.realm)?;
            let need = needs_of(&shared, realm, pool, now, &mut self.worker);
            (need.seats > 0).then_some((pool.id, need))
        });
        needs.collect()
    }

    /// Goes on with those that were asked: lets them be, asks again, or renews their leases no more.
    fn see_to_pleas(&mut self, now: Now, pleas: &mut Inner, needs: &BTreeMap<u32, Need>) {
        let asked = std::mem::take(&mut pleas.asked);
        let policy = self.shared.policy.load_full();
        for (lease, mut plea) in asked {
            // It ended, or its holder is at work again: he knows.
            let Some(view) = self.idle(now, lease, &plea) else { continue };
            // A rule that is in force no more asks for nothing (P-6).
            let rules = policy.reclaims().contains(&plea.rule);
            match needs.get(&plea.pool).filter(|_| rules) {
                _ if plea.is_taken => {}
                None => {
                    let never_mind = LetGo { in_ms: None, waiting: 0, ..plea.told(lease, now.mono) };
                    self.send_unasked(view.session, &mut vec![ServerFrame::LetGo(Box::new(never_mind))]);
                    continue;
                }
                Some(_) if plea.until <= now.mono => {
                    plea.is_taken = true;
                    self.tell_taken(lease, &plea);
                }
                Some(need) => {
                    plea.waiting = need.waiting;
                    if plea.again <= now.mono {
                        plea.again = now.mono.plus_ms(AGAIN_MS);
                        let told = ServerFrame::LetGo(Box::new(plea.told(lease, now.mono)));
                        self.send_unasked(view.session, &mut vec![told]);
                    }
                }
            }
            pleas.asked.insert(lease, plea);
        }
    }

    /// The slot of `lease` if it lives, and its time is up or its holder is as idle as its rule asks for.
    fn idle(&self, now: Now, lease: LeaseId, plea: &Plea) -> Option<SlotView> {
        let view = self.shared.leases.stock.slab().view(lease.slot())?;
        let lives = view.id == lease && view.deadline > now.mono;
        (lives && (plea.is_taken || plea.rule.takes(view.activity))).then_some(view)
    }

    fn tell_taken(&mut self, lease: LeaseId, plea: &Plea) {
        self.counters.count(Counter::Reclaimed);
        let Some(record) = self.shared.leases.record(lease) else { return };
        self.events.push_back(Event::Reclaimed(Box::new(Reclaimed {
            realm: record.pool.realm,
            lease,
            feature: record.feature().clone(),
            seats: record.seats,
            holder: record.holder,
            rule: plea.rule.id.clone(),
        })));
    }

    /// Looks at some of the leases; once it has seen all of them, the most idle are asked for.
    fn walk(&mut self, now: Now, pleas: &mut Inner, needs: &BTreeMap<u32, Need>) {
        if needs.iter().all(|(pool, need)| pleas.has_asked(*pool, need)) {
            (pleas.cursor, pleas.found) = (0, Vec::new());
            return;
        }
        let slots = self.shared.leases.stock.slab().indices();
        let end = pleas.cursor.saturating_add(LOOKS_MAX).min(slots.end);
        for slot in pleas.cursor..end {
            let found = self.look_at(now, slot, needs).filter(|found| !pleas.asked.contains_key(&found.lease));
            pleas.found.extend(found);
        }
        pleas.cursor = end;
        if end == slots.end {
            pleas.cursor = 0;
            for found in pleas.choose(needs) {
                let waiting = needs.get(&found.pool).map_or(0, |need| need.waiting);
                self.ask_for(now, pleas, found, waiting);
            }
        }
    }

    /// The lease of slot number `slot`, if it may be asked for. Of seats that several share nobody is asked: none would come free.
    fn look_at(&self, now: Now, slot: u32, needs: &BTreeMap<u32, Need>) -> Option<Found> {
        let leases = &self.shared.leases;
        let record = lock(leases.records.get(slot)?);
        let record = record.as_deref().filter(|record| !record.is_joint())?;
        let need = needs.get(&record.pool.id)?;
        let view = leases.stock.slab().view(slot).filter(|view| view.id == record.id && view.deadline > now.mono)?;
        let policy = self.shared.policy.load();
        let rule = policy.reclaim(record.feature(), &record.holder, record.address)?;
        let serves = leases.stock.slab().uses(slot).iter().any(|used| need.buckets.contains(&used.bucket));
        (serves && rule.takes(view.activity)).then(|| Found {
            lease: record.id,
            idle_s: view.activity.idle_s,
            pool: record.pool.id,
            seats: record.taken(),
            claim: record.claim,
            rule: Arc::new(rule.clone()),
        })
    }

    fn ask_for(&mut self, now: Now, pleas: &mut Inner, found: Found, waiting: u32) {
        let Found { lease, pool, seats, claim, rule, .. } = found;
        let until = now.mono.plus_ms(u64::from(rule.notice_s) * 1000);
        let again = now.mono.plus_ms(AGAIN_MS);
        let plea = Plea { pool, seats, claim, rule, until, again, waiting, is_taken: false };
        let Some(view) = self.idle(now, lease, &plea) else { return };
        let told = ServerFrame::LetGo(Box::new(plea.told(lease, now.mono)));
        self.send_unasked(view.session, &mut vec![told]);
        self.counters.count(Counter::LetGo);
        self.events.push_back(Event::AskedToLetGo { lease, rule: plea.rule.id.clone(), until });
        pleas.asked.insert(lease, plea);
    }

    /// Reminds the holder of `lease`, who has just renewed it, of what he was asked: before the answer, which without a reminder says that
    /// nothing is asked of him.
    pub(super) fn remind(&mut self, now: Now, lease: LeaseId, activity: Activity) {
        if self.shared.pleas.has_any() {
            let reminder = self.shared.pleas.reminder(lease, activity, now.mono);
            self.answers.extend(reminder.map(|told| ServerFrame::LetGo(Box::new(told))));
        }
    }
}
