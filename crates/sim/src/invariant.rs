//! What must never happen, each with a sentence and a bound.
//!
//! Everything is judged by the simulator's own knowledge of the machines and the wire, never by what a node believes.

mod cover;
mod look;
mod served;
pub(crate) mod truth;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use cluster::DeadlineName;
use model::{
    Health, Instant, ServerName, VirtualHostName,
    config::{ClusterConfig, Monitor, PartitionPolicy, VirtualHost},
    event::Event,
    hook::HookMoment,
};

use crate::{
    host::Machine,
    plan::{Plan, Style},
};

/// An invariant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Invariant {
    /// See [`Invariant::sentence`].
    OneOwner,
    /// See [`Invariant::sentence`].
    SelfRelease,
    /// See [`Invariant::sentence`].
    Cover,
    /// See [`Invariant::sentence`].
    Served,
    /// See [`Invariant::sentence`].
    NoNeedlessMove,
    /// See [`Invariant::sentence`].
    LastWord,
    /// See [`Invariant::sentence`].
    DnsTruth,
    /// See [`Invariant::sentence`].
    Progress,
}

impl Invariant {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneOwner => "one-owner",
            Self::SelfRelease => "self-release",
            Self::Cover => "cover",
            Self::Served => "served",
            Self::NoNeedlessMove => "no-needless-move",
            Self::LastWord => "last-word",
            Self::DnsTruth => "dns-truth",
            Self::Progress => "progress",
        }
    }

    /// What it says.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::OneOwner => {
                "Two servers that run and hear each other hold no address together for longer than the bound; while \
                 neither wire nor machine fails and all run the same configuration, never. Nobody takes an address \
                 that a silent server's machine still answers for, over a sound wire."
            }
            Self::SelfRelease => {
                "A server that the partition policy forbids to hold addresses, and whose daemon runs, wants none after \
                 the bound; and who was stopped for longer than the detection time while it had company lets go before \
                 it does anything else; a server whose daemon does not run has none after its guardian's bound, or, where \
                 that one does not run either, after the kernel's lease."
            }
            Self::Cover => {
                "While nothing changes, an address with an eligible server is held in each part of a broken wire that \
                 the partition policy allows to hold it."
            }
            Self::Served => {
                "While nothing changes, nobody keeps a virtual host whose service is dead there, or that nobody reaches there, \
                 for longer than the bound while another server of its list could hold it and is well, and was all the time."
            }
            Self::NoNeedlessMove => {
                "Once all is well every virtual host is where it belongs, whole and alone, and nothing moves: not for a \
                 lost datagram, the loss of one path of two, a reload that changes nothing, a short stop, or the restart \
                 of a server that holds nothing."
            }
            Self::LastWord => "Once all is well, who holds an address is the last that announced it.",
            Self::DnsTruth => {
                "What a server publishes never says that a dead server, an unheld address or a dead endpoint is alive \
                 beyond the bound, neither do its DNS answers; revision and serial never go backwards; and once all is well all servers \
                 say the same."
            }
            Self::Progress => "After an input every deadline of a node lies in the future.",
        }
    }
}

/// An invariant that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: Invariant,
    pub(crate) detail: String,
}

impl Broken {
    pub(crate) fn new(invariant: Invariant, detail: String) -> Self {
        Self { invariant, detail }
    }

    pub(crate) fn progress(server: &ServerName, deadline: &DeadlineName) -> Self {
        Self::new(Invariant::Progress, format!("{server}: {deadline:?} is still due after it was handled"))
    }
}

