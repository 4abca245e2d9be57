//! What this server knows of who belongs to the cluster, kept on disk and handed to whoever needs it.
//!
//! Readers see a whole state and never wait. A change is on disk before anybody sees it. Each one has a number, by which
//! links know what a peer has confirmed.
//!
//! Deliberately not here: how states merge and keys rotate (`cluster::trust`), how they travel (`link`).

pub(crate) mod authority;
pub(crate) mod files;
pub(crate) mod identity;
pub(crate) mod tls;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use cluster::trust::Trust;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// The state at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// What is known.
    pub trust: Trust,
    /// Counts the changes of this run.
    pub generation: u64,
    /// With which change each entry became what it is.
    pub changed: BTreeMap<String, u64>,
}

/// The trust store of this server.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    known: ArcSwap<Known>,
    /// Held by who changes something.
    writing: Mutex<()>,
    generation: watch::Sender<u64>,
}

impl Keeper {
    /// From its file in the state directory.
    ///
    /// # Errors
    /// The file's; `PermissionDenied` where others may read it.
    pub(crate) fn open(state_dir: &Path) -> io::Result<Self> {
        let path = identity::trust_path(state_dir);
        let trust: Trust = serde_json::from_slice(&files::read(&path)?).map_err(io::Error::other)?;
        let changed = trust.entries().map(|(id, _)| (id.to_owned(), 1)).collect();
        let known = ArcSwap::from_pointee(Known { trust, generation: 1, changed });
        Ok(Self { path, known, writing: Mutex::new(()), generation: watch::Sender::new(1) })
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Hears of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Changes something. What `edit` returns is returned; where it has changed nothing, nothing is written. Waits for the
    /// disk: not for async tasks.
    ///
    /// # Errors
    /// The disk's; nothing is changed then.
    pub(crate) fn change<R>(&self, edit: impl FnOnce(&mut Trust) -> R) -> io::Result<R> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.known();
        let mut trust = before.trust.clone();
        let result = edit(&mut trust);
        if trust == before.trust {
            return Ok(result);
        }
        write(&self.path, &trust)?;
        let generation = before.generation + 1;
        let when = |(id, entry): (&str, &_)| {
            let same = before.trust.entry(id) == Some(entry);
            let since = before.changed.get(id).filter(|_| same).copied().unwrap_or(generation);
            (id.to_owned(), since)
        };
        let changed = trust.entries().map(when).collect();
        self.known.store(Arc::new(Known { trust, generation, changed }));
        self.generation.send_replace(generation);
        Ok(result)
    }

    /// The same for async tasks.
    ///
    /// # Errors
    /// As [`Keeper::change`].
    pub(crate) async fn edit<R: Send + 'static>(
        self: &Arc<Self>,
        edit: impl FnOnce(&mut Trust) -> R + Send + 'static,
    ) -> io::Result<R> {
        let keeper = self.clone();
        tokio::task::spawn_blocking(move || keeper.change(edit)).await.map_err(io::Error::other)?
    }
}

/// Keeps a trust store.
///
/// # Errors
/// The disk's.
pub(crate) fn write(path: &Path, trust: &Trust) -> io::Result<()> {
    files::write(path, &Zeroizing::new(serde_json::to_vec(trust)?))
}

#[cfg(test)]
mod tests {
    use cluster::trust::{Invitation, Item};

    use super::*;

    #[test]
    fn changes_are_numbered_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        write(&identity::trust_path(directory.path()), &Trust::default()).unwrap();
        let keeper = Keeper::open(directory.path()).unwrap();
        let item = |expires| Item::Invitation(Invitation { digest: authority::digest(b"x"), expires });
        keeper.change(|trust| trust.put("a", "web1", item(1))).unwrap().unwrap();
        keeper.change(|trust| trust.put("b", "web1", item(1))).unwrap().unwrap();
        keeper.change(|trust| trust.put("a", "web1", item(2))).unwrap().unwrap();
        keeper.change(|_| ()).unwrap();
        let known = keeper.known();
        assert_eq!(known.generation, 4);
        assert_eq!((known.changed["a"], known.changed["b"]), (4, 3));
        assert_eq!(Keeper::open(directory.path()).unwrap().known().trust, known.trust);
    }
}
