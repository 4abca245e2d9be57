//! Every decision anew: the partition policy, each virtual host, the addresses that follow, the announcements.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use model::{
    Instant, MonitorId, ServerName, VirtualHostName,
    config::{PartitionPolicy, Server, VirtualHost},
    event::Event,
    health::{Judgement, ServerState, Verdict},
};

use super::Node;
use crate::{
    Effect, Effects,
    criteria::Criterion,
    election::{
        Election, Moment,
        view::{Member, View},
    },
    membership::Peer,
    monitor::Company,
    outside::Outlook,
    partition::{Headcount, Standing},
    statement::Stance,
};

/// Repeated announcements in one instant, in addresses; more wait for each other.
const BURST: usize = 32;
/// How long they wait.
const PACE: Duration = Duration::from_millis(10);
/// The probes of what others hold are shared out anew no more often.
const SETTLING: Duration = Duration::from_millis(500);

impl Node {
    /// Decides everything anew and pushes what follows for this machine.
    pub(super) fn decide(&mut self, now: Instant, effects: &mut Effects) {
        self.listen(now, effects);
        self.refuse_late(now, effects);
        self.monitors.expire(now, effects);
        self.note_standing(now, effects);
        self.welcome(now, effects);
        // What was let go before this point (overslept, or refused by the kernel) has to be on its way out before it is
        // looked at whether it is gone.
        self.wish(now, effects);
        self.settle(now, effects);
        self.note_outlook(now, effects);
        self.note_shared_fault(now, effects);
        self.elect(now, effects);
        self.wish(now, effects);
        self.settle(now, effects);
        self.elections.retain(|_, election| !election.is_finished());
        self.announce(now, effects);
    }

    fn listen(&mut self, now: Instant, effects: &mut Effects) {
        if self.duty.listening.is_some_and(|until| now >= until) {
            self.duty.listening = None;
            effects.record(Event::Listened);
        }
        if self.duty.young.is_some_and(|until| now >= until) {
            self.duty.young = None;
        }
        if self.monitors.are_known() || self.duty.settling.is_some_and(|until| now >= until) {
            self.duty.settling = None;
        }
    }

    /// The kernel has not answered in time: that counts as a refusal.
    fn refuse_late(&mut self, now: Instant, effects: &mut Effects) {
        for address in self.aliases.expire(now) {
            for election in self.elections.values_mut() {
                let reason = "the kernel did not confirm it in time".into();
                election.refused(now, address, reason, &mut self.counters, effects);
            }
        }
    }

    fn note_standing(&mut self, now: Instant, effects: &mut Effects) {
        let state =
            |wanted: fn(ServerState) -> bool| self.membership.peers().filter(|(_, peer)| wanted(peer.state())).count();
        let headcount = Headcount {
            peers: state(|_| true),
            alive: state(ServerState::is_alive),
            suspect: state(|state| state == ServerState::Suspect),
            silent: self.membership.peers().filter(|(_, peer)| peer.state().is_alive() && peer.is_overdue()).count(),
        };
        let configured = match &self.config.partition {
            PartitionPolicy::Gateway { witness } => witness.as_slice(),
            PartitionPolicy::Majority | PartitionPolicy::Availability => &[],
        };
        let own: Vec<IpAddr> = self.config.servers.get(&self.me).into_iter().flat_map(Server::addresses).collect();
        let witnesses = self.links.witnesses(configured, &own);
        let heartbeat = self.heartbeat();
        let policy = &self.config.partition;
        let standing = self.partition.evaluate(now, policy, heartbeat, headcount, &witnesses, effects);
        // Who has only begun to listen is not cut off yet.
        let standing = match standing {
            Standing::Isolated if self.duty.listening.is_some() && self.standing != Standing::Isolated => {
                Standing::Doubtful
            }
            Standing::Sound | Standing::Doubtful | Standing::Isolated => standing,
        };
        match (self.standing == Standing::Isolated, standing == Standing::Isolated) {
            (false, true) => {
                self.counters.isolations += 1;
                effects.record(Event::Isolated);
            }
            (true, false) => {
                // A newcomer again: peers may hold what was ours, and their words are still on the way.
                self.listen_as_newcomer(now);
                effects.record(Event::Rejoined);
            }
            (false, false) | (true, true) => {}
        }
        self.standing = standing;
    }

