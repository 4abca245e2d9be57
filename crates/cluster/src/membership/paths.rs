//! The paths over which a peer is heard straight, each by itself: news for people, and nothing else.
//!
//! Invariants: a lost path never makes a peer suspect or dead. A loss is told once, and only of a peer that lives: with a
//! dead one all paths are silent, and that is told as its death. It is told again only after the path was restored.
//!
//! Deliberately not here: relayed copies, which come over no path of the peer's own.

use std::time::Duration;

use model::{Instant, ServerName, config::HeartbeatSettings, event::Event, net::Path};

use super::millis;
use crate::Effects;

/// How a path from a peer does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathState {
    /// Nothing ever came over it.
    Never,
    /// The peer is heard over it, since then.
    Up(Instant),
    /// The peer was heard over it, until then.
    Lost(Instant),
}

/// Both paths of a peer.
#[derive(Debug)]
pub(super) struct Paths {
    /// Since when the peer has been alive; a silent path is judged only after that.
    alive: Instant,
    watched: [Watched; Path::ALL.len()],
}

#[derive(Debug)]
struct Watched {
    path: Path,
    heard: Option<Instant>,
    /// Since when it works; none while it does not.
    up: Option<Instant>,
    /// People know that it does not work.
    told: bool,
}

impl Paths {
    pub(super) fn new(now: Instant) -> Self {
        let watched = Path::ALL.map(|path| Watched { path, heard: None, up: None, told: false });
        Self { alive: now, watched }
    }

    /// How each does, and when the peer was last heard over it.
    pub(super) fn states(&self) -> impl Iterator<Item = (Path, PathState, Option<Instant>)> {
        self.watched.iter().map(|watched| {
            let state = match (watched.up, watched.heard) {
                (Some(since), _) => PathState::Up(since),
                (None, Some(until)) => PathState::Lost(until),
                (None, None) => PathState::Never,
            };
            (watched.path, state, watched.heard)
        })
    }

    /// The peer has come to life.
    pub(super) fn peer_lives(&mut self, now: Instant) {
        self.alive = now;
    }

    /// The peer is dead or has left.
    pub(super) fn peer_is_gone(&mut self) {
        self.watched.iter_mut().for_each(|watched| watched.up = None);
    }

    /// The living peer was heard over a path.
    pub(super) fn heard(&mut self, now: Instant, path: Path, server: &ServerName, effects: &mut Effects) {
        let watched = self.watched.iter_mut().filter(|watched| watched.path == path);
        for watched in watched {
            watched.heard = Some(now);
            watched.up.get_or_insert(now);
            if std::mem::take(&mut watched.told) {
                effects.record(Event::PathRestored { server: server.clone(), path });
            }
        }
    }

    /// Time has passed for a living peer; its silence counts from `from` at the earliest.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        from: Instant,
        heartbeat: HeartbeatSettings,
        server: &ServerName,
        effects: &mut Effects,
    ) {
        let from = from.max(self.alive);
        for watched in &mut self.watched {
            if watched.deadline(from, heartbeat).is_some_and(|deadline| now >= deadline) {
                (watched.up, watched.told) = (None, true);
                let silent_ms = watched.heard.map(|heard| millis(now.since(heard)));
                effects.record(Event::PathLost { server: server.clone(), path: watched.path, silent_ms });
            }
        }
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn next_deadline(&self, from: Instant, heartbeat: HeartbeatSettings) -> Option<Instant> {
        let from = from.max(self.alive);
        self.watched.iter().filter_map(|watched| watched.deadline(from, heartbeat)).min()
    }
}

impl Watched {
    /// When its silence is to be told. A path that never worked is missed only where there must be one.
    fn deadline(&self, from: Instant, heartbeat: HeartbeatSettings) -> Option<Instant> {
        let expected = match self.path {
            Path::Udp => true,
            Path::Ethernet => self.heard.is_some(),
        };
        let silent_from = self.heard.map_or(from, |heard| heard.max(from));
        (expected && !self.told).then(|| silent_from + patience(heartbeat))
    }
}

/// Silence after which a path is lost. Nothing depends on it but people's attention, which a few lost frames are not worth.
fn patience(heartbeat: HeartbeatSettings) -> Duration {
    heartbeat.detection() * 4
}
