//! The replicated map, over Automerge in its flat form: one map from `kind/name` to the object's whole text, a long one in
//! pieces ([`crate::pieces`]).
//!
//! An object that is removed keeps its key, with a tombstone (null) as its value, so that every clash, also of an edit with
//! a removal, is two values of one key. Of several values the winner is one that exists rather than a tombstone (the safe
//! side), of these the one with the highest [`Stamp`]: a Lamport number, then the actor; no clock.
//!
//! Traps met (see the notes on dependencies): one actor must never make two different changes of the same number, so each
//! start of a daemon, and each document that is put back after a change that could not be kept, is another [`Incarnation`];
//! Automerge's lenient loader may drop whole chunks behind a torn one, so the store frames them and hands over whole ones.
//!
//! Keys that this version doesn't know, and values that are no text, are kept and synchronised, and otherwise ignored.

use std::{collections::BTreeMap, sync::Arc};

use automerge::{
    ActorId, Automerge, AutomergeError, ChangeHash, ROOT, ReadDoc, ScalarValue, Value,
    transaction::{CommitOptions, Transactable},
};
use model::digest::digest64;

use crate::{Author, Change, Key, Objects, Transaction, pieces};

/// One life of one writer: never used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incarnation(pub [u8; 16]);

/// Orders all values ever written, the same on every server; a value written by somebody who saw another is above it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stamp {
    counter: u64,
    actor: Vec<u8>,
}

impl Stamp {
    /// Above all others: of an edit that is being considered.
    pub const fn last() -> Self {
        Self { counter: u64::MAX, actor: Vec::new() }
    }

    pub(crate) fn new(counter: u64, actor: &[u8]) -> Self {
        Self { counter, actor: actor.to_vec() }
    }
}

/// One value of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// Its text; none: removed.
    pub text: Option<Arc<str>>,
    /// When, in the order of all values.
    pub stamp: Stamp,
    /// The change that wrote it.
    pub change: ChangeHash,
}

/// An object with several values, none of which was written in the knowledge of the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clash {
    /// Which object.
    pub key: Key,
    /// Its values, the winner first; no two are equal.
    pub versions: Vec<Version>,
}

/// Why bytes are no change or document.
#[derive(Debug, thiserror::Error)]
#[error("not a change of the cluster's document: {0}")]
pub struct DocumentError(String);

impl DocumentError {
    pub(crate) fn message(error: &dyn std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<AutomergeError> for DocumentError {
    fn from(error: AutomergeError) -> Self {
        Self::message(&error)
    }
}

/// The document.
#[derive(Debug)]
pub struct Document {
    pub(crate) automerge: Automerge,
    incarnation: Incarnation,
    generation: u8,
    /// All values of each object, the winner first. Never empty lists.
    values: BTreeMap<Key, Vec<Version>>,
}

impl Document {
    /// An empty document, written to by `incarnation` from now on.
    pub fn new(incarnation: Incarnation) -> Self {
        let mut document = Self { automerge: Automerge::new(), incarnation, generation: 0, values: BTreeMap::new() };
        document.next_actor();
        document
    }

    /// The document that chunks of [`Document::save`] and [`Document::save_after`] make, in the order in which they were
    /// saved.
    ///
    /// # Errors
    /// When one of them is not what it was: nothing is taken then.
    pub fn load<'c>(
        incarnation: Incarnation,
        chunks: impl IntoIterator<Item = &'c [u8]>,
    ) -> Result<Self, DocumentError> {
        let mut document = Self::new(incarnation);
        for (index, chunk) in chunks.into_iter().enumerate() {
            if index == 0 {
                document.automerge = Automerge::load(chunk)?;
            } else {
                document.automerge.load_incremental(chunk)?;
            }
        }
        document.next_actor();
        document.read_all();
        Ok(document)
    }

    /// An actor of its own for what is written from here on.
    fn next_actor(&mut self) {
        let mut actor = self.incarnation.0.to_vec();
        actor.push(self.generation);
        self.generation = self.generation.wrapping_add(1);
        self.automerge.set_actor(ActorId::from(actor));
    }

    /// Nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.automerge.get_heads().is_empty()
    }

