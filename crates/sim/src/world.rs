//! Machines, wire and time: one queue of what happens next. Services and their probes: `world/services.rs`.
//!
//! Invariants: everything depends on the seed. A daemon handles overdue deadlines before anything else, then one input at
//! a time, as the driver of the product does.

pub(crate) mod guard;
mod hooks;
mod kernel;
mod paths;
mod services;
mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use cluster::{Effect, Effects, Input};
use dns::{Zone, Zones};
use model::{BootId, EndpointName, Instant, MonitorId, ZoneName, config::ClusterConfig, event::Event, net::Path};

use self::guard::State;
use crate::{
    fault::Fault,
    host::{Machine, Orphan},
    invariant::{Broken, Watch},
    network::Network,
    plan::{GATEWAY, Plan, TEMPLATE, ZONE},
    random::Random,
    trace::{Trace, What},
};

/// The wire is asked about an address for so long.
const WIRE: Duration = Duration::from_millis(200);
/// What the kernel has refused is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Recorded datagrams, for replays.
const RECORDED: usize = 64;

/// Something that will happen.
enum Happening {
    /// A daemon's deadline is due; the number tells outdated ones.
    Wake { machine: usize, run: u32, number: u32 },
    /// A datagram arrives.
    Arrive { path: Path, from: usize, to: usize, bytes: Vec<u8>, genuine: bool },
    /// A machine reports to its daemon.
    Report { machine: usize, run: u32, input: Input },
    /// The kernel changes addresses.
    Kernel { machine: usize, run: u32 },
    /// Leases that nobody has renewed end.
    Lapse { machine: usize, number: u32 },
    /// The wire has been asked for an address; now it is seen who answers.
    Asked { machine: usize, run: u32, address: IpAddr },
    /// A probe begins.
    Probe { machine: usize, run: u32, monitor: MonitorId, generation: u32 },
    /// A guardian has found its daemon dead.
    Guard { machine: usize, number: u32, orphan: Orphan },
    /// A guardian looks whether its daemon hangs.
    Pulse { machine: usize, number: u32 },
    /// A trouble ends.
    Over { era: u32, fault: Fault },
    /// The invariants are looked at.
    Look,
}

