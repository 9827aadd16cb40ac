//! How many instructions it takes, under valgrind: figures that do not depend on the neighbours. Each is of a thousand
//! operations, once everything is warm. `benches/README.md` says what to install.

#![expect(unused_qualifications, reason = "the macros write them")]

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use leasehold_benches::desk::Desk;

const TIMES: u32 = 1000;

fn warm(mut desk: Desk, once: fn(&mut Desk)) -> (Desk, fn(&mut Desk)) {
    (0..TIMES).for_each(|_| once(&mut desk));
    (desk, once)
}

#[library_benchmark]
#[bench::take_and_give(warm(Desk::new(1, 10_000), Desk::take_and_give))]
#[bench::take_and_give_2(warm(Desk::new(2, 10_000), Desk::take_and_give_all))]
#[bench::take_and_give_4(warm(Desk::new(4, 10_000), Desk::take_and_give_all))]
#[bench::pair(warm(Desk::new(1, 10_000), Desk::pair))]
#[bench::pair_2(warm(Desk::new(2, 10_000), Desk::bundle))]
#[bench::pair_4(warm(Desk::new(4, 10_000), Desk::bundle))]
#[bench::renewal(warm(Desk::new(1, 10_000).holding(), Desk::renew))]
#[bench::denial(warm(Desk::new(1, 0), Desk::be_denied))]
#[bench::ledger_record(warm(Desk::uncounted(), Desk::take_and_give))]
#[bench::ledger_equation(warm(Desk::new(1, 10_000), Desk::audit))]
fn thousand((mut desk, once): (Desk, fn(&mut Desk))) -> Desk {
    (0..TIMES).for_each(|_| once(black_box(&mut desk)));
    desk
}

// Of a block of four thousand slots, a thousand hold leases that end together.
#[library_benchmark]
#[bench::thousand(Desk::new(1, 10_000).filled(TIMES))]
fn expiry(mut desk: Desk) -> Desk {
    assert_eq!(black_box(&mut desk).sweep(), u64::from(TIMES), "every lease ends once");
    desk
}

library_benchmark_group!(name = operations, benchmarks = [thousand, expiry]);
main!(library_benchmark_groups = operations);