/// How long things may take at most, for the settings of a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Silence after which a peer is dead.
    pub(crate) detection: Duration,
    /// Silence of everybody, shorter than that, after which the gateway policy forbids to hold anything (design R6).
    cut_off: Duration,
    /// *one-owner*: hearing may begin with a run that is new to the other: proving takes a heartbeat each way, each of
    /// which may be lost until just before the detection time (2 ×); one more for the words that settle who keeps it.
    pub(crate) rivals: Duration,
    /// *one-owner* on the wire: what the wire says is as old as the question, twice whose time may be waited for; the kernel.
    asking: Duration,
    /// *self-release*: the last peer dies, one detection time after pardon for running late (2 ×); witnesses vouch for
    /// one more, and the first answers are awaited for two intervals.
    pub(crate) release: Duration,
    /// *cover*: listening, pardon, proving (4 ×); witnesses (2 intervals); a hand-over that waits for its target (2
    /// intervals); the slowest verdict; the question to the wire; the kernel twice; the longest limit of a `before-take` hook.
    pub(crate) cover: Duration,
    /// *cover*, when a virtual host moves while all is well: the release's word may be lost until just before the
    /// detection time; the kernel twice; the longest limit of a `before-take` hook.
    pub(crate) handover: Duration,
    /// *served*: as *cover*, and until the successor has been steady; the longest course of recoveries.
    pub(crate) served: Duration,
    /// *served* where services have failed on several servers: they may fail for a shared cause, which is waited for.
    pub(crate) shared: Duration,
    /// *served* where nobody reaches the holder: others begin to try it, find out, and it is sure of it.
    pub(crate) seen: Duration,
    /// *dns-truth*: a peer dies, after pardon for running late (2 ×), or its word is lost until just before that (1 ×).
    pub(crate) truth: Duration,
    /// *dns-truth* of endpoints: the slowest verdict of a prober, and its word.
    pub(crate) endpoint: Duration,
    /// Until all is where it belongs after a repair: a verdict, a failback delay, and two moves.
    settle: Duration,
}

/// What a kernel refused is tried again every second, and a seed makes it refuse twice in a row.
const RETRY: Duration = Duration::from_secs(2);
/// How long a node shuns a kernel that has refused as often as a seed makes it.
pub(crate) const SHUN: Duration = Duration::from_secs(2);
/// An address that was in use is asked about again.
const AGAIN: Duration = Duration::from_secs(1);
/// A shared cause is waited for no longer (four spans, and the first).
const SHARED: Duration = Duration::from_secs(15);
/// A path is doubted for so long beyond what probes take, and probes are shared out anew so late.
const SEEN: Duration = Duration::from_millis(1_500);
/// The wire's answer.
const WIRE: Duration = Duration::from_millis(250);

impl Bounds {
    fn of(plan: &Plan) -> Self {
        let heartbeat = plan.config.heartbeat;
        // The last heartbeat that may be missed is due at the detection time, and may come a little late.
        let (interval, detection) = (heartbeat.interval, heartbeat.detection() + heartbeat.interval / 4);
        // A peer is suspected after 1.5 intervals; one interval before its death all heartbeats but one that may be lost are.
        let cut_off = detection.saturating_sub(interval).max(interval * 3 / 2);
        // What a step takes: a datagram's longest way, a late awakening.
        let step = plan.manners.longest + plan.latency + Duration::from_millis(1);
        let slowest = |monitor: &Monitor| {
            let results = monitor.rise.max(monitor.fall);
            monitor.interval + (monitor.recheck.max(monitor.timeout)) * results + monitor.timeout
        };
        let verdict = plan.config.monitors().map(|(_, monitor)| slowest(monitor)).max().unwrap_or_default();
        let far = plan.config.endpoints.values().flat_map(|endpoint| &endpoint.monitors).map(slowest).max();
        let endpoint = far.unwrap_or_default() + detection * 3 + interval + step * 8;
        let delay = plan.config.virtual_hosts.values().map(|host| host.failback_delay).max().unwrap_or_default();
        let before_take = |host: &VirtualHost| host.hooks.get(&HookMoment::BeforeTake).map(|hook| hook.timeout);
        let hook = plan.config.virtual_hosts.values().filter_map(before_take).max().unwrap_or_default();
        let course = plan.config.monitors().filter_map(|(_, monitor)| monitor.handling.recovery.as_ref());
        let course = course.map(|course| (course.hook.timeout + course.window) * course.attempts).max();
        let cover = hook + detection * 4 + interval * 4 + verdict + WIRE + plan.kernel * 2 + step * 8;
        let handover = hook + detection + interval * 2 + plan.kernel * 2 + step * 4;
        let served = cover + delay + course.unwrap_or_default();
        Self {
            served,
            shared: served + SHARED,
            seen: served + verdict * 3 + SEEN,
            detection,
            cut_off,
            rivals: detection * 3 + step * 4,
            asking: (interval / 2).clamp(Duration::from_millis(10), Duration::from_millis(50)) * 2
                + plan.kernel
                + step * 2,
            release: detection * 3 + interval * 2 + step * 4,
            cover,
            handover,
            truth: detection * 3 + plan.kernel + step * 3,
            endpoint,
            settle: (delay + cover + handover * 2).max(endpoint),
        }
    }
}

