//! Incidents: events that belong together, as one story.
//!
//! A story has a subject, what went wrong with it ([`Trouble`]), what moved because of it, and what ended it. It begins when
//! the fault did, as far as that can be known: a server's silence before it was declared dead is part of it. It ends when
//! nothing is wrong with the subject any more; what moves back in the [`LINGER_MS`] after that still belongs to it.
//!
//! Invariants: stories are a function of the entries alone, given in the order of the log; equal logs tell equal stories on
//! every server. Memory is bounded: [`MOST_OPEN`] stories are open at once, [`LONGEST`] entries are listed in each.
//!
//! Deliberately not here: reading the log, sending a story to anybody.

mod teller;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entry::Level;

pub use teller::Teller;

/// What moves back so soon after the end of a story belongs to it.
pub const LINGER_MS: u64 = 5_000;
/// Stories that are open at once; of more the oldest is closed as it is.
pub const MOST_OPEN: usize = 256;
/// Entries listed in one story; more are counted.
pub const LONGEST: usize = 200;

/// The kinds of events that stories are made of: no others need be read.
pub const KINDS: [&str; 28] = [
    "active",
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

/// What went wrong, or was planned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// An operator put the server on standby.
    Standby,
    /// The server was stopped as planned.
    Stopped,
    /// The server's peers did not hear it any more, and it says nothing of it itself: it died, or lost power.
    Died,
    /// The server did not run for a while: paused, suspended, or starved.
    Hung,
    /// The server and its peers did not hear each other: the network between them.
    CutOff,
    /// A service failed where its address was, or anywhere.
    ServiceDown,
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
    /// Unique, and the same on every server that has the same entries: it names the first of them. A server that was cut off
    /// may know of an earlier one, which it tells when it is back.
    pub id: String,
    /// What it is about: a server, a virtual host or an endpoint.
    pub subject: String,
    /// What was wrong.
    pub trouble: Trouble,
    /// What was wrong, in a sentence.
    pub cause: String,
    /// When it began, as near as it can be known, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it was over; none: it is not.
    pub ended_ms: Option<u64>,
    /// What ended it.
    pub ended_by: Option<String>,
    /// What moved.
    pub moves: Vec<Move>,
    /// Everything that was noted, over all servers, in the order of the log.
    pub timeline: Vec<Line>,
    /// So many more lines were left out.
    pub more: u64,
}

impl Incident {
    /// The longest time that an address of it was served by nobody, in milliseconds.
    pub fn longest_gap_ms(&self) -> Option<u64> {
        self.moves.iter().filter_map(|moved| moved.gap_ms).max()
    }
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
