//! What the journal costs a checkout and a release, and a renewal, in one process, in turn: none, handed to the system after each datagram,
//! and after every 32 as a busy worker does; and how long leases take to be found again. On the disk the scratch folder is on.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use leasehold_benches::{Pair, World, machine, numbers::Rounds};
use leasehold_core::{HeldLease, Shared};
use leasehold_protocol::{
    time::{Mono, Now, UnixMillis},
    vocab::{ClaimKey, LeaseId},
};
use leasehold_server::journal::{Journal, examine};

const ROUNDS: usize = 41;
/// Pairs of checkout and release a round; then as many renewals.
const PAIRS: u32 = 2000;
const NOON: Now = Now { mono: Mono(60_000), wall: UnixMillis(1_767_614_400_000) };

fn main() {
    println!("{}", machine::description());
    let mut sites =
        [Site::new("no journal", None), Site::new("each datagram", Some(1)), Site::new("each 32", Some(32))];
    for _ in 0..ROUNDS {
        sites.iter_mut().for_each(Site::round);
    }
    table("checkout and release", &sites, |site| &site.pairs);
    table("renewal", &sites, |site| &site.renewals);
    for site in sites.iter().filter(|site| site.journal.is_some()) {
        let journal = site.journal.as_ref().expect("just looked").0.figures();
        let (syncs, us) = (journal.syncs.load(Relaxed).max(1), journal.sync_us.load(Relaxed));
        println!("{}: {syncs} syncs of {} us each, {} files", site.name, us / syncs, journal.files.load(Relaxed));
    }
    println!("\n| leases | written as a checkpoint | read ms | opened again ms | files |\n|---|---|---|---|---|");
    [10_000, 100_000, 1_000_000].into_iter().for_each(found_again);
}

/// One server, with its journal or without.
struct Site {
    name: &'static str,
    world: World,
    pair: Pair,
    /// Holds the lease that is renewed.
    holder: Pair,
    journal: Option<(Arc<Journal>, tempfile::TempDir)>,
    pairs: Rounds,
    renewals: Rounds,
}

/// What `of` sites took, and how that compares with the first.
fn table(what: &str, sites: &[Site], of: fn(&Site) -> &Rounds) {
    println!("\n| handed to the system after | {what} ns | more ns | to no journal |\n|---|---|---|---|");
    for site in sites {
        let more = of(site).with(of(&sites[0]), |with, without| with - without);
        let ratio = of(site).over(of(&sites[0]));
        println!("| {} | {} | {more} | {ratio} |", site.name, of(site));
    }
}

impl Site {
    fn new(name: &'static str, every: Option<u32>) -> Self {
        let mut world = World::new(1_000_000);
        let pair = Pair::connected(&mut world, 1);
        let journal = every.map(|every| journal(&mut world, every));
        let holder = Pair::holding(&mut world, 2);
        Self { name, world, pair, holder, journal, pairs: Rounds::default(), renewals: Rounds::default() }
    }

    fn round(&mut self) {
        self.pairs.push(each(|| self.pair.check_out_and_in(&mut self.world)));
        self.renewals.push(each(|| self.holder.renew(&mut self.world)));
    }
}

/// Nanoseconds that `work` takes, of [`PAIRS`] times.
fn each(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..PAIRS).for_each(|_| work());
    began.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS)
}

/// Gives `world` a journal that is flushed after `every` datagrams.
fn journal(world: &mut World, every: u32) -> (Arc<Journal>, tempfile::TempDir) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let (journal, _) = Journal::open(scratch.path(), world.shared.clone()).expect("a journal");
    let journal = Arc::new(journal);
    let (own, mut room, mut noted) = (journal.clone(), Vec::new(), 0);
    world.listener = Some(Box::new(move |event, now| {
        let _ = own.note(event, now, &mut room);
        noted += 1;
        if noted == every {
            own.flush();
            noted = 0;
        }
    }));
    (journal, scratch)
}

/// So many leases, written, read and opened again.
fn found_again(leases: u32) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let before = server(leases);
    before.restore(made_up(leases), NOON);
    let began = Instant::now();
    drop(Journal::open(scratch.path(), before).expect("a journal"));
    let written = began.elapsed();
    let began = Instant::now();
    let found = examine(scratch.path()).expect("readable");
    let read = began.elapsed();
    assert!(found.findings.is_empty() && found.held.len() == leases as usize);
    let after = server(leases);
    let began = Instant::now();
    let done = after.restore(found.held, NOON);
    let opened = began.elapsed();
    assert_eq!((done.restored, done.overage), (leases.into(), 0));
    let bytes: u64 = std::fs::read_dir(scratch.path())
        .expect("a folder")
        .map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |meta| meta.len()))
        .sum();
    let ms = |time: std::time::Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    println!("| {leases} | {} ms | {} | {} | {} MiB |", ms(written), ms(read), ms(opened), bytes >> 20);
}

fn server(leases: u32) -> Arc<Shared> {
    World::new(leases).shared
}

/// Leases that differ in what leases differ in.
fn made_up(leases: u32) -> Vec<HeldLease> {
    let mut world = World::new(leases);
    let _holding = Pair::holding(&mut world, 1);
    let one = world.shared.held(0, 1).0.remove(0);
    let lease = |n: u32| HeldLease {
        lease: LeaseId::new(n, 1),
        claim: ClaimKey(u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()),
        number: u64::from(n) + 1,
        ..one.clone()
    };
    (0..leases).map(lease).collect()
}
