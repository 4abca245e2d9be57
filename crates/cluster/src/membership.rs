//! Who is alive: sealed heartbeats in both directions, and what follows from them.
//!
//! Invariants: a peer is alive only after it has echoed a recent datagram of our present run, and only
//! while its sequence numbers advance; once dead, only after an answer to what was sent since, or after it has gone on
//! speaking for the detection time. A datagram that is refused changes nothing but counters. A run that has said goodbye
//! never comes back; one that was replaced, only by an answer to what was sent since. Memory is bounded by the number of
//! configured servers, not by what arrives.
//!
//! *Paths*: each datagram goes to every peer by UDP and, where that is switched on, once to the links by Ethernet broadcast.
//! Whoever is heard over any path is alive, and heard straight; how each path does is told beside (`paths`).
//!
//! *Forwarding*: where a peer says that it does not hear another one, whoever hears both forwards the other's
//! datagrams, untouched, over both paths. So two servers know each other alive while any third one reaches both (design section 4).
//!
//! Deliberately not here: when to send, and what (`node`); what a state means for addresses (`election`).

mod doubt;
mod incoming;
mod paths;
mod peer;
mod refusals;
mod run;
mod sent;
mod told;
mod window;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use model::{
    BootId, Instant, ServerName,
    config::{ClusterConfig, HeartbeatSettings},
    event::Refusal,
    health::ServerState,
    net::{Origin, Path},
};

pub use paths::PathState;
pub use peer::Peer;

use self::{
    incoming::{Accepted, Context, Incoming},
    refusals::Refusals,
    sent::Sent,
    told::Told,
};
use crate::{
    Effect, Effects,
    statement::{Heard, Statement},
    wire::{self, Keys, Opener, Sealer},
};

/// Echoes are recent within this time, or within [`RECENT_INTERVALS`], whichever is longer.
const RECENT: Duration = Duration::from_secs(2);
/// See [`RECENT`].
const RECENT_INTERVALS: u32 = 40;

/// What this server knows of its peers.
#[derive(Debug)]
pub struct Membership {
    me: ServerName,
    key: u64,
    boot: BootId,
    heartbeat: HeartbeatSettings,
    opener: Opener,
    sealer: Sealer,
    sent: Sent,
    /// The number of our newest statement.
    number: u64,
    told: Told,
    peers: BTreeMap<ServerName, Peer>,
    by_key: BTreeMap<u64, ServerName>,
    /// Who receives at which address.
    by_address: BTreeMap<SocketAddr, ServerName>,
    /// What is sent goes by Ethernet, too.
    broadcasts: bool,
    echoes_count_from: Instant,
    refusals: Refusals,
    counters: Counters,
}

/// Datagrams since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Sent, each peer's copy counted.
    pub sent: u64,
    /// Broadcast, each counted once.
    pub broadcast: u64,
    /// Accepted, each copy counted.
    pub received: u64,
    /// Of those accepted: second copies over another path or a relay, and words of a run that has said goodbye.
    pub redundant: u64,
    /// Forwarded for others.
    pub relayed: u64,
    /// Refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

impl Membership {
    /// Nobody has been heard yet. `boot` must be random at each start: seals depend on it.
    pub fn new(me: ServerName, boot: BootId, keys: Keys, config: Arc<ClusterConfig>, now: Instant) -> Self {
        let sealer = Sealer::new(&keys, boot);
        let mut membership = Self {
            key: me.key(),
            me,
            boot,
            heartbeat: config.heartbeat,
            opener: Opener::new(keys),
            sealer,
            sent: Sent::new(horizon(config.heartbeat)),
            number: 0,
            told: Told::nothing(),
            peers: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_address: BTreeMap::new(),
            broadcasts: false,
            echoes_count_from: now,
            refusals: Refusals::default(),
            counters: Counters::default(),
        };
        membership.reconfigure(now, config);
        membership
    }

