//! Rights that need no server (L-18).

use leasehold_protocol::licence::{Certificate, KeyType, PublisherSecret, SeatLimit, Terms, canonical, text};

use leasehold_protocol::vocab::Label;

use super::*;

fn secret() -> PublisherSecret {
    PublisherSecret::generate(&Label::lossy("acme"), &mut |bytes: &mut [u8]| bytes.fill(9))
}

fn licence(feature: &str, count: SeatLimit, end: Option<&str>) -> String {
    let certificate = Certificate {
        publisher: Label::lossy("acme"),
        feature: feature.parse().unwrap(),
        version: "4.8".parse().unwrap(),
        count,
        key_type: KeyType::Exclusive,
        zone: "UTC".to_owned(),
        start: None,
        end: end.map(|day| day.parse().unwrap()),
        terms: Terms { client_hostids: vec!["disk:1".parse().unwrap()], ..Terms::default() },
    };
    text::write(&[canonical::sign(&certificate, &secret())], "")
}

fn holder() -> leasehold_protocol::message::Holder {
    let hostids = vec!["disk:1".parse().unwrap()];
    leasehold_protocol::message::Holder { hostids, ..crate::this_process() }
}

async fn client(folder: &std::path::Path) -> Client {
    let builder = Client::builder().publisher_key(secret().public()).identity(holder()).environment(false);
    let builder = builder.broadcast(false).in_memory().answer_within(Duration::from_millis(300));
    builder.search_path(&format!("{}:127.0.0.1", folder.display())).port(9).open().await.unwrap()
}

#[tokio::test]
async fn a_right_that_is_locked_to_this_machine_is_granted_without_any_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.lic"), licence("CAD", SeatLimit::Uncounted, None)).unwrap();
    let one = SeatLimit::Counted(leasehold_protocol::vocab::SeatCount::ONE);
    std::fs::write(folder.path().join("b.lic"), licence("CAM", one, None)).unwrap();
    let client = client(folder.path()).await;
    let lease = client.checkout("CAD").version("4.8").seats(3).await.unwrap();
    assert!(lease.is_local() && lease.state() == LeaseState::Healthy && lease.seats().get() == 3);
    assert_eq!((lease.right_ends(), lease.lots().len()), (None, 1));
    lease.checkin().await.unwrap();
    let Err(CheckoutError::Denied(denied)) = client.checkout("CAM").await else { panic!("granted") };
    assert!(denied.sentence.contains("needs a server"), "{}", denied.sentence);
    let Err(CheckoutError::Denied(denied)) = client.checkout("CAD").version("5.0").await else { panic!("granted") };
    assert_eq!(denied.code, Denial::VERSION_TOO_HIGH);
    assert!(matches!(client.checkout("ELSE").await, Err(CheckoutError::Unreachable { .. })));
}

#[tokio::test]
async fn who_finds_no_server_is_told_of_the_files_that_grant_nothing_too() {
    let builder = Client::builder().environment(false).broadcast(false).in_memory();
    let builder = builder.search_path("/nowhere/x.lic:127.0.0.1").port(9).open_within(Duration::from_millis(200));
    let Err(e) = builder.open().await else { panic!("opened") };
    assert!(e.to_string().contains("/nowhere/x.lic: No such file"), "{e}");
}

/// S-5: by path, and no upgrade by itself.
#[tokio::test]
async fn what_files_grant_is_listed_by_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.lic"), licence("CAD", SeatLimit::Uncounted, Some("2099-01-01"))).unwrap();
    std::fs::write(folder.path().join("b.lic"), upgrade_of("CAM") + &licence("CAM", SeatLimit::Uncounted, None))
        .unwrap();
    let client = client(folder.path()).await;
    let paths = client.licence_info().await;
    assert_eq!((paths.len(), &paths[2].source), (3, &crate::LicenceSource::NoServer), "one was named");
    assert!(matches!(paths[2].licences, Err(CheckoutError::Unreachable { .. })));
    let features = |n: usize| {
        let licences = paths[n].licences.as_ref().unwrap();
        licences.iter().map(|licence| licence.feature.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((features(0), features(1)), (vec!["CAD".to_owned()], vec!["CAM".to_owned()]));
    assert_eq!(paths[1].source, crate::LicenceSource::File(folder.path().join("b.lic")));
    let info = client.feature_info("CAD").await.unwrap().unwrap();
    assert_eq!((info.count, info.upgraded_by, info.next_end.is_some()), (None, 0, true));
    assert_eq!(info.licences[0].certificate.as_ref().unwrap().publisher, Label::lossy("acme"));
}

fn upgrade_of(feature: &str) -> String {
    let certificate = Certificate {
        publisher: Label::lossy("acme"),
        feature: feature.parse().unwrap(),
        version: "4.8".parse().unwrap(),
        count: SeatLimit::Counted(leasehold_protocol::vocab::SeatCount::ONE),
        key_type: KeyType::Upgrade,
        zone: "UTC".to_owned(),
        start: None,
        end: None,
        terms: Terms::default(),
    };
    text::write(&[canonical::sign(&certificate, &secret())], "")
}

#[tokio::test]
async fn a_right_that_has_ended_says_so_and_a_changed_file_grants_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.lic"), licence("OLD", SeatLimit::Uncounted, Some("2020-01-01"))).unwrap();
    let changed = licence("CAD", SeatLimit::Uncounted, Some("2020-01-01")).replace("2020", "2090");
    std::fs::write(folder.path().join("b.lic"), changed).unwrap();
    let client = client(folder.path()).await;
    let Err(CheckoutError::Denied(denied)) = client.checkout("OLD").await else { panic!("granted") };
    assert_eq!(denied.code, Denial::EXPIRED);
    assert!(client.refused_licences()[0].contains("b.lic:"), "{:?}", client.refused_licences());
    assert!(matches!(client.checkout("CAD").await, Err(CheckoutError::Unreachable { .. })));
}

#[tokio::test]
async fn a_clock_that_was_set_back_grants_nothing_new_from_files() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("a.lic"), licence("CAD", SeatLimit::Uncounted, None)).unwrap();
    let open = || {
        let builder = Client::builder().publisher_key(secret().public()).identity(holder()).environment(false);
        let builder = builder.broadcast(false).state_folder(state.path()).answer_within(Duration::from_millis(300));
        builder.search_path(&folder.path().display().to_string()).open()
    };
    open().await.unwrap().checkout("CAD").await.unwrap();
    // What the clock has shown, from a day and three hours ahead.
    let mark = state.path().join("latest-instant");
    let shown: u64 = std::fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
    std::fs::write(&mark, format!("{}\n", shown + 27 * 3_600_000)).unwrap();
    let client = open().await.unwrap();
    let Err(CheckoutError::Denied(denied)) = client.checkout("CAD").await else { panic!("granted") };
    assert_eq!(denied.code, Denial::CLOCK);
}
