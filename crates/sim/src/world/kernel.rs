//! The machines' kernels: addresses that come and go with a delay, or not at all, and leases that run out.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use cluster::Input;

use model::report::AddressOutcome;

use super::{Happening, TRY_AGAIN, World};
use crate::{What, host::BATCHING};

impl World<'_> {
    pub(super) fn schedule_kernel(&mut self, machine: usize, after: Duration) {
        let busy = self.random.span(Duration::from_micros(50), self.plan.kernel);
        if let Some(run) = self.run(machine) {
            self.after(after + busy, Happening::Kernel { machine, run });
        }
    }

    pub(super) fn kernel(&mut self, machine: usize) {
        let now = self.now;
        let host = &mut self.machines[machine];
        if let Some(process) = &mut host.process {
            process.at_work = false;
        }
        let before = host.kernel.clone();
        let outcomes = host.work();
        for (order, (address, outcome)) in (0u64..).zip(outcomes) {
            let host = &self.machines[machine];
            let (was, is) = (before.contains(&address), host.kernel.contains(&address));
            let line = match (&outcome, was, is) {
                (AddressOutcome::Failed(_), ..) => Some(What::Refused(address)),
                (_, false, true) => Some(What::Added(address)),
                (_, true, false) => Some(What::Removed(address)),
                (_, true, true) | (_, false, false) => None,
            };
            if let Some(line) = line {
                if let What::Refused(_) = line {
                    self.watch.refused(machine, now);
                }
                self.trace.note(now, Some(&host.name), line.clone());
                if let What::Added(address) = line
                    && let Some(broken) = self.took_from_the_silent(machine, address)
                {
                    self.fail(broken);
                }
            }
            self.report(machine, Duration::from_micros(20 + order), Input::Address { address, outcome });
        }
        self.note_kernel();
        if self.machines[machine].process.as_ref().is_some_and(|process| process.is_failing()) {
            self.schedule_kernel(machine, TRY_AGAIN);
        }
    }

    /// Nobody renews a machine's leases any more: its daemon is dead, or stopped.
    pub(crate) fn abandon(&mut self, machine: usize) {
        let phase = self.random.span(Duration::ZERO, Duration::from_secs(1)).as_secs_f64();
        let earliest = self.machines[machine].abandon(self.now, phase);
        let late = self.random.span(Duration::ZERO, BATCHING);
        let number = self.machines[machine].lease.number;
        self.after(earliest + late, Happening::Lapse { machine, number });
    }

    pub(super) fn lapse(&mut self, machine: usize) {
        for address in std::mem::take(&mut self.machines[machine].kernel) {
            self.trace.note(self.now, Some(&self.machines[machine].name), What::Expired(address));
        }
        self.note_kernel();
    }

    pub(super) fn attend_again(&mut self, machine: usize) {
        let lost = self.machines[machine].attend_again(self.now);
        self.tell_lost(machine, lost);
    }

    /// The host part has found that it may not renew these any more.
    pub(crate) fn tell_lost(&mut self, machine: usize, lost: BTreeSet<IpAddr>) {
        self.note_kernel();
        for (order, address) in (0u64..).zip(lost) {
            self.trace.note(self.now, Some(&self.machines[machine].name), What::Expired(address));
            let input = Input::Address { address, outcome: AddressOutcome::Lost };
            self.report(machine, Duration::from_micros(20 + order), input);
        }
    }

    /// Compares who has what with a moment ago.
    pub(crate) fn note_kernel(&mut self) {
        if let Some(broken) = self.watch.held(self.now, &self.machines) {
            self.fail(broken);
        }
    }

    // ---- troubles ----
}
