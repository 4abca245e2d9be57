//! What is asked of a daemon, where it is not about servers and people (`access`). Fields are added, never renamed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/standby`, `POST /v1/resume`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The server.
    pub server: String,
}

/// `POST /v1/dns/why`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The name, absolute.
    pub name: String,
    /// The type, such as `A`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `POST /v1/monitor/force`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForceMonitor {
    /// The monitor, as `VIRTUAL-HOST/MONITOR`.
    #[schemars(regex(pattern = "^[^/]+/.+$"))]
    pub monitor: String,
    /// Whether it counts as up, or as down.
    pub up: bool,
    /// For so many milliseconds; none: until a reset.
    pub for_ms: Option<u64>,
    /// The server that is meant; none: the one that answers.
    pub server: Option<String>,
}

/// `POST /v1/monitor/reset`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetMonitor {
    /// The monitor, as `VIRTUAL-HOST/MONITOR`.
    #[schemars(regex(pattern = "^[^/]+/.+$"))]
    pub monitor: String,
    /// The server that is meant; none: the one that answers.
    pub server: Option<String>,
}

/// `POST /v1/push`: a service's own report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The monitor, as `VIRTUAL-HOST/MONITOR`.
    #[schemars(regex(pattern = "^[^/]+/.+$"))]
    pub monitor: String,
    /// How the service is.
    pub state: Reported,
    /// Why, in a few words.
    pub message: Option<String>,
}

/// How a service is, by its own report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reported {
    /// Well.
    Up,
    /// It works, and not as it should.
    Degraded,
    /// It does not work.
    Down,
}

/// `POST /v1/config/at`, and the answer of `POST /v1/config/confirm`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// A version of the document.
    pub version: String,
}

/// `POST /v1/config/history`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How many changes, the newest first.
    pub limit: usize,
}

/// Why a request was not served.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// Words for a person.
    pub error: String,
}
