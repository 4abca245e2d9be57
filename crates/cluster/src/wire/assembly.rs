//! Statements that came in parts, put together again.

use std::collections::BTreeMap;

use super::Part;
use crate::statement::Statement;

/// So many statements may be incomplete at once: the newest, and the one before it for the sake of reordering.
const MAX_OPEN: usize = 2;

/// The parts of one run's statements. Memory is bounded by [`MAX_OPEN`] × 255 datagrams.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// The newest number that was complete.
    done: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    count: u8,
    shares: BTreeMap<u8, Statement>,
}

impl Assembly {
    /// Takes a part. Returns the statement when that completes one newer than all complete ones.
    pub(crate) fn add(&mut self, part: Part) -> Option<Statement> {
        let Part { sender: _, number, index, count, share } = part;
        if number <= self.done {
            return None;
        }
        let open = self.open.entry(number).or_insert_with(|| Open { count, shares: BTreeMap::new() });
        if open.count == count {
            open.shares.insert(index, share);
        }
        if open.shares.len() < usize::from(open.count) {
            if self.open.len() > MAX_OPEN {
                self.open.pop_first();
            }
            return None;
        }
        let complete = self.open.remove(&number)?;
        self.done = number;
        self.open = self.open.split_off(&number);
        complete.shares.into_values().reduce(|mut whole, share| {
            let Statement {
                standby: _,
                resigning: _,
                goodbye: _,
                listening: _,
                configuration: _,
                serial: _,
                heard,
                stances,
                verdicts,
                calm,
            } = share;
            for (key, runs) in heard {
                whole.heard.entry(key).or_default().extend(runs);
            }
            whole.stances.extend(stances);
            whole.verdicts.extend(verdicts);
            whole.calm.extend(calm);
            whole
        })
    }
}
