//! Which account of ours the peers have, so that it is said at length only to those who lack it.
//!
//! An account gets the number of the first statement that gives it. Peers say in their heartbeats which one they have
//! learned. As long as a living one lacks ours it goes with every heartbeat; once all have it, heartbeats name its number,
//! and their size does not depend on the number of virtual hosts.
//!
//! Invariants: a new account is given at once. Who does not live, as we see it, but may hear us all the same (one-way loss)
//! is given it once in a detection time: no less than must be heard of a server for it to live. Who has said goodbye is not
//! waited for.

use std::sync::Arc;

use model::{Instant, config::HeartbeatSettings};

use crate::{statement::Account, wire::Given};

/// Who lacks the account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Lack {
    /// Nobody.
    None,
    /// Somebody who may hear us, though we don't hear it.
    Unheard,
    /// Somebody whom we hear.
    Heard,
}

/// What was told.
#[derive(Debug)]
pub(super) struct Told {
    account: Arc<Account>,
    /// Its number.
    number: u64,
    /// When it was last given whole.
    whole: Instant,
}

impl Told {
    pub(super) fn nothing(now: Instant) -> Self {
        Self { account: Arc::default(), number: 0, whole: now }
    }

    /// How statement `number` gives `account`; `lack` looks who lacks the account of a number.
    pub(super) fn give(
        &mut self,
        now: Instant,
        number: u64,
        account: &Arc<Account>,
        heartbeat: HeartbeatSettings,
        lack: impl FnOnce(u64) -> Lack,
    ) -> Given {
        let is_new = self.number == 0 || self.account != *account;
        if is_new {
            (self.number, self.account) = (number, account.clone());
        }
        let due = match lack(self.number) {
            Lack::Heard => true,
            Lack::Unheard => now >= self.whole + heartbeat.detection(),
            Lack::None => false,
        };
        if !is_new && !due {
            return Given::Same(self.number);
        }
        self.whole = now;
        Given::Whole(self.number)
    }
}
