//! The keeper, turn by turn, over a real file: what it writes, what it drops and tells of, and how it goes on.

mod story;
mod trouble;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::Ordering::Relaxed,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use leasehold_core::{Denied, Ended, Event, Granted, Looked};
use leasehold_protocol::{
    crypto::Fingerprint,
    message::{Holder, LotUse},
    time::{Mono, Now, UnixMillis},
    vocab::{
        CertificateId, ClaimKey, Denial, DeviceId, FeatureName, Label, LeaseId, OperationId, RealmId, SeatCount,
        Version,
    },
};
use rusqlite::Connection;

use super::{
    Entry, FILE, Filter, Gap, History, Inner, Kind, Life, NameKey, NameKind, Noted, Reader, Row, keeper::Keeper,
    schema, store::BITE,
};

/// When everything here happens, about.
const T0: u64 = 1_795_336_200_000;
const HOUR: u64 = 3_600_000;
const DEVICE: DeviceId = DeviceId([9; 16]);

fn at(ms: u64) -> Now {
    Now { mono: Mono(1_000_000 + ms), wall: UnixMillis(T0 + ms) }
}

fn holder(user: &str) -> Arc<Holder> {
    let label = |text: &str| Label::new(text).unwrap();
    Arc::new(Holder {
        user: label(user),
        host: label("ws-042"),
        display: Some(label(":0")),
        process: label("cad"),
        pid: 1,
        project: Some(label("apollo")),
        device: DEVICE,
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    })
}

fn granted(lease: u32, user: &str, feature: &str, seats: u32, now: Now) -> Event {
    Event::Granted(Box::new(Granted {
        realm: RealmId(7),
        lease: LeaseId::new(lease, 1),
        claim: ClaimKey([1; 16]),
        client: Fingerprint([0; 16]),
        operation: OperationId(1),
        feature: FeatureName::new(feature).unwrap(),
        version: Version { major: 4, minor: 8, patch: 0 },
        seats: SeatCount::new(seats).unwrap(),
        lots: vec![LotUse {
            certificate: CertificateId([5; 8]),
            version: Version { major: 4, minor: 8, patch: 0 },
            seats: SeatCount::new(seats).unwrap(),
        }],
        holder: holder(user),
        at: now.mono,
        wall: now.wall,
        deadline: now.mono,
        by_ticket: false,
        number: 1,
        ttl_ms: 300_000,
        address: [10, 0, 0, 1].into(),
        shares: false,
        pool: 0,
        credit: 0,
    }))
}

fn ended(lease: u32, user: &str, feature: &str, seats: u32, held_ms: u64, now: Now) -> Box<Ended> {
    Box::new(Ended {
        realm: RealmId(7),
        lease: LeaseId::new(lease, 1),
        claim: ClaimKey([1; 16]),
        feature: FeatureName::new(feature).unwrap(),
        seats: SeatCount::new(seats).unwrap(),
        holder: holder(user),
        granted_at: Mono(now.mono.0.saturating_sub(held_ms)),
        at: now.mono,
        renewals: 0,
        undone: Vec::new(),
        stays_until: None,
        lingered: None,
    })
}

fn denied(user: &str) -> Event {
    Event::Denied(Box::new(Denied {
        realm: RealmId(7),
        claim: ClaimKey([1; 16]),
        client: Fingerprint([0; 16]),
        operation: OperationId(1),
        feature: Some(FeatureName::new("CAD").unwrap()),
        version: Version::ANY,
        seats: Some(SeatCount::ONE),
        holder: Some(holder(user)),
        address: [10, 0, 0, 7].into(),
        code: Denial::EXCLUDED,
        sentence: format!("{user} on ws-042 may not take seats of CAD"),
        rule: "no-guests".into(),
        looked: Some(Box::new(Looked { access: Some("no-guests".into()), takes: 1, ..Looked::default() })),
    }))
}

/// A keeper that is turned by hand, and a queue of `len`.
struct Bench {
    scratch: tempfile::TempDir,
    history: History,
    keeper: Keeper,
}

const KEY: [u8; 32] = [9; 32];

impl Bench {
    fn new() -> Self {
        Self::with(8192, None)
    }

    fn with(len: usize, keep: Option<Duration>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let (history, keeper) = life(scratch.path().join(FILE), len, keep, at(0));
        Self { scratch, history, keeper }
    }

    /// Another life of the server on the same file.
    fn again(&mut self, ms: u64) {
        (self.history, self.keeper) = life(self.path(), 8192, None, at(ms));
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join(FILE)
    }

    fn note(&self, event: Event, ms: u64) {
        self.history.note(event, at(ms));
    }