    /// A peer has come: while we did not hear it, it may have held what we hold. Ours has to be the last word on the wire.
    fn welcome(&mut self, now: Instant, effects: &mut Effects) {
        let alive = self.membership.peers().filter(|(_, peer)| peer.state().is_alive());
        let company: BTreeSet<ServerName> = alive.map(|(name, _)| name.clone()).collect();
        for peer in company.difference(&self.company.peers) {
            for election in self.elections.values_mut().filter(|election| election.spec().servers.contains(peer)) {
                election.announce_anew(now);
            }
        }
        // Who holds what changes often while much moves; those who try it then can wait.
        let moved = self.said.held_by_peers != self.company.holders && now >= self.company.since + SETTLING;
        if company != self.company.peers || moved {
            self.company = Company { peers: company, holders: self.said.held_by_peers.clone(), since: now };
            self.monitors.reconfigure(now, &self.me, &self.config, &self.company, effects);
        }
    }

    /// How our peers reach what we hold.
    fn note_outlook(&mut self, now: Instant, effects: &mut Effects) {
        for (name, election) in &mut self.elections {
            let Some(keys) = election.outside_keys(&self.me) else {
                election.note_outlook(now, Outlook::default(), true, effects);
                continue;
            };
            let living = self.membership.peers().filter(|(_, peer)| peer.state().is_alive());
            let said = living.filter_map(|(server, peer)| Some((server, &peer.statement()?.account.verdicts)));
            let outlook = Outlook::of(&keys, &self.me, &self.config, &self.said.held_by_peers, said);
            let verdict = |id: &MonitorId, _| self.monitors.bare_verdict(id);
            let works =
                self.criteria.get(name).into_iter().flatten().all(|line| line.verdict(verdict) != Verdict::Down);
            election.note_outlook(now, outlook, works, effects);
        }
    }

    /// Whether everything fails at once, as all say.
    fn note_shared_fault(&mut self, now: Instant, effects: &mut Effects) {
        let mut shared = std::mem::take(&mut self.shared);
        let found = |name: &VirtualHostName, server: &ServerName, line| {
            let line: Option<&Criterion> = self.criteria.get(name).and_then(|lines| lines.get(line));
            let said = self.said_by(server);
            let verdict = |id: &MonitorId, key| match said {
                Some(said) => said.get(&key).copied().unwrap_or_default().found,
                None if *server == self.me => self.monitors.judgement(id).found,
                None => Verdict::Unknown,
            };
            line.map(|line| line.verdict(verdict)).unwrap_or_default()
        };
        shared.observe(now, found, effects);
        self.shared = shared;
    }

    /// What a living peer says of its monitors.
    fn said_by(&self, server: &ServerName) -> Option<&BTreeMap<u64, Judgement>> {
        let peer = self.membership.peer(server).filter(|peer| peer.state().is_alive())?;
        Some(&peer.statement()?.account.verdicts)
    }

    /// Whether somebody else could hold it as well as we do, and nobody of its list was given up because of a path.
    fn is_replaceable(&self, name: &VirtualHostName, election: &Election) -> bool {
        let view = self.view(name, election.spec(), election.stance());
        let mut others = view.listed().iter().filter(|member| *member.name != self.me && member.state.is_alive());
        let unseen = others.clone().any(|member| member.stance.unseen);
        !unseen && others.any(|member| member.is_eligible() && member.health >= view.me().health)
    }

    fn settle(&mut self, now: Instant, effects: &mut Effects) {
        for election in self.elections.values_mut() {
            election.settle(now, &self.aliases, effects);
        }
    }

    fn elect(&mut self, now: Instant, effects: &mut Effects) {
        let mut elections = std::mem::take(&mut self.elections);
        let mut counters = std::mem::take(&mut self.counters);
        let moment = Moment {
            now,
            heartbeat: self.heartbeat(),
            standing: self.standing,
            young: self.duty.young.is_some(),
            links: &self.links,
            membership: &self.membership,
        };
        for (name, election) in &mut elections {
            let listed = election.spec().servers.contains(&self.me);
            if election.is_dark(now) && self.is_replaceable(name, election) {
                election.hold_down(now, effects);
            }
            election.look(&moment, listed, effects);
            election.grow_steady(now, &self.myself(self.criteria_of(name), election.stance()));
            let view = self.view(name, election.spec(), election.stance());
            election.evaluate(&moment, &view, &mut counters, effects);
        }
        self.elections = elections;
        self.counters = counters;
    }

