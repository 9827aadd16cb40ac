//! Templates in their three languages: text that somebody wrote by hand, or a program that was not ours.

use leasehold_cli::issue::{Language, Template};
use leasehold_protocol::licence::{canonical, text};

use crate::licence_text::secret;

const TOML: u8 = 0xf8;
const XML: u8 = 0xf9;
const FLEXNET: u8 = 0xfa;

/// Reads `bytes` as a template: by the first byte in one language, otherwise in the one it looks like.
pub fn run(bytes: &[u8]) {
    let (language, bytes) = match bytes.split_first() {
        Some((&TOML, rest)) => (Some(Language::Toml), rest),
        Some((&XML, rest)) => (Some(Language::Xml), rest),
        Some((&FLEXNET, rest)) => (Some(Language::Flexnet), rest),
        _ => (None, bytes),
    };
    let text = String::from_utf8_lossy(bytes);
    let language = language.unwrap_or_else(|| Language::of(&text));
    let publisher = secret().public().publisher().clone();
    match Template::read_as(language, "fuzz", &text, Some(&publisher)) {
        Ok(template) => signable(&template),
        Err(problems) => {
            assert!(!problems.0.is_empty() && problems.0.len() <= 100);
            let lines = text.split('\n').count();
            for problem in &problems.0 {
                let (line, column) = problem.line_column();
                assert!((1..=lines).contains(&line) && column >= 1, "{line}:{column} of {lines} lines");
                assert!(!problem.message().is_empty());
            }
            assert!(!problems.0[0].render(false, 100).is_empty());
        }
    }
}

/// Whatever a template says without a mistake can be signed, written and read back as it was.
fn signable(template: &Template) {
    let signed: Vec<_> = template.certificates.iter().map(|c| canonical::sign(c, secret())).collect();
    for (certificate, signed) in template.certificates.iter().zip(&signed) {
        assert_eq!(canonical::check(certificate), Ok(()), "{certificate:?}");
        assert_eq!(canonical::verify_cose(&signed.cose, &[secret().public()]).as_ref(), Ok(signed));
    }
    let report = text::read(&text::write(&signed, "fuzz"), &[secret().public()]);
    let again: Vec<_> = report.applied.iter().map(|signed| &signed.cose).collect();
    let mut once: Vec<&Vec<u8>> = Vec::new();
    signed.iter().for_each(|signed| {
        if !once.contains(&&signed.cose) {
            once.push(&signed.cose)
        }
    });
    assert_eq!(again, once);
}
