//! Mistakes in templates, each with its place, what was expected and the nearest word.

use leasehold_protocol::licence::{KeyType, SeatLimit};

use super::*;

const GOOD: &str = r#"zone = "Europe/Paris"
end = 2026-12-31
grace = "2m"

[[feature]]
name = "VR_MODE"
version = "4.8"
count = 10

[[feature]]
name = "RENDER"
version = "2.0.1"
count = "uncounted"
type = "additive"
start = "2026-01-01"
end = "permanent"
lease-ttl = "1h"
server-keys = ["00112233445566778899aabbccddeeff"]
vendor-string = "a=b"
serial = "7"
issuer = "Acme"
notice = """two
lines"""
"#;

fn read(text: &str) -> Result<Template, Problems> {
    Template::read("t.toml", text, Some(secret("acme").public().publisher()))
}

/// The mistakes of `text`, each as `line:column: message | expected | help`.
fn mistakes(text: &str) -> Vec<String> {
    let problems = read(text).expect_err("mistakes").0;
    let shown = |p: &Problem| {
        let (line, column) = p.line_column();
        format!("{line}:{column}: {p} | {} | {}", p.what_was_expected(), p.what_to_do().unwrap_or("-"))
    };
    problems.iter().map(shown).collect()
}

#[test]
fn a_feature_says_what_it_wants_and_takes_the_rest_from_the_top() {
    let template = read(GOOD).unwrap();
    let [vr, render] = &template.certificates[..] else { panic!("{template:?}") };
    assert_eq!((vr.publisher.as_str(), vr.feature.as_str(), vr.zone.as_str()), ("acme", "VR_MODE", "Europe/Paris"));
    assert_eq!((vr.start, vr.end.unwrap().to_string().as_str()), (None, "2026-12-31"));
    assert_eq!((vr.terms.grace_s, vr.terms.lease_ttl_s, vr.key_type), (Some(120), None, KeyType::Exclusive));
    assert_eq!((render.count, render.key_type, render.end), (SeatLimit::Uncounted, KeyType::Additive, None));
    assert_eq!((render.terms.lease_ttl_s, render.terms.grace_s), (Some(3600), Some(120)));
    assert_eq!(render.terms.notice.as_deref(), Some("two\nlines"));
    assert_eq!(render.start.unwrap().to_string(), "2026-01-01");
}

#[test]
fn the_example_is_a_template_without_mistakes() {
    assert_eq!(read(EXAMPLE).unwrap().certificates.len(), 2);
}

