use super::{
    http::{ask, get, raw},
    site::Site,
};
use crate::{HttpListen, Running, StartError};

const OPEN: &str = "/healthz";
const GUARDED: [&str; 11] = [
    "/readyz",
    "/metrics",
    "/api/v1/status",
    "/api/v1/features",
    "/api/v1/leases",
    "/api/v1/licences",
    "/api/v1/policy/history",
    "/api/v1/audit",
    "/api/v1/audit/verify",
    "/api/v1/clock",
    "/no/such/page",
];

async fn token(running: &Running) -> String {
    std::fs::read_to_string(running.rest_token_path()).unwrap().trim().to_owned()
}

#[tokio::test]
async fn every_route_but_one_wants_the_token_and_says_where_it_is() {
    let site = Site::new();
    let running = site.start().await;
    let address = running.http_address().unwrap();
    let token = token(&running).await;
    assert_eq!(get(address, OPEN, None).await.body, "ok\n");
    let longer = format!("Bearer {token}0");
    let shorter = format!("Bearer {}", &token[1..]);
    let basic = format!("Basic {token}");
    for path in GUARDED {
        for wrong in [None, Some(""), Some("Bearer"), Some("Bearer "), Some(&*longer), Some(&*shorter), Some(&*basic)] {
            let answer = get(address, path, wrong).await;
            assert_eq!(answer.status, 401, "{path} with {wrong:?}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{path}");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(&running.rest_token_path().display().to_string()), "{message}");
        }
        let status = get(address, path, Some(&format!("Bearer {token}"))).await.status;
        let expected = match path {
            "/readyz" => 503,
            "/no/such/page" => 404,
            _ => 200,
        };
        assert_eq!(status, expected, "{path}");
    }
    running.stop_now().await;
}

#[tokio::test]
async fn what_is_not_understood_is_answered_in_json_with_the_reason() {
    let site = Site::new();
    let running = site.start().await;
    let address = running.http_address().unwrap();
    let bearer = format!("Bearer {}", token(&running).await);
    let cases = [
        ("GET", "/api/v1/leases?limit=0", 400, "limit is 1 to 1000"),
        ("GET", "/api/v1/leases?limit=1001", 400, "limit is 1 to 1000"),
        ("GET", "/api/v1/leases?limit=x", 400, "feature, limit and offset are understood"),
        ("GET", "/api/v1/leases?page=2", 400, "feature, limit and offset are understood"),
        ("GET", "/api/v1/leases?feature=a%20b", 400, "not allowed in a name"),
        ("GET", "/api/v1/audit?limit=0", 400, "limit is 1 to 1000"),
        ("GET", "/api/v1/audit?before=2", 400, "after and limit are understood"),
        ("POST", "/api/v1/policy/rollback?to=x", 400, "to is understood, the number of a version"),
        ("POST", "/api/v1/policy/rollback?to=7", 409, "without a policy file"),
        ("GET", "/api/v2/leases", 404, "/api/v1/"),
        ("POST", "/api/v1/leases", 405, "pages are read by GET"),
        ("DELETE", "/api/v1/status", 405, "pages are read by GET"),
    ];
    for (method, path, status, part) in cases {
        let answer = ask(address, method, path, Some(&bearer)).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{method} {path}: {message}");
    }
    running.stop_now().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let site = Site::new();
    let running = site.start().await;
    let address = running.http_address().unwrap();
    let mut request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ".to_vec();
    request.resize(20 * 1024, b'a');
    let answer = raw(address, &request).await;
    assert_eq!(answer.status, 431, "{}", answer.head);
    running.stop_now().await;
}

#[tokio::test]
async fn metrics_are_openmetrics_text_with_our_prefix() {
    let site = Site::new();
    let running = site.start().await;
    let address = running.http_address().unwrap();
    let answer = get(address, "/metrics", Some(&format!("Bearer {}", token(&running).await))).await;
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.body.ends_with("# EOF\n"));
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("leasehold_"), "{line}");
    }
    for name in [
        "leasehold_net_receive_batches_total 0",
        "leasehold_leases 0",
        "leasehold_build_info{version=\"",
        "leasehold_licence_certificates{outcome=\"refused\"} 0",
        "leasehold_licence_read_timestamp_seconds 1",
        "leasehold_licence_read_duration_seconds 0.",
        "leasehold_licence_reads_failed_total 0",
        "leasehold_ledger_state{state=\"good\"} 1",
        "leasehold_ledger_state{state=\"full\"} 0",
        "leasehold_ledger_refused_total 0",
        "leasehold_ledger_healed_total 0",
        "leasehold_ledger_uses_lost_total 0",
        "leasehold_clock_suspect 0",
        "leasehold_clock_raw_ahead_seconds 0",
        "leasehold_clock_jump_pending 0",
    ] {
        assert!(answer.body.contains(name), "{name} in\n{}", answer.body);
    }
    running.stop_now().await;
}

#[tokio::test]
async fn rest_beyond_loopback_is_refused_and_off_is_off() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.http = HttpListen::On([0; 4].into(), None);
    let refused = Running::start(settings.clone()).await.err().unwrap();
    assert!(matches!(refused, StartError::HttpNotLoopback(_)));
    assert!(refused.to_string().contains("needs TLS"));
    settings.http = HttpListen::Off;
    let running = Running::start(settings).await.unwrap();
    assert_eq!(running.http_address(), None);
    assert!(running.banner().contains("rest       off"));
    running.stop_now().await;
}
