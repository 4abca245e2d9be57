//! A document with what it puts in force: where edits are checked and merges take effect.
//!
//! Invariant: an edit that is taken is in force as it is; what doesn't check, or would push aside what is in force, is
//! refused with every mistake, and leaves nothing behind.

use std::{collections::BTreeMap, sync::Arc};

use automerge::ChangeHash;
use model::{config::ClusterConfig, nearest::nearest};

use crate::{
    Change, Checked, Checker, Clash, Document, DocumentError, Incarnation, Key, Kind, Mistake, Objects, Session,
    Transaction, Was,
    document::Stamp,
    object::canonical,
    settle::{Settled, Wanted, settle},
};

/// Why an edit is not taken. `Display` says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It doesn't check.
    #[error("{}", .0.iter().map(|mistake| mistake.diagnostic.to_string()).collect::<Vec<_>>().join("\n\n"))]
    Mistakes(Vec<Mistake>),
    /// An object that it changes has several values.
    #[error("{0} has clashing values that nobody has settled: see `standin conflicts`, then `standin resolve {0}`")]
    Clashing(Key),
    /// Somebody else was faster.
    #[error("{0} has been changed by somebody else meanwhile: look at it again, then repeat the edit")]
    Changed(Key),
    /// It says two things about one object.
    #[error("the edit changes {0} twice: say it once")]
    Twice(Key),
    /// What it removes is not there.
    #[error("there is no {key}{}", .nearest.as_ref().map_or(String::new(), |name| format!("; did you mean `{name}`?")))]
    Missing {
        /// What was named.
        key: Key,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
}

/// A document, and what it puts in force.
#[derive(Debug)]
pub struct Ledger {
    document: Document,
    checker: Checker,
    force: Arc<Settled>,
}

/// A transaction as it would be written, and what it would put in force.
#[derive(Clone, Debug)]
pub struct Considered {
    /// Texts are canonical; what changes nothing is left out.
    pub transaction: Transaction,
    /// In force afterwards.
    pub settled: Settled,
}

impl Ledger {
    /// Takes a document over.
    ///
    /// # Errors
    /// When nothing that it ever was checks.
    pub fn new(document: Document) -> Result<Self, Vec<Mistake>> {
        let mut checker = Checker::default();
        let force = Self::with_digest(&document, settle(&document, &mut checker)?);
        Ok(Self { document, checker, force })
    }

    /// The first document of a cluster: `objects`, written by one transaction.
    ///
    /// # Errors
    /// When they don't check.
    pub fn found(
        mut document: Document,
        mut transaction: Transaction,
        objects: &Objects,
    ) -> Result<Self, Vec<Mistake>> {
        Checker::default().check(objects)?;
        transaction.changes = objects.iter().map(|(key, text)| Change::new(key.clone(), Some(text))).collect();
        document.write(&transaction);
        Self::new(document)
    }

    /// The ledger of a server that has no document yet: nothing is in force until it hears one.
    pub fn empty(incarnation: Incarnation) -> Self {
        let nothing = Checked { config: ClusterConfig::empty().into(), zones: Vec::new() };
        let force = Settled { checked: nothing, objects: Objects::new(), held: Vec::new(), undone: 0 };
        Self { document: Document::new(incarnation), checker: Checker::default(), force: Arc::new(force) }
    }

    /// The document.
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// What is in force.
    pub const fn in_force(&self) -> &Arc<Settled> {
        &self.force
    }

