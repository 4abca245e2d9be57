//! Who belongs: members, people, tokens and keys, the same on every server and apart from the configuration.
//!
//! A map of entries, each under a random name. Two states merge entry by entry: the higher version wins, and what is gone
//! stays gone, whatever was changed elsewhere meanwhile: a removal is never undone by an edit that did not know of it. Who
//! was removed and comes back gets a new entry.
//!
//! Invariants: merging is commutative, associative and idempotent. Secrets never show in `Debug`.
//!
//! Deliberately not here: files, links, certificates (`daemon::trust`); the configuration, which keeps both sides of a clash.

mod item;
mod rotation;

use std::collections::BTreeMap;

use model::access::{Fingerprint, Role};
use serde::{Deserialize, Serialize};

pub use self::{
    item::{
        Authority, Current, Gone, HeartbeatKey, Invitation, Item, Member, PasswordHash, Predecessor, Start, Token, User,
    },
    rotation::{KeyKind, Step, next_step},
};
use crate::{Key, KeyError, Keys};

/// An entry's name: random, except for the two registers of the keys in use.
pub type EntryId = String;
/// More entries are not added: tokens and sessions are what could become many.
pub const MAX_ENTRIES: usize = 4096;
/// What is gone is remembered for so long after it would have expired by itself, in seconds.
const REMEMBERED: u64 = 86_400;

/// One entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Counts its changes. Compared before anything else.
    pub version: u64,
    /// Who changed it last.
    pub by: String,
    /// What it says.
    pub item: Item,
}

/// Everything that is known of who belongs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trust {
    entries: BTreeMap<EntryId, Entry>,
}

/// Why nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TrustError {
    /// There are [`MAX_ENTRIES`] already.
    #[error("there are {MAX_ENTRIES} members, people, tokens and sessions already: remove some")]
    Full,
    /// It was removed, here or elsewhere.
    #[error("it was removed meanwhile")]
    Gone,
}

/// What a server key stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing<'a> {
    /// A member.
    Member(&'a str, &'a Member),
    /// It was one.
    Removed(&'a Gone),
    /// Nobody's.
    Unknown,
}

