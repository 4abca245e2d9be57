//! A machine: its clock, its kernel's addresses, its services, and the daemon on it.
//!
//! Addresses belong to the kernel: when the daemon dies or is stopped they stay until their lease ends, and they go with
//! the power.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use cluster::{Effects, Input, Key, Keys, Node, Settings};
use dns::{View, Zones};
use model::{
    BootId, Health, Instant, MonitorId, ServerName,
    config::ClusterConfig,
    health::LastingHold,
    net::{Interface, InterfaceIndex, MacAddress, Prefix},
    report::{AddressOutcome, ProbeOrder},
};

use crate::{
    invariant::truth::Answered,
    plan::own_address,
    world::guard::{Guardian, State},
};

/// Datagrams that a socket keeps for a daemon that does not read; more are lost.
const SOCKET_BUFFER: usize = 256;

/// The kernel keeps an address that nobody renews for so long.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// And up to so much longer: it removes several at a time.
pub(crate) const BATCHING: Duration = Duration::from_millis(1_250);
/// The host part renews all leases together, so often.
const RENEWAL: Duration = Duration::from_millis(500);
/// A lease of that age is not renewed any more: the kernel may have ended it.
const TOO_OLD: Duration = Duration::from_millis(1_900);

/// How a service is not well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ill {
    /// Connections are refused.
    Refuses,
    /// Connections are never answered.
    Hangs,
    /// It works, and not as it should.
    Degraded,
}

/// What is known of the leases of a machine's addresses, which are renewed together.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Lease {
    /// Since when nobody renews them.
    pub(crate) unattended: Option<Instant>,
    /// The last renewal before that.
    renewed: Instant,
    /// Tells an end that was called off.
    pub(crate) number: u32,
}

/// A machine.
pub(crate) struct Machine {
    pub(crate) name: ServerName,
    pub(crate) number: usize,
    /// Its clock shows that much more than the simulation's.
    clock: Duration,
    pub(crate) powered: bool,
    /// Its daemon's heartbeats go by Ethernet, too.
    pub(crate) ethernet: bool,
    /// Its interface has carrier.
    pub(crate) link: bool,
    pub(crate) kernel: BTreeSet<IpAddr>,
    pub(crate) lease: Lease,
    /// So many changes of addresses will be refused.
    pub(crate) refusals: u32,
    /// Nobody reaches its virtual addresses through the wire; heartbeats do.
    pub(crate) hidden: bool,
    /// Services that are not well.
    pub(crate) ill: BTreeMap<MonitorId, Ill>,
    /// Monitors that have had some reason to be down since an operator last forgave them.
    pub(crate) marred: BTreeSet<MonitorId>,
    /// Whether nobody has reached its virtual addresses since then, at some time.
    pub(crate) was_hidden: bool,
    /// Services that fail and work in turns of so long.
    pub(crate) flapping: BTreeMap<MonitorId, Duration>,
    /// What an operator says of monitors, whatever their probes find.
    pub(crate) forced: BTreeMap<MonitorId, bool>,
    /// The highest serial that an earlier run of the daemon knew.
    pub(crate) serial: u32,
    /// What its disk keeps of monitors' holds.
    pub(crate) holds: BTreeMap<MonitorId, LastingHold>,
    /// The configuration on its disk.
    pub(crate) config: Arc<ClusterConfig>,
    pub(crate) process: Option<Process>,
    pub(crate) guardian: Guardian,
    runs: u32,
}

/// A daemon that runs, or is stopped in its tracks.
pub(crate) struct Process {
    pub(crate) run: u32,
    pub(crate) boot: BootId,
    pub(crate) node: Node,
    pub(crate) started: Instant,
    pub(crate) paused: bool,
    /// Where it alone was stopped, its guardian not: its last beat.
    pub(crate) hangs: Option<Instant>,
    /// When it was last stopped, and whether it and another heard each other then.
    pub(crate) stopped: (Instant, bool),
    backlog: VecDeque<Input>,
    pub(crate) desired: BTreeMap<IpAddr, InterfaceIndex>,
    touched: BTreeSet<IpAddr>,
    /// What its host part believes the kernel to have.
    held: BTreeSet<IpAddr>,
    /// Work for the kernel has been scheduled.
    pub(crate) at_work: bool,
    pub(crate) probes: BTreeMap<MonitorId, Probe>,
    pub(crate) health: Arc<Health>,
    zones: Arc<Zones>,
    /// What its DNS answers, once somebody has asked since either of them changed.
    answered: OnceCell<Answered>,
    /// For when the next awakening is scheduled, and which one it is.
    pub(crate) wake: (Instant, u32),
    /// An operator has put it on standby.
    pub(crate) standby: bool,
    pub(crate) resigning: bool,
    /// It has chosen a link to broadcast on.
    pub(crate) broadcasts: bool,
    /// What its guardian says when it is gone.
    pub(crate) farewell: Vec<Vec<u8>>,
}

