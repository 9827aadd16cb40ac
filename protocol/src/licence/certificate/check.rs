//! Whether claims are in their ranges and fit each other: what a publisher is told at issue, and a reader refuses.

use super::{
    Certificate, DAYS_MAX, KeyType, LEASE_TTL_MIN_S, LIST_MAX, SERVER_KEYS_MAX, SPAN_MAX_S, SeatLimit, TERM_MAX_S,
    TEXT_MAX, Terms,
};
use crate::{
    licence::{dates::check_zone, error::ClaimError},
    vocab::{HostIdKind, SeatCount},
};

type Checked = Result<(), ClaimError>;

impl Certificate {
    /// Whether the claims are in their ranges and fit each other.
    ///
    /// # Errors
    /// The first rule they break.
    pub fn check(&self) -> Checked {
        check_zone(&self.zone)?;
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end < start
        {
            return Err(ClaimError::EndsBeforeStart { start, end });
        }
        self.terms.check()?;
        self.check_upgrade()?;
        self.check_seats()?;
        self.check_composed()?;
        if self.count == SeatLimit::Uncounted && self.terms.cost.is_none() && !self.terms.is_locked() {
            return Err(ClaimError::UncountedUnlocked);
        }
        Ok(())
    }

    /// L-8: an upgrade says how many, when and where; everything else is the exclusive certificate's.
    fn check_upgrade(&self) -> Checked {
        if self.key_type != KeyType::Upgrade {
            return Ok(());
        }
        if self.count == SeatLimit::Uncounted {
            return Err(ClaimError::UncountedUpgrade);
        }
        match self.terms.settings_beyond_an_upgrade() {
            Some(name) => Err(ClaimError::NotOfAnUpgrade(name)),
            None => Ok(()),
        }
    }

    fn check_seats(&self) -> Checked {
        let t = &self.terms;
        let counted = match self.count {
            SeatLimit::Counted(seats) => Some(seats),
            SeatLimit::Uncounted => None,
        };
        let needs_count = [
            ("soft-limit", t.soft_limit.is_some()),
            ("overdraft", t.overdraft.is_some()),
            ("metered", t.metered.is_some()),
        ];
        if let Some((name, _)) = needs_count.into_iter().find(|(_, there)| *there && counted.is_none()) {
            return Err(ClaimError::NeedsCount(name));
        }
        match (t.soft_limit, counted) {
            (Some(soft), Some(count)) if soft > count => {
                Err(ClaimError::Range { name: "soft-limit", found: soft.get().into(), min: 1, max: count.get().into() })
            }
            _ => sum_fits(counted, t.overdraft),
        }
    }

    /// L-14: what is licensed through another feature has no seats of its own.
    fn check_composed(&self) -> Checked {
        let t = &self.terms;
        if let Some(cost) = &t.cost {
            if self.count != SeatLimit::Uncounted {
                return Err(ClaimError::CostAndCount);
            }
            if cost.of == self.feature {
                return Err(refused(
                    "cost",
                    format!("a seat of {} cannot be made of {} itself", self.feature, cost.of),
                ));
            }
            if t.components.is_some() {
                return Err(ClaimError::Conflict { name: "cost", other: t.components_name() });
            }
        }
        let Some(components) = &t.components else { return Ok(()) };
        let name = components.together.name();
        if self.count == SeatLimit::Uncounted {
            return Err(ClaimError::NeedsCount(name));
        }
        if components.features.is_empty() {
            return Err(refused(name, "it names no component".to_owned()));
        }
        let mut names: Vec<_> = components.features.iter().map(|(feature, _)| feature).collect();
        if names.contains(&&self.feature) {
            return Err(refused(name, format!("{} cannot be a component of itself", self.feature)));
        }
        names.sort_unstable();
        match names.windows(2).find(|two| two[0] == two[1]) {
            Some(two) => Err(refused(name, format!("{} is named twice", two[0]))),
            None => Ok(()),
        }
    }

