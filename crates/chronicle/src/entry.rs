//! One entry of the log, and its place among all others.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{clock::Stamp, stream::Stream};

/// How much an entry matters; more serious is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For who looks for a fault in Standin itself.
    Debug,
    /// Something happened as it should.
    Info,
    /// Somebody should know.
    Warn,
    /// Somebody should act.
    Error,
}

/// Where an entry stands among all servers' entries. The order of the fields is the order of the log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// When.
    pub stamp: Stamp,
    /// Whose.
    pub stream: Stream,
    /// See [`Entry::sequence`].
    pub sequence: u64,
}

/// Something that a server noted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub stamp: Stamp,
    /// Whose.
    pub stream: Stream,
    /// Counts the stream's entries from 1 on, over restarts, without gaps as long as none is dropped for its age.
    pub sequence: u64,
    /// How much it matters.
    pub level: Level,
    /// Whether somebody may be trying what they must not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security: bool,
    /// One sentence.
    pub message: String,
    /// The names of the servers, virtual hosts, endpoints and monitors that it is about, sorted.
    pub about: Vec<String>,
    /// The event's kind, as `event`, and its own fields.
    pub fields: Map<String, Value>,
}

impl Entry {
    /// Its place in the log, unique.
    pub fn position(&self) -> Position {
        Position { stamp: self.stamp, stream: self.stream.clone(), sequence: self.sequence }
    }

    /// The event's kind, as in `model::event`; empty where it has none.
    pub fn kind(&self) -> &str {
        self.text("event")
    }

    /// A field that is a text; empty where there is none.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field that is a number.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field).and_then(Value::as_u64)
    }
}

/// As in cursors of pages: `MILLISECONDS.COUNT.SEQUENCE.STREAM`.
impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.stamp.wall_ms, self.stamp.count, self.sequence, self.stream)
    }
}

/// A text is no position.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a place in the log: it is what an answer's `next` says, as it is")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let mut parts = text.splitn(4, '.');
        let mut part = || parts.next().ok_or(NotAPosition);
        let number = |text: &str| text.parse::<u64>().map_err(|_| NotAPosition);
        let wall_ms = number(part()?)?;
        let count = u32::try_from(number(part()?)?).map_err(|_| NotAPosition)?;
        let sequence = number(part()?)?;
        let stream = part()?.parse().map_err(|_| NotAPosition)?;
        Ok(Self { stamp: Stamp { wall_ms, count }, stream, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_as_it_is_written() {
        let stream: Stream = "web.1-x-000000000000000a".parse().unwrap();
        let position = Position { stamp: Stamp { wall_ms: 17, count: 3 }, stream, sequence: 9 };
        assert_eq!(position.to_string(), "17.3.9.web.1-x-000000000000000a");
        assert_eq!(position.to_string().parse(), Ok(position));
        for wrong in ["", "1.2.3", "1.2.3.web1", "x.2.3.web1-000000000000000a", "1.4294967296.3.web1-000000000000000a"]
        {
            assert_eq!(wrong.parse::<Position>(), Err(NotAPosition), "{wrong}");
        }
    }
}
