//! The signed certificates of `testdata/`: what the clauses say is what the crate signs, verifies, reads and writes.

use leasehold_protocol::licence::{
    LicenceError, PublisherKey, PublisherSecret, canonical, canonical::verify_cose, text,
};

use crate::{page::hex, vectors};

fn golden(file: &str) -> String {
    vectors::licence_texts().into_iter().find(|(name, _)| *name == file).expect("a golden text").1
}

#[test]
fn the_crate_signs_and_verifies_every_certificate_as_the_clauses_say() {
    for vector in vectors::licences() {
        let signed = canonical::sign(&vector.certificate, &vectors::publisher_secret());
        assert_eq!(hex(&signed.cose), hex(&vector.page.bytes), "{}", vector.page.name);
        let keys = [vectors::publisher_secret().public()];
        assert_eq!(verify_cose(&vector.page.bytes, &keys), Ok(signed), "{}", vector.page.name);
    }
}

#[test]
fn the_golden_licence_file_reads_with_the_golden_key_as_the_golden_bytes() {
    let key = PublisherKey::parse(&golden("licence-v1.pub")).expect("a key file");
    let report = text::read(&golden("licence-v1.lic"), &[key]);
    assert_eq!(report.refused, []);
    let (read, wanted) = (report.applied.iter().map(|signed| &signed.cose), vectors::licences());
    assert!(read.eq(wanted.iter().map(|vector| &vector.page.bytes)));
    let secret = PublisherSecret::parse(&golden("licence-v1.key")).expect("a key file");
    assert_eq!(secret.public(), vectors::publisher_secret().public());
}

#[test]
fn every_prefix_and_every_changed_bit_of_the_golden_bytes_is_refused() {
    let keys = [vectors::publisher_secret().public()];
    for vector in vectors::licences() {
        let bytes = &vector.page.bytes;
        for len in 0..bytes.len() {
            assert!(matches!(verify_cose(&bytes[..len], &keys), Err(LicenceError::Malformed(_))), "{len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_cose(&changed, &keys).is_err(), "bit {bit} of {}", vector.page.name);
        }
    }
}
