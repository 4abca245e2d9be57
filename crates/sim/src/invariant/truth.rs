//! *dns-truth*: what is published, and what the DNS answers under it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dns::{Outcome, View, respond};
use model::{Instant, ServerName};

use super::{Broken, Invariant, SHUN};
use crate::{
    host::{Machine, Process},
    world::World,
};

impl World<'_> {
    pub(super) fn truth(&self) -> Option<Broken> {
        self.machines.iter().find_map(|machine| {
            let process = machine.running()?;
            let quiet = self.watch.disturbed[machine.number].max(process.started);
            (self.now.since(quiet) > self.watch.bounds.truth).then(|| self.believes(machine, process))?
        })
    }

    fn believes(&self, machine: &Machine, process: &Process) -> Option<Broken> {
        let bound = self.watch.bounds.truth;
        let over = |since: Instant| self.now.since(since) > bound;
        let broken = |what: String| Some(Broken::new(Invariant::DnsTruth, format!("{} {what}", machine.name)));
        let watch = &self.watch;
        let said_alive = |name| watch.says_alive[machine.number].get(name).is_some_and(|since| over(*since));
        for other in self.machines.iter().filter(|other| other.number != machine.number) {
            if said_alive(&other.name) && self.silent(machine.number, other.number, over) {
                return broken(format!("says that {} is alive, and has not heard it for {bound:?}", other.name));
            }
        }
        for (name, (active, since)) in &watch.says_held[machine.number] {
            let holder = self.machines.iter().find(|other| other.name == *active)?;
            let without = watch.empty[holder.number].get(name);
            if over(*since) && without.is_some_and(|since| over(*since)) {
                return broken(format!("says that {active} holds {name}, which it has not had for {bound:?}"));
            }
        }
        let answered = process.answered(machine.name.as_str());
        let said_held = |address: &IpAddr| {
            let of_this =
                |name| watch.first.virtual_hosts.get(name).is_some_and(|host| host.addresses.contains(address));
            // Who has let go of one address and may not let go of the other still has the virtual host.
            let at_odds =
                |name: &ServerName| self.machines.iter().any(|other| other.name == *name && self.is_at_odds(other));
            let mut said = watch.says_held[machine.number].iter();
            said.any(|(name, (active, since))| of_this(name) && over(*since) && !at_odds(active))
        };
        for address in answered.www.iter().filter(|address| said_held(address)) {
            if self.watch.absent.get(address).is_some_and(|since| over(*since)) {
                return broken(format!("answers {address}, which nobody has had for {bound:?}"));
            }
        }
        for address in &answered.all {
            let other = self.machines.iter().find(|other| machine.config.servers[&other.name].address == *address)?;
            if other.number != machine.number
                && said_alive(&other.name)
                && self.silent(machine.number, other.number, over)
            {
                return broken(format!("answers {address} of {}, not heard for {bound:?}", other.name));
            }
        }
        self.endpoint_answered(&answered.far).and_then(broken)
    }

    /// An endpoint that has been dead for so long that all who probe it must know, and all others have heard of it.
    fn endpoint_answered(&self, answered: &[IpAddr]) -> Option<String> {
        let bound = self.watch.bounds.endpoint;
        // A server that has just come, or come back, has its verdicts from before.
        let starts = self.machines.iter().filter_map(|machine| Some(machine.process.as_ref()?.started));
        let quiet = self.watch.disturbed.iter().copied().chain(starts).max()?;
        let dead = self.endpoints.iter().filter(|(_, (dead, _))| dead.is_some());
        dead.filter(|(_, (_, since))| self.now.since(quiet.max(*since)) > bound).find_map(|(name, _)| {
            let address = self.plan.config.endpoints[name].addresses[0];
            answered.contains(&address).then(|| format!("answers {address} of {name}, dead for {bound:?}"))
        })
    }

    /// Whether a machine's kernel has refused something lately.
    fn is_at_odds(&self, machine: &Machine) -> bool {
        self.watch.refused[machine.number].is_some_and(|refused| self.now.since(refused) < SHUN * 2)
    }

    /// Whether a machine has not heard another for so long that it must know it.
    fn silent(&self, at: usize, other: usize, over: impl Fn(Instant) -> bool) -> bool {
        over(self.watch.word[at][other])
    }
}

/// The addresses that a server gives for the names of the zone.
pub(crate) struct Answered {
    www: Vec<IpAddr>,
    all: Vec<IpAddr>,
    far: Vec<IpAddr>,
}

impl Answered {
    pub(crate) fn of(view: &View) -> Self {
        Self { www: answers(view, "www"), all: answers(view, "all"), far: answers(view, "far") }
    }
}

