//! Leases that share their seats (R-7, L-14): one of them carries the seats, the others have none of their own.
//!
//! When the one that carries ends, another gets its seats instead of the pool: nobody else can take them in between,
//! because they were never free. Who shares with whom is decided under the lock of the pool's [`Joints`]; features that
//! nobody shares never touch it.
//!
//! Locks, in the order they are taken: the claim key, the [`Gate`] of what the requests have in common, the pool's joints,
//! its book, a lease's record. Who ends a lease takes the joints and what follows, so a request must not hold the joints
//! while it ends others to make room; the gate it may hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
};

use leasehold_protocol::{
    licence::certificate::ShareBy,
    message::Holder,
    time::Mono,
    vocab::{Label, LeaseId},
};

use crate::{
    book::Pool,
    lease::{Leases, Record},
    linger::Waits,
    lock,
    plan::FeaturePlan,
    pool::{Use, Worker},
};

/// What requests have in common that share a seat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShareKey {
    by: u8,
    words: [Option<Label>; 4],
}

/// The leases of one pool that share, by what they have in common; and those that wait to be taken over.
#[derive(Debug, Default)]
pub(crate) struct Joints {
    shared: BTreeMap<Arc<ShareKey>, Vec<Joint>>,
    lingering: BTreeMap<Waits, Vec<LeaseId>>,
}

/// Leases that share the seats of one of them.
#[derive(Clone, Debug)]
pub(crate) struct Joint {
    /// The one that carries the seats first; then the others, as they came, each with the seats it wants: none more than
    /// the first.
    members: Vec<(LeaseId, u32)>,
}

/// Seats that passed from a lease that ended to another.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) heir: LeaseId,
    pub(crate) uses: Vec<Use>,
}

/// Lets one request at a time through of those that may share with each other: two that come together would each take
/// seats of their own, or one would be denied because of the other.
#[derive(Debug)]
pub(crate) struct Gates([Mutex<()>; GATES]);

/// What is held by who was let through.
pub(crate) type Gate<'a> = MutexGuard<'a, ()>;

const GATES: usize = 64;

impl ShareKey {
    /// What `holder` shares by; `None` if it does not say what it would share by.
    pub(crate) fn of(by: ShareBy, holder: &Holder) -> Option<Self> {
        let word = |one: ShareBy, word: Option<&Label>| word.cloned().filter(|_| by.has(one));
        if by.has(ShareBy::SHARE_ID) && holder.share.is_none() {
            return None;
        }
        let words = [
            word(ShareBy::USER, Some(&holder.user)),
            word(ShareBy::HOST, Some(&holder.host)),
            word(ShareBy::DISPLAY, holder.display.as_ref()),
            word(ShareBy::SHARE_ID, holder.share.as_ref()),
        ];
        Some(Self { by: by.bits(), words })
    }
}

impl ShareKey {
    /// Everything there is to tell holders apart by.
    pub(crate) fn whole(holder: &Holder) -> Self {
        let words =
            [Some(holder.user.clone()), Some(holder.host.clone()), holder.display.clone(), holder.share.clone()];
        Self { by: u8::MAX, words }
    }
}

impl Default for Gates {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Gates {
    /// Waits until nobody else is let through by `key` in the pool of that number.
    pub(crate) fn pass(&self, pool: u32, key: &ShareKey) -> Gate<'_> {
        lock(&self.0[Self::number(pool, key)])
    }

    /// Which of them keeps those apart.
    pub(crate) fn number(pool: u32, key: &ShareKey) -> usize {
        let mut hasher = DefaultHasher::new();
        (pool, key).hash(&mut hasher);
        usize::try_from(hasher.finish() % GATES as u64).unwrap_or(0)
    }

    /// The same for several at once, by their numbers, each once and in rising order: whoever passes more than one does it so.
    pub(crate) fn pass_all(&self, numbers: &BTreeSet<usize>) -> Vec<Gate<'_>> {
        numbers.iter().filter_map(|number| self.0.get(*number)).map(lock).collect()
    }
}

impl Joint {
    fn carrier(&self) -> LeaseId {
        self.members.first().map_or(LeaseId::NONE, |(id, _)| *id)
    }

    fn seats(&self) -> u32 {
        self.members.first().map_or(0, |(_, seats)| *seats)
    }
}

impl Joints {
    /// A lease that has seats others may share from now on.
    pub(crate) fn begin(&mut self, key: &Arc<ShareKey>, id: LeaseId, seats: u32) {
        self.shared.entry(key.clone()).or_default().push(Joint { members: vec![(id, seats)] });
    }

    /// The lease that carries the seats `id` shares.
    pub(crate) fn carrier_of(&self, key: &ShareKey, id: LeaseId) -> Option<LeaseId> {
        let joint = self.shared.get(key)?.iter().find(|joint| joint.members.iter().any(|(member, _)| *member == id))?;
        Some(joint.carrier())
    }

