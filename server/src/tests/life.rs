use std::{net::TcpListener, time::Duration};

use super::site::Site;
use crate::{HttpListen, Running, Settings, exit};

#[tokio::test]
async fn a_server_without_anything_runs_and_says_what_to_do() {
    let site = Site::bare();
    let running = site.start().await;
    let banner = running.banner();
    for part in [
        format!("clients    udp {}", running.udp_address()),
        format!("rest       http://{}", running.http_address().unwrap()),
        "realms     none: no publisher is trusted".into(),
        "licences   none: this server serves nothing yet".into(),
        format!("state      {}", site.data_dir().display()),
        "config     defaults".into(),
        "next       leasehold init --demo".into(),
        "discovery on lo".into(),
    ] {
        assert!(banner.contains(&part), "{part:?} in\n{banner}");
    }
    assert!(banner.lines().all(|line| line.len() < 200), "{banner}");
    assert_eq!(running.drain_and_stop(Duration::from_secs(60)).await.leases_out, 0);
}

#[tokio::test]
async fn a_missing_licence_file_is_a_warning_and_the_publisher_has_a_realm() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.licences = vec!["/no/such.lic".into()];
    let running = Running::start(settings).await.unwrap();
    assert!(running.warnings()[0].starts_with("licence file /no/such.lic cannot be read"), "{:?}", running.warnings());
    let report = running.licence_report();
    assert_eq!((report.files.len(), report.faults(), report.applied()), (1, 1, 0));
    running.stop_now().await;
}

#[tokio::test]
async fn a_taken_port_is_answered_with_its_holder_and_the_flag() {
    let site = Site::new();
    let running = site.start().await;
    let (udp, http) = (running.udp_address(), running.http_address().unwrap());
    assert_eq!(udp.port(), http.port(), "one number to open");

    let other = Site::bare();
    let settings = Settings { listen: site.settings().listen, port: udp.port(), ..other.settings() };
    let refused = Running::start(settings).await.err().unwrap();
    let text = refused.to_string();
    assert!(text.contains(&format!("udp {udp} is in use by")) && text.contains("--port"), "{text}");
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    assert_eq!(refused.exit_code(), exit::IN_USE);

    let taken = TcpListener::bind((other.address, 0)).unwrap().local_addr().unwrap();
    let _taken = TcpListener::bind(taken).unwrap();
    let settings = Settings { http: HttpListen::On(taken.ip(), Some(taken.port())), ..other.settings() };
    let text = Running::start(settings).await.err().unwrap().to_string();
    assert!(text.contains(&format!("tcp {taken} is in use by")) && text.contains("--http"), "{text}");
    running.stop_now().await;
}

#[tokio::test]
async fn a_second_server_on_one_folder_is_refused_until_the_first_ends() {
    let site = Site::new();
    let running = site.start().await;
    let refused = Running::start(site.settings()).await.err().unwrap();
    assert!(refused.to_string().contains("is in use by"), "{refused}");
    running.stop_now().await;
    site.start().await.stop_now().await;
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_no_port_behind() {
    let site = Site::new();
    let running = site.start().await;
    let address = running.udp_address();
    running.stop_now().await;
    std::net::UdpSocket::bind(address).unwrap();
}