/// What a guardian needs of a daemon that is dead.
pub(crate) struct Orphan {
    pub(crate) farewell: Vec<Vec<u8>>,
    /// Whether it sent broadcasts.
    pub(crate) broadcasts: bool,
}

/// A probe in force.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) order: ProbeOrder,
    /// Grows with each new order, so that what belongs to an earlier one is known.
    pub(crate) generation: u32,
}

impl Machine {
    /// How the service of a monitor is at this moment.
    pub(crate) fn service(&self, monitor: &MonitorId, now: Instant) -> Option<Ill> {
        let turns = |turn: &Duration| now.as_nanos() / u64::try_from(turn.as_nanos()).expect("short");
        let flaps = self.flapping.get(monitor).is_some_and(|turn| turns(turn).is_multiple_of(2));
        self.ill.get(monitor).copied().or(flaps.then_some(Ill::Refuses))
    }

    /// Whether a monitor may rightly count as down.
    pub(crate) fn may_be_down(&self, monitor: &MonitorId) -> bool {
        let ill = self.ill.get(monitor).is_some_and(|ill| *ill != Ill::Degraded);
        ill || self.flapping.contains_key(monitor) || self.forced.get(monitor) == Some(&false)
    }

    pub(crate) fn new(
        number: usize,
        name: ServerName,
        clock: Duration,
        ethernet: bool,
        config: Arc<ClusterConfig>,
    ) -> Self {
        Self {
            name,
            number,
            clock,
            powered: true,
            ethernet,
            link: true,
            kernel: BTreeSet::new(),
            lease: Lease::default(),
            refusals: 0,
            hidden: false,
            ill: BTreeMap::new(),
            marred: BTreeSet::new(),
            was_hidden: false,
            flapping: BTreeMap::new(),
            forced: BTreeMap::new(),
            serial: 1,
            holds: BTreeMap::new(),
            config,
            process: None,
            guardian: Guardian::default(),
            runs: 0,
        }
    }

