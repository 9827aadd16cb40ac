//! The mark of wall time in the data folder: so that a restart is no way to turn the clock back (T-5).
//!
//! ```text
//! leasehold clock mark 1
//! wall_ms 1795305600000
//! boot 3f0c… 86400000   the boot of the machine, 32 hexadecimal digits, and its clock then; absent if the system does not tell
//! jump 1795305600000 86400000
//!                       a jump forward that was pending: ms ahead of the boot clock, and when on that it is believed; may be absent
//! mac …                 of the lines above, under a key made of the newest ticket key
//! ```

use std::fmt::Write as _;

use leasehold_core::{Mark, wall::Jump};
use leasehold_protocol::{
    crypto::{mac::MacKey, ticket::TicketKey},
    hex,
    time::{Mono, UnixMillis},
};

use crate::state::{Folder, StateError};

/// Its file in the data folder.
pub const MARK_FILE: &str = "clock.mark";
const HEAD: &str = "leasehold clock mark 1";

/// What marks are sealed with: the newest first. One for each ticket key.
#[derive(Clone)]
pub struct MarkKeys(Vec<MacKey>);

impl std::fmt::Debug for MarkKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MarkKeys")
    }
}

impl MarkKeys {
    /// Those beside `keys`.
    #[must_use]
    pub fn of(keys: &[TicketKey]) -> Self {
        Self(keys.iter().map(|key| MacKey::clock_mark(&key.secret)).collect())
    }
}

/// The mark that the life before left, as far as it holds in this `boot` of the machine; and a warning if there is none although there
/// should be one, as far as can be told: a folder in which nobody served yet (`is_new`) has none.
pub fn load_mark(
    folder: &mut Folder,
    keys: &MarkKeys,
    boot: Option<[u8; 16]>,
    is_new: bool,
) -> (Option<Mark>, Option<String>) {
    let path = folder.join(MARK_FILE);
    let why = match folder.read(MARK_FILE) {
        Ok(Some(text)) => match read(&text, keys, boot) {
            Some(mark) => return (Some(mark), None),
            None => format!("{} is damaged", path.display()),
        },
        Ok(None) if is_new => return (None, None),
        Ok(None) => format!("{} is gone", path.display()),
        Err(e) => e.to_string(),
    };
    let warning = format!(
        "{why}: how late it was before this start is not known, and the machine's clock is taken as it is. Look whether it is right \
         (leasehold clock); the mark is written anew within a minute"
    );
    (None, Some(warning))
}

/// Writes `mark`, which holds in this `boot` of the machine: after a power cut it is the old one or this one.
///
/// # Errors
/// If it cannot be written; the old one is then as it was.
pub fn save_mark(folder: &Folder, keys: &MarkKeys, boot: Option<[u8; 16]>, mark: Mark) -> Result<(), StateError> {
    folder.write(MARK_FILE, &write(mark, keys, boot))
}

fn write(mark: Mark, keys: &MarkKeys, boot: Option<[u8; 16]>) -> String {
    let mut text = format!("{HEAD}\nwall_ms {}\n", mark.wall.0);
    // Writing into a text does not fail.
    if let (Some(boot), Some(at)) = (boot, mark.at) {
        let _ = writeln!(text, "boot {} {}", hex::encode(&boot), at.0);
    }
    if let Some(Jump { gap_ms, until }) = mark.jump {
        let _ = writeln!(text, "jump {gap_ms} {}", until.0);
    }
    let mac = keys.0.first().map(|key| key.of(text.as_bytes())).unwrap_or_default();
    let _ = writeln!(text, "mac {}", hex::encode(&mac));
    text
}

