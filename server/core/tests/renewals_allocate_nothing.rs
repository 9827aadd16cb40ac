//! What a heartbeat costs in memory: nothing. Alone in its program, because it counts every allocation there is.

#[path = "core"]
#[expect(dead_code, unused_imports, reason = "the rig of the other tests, of which this one needs little")]
mod others {
    pub mod rig;
}

use leasehold_core::Path;
use leasehold_protocol::message::{Activity, Claimed, ClientFrame, RENEW_MANY_MAX, RenewMany};
use peak_alloc::PeakAlloc;

use others::rig::{Client, Lot, Site};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes by which memory grew, at its highest, while `run` ran.
fn peak_of(run: impl FnOnce()) -> usize {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    run();
    MEMORY.peak_usage().saturating_sub(before)
}

// One test: two would count each other.
#[test]
fn renewals_alone_and_by_the_dozen_allocate_nothing_once_the_buffers_are_there() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 100)]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..RENEW_MANY_MAX).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    let leases: Vec<_> = grants.iter().map(|g| Claimed { lease: g.lease, proof: g.claim.fold() }).collect();
    let operation = client.operation();
    let many = RenewMany { operation, activity: Activity::default(), leases };
    let frames = [ClientFrame::RenewMany(Box::new(many)), client.renew_frame(grants[0].lease, grants[0].claim)];
    let path = Path::unicast(client.from);
    let mut out = Vec::with_capacity(1200);
    for round in 0..20 {
        let mut datagrams: Vec<_> = frames.iter().map(|frame| client.seal(std::slice::from_ref(frame), 0)).collect();
        let mut answered = 0;
        let peak = peak_of(|| {
            for datagram in &mut datagrams {
                site.engine.handle_datagram(site.now, path, datagram);
                while site.engine.poll_transmit(&mut out).is_some() {
                    answered += 1;
                }
                while site.engine.poll_event().is_some() {}
            }
        });
        assert_eq!(answered, 2);
        assert!(round < 4 || peak == 0, "round {round}: {peak} bytes");
    }
    assert_eq!(site.counter("renewals"), 20 * 65);
}
