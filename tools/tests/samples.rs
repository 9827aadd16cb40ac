//! Ten sample templates, signed: what may happen to a licence file on its way, and what may not (L-1, TR-01).

use std::path::{Path, PathBuf};

use leasehold_cli::issue::Template;
use leasehold_protocol::{
    licence::{PublisherKey, PublisherSecret, SignedCertificate, canonical, text},
    vocab::Label,
};

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert_eq!(all.len(), 10);
    all
}

fn secret() -> PublisherSecret {
    PublisherSecret::generate(&Label::new("acme").unwrap(), &mut |bytes: &mut [u8]| bytes.fill(7))
}

/// The signed certificates of a template, and their licence file.
fn issued(path: &Path) -> (Vec<SignedCertificate>, String) {
    let (name, said) = (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    let template = Template::read(&name, &said, Some(secret().public().publisher()));
    let template = template.unwrap_or_else(|problems| panic!("{}", problems.render()));
    let signed: Vec<_> = template.certificates.iter().map(|c| canonical::sign(c, &secret())).collect();
    let text = text::write(&signed, "A sample.");
    (signed, text)
}

fn keys() -> [PublisherKey; 1] {
    [secret().public()]
}

/// What is read: the signed bytes of each certificate, and how many were refused.
fn read(text: &str) -> (Vec<Vec<u8>>, usize) {
    let report = text::read(text, &keys());
    (report.applied.into_iter().map(|signed| signed.cose).collect(), report.refused.len())
}

/// A flip is harmless where it changes no value: in a comment, or in the case of a hostid. Then the certificate that is
/// read is the one that was signed, bit for bit.
#[test]
fn no_single_bit_flipped_makes_a_file_grant_anything_that_was_not_signed() {
    let (mut flips, mut refused, mut same) = (0, 0, 0);
    for path in samples() {
        let (signed, text) = issued(&path);
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            flips += 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                refused += 1;
                continue;
            };
            let (applied, _) = read(&changed);
            for cose in &applied {
                assert!(signed.iter().any(|one| one.cose == *cose), "bit {bit} of {}", path.display());
            }
            if applied.len() == signed.len() { same += 1 } else { refused += 1 }
        }
        // The signed bytes themselves, as PROOF shows them: nothing in them is harmless.
        for one in &signed {
            for bit in 0..one.cose.len() * 8 {
                let mut changed = one.cose.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(canonical::verify_cose(&changed, &keys()).is_err(), "bit {bit} of {}", path.display());
            }
        }
    }
    println!(
        "{flips} flips of ten files: {refused} refused, {same} in comments and spaces, 0 accepted with another value"
    );
    assert!(refused > 2 * same);
}

#[test]
fn whatever_mail_and_editors_do_to_a_file_it_grants_the_same() {
    for path in samples() {
        let (signed, text) = issued(&path);
        let wanted: Vec<Vec<u8>> = signed.into_iter().map(|signed| signed.cose).collect();
        let lines = |change: &dyn Fn(&str) -> String| text.lines().map(change).collect::<String>();
        let reordered = {
            let (head, body) = text.split_once("{\n").unwrap();
            let body = body.strip_suffix("}\n").unwrap();
            let mut settings: Vec<String> = Vec::new();
            for line in body.lines() {
                match settings.last_mut() {
                    Some(last) if line.starts_with("    ") => *last += &format!("\n{line}"),
                    _ => settings.push(line.to_owned()),
                }
            }
            settings.reverse();
            format!("{head}{{\n{}\n}}\n", settings.join("\n"))
        };
        for (what, changed) in [
            ("CRLF", text.replace('\n', "\r\n")),
            ("indented", lines(&|line| format!("\t   {line}\n"))),
            ("quoted by mail", lines(&|line| format!("> {line}\n"))),
            ("settings reordered", reordered),
            (
                "every word on a line of its own",
                text.split_once("certificate {")
                    .map(|(_, body)| format!("certificate {{{}", body.replace(' ', "\n")))
                    .unwrap(),
            ),
            ("a byte order mark and no line end", format!("\u{feff}{}", text.trim_end())),
        ] {
            assert_eq!(read(&changed), (wanted.clone(), 0), "{}: {what}\n{changed}", path.display());
        }
    }
}
