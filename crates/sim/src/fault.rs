//! What can go wrong, and what operators do: a swarm drawn from the seed.

mod hang;
mod last;
mod services;
mod shared;
mod trifle;
mod wire;

use std::{sync::Arc, time::Duration};

use cluster::{Command, Input};
use model::{EndpointName, MonitorId, ServerName, config::ClusterConfig, net::Path, report::AddressOutcome};

use crate::{
    host::{BATCHING, Ill, LEASE},
    network::Manners,
    plan::{self, Style},
    random::Random,
    trace::What,
    world::{World, guard::State},
};

pub(crate) use self::trifle::trifle;

/// One trouble. Machines are numbered in the order of their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The machine loses power, with all that its kernel had.
    PowerOff(usize),
    /// The daemon is killed, its guardian, too; its addresses stay until their leases end.
    Kill(usize),
    /// The daemon alone is killed; its guardian removes the addresses, says farewell and starts it again.
    KillGuarded(usize),
    /// The daemon alone hangs: its guardian kills it, unless it comes to before.
    Hang(usize),
    /// The guardian alone hangs.
    GuardianHangs(usize),
    /// The daemon is stopped in its tracks, as by SIGSTOP, together with its guardian.
    Pause(usize),
    /// The wire breaks into two: these on one side, the others on the other.
    Split(Vec<usize>),
    /// Nothing gets from the one to the other any more; back it does.
    OneWay(usize, usize),
    /// Nothing gets from the one to the other, nor back.
    Pair(usize, usize),
    /// The machine hears no other, and the router only if so said.
    Isolate { machine: usize, gateway: bool },
    /// Something holds up one path's datagrams on these ways: a firewall UDP, a switch the frames. It may refuse UDP openly.
    Filter { path: Path, ways: Vec<(usize, usize)>, refuses: bool },
    /// Its interface loses carrier.
    LinkDown(usize),
    /// The wire loses a third of everything.
    Storm,
    /// A service falls ill.
    Service { machine: usize, monitor: MonitorId, ill: Ill },
    /// A service fails and works in turns, each time for so long.
    Flap { machine: usize, monitor: MonitorId, turn: Duration },
    /// Nobody reaches its virtual addresses any more; everything else goes on.
    Hide(usize),
    /// An operator forces a monitor up or down.
    Force { machine: usize, monitor: MonitorId, up: bool },
    /// An endpoint dies, and hangs if so said.
    Endpoint { endpoint: EndpointName, hangs: bool },
    /// An operator puts the server on standby.
    Standby(usize),
    /// A planned stop of the daemon.
    Resign(usize),
    /// A new configuration, everywhere within a while.
    Reload { digest: u64 },
    /// The kernel refuses so many changes.
    Refuse(usize, u32),
    /// Somebody deletes an address, and it is put back.
    Delete(usize),
    /// The daemon could not renew its leases in time, though it ran.
    Starve(usize),
    /// Recorded datagrams come once more.
    Replay(usize),
}

/// How long a trouble lasts.
enum Lasts {
    /// It is over at once.
    Moment,
    /// So long.
    For(Duration),
}

