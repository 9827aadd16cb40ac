//! What a test makes happen: checkouts and releases, cables pulled, machines that sleep, move, die and come back.

use std::{net::SocketAddr, time::Duration};

use leasehold::holder::{CheckoutSpec, Holder, LeaseHandle, LeaseState};
use leasehold_protocol::{
    message::Activity,
    time::Now,
    vocab::{ClaimKey, Version},
};

use super::{Lan, What};
use crate::{
    client::{Habit, Seat, Watched, is_holding},
    clock::{Instant, ms},
    model::{Checked, Violation},
    net::Flight,
    plan::{feature_name, seat_count},
    server::{Back, Memory},
};

impl Lan {
    /// A new client that asks for `seats` of `feature`.
    pub fn checkout(&mut self, feature: &str, seats: u32) -> Seat {
        let client = self.client();
        self.checkout_on(client, feature, seats)
    }

    /// A client asks for `seats` of `feature`.
    pub fn checkout_on(&mut self, client: usize, feature: &str, seats: u32) -> Seat {
        let claim = ClaimKey::random(&mut self.rng);
        self.checkout_as(client, feature, seats, claim)
    }

    /// A client asks for `seats` of `feature` under a claim key of the test's choice.
    pub fn checkout_as(&mut self, client: usize, feature: &str, seats: u32, claim: ClaimKey) -> Seat {
        self.begin(client, (feature, seats, claim), Holder::checkout)
    }

    /// A client asks for `seats` of `feature`, and waits in the queue for up to `patience`.
    pub fn checkout_in_turn(&mut self, client: usize, feature: &str, seats: u32, patience: Duration) -> Seat {
        let claim = ClaimKey::random(&mut self.rng);
        self.begin(client, (feature, seats, claim), |holder, now, spec| holder.checkout_in_turn(now, spec, patience))
    }

    /// A client says what its program is doing with a seat.
    pub fn set_activity(&mut self, seat: Seat, activity: Activity) {
        self.clients[seat.client].holder.set_activity(LeaseHandle(seat.lease), activity);
        self.demand(|lan| lan.drain_client(seat.client));
    }

    fn begin(
        &mut self,
        client: usize,
        (feature, seats, claim): (&str, u32, ClaimKey),
        ask: impl FnOnce(&mut Holder, Now, CheckoutSpec) -> LeaseHandle,
    ) -> Seat {
        let pool = self.pool(feature);
        let spec = CheckoutSpec {
            feature: feature_name(feature),
            version: Version::ANY,
            seats: seat_count(seats),
            claim: Some(claim),
        };
        let them = &mut self.clients[client];
        let now = them.clock.now(self.at);
        let lease = ask(&mut them.holder, now, spec).0;
        them.leases.insert(lease, Watched::new(claim, pool, u64::from(seats)));
        self.report.checkouts += 1;
        self.demand(|lan| lan.drain_client(client));
        Seat { client, lease }
    }

    /// A client gives a seat back.
    pub fn release(&mut self, seat: Seat) {
        self.demand(|lan| lan.try_release(seat));
    }

    fn try_release(&mut self, seat: Seat) -> Checked {
        let them = &mut self.clients[seat.client];
        if let Some(watched) = them.leases.get_mut(&seat.lease) {
            watched.given_back = true;
        }
        self.report.given_back += 1;
        self.update_belief(seat.client, seat.lease)?;
        let them = &mut self.clients[seat.client];
        them.holder.release(them.clock.now(self.at), LeaseHandle(seat.lease));
        self.drain_client(seat.client)
    }

    /// From now on the client takes a seat of `feature`, keeps it, rests, and begins again.
    pub fn churn(&mut self, client: usize, feature: &str, hold: (Duration, Duration), rest: (Duration, Duration)) {
        let pool = self.pool(feature);
        let (hold_ms, rest_ms) = (ms(hold.0)..=ms(hold.1), ms(rest.0)..=ms(rest.1));
        self.clients[client].habit = Some(Habit { pool, hold_ms, rest_ms, current: None });
        self.rest(client);
    }

    /// All clients stop their habits: they give back what they hold and take nothing more.
    pub fn end_habits(&mut self) {
        for client in (0..self.clients.len()).filter(|c| !self.clients[*c].dead).collect::<Vec<_>>() {
            if let Some(lease) = self.clients[client].habit.take().and_then(|habit| habit.current) {
                self.release(Seat { client, lease });
            }
        }
    }

