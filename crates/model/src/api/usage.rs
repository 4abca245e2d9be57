//! What DNS is asked most, by whom, and what is answered: `GET /v1/dns/top`, `GET /v1/dns/clients`. Fields are added, never renamed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Unreachable;

/// By what replies are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The name asked for.
    Name,
    /// The address that the reply offers first.
    Address,
    /// The type asked for.
    Type,
    /// The response code.
    Rcode,
    /// Who asks: for who may see that.
    Client,
}

impl By {
    /// All.
    pub const ALL: [Self; 5] = [Self::Name, Self::Address, Self::Type, Self::Rcode, Self::Client];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Address => "address",
            Self::Type => "type",
            Self::Rcode => "rcode",
            Self::Client => "client",
        }
    }
}

/// Replies by what they are, of the last minutes, in which the last ones count most. Where a server sends more than 1,000 a second, names,
/// addresses and clients are estimates: those of one batch in sixteen, for all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DnsUsage {
    /// Of how many minutes: replies count less and less with age, so much older ones for a third.
    pub minutes: u64,
    /// Replies a second.
    pub per_second: f64,
    /// Each server's part.
    pub servers: Vec<Counted>,
    /// What was counted, one way and another.
    pub tables: Vec<UsageTable>,
    /// Servers that could not be asked: theirs are missing.
    pub unreachable: Vec<Unreachable>,
}

/// Replies, counted one way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UsageTable {
    /// Which.
    pub by: By,
    /// The most frequent first.
    pub entries: Vec<Counted>,
}

/// How often something is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    /// What.
    pub what: String,
    /// Replies a second.
    pub per_second: f64,
    /// Of all replies.
    pub percent: f64,
}
