//! From probes to a verdict: `rise` results in a row that are better than the verdict raise it, `fall` that are worse lower
//! it, to what all of them bear out: after failures alone it is down, after successes alone up, and degraded where
//! degraded results are among them.
//!
//! The first result after a start decides alone. While a streak of contrary results runs the verdict is in doubt, and the
//! probes come faster.
//!
//! What the probes find is not always what counts. A monitor that fails too often is *damped* for a while; one of severity
//! `latch` that has failed is *latched* until an operator resets it; the configuration may have *disabled* it, and an
//! operator may have *forced* it up or down. All of this is this server's own; latches and forces outlive its daemon, the rest
//! ends with it. Peers hear it as part of the verdict.
//!
//! Where a recovery program is configured, it is tried before a failure counts (`recovery`); no hint goes round that.
//!
//! When the kernel says that a listener on a monitor's port was closed, the monitor is probed at once. A failure then
//! decides alone: two witnesses say the same, so nothing is gained by waiting for `fall` more. A success clears the
//! monitor: somebody listens there, be it another socket on the port or the service come back. A service that closes its
//! port and opens it again some milliseconds later may be met in between: then it *was* out for its clients, its address
//! moves, and it comes back by `rise` and the failback delay. Services that must restart without that pass their listening
//! socket on (socket activation, SO_REUSEPORT), as they must for their clients' sake. A result that was on its way when the
//! kernel spoke may clear the monitor wrongly: then the probe after it begins an ordinary streak.
//!
//! Invariants: a result that changes nothing costs a look-up, however many monitors there are.
//!
//! Deliberately not here: running probes (`host::probe`), how monitors of one virtual host count together
//! ([`crate::criteria`]).

mod damping;
mod judge;
mod recovery;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use model::{
    Instant, MonitorId, ServerName, Subject,
    api::OwnProbes,
    config::{self, ClusterConfig},
    event::{Event, RecoveryStep},
    health::{Judgement, LastingHold, Verdict},
    hook::{HookReport, RecoveryId},
    report::{ProbeOrder, ProbeResult},
};

use self::{recovery::Teller, watch::Watch};
use crate::{
    Effects,
    observers::observers,
    outside::{self, Holders},
};

/// Among whom the work is shared out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Company {
    /// The living peers.
    pub(crate) peers: BTreeSet<ServerName>,
    /// What they hold.
    pub(crate) holders: Holders,
    /// Since when.
    pub(crate) since: Instant,
}

/// The monitors that run on this server: those of every virtual host whose list it is on, and of every endpoint that it
/// probes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Monitors {
    watches: BTreeMap<MonitorId, Watch>,
    /// Something that is in force ends by itself then.
    due: Option<Instant>,
    /// The orders may be others than when they were last asked for.
    reordered: bool,
}

impl Monitors {
    /// Takes over a configuration, or who lives: endpoints are shared out among the living. Who stays keeps its verdict.
    pub(crate) fn reconfigure(
        &mut self,
        now: Instant,
        me: &ServerName,
        config: &ClusterConfig,
        company: &Company,
        effects: &mut Effects,
    ) {
        let mut wanted = BTreeSet::new();
        for (id, target, settings) in targets(me, config, company) {
            let before = self.judgement(&id);
            match self.watches.entry(id.clone()) {
                Entry::Occupied(mut known) => {
                    known.get_mut().reconfigure(me, target, settings);
                    tell_change(now, &id, before, known.get(), effects);
                    tell_hold(now, &id, before, known.get(), effects);
                }
                Entry::Vacant(new) => {
                    let watch = new.insert(Watch::new(now, me, id.key(), target, settings));
                    tell_hold(now, &id, before, watch, effects);
                }
            }
            wanted.insert(id);
        }
        self.watches.retain(|id, _| wanted.contains(id));
        self.look_ahead();
        self.reordered = true;
    }

    /// A listener on this port of this machine was closed: the monitors that have to be probed at once. What is down
    /// already is not, nor is what runs elsewhere.
    pub(crate) fn suspect(&mut self, now: Instant, port: u16) -> Vec<MonitorId> {
        let here = |id: &MonitorId| matches!(id.subject, Subject::VirtualHost(_));
        let about = |watch: &Watch| watch.settings().port == Some(port) && watch.judgement().found != Verdict::Down;
        let concerned = self.watches.iter_mut().filter(|(id, watch)| here(id) && about(watch));
        concerned
            .map(|(id, watch)| {
                watch.close(now);
                id.clone()
            })
            .collect()
    }

