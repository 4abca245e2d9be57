//! What the admin API says about the configuration: requests and answers of `/v1/config`. Fields are added, never renamed.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use document::{Change, Key, Touched};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody wants the document to become.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// Some objects otherwise.
    Changes(Vec<Change>),
    /// Exactly these objects.
    Whole(BTreeMap<Key, Arc<str>>),
    /// As it was at a version.
    Version(String),
    /// As if a change had not been made: that of the version, else the last one.
    Undo(Option<String>),
}

/// A record to ask for, before and after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The name, absolute.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The body of `POST /v1/config/edit` and `/v1/config/plan`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// What.
    pub wanted: Wanted,
    /// Who wants it. Over the Unix socket whoever may use it is believed.
    #[serde(default)]
    pub who: String,
    /// From where.
    #[serde(default)]
    pub from: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// Undo it after so many seconds unless somebody confirms.
    #[serde(default)]
    pub confirm_seconds: Option<u64>,
    /// Answers to compare, beside those of all names that are pools.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

/// An object before and after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChangedObject {
    /// Which.
    pub key: Key,
    /// Its text before; none: it is new.
    pub before: Option<Arc<str>>,
    /// Its text after; none: it is removed.
    pub after: Option<Arc<str>>,
}

/// A virtual address that is, or would be, held elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Move {
    /// Which.
    pub address: IpAddr,
    /// Whose.
    pub virtual_host: String,
    /// Who holds it.
    pub now: Option<String>,
    /// Who would.
    pub then: Option<String>,
}

/// An answer that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AnswerChange {
    /// The name asked for.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is answered: records, or the response code.
    pub now: Vec<String>,
    /// What would be.
    pub then: Vec<String>,
}

/// The records of a zone that differ, with all pool members up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ZoneChange {
    /// Which zone.
    pub zone: String,
    /// Records that go.
    pub removed: Vec<String>,
    /// Records that come.
    pub added: Vec<String>,
    /// So many more differ than are listed.
    pub more: usize,
}

/// A server's share of new clients, averaged over all pools.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// The server, or an endpoint.
    pub server: String,
    /// Now, in percent.
    pub now: f64,
    /// Then.
    pub then: f64,
}

/// An object that is not in force as the document has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HeldObject {
    /// Which.
    pub key: Key,
    /// The mistake that it would make.
    pub because: String,
    /// Whether it is in force as it was before; else it is left out.
    pub stays_as_before: bool,
}

/// What an edit would change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Objects.
    pub changes: Vec<ChangedObject>,
    /// Virtual addresses that move, come or go, as far as can be told from what the cluster knows now.
    pub moves: Vec<Move>,
    /// Answers that differ.
    pub answers: Vec<AnswerChange>,
    /// How many answers were compared.
    pub compared: usize,
    /// Zones' records that differ.
    pub zones: Vec<ZoneChange>,
    /// Load, where it differs.
    pub shares: Vec<Share>,
    /// Objects that would not be in force.
    pub held: Vec<HeldObject>,
}

/// An edit that was made.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Edited {
    /// The document's new version; the old one where nothing has changed.
    pub version: String,
    /// What it changed.
    pub changes: Vec<ChangedObject>,
    /// The servers that have it on their disks.
    pub accepted_on: Vec<String>,
    /// How many servers the cluster has.
    pub servers: usize,
    /// Whether it is in force on this server.
    pub in_force: bool,
    /// It is undone after so many seconds unless somebody confirms.
    pub confirm_seconds: Option<u64>,
}

/// One value of a clashing object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClashValue {
    /// The text; none: removed.
    pub text: Option<Arc<str>>,
    /// The change that wrote it.
    pub version: String,
    /// Who wrote it.
    pub who: String,
    /// From where.
    pub from: String,
    /// On which server.
    pub server: String,
    /// Why.
    pub why: String,
}

/// An object with several values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClashingObject {
    /// Which.
    pub key: Key,
    /// Its values; the first is in force.
    pub values: Vec<ClashValue>,
}

/// An edit that waits to be confirmed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Unconfirmed {
    /// Which.
    pub version: String,
    /// It is undone after so many seconds.
    pub seconds_left: u64,
}

/// The answer to `GET /v1/config`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// The document's version.
    pub version: String,
    /// Every object.
    pub objects: BTreeMap<Key, Arc<str>>,
    /// Objects with several values.
    pub clashes: Vec<ClashingObject>,
    /// Objects that are not in force as they are.
    pub held: Vec<HeldObject>,
    /// So many of the last changes are not in force at all.
    pub undone: usize,
    /// An edit that waits to be confirmed.
    pub unconfirmed: Option<Unconfirmed>,
}

/// One change of the history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// The version that it made.
    pub version: String,
    /// The versions that it was made on.
    pub parents: Vec<String>,
    /// Seconds since 1970, as the server's clock said.
    pub time: i64,
    /// Who.
    pub who: String,
    /// From where.
    pub from: String,
    /// Which server took it.
    pub server: String,
    /// Why.
    pub why: String,
    /// What it touched.
    pub objects: Vec<Touched>,
}
