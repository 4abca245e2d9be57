//! The stage: nodes whose effects are carried to each other, and to kernels and wires that answer, in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use cluster::{Command, Effect, Effects, Input, Key, Keys, Node, Settings};
use model::{
    BootId, Instant, MonitorId, ServerName, Subject, VirtualHostName,
    config::{
        ClusterConfig, DnsSettings, Failback, Handling, HeartbeatSettings, Monitor, PartitionPolicy, Server,
        SharedCause, VirtualHost,
        probe::{ProbeKind, TcpProbe},
    },
    event::Event,
    health::LastingHold,
    hook::{HookOrder, HookOutcome, HookReport, RecoveryOrder},
    net::{Interface, InterfaceIndex, MacAddress, Origin},
    report::{AddressOutcome, DuplicateCheck, ProbeResult},
};

/// One way through the network.
const LATENCY: Duration = Duration::from_micros(200);
/// A change of addresses.
const KERNEL: Duration = Duration::from_micros(500);
/// Asking the wire about a duplicate.
const DUPLICATE: Duration = Duration::from_millis(200);

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn name(server: &str) -> ServerName {
    ServerName::new(server)
}

pub fn host(virtual_host: &str) -> VirtualHostName {
    VirtualHostName::new(virtual_host)
}

/// A configuration with these servers, and for each of these words a virtual host: `v1: a b` is held by a, then b.
pub fn config(servers: &str, virtual_hosts: &[&str]) -> ClusterConfig {
    let server = |(index, server): (usize, &str)| {
        let address = ip(&format!("10.77.0.{}", 11 + index));
        (name(server), Server { address, also: Vec::new(), heartbeat: (address, 7946).into() })
    };
    let virtual_host = |(index, word): (usize, &&str)| {
        let (virtual_host, list) = word.split_once(": ").unwrap();
        let spec = VirtualHost {
            addresses: vec![ip(&format!("10.77.0.{}", 101 + index)), ip(&format!("fd00:77::{}", 101 + index))],
            servers: list.split(' ').map(name).collect(),
            failback: Failback::Auto,
            failback_delay: ms(1_000),
            always_active: true,
            hooks: BTreeMap::new(),
            monitors: Vec::new(),
            groups: BTreeMap::new(),
        };
        (host(virtual_host), spec)
    };
    ClusterConfig {
        name: "test".into(),
        digest: 1,
        heartbeat: HeartbeatSettings::default(),
        partition: PartitionPolicy::Availability,
        shared_cause: SharedCause::default(),
        servers: servers.split(' ').enumerate().map(server).collect(),
        virtual_hosts: virtual_hosts.iter().enumerate().map(virtual_host).collect(),
        endpoints: BTreeMap::new(),
        pools: BTreeMap::new(),
        zones: BTreeMap::new(),
        dns: DnsSettings::default(),
        channels: BTreeMap::new(),
    }
}

/// A TCP monitor on port 80 for a virtual host of `config`.
pub fn monitored(mut config: ClusterConfig, virtual_host: &str) -> ClusterConfig {
    config.virtual_hosts.get_mut(&host(virtual_host)).unwrap().monitors.push(Monitor {
        name: "tcp-80".into(),
        kind: ProbeKind::Tcp(TcpProbe::default()),
        port: Some(80),
        interval: ms(1_000),
        recheck: ms(100),
        timeout: ms(1_000),
        rise: 2,
        fall: 2,
        priority: 0,
        note: None,
        handling: Handling::default(),
    });
    config
}

/// One machine.
pub struct Machine {
    pub node: Option<Node>,
    /// The virtual addresses in its kernel.
    pub kernel: BTreeSet<IpAddr>,
    desired: BTreeSet<IpAddr>,
    /// The kernel refuses to add.
    pub refuses_to_add: bool,
    /// The kernel refuses to remove.
    pub refuses_to_remove: bool,
    /// Nobody reaches the virtual addresses in its kernel.
    pub hidden: bool,
    /// It reaches nobody's virtual addresses.
    pub sees_nothing: bool,
    /// It has no route to any endpoint.
    pub no_route: bool,
    /// Not scheduled; its kernel works on.
    pub frozen: bool,
    /// Whether the witnesses answer it.
    pub hears_witness: bool,
    /// How its services answer probes; none: the probes never finish.
    pub service: Option<bool>,
    pub gateways: Vec<IpAddr>,
    boots: u8,
    waiting: Vec<Input>,
    next_probe: BTreeMap<MonitorId, Instant>,
    probes: BTreeMap<MonitorId, Duration>,
    pub said_goodbye: bool,
    /// What its disk keeps of monitors' holds.
    pub holds: BTreeMap<MonitorId, LastingHold>,
    broadcasts: bool,
    /// What its guardian would say.
    pub farewell: Vec<Vec<u8>>,
    /// How long its hooks take, and how they end; none: nothing is ever heard of them.
    pub hooks: Option<(Duration, HookOutcome)>,
}

