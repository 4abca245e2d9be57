//! What the admin API says of notifications. Fields are added, never renamed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One channel, as the server that answers sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// `webhook`, `mail` or `exec`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who sends: the first living server of the channel's `sent-by`; none: nobody, or not known yet.
    pub sender: Option<String>,
    /// Incidents whose news wait to be sent by this server: for a quiet time to end, or for the receiver to answer.
    pub waiting: usize,
    /// Attempts of this server in a row that failed.
    pub failures: u32,
    /// When this server last tried, RFC 3339, UTC; none: not since it started.
    pub last_attempt: Option<String>,
    /// How that ended.
    pub last_result: Option<String>,
}

/// `POST /v1/notify/test`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestChannel {
    /// The channel.
    pub channel: String,
}

/// How a test went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    /// Whether the receiver has taken the message.
    pub delivered: bool,
    /// The same in words.
    pub said: String,
    /// The message's id.
    pub delivery: String,
}
