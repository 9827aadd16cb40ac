//! Current and next keys, and keys under a passphrase.

use leasehold_protocol::licence::{KeyId, SecretFile};

use super::*;

fn id(path: &Path) -> KeyId {
    SecretFile::parse(&fs::read_to_string(path).unwrap()).unwrap().key_id()
}

fn public(path: &Path) -> KeyId {
    PublisherKey::parse(&fs::read_to_string(path).unwrap()).unwrap().key_id()
}

fn rotate(folder: &Path) -> Result<String, Failure> {
    keygen::rotate(&KeygenArgs { rotate: true, ..args("acme", folder) })
}

#[test]
fn the_next_pair_becomes_the_current_one_and_no_key_is_lost() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    keygen::make(&args("acme", folder.path())).unwrap();
    let (first, second) = (id(&at("acme.key")), id(&at("acme.next.key")));
    assert_ne!(first, second);
    assert_eq!((public(&at("acme.pub")), public(&at("acme.next.pub"))), (first, second));
    let said = rotate(folder.path()).unwrap();
    assert!(said.contains(&format!("key {first} is kept")), "{said}");
    assert_eq!((id(&at("acme.key")), public(&at("acme.pub"))), (second, second));
    assert_eq!((id(&at(&format!("acme.{first}.key"))), public(&at(&format!("acme.{first}.pub")))), (first, first));
    let third = id(&at("acme.next.key"));
    assert!(third != first && third != second && public(&at("acme.next.pub")) == third);
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("acme.key"), mode("acme.next.key"), mode(&format!("acme.{first}.key"))), (0o600, 0o600, 0o600));
}

/// Whatever step it was cut off after, the same command goes on, and the first two keys are there all the time.
#[test]
fn a_rotation_that_was_cut_off_is_gone_on_with() {
    for done in 0..6 {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        keygen::make(&args("acme", folder.path())).unwrap();
        let (first, second) = (id(&at("acme.key")), id(&at("acme.next.key")));
        let kept = |ending: &str| at(&format!("acme.{first}.{ending}"));
        let steps: [&dyn Fn(); 5] = [
            &|| fs::hard_link(at("acme.key"), kept("key")).unwrap(),
            &|| fs::hard_link(at("acme.pub"), kept("pub")).unwrap(),
            &|| fs::rename(at("acme.next.key"), at("acme.key")).unwrap(),
            &|| fs::rename(at("acme.next.pub"), at("acme.pub")).unwrap(),
            &|| fs::write(at("acme.next.pub"), secret("acme").public().to_text()).unwrap(),
        ];
        steps.iter().take(done).for_each(|step| step());
        rotate(folder.path()).unwrap();
        assert_eq!((id(&at("acme.key")), public(&at("acme.pub"))), (second, second), "after step {done}");
        assert_eq!((id(&kept("key")), public(&kept("pub"))), (first, first), "after step {done}");
        let third = id(&at("acme.next.key"));
        assert!(third != second && public(&at("acme.next.pub")) == third, "after step {done}");
    }
}

#[test]
fn without_keys_there_is_nothing_to_rotate_and_a_stranger_of_the_old_name_is_kept() {
    let folder = folder();
    assert!(words(&rotate(folder.path()).unwrap_err()).contains("leasehold keygen --publisher acme"));
    keygen::make(&args("acme", folder.path())).unwrap();
    let kept = folder.path().join(format!("acme.{}.key", id(&folder.path().join("acme.key"))));
    fs::write(&kept, "something else").unwrap();
    assert!(words(&rotate(folder.path()).unwrap_err()).contains("is there already"));
    assert_eq!(fs::read_to_string(&kept).unwrap(), "something else");
}

#[test]
fn a_key_under_a_passphrase_signs_with_it_and_with_no_other() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let [right, wrong, none] = [("right", "correct horse\n"), ("wrong", "incorrect horse\n"), ("none", "\n")]
        .map(|(n, t)| put(folder.path(), n, t));
    let with = |file: &Path| PassphraseArgs { passphrase_file: Some(file.to_owned()) };
    let made = KeygenArgs { from: with(&right), ..args("acme", folder.path()) };
    assert!(keygen::make(&made).unwrap().contains("Under your passphrase"));
    for name in ["acme.key", "acme.next.key"] {
        assert!(fs::read_to_string(at(name)).unwrap().contains("sealed-key = argon2id 65536 3 1 "), "{name}");
    }
    let read = |file: Option<&Path>| passphrase::read_secret(&at("acme.key"), file);
    assert_eq!(read(Some(&right)).unwrap().public().key_id(), public(&at("acme.pub")));
    let refused = read(Some(&wrong)).unwrap_err();
    assert!(words(&refused).contains("the passphrase does not open this key"), "{}", words(&refused));
    assert!(words(&read(Some(&none)).unwrap_err()).contains("begins with no passphrase"));
    // Tests have no terminal.
    assert!(words(&read(None).unwrap_err()).contains("--passphrase-file"), "{}", words(&read(None).unwrap_err()));
    // Rotation asks for none: it moves files; the new next key is under one, too.
    keygen::rotate(&KeygenArgs { rotate: true, ..made }).unwrap();
    assert!(matches!(passphrase::read(&at("acme.next.key")).unwrap(), SecretFile::Sealed(_)));
}

#[test]
fn a_passphrase_is_changed_put_on_and_taken_off() {
    let folder = folder();
    let key = folder.path().join("acme.key");
    let [one, two] = ["one", "two"].map(|text| put(folder.path(), text, text));
    keygen::make(&args("acme", folder.path())).unwrap();
    let before = id(&key);
    let change = |from: Option<&Path>, to: Option<&Path>| {
        keygen::change_passphrase(
            &KeygenArgs {
                from: PassphraseArgs { passphrase_file: from.map(Path::to_owned) },
                new_passphrase_file: to.map(Path::to_owned),
                bare: to.is_none(),
                ..KeygenArgs::default()
            },
            &key,
        )
    };
    change(None, Some(&one)).unwrap();
    let whole = fs::read_to_string(&key).unwrap();
    assert!(change(Some(&two), Some(&two)).is_err());
    assert_eq!(fs::read_to_string(&key).unwrap(), whole, "a wrong one changes nothing");
    change(Some(&one), Some(&two)).unwrap();
    assert!(change(Some(&one), None).is_err());
    assert!(change(Some(&two), None).unwrap().contains("is under none now"));
    assert_eq!(PublisherSecret::parse(&fs::read_to_string(&key).unwrap()).unwrap().public().key_id(), before);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
}
