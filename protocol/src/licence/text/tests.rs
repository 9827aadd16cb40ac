mod damage;
mod properties;
mod reflow;

use super::*;
use crate::licence::{
    Certificate, PublisherSecret,
    canonical::{
        sign,
        tests::{full, kinds::every_kind, publisher, small},
    },
};

fn demo() -> PublisherSecret {
    publisher("demo", 1)
}

/// A certificate of every kind.
fn every() -> Vec<SignedCertificate> {
    every_kind().iter().map(|certificate| sign(certificate, &demo())).collect()
}

/// Two certificates of one publisher.
fn two() -> [SignedCertificate; 2] {
    [sign(&small(), &demo()), sign(&full(), &demo())]
}

fn keys() -> [PublisherKey; 1] {
    [demo().public()]
}

/// Certificates without their places, for comparing.
fn bare(signed: &[SignedCertificate]) -> Vec<SignedCertificate> {
    signed.iter().cloned().map(|signed| SignedCertificate { place: None, ..signed }).collect()
}

#[test]
fn what_is_written_reads_back_and_knows_its_place() {
    let text = write(&two(), "for the tests");
    let report = read(&text, &keys());
    assert_eq!(report.refused, [], "{text}");
    assert_eq!(bare(&report.applied), two());
    for signed in &report.applied {
        let place = signed.place.unwrap();
        assert_eq!(text.lines().nth(place.line as usize - 1), Some("certificate {"));
        assert_eq!(&text[place.offset..place.offset + place.len], "certificate");
    }
}

#[test]
fn two_publishers_share_a_file_and_only_the_known_one_counts() {
    let acme = publisher("acme", 2);
    let foreign = Certificate { publisher: acme.public().publisher().clone(), ..small() };
    let text = write(&[sign(&foreign, &acme), sign(&small(), &demo())], "");
    let both = read(&text, &[demo().public(), acme.public()]);
    assert_eq!((both.applied.len(), both.refused.len()), (2, 0));
    assert_ne!(both.applied[0].realm(), both.applied[1].realm());
    let one = read(&text, &keys());
    assert_eq!(one.applied.len(), 1);
    assert_eq!(one.refused[0].why, LicenceError::UnknownKey(acme.public().key_id()));
    assert_eq!(one.refused[0].feature.as_ref().map(FeatureName::as_str), Some("VR_MODE"));
}

#[test]
fn the_same_certificate_twice_counts_once() {
    let [first, _] = two();
    let report = read(&write(&[first.clone(), first.clone()], ""), &keys());
    assert_eq!(bare(&report.applied), [first]);
    let why = &report.refused[0].why;
    assert!(matches!(why, LicenceError::Text(TextError::SameAgain(place)) if place.line == 5), "{why:?}");
}

#[test]
fn prose_around_certificates_is_for_people() {
    let licence = write(&two(), "");
    let mail = format!(
        "From: \"Sales\" <sales@example.com>\nSubject: your certificate\n\nDear = customer, 1 + 1 = 2\n{licence}\n-- \nSales\n"
    );
    let report = read(&mail, &keys());
    assert_eq!((report.applied.len(), report.refused), (2, vec![]));
}

#[test]
fn a_file_too_long_and_certificates_too_many_are_refused_as_such() {
    let long = read(&"#".repeat(FILE_MAX + 1), &keys());
    assert_eq!(long.refused[0].why, TextError::FileTooLong(FILE_MAX + 1).into());
    for damage in ["certificate{}", "{", "}", "{}", "sign=", "certificate{", "certificate{\""] {
        let many = read(&damage.repeat(3 * CERTIFICATES_MAX), &keys());
        assert!(many.refused.len() <= CERTIFICATES_MAX + 1, "{damage}: {}", many.refused.len());
        let last = &many.refused.last().unwrap().why;
        assert!(*last == TextError::TooManyCertificates.into() || many.refused.len() < 3, "{damage}: {last}");
    }
}
