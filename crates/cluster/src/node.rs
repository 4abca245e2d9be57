//! The machine: one server's part in the cluster.
//!
//! [`Node::handle`] does the same after every input, whatever it was: time first (oversleeping, overdue
//! peers), then what happened, then every decision anew (`node/decide.rs`), then what peers and DNS should
//! hear (`node/speak.rs`).
//!
//! Invariants: after `handle(now, ..)` every deadline lies after `now`. One call makes at most one round of heartbeats. The
//! same inputs at the same times give the same effects.
//!
//! Deliberately not here: the rules about one virtual host (`election`), who is alive (`membership`).

mod agenda;
mod command;
mod decide;
mod speak;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use model::{
    BootId, Health, Instant, MonitorId, ServerName, VirtualHostName,
    config::{ClusterConfig, HeartbeatSettings},
    event::{Cause, Event},
    health::{LastingHold, ServerState},
    hook::{HookId, HookReport},
    net::InterfaceIndex,
    report::{AddressOutcome, ProbeOrder},
};

use self::agenda::Agenda;
pub use self::status::ClusterStatus;
use crate::{
    Effect, Effects, Input, Keys, Membership,
    aliases::{Aliases, News},
    calm::Calm,
    counters::Counters,
    criteria::Criterion,
    deadline::{DeadlineName, Earliest},
    election::Election,
    links::Links,
    monitor::{Company, Monitors},
    partition::{Partition, Standing},
    shared::SharedFault,
    statement::Statement,
};

/// What a node needs to begin.
#[derive(Debug)]
pub struct Settings {
    /// Which server of the configuration this is.
    pub name: ServerName,
    /// This run: random.
    pub boot: BootId,
    /// The cluster's keys.
    pub keys: Keys,
    /// The highest zone serial known from earlier runs, or from the clock.
    pub serial: u32,
    /// The configuration in force.
    pub config: Arc<ClusterConfig>,
    /// Whether heartbeats go by Ethernet broadcast, too.
    pub ethernet: bool,
    /// What the last [`Effect::Keep`] of an earlier run wanted kept.
    pub holds: BTreeMap<MonitorId, LastingHold>,
}

/// One server's part in the cluster. See the module.
pub struct Node {
    me: ServerName,
    config: Arc<ClusterConfig>,
    membership: Membership,
    links: Links,
    /// Whether heartbeats may go by Ethernet.
    ethernet: bool,
    aliases: Aliases,
    monitors: Monitors,
    /// What of a virtual host's monitors counts.
    criteria: BTreeMap<VirtualHostName, Vec<Criterion>>,
    elections: BTreeMap<VirtualHostName, Election>,
    partition: Partition,
    standing: Standing,
    duty: Duty,
    rounds: Rounds,
    said: Said,
    /// Who was alive, and held what, when everything was last decided.
    company: Company,
    /// What each peer was, whether it heard us, and what it last said when everything was decided; to tell news from repetition.
    considered: BTreeMap<ServerName, (ServerState, bool, Statement)>,
    serial: u32,
    calm: Calm,
    shared: SharedFault,
    health: Arc<Health>,
    counters: Counters,
    agenda: Agenda,
}

/// Whether this server takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Duty {
    /// An operator wants it to hold nothing.
    standby: bool,
    /// A planned stop has begun then.
    resigning: Option<Instant>,
    /// It listens until then (design R7).
    listening: Option<Instant>,
    /// It counts as a newcomer until then: one detection time longer.
    young: Option<Instant>,
    /// First verdicts are awaited no longer than until then; none once they are there.
    settling: Option<Instant>,
    /// It has said goodbye.
    gone: bool,
}

/// Rounds of heartbeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rounds {
    /// The last.
    sent: Instant,
    /// When peers were last given time because this process had run late.
    pardoned: Instant,
}

