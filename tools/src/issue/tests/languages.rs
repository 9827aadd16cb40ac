//! Templates of others: the style of LM-X, the style of FlexNet (LS-03, LS-07, LT-07 to LT-21).

use leasehold_protocol::{
    licence::{
        Certificate, KeyType, SeatLimit,
        certificate::{Dialect, Permission, Pooling, ShareBy, Together},
    },
    vocab::Version,
};

use super::*;

fn read(text: &str) -> Result<Template, Problems> {
    Template::read("t", text, Some(secret("acme").public().publisher()))
}

fn one(text: &str) -> Certificate {
    let template = read(text).unwrap_or_else(|problems| panic!("{}", problems.render()));
    assert_eq!(template.certificates.len(), 1);
    template.certificates[0].clone()
}

/// Every mistake, as `line:column: message | expected | help`.
fn mistakes(text: &str) -> Vec<String> {
    let shown = |p: &Problem| {
        let (line, column) = p.line_column();
        format!("{line}:{column}: {p} | {} | {}", p.what_was_expected(), p.what_to_do().unwrap_or("-"))
    };
    read(text).expect_err("mistakes").0.iter().map(shown).collect()
}

fn warnings(text: &str) -> Vec<String> {
    read(text)
        .unwrap_or_else(|problems| panic!("{}", problems.render()))
        .warnings
        .iter()
        .map(Problem::in_one_line)
        .collect()
}

fn feature(settings: &str) -> String {
    format!("<LICENSEFILE>\n <FEATURE NAME=\"f\">\n{settings} </FEATURE>\n</LICENSEFILE>\n")
}

#[test]
fn the_xml_of_a_feature_becomes_a_certificate_with_lm_x_rules() {
    let c = one(&feature(
        "  <SETTING MAJOR_VERSION=\"1\" MINOR_VERSION=\"5\"/>
  <SETTING COUNT=\"10\"/>
  <SETTING START=\"2026-01-01\"/> <SETTING END=\"2026-12-31\"/>
  <SETTING SHARE=\"USER, HOST, VIRTUAL\"/>
  <SETTING SOFTLIMIT=\"2\" BORROW=\"24\" HOLD=\"5\" GRACE=\"2\"/>
  <SETTING SN=\"42\" DATA=\"a=b {c}\" COMMENT=\"For Lyon\" REPLACES=\"old,older\"/>
  <SETTING HOSTID_MATCH_RATE=\"50\" PLATFORMS=\"Linux_x64,Win64_x64\"/>
  <CLIENT_HOSTID><SETTING ETHERNET=\"00:12:AB:34:CD:56\"/><SETTING USERNAME=\"Ada L.\"/></CLIENT_HOSTID>
  <SERVER_HOSTID><HOSTID HARDDISK=\"WD-1\"/></SERVER_HOSTID>
",
    ));
    let t = &c.terms;
    assert_eq!((c.version, c.key_type), (Version { major: 1, minor: 5, patch: 0 }, KeyType::Exclusive));
    assert_eq!((t.dialect, t.pools), (Dialect::First, Pooling::Separate));
    assert_eq!(
        (t.share, t.vm, t.terminal_server),
        (Some(ShareBy::USER.with(ShareBy::HOST)), Permission::Allowed, Permission::Refused)
    );
    assert_eq!(
        (t.overdraft.unwrap().get(), t.borrow_max_s, t.linger_s, t.grace_s),
        (2, Some(86_400), Some(300), Some(7200))
    );
    assert_eq!((t.serial.as_deref(), t.vendor_string.as_deref()), (Some("42"), Some("a=b {c}")));
    assert_eq!((t.match_rate, t.supersedes.len(), t.platforms[0].as_str()), (Some(50), 2, "x86_64-linux"));
    let ids = |list: &[leasehold_protocol::vocab::HostId]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ids(&t.client_hostids), ["ethernet:0012ab34cd56", "user:Ada L."]);
    assert_eq!(ids(&t.server_hostids), ["disk:WD-1"]);
}

