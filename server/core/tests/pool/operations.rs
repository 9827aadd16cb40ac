//! What may happen to a stock, as a list that can be read and made shorter.

use proptest::{collection::vec, option, prelude::*};

/// One thing somebody does. Numbers choose among what there is at that moment, so every list means something, and so
/// does every shorter one.
#[derive(Clone, Debug)]
pub enum Operation {
    Take {
        who: usize,
        bucket: usize,
        seats: u32,
        is_chosen: bool,
    },
    TakeAll {
        who: usize,
        wants: Vec<(usize, u32)>,
        is_chosen: bool,
    },
    TakeInOrder {
        who: usize,
        buckets: Vec<usize>,
        seats: u32,
        is_chosen: bool,
    },
    /// Gives back what an earlier take took.
    Give {
        who: usize,
        which: usize,
    },
    /// Gives back one seat of it.
    GiveOne {
        who: usize,
        which: usize,
    },
    SetCapacity {
        who: usize,
        bucket: usize,
        capacity: i64,
    },
    SetWaited {
        who: usize,
        bucket: usize,
        waited: bool,
    },
    Count {
        who: usize,
        bucket: usize,
    },
    Audit {
        who: usize,
        bucket: usize,
    },
    Reserve {
        who: usize,
    },
    Unreserve {
        who: usize,
    },
    /// Makes what an earlier take took a lease, in a slot reserved earlier if there is one.
    Open {
        who: usize,
        which: usize,
        ttl_ms: u32,
    },
    /// Makes a lease that has no seats.
    OpenEmpty {
        who: usize,
        ttl_ms: u32,
    },
    Renew {
        which: usize,
        ttl_ms: Option<u32>,
        is_strange: bool,
        idle_s: Option<u32>,
    },
    End {
        who: usize,
        which: usize,
    },
    /// Ends and closes it.
    Release {
        who: usize,
        which: usize,
    },
    EndIfDue {
        who: usize,
        which: usize,
    },
    /// Closes a lease this worker ended.
    Close {
        who: usize,
    },
    Sweep {
        who: usize,
        budget: usize,
    },
    Wait {
        ms: u64,
    },
    /// The worker is dropped; another joins when it is next needed.
    Leave {
        who: usize,
    },
}

/// What a walk begins with.
#[derive(Clone, Debug)]
pub struct Start {
    pub workers: usize,
    pub buckets: usize,
    /// Which of them is not counted.
    pub uncounted: Option<usize>,
    pub leases_max: u32,
    /// After how many operations everything is looked at. Looking tidies up behind exchanges, so some walks seldom do.
    pub look_every: usize,
}

pub fn start() -> impl Strategy<Value = Start> {
    let looks = prop_oneof![1 => Just(1), 2 => Just(7), 1 => Just(usize::MAX)];
    let leases = prop_oneof![1..4_u32, 4..100_u32];
    (1..=4_usize, 2..=10_usize, option::weighted(0.3, 0..10_usize), leases, looks).prop_map(
        |(workers, buckets, uncounted, leases_max, look_every)| Start {
            workers,
            buckets,
            uncounted,
            leases_max,
            look_every,
        },
    )
}

pub fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    let (who, bucket, which) = (|| 0..4_usize, || 0..10_usize, || 0..64_usize);
    prop_oneof![
        8 => (who(), bucket(), seats(), rank())
            .prop_map(|(who, bucket, seats, is_chosen)| O::Take { who, bucket, seats, is_chosen }),
        5 => (who(), vec((bucket(), 1..4_u32), 2..=10), rank())
            .prop_map(|(who, wants, is_chosen)| O::TakeAll { who, wants, is_chosen }),
        4 => (who(), vec(bucket(), 1..=10), seats(), rank())
            .prop_map(|(who, buckets, seats, is_chosen)| O::TakeInOrder { who, buckets, seats, is_chosen }),
        8 => (who(), which()).prop_map(|(who, which)| O::Give { who, which }),
        3 => (who(), which()).prop_map(|(who, which)| O::GiveOne { who, which }),
        3 => (who(), bucket(), capacity())
            .prop_map(|(who, bucket, capacity)| O::SetCapacity { who, bucket, capacity }),
        2 => (who(), bucket(), prop::bool::weighted(0.3))
            .prop_map(|(who, bucket, waited)| O::SetWaited { who, bucket, waited }),
        2 => (who(), bucket()).prop_map(|(who, bucket)| O::Count { who, bucket }),
        2 => (who(), bucket()).prop_map(|(who, bucket)| O::Audit { who, bucket }),
        1 => who().prop_map(|who| O::Reserve { who }),
        1 => who().prop_map(|who| O::Unreserve { who }),
        7 => (who(), which(), ttl_ms()).prop_map(|(who, which, ttl_ms)| O::Open { who, which, ttl_ms }),
        1 => (who(), ttl_ms()).prop_map(|(who, ttl_ms)| O::OpenEmpty { who, ttl_ms }),
        6 => (which(), option::of(ttl_ms()), prop::bool::weighted(0.1), option::of(0..9_u32))
            .prop_map(|(which, ttl_ms, is_strange, idle_s)| O::Renew { which, ttl_ms, is_strange, idle_s }),
        3 => (who(), which()).prop_map(|(who, which)| O::End { who, which }),
        3 => (who(), which()).prop_map(|(who, which)| O::Release { who, which }),
        3 => (who(), which()).prop_map(|(who, which)| O::EndIfDue { who, which }),
        3 => who().prop_map(|who| O::Close { who }),
        2 => (who(), 0..6_usize).prop_map(|(who, budget)| O::Sweep { who, budget }),
        4 => prop_oneof![3 => 1..50_u64, 2 => 50..1500_u64, 1 => 1500..9000_u64].prop_map(|ms| O::Wait { ms }),
        1 => who().prop_map(|who| O::Leave { who }),
    ]
}

fn seats() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 1..4_u32, 4 => 4..20_u32, 1 => Just(u32::MAX)]
}

fn rank() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.2)
}

fn capacity() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..4_i64, 12 => 4..20_i64, 3 => 20..300_i64, 1 => Just(i64::from(i32::MAX))]
}

fn ttl_ms() -> impl Strategy<Value = u32> {
    prop_oneof![1 => 0..3_u32, 3 => 3..1000_u32, 4 => 1000..9000_u32]
}
