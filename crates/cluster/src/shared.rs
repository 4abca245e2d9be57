//! When everything fails at once: a switch, a database that all services depend on, a wrong password pushed everywhere.
//!
//! Moving helps only where another server is well. When the services of most servers fail one after the other for the same
//! cause, each failure would move addresses to a server that fails a moment later. The first failure acts at once all the same:
//! nobody may wait for it. But when, within a short span, most of the monitors on most servers have failed, three at least on
//! two servers, the cause is shared: virtual hosts stay with their holders until nothing more has failed for that span
//! (or four of them have passed), so that the whole picture is known. Then whoever is well is used; where all have failed, the
//! policy `always-active` stands. When the first of all comes back the others have a span, too, and nobody runs to the first. It
//! is over when no more than a quarter of the watched is down, or when all is quiet and some are well.
//!
//! Every server computes this from what all say of their monitors. Two may differ for as long as a heartbeat takes; then
//! nothing moves, for it takes the holder and its successor to move something, and what nobody holds is taken as ever.
//!
//! Invariants: nothing stays with a dead service for more than four spans while another is well. What was down before, or what
//! was never seen to work, is no evidence; neither is an operator's word.
//!
//! Deliberately not here: what staying means for placement ([`crate::placement::stays`]).

use std::{collections::BTreeMap, time::Duration};

use model::{
    Instant, ServerName, VirtualHostName,
    config::{ClusterConfig, Monitor, SharedCause},
    event::Event,
    health::Verdict,
};

use crate::Effects;

/// So many have to fail: fewer are never everything.
const FEWEST: u32 = 3;
/// The same in servers.
const FEWEST_SERVERS: u32 = 2;
/// The shortest span; where monitors are slower, as long as they take to notice, up to the longest. The configuration may
/// say another one, or that there is no such rule.
const SHORTEST: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(30);
/// Nothing is waited for longer than so many spans.
const PATIENCE: u32 = 4;

/// One monitor, or group, on one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing is known.
    Unknown,
    Well,
    /// It was well until then.
    Failed(Instant),
    /// It has failed, and is no evidence.
    Old,
}

impl State {
    fn after(self, now: Instant, verdict: Verdict) -> Self {
        match (verdict, self) {
            (Verdict::Unknown, _) => Self::Unknown,
            (Verdict::Up | Verdict::Degraded, _) => Self::Well,
            (Verdict::Down, Self::Well) => Self::Failed(now),
            (Verdict::Down, Self::Unknown) => Self::Old,
            (Verdict::Down, Self::Failed(_) | Self::Old) => self,
        }
    }
}

/// How many have failed, of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) failed: u32,
    pub(crate) watched: u32,
}

impl Tally {
    fn most(self) -> bool {
        self.failed * 2 > self.watched
    }

    /// Enough are back.
    fn few(self) -> bool {
        self.failed * 4 <= self.watched
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Fault {
    since: Instant,
    /// Since when there is no quiet, and what it is counted from.
    unrest: Instant,
    changed: Instant,
}

/// What is watched: virtual hosts, how many of their monitors count (a group as one), and their servers.
type Layout = Vec<(VirtualHostName, usize, Vec<ServerName>)>;

/// Each monitor that counts, on each server.
fn watched(layout: &Layout) -> impl Iterator<Item = (&VirtualHostName, &ServerName, usize)> {
    layout.iter().flat_map(|(host, lines, servers)| {
        servers.iter().flat_map(move |server| (0..*lines).map(move |line| (host, server, line)))
    })
}

/// The monitors of all servers, side by side.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SharedFault {
    layout: Layout,
    /// In the order of the layout.
    states: Vec<State>,
    span: Duration,
    /// Each failure counts for itself.
    off: bool,
    fault: Option<Fault>,
    stays: bool,
}

impl SharedFault {
    /// Takes over a configuration. `lines`: how many of a virtual host's monitors count. Where the same is watched as before,
    /// nothing is forgotten.
    pub(crate) fn reconfigure(&mut self, config: &ClusterConfig, lines: impl Fn(&VirtualHostName) -> usize) {
        let hosts = config.virtual_hosts.iter();
        let layout: Layout = hosts.map(|(name, spec)| (name.clone(), lines(name), spec.servers.clone())).collect();
        let takes = |monitor: &Monitor| monitor.interval + monitor.timeout + monitor.recheck * monitor.fall;
        let slowest = config.monitors().map(|(_, monitor)| takes(monitor)).max().unwrap_or_default();
        self.span = match config.shared_cause {
            SharedCause::Automatic | SharedCause::Off => slowest.clamp(SHORTEST, LONGEST),
            SharedCause::Within(span) => span,
        };
        let off = config.shared_cause == SharedCause::Off;
        if layout != self.layout || off != self.off {
            let states = watched(&layout).map(|_| State::Unknown).collect();
            *self = Self { states, layout, span: self.span, off, fault: None, stays: false };
        }
    }

