//! Edits: from what somebody wants to changes, through the ledger, to the disk; and what there is to read.

use std::{io, sync::Arc, time::UNIX_EPOCH};

use document::{Author, Change, ChangeHash, Considered, Key, Refusal, Transaction};
use model::event::Event;

use super::{
    Desk,
    api::{
        ChangedObject, ClashValue, ClashingObject, Configuration, EditRequest, Edited, HeldObject, HistoryEntry,
        Unconfirmed, Wanted,
    },
    plan::members,
};

/// Why an edit was not made. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// It doesn't check, clashes, or comes too late.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The version is none.
    #[error("there is no version `{0}`, or several begin so: see `standin history`")]
    NoVersion(String),
    /// One edit at a time can wait to be confirmed.
    #[error("an earlier edit waits to be confirmed: `standin confirm` it, or wait until it is undone")]
    Unconfirmed,
    /// Nothing waits to be confirmed.
    #[error("no edit waits to be confirmed: if there was one, it has been undone; see `standin history`")]
    NothingToConfirm,
    /// The disk.
    #[error("the edit could not be kept on the disk, and is not made: {0}")]
    Disk(#[from] io::Error),
}

/// Seconds since 1970, for display.
pub(super) fn seconds() -> i64 {
    let since = host::clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

/// The first digits of the heads: what people call a version.
pub(super) fn version(heads: &[ChangeHash]) -> String {
    heads.iter().map(brief).collect::<Vec<_>>().join("+")
}

/// Enough of a hash to tell changes apart.
pub(super) fn brief(hash: &ChangeHash) -> String {
    hash.to_string().chars().take(12).collect()
}

impl Desk {
    /// The version by its name; of several heads, as they are joined by `+`.
    pub(super) fn find(&self, name: &str) -> Result<Vec<ChangeHash>, EditError> {
        let one = |part| self.ledger.document().find(part).ok_or_else(|| EditError::NoVersion(name.to_owned()));
        name.split('+').map(one).collect()
    }

    fn changes(&self, wanted: &Wanted) -> Result<Vec<Change>, EditError> {
        match wanted {
            Wanted::Changes(changes) => Ok(changes.clone()),
            Wanted::Whole(objects) => {
                let canonical = |(key, text): (&Key, &Arc<str>)| {
                    let canonical = document::object::canonical(key, text);
                    (key.clone(), canonical.map_or_else(|_| text.clone(), Into::into))
                };
                Ok(self.ledger.changes_to(&objects.iter().map(canonical).collect()))
            }
            Wanted::Version(name) => {
                let heads = self.find(name)?;
                Ok(self.ledger.changes_to(&self.ledger.document().objects_at(&heads)))
            }
            Wanted::Undo(name) => {
                let document = self.ledger.document();
                let change = match name {
                    Some(name) => document.find(name).ok_or_else(|| EditError::NoVersion(name.clone()))?,
                    None => document
                        .history(1)
                        .first()
                        .map(|entry| entry.change)
                        .ok_or_else(|| EditError::NoVersion("the last one".to_owned()))?,
                };
                Ok(self.undoing(&change))
            }
        }
    }

    /// What makes the objects of a change what they were before it. The first change of all, the cluster's founding, has no
    /// before: undoing it is refused by the checks.
    pub(super) fn undoing(&self, change: &ChangeHash) -> Vec<Change> {
        let document = self.ledger.document();
        let Some(entry) = document.entry(change) else { return Vec::new() };
        let before = |key: &Key| document.get_at(key, &entry.parents);
        entry.touched.iter().map(|touched| Change::new(touched.key.clone(), before(&touched.key).as_deref())).collect()
    }

    pub(super) fn transaction(&self, request: &EditRequest) -> Result<Transaction, EditError> {
        let author = Author {
            who: request.who.clone(),
            from: request.from.clone(),
            server: self.this.to_string(),
            why: request.why.clone(),
        };
        Ok(Transaction { author, time: seconds(), changes: self.changes(&request.wanted)? })
    }

    /// What an edit would be, and what it would put in force.
    pub(super) fn consider(&mut self, request: &EditRequest) -> Result<Considered, EditError> {
        let transaction = self.transaction(request)?;
        Ok(self.ledger.consider(&transaction)?)
    }

    /// Makes an edit; its change's hash, where it changes anything.
    pub(crate) fn edit(&mut self, request: &EditRequest) -> Result<(Edited, Option<ChangeHash>), EditError> {
        if request.confirm_seconds.is_some() && self.pending.is_some() {
            return Err(EditError::Unconfirmed);
        }
        let transaction = self.transaction(request)?;
        let before = self.ledger.document().objects();
        let (change, touched) = self.write(&transaction, request.confirm_seconds)?;
        let document = self.ledger.document();
        let changed = |key: &Key| ChangedObject {
            key: key.clone(),
            before: before.get(key).cloned(),
            after: document.get(key).cloned(),
        };
        let edited = Edited {
            version: version(&document.heads()),
            changes: touched.iter().map(changed).collect(),
            accepted_on: change.map_or_else(|| vec![self.this.to_string()], |change| self.accepted_on(&change)),
            servers: self.ledger.in_force().checked.config.servers.len(),
            in_force: change.is_none(),
            confirm_seconds: request.confirm_seconds.filter(|_| change.is_some()),
        };
        Ok((edited, change))
    }

    /// Writes a transaction to document and disk, and announces it. With the objects that it changes.
    pub(super) fn write(
        &mut self,
        transaction: &Transaction,
        confirm_seconds: Option<u64>,
    ) -> Result<(Option<ChangeHash>, Vec<Key>), EditError> {
        let heads = self.ledger.document().heads();
        let Some(change) = self.ledger.edit(transaction)? else { return Ok((None, Vec::new())) };
        if let Some(seconds) = confirm_seconds {
            // Before the edit itself: whatever happens in between, it is not forgotten.
            if let Err(error) = self.remember_pending(&change, seconds) {
                self.ledger.revert(&heads).map_err(|error| io::Error::other(error.to_string()))?;
                return Err(error.into());
            }
        }
        if let Err(error) = self.keep(&heads) {
            self.forget_pending();
            self.summarize();
            return Err(error.into());
        }
        let touched = self.ledger.document().entry(&change).map_or_else(Vec::new, |entry| entry.touched);
        let touched: Vec<Key> = touched.into_iter().map(|touched| touched.key).collect();
        let Author { who, from, why, .. } = &transaction.author;
        let text = |text: &String| Arc::from(text.as_str());
        (self.tell)(Event::ConfigurationEdited {
            version: brief(&change).into(),
            who: text(who),
            from: text(from),
            why: text(why),
            objects: touched.iter().map(|key| key.to_string().into()).collect(),
        });
        self.announce();
        Ok((Some(change), touched))
    }

    /// Everything about the document that there is to read.
    pub(crate) fn configuration(&self) -> Configuration {
        let document = self.ledger.document();
        let in_force = self.ledger.in_force();
        let now = host::clock::now();
        Configuration {
            version: version(&document.heads()),
            objects: document.objects(),
            clashes: self.ledger.clashes().iter().map(|clash| self.clash(clash)).collect(),
            held: in_force.held.iter().map(held).collect(),
            undone: in_force.undone,
            unconfirmed: self.pending.as_ref().map(|pending| Unconfirmed {
                version: pending.change.clone(),
                seconds_left: pending.due.since(now).as_secs(),
            }),
        }
    }

    fn clash(&self, clash: &document::Clash) -> ClashingObject {
        let value = |version: &document::Version| {
            let Author { who, from, server, why } = self.ledger.document().author(&version.change);
            ClashValue { text: version.text.clone(), version: brief(&version.change), who, from, server, why }
        };
        ClashingObject { key: clash.key.clone(), values: clash.versions.iter().map(value).collect() }
    }

    /// The objects at a version.
    pub(crate) fn at(&self, name: &str) -> Result<document::Objects, EditError> {
        Ok(self.ledger.document().objects_at(&self.find(name)?))
    }

    /// The servers that are known to have a version on their disks.
    pub(crate) fn kept_by(&self, version: &str) -> Vec<String> {
        self.ledger.document().find(version).map_or_else(Vec::new, |change| self.accepted_on(&change))
    }

    /// A zone as a plain master file, as if every pool member were up: as it is in force, or would be after an edit.
    ///
    /// # Errors
    /// As the edit itself.
    pub(crate) fn rendered(&mut self, zone: &str, draft: Option<&EditRequest>) -> Result<Option<String>, EditError> {
        let settled = match draft {
            Some(request) => Arc::new(self.consider(request)?.settled),
            None => self.ledger.in_force().clone(),
        };
        let checked = &settled.checked;
        let zone = checked.zones.iter().find(|one| one.name.as_str() == zone);
        Ok(zone.map(|zone| zone.render(&|pool| members(&checked.config, pool), 0)))
    }

    /// The last changes, the newest first.
    pub(crate) fn history(&self, limit: usize) -> Vec<HistoryEntry> {
        let entry = |entry: document::Entry| HistoryEntry {
            version: brief(&entry.change),
            parents: entry.parents.iter().map(brief).collect(),
            time: entry.time,
            who: entry.author.who,
            from: entry.author.from,
            server: entry.author.server,
            why: entry.author.why,
            objects: entry.touched,
        };
        self.ledger.document().history(limit).into_iter().map(entry).collect()
    }
}

pub(super) fn held(held: &document::settle::Held) -> HeldObject {
    HeldObject {
        key: held.key.clone(),
        because: held.because.diagnostic.brief(),
        stays_as_before: held.instead.is_some(),
    }
}