    /// The same claims with what has no order put into the one order that is signed.
    pub(in crate::licence) fn in_canonical_order(mut self) -> Self {
        let t = &mut self.terms;
        sort_once(&mut t.server_keys);
        sort_once(&mut t.server_hostids);
        sort_once(&mut t.client_hostids);
        sort_once(&mut t.supersedes);
        sort_once(&mut t.platforms);
        sort_once(&mut t.selectors);
        if let Some(components) = &mut t.components {
            components.features.sort_unstable();
        }
        self
    }
}

impl Terms {
    fn check(&self) -> Checked {
        check_range("lease-ttl", self.lease_ttl_s, LEASE_TTL_MIN_S, TERM_MAX_S)?;
        check_range("grace", self.grace_s, 0, TERM_MAX_S)?;
        let spans = [
            ("linger", self.linger_s, 0),
            ("min-checkout", self.min_checkout_s, 0),
            ("borrow-max", self.borrow_max_s, 1),
            ("undo", self.undo_s, 1),
        ];
        spans.into_iter().try_for_each(|(name, seconds, min)| check_range(name, seconds, min, SPAN_MAX_S))?;
        check_range("trial", self.trial_days.map(u32::from), 1, DAYS_MAX.into())?;
        check_range("retention", self.retention_days.map(u32::from), 0, DAYS_MAX.into())?;
        check_range("share-limit", self.share_limit, 2, SeatCount::MAX.get())?;
        check_range("match-rate", self.match_rate.map(u32::from), 0, 100)?;
        self.check_pairs()?;
        self.check_lists()?;
        self.check_texts()
    }

    /// What makes sense only beside something else.
    fn check_pairs(&self) -> Checked {
        let alone = |name, needs| Err(ClaimError::Needs { name, needs });
        if self.share_limit.is_some() && self.share.is_none() {
            return alone("share-limit", "share");
        }
        if self.undo_s.is_some() && self.metered.is_none() {
            return alone("undo", "metered");
        }
        if self.match_rate.is_some() && self.server_hostids.is_empty() && self.client_hostids.is_empty() {
            return alone("match-rate", "server-hostids or client-hostids");
        }
        Ok(())
    }

    fn check_lists(&self) -> Checked {
        check_len("server-keys", self.server_keys.len(), SERVER_KEYS_MAX)?;
        let lists = [
            ("server-hostids", self.server_hostids.len()),
            ("client-hostids", self.client_hostids.len()),
            ("supersedes", self.supersedes.len()),
            ("platforms", self.platforms.len()),
            ("selectors", self.selectors.len()),
            (self.components_name(), self.components.as_ref().map_or(0, |c| c.features.len())),
        ];
        lists.into_iter().try_for_each(|(name, len)| check_len(name, len, LIST_MAX))?;
        let hostids = [("server-hostids", &self.server_hostids), ("client-hostids", &self.client_hostids)];
        for (name, list) in hostids {
            list.iter().try_for_each(|hostid| {
                hostid.check().map_err(|e| ClaimError::Value { name, why: format!("{hostid}: {e}") })
            })?;
        }
        Ok(())
    }

    fn check_texts(&self) -> Checked {
        self.selectors.iter().try_for_each(|selector| check_text("selectors", Some(selector)))?;
        check_text("part-number", self.part_number.as_deref())?;
        check_text("vendor-string", self.vendor_string.as_deref())?;
        check_text("serial", self.serial.as_deref())?;
        check_text("licensee", self.licensee.as_deref())?;
        check_text("issuer", self.issuer.as_deref())?;
        check_text("notice", self.notice.as_deref())
    }

