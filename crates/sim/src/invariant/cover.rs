//! *cover*: while nothing changes, somebody holds what somebody could.

use model::{
    Instant, MonitorId, VirtualHostName,
    config::{Monitor, Severity, VirtualHost},
};

use super::{AGAIN, Broken, Invariant, SHUN};
use crate::world::World;

impl World<'_> {
    pub(super) fn cover(&mut self) -> Option<Broken> {
        let groups = self.groups();
        // What a part lacked before it was joined to others is no lack of today's.
        self.watch.bare.retain(|(_, first), _| groups.iter().any(|group| group[0] == *first));
        for group in groups {
            let config = self.machines[group[0]].config.clone();
            let since = self.unchanged_since(&group)?;
            for (name, host) in &config.virtual_hosts {
                let key = (name.clone(), group[0]);
                let eligible = self.eligible(&group, name, host, since);
                let due = eligible.is_some_and(|since| self.now.since(since) > self.watch.bounds.cover);
                if !due || self.is_held(&group, host) {
                    self.watch.bare.remove(&key);
                    continue;
                }
                let bare = self.now.since(*self.watch.bare.entry(key).or_insert(self.now));
                if bare > self.watch.bounds.handover {
                    let members: Vec<_> = group.iter().map(|number| self.machines[*number].name.as_str()).collect();
                    let bounds = self.watch.bounds;
                    let detail = format!(
                        "{name} has been unheld for {bare:?} among {members:?}, where nothing has changed for {:?}; \
                         bounds {:?} and {:?}",
                        self.now.since(since),
                        bounds.cover,
                        bounds.handover
                    );
                    return Some(Broken::new(Invariant::Cover, detail));
                }
            }
        }
        None
    }

    /// The parts into which the wire has fallen: servers that run and all hear each other, and nobody else. Empty where
    /// hearing is not mutual, not transitive, or the configurations differ: then nothing is promised.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let running: Vec<usize> =
            self.machines.iter().filter(|machine| machine.running().is_some()).map(|machine| machine.number).collect();
        let hears = |a: usize, b: usize| a == b || self.watch.hears(a, b, self.now).is_some();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for &one in &running {
            let group: Vec<usize> = running.iter().copied().filter(|other| hears(one, *other)).collect();
            let closed = group.iter().all(|a| running.iter().all(|b| hears(*a, *b) == group.contains(b)));
            let alike = group.iter().all(|a| self.machines[*a].config.digest == self.machines[one].config.digest);
            if !closed || !alike {
                return Vec::new();
            }
            if group[0] == one {
                groups.push(group);
            }
        }
        groups
    }

    /// Since when a part has been as it is.
    pub(super) fn unchanged_since(&self, group: &[usize]) -> Option<Instant> {
        let mut since = Instant::BOOT;
        for &one in group {
            since = since.max(self.watch.disturbed[one]).max(self.watch.cut_off[one]);
            for other in 0..self.machines.len() {
                let change = match self.watch.heard[one][other] {
                    Some(_) if group.contains(&other) => self.watch.hears(one, other, self.now)?,
                    Some(hearing) => hearing.last + self.watch.bounds.detection,
                    None => Instant::BOOT,
                };
                since = since.max(change);
            }
        }
        Some(since)
    }

    /// Since when somebody in the part could hold a virtual host; none where nobody can.
    fn eligible(&self, group: &[usize], name: &VirtualHostName, host: &VirtualHost, since: Instant) -> Option<Instant> {
        let may = |number: usize| {
            let machine = &self.machines[number];
            let process = machine.running()?;
            let willing = !process.standby && !process.resigning && machine.link;
            let allowed = self.watch.allows(&machine.config, group.len() - 1, self.has_gateway(number));
            let listed = host.servers.contains(&machine.name);
            let down = |monitor: &Monitor| machine.may_be_down(&MonitorId::of_host(name, &monitor.name));
            let mut count =
                host.monitors.iter().filter(|monitor| monitor.handling.severity != Severity::Record).peekable();
            let serves = host.always_active || count.peek().is_none() || !count.all(down);
            // Who answered for an address when it was proven is asked about again after a while.
            let asked = self.watch.lapsed.map_or(Instant::BOOT, |lapsed| lapsed + AGAIN);
            (willing && allowed && listed && serves).then(|| match self.watch.refused[number] {
                Some(refused) => since.max(refused + SHUN).max(asked),
                None => since.max(asked),
            })
        };
        // Somebody whom nobody hears may answer for the address: then it is rightly left alone.
        let ghost = self.machines.iter().any(|machine| {
            let silent = !group.contains(&machine.number);
            let near = group.iter().any(|one| self.wired(*one, machine.number));
            silent && near && host.addresses.iter().any(|address| machine.kernel.contains(address))
        });
        if ghost { None } else { group.iter().filter_map(|number| may(*number)).min() }
    }

    /// Whether somebody in the part has all addresses.
    fn is_held(&self, group: &[usize], host: &VirtualHost) -> bool {
        let has_all =
            |number: &usize| host.addresses.iter().all(|address| self.machines[*number].kernel.contains(address));
        group.iter().any(has_all)
    }
}