    /// Every joint: its seats, and its members, the one that carries them first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &[(LeaseId, u32)])> {
        self.shared.values().flatten().map(|joint| (joint.seats(), &joint.members[..]))
    }

    /// Whether others than `id` share its seats.
    pub(crate) fn has_others(&self, key: &ShareKey, id: LeaseId) -> bool {
        let joint = self.shared.get(key).into_iter().flatten();
        joint.filter(|joint| joint.members.iter().any(|(member, _)| *member == id)).any(|joint| joint.members.len() > 1)
    }

    /// Puts `new` in the place of `old`, which shared its seats with nobody.
    pub(crate) fn replace(&mut self, key: &ShareKey, old: LeaseId, new: LeaseId) {
        let members = self.shared.get_mut(key).into_iter().flatten().flat_map(|joint| &mut joint.members);
        members.filter(|(member, _)| *member == old).for_each(|(member, _)| *member = new);
    }

    /// What waits to be taken over by `who`.
    pub(crate) fn waiting(&self, who: &Waits) -> Vec<LeaseId> {
        self.lingering.get(who).cloned().unwrap_or_default()
    }

    /// Lets `id` wait to be taken over.
    pub(crate) fn wait(&mut self, who: Waits, id: LeaseId) {
        self.lingering.entry(who).or_default().push(id);
    }

    /// Lets it wait no more.
    pub(crate) fn stop_waiting(&mut self, who: &Waits, id: LeaseId) {
        if let Some(waiting) = self.lingering.get_mut(who) {
            waiting.retain(|other| *other != id);
            if waiting.is_empty() {
                self.lingering.remove(who);
            }
        }
    }

    /// Takes `id` out. If it carried the seats: who carries them from now on, and how many.
    fn leave(&mut self, key: &Arc<ShareKey>, id: LeaseId) -> Option<(LeaseId, u32)> {
        let joints = self.shared.get_mut(key)?;
        let index = joints.iter().position(|joint| joint.members.iter().any(|(member, _)| *member == id))?;
        let joint = &mut joints[index];
        let carried = joint.carrier() == id;
        joint.members.retain(|(member, _)| *member != id);
        if joint.members.is_empty() {
            joints.swap_remove(index);
            if joints.is_empty() {
                self.shared.remove(key);
            }
            return None;
        }
        if !carried {
            return None;
        }
        let most = joint.members.iter().map(|(_, seats)| *seats).max()?;
        let heir = joint.members.iter().position(|(_, seats)| *seats == most)?;
        joint.members.swap(0, heir);
        joint.members.first().copied()
    }
}

impl Leases {
    /// Finds leases of `pool` with `key` whose seats one more for `seats` may share, and opens it with `open`, which is given
    /// the seats and says which lease it became, if any. `serves` says whether seats will do that so many leases share. `None`: there are none, and `open`
    /// was not asked.
    pub(crate) fn join<T>(
        &self,
        pool: &Pool,
        key: &Arc<ShareKey>,
        seats: u32,
        now: Mono,
        serves: impl Fn(&[Use], usize) -> bool,
        open: impl FnOnce(&[Use]) -> (Option<LeaseId>, T),
    ) -> Option<(LeaseId, T)> {
        let mut joints = lock(&pool.joints);
        let candidates = joints.shared.get_mut(key)?.iter_mut().filter(|joint| joint.seats() >= seats);
        for joint in candidates {
            let carrier = joint.carrier();
            let uses = self.uses_of(carrier);
            // One that has ended and is still here comes by before its seats are free: they pass to who joins. Those of one that is
            // past its deadline are nobody's already.
            let has_seats = |id: LeaseId| self.stock.slab().deadline_of(id).is_none_or(|deadline| deadline > now);
            if joint.members.iter().any(|(id, _)| has_seats(*id)) && serves(&uses, joint.members.len()) {
                let (id, opened) = open(&uses);
                joint.members.extend(id.map(|id| (id, seats)));
                return Some((carrier, opened));
            }
        }
        None
    }

    /// Gives back the seats of a lease that has ended, as [`Worker::close`] does, but for those that others share, or that stay
    /// with its holder until `stays`; whether somebody waits for one of them, and what passed to whom.
    ///
    /// All of it with the joints in hand: whoever would share these seats finds the lease there and has them, or finds it gone
    /// and them free.
    pub(crate) fn close_jointly(
        &self,
        worker: &mut Worker,
        record: &Record,
        at: Mono,
        stays: Option<Mono>,
    ) -> (bool, Option<Handed>) {
        let mut joints = lock(&record.pool.joints);
        let handed = match stays {
            Some(until) => self.linger(worker, &mut joints, record, at, until),
            None => self.hand_on(&mut joints, record),
        };
        if record.lingers.is_some() && record.joint.is_none() {
            joints.stop_waiting(&Waits::of(record), record.id);
        }
        (self.give_back(worker, record, handed.as_ref()), handed)
    }

