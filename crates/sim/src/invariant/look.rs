//! The regular look at everything: one owner, self-release; and the state of rest once all is well.

use std::{collections::BTreeSet, net::IpAddr};

use model::{
    Instant,
    config::Failback,
    health::{ServerState, Verdict},
};

use super::{Broken, Invariant};
use crate::{
    host::{BATCHING, LEASE},
    world::{
        World,
        guard::{CLEANING, State},
    },
};

impl World<'_> {
    /// Looks at every invariant.
    pub(crate) fn look(&mut self) {
        self.forget_doubled();
        let broken = self
            .two_owners()
            .or_else(|| self.forbidden())
            .or_else(|| self.unattended())
            .or_else(|| self.cover())
            .or_else(|| self.served())
            .or_else(|| self.truth());
        if let Some(broken) = broken {
            self.fail(broken);
        }
    }

    /// *one-owner* where machines and wires fail.
    fn two_owners(&self) -> Option<Broken> {
        let bound = self.watch.bounds.rivals;
        for one in &self.machines {
            for other in &self.machines[one.number + 1..] {
                let (Some(mine), Some(theirs)) = (one.running(), other.running()) else { continue };
                let (a, b) = (one.number, other.number);
                let Some(hears) = self.watch.hears(a, b, self.now).zip(self.watch.hears(b, a, self.now)) else {
                    continue;
                };
                for (address, since) in &self.watch.held[a] {
                    let Some(also_since) = self.watch.held[b].get(address) else { continue };
                    // Who wants to let go and can't is the kernel's business.
                    if !mine.desired.contains_key(address) || !theirs.desired.contains_key(address) {
                        continue;
                    }
                    let disturbed = self.watch.disturbed[a].max(self.watch.disturbed[b]);
                    let since = hears.0.max(hears.1).max(*since).max(*also_since).max(disturbed);
                    let span = self.now.since(since);
                    if span > bound {
                        let detail = format!(
                            "{address} is on {} and {}, which have heard each other for {span:?}; bound {bound:?}",
                            one.name, other.name
                        );
                        return Some(Broken::new(Invariant::OneOwner, detail));
                    }
                }
            }
        }
        None
    }

    /// *one-owner* on the wire: an address is taken while the machine of a daemon that does not run answers for it.
    pub(crate) fn took_from_the_silent(&mut self, taker: usize, address: IpAddr) -> Option<Broken> {
        self.forget_doubled();
        let rewired = self.watch.rewired;
        let sound = self.network.is_good() && self.now.since(rewired) > self.watch.bounds.detection * 2;
        let left_behind =
            self.machines.iter().filter(|other| other.number != taker && self.is_left_behind(address, other.number));
        let left_behind: Vec<usize> = left_behind.map(|other| other.number).collect();
        for other in left_behind {
            // What it took behind a broken wire nobody knew of; what it has only just taken, the wire did not say yet: whoever
            // hears nobody, and asks in the same moment, takes it, too.
            let asked = |since: Instant| self.now.since(since) > self.watch.bounds.asking;
            let known = self.watch.held[other].get(&address).is_some_and(|since| *since > rewired && asked(*since));
            if !sound || !self.wired(taker, other) {
                self.watch.doubled.insert((address, other));
            } else if known && !self.watch.doubled.contains(&(address, other)) {
                let detail = format!(
                    "{} takes {address}, for which the machine of {} answers, whose daemon does not run",
                    self.machines[taker].name, self.machines[other].name
                );
                return Some(Broken::new(Invariant::OneOwner, detail));
            }
        }
        None
    }

    /// Whether the daemon of a machine does not run, and its kernel has the address still.
    fn is_left_behind(&self, address: IpAddr, number: usize) -> bool {
        let machine = &self.machines[number];
        machine.lease.unattended.is_some() && machine.kernel.contains(&address)
    }

    /// What was on two machines is not any more: who takes it now has nobody else to thank for it.
    fn forget_doubled(&mut self) {
        let mut doubled = std::mem::take(&mut self.watch.doubled);
        doubled.retain(|(address, number)| self.is_left_behind(*address, *number));
        self.watch.doubled = doubled;
    }

    /// *self-release*.
    fn forbidden(&mut self) -> Option<Broken> {
        for machine in &self.machines {
            let number = machine.number;
            let hears = (0..self.machines.len())
                .filter(|other| *other != number && self.watch.hears(number, *other, self.now).is_some())
                .count();
            let allowed = self.watch.allows(&machine.config, hears, self.has_gateway(number));
            let Some(process) = machine.running().filter(|_| !allowed) else {
                self.watch.forbidden[number] = None;
                continue;
            };
            let since = *self.watch.forbidden[number].get_or_insert(self.now);
            let span = self.now.since(since.max(process.started).max(self.watch.disturbed[number]));
            let bound = self.watch.bounds.release;
            if span > bound && !process.desired.is_empty() {
                let wants: Vec<_> = process.desired.keys().collect();
                let detail = format!(
                    "{} hears {hears} others, may hold nothing for {span:?}, and wants {wants:?}; bound {bound:?}",
                    machine.name
                );
                return Some(Broken::new(Invariant::SelfRelease, detail));
            }
        }
        None
    }

    /// *self-release* of a daemon that was stopped and runs again: at once.
    pub(crate) fn slept(&mut self, machine: usize) {
        let host = &self.machines[machine];
        let Some(process) = &host.process else { return };
        let (since, company) = process.stopped;
        let slept = self.now.since(since);
        // Its own last heartbeat went out before it was stopped, at most.
        if company && slept > self.watch.bounds.detection && !process.desired.is_empty() {
            let wants: Vec<_> = process.desired.keys().collect();
            let detail = format!("{} was stopped for {slept:?} and still wants {wants:?}", host.name);
            self.fail(Broken::new(Invariant::SelfRelease, detail));
        }
    }

    /// *self-release* where no daemon runs: its guardian sees to it, or else the kernel.
    fn unattended(&self) -> Option<Broken> {
        // Pardon for looking late until nine tenths of the detection time, the last look, and the work.
        let guarded = self.watch.bounds.detection * 9 / 10 + self.plan.latency * 2 + CLEANING;
        self.machines.iter().find_map(|machine| {
            let unattended = machine.lease.unattended?;
            let frozen_together = machine.process.as_ref().is_some_and(|process| process.hangs.is_none());
            let (since, bound) = match machine.guardian.state {
                State::Watches(since) if !frozen_together => (unattended.max(since), guarded),
                State::Watches(_) | State::Hangs | State::Gone => (unattended, LEASE + BATCHING),
            };
            let span = self.now.since(since);
            (span > bound && !machine.kernel.is_empty()).then(|| {
                let detail = format!(
                    "{}, whose daemon has not run for {span:?}, has {:?}; bound {bound:?}",
                    machine.name, machine.kernel
                );
                Broken::new(Invariant::SelfRelease, detail)
            })
        })
    }

    /// Once all is well: everything is where it belongs, and everybody says so.
    pub(crate) fn rest(&self) -> Result<(), Broken> {
        let config = self.watch.newest.clone();
        for (name, host) in &config.virtual_hosts {
            let holders: BTreeSet<usize> = self
                .machines
                .iter()
                .filter(|machine| host.addresses.iter().any(|address| machine.kernel.contains(address)))
                .map(|machine| machine.number)
                .collect();
            let needless = |detail: String| Err(Broken::new(Invariant::NoNeedlessMove, detail));
            let names: Vec<_> = holders.iter().map(|number| self.machines[*number].name.as_str()).collect();
            let [holder] = holders.iter().copied().collect::<Vec<_>>()[..] else {
                return needless(format!("{name} is on {names:?} although all is well"));
            };
            let machine = &self.machines[holder];
            if !host.addresses.iter().all(|address| machine.kernel.contains(address)) {
                return needless(format!("{name} is not whole on {}", machine.name));
            }
            let belongs = match host.failback {
                Failback::Auto => host.servers.first() == Some(&machine.name),
                Failback::Sticky => host.servers.contains(&machine.name),
            };
            if !belongs {
                return needless(format!("{name} rests on {}; its list is {:?}", machine.name, host.servers));
            }
            for address in &host.addresses {
                if self.watch.announced.get(address) != Some(&holder) {
                    let last = self.watch.announced.get(address).map(|number| self.machines[*number].name.as_str());
                    let detail = format!("{} holds {address}; {last:?} announced it last", machine.name);
                    return Err(Broken::new(Invariant::LastWord, detail));
                }
            }
            self.agreed(name, holder)?;
        }
        self.all_alike()
    }

    /// Everybody publishes the holder.
    fn agreed(&self, name: &model::VirtualHostName, holder: usize) -> Result<(), Broken> {
        for machine in &self.machines {
            let said = machine.process.as_ref().and_then(|process| process.health.virtual_hosts.get(name));
            let active = said.and_then(|said| said.active.as_ref());
            if active != Some(&self.machines[holder].name) {
                let holder = &self.machines[holder].name;
                let detail = format!("{} says that {active:?} holds {name}; {holder} does", machine.name);
                return Err(Broken::new(Invariant::DnsTruth, detail));
            }
        }
        Ok(())
    }

    /// Everybody says the same serial, that everybody is alive and every endpoint up, and is sure of it.
    fn all_alike(&self) -> Result<(), Broken> {
        let serial = self.machines.iter().map(|machine| machine.serial).max();
        for machine in &self.machines {
            let Some(process) = &machine.process else {
                let detail = format!("{} does not run although all is well", machine.name);
                return Err(Broken::new(Invariant::NoNeedlessMove, detail));
            };
            let health = &process.health;
            let alive = health.servers.values().all(|server| server.state == ServerState::Alive && !server.standby);
            let up = health.endpoints.values().all(|endpoint| endpoint.verdict == Verdict::Up);
            let sure = health.settled && !health.isolated && alive && up;
            if !sure || Some(health.serial) != serial {
                let detail = format!("{} says {health:?} although all is well; serial {serial:?}", machine.name);
                return Err(Broken::new(Invariant::DnsTruth, detail));
            }
        }
        Ok(())
    }
}