impl World<'_> {
    /// Something goes wrong, or an operator does something.
    pub(crate) fn inject(&mut self) {
        let mut faults = self.draw_shared();
        if faults.is_empty() {
            faults = self.draw_hangs();
        }
        if faults.is_empty() {
            faults.extend(self.draw());
        }
        for fault in faults {
            self.trace.note(self.now, None, What::Fault(fault.clone()));
            if let Lasts::For(span) = self.begin(&fault) {
                self.schedule_over(span, fault);
            }
        }
    }

    fn draw(&mut self) -> Option<Fault> {
        let machine = self.random.below(self.machines.len());
        let kind = match self.plan.style {
            Style::Orderly => 70 + self.random.below(53),
            Style::Rough => self.random.below(123),
        };
        Some(match kind {
            0..8 => Fault::PowerOff(machine),
            8..16 => Fault::Kill(machine),
            16..26 => Fault::Pause(machine),
            26..32 => Fault::Split(self.some_machines()),
            32..38 => Fault::OneWay(machine, self.another(machine)?),
            38..42 => Fault::Pair(machine, self.another(machine)?),
            42..50 => Fault::Isolate { machine, gateway: self.random.percent(50) },
            50..54 => Fault::LinkDown(machine),
            54..57 => Fault::Storm,
            57..62 => Fault::Refuse(machine, u32::try_from(self.random.between(1, 2)).expect("small")),
            62..64 => Fault::Delete(machine),
            64..66 => Fault::Starve(machine),
            66..70 => Fault::Replay(machine),
            70..84 => self.some_service(machine)?,
            84..91 => Fault::Standby(machine),
            91..96 => Fault::Resign(machine),
            100..108 => Fault::KillGuarded(machine),
            108..113 => self.some_filter(machine)?,
            113..123 => {
                let endpoints: Vec<_> = self.plan.config.endpoints.keys().cloned().collect();
                let endpoint = self.random.pick(&endpoints).clone();
                Fault::Endpoint { endpoint, hangs: self.random.percent(30) }
            }
            _ => Fault::Reload { digest: self.watch.next_digest() },
        })
    }

    fn another(&mut self, than: usize) -> Option<usize> {
        let others = self.machines.len() - 1;
        (others > 0).then(|| (than + 1 + self.random.below(others)) % self.machines.len())
    }

    fn some_machines(&mut self) -> Vec<usize> {
        let random = &mut self.random;
        (0..self.machines.len()).filter(|_| random.percent(50)).collect()
    }

    fn begin(&mut self, fault: &Fault) -> Lasts {
        let interval = self.plan.config.heartbeat.interval;
        let a_while = Lasts::For(self.random.span(interval, interval * 40));
        match fault {
            Fault::PowerOff(machine) => self.power_off(*machine),
            Fault::Kill(machine) => {
                self.stop(*machine);
                if self.random.percent(25) {
                    return self.longer_than_the_lease();
                }
            }
            Fault::KillGuarded(machine) => {
                self.kill_guarded(*machine);
                return Lasts::For(Duration::from_millis(100));
            }
            Fault::Hang(machine) => {
                self.hang(*machine);
                return Lasts::For(self.hang_span());
            }
            Fault::GuardianHangs(machine) => {
                self.hang_guardian(*machine);
                return Lasts::For(self.hang_span());
            }
            Fault::Pause(machine) => {
                self.pause(*machine);
                return self.pause_span(interval);
            }
            Fault::Split(_)
            | Fault::OneWay(..)
            | Fault::Pair(..)
            | Fault::Isolate { .. }
            | Fault::Filter { .. }
            | Fault::LinkDown(_)
            | Fault::Storm => self.disturb_wire(fault, true),
            Fault::Service { machine, monitor, ill } => self.fall_ill(*machine, monitor, *ill),
            Fault::Flap { machine, monitor, turn } => return Lasts::For(self.flap(*machine, monitor, *turn)),
            Fault::Force { machine, monitor, up } => self.force(*machine, monitor, Some(*up)),
            Fault::Hide(machine) => return Lasts::For(self.hide_for_a_while(*machine)),
            Fault::Endpoint { endpoint, hangs } => {
                self.endpoints.insert(endpoint.clone(), (Some(*hangs), self.now));
                return Lasts::For(self.random.span(interval, Duration::from_secs(6)));
            }
            Fault::Standby(machine) => self.standby(*machine, true),
            Fault::Resign(machine) => self.resign(*machine),
            Fault::Reload { digest } => self.reload(*digest),
            Fault::Refuse(machine, count) => {
                // So few that the pause before the next try stays short.
                self.machines[*machine].refusals = *count;
                return Lasts::Moment;
            }
            Fault::Delete(machine) => {
                self.delete(*machine);
                return Lasts::Moment;
            }
            Fault::Starve(machine) => {
                self.starve(*machine);
                return Lasts::Moment;
            }
            Fault::Replay(machine) => {
                self.replay_recorded(*machine);
                return Lasts::Moment;
            }
        }
        a_while
    }

    fn power_off(&mut self, machine: usize) {
        self.stop(machine);
        self.machines[machine].powered = false;
        self.machines[machine].kernel.clear();
        self.note_kernel();
    }

    /// The kernel ends the leases of a daemon that goes on running.
    fn starve(&mut self, machine: usize) {
        if self.machines[machine].running().is_some() {
            let lost = self.machines[machine].lose();
            self.watch.disturbed(machine, self.now);
            self.tell_lost(machine, lost);
        }
    }

    /// Old datagrams arrive at the machine once more.
    fn replay_recorded(&mut self, machine: usize) {
        for _ in 0..8 {
            let recorded: Vec<_> = self.recorded.iter().filter(|(_, to, _)| *to == machine).cloned().collect();
            if !recorded.is_empty() {
                let (from, to, bytes) = self.random.pick(&recorded).clone();
                self.replay(from, to, bytes);
            }
        }
    }

    fn resign(&mut self, machine: usize) {
        if let Some(process) = &mut self.machines[machine].process {
            process.resigning = true;
        }
        self.watch.disturbed(machine, self.now);
        self.feed(machine, Some(Input::Command(Command::Resign)));
    }

    /// A trouble is over.
    pub(crate) fn end(&mut self, fault: Fault) {
        match fault {
            Fault::PowerOff(machine) => {
                self.machines[machine].powered = true;
                self.start(machine);
            }
            Fault::Kill(machine) | Fault::Resign(machine) => self.start(machine),
            // It is the guardian that starts it again.
            Fault::KillGuarded(machine) if self.machines[machine].guardian.hangs() => {}
            Fault::KillGuarded(machine) => self.start(machine),
            Fault::Hang(machine) | Fault::Pause(machine) => self.resume(machine),
            Fault::GuardianHangs(machine) => self.wake_guardian(machine),
            Fault::Split(_)
            | Fault::OneWay(..)
            | Fault::Pair(..)
            | Fault::Isolate { .. }
            | Fault::Filter { .. }
            | Fault::LinkDown(_)
            | Fault::Storm => self.disturb_wire(&fault, false),
            Fault::Flap { machine, monitor, turn: _ } => {
                self.machines[machine].flapping.remove(&monitor);
                self.watch.disturbed(machine, self.now);
            }
            Fault::Hide(machine) => self.hide(machine, false),
            Fault::Force { machine, monitor, up: _ } => self.force(machine, &monitor, None),
            Fault::Service { machine, monitor, ill } => {
                self.machines[machine].ill.remove(&monitor);
                // Some come back by a second process that takes the port over from the hung one.
                if ill == Ill::Hangs {
                    self.close_port(machine, &monitor);
                }
                self.watch.disturbed(machine, self.now);
            }
            Fault::Endpoint { endpoint, hangs: _ } => {
                self.endpoints.insert(endpoint, (None, self.now));
            }
            Fault::Standby(machine) => self.standby(machine, false),
            Fault::Reload { digest: _ } => self.reload_missed(),
            Fault::Refuse(..) | Fault::Delete(_) | Fault::Starve(_) | Fault::Replay(_) => {}
        }
    }

    fn pause_span(&mut self, interval: Duration) -> Lasts {
        if self.random.percent(20) {
            return self.longer_than_the_lease();
        }
        let detection = self.plan.config.heartbeat.detection();
        let longest = if self.random.percent(40) { detection } else { interval * 30 };
        Lasts::For(self.random.span(interval / 2, longest))
    }

    fn longer_than_the_lease(&mut self) -> Lasts {
        Lasts::For(self.random.span(LEASE - LEASE / 4, LEASE * 2 + BATCHING))
    }

    fn disturb_wire(&mut self, fault: &Fault, on: bool) {
        match fault {
            Fault::Split(side) => self.split(side, on),
            Fault::OneWay(from, to) => self.network.cut(*from, *to, on),
            Fault::Pair(one, other) => {
                self.network.cut(*one, *other, on);
                self.network.cut(*other, *one, on);
            }
            Fault::Isolate { machine, gateway } => {
                for other in (0..self.machines.len()).filter(|other| other != machine) {
                    self.network.cut(*machine, other, on);
                    self.network.cut(other, *machine, on);
                }
                if *gateway {
                    self.network.cut_gateway(*machine, on);
                }
            }
            Fault::Filter { path, ways, refuses } => {
                for (from, to) in ways {
                    self.network.filter(*path, *from, *to, on);
                    if *refuses {
                        self.network.refuse(*from, *to, on);
                    }
                }
                if self.has_two_paths() && !self.network.holds_up(path.other()) {
                    return; // It is no excuse for anything.
                }
            }
            Fault::LinkDown(machine) => {
                self.machines[*machine].link = !on;
                self.report_interfaces(*machine);
            }
            Fault::Storm => {
                let calm = self.plan.manners;
                self.network.set_manners(if on { Manners { loss: 330_000, ..calm } } else { calm });
            }
            Fault::PowerOff(_)
            | Fault::Kill(_)
            | Fault::KillGuarded(_)
            | Fault::Hang(_)
            | Fault::GuardianHangs(_)
            | Fault::Pause(_)
            | Fault::Service { .. }
            | Fault::Flap { .. }
            | Fault::Force { .. }
            | Fault::Hide(_)
            | Fault::Endpoint { .. }
            | Fault::Standby(_)
            | Fault::Resign(_)
            | Fault::Reload { .. }
            | Fault::Refuse(..)
            | Fault::Delete(_)
            | Fault::Starve(_)
            | Fault::Replay(_) => {}
        }
        self.watch.rewired(self.now);
        for machine in 0..self.machines.len() {
            self.watch.disturbed(machine, self.now);
        }
    }

    /// The daemon is gone, whatever it was doing.
    pub(crate) fn stop(&mut self, machine: usize) {
        self.machines[machine].process = None;
        self.machines[machine].guardian.replace(State::Gone);
        if !self.machines[machine].kernel.is_empty() {
            self.watch.left_behind(self.now);
        }
        // Who was stopped in its tracks before has long left them alone.
        if self.machines[machine].lease.unattended.is_none() {
            self.abandon(machine);
        }
        self.watch.restarted(machine, self.now);
    }

    fn standby(&mut self, machine: usize, on: bool) {
        let name: ServerName = self.machines[machine].name.clone();
        if let Some(process) = &mut self.machines[machine].process {
            process.standby = on;
        }
        self.watch.disturbed(machine, self.now);
        let command = if on { Command::Standby(name) } else { Command::Resume(name) };
        self.feed(machine, Some(Input::Command(command)));
    }

    /// A new configuration: here and now on some, a while later on the others.
    fn reload(&mut self, digest: u64) {
        let base = self.plan.config.clone();
        let config = Arc::new(plan::changed(&mut self.random, &base, digest));
        self.watch.newest = config.clone();
        for machine in 0..self.machines.len() {
            if self.random.percent(70) {
                self.configure(machine, &config);
            }
        }
    }

    /// Who has not got the newest configuration gets it.
    pub(crate) fn reload_missed(&mut self) {
        let config = self.watch.newest.clone();
        for machine in 0..self.machines.len() {
            if self.machines[machine].config.digest != config.digest {
                self.configure(machine, &config);
            }
        }
    }

    pub(crate) fn configure(&mut self, machine: usize, config: &Arc<ClusterConfig>) {
        let zones = self.zones_of(config);
        let host = &mut self.machines[machine];
        host.config = config.clone();
        self.watch.differ(self.now);
        if let Some(process) = &mut host.process {
            process.serve(zones);
        }
        self.watch.disturbed(machine, self.now);
        self.feed(machine, Some(Input::Configure(config.clone())));
    }

    /// Somebody deletes an address of a daemon that runs; its host part puts it back at once.
    fn delete(&mut self, machine: usize) {
        let held: Vec<_> = self.machines[machine].kernel.iter().copied().collect();
        if held.is_empty() || self.machines[machine].running().is_none() {
            return;
        }
        let address = *self.random.pick(&held);
        let wished =
            self.machines[machine].process.as_ref().is_some_and(|process| process.desired.contains_key(&address));
        if wished {
            self.feed(machine, Some(Input::Address { address, outcome: AddressOutcome::Restored }));
        }
    }

    /// Everything is repaired: power, wire, daemons, services; standby is lifted; all get the newest configuration.
    pub(crate) fn heal(&mut self) {
        self.era += 1;
        let now = self.now;
        self.endpoints.values_mut().filter(|(dead, _)| dead.is_some()).for_each(|one| *one = (None, now));
        self.watch.rewired(self.now);
        self.network.heal(Manners::GOOD);
        self.plan.latency = self.plan.latency.min(Duration::from_millis(1));
        for machine in 0..self.machines.len() {
            let host = &mut self.machines[machine];
            host.powered = true;
            host.refusals = 0;
            host.ill.clear();
            host.flapping.clear();
            host.hidden = false;
            if !std::mem::replace(&mut host.link, true) {
                self.report_interfaces(machine);
            }
            self.machines[machine].guardian.replace(State::Watches(self.now));
            self.resume(machine);
            if self.machines[machine].process.as_ref().is_some_and(|process| process.resigning) {
                self.stop(machine);
            }
            if self.machines[machine].process.as_ref().is_some_and(|process| process.standby) {
                self.standby(machine, false);
            }
            self.watch.disturbed(machine, self.now);
        }
        self.reload_missed();
        for machine in 0..self.machines.len() {
            self.start(machine);
        }
    }

    /// Life goes on as it was before the repair: with the seed's own manners.
    pub(crate) fn unsettle(&mut self) {
        self.watch.rewired(self.now);
        self.network.set_manners(self.plan.manners);
    }
}

/// Draws the pause between two troubles.
pub(crate) fn pause(random: &mut Random, interval: Duration) -> Duration {
    random.span(Duration::ZERO, interval * 16)
}
