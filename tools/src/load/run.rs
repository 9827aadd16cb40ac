//! The phases of a test, one after another, against one server.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use leasehold_protocol::{message::FeatureLine, vocab::SeatCount};
use leasehold_server::clock_now;

use super::{
    audit::Audit,
    drive::{self, Fleet, FleetPlan, Shared, net},
    lean::RequestForm,
    live::Live,
    plan, process,
    report::Cost,
    scenario::{Model, PhaseSpec, Scenario},
    series::{Row, Series},
    tally::Tally,
    target::TestServer,
    worker::{self, Watch},
};
use crate::exit::Failure;

/// A test under way.
pub struct Run<'a> {
    scenario: &'a Scenario,
    server: &'a TestServer,
    keep_histograms: bool,
    threads: usize,
    plan: FleetPlan,
    audit: Arc<Audit>,
    before: Vec<FeatureLine>,
    fleets: Vec<Option<Fleet>>,
    began: Instant,
    live: Live,
}

/// A phase that is over.
pub struct Ran {
    /// What it was to be.
    pub spec: PhaseSpec,
    /// Over how long its clients started.
    pub ramp: Duration,
    /// What was counted.
    pub tally: Tally,
    /// Second by second.
    pub rows: Vec<Row>,
    /// What it cost.
    pub cost: Cost,
}

/// Sockets each thread spreads its clients over: a server with several workers hears them all.
const SOCKETS_PER_THREAD: usize = 16;
/// Time between two starts, in microseconds, unless a ramp is given: 400 handshakes a second, where a server takes 500
/// from one network by default.
const RAMP_US: u64 = 2_500;
/// How long after the ramp the last clients may take to have an answer.
const SETTLE: Duration = Duration::from_secs(10);
/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// From the word to the first operation: every thread has heard it by then.
const HEADS_UP: Duration = Duration::from_millis(20);

impl<'a> Run<'a> {
    /// A test of `server` that has not begun.
    ///
    /// # Errors
    /// If it wants to send from addresses that do not lead to the server.
    pub fn new(
        scenario: &'a Scenario,
        server: &'a TestServer,
        live: Live,
        keep_histograms: bool,
    ) -> Result<Self, Failure> {
        let fewest = scenario.phases.iter().map(PhaseSpec::clients).min().unwrap_or(1) as usize;
        let threads = scenario.threads.map_or_else(default_threads, usize::from).min(fewest);
        let sources = net::sources(server.address, scenario.sources.unwrap_or(0))?;
        let sockets = SOCKETS_PER_THREAD.max(sources.len().div_ceil(threads));
        Ok(Self {
            scenario,
            server,
            keep_histograms,
            threads,
            plan: FleetPlan { server: server.address, peer: server.peer(), sockets, sources },
            audit: Arc::new(Audit::new(&server.features)),
            before: server.features.clone(),
            fleets: (0..threads).map(|_| None).collect(),
            began: Instant::now(),
            live,
        })
    }

    /// How many threads it has.
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// The checks.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Runs one phase to the end of its releases.
    ///
    /// # Errors
    /// If it cannot be run. What goes badly while it runs is in what it returns.
    pub fn phase(&mut self, spec: &PhaseSpec) -> Result<Ran, Failure> {
        let begins = self.began.elapsed();
        let series = Arc::new(Series::new(spec.name(), begins, self.threads, self.keep_histograms)?);
        let ramp = self.ramp(spec);
        let cost = match spec.model() {
            Model::Population => self.population(spec, ramp, &series)?,
            Model::Open | Model::Closed => self.drive(spec, ramp, &series)?,
        };
        let (tally, rows) = series.finish()?;
        Ok(Ran { spec: spec.clone(), ramp, tally, rows, cost })
    }

    fn ramp(&self, spec: &PhaseSpec) -> Duration {
        let usual = Duration::from_micros(RAMP_US * u64::from(spec.clients()));
        let fast = self.server.is_own() && spec.model() != Model::Population;
        spec.ramp.map_or(if fast { Duration::ZERO } else { usual }, |span| span.0)
    }

