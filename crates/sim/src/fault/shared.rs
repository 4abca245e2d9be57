//! Shared causes: the services of all servers, or of all but one, fall ill together. Drawn by dice of their own.

use super::Fault;
use crate::{host::Ill, world::World};

impl World<'_> {
    pub(super) fn draw_shared(&mut self) -> Vec<Fault> {
        if !self.newest.percent(self.plan.shared) {
            return Vec::new();
        }
        self.everywhere()
    }

    /// Most services of all servers but one, or of all, fall ill.
    pub(super) fn everywhere(&mut self) -> Vec<Fault> {
        let monitors: Vec<_> = self.plan.config.monitors().map(|(id, _)| id).collect();
        // One more than there are: then nobody is spared.
        let spared = self.newest.below(self.machines.len() + 1);
        let mut faults = Vec::new();
        for machine in (0..self.machines.len()).filter(|machine| *machine != spared) {
            for monitor in &monitors {
                let ill = if self.newest.percent(70) { Ill::Refuses } else { Ill::Hangs };
                if self.newest.percent(90) {
                    faults.push(Fault::Service { machine, monitor: monitor.clone(), ill });
                }
            }
        }
        faults
    }
}