    /// Looks at what all say now: `found` gives what the probes of a server find by one of a virtual host's monitors.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        found: impl Fn(&VirtualHostName, &ServerName, usize) -> Verdict,
        effects: &mut Effects,
    ) {
        if self.off {
            return;
        }
        let (mut worse, mut better) = (false, false);
        for ((host, server, line), state) in watched(&self.layout).zip(&mut self.states) {
            let after = state.after(now, found(host, server, line));
            worse |= after != *state && matches!(after, State::Failed(_));
            better |= after != *state && after == State::Well;
            *state = after;
        }
        match self.fault {
            None => self.suspect(now, effects),
            Some(fault) => self.follow(now, fault, worse, better, effects),
        }
    }

    fn suspect(&mut self, now: Instant, effects: &mut Effects) {
        // Most decisions are about something else.
        let recent = |state: &State| matches!(state, State::Failed(at) if *at >= now - self.span);
        if !self.states.iter().any(recent) {
            return;
        }
        let (all, servers) = self.tally(now);
        if all.failed >= FEWEST && all.most() && servers.failed >= FEWEST_SERVERS && servers.most() {
            self.fault = Some(Fault { since: now, unrest: now, changed: now });
            self.stays = true;
            let Tally { failed, watched } = all;
            effects.record(Event::SharedFault { failed, watched, servers: servers.failed });
        }
    }

    fn follow(&mut self, now: Instant, mut fault: Fault, worse: bool, better: bool, effects: &mut Effects) {
        let quiet = now >= fault.changed + self.span;
        if quiet && (worse || better) {
            fault.unrest = now;
        }
        // Who is back makes nobody wait any longer than from the first one on.
        if worse || quiet && better {
            fault.changed = now;
        }
        let (all, _) = self.tally(fault.since);
        self.stays = now < self.quiet_at(fault);
        self.fault = Some(fault);
        if all.few() || !self.stays && all.failed < all.watched {
            (self.fault, self.stays) = (None, false);
            // What has failed by now has had its say.
            let failed = self.states.iter_mut().filter(|state| matches!(state, State::Failed(_)));
            failed.for_each(|state| *state = State::Old);
            let lasted_ms = u64::try_from(now.since(fault.since).as_millis()).unwrap_or(u64::MAX);
            effects.record(Event::SharedFaultOver { failed: all.failed, watched: all.watched, lasted_ms });
        }
    }

    fn quiet_at(&self, fault: Fault) -> Instant {
        (fault.changed + self.span).min(fault.unrest + self.span * PATIENCE)
    }

    /// Monitors, and servers most of whose monitors have failed, counting those that were well a span before `begun`.
    fn tally(&self, begun: Instant) -> (Tally, Tally) {
        let mut by_server: BTreeMap<&ServerName, Tally> = BTreeMap::new();
        for ((_, server, _), state) in watched(&self.layout).zip(&self.states) {
            let failed = match state {
                State::Unknown | State::Old => continue,
                State::Failed(at) if *at < begun - self.span => continue,
                State::Failed(_) => 1,
                State::Well => 0,
            };
            let tally = by_server.entry(server).or_default();
            tally.failed += failed;
            tally.watched += 1;
        }
        let (mut all, mut servers) = (Tally::default(), Tally::default());
        for tally in by_server.into_values() {
            all = Tally { failed: all.failed + tally.failed, watched: all.watched + tally.watched };
            servers = Tally { failed: servers.failed + u32::from(tally.most()), watched: servers.watched + 1 };
        }
        (all, servers)
    }

    /// Whether virtual hosts stay where they are.
    pub(crate) fn stays(&self) -> bool {
        self.stays
    }

    /// When that ends without news.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.fault.filter(|_| self.stays).map(|fault| self.quiet_at(fault))
    }

    /// What has failed for a shared cause, and since when.
    pub(crate) fn fault(&self) -> Option<(Tally, Instant)> {
        self.fault.map(|fault| (self.tally(fault.since).0, fault.since))
    }
}

#[cfg(test)]
mod tests;
