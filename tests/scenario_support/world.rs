//! The cluster of a scenario in virtual time: a queue of what happens next, fixed delays, a wire that does what the
//! story says. No chance: the same story is the same record, to the last digit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use cluster::{Command, Effect, Effects, Input};
use model::{
    Instant, MonitorId, ServerName, Subject, VirtualHostName,
    config::{ClusterConfig, Hook, parse_cluster},
    event::Event,
    hook::{HookOutcome, HookReport},
    net::{InterfaceIndex, MacAddress, Origin, Path},
    report::{DuplicateCheck, ProbeOrder, ProbeResult},
};

use super::{
    ask,
    machine::{Machine, Probe},
    record::Record,
    story::{Line, Servers, Service, Step},
};

/// A datagram needs so long.
const WAY: Duration = Duration::from_micros(200);
/// The kernel needs so long to add or remove addresses.
const KERNEL: Duration = Duration::from_millis(1);
/// A probe of a service that works, or refuses.
const PROBE: Duration = Duration::from_millis(1);
/// An answer to ARP or neighbour discovery.
const ANSWER: Duration = Duration::from_millis(1);
/// So long the wire is listened to before silence counts.
const SILENCE: Duration = Duration::from_millis(100);
/// The router of the link.
const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 254));

/// Something that will happen.
enum Happening {
    Wake { machine: usize },
    Arrive { path: Path, from: usize, to: usize, bytes: Vec<u8> },
    Report { machine: usize, run: u8, input: Input },
    Kernel { machine: usize, run: u8 },
    Probe { machine: usize, run: u8, monitor: MonitorId, generation: u32 },
    Heard { machine: usize, run: u8, address: IpAddr },
    Thaw { machine: usize },
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) machines: Vec<Machine>,
    pub(crate) record: Record,
    /// Expectations of the story that were not met.
    pub(crate) wrong: Vec<String>,
    /// Which way through the wire is broken.
    broken: BTreeSet<(usize, usize)>,
    /// The same for the heartbeats of one path.
    lost: BTreeSet<(Path, usize, usize)>,
    strangers: BTreeMap<IpAddr, MacAddress>,
    configurations: BTreeMap<String, Arc<ClusterConfig>>,
    queue: BTreeMap<(Instant, u64), Happening>,
    queued: u64,
}

impl World {
    /// The servers of the directory's `cluster.toml`, none of which runs yet.
    ///
    /// # Errors
    /// What is wrong with a cluster file, as `standin check` prints it.
    pub(crate) fn new(directory: &std::path::Path) -> Result<Self, String> {
        let configurations = configurations(directory)?;
        let config = configurations.get("cluster.toml").ok_or("there is no cluster.toml")?;
        let names = config.servers.keys().cloned();
        let machines = (1..).zip(names).map(|(number, name)| Machine::new(number, name, config.clone())).collect();
        Ok(Self {
            now: Instant::BOOT,
            record: Record::new(config, &configurations),
            machines,
            wrong: Vec::new(),
            broken: BTreeSet::new(),
            lost: BTreeSet::new(),
            strangers: BTreeMap::new(),
            configurations,
            queue: BTreeMap::new(),
            queued: 0,
        })
    }

    /// Lives the story.
    ///
    /// # Errors
    /// A line that speaks of what does not exist.
    pub(crate) fn live(&mut self, story: &[Line]) -> Result<(), String> {
        for line in story {
            self.run_until(Instant::BOOT + line.at);
            self.record.step(self.now, &line.step, &line.sentence);
            self.step(&line.step, line).map_err(|error| format!("story.txt:{}: {error}", line.number))?;
            self.note_addresses();
        }
        Ok(())
    }

