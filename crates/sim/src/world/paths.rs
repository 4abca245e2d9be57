//! The second path, and refusals: what goes beside the datagrams that machines send each other by UDP.

use std::time::Duration;

use cluster::Input;
use model::net::{InterfaceIndex, Origin, Path};

use super::{Happening, World};

impl World<'_> {
    /// One frame for all on the wire.
    pub(super) fn broadcast(&mut self, from: usize, datagram: &[u8]) {
        for to in (0..self.machines.len()).filter(|to| *to != from) {
            for after in self.network.carry(&mut self.random, Path::Ethernet, from, to) {
                let bytes = datagram.to_vec();
                self.after(after, Happening::Arrive { path: Path::Ethernet, from, to, bytes, genuine: true });
            }
        }
    }

    /// Whether a daemon's socket is there to receive what comes over the path.
    pub(super) fn listens(&self, path: Path, machine: usize) -> bool {
        self.machines[machine].process.as_ref().is_some_and(|process| match path {
            Path::Udp => true,
            Path::Ethernet => process.broadcasts,
        })
    }

    /// The kernel of the sender hears that nobody listens at the other's heartbeat address. Oftener than real kernels say so.
    pub(super) fn refuse(&mut self, from: usize, to: usize) {
        let server = &self.plan.config.servers[&self.machines[to].name];
        let soon = self.random.span(Duration::from_micros(100), Duration::from_micros(800));
        self.report(from, soon, Input::Refused { to: server.heartbeat });
    }

    /// What the receiver's kernel says about a datagram's origin.
    pub(super) fn origin(&self, path: Path, from: usize) -> Origin {
        let machine = &self.machines[from];
        match path {
            Path::Udp => Origin::Udp(self.plan.config.servers[&machine.name].heartbeat),
            Path::Ethernet => Origin::Ethernet { interface: InterfaceIndex(2), mac: machine.mac() },
        }
    }

    /// From every machine to every other.
    pub(crate) fn ways(&self) -> Vec<(usize, usize)> {
        let machines = 0..self.machines.len();
        let pairs = machines.clone().flat_map(|from| machines.clone().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).collect()
    }

    /// Whether each machine sends and hears broadcasts, so that one path less changes nothing.
    pub(crate) fn has_two_paths(&self) -> bool {
        self.machines.iter().all(|machine| machine.ethernet)
    }
}
