//! Notices: who outside the cluster is told what of which incident, and when.
//!
//! [`Notifier`] is one machine on every server. It is given the incidents as this server's log tells them, what has been told
//! already as the log says ([`Record`]), and who lives; it says which [`Message`] is to be sent now. The first living server of a
//! channel's `sent-by` sends; the others know what it has sent, and go on with it when it dies.
//!
//! What is to be sent is the *difference* between what an incident is and what was last told of it. So there is no queue that could
//! overflow: while a receiver is away, messages become one, with the newest word.
//!
//! Invariants
//! - Of an incident a channel is delivered at most one "opened", then "updated"s at least `updates` apart (a rise to critical does not
//!   wait), then one "ended"; sequences grow. When nothing changes any more and the channel can be reached, the last message says how the
//!   incident is.
//! - In a quiet time only what is critical is sent. What was held back is one digest afterwards.
//! - One message of a channel is on its way at a time; it is tried [`ATTEMPTS`] times at most, and then recorded as failed.
//! - Memory is bounded: [`MOST_STORIES`] incidents, [`MOST_TOLD`] told ones a channel.
//!
//! What is told is told at least once: where an answer is lost, or two parts of a cluster cannot hear each other, twice. Delivery ids and
//! sequences let a receiver see that.
//!
//! Deliberately not here: how a message is sent, the log, clocks and time zones, which are given as numbers.

mod line;
mod notifier;
mod stories;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use model::{
    ChannelName, Instant, ServerName,
    config::notify::Rules,
    notice::{NoticeState, Severity, Told},
};
use serde_json::Value;

use crate::{
    entry::Entry,
    incident::{Incident, Move, Trouble},
};

pub use line::LineState;
pub use notifier::Notifier;

/// An incident is told after this time: by then it has its moves, and is no other one's part.
pub const SETTLE: Duration = Duration::from_secs(2);
/// That it is over is told after this time: what moves back belongs to it, and it could go on.
pub const LINGER: Duration = Duration::from_millis(crate::incident::LINGER_MS + 500);
/// Who becomes the sender waits so long for the log of who was it before.
pub const TAKE_OVER: Duration = Duration::from_secs(5);
/// A virtual host that nobody has served for so long makes its incidents critical.
pub const UNSERVED: Duration = Duration::from_secs(3);
/// So often a message is tried.
pub const ATTEMPTS: u32 = 12;
/// Between two attempts, at most.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// So many incidents that are due at once are one message.
pub const GROUP: usize = 5;
/// Incidents in one message.
pub const MOST_NOTICES: usize = 20;
/// Moves told of one incident: the last ones.
pub const MOST_MOVES: usize = 20;
/// Incidents that are followed: the last ones.
pub const MOST_STORIES: usize = 256;
/// Incidents of which is known what a channel was told: the last ones.
pub const MOST_TOLD: usize = 1_000;

/// What time it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// For spans.
    pub at: Instant,
    /// For the time of day, and for display: milliseconds since 1970.
    pub wall_ms: u64,
}

/// A channel, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// Which.
    pub channel: ChannelName,
    /// Who sends: the first that lives.
    pub sent_by: Vec<ServerName>,
    /// What is sent, and when.
    pub rules: Rules,
    /// What the channel's clock is ahead of UTC now, in seconds.
    pub offset_s: i32,
}

/// How the cluster is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct World {
    /// Who lives, this server included.
    pub alive: BTreeSet<ServerName>,
    /// The partition policy says that this server is cut off: others tell, or nobody can.
    pub isolated: bool,
    /// Virtual hosts that nobody serves.
    pub unserved: BTreeSet<String>,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It has not, or did not say so.
    Failed {
        /// Why.
        reason: String,
        /// Whether another attempt could succeed.
        again: bool,
    },
}

