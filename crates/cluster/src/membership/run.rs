//! One run of a peer's daemon, as heard.

use std::time::Duration;

use model::{BootId, Instant};

use super::window::{Place, Window};
use crate::{
    statement::{Heard, Statement},
    wire::{Assembly, Part},
};

/// A copy that came straight after relayed ones have overtaken it is evidence of the straight path only so far back:
/// sixteen heartbeats, each of which uses two more numbers for its farewell.
const OVERTAKEN: u64 = 48;

/// What is known of one run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) boot: BootId,
    window: Window,
    assembly: Assembly,
    /// When its sequence last advanced, over any path.
    pub(super) last_heard: Instant,
    /// The highest sequence number that came straight from it, and when.
    direct: Option<(u64, Instant)>,
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

impl Run {
    /// A run that shows up with this datagram. To be handed to [`Self::arrive`] never: it counts as arrived.
    pub(super) fn new(now: Instant, boot: BootId, sequence: u64, direct: bool) -> Self {
        Self {
            boot,
            window: Window::starting_at(sequence),
            assembly: Assembly::default(),
            last_heard: now,
            direct: direct.then_some((sequence, now)),
            statement: None,
            echoed: None,
            hears_us: None,
            left: false,
        }
    }

    /// A datagram of this run arrived. Returns what it is, and whether it is news that it came straight.
    pub(super) fn arrive(&mut self, now: Instant, sequence: u64, direct: bool) -> (Arrival, bool) {
        let arrival = match self.window.place(sequence) {
            Place::Ahead => Arrival::Ahead,
            Place::Late => Arrival::Late,
            Place::Seen if !direct => Arrival::Redundant,
            Place::Seen => {
                let highest_direct = self.direct.map_or(0, |(highest, _)| highest);
                if sequence > highest_direct && self.window.highest() - sequence < OVERTAKEN {
                    Arrival::Redundant
                } else {
                    Arrival::Replayed
                }
            }
        };
        match arrival {
            Arrival::Ahead => {
                self.window.mark(sequence);
                self.last_heard = now;
            }
            Arrival::Late => self.window.mark(sequence),
            Arrival::Redundant => {}
            Arrival::Replayed => return (arrival, false),
        }
        let straight = direct && self.direct.is_none_or(|(highest, _)| sequence > highest);
        if straight {
            self.direct = Some((sequence, now));
        }
        (arrival, straight)
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