/// Everything.
pub(crate) struct World<'a> {
    pub(crate) plan: Plan,
    pub(crate) now: Instant,
    pub(crate) random: Random,
    /// Dice of what was added later: hooks, hangs.
    pub(crate) added: Random,
    /// Dice of what was added after that: shared causes, recoveries.
    pub(crate) newest: Random,
    pub(crate) network: Network,
    pub(crate) machines: Vec<Machine>,
    /// Endpoints that have died or come back: whether and how they are dead (true: they hang), and since when it is so.
    pub(crate) endpoints: BTreeMap<EndpointName, (Option<bool>, Instant)>,
    pub(crate) watch: Watch,
    pub(crate) trace: Trace<'a>,
    /// What is delivered now and then once more.
    pub(crate) recorded: VecDeque<(usize, usize, Vec<u8>)>,
    /// Counts the times that everything was repaired: troubles from before are over.
    pub(crate) era: u32,
    /// Boxed, because it moves often and is large.
    queue: BTreeMap<(Instant, u64), Box<Happening>>,
    queued: u64,
    zones: BTreeMap<u64, Arc<Zones>>,
    broken: Option<Broken>,
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: Plan, mut random: Random, [added, newest]: [Random; 2], trace: Trace<'a>) -> Self {
        let config = plan.config.clone();
        let clock = |random: &mut Random| random.span(Duration::ZERO, Duration::from_secs(1_000_000));
        let machines: Vec<_> = config
            .servers
            .keys()
            .enumerate()
            .map(|(number, name)| {
                let ethernet = random.percent(plan.ethernet);
                Machine::new(number, name.clone(), clock(&mut random), ethernet, config.clone())
            })
            .collect();
        let now = Instant::from_nanos(1_000_000_000);
        let mut world = Self {
            network: Network::new(machines.len(), plan.manners),
            watch: Watch::new(&plan, machines.len(), now),
            plan,
            now,
            random,
            added,
            newest,
            machines,
            endpoints: BTreeMap::new(),
            trace,
            recorded: VecDeque::new(),
            era: 0,
            queue: BTreeMap::new(),
            queued: 0,
            zones: BTreeMap::new(),
            broken: None,
        };
        world.after(Duration::ZERO, Happening::Look);
        world
    }

    fn after(&mut self, span: Duration, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + span, self.queued), Box::new(happening));
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, span: Duration) -> Result<(), Broken> {
        let until = self.now + span;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(*happening);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { machine, run, number } => {
                if self.is_run(machine, run, |process| process.wake.1 == number) {
                    self.feed(machine, None);
                }
            }
            Happening::Arrive { path, from, to, bytes, genuine } => self.arrive(path, (from, to), bytes, genuine),
            Happening::Report { machine, run, input } => {
                if self.is_run(machine, run, |_| true) {
                    self.feed(machine, Some(input));
                }
            }
            Happening::Kernel { machine, run } => {
                if self.is_run(machine, run, |process| !process.paused) {
                    self.kernel(machine);
                }
            }
            Happening::Lapse { machine, number } => {
                if self.machines[machine].lease.number == number {
                    self.lapse(machine);
                }
            }
            Happening::Asked { machine, run, address } => {
                if self.is_run(machine, run, |_| true) {
                    let check = self.who_answers(machine, address);
                    self.feed(machine, Some(Input::Duplicate { address, check }));
                }
            }
            Happening::Probe { machine, run, monitor, generation } => self.probe(machine, run, monitor, generation),
            Happening::Guard { machine, number, orphan } => self.guard(machine, number, orphan),
            Happening::Pulse { machine, number } => self.pulse(machine, number),
            Happening::Over { era, fault } => {
                if era == self.era {
                    self.trace.note(self.now, None, What::Over(fault.clone()));
                    self.end(fault);
                }
            }
            Happening::Look => {
                self.look();
                self.after(self.watch.pace(), Happening::Look);
            }
        }
    }

    fn is_run(&self, machine: usize, run: u32, also: impl Fn(&crate::host::Process) -> bool) -> bool {
        self.machines[machine].process.as_ref().is_some_and(|process| process.run == run && also(process))
    }

    pub(crate) fn fail(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    // ---- daemons ----

    /// Starts a daemon.
    pub(crate) fn start(&mut self, machine: usize) {
        if self.machines[machine].process.is_some() || !self.machines[machine].powered {
            return;
        }
        let boot = BootId(self.random.bytes());
        let config = self.machines[machine].config.clone();
        let zones = self.zones_of(&config);
        self.watch.restarted(machine, self.now);
        let effects = self.machines[machine].start(self.now, boot, zones);
        self.note_kernel();
        self.execute(machine, effects);
        self.report_interfaces(machine);
        let gateways = if self.plan.gateway { vec![GATEWAY] } else { Vec::new() };
        self.report(machine, Duration::from_millis(2), Input::Gateways(gateways));
        self.schedule_wake(machine);
    }

    pub(crate) fn report_interfaces(&mut self, machine: usize) {
        let interfaces = self.machines[machine].interfaces();
        self.report(machine, Duration::from_millis(1), Input::Interfaces(interfaces));
    }

    /// The zones that a configuration serves.
    pub(crate) fn zones_of(&mut self, config: &ClusterConfig) -> Arc<Zones> {
        let load = || {
            let mut nothing = |file: &str| Err(file.to_owned());
            let name = ZoneName::new(ZONE);
            let zone: Zone = dns::zone::load(&name, "lb.zone", TEMPLATE, &BTreeMap::new(), config, &mut nothing)
                .expect("the template is valid for every configuration of a plan");
            Arc::new(Zones::compile(vec![zone], config))
        };
        self.zones.entry(config.digest).or_insert_with(load).clone()
    }

    /// Hands an input to a daemon; none: only time has passed.
    pub(crate) fn feed(&mut self, machine: usize, input: Option<Input>) {
        let now = self.now;
        let host = &mut self.machines[machine];
        let local = host.local(now);
        let Some(process) = &mut host.process else { return };
        if process.paused {
            if let Some(input) = input {
                process.keep(input);
            }
            return;
        }
        let mut effects = Effects::new();
        let overdue = |process: &crate::host::Process| {
            process.node.next_deadline().filter(|(at, _)| *at <= local).map(|(_, name)| name)
        };
        if overdue(process).is_some() {
            process.node.handle(local, Input::Deadline, &mut effects);
        }
        if let Some(input) = input {
            process.node.handle(local, input, &mut effects);
        }
        let stuck = overdue(process);
        if let Some(deadline) = stuck {
            let broken = Broken::progress(&self.machines[machine].name, &deadline);
            self.fail(broken);
        }
        self.execute(machine, effects);
        self.schedule_wake(machine);
    }

    fn schedule_wake(&mut self, machine: usize) {
        let host = &mut self.machines[machine];
        let Some(process) = &host.process else { return };
        let Some((deadline, _)) = process.node.next_deadline() else { return };
        let at = host.global(deadline);
        let Some(process) = host.process.as_mut().filter(|process| process.wake.0 != at) else { return };
        process.wake = (at, process.wake.1 + 1);
        let (run, number) = (process.run, process.wake.1);
        let late = self.random.span(Duration::ZERO, self.plan.latency);
        self.after(at.since(self.now) + late, Happening::Wake { machine, run, number });
    }

    /// A daemon is stopped in its tracks.
    pub(crate) fn pause(&mut self, machine: usize) {
        let hears = |at, speaker| self.watch.hears(at, speaker, self.now).is_some();
        let company = (0..self.machines.len()).any(|other| hears(machine, other) && hears(other, machine));
        let now = self.now;
        let Some(process) = self.machines[machine].process.as_mut().filter(|process| !process.paused) else { return };
        process.paused = true;
        process.stopped = (now, company);
        self.abandon(machine);
    }

    /// A stopped daemon runs again: what is overdue first, then what has waited.
    pub(crate) fn resume(&mut self, machine: usize) {
        let Some(process) = self.machines[machine].process.as_mut().filter(|process| process.paused) else { return };
        process.paused = false;
        process.hangs = None;
        let (backlog, at_work) = (process.take_backlog(), process.at_work);
        self.watch.disturbed(machine, self.now);
        // The thread that renews leases and the driver run again at the same time: either may be first.
        let first = self.random.percent(50);
        if first {
            self.attend_again(machine);
        }
        self.feed(machine, None);
        self.slept(machine);
        if !first {
            self.attend_again(machine);
        }
        for input in backlog {
            if let Input::Datagram { bytes, .. } = &input {
                self.note_hearing(machine, bytes);
            }
            self.feed(machine, Some(input));
        }
        if at_work {
            self.schedule_kernel(machine, Duration::ZERO);
        }
    }

    // ---- effects ----

    fn execute(&mut self, machine: usize, mut effects: Effects) {
        for effect in effects.drain() {
            match effect {
                Effect::Send { to, datagram } => {
                    let to = self.machines.iter().position(|other| other.name == to).expect("a configured server");
                    self.send(machine, to, &datagram);
                }
                Effect::Ethernet(links) => {
                    if let Some(process) = &mut self.machines[machine].process {
                        process.broadcasts = !links.is_empty();
                    }
                }
                Effect::Broadcast(datagram) => self.broadcast(machine, &datagram),
                Effect::Farewell(datagrams) => {
                    if let Some(process) = &mut self.machines[machine].process {
                        process.farewell = datagrams;
                    }
                }
                Effect::Addresses(wished) => {
                    let Some(process) = &mut self.machines[machine].process else { continue };
                    if process.wish(wished) {
                        self.schedule_kernel(machine, Duration::ZERO);
                    }
                }
                Effect::Announce(addresses) => {
                    let host = &self.machines[machine];
                    let there = addresses.keys().filter(|address| host.link && host.kernel.contains(*address));
                    let there: Vec<IpAddr> = there.copied().collect();
                    self.watch.announced(machine, there.iter());
                    self.tell_rivals(machine, &there);
                }
                Effect::CheckDuplicate { address, interface: _ } => {
                    let late = self.random.span(Duration::ZERO, self.plan.latency);
                    let Some(run) = self.run(machine) else { continue };
                    self.after(WIRE + late, Happening::Asked { machine, run, address });
                }
                Effect::AskHolder { addresses, patience } => self.ask_holder(machine, addresses, patience),
                Effect::AskWitnesses { witnesses, patience } => self.ask_witnesses(machine, witnesses, patience),
                Effect::Probes(orders) => self.order_probes(machine, orders),
                Effect::ProbeNow(monitor) => self.probe_now(machine, monitor),
                Effect::Keep(holds) => self.machines[machine].holds = holds,
                Effect::RunHook(order) => self.run_hook(machine, order),
                Effect::RunRecovery(order) => self.run_recovery(machine, order),
                Effect::Health(health) => {
                    if let Some(broken) = self.watch.published(self.now, &mut self.machines[machine], health) {
                        self.fail(broken);
                    }
                }
                Effect::Record(event) => self.record(machine, event),
                Effect::Goodbye => {
                    // Its host part removes on its way out what could not be removed before.
                    self.trace.note(self.now, Some(&self.machines[machine].name), What::Ended);
                    self.machines[machine].process = None;
                    self.machines[machine].guardian.replace(State::Gone);
                    self.machines[machine].kernel.clear();
                    self.watch.restarted(machine, self.now);
                    self.note_kernel();
                }
            }
        }
    }

    fn run(&self, machine: usize) -> Option<u32> {
        self.machines[machine].process.as_ref().map(|process| process.run)
    }

    fn report(&mut self, machine: usize, after: Duration, input: Input) {
        if let Some(run) = self.run(machine) {
            self.after(after, Happening::Report { machine, run, input });
        }
    }

    fn record(&mut self, machine: usize, event: Event) {
        self.watch.recorded(&event);
        self.trace.note(self.now, Some(&self.machines[machine].name), What::Event(event));
    }

    // ---- the wire ----

    fn send(&mut self, from: usize, to: usize, datagram: &[u8]) {
        if self.recorded.len() == RECORDED {
            self.recorded.pop_front();
        }
        self.recorded.push_back((from, to, datagram.to_vec()));
        for after in self.network.carry(&mut self.random, Path::Udp, from, to) {
            let bytes = datagram.to_vec();
            self.after(after, Happening::Arrive { path: Path::Udp, from, to, bytes, genuine: true });
        }
        if self.network.refuses(from, to) {
            self.refuse(from, to);
        }
    }

    /// Somebody plays a recorded datagram once more, over either path.
    pub(crate) fn replay(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let after = self.random.span(Duration::from_micros(50), Duration::from_millis(1));
        let path = *self.random.pick(&Path::ALL);
        self.after(after, Happening::Arrive { path, from, to, bytes, genuine: false });
    }

    fn arrive(&mut self, path: Path, (from, to): (usize, usize), bytes: Vec<u8>, genuine: bool) {
        // What was on its way when the wire broke, or the link went down, is lost.
        if !self.machines[to].powered || !self.machines[to].link || !self.network.passes(path, from, to) {
            return;
        }
        if !self.listens(path, to) {
            // A closed port is refused by its machine.
            if path == Path::Udp && self.network.reaches(to, from) {
                self.refuse(from, to);
            }
            return;
        }
        if genuine && self.machines[to].running().is_some() {
            self.note_hearing(to, &bytes);
        }
        let from = self.origin(path, from);
        self.feed(to, Some(Input::Datagram { from, bytes }));
    }

    /// Whose word it is: the run is in the header, behind the mark of a relay.
    fn note_hearing(&mut self, at: usize, bytes: &[u8]) {
        let header = if bytes.first() == Some(&b'R') { &bytes[1..] } else { bytes };
        let says = |machine: &Machine| machine.process.as_ref().is_some_and(|process| process.boot.0 == header[6..22]);
        if let Some(speaker) = self.machines.iter().position(says) {
            self.watch.heard(at, speaker, self.now);
        }
    }

    /// Whether frames go both ways between two machines.
    pub(crate) fn wired(&self, one: usize, other: usize) -> bool {
        let up = |machine: usize| self.machines[machine].powered && self.machines[machine].link;
        up(one) && up(other) && self.network.reaches(one, other) && self.network.reaches(other, one)
    }

    // ---- the kernel ----

    /// A trouble will be over.
    pub(crate) fn schedule_over(&mut self, after: Duration, fault: Fault) {
        self.after(after, Happening::Over { era: self.era, fault });
    }
}
