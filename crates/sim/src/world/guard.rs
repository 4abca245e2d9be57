//! Guardians: what follows when a daemon is killed whose guardian lives.
//!
//! Deliberately not here: daemons killed together with their guardians, which leave their addresses behind (`fault`).

use std::time::Duration;

use super::{Happening, World};
use crate::trace::What;

impl World<'_> {
    /// The daemon is killed. Its guardian acts soon after.
    pub(crate) fn kill_guarded(&mut self, machine: usize) {
        let Some(process) = &self.machines[machine].process else { return };
        let farewell = process.farewell.clone();
        self.machines[machine].process = None;
        self.watch.restarted(machine, self.now);
        let soon = self.random.span(Duration::from_millis(1), Duration::from_millis(5));
        self.after(soon, Happening::Guard { machine, farewell });
    }

    /// The guardian removes the addresses, and then sends the farewell.
    pub(super) fn guard(&mut self, machine: usize, farewell: &[Vec<u8>]) {
        // The power has failed since, or the daemon runs again by an operator's hand: then it has cleaned up itself.
        if !self.machines[machine].powered || self.machines[machine].process.is_some() {
            return;
        }
        self.trace.note(self.now, Some(&self.machines[machine].name), What::Guarded);
        self.machines[machine].kernel.clear();
        self.note_kernel();
        for peer in (0..self.machines.len()).filter(|peer| *peer != machine) {
            farewell.iter().for_each(|datagram| self.send(machine, peer, datagram));
        }
    }
}
