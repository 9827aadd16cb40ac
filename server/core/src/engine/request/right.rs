//! Whether a right answers a request, and what is said if none does.

use leasehold_protocol::{
    licence::nearest::nearest,
    message::NextDue,
    vocab::{FeatureName, HostId, Version},
};

use super::Asking;
use crate::{
    book::{Counts, Want},
    engine::refusal::{Refusal, Stand},
    lock, narrow,
    plan::{FeaturePlan, Lot, Plan, groups, serving},
    policy::Verdict,
    pool::Worker,
};

/// Features a name that nobody knows is compared with, to guess what was meant: with more, a stranger's typing errors
/// would cost us too much.
const NAMES_COMPARED_MAX: usize = 256;

impl Asking<'_> {
    /// How many seats there are for the version wanted that one request may take, if they are counted: a request for more
    /// can never be granted.
    pub(super) fn fitting(
        &self,
        worker: &mut Worker,
        feature: &FeaturePlan,
        want: &Want<'_>,
    ) -> Result<Option<u64>, Refusal> {
        let fits = |group: Option<u32>| -> Option<u64> {
            let lots = serving(&feature.lots, want.version).filter(|lot| lot.lets_in(want.machine));
            lots.filter(|lot| group.is_none_or(|group| lot.group == group)).map(|lot| lot.count().map(u64::from)).sum()
        };
        let fitting = if feature.is_separate() {
            let each: Vec<Option<u64>> = groups(&feature.lots).into_iter().map(|group| fits(Some(group))).collect();
            if each.contains(&None) { None } else { each.into_iter().flatten().max() }
        } else {
            fits(None)
        };
        match fitting {
            Some(fitting) if fitting < u64::from(want.seats.get()) => {
                let stand = self.stand(worker, feature, fitting);
                Err(Refusal::too_many_seats(&self.request.feature, self.request.seats, feature, stand))
            }
            fitting => Ok(fitting),
        }
    }

    /// Whether some right is in force for the version asked for and the machine that asks; if not, why.
    pub(super) fn check_right(&self, feature: &FeaturePlan, machine: &[HostId]) -> Result<(), Refusal> {
        let (name, wanted) = (&self.request.feature, self.request.version);
        let answers = feature.drawn.as_ref().is_none_or(|drawn| wanted <= drawn.answers);
        let lots = || serving(&feature.lots, self.of_lots(feature)).filter(|_| answers);
        if lots().any(|lot| lot.lets_in(machine)) {
            return Ok(());
        }
        let refused = |lot: &Lot| lot.lock.as_ref().and_then(|lock| lock.lets_in(machine).err());
        if let Some((code, why)) = lots().find_map(refused) {
            return Err(Refusal::locked(name, code, &why, rule(&feature.lots)));
        }
        let fits = |(version, _): &&(Version, _)| *version >= wanted;
        if let Some((version, starts)) = feature.later.iter().find(fits) {
            return Err(Refusal::not_started(name, *version, *starts, self.now));
        }
        if let Some((version, ended)) = feature.ended.iter().find(fits) {
            return Err(Refusal::expired(name, *version, *ended));
        }
        let rights = feature.lots.iter().map(|lot| feature.drawn.as_ref().map_or(lot.version, |drawn| drawn.answers));
        let others = feature.later.iter().map(|(version, _)| *version).chain(feature.ended.iter().map(|(v, _)| *v));
        match (rights.clone().max(), others.max()) {
            (Some(best), _) => Err(Refusal::version_too_high(name, wanted, best, rule(&feature.lots))),
            (None, Some(best)) => Err(Refusal::version_too_high(name, wanted, best, rule(&feature.lots))),
            // Every certificate of the feature is muted, which another one in force does: there is one.
            (None, None) => Err(Refusal::no_such_feature(name, None)),
        }
    }

    /// Whether the administrator's rules let this holder take seats of the feature (P-2). Of one that nobody knows there is
    /// something better to say.
    pub(super) fn check_policy(&self) -> Result<(), Refusal> {
        let (policy, request) = (self.shared.policy.load(), self.request);
        let refused = match policy.judge(&request.feature, &request.holder, self.sender.path.from.ip()) {
            Verdict::Allowed(_) => return Ok(()),
            Verdict::Excluded(rule) => Refusal::excluded(&request.feature, &request.holder, &rule.id),
            Verdict::NotIncluded(rule) => Refusal::not_included(&request.feature, &request.holder, &rule.id),
        };
        let is_known = self.realm.planner.glance().features.contains_key(&request.feature);
        if is_known { Err(refused) } else { Ok(()) }
    }

    pub(super) fn unknown(&self, plan: &Plan) -> Refusal {
        let name = &self.request.feature;
        let few = plan.features.len() <= NAMES_COMPARED_MAX;
        let names = plan.features.keys().filter(|_| few).map(FeatureName::as_str);
        Refusal::no_such_feature(name, nearest(name.as_str(), names))
    }

    pub(super) fn stand(&self, worker: &mut Worker, feature: &FeaturePlan, fitting: u64) -> Stand {
        let (total, Counts { out, overage }) = {
            let book = lock(&feature.seats().book);
            (book.capacity().map(|seats| seats + book.overdraft(worker).0), book.stand(worker))
        };
        Stand {
            out: narrow(out),
            total: total.map_or(u32::MAX, narrow),
            fitting: narrow(fitting),
            overage: narrow(overage),
            next_due: self.next_due(feature),
            rule: rule(&feature.lots),
        }
    }

    /// Whose seats are due back next. Everybody may see it as long as there is no policy that hides it.
    fn next_due(&self, feature: &FeaturePlan) -> Option<NextDue> {
        let leases = &self.shared.leases;
        let (lease, deadline) = leases.next_due(feature.seats(), self.now.mono)?;
        let holder = leases.record(lease).map(|record| record.holder);
        Some(NextDue {
            user: holder.as_ref().map(|holder| holder.user.clone()),
            host: holder.as_ref().map(|holder| holder.host.clone()),
            in_ms: narrow(deadline.ms_since(self.now.mono)),
        })
    }
}

/// The certificates of `lots`, as the rule that decided.
pub(super) fn rule(lots: &[Lot]) -> String {
    match lots {
        [] => "the certificates that are loaded".to_owned(),
        [lot] => format!("certificate {}", lot.certificate),
        [first, rest @ ..] => format!("certificate {} and {} more", first.certificate, rest.len()),
    }
}