impl Machine {
    fn new() -> Self {
        Self {
            node: None,
            kernel: BTreeSet::new(),
            desired: BTreeSet::new(),
            refuses_to_add: false,
            refuses_to_remove: false,
            hidden: false,
            sees_nothing: false,
            no_route: false,
            frozen: false,
            hears_witness: true,
            service: Some(true),
            gateways: Vec::new(),
            boots: 0,
            waiting: Vec::new(),
            next_probe: BTreeMap::new(),
            probes: BTreeMap::new(),
            said_goodbye: false,
            holds: BTreeMap::new(),
            broadcasts: false,
            farewell: Vec::new(),
            hooks: Some((ms(1), HookOutcome::Succeeded)),
        }
    }
}

/// What happened, when, where.
#[derive(Debug)]
pub enum Happening {
    Event(Event),
    Added(IpAddr),
    Removed(IpAddr),
    Announced(BTreeSet<IpAddr>),
    Asked,
    ProbedAtOnce,
    Hook(HookOrder),
    Recovery(RecoveryOrder),
}

/// Everything.
pub struct Stage {
    pub now: Instant,
    pub config: Arc<ClusterConfig>,
    pub machines: BTreeMap<ServerName, Machine>,
    pub log: Vec<(Instant, ServerName, Happening)>,
    /// Directed: datagrams from the first to the second are lost.
    cut: BTreeSet<(ServerName, ServerName)>,
    /// Addresses that strangers on the wire have.
    pub strangers: BTreeMap<IpAddr, MacAddress>,
    queue: BTreeMap<(Instant, u64), (ServerName, u8, Input)>,
    sequence: u64,
}

