//! Guardians: what follows when a daemon is killed, or hangs, whose guardian lives; and guardians that hang themselves.
//!
//! They judge by the product's own [`PulseWatch`]. A guardian that is stopped does nothing; when it runs again it finds what
//! has become of its daemon meanwhile. Who starts a daemon anew, by hand or after the power came back, starts both.
//!
//! Deliberately not here: daemons killed or stopped together with their guardians, which leave their addresses behind
//! (`fault`).

use std::time::Duration;

use model::{
    Instant,
    pulse::{BEATS, Finding, PulseWatch},
};

use super::{Happening, World};
use crate::{fault::Fault, host::Orphan, trace::What};

/// A guardian needs so long for a daemon that has died, at most.
pub(crate) const CLEANING: Duration = Duration::from_millis(5);
/// The pause before it starts the daemon again.
const PAUSE: Duration = Duration::from_millis(100);

/// How a guardian is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum State {
    /// There is none: it ended with its daemon.
    #[default]
    Gone,
    /// It has had to see to its daemon since then at the earliest; it may sleep together with it.
    Watches(Instant),
    /// It is stopped in its tracks.
    Hangs,
}

/// The parent process of a daemon.
#[derive(Default)]
pub(crate) struct Guardian {
    pub(crate) state: State,
    watch: PulseWatch,
    /// Its daemon has died, and it has not seen it yet.
    orphan: Option<Orphan>,
    /// Tells what belongs to an earlier one.
    number: u32,
}

impl Guardian {
    /// Another one takes its place, or nobody.
    pub(crate) fn replace(&mut self, state: State) {
        *self = Self { state, number: self.number + 1, ..Self::default() };
    }

    pub(crate) fn hangs(&self) -> bool {
        self.state == State::Hangs
    }
}

impl World<'_> {
    /// The daemon is killed. Its guardian acts soon after, if it lives.
    pub(crate) fn kill_guarded(&mut self, machine: usize) {
        let Some(process) = self.machines[machine].process.take() else { return };
        let state = &mut self.machines[machine].guardian.state;
        if let (State::Watches(_), None) = (*state, process.hangs) {
            *state = State::Watches(self.now);
        }
        let orphan = Orphan { farewell: process.farewell, broadcasts: process.broadcasts };
        self.watch.restarted(machine, self.now);
        // Who was stopped in its tracks before has long left them alone.
        if self.machines[machine].lease.unattended.is_none() {
            self.abandon(machine);
        }
        self.clean_up_soon(machine, orphan);
    }

    fn clean_up_soon(&mut self, machine: usize, orphan: Orphan) {
        let number = self.machines[machine].guardian.number;
        let soon = self.random.span(Duration::from_millis(1), CLEANING);
        self.after(soon, Happening::Guard { machine, number, orphan });
    }

    /// The guardian removes the addresses, and then sends the farewell.
    pub(super) fn guard(&mut self, machine: usize, number: u32, orphan: Orphan) {
        let host = &mut self.machines[machine];
        // The power has failed since, or the daemon runs again by an operator's hand: then it has cleaned up itself.
        if host.guardian.number != number || !host.powered || host.process.is_some() {
            return;
        }
        if host.guardian.hangs() {
            host.guardian.orphan = Some(orphan);
            if !host.kernel.is_empty() {
                self.watch.left_behind(self.now);
            }
            return;
        }
        self.trace.note(self.now, Some(&self.machines[machine].name), What::Guarded);
        self.machines[machine].kernel.clear();
        self.note_kernel();
        for peer in (0..self.machines.len()).filter(|peer| *peer != machine) {
            orphan.farewell.iter().for_each(|datagram| self.send(machine, peer, datagram));
        }
        for datagram in orphan.farewell.iter().filter(|_| orphan.broadcasts) {
            self.broadcast(machine, datagram);
        }
    }

    /// The daemon alone is stopped in its tracks. Its last beat was a moment ago.
    pub(crate) fn hang(&mut self, machine: usize) {
        if self.machines[machine].running().is_none() {
            return;
        }
        self.pause(machine);
        let ago = self.added.span(Duration::ZERO, self.plan.config.heartbeat.detection() / BEATS);
        let beat = self.now - ago;
        if let Some(process) = &mut self.machines[machine].process {
            process.hangs = Some(beat);
        }
        self.machines[machine].guardian.watch = PulseWatch::default();
        self.look_at_pulse(machine);
    }

    /// The guardian's turn, if it lives: a daemon that does not hang, or stands still together with it, is not looked at.
    pub(super) fn look_at_pulse(&mut self, machine: usize) {
        let (now, detection) = (self.now, self.plan.config.heartbeat.detection());
        let since_boot = |at: Instant| at.since(Instant::BOOT);
        let host = &mut self.machines[machine];
        let hangs = host.process.as_ref().and_then(|process| process.hangs);
        let Some(beat) = hangs.filter(|_| !host.guardian.hangs()) else { return };
        match host.guardian.watch.look(since_boot(now), since_boot(beat), detection) {
            Finding::LookAgain(after) => {
                let number = host.guardian.number;
                let late = self.added.span(Duration::ZERO, self.plan.latency);
                self.after(after + late, Happening::Pulse { machine, number });
            }
            Finding::Hangs => {
                self.trace.note(now, Some(&host.name), What::FoundHanging);
                self.kill_guarded(machine);
                self.schedule_over(PAUSE, Fault::KillGuarded(machine));
            }
        }
    }

    pub(super) fn pulse(&mut self, machine: usize, number: u32) {
        if self.machines[machine].guardian.number == number {
            self.look_at_pulse(machine);
        }
    }

    /// The guardian is stopped in its tracks.
    pub(crate) fn hang_guardian(&mut self, machine: usize) {
        let state = &mut self.machines[machine].guardian.state;
        if let State::Watches(_) = state {
            *state = State::Hangs;
        }
    }

    /// The guardian runs again.
    pub(crate) fn wake_guardian(&mut self, machine: usize) {
        let guardian = &mut self.machines[machine].guardian;
        if !guardian.hangs() {
            return;
        }
        guardian.state = State::Watches(self.now);
        match guardian.orphan.take() {
            Some(orphan) => {
                self.clean_up_soon(machine, orphan);
                self.schedule_over(PAUSE, Fault::KillGuarded(machine));
            }
            None => self.look_at_pulse(machine),
        }
    }
}