/// What was last told to whom, so that only news is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Said {
    statement: Statement,
    probes: Option<BTreeMap<MonitorId, ProbeOrder>>,
    holds: BTreeMap<MonitorId, LastingHold>,
    /// The links that heartbeats are broadcast on; none before interfaces are known.
    links: Option<BTreeSet<InterfaceIndex>>,
    /// Which peers were found to run another configuration.
    differing: BTreeMap<ServerName, u64>,
    /// Which peer holds a virtual host, as it says.
    held_by_peers: BTreeMap<VirtualHostName, ServerName>,
}

impl Node {
    /// Begins to listen, and says so. Where no other server is configured that is over at once.
    pub fn new(now: Instant, settings: Settings, effects: &mut Effects) -> Self {
        let Settings { name, boot, keys, serial, config, ethernet, holds } = settings;
        let mut node = Self {
            membership: Membership::new(name.clone(), boot, keys, config.clone(), now),
            me: name,
            links: Links::default(),
            ethernet,
            aliases: Aliases::default(),
            monitors: Monitors::default(),
            criteria: BTreeMap::new(),
            elections: BTreeMap::new(),
            partition: Partition::default(),
            standing: Standing::Doubtful,
            duty: Duty::default(),
            rounds: Rounds { sent: now, pardoned: now },
            said: Said::default(),
            company: Company::default(),
            considered: BTreeMap::new(),
            serial,
            calm: Calm::default(),
            shared: SharedFault::default(),
            health: Arc::new(Health::default()),
            counters: Counters::default(),
            agenda: Agenda::default(),
            config: config.clone(),
        };
        effects.record(Event::Started { boot });
        // What an earlier run left behind has to go.
        effects.push(Effect::Addresses(BTreeMap::new()));
        node.configure(now, config, effects);
        node.monitors.inherit(now, &holds, effects);
        node.said.holds = holds;
        node.listen_as_newcomer(now);
        if node.membership.peers().next().is_none() {
            // Alone there is nobody to hear.
            node.duty.listening = Some(now);
            node.duty.young = None;
        }
        let patience = node.monitors.longest_timeout() + Duration::from_secs(1);
        node.duty.settling = Some(now + patience);
        node.decide(now, effects);
        node.speak(now, true, effects);
        node.agenda = node.agenda(now);
        node
    }

    /// Deals with one thing that happened.
    pub fn handle(&mut self, now: Instant, input: Input, effects: &mut Effects) {
        if self.duty.gone {
            return;
        }
        let woken = self.wake(now, effects);
        let news = self.note(now, input, effects);
        let speaks = now >= self.next_heartbeat();
        let due = self.agenda.next.as_ref().is_some_and(|(at, _)| *at <= now) || speaks && !self.agenda.at_rest;
        // Most heartbeats, theirs and ours, say nothing new: nothing is decided anew for them.
        if woken || news || due {
            self.decide(now, effects);
            self.speak(now, false, effects);
            self.agenda = self.agenda(now);
        } else if speaks {
            self.repeat(now, effects);
        } else if self.membership.prompts_wanted() {
            self.membership.send_prompts(now, &self.said.statement, effects);
        }
        self.counters.take_over(self.membership.counters());
    }

    /// When, and why, the node wants [`Input::Deadline`] next.
    pub fn next_deadline(&self) -> Option<(Instant, DeadlineName)> {
        if self.duty.gone {
            return None;
        }
        let mut earliest = Earliest::default();
        earliest.consider(Some(self.next_heartbeat()), || DeadlineName::Heartbeat);
        earliest.consider(self.membership.next_deadline(), || DeadlineName::Peer);
        if let Some((at, name)) = &self.agenda.next {
            earliest.consider(Some(*at), || name.clone());
        }
        earliest.into_inner()
    }

    fn next_heartbeat(&self) -> Instant {
        self.rounds.sent + self.heartbeat().interval
    }