    pub(super) fn rest(&mut self, client: usize) {
        let them = &mut self.clients[client];
        let Some(habit) = &mut them.habit else { return };
        habit.current = None;
        let wait = them.rng.within(&habit.rest_ms);
        self.push(self.at + wait, What::Habit(client));
    }

    pub(super) fn act_out_habit(&mut self, client: usize) -> Checked {
        let Some(habit) = self.clients[client].habit.as_ref().filter(|_| !self.clients[client].dead) else {
            return Ok(());
        };
        if self.clients[client].asleep {
            self.push(self.at + 1000, What::Habit(client));
            return Ok(());
        }
        match habit.current {
            None => {
                let (feature, hold_ms) = (self.model.pools[habit.pool].name.clone(), habit.hold_ms.clone());
                let hold = self.clients[client].rng.within(&hold_ms);
                let seat = self.checkout_on(client, &feature, 1);
                if let Some(habit) = &mut self.clients[client].habit {
                    habit.current = Some(seat.lease);
                }
                self.push(self.at + hold, What::Habit(client));
                Ok(())
            }
            Some(lease) => {
                self.rest(client);
                self.try_release(Seat { client, lease })
            }
        }
    }

    /// A client's cable is out, or in again.
    pub fn cut(&mut self, client: usize, cut: bool) {
        self.net.cut_client(client, cut);
    }

    /// A client's machine gets a new address, as after a change of network.
    pub fn roam(&mut self, client: usize) -> SocketAddr {
        let address = self.fresh_address();
        self.by_address.remove(&self.clients[client].address);
        self.by_address.insert(address, client);
        self.clients[client].address = address;
        self.clients[client].heard.clear();
        address
    }

    /// Two machines take each other's address, as behind a NAT that forgot.
    pub fn swap_addresses(&mut self, a: usize, b: usize) {
        let (at_a, at_b) = (self.clients[a].address, self.clients[b].address);
        for (client, address) in [(a, at_b), (b, at_a)] {
            self.by_address.insert(address, client);
            self.clients[client].address = address;
            self.clients[client].heard.clear();
        }
    }

    /// Hands a server all `flights` in this instant.
    pub fn flood(&mut self, flights: Vec<Flight>) {
        flights.into_iter().for_each(|flight| self.inject(0, flight));
        self.run_for(Duration::ZERO);
    }

    /// A client's machine sleeps for `time`; its lease clock goes on (CLOCK_BOOTTIME), its program does not.
    pub fn suspend(&mut self, client: usize, time: Duration) {
        self.clients[client].asleep = true;
        self.demand(|lan| lan.update_beliefs(client));
        self.push(self.at + ms(time), What::Wake(client));
    }

    pub(super) fn wake(&mut self, client: usize) -> Checked {
        let them = &mut self.clients[client];
        them.asleep = false;
        them.holder.resumed(them.clock.now(self.at));
        self.drain_client(client)?;
        self.update_beliefs(client)
    }

    /// `kill -9`: nothing is said to anybody.
    pub fn kill(&mut self, client: usize) {
        self.clients[client].dead = true;
        self.demand(|lan| lan.update_beliefs(client));
        self.by_address.remove(&self.clients[client].address);
    }

    /// The program ends as it should: it gives everything back and says goodbye.
    pub fn close(&mut self, client: usize) {
        let them = &mut self.clients[client];
        them.leases.values_mut().for_each(|watched| watched.given_back = true);
        self.demand(|lan| lan.update_beliefs(client));
        let them = &mut self.clients[client];
        them.holder.close(them.clock.now(self.at));
        self.demand(|lan| lan.drain_client(client));
    }

    /// A client asks what there is.
    pub fn query_features(&mut self, client: usize) {
        let them = &mut self.clients[client];
        let _operation = them.holder.query_features(them.clock.now(self.at), None);
        self.demand(|lan| lan.drain_client(client));
    }

    fn update_beliefs(&mut self, client: usize) -> Checked {
        let leases: Vec<u64> = self.clients[client].leases.keys().copied().collect();
        leases.into_iter().try_for_each(|lease| self.update_belief(client, lease))
    }

    /// Somebody sets a server's calendar so much ahead, or back.
    pub fn set_wall(&mut self, server: usize, ahead_ms: i64) {
        self.servers[server].clock.wall_ahead_ms = ahead_ms;
    }

    /// A server's process dies: its leases, sessions and secrets are gone, its key files stay.
    pub fn crash(&mut self, server: usize) {
        self.servers[server].crash();
        self.model.forgot(server);
    }

