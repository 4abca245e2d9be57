//! Hooks: programs that succeed, fail, hang until they are killed, and, rarely, one of which nothing is ever heard.

use std::time::Duration;

use cluster::Input;
use model::hook::{HookOrder, HookOutcome, HookReport, RecoveryOrder};

use super::World;
use crate::random::Random;

/// A machine that is asked to kill a program has done so after this.
const KILLING: Duration = Duration::from_millis(3);

impl World<'_> {
    pub(super) fn run_hook(&mut self, machine: usize, order: HookOrder) {
        if let Some((after, outcome)) = fate(&mut self.added, order.hook.timeout) {
            let report = HookReport::without_run(outcome, outcome.word());
            self.report(machine, after, Input::HookDone { id: order.id, report });
        }
    }

    /// It mends nothing: services come back when they do.
    pub(super) fn run_recovery(&mut self, machine: usize, order: RecoveryOrder) {
        if let Some((after, outcome)) = fate(&mut self.newest, order.hook.timeout) {
            let report = HookReport::without_run(outcome, outcome.word());
            self.report(machine, after, Input::RecoveryDone { id: order.id, report });
        }
    }
}

/// When something is heard of a program, and what; none: never.
fn fate(random: &mut Random, limit: Duration) -> Option<(Duration, HookOutcome)> {
    Some(match random.below(100) {
        0..50 => (random.span(Duration::ZERO, limit), HookOutcome::Succeeded),
        50..65 => (random.span(Duration::ZERO, limit / 4), HookOutcome::Failed),
        65..90 => (limit + random.span(Duration::ZERO, KILLING), HookOutcome::TimedOut),
        90..95 => (Duration::ZERO, HookOutcome::Refused),
        // It is started late, by a machine that is too busy, and ends when nobody waits for it any more.
        95..98 => (limit * 3, HookOutcome::NotRun),
        _ => return None,
    })
}
