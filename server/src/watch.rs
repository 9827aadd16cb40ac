//! Notices that licence files, publishers' keys or the policy have changed.

use std::{path::PathBuf, time::Duration};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc::{Receiver, channel},
    time::{Instant, timeout_at},
};

/// How long nothing must have changed before files are read: an editor writes one in several steps.
const QUIET: Duration = Duration::from_millis(500);
/// How long changes may go on before they are read all the same.
const QUIET_MAX: Duration = Duration::from_secs(5);

/// Watches folders. Without one that can be watched, it never notices anything.
pub(crate) struct Watch {
    changed: Receiver<()>,
    /// Ends with this value.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches `folders`, those that are there; what cannot be watched is told in the log, with what to do instead.
    pub(crate) fn new(mut folders: Vec<PathBuf>) -> Self {
        // One place: that something has changed is all there is to tell.
        let (tell, changed) = channel(1);
        let told = move |event: notify::Result<notify::Event>| {
            let is_read = event.as_ref().is_ok_and(|event| event.kind.is_access());
            let is_ours = event.as_ref().is_ok_and(|event| event.paths.iter().any(|path| matters(path)));
            if event.is_err() || is_ours && !is_read {
                // Full: it has been told already.
                let _ = tell.try_send(());
            }
        };
        let mut watcher = match notify::recommended_watcher(told) {
            Ok(watcher) => watcher,
            Err(e) => {
                tracing::warn!("files cannot be watched: {e}; after a change send SIGHUP, or leasehold licence reload");
                return Self { changed, _watcher: None };
            }
        };
        folders.sort();
        folders.dedup();
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            if let Err(e) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!(
                    "{folder} cannot be watched: {e}; after a change there send SIGHUP, or leasehold licence reload"
                );
            }
        }
        Self { changed, _watcher: Some(watcher) }
    }

    /// Returns when something has changed and nothing has for half a second since; after five seconds in any case.
    pub(crate) async fn settled(&mut self) {
        if self.changed.recv().await.is_none() {
            return std::future::pending().await;
        }
        let latest = Instant::now() + QUIET_MAX;
        while let Ok(Some(())) = timeout_at(latest.min(Instant::now() + QUIET), self.changed.recv()).await {
            if Instant::now() >= latest {
                return;
            }
        }
    }
}

/// Whether a change of `path` may change what is granted: temporary files of editors, and of ours, do not.
fn matters(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|ending| ending == "lic" || ending == "pub" || ending == "toml")
}