fn read(text: &str, keys: &MarkKeys, boot: Option<[u8; 16]>) -> Option<Mark> {
    let at = text.rfind("mac ")?;
    let (words, mac) = text.split_at(at);
    let mac = hex::decode(mac.strip_prefix("mac ")?.trim_end())?;
    if !keys.0.iter().any(|key| key.verify(words.as_bytes(), &mac)) {
        return None;
    }
    words.lines().next().filter(|line| *line == HEAD)?;
    let field = |name: &str| words.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let wall = UnixMillis(field("wall_ms")?.parse().ok()?);
    let (of, at) = field("boot").and_then(|boot| boot.split_once(' ')).unzip();
    let same_boot = boot.is_some() && of.and_then(hex::decode) == boot;
    let at = at.and_then(|at| at.parse().ok()).map(Mono);
    let jump = field("jump").and_then(|jump| {
        let (gap, until) = jump.split_once(' ')?;
        Some(Jump { gap_ms: gap.parse().ok()?, until: Mono(until.parse().ok()?) })
    });
    let mark = Mark { wall, at, jump };
    Some(if same_boot { mark } else { mark.rebooted() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Option<[u8; 16]> = Some([7; 16]);

    fn keys(n: u8) -> MarkKeys {
        MarkKeys::of(&[TicketKey { id: 1, secret: [n; 32] }])
    }

    fn mark() -> Mark {
        Mark { wall: UnixMillis(123_456), at: Some(Mono(4)), jump: Some(Jump { gap_ms: -5, until: Mono(9) }) }
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        (scratch, folder)
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_a_jump_holds_in_its_own_boot_only() {
        let (_scratch, mut folder) = folder();
        let without = mark().rebooted();
        for boot in [BOOT, None] {
            save_mark(&folder, &keys(1), boot, mark()).unwrap();
            let kept = if boot.is_some() { mark() } else { without };
            assert_eq!(load_mark(&mut folder, &keys(1), boot, false), (Some(kept), None));
            assert_eq!(load_mark(&mut folder, &keys(1), Some([8; 16]), false), (Some(without), None));
        }
        let without = Mark { jump: None, ..mark() };
        save_mark(&folder, &keys(1), BOOT, without).unwrap();
        assert_eq!(load_mark(&mut folder, &keys(1), BOOT, false), (Some(without), None));
    }

    #[test]
    fn a_new_ticket_key_reads_what_the_old_one_sealed() {
        let (_scratch, mut folder) = folder();
        save_mark(&folder, &keys(1), BOOT, mark()).unwrap();
        let both = MarkKeys(vec![keys(2).0[0].clone(), keys(1).0[0].clone()]);
        assert_eq!(load_mark(&mut folder, &both, BOOT, false).0, Some(mark()));
    }

    #[test]
    fn a_mark_that_is_missing_or_not_ours_is_a_warning_with_the_remedy_and_no_more() {
        let (_scratch, mut folder) = folder();
        assert_eq!(load_mark(&mut folder, &keys(1), BOOT, true), (None, None), "a new folder");
        let (none, warning) = load_mark(&mut folder, &keys(1), BOOT, false);
        assert!(none.is_none() && warning.unwrap().contains("is gone: "));
        let whole = write(mark(), &keys(1), BOOT);
        let later = whole.replace("123456", "999999");
        let cut = (0..whole.len() - 1).map(|len| &whole[..len]);
        for text in cut.chain([&*later, "", "mac ", "\u{e9}"]) {
            folder.write(MARK_FILE, text).unwrap();
            let (none, warning) = load_mark(&mut folder, &keys(1), BOOT, false);
            assert!(none.is_none(), "{text:?}");
            assert!(warning.unwrap().contains("leasehold clock"), "{text:?}");
        }
        save_mark(&folder, &keys(2), BOOT, mark()).unwrap();
        assert!(load_mark(&mut folder, &keys(1), BOOT, false).0.is_none(), "of another installation");
        std::fs::write(folder.join(MARK_FILE), [0xff; 40]).unwrap();
        assert!(load_mark(&mut folder, &keys(1), BOOT, false).1.is_some(), "no text at all");
    }
}