    fn after(&mut self, span: Duration, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + span, self.queued), happening);
    }

    fn run_until(&mut self, until: Instant) {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
            self.note_addresses();
        }
        self.now = until;
    }

    fn note_addresses(&mut self) {
        self.record.addresses(self.now, &self.machines);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { machine } => self.feed(machine, None),
            Happening::Arrive { path, from, to, bytes } => self.arrive(path, (from, to), bytes),
            Happening::Report { machine, run, input } => {
                if self.is_run(machine, run) {
                    self.feed(machine, Some(input));
                }
            }
            Happening::Kernel { machine, run } => {
                if self.is_run(machine, run) {
                    self.kernel(machine);
                }
            }
            Happening::Probe { machine, run, monitor, generation } => {
                if self.is_run(machine, run) {
                    self.probe(machine, monitor, generation);
                }
            }
            Happening::Heard { machine, run, address } => {
                if self.is_run(machine, run) {
                    let check = self.who_answers(machine, address);
                    self.feed(machine, Some(Input::Duplicate { address, check }));
                }
            }
            Happening::Thaw { machine } => self.thaw(machine),
        }
    }

    fn is_run(&self, machine: usize, run: u8) -> bool {
        self.machines[machine].process.as_ref().is_some_and(|process| process.run == run)
    }

    // ---- the story ----

    fn step(&mut self, step: &Step, line: &Line) -> Result<(), String> {
        match step {
            Step::Start(servers) => self.each(servers, Self::start)?,
            Step::PowerOff(servers) => self.each(servers, |world, machine| {
                world.machines[machine].end();
                world.machines[machine].powered = false;
            })?,
            Step::Resign(servers) => self.each(servers, |world, machine| {
                world.feed(machine, Some(Input::Command(Command::Resign)));
            })?,
            Step::Standby(servers, on) => self.each(servers, |world, machine| {
                let name = world.machines[machine].name.clone();
                let command = if *on { Command::Standby(name) } else { Command::Resume(name) };
                world.feed(machine, Some(Input::Command(command)));
            })?,
            Step::Carrier(servers, on) => self.each(servers, |world, machine| {
                world.machines[machine].carrier = *on;
                let interfaces = world.machines[machine].interfaces();
                world.report(machine, Duration::ZERO, Input::Interfaces(interfaces));
            })?,
            Step::Router(servers, on) => self.each(servers, |world, machine| world.machines[machine].router = *on)?,
            Step::Wire(one, other, on) => {
                self.ways(one, other, *on)?;
                self.ways(other, one, *on)?;
            }
            Step::Way(from, to, on) => self.ways(from, to, *on)?,
            Step::Heartbeats(path, from, to, on) => self.heartbeats(*path, from, to, *on)?,
            Step::Service(virtual_host, servers, service) => {
                self.virtual_host(virtual_host)?;
                self.each(servers, |world, machine| {
                    world.machines[machine].services.insert(virtual_host.clone(), *service);
                })?;
            }
            Step::Hidden(servers, on) => self.each(servers, |world, machine| world.machines[machine].hidden = *on)?,
            Step::Monitor(monitor, servers, service) => self.each(servers, |world, machine| {
                world.machines[machine].monitors.insert(monitor.clone(), *service);
            })?,
            Step::Force(monitor, servers, force) => self.each(servers, |world, machine| {
                let monitor = Arc::from(monitor.as_str());
                let command = match *force {
                    Some((up, lasts)) => Command::Force { monitor, up, lasts },
                    None => Command::Reset { monitor },
                };
                world.feed(machine, Some(Input::Command(command)));
            })?,
            Step::Endpoint(endpoint, servers, service) => {
                let all = || self.machines.iter().map(|machine| machine.name.clone()).collect();
                let servers = servers.clone().unwrap_or_else(all);
                self.each(&servers, |world, machine| {
                    world.machines[machine].endpoints.insert(endpoint.clone(), *service);
                })?;
            }
            Step::Freeze { servers, span, machine: whole } => self.each(servers, |world, machine| {
                world.machines[machine].frozen = *whole;
                if let Some(process) = &mut world.machines[machine].process {
                    process.frozen = true;
                }
                world.after(*span, Happening::Thaw { machine });
            })?,
            Step::Reload(servers, file) => {
                let config = self.configurations.get(file).ok_or(format!("there is no {file}"))?.clone();
                self.each(servers, |world, machine| world.reload(machine, config.clone()))?;
            }
            Step::Stranger(address, mac) => {
                self.strangers.remove(address);
                self.strangers.extend(mac.map(|mac| (*address, mac)));
            }
            Step::Held(virtual_host, servers) => self.expect(virtual_host, servers, line)?,
            Step::Record | Step::End => self.record.summary(self.now, &self.machines),
        }
        Ok(())
    }

    fn find(&self, server: &ServerName) -> Result<usize, String> {
        let found = self.machines.iter().position(|machine| machine.name == *server);
        found.ok_or(format!("there is no server {server}"))
    }

    fn each(&mut self, servers: &Servers, mut act: impl FnMut(&mut Self, usize)) -> Result<(), String> {
        for server in servers {
            let machine = self.find(server)?;
            act(self, machine);
        }
        Ok(())
    }

    fn ways(&mut self, from: &Servers, to: &Servers, on: bool) -> Result<(), String> {
        for from in from {
            for to in to {
                let way = (self.find(from)?, self.find(to)?);
                if on {
                    self.broken.remove(&way)
                } else {
                    self.broken.insert(way)
                };
            }
        }
        Ok(())
    }

    fn heartbeats(&mut self, path: Path, from: &Servers, to: &Servers, on: bool) -> Result<(), String> {
        for from in from {
            for to in to {
                let way = (path, self.find(from)?, self.find(to)?);
                if on {
                    self.lost.remove(&way)
                } else {
                    self.lost.insert(way)
                };
            }
        }
        Ok(())
    }

    fn virtual_host(&self, name: &VirtualHostName) -> Result<Vec<IpAddr>, String> {
        let mut all = self.configurations.values();
        let found = all.find_map(|config| config.virtual_hosts.get(name));
        found.map(|host| host.addresses.clone()).ok_or(format!("there is no virtual host {name}"))
    }

    fn expect(&mut self, virtual_host: &VirtualHostName, servers: &Servers, line: &Line) -> Result<(), String> {
        let addresses = self.virtual_host(virtual_host)?;
        self.each(servers, |_, _| {})?;
        for address in addresses {
            let holders = self.machines.iter().filter(|machine| machine.kernel.contains(&address));
            let holders: Servers = holders.map(|machine| machine.name.clone()).collect();
            if holders != *servers {
                let holders = holders.iter().map(ServerName::as_str).collect::<Vec<_>>().join(", ");
                let holders = if holders.is_empty() { "nowhere" } else { &holders };
                let Line { number, sentence, .. } = line;
                self.wrong.push(format!("story.txt:{number}: not so: {sentence} ({address}: {holders})"));
            }
        }
        Ok(())
    }

    // ---- daemons ----

    fn start(&mut self, machine: usize) {
        if self.machines[machine].process.is_some() {
            return;
        }
        let zones = ask::zones(&self.machines[machine].config);
        let effects = self.machines[machine].start(self.now, zones);
        self.execute(machine, effects);
        let interfaces = self.machines[machine].interfaces();
        self.report(machine, KERNEL, Input::Interfaces(interfaces));
        self.report(machine, KERNEL, Input::Gateways(vec![ROUTER]));
        self.schedule_wake(machine);
    }

    fn reload(&mut self, machine: usize, config: Arc<ClusterConfig>) {
        let zones = ask::zones(&config);
        self.machines[machine].config = config.clone();
        if let Some(process) = &mut self.machines[machine].process {
            process.zones = zones;
            self.feed(machine, Some(Input::Configure(config)));
            self.ask_dns(machine);
        }
    }

    /// Hands an input to a daemon, as its driver does: what is overdue comes first.
    fn feed(&mut self, machine: usize, input: Option<Input>) {
        let local = self.machines[machine].local(self.now);
        let Some(process) = &mut self.machines[machine].process else { return };
        if process.frozen {
            if let Some(input) = input {
                process.keep(input);
            }
            return;
        }
        let mut effects = Effects::new();
        if process.node.next_deadline().is_some_and(|(at, _)| at <= local) {
            process.node.handle(local, Input::Deadline, &mut effects);
        }
        if let Some(input) = input {
            process.node.handle(local, input, &mut effects);
        }
        self.execute(machine, effects);
        self.schedule_wake(machine);
    }

    fn schedule_wake(&mut self, machine: usize) {
        let host = &mut self.machines[machine];
        let Some((deadline, _)) = host.process.as_ref().and_then(|process| process.node.next_deadline()) else {
            return;
        };
        let at = host.global(deadline);
        let Some(process) = host.process.as_mut().filter(|process| process.wake != Some(at)) else { return };
        process.wake = Some(at);
        self.after(at.since(self.now), Happening::Wake { machine });
    }

    fn thaw(&mut self, machine: usize) {
        self.machines[machine].frozen = false;
        let Some(process) = &mut self.machines[machine].process else { return };
        process.frozen = false;
        let backlog = std::mem::take(&mut process.backlog);
        let (run, kernel_called) = (process.run, process.kernel_called);
        self.record.remark(self.now, &format!("{} runs again", self.machines[machine].name));
        self.note_addresses();
        self.feed(machine, None);
        for input in backlog {
            self.feed(machine, Some(input));
        }
        if kernel_called {
            self.after(KERNEL, Happening::Kernel { machine, run });
        }
    }

    // ---- effects ----

    fn execute(&mut self, machine: usize, mut effects: Effects) {
        for effect in effects.drain() {
            let Some(process) = &mut self.machines[machine].process else { return };
            let run = process.run;
            match effect {
                // No scenario has a guardian.
                Effect::Farewell(_) => {}
                Effect::Send { to, datagram } => {
                    let to = self.find(&to).expect("a configured server");
                    self.after(WAY, Happening::Arrive { path: Path::Udp, from: machine, to, bytes: datagram });
                }
                Effect::Ethernet(links) => process.broadcasts = !links.is_empty(),
                Effect::Broadcast(datagram) => {
                    for to in (0..self.machines.len()).filter(|to| *to != machine) {
                        let bytes = datagram.clone();
                        self.after(WAY, Happening::Arrive { path: Path::Ethernet, from: machine, to, bytes });
                    }
                }
                Effect::Addresses(wished) => {
                    if process.wish(wished) {
                        self.after(KERNEL, Happening::Kernel { machine, run });
                    }
                }
                Effect::Announce(addresses) => {
                    let host = &self.machines[machine];
                    let there = addresses.into_keys().filter(|address| host.answers_for(*address));
                    self.record.announced(&host.name, there);
                }
                Effect::CheckDuplicate { address, interface: InterfaceIndex(_) } => {
                    let silent = self.who_answers(machine, address) == DuplicateCheck::Free;
                    let after = if silent { SILENCE } else { ANSWER };
                    self.after(after, Happening::Heard { machine, run, address });
                }
                Effect::AskHolder { addresses, patience } => {
                    for address in addresses.into_keys() {
                        let answer = match self.who_answers(machine, address) {
                            DuplicateCheck::InUse(mac) => Some(mac),
                            DuplicateCheck::Free => None,
                        };
                        let after = if answer.is_some() { ANSWER } else { patience };
                        self.report(machine, after, Input::Holder { address, answer });
                    }
                }
                Effect::AskWitnesses { witnesses, patience } => {
                    for address in witnesses.into_keys() {
                        let reachable = address == ROUTER && self.machines[machine].reaches_the_router();
                        let after = if reachable { ANSWER } else { patience };
                        self.report(machine, after, Input::Witness { address, reachable });
                    }
                }
                Effect::Probes(orders) => self.order_probes(machine, orders),
                // No scenario restarts who holds something so.
                Effect::Keep(_) => {}
                Effect::ProbeNow(monitor) => {
                    let Some(probe) = process.probes.get_mut(&monitor) else { continue };
                    probe.generation += 1;
                    let generation = probe.generation;
                    self.after(Duration::ZERO, Happening::Probe { machine, run, monitor, generation });
                }
                Effect::RunHook(order) => {
                    let (after, report) = program(&order.hook);
                    self.report(machine, after, Input::HookDone { id: order.id, report });
                }
                Effect::RunRecovery(order) => {
                    let (after, report) = program(&order.hook);
                    self.report(machine, after, Input::RecoveryDone { id: order.id, report });
                }
                Effect::Health(health) => {
                    process.health = health;
                    self.ask_dns(machine);
                }
                Effect::Record(event) => {
                    self.check_release(machine, &event);
                    let sentence = daemon::sentence(&event);
                    self.record.event(self.now, &self.machines[machine].name, &sentence);
                }
                Effect::Goodbye => {
                    self.record.event(self.now, &self.machines[machine].name, "the daemon has ended");
                    self.machines[machine].end();
                }
            }
        }
    }

    /// Peers hear that an address is released only after the kernel has removed it (R4).
    fn check_release(&mut self, machine: usize, event: &Event) {
        let Event::Released { virtual_host, .. } = event else { return };
        let host = &self.machines[machine];
        let kept = self.virtual_host(virtual_host).unwrap_or_default();
        for address in kept.iter().filter(|address| host.kernel.contains(*address)) {
            let at = self.now.as_nanos() / 1_000_000;
            self.wrong.push(format!("{} tells at {at} ms that it has released {address}, and has it", host.name));
        }
    }

    fn report(&mut self, machine: usize, after: Duration, input: Input) {
        if let Some(process) = &self.machines[machine].process {
            let run = process.run;
            self.after(after, Happening::Report { machine, run, input });
        }
    }

    /// What the server's DNS answers, where that is news.
    fn ask_dns(&mut self, machine: usize) {
        let Machine { name, config, process: Some(process), .. } = &mut self.machines[machine] else { return };
        let answers = ask::all(&process.view(name), config);
        for (pool, answer) in &answers {
            if process.answers.get(pool) != Some(answer) {
                self.record.event(self.now, name, &format!("DNS: {pool} is {answer}"));
            }
        }
        process.answers = answers;
    }

    // ---- wire and kernel ----

    fn arrive(&mut self, path: Path, (from, to): (usize, usize), bytes: Vec<u8>) {
        let on = |machine: usize| self.machines[machine].is_on_the_wire();
        let passes = !self.broken.contains(&(from, to)) && !self.lost.contains(&(path, from, to));
        let sender = &self.machines[from];
        let origin = match path {
            Path::Udp => Origin::Udp(sender.config.servers[&sender.name].heartbeat),
            Path::Ethernet => Origin::Ethernet { interface: InterfaceIndex(2), mac: sender.mac() },
        };
        let listens = path == Path::Udp || self.machines[to].process.as_ref().is_some_and(|process| process.broadcasts);
        if on(from) && on(to) && passes && listens {
            self.feed(to, Some(Input::Datagram { from: origin, bytes }));
        }
    }

    fn who_answers(&self, asker: usize, address: IpAddr) -> DuplicateCheck {
        if !self.machines[asker].is_on_the_wire() {
            return DuplicateCheck::Free;
        }
        if let Some(mac) = self.strangers.get(&address) {
            return DuplicateCheck::InUse(*mac);
        }
        let wired = |other: usize| !self.broken.contains(&(asker, other)) && !self.broken.contains(&(other, asker));
        let mut others = self.machines.iter().enumerate().filter(|(other, _)| *other != asker && wired(*other));
        let found = others.find(|(_, machine)| machine.answers_for(address));
        found.map_or(DuplicateCheck::Free, |(_, machine)| DuplicateCheck::InUse(machine.mac()))
    }

    fn kernel(&mut self, machine: usize) {
        if self.machines[machine].process.as_ref().is_none_or(|process| process.frozen) {
            return; // Thawing sees to it.
        }
        let outcomes = self.machines[machine].work();
        self.note_addresses();
        for (address, outcome) in outcomes {
            self.feed(machine, Some(Input::Address { address, outcome }));
        }
    }

    // ---- services ----

    fn order_probes(&mut self, machine: usize, orders: BTreeMap<MonitorId, ProbeOrder>) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let run = process.run;
        process.probes.retain(|monitor, _| orders.contains_key(monitor));
        let mut begun = Vec::new();
        for (monitor, order) in orders {
            let (generation, first) = match process.probes.get(&monitor) {
                Some(probe) if probe.order == order => continue,
                Some(probe) => (probe.generation + 1, order.interval),
                None => (0, Duration::ZERO),
            };
            process.probes.insert(monitor.clone(), Probe { order, generation });
            begun.push((first, Happening::Probe { machine, run, monitor, generation }));
        }
        for (first, happening) in begun {
            self.after(first, happening);
        }
    }

    /// What a machine finds that tries a virtual address through the wire.
    fn service_through(&self, from: usize, name: &VirtualHostName, address: IpAddr, monitor: &MonitorId) -> Service {
        let way = |to: usize| !self.broken.contains(&(from, to)) && !self.broken.contains(&(to, from));
        let answers = |(to, machine): &(usize, &Machine)| machine.answers_for(address) && !machine.hidden && way(*to);
        let found = self.machines.iter().enumerate().find(answers);
        let on_the_wire = self.machines[from].is_on_the_wire();
        found
            .filter(|_| on_the_wire)
            .map_or(Service::Hangs, |(_, machine)| machine.service(&MonitorId::of_host(name, &monitor.monitor)))
    }

    fn probe(&mut self, machine: usize, monitor: MonitorId, generation: u32) {
        let host = &self.machines[machine];
        let service = match &monitor.subject {
            Subject::Held(name, address, _) => self.service_through(machine, name, *address, &monitor),
            Subject::VirtualHost(_) | Subject::Endpoint(..) => host.service(&monitor),
        };
        let Some(process) = &host.process else { return };
        let Some(probe) = process.probes.get(&monitor).filter(|probe| probe.generation == generation) else { return };
        let (run, interval, timeout, frozen) = (process.run, probe.order.interval, probe.order.timeout, process.frozen);
        let (after, result) = match service {
            Service::Works => (PROBE, ProbeResult::Success),
            Service::Stopped => (PROBE, ProbeResult::Failure("connection refused".into())),
            Service::Degraded => (PROBE, ProbeResult::Degraded("slow".into())),
            Service::Hangs => (timeout, ProbeResult::Failure("no answer in time".into())),
        };
        if !frozen {
            self.report(machine, after, Input::Probe { monitor: monitor.clone(), result, took: None });
        }
        self.after(interval, Happening::Probe { machine, run, monitor, generation });
    }
}

/// What a program does says its command: `/takes N` succeeds after N ms, `/fails N` does not, anything else hangs.
fn program(hook: &Hook) -> (Duration, HookReport) {
    let limit = hook.timeout;
    let span = hook.arguments.first().and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let (after, outcome, reason) = match (&*hook.program, span) {
        ("/takes", Some(span)) if span < limit => (span, HookOutcome::Succeeded, "succeeded"),
        ("/fails", Some(span)) if span < limit => (span, HookOutcome::Failed, "exit code 1"),
        _ => (limit + KERNEL, HookOutcome::TimedOut, "killed at its time limit"),
    };
    let took_us = u64::try_from(after.as_micros()).expect("a short time");
    (after, HookReport { took_us, ..HookReport::without_run(outcome, reason) })
}

/// Every cluster file of the directory, by its name.
fn configurations(directory: &std::path::Path) -> Result<BTreeMap<String, Arc<ClusterConfig>>, String> {
    let mut configurations = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !name.ends_with(".toml") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let drawn = |mistakes: Vec<model::diagnostic::Diagnostic>| {
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        configurations.insert(name.clone(), Arc::new(parse_cluster(&name, &text).map_err(drawn)?));
    }
    Ok(configurations)
}