    /// What its clock shows.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        now + self.clock
    }

    /// When its clock will show `local`.
    pub(crate) fn global(&self, local: Instant) -> Instant {
        local - self.clock
    }

    /// The daemon, if it runs and is not stopped.
    pub(crate) fn running(&self) -> Option<&Process> {
        self.process.as_ref().filter(|process| !process.paused)
    }

    /// Starts the daemon. Its host part removes what an earlier run left behind before the node begins.
    pub(crate) fn start(&mut self, now: Instant, boot: BootId, zones: Arc<Zones>) -> Effects {
        self.runs += 1;
        self.kernel.clear();
        self.guardian.replace(State::Watches(now));
        self.attend();
        let mut effects = Effects::new();
        let key = Key::from_bytes(b"a secret for simulated clusters!").expect("32 bytes");
        let settings = Settings {
            name: self.name.clone(),
            boot,
            keys: Keys::new(key),
            serial: self.serial,
            config: self.config.clone(),
            ethernet: self.ethernet,
            holds: self.holds.clone(),
        };
        self.process = Some(Process {
            run: self.runs,
            boot,
            node: Node::new(self.local(now), settings, &mut effects),
            started: now,
            paused: false,
            hangs: None,
            stopped: (now, false),
            backlog: VecDeque::new(),
            desired: BTreeMap::new(),
            touched: BTreeSet::new(),
            held: BTreeSet::new(),
            at_work: false,
            probes: BTreeMap::new(),
            health: Arc::default(),
            zones,
            answered: OnceCell::new(),
            wake: (Instant::BOOT, 0),
            standby: false,
            resigning: false,
            broadcasts: false,
            farewell: Vec::new(),
        });
        effects
    }

    /// What the kernel reports of the interface.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        let number = u8::try_from(self.number + 1).expect("ten machines");
        let six = format!("fd00:77::{number:x}/64").parse().expect("a prefix");
        vec![Interface {
            index: InterfaceIndex(2),
            name: "eth0".into(),
            mac: self.mac(),
            up: self.link,
            own: vec![Prefix { address: own_address(number), length: 24 }, six],
        }]
    }

    /// Its Ethernet address.
    pub(crate) fn mac(&self) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, u8::try_from(self.number + 1).expect("ten machines")])
    }

    /// The kernel does what is wished. Returns each address with what became of it. What fails is to be tried again.
    pub(crate) fn work(&mut self) -> Vec<(IpAddr, AddressOutcome)> {
        let Some(process) = &mut self.process else { return Vec::new() };
        let mut outcomes = Vec::new();
        for address in std::mem::take(&mut process.touched) {
            let (wished, present) = (process.desired.contains_key(&address), self.kernel.contains(&address));
            let outcome = if wished != present && self.refusals > 0 {
                self.refusals -= 1;
                process.touched.insert(address);
                AddressOutcome::Failed("simulated refusal".into())
            } else if wished {
                self.kernel.insert(address);
                process.held.insert(address);
                AddressOutcome::Present
            } else {
                self.kernel.remove(&address);
                process.held.remove(&address);
                AddressOutcome::Absent
            };
            outcomes.push((address, outcome));
        }
        outcomes
    }

    /// From now on nobody renews the leases; the last time was `phase` of a period ago. Returns after how long they end at
    /// the earliest.
    pub(crate) fn abandon(&mut self, now: Instant, phase: f64) -> Duration {
        let renewed = now - RENEWAL.mul_f64(phase);
        self.lease = Lease { unattended: Some(now), renewed, number: self.lease.number + 1 };
        (renewed + LEASE).since(now)
    }

    fn attend(&mut self) {
        self.lease.unattended = None;
        self.lease.number += 1;
    }

    /// The host part runs again. What it may not renew any more it removes, and returns.
    pub(crate) fn attend_again(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        self.attend();
        if now.since(self.lease.renewed) < TOO_OLD { BTreeSet::new() } else { self.lose() }
    }

    /// The leases are lost: returns those of the addresses that are still wished for.
    pub(crate) fn lose(&mut self) -> BTreeSet<IpAddr> {
        self.kernel.clear();
        let Some(process) = &mut self.process else { return BTreeSet::new() };
        let held = std::mem::take(&mut process.held);
        held.into_iter().filter(|address| process.desired.contains_key(address)).collect()
    }
}

impl Process {
    /// What DNS believes from now on.
    pub(crate) fn publish(&mut self, health: Arc<Health>) {
        self.health = health;
        self.answered.take();
    }

    /// What DNS serves from now on.
    pub(crate) fn serve(&mut self, zones: Arc<Zones>) {
        self.zones = zones;
        self.answered.take();
    }

    /// What DNS answers.
    pub(crate) fn answered(&self, name: &str) -> &Answered {
        self.answered.get_or_init(|| Answered::of(&View::build(&self.zones, &self.health, name)))
    }

    /// Keeps what arrives while it is stopped.
    pub(crate) fn keep(&mut self, input: Input) {
        // Each path has a socket of its own.
        let path = |input: &Input| match input {
            Input::Datagram { from, .. } => Some(from.path()),
            _ => None,
        };
        let alike = self.backlog.iter().filter(|kept| path(kept) == path(&input)).count();
        if path(&input).is_none() || alike < SOCKET_BUFFER {
            self.backlog.push_back(input);
        }
    }

    /// What has been kept.
    pub(crate) fn take_backlog(&mut self) -> VecDeque<Input> {
        std::mem::take(&mut self.backlog)
    }

    /// Other addresses are wished: those whose wish has changed are owed an answer. Returns whether the kernel has to be
    /// set to work.
    pub(crate) fn wish(&mut self, wished: BTreeMap<IpAddr, InterfaceIndex>) -> bool {
        let earlier = std::mem::replace(&mut self.desired, wished);
        let changed = |address: &&IpAddr| self.desired.contains_key(*address) != earlier.contains_key(*address);
        self.touched.extend(earlier.keys().chain(self.desired.keys()).filter(changed));
        !self.touched.is_empty() && !std::mem::replace(&mut self.at_work, true)
    }

    /// Whether something has failed and waits for another try.
    pub(crate) fn is_failing(&self) -> bool {
        !self.touched.is_empty()
    }
}
