//! Files whole or not at all.

use std::{
    fs::{self, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::exit::Failure;

/// The longest text read: as long as a licence file may be.
const TEXT_MAX: u64 = leasehold_protocol::licence::text::FILE_MAX as u64;

/// Readable by its owner alone.
pub(super) const SECRET: u32 = 0o600;
/// Readable by everybody the umask lets.
pub(super) const PLAIN: u32 = 0o644;

/// The text in `path`.
///
/// # Errors
/// If it cannot be read, is longer than any text of ours, or is not text.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(format!("cannot read {}", path.display())).because(why);
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| failed(e.to_string()))?;
    file.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(failed(format!("it is longer than {TEXT_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|e| failed(format!("byte {} is not UTF-8 text", e.utf8_error().valid_up_to())))
}

/// Writes `text` into `path`, which then has all of it or is as it was. The file has `mode` (less the umask), and its bytes
/// are on the disk when this returns. An existing file is replaced only if `replace` says so.
///
/// # Errors
/// If there is one already, or the disk refuses.
pub fn write_whole(path: &Path, text: &str, mode: u32, replace: bool) -> Result<(), Failure> {
    let failed = |e: &io::Error| Failure::new(format!("cannot write {}", path.display())).because_of(e);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".leasehold-").permissions(Permissions::from_mode(mode));
    let mut file = builder.tempfile_in(folder).map_err(|e| failed(&e))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|e| failed(&e))?;
    let kept = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    match kept {
        Ok(_) => Ok(()),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(e) => Err(failed(&e.error)),
    }
}

/// `path` is there already.
pub(super) fn exists(path: &Path) -> Failure {
    Failure::new(format!("{} is there already, and was left as it is", path.display()))
        .remedy("choose another name, or replace it with --force")
}

/// Whether others than its owner may read `path`.
pub(super) fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}