    /// The process starts again after a crash: blind for one longest TTL, because it cannot know what it had granted.
    pub fn restart(&mut self, server: usize) {
        let blind_for = self.plan.ttl_longest();
        self.boot(server, Memory::Blind(blind_for));
    }

    /// The process starts after an end with no lease out: it has nothing to be careful about.
    pub fn restart_clean(&mut self, server: usize) {
        self.boot(server, Memory::Clean);
    }

    /// The process starts again after it was killed, with everything it had written down.
    pub fn revive(&mut self, server: usize) {
        self.boot(server, Memory::Whole);
    }

    /// The machine starts again after its power was cut: what was not on its disk is gone.
    pub fn power_up(&mut self, server: usize) {
        let wait = self.plan.ttl_longest();
        self.boot(server, Memory::PowerCut(wait));
    }

    pub(super) fn boot(&mut self, server: usize, memory: Memory) {
        let (back, withheld) = self.servers[server].boot(&self.plan, self.at, memory);
        let until = self.servers[server].free_at(self.at, ms(self.plan.ttl_longest()));
        self.model.withheld(server, until, withheld);
        for Back { claim, lease, until } in back {
            self.demand(|lan| lan.model.remembers(lan.at, server, claim, (lease, until)));
        }
        for worker in 0..self.plan.workers {
            self.demand(|lan| lan.drain_server(server, worker));
        }
    }

    /// A server is asked to end: it says goodbye and grants nothing more.
    pub fn drain(&mut self, server: usize) {
        self.servers[server].begin_drain(self.at);
        for worker in 0..self.plan.workers {
            self.demand(|lan| lan.drain_server(server, worker));
        }
    }

    /// The number of the feature called `name`.
    ///
    /// # Panics
    /// If the plan has none: the test is wrong.
    #[must_use]
    pub fn pool(&self, name: &str) -> usize {
        let found = self.model.pools.iter().position(|pool| pool.name == name);
        found.unwrap_or_else(|| panic!("the plan has no feature {name:?}"))
    }

    /// What we saw of a seat.
    #[must_use]
    pub fn watched(&self, seat: Seat) -> &Watched {
        &self.clients[seat.client].leases[&seat.lease]
    }

    /// The state a client is told of its seat.
    #[must_use]
    pub fn state(&self, seat: Seat) -> Option<LeaseState> {
        self.clients[seat.client].state(seat.lease)
    }

    /// Whether a client holds its seat, as it knows.
    #[must_use]
    pub fn holds(&self, seat: Seat) -> bool {
        !self.watched(seat).given_back && self.state(seat).as_ref().is_some_and(is_holding)
    }

    /// When a seat came to the states it went through, by their names.
    #[must_use]
    pub fn story(&self, seat: Seat) -> Vec<(Instant, &'static str)> {
        self.watched(seat).history.iter().map(|(at, state)| (*at, state_name(state))).collect()
    }

    /// Seats of `feature` that a server says are out.
    #[must_use]
    pub fn seats_out(&self, server: usize, feature: &str) -> u64 {
        self.servers[server].seats_out(self.at, feature)
    }

    /// The most seats clients believed in at one instant, feature by feature.
    #[must_use]
    pub fn peaks(&self) -> String {
        let pools = self.model.pools.iter().zip(&self.model.believed_peak);
        let of = |(pool, peak): (&crate::model::Pool, &u64)| {
            format!("at most {peak} of {} {} in use", pool.capacity, pool.name)
        };
        pools.map(of).collect::<Vec<_>>().join(", ")
    }

    /// The largest ratio of bytes sent to bytes received with an unproved address, over all servers: at most 1.
    #[must_use]
    pub fn worst_ratio(&self) -> f64 {
        self.servers.iter().map(|server| server.worst_ratio).fold(0.0, f64::max)
    }

    /// The seed this world runs on.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.plan.seed
    }

    pub(super) fn demand<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Violation>) -> T {
        act(self).unwrap_or_else(|violation| panic!("{violation}"))
    }
}

/// A state's name, in lower case.
#[must_use]
pub const fn state_name(state: &LeaseState) -> &'static str {
    match state {
        LeaseState::Asking => "asking",
        LeaseState::Healthy => "healthy",
        LeaseState::Retrying { .. } => "retrying",
        LeaseState::Grace { .. } => "grace",
        LeaseState::Lost { .. } => "lost",
        LeaseState::Released => "released",
        #[allow(unreachable_patterns, reason = "the SDK may name more states than a test does")]
        _ => "other",
    }
}
