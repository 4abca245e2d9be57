//! What others hear: heartbeats to the peers, health to DNS, orders to the probes, news to the journal.

use std::{collections::BTreeMap, sync::Arc};

use model::{
    EndpointName, Health, Instant, MonitorId, PoolName, ServerName, VirtualHostName,
    config::{Monitor, Severity},
    event::Event,
    health::{EndpointHealth, Judgement, ServerHealth, ServerState, Verdict, VirtualHostHealth},
};

use super::Node;
use crate::{
    Effect, Effects,
    election::view::{Member, View},
    endpoint::{self, Votes},
    partition::Standing,
    statement::{Account, Claim, Statement},
};

impl Node {
    /// Tells everybody what is new, and peers that we live.
    pub(super) fn speak(&mut self, now: Instant, first: bool, effects: &mut Effects) {
        self.hear_peers(effects);
        // Before the statement, which says for how long all has been calm.
        let health = self.believe(now, effects);
        let statement = self.statement();
        let due = now >= self.rounds.sent + self.heartbeat().interval;
        if first || due || statement != self.said.statement {
            let sequence = self.membership.send(now, &statement, effects);
            self.elections.values_mut().for_each(|election| election.tell(sequence));
            self.rounds.sent = now;
            self.said.statement = statement;
        } else if self.membership.prompts_wanted() {
            self.membership.send_prompts(now, &statement, effects);
        }
        self.order_probes(effects);
        self.keep_holds(effects);
        self.publish_health(health, effects);
        self.resign(now, effects);
    }

    /// Nothing is new: peers hear the same once more, and that we live.
    pub(super) fn repeat(&mut self, now: Instant, effects: &mut Effects) {
        self.membership.send(now, &self.said.statement, effects);
        self.rounds.sent = now;
    }

    /// Our word, whole. `heard` is filled in by membership.
    fn statement(&self) -> Statement {
        let concerned = self
            .elections
            .iter()
            .filter(|(_, election)| election.holds() || election.spec().servers.contains(&self.me));
        let account = Account {
            stances: concerned.map(|(name, election)| (name.key(), election.stance())).collect(),
            verdicts: self.monitors.judgements(),
            recovering: self.monitors.recovering(),
            calm: self.calm.steps().map(|(pool, step)| (pool.key(), step)).collect(),
        };
        let said = &self.said.statement.account;
        Statement {
            standby: self.duty.standby,
            resigning: self.duty.resigning.is_some(),
            goodbye: false,
            listening: self.duty.listening.is_some(),
            configuration: self.config.digest,
            serial: self.serial,
            heard: BTreeMap::new(),
            account: if account == **said { said.clone() } else { Arc::new(account) },
        }
    }

    /// What peers say that is for the journal: their configuration, what they hold. The serial follows the highest.
    fn hear_peers(&mut self, effects: &mut Effects) {
        let digest = self.config.digest;
        for (server, peer) in self.membership.peers() {
            let Some(statement) = peer.statement().filter(|_| peer.state().is_alive()) else { continue };
            self.serial = self.serial.max(statement.serial);
            let known = self.said.differing.get(server).copied();
            if statement.configuration == digest {
                if known.is_some() {
                    self.said.differing.remove(server);
                    effects.record(Event::ConfigurationAgrees { server: server.clone() });
                }
            } else if known != Some(statement.configuration) {
                self.said.differing.insert(server.clone(), statement.configuration);
                let (server, digest) = (server.clone(), statement.configuration);
                effects.record(Event::ConfigurationDiffers { server, digest });
            }
        }
    }

    /// The links on which peers can hear a broadcast. Nothing is said about them before the first report of interfaces.
    pub(super) fn choose_links(&mut self, effects: &mut Effects) {
        if !self.ethernet || !self.links.are_known() {
            return;
        }
        let peers = self.config.servers.iter().filter(|(name, _)| **name != self.me);
        let links = self.links.shared_with(peers.map(|(_, server)| server.heartbeat.ip()));
        if self.said.links.as_ref() != Some(&links) {
            self.membership.set_broadcasts(!links.is_empty());
            effects.push(Effect::Ethernet(links.clone()));
            self.said.links = Some(links);
        }
    }

