//! One run of a peer's daemon, as heard.
//!
//! The same datagram comes over several paths, which is redundancy and no replay. So there is one window over all for what
//! is new, and one for each *lane* (UDP, or Ethernet on one of our interfaces) for what has come that way before: a second
//! copy on one lane is a replay, whatever came on the others.

use std::{collections::BTreeMap, time::Duration};

use model::{
    BootId, Instant,
    net::{InterfaceIndex, Origin, Path},
};

use super::window::{Place, Window};
use crate::{
    statement::{Heard, Statement},
    wire::{Assembly, Part},
};

/// A copy that others have overtaken is told from a recording only so far back: four seconds of heartbeats, each of which
/// uses two more numbers for its farewell; less where much is said.
const OVERTAKEN: u64 = 256;
/// More lanes than a machine has links to its peers; the one that is furthest behind makes room.
const MAX_LANES: usize = 8;

/// What is known of one run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) boot: BootId,
    /// The first number heard: earlier ones may be old recordings.
    began: u64,
    window: Window,
    /// What came straight. `None`: over UDP.
    lanes: BTreeMap<Option<InterfaceIndex>, Window>,
    assembly: Assembly,
    /// When its sequence last advanced, over any path.
    pub(super) last_heard: Instant,
    /// The highest sequence number that came straight from it, and when.
    direct: Option<(u64, Instant)>,
    /// The paths over which it was heard.
    pub(super) paths: BTreeMap<Path, Instant>,
    /// Its newest whole statement.
    pub(super) statement: Option<Statement>,
    /// The highest sequence number of our present run that it has echoed, once one was recent: what it says is said now
    /// and is no recording.
    pub(super) echoed: Option<u64>,
    /// How long before its newest word about us it had heard us straight.
    pub(super) hears_us: Option<Duration>,
    /// It has said goodbye.
    pub(super) left: bool,
}

/// What a datagram was to its run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// The sequence advanced.
    Ahead,
    /// Not seen before, but overtaken.
    Late,
    /// A second copy over another path.
    Redundant,
    /// Seen before, or too old to tell.
    Replayed,
}

/// What a datagram was, and told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arrived {
    pub(super) what: Arrival,
    /// It is news that it came straight.
    pub(super) straight: bool,
    /// The path that has just been seen to work.
    pub(super) path: Option<Path>,
}

impl Run {
    /// A run that shows up with this datagram, which is not to be handed to [`Self::arrive`]: it counts as arrived. No
    /// origin: it was relayed.
    pub(super) fn new(now: Instant, boot: BootId, sequence: u64, origin: Option<Origin>) -> Self {
        Self {
            boot,
            began: sequence,
            window: Window::starting_at(sequence),
            lanes: origin.iter().map(|origin| (lane(*origin), Window::starting_at(sequence))).collect(),
            assembly: Assembly::default(),
            last_heard: now,
            direct: origin.map(|_| (sequence, now)),
            paths: origin.iter().map(|origin| (origin.path(), now)).collect(),
            statement: None,
            echoed: None,
            hears_us: None,
            left: false,
        }
    }

    /// A datagram of this run arrived; straight where it has an origin.
    pub(super) fn arrive(&mut self, now: Instant, sequence: u64, origin: Option<Origin>) -> Arrived {
        let on_lane = origin.map(|origin| self.lane(lane(origin)).place(sequence));
        let recent = self.window.highest().saturating_sub(sequence) < OVERTAKEN;
        let what = match (self.window.place(sequence), on_lane) {
            (Place::Ahead, _) => Arrival::Ahead,
            (Place::Late, _) => Arrival::Late,
            (Place::Seen, None) => Arrival::Redundant,
            (Place::Seen, Some(Place::Ahead | Place::Late)) if recent => Arrival::Redundant,
            (Place::Seen, Some(Place::Ahead | Place::Late | Place::Seen)) => Arrival::Replayed,
        };
        match what {
            Arrival::Ahead => {
                self.window.mark(sequence);
                self.last_heard = now;
            }
            Arrival::Late => self.window.mark(sequence),
            Arrival::Redundant => {}
            Arrival::Replayed => return Arrived { what, straight: false, path: None },
        }
        if let Some(origin) = origin {
            self.lane(lane(origin)).mark(sequence);
        }
        let path = origin.filter(|_| recent && on_lane == Some(Place::Ahead)).map(Origin::path);
        if let Some(path) = path {
            self.paths.insert(path, now);
        }
        let straight = path.is_some() && self.direct.is_none_or(|(highest, _)| sequence > highest);
        if straight {
            self.direct = Some((sequence, now));
        }
        Arrived { what, straight, path }
    }

    /// What came over a lane. A new one begins where the run did, so that no copy of what others brought is missed.
    fn lane(&mut self, lane: Option<InterfaceIndex>) -> &mut Window {
        if self.lanes.len() >= MAX_LANES
            && !self.lanes.contains_key(&lane)
            && let Some(last) = self.lanes.iter().min_by_key(|(_, window)| window.highest()).map(|(lane, _)| *lane)
        {
            self.lanes.remove(&last);
        }
        let before = self.began.saturating_sub(1);
        self.lanes.entry(lane).or_insert_with(|| Window::starting_at(before))
    }

    /// Takes what a datagram says. Returns whether that completed a newer statement.
    pub(super) fn learn(&mut self, part: Part) -> bool {
        match self.assembly.add(part) {
            Some(statement) => {
                self.statement = Some(statement);
                true
            }
            None => false,
        }
    }

    /// What we say about it in our own statements.
    pub(super) fn echo(&self, now: Instant) -> Heard {
        let age = self.direct.map_or(u128::MAX, |(_, at)| now.since(at).as_millis());
        let direct_age_ms = u16::try_from(age).unwrap_or(u16::MAX);
        Heard { boot: self.boot, sequence: self.window.highest(), direct_age_ms }
    }
}

const fn lane(origin: Origin) -> Option<InterfaceIndex> {
    match origin {
        Origin::Udp(_) => None,
        Origin::Ethernet { interface, mac: _ } => Some(interface),
    }
}