#[test]
fn every_mistake_is_named_with_its_place_and_remedy() {
    for (from, to, expected) in [
        ("count = 10", "cuont = 10", "8:1: unknown setting \"cuont\" | did you mean \"count\"? | -"),
        (
            "count = 10",
            "count = 10\ncolour = 1",
            "9:1: unknown setting \"colour\" | no such setting | there are: name, version,",
        ),
        (
            "grace = \"2m\"",
            "count = 3",
            "3:1: unknown setting \"count\" | a setting for the whole file | count belongs below a [[feature]]",
        ),
        (
            "[[feature]]\nname = \"VR",
            "[[features]]\nname = \"VR",
            "5:3: unknown setting \"features\" | did you mean \"feature\"?",
        ),
        ("count = 10", "", "5:1: this feature has no count | a line such as count = 10 | -"),
        ("name = \"VR_MODE\"", "", "5:1: this feature has no name"),
        (
            "count = 10",
            "count = 0",
            "8:9: count is 0 | expected a number of seats from 1 to 2147483647, or \"uncounted\" | -",
        ),
        ("count = 10", "count = -1", "8:9: count is -1 | expected a number of seats"),
        ("count = 10", "count = 2147483648", "8:9: count is 2147483648 | expected a number of seats"),
        ("count = 10", "count = \"10\"", "a number stands without quotes"),
        ("count = 10", "count = \"uncuonted\"", "did you mean \"uncounted\"?"),
        ("count = 10", "count = \"uncounted\"", "8:9: the feature is uncounted and locked to nothing"),
        (
            "version = \"4.8\"",
            "version = 4.10",
            "7:11: version is 4.10 | expected a version in quotes | write version = \"4.10\"",
        ),
        ("version = \"4.8\"", "version = \"4\"", "7:11: version is \"4\" | expected a version such as"),
        ("\"VR_MODE\"", "\"VR MODE\"", "6:8: name is \"VR MODE\" | expected a feature's name"),
        (
            "\"Europe/Paris\"",
            "\"Europe/Pairs\"",
            "1:8: zone is \"Europe/Pairs\" | expected a time zone such as \"UTC\" or \"Europe/Paris\" | did you mean \"Europe/Paris\"?",
        ),
        (
            "end = 2026-12-31",
            "end = 2026-12-31T00:00:00",
            "2:7: end is 2026-12-31T00:00:00 | expected a day such as 2026-12-31, or \"permanent\" | a licence begins and ends with whole days",
        ),
        ("end = 2026-12-31", "end = \"2026-02-30\"", "2:7: end is \"2026-02-30\" | expected a day"),
        ("end = 2026-12-31", "end = \"permanant\"", "did you mean \"permanent\"?"),
        ("end = 2026-12-31", "end = 1900-01-01", "2:7: end is 1900-01-01 | expected a day"),
        (
            "count = 10",
            "count = 10\nstart = 2027-01-01",
            "2:7: the feature starts on 2027-01-01 and ends on 2026-12-31, before it starts | a day on or after 2027-01-01",
        ),
        (
            "grace = \"2m\"",
            "grace = 120",
            "3:9: grace is 120 | expected a time from 0s to 24h in quotes, such as \"300s\", \"5m\" or \"2h\" | a time needs its unit: \"120s\"?",
        ),
        ("grace = \"2m\"", "grace = \"25h\"", "3:9: grace is \"25h\" | expected a time from 0s to 24h"),
        ("lease-ttl = \"1h\"", "lease-ttl = \"1s\"", "17:13: lease-ttl is \"1s\" | expected a time from 2s to 24h"),
        (
            "type = \"additive\"",
            "type = \"aditive\"",
            "14:8: type is \"aditive\" | expected \"exclusive\", \"additive\" or \"upgrade\" | did you mean \"additive\"?",
        ),
        (
            "[\"00112233445566778899aabbccddeeff\"]",
            "\"00\"",
            "18:15: server-keys is \"00\" | expected a list of up to 32 fingerprints",
        ),
        ("serial = \"7\"", "serial = 7", "20:10: serial is 7 | expected a text of 1 to 1024 bytes"),
        ("serial = \"7\"", "serial = \"\"", "20:10: serial is \"\" | expected a text of 1 to 1024 bytes"),
        (
            "zone = ",
            "publisher = \"other\"\nzone = ",
            "1:13: the template is other's, and the key is acme's | \"acme\", or the key of other | a publisher signs for itself alone",
        ),
        ("zone = ", "publisher = 1\nzone = ", "1:13: not a publisher's name"),
        ("zone = \"Europe/Paris\"", "zone = ", "not TOML"),
        ("zone = \"Europe/Paris\"", "end = 2026-12-30", "not TOML"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let found = mistakes(&text);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:#?}\nexpected {expected}");
    }
}

#[test]
fn all_mistakes_are_named_at_once_and_in_the_order_of_the_file() {
    let text = GOOD
        .replace("grace = \"2m\"", "grase = \"2m\"")
        .replace("count = 10", "count = 0")
        .replace("\"2.0.1\"", "\"x\"");
    let found = mistakes(&text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("3:1:") && found[1].starts_with("8:9:") && found[2].starts_with("12:11:"),
        "{found:#?}"
    );
}

/// Found by fuzzing: the reader of TOML goes on after each character that is none.
#[test]
fn of_very_many_mistakes_the_first_hundred_are_told() {
    let control = format!("name = \"{}\"\n", "\u{15}\n".repeat(3000));
    for text in [control, "[[feature]]\nversoin = 1\n".repeat(200)] {
        assert_eq!(Template::read("t.toml", &text, None).unwrap_err().0.len(), 100);
    }
}

/// A template in one line of 64 KiB is drawn in part, with its place in the whole.
#[test]
fn a_line_that_is_too_long_is_drawn_in_part() {
    let padding = "y".repeat(65_536);
    for (before, after) in
        [("", padding.as_str()), (padding.as_str(), ""), (padding.as_str(), padding.as_str()), ("ü", &padding)]
    {
        let text = format!("[[feature]]\nname = \"CAD\" # {before}\nversoin = \"1.0\" # {after}\n");
        let problems = Template::read("t.toml", &text, None).unwrap_err();
        let drawn = problems.render();
        assert!(
            drawn.lines().all(|line| line.chars().count() < 200),
            "{} columns",
            drawn.lines().map(str::len).max().unwrap()
        );
        assert!(drawn.contains("[t.toml:3:1]") && drawn.contains("versoin = "), "{drawn}");
    }
    let text =
        format!("[[feature]]\nname = \"CAD\"\nversion = \"1.0\"\ncount = 1\nnotice = \"{padding}\" \nzoen = 1\n");
    let drawn = Template::read("t.toml", &text, None).unwrap_err().render();
    assert!(drawn.len() < 3000 && drawn.contains("[t.toml:6:1]"), "{drawn}");
}

#[test]
fn a_mistake_is_drawn_with_its_line_underlined() {
    let problems = read(&GOOD.replace("\"Europe/Paris\"", "\"Europe/Pairs\"")).unwrap_err();
    let drawn = problems.0[0].render(false, 110);
    let wanted = "  × zone is \"Europe/Pairs\"
   ╭─[t.toml:1:8]
 1 │ zone = \"Europe/Pairs\"
   ·        ───────┬──────
   ·               ╰── expected a time zone such as \"UTC\" or \"Europe/Paris\"
 2 │ end = 2026-12-31
   ╰────
  help: did you mean \"Europe/Paris\"?
";
    assert_eq!(drawn, wanted, "{drawn}");
}

#[test]
fn no_text_makes_the_reader_panic() {
    for end in (0..GOOD.len()).filter(|end| GOOD.is_char_boundary(*end)) {
        let _ = read(&GOOD[..end]);
        let _ = read(&GOOD[end..]);
    }
    for odd in [
        "feature = 1",
        "feature = [1]",
        "[feature]",
        "[[feature]]",
        "[feature.x]",
        "feature.name = 1",
        "\u{feff}",
        "=",
        "zone = {}",
    ] {
        let _ = read(odd);
    }
}
