//! A datagram on its way to a peer's account: with what it is judged, what it is, what came of it.

use model::{BootId, Instant, config::HeartbeatSettings, net::Origin};

use super::sent::Sent;
use crate::{statement::Heard, wire::Part};

/// What a peer has to know of us in order to judge a datagram.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) key: u64,
    pub(super) boot: BootId,
    pub(super) sent: &'a Sent,
    pub(super) heartbeat: HeartbeatSettings,
    /// What peers say about hearing us is believed from here on: before, it may have waited in our socket.
    pub(super) echoes_count_from: Instant,
}

/// An authentic datagram of a peer.
pub(super) struct Incoming {
    /// Where from, if it came straight; none where another member forwarded it.
    pub(super) origin: Option<Origin>,
    pub(super) boot: BootId,
    pub(super) sequence: u64,
    pub(super) part: Part,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Accepted {
    /// The peer's state or statement is another now.
    pub(super) changed: bool,
    /// It told nothing new.
    pub(super) redundant: bool,
    /// It came straight from the run in force, and is newer than all that did: others may need a copy.
    pub(super) straight: bool,
}

/// What a datagram says about hearing our present run; none where it doesn't mention it.
pub(super) fn echo(part: &Part, context: &Context<'_>) -> Option<Heard> {
    part.share.heard.get(&context.key)?.iter().find(|heard| heard.boot == context.boot).copied()
}
