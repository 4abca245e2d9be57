//! What is said on the link itself: announcements that rivals hear, questions about holders, duplicates and witnesses.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use cluster::Input;
use model::{
    net::{InterfaceIndex, WitnessWay},
    report::DuplicateCheck,
};

use super::World;
use crate::{
    host::Machine,
    plan::{BEYOND, GATEWAY},
};

impl World<'_> {
    /// Whose kernel answers on the wire for an address.
    pub(super) fn answering(&self, asker: usize, address: IpAddr) -> Option<usize> {
        let answers = |other: &&Machine| {
            other.number != asker && other.kernel.contains(&address) && self.wired(asker, other.number)
        };
        self.machines.iter().find(answers).map(|other| other.number)
    }

    pub(super) fn who_answers(&self, asker: usize, address: IpAddr) -> DuplicateCheck {
        let answering = self.answering(asker, address);
        answering.map_or(DuplicateCheck::Free, |other| DuplicateCheck::InUse(self.machines[other].mac()))
    }

    pub(crate) fn has_gateway(&self, machine: usize) -> bool {
        self.plan.gateway && self.machines[machine].link && self.network.reaches_gateway(machine)
    }

    /// Whose machine has an address, too, hears another's announcement of it.
    pub(super) fn tell_rivals(&mut self, announcer: usize, addresses: &[IpAddr]) {
        let mac = self.machines[announcer].mac();
        for other in (0..self.machines.len()).filter(|other| *other != announcer) {
            let host = &self.machines[other];
            let rivals = addresses.iter().filter(|address| host.link && host.powered && host.kernel.contains(*address));
            for address in rivals.copied().collect::<Vec<_>>() {
                for after in self.network.copies(&mut self.random, announcer, other) {
                    self.report(other, after, Input::Rival { address, mac });
                }
            }
        }
    }

    /// One frame each way, either of which the wire may lose.
    pub(super) fn ask_holder(
        &mut self,
        machine: usize,
        addresses: BTreeMap<IpAddr, InterfaceIndex>,
        patience: Duration,
    ) {
        for address in addresses.into_keys() {
            let holder = self.answering(machine, address);
            let arrives = holder.map(|other| self.network.round_trip(&mut self.random, machine, other));
            let (after, answer) = match (holder, arrives.flatten()) {
                (Some(other), Some(after)) if after < patience => (after, Some(self.machines[other].mac())),
                (Some(_) | None, Some(_) | None) => (patience, None),
            };
            let late = self.random.span(Duration::ZERO, self.plan.latency);
            self.report(machine, after + late, Input::Holder { address, answer });
        }
    }

    pub(super) fn ask_witnesses(
        &mut self,
        machine: usize,
        witnesses: BTreeMap<IpAddr, WitnessWay>,
        patience: Duration,
    ) {
        for (address, way) in witnesses {
            // Asked in the wrong way neither answers.
            let right = match way {
                WitnessWay::OnLink(_) => address == GATEWAY,
                WitnessWay::Routed { from } => {
                    address == BEYOND && from == Some(self.plan.config.servers[&self.machines[machine].name].address)
                }
            };
            let reachable = right && self.has_gateway(machine);
            let soon = self.random.span(Duration::from_micros(100), Duration::from_millis(1));
            self.report(machine, if reachable { soon } else { patience }, Input::Witness { address, reachable });
        }
    }
}
