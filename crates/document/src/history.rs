//! Who changed what, when, from where and why: the document's own record.
//!
//! In the order of the changes' Lamport numbers, which is the same on every server and never puts a change before one that
//! it builds on. Times are for display.

use std::collections::BTreeSet;

use automerge::{Change, ChangeHash, ReadDoc, ScalarValue, legacy::OpType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Author, Document, Key, Stamp};

/// How an object was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Touch {
    /// It had no value before.
    Added,
    /// It had one.
    Changed,
    /// A tombstone was written.
    Removed,
}

/// One object of a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Touched {
    /// Which.
    pub key: Key,
    /// How.
    pub how: Touch,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its hash, which is also its version's name.
    pub change: ChangeHash,
    /// What it builds on.
    pub parents: Vec<ChangeHash>,
    /// Who, from where, why.
    pub author: Author,
    /// Seconds since 1970, as the server's clock said.
    pub time: i64,
    /// What.
    pub touched: Vec<Touched>,
}

impl Document {
    /// The last `limit` changes, the newest first.
    pub fn history(&self, limit: usize) -> Vec<Entry> {
        let mut all = self.order();
        all.reverse();
        all.truncate(limit);
        all.iter().filter_map(|(_, hash)| self.entry(hash)).collect()
    }

    /// One change.
    pub fn entry(&self, hash: &ChangeHash) -> Option<Entry> {
        let change = self.automerge.get_change_by_hash(hash)?;
        let author = change.message().and_then(|message| serde_json::from_str(message).ok()).unwrap_or_default();
        Some(Entry {
            change: *hash,
            parents: change.deps().to_vec(),
            author,
            time: change.timestamp(),
            touched: touched(&change),
        })
    }

    /// The change whose hash begins so; none where there is none, or several.
    pub fn find(&self, prefix: &str) -> Option<ChangeHash> {
        let mut found = self.order().into_iter().filter(|(_, hash)| hash.to_string().starts_with(prefix));
        let (_, hash) = found.next()?;
        (!prefix.is_empty() && found.next().is_none()).then_some(hash)
    }

    /// All changes in an order that every server agrees on, and in which none comes before one that it builds on.
    pub(crate) fn order(&self) -> Vec<(Stamp, ChangeHash)> {
        let metas = self.automerge.get_changes_meta(&[]);
        let mut order: Vec<_> =
            metas.iter().map(|meta| (Stamp::new(meta.start_op, meta.actor.to_bytes()), meta.hash)).collect();
        order.sort();
        order
    }

    /// What a change builds on.
    pub(crate) fn parents(&self, hash: &ChangeHash) -> Vec<ChangeHash> {
        self.automerge.get_change_meta_by_hash(hash).map_or_else(Vec::new, |meta| meta.deps)
    }

    /// The objects touched by changes that came after `heads`.
    pub(crate) fn touched_since(&self, heads: &[ChangeHash]) -> BTreeSet<Key> {
        let changes = self.automerge.get_changes(heads);
        changes.iter().flat_map(touched).map(|touched| touched.key).collect()
    }

    /// Whether who has `heads` has `change`.
    pub fn includes(&self, heads: &[ChangeHash], change: &ChangeHash) -> bool {
        heads.contains(change) || !self.automerge.get_changes_meta(heads).iter().any(|meta| meta.hash == *change)
    }
}

fn touched(change: &Change) -> Vec<Touched> {
    let operations = change.decode().operations;
    let each = operations.iter().filter_map(|operation| {
        let key = match &operation.key {
            automerge::legacy::Key::Map(key) => Key::parse(key)?,
            automerge::legacy::Key::Seq(_) => return None,
        };
        let how = match &operation.action {
            OpType::Put(ScalarValue::Null) => Touch::Removed,
            _ if operation.pred.iter().next().is_none() => Touch::Added,
            _ => Touch::Changed,
        };
        Some(Touched { key, how })
    });
    // Of an object that is written twice in one change, the last counts (`Document::write`).
    let mut touched: Vec<Touched> = Vec::new();
    for one in each {
        match touched.iter_mut().find(|known| known.key == one.key) {
            Some(known) => *known = one,
            None => touched.push(one),
        }
    }
    touched
}
