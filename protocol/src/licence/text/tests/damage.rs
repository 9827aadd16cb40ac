//! Changed values and broken text: named, and the rest still loads.

use super::*;

/// What is said about `text`, and how many certificates are left.
fn said(text: &str) -> (Vec<String>, usize) {
    let report = read(text, &keys());
    (report.refused.iter().map(|r| format!("{}: {}", r.place, r.why)).collect(), report.applied.len())
}

#[test]
fn any_changed_value_voids_its_certificate_alone() {
    let text = write(&two(), "");
    for (from, to) in [
        (
            "publisher = demo\n  feature = VR_MODE\n  version = 4.8.1\n  count = 10\n  type = additive",
            "publisher = demo\n  feature = VR_MODE\n  version = 4.8.1\n  count = 11\n  type = additive",
        ),
        ("type = additive", "type = exclusive"),
        ("zone = Europe/Paris", "zone = UTC"),
        ("start = 2026-01-01", "start = 2025-01-01"),
        ("  start = 2026-01-01\n", ""),
        ("end = 2026-12-31", "end = 2027-12-31"),
        ("end = 2026-12-31", "end = permanent"),
        ("  end = 2026-12-31\n", ""),
        ("lease-ttl = 600s", "lease-ttl = 601s"),
        ("grace = 120s", "grace = 121s"),
        ("  grace = 120s\n", ""),
        ("11111111111111111111111111111111", "11111111111111111111111111111112"),
        ("11111111111111111111111111111111,\n    ", ""),
        ("site=Lyon", "site=lyon"),
        ("2026-0042", "2026-0043"),
        ("Tools", "Tool"),
        ("Lyon office", "Lyonoffice"),
        ("  issuer = \"Demo \\\"Tools\\\" SA\"\n", ""),
        ("Thank you.", "Thank you"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let report = read(&changed, &keys());
        assert_eq!(bare(&report.applied), two()[..1], "{from} to {to}");
        assert!(
            matches!(report.refused[0].why, LicenceError::Signature { .. }),
            "{from} to {to}: {:?}",
            report.refused
        );
    }
}

#[test]
fn every_changed_digit_of_the_signature_voids_it() {
    let text = write(&two()[..1], "");
    let start = text.find("ed25519:").unwrap() + "ed25519:".len();
    for (at, c) in text[start..].char_indices().filter(|(_, c)| c.is_ascii_alphanumeric() || matches!(c, '+' | '/')) {
        let other = if c == 'A' { 'B' } else { 'A' };
        let mut changed = text.clone();
        changed.replace_range(start + at..=start + at, &other.to_string());
        assert!(read(&changed, &keys()).applied.is_empty(), "{at}");
    }
}

#[test]
fn mistakes_are_named_with_line_column_expectation_and_nearest_word() {
    let text = write(&two(), "");
    for (from, to, expected) in [
        (
            "feature = VR_MODE\n  version = 4.8.1\n  count = 10\n  type = e",
            "featrue = VR_MODE\n  version = 4.8.1\n  count = 10\n  type = e",
            "line 7, column 3: unknown setting \"featrue\"; did you mean \"feature\"?",
        ),
        ("type = exclusive", "colour = red", "line 10, column 3: unknown setting \"colour\""),
        (
            "type = exclusive",
            "type = exlusive",
            "line 10, column 10: type is \"exlusive\": expected exclusive, additive or upgrade; did you mean \"exclusive\"?",
        ),
        ("type = exclusive", "type =", "line 10, column 3: type is \"\": expected exclusive, additive or upgrade"),
        (
            "type = exclusive",
            "type = exclusive additive",
            "line 10, column 10: type is \"exclusive additive\": expected exclusive, additive or upgrade",
        ),
        (
            "type = exclusive",
            "count = 10",
            "line 10, column 3: count is set a second time; the first is at line 9, column 3",
        ),
        ("type = exclusive", "= exclusive", "line 9, column 11: unknown setting \"10\""),
        (
            "type = exclusive",
            "\"type\" = exclusive",
            "line 9, column 11: count is \"10 type = exclusive\": expected a number of seats",
        ),
        ("zone = UTC", "zone = utc+1", "line 11, column 10: zone is \"utc+1\": expected a time zone"),
        (
            "end = permanent",
            "end = 2026-02-30",
            "line 12, column 9: end is \"2026-02-30\": expected a day such as 2026-12-31, or permanent",
        ),
        ("end = permanent", "end = permanant", "did you mean \"permanent\"?"),
        (
            "end = permanent",
            "lease-ttl = 5",
            "line 12, column 15: lease-ttl is \"5\": expected a time such as 300s, 5m, 2h or 30d",
        ),
        (
            "end = permanent",
            "notice = two words",
            "line 12, column 12: notice is \"two words\": expected one word, or a text in double quotes",
        ),
        ("end = permanent", "notice = \"a\\qb\"", "line 12, column 12: unknown escape \"\\\\\""),
        ("end = permanent", "server-keys = 12", "line 12, column 17: server-keys is \"12\": expected fingerprints"),
        (":ed25519:", ":rsa:", "line 13, column 3: signed with the algorithm \"rsa\""),
        (":ed25519:", ":", "line 13, column 10: sign is"),
        (
            "  version = 4.8.1\n  count = 10\n  type = e",
            "  count = 10\n  type = e",
            "line 5, column 1: the setting \"version\" is missing",
        ),
        (
            "version = 4.8.1\n  count = 10\n  type = e",
            "version = four\n  count = 10\n  type = e",
            "line 8, column 13: version is \"four\": expected a version such as 4.8 or 4.8.1",
        ),
        (
            "count = 10\n  type = e",
            "count = 0\n  type = e",
            "line 9, column 11: count is \"0\": expected a number of seats",
        ),
        ("count = 10\n  type = e", "count = +1\n  type = e", "line 9, column 11: count is \"+1\""),
        (
            "feature = VR_MODE\n  version = 4.8.1\n  count = 10\n  type = e",
            "feature = VR/MODE\n  version = 4.8.1\n  count = 10\n  type = e",
            "line 7, column 13: feature is \"VR/MODE\"",
        ),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let (said, left) = said(&changed);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(expected), "{}\nexpected {expected}", said[0]);
        assert_eq!(left, 1, "the other certificate still loads");
    }
}

#[test]
fn lost_quotes_and_braces_cost_one_certificate() {
    let whole = write(&[two()[1].clone(), two()[0].clone()], "");
    for (from, to, expected) in [
        ("\"For the", "For the", "is not closed"),
        ("Thank you.\"", "Thank you.", "is not closed"),
        ("issuer = \"", "issuer = ", "issuer is"),
        ("}\n\ncertificate", "\n\ncertificate", "not closed by a \"}\""),
        ("certificate {\n  publisher", "publisher", "is set outside a certificate"),
        ("certificate {\n  publisher", "certifcate {\n  publisher", "found \"certifcate\""),
        ("certificate {\n  publisher", "{\n  publisher", "expected \"certificate\" before the \"{\""),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole, "{from}");
        let (said, left) = said(&changed);
        assert!(said.iter().any(|line| line.contains(expected)), "{from}: {said:?}");
        assert_eq!(left, 1, "{from}: {said:?}\n{changed}");
    }
    let cut = &whole[..whole.len() - 30];
    let (said, left) = said(cut);
    assert!(said[0].contains("not closed") && left == 1, "{said:?}");
}
