//! The server's state folder: who can read it, which publishers it trusts, what its licences say.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use leasehold_protocol::{
    licence::{PublisherKey, SignedCertificate, text},
    time::UnixMillis,
};
use leasehold_server::{Settings, clock_now};

use super::Finding;
use crate::{human, local::shell_path};

/// A licence that ends within so many days is warned of.
const ENDS_SOON_DAYS: i64 = 30;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let folder = &settings.data_dir;
    if !folder.is_dir() {
        return vec![Finding::warn(
            "state-folder",
            format!("there is none yet at {}", folder.display()),
            "leasehold serve makes it; leasehold init --demo makes one with a licence",
        )];
    }
    let mut findings = vec![modes(settings)];
    findings.push(times(folder));
    let (keys, mut found) = publishers(settings);
    findings.append(&mut found);
    findings.extend(licences(settings, &keys));
    findings
}

/// Secrets belong to their owner alone.
fn modes(settings: &Settings) -> Finding {
    let folder = &settings.data_dir;
    let mut wanted = vec![(folder.clone(), 0o700)];
    let secrets = ["ticket.key", "rest.token", "ledger.redb", "history.key", "usage.sqlite"];
    wanted.extend(secrets.map(|name| (folder.join(name), 0o600)));
    wanted.extend(list(&folder.join("realms"), None).into_iter().map(|realm| (realm.join("server.key"), 0o600)));
    wanted.extend(settings.site_key.iter().map(|key| (key.clone(), 0o600)));
    let open: Vec<String> = wanted.iter().filter_map(|(path, mode)| too_open(path, *mode)).collect();
    if open.is_empty() {
        Finding::ok("state-folder", format!("{}: secrets are their owner's alone", folder.display()))
    } else {
        Finding::warn("state-folder", "others can read the server's secrets", open.join(" && "))
    }
}

fn too_open(path: &Path, wanted: u32) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & !wanted != 0).then(|| format!("chmod {wanted:o} {}", shell_path(path)))
}

/// A file from the future means that the clock went back since.
fn times(folder: &Path) -> Finding {
    const SLACK_MS: u64 = 120_000;
    let now = clock_now().wall;
    let newest = list(folder, None).into_iter().filter_map(|path| modified(&path)).max().unwrap_or_default();
    if newest.0 > now.0 + SLACK_MS {
        let text = format!("a file of the state folder is from {}: the clock went back since", human::instant(newest));
        return Finding::fail("state-time", text, "set the clock: timedatectl set-ntp true");
    }
    Finding::ok("state-time", "no file of the state folder is from the future")
}

fn modified(path: &Path) -> Option<UnixMillis> {
    let since = fs::metadata(path).ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(UnixMillis)
}

fn publishers(settings: &Settings) -> (Vec<PublisherKey>, Vec<Finding>) {
    let mut paths = list(&settings.data_dir.join("publishers"), Some("pub"));
    paths.extend(settings.publisher_keys.iter().cloned());
    let (mut keys, mut findings) = (Vec::new(), Vec::new());
    for path in &paths {
        let read = fs::read_to_string(path).map_err(|e| e.to_string());
        match read.and_then(|text| PublisherKey::parse(&text).map_err(|e| e.to_string())) {
            Ok(key) => keys.push(key),
            Err(e) => findings.push(Finding::fail(
                "publisher",
                format!("{}: {e}", path.display()),
                "get the .pub file again from the publisher",
            )),
        }
    }
    let folder = settings.data_dir.join("publishers");
    findings.insert(
        0,
        match keys.len() {
            0 => Finding::warn(
                "publishers",
                "no publisher's key is there: no licence can be checked",
                format!("cp ACME.pub {}", shell_path(&folder)),
            ),
            _ => {
                let names: Vec<String> =
                    keys.iter().map(|k| format!("{} (key {})", k.publisher(), k.key_id())).collect();
                Finding::ok("publishers", names.join(", "))
            }
        },
    );
    (keys, findings)
}

fn licences(settings: &Settings, keys: &[PublisherKey]) -> Vec<Finding> {
    let mut paths = list(&settings.data_dir.join("licences"), Some("lic"));
    paths.extend(settings.licences.iter().cloned());
    if paths.is_empty() {
        let folder = settings.data_dir.join("licences");
        let remedy = format!("cp ACME.lic {}", shell_path(&folder));
        return vec![Finding::warn("licences", "there is no licence: the server has nothing to give", remedy)];
    }
    paths.iter().flat_map(|path| licence(path, keys)).collect()
}

