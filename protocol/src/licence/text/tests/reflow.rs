//! What mail and editors do to text does no harm (L-1).

use super::*;

/// Breaks every line longer than `width` at spaces, as mail programs do; a word longer than that stays whole.
fn wrapped(text: &str, width: usize, line_end: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut rest = line;
        while rest.len() > width {
            let head = rest.char_indices().take_while(|(at, _)| *at <= width);
            let Some(space) =
                head.filter(|(at, c)| *c == ' ' && !rest[..*at].trim().is_empty()).map(|(at, _)| at).last()
            else {
                break;
            };
            out.push_str(&rest[..space]);
            out.push_str(line_end);
            rest = &rest[space + 1..];
        }
        out.push_str(rest);
        out.push_str(line_end);
    }
    out
}

/// Breaks the signature's characters into pieces of `width`.
fn signature_in_pieces(text: &str, width: usize) -> String {
    let cut = |line: &str| {
        let chars: Vec<char> = line.trim().chars().collect();
        chars.chunks(width).map(|piece| piece.iter().collect::<String>()).collect::<Vec<_>>().join("\n   ")
    };
    let is_signature = |line: &str| line.starts_with("    ") && line.trim().len() > 40 && !line.trim().contains(' ');
    text.lines().map(|line| if is_signature(line.trim_end()) { cut(line) } else { line.to_owned() } + "\n").collect()
}

/// The settings of every certificate in the opposite order.
fn reordered(text: &str) -> String {
    let mut out = String::new();
    for block in text.split_inclusive("}\n") {
        let Some((head, body)) = block.split_once("{\n") else {
            out.push_str(block);
            continue;
        };
        let body = body.strip_suffix("}\n").unwrap();
        let mut settings: Vec<String> = Vec::new();
        for line in body.lines() {
            match settings.last_mut() {
                Some(last) if line.starts_with("    ") => *last = format!("{last}\n{line}"),
                _ => settings.push(line.to_owned()),
            }
        }
        settings.reverse();
        out.push_str(&format!("{head}{{\n{}\n}}\n", settings.join("\n")));
    }
    out
}

#[test]
fn nothing_mail_does_to_a_licence_makes_it_void() {
    let text = write(&every(), "A comment that says so much that it does not fit on one line of sixty columns or so.");
    let prefixed = |prefix: &str| text.lines().map(|line| format!("{prefix}{line}\n")).collect::<String>();
    let cases: Vec<(&str, String)> = vec![
        ("CRLF", text.replace('\n', "\r\n")),
        ("CR", text.replace('\n', "\r")),
        ("a byte order mark", format!("\u{feff}{text}")),
        ("no line end at the end", text.trim_end().to_owned()),
        ("tabs", text.replace("  ", "\t")),
        ("no indentation", text.lines().map(|line| format!("{}\n", line.trim_start())).collect()),
        ("more indentation", prefixed("          ")),
        ("spaces at line ends", text.replace('\n', "   \n")),
        ("empty lines", text.replace('\n', "\n\n")),
        ("spaces around signs", text.replace(" = ", "\t=   ").replace(",\n", " ,\n")),
        ("no spaces around signs", text.replace(" = ", "=")),
        ("no-break spaces", text.replace("  ", "\u{a0}\u{a0}")),
        ("quoted once", prefixed("> ")),
        ("quoted thrice", prefixed(">> > ")),
        ("quoted without a space", prefixed(">")),
        ("comments between settings", text.replace("  version", "  # a \"comment\" = { here }\n  version")),
        (
            "all certificates on one line each",
            text.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join(" "),
        ),
        ("another order of settings", reordered(&text)),
    ];
    for (what, changed) in &cases {
        let report = read(changed, &keys());
        assert_eq!(report.refused, [], "{what}:\n{changed}");
        assert_eq!(bare(&report.applied), every(), "{what}");
    }
    for width in [60, 64, 66, 72, 76, 78, 80, 100, 132] {
        for (what, line_end) in [("LF", "\n"), ("CRLF", "\r\n"), ("quoted", "\n> ")] {
            for (from, source) in cases.iter().filter(|(what, _)| !what.contains("quoted") && !what.contains("CR")) {
                // A comment that was made longer than the width is broken by it, and that is no longer our text.
                if source.lines().any(|line| line.trim_start().starts_with('#') && line.len() > width) {
                    continue;
                }
                let changed = wrapped(source, width, line_end);
                let report = read(&changed, &keys());
                assert_eq!(report.refused, [], "{from}, then {what} wrapped at {width}:\n{changed}");
                assert_eq!(bare(&report.applied), every(), "{from}, {what}, {width}");
            }
        }
    }
    for width in [1, 7, 10, 20, 42] {
        let changed = signature_in_pieces(&text, width);
        assert_ne!(changed, text);
        assert_eq!(bare(&read(&changed, &keys()).applied), every(), "signature in pieces of {width}:\n{changed}");
    }
}

#[test]
fn other_spellings_of_the_same_value_are_the_same_value() {
    let text = write(&every(), "");
    for (from, to) in [
        ("version = 4.8.1", "version = \"4.8.1\""),
        ("lease-ttl = 600s", "lease-ttl = 10m"),
        ("grace = 120s", "grace = 2m"),
        ("publisher = demo", "publisher = \"demo\""),
        ("count = 10", "count = 010"),
        ("  zone = UTC\n", ""),
        ("  type = exclusive\n", ""),
        ("  end = permanent\n", ""),
        ("  end = permanent\n", "  end = permanent start = always\n"),
        ("Thank you", "Thank \\u79;ou"),
        ("not for\n    resale", "not \t for resale"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        assert_eq!(bare(&read(&changed, &keys()).applied), every(), "{from} as {to}:\n{changed}");
    }
}

#[test]
fn no_line_that_may_be_broken_is_longer_than_sixty_columns() {
    let text = write(&every(), &"a comment of very many words ".repeat(20));
    for line in text.lines() {
        assert!(line.chars().count() <= 60, "{line}");
    }
}

#[test]
fn what_a_reader_could_not_see_is_spelt_out() {
    let mut certificate = full();
    certificate.terms.notice = Some("10 seats\u{202e}staes 001  > x\u{a0}".to_owned());
    let text = write(&[sign(&certificate, &demo())], "");
    assert!(text.contains(r"seats\u202e;staes"), "{text}");
    assert!(text.contains(r"\u20;\u20;\u3e; x\ua0;"), "{text}");
    assert_eq!(read(&text, &keys()).applied[0].certificate, certificate);
}
