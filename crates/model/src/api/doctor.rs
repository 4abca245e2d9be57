//! What a running daemon says of itself for `standin doctor`. Fields are added, never renamed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Unreachable;

/// `GET /v1/clock`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
}

/// `GET /v1/doctor`: what only the running daemon can say.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Its process.
    pub pid: u32,
    /// What confines it.
    pub confinement: Vec<Confinement>,
    /// Other servers' clocks; none in file mode.
    pub clocks: Vec<ClockStatus>,
    /// Servers whose clock could not be asked for.
    pub unreachable: Vec<Unreachable>,
}

/// Something that keeps the daemon from doing what it has no need to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Confinement {
    /// `landlock` or `seccomp`.
    pub name: String,
    /// `on` or `absent`.
    pub state: String,
    /// Why it is absent: words for a person.
    pub reason: Option<String>,
}

/// Another server's clock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClockStatus {
    /// Whose.
    pub server: String,
    /// Milliseconds that it is ahead of ours; negative where it is behind. Off by half the round trip at most.
    pub ahead_ms: i64,
    /// How long the question took.
    pub round_trip_ms: u64,
}
