//! One machine of a scenario: interface, kernel, services, and the shipped node on it. It does what the host part of
//! the daemon does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use cluster::{Effects, Input, Key, Keys, Node, Settings};
use dns::{View, Zones};
use model::{
    BootId, EndpointName, Health, Instant, MonitorId, ServerName, Subject, VirtualHostName,
    config::ClusterConfig,
    net::{Interface, InterfaceIndex, MacAddress, Prefix},
    report::{AddressOutcome, ProbeOrder},
};

use super::story::Service;

/// Datagrams that wait for a daemon that does not read; more are lost.
const SOCKET_BUFFER: usize = 256;

pub(crate) struct Machine {
    pub(crate) name: ServerName,
    number: u8,
    /// The configuration on its disk.
    pub(crate) config: Arc<ClusterConfig>,
    pub(crate) powered: bool,
    pub(crate) carrier: bool,
    /// The router answers it.
    pub(crate) router: bool,
    /// Nobody reaches its virtual addresses.
    pub(crate) hidden: bool,
    /// The whole machine stands still.
    pub(crate) frozen: bool,
    /// The virtual addresses that its kernel has.
    pub(crate) kernel: BTreeSet<IpAddr>,
    pub(crate) services: BTreeMap<VirtualHostName, Service>,
    /// What one monitor alone looks at.
    pub(crate) monitors: BTreeMap<MonitorId, Service>,
    /// How endpoints do, as this machine sees them.
    pub(crate) endpoints: BTreeMap<EndpointName, Service>,
    pub(crate) process: Option<Process>,
    runs: u8,
}

/// A daemon.
pub(crate) struct Process {
    pub(crate) run: u8,
    pub(crate) node: Node,
    /// It has chosen a link to broadcast on.
    pub(crate) broadcasts: bool,
    /// It stands still.
    pub(crate) frozen: bool,
    pub(crate) backlog: VecDeque<Input>,
    pub(crate) wished: BTreeMap<IpAddr, InterfaceIndex>,
    /// What the kernel has been asked for and has not answered.
    asked: BTreeSet<IpAddr>,
    /// The kernel will look at that.
    pub(crate) kernel_called: bool,
    pub(crate) probes: BTreeMap<MonitorId, Probe>,
    pub(crate) health: Arc<Health>,
    pub(crate) zones: Arc<Zones>,
    /// What its DNS last said, by pool.
    pub(crate) answers: BTreeMap<String, String>,
    /// For when it is to be woken.
    pub(crate) wake: Option<Instant>,
}

/// A probe in force, and how many orders it had.
pub(crate) struct Probe {
    pub(crate) order: ProbeOrder,
    pub(crate) generation: u32,
}

impl Machine {
    pub(crate) fn new(number: u8, name: ServerName, config: Arc<ClusterConfig>) -> Self {
        Self {
            name,
            number,
            config,
            powered: true,
            carrier: true,
            router: true,
            hidden: false,
            frozen: false,
            kernel: BTreeSet::new(),
            services: BTreeMap::new(),
            monitors: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            process: None,
            runs: 0,
        }
    }