    /// Takes a probe's result, and how long it took. Returns whether it can change a decision, a deadline or an order. A late
    /// result of a monitor that is gone is ignored. `on_duty`: this server serves, and what has failed may be recovered.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        id: &MonitorId,
        result: (&ProbeResult, Option<Duration>),
        on_duty: bool,
        effects: &mut Effects,
    ) -> bool {
        let Some(watch) = self.watches.get_mut(id) else { return false };
        let (before, interval, due) = (watch.judgement(), watch.interval(), watch.due());
        watch.take(now, result, on_duty, &mut Teller { id, effects });
        let after = watch.judgement();
        tell_change(now, id, before, watch, effects);
        tell_hold(now, id, before, watch, effects);
        let reordered = watch.interval() != interval;
        self.reordered |= reordered;
        let changed = after != before || watch.due() != due;
        if changed {
            self.look_ahead();
        }
        reordered || changed
    }

    /// A run of a recovery program has ended.
    pub(crate) fn recovery_ran(&mut self, now: Instant, id: &RecoveryId, report: HookReport, effects: &mut Effects) {
        let (monitor, outcome) = (&id.monitor, report.outcome);
        effects.record(Event::Recovery { monitor: monitor.clone(), step: RecoveryStep::Ran { report } });
        let Some(watch) = self.watches.get_mut(monitor) else { return };
        let before = watch.judgement();
        watch.recovery_ran(now, id.number, outcome, &mut Teller { id: monitor, effects });
        tell_change(now, monitor, before, watch, effects);
        tell_hold(now, monitor, before, watch, effects);
        self.reordered = true;
        self.look_ahead();
    }

    /// An operator's word: up or down, for so long or until a reset; none forgives everything. `name` is that of the
    /// virtual host or endpoint, a slash, and the monitor's own.
    pub(crate) fn command(
        &mut self,
        now: Instant,
        name: &str,
        force: Option<(bool, Option<Duration>)>,
        effects: &mut Effects,
    ) {
        for (id, watch) in self.watches.iter_mut().filter(|(id, _)| id.is_called(name)) {
            let before = watch.judgement();
            match force {
                Some((up, lasts)) => watch.force(up, lasts.map(|lasts| now + lasts)),
                None => watch.reset(),
            }
            tell_change(now, id, before, watch, effects);
            tell_hold(now, id, before, watch, effects);
        }
        self.reordered = true;
        self.look_ahead();
    }

    /// What must outlive this daemon.
    pub(crate) fn lasting(&self) -> BTreeMap<MonitorId, LastingHold> {
        self.watches.iter().filter_map(|(id, watch)| Some((id.clone(), watch.lasting()?))).collect()
    }

    /// What an earlier daemon has left behind; of a monitor that is not here any more nothing is left.
    pub(crate) fn inherit(&mut self, now: Instant, holds: &BTreeMap<MonitorId, LastingHold>, effects: &mut Effects) {
        for (id, hold) in holds {
            let Some(watch) = self.watches.get_mut(id) else { continue };
            let before = watch.judgement();
            watch.inherit(now, *hold);
            tell_hold(now, id, before, watch, effects);
        }
        self.look_ahead();
    }

    /// Time has passed.
    pub(crate) fn expire(&mut self, now: Instant, effects: &mut Effects) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        for (id, watch) in &mut self.watches {
            let before = watch.judgement();
            watch.expire(now, &mut Teller { id, effects });
            tell_change(now, id, before, watch, effects);
            tell_hold(now, id, before, watch, effects);
        }
        // Who is not recovering any more is probed at leisure.
        self.reordered = true;
        self.look_ahead();
    }

    /// When something in force ends by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    fn look_ahead(&mut self) {
        self.due = self.watches.values().filter_map(Watch::due).min();
    }

    /// What is said of it here; none of a monitor that doesn't run here.
    pub(crate) fn said(&self, id: &MonitorId) -> Option<Judgement> {
        self.watches.get(id).map(Watch::judgement)
    }

    /// The same; nothing is known of a monitor that doesn't run here.
    pub(crate) fn judgement(&self, id: &MonitorId) -> Judgement {
        self.said(id).unwrap_or_default()
    }

    /// Its verdict, though it may be recovering: what clients meet.
    pub(crate) fn bare_verdict(&self, id: &MonitorId) -> Verdict {
        self.watches.get(id).map_or(Verdict::Unknown, |watch| watch.bare_judgement().verdict())
    }

    /// What the last probe said against it.
    pub(crate) fn reason(&self, id: &MonitorId) -> Option<Arc<str>> {
        self.watches.get(id)?.reason()
    }

    /// What is known of the probes here, for people.
    pub(crate) fn own(&self, now: Instant, id: &MonitorId) -> Option<OwnProbes> {
        self.watches.get(id).map(|watch| watch.own(now))
    }

    /// Everything, by monitor key, as heartbeats carry it.
    pub(crate) fn judgements(&self) -> BTreeMap<u64, Judgement> {
        self.watches.values().map(|watch| (watch.key(), watch.judgement())).collect()
    }

    /// Whether a monitor's recovery program is at work here.
    pub(crate) fn is_recovering(&self, id: &MonitorId) -> bool {
        self.watches.get(id).is_some_and(Watch::is_recovering)
    }

    /// The keys of those whose recovery program is at work.
    pub(crate) fn recovering(&self) -> BTreeSet<u64> {
        self.watches.values().filter(|watch| watch.is_recovering()).map(Watch::key).collect()
    }

    /// The probes that should be running; none: the same as when this was last asked.
    pub(crate) fn new_orders(&mut self) -> Option<BTreeMap<MonitorId, ProbeOrder>> {
        let orders = || self.watches.iter().map(|(id, watch)| (id.clone(), watch.order())).collect();
        std::mem::take(&mut self.reordered).then(orders)
    }

    /// Whether every monitor has a verdict; what others hold is not waited for.
    pub(crate) fn are_known(&self) -> bool {
        let ours = |id: &MonitorId| !matches!(id.subject, Subject::Held(..));
        let mut ours = self.watches.iter().filter(|(id, _)| ours(id));
        ours.all(|(_, watch)| watch.is_known())
    }

    /// The longest that a probe may take.
    pub(crate) fn longest_timeout(&self) -> Duration {
        self.watches.values().map(|watch| watch.settings().timeout).max().unwrap_or_default()
    }
}