/// LT-11, LT-12, LT-19, LT-21.
#[test]
fn key_types_of_lm_x_are_ours() {
    let upgrade = one(&feature("<SETTING KEYTYPE=\"UPGRADE\"/><SETTING COUNT=\"3\"/><SETTING SHARE=\"VIRTUAL\"/>"));
    assert_eq!((upgrade.key_type, upgrade.version), (KeyType::Upgrade, Version::ANY));
    let additive = one(&feature("<SETTING KEYTYPE=\"ADDITIVE\" COUNT=\"3\" MAJOR_VERSION=\"2\"/>"));
    assert_eq!((additive.key_type, additive.terms.pools), (KeyType::Additive, Pooling::Separate));
    let token = one(&feature(
        "<SETTING KEYTYPE=\"TOKEN\" MAJOR_VERSION=\"1\" TOKEN_DEPENDENCY=\"FEATURE=f2 VERSION=1.0 COUNT=3\"/>",
    ));
    assert_eq!(token.terms.cost.unwrap().to_string(), "3 of f2@1.0");
}

/// L-8: "any other setting is refused at issue".
#[test]
fn a_forbidden_setting_on_an_upgrade_is_drawn_as_its_publisher_sees_it() {
    let text = feature(
        "  <SETTING KEYTYPE=\"UPGRADE\"/>\n  <SETTING COUNT=\"1\"/>\n  <SETTING CLIENT_HOSTID=\"ETHERNET=0012AB34CD56\"/>\n  <SETTING SHARE=\"USER\"/>\n",
    );
    let problems = read(&text).unwrap_err();
    let drawn: String = problems.0.iter().map(|problem| problem.render(false, 110)).collect();
    let wanted = include_str!("forbidden_on_an_upgrade.txt");
    assert_eq!(drawn, wanted, "{drawn}");
    // And as an element of its own.
    let text = feature("<SETTING KEYTYPE=\"UPGRADE\" COUNT=\"1\"/><CLIENT_HOSTID><SETTING ANY=\"\"/></CLIENT_HOSTID>");
    assert!(mistakes(&text)[0].contains("CLIENT_HOSTID is not allowed on an upgrade"));
}

#[test]
fn every_mistake_in_xml_is_named_with_its_place_and_the_nearest_word() {
    let v = "MAJOR_VERSION=\"1\" COUNT=\"1\"";
    for (settings, expected) in [
        (format!("<SETTING {v} CUONT=\"1\"/>"), "3:38: unknown setting CUONT | did you mean COUNT?"),
        (format!("<SETTING {v} COLOUR=\"1\"/>"), "unknown setting COLOUR | no such setting | tools/docs/templates.md"),
        ("<SETTING MAJOR_VERSION=\"1\" COUNT=\"0\"/>".into(), "3:35: COUNT is 0 | expected a number of seats"),
        (
            "<SETTING MAJOR_VERSION=\"1\" COUNT=\"2147483648\"/>".into(),
            "COUNT is 2147483648 | expected a number of seats",
        ),
        ("<SETTING MAJOR_VERSION=\"1\" COUNT=\"-1\"/>".into(), "COUNT is -1 | expected a number of seats"),
        (format!("<SETTING {v} END=\"2026-02-30\"/>"), "END is 2026-02-30 | expected a day such as"),
        (
            format!("<SETTING {v} KEYTYPE=\"EXCLUSIV\"/>"),
            "KEYTYPE is \"EXCLUSIV\" | expected EXCLUSIVE, ADDITIVE, UPGRADE or TOKEN | did you mean EXCLUSIVE?",
        ),
        (
            format!("<SETTING {v} SHARE=\"USRE\"/>"),
            "SHARE is \"USRE\" | expected USER, HOST, CUSTOM, VIRTUAL or TERMINALSERVER | did you mean USER?",
        ),
        (
            format!("<SETTING {v} USERBASED=\"3\"/>"),
            "USERBASED has no counterpart in leasehold | rights are not bound to named users",
        ),
        (
            format!("<SETTING {v}/><CLIENT_HOSTID><SETTING ETHERNT=\"x\"/></CLIENT_HOSTID>"),
            "\"ETHERNT\" is no kind of hostid | expected ETHERNET,",
        ),
        (
            format!("<SETTING {v}/><CLIENT_HOSTID><SETTING ETHERNET=\"12\"/></CLIENT_HOSTID>"),
            "ETHERNET is \"12\" | an Ethernet address has 12",
        ),
        (format!("<SETTING {v}/><SETING A=\"1\"/>"), "unknown element SETING | did you mean SETTING?"),
        ("<SETTING COUNT=\"1\"/>".into(), "2:3: this feature has no MAJOR_VERSION"),
        ("<SETTING KEYTYPE=\"UPGRADE\"/>".into(), "2:3: this upgrade has no COUNT"),
        ("<SETTING KEYTYPE=\"UPGRADE\" COUNT=\"UNLIMITED\"/>".into(), "the feature is an upgrade and uncounted"),
        ("<SETTING MAJOR_VERSION=\"1\" COUNT=\"UNLIMITED\"/>".into(), "the feature is uncounted and locked to nothing"),
        (format!("<SETTING {v} COUNT=\"2\"/>"), "not XML: attribute 'COUNT'"),
        ("<SETTING".into(), "not XML"),
    ] {
        let found = mistakes(&feature(&settings));
        assert!(found.iter().any(|line| line.contains(expected)), "{found:#?}\nexpected {expected}");
    }
    assert!(mistakes("<LICENCEFILE/>")[0].contains("did you mean LICENSEFILE?"));
    assert!(mistakes("<LICENSEFILE/>")[0].contains("there is no feature in it"));
}