/// Whom a machine hears.
#[derive(Clone, Copy, Debug)]
struct Hearing {
    /// Without a gap as long as the detection time since then.
    since: Instant,
    last: Instant,
}

/// What the simulator has seen.
pub(crate) struct Watch {
    pub(crate) bounds: Bounds,
    /// The first configuration: no other has more virtual hosts.
    first: Arc<ClusterConfig>,
    /// The newest configuration.
    pub(crate) newest: Arc<ClusterConfig>,
    style: Style,
    gateway: bool,
    interval: Duration,
    digests: u64,
    /// When configurations were last seen to differ.
    differing: Instant,
    /// `heard[a][b]`: when a, as it runs now, heard b, as that runs now.
    heard: Vec<Vec<Option<Hearing>>>,
    /// `word[a][b]`: when a, as it runs now, heard b the last time, or began.
    word: Vec<Vec<Instant>>,
    /// The last change to each machine's life other than on the wire.
    disturbed: Vec<Instant>,
    /// When each machine last heard somebody after it had heard nobody for so long that the gateway policy made it let go.
    cut_off: Vec<Instant>,
    /// The last refusal of its kernel.
    refused: Vec<Option<Instant>>,
    /// When a daemon last died and left addresses behind.
    left_behind: Option<Instant>,
    /// When addresses last went that no daemon held: their leases ended, the power failed, a new run swept them.
    lapsed: Option<Instant>,
    /// When the wire last broke, was mended, or began to lose frames.
    rewired: Instant,
    /// Addresses taken over a broken wire while the machine of a daemon that does not run, this one, has them still: who is
    /// handed one later has taken nothing from that machine.
    doubled: BTreeSet<(IpAddr, usize)>,
    /// Since when each machine has had each address.
    held: Vec<BTreeMap<IpAddr, Instant>>,
    /// Since when an address has been on no machine at all.
    absent: BTreeMap<IpAddr, Instant>,
    /// Who announced an address last.
    announced: BTreeMap<IpAddr, usize>,
    /// Since when a machine may not hold anything.
    forbidden: Vec<Option<Instant>>,
    /// Since when nobody has held what somebody should.
    bare: BTreeMap<(VirtualHostName, usize), Instant>,
    /// Since when a machine has had none of a virtual host's addresses.
    empty: Vec<BTreeMap<VirtualHostName, Instant>>,
    /// What each machine publishes about virtual hosts, and since when.
    says_held: Vec<BTreeMap<VirtualHostName, (ServerName, Instant)>>,
    /// Whom each machine says to be alive, and since when.
    says_alive: Vec<BTreeMap<ServerName, Instant>>,
    /// Takes and releases.
    pub(crate) moves: u64,
    /// Events of any kind.
    pub(crate) events: u64,
}

