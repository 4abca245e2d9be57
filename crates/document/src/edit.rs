//! Edits: what somebody wants changed, as a whole or not at all.

use std::{borrow::Cow, sync::Arc};

use model::digest::digest64;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Key;

/// Who changed something, from where and why. Kept with the change for ever.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Author {
    /// The person, as they logged in; `root` over the Unix socket.
    pub who: String,
    /// By which way: a terminal, an address, a file.
    #[serde(default)]
    pub from: String,
    /// The server that took the edit.
    #[serde(default)]
    pub server: String,
    /// What the person says of it.
    #[serde(default)]
    pub why: String,
}

/// What an object was when the edit was made: an edit of what somebody else has changed meanwhile is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Was {
    /// Whatever it was.
    #[default]
    Anything,
    /// It did not exist.
    Absent,
    /// Its text had this digest ([`Was::of`]).
    Text(u64),
}

impl Was {
    /// Of a text, or of nothing.
    pub fn of(text: Option<&str>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(digest64(&[text])))
    }

    /// Whether that is what there is.
    pub fn holds(self, now: Option<&str>) -> bool {
        self == Self::Anything || self == Self::of(now)
    }
}

impl JsonSchema for Was {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Was".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "`anything`, `absent`, or the digest of its text." })
    }
}

impl Serialize for Was {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Anything => serializer.serialize_str("anything"),
            Self::Absent => serializer.serialize_str("absent"),
            Self::Text(digest) => serializer.collect_str(&format_args!("{digest:016x}")),
        }
    }
}

impl<'de> Deserialize<'de> for Was {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "anything" => Ok(Self::Anything),
            "absent" => Ok(Self::Absent),
            digest => u64::from_str_radix(digest, 16)
                .map(Self::Text)
                .map_err(|_| serde::de::Error::custom("`was` is \"anything\", \"absent\" or a digest of 16 digits")),
        }
    }
}

/// One object's change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Which object.
    pub key: Key,
    /// Its new text; none: it is removed.
    pub text: Option<Arc<str>>,
    /// What it was.
    #[serde(default)]
    pub was: Was,
    /// Settles a clash: the other values are seen and given up.
    #[serde(default)]
    pub settles: bool,
}

impl Change {
    /// `key` becomes `text`, whatever it was.
    pub fn new(key: Key, text: Option<&str>) -> Self {
        Self { key, text: text.map(Into::into), was: Was::Anything, settles: false }
    }
}

/// Changes that come into force together or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transaction {
    /// Who, from where, why.
    pub author: Author,
    /// Seconds since 1970, for display.
    pub time: i64,
    /// What; at most one change an object.
    pub changes: Vec<Change>,
}