    /// Takes a lease that has ended out of those it shares seats with: if it carried them, the one that does from now on has
    /// them.
    pub(crate) fn hand_on(&self, joints: &mut Joints, record: &Record) -> Option<Handed> {
        let key = record.joint.as_ref()?;
        let (heir, seats) = joints.leave(key, record.id)?;
        let slab = self.stock.slab();
        let (handed, kept) = split(slab.uses(record.id.slot()), seats);
        let place = self.records.get(heir.slot())?;
        // Who looks at what a lease holds has its record: it sees all of them or none. The heir cannot be gone: who ends it
        // comes by here first.
        let _heir = lock(place);
        slab.set_uses(heir.slot(), &handed);
        slab.set_uses(record.id.slot(), &kept);
        Some(Handed { heir, uses: handed })
    }

    /// Sees to who got the seats of a lease that was closed: they may be of a lot that has gone meanwhile.
    pub(crate) fn settle_heir(&self, worker: &mut Worker, handed: &Handed) {
        worker.handed_on(&handed.uses);
        if let Some(record) = self.record(handed.heir) {
            self.settle_in(worker, &record);
        }
    }

    /// The seats of `record`'s lease, or those it shares.
    pub(crate) fn shown_uses(&self, record: &Record) -> Vec<Use> {
        let carrier = record.joint.as_ref().and_then(|key| lock(&record.pool.joints).carrier_of(key, record.id));
        self.uses_of(carrier.unwrap_or(record.id))
    }

    pub(crate) fn uses_of(&self, id: LeaseId) -> Vec<Use> {
        let Some(place) = self.records.get(id.slot()) else { return Vec::new() };
        let _record = lock(place);
        self.stock.slab().uses(id.slot())
    }
}

/// What others may share `uses`, which `holder` has of `feature`, by: what all of their lots say.
pub(crate) fn key_of(feature: &FeaturePlan, uses: &[Use], holder: &Holder) -> Option<Arc<ShareKey>> {
    let shares = feature.shares();
    let same = |by: &&ShareBy| {
        uses.iter().all(|used| feature.lots.iter().any(|lot| lot.bucket == used.bucket && lot.share == Some(**by)))
    };
    let by = shares.iter().find(same)?;
    ShareKey::of(*by, holder).map(Arc::new)
}

/// The first `seats` of `uses`, and the rest.
fn split(uses: Vec<Use>, seats: u32) -> (Vec<Use>, Vec<Use>) {
    let (mut first, mut rest, mut left) = (Vec::new(), Vec::new(), seats);
    for used in uses {
        let taken = used.seats.min(left);
        left -= taken;
        first.extend((taken > 0).then_some(Use { seats: taken, ..used }));
        rest.extend((taken < used.seats).then_some(Use { seats: used.seats - taken, ..used }));
    }
    (first, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str) -> Arc<ShareKey> {
        let words = [Some(Label::lossy(user)), None, None, None];
        Arc::new(ShareKey { by: ShareBy::USER.bits(), words })
    }

    fn lease(slot: u32) -> LeaseId {
        LeaseId::new(slot, 1)
    }

    #[test]
    fn the_seats_pass_to_who_wants_the_most_of_them_and_no_more_than_that() {
        let (ann, mut joints) = (key("ann"), Joints::default());
        joints.begin(&ann, lease(1), 5);
        joints.begin(&key("bob"), lease(9), 1);
        joints.shared.get_mut(&ann).unwrap()[0].members.extend([(lease(2), 1), (lease(3), 3), (lease(4), 2)]);
        assert_eq!(joints.carrier_of(&ann, lease(4)), Some(lease(1)));
        assert_eq!(joints.leave(&ann, lease(2)), None, "it carried nothing");
        assert_eq!(joints.leave(&ann, lease(1)), Some((lease(3), 3)));
        assert_eq!(joints.leave(&ann, lease(3)), Some((lease(4), 2)));
        assert_eq!(joints.leave(&ann, lease(4)), None, "nobody is left");
        assert_eq!(joints.leave(&ann, lease(4)), None);
        assert_eq!(joints.all().count(), 1);
    }

    #[test]
    fn a_share_id_that_is_not_said_is_shared_with_nobody() {
        let mut holder = Holder {
            user: Label::lossy("ann"),
            host: Label::lossy("ws1"),
            display: None,
            process: Label::lossy("cad"),
            pid: 1,
            project: None,
            device: leasehold_protocol::vocab::DeviceId([0; 16]),
            device_alias: None,
            share: None,
            hostids: vec![],
        };
        let by = ShareBy::USER.with(ShareBy::SHARE_ID);
        assert_eq!(ShareKey::of(by, &holder), None);
        holder.share = Some(Label::lossy("job 7"));
        let with = ShareKey::of(by, &holder).unwrap();
        holder.host = Label::lossy("ws2");
        assert_eq!(ShareKey::of(by, &holder), Some(with.clone()), "the host is not asked about");
        holder.user = Label::lossy("bob");
        assert_ne!(ShareKey::of(by, &holder), Some(with));
        assert_eq!(ShareKey::of(ShareBy::SITE, &holder).unwrap().words, [None, None, None, None]);
    }
}
