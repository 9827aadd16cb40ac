//! What a server makes of the one before it: ended with seats out, killed, its journal gone, damaged or older than it should be.

use std::{fs, path::Path, time::Duration};

use leasehold_protocol::{
    crypto::Keypair,
    message::{Grant, ServerFrame},
    vocab::{ClaimKey, Denial},
};

use super::{
    client::{Client, discover, socket},
    http::get,
    site::{Site, eventually},
};
use crate::{Running, clock::SystemEntropy, clock_now, journal::How};

/// A program with a key of its own, which it shows to every server it finds.
struct Program {
    keys: Keypair,
    client: Client,
}

impl Program {
    async fn of(running: &Running) -> Self {
        let keys = Keypair::generate(&mut SystemEntropy);
        let client = connect(running, &keys).await;
        Self { keys, client }
    }

    async fn back_at(&mut self, running: &Running) {
        self.client = connect(running, &self.keys).await;
    }

    async fn take(&mut self, feature: &str) -> Grant {
        let claim = ClaimKey::random(&mut SystemEntropy);
        self.client.request_with(feature, claim, None).await.unwrap()
    }
}

async fn connect(running: &Running, keys: &Keypair) -> Client {
    let socket = socket().await;
    let found = discover(&socket, running.udp_address()).await;
    Client::shake_hands(socket, running.udp_address(), &found, keys).await
}

fn used(running: &Running) -> u32 {
    running.shared().features(clock_now())[0].used
}

#[tokio::test]
async fn a_lease_that_was_out_is_out_again_under_its_own_name_and_newcomers_are_served_at_once() {
    for orderly in [true, false] {
        let site = Site::new();
        site.licence("a.lic", "CAD", 2, 300);
        let running = site.start().await;
        let mut program = Program::of(&running).await;
        let grant = program.take("CAD").await;
        if orderly {
            assert_eq!(running.drain_and_stop(Duration::ZERO).await.leases_out, 1);
        } else {
            running.vanish().await;
        }
        let running = site.start().await;
        let remembered = running.remembered();
        let how = if orderly { How::Closed } else { How::Killed };
        assert_eq!((remembered.how, remembered.restoration.restored, &remembered.findings[..]), (how, 1, &[][..]));
        assert_eq!((running.blind_until(), used(&running)), (None, 1));
        let mut stranger = Client::connect(running.udp_address()).await;
        stranger.request("CAD").await.unwrap();
        assert_eq!(stranger.request("CAD").await.unwrap_err().code, Denial::NO_SEAT);
        program.back_at(&running).await;
        assert!(matches!(program.client.renew(&grant).await, ServerFrame::Renewed(_)));
        program.client.release(&grant).await;
        assert_eq!(used(&running), 1);
        running.stop_now().await;
    }
}

fn anchor(site: &Site) -> std::path::PathBuf {
    site.scratch.path().join("state.anchor")
}

#[tokio::test]
async fn without_its_journal_it_honours_tickets_and_denies_others() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let running = site.start().await;
    let mut program = Program::of(&running).await;
    let grant = program.take("CAD").await;
    running.vanish().await;
    fs::remove_file(site.data_dir().join("journal.0")).unwrap();
    let running = site.start().await;
    assert_eq!(running.remembered().how, How::Nothing);
    assert!(running.blind_until() > Some(clock_now().mono.plus_ms(290_000)));
    assert!(running.banner().contains("it is not known what was granted before"), "{}", running.banner());
    let mut stranger = Client::connect(running.udp_address()).await;
    assert_eq!(stranger.request("CAD").await.unwrap_err().code, Denial::RESTARTING);
    program.back_at(&running).await;
    let again = program.client.request_with("CAD", grant.claim, Some(grant.ticket)).await.unwrap();
    assert_eq!(again.claim, grant.claim);
    running.stop_now().await;
}

