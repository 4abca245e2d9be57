//! What befalls services, the way to them, and their monitors.

use std::{sync::Arc, time::Duration};

use cluster::{Command, Input};
use model::MonitorId;

use super::Fault;
use crate::{host::Ill, world::World};

impl World<'_> {
    pub(super) fn some_service(&mut self, machine: usize) -> Option<Fault> {
        let monitors: Vec<_> = self.plan.config.monitors().map(|(id, _)| id).collect();
        if monitors.is_empty() {
            return None;
        }
        let monitor = self.random.pick(&monitors).clone();
        Some(match self.random.below(10) {
            0..4 => Fault::Service { machine, monitor, ill: Ill::Refuses },
            4..6 => Fault::Service { machine, monitor, ill: Ill::Hangs },
            6 => Fault::Service { machine, monitor, ill: Ill::Degraded },
            7..9 => {
                let turn = self.random.span(Duration::from_millis(100), Duration::from_millis(600));
                Fault::Flap { machine, monitor, turn }
            }
            _ if self.random.percent(50) => Fault::Hide(machine),
            _ => Fault::Force { machine, monitor, up: self.random.percent(50) },
        })
    }

    /// A service is not well any more.
    pub(super) fn fall_ill(&mut self, machine: usize, monitor: &MonitorId, ill: Ill) {
        self.machines[machine].ill.insert(monitor.clone(), ill);
        self.machines[machine].marred.insert(monitor.clone());
        if ill == Ill::Refuses {
            self.close_port(machine, monitor);
        }
        self.watch.disturbed(machine, self.now);
    }

    /// A service fails and works in turns; returns for how long.
    pub(super) fn flap(&mut self, machine: usize, monitor: &MonitorId, turn: Duration) -> Duration {
        self.machines[machine].flapping.insert(monitor.clone(), turn);
        self.machines[machine].marred.insert(monitor.clone());
        self.watch.disturbed(machine, self.now);
        turn * 12
    }

    /// Nobody reaches a machine's virtual addresses; returns for how long.
    pub(super) fn hide_for_a_while(&mut self, machine: usize) -> Duration {
        self.hide(machine, true);
        self.random.span(Duration::from_secs(1), Duration::from_secs(8))
    }

    /// The way to a machine's virtual addresses breaks, or is mended.
    pub(super) fn hide(&mut self, machine: usize, on: bool) {
        self.machines[machine].hidden = on;
        self.machines[machine].was_hidden |= on;
        for machine in 0..self.machines.len() {
            self.watch.disturbed(machine, self.now);
        }
    }

    /// An operator's word about a monitor; none: it is taken back.
    pub(super) fn force(&mut self, machine: usize, monitor: &MonitorId, up: Option<bool>) {
        let host = &mut self.machines[machine];
        host.marred.insert(monitor.clone());
        match up {
            Some(up) => host.forced.insert(monitor.clone(), up),
            None => host.forced.remove(monitor),
        };
        let monitor: Arc<str> = monitor.to_string().into();
        let command = match up {
            Some(up) => Command::Force { monitor, up, lasts: None },
            None => Command::Reset { monitor },
        };
        self.watch.disturbed(machine, self.now);
        self.feed(machine, Some(Input::Command(command)));
    }

    /// The operator has seen to every service, and says so.
    pub(crate) fn reset_monitors(&mut self) {
        for machine in 0..self.machines.len() {
            self.machines[machine].marred.clear();
            self.machines[machine].was_hidden = false;
            let config = self.machines[machine].config.clone();
            let hosts = config.monitors().map(|(id, _)| id);
            let endpoints = config.endpoints.iter().flat_map(|(name, spec)| spec.monitors(name).map(|(id, ..)| id));
            for monitor in hosts.chain(endpoints) {
                let name = monitor.to_string();
                let name = name.split(" at ").next().unwrap_or_default();
                self.machines[machine].forced.clear();
                self.feed(machine, Some(Input::Command(Command::Reset { monitor: name.into() })));
            }
            self.watch.disturbed(machine, self.now);
        }
    }
}
