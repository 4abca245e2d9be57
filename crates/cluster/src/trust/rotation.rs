//! How keys change without a gap: everybody receives both, then everybody sends the new one, then the old one goes.
//!
//! Any member may take the next step, and all of them do: the steps are functions of what is known, so that whoever takes
//! one writes the same. A step is taken when every member has confirmed the one before: a member that is down holds a
//! rotation up, and nothing breaks; removing it, or its return, lets it go on.

use super::{Current, EntryId, Item, Trust};

/// Keys that change in steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum KeyKind {
    /// What seals heartbeats.
    Heartbeat,
    /// What signs servers' certificates.
    Authority,
}

impl KeyKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Heartbeat, Self::Authority];

    /// The register of the one in use.
    pub const fn register(self) -> &'static str {
        match self {
            Self::Heartbeat => "current-heartbeat-key",
            Self::Authority => "current-authority",
        }
    }

    /// The word in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat key",
            Self::Authority => "authority",
        }
    }
}

/// Where a rotation is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// There is one key.
    Rest,
    /// Members have not confirmed yet: that they receive the new one, or that they send it.
    Await,
    /// Everybody receives the new one: send it from now on.
    Send(Current),
    /// Everybody sends the new one: the old one goes.
    Drop(EntryId),
}

/// The id of the key in use.
pub(super) fn current(trust: &Trust, kind: KeyKind) -> Option<&str> {
    match &trust.entry(kind.register())?.item {
        Item::Current(current) => Some(&current.key),
        _ => None,
    }
}

/// Every key of a kind, by number and id.
fn keys(trust: &Trust, kind: KeyKind) -> Vec<(u64, &str)> {
    let number = |item: &Item| match (kind, item) {
        (KeyKind::Heartbeat, Item::HeartbeatKey(key)) => Some(key.number),
        (KeyKind::Authority, Item::Authority(authority)) => Some(authority.number),
        _ => None,
    };
    let mut keys: Vec<_> = trust.items().filter_map(|(id, item)| number(item).map(|number| (number, id))).collect();
    keys.sort_unstable();
    keys
}

/// The next step. `confirmed` tells whether every other member has confirmed an entry as it is now.
pub fn next_step(trust: &Trust, kind: KeyKind, confirmed: impl Fn(&str) -> bool) -> Step {
    let (keys, Some(current)) = (keys(trust, kind), current(trust, kind)) else { return Step::Rest };
    let Some((number, newest)) = keys.last().copied() else { return Step::Rest };
    if newest != current {
        return if confirmed(newest) { Step::Send(Current { number, key: newest.to_owned() }) } else { Step::Await };
    }
    match keys.iter().find(|(_, id)| *id != current) {
        None => Step::Rest,
        Some((_, old)) if confirmed(kind.register()) => Step::Drop((*old).to_owned()),
        Some(_) => Step::Await,
    }
}

impl Trust {
    /// The number of the next key of a kind.
    pub fn next_number(&self, kind: KeyKind) -> u64 {
        keys(self, kind).last().map_or(1, |(number, _)| number + 1)
    }

    /// Whether there is more than one key of a kind.
    pub fn is_rotating(&self, kind: KeyKind) -> bool {
        keys(self, kind).len() > 1
    }
}
