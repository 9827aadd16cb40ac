//! Many short worlds, each of another seed: what no test thought of.

use leasehold_tests::{Lan, MINUTE, Plan, SECOND, rng::Rng, seeds};

/// How many worlds, if `LEASEHOLD_SEEDS` does not say.
const WORLDS: u64 = if cfg!(debug_assertions) { 10 } else { 100 };

/// A world whose conditions the seed draws too: network, servers, workers, seats, TTL, drift.
fn drawn_plan(seed: u64) -> Plan {
    let mut rng = Rng::new(seed).fork(0x9a11);
    let slow = 1 + rng.below(800);
    let ttl_s = u32::try_from(rng.within(&(10..=120))).unwrap_or(60);
    let seats = u32::try_from(rng.within(&(1..=12))).unwrap_or(1);
    let percent = |rng: &mut Rng, most: u64| u32::try_from(rng.below(most)).unwrap_or(0);
    let (loss, doubled) = (percent(&mut rng, 40), percent(&mut rng, 40));
    let plan = Plan::seeded(seed).loss(loss).duplication(doubled).latency_ms(1..=slow);
    let plan = plan.feature_with("cad", seats, ttl_s, 10).feature_with("sim", 3, ttl_s, 0);
    let workers = 1 + usize::from(rng.chance(50));
    plan.workers(workers).drift_ppm(rng.below(5_000))
}

/// Twenty minutes of mischief: cables, sleep, roaming, kills, crashes, closings.
fn mischief(lan: &mut Lan) {
    let mut rng = Rng::new(lan.seed()).fork(0xbad);
    for n in 0..14 {
        let client = lan.client();
        let feature = if n % 4 == 0 { "sim" } else { "cad" };
        lan.churn(client, feature, (SECOND, 3 * MINUTE), (SECOND, 20 * SECOND));
    }
    let mut down = false;
    for _ in 0..60 {
        lan.run_for(20 * SECOND);
        let client = usize::try_from(rng.below(lan.clients.len() as u64)).unwrap_or(0);
        match rng.below(12) {
            0..=2 => lan.cut(client, true),
            3..=5 => (0..lan.clients.len()).for_each(|client| lan.cut(client, false)),
            6 if lan.clients[client].runs() => lan.suspend(client, 30 * SECOND),
            7 | 8 if lan.clients[client].runs() => drop(lan.roam(client)),
            9 if lan.clients[client].runs() => lan.kill(client),
            10 if down => {
                start(lan, &mut rng);
                down = false;
            }
            11 if !down => {
                lan.crash(0);
                down = true;
            }
            _ => {}
        }
    }
    if down {
        start(lan, &mut rng);
    }
}

/// The server comes back: without its journal, with all of it, or with all but what the power cut took.
fn start(lan: &mut Lan, rng: &mut Rng) {
    match rng.below(3) {
        0 => lan.restart(0),
        1 => lan.revive(0),
        _ => lan.power_up(0),
    }
}

#[test]
fn no_rule_breaks_in_worlds_of_many_seeds() {
    let mut events = 0;
    let all = seeds(WORLDS);
    for seed in &all {
        let mut lan = drawn_plan(*seed).start();
        mischief(&mut lan);
        (0..lan.clients.len()).for_each(|client| lan.cut(client, false));
        lan.end_habits();
        // Whoever was killed or cut off holds seats for one TTL more at most.
        lan.run_for(5 * MINUTE);
        assert_eq!(lan.seats_out(0, "cad") + lan.seats_out(0, "sim"), 0, "seats that nobody holds are out");
        lan.check_ledger();
        events += lan.report.events;
    }
    println!("{} worlds of 25 minutes, {events} events, checks after each", all.len());
}

#[test]
fn one_seed_makes_one_world() {
    let run = || {
        let mut lan = drawn_plan(42).start();
        mischief(&mut lan);
        (lan.report.fingerprint(), lan.report.clone())
    };
    assert_eq!(run(), run());
}
