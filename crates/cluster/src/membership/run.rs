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
    wire::{Assembly, Given, Part},
};

/// A copy that others have overtaken is told from a recording only so far back: four seconds of heartbeats, each of which
/// uses two more numbers for its farewell; less where much is said.
const OVERTAKEN: u64 = 256;
/// So many numbers before the first one heard may yet come: it has overtaken them on another lane. They tell nothing, since
/// they may be recordings, and are no replay the first time.
const OVERTAKEN_AT_FIRST: u64 = 16;
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
    /// Which account of ours it has learned, as it says; none where it has not said it of our present run, or speaks an early
    /// version.
    pub(super) has_learned: Option<u64>,
    /// Its newest word was understood: its account is known, so `statement` is the truth, unless a part is on its way.
    pub(super) understood: bool,
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
            lanes: origin.iter().map(|origin| (lane(*origin), first_lane(sequence))).collect(),
            assembly: Assembly::default(),
            last_heard: now,
            direct: origin.map(|_| (sequence, now)),
            paths: origin.iter().map(|origin| (origin.path(), now)).collect(),
            statement: None,
            echoed: None,
            hears_us: None,
            has_learned: None,
            understood: false,
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
        let is_news = recent && sequence >= self.began && on_lane == Some(Place::Ahead);
        let path = origin.filter(|_| is_news).map(Origin::path);
        if let Some(path) = path {
            self.paths.insert(path, now);
        }
        let straight = path.is_some() && self.direct.is_none_or(|(highest, _)| sequence > highest);
        if straight {
            self.direct = Some((sequence, now));
        }
        Arrived { what, straight, path }
    }

    /// What came over a lane. A new one begins before the run did, so that no copy of what others brought is missed.
    fn lane(&mut self, lane: Option<InterfaceIndex>) -> &mut Window {
        if self.lanes.len() >= MAX_LANES
            && !self.lanes.contains_key(&lane)
            && let Some(last) = self.lanes.iter().min_by_key(|(_, window)| window.highest()).map(|(lane, _)| *lane)
        {
            self.lanes.remove(&last);
        }
        let began = self.began;
        self.lanes.entry(lane).or_insert_with(|| empty_lane(began))
    }

    /// Takes what a datagram says; `ahead` where it is the newest. Returns whether that completed a newer statement.
    pub(super) fn learn(&mut self, part: Part, ahead: bool) -> bool {
        let given = part.given;
        let statement = self.assembly.add(part);
        if ahead {
            self.understood = match given {
                Given::Unnumbered => true,
                Given::Whole(number) | Given::Same(number) => self.assembly.learned() == number,
            };
        }
        let complete = statement.is_some();
        self.statement = statement.or(self.statement.take());
        complete
    }

    /// What it says of hearing us.
    pub(super) fn note_echo(&mut self, ours: Heard) {
        self.hears_us = Some(Duration::from_millis(ours.direct_age_ms.into()));
        self.has_learned = ours.learned;
    }

    /// What we say about it in our own statements.
    pub(super) fn echo(&self, now: Instant) -> Heard {
        let age = self.direct.map_or(u128::MAX, |(_, at)| now.since(at).as_millis());
        let direct_age_ms = u16::try_from(age).unwrap_or(u16::MAX);
        let learned = Some(self.assembly.learned());
        Heard { boot: self.boot, sequence: self.window.highest(), direct_age_ms, learned }
    }
}

const fn lane(origin: Origin) -> Option<InterfaceIndex> {
    match origin {
        Origin::Udp(_) => None,
        Origin::Ethernet { interface, mac: _ } => Some(interface),
    }
}

/// A lane over which nothing has come yet, of a run whose first number heard is `began`.
fn empty_lane(began: u64) -> Window {
    Window::starting_at(began.saturating_sub(OVERTAKEN_AT_FIRST + 1))
}

/// The lane that brought that number.
fn first_lane(began: u64) -> Window {
    let mut window = empty_lane(began);
    window.mark(began);
    window
}

#[cfg(test)]
mod tests {
    use model::net::MacAddress;

    use super::*;

    #[test]
    fn what_the_first_one_heard_has_overtaken_is_no_replay_once_and_tells_nothing() {
        let now = Instant::from_nanos(1);
        let ethernet = Origin::Ethernet { interface: InterfaceIndex(2), mac: MacAddress([2; 6]) };
        let udp = Origin::Udp("10.77.0.11:7946".parse().unwrap());
        let mut run = Run::new(now, BootId([1; 16]), 40, Some(ethernet));
        let mut arrive = |sequence, origin| run.arrive(now, sequence, Some(origin));
        let nothing = |what| Arrived { what, straight: false, path: None };
        for origin in [udp, ethernet] {
            assert_eq!(arrive(37, origin), nothing(Arrival::Redundant));
            assert_eq!(arrive(37, origin), nothing(Arrival::Replayed), "twice the same way");
            assert_eq!(arrive(40 - OVERTAKEN_AT_FIRST - 1, origin), nothing(Arrival::Replayed), "too old");
        }
        assert_eq!(arrive(40, ethernet), nothing(Arrival::Replayed));
        let second = Arrived { what: Arrival::Redundant, straight: false, path: Some(Path::Udp) };
        assert_eq!(arrive(40, udp), second, "the same number on another path");
    }
}