impl Watch {
    pub(crate) fn new(plan: &Plan, machines: usize, now: Instant) -> Self {
        let addresses = plan.config.virtual_hosts.values().flat_map(|host| host.addresses.clone());
        let empty: BTreeMap<_, _> = plan.config.virtual_hosts.keys().map(|name| (name.clone(), now)).collect();
        Self {
            bounds: Bounds::of(plan),
            first: plan.config.clone(),
            newest: plan.config.clone(),
            style: plan.style,
            gateway: plan.gateway,
            interval: plan.config.heartbeat.interval,
            digests: 1,
            differing: Instant::BOOT,
            heard: vec![vec![None; machines]; machines],
            word: vec![vec![now; machines]; machines],
            disturbed: vec![now; machines],
            cut_off: vec![now; machines],
            refused: vec![None; machines],
            left_behind: None,
            lapsed: None,
            rewired: now,
            doubled: BTreeSet::new(),
            held: vec![BTreeMap::new(); machines],
            absent: addresses.map(|address| (address, now)).collect(),
            announced: BTreeMap::new(),
            forbidden: vec![None; machines],
            bare: BTreeMap::new(),
            empty: vec![empty; machines],
            says_held: vec![BTreeMap::new(); machines],
            says_alive: vec![BTreeMap::new(); machines],
            moves: 0,
            events: 0,
        }
    }

    /// How long a repair takes to show. Longer where a kernel has refused, which is forgotten after a while, or where
    /// dead daemons have left addresses behind, about which the wire is asked every second.
    pub(crate) fn settling(&self, now: Instant) -> Duration {
        let lately = |at: &Instant| now.since(*at) < SHUN * 2;
        let refused = self.refused.iter().flatten().any(lately);
        let left_behind = self.left_behind.iter().any(lately);
        let shun = if refused { SHUN + RETRY } else { Duration::ZERO };
        self.bounds.settle + shun + if left_behind { AGAIN } else { Duration::ZERO }
    }

    /// A daemon has died and left addresses behind.
    pub(crate) fn left_behind(&mut self, now: Instant) {
        self.left_behind = Some(now);
    }

    /// The wire is another from now on.
    pub(crate) fn rewired(&mut self, now: Instant) {
        self.rewired = now;
    }

    /// How often the invariants are looked at.
    pub(crate) fn pace(&self) -> Duration {
        (self.interval / 4).max(Duration::from_millis(5))
    }

    /// A machine gets another configuration.
    pub(crate) fn differ(&mut self, now: Instant) {
        self.differing = now;
    }

    /// A digest that no configuration had before.
    pub(crate) fn next_digest(&mut self) -> u64 {
        self.digests += 1;
        self.digests
    }

    /// A machine has heard another.
    pub(crate) fn heard(&mut self, at: usize, speaker: usize, now: Instant) {
        let detection = self.bounds.detection;
        let last = self.heard[at].iter().flatten().map(|hearing| hearing.last).max();
        if last.is_some_and(|last| now.since(last) >= self.bounds.cut_off) {
            self.cut_off[at] = now;
        }
        let hearing = self.heard[at][speaker].get_or_insert(Hearing { since: now, last: now });
        if now.since(hearing.last) >= detection {
            hearing.since = now;
        }
        hearing.last = now;
        self.word[at][speaker] = now;
    }

    /// Since when a machine has heard another without a gap.
    pub(crate) fn hears(&self, at: usize, speaker: usize, now: Instant) -> Option<Instant> {
        let hearing = self.heard[at][speaker]?;
        (now.since(hearing.last) < self.bounds.detection).then_some(hearing.since)
    }

    /// A daemon has begun or ended.
    pub(crate) fn restarted(&mut self, machine: usize, now: Instant) {
        for other in 0..self.heard.len() {
            self.heard[machine][other] = None;
            self.heard[other][machine] = None;
            self.word[machine][other] = now;
        }
        self.disturbed(machine, now);
    }

    /// Something about a machine is not as it was.
    pub(crate) fn disturbed(&mut self, machine: usize, now: Instant) {
        self.disturbed[machine] = now;
    }

    /// Its kernel has refused something.
    pub(crate) fn refused(&mut self, machine: usize, now: Instant) {
        self.refused[machine] = Some(now);
        self.disturbed(machine, now);
    }

