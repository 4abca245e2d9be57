//! What clients were answered while something was wrong: before, during and after.

use model::event::Answers;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;

/// Pools in one story; of more nothing is told but their lines.
const MOST_POOLS: usize = 16;
/// Changes of one pool; more are counted.
const MOST_CHANGES: usize = 32;
/// What several servers tell within this time is one change.
const TOGETHER_MS: u64 = 1_000;

/// One pool's answers during a story.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolAnswers {
    /// Which pool.
    pub pool: String,
    /// What was answered when the story began.
    pub before: Answers,
    /// What changed, in the order of time. The last one is what was answered after it.
    pub changes: Vec<AnswersChange>,
    /// So many more changes were left out.
    pub more: u64,
}

/// A change of what is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AnswersChange {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The server that answered so first.
    pub server: String,
    /// How many servers did.
    pub servers: u32,
    /// What is answered from then on.
    pub answers: Answers,
}

impl PoolAnswers {
    /// One more change; `before` is what was answered until then.
    fn insert(&mut self, change: AnswersChange, before: Answers) {
        let place = self.changes.partition_point(|earlier| earlier.at_ms <= change.at_ms);
        if place == 0 {
            self.before = before;
        }
        self.changes.insert(place, change);
    }

    /// Others tell of the change number `index`, too; whoever was first gives it its time, and says what was answered until then.
    fn join(&mut self, index: usize, others: AnswersChange, before: Answers) {
        self.changes[index].servers += others.servers;
        if others.at_ms < self.changes[index].at_ms {
            let known = self.changes.remove(index);
            self.insert(AnswersChange { servers: known.servers, ..others }, before);
        }
    }

    /// For how many milliseconds, until `end_ms` at the latest, fewer addresses were answered than before.
    pub fn fewer_ms(&self, end_ms: u64) -> u64 {
        let ends = self.changes.iter().skip(1).map(|change| change.at_ms).chain([end_ms]);
        let spans = self.changes.iter().zip(ends);
        let fewer = spans.filter(|(change, _)| change.answers.are_fewer(&self.before));
        fewer.map(|(change, end)| end.saturating_sub(change.at_ms)).sum()
    }
}

/// Takes note of an `answers-changed`. Whether it is news, and not what another server has told already.
pub(super) fn note(all: &mut Vec<PoolAnswers>, entry: &Entry) -> bool {
    let answers = |field: &str| -> Answers {
        let value = entry.fields.get(field).cloned().unwrap_or_default();
        serde_json::from_value(value).unwrap_or_default()
    };
    let (name, after) = (entry.text("pool"), answers("after"));
    let at_ms = entry.stamp.wall_ms.saturating_sub(entry.number("ago_ms").unwrap_or(0));
    let pool = match all.iter().position(|pool| pool.pool == name) {
        Some(at) => &mut all[at],
        None if all.len() == MOST_POOLS => return true,
        None => {
            let (pool, before) = (name.to_owned(), answers("before"));
            all.push(PoolAnswers { pool, before, changes: Vec::new(), more: 0 });
            all.last_mut().expect("just pushed")
        }
    };
    let change = AnswersChange { at_ms, server: entry.stream.server.to_string(), servers: 1, answers: after };
    let known = pool.changes.iter().rposition(|known| known.is_together_with(&change) && known.server != change.server);
    if let Some(known) = known {
        pool.join(known, change, answers("before"));
        return false;
    }
    if pool.changes.len() == MOST_CHANGES {
        pool.more += 1;
        return false;
    }
    pool.insert(change, answers("before"));
    true
}

/// Takes over what another story was told that turned out to be a part of this one.
pub(super) fn merge(all: &mut Vec<PoolAnswers>, others: Vec<PoolAnswers>) {
    for other in others {
        let Some(pool) = all.iter_mut().find(|pool| pool.pool == other.pool) else {
            all.push(other);
            continue;
        };
        for change in other.changes {
            match pool.changes.iter().position(|known| known.is_together_with(&change)) {
                Some(known) => pool.join(known, change, other.before.clone()),
                None => pool.insert(change, other.before.clone()),
            }
        }
        pool.changes.truncate(MOST_CHANGES);
    }
    all.truncate(MOST_POOLS);
}

impl AnswersChange {
    fn is_together_with(&self, other: &Self) -> bool {
        self.answers == other.answers && self.at_ms.abs_diff(other.at_ms) <= TOGETHER_MS
    }
}