    /// Whether it is bound to some machine (L-12). `any` binds to none.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let mut hostids = self.server_hostids.iter().chain(&self.client_hostids);
        !self.server_keys.is_empty() || hostids.any(|hostid| hostid.kind != HostIdKind::ANY)
    }

    /// The setting that names the components, if there are any.
    #[must_use]
    pub fn components_name(&self) -> &'static str {
        self.components.as_ref().map_or("package", |components| components.together.name())
    }

    /// The first term that is set and that an upgrade must not have (L-8). Where it may be served is its own affair, and so
    /// is what tells two grants of one size apart.
    fn settings_beyond_an_upgrade(&self) -> Option<&'static str> {
        let own = Self {
            server_keys: self.server_keys.clone(),
            server_hostids: self.server_hostids.clone(),
            match_rate: self.match_rate,
            serial: self.serial.clone(),
            issued: self.issued,
            ..Self::default()
        };
        if own == *self { None } else { self.set().into_iter().find(|name| !OF_AN_UPGRADE.contains(name)) }
    }

    /// The names of the terms that are set.
    #[must_use]
    pub fn set(&self) -> Vec<&'static str> {
        let d = Self::default();
        let all = [
            ("dialect", self.dialect != d.dialect),
            ("pools", self.pools != d.pools),
            ("trial", self.trial_days.is_some()),
            ("lease-ttl", self.lease_ttl_s.is_some()),
            ("grace", self.grace_s.is_some()),
            ("share", self.share.is_some()),
            ("share-limit", self.share_limit.is_some()),
            ("linger", self.linger_s.is_some()),
            ("min-checkout", self.min_checkout_s.is_some()),
            ("borrow-max", self.borrow_max_s.is_some()),
            ("soft-limit", self.soft_limit.is_some()),
            ("overdraft", self.overdraft.is_some()),
            ("metered", self.metered.is_some()),
            ("undo", self.undo_s.is_some()),
            (self.components_name(), self.components.is_some()),
            ("cost", self.cost.is_some()),
            ("supersedes", !self.supersedes.is_empty()),
            ("server-keys", !self.server_keys.is_empty()),
            ("server-hostids", !self.server_hostids.is_empty()),
            ("client-hostids", !self.client_hostids.is_empty()),
            ("match-rate", self.match_rate.is_some()),
            ("platforms", !self.platforms.is_empty()),
            ("vm", self.vm != d.vm),
            ("terminal-server", self.terminal_server != d.terminal_server),
            ("class", self.class != d.class),
            ("maintenance-end", self.maintenance_end.is_some()),
            ("part-number", self.part_number.is_some()),
            ("selectors", !self.selectors.is_empty()),
            ("vendor-string", self.vendor_string.is_some()),
            ("serial", self.serial.is_some()),
            ("licensee", self.licensee.is_some()),
            ("issuer", self.issuer.is_some()),
            ("issued", self.issued.is_some()),
            ("notice", self.notice.is_some()),
            ("retention", self.retention_days.is_some()),
        ];
        all.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
    }
}

/// The terms an upgrade may have.
pub(super) const OF_AN_UPGRADE: [&str; 5] = ["server-keys", "server-hostids", "match-rate", "serial", "issued"];

fn refused(name: &'static str, why: String) -> ClaimError {
    ClaimError::Value { name, why }
}

fn sum_fits(count: Option<SeatCount>, overdraft: Option<SeatCount>) -> Checked {
    let (Some(count), Some(overdraft)) = (count, overdraft) else { return Ok(()) };
    let room = SeatCount::MAX.get() - count.get();
    if overdraft.get() <= room {
        return Ok(());
    }
    Err(ClaimError::Range { name: "overdraft", found: overdraft.get().into(), min: 1, max: room.into() })
}

fn check_range(name: &'static str, found: Option<u32>, min: u32, max: u32) -> Checked {
    match found {
        Some(found) if !(min..=max).contains(&found) => {
            Err(ClaimError::Range { name, found: found.into(), min: min.into(), max: max.into() })
        }
        _ => Ok(()),
    }
}

fn check_len(name: &'static str, len: usize, max: usize) -> Checked {
    if len <= max { Ok(()) } else { Err(refused(name, format!("{len} are named, and at most {max} may be"))) }
}

/// Texts are shown to people: nothing in them may move a cursor.
fn check_text(name: &'static str, text: Option<&str>) -> Checked {
    match text {
        Some("") => Err(refused(name, "it is empty; leave it out".to_owned())),
        Some(text) if text.len() > TEXT_MAX => {
            Err(refused(name, format!("{} bytes, and at most {TEXT_MAX} fit", text.len())))
        }
        Some(text) => match text.chars().find(|c| c.is_control() && *c != '\n') {
            Some(c) => Err(refused(name, format!("the control character {c:?} is not allowed in it"))),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

fn sort_once<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}
