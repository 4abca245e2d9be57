//! The hooks of one virtual host: when they are ordered, which one is waited for, how the last ones ended.
//!
//! `before-take` alone is waited for, and by this virtual host alone: [`Phase::Preparing`] stands between the decision to
//! take and the wish for the addresses. It claims [`Claim::Taking`](crate::statement::Claim::Taking): peers leave alone what
//! has a taker, as they must once its kernel is asked, and whoever becomes the target meanwhile is given way to at once,
//! since nothing is here to be removed. A taker that dies loses its claim as a holder does, and the wait itself ends at the
//! hook's limit, so nobody is kept from the addresses for longer than that. What it takes to begin, it takes to go on: an
//! address that a living peer claims by then, or a silent one's machine answers for, is not taken (design R3).
//!
//! Invariants: a failing, hanging or missing hook delays (design R8), it never refuses. A release never waits. What has been
//! begun is also ended: `before-release` and `after-release` follow a `before-take` whose take was given up, too.
//!
//! Deliberately not here: running anything; a release that the guardian makes for a dead daemon runs no hook, and nothing
//! is made up for at the next start.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use model::{
    Instant, ServerName,
    api::HookStatus,
    config::VirtualHost,
    event::{Cause, Event},
    hook::{HookId, HookMoment, HookOrder, HookReport},
};

use super::{Effect, Effects, Election, Links, Phase};

/// Why the virtual host comes or goes, for the hooks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Errand {
    pub(super) cause: Cause,
    /// From whom, or to whom.
    pub(super) peer: Option<ServerName>,
}

/// The state of a virtual host's hooks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Hooks {
    /// Runs ordered so far.
    ordered: u64,
    /// The take or release under way, or the last.
    errand: Option<Errand>,
    /// The interface of each address when it last had one.
    interfaces: BTreeMap<IpAddr, Arc<str>>,
    awaited: Option<Awaited>,
    runs: BTreeMap<HookMoment, Runs>,
}

/// The `before-take` run that the addresses wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Awaited {
    number: u64,
    since: Instant,
    until: Instant,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Runs {
    running: u64,
    last: Option<HookReport>,
}

impl Hooks {
    /// A take or a release begins; a wait of the one before is over.
    pub(super) fn begin(&mut self, errand: Errand) {
        self.errand = Some(errand);
        self.awaited = None;
    }

    /// Where the addresses are, for the hooks; a release may come when they have no place any more.
    pub(super) fn look(&mut self, spec: &VirtualHost, links: &Links) {
        if spec.hooks.is_empty() {
            return;
        }
        self.interfaces.retain(|address, _| spec.addresses.contains(address));
        for address in &spec.addresses {
            if let Some(name) = links.place(*address).and_then(|index| links.name(index)) {
                self.interfaces.insert(*address, name);
            }
        }
    }

    /// Whether no hook is to be waited for.
    pub(super) fn is_prepared(&self) -> bool {
        self.awaited.is_none()
    }

    /// Until when one is.
    pub(super) fn awaited_until(&self) -> Option<Instant> {
        self.awaited.map(|awaited| awaited.until)
    }
}

impl Election {
    /// The first step of a take: the `before-take` hook, where there is one.
    pub(super) fn prepare(&mut self, now: Instant, effects: &mut Effects) {
        match self.run_hook(HookMoment::BeforeTake, effects) {
            Some((number, timeout)) => {
                self.hooks.awaited = Some(Awaited { number, since: now, until: now + timeout });
            }
            None => self.proceed(),
        }
    }

    /// The second step: the kernel is asked.
    pub(super) fn proceed(&mut self) {
        if let Phase::Preparing { term, since } = self.phase {
            self.phase = Phase::Taking { term, since };
        }
    }

    /// Time has passed: the hook's limit may be over.
    pub(super) fn expire_hook(&mut self, now: Instant, effects: &mut Effects) {
        if let Some(awaited) = self.hooks.awaited.filter(|awaited| now >= awaited.until) {
            self.hooks.awaited = None;
            let waited_ms = u64::try_from(now.since(awaited.since).as_millis()).unwrap_or(u64::MAX);
            effects.record(Event::HookOverdue { virtual_host: self.name.clone(), waited_ms });
        }
    }

    /// Orders the hook for `moment`, if there is one; returns which run it is, and its time limit.
    pub(super) fn run_hook(&mut self, moment: HookMoment, effects: &mut Effects) -> Option<(u64, std::time::Duration)> {
        let hook = self.spec.hooks.get(&moment)?.clone();
        let Errand { cause, peer } = self.hooks.errand.clone()?;
        self.hooks.ordered += 1;
        self.hooks.runs.entry(moment).or_default().running += 1;
        let (number, timeout) = (self.hooks.ordered, hook.timeout);
        let interface = |address: &IpAddr| (*address, self.hooks.interfaces.get(address).cloned());
        effects.push(Effect::RunHook(HookOrder {
            id: HookId { virtual_host: self.name.clone(), moment, number },
            hook,
            addresses: self.spec.addresses.iter().map(interface).collect(),
            cause,
            peer,
            term: self.term(),
        }));
        Some((number, timeout))
    }

    /// A run has ended.
    pub(crate) fn hook_done(&mut self, id: &HookId, report: HookReport) {
        let runs = self.hooks.runs.entry(id.moment).or_default();
        runs.running = runs.running.saturating_sub(1);
        runs.last = Some(report);
        if self.hooks.awaited.is_some_and(|awaited| awaited.number == id.number) {
            self.hooks.awaited = None;
        }
    }

    /// The hooks and how they last ended.
    pub(crate) fn hook_status(&self) -> Vec<HookStatus> {
        let status = |(moment, hook): (&HookMoment, &model::config::Hook)| {
            let runs = self.hooks.runs.get(moment);
            let last = runs.and_then(|runs| runs.last.as_ref());
            HookStatus {
                on: moment.word().to_owned(),
                program: hook.program.to_string(),
                running: runs.map_or(0, |runs| runs.running),
                outcome: last.map(|last| last.outcome.word().to_owned()),
                reason: last.map(|last| last.reason.clone()),
                took_us: last.map(|last| last.took_us),
            }
        };
        self.spec.hooks.iter().map(status).collect()
    }
}
