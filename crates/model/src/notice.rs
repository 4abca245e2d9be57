//! Words of notifications: what was told to people outside the cluster, by which channel.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ChannelName;

/// How much an incident matters to whoever is told; more serious is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It was planned, or is nobody's loss.
    Info,
    /// Something is broken, and others stand in for it.
    Warning,
    /// Somebody is not served.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word in configuration and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.word() == word)
    }
}

/// Which message of an incident it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// The first one of an incident that is not over.
    Opened,
    /// Another one of an incident that is not over.
    Updated,
    /// It is over. The only one, where it was over before anything could be told.
    Ended,
}

impl NoticeState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Opened, Self::Updated, Self::Ended];

    /// The word in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Ended => "ended",
        }
    }

    /// The state of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What a message said of one incident. In the cluster's log it keeps other servers, and this one after a restart, from telling
/// the same again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Told {
    /// The incident's id.
    pub incident: Arc<str>,
    /// Counts what was told of it by this channel, from 1.
    pub sequence: u64,
    /// Which message it was.
    pub state: NoticeState,
    /// How much it mattered.
    pub severity: Severity,
    /// The digest of what was told, in hexadecimal.
    pub content: Arc<str>,
}

/// A message to a channel, and what has become of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Notification {
    /// By which channel.
    pub channel: ChannelName,
    /// The message's id; that of the channel's rules where it begins.
    pub delivery: Arc<str>,
    /// What it said, or would have said.
    pub incidents: Vec<Told>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it could not be delivered the last time; none: it was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}
