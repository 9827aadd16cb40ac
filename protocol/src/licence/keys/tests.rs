use super::*;

fn secret() -> PublisherSecret {
    PublisherSecret::generate(&Label::new("demo").unwrap(), &mut |bytes: &mut [u8]| bytes.fill(1))
}

#[test]
fn both_files_read_back_as_the_keys_they_were() {
    for name in ["demo", "Demo Tools SA", " padded ", "\"quoted\"", "=#", "étude"] {
        let label = Label::new(name).unwrap();
        let secret = PublisherSecret::generate(&label, &mut |bytes: &mut [u8]| bytes.fill(1));
        assert_eq!(PublisherKey::parse(&secret.public().to_text()), Ok(secret.public()), "{name}");
        assert_eq!(PublisherSecret::parse(&secret.to_text()).unwrap().public(), secret.public(), "{name}");
    }
}

#[test]
fn line_ends_spaces_comments_and_a_byte_order_mark_do_no_harm() {
    let text = secret().public().to_text();
    for other in [
        text.replace('\n', "\r\n"),
        text.replace('\n', "\r"),
        format!("\u{feff}{text}"),
        text.replace(" = ", "="),
        text.replace('\n', "  \n\n# a comment\n"),
    ] {
        assert_eq!(PublisherKey::parse(&other), Ok(secret().public()), "{other:?}");
    }
}

#[test]
fn the_wrong_half_is_told_from_the_right_one() {
    assert_eq!(PublisherKey::parse(&secret().to_text()), Err(KeyFileError::SecretGiven));
    assert_eq!(PublisherSecret::parse(&secret().public().to_text()).unwrap_err(), KeyFileError::PublicGiven);
}

fn sealed() -> SealedSecret {
    let stretch = Stretch { memory_kib: 65_536, passes: 3, lanes: 1, salt: [2; 16] };
    SealedSecret::seal(&secret(), stretch, &[3; 32])
}

#[test]
fn a_sealed_key_opens_with_its_own_passphrase_and_nothing_else() {
    let SecretFile::Sealed(read) = SecretFile::parse(&sealed().to_text()).unwrap() else { panic!("bare") };
    assert_eq!((read.stretch(), read.key_id()), (sealed().stretch(), secret().public().key_id()));
    assert_eq!(read.open(&[3; 32]).unwrap().to_text(), secret().to_text());
    assert_eq!(read.open(&[4; 32]).unwrap_err(), WrongPassphrase);
    assert_eq!(PublisherSecret::parse(&sealed().to_text()).unwrap_err(), KeyFileError::Sealed);
    let hidden = hex::encode(&[1; 32]);
    assert!(!sealed().to_text().contains(&hidden) && !format!("{:?}", sealed()).contains(&hidden));
}

/// Publisher, key id and every bit of what is sealed hang together.
#[test]
fn whatever_is_changed_of_a_sealed_key_is_noticed() {
    let text = sealed().to_text();
    let id = secret().public().key_id().to_string();
    for other in [text.replace("publisher = demo", "publisher = evil"), text.replace(&id, "00000000")] {
        let SecretFile::Sealed(read) = SecretFile::parse(&other).unwrap() else { panic!("bare") };
        assert_eq!(read.open(&[3; 32]).unwrap_err(), WrongPassphrase);
    }
    let good = sealed();
    for bit in 0..good.sealed_bits() {
        assert_eq!(good.flipped(bit).open(&[3; 32]).unwrap_err(), WrongPassphrase, "bit {bit}");
    }
    for (from, to) in [
        ("argon2id", "scrypt"),
        ("65536", "7"),
        ("65536", "1048577"),
        (" 3 1 ", " 0 1 "),
        (" 3 1 ", " 3 17 "),
        (" 3 1 ", " 3 "),
        ("sealed-key = ", "key = 00\nsealed-key = "),
    ] {
        let e = SecretFile::parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(e, KeyFileError::Value { line: 10 | 11, .. }), "{to}: {e}");
    }
}

#[test]
fn the_secret_is_shown_nowhere_but_in_its_file() {
    let (secret, hidden) = (secret(), hex::encode(&[1; 32]));
    assert!(secret.to_text().contains(&hidden));
    assert!(!format!("{secret:?}").contains(&hidden[..8]));
    assert!(!secret.public().to_text().contains(&hidden));
    assert!(secret.to_text().starts_with("# SECRET"));
}

#[test]
fn what_is_wrong_with_a_key_file_is_named_with_its_line() {
    let good = secret().public().to_text();
    let id = secret().public().key_id().to_string();
    let cases = [
        (String::new(), "line 1: not a leasehold key file"),
        ("hello\n".to_owned(), "line 1: not a leasehold key file"),
        (good.replace("-key = 1", "-key = 2"), "line 3: key file format \"2\""),
        (
            good.replace("publisher = demo", "publsher = demo"),
            "line 4: unknown setting \"publsher\"; did you mean \"publisher\"?",
        ),
        (good.replace("publisher = demo\n", ""), "the setting \"publisher\" is missing"),
        (good.replace("publisher = demo", "publisher ="), "line 4: publisher must be a name"),
        (good.replace("publisher = demo", "demo"), "line 4: expected \"name = value\""),
        (good.replace(&id, "00000000"), "line 5: key-id is 00000000 and the key's id is"),
        (good.replace(&id, "xyz"), "line 5: key-id must be 8 hexadecimal digits"),
        (good.replace("= ed25519", "= rsa"), "line 6: algorithm must be ed25519"),
        (format!("{good}key = 00\n"), "line 8: key is set a second time"),
        (
            good.trim_end().trim_end_matches(|c: char| c.is_ascii_hexdigit()).to_owned(),
            "line 7: key must be 64 hexadecimal digits",
        ),
    ];
    for (text, said) in cases {
        let why = PublisherKey::parse(&text).unwrap_err().to_string();
        assert!(why.contains(said), "{why}\nexpected {said}");
    }
}

#[test]
fn points_that_verify_anything_are_no_keys() {
    // The neutral element: with it every message has a signature that anybody can write.
    let mut point = [0; 32];
    point[0] = 1;
    let weak = VerifyingKey::from_bytes(&point).unwrap();
    let key = PublisherKey::of(Label::new("demo").unwrap(), weak);
    assert_eq!(PublisherKey::parse(&key.to_text()), Err(KeyFileError::NotAPoint { line: 7 }));
    assert!(!key.verify(b"anything", &[0; 64]));
}
