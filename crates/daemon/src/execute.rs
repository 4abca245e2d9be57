//! Effects become calls, one to one. Nothing here waits, but where the driver says so: sending is a non-blocking `sendto`,
//! the others hand a wish or an order to a thread that carries it out and reports the outcome.
//!
//! Deliberately not here: any decision, and any knowledge of what an effect is for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use cluster::{Effect, Input};
use dns::Zones;
use host::{
    address::Addresses,
    bell::Bell,
    echo::Echo,
    ether::Ether,
    guardian::Ward,
    heartbeat::{Heard, Heartbeats},
    hook::Hooks,
    listeners::Listeners,
    probe::Probes,
    wire::Wire,
};
use model::{
    Health, ServerName,
    config::ClusterConfig,
    event::Event,
    net::{InterfaceIndex, WitnessWay},
    pulse,
    report::{AddressOutcome, DuplicateCheck},
};
use tokio::sync::watch;

use crate::{
    driver::Execute, holds::Holds, journal::Gathered, metrics::Metrics, publish::Publisher, recorder::Recorder,
};

/// The machine's modules, as the driver uses them.
pub(crate) struct Hands {
    /// The tie to the guardian; none where nobody guards.
    pub ward: Option<Ward>,
    /// After so much silence peers take this server for dead.
    pub detection: Duration,
    /// This server: gets no farewell, and hooks are told its name.
    pub this: ServerName,
    /// Where each server receives heartbeats.
    pub peers: BTreeMap<ServerName, SocketAddr>,
    /// The paths that heartbeats take.
    pub heartbeats: Heartbeats,
    /// The kernel's addresses; none where this process may not change them.
    pub addresses: Option<Addresses>,
    /// ARP and neighbour discovery; none likewise.
    pub wire: Option<Wire>,
    /// Witnesses beyond the link.
    pub echo: Echo,
    /// Monitors' probes.
    pub probes: Arc<Probes>,
    /// Tells when a monitored port closes; none where the kernel does not.
    pub listeners: Option<Listeners>,
    /// DNS answers.
    pub publisher: Publisher,
    /// What of monitors' holds outlives this daemon.
    pub holds: Holds,
    /// The log.
    pub journal: Gathered,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Heartbeats are written down here.
    pub recorder: Recorder,
    /// How late the deadline was handled for which is sent.
    pub late: Duration,
    /// Becomes true with the core's goodbye.
    pub goodbye: watch::Sender<bool>,
    /// Operators' programs. Last, because its end waits for them, and by then the addresses are gone.
    pub hooks: Hooks,
}

/// Heartbeat addresses of a configuration.
pub(crate) fn peers(config: &ClusterConfig) -> BTreeMap<ServerName, SocketAddr> {
    config.servers.iter().map(|(name, server)| (name.clone(), server.heartbeat)).collect()
}

impl Execute for Hands {
    fn beat(&self) -> Duration {
        if let Some(addresses) = &self.addresses {
            addresses.feed();
        }
        if let Some(ward) = &self.ward {
            ward.beat(self.detection);
        }
        // The guardian acts after 60 % of it.
        self.detection / pulse::BEATS
    }

    fn run_late(&mut self, late: Duration) {
        self.late = late;
    }

    fn execute(&mut self, effect: Effect, outcomes: &mut VecDeque<Input>) {
        match effect {
            Effect::Send { to, datagram } => self.send(&to, &datagram),
            Effect::Ethernet(interfaces) => self.share(interfaces),
            Effect::Broadcast(datagram) => self.broadcast(&datagram),
            Effect::Farewell(datagrams) => self.leave_farewell(datagrams),
            Effect::Addresses(desired) => self.hold(desired, outcomes),
            Effect::Announce(addresses) => {
                if let Some(wire) = &self.wire {
                    wire.announce(addresses);
                }
            }
            // Silence is what somebody hears who may not listen, too.
            Effect::CheckDuplicate { address, interface } => match &self.wire {
                Some(wire) => wire.check_duplicate(address, interface),
                None => outcomes.push_back(Input::Duplicate { address, check: DuplicateCheck::Free }),
            },
            Effect::AskHolder { addresses, patience } => match &self.wire {
                Some(wire) => wire.ask_holder(addresses, patience),
                None => {
                    outcomes.extend(addresses.into_keys().map(|address| Input::Holder { address, answer: None }));
                }
            },
            Effect::AskWitnesses { witnesses, patience } => {
                for (address, way) in witnesses {
                    match (way, &self.wire) {
                        (WitnessWay::Routed { from }, _) => self.echo.ask_witness(address, from, patience),
                        (WitnessWay::OnLink(interface), Some(wire)) => wire.ask_witness(address, interface, patience),
                        (WitnessWay::OnLink(_), None) => {
                            outcomes.push_back(Input::Witness { address, reachable: false })
                        }
                    }
                }
            }
            Effect::Probes(desired) => {
                // Monitors try this very server, so the ports are local ones.
                self.watch_ports(desired.values().filter_map(|order| order.port).collect());
                self.probes.set(desired);
            }
            Effect::ProbeNow(monitor) => self.probes.now(&monitor),
            Effect::Keep(holds) => self.holds.set(holds),
            Effect::RunHook(order) => {
                let id = order.id.clone();
                if let Err(report) = self.hooks.run(crate::hooks::task(order, &self.this)) {
                    outcomes.push_back(Input::HookDone { id, report });
                }
            }
            Effect::RunRecovery(order) => {
                let id = order.id.clone();
                if let Err(report) = self.hooks.run(crate::hooks::recovery_task(order, &self.this)) {
                    outcomes.push_back(Input::RecoveryDone { id, report });
                }
            }
            Effect::Health(health) => self.publisher.set(health),
            Effect::Record(event) => {
                if let Event::PeerAlive { server, boot } = &event {
                    self.recorder.know_run(boot, server);
                }
                self.journal.add(event);
            }
            Effect::Goodbye => {
                self.goodbye.send_replace(true);
            }
        }
    }