impl Stage {
    /// Machines without daemons.
    pub fn new(config: ClusterConfig) -> Self {
        let machines = config.servers.keys().map(|name| (name.clone(), Machine::new())).collect();
        Self {
            now: Instant::from_nanos(3_600_000_000_000),
            config: Arc::new(config),
            machines,
            log: Vec::new(),
            cut: BTreeSet::new(),
            strangers: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// All daemons run, and everything has settled.
    pub fn settled(config: ClusterConfig) -> Self {
        let mut stage = Self::new(config);
        for name in stage.machines.keys().cloned().collect::<Vec<_>>() {
            stage.start(name.as_str());
        }
        stage.run(ms(3_000));
        stage.log.clear();
        stage
    }

    pub fn machine(&mut self, server: &str) -> &mut Machine {
        self.machines.get_mut(&name(server)).unwrap()
    }

    pub fn node(&self, server: &str) -> &Node {
        self.machines[&name(server)].node.as_ref().unwrap()
    }

    /// Starts a daemon; what an earlier run left in the kernel is swept by the new one's first wish.
    pub fn start(&mut self, server: &str) {
        let (now, config) = (self.now, self.config.clone());
        let machine = self.machine(server);
        let holds = machine.holds.clone();
        machine.boots += 1;
        machine.said_goodbye = false;
        machine.broadcasts = false;
        machine.probes.clear();
        machine.next_probe.clear();
        machine.desired = machine.kernel.clone();
        let mut boot = [machine.boots; 16];
        boot[0] = server.as_bytes()[0];
        let keys = Keys::new(Key::from_bytes(&[7; 32]).unwrap());
        let settings =
            Settings { name: name(server), boot: BootId(boot), keys, serial: 1, config, ethernet: true, holds };
        let mut effects = Effects::new();
        let gateways = machine.gateways.clone();
        machine.node = Some(Node::new(now, settings, &mut effects));
        self.execute(&name(server), effects);
        self.input(server, Input::Interfaces(self.interfaces(server)));
        self.input(server, Input::Gateways(gateways));
    }

    pub fn interfaces(&self, server: &str) -> Vec<Interface> {
        let address = self.config.servers[&name(server)].address;
        vec![Interface {
            index: InterfaceIndex(2),
            name: "eth0".into(),
            mac: MacAddress([2, 0, 0, 0, 0, server.as_bytes()[0]]),
            up: true,
            own: vec![format!("{address}/24").parse().unwrap(), format!("fd00:77::{server}/64").parse().unwrap()],
        }]
    }

    /// The daemon dies; its host goes on without the addresses (the guardian's and the kernel lease's work).
    pub fn kill(&mut self, server: &str) {
        let machine = self.machine(server);
        machine.node = None;
        machine.kernel.clear();
        machine.boots += 1;
    }

    pub fn command(&mut self, server: &str, command: Command) {
        self.input(server, Input::Command(command));
    }

    /// One direction, or with [`Self::part`] both.
    pub fn cut(&mut self, from: &str, to: &str) {
        self.cut.insert((name(from), name(to)));
    }

    pub fn part(&mut self, one: &str, other: &str) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// A server's host is cut off from everything.
    pub fn isolate(&mut self, server: &str) {
        for other in self.machines.keys().cloned().collect::<Vec<_>>() {
            self.part(server, other.as_str());
        }
        self.machine(server).hears_witness = false;
    }

    pub fn reload(&mut self, server: &str, config: ClusterConfig) {
        self.config = Arc::new(config);
        self.input(server, Input::Configure(self.config.clone()));
    }

    /// Hands an input over at once, overdue deadlines first.
    pub fn input(&mut self, server: &str, input: Input) {
        let (now, server) = (self.now, name(server));
        let machine = self.machines.get_mut(&server).unwrap();
        if machine.frozen {
            machine.waiting.push(input);
            return;
        }
        let Some(node) = &mut machine.node else { return };
        let mut effects = Effects::new();
        for input in [Input::Deadline, input] {
            if input != Input::Deadline || node.next_deadline().is_some_and(|(at, _)| at <= now) {
                node.handle(now, input, &mut effects);
            }
        }
        let next = node.next_deadline();
        assert!(next.as_ref().is_none_or(|(at, _)| *at > now), "{server} left a deadline behind: {next:?}");
        self.execute(&server, effects);
    }

    /// The leases of all its addresses run out, and its host part says so.
    pub fn lose_leases(&mut self, server: &str) {
        for address in std::mem::take(&mut self.machine(server).kernel) {
            self.happened(&name(server), Happening::Removed(address));
            self.input(server, Input::Address { address, outcome: AddressOutcome::Lost });
        }
    }

    /// Freezes a daemon for a while: what arrives meanwhile waits in its socket.
    pub fn freeze(&mut self, server: &str, span: Duration) {
        self.machine(server).frozen = true;
        self.run(span);
        let machine = self.machine(server);
        machine.frozen = false;
        for input in std::mem::take(&mut machine.waiting) {
            self.input(server, input);
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something is so, at most a minute; returns how long it took.
    pub fn until(&mut self, what: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !what(self) {
            assert!(self.now.since(start) < ms(60_000), "it did not come to that in a minute");
            self.now = self.next().expect("somebody lives").max(self.now);
            self.step();
        }
        self.now.since(start)
    }

    fn next(&self) -> Option<Instant> {
        let machines = self.machines.values().filter(|machine| !machine.frozen && machine.node.is_some());
        let deadlines = machines.flat_map(|machine| {
            let deadline = machine.node.as_ref().and_then(Node::next_deadline).map(|(at, _)| at);
            deadline.into_iter().chain(machine.next_probe.values().copied())
        });
        deadlines.chain(self.queue.keys().next().map(|(at, _)| *at)).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while self.queue.keys().next().is_some_and(|(at, _)| *at <= now) {
            let (_, (to, boots, input)) = self.queue.pop_first().unwrap();
            if self.machines[&to].boots == boots {
                self.input(to.as_str(), input);
            }
        }
        for server in self.machines.keys().cloned().collect::<Vec<_>>() {
            self.input(server.as_str(), Input::Deadline);
            self.probe(&server);
        }
    }

    fn probe(&mut self, server: &ServerName) {
        let now = self.now;
        let machine = &self.machines[server];
        let due: Vec<MonitorId> =
            machine.next_probe.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for monitor in due {
            let machine = self.machines.get_mut(server).unwrap();
            let interval = machine.probes[&monitor];
            machine.next_probe.insert(monitor.clone(), now + interval);
            let no_route = machine.no_route && matches!(monitor.subject, Subject::Endpoint(..));
            let result = match self.service(server, &monitor) {
                None => continue,
                Some(_) if no_route => ProbeResult::NoRoute,
                Some(true) => ProbeResult::Success,
                Some(false) => ProbeResult::Failure("connection refused".into()),
            };
            self.later(server, LATENCY, Input::Probe { monitor, result, took: None });
        }
    }

    /// What a probe finds.
    fn service(&self, server: &ServerName, monitor: &MonitorId) -> Option<bool> {
        let Subject::Held(_, address, _) = &monitor.subject else { return self.machines[server].service };
        let machines = self.machines.iter();
        let there =
            machines.filter(|(_, machine)| machine.kernel.contains(address)).find(|(_, machine)| !machine.hidden);
        let hidden = self.machines[server].sees_nothing;
        Some(there.is_some_and(|(_, machine)| !hidden && machine.service == Some(true)))
    }

    fn later(&mut self, to: &ServerName, delay: Duration, input: Input) {
        self.sequence += 1;
        let boots = self.machines[to].boots;
        self.queue.insert((self.now + delay, self.sequence), (to.clone(), boots, input));
    }

    fn happened(&mut self, server: &ServerName, happening: Happening) {
        self.log.push((self.now, server.clone(), happening));
    }

    fn execute(&mut self, server: &ServerName, mut effects: Effects) {
        for effect in effects.drain().collect::<Vec<_>>() {
            match effect {
                Effect::Send { to, datagram } => {
                    if !self.cut.contains(&(server.clone(), to.clone())) {
                        let from = self.config.servers[server].heartbeat;
                        self.later(&to, LATENCY, Input::Datagram { from: from.into(), bytes: datagram });
                    }
                }
                Effect::Ethernet(links) => self.machine(server.as_str()).broadcasts = !links.is_empty(),
                Effect::Broadcast(datagram) => {
                    assert!(self.machines[server].broadcasts, "nobody broadcasts before a link is chosen");
                    let mac = MacAddress([2, 0, 0, 0, 0, server.as_str().as_bytes()[0]]);
                    let from = Origin::Ethernet { interface: InterfaceIndex(2), mac };
                    let others: Vec<_> = self.machines.keys().filter(|other| *other != server).cloned().collect();
                    for to in others {
                        if !self.cut.contains(&(server.clone(), to.clone())) {
                            self.later(&to, LATENCY, Input::Datagram { from, bytes: datagram.clone() });
                        }
                    }
                }
                Effect::Addresses(wish) => self.change_addresses(server, wish.into_keys().collect()),
                Effect::Announce(addresses) => {
                    self.happened(server, Happening::Announced(addresses.into_keys().collect()));
                }
                Effect::CheckDuplicate { address, .. } => {
                    self.happened(server, Happening::Asked);
                    let check = match self.who_answers(server, address) {
                        Some(mac) => DuplicateCheck::InUse(mac),
                        None => DuplicateCheck::Free,
                    };
                    self.later(server, DUPLICATE, Input::Duplicate { address, check });
                }
                Effect::AskHolder { addresses, patience } => {
                    for address in addresses.into_keys() {
                        let answer = self.who_answers(server, address);
                        let delay = if answer.is_some() { LATENCY * 2 } else { patience };
                        self.later(server, delay, Input::Holder { address, answer });
                    }
                }
                Effect::AskWitnesses { witnesses, patience } => {
                    let reachable = self.machines[server].hears_witness;
                    let delay = if reachable { LATENCY * 2 } else { patience };
                    for address in witnesses.into_keys() {
                        self.later(server, delay, Input::Witness { address, reachable });
                    }
                }
                Effect::Probes(orders) => {
                    let now = self.now;
                    let machine = self.machines.get_mut(server).unwrap();
                    machine.probes = orders.into_iter().map(|(id, order)| (id, order.interval)).collect();
                    machine.next_probe.retain(|id, _| machine.probes.contains_key(id));
                    for (id, interval) in &machine.probes {
                        let next = machine.next_probe.entry(id.clone()).or_insert(now);
                        *next = (*next).min(now + *interval);
                    }
                }
                Effect::Health(_) => {}
                Effect::Keep(holds) => self.machine(server.as_str()).holds = holds,
                Effect::RunHook(order) => self.run_hook(server, order),
                Effect::RunRecovery(order) => self.run_recovery(server, order),
                Effect::Farewell(datagrams) => self.machine(server.as_str()).farewell = datagrams,
                Effect::Record(event) => self.happened(server, Happening::Event(event)),
                Effect::ProbeNow(monitor) => {
                    self.happened(server, Happening::ProbedAtOnce);
                    let now = self.now;
                    // One that is under way is begun anew.
                    self.queue.retain(|_, (to, _, input)| {
                        to != server || !matches!(input, Input::Probe { monitor: of, .. } if *of == monitor)
                    });
                    self.machine(server.as_str()).next_probe.insert(monitor, now);
                }
                Effect::Goodbye => self.machine(server.as_str()).said_goodbye = true,
            }
        }
    }

    fn run_hook(&mut self, server: &ServerName, order: HookOrder) {
        self.happened(server, Happening::Hook(order.clone()));
        let Some((takes, outcome)) = self.machines[server].hooks else { return };
        let report = HookReport::without_run(outcome, outcome.word());
        self.later(server, takes, Input::HookDone { id: order.id, report });
    }

    fn run_recovery(&mut self, server: &ServerName, order: RecoveryOrder) {
        self.happened(server, Happening::Recovery(order.clone()));
        let Some((takes, outcome)) = self.machines[server].hooks else { return };
        let report = HookReport::without_run(outcome, outcome.word());
        self.later(server, takes, Input::RecoveryDone { id: order.id, report });
    }

    fn change_addresses(&mut self, server: &ServerName, wish: BTreeSet<IpAddr>) {
        let machine = self.machines.get_mut(server).unwrap();
        let owed: BTreeSet<IpAddr> = machine.desired.symmetric_difference(&wish).copied().collect();
        let retried: BTreeSet<IpAddr> = machine.kernel.symmetric_difference(&wish).copied().collect();
        machine.desired = wish.clone();
        for address in owed.union(&retried).copied().collect::<Vec<_>>() {
            let machine = self.machines.get_mut(server).unwrap();
            let refuses_to_remove = machine.refuses_to_remove && machine.kernel.contains(&address);
            let outcome = match (wish.contains(&address), machine.refuses_to_add, refuses_to_remove) {
                (true, true, _) | (false, _, true) => AddressOutcome::Failed("operation not permitted".into()),
                (true, false, _) => {
                    let new = machine.kernel.insert(address);
                    if new {
                        self.happened(server, Happening::Added(address));
                    }
                    AddressOutcome::Present
                }
                (false, _, false) => {
                    if machine.kernel.remove(&address) {
                        self.happened(server, Happening::Removed(address));
                    }
                    AddressOutcome::Absent
                }
            };
            self.later(server, KERNEL, Input::Address { address, outcome });
        }
    }

    /// Whose kernel answers for an address, over a wire that works in both directions.
    fn who_answers(&self, asker: &ServerName, address: IpAddr) -> Option<MacAddress> {
        let cut = |from: &ServerName, to: &ServerName| self.cut.contains(&(from.clone(), to.clone()));
        let answers = |(name, machine): &(&ServerName, &Machine)| {
            *name != asker && machine.kernel.contains(&address) && !cut(name, asker) && !cut(asker, name)
        };
        let holder = self.machines.iter().find(answers);
        let mac = holder.map(|(name, _)| MacAddress([2, 0, 0, 0, 0, name.as_str().as_bytes()[0]]));
        mac.or(self.strangers.get(&address).copied())
    }

    /// Whose kernels have all of a virtual host's addresses.
    pub fn holders(&self, virtual_host: &str) -> String {
        let spec = &self.config.virtual_hosts[&host(virtual_host)];
        let has = |machine: &Machine| spec.addresses.iter().all(|address| machine.kernel.contains(address));
        let names: Vec<&str> =
            self.machines.iter().filter(|(_, machine)| has(machine)).map(|(name, _)| name.as_str()).collect();
        names.join(" ")
    }

    /// The events of one server since the log was last cleared, without those about peers' silence.
    pub fn events(&self, server: &str) -> Vec<&Event> {
        let of = self.log.iter().filter(|(_, name, _)| name.as_str() == server);
        of.filter_map(|(_, _, happening)| match happening {
            Happening::Event(event) => Some(event),
            Happening::Added(_)
            | Happening::Removed(_)
            | Happening::Announced(_)
            | Happening::Asked
            | Happening::ProbedAtOnce
            | Happening::Hook(_)
            | Happening::Recovery(_) => None,
        })
        .collect()
    }

    /// How often an address was added to, or removed from, any kernel.
    pub fn changes(&self) -> usize {
        self.log.iter().filter(|(_, _, it)| matches!(it, Happening::Added(_) | Happening::Removed(_))).count()
    }

    /// Who announced an address last.
    pub fn last_word(&self, address: IpAddr) -> Option<&str> {
        let said = |happening: &Happening| match happening {
            Happening::Announced(addresses) => addresses.contains(&address),
            Happening::Event(_)
            | Happening::Added(_)
            | Happening::Removed(_)
            | Happening::Asked
            | Happening::ProbedAtOnce
            | Happening::Hook(_)
            | Happening::Recovery(_) => false,
        };
        self.log.iter().rev().find(|(_, _, happening)| said(happening)).map(|(_, server, _)| server.as_str())
    }
}