    /// A grant of one seat of CAD to Ada.
    fn grant(&self, lease: u32, ms: u64) {
        self.note(granted(lease, "ada", "CAD", 1, at(ms)), ms);
    }

    fn turn(&mut self, ms: u64) {
        self.keeper.turn(at(ms).wall, None);
    }

    fn figures(&self) -> (u64, u64, u64) {
        let figures = self.history.figures();
        (figures.written.load(Relaxed), figures.dropped.load(Relaxed), figures.gaps.load(Relaxed))
    }

    fn entries(&self, filter: &Filter) -> Vec<Entry> {
        let mut all = Vec::new();
        Reader::open(self.scratch.path())
            .unwrap()
            .each(filter, |entry| {
                all.push(entry);
                true
            })
            .unwrap();
        all
    }

    fn rows(&self) -> Vec<Row> {
        let row = |entry| if let Entry::Row(row) = entry { Some(*row) } else { None };
        self.entries(&Filter::default()).into_iter().filter_map(row).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.kind).collect()
    }

    fn gaps(&self) -> Vec<Gap> {
        Reader::open(self.scratch.path()).unwrap().missing(None, None).unwrap()
    }

    fn warning(&self) -> String {
        self.history.warning().expect("a warning")
    }
}

fn life(path: PathBuf, len: usize, keep: Option<Duration>, began: Now) -> (History, Keeper) {
    let inner = Arc::<Inner>::default();
    let (sender, receiver): (SyncSender<Noted>, _) = sync_channel(len);
    let life = Life { began, before: "closed", restored: 0 };
    let realms = vec![(RealmId(7), "acme".to_owned())];
    let keeper = Keeper::new(inner.clone(), receiver, path, NameKey::new(&KEY), realms, keep, life);
    (History { inner, queue: Some(sender), keeper: Mutex::new(None) }, keeper)
}

#[test]
fn what_happened_stands_in_the_file_in_order_and_nobody_by_name() {
    let mut bench = Bench::new();
    bench.grant(1, 10);
    bench.note(denied("bob"), 20);
    bench.note(Event::PlanChanged { realm: RealmId(7), at: at(25).wall }, 25);
    bench.note(Event::Released(ended(1, "ada", "CAD", 1, 5000, at(5010))), 5010);
    bench.note(Event::Expired(ended(2, "ada", "CAD", 3, 70, at(5015))), 5020);
    bench.note(Event::LingerEnded(ended(3, "ada", "CAD", 1, 70, at(5030))), 5030);
    bench.turn(6000);
    bench.keeper.finish(at(7000).wall);

    let rows = bench.rows();
    let words = ["started", "granted", "denied", "released", "expired", "linger-ended", "stopped"];
    assert_eq!(bench.kinds(), words);
    let (grant, denial, release) = (&rows[1], &rows[2], &rows[3]);
    assert_eq!((grant.at, grant.realm.as_deref(), grant.version.as_deref()), (at(10).wall, Some("acme"), Some("4.8")));
    assert_eq!((grant.seats, grant.lease.as_deref(), grant.by_ticket), (Some(1), Some("1.1"), Some(false)));
    assert_eq!((denial.code, denial.rule.as_deref()), (Some(Denial::EXCLUDED.0), Some("no-guests")));
    assert_eq!((release.held_ms, release.user.as_ref()), (Some(5000), grant.user.as_ref()));
    assert_eq!(rows[4].at, at(5015).wall, "the deadline, not when somebody came by");
    assert_eq!(bench.figures(), (5, 0, 0));

    let key = NameKey::new(&KEY);
    let sealed = Reader::open(bench.scratch.path()).unwrap().sealed().unwrap();
    let opened = |pseudonym: &Option<String>| {
        let pseudonym = pseudonym.as_ref().unwrap();
        key.open(pseudonym, &sealed[pseudonym]).unwrap()
    };
    assert_eq!(grant.user, Some(key.pseudonym(NameKind::User, "ada")));
    assert_eq!((opened(&grant.user), opened(&denial.user)), ("ada".into(), "bob".into()));
    assert_eq!((opened(&grant.host), opened(&grant.project)), ("ws-042".into(), "apollo".into()));
    assert_eq!((opened(&grant.address), opened(&denial.address)), ("10.0.0.1".into(), "10.0.0.7".into()));
    assert_eq!(opened(&grant.device), DEVICE.to_string());
    assert_eq!((grant.lots.as_deref(), &grant.looked), (Some("0505050505050505:4.8:1"), &None));
    let looked = r#"{"access":"no-guests","admits":false,"takes":1,"lots":[],"leases":0,"leases_max":0}"#;
    assert_eq!(denial.looked.as_deref(), Some(looked));
    assert_eq!(opened(&denial.sentence), "bob on ws-042 may not take seats of CAD");
    drop(bench.keeper);
    let bytes = fs::read(bench.scratch.path().join(FILE)).unwrap();
    for name in [&b"ws-042"[..], b"apollo", b"bob on"] {
        assert!(!bytes.windows(name.len()).any(|part| part == name), "{}", String::from_utf8_lossy(name));
    }
    assert!(bytes.windows(9).any(|part| part == b"no-guests"), "the file was looked into");
}