    /// What its own clock shows: it was booted so many hours earlier than the scenario began.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        now + self.uptime()
    }

    /// When its own clock will show `local`.
    pub(crate) fn global(&self, local: Instant) -> Instant {
        local - self.uptime()
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(3_600) * u32::from(self.number)
    }

    /// Starts the daemon, which first removes what an earlier run left behind.
    pub(crate) fn start(&mut self, now: Instant, zones: Arc<Zones>) -> Effects {
        self.powered = true;
        self.runs += 1;
        self.kernel.clear();
        let mut boot = [0; 16];
        (boot[0], boot[3]) = (self.number, self.runs);
        let key = Key::from_bytes(b"the secret of all the scenarios!").expect("32 bytes");
        let settings = Settings {
            name: self.name.clone(),
            boot: BootId(boot),
            keys: Keys::new(key),
            serial: 1,
            config: self.config.clone(),
            ethernet: true,
            holds: BTreeMap::new(),
        };
        let mut effects = Effects::new();
        let node = Node::new(self.local(now), settings, &mut effects);
        self.process = Some(Process {
            run: self.runs,
            health: node.health().clone(),
            node,
            broadcasts: false,
            frozen: false,
            backlog: VecDeque::new(),
            wished: BTreeMap::new(),
            asked: BTreeSet::new(),
            kernel_called: false,
            probes: BTreeMap::new(),
            zones,
            answers: BTreeMap::new(),
            wake: None,
        });
        effects
    }

    /// The daemon is gone, and so is what its host part removes on its way out, or the power takes.
    pub(crate) fn end(&mut self) {
        self.process = None;
        self.kernel.clear();
    }

    pub(crate) fn mac(&self) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, self.number])
    }

    /// What its kernel reports of its interface.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        let prefix = |address: IpAddr| Prefix { address, length: if address.is_ipv4() { 24 } else { 64 } };
        vec![Interface {
            index: InterfaceIndex(2),
            name: "eth0".into(),
            mac: self.mac(),
            up: self.carrier,
            own: self.config.servers[&self.name].addresses().map(prefix).collect(),
        }]
    }

    /// It can send and receive.
    pub(crate) fn is_on_the_wire(&self) -> bool {
        self.powered && self.carrier
    }

    /// The router answers it.
    pub(crate) fn reaches_the_router(&self) -> bool {
        self.is_on_the_wire() && self.router
    }

    /// Its kernel answers for an address.
    pub(crate) fn answers_for(&self, address: IpAddr) -> bool {
        self.is_on_the_wire() && !self.frozen && self.kernel.contains(&address)
    }

    /// The kernel does what is wished.
    pub(crate) fn work(&mut self) -> Vec<(IpAddr, AddressOutcome)> {
        let Some(process) = &mut self.process else { return Vec::new() };
        process.kernel_called = false;
        let mut outcomes = Vec::new();
        for address in std::mem::take(&mut process.asked) {
            if process.wished.contains_key(&address) {
                self.kernel.insert(address);
                outcomes.push((address, AddressOutcome::Present));
            } else {
                self.kernel.remove(&address);
                outcomes.push((address, AddressOutcome::Absent));
            }
        }
        outcomes
    }

    /// How the service does that a monitor looks at.
    pub(crate) fn service(&self, monitor: &MonitorId) -> Service {
        if let Some(service) = self.monitors.get(monitor) {
            return *service;
        }
        match &monitor.subject {
            Subject::VirtualHost(name) => self.services.get(name).copied().unwrap_or(Service::Works),
            Subject::Endpoint(name, _) => self.endpoints.get(name).copied().unwrap_or(Service::Works),
            // Tried on another machine.
            Subject::Held(..) => Service::Hangs,
        }
    }
}

impl Process {
    /// Keeps what arrives while it stands still.
    pub(crate) fn keep(&mut self, input: Input) {
        if self.backlog.len() < SOCKET_BUFFER {
            self.backlog.push_back(input);
        }
    }

    /// Other addresses are wished. Returns whether the kernel has to be called.
    pub(crate) fn wish(&mut self, wished: BTreeMap<IpAddr, InterfaceIndex>) -> bool {
        let earlier = std::mem::replace(&mut self.wished, wished);
        let is_news = |address: &&IpAddr| self.wished.contains_key(*address) != earlier.contains_key(*address);
        self.asked.extend(earlier.keys().chain(self.wished.keys()).filter(is_news));
        !self.asked.is_empty() && !std::mem::replace(&mut self.kernel_called, true)
    }

    /// What its DNS answers from.
    pub(crate) fn view(&self, identity: &ServerName) -> View {
        View::build(&self.zones, &self.health, identity.as_str())
    }
}