    /// An announcement went out.
    pub(crate) fn announced<'a>(&mut self, machine: usize, addresses: impl Iterator<Item = &'a IpAddr>) {
        self.announced.extend(addresses.map(|address| (*address, machine)));
    }

    /// A node has recorded something.
    pub(crate) fn recorded(&mut self, event: &Event) {
        self.events += 1;
        if let Event::Taking { .. } | Event::Releasing { .. } = event {
            self.moves += 1;
        }
    }

    /// A node has published what it believes.
    pub(crate) fn published(&mut self, now: Instant, machine: &mut Machine, health: Arc<Health>) -> Option<Broken> {
        let process = machine.process.as_mut()?;
        let broken = |what: &str, old: u64, new: u64| {
            let detail = format!("{}: {what} {new} after {old}", machine.name);
            Some(Broken::new(Invariant::DnsTruth, detail))
        };
        if health.revision <= process.health.revision {
            return broken("revision", process.health.revision, health.revision);
        }
        if health.serial < machine.serial {
            return broken("serial", machine.serial.into(), health.serial.into());
        }
        machine.serial = health.serial;
        let earlier = std::mem::take(&mut self.says_held[machine.number]);
        let held = health.virtual_hosts.iter().filter_map(|(name, said)| {
            let active = said.active.clone()?;
            let since = earlier.get(name).filter(|(before, _)| *before == active).map_or(now, |(_, since)| *since);
            Some((name.clone(), (active, since)))
        });
        self.says_held[machine.number] = held.collect();
        let earlier = std::mem::take(&mut self.says_alive[machine.number]);
        let alive = health.servers.iter().filter(|(_, said)| said.state.is_alive());
        let since = |name: &ServerName| earlier.get(name).copied().unwrap_or(now);
        self.says_alive[machine.number] = alive.map(|(name, _)| (name.clone(), since(name))).collect();
        process.publish(health);
        None
    }

    /// Kernels may have changed. While nothing fails no address is ever on two machines.
    pub(crate) fn held(&mut self, now: Instant, machines: &[Machine]) -> Option<Broken> {
        if machines.iter().any(|machine| machine.config.digest != self.newest.digest) {
            self.differing = now;
        }
        for machine in machines {
            let held = &mut self.held[machine.number];
            let before = held.len();
            held.retain(|address, _| machine.kernel.contains(address));
            // Not by a daemon's wish: whoever found them in use asks again only after a while.
            let unwished = machine.process.as_ref().is_none_or(|process| process.paused || process.started == now);
            if held.len() < before && unwished {
                self.lapsed = Some(now);
            }
            for address in &machine.kernel {
                held.entry(*address).or_insert(now);
            }
        }
        let first = self.first.clone();
        let mut broken = None;
        for (name, host) in &first.virtual_hosts {
            for machine in machines {
                let empty = &mut self.empty[machine.number];
                if host.addresses.iter().any(|address| machine.kernel.contains(address)) {
                    empty.remove(name);
                } else {
                    empty.entry(name.clone()).or_insert(now);
                }
            }
            for address in &host.addresses {
                let owners: Vec<_> = machines.iter().filter(|machine| machine.kernel.contains(address)).collect();
                if owners.is_empty() {
                    self.absent.entry(*address).or_insert(now);
                } else {
                    self.absent.remove(address);
                }
                if let ([one, other, ..], Style::Orderly) = (&owners[..], self.style)
                    && now.since(self.differing) > self.bounds.rivals
                {
                    let detail = format!("{address} is on {} and {}, and nothing has failed", one.name, other.name);
                    broken = Some(Broken::new(Invariant::OneOwner, detail));
                }
            }
        }
        broken
    }

    /// Whether the policy lets a server hold addresses that hears so many others.
    fn allows(&self, config: &ClusterConfig, hears: usize, has_gateway: bool) -> bool {
        let all = config.servers.len();
        match config.partition {
            PartitionPolicy::Availability => true,
            PartitionPolicy::Majority => (hears + 1) * 2 > all,
            PartitionPolicy::Gateway { ref witness } => {
                // Without a router there is nobody to ask, except where one is configured: that one never answers.
                let nobody_to_ask = witness.is_empty() && !self.gateway;
                all == 1 || hears > 0 || has_gateway || nobody_to_ask
            }
        }
    }
}