#[test]
fn an_xml_bomb_is_refused_at_once() {
    let lol = (1..9).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect::<String>();
    let bomb = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY l0 \"lol\">{lol}]>{}",
        feature("<SETTING DATA=\"&l8;\"/>")
    );
    let found = mistakes(&bomb);
    assert!(found[0].contains("not XML") && found[0].contains("no DTD"), "{found:?}");
}

const LINES: &str = "# what the vendor sent
SERVER lic1 0012AB34CD56 27000\r
VENDOR acme
USE_SERVER
FEATURE CAD acme 4.8 31-dec-2026 10 VENDOR_STRING=\"a=b\" \\
\tNOTICE=\"For the office \\
 in Lyon\" SN=42 DUP_GROUP=UH OVERDRAFT=2 TS_OK SIGN=\"00AA\"
INCREMENT CAD acme 4.8 permanent 5 A1B2C3D4E5F6 SORT=1
FEATURE LOCAL acme 1 permanent uncounted HOSTID=\"DISK_SERIAL_NUM=WD-1 HOSTNAME=Render\"
";

#[test]
fn lines_of_flexnet_become_certificates() {
    let template = read(LINES).unwrap_or_else(|problems| panic!("{}", problems.render()));
    let [first, more, local] = &template.certificates[..] else { panic!("{template:?}") };
    assert_eq!(
        (first.key_type, first.count, first.end.unwrap().to_string().as_str()),
        (KeyType::Exclusive, counted(10), "2026-12-31")
    );
    assert_eq!((first.terms.dialect, first.terms.terminal_server), (Dialect::First, Permission::Allowed));
    assert_eq!(
        (first.terms.notice.as_deref(), first.terms.serial.as_deref()),
        (Some("For the office in Lyon"), Some("42"))
    );
    assert_eq!(first.terms.server_hostids[0].to_string(), "ethernet:0012ab34cd56");
    assert_eq!(
        (more.key_type, more.count, more.end, more.terms.terminal_server),
        (KeyType::Additive, counted(5), None, Permission::Refused)
    );
    assert_eq!(
        (local.count, local.version.to_string().as_str(), local.terms.client_hostids.len()),
        (SeatLimit::Uncounted, "1.0", 2)
    );
    assert!(local.terms.server_hostids.is_empty());
    let said: Vec<String> = template.warnings.iter().map(Problem::in_one_line).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(
        said[0].contains("signatures of the template are left out") && said[1].contains("SORT is left out"),
        "{said:#?}"
    );
}

fn counted(n: u32) -> SeatLimit {
    SeatLimit::Counted(leasehold_protocol::vocab::SeatCount::new(n).unwrap())
}