    /// The whole document, compressed.
    pub fn save(&self) -> Vec<u8> {
        self.automerge.save()
    }

    /// The changes that came after `heads`.
    pub fn save_after(&self, heads: &[ChangeHash]) -> Vec<u8> {
        self.automerge.save_after(heads)
    }

    /// The last changes, those that no other builds on: two documents with equal heads are equal.
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.automerge.get_heads()
    }

    /// The heads as one number, for heartbeats.
    pub fn digest(&self) -> u64 {
        let heads: Vec<String> = self.heads().iter().map(ToString::to_string).collect();
        digest64(&heads.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The objects that exist: of clashing values the winners.
    pub fn objects(&self) -> Objects {
        let text = |versions: &[Version]| versions.first()?.text.clone();
        self.values.iter().filter_map(|(key, versions)| Some((key.clone(), text(versions)?))).collect()
    }

    /// An object's text.
    pub fn get(&self, key: &Key) -> Option<&Arc<str>> {
        self.winner(key)?.text.as_ref()
    }

    /// An object's winning value, a tombstone included; none where it was never there.
    pub fn winner(&self, key: &Key) -> Option<&Version> {
        self.values.get(key)?.first()
    }

    /// Each object's winning value, tombstones included.
    pub(crate) fn winners(&self) -> impl Iterator<Item = (&Key, &Version)> {
        self.values.iter().filter_map(|(key, versions)| Some((key, versions.first()?)))
    }

    /// All clashes that nobody has settled.
    pub fn clashes(&self) -> Vec<Clash> {
        self.values.keys().filter_map(|key| self.clash(key)).collect()
    }

    /// The clash of one object.
    pub fn clash(&self, key: &Key) -> Option<Clash> {
        let mut versions: Vec<Version> = Vec::new();
        for version in self.values.get(key)? {
            if !versions.iter().any(|other| other.text == version.text) {
                versions.push(version.clone());
            }
        }
        (versions.len() > 1).then(|| Clash { key: key.clone(), versions })
    }

    /// Writes a transaction that has been checked; the change's hash. A change of a clashing object overwrites all its values.
    pub fn write(&mut self, transaction: &Transaction) -> Option<ChangeHash> {
        let author = serde_json::to_string(&transaction.author).unwrap_or_default();
        let options = CommitOptions::default().with_message(author).with_time(transaction.time);
        // Where a value of several is chosen, Automerge would drop the others and write nothing: whoever overwrites that value
        // elsewhere, knowing nothing of the choice, would then undo it in silence. Another value in between makes it an edit.
        let between = |change: &Change| {
            let clashing = self.values.get(&change.key).is_some_and(|versions| versions.len() > 1);
            clashing.then(|| change.text.as_ref().map_or(ScalarValue::Str("".into()), |_| ScalarValue::Null))
        };
        let between: Vec<Option<ScalarValue>> = transaction.changes.iter().map(between).collect();
        let written = self.automerge.transact_with(
            |()| options,
            |map| {
                for (change, between) in transaction.changes.iter().zip(between) {
                    if let Some(between) = between {
                        map.put(ROOT, change.key.to_string(), between)?;
                    }
                    let value = match &change.text {
                        Some(text) => pieces::put(map, text)?,
                        None => ScalarValue::Null,
                    };
                    map.put(ROOT, change.key.to_string(), value)?;
                }
                Ok::<(), AutomergeError>(())
            },
        );
        let hash = written.ok().and_then(|written| written.hash);
        transaction.changes.iter().for_each(|change| self.wrote(change, hash));
        hash
    }

    /// What was written is what is there, and alone: a long text need not be put together of its pieces.
    fn wrote(&mut self, change: &Change, hash: Option<ChangeHash>) {
        let values = self.automerge.get_all(ROOT, change.key.to_string()).unwrap_or_default();
        match (&values[..], hash) {
            ([(_, id @ automerge::ObjId::Id(counter, actor, _))], Some(hash))
                if self.automerge.hash_for_opid(id) == Some(hash) =>
            {
                let stamp = Stamp::new(*counter, actor.to_bytes());
                let version = Version { text: change.text.clone(), stamp, change: hash };
                self.values.insert(change.key.clone(), vec![version]);
            }
            _ => self.read(&change.key),
        }
    }

    /// Goes back to `heads`, because what came after could not be kept.
    ///
    /// # Errors
    /// When the document was never there.
    pub fn revert(&mut self, heads: &[ChangeHash]) -> Result<(), DocumentError> {
        self.automerge = self.automerge.fork_at(heads)?;
        self.next_actor();
        self.read_all();
        Ok(())
    }

    /// Takes changes in; whether anything was new. What builds on changes that are not there waits for them.
    ///
    /// # Errors
    /// When they are none.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<bool, DocumentError> {
        let heads = self.heads();
        self.automerge.load_incremental(bytes)?;
        let new = self.heads() != heads;
        if new {
            self.arrived(&heads);
        }
        Ok(new)
    }

    /// Takes over what has arrived since `heads`.
    pub(crate) fn arrived(&mut self, heads: &[ChangeHash]) {
        for key in self.touched_since(heads) {
            self.read(&key);
        }
    }

    /// The objects that existed when the document had `heads`.
    pub fn objects_at(&self, heads: &[ChangeHash]) -> Objects {
        let keys = self.automerge.keys_at(ROOT, heads).filter_map(|key| Key::parse(&key));
        keys.filter_map(|key| Some((key.clone(), self.get_at(&key, heads)?))).collect()
    }

    /// An object's text when the document had `heads`.
    pub fn get_at(&self, key: &Key, heads: &[ChangeHash]) -> Option<Arc<str>> {
        let values = self.automerge.get_all_at(ROOT, key.to_string(), heads).unwrap_or_default();
        self.sorted(values).into_iter().next()?.text
    }

    /// An object's text before the change that wrote what it is now.
    pub(crate) fn before(&self, key: &Key) -> Option<Arc<str>> {
        self.get_at(key, &self.parents(&self.winner(key)?.change))
    }

    /// Who wrote it, as far as the change says.
    pub fn author(&self, change: &ChangeHash) -> Author {
        let meta = self.automerge.get_change_meta_by_hash(change);
        let message = meta.as_ref().and_then(|meta| meta.message.as_deref());
        message.and_then(|message| serde_json::from_str(message).ok()).unwrap_or_default()
    }

    fn read_all(&mut self) {
        self.values.clear();
        let keys: Vec<Key> = self.automerge.keys(ROOT).filter_map(|key| Key::parse(&key)).collect();
        keys.iter().for_each(|key| self.read(key));
    }

    fn read(&mut self, key: &Key) {
        let values = self.automerge.get_all(ROOT, key.to_string()).unwrap_or_default();
        let versions = self.sorted(values);
        if versions.is_empty() {
            self.values.remove(key);
        } else {
            self.values.insert(key.clone(), versions);
        }
    }

    /// The winner first.
    fn sorted(&self, values: Vec<(Value<'_>, automerge::ObjId)>) -> Vec<Version> {
        let version = |(value, id): (Value<'_>, automerge::ObjId)| {
            let text = match value {
                Value::Scalar(scalar) if scalar.is_null() => None,
                Value::Scalar(scalar) => Some(pieces::text(&self.automerge, &scalar)?),
                Value::Object(_) => return None,
            };
            let automerge::ObjId::Id(counter, actor, _) = &id else { return None };
            let stamp = Stamp::new(*counter, actor.to_bytes());
            Some(Version { text, stamp, change: self.automerge.hash_for_opid(&id)? })
        };
        let mut versions: Vec<Version> = values.into_iter().filter_map(version).collect();
        versions.sort_by(|a, b| (b.text.is_some(), &b.stamp).cmp(&(a.text.is_some(), &a.stamp)));
        versions
    }
}