    /// A datagram has arrived. Returns the peer whose state or statement is another now, if there is one; look at
    /// [`Self::prompts_wanted`] afterwards. What is refused changes nothing and is counted.
    pub fn receive(&mut self, now: Instant, from: Origin, bytes: &[u8], effects: &mut Effects) -> Option<ServerName> {
        match self.admit(now, from, bytes, effects) {
            Ok(changed) => changed,
            Err(reason) => {
                *self.counters.refused.entry(reason).or_default() += 1;
                self.refusals.note(now, from, reason, effects);
                None
            }
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        from: Origin,
        bytes: &[u8],
        effects: &mut Effects,
    ) -> Result<Option<ServerName>, Refusal> {
        let opened = self.opener.open(bytes)?;
        if opened.boot == self.boot && from.path() == Path::Ethernet {
            // A broadcast comes back where two interfaces of ours are on one link.
            return Ok(None);
        }
        let part = wire::decode(&opened.plain).map_err(|wire::Malformed| Refusal::Malformed)?;
        let name = self.by_key.get(&part.sender).ok_or(Refusal::UnknownServer)?;
        let peer = self.peers.get_mut(name).expect("every key has its peer");
        let context = Context {
            now,
            key: self.key,
            boot: self.boot,
            sent: &self.sent,
            heartbeat: self.heartbeat,
            echoes_count_from: self.echoes_count_from,
        };
        let (boot, sequence) = (opened.boot, opened.sequence);
        let origin = (!opened.relayed).then_some(from);
        let incoming = Incoming { origin, boot, sequence, part };
        let Accepted { changed, redundant, straight } = peer.accept(&context, incoming, effects)?;
        self.counters.received += 1;
        self.counters.redundant += u64::from(redundant);
        let name = name.clone();
        if straight {
            peer.keep(sequence, now, bytes);
            self.forward_from(now, &name, effects);
        }
        if changed {
            self.forward_to(now, &name, effects);
        }
        Ok(changed.then_some(name))
    }

    /// Passes a peer's newest datagram on, untouched, to those who say that they don't hear it.
    fn forward_from(&mut self, now: Instant, of: &ServerName, effects: &mut Effects) {
        let Some(other) = self.peers.get(of) else { return };
        let mut copy = None;
        for peer in self.peers.values().filter(|peer| peer.name() != of) {
            if let Some(sealed) = peer.misses(other, now, self.heartbeat) {
                self.counters.relayed += 1;
                let datagram = copy.insert(wire::relayed(sealed)).clone();
                effects.push(Effect::Send { to: peer.name().clone(), datagram });
            }
        }
        copy.into_iter().for_each(|datagram| self.broadcast(datagram, effects));
    }

    /// A peer has told whom it hears: it gets at once what it misses, before it takes the others for dead.
    fn forward_to(&mut self, now: Instant, to: &ServerName, effects: &mut Effects) {
        let Some(peer) = self.peers.get(to) else { return };
        let others = self.peers.values().filter(|other| other.name() != to);
        let missed = others.filter_map(|other| peer.misses(other, now, self.heartbeat));
        for datagram in missed.map(wire::relayed).collect::<Vec<_>>() {
            self.counters.relayed += 1;
            effects.push(Effect::Send { to: to.clone(), datagram: datagram.clone() });
            self.broadcast(datagram, effects);
        }
    }

    /// One frame for all who are on a link of ours.
    fn broadcast(&mut self, datagram: Vec<u8>, effects: &mut Effects) {
        if self.broadcasts {
            self.counters.broadcast += 1;
            effects.push(Effect::Broadcast(datagram));
        }
    }

    /// From now on what is sent goes by Ethernet, too, or no longer.
    pub fn set_broadcasts(&mut self, on: bool) {
        self.broadcasts = on;
    }

    /// A machine says that nobody listens at a heartbeat address. Returns the peer that is suspected for it now, if one is.
    pub fn refused(&mut self, now: Instant, to: SocketAddr, effects: &mut Effects) -> Option<ServerName> {
        let name = self.by_address.get(&to)?;
        let changed = self.peers.get_mut(name).expect("every address has its peer").refuse(now, effects);
        changed.then(|| name.clone())
    }

    /// Tells every peer. Whom we hear is filled in here, whatever `statement.heard` says. Returns the sequence number of the
    /// last datagram: who has heard that one has heard it all, unless a part was lost on the way.
    pub fn send(&mut self, now: Instant, statement: &Statement, effects: &mut Effects) -> u64 {
        self.send_where(now, statement, effects, |_| true)
    }

    /// Whether a peer waits for a word of ours: because it, or we, have just begun, or because it has told us news. If so,
    /// call [`Self::send_prompts`]: then joining, and being heard, takes a round trip and not several intervals.
    pub fn prompts_wanted(&self) -> bool {
        self.peers.values().any(Peer::wants_prompt)
    }

    /// This peer has said something new, and may wait to know that we have heard it.
    pub fn answer(&mut self, now: Instant, to: &ServerName) {
        if let Some(peer) = self.peers.get_mut(to) {
            peer.ask_for_prompt(now, self.heartbeat);
        }
    }

    /// Tells the peers that wait for it, and nobody else.
    pub fn send_prompts(&mut self, now: Instant, statement: &Statement, effects: &mut Effects) {
        if self.prompts_wanted() {
            self.send_where(now, statement, effects, Peer::wants_prompt);
        }
    }

    fn send_where(
        &mut self,
        now: Instant,
        statement: &Statement,
        effects: &mut Effects,
        wanted: impl Fn(&Peer) -> bool,
    ) -> u64 {
        self.number += 1;
        let statement = Statement { heard: self.echoes(now), ..statement.clone() };
        let given = self
            .told
            .give(self.number, &statement.account, |account| self.peers.values().any(|peer| peer.lacks(account)));
        let parts = wire::encode(self.key, self.number, &statement, given);
        let datagrams: Vec<_> = parts.iter().map(|plain| self.sealer.seal(plain)).collect();
        let last = self.sealer.sequence();
        if !statement.goodbye {
            self.prepare_farewell(&statement, effects);
        }
        self.sent.note(now, self.sealer.sequence());
        for peer in self.peers.values_mut().filter(|peer| wanted(peer)) {
            peer.told(now);
            for datagram in &datagrams {
                self.counters.sent += 1;
                effects.push(Effect::Send { to: peer.name().clone(), datagram: datagram.clone() });
            }
        }
        // Behind the others: on a link that is well it tells nothing new, and costs its receivers the less.
        datagrams.into_iter().for_each(|datagram| self.broadcast(datagram, effects));
        last
    }

    /// Seals what the guardian says when this process is gone. It comes after everything that has been sent, so it counts
    /// as the newest word; its sequence numbers are used for nothing else, sent or not.
    fn prepare_farewell(&mut self, last: &Statement, effects: &mut Effects) {
        self.number += 1;
        let goodbye =
            Statement { goodbye: true, configuration: last.configuration, serial: last.serial, ..Statement::default() };
        let plain = wire::encode(self.key, self.number, &goodbye, wire::Given::Whole(self.number));
        // The second one under another number, or it would pass for a replay.
        let datagrams = plain.iter().chain(&plain).map(|plain| self.sealer.seal(plain));
        effects.push(Effect::Farewell(datagrams.collect()));
    }

    /// Whom we hear, for our statements.
    fn echoes(&self, now: Instant) -> BTreeMap<u64, Vec<Heard>> {
        let echoes = |peer: &Peer| peer.runs().map(|run| run.echo(now)).collect::<Vec<_>>();
        let all = self.peers.values().map(|peer| (peer.key(), echoes(peer)));
        all.filter(|(_, runs)| !runs.is_empty()).collect()
    }

    /// Time has passed: peers fall silent, refusals are reported. Returns whether any peer's state changed.
    pub fn expire(&mut self, now: Instant, effects: &mut Effects) -> bool {
        self.refusals.expire(now, effects);
        let mut changed = false;
        for peer in self.peers.values_mut() {
            changed |= peer.expire(now, self.heartbeat, self.sealer.sequence(), effects);
        }
        changed
    }

    /// When [`Self::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let peers = self.peers.values().filter_map(|peer| peer.next_deadline(self.heartbeat));
        peers.chain(self.refusals.next_deadline()).min()
    }

