//! Who did what, and who was refused: the way into the journal for everything that people and servers ask.
//!
//! Refusals come as fast as strangers like, so after [`BURST`] of one action within [`SPAN`] the rest is counted and told
//! with the next one: who knocks a thousand times hides nobody who guesses passwords. Changes are never left out.
//!
//! Deliberately not here: secrets, in any form.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use model::{Instant, event::Event};

use crate::journal::Journal;

/// Refusals of one action told one by one.
const BURST: u32 = 20;
/// Within this time.
const SPAN: Duration = Duration::from_secs(10);
/// Words of strangers are cut at this length.
const LONGEST: usize = 128;

/// The way into the journal. It is closed before the journal ends.
#[derive(Debug)]
pub(crate) struct Audit(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Option<Journal>,
    /// By action; there are about thirty.
    pace: BTreeMap<&'static str, Pace>,
}

#[derive(Debug)]
struct Pace {
    since: Instant,
    told: u32,
    untold: u64,
}

impl Audit {
    /// Into this journal.
    pub(crate) fn new(journal: Journal) -> Self {
        Self(Mutex::new(Inner { journal: Some(journal), pace: BTreeMap::new() }))
    }

    /// Something happened.
    pub(crate) fn record(&self, event: Event) {
        if let Some(journal) = &self.0.lock().unwrap_or_else(PoisonError::into_inner).journal {
            journal.record(event);
        }
    }

    /// Somebody has changed something.
    pub(crate) fn done(&self, who: &str, from: &str, action: &str, what: &str) {
        self.record(Event::Done { who: cut(who), from: from.into(), action: action.into(), what: cut(what) });
    }

    /// Somebody was refused.
    pub(crate) fn denied(&self, who: &str, from: &str, action: &'static str, reason: &str) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = host::clock::now();
        let pace = inner.pace.entry(action).or_insert(Pace { since: now, told: 0, untold: 0 });
        if now.since(pace.since) > SPAN {
            (pace.since, pace.told) = (now, 0);
        }
        if pace.told >= BURST {
            pace.untold += 1;
            return;
        }
        pace.told += 1;
        let count = std::mem::take(&mut pace.untold) + 1;
        let (who, from, action, reason) = (cut(who), from.into(), action.into(), cut(reason));
        if let Some(journal) = &inner.journal {
            journal.record(Event::Denied { who, from, action, reason, count });
        }
    }

    /// No more: the journal may end.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).journal = None;
    }
}

/// A stranger's word, fit for a log line.
fn cut(word: &str) -> std::sync::Arc<str> {
    let mut safe: String = word.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if safe.is_empty() {
        safe.push('?');
    }
    safe.into()
}
