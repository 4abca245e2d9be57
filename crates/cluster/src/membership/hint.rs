//! How far to believe that a peer's machine refuses our heartbeats (ICMP port unreachable).
//!
//! It may be so because the daemon is gone, or because a firewall in between refuses in its place while the peer lives and
//! is heard over another path. The first hint is believed; once one was false, none is before there have been none for a
//! while. So a healthy peer is suspected once, and not at every heartbeat.

use std::time::Duration;

use model::Instant;

/// Kernels refuse about once a second, however often they are asked.
const DISTRUST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Hint {
    /// The peer is suspected for it.
    pending: bool,
    believed_from: Instant,
}

impl Hint {
    pub(super) fn new(now: Instant) -> Self {
        Self { pending: false, believed_from: now }
    }

    /// Here is one. Whether to believe it: only one, while the peer is suspected for it.
    pub(super) fn is_believed(&mut self, now: Instant) -> bool {
        let believed = now >= self.believed_from;
        if !believed {
            self.believed_from = now + DISTRUST;
        }
        believed && !self.pending
    }

    /// The peer is suspected for one.
    pub(super) fn suspected(&mut self) {
        self.pending = true;
    }

    /// The suspected peer speaks.
    pub(super) fn speaks(&mut self, now: Instant) {
        if std::mem::take(&mut self.pending) {
            self.believed_from = now + DISTRUST;
        }
    }

    /// The suspected run is over: it was true.
    pub(super) fn was_true(&mut self) {
        self.pending = false;
    }
}