/// What the probes find, where that has changed. What others hold is for its holder to tell.
fn tell_change(now: Instant, id: &MonitorId, before: Judgement, watch: &Watch, effects: &mut Effects) {
    let verdict = watch.judgement().found;
    if verdict != before.found && !matches!(id.subject, Subject::Held(..)) {
        let reason = watch.reason().unwrap_or_else(|| "answers as it should".into());
        let (since_ms, within_ms) = watch.found_since(now);
        let (monitor, counts) = (id.clone(), watch.settings().handling.severity != config::Severity::Record);
        effects.record(Event::MonitorChanged { monitor, verdict, reason, counts, since_ms, within_ms });
    }
}

/// What is in force instead of what the probes find, where that has changed.
fn tell_hold(now: Instant, id: &MonitorId, before: Judgement, watch: &Watch, effects: &mut Effects) {
    let after = watch.judgement();
    if before.hold == after.hold {
        return;
    }
    if let Some(hold) = before.hold {
        effects.record(Event::MonitorFreed { monitor: id.clone(), hold });
    }
    if let Some(hold) = after.hold {
        let for_ms = watch.held_until().map(|until| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX));
        effects.record(Event::MonitorHeld { monitor: id.clone(), hold, for_ms });
    }
}

/// What a server has to try, and where: its own address for virtual hosts, theirs for endpoints, and what others hold.
fn targets(me: &ServerName, config: &ClusterConfig, company: &Company) -> Vec<(MonitorId, IpAddr, config::Monitor)> {
    let own = config.servers.get(me).map(|server| server.address);
    let hosts = config.virtual_hosts.iter().filter(|(_, host)| host.servers.contains(me));
    let hosts = hosts.flat_map(|(name, host)| {
        host.monitors.iter().map(move |monitor| (MonitorId::of_host(name, &monitor.name), own, monitor))
    });
    let lives = |server: &ServerName| server == me || company.peers.contains(server);
    let endpoints = config.endpoints.iter().filter(|(name, spec)| observers(name, spec, lives).contains(&me));
    let endpoints = endpoints.flat_map(|(name, endpoint)| endpoint.monitors(name));
    let hosts = hosts.filter_map(|(id, own, monitor)| Some((id, own?, monitor)));
    let mut all: Vec<_> =
        hosts.chain(endpoints).map(|(id, target, monitor)| (id, target, config::Monitor::clone(monitor))).collect();
    all.extend(outside::targets(me, config, &company.holders, lives));
    all
}