    /// Every configured server except ourselves.
    pub fn peers(&self) -> impl Iterator<Item = (&ServerName, &Peer)> {
        self.peers.iter()
    }

    /// One peer; none for ourselves and for who is not configured.
    pub fn peer(&self, name: &ServerName) -> Option<&Peer> {
        self.peers.get(name)
    }

    /// One peer's state; `Unknown` for who is not configured.
    pub fn state(&self, name: &ServerName) -> ServerState {
        self.peers.get(name).map_or(ServerState::Unknown, Peer::state)
    }

    /// A configuration comes into force: new peers are unknown, removed ones forgotten, the others undisturbed.
    pub fn reconfigure(&mut self, now: Instant, config: Arc<ClusterConfig>) {
        self.heartbeat = config.heartbeat;
        self.sent.set_horizon(horizon(config.heartbeat));
        let mut earlier = std::mem::take(&mut self.peers);
        for name in config.servers.keys().filter(|name| **name != self.me) {
            let peer = earlier.remove(name);
            let peer = peer.unwrap_or_else(|| Peer::new(name.clone(), now, self.sealer.sequence()));
            self.peers.insert(name.clone(), peer);
        }
        let address = |name: &ServerName| config.servers.get(name).map(|server| (server.heartbeat, name.clone()));
        self.by_address = self.peers.keys().filter_map(address).collect();
        self.by_key = self.peers.keys().map(|name| (name.key(), name.clone())).collect();
    }

    /// This process did not run for a while: what peers said meanwhile may still wait in the socket, so each of them
    /// gets a fresh detection time.
    pub fn overslept(&mut self, now: Instant) {
        self.echoes_count_from = now + self.heartbeat.detection();
        for peer in self.peers.values_mut() {
            peer.watch_from(now);
        }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Silence after which a peer is suspected: one heartbeat is overdue by half an interval.
fn suspicion(heartbeat: HeartbeatSettings) -> Duration {
    heartbeat.interval * 3 / 2
}

/// Silence after which a peer is dead: the last of the heartbeats that may be missed has not come in time. It is due
/// only at the detection time, and then a little late: without that quarter of an interval one loss less would kill.
fn death(heartbeat: HeartbeatSettings) -> Duration {
    heartbeat.detection() + heartbeat.interval / 4
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn horizon(heartbeat: HeartbeatSettings) -> Duration {
    RECENT.max(heartbeat.interval * RECENT_INTERVALS)
}

#[cfg(test)]
mod tests;
