//! The wire in two, and what holds up one path's datagrams.

use model::net::Path;

use super::Fault;
use crate::{plan::Style, world::World};

impl World<'_> {
    /// Of an orderly life it is a part only where the other path is there, and works: it must change nothing then.
    pub(super) fn some_filter(&mut self, machine: usize) -> Option<Fault> {
        let path = *self.random.pick(&Path::ALL);
        let (one, other) = (machine, self.another(machine)?);
        let ways: Vec<_> = match self.random.below(5) {
            0 => vec![(one, other)],
            1 => vec![(one, other), (other, one)],
            2 => self.ways().into_iter().filter(|(from, _)| *from == machine).collect(),
            3 => self.ways().into_iter().filter(|(_, to)| *to == machine).collect(),
            _ => self.ways(),
        };
        let refuses = path == Path::Udp && self.random.percent(50);
        let orderly = self.plan.style == Style::Orderly;
        let harmless = self.has_two_paths() && !self.network.holds_up(path.other());
        (harmless || !orderly).then_some(Fault::Filter { path, ways, refuses })
    }

    /// The wire breaks into two, or is one again; the router is on the other side.
    pub(super) fn split(&mut self, side: &[usize], on: bool) {
        for one in 0..self.machines.len() {
            for other in 0..self.machines.len() {
                if side.contains(&one) != side.contains(&other) {
                    self.network.cut(one, other, on);
                }
            }
            if side.contains(&one) {
                self.network.cut_gateway(one, on);
            }
        }
    }
}
