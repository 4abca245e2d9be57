//! Who may do what: roles, the table of actions, and the text of a join token.
//!
//! Invariants: [`Action::role`] is the one place where a permission is written; documentation and handlers follow it. No
//! secret here is printed by `Debug`, and all are erased when dropped.
//!
//! Deliberately not here: users, sessions and keys as they are kept (`cluster::trust`), and how a person proves who he is.

mod action;
mod secret;
mod token;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    action::Action,
    secret::{Fingerprint, Secret, SecretText},
    token::{JoinToken, TokenError},
};

/// What somebody may do; each one includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Runs the cluster: standby, configuration.
    Operator,
    /// Decides who belongs to it: servers, people, keys.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word in commands, files and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// Whether this role may do it.
    pub fn may(self, action: Action) -> bool {
        self >= action.role()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