#[test]
fn what_came_in_one_turn_is_one_transaction_and_the_file_is_for_its_owner() {
    let mut bench = Bench::new();
    (1..=3).for_each(|lease| bench.grant(lease, 10));
    bench.keeper.turn(at(0).wall, None);
    let version: i64 =
        bench.keeper.store.as_ref().unwrap().file().query_row("PRAGMA data_version", [], |r| r.get(0)).unwrap();
    let other = Connection::open(bench.path()).unwrap();
    let seen = |sql: &str| other.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(seen("SELECT count(*) FROM events"), 4);
    let before = seen("PRAGMA data_version");
    (4..=60).for_each(|lease| bench.grant(lease, 20));
    bench.turn(1000);
    assert_eq!(seen("SELECT count(*) FROM events"), 61);
    assert_eq!(seen("PRAGMA data_version"), before + 1, "one change by others");
    bench.turn(2000);
    assert_eq!(seen("PRAGMA data_version"), before + 1, "nothing came, nothing is written");
    assert!(version > 0);
    for name in [FILE, "usage.sqlite-wal", "usage.sqlite-shm"] {
        let mode = fs::metadata(bench.scratch.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_full_queue_drops_what_comes_and_the_gap_says_how_many_and_when() {
    let mut bench = Bench::with(4, None);
    (1..=10).for_each(|lease| bench.grant(lease, lease.into()));
    assert_eq!(bench.figures(), (0, 6, 0));
    bench.turn(1000);
    assert_eq!(bench.figures(), (4, 6, 1));
    let gap = &bench.gaps()[0];
    assert_eq!((gap.from, gap.to, gap.events), (at(5).wall, at(10).wall, Some(6)));
    assert!(gap.why.contains("more happened than"), "{}", gap.why);
    bench.grant(11, 1100);
    bench.turn(2000);
    assert_eq!((bench.figures(), bench.gaps().len()), ((5, 6, 1), 1));
}

#[test]
fn gaps_stand_in_their_place_among_the_rows_and_a_limit_keeps_the_last() {
    let mut bench = Bench::with(4, None);
    (1..=5).for_each(|lease| bench.grant(lease, lease.into()));
    bench.turn(1000);
    bench.grant(6, 2000);
    bench.turn(2001);
    let shape = |filter: &Filter| {
        let letter = |entry: &Entry| match entry {
            Entry::Row(row) => row.kind.chars().next().unwrap(),
            Entry::Gap(_) => '?',
        };
        bench.entries(filter).iter().map(letter).collect::<String>()
    };
    assert_eq!(shape(&Filter::default()), "sgggg?g");
    assert_eq!(shape(&Filter { limit: Some(1), ..Filter::default() }), "g", "it was before what is told");
    assert_eq!(shape(&Filter { limit: Some(6), ..Filter::default() }), "sgggg?g");
    assert_eq!(shape(&Filter { to: Some(at(100).wall), ..Filter::default() }), "sgggg?");
    assert_eq!(shape(&Filter { from: Some(at(2000).wall), ..Filter::default() }), "g");
    assert_eq!(shape(&Filter { kinds: vec![Kind::Started, Kind::Denied], ..Filter::default() }), "s?");
    assert_eq!(shape(&Filter { feature: Some("OTHER".into()), ..Filter::default() }), "?");
    let ada = NameKey::new(&KEY).pseudonym(NameKind::User, "ada");
    assert_eq!(shape(&Filter { user: Some(ada), limit: Some(2), ..Filter::default() }), "g?g");
}

#[test]
fn what_is_older_than_is_kept_goes_in_bites() {
    let mut bench = Bench::with(20_000, Some(Duration::from_millis(10 * HOUR)));
    let old = u32::try_from(2 * BITE + 100).unwrap();
    (1..=old).for_each(|lease| bench.note(granted(lease, "old", "CAD", 1, at(5)), 5));
    bench.turn(10);
    let pages = |bench: &Bench, of: &str| {
        let file = bench.keeper.store.as_ref().unwrap().file();
        file.pragma_query_value(None, of, |row| row.get::<_, i64>(0)).unwrap()
    };
    let full = pages(&bench, "page_count");
    let later = 200 * HOUR;
    bench.grant(old + 1, later);
    let counts: Vec<usize> = (0..5)
        .map(|i| {
            bench.turn(later + i);
            bench.rows().len()
        })
        .collect();
    let whole = 2 * BITE + 102;
    assert_eq!(counts, [whole - BITE, whole - 2 * BITE, 1, 1, 1], "the start was old too");
    let (left, free) = (pages(&bench, "page_count"), pages(&bench, "freelist_count"));
    assert!(left < full / 2 && free <= 64.max(left / 4), "{left} of {full} pages are left, {free} of them free");
    let sealed = Reader::open(bench.scratch.path()).unwrap().sealed().unwrap();
    let key = NameKey::new(&KEY);
    assert!(!sealed.contains_key(&key.pseudonym(NameKind::User, "old")), "names go with what they were in");
    assert!(sealed.contains_key(&key.pseudonym(NameKind::User, "ada")));
    assert!(sealed.contains_key(&key.pseudonym(NameKind::Host, "ws-042")), "which was seen again");
}

#[test]
fn a_file_that_has_just_been_begun_tells_of_nothing() {
    let bench = Bench::new();
    fs::write(bench.path(), "").unwrap();
    assert_eq!((bench.rows().len(), bench.gaps().len()), (0, 0));
    let reader = Reader::open(bench.scratch.path()).unwrap();
    assert!(reader.usage(None, None, at(0).wall).unwrap().is_empty() && reader.sealed().unwrap().is_empty());
    assert!(reader.event(1).unwrap().is_none() && reader.lease("0.1", None).unwrap().is_empty());
}

#[test]
fn a_calendar_that_is_set_ahead_makes_nothing_old() {
    let mut bench = Bench::with(64, Some(Duration::from_millis(10 * HOUR)));
    bench.grant(1, 5);
    bench.turn(10);
    let (Now { mono, wall }, later) = (at(0), 9 * HOUR);
    let set = Now { mono: Mono(mono.0 + later), wall: UnixMillis(wall.0 + 10 * 365 * 24 * HOUR) };
    let now = bench.keeper.time_at(set);
    assert_eq!(now.0, wall.0 + later, "by what went by since the start");
    bench.keeper.turn(now, None);
    assert_eq!(bench.kinds(), ["started", "granted"]);
}

#[test]
fn a_summary_counts_seats_over_time_and_never_too_many() {
    let mut bench = Bench::new();
    let note = |bench: &Bench, event, hours: u64| bench.note(event, hours * HOUR);
    let hour = |hours: u64| at(hours * HOUR);
    note(&bench, granted(1, "ada", "CAD", 2, hour(1)), 1);
    note(&bench, granted(2, "bob", "CAD", 1, hour(2)), 2);
    note(&bench, denied("eve"), 3);
    note(&bench, Event::Released(ended(1, "ada", "CAD", 2, 3 * HOUR, hour(4))), 4);
    // Its end was told of before its grant.
    note(&bench, Event::Released(ended(3, "ada", "SIM", 4, 0, hour(4))), 4);
    note(&bench, granted(3, "ada", "SIM", 4, hour(4)), 4);
    // Its grant is not in the file.
    note(&bench, Event::Expired(ended(4, "ada", "SIM", 5, 2 * HOUR, hour(5))), 5);
    bench.turn(6 * HOUR);

    let usage = |from: Option<u64>, to: Option<u64>| {
        let wall = |hours: u64| at(hours * HOUR).wall;
        let reader = Reader::open(bench.scratch.path()).unwrap();
        let usage = reader.usage(from.map(wall), to.map(wall), wall(7)).unwrap();
        usage
            .into_iter()
            .map(|u| (u.feature, u.granted, u.denied, u.peak, u.seat_ms / u128::from(HOUR)))
            .collect::<Vec<_>>()
    };
    // Bob's seat is out still: from the second hour to the seventh.
    assert_eq!(usage(None, None), [("CAD".into(), 2, 1, 3, 11), ("SIM".into(), 1, 0, 5, 10)]);
    assert_eq!(usage(Some(3), Some(4)), [("CAD".into(), 0, 1, 3, 3), ("SIM".into(), 0, 0, 5, 5)]);
    assert_eq!(usage(Some(4), None), [("CAD".into(), 0, 0, 1, 3), ("SIM".into(), 1, 0, 5, 5)]);
    assert_eq!(usage(Some(100), Some(200)), []);

    // A server that starts and knows of no lease: Bob's ended at the latest when the one before did.
    bench.keeper.finish(at(6 * HOUR).wall);
    bench.again(6 * HOUR);
    bench.turn(6 * HOUR + 1);
    let reader = Reader::open(bench.scratch.path()).unwrap();
    assert_eq!(reader.usage(None, None, at(9 * HOUR).wall).unwrap()[0].seat_ms, u128::from(10 * HOUR));
}

#[test]
fn a_clock_that_was_set_stands_among_the_rows() {
    let mut bench = Bench::new();
    bench.grant(1, 10);
    bench.note(Event::ClocksParted { by_ms: -3_600_000, sessions: 2 }, 20);
    bench.turn(1000);
    let rows = bench.rows();
    assert_eq!((rows[2].kind.as_str(), rows[2].at, rows[2].by_ms), ("clock-set", at(20).wall, Some(-3_600_000)));
    assert_eq!((rows[1].by_ms, bench.figures()), (None, (2, 0, 0)));
}

#[test]
fn a_file_of_version_1_is_read_as_it_is_and_brought_up_to_date_by_a_server() {
    let mut bench = Bench::new();
    let mut old = Connection::open(bench.path()).unwrap();
    schema::migrate(&mut old, &schema::STEPS[..1]).unwrap();
    old.execute("INSERT INTO events (at_ms, kind) VALUES (5, 'stopped')", []).unwrap();
    drop(old);
    let rows = bench.rows();
    assert_eq!((rows.len(), &rows[0].display, rows[0].by_ms, &rows[0].lots), (1, &None, None, &None));
    bench.grant(1, 10);
    bench.turn(1000);
    assert_eq!(bench.kinds(), ["stopped", "started", "granted"]);
    let key = NameKey::new(&KEY);
    assert_eq!(bench.rows()[2].display, Some(key.pseudonym(NameKind::Display, ":0")));
}

#[test]
fn seats_that_stayed_after_a_release_count_once() {
    let mut bench = Bench::new();
    bench.note(granted(1, "ada", "CAD", 1, at(0)), 0);
    bench.note(Event::Released(ended(1, "ada", "CAD", 1, 3 * HOUR, at(3 * HOUR))), 3 * HOUR);
    // As the core tells it: granted when the lease was that it stayed of.
    let stayed = ended(2, "ada", "CAD", 1, 4 * HOUR, at(4 * HOUR));
    let stayed = Ended { lingered: Some(at(3 * HOUR).mono), ..*stayed };
    bench.note(Event::LingerEnded(Box::new(stayed)), 4 * HOUR);
    bench.turn(5 * HOUR);
    let usage = Reader::open(bench.scratch.path()).unwrap().usage(None, None, at(6 * HOUR).wall).unwrap();
    assert_eq!((usage[0].peak, usage[0].seat_ms), (1, u128::from(4 * HOUR)));
    assert_eq!(bench.rows().last().unwrap().held_ms, Some(HOUR), "a sum over the file is right, too");
}

#[test]
fn an_end_that_may_be_missing_is_not_counted_on() {
    let mut bench = Bench::with(2, None);
    bench.grant(1, 0);
    bench.turn(1);
    (2..=4).for_each(|lease| bench.note(Event::Released(ended(lease, "ada", "CAD", 1, 0, at(HOUR))), HOUR));
    bench.turn(HOUR + 1);
    let reader = Reader::open(bench.scratch.path()).unwrap();
    let usage = reader.usage(None, None, at(5 * HOUR).wall).unwrap();
    assert_eq!(usage[0].seat_ms, u128::from(HOUR), "until something is missing");
}

#[test]
fn a_thread_writes_by_itself_and_an_end_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let (history, keeper) = life(scratch.path().join(FILE), 64, None, at(0));
    let thread = std::thread::spawn(move || keeper.run());
    let _ = history.inner.keeper.set(thread.thread().clone());
    *crate::state::lock(&history.keeper) = Some(thread);
    (1..=40).for_each(|lease| history.note(granted(lease, "ada", "CAD", 1, at(1)), at(1)));
    history.end();
    let written = history.figures().written.load(Relaxed);
    assert_eq!(written, 40);
    history.end();
    assert!(!scratch.path().join("usage.sqlite-wal").exists(), "one file to copy");
    let last = Reader::open(scratch.path()).unwrap();
    let mut kinds = Vec::new();
    last.each(&Filter { kinds: vec![Kind::Stopped], ..Filter::default() }, |entry| {
        kinds.push(entry);
        true
    })
    .unwrap();
    assert_eq!(kinds.len(), 1, "ended once");
}
