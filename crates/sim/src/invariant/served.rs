//! *served*: nobody keeps what is dead in its hands while another could serve it.

use std::time::Duration;

use model::{
    MonitorId, VirtualHostName,
    config::{Monitor, Severity, VirtualHost},
};

use super::{Broken, Invariant, SHUN};
use crate::{
    host::{Ill, Machine},
    world::World,
};

/// Why a virtual host should be elsewhere.
enum Fault {
    Dead,
    Unseen,
}

impl World<'_> {
    pub(super) fn served(&self) -> Option<Broken> {
        for group in self.groups() {
            let span = self.now.since(self.unchanged_since(&group)?);
            let troubled = group.iter().filter(|number| !self.machines[**number].marred.is_empty()).count();
            for (name, host) in &self.machines[group[0]].config.virtual_hosts {
                let Some(holder) = self.holder(&group, host) else { continue };
                let Some(fault) = self.fault(&group, name, host, holder) else { continue };
                let bound = match fault {
                    Fault::Unseen => self.watch.bounds.seen,
                    Fault::Dead if troubled > 1 => self.watch.bounds.shared,
                    Fault::Dead => self.watch.bounds.served,
                };
                let well = group.iter().find(|number| self.could_serve(&group, **number, name, host, holder));
                if let Some(well) = well.filter(|_| span > bound) {
                    return Some(kept(name, holder, &self.machines[*well], &fault, (span, bound)));
                }
            }
        }
        None
    }

    /// Who in the part has all addresses.
    fn holder(&self, group: &[usize], host: &VirtualHost) -> Option<&Machine> {
        let has_all = |machine: &&Machine| host.addresses.iter().all(|address| machine.kernel.contains(address));
        group.iter().map(|number| &self.machines[*number]).find(has_all)
    }

    /// What is wrong with a virtual host where it is, if it is beyond doubt.
    fn fault(&self, group: &[usize], name: &VirtualHostName, host: &VirtualHost, holder: &Machine) -> Option<Fault> {
        let dead = |monitor: &Monitor| {
            let id = MonitorId::of_host(name, &monitor.name);
            let ill = matches!(holder.ill.get(&id), Some(Ill::Refuses | Ill::Hangs));
            ill && holder.forced.get(&id) != Some(&true)
        };
        if counting(host).any(dead) {
            return Some(Fault::Dead);
        }
        // Whoever finds other services dead may have a fault of its own, and no say.
        let all_well = self.machines.iter().all(|machine| machine.marred.is_empty());
        let listed = |number: &&usize| host.servers.contains(&self.machines[**number].name);
        let observers = group.iter().filter(listed).filter(|number| **number != holder.number).count();
        let tried = counting(host).any(|monitor| monitor.port.is_some());
        (holder.hidden && all_well && tried && observers >= 2).then_some(Fault::Unseen)
    }

    /// Whether a server could hold a virtual host, and its services have been well for as long as anybody remembers.
    fn could_serve(
        &self,
        group: &[usize],
        number: usize,
        name: &VirtualHostName,
        host: &VirtualHost,
        holder: &Machine,
    ) -> bool {
        let machine = &self.machines[number];
        let Some(process) = machine.running().filter(|_| number != holder.number) else { return false };
        let willing = !process.standby && !process.resigning && machine.link;
        let allowed = self.watch.allows(&machine.config, group.len() - 1, self.has_gateway(number));
        let listed = host.servers.contains(&machine.name);
        let shunned = self.watch.refused[number].is_some_and(|refused| self.now.since(refused) < SHUN * 2);
        let well = !machine.was_hidden
            && counting(host).all(|monitor| !machine.marred.contains(&MonitorId::of_host(name, &monitor.name)));
        willing && allowed && listed && !shunned && well
    }
}

fn counting(host: &VirtualHost) -> impl Iterator<Item = &Monitor> {
    host.monitors.iter().filter(|monitor| monitor.handling.severity != Severity::Record)
}

fn kept(
    name: &VirtualHostName,
    holder: &Machine,
    well: &Machine,
    fault: &Fault,
    (span, bound): (Duration, Duration),
) -> Broken {
    let why = match fault {
        Fault::Dead => "where its service is dead",
        Fault::Unseen => "where nobody reaches it",
    };
    let detail = format!(
        "{name} stays on {}, {why}, although {} is well and nothing has changed for {span:?}; bound {bound:?}",
        holder.name, well.name
    );
    Broken::new(Invariant::Served, detail)
}
