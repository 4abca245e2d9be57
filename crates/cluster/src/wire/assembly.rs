//! Statements that came in parts, or with an account that was given before, put together again.

use std::{collections::BTreeMap, sync::Arc};

use super::{Given, Part};
use crate::statement::{Account, Statement};

/// So many statements may be incomplete at once: the newest, and the one before it for the sake of reordering.
const MAX_OPEN: usize = 2;

/// The parts of one run's statements. Memory is bounded by [`MAX_OPEN`] × 255 datagrams.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// The newest number that was complete.
    done: u64,
    open: BTreeMap<u64, Open>,
    /// The account of the newest statement that was complete, and its number.
    learned: Option<(u64, Arc<Account>)>,
}

#[derive(Debug)]
struct Open {
    count: u8,
    given: Given,
    shares: BTreeMap<u8, Statement>,
}

impl Assembly {
    /// Takes a part. Returns the statement when that completes one newer than all complete ones.
    pub(crate) fn add(&mut self, part: Part) -> Option<Statement> {
        let Part { sender: _, number, index, count, given, share } = part;
        if number <= self.done || !self.knows(given) {
            return None;
        }
        let open = self.open.entry(number).or_insert_with(|| Open { count, given, shares: BTreeMap::new() });
        if (open.count, open.given) == (count, given) {
            open.shares.insert(index, share);
        }
        if open.shares.len() < usize::from(open.count) {
            if self.open.len() > MAX_OPEN {
                self.open.pop_first();
            }
            return None;
        }
        let complete = self.open.remove(&number)?;
        let account = self.account(&complete)?;
        self.done = number;
        self.open = self.open.split_off(&number);
        let mut shares = complete.shares.into_values();
        let mut whole = Statement { account, ..shares.next()? };
        for share in shares {
            for (key, runs) in share.heard {
                whole.heard.entry(key).or_default().extend(runs);
            }
        }
        Some(whole)
    }

    /// The number of the newest account that is known; 0: none that has one.
    pub(crate) fn learned(&self) -> u64 {
        self.learned.as_ref().map_or(0, |(number, _)| *number)
    }

    /// Whether a statement whose account is there can be understood.
    pub(crate) fn knows(&self, given: Given) -> bool {
        match given {
            Given::Unnumbered | Given::Whole(_) => true,
            Given::Same(number) => self.learned.as_ref().is_some_and(|(learned, _)| *learned == number),
        }
    }

    /// The account of a complete statement; none where it is one that has been replaced meanwhile.
    fn account(&mut self, complete: &Open) -> Option<Arc<Account>> {
        let number = match complete.given {
            Given::Same(_) => {
                let known = self.learned.as_ref().filter(|_| self.knows(complete.given));
                return known.map(|(_, account)| account.clone());
            }
            Given::Unnumbered => None,
            Given::Whole(number) => Some(number),
        };
        let account = gathered(complete.shares.values().map(|share| &share.account));
        self.learned = number.map(|number| (number, account.clone()));
        Some(account)
    }
}

fn gathered<'a>(mut shares: impl Iterator<Item = &'a Arc<Account>>) -> Arc<Account> {
    let mut whole = shares.next().cloned().unwrap_or_default();
    for share in shares {
        let Account { stances, verdicts, recovering, calm } = &**share;
        let all = Arc::make_mut(&mut whole);
        all.stances.extend(stances);
        all.recovering.extend(recovering);
        all.verdicts.extend(verdicts);
        all.calm.extend(calm);
    }
    whole
}