    /// Everybody's newest word about one virtual host.
    pub(super) fn view(&self, name: &VirtualHostName, spec: &VirtualHost, stance: Stance) -> View<'_> {
        let (criteria, key) = (self.criteria_of(name), name.key());
        let mut members: Vec<Member<'_>> =
            self.membership.peers().map(|(server, peer)| self.peer(server, peer, key, criteria)).collect();
        members.push(self.myself(criteria, stance));
        View::new(members, &spec.servers, &self.me, self.shared.stays())
    }

    fn criteria_of(&self, name: &VirtualHostName) -> &[Criterion] {
        self.criteria.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn myself(&self, criteria: &[Criterion], stance: Stance) -> Member<'_> {
        let verdict = |id: &MonitorId, _| self.monitors.judgement(id).verdict();
        Member {
            name: &self.me,
            state: ServerState::Alive,
            standby: self.duty.standby || self.duty.resigning.is_some(),
            listening: self.duty.listening.is_some(),
            configuration: self.config.digest,
            stance,
            health: criteria.iter().map(|line| line.verdict(verdict)).collect(),
            deaf: false,
        }
    }

    fn peer<'a>(
        &self,
        server: &'a ServerName,
        peer: &'a Peer,
        virtual_host: u64,
        criteria: &[Criterion],
    ) -> Member<'a> {
        let statement = peer.statement();
        let judgement = |key| statement.and_then(|said| said.account.verdicts.get(&key).copied()).unwrap_or_default();
        let verdict = |_: &MonitorId, key| judgement(key).verdict();
        Member {
            name: server,
            state: peer.state(),
            standby: statement.is_some_and(|said| said.standby || said.resigning),
            listening: statement.is_some_and(|said| said.listening),
            configuration: statement.map_or(0, |said| said.configuration),
            stance: statement.and_then(|said| said.account.stances.get(&virtual_host).copied()).unwrap_or_default(),
            health: criteria.iter().map(|line| line.verdict(verdict)).collect(),
            deaf: self.is_deaf(peer),
        }
    }

    /// Whether a peer, as it says, does not hear us straight any more.
    pub(super) fn is_deaf(&self, peer: &Peer) -> bool {
        peer.hears_us().is_some_and(|ago| ago > self.heartbeat().detection())
    }

    /// The addresses that the decisions want on this machine.
    fn wish(&mut self, now: Instant, effects: &mut Effects) {
        let place = |address: IpAddr| {
            // An address whose interface has just lost its subnet stays where it is until it is handed over.
            let interface = self.links.place(address).or_else(|| self.aliases.interface(address))?;
            Some((address, interface))
        };
        let desired = self.elections.values().flat_map(|election| election.wished()).filter_map(place).collect();
        if let Some(addresses) = self.aliases.desire(now, desired) {
            effects.push(Effect::Addresses(addresses));
        }
    }

    /// What is due to be announced: the first time at once, repeats a few at a time.
    fn announce(&mut self, now: Instant, effects: &mut Effects) {
        let mut announced = BTreeMap::new();
        let mut repeated = 0;
        for election in self.elections.values_mut() {
            let addresses: Vec<IpAddr> = election.wished().collect();
            let Some(announcements) = election.announcements().filter(|due| due.next() <= now) else { continue };
            if !announcements.is_first() {
                if repeated > 0 && repeated + addresses.len() > BURST {
                    announcements.postpone(now + PACE);
                    continue;
                }
                repeated += addresses.len();
            }
            announcements.made(now);
            let placed = |address| Some((address, self.aliases.interface(address)?));
            announced.extend(addresses.into_iter().filter_map(placed));
        }
        if !announced.is_empty() {
            effects.push(Effect::Announce(announced));
        }
    }
}
