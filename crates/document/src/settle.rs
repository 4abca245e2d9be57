//! Which configuration a document puts in force: a function of the document alone, so that servers with the same document
//! have the same configuration in force, whatever came first.
//!
//! Mostly it is the document's objects as they are. Edits on two sides of a partition, each right by itself, may contradict
//! each other: one address twice, a pool whose member somebody has removed. Then, until it checks, the youngest of the
//! objects that a mistake is about is *held*: it stays in force as it was before its last change, and if that is no better,
//! it is left out. What a mistake is about: the object it is in, and every object that is called, or says, the marked word; a
//! removal is held by leaving the object in.
//!
//! Where even that leads nowhere, the document as it was before its last changes rules, as far back as it takes.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Checked, Checker, Document, Key, Kind, Mistake, Objects,
    document::{Stamp, Version},
};

/// More objects than this are not held one by one.
const MOST_HELD: usize = 64;
/// So many mistakes are looked at in search of the youngest object: one edit may spoil a thousand others.
const MOST_MISTAKES: usize = 32;
/// So many changes are undone in search of a document that checks.
const FARTHEST_BACK: usize = 256;

/// An object that is not in force as the document says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Which.
    pub key: Key,
    /// What stands instead: its text of before; none: nothing.
    pub instead: Option<Arc<str>>,
    /// The first mistake that it was held for.
    pub because: Mistake,
}

/// What a document puts in force.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Configuration and zones.
    pub checked: Checked,
    /// The objects that it was made of.
    pub objects: Objects,
    /// Objects that the document has otherwise.
    pub held: Vec<Held>,
    /// So many of the last changes are not in force at all.
    pub undone: usize,
}

/// Objects to settle: each one's value as the document has it, when it was written, and what it was before.
pub(crate) struct Wanted<'d> {
    pub(crate) values: BTreeMap<Key, (Option<Arc<str>>, Stamp)>,
    pub(crate) before: &'d dyn Fn(&Key) -> Option<Arc<str>>,
}

impl Wanted<'_> {
    pub(crate) fn objects(&self) -> Objects {
        self.values.iter().filter_map(|(key, (text, _))| Some((key.clone(), text.clone()?))).collect()
    }

    /// Holds objects until the rest checks; none where that leads nowhere: the mistakes of the whole.
    pub(crate) fn settle(&self, checker: &mut Checker) -> Result<Settled, Vec<Mistake>> {
        let mut objects = self.objects();
        let mut held: BTreeMap<Key, Held> = BTreeMap::new();
        let mut first = None;
        for _ in 0..MOST_HELD {
            let mistakes = match checker.check(&objects) {
                Ok(checked) => {
                    return Ok(Settled { checked, objects, held: held.into_values().collect(), undone: 0 });
                }
                Err(mistakes) => mistakes,
            };
            let Some((key, because)) = self.youngest(&mistakes, &objects, &held) else {
                return Err(first.unwrap_or(mistakes));
            };
            let instead = if held.contains_key(&key) { None } else { (self.before)(&key) };
            match &instead {
                Some(text) => objects.insert(key.clone(), text.clone()),
                None => objects.remove(&key),
            };
            held.entry(key.clone()).or_insert(Held { key: key.clone(), instead: None, because }).instead = instead;
            first.get_or_insert(mistakes);
        }
        Err(first.unwrap_or_default())
    }

    /// The youngest object that a mistake is about and that can still be held, with that mistake.
    fn youngest(&self, mistakes: &[Mistake], objects: &Objects, held: &BTreeMap<Key, Held>) -> Option<(Key, Mistake)> {
        let mut best: Option<(&Stamp, &Key, &Mistake)> = None;
        for mistake in mistakes.iter().take(MOST_MISTAKES) {
            let word = word(mistake);
            for (key, (text, stamp)) in &self.values {
                let about = *key == mistake.key
                    || *key.name == *word
                    || (key.kind != Kind::Template && objects.get(key).is_some_and(|text| says(text, &word)));
                // Removed already, or held back to what it was before and then left out.
                let done = held.get(key).is_some_and(|held| held.instead.is_none());
                // A removal can only be taken back.
                let vain = text.is_none() && !held.contains_key(key) && (self.before)(key).is_none();
                if about && !done && !vain && best.is_none_or(|(other, ..)| stamp > other) {
                    best = Some((stamp, key, mistake));
                }
            }
        }
        best.map(|(_, key, mistake)| (key.clone(), mistake.clone()))
    }
}

/// What a mistake marks, without quotes.
fn word(mistake: &Mistake) -> String {
    let diagnostic = &mistake.diagnostic;
    let marked: String = diagnostic.text.chars().skip(diagnostic.column - 1).take(diagnostic.width).collect();
    marked.trim_matches(['"', '\'']).trim_end_matches('.').to_owned()
}

/// Whether `text` has `word` between characters that belong to no name and no address.
fn says(text: &str, word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    !word.is_empty()
        && text
            .match_indices(word)
            .any(|(at, _)| !text[..at].ends_with(inner) && !text[at + word.len()..].starts_with(inner))
}

/// What the document puts in force.
///
/// # Errors
/// When nothing that it ever was checks: the mistakes of what it is.
pub fn settle(document: &Document, checker: &mut Checker) -> Result<Settled, Vec<Mistake>> {
    let value = |(key, version): (&Key, &Version)| (key.clone(), (version.text.clone(), version.stamp.clone()));
    let wanted = Wanted { values: document.winners().map(value).collect(), before: &|key| document.before(key) };
    let mistakes = match wanted.settle(checker) {
        Ok(settled) => return Ok(settled),
        Err(mistakes) => mistakes,
    };
    let mut order = document.order();
    for undone in 1..=FARTHEST_BACK.min(order.len().saturating_sub(1)) {
        order.pop();
        let heads: Vec<_> = order.iter().map(|(_, hash)| *hash).collect();
        let objects = document.objects_at(&heads);
        if let Ok(checked) = checker.check(&objects) {
            return Ok(Settled { checked, objects, held: Vec::new(), undone });
        }
    }
    Err(mistakes)
}

#[cfg(test)]
mod tests {
    use super::says;

    #[test]
    fn a_word_stands_alone() {
        assert!(says("addresses = [\"10.0.0.1\"]", "10.0.0.1"));
        assert!(!says("addresses = [\"10.0.0.11\"]", "10.0.0.1"));
        assert!(!says("servers = [\"web1-old\"]", "web1"));
        assert!(!says("anything", ""));
    }
}