fn licence(path: &Path, keys: &[PublisherKey]) -> Vec<Finding> {
    let check = format!("licence-{}", path.file_name().unwrap_or_default().to_string_lossy());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            let remedy = format!("check its owner and mode: ls -l {}", shell_path(path));
            return vec![Finding::fail(check, format!("cannot be read: {e}"), remedy)];
        }
    };
    let report = text::read(&text, keys);
    let mut findings: Vec<Finding> = report
        .refused
        .iter()
        .map(|refused| {
            let place = format!("{}:{}", path.display(), refused.place);
            Finding::fail(&*check, format!("{place}: {}", refused.why), format!("leasehold lint {}", shell_path(path)))
        })
        .collect();
    if !report.applied.is_empty() {
        findings.push(dates(check, &report.applied, clock_now().wall));
    }
    findings
}

fn dates(check: String, certificates: &[SignedCertificate], now: UnixMillis) -> Finding {
    let names = |test: &dyn Fn(&SignedCertificate) -> bool| {
        let hit = certificates.iter().filter(|c| test(c)).map(|c| c.certificate.feature.to_string());
        hit.collect::<Vec<_>>()
    };
    let ended = names(&|c| c.certificate.ends_at().is_some_and(|end| end < now));
    if !ended.is_empty() {
        return Finding::warn(check, format!("has ended: {}", ended.join(", ")), "ask the publisher for a new one");
    }
    let future = names(&|c| c.certificate.starts_at().is_some_and(|start| start > now));
    if !future.is_empty() {
        let remedy = "wait, or check this machine's clock";
        return Finding::warn(check, format!("has not begun: {}", future.join(", ")), remedy);
    }
    let count = human::count(certificates.len() as u64, "feature");
    match certificates.iter().filter_map(|c| c.certificate.ends_at()).min() {
        None => Finding::ok(check, format!("{count}, no end")),
        Some(end) => {
            let left = human::days_until(end, now);
            let text = format!("{count}, the first ends on {} (in {left} days)", human::day(end));
            if left <= ENDS_SOON_DAYS {
                Finding::warn(check, text, "ask the publisher for the next one in time")
            } else {
                Finding::ok(check, text)
            }
        }
    }
}

/// What is in a folder, in order of name; nothing where it cannot be read.
fn list(folder: &Path, extension: Option<&str>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let wanted = |path: &PathBuf| extension.is_none_or(|wanted| path.extension().is_some_and(|found| found == wanted));
    let mut paths: Vec<PathBuf> = entries.filter(wanted).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::Level, kit::Offer};

    fn settings(data_dir: PathBuf) -> Settings {
        Settings { data_dir, ..Settings::default() }
    }

    #[test]
    fn a_fresh_demo_folder_is_well_but_for_its_near_end() {
        let scratch = tempfile::tempdir().unwrap();
        let kit = Offer::demo().unwrap().make_in(scratch.path()).unwrap();
        let findings = look(&settings(kit.data_dir));
        let warned: Vec<&str> = findings.iter().filter(|f| f.level != Level::Ok).map(|f| f.check.as_str()).collect();
        assert_eq!(warned, ["licence-demo.lic"], "{findings:?}");
    }

    #[test]
    fn secrets_that_others_can_read_come_with_their_chmod() {
        let scratch = tempfile::tempdir().unwrap();
        let kit = Offer::demo().unwrap().make_in(scratch.path()).unwrap();
        let key = kit.data_dir.join("realms/demo/server.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let finding = modes(&settings(kit.data_dir));
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.remedy.unwrap().starts_with("chmod 600 "));
    }

    #[test]
    fn a_folder_that_is_not_there_and_one_that_is_empty_are_no_failures() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(look(&settings(scratch.path().join("none")))[0].level, Level::Warn);
        assert!(look(&settings(scratch.path().to_owned())).iter().all(|f| f.level != Level::Fail));
    }

    #[test]
    fn an_altered_licence_is_named_with_its_place() {
        let scratch = tempfile::tempdir().unwrap();
        let kit = Offer::demo().unwrap().make_in(scratch.path()).unwrap();
        let text = fs::read_to_string(&kit.licence_file).unwrap();
        fs::write(&kit.licence_file, text.replacen(" 20", " 200", 1)).unwrap();
        let findings = licence(&kit.licence_file, std::slice::from_ref(&kit.publisher));
        assert!(findings.iter().any(|f| f.level == Level::Fail && f.text.contains("demo.lic:")), "{findings:?}");
    }
}