impl Trust {
    /// Takes in what another server knows. Returns whether anything is new.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (id, theirs) in &other.entries {
            let wins = self.entries.get(id).is_none_or(|ours| theirs.wins_over(ours));
            if wins {
                self.entries.insert(id.clone(), theirs.clone());
                changed = true;
            }
        }
        changed
    }

    /// Adds or replaces an entry.
    ///
    /// # Errors
    /// Where it was removed before, or there are too many.
    pub fn put(&mut self, id: &str, by: &str, item: Item) -> Result<(), TrustError> {
        let version = match self.entries.get(id) {
            Some(Entry { item: Item::Gone(_), .. }) => return Err(TrustError::Gone),
            Some(entry) => entry.version + 1,
            None if self.entries.len() >= MAX_ENTRIES => return Err(TrustError::Full),
            None => 1,
        };
        self.entries.insert(id.to_owned(), Entry { version, by: by.to_owned(), item });
        Ok(())
    }

    /// Ends an entry for good. Returns whether there was one. `now` is in seconds since 1970.
    pub fn remove(&mut self, id: &str, by: &str, now: u64) -> bool {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| !matches!(entry.item, Item::Gone(_))) else {
            return false;
        };
        let gone = entry.item.gone(now);
        *entry = Entry { version: entry.version + 1, by: by.to_owned(), item: Item::Gone(gone) };
        true
    }

    /// Forgets what has expired, and what was removed and would have expired long ago. Returns whether anything went.
    pub fn prune(&mut self, now: u64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|_, entry| match &entry.item {
            Item::Token(token) => token.expires + REMEMBERED > now,
            Item::Invitation(invitation) => invitation.expires + REMEMBERED > now,
            Item::Gone(gone) => gone.until.is_none_or(|until| until + REMEMBERED > now),
            Item::Member(_) | Item::User(_) | Item::Authority(_) | Item::HeartbeatKey(_) | Item::Current(_) => true,
        });
        self.entries.len() != before
    }

    /// One entry.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(id, entry)| (id.as_str(), entry))
    }

    fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.entries().map(|(id, entry)| (id, &entry.item))
    }

    /// Every member, by its id.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.items().filter_map(|(id, item)| if let Item::Member(member) = item { Some((id, member)) } else { None })
    }

    /// The member of this name. Where two servers have admitted one at once, the first by id.
    pub fn member_named(&self, name: &str) -> Option<(&str, &Member)> {
        self.members().find(|(_, member)| member.name == name)
    }

    /// What a server's public key stands for.
    pub fn standing(&self, key: &Fingerprint) -> Standing<'_> {
        if let Some((id, member)) = self.members().find(|(_, member)| member.keys.contains(key)) {
            return Standing::Member(id, member);
        }
        let gone = self.items().find_map(|(_, item)| match item {
            Item::Gone(gone) if gone.keys.contains(key) => Some(gone),
            _ => None,
        });
        gone.map_or(Standing::Unknown, Standing::Removed)
    }

    /// Every person, by id. Of two with one name the first counts.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.items().filter_map(|(id, item)| if let Item::User(user) = item { Some((id, user)) } else { None })
    }

    /// The person of this name.
    pub fn user_named(&self, name: &str) -> Option<(&str, &User)> {
        self.users().find(|(_, user)| user.name == name)
    }

    /// Every token and session, by id.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.items().filter_map(|(id, item)| if let Item::Token(token) = item { Some((id, token)) } else { None })
    }

    /// What a token with this digest allows now: a person's never more than the person may.
    pub fn bearer(&self, digest: &Fingerprint, now: u64) -> Option<(&str, &Token, Role)> {
        let (id, token) = self.tokens().find(|(_, token)| token.digest == *digest)?;
        if token.expires <= now {
            return None;
        }
        let role = match &token.user {
            None => token.role,
            Some(user) => self.users().find(|(id, _)| id == user).map(|(_, user)| user.role.min(token.role))?,
        };
        Some((id, token, role))
    }

    /// The invitation that the newcomer names, if it still counts.
    pub fn invitation(&self, id: &str, now: u64) -> Option<&Invitation> {
        match &self.entries.get(id)?.item {
            Item::Invitation(invitation) if invitation.expires > now => Some(invitation),
            _ => None,
        }
    }

    /// Every authority, by id.
    pub fn authorities(&self) -> impl Iterator<Item = (&str, &Authority)> {
        self.items().filter_map(|(id, item)| if let Item::Authority(a) = item { Some((id, a)) } else { None })
    }

    /// The authority that signs.
    pub fn authority(&self) -> Option<&Authority> {
        let current = rotation::current(self, KeyKind::Authority)?;
        self.authorities().find(|(id, _)| *id == current).map(|(_, authority)| authority)
    }

    /// The heartbeat keys: the one that seals, and one more that is accepted.
    ///
    /// # Errors
    /// [`KeyError`] for a key that is too short.
    pub fn heartbeat_keys(&self) -> Option<Result<Keys, KeyError>> {
        let mut keys: Vec<(&str, &HeartbeatKey)> = self
            .items()
            .filter_map(|(id, item)| if let Item::HeartbeatKey(key) = item { Some((id, key)) } else { None })
            .collect();
        // The newest is what comes next; else the newest but one is what was.
        keys.sort_by_key(|(id, key)| (std::cmp::Reverse(key.number), *id));
        let current = rotation::current(self, KeyKind::Heartbeat)?;
        let sealing = keys.iter().find(|(id, _)| *id == current)?.1;
        let other = keys.iter().find(|(id, _)| *id != current).map(|(_, key)| *key);
        let key = |key: &HeartbeatKey| Key::from_bytes(key.secret.expose());
        Some(key(sealing).and_then(|sealing| {
            let keys = Keys::new(sealing);
            Ok(match other {
                Some(other) => keys.also_accept(key(other)?),
                None => keys,
            })
        }))
    }
}

impl Entry {
    fn wins_over(&self, other: &Self) -> bool {
        let rank = |entry: &Self| matches!(entry.item, Item::Gone(_));
        (rank(self), self) > (rank(other), other)
    }
}

#[cfg(test)]
mod tests;
