//! Who is alive, as heard.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use model::{BootId, Instant, ServerName, config::ClusterConfig, health::ServerState};

use crate::{Effects, statement::Statement, wire::Keys};

/// What this server knows of its peers.
pub struct Membership {
    peers: Vec<(ServerName, Peer)>,
}

/// One peer.
pub struct Peer {}

impl Peer {
    /// Whether it is alive. `is_alive()` implies that a whole statement of its present run is there.
    pub fn state(&self) -> ServerState {
        ServerState::Unknown
    }
    /// Its newest whole statement: of its run in force, also when it is dead by now.
    pub fn statement(&self) -> Option<&Statement> {
        None
    }
    /// When it was last heard, over any path; none before the first time.
    pub fn last_heard(&self) -> Option<Instant> {
        None
    }
    /// How long before its newest word it had last heard us straight, as it says; none where it does not know our run.
    pub fn hears_us(&self) -> Option<Duration> {
        None
    }
    /// Its run in force.
    pub fn boot(&self) -> Option<BootId> {
        None
    }
}

impl Membership {
    /// Nobody heard yet.
    pub fn new(me: ServerName, boot: BootId, keys: Keys, config: Arc<ClusterConfig>, now: Instant) -> Self {
        let _ = (me, boot, keys, config, now);
        Self { peers: Vec::new() }
    }
    /// A datagram arrived. Returns whose state or statement changed. A refused datagram changes nothing.
    pub fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        effects: &mut Effects,
    ) -> Option<ServerName> {
        let _ = (now, from, bytes, effects);
        None
    }
    /// Tells every peer. `heard` is filled in here.
    pub fn send(&mut self, now: Instant, statement: &Statement, effects: &mut Effects) {
        let _ = (now, statement, effects);
    }
    /// Whether a peer waits for a word of ours, because it is new: call [`Self::send_prompts`] after `receive` if so.
    pub fn prompts_wanted(&self) -> bool {
        false
    }
    /// Tells only the peers that wait for it, so that joining takes a round trip and not several intervals.
    pub fn send_prompts(&mut self, now: Instant, statement: &Statement, effects: &mut Effects) {
        let _ = (now, statement, effects);
    }
    /// Time has passed. Returns whether any peer's state changed.
    pub fn expire(&mut self, now: Instant, effects: &mut Effects) -> bool {
        let _ = (now, effects);
        false
    }
    /// When `expire` has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }
    /// Every configured peer; without ourselves.
    pub fn peers(&self) -> impl Iterator<Item = (&ServerName, &Peer)> {
        self.peers.iter().map(|(name, peer)| (name, peer))
    }
    /// One peer.
    pub fn peer(&self, name: &ServerName) -> Option<&Peer> {
        self.peers.iter().find(|(n, _)| n == name).map(|(_, peer)| peer)
    }
    /// A configuration comes into force.
    pub fn reconfigure(&mut self, now: Instant, config: Arc<ClusterConfig>) {
        let _ = (now, config);
    }
    /// This process did not run for a while: every peer gets a fresh detection time from now.
    pub fn overslept(&mut self, now: Instant) {
        let _ = now;
    }
    /// What was counted.
    pub fn counters(&self) -> &Counters {
        const NONE: &Counters = &Counters { sent: 0, received: 0, redundant: 0, relayed: 0, refused: [0; 7] };
        NONE
    }
}

/// Heartbeats since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Datagrams sealed and sent, one per peer.
    pub sent: u64,
    /// Datagrams accepted.
    pub received: u64,
    /// Authentic datagrams that told nothing new: second copies over a relay, words of a run that has said goodbye.
    pub redundant: u64,
    /// Datagrams forwarded for others.
    pub relayed: u64,
    /// Datagrams refused, in the order of `Refusal::ALL`.
    pub refused: [u64; 7],
}