    fn told(&mut self) {
        if self.journal.record() {
            self.publisher.generation.next();
        }
    }

    fn configure(&mut self, config: &ClusterConfig, zones: Arc<Zones>) {
        self.peers = peers(config);
        self.recorder.know_peers(&self.peers);
        self.detection = config.heartbeat.detection();
        self.publisher.stage(zones);
    }

    fn published(&mut self, health: Arc<Health>) {
        self.publisher.set(health);
    }

    fn begin(&mut self, bell: &Bell) {
        self.heartbeats.forget(bell);
    }

    fn hear(&mut self) -> Option<Input> {
        self.heartbeats.hear().map(|heard| match heard {
            Heard::Datagram { from, bytes } => Input::Datagram { from, bytes },
            Heard::Refused { to } => Input::Refused { to },
        })
    }

    fn wait(&mut self, bell: &Bell, patience: Duration) {
        self.heartbeats.wait(bell, patience);
    }

    fn dropped(&mut self) -> u64 {
        self.heartbeats.dropped()
    }
}

impl Hands {
    /// Leaves with the guardian what it says when this process cannot any more.
    fn leave_farewell(&self, datagrams: Vec<Vec<u8>>) {
        if let Some(ward) = &self.ward {
            let peers = self.peers.iter().filter(|(name, _)| **name != self.this);
            let interfaces = self.heartbeats.ether().map(Ether::interfaces).unwrap_or_default();
            ward.farewell(datagrams, peers.map(|(_, address)| *address).collect(), interfaces);
        }
    }

    /// The guardian knows before the kernel may have them; the wire's watch is on before others can object.
    fn hold(&self, desired: BTreeMap<IpAddr, InterfaceIndex>, outcomes: &mut VecDeque<Input>) {
        let Some(addresses) = &self.addresses else {
            let outcome = AddressOutcome::Failed("this process may not change addresses".into());
            let refused = |address| Input::Address { address, outcome: outcome.clone() };
            return outcomes.extend(desired.into_keys().map(refused));
        };
        if let Some(ward) = &self.ward {
            ward.wish(&desired);
        }
        if let Some(wire) = &self.wire {
            wire.watch(desired.clone());
        }
        addresses.set(desired);
    }

    /// Where the kernel will not tell, probes alone notice, at their intervals: said once.
    fn watch_ports(&self, ports: BTreeSet<u16>) {
        if let Some(Err(error)) = self.listeners.as_ref().map(|listeners| listeners.watch(ports)) {
            tracing::warn!(%error, "the kernel does not tell when a port closes; services are probed at intervals only");
        }
    }

    fn broadcast(&self, datagram: &[u8]) {
        if let Some(sent) = self.heartbeats.ether().map(|ether| ether.broadcast(datagram).is_ok()) {
            self.recorder.sent(host::clock::now(), None, datagram, sent, self.late);
            self.metrics.send_errors.inc_by(u64::from(!sent));
        }
    }

    /// The links on which other servers hear a broadcast.
    fn share(&self, interfaces: BTreeSet<InterfaceIndex>) {
        let Some(ether) = self.heartbeats.ether() else { return };
        if interfaces.is_empty() {
            tracing::info!(
                "no other server is on an Ethernet link of this machine that is up: heartbeats go by UDP alone"
            );
        }
        ether.set(interfaces);
    }

    /// A heartbeat that the kernel does not take is lost, as on the wire; the next one says it all again.
    fn send(&self, to: &ServerName, datagram: &[u8]) {
        let address = self.peers.get(to).copied();
        let sent = address.is_some_and(|address| self.heartbeats.socket().send(address, datagram).is_ok());
        self.metrics.send_errors.inc_by(u64::from(!sent));
        if address.is_some() {
            self.recorder.sent(host::clock::now(), address, datagram, sent, self.late);
        }
    }
}

impl Drop for Hands {
    /// Runs before the modules end: what they wait for must not look like a hang. After a panic it may: then whatever does
    /// not end in time is killed.
    fn drop(&mut self) {
        if let Some(ward) = self.ward.as_ref().filter(|_| !std::thread::panicking()) {
            ward.rest();
        }
    }
}
