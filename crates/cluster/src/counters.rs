//! What a node counts since its start, for metrics.

use std::collections::BTreeMap;

use model::event::Refusal;

use crate::membership;

/// Totals since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Heartbeat datagrams sealed and handed over to be sent.
    pub heartbeats_sent: u64,
    /// Heartbeat datagrams broadcast on Ethernet, each counted once, on however many interfaces.
    pub heartbeats_broadcast: u64,
    /// Heartbeat datagrams accepted, over either path.
    pub heartbeats_received: u64,
    /// Authentic heartbeat datagrams that told nothing new.
    pub heartbeats_redundant: u64,
    /// Heartbeat datagrams forwarded for others.
    pub heartbeats_relayed: u64,
    /// Datagrams refused; reasons that have not occurred are missing.
    pub refused: BTreeMap<Refusal, u64>,
    /// Virtual hosts that this server began to take.
    pub takes: u64,
    /// Virtual hosts that this server began to release.
    pub releases: u64,
    /// Takes that the kernel refused.
    pub takes_refused: u64,
    /// Sightings of a second claim on what this server holds (design R5).
    pub rivals: u64,
    /// Times that this process did not run for longer than the detection time.
    pub overslept: u64,
    /// Times that the partition policy made this server let go of everything (design R6).
    pub isolations: u64,
}

impl Counters {
    /// Takes over what membership has counted.
    pub(crate) fn take_over(&mut self, heartbeats: &membership::Counters) {
        self.heartbeats_sent = heartbeats.sent;
        self.heartbeats_broadcast = heartbeats.broadcast;
        self.heartbeats_received = heartbeats.received;
        self.heartbeats_redundant = heartbeats.redundant;
        self.heartbeats_relayed = heartbeats.relayed;
        if self.refused != heartbeats.refused {
            self.refused.clone_from(&heartbeats.refused);
        }
    }
}
