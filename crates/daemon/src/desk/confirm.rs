//! Edits that undo themselves unless somebody confirms, for whoever may lock himself out.
//!
//! What waits is remembered in `document.pending` before the edit is on the disk, so that a restart in between does not make
//! it for good: the time then begins anew. Undoing puts back the objects that the edit touched and nobody has touched since.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use document::{Author, ChangeHash, Transaction};
use model::Instant;

use super::{
    Desk,
    edit::{EditError, brief, seconds},
};

/// An edit that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    pub(super) change: String,
    pub(super) due: Instant,
}

impl Desk {
    fn pending_file(&self) -> PathBuf {
        self.state_dir.join("document.pending")
    }

    /// Remembers, on the disk too, that a change waits.
    pub(super) fn remember_pending(&mut self, change: &ChangeHash, seconds: u64) -> io::Result<()> {
        let mut file = File::create(self.pending_file())?;
        writeln!(file, "{seconds} {change}")?;
        file.sync_all()?;
        File::open(&self.state_dir)?.sync_all()?;
        self.wait_for(change, seconds);
        Ok(())
    }

    pub(super) fn forget_pending(&mut self) {
        self.pending = None;
        if let Err(error) = fs::remove_file(self.pending_file())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "document.pending cannot be removed: after a restart the edit would be undone");
        }
    }

    fn wait_for(&mut self, change: &ChangeHash, seconds: u64) {
        self.pending = Some(Pending { change: brief(change), due: host::clock::now() + Duration::from_secs(seconds) });
    }

    /// At start: what waited before waits again.
    pub(super) fn resume_pending(&mut self) {
        let Ok(text) = fs::read_to_string(self.pending_file()) else { return };
        let found = text
            .trim()
            .split_once(' ')
            .and_then(|(seconds, change)| Some((seconds.parse().ok()?, self.ledger.document().find(change)?)));
        match found {
            Some((seconds, change)) => {
                tracing::warn!(version = brief(&change), seconds, "an edit still waits to be confirmed");
                self.wait_for(&change, seconds);
            }
            // The edit never came to the disk.
            None => self.forget_pending(),
        }
    }

    /// Somebody confirms.
    ///
    /// # Errors
    /// When nothing waits.
    pub(crate) fn confirm(&mut self) -> Result<String, EditError> {
        let pending = self.pending.take().ok_or(EditError::NothingToConfirm)?;
        self.forget_pending();
        self.summarize();
        tracing::info!(version = pending.change, "the edit is confirmed");
        Ok(pending.change)
    }

    /// Undoes what nobody has confirmed in time.
    pub(super) fn undo_overdue(&mut self, now: Instant) {
        let Some(pending) = self.pending.take_if(|pending| pending.due <= now) else { return };
        let Some(change) = self.ledger.document().find(&pending.change) else { return self.forget_pending() };
        let untouched = |key: &document::Key| {
            let document = self.ledger.document();
            document.winner(key).is_some_and(|version| version.change == change) && document.clash(key).is_none()
        };
        let changes = self.undoing(&change).into_iter().filter(|change| untouched(&change.key)).collect();
        let author = Author {
            who: "standin".into(),
            from: String::new(),
            server: self.this.to_string(),
            why: format!("nobody confirmed {}", pending.change),
        };
        match self.write(&Transaction { author, time: seconds(), changes }, None) {
            Ok(_) => {
                tracing::warn!(version = pending.change, "nobody confirmed the edit: it is undone");
                self.forget_pending();
            }
            Err(error) => {
                tracing::error!(version = pending.change, %error, "an edit that nobody confirmed cannot be undone");
                // A disk that fails may work again; what others have built on it stays so.
                match error {
                    EditError::Disk(_) => {
                        self.pending = Some(Pending { due: now + Duration::from_secs(1), ..pending });
                    }
                    _ => self.forget_pending(),
                }
            }
        }
        self.summarize();
    }
}
