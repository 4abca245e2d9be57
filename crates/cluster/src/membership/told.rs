//! Which account of ours the peers have, so that it is said at length only to those who lack it.
//!
//! An account gets the number of the first statement that gives it. Peers say in their heartbeats which one they have
//! learned. As long as one lacks ours it goes with every heartbeat; once all have it, heartbeats name its number, and their
//! size does not depend on the number of virtual hosts.
//!
//! Invariants: a new account is given at once. Who does not live, as we see it, counts too: it may hear us all the same
//! (one-way loss), and after a partition the first word heard must be the whole of it, or it would be believed later than
//! others. Who has said goodbye is not waited for.

use std::sync::Arc;

use crate::{statement::Account, wire::Given};

/// What was told.
#[derive(Debug)]
pub(super) struct Told {
    account: Arc<Account>,
    /// Its number.
    number: u64,
}

impl Told {
    pub(super) fn nothing() -> Self {
        Self { account: Arc::default(), number: 0 }
    }

    /// How statement `number` gives `account`; `lacking` looks whether somebody lacks the account of a number.
    pub(super) fn give(&mut self, number: u64, account: &Arc<Account>, lacking: impl FnOnce(u64) -> bool) -> Given {
        let is_new = self.number == 0 || self.account != *account;
        if is_new {
            (self.number, self.account) = (number, account.clone());
        }
        if is_new || lacking(self.number) { Given::Whole(self.number) } else { Given::Same(self.number) }
    }
}