    /// What would come of an edit, which is not made.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn consider(&mut self, transaction: &Transaction) -> Result<Considered, Refusal> {
        // Also what is so already, and perhaps not in force: who says it again along with an edit means it.
        let asked: Vec<&Key> = transaction.changes.iter().map(|change| &change.key).collect();
        let transaction = self.effective(transaction)?;
        let considered = |settled| Considered { transaction: transaction.clone(), settled };
        if transaction.changes.is_empty() {
            return Ok(considered(Settled::clone(&self.force)));
        }
        let mut values: BTreeMap<_, _> = self
            .document
            .winners()
            .map(|(key, version)| (key.clone(), (version.text.clone(), version.stamp.clone())))
            .collect();
        for change in &transaction.changes {
            values.insert(change.key.clone(), (change.text.clone(), Stamp::last()));
        }
        let document = &self.document;
        let touched = |key: &Key| transaction.changes.iter().any(|change| change.key == *key);
        let before = |key: &Key| if touched(key) { document.get(key).cloned() } else { document.before(key) };
        let wanted = Wanted { values, before: &before };
        let objects = wanted.objects();
        let whole = match self.checker.check(&objects) {
            Ok(checked) => {
                return Ok(considered(Settled { checked, objects, held: Vec::new(), undone: 0 }));
            }
            Err(mistakes) => mistakes,
        };
        // Where the document had mistakes already, an edit need not mend them all; it must not make new ones.
        let known = |key: &Key| self.force.held.iter().any(|held| held.key == *key);
        let settled = wanted.settle(&mut self.checker).map_err(Refusal::Mistakes)?;
        let asked = |key: &Key| asked.contains(&key);
        if settled.held.iter().all(|held| known(&held.key) && !asked(&held.key)) {
            return Ok(considered(settled));
        }
        let new = settled.held.into_iter().filter(|held| !known(&held.key) || asked(&held.key));
        let new: Vec<Mistake> = new.map(|held| held.because).collect();
        Err(Refusal::Mistakes(if self.force.held.is_empty() { whole } else { new }))
    }

    /// Makes an edit; none where it changes nothing. It is in memory alone: whoever cannot keep it calls [`Ledger::revert`].
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn edit(&mut self, transaction: &Transaction) -> Result<Option<ChangeHash>, Refusal> {
        let Considered { transaction, settled } = self.consider(transaction)?;
        if transaction.changes.is_empty() {
            return Ok(None);
        }
        let change = self.document.write(&transaction);
        self.force = Self::with_digest(&self.document, settled);
        Ok(change)
    }

    /// Hears what a peer says; whether it was anything new, which is then in force, in memory alone.
    ///
    /// # Errors
    /// When it is not a message of such a session.
    pub fn hear(&mut self, session: &mut Session, bytes: &[u8]) -> Result<bool, DocumentError> {
        let new = session.hear(&mut self.document, bytes)?;
        if new {
            self.refresh();
        }
        Ok(new)
    }

    /// Takes changes in as [`Document::save_after`] gives them, in whatever order, how often; whether anything was new.
    ///
    /// # Errors
    /// When they are none.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, DocumentError> {
        let new = self.document.take(bytes)?;
        if new {
            self.refresh();
        }
        Ok(new)
    }

    /// Goes back to `heads`: what came after could not be kept.
    ///
    /// # Errors
    /// When the document was never there.
    pub fn revert(&mut self, heads: &[ChangeHash]) -> Result<(), DocumentError> {
        self.document.revert(heads)?;
        self.refresh();
        Ok(())
    }

    fn refresh(&mut self) {
        // Where nothing checks, not even what it was before (a document of a far newer version), what is in force stays.
        if let Ok(settled) = settle(&self.document, &mut self.checker) {
            self.force = Self::with_digest(&self.document, settled);
        }
    }

    /// Servers compare their documents by the configuration's digest.
    fn with_digest(document: &Document, mut settled: Settled) -> Arc<Settled> {
        Arc::make_mut(&mut settled.checked.config).digest = document.digest();
        Arc::new(settled)
    }

    /// Canonical, and without what changes nothing.
    fn effective(&self, transaction: &Transaction) -> Result<Transaction, Refusal> {
        let (mut effective, mut mistakes) = (Transaction { changes: Vec::new(), ..transaction.clone() }, Vec::new());
        for (index, change) in transaction.changes.iter().enumerate() {
            let key = &change.key;
            if transaction.changes[..index].iter().any(|other| other.key == *key) {
                return Err(Refusal::Twice(key.clone()));
            }
            let clash = self.document.clash(key);
            if clash.is_some() && !change.settles {
                return Err(Refusal::Clashing(key.clone()));
            }
            let now = self.document.get(key);
            if !change.was.holds(now.map(|text| &**text)) {
                return Err(match (now, change.was) {
                    (None, Was::Text(_)) => self.missing(key),
                    (None | Some(_), _) => Refusal::Changed(key.clone()),
                });
            }
            if change.text.is_none() && now.is_none() && clash.is_none() {
                return Err(self.missing(key));
            }
            // A template may be large, and stays as it is.
            let text = match &change.text {
                Some(text) if key.kind != Kind::Template => canonical(key, text).map(|text| Some(text.into())),
                as_it_is => Ok(as_it_is.clone()),
            };
            let text = match text {
                Ok(text) => text,
                Err(diagnostic) => {
                    mistakes.push(Mistake { key: key.clone(), diagnostic });
                    continue;
                }
            };
            if clash.is_some() || text.as_ref() != now {
                effective.changes.push(Change { text, ..change.clone() });
            }
        }
        if mistakes.is_empty() { Ok(effective) } else { Err(Refusal::Mistakes(mistakes)) }
    }

    fn missing(&self, key: &Key) -> Refusal {
        let objects = self.document.objects();
        let names: Vec<&str> = objects.keys().filter(|other| other.kind == key.kind).map(|key| &*key.name).collect();
        let nearest = nearest(&key.name, names.iter().copied()).map(str::to_owned);
        Refusal::Missing { key: key.clone(), nearest }
    }

    /// The transaction's changes that make the document `wanted`: what it lacks is removed, templates that no zone of it uses
    /// among them.
    pub fn changes_to(&self, wanted: &Objects) -> Vec<Change> {
        let now = self.document.objects();
        let set = wanted.iter().filter(|(key, text)| now.get(*key) != Some(*text));
        let set = set.map(|(key, text)| Change::new(key.clone(), Some(text)));
        let gone = now.keys().filter(|key| !wanted.contains_key(*key) && key.kind != Kind::Cluster);
        set.chain(gone.map(|key| Change::new(key.clone(), None))).collect()
    }

    /// All clashes.
    pub fn clashes(&self) -> Vec<Clash> {
        self.document.clashes()
    }
}