#[tokio::test]
async fn a_byte_of_the_journal_that_changed_is_named_with_its_place_and_makes_it_careful() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 2, 300);
    let running = site.start().await;
    let mut program = Program::of(&running).await;
    let first = program.take("CAD").await;
    program.take("CAD").await;
    running.vanish().await;
    let path = site.data_dir().join("journal.0");
    let mut bytes = fs::read(&path).unwrap();
    // Within the second grant: behind the header, the end of the checkpoint and the first.
    let at = 4096 + 64 + usize::from(bytes[4096 + 64 + 3]) * 64 + 40;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let running = site.start().await;
    let remembered = running.remembered();
    assert_eq!((remembered.how, remembered.restoration.restored), (How::Damaged, 1));
    let told = running.warnings().iter().find(|warning| warning.contains("journal.0, byte")).cloned().unwrap();
    assert!(told.contains("newcomers wait one TTL"), "{told}");
    assert!(running.blind_until().is_some());
    program.back_at(&running).await;
    assert!(matches!(program.client.renew(&first).await, ServerFrame::Renewed(_)));
    running.stop_now().await;
}

/// Copies the files of a data folder, those of its folders left out.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A server that has granted since its data folder was copied, and is killed; the copy is put in its place.
async fn put_back(site: &Site) -> (Program, Grant) {
    let running = site.start().await;
    let mut program = Program::of(&running).await;
    program.take("CAD").await;
    let copied = site.scratch.path().join("copy");
    copy(&site.data_dir(), &copied);
    let mut later = None;
    // As many syncs as it takes for the log to be ahead of the copy for certain.
    for _ in 0..4 {
        later = Some(program.take("CAD").await);
    }
    running.vanish().await;
    copy(&copied, &site.data_dir());
    (program, later.unwrap())
}

#[tokio::test]
async fn an_old_copy_of_the_data_folder_is_noticed_by_the_anchor_beside_it() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 5, 300);
    let (mut program, later) = put_back(&site).await;
    let running = site.start().await;
    assert!(running.remembered().is_old);
    let told = running.warnings().iter().find(|warning| warning.contains("state.anchor says so")).cloned().unwrap();
    assert!(told.contains("leasehold store acknowledge"), "{told}");
    // All five are out, and of what the copy says nobody knows whether it is.
    assert_eq!(used(&running), 0);
    let mut stranger = Client::connect(running.udp_address()).await;
    assert_eq!(stranger.request("CAD").await.unwrap_err().code, Denial::RESTARTING);
    program.back_at(&running).await;
    program.client.request_with("CAD", later.claim, Some(later.ticket)).await.unwrap();
    running.stop_now().await;
}

#[tokio::test]
async fn without_the_anchor_it_is_noticed_by_the_first_ticket_that_is_newer() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 5, 300);
    let (mut program, later) = put_back(&site).await;
    fs::remove_file(anchor(&site)).unwrap();
    let running = site.start().await;
    assert!(!running.remembered().is_old && running.blind_until().is_none());
    program.back_at(&running).await;
    program.client.request_with("CAD", later.claim, Some(later.ticket)).await.unwrap();
    assert!(running.shared().is_store_old());
    let mut stranger = Client::connect(running.udp_address()).await;
    assert_eq!(stranger.request("CAD").await.unwrap_err().code, Denial::RESTARTING);
    eventually("the warning", || async {
        running.refresh_warnings(clock_now());
        running.warnings().iter().any(|warning| warning.contains("old copy"))
    })
    .await;
    running.stop_now().await;
}

#[tokio::test]
async fn while_its_journal_cannot_be_written_it_says_so_everywhere_and_heals_by_itself() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 5, 300);
    let running = site.start().await;
    let mut program = Program::of(&running).await;
    let grant = program.take("CAD").await;
    // Somebody removes the folder of a server that runs.
    let aside = site.scratch.path().join("aside");
    fs::rename(site.data_dir(), &aside).unwrap();
    fs::remove_file(aside.join("journal.0")).unwrap();
    eventually("noticed", || async { running.shared().is_storage_failing() }).await;
    let token = fs::read_to_string(aside.join("rest.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let ready = get(running.http_address().unwrap(), "/readyz", Some(&bearer)).await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("the journal cannot be written"), "{}", ready.body);
    let deny = program.client.request("CAD").await.unwrap_err();
    assert_eq!(deny.code, Denial::STORAGE);
    assert!(matches!(program.client.renew(&grant).await, ServerFrame::Renewed(_)));
    fs::rename(&aside, site.data_dir()).unwrap();
    eventually("healed", || async { !running.shared().is_storage_failing() }).await;
    program.take("CAD").await;
    running.stop_now().await;
    let again = site.start().await;
    assert_eq!((again.remembered().how, used(&again)), (How::Closed, 2));
    again.stop_now().await;
}