    fn population(&self, spec: &PhaseSpec, ramp: Duration, series: &Arc<Series>) -> Result<Cost, Failure> {
        let names: Vec<_> = self.before.iter().map(|line| line.name.clone()).collect();
        let parts = plan::parts(spec.clients(), ramp, &names, self.scenario.seed.unwrap_or(1));
        let (watch, idle) = (Arc::new(Watch::default()), self.server.usage());
        let ready = Arc::new(Barrier::new(self.threads + 1));
        let task = worker::Task {
            ready: ready.clone(),
            wall: clock_now().wall,
            target: self.server.target(),
            config: self.server.config.clone(),
            parts: Vec::new(),
            leases_per_client: spec.leases_per_client(),
            every: spec.renew_every.map(|span| span.0),
            sockets: self.plan.sockets,
            sources: self.plan.sources.clone(),
            watch: watch.clone(),
            audit: self.audit.clone(),
            series: series.clone(),
        };
        let workers = (0..self.threads).map(|n| {
            let parts = parts.iter().skip(n).step_by(self.threads).cloned().collect();
            let task = worker::Task { parts, ..task.clone() };
            thread::spawn(move || worker::run(task))
        });
        let workers: Vec<_> = workers.collect();
        ready.wait();
        let began = Instant::now();
        let settled = || watch.settled.load(Ordering::Relaxed);
        while settled() < u64::from(spec.clients()) && began.elapsed() < ramp + SETTLE {
            self.live.starting(spec, settled(), series);
            thread::sleep(LOOK_EVERY);
        }
        let first = watch.renewals.load(Ordering::Relaxed);
        let mut cost = self.measure(spec, series, idle, Instant::now());
        cost.renewals = watch.renewals.load(Ordering::Relaxed) - first;
        watch.end.store(true, Ordering::Relaxed);
        workers.into_iter().try_for_each(joined)?;
        Ok(cost)
    }

    fn drive(&mut self, spec: &PhaseSpec, ramp: Duration, series: &Arc<Series>) -> Result<Cost, Failure> {
        let idle = self.server.usage();
        let shared = Arc::new(Shared {
            epoch: Instant::now(),
            audit: self.audit.clone(),
            series: series.clone(),
            ready: AtomicUsize::new(0),
            settled: AtomicU64::new(0),
            begin_us: AtomicU64::new(0),
            drained: AtomicUsize::new(0),
            uncertain: AtomicUsize::new(0),
            leave: AtomicBool::new(false),
        });
        let forms: Arc<[RequestForm]> = self.forms()?.into();
        let workers = (0..self.threads).map(|n| self.spawn(n, spec, ramp, &forms, &shared));
        let workers: Vec<_> = workers.collect();
        let cost = self.watch(spec, &shared, idle, &workers);
        shared.leave.store(true, Ordering::Release);
        for (n, worker) in workers.into_iter().enumerate() {
            self.fleets[n] = Some(joined(worker)?);
        }
        if shared.uncertain.load(Ordering::Acquire) == 0 {
            self.compare("after the last release");
        }
        Ok(cost)
    }

    /// The REQUEST of each feature, in this process's words.
    fn forms(&self) -> Result<Vec<RequestForm>, Failure> {
        let holder = crate::hand::identity("leasehold load").who;
        let form = |line: &FeatureLine| RequestForm::new(&line.name, SeatCount::ONE, &holder);
        let forms: Result<Vec<_>, _> = self.before.iter().map(form).collect();
        forms.map_err(|e| Failure::new("a request of the load test does not fit a datagram").because_of(&e))
    }

