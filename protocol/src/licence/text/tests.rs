use super::*;
use crate::licence::canonical::{
    sign,
    tests::{full, publisher, small},
};

#[test]
fn what_is_written_reads_back() {
    let secret = publisher("demo", 1);
    let signed = [sign(&small(), &secret), sign(&full(), &secret)];
    let text = write(&signed, "for the tests");
    let report = read(&text, &[secret.public()]);
    assert_eq!(report.refused, [], "{text}");
    let cose = |list: &[SignedCertificate]| list.iter().map(|s| s.cose.clone()).collect::<Vec<_>>();
    assert_eq!(cose(&report.applied), cose(&signed));
    println!("{text}");
}