#[test]
fn a_package_is_one_right_or_one_for_each_component() {
    let plain =
        "PACKAGE OFFICE acme 1.0 COMPONENTS=\"TEXT SHEET:2.0:3\"\nINCREMENT OFFICE acme 1.0 permanent 5 TS_OK\n";
    let template = read(plain).unwrap_or_else(|problems| panic!("{}", problems.render()));
    let told: Vec<_> =
        template.certificates.iter().map(|c| (c.feature.as_str(), c.version.to_string(), c.count)).collect();
    assert_eq!(told, [("TEXT", "1.0".to_owned(), counted(5)), ("SHEET", "2.0".to_owned(), counted(15))]);
    assert!(warnings(plain)[0].contains("becomes 2 licences"));
    let suite = one(&plain.replace("\"\nINC", "\" OPTIONS=SUITE\nINC"));
    let components = suite.terms.components.unwrap();
    assert_eq!((components.together, components.features.len()), (Together::Package, 2));
}

#[test]
fn every_mistake_in_lines_is_named_with_its_place_and_the_nearest_word() {
    for (text, expected) in [
        ("FEATUR a acme 1.0 permanent 5", "not TOML"),
        ("VENDOR acme\nFEATUR a acme 1.0 permanent 5", "2:1: unknown line \"FEATUR\" | did you mean FEATURE?"),
        ("FEATURE a acme 1.0 permanent", "1:1: this FEATURE line is not whole | FEATURE NAME VENDOR"),
        ("FEATURE a other 1.0 permanent 5", "1:11: the line is other's, and the key is acme's"),
        ("FEATURE a acme 1.0 permanent 5 NOTCE=x", "1:32: unknown word \"NOTCE\" | did you mean NOTICE?"),
        ("FEATURE a acme 1.0 permanent -1", "1:30: count is -1 | expected a number of seats"),
        ("FEATURE a acme 1.0 permanent 2147483648", "expected a number of seats"),
        ("FEATURE a acme 1.0 30-feb-2026 5", "1:20: end is 30-feb-2026 | expected a day"),
        ("FEATURE a acme 1.0 permanent 5 DUP_GROUP=XYZ", "DUP_GROUP is \"XYZ\" | expected letters of UHDV"),
        ("FEATURE a acme 1.0 permanent 5 HOSTID=FLEXID=9-1", "\"FLEXID=9-1\" is no hostid | FLEXID is no kind"),
        ("FEATURE a acme 1.0 permanent uncounted", "the feature is uncounted and locked to nothing"),
        ("FEATURE a acme 1.0 permanent 5 USER_BASED=3", "USER_BASED has no counterpart in leasehold"),
        ("UPGRADE a acme 1.0 2.0 permanent 5", "UPGRADE has no counterpart in leasehold"),
        ("FEATURE a acme 1.0 permanent 5 NOTICE=\"open", "this line cannot be read |"),
        ("SERVER lic1", "this SERVER line has no hostid"),
    ] {
        let found = mistakes(text);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:#?}\nexpected {expected}");
    }
}

#[test]
fn ten_thousand_mistakes_are_a_hundred_and_no_text_makes_the_readers_panic() {
    let many = "FEATURE a acme 1.0 permanent 0x 5\n".repeat(10_000);
    assert_eq!(mistakes(&many).len(), 100);
    let long = format!("FEATURE a acme 1.0 permanent 5 NOTICE=\"{}\"", "x".repeat(65_536));
    assert!(mistakes(&long)[0].contains("65536 bytes, and at most 1024 fit"));
    let xml = feature(
        "<SETTING MAJOR_VERSION=\"1\" COUNT=\"1\" DATA=\"ä\"/><CLIENT_HOSTID><SETTING ANY=\"\"/></CLIENT_HOSTID>",
    );
    for text in [LINES, &xml] {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = read(&text[..end]);
            let _ = read(&text[end..]);
        }
    }
}

#[test]
fn ten_thousand_features_are_read_in_each_language() {
    let lines: String = (0..10_000).map(|n| format!("FEATURE F{n} acme 1.0 permanent 5\n")).collect();
    let settings = "<SETTING MAJOR_VERSION=\"1\" COUNT=\"5\"/>";
    let xml: String = (0..10_000).map(|n| format!("<FEATURE NAME=\"F{n}\">{settings}</FEATURE>")).collect();
    let toml: String =
        (0..10_000).map(|n| format!("[[feature]]\nname = \"F{n}\"\nversion = \"1.0\"\ncount = 5\n")).collect();
    for text in [lines, format!("<LICENSEFILE>{xml}</LICENSEFILE>"), toml] {
        assert_eq!(read(&text).unwrap_or_else(|problems| panic!("{}", problems.render())).certificates.len(), 10_000);
    }
}