    fn spawn(
        &mut self,
        thread: usize,
        spec: &PhaseSpec,
        ramp: Duration,
        forms: &Arc<[RequestForm]>,
        shared: &Arc<Shared>,
    ) -> JoinHandle<Result<Fleet, Failure>> {
        let task = drive::Task {
            thread,
            clients: share(spec.clients(), thread, self.threads),
            leases_per_client: spec.leases_per_client(),
            mix: spec.mix(),
            batch: spec.batch.unwrap_or(1) as usize,
            pace: spec.pace(thread, self.threads),
            measure: spec.measure(),
            ramp,
            seed: self.scenario.seed.unwrap_or(1),
            peer: self.plan.peer.clone(),
            forms: forms.clone(),
            shared: shared.clone(),
        };
        let most = self.scenario.phases.iter().map(|phase| share(phase.clients(), thread, self.threads)).max();
        let (plan, fleet) = (self.plan.clone(), self.fleets[thread].take());
        thread::spawn(move || {
            let fleet = fleet.map_or_else(|| Fleet::new(&plan, most.unwrap_or(1)), Ok)?;
            drive::run(task, fleet)
        })
    }

    /// Waits while the threads open their sessions, measures, and waits for the last answers.
    fn watch(
        &self,
        spec: &PhaseSpec,
        shared: &Shared,
        idle: Option<process::Usage>,
        workers: &[JoinHandle<Result<Fleet, Failure>>],
    ) -> Cost {
        // A thread that has ended by now has failed, and says why when it is joined.
        let failed = || workers.iter().any(JoinHandle::is_finished);
        while shared.ready.load(Ordering::Acquire) < self.threads && !failed() {
            self.live.starting(spec, shared.settled.load(Ordering::Relaxed), &shared.series);
            thread::sleep(LOOK_EVERY / 10);
        }
        let begin = Instant::now() + HEADS_UP;
        let begin_us = begin.duration_since(shared.epoch).as_micros();
        if failed() {
            return self.measure(&PhaseSpec { measure: None, ..spec.clone() }, &shared.series, idle, begin);
        }
        shared.begin_us.store(u64::try_from(begin_us).unwrap_or(u64::MAX), Ordering::Release);
        thread::sleep(begin.saturating_duration_since(Instant::now()));
        let cost = self.measure(spec, &shared.series, idle, begin);
        while shared.drained.load(Ordering::Acquire) < self.threads && !failed() {
            thread::sleep(LOOK_EVERY / 10);
        }
        if shared.uncertain.load(Ordering::Acquire) == 0 && !failed() {
            self.compare("with the last answer in");
        }
        cost
    }

    /// Only our own server has nobody else on it.
    fn compare(&self, when: &str) {
        match self.server.is_own().then(|| self.server.look()) {
            None => {}
            Some(Some(now)) => self.audit.compare(&format!("{when},"), &self.before, &now),
            Some(None) => self.audit.violation(format!("{when}, the server did not say how many seats are out")),
        }
    }

    /// Looks on while the phase is measured, and takes the usage of the server and of this process around it.
    fn measure(&self, spec: &PhaseSpec, series: &Series, idle: Option<process::Usage>, began: Instant) -> Cost {
        let (before, own_before) = (self.server.usage(), process::usage(std::process::id()));
        let held = self.audit.held();
        while began.elapsed() < spec.measure() {
            self.live.running(spec, began.elapsed(), series);
            thread::sleep(LOOK_EVERY.min(spec.measure().saturating_sub(began.elapsed())));
        }
        let measured = began.elapsed();
        let (after, own_after) = (self.server.usage(), process::usage(std::process::id()));
        self.live.clear();
        Cost { measured, renewals: 0, held, idle, before, after, own_before, own_after }
    }
}

fn joined<T>(worker: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    worker.join().unwrap_or_else(|_| Err(Failure::new("a thread of the load test broke")))
}

/// The part of thread `thread` of `threads`; the first ones take what is left over.
fn share(all: u32, thread: usize, threads: usize) -> u32 {
    let (thread, threads) = (u32::try_from(thread).unwrap_or(0), u32::try_from(threads.max(1)).unwrap_or(1));
    all / threads + u32::from(thread < all % threads)
}

fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_shared_out_to_the_last_one() {
        let parts: Vec<u32> = (0..3).map(|thread| share(11, thread, 3)).collect();
        assert_eq!(parts, [4, 4, 3]);
        assert_eq!(share(2, 0, 2) + share(2, 1, 2), 2);
    }
}