    /// What DNS and status should say.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn heartbeat(&self) -> HeartbeatSettings {
        self.config.heartbeat
    }

    /// Time first: did we sleep through our own deadline? Is a peer overdue?
    fn wake(&mut self, now: Instant, effects: &mut Effects) -> bool {
        let heartbeat = self.heartbeat();
        let silence = now.since(self.rounds.sent);
        let overslept = silence > heartbeat.detection() && self.had_company();
        if overslept {
            self.oversleep(now, silence, effects);
        } else if silence > heartbeat.interval * 2 && now.since(self.rounds.pardoned) > heartbeat.detection() * 2 {
            // We ran late: our peers' words may be waiting in the socket. Not time and again, though.
            self.rounds.pardoned = now;
            self.membership.overslept(now);
        }
        let changed = self.membership.expire(now, effects);
        if changed {
            self.considered.clear();
        }
        overslept || changed
    }

    /// Whether somebody could have taken over while we did not run: alive when we last spoke, or heard shortly before,
    /// though it had not proven itself yet.
    fn had_company(&self) -> bool {
        let lately = self.rounds.sent - self.heartbeat().detection();
        let heard = |at: Option<Instant>| at.is_some_and(|at| at >= lately);
        self.membership.peers().any(|(_, peer)| peer.state().is_alive() || heard(peer.last_word()))
    }

    /// Who slept through its lease lets go first and asks later: others may hold what was ours.
    fn oversleep(&mut self, now: Instant, silence: Duration, effects: &mut Effects) {
        self.counters.overslept += 1;
        effects.record(Event::Overslept { slept_ms: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX) });
        for election in self.elections.values_mut() {
            election.release(now, None, Cause::Overslept, &mut self.counters, effects);
        }
        self.rounds = Rounds { sent: now, pardoned: now };
        self.listen_as_newcomer(now);
        self.membership.overslept(now);
    }

    /// Design R7: nothing is taken for one detection time.
    fn listen_as_newcomer(&mut self, now: Instant) {
        let detection = self.heartbeat().detection();
        self.duty.listening = Some(now + detection);
        self.duty.young = Some(now + detection * 2);
        self.elections.values_mut().for_each(Election::doubt_others);
    }

    /// Whether a peer says, or is, something else than when everything was last decided.
    fn is_news(&mut self, server: &ServerName) -> bool {
        let Some(peer) = self.membership.peer(server) else { return true };
        let (state, deaf, statement) = (peer.state(), self.is_deaf(peer), peer.statement());
        let same = |(was, was_deaf, said): &(ServerState, bool, Statement)| {
            (*was, *was_deaf) == (state, deaf) && statement.is_some_and(|statement| statement.agrees_with(said))
        };
        if self.considered.get(server).is_some_and(same) {
            return false;
        }
        self.considered.insert(server.clone(), (state, deaf, statement.cloned().unwrap_or_default()));
        true
    }

    /// What happened. Returns whether it can change a decision.
    fn note(&mut self, now: Instant, input: Input, effects: &mut Effects) -> bool {
        match input {
            Input::Deadline => return false,
            Input::Datagram { from, bytes } => {
                let Some(server) = self.membership.receive(now, from, &bytes, effects) else { return false };
                let news = self.is_news(&server);
                if news {
                    self.membership.answer(now, &server);
                }
                return (news || self.elections.values().any(Election::awaits_echoes)) && self.considers(now);
            }
            Input::Refused { to } => {
                let suspected = self.membership.refused(now, to, effects);
                return suspected.is_some_and(|server| self.is_news(&server));
            }
            Input::Interfaces(interfaces) => {
                let fresh = self.links.take_interfaces(interfaces);
                for election in self.elections.values_mut() {
                    let mut here = election.wished().filter_map(|address| self.aliases.interface(address));
                    if here.any(|interface| fresh.contains(&interface)) {
                        drop(here);
                        election.announce_anew(now);
                    }
                }
                self.choose_links(effects);
            }
            Input::Gateways(gateways) => self.links.take_gateways(gateways),
            Input::Address { address, outcome } => {
                self.note_address(now, address, &outcome, effects);
                return self.considers(now);
            }
            Input::Duplicate { address, check } => {
                self.elections.values_mut().for_each(|election| election.duplicate(now, address, check, effects));
                return self.considers(now);
            }
            Input::Rival { address, mac } => {
                for election in self.elections.values_mut() {
                    election.rival_on_the_wire(now, address, mac, &mut self.counters, effects);
                }
                return self.considers(now);
            }
            Input::Holder { address, answer } => {
                for election in self.elections.values_mut() {
                    election.wire_answered(address, answer);
                }
                return self.considers(now);
            }
            Input::Witness { address: _, reachable } => self.partition.take_answer(now, reachable),
            Input::Probe { monitor, result, took } => {
                let on_duty = !self.duty.standby && self.duty.resigning.is_none();
                return self.monitors.take(now, &monitor, (&result, took), on_duty, effects);
            }
            Input::ListenerClosed { port } => {
                self.note_closed_port(now, port, effects);
                return false;
            }
            Input::HookDone { id, report } => self.note_hook(&id, report, effects),
            Input::RecoveryDone { id, report } => self.monitors.recovery_ran(now, &id, report, effects),
            Input::Configure(config) => {
                self.configure(now, config, effects);
                self.choose_links(effects);
            }
            Input::Keys(keys) => {
                self.membership.set_keys(keys);
                return false;
            }
            Input::Command(command) => self.obey(now, &command, effects),
        }
        true
    }

    fn note_address(&mut self, now: Instant, address: IpAddr, outcome: &AddressOutcome, effects: &mut Effects) {
        match self.aliases.take(now, address, outcome) {
            News::Nothing => {}
            News::Confirmed { restored } => {
                for election in self.elections.values_mut() {
                    election.confirmed(now, address, restored, effects);
                }
            }
            News::Refused(reason) => {
                for election in self.elections.values_mut() {
                    election.refused(now, address, reason.clone(), &mut self.counters, effects);
                }
            }
            News::Lost => {
                let mut elections = self.elections.values_mut();
                // Like one who overslept: others' words may be waiting.
                if elections.any(|election| election.lost(now, address, &mut self.counters, effects)) {
                    self.listen_as_newcomer(now);
                }
            }
        }
    }

    /// A hint: probes confirm it.
    fn note_closed_port(&mut self, now: Instant, port: u16, effects: &mut Effects) {
        for monitor in self.monitors.suspect(now, port) {
            effects.push(Effect::ProbeNow(monitor));
        }
    }

    /// Recorded also where the virtual host has been removed meanwhile.
    fn note_hook(&mut self, id: &HookId, report: HookReport, effects: &mut Effects) {
        let (virtual_host, moment) = (id.virtual_host.clone(), id.moment);
        effects.record(Event::HookRan { virtual_host, moment, report: report.clone() });
        if let Some(election) = self.elections.get_mut(&id.virtual_host) {
            election.hook_done(id, report);
        }
    }

    fn configure(&mut self, now: Instant, config: Arc<ClusterConfig>, effects: &mut Effects) {
        if config.digest != self.config.digest {
            self.serial = self.serial.saturating_add(1);
        }
        effects.record(Event::ConfigurationApplied { digest: config.digest });
        self.membership.reconfigure(now, config.clone());
        self.monitors.reconfigure(now, &self.me, &config, &self.company, effects);
        let criteria = |(name, spec): (&VirtualHostName, _)| (name.clone(), Criterion::of(name, spec));
        self.criteria = config.virtual_hosts.iter().map(criteria).collect();
        self.shared.reconfigure(&config, |name| self.criteria.get(name).map_or(0, Vec::len));
        for (name, election) in &mut self.elections {
            match config.virtual_hosts.get(name) {
                Some(spec) => election.reconfigure(spec.clone()),
                None => election.retire(),
            }
        }
        for (name, spec) in &config.virtual_hosts {
            let new = || Election::new(now, name.clone(), spec.clone());
            self.elections.entry(name.clone()).or_insert_with(new);
        }
        self.config = config;
    }

    /// How long a planned stop waits: for targets to get ready, and for the kernel.
    fn resign_bound(&self) -> Duration {
        self.heartbeat().interval * 2 + Duration::from_secs(2)
    }
}
