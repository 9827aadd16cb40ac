//! A thread that is answered by hand.

use std::net::Ipv4Addr;

use leasehold_protocol::{
    crypto::{Keypair, SiteKey},
    frame::{FRAME_HEADER_LEN, Frames},
    message::{
        ClientFrame, Deny, Extended, FeatureLine, Known, RenewMany, RenewManyView, RenewedMany, RenewedManyView,
        ServerFrame,
    },
    vocab::{ClaimKey, Denial, FeatureName, LeaseId, OperationId, RealmId, SeatCount, Version},
};

use super::{flight::Named, *};
use crate::load::{lean::Answer, tally::Kind};

/// What is due, and when it is sent.
const DUE: u64 = 1_000;
const SENT: u64 = 1_500;

fn shared() -> Shared {
    let name = FeatureName::new("CAD_PRO").unwrap();
    let line = FeatureLine { name, version: Version::ANY, count: Some(9), used: 0, next_end: None };
    Shared {
        epoch: Instant::now(),
        audit: Arc::new(Audit::new(&[line])),
        series: Arc::new(Series::new("by hand", Duration::ZERO, 1, false).unwrap()),
        ready: AtomicUsize::new(0),
        settled: AtomicU64::new(0),
        begin_us: AtomicU64::new(0),
        drained: AtomicUsize::new(0),
        uncertain: AtomicUsize::new(0),
        leave: AtomicBool::new(false),
    }
}

/// A thread whose one client holds the leases 1 to 3 and renews up to 64 of them together. Its session is not open: what
/// it asks stays in its plaintext.
fn driver() -> Driver {
    let mut seven = |bytes: &mut [u8]| bytes.fill(7);
    let peer = Peer { key: Keypair::generate(&mut seven).public(), realm: RealmId(1), site: SiteKey::OPEN };
    let feature = FeatureName::new("CAD_PRO").unwrap();
    let form = RequestForm::new(&feature, SeatCount::ONE, &leasehold::this_process()).unwrap();
    let task = Task {
        thread: 0,
        clients: 1,
        leases_per_client: 3,
        mix: Mix::RENEWALS,
        batch: 64,
        pace: Pace::Window(3),
        measure: Duration::from_secs(9),
        ramp: Duration::ZERO,
        seed: 1,
        peer: peer.clone(),
        forms: Arc::new([form]),
        shared: Arc::new(shared()),
    };
    let local = Ipv4Addr::LOCALHOST.into();
    let plan = FleetPlan { server: (local, 9).into(), peer, sockets: 1, sources: vec![local] };
    let Fleet { clients, outlet, .. } = Fleet::new(&plan, 1).unwrap();
    let mut driver = Driver::new(task, clients, outlet).unwrap();
    for n in 0..3 {
        let index = driver.book.take_free().unwrap();
        driver.task.shared.audit.granted(0, LeaseId(n + 1));
        driver.book.granted(index, LeaseId(n + 1), n, u64::MAX / 2);
    }
    (driver.stage, driver.now) = (Stage::Running { end: u64::MAX }, SENT);
    driver
}

fn denial() -> Deny {
    Deny {
        operation: OperationId(0),
        claim: ClaimKey([0; 16]),
        code: Denial::NO_SUCH_LEASE,
        sentence: String::new(),
        rule: String::new(),
        seats_out: 0,
        seats_total: 0,
        next_due: None,
        retry_after_ms: None,
    }
}

/// The leases of the RENEW_MANY that was asked last, and its id.
fn asked(driver: &Driver) -> (OperationId, Vec<LeaseId>) {
    let raw = Frames::new(&driver.plaintext).next().unwrap().unwrap();
    assert_eq!(raw.kind, RenewMany::KIND);
    let view = RenewManyView::read(raw.body).unwrap();
    (view.operation(), view.leases().map(|one| one.lease).collect())
}

