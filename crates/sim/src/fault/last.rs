//! The end of a life: services die, or the way to one, when all is well, and nobody mends them. Drawn by dice of their own.

use model::MonitorId;

use super::Fault;
use crate::{host::Ill, random::Random, trace::What, world::World};

impl World<'_> {
    /// Nothing else happens from here on.
    pub(crate) fn let_services_die(&mut self, mut random: Random) {
        self.newest = random.clone();
        let config = self.watch.newest.clone();
        let hosts: Vec<_> = config.virtual_hosts.iter().filter(|(_, host)| !host.monitors.is_empty()).collect();
        if hosts.is_empty() {
            return;
        }
        let (name, host) = *random.pick(&hosts);
        let holder = self.machines.iter().find(|machine| machine.kernel.contains(&host.addresses[0]));
        let Some(machine) = holder.map(|holder| holder.number) else { return };
        let faults = match random.below(5) {
            0 => vec![Fault::Hide(machine)],
            1 => self.everywhere(),
            few => {
                let ill = if random.percent(70) { Ill::Refuses } else { Ill::Hangs };
                let monitors = host.monitors.iter().take(if few == 2 { 1 } else { usize::MAX });
                let monitors = monitors.map(|monitor| MonitorId::of_host(name, &monitor.name));
                monitors.map(|monitor| Fault::Service { machine, monitor, ill }).collect()
            }
        };
        for fault in faults {
            self.trace.note(self.now, None, What::Fault(fault.clone()));
            match fault {
                Fault::Hide(machine) => self.hide(machine, true),
                fault => {
                    // For good, however long it would last.
                    let _ended = self.begin(&fault);
                }
            }
        }
    }
}