    fn order_probes(&mut self, effects: &mut Effects) {
        let Some(orders) = self.monitors.new_orders() else { return };
        if self.said.probes.as_ref() != Some(&orders) {
            effects.push(Effect::Probes(orders.clone()));
            self.said.probes = Some(orders);
        }
    }

    fn keep_holds(&mut self, effects: &mut Effects) {
        let holds = self.monitors.lasting();
        if self.said.holds != holds {
            effects.push(Effect::Keep(holds.clone()));
            self.said.holds = holds;
        }
    }

    /// What is to be published now.
    fn believe(&mut self, now: Instant, effects: &mut Effects) -> Health {
        let mut health = Health {
            revision: self.health.revision,
            settled: self.duty.listening.is_none() && self.duty.settling.is_none(),
            isolated: self.standing == Standing::Isolated,
            serial: self.serial,
            servers: self.servers(),
            virtual_hosts: self.virtual_hosts(),
            endpoints: self.endpoints(effects),
            calm: BTreeMap::new(),
        };
        self.calm.observe(now, &self.config, &health);
        health.calm = self.agreed_calm();
        health
    }

    fn publish_health(&mut self, mut health: Health, effects: &mut Effects) {
        self.note_holders(&health.virtual_hosts, effects);
        if health != *self.health {
            health.revision += 1;
            self.health = Arc::new(health);
            effects.push(Effect::Health(self.health.clone()));
        }
    }

    fn servers(&self) -> BTreeMap<ServerName, ServerHealth> {
        let peer = |name: &ServerName| {
            let peer = self.membership.peer(name);
            let state = peer.map_or(ServerState::Unknown, |peer| peer.state());
            let statement = peer.and_then(|peer| peer.statement()).filter(|_| state.is_alive());
            ServerHealth { state, standby: statement.is_some_and(|said| said.standby || said.resigning) }
        };
        let standby = self.duty.standby || self.duty.resigning.is_some();
        let myself = ServerHealth { state: ServerState::Alive, standby };
        let health = |name: &ServerName| if *name == self.me { myself } else { peer(name) };
        self.config.servers.keys().map(|name| (name.clone(), health(name))).collect()
    }

    fn virtual_hosts(&self) -> BTreeMap<VirtualHostName, VirtualHostHealth> {
        let health = |(name, spec)| {
            let stance = self.elections.get(name).map(|election| election.stance()).unwrap_or_default();
            let view = self.view(name, spec, stance);
            let active = active(&view);
            let verdict = active.map_or(Verdict::Unknown, |holder| combined(&holder.health));
            let at_primary = active.is_some_and(|holder| spec.servers.first() == Some(holder.name));
            let active = active.map(|holder| holder.name.clone());
            (VirtualHostName::clone(name), VirtualHostHealth { active, at_primary, verdict })
        };
        self.config.virtual_hosts.iter().map(health).collect()
    }

    /// The lowest step that a living server has reached, of each pool.
    fn agreed_calm(&self) -> BTreeMap<PoolName, u32> {
        let living = self.membership.peers().filter(|(_, peer)| peer.state().is_alive());
        let said: Vec<&Statement> = living.filter_map(|(_, peer)| peer.statement()).collect();
        let lowest = |(pool, own): (&PoolName, u32)| {
            let key = pool.key();
            let others = said.iter().filter_map(|statement| statement.account.calm.get(&key).copied());
            (pool.clone(), others.fold(own, u32::min))
        };
        self.calm.steps().map(lowest).collect()
    }

