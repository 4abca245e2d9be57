//! Hangs of daemons, of their guardians, and of both: drawn by dice of their own.

use std::time::Duration;

use super::Fault;
use crate::{
    host::{BATCHING, LEASE},
    plan::Style,
    world::World,
};

impl World<'_> {
    /// In orderly lives guardians live.
    pub(super) fn draw_hangs(&mut self) -> Vec<Fault> {
        if !self.added.percent(self.plan.hangs) {
            return Vec::new();
        }
        let machine = self.added.below(self.machines.len());
        let daemon = Fault::Hang(machine);
        match (self.plan.style, self.added.below(4)) {
            (Style::Orderly, _) | (Style::Rough, 0..2) => vec![daemon],
            (Style::Rough, 2) => vec![Fault::GuardianHangs(machine)],
            (Style::Rough, _) => vec![Fault::GuardianHangs(machine), daemon],
        }
    }

    /// Some are over before a guardian minds, some last until the leases have ended.
    pub(super) fn hang_span(&mut self) -> Duration {
        let detection = self.plan.config.heartbeat.detection();
        match self.added.below(3) {
            0 => self.added.span(Duration::ZERO, detection),
            1 => self.added.span(detection / 2, detection * 10),
            _ => self.added.span(LEASE / 2, LEASE * 2 + BATCHING),
        }
    }
}
