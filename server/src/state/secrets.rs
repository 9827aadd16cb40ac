//! What is drawn once per installation and kept: ids, keys, the REST token.

use leasehold_protocol::{
    Entropy,
    crypto::{Keypair, ticket::TicketKey},
    hex,
    vocab::Label,
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::folder::{Folder, StateError};

/// This installation's secrets, read or made.
pub struct Secrets {
    /// This server, told in OFFER and HELLO2.
    pub server_id: u64,
    /// What tickets are sealed with, newest first; never empty.
    pub ticket_keys: Vec<TicketKey>,
    /// What REST wants.
    pub rest_token: RestToken,
}

/// The bearer token of REST. Never printed: its file is.
#[derive(Clone)]
pub struct RestToken(Zeroizing<String>);

impl RestToken {
    /// Whether `given` is the token, in a time that tells nothing of how much of it was right.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// The file of the REST token in the data folder.
pub const REST_TOKEN_FILE: &str = "rest.token";

impl Secrets {
    /// Reads the secrets of `folder`, drawing those it does not have.
    ///
    /// # Errors
    /// If a file cannot be read, written or understood.
    pub fn of(folder: &mut Folder, entropy: &mut dyn Entropy) -> Result<Self, StateError> {
        Ok(Self {
            server_id: server_id(folder, entropy)?,
            ticket_keys: ticket_keys(folder, entropy)?,
            rest_token: RestToken(rest_token(folder, entropy)?),
        })
    }
}

fn server_id(folder: &mut Folder, entropy: &mut dyn Entropy) -> Result<u64, StateError> {
    const FILE: &str = "server.id";
    if let Some(text) = folder.read(FILE)? {
        let id = hex::decode::<8>(text.trim()).map(u64::from_be_bytes);
        return id.ok_or_else(|| damaged(folder, FILE, "16 hexadecimal digits", "delete it to become a new server"));
    }
    let id = entropy.next_u64();
    folder.write(FILE, &format!("{id:016x}\n"))?;
    Ok(id)
}

/// One key a line: its id, then its 64 digits.
fn ticket_keys(folder: &mut Folder, entropy: &mut dyn Entropy) -> Result<Vec<TicketKey>, StateError> {
    const FILE: &str = "ticket.key";
    if let Some(text) = folder.read(FILE)?.map(Zeroizing::new) {
        let keys: Option<Vec<_>> = text.lines().map(ticket_key).collect();
        let keys = keys.filter(|keys| !keys.is_empty());
        let remedy = "delete it: tickets that are out will not be honoured";
        return keys.ok_or_else(|| damaged(folder, FILE, "lines of a number and 64 hexadecimal digits", remedy));
    }
    let secret = draw(entropy);
    folder.write(FILE, &Zeroizing::new(format!("1 {}\n", &*Zeroizing::new(hex::encode(&*secret)))))?;
    Ok(vec![TicketKey { id: 1, secret: *secret }])
}

fn ticket_key(line: &str) -> Option<TicketKey> {
    let (id, secret) = line.split_once(' ')?;
    Some(TicketKey { id: id.parse().ok()?, secret: hex::decode(secret.trim())? })
}

fn rest_token(folder: &mut Folder, entropy: &mut dyn Entropy) -> Result<Zeroizing<String>, StateError> {
    if let Some(text) = folder.read(REST_TOKEN_FILE)?.map(Zeroizing::new) {
        let token = text.trim();
        let plain = token.len() >= 32 && token.bytes().all(|b| b.is_ascii_graphic());
        let remedy = "delete it to get a new one";
        return if plain {
            Ok(Zeroizing::new(token.to_owned()))
        } else {
            Err(damaged(folder, REST_TOKEN_FILE, "one word of at least 32 characters", remedy))
        };
    }
    let token = Zeroizing::new(hex::encode(&*draw(entropy)));
    folder.write(REST_TOKEN_FILE, &Zeroizing::new(format!("{}\n", *token)))?;
    Ok(token)
}

/// Our key pair in the realm of `publisher`, read or made.
///
/// # Errors
/// If its file cannot be read, written or understood.
pub fn realm_keys(folder: &mut Folder, publisher: &Label, entropy: &mut dyn Entropy) -> Result<Keypair, StateError> {
    let file = realm_key_file(publisher);
    if let Some(text) = folder.read(&file)?.map(Zeroizing::new) {
        let keys = hex::decode(text.trim()).map(Keypair::from_private);
        let remedy = "delete it: clients that pinned this server will refuse it, and certificates that name its key \
                      will prove nothing";
        return keys.ok_or_else(|| damaged(folder, &file, "64 hexadecimal digits", remedy));
    }
    let keys = Keypair::generate(entropy);
    folder.make_folder(file.trim_end_matches("/server.key"))?;
    folder.write(&file, &Zeroizing::new(format!("{}\n", &*Zeroizing::new(hex::encode(keys.private())))))?;
    Ok(keys)
}

/// Where in the data folder our key of `publisher`'s realm lies: 64 hexadecimal digits, its private half.
#[must_use]
pub fn realm_key_file(publisher: &Label) -> String {
    format!("realms/{}/server.key", file_name(publisher))
}

/// A publisher's name as the name of a folder: letters, digits, `-` and `_` as they are, every other byte as `%XX`, so
/// that no name leaves the folder it belongs in and no two names meet.
fn file_name(publisher: &Label) -> String {
    let byte = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b == b'-' || b == b'_' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    publisher.as_str().bytes().map(byte).collect()
}

fn draw(entropy: &mut dyn Entropy) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    bytes
}

fn damaged(folder: &Folder, file: &str, expected: &str, remedy: &'static str) -> StateError {
    StateError::Damaged { path: folder.join(file), what: format!("expected {expected}"), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    fn scratch() -> (tempfile::TempDir, Folder) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        (scratch, folder)
    }

    #[test]
    fn secrets_are_drawn_once_and_read_again() {
        let (_scratch, mut folder) = scratch();
        let first = Secrets::of(&mut folder, &mut SystemEntropy).unwrap();
        let second = Secrets::of(&mut folder, &mut SystemEntropy).unwrap();
        assert_eq!(first.server_id, second.server_id);
        assert_eq!(first.ticket_keys[0].secret, second.ticket_keys[0].secret);
        assert!(second.rest_token.matches(&first.rest_token.0));
        assert!(!second.rest_token.matches(""));
        let publisher = Label::new("acme").unwrap();
        let keys = [0, 1].map(|_| realm_keys(&mut folder, &publisher, &mut SystemEntropy).unwrap().public());
        assert_eq!(keys[0], keys[1]);
    }

    #[test]
    fn a_damaged_secret_is_named_with_what_happens_without_it() {
        let (_scratch, mut folder) = scratch();
        for (file, text) in [("server.id", "xyz"), ("ticket.key", ""), ("rest.token", "short\n")] {
            folder.write(file, text).unwrap();
            let refused = Secrets::of(&mut folder, &mut SystemEntropy).err().unwrap().to_string();
            assert!(refused.contains(file) && refused.contains("delete it"), "{refused}");
            folder.remove(file).unwrap();
        }
    }

    #[test]
    fn no_publishers_name_leaves_the_folder_or_meets_another() {
        let names = ["../x", "a/b", ".", "a b", "a%20b", "é", "A"].map(|name| file_name(&Label::new(name).unwrap()));
        for (i, name) in names.iter().enumerate() {
            assert!(!name.contains(['/', '.']), "{name}");
            assert!(!names[i + 1..].contains(name), "{name}");
        }
    }
}