/// Something that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The channels, whole.
    Subscriptions(Vec<Subscription>),
    /// How the cluster is.
    World(World),
    /// The incidents of the log, whole, the oldest first. Those whose id is of before `edge_ms` are told only if they were told
    /// before: of them the log may have lost the beginning.
    Stories {
        /// All.
        stories: Vec<Incident>,
        /// Milliseconds since 1970.
        edge_ms: u64,
    },
    /// The log says that something was told.
    Recorded {
        /// What.
        record: Record,
        /// When, in milliseconds since 1970.
        wall_ms: u64,
    },
    /// An attempt has ended.
    Attempted {
        /// Of which channel.
        channel: ChannelName,
        /// Of which message.
        delivery: String,
        /// How.
        outcome: Outcome,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Try to deliver it, and say how that ended.
    Send(Message),
    /// Note it in the log.
    Record(Record),
}

/// What the log keeps of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// By which channel.
    pub channel: ChannelName,
    /// The message's id. Where there are no incidents: the digest of the rules by which the channel begins anew.
    pub delivery: Arc<str>,
    /// What it says of each.
    pub incidents: Vec<Told>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it is not tried again, where it was not delivered.
    pub failed: Option<Arc<str>>,
}

impl Record {
    /// The kinds of events that are records.
    pub const KINDS: [&str; 2] = ["notified", "notify-failed"];

    /// As an entry of the log has it; none where that is something else.
    pub fn of(entry: &Entry) -> Option<Self> {
        if !Self::KINDS.contains(&entry.kind()) {
            return None;
        }
        let told = |value: &Value| {
            let text = |name: &str| value.get(name).and_then(Value::as_str);
            Some(Told {
                incident: text("incident")?.into(),
                sequence: value.get("sequence")?.as_u64()?,
                state: NoticeState::of(text("state")?)?,
                severity: Severity::of(text("severity")?)?,
                content: text("content")?.into(),
            })
        };
        let incidents = entry.fields.get("incidents")?.as_array()?.iter().map(told).collect::<Option<_>>()?;
        let attempts = entry.number("attempts").and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        Some(Self {
            channel: ChannelName::new(entry.text("channel")),
            delivery: entry.text("delivery").into(),
            incidents,
            attempts,
            failed: (entry.kind() == "notify-failed").then(|| entry.text("reason").into()),
        })
    }
}

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MessageKind {
    /// About one incident.
    Incident,
    /// About several.
    Digest,
    /// About none: somebody tries the channel.
    Test,
}

impl MessageKind {
    /// The word in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

/// What is sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// The same for every attempt with the same content, also of other servers.
    pub delivery: String,
    /// By which channel.
    pub channel: ChannelName,
    /// What it is.
    pub kind: MessageKind,
    /// Counts the attempts, from 1.
    pub attempt: u32,
    /// What it says.
    pub notices: Vec<Notice>,
}

impl Message {
    /// The highest severity in it.
    pub fn severity(&self) -> Severity {
        self.notices.iter().map(|notice| notice.severity).max().unwrap_or(Severity::Info)
    }
}

/// What a message says of one incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The id by which the channel knows it: that of its first message.
    pub incident: String,
    /// The id by which the console knows it now.
    pub link: String,
    /// Counts what the channel was told of it, from 1.
    pub sequence: u64,
    /// Whether nothing was told of it before.
    pub first: bool,
    /// Which message it is.
    pub state: NoticeState,
    /// How much it matters, or did when it was worst.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What was wrong.
    pub trouble: Trouble,
    /// The same as a sentence.
    pub cause: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// What ended it.
    pub ended_by: Option<String>,
    /// What moved: the last [`MOST_MOVES`].
    pub moves: Vec<Move>,
    /// So many moves before them.
    pub more_moves: usize,
    /// The digest of what is told.
    pub content: String,
}

impl Notice {
    fn told(&self) -> Told {
        Told {
            incident: self.incident.as_str().into(),
            sequence: self.sequence,
            state: self.state,
            severity: self.severity,
            content: self.content.as_str().into(),
        }
    }
}
