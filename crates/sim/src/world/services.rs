//! Services that die and come back, the probes that find out, and the kernel's word about a closed port.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use cluster::Input;
use model::{
    MonitorId, Subject, VirtualHostName,
    report::{ProbeOrder, ProbeResult},
};

use super::{Happening, World};
use crate::host::{Ill, Probe};

impl World<'_> {
    pub(super) fn order_probes(&mut self, machine: usize, orders: BTreeMap<MonitorId, ProbeOrder>) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let run = process.run;
        process.probes.retain(|monitor, _| orders.contains_key(monitor));
        let mut begun = Vec::new();
        for (monitor, order) in orders {
            let earlier = process.probes.get(&monitor);
            if earlier.is_some_and(|probe| probe.order == order) {
                continue;
            }
            let generation = earlier.map_or(0, |probe| probe.generation + 1);
            let first = if earlier.is_some() { order.interval } else { Duration::from_millis(1) };
            process.probes.insert(monitor.clone(), Probe { order, generation });
            begun.push((first, monitor, generation));
        }
        for (first, monitor, generation) in begun {
            self.after(first, Happening::Probe { machine, run, monitor, generation });
        }
    }

    pub(super) fn probe(&mut self, machine: usize, run: u32, monitor: MonitorId, generation: u32) {
        let host = &self.machines[machine];
        let Some(process) = host.process.as_ref().filter(|process| process.run == run) else { return };
        let Some(probe) = process.probes.get(&monitor).filter(|probe| probe.generation == generation) else { return };
        let (interval, timeout, paused) = (probe.order.interval, probe.order.timeout, process.paused);
        let quick = Duration::from_millis(1);
        let ill = match &monitor.subject {
            Subject::VirtualHost(_) => host.service(&monitor, self.now),
            // Beyond the router, as it were: who does not reach that one does not reach it either.
            Subject::Endpoint(name, _) if host.link && self.network.reaches_gateway(machine) => {
                let hangs = self.endpoints.get(name).and_then(|(dead, _)| *dead);
                hangs.map(|hangs| if hangs { Ill::Hangs } else { Ill::Refuses })
            }
            Subject::Endpoint(..) => Some(Ill::Hangs),
            Subject::Held(name, address, _) => self.service_through(machine, name, *address, &monitor),
        };
        let (after, result) = match ill {
            None => (quick, ProbeResult::Success),
            Some(Ill::Degraded) => (quick, ProbeResult::Degraded("slow".into())),
            Some(Ill::Refuses) => (quick, ProbeResult::Failure("refused".into())),
            Some(Ill::Hangs) => (timeout, ProbeResult::Failure("timed out".into())),
        };
        if !paused {
            self.report(machine, after, Input::Probe { monitor: monitor.clone(), result, took: None });
        }
        self.after(interval.max(after), Happening::Probe { machine, run, monitor, generation });
    }

    /// What a machine finds that tries a virtual address through the wire: the service of whoever has it.
    fn service_through(
        &self,
        from: usize,
        name: &VirtualHostName,
        address: IpAddr,
        monitor: &MonitorId,
    ) -> Option<Ill> {
        let there = |to: &&crate::host::Machine| {
            let wired = to.number == from || self.wired(from, to.number) && !to.hidden;
            wired && to.powered && to.kernel.contains(&address)
        };
        match self.machines.iter().find(there) {
            Some(to) => to.service(&MonitorId::of_host(name, &monitor.monitor), self.now),
            None => Some(Ill::Hangs),
        }
    }

    /// A probe out of turn: the next one is an interval after it. The result of one that is under way still arrives, late:
    /// worse than the real host, which drops it.
    pub(super) fn probe_now(&mut self, machine: usize, monitor: MonitorId) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let run = process.run;
        let Some(probe) = process.probes.get_mut(&monitor) else { return };
        probe.generation += 1;
        let generation = probe.generation;
        let soon = self.random.span(Duration::ZERO, self.plan.latency);
        self.after(soon, Happening::Probe { machine, run, monitor, generation });
    }

    /// A socket that listened on the monitor's port was closed, whoever else listens there: the kernel tells, after a
    /// while on a busy machine.
    pub(crate) fn close_port(&mut self, machine: usize, monitor: &MonitorId) {
        let settings = self.machines[machine].config.monitors().find(|(id, _)| id == monitor);
        let Some(port) = settings.and_then(|(_, settings)| settings.port) else { return };
        let soon = Duration::from_micros(200) + self.random.span(Duration::ZERO, self.plan.latency);
        self.report(machine, soon, Input::ListenerClosed { port });
    }
}