    /// What the living say of each endpoint; a verdict that is new goes into the journal.
    fn endpoints(&self, effects: &mut Effects) -> BTreeMap<EndpointName, EndpointHealth> {
        let mut all = BTreeMap::new();
        for (name, spec) in &self.config.endpoints {
            let votes = |(id, ..): (MonitorId, _, _)| {
                Votes::count(spec.probed_by.iter().filter_map(|server| self.judgement_at(server, &id)))
            };
            let count = |(.., monitor): &(_, _, &Monitor)| monitor.handling.severity != Severity::Record;
            let (health, votes) = endpoint::merge(spec.monitors(name).filter(count).map(votes));
            let before = self.health.endpoints.get(name).map_or(Verdict::Unknown, |endpoint| endpoint.verdict);
            if health.verdict != before && !spec.monitors.is_empty() {
                let (up, down) = (votes.reached(), votes.down);
                effects.record(Event::EndpointChanged { endpoint: name.clone(), verdict: health.verdict, up, down });
            }
            all.insert(name.clone(), health);
        }
        all
    }

    /// What a living server says of a monitor.
    pub(super) fn judgement_at(&self, server: &ServerName, id: &MonitorId) -> Option<Judgement> {
        if *server == self.me {
            return self.monitors.said(id);
        }
        let peer = self.membership.peer(server).filter(|peer| peer.state().is_alive())?;
        peer.statement()?.account.verdicts.get(&id.key()).copied()
    }

    /// Whether a living server says that a monitor's recovery program is at work.
    pub(super) fn is_recovering(&self, server: &ServerName, id: &MonitorId) -> bool {
        if *server == self.me {
            return self.monitors.is_recovering(id);
        }
        let peer = self.membership.peer(server).filter(|peer| peer.state().is_alive());
        let said = peer.and_then(|peer| peer.statement());
        said.is_some_and(|said| said.account.recovering.contains(&id.key()))
    }

    /// A peer began, or ceased, to hold a virtual host. Our own holdings have events of their own.
    fn note_holders(&mut self, now: &BTreeMap<VirtualHostName, VirtualHostHealth>, effects: &mut Effects) {
        for (name, health) in now {
            let by_peer = health.active.as_ref().filter(|active| **active != self.me);
            let before = self.said.held_by_peers.get(name);
            if by_peer == before {
                continue;
            }
            effects.record(Event::HolderChanged { virtual_host: name.clone(), active: health.active.clone() });
            match by_peer {
                Some(server) => self.said.held_by_peers.insert(name.clone(), server.clone()),
                None => self.said.held_by_peers.remove(name),
            };
        }
        self.said.held_by_peers.retain(|name, _| now.contains_key(name));
    }

    /// The last word of a planned stop: once nothing is held any more. Where the kernel does not let go in time, the stop
    /// is not held up, and peers are not told that the addresses are free: they will find us dead.
    fn resign(&mut self, now: Instant, effects: &mut Effects) {
        let Some(since) = self.duty.resigning else { return };
        let holds = self.elections.values().any(|election| election.holds());
        if holds && now < since + self.resign_bound() {
            return;
        }
        if !holds {
            let goodbye = Statement { goodbye: true, ..self.statement() };
            // Twice: one may be lost, and nobody asks again.
            self.membership.send(now, &goodbye, effects);
            self.membership.send(now, &goodbye, effects);
        }
        self.duty.gone = true;
        effects.push(Effect::Goodbye);
    }
}

/// The living server that has the addresses: not one that has only asked its kernel for them.
pub(super) fn active<'v, 'a>(view: &'v View<'a>) -> Option<&'v Member<'a>> {
    view.holder().filter(|holder| match holder.stance.claim {
        Claim::Active | Claim::Releasing => true,
        Claim::None | Claim::Taking => false,
    })
}

/// The worst; up where there is nothing to know.
fn combined(verdicts: &[Verdict]) -> Verdict {
    verdicts.iter().copied().min().unwrap_or(Verdict::Up)
}
