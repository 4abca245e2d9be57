//! Why a living peer is suspected: it is overdue, or its machine refuses our heartbeats (ICMP port unreachable).
//!
//! A refusal is a hint. It may be so because the daemon is gone, or because a firewall in between refuses in its place while
//! the peer lives and is heard over another path. The first one is believed; once one was false, none is before there have
//! been none for a while. So a healthy peer is suspected once, and not at every heartbeat; and nobody takes itself for cut off
//! because of hints.

use std::time::Duration;

use model::Instant;

/// Kernels refuse about once a second, however often they are asked.
const DISTRUST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Doubt {
    overdue: bool,
    refused: bool,
    /// Hints are not believed until then.
    believed_from: Instant,
}

impl Doubt {
    pub(super) fn new(now: Instant) -> Self {
        Self { overdue: false, refused: false, believed_from: now }
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// A heartbeat has not come in time.
    pub(super) fn overdue(&mut self) {
        self.overdue = true;
    }

    /// Heartbeats are refused. Whether to believe it: only once, while the peer is suspected for it.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        if now < self.believed_from {
            self.believed_from = now + DISTRUST;
            return false;
        }
        !std::mem::replace(&mut self.refused, true)
    }

    /// The suspected peer speaks.
    pub(super) fn speaks(&mut self, now: Instant) {
        self.overdue = false;
        if std::mem::take(&mut self.refused) {
            self.believed_from = now + DISTRUST;
        }
    }

    /// The peer is gone: it was true.
    pub(super) fn was_true(&mut self) {
        (self.overdue, self.refused) = (false, false);
    }
}