/// Answers a RENEW_MANY: which of its leases go on.
fn answer(driver: &mut Driver, operation: OperationId, goes_on: &[bool]) {
    let extended = Extended { ttl_ms: 60_000, renew_after_ms: 20_000, overage: false };
    let leases = goes_on.iter().map(|goes_on| goes_on.then_some(extended)).collect();
    let mut frame = Vec::new();
    ServerFrame::RenewedMany(Arc::new(RenewedMany { operation, leases })).append_to(&mut frame).unwrap();
    driver.answered(0, &Answer::RenewedMany(RenewedManyView::read(&frame[FRAME_HEADER_LEN..]).unwrap()));
}

#[test]
fn what_a_frame_for_many_does_not_renew_is_asked_about_by_itself_and_denied_it_is_lost() {
    let mut driver = driver();
    assert_eq!(driver.renew_some(DUE), Some(3));
    let (operation, leases) = asked(&driver);
    assert_eq!((leases, driver.flight.planned()), ([1, 2, 3].map(LeaseId).to_vec(), 3));

    driver.now = 2_000;
    answer(&mut driver, operation, &[true, false, true]);
    let raw = Frames::new(&driver.plaintext).next().unwrap().unwrap();
    let Ok(Known::Frame(ClientFrame::Renew(renew))) = ClientFrame::decode(raw) else { panic!("{raw:?}") };
    assert_eq!((renew.lease, driver.flight.planned()), (LeaseId(2), 1));
    let Named::Waiting(Operation { due, sent, .. }) = driver.flight.named(renew.operation) else { panic!("not noted") };
    assert_eq!((due, sent, driver.recorder.tally.counts.operations), (DUE, 2_000, 2), "two are done");
    assert_eq!(driver.recorder.tally.of(Kind::Renewal).histogram().len(), 2);

    let deny = Deny { operation: renew.operation, claim: renew.claim, ..denial() };
    driver.answered(0, &Answer::Denied(Box::new(deny)));
    assert_eq!((driver.recorder.tally.counts.lost, driver.book.held()), (1, 2));
    assert_eq!(driver.recorder.tally.denials[&Denial::NO_SUCH_LEASE], 1);
    assert_eq!(driver.task.shared.audit.problems(), [] as [String; 0]);
}

#[test]
fn another_try_is_another_frame_for_the_same_leases_and_the_first_answer_counts() {
    let mut driver = driver();
    driver.renew_some(DUE);
    let (first, leases) = asked(&driver);
    driver.now = SENT + 500_000;
    driver.ask_again();
    let (second, again) = asked(&driver);
    assert_eq!((leases, driver.recorder.tally.counts.retries), (again, 3));
    assert!(first != second, "another operation id");
    answer(&mut driver, first, &[true; 3]);
    answer(&mut driver, second, &[true; 3]);
    let counts = &driver.recorder.tally.counts;
    assert_eq!((counts.operations, counts.answers_again, driver.flight.waiting()), (3, 1, 0));
    assert_eq!(driver.task.shared.audit.problems(), [] as [String; 0]);
}

#[test]
fn an_answer_for_more_or_fewer_leases_is_a_violation() {
    let mut driver = driver();
    driver.renew_some(DUE);
    let (operation, _) = asked(&driver);
    answer(&mut driver, operation, &[true; 2]);
    assert!(driver.task.shared.audit.problems()[0].contains("Renewals { count: 3 } was answered by RenewedMany"));
    assert_eq!(driver.flight.waiting(), 3);
}

#[test]
fn a_lease_that_was_given_up_meanwhile_is_nobodys_and_a_single_one_is_renewed_by_itself() {
    let mut driver = driver();
    driver.renew_some(DUE);
    let (operation, _) = asked(&driver);
    driver.book.over(1);
    answer(&mut driver, operation, &[true, false, true]);
    let counts = &driver.recorder.tally.counts;
    assert_eq!((counts.operations, counts.unanswered, driver.flight.waiting()), (2, 1, 0));
    driver.book.leaving(2);
    assert_eq!(driver.renew_some(DUE), Some(1));
    let raw = Frames::new(&driver.plaintext).next().unwrap().unwrap();
    assert!(
        matches!(ClientFrame::decode(raw), Ok(Known::Frame(ClientFrame::Renew(renew))) if renew.lease == LeaseId(1))
    );
}
