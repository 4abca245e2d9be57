//! Incidents: events that belong together, as one story.
//!
//! A story has a subject, what went wrong with it ([`Trouble`]), what moved because of it, and what ended it. It begins when
//! the fault did, as far as that can be known: a server's silence before it was declared dead is part of it. It ends when
//! nothing is wrong with the subject any more; what moves back in the [`LINGER_MS`] after that still belongs to it.
//!
//! Invariants: stories are a function of the entries alone, given in the order of the log; equal logs tell equal stories on
//! every server. Memory is bounded: [`MOST_OPEN`] stories are open at once, [`LONGEST`] entries are listed in each.
//! What is not known exactly says so: each time comes with how far off it may be (`when`).
//!
//! Deliberately not here: reading the log, sending a story to anybody.

mod answers;
mod cut;
mod hands;
mod story;
mod summary;
mod teller;
#[cfg(test)]
mod tests;
mod when;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Level};

pub use self::{
    answers::{AnswersChange, PoolAnswers},
    summary::Summary,
    teller::Teller,
};

/// What moves back so soon after the end of a story belongs to it.
pub const LINGER_MS: u64 = 5_000;
/// Stories that are open at once; of more the oldest is closed as it is.
pub const MOST_OPEN: usize = 256;
/// Entries listed in one story; more are counted.
pub const LONGEST: usize = 200;

/// The kinds of events that stories are made of: no others need be read.
pub const KINDS: [&str; 31] = [
    "active",
    "answers-changed",
    "daemon-ended",
    "endpoint-changed",
    "held-down",
    "holder-answers",
    "holder-unreachable",
    "isolated",
    "listened",
    "monitor-changed",
    "one-way-healed",
    "one-way-loss",
    "overslept",
    "path-down",
    "path-up",
    "peer-alive",
    "peer-dead",
    "peer-left",
    "peer-recovered",
    "peer-refused",
    "peer-suspected",
    "rejoined",
    "released",
    "releasing",
    "resigning",
    "shared-fault",
    "shared-fault-over",
    "standby",
    "take-failed",
    "taking",
    "target-changed",
];

/// Whether an entry may begin a story: something was noted to be wrong, or is planned.
pub fn begins(entry: &Entry) -> bool {
    let is = |field: &str, word: &str| entry.text(field) == word;
    match entry.kind() {
        "peer-dead" | "peer-left" | "daemon-ended" | "resigning" | "overslept" | "isolated" | "shared-fault"
        | "path-down" | "held-down" | "holder-unreachable" | "take-failed" => true,
        "standby" => entry.fields.get("on") == Some(&serde_json::Value::Bool(true)),
        "monitor-changed" | "endpoint-changed" => is("verdict", "down"),
        _ => false,
    }
}

/// What went wrong, or was planned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// An operator put the server on standby.
    Standby,
    /// The server was stopped as planned.
    Stopped,
    /// The server's daemon ended without having been told to; its guardian handed over.
    DaemonDied,
    /// The server's peers did not hear it any more, and it says nothing of it itself: it died, or lost power.
    Died,
    /// The server, or its daemon alone, did not run for a while: paused, suspended, or starved.
    Hung,
    /// The server and its peers did not hear each other: the network between them.
    CutOff,
    /// A service failed where its address was, or anywhere.
    ServiceDown,
    /// A service worked where its address was, and not as it should.
    Degraded,
    /// Most services failed at once: what they all depend on.
    SharedCause,
    /// Hosts without the daemon were down.
    EndpointDown,
    /// The service worked, and its address could not be reached.
    PathDown,
    /// An address could not be taken.
    Refused,
}

impl Trouble {
    /// In a word or two, for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Stopped => "stopped",
            Self::DaemonDied => "daemon ended",
            Self::Died => "server died",
            Self::Hung => "server hung",
            Self::CutOff => "server cut off",
            Self::ServiceDown => "service down",
            Self::Degraded => "service degraded",
            Self::SharedCause => "shared cause",
            Self::EndpointDown => "endpoint down",
            Self::PathDown => "path broken",
            Self::Refused => "address refused",
        }
    }

    /// Whether somebody wanted it.
    pub const fn is_planned(self) -> bool {
        matches!(self, Self::Standby | Self::Stopped)
    }
}

/// A virtual host that changed hands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Move {
    /// Which.
    pub virtual_host: String,
    /// Who had it, where that is known.
    pub from: Option<String>,
    /// Who has it since.
    pub to: String,
    /// When the new holder's kernel had every address, in milliseconds since 1970.
    pub at_ms: u64,
    /// For so many milliseconds nobody served it: since the fault began, or since it was given up as planned.
    pub gap_ms: Option<u64>,
    /// The gap may be so many milliseconds longer or shorter.
    #[serde(default)]
    pub gap_within_ms: u64,
    /// Why it was taken, as in `model::event::Cause`.
    pub cause: String,
}

/// One line of a story.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who noted it.
    pub server: String,
    /// How much it matters.
    pub level: Level,
    /// The sentence.
    pub message: String,
}

/// One story.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Unique, and the same on every server that has the same entries: it names the first of them that told of the fault. A
    /// server that was cut off may know of an earlier one, which it tells when it is back: see `also_known_as`.
    pub id: String,
    /// Ids that servers may give it that know less of it.
    #[serde(default)]
    pub also_known_as: Vec<String>,
    /// What it is about: a server, a virtual host or an endpoint.
    pub subject: String,
    /// What was wrong.
    pub trouble: Trouble,
    /// What was wrong, in a sentence.
    pub cause: String,
    /// When it began, as near as it can be known, in milliseconds since 1970.
    pub began_ms: u64,
    /// It may have begun so many milliseconds earlier or later: of a server that falls silent half the time between two of its
    /// heartbeats, of a service half the time between two probes.
    #[serde(default)]
    pub began_within_ms: u64,
    /// When it was over; none: it is not.
    pub ended_ms: Option<u64>,
    /// It may have been over so many milliseconds earlier or later.
    #[serde(default)]
    pub ended_within_ms: u64,
    /// What ended it.
    pub ended_by: Option<String>,
    /// What moved.
    pub moves: Vec<Move>,
    /// The virtual host whose service failed where it was, and which moved nowhere: nobody served it from beginning to end.
    #[serde(default)]
    pub stayed: Option<String>,
    /// What clients were answered, of each pool that changed.
    #[serde(default)]
    pub answers: Vec<PoolAnswers>,
    /// Everything that was noted, over all servers, in the order of the log.
    pub timeline: Vec<Line>,
    /// So many more lines were left out.
    pub more: u64,
}

impl Incident {
    /// Whether this is the one that is, or was, called `id`.
    pub fn is_called(&self, id: &str) -> bool {
        self.id == id || self.also_known_as.iter().any(|other| other == id)
    }

    /// The longest time that an address of it was served by nobody, in milliseconds.
    pub fn longest_gap_ms(&self) -> Option<u64> {
        self.moves.iter().filter_map(|moved| moved.gap_ms).max()
    }
}

/// By how much a time may be wrong, as people say it: nothing where that is not worth a word.
pub fn within(millis: u64) -> String {
    if millis < 2 { String::new() } else { format!(" ± {}", span(millis)) }
}

/// Milliseconds as people say them.
pub fn span(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}