/// The addresses that a server gives for a name: real queries, real answers.
fn answers(view: &View, label: &str) -> Vec<IpAddr> {
    const A: u8 = 1;
    const AAAA: u8 = 28;
    let mut addresses = Vec::new();
    for kind in [A, AAAA] {
        let query = query(label, kind);
        let (mut reply, mut turn) = ([0; 4096], 0);
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Outcome::Reply(length) = respond(view, client, &query, &mut reply, &mut turn) else { continue };
        addresses.extend(read(&reply[..length], query.len()));
    }
    addresses
}

/// A plain question (RFC 1035 section 4).
fn query(label: &str, kind: u8) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in std::iter::once(label).chain(crate::plan::ZONE.split('.')) {
        query.push(u8::try_from(label.len()).expect("a label is short"));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, kind, 0, 1]);
    query
}

/// The addresses in the answer section, which begins at `start`. The pools' names own them: two bytes of pointer each.
fn read(reply: &[u8], start: usize) -> Vec<IpAddr> {
    let count = reply.get(6..8).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut rest = &reply[start.min(reply.len())..];
    let mut addresses = Vec::new();
    for _ in 0..count {
        let Some((fixed, data)) = rest.split_at_checked(12) else { break };
        let length = usize::from(u16::from_be_bytes([fixed[10], fixed[11]]));
        let Some((data, after)) = data.split_at_checked(length) else { break };
        if let Ok(four) = <[u8; 4]>::try_from(data) {
            addresses.push(Ipv4Addr::from(four).into());
        } else if let Ok(six) = <[u8; 16]>::try_from(data) {
            addresses.push(Ipv6Addr::from(six).into());
        }
        rest = after;
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use dns::{Zone, Zones};
    use model::{
        BootId, Health, VirtualHostName, ZoneName,
        config::ClusterConfig,
        health::{ServerHealth, ServerState, Verdict, VirtualHostHealth},
    };

    use super::*;
    use crate::{
        plan::{Plan, TEMPLATE, ZONE},
        random::Random,
    };

    /// Zones of a plan, and a belief in which everybody holds what is its own.
    fn all_well(config: &ClusterConfig) -> (Arc<Zones>, Arc<Health>) {
        let mut nothing = |file: &str| Err(file.to_owned());
        let zone =
            dns::zone::load(&ZoneName::new(ZONE), "lb.zone", TEMPLATE, &BTreeMap::new(), config, &mut nothing).unwrap();
        let alive = ServerHealth { state: ServerState::Alive, standby: false };
        let held = |name: &VirtualHostName| {
            let active = config.virtual_hosts[name].servers.first().cloned();
            (name.clone(), VirtualHostHealth { active, at_primary: true, verdict: Verdict::Up })
        };
        let health = Health {
            settled: true,
            servers: config.servers.keys().map(|name| (name.clone(), alive)).collect(),
            virtual_hosts: config.virtual_hosts.keys().map(held).collect(),
            ..Health::default()
        };
        (Arc::new(Zones::compile(vec![zone], config)), Arc::new(health))
    }

    /// What is remembered of the answers is what is answered.
    #[test]
    fn what_is_published_or_served_anew_is_asked_anew() {
        let config = Plan::draw(&mut Random::new(3)).config;
        let (zones, health) = all_well(&config);
        let name = config.servers.keys().next().unwrap().clone();
        let mut machine = Machine::new(0, name, Duration::ZERO, false, config.clone());
        machine.start(Instant::from_nanos(1_000_000_000), BootId([1; 16]), zones);
        let process = machine.process.as_mut().unwrap();
        assert!(process.answered("s1").www.is_empty());
        process.publish(health);
        assert!(!process.answered("s1").www.is_empty());
        process.serve(Arc::new(Zones::compile(Vec::<Arc<Zone>>::new(), &config)));
        assert!(process.answered("s1").www.is_empty());
    }

    /// The reader is worth nothing if it reads nothing.
    #[test]
    fn real_answers_are_read() {
        let config = Plan::draw(&mut Random::new(3)).config;
        let (zones, health) = all_well(&config);
        let view = View::build(&zones, &health, "s1");
        let sorted = |mut addresses: Vec<IpAddr>| {
            addresses.sort();
            addresses
        };
        let servers = config.servers.values().map(|server| server.address).collect();
        assert_eq!(sorted(answers(&view, "all")), sorted(servers));
        let hosts = config.virtual_hosts.values().flat_map(|host| host.addresses.clone()).collect();
        assert_eq!(sorted(answers(&view, "www")), sorted(hosts));
        assert!(answers(&view, "nowhere").is_empty());
    }
}
