//! From probes to a verdict: `rise` results in a row that are better than the verdict raise it, `fall` that are worse lower
//! it, to what all of them bear out: after failures alone it is down, after successes alone up, and degraded where
//! degraded results are among them.
//!
//! The first result after a start decides alone. While a streak of contrary results runs the verdict is in doubt, and the
//! probes come faster.
//!
//! When the kernel says that a listener on a monitor's port was closed, the monitor is probed at once. A failure then
//! decides alone: two witnesses say the same, so nothing is gained by waiting for `fall` more. A success clears the
//! monitor: somebody listens there, be it another socket on the port or the service come back. A service that closes its
//! port and opens it again some milliseconds later may be met in between: then it *was* out for its clients, its address
//! moves, and it comes back by `rise` and the failback delay. Services that must restart without that pass their listening
//! socket on (socket activation, SO_REUSEPORT), as they must for their clients' sake. A result that was on its way when the
//! kernel spoke may clear the monitor wrongly: then the probe after it begins an ordinary streak.
//!
//! Deliberately not here: running probes (`host::probe`).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use model::{
    Instant, MonitorId, ServerName, Subject,
    config::{self, ClusterConfig},
    health::Verdict,
    report::{ProbeOrder, ProbeResult},
};

/// So long after its listener was closed a failed probe decides alone.
const FRESH: Duration = Duration::from_secs(1);

/// One monitor on this server.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Monitor {
    settings: config::Monitor,
    target: IpAddr,
    verdict: Verdict,
    /// The next result decides alone: nothing was tried yet, or something else than before is tried.
    first: bool,
    /// Results in a row that speak against the verdict, and what all of them bear out.
    contrary: u32,
    borne_out: Verdict,
    /// The kernel said then that a listener on its port was closed; nothing was heard from it since.
    closed: Option<Instant>,
    reason: Option<Arc<str>>,
}

impl Monitor {
    fn new(settings: config::Monitor, target: IpAddr) -> Self {
        Self {
            settings,
            target,
            verdict: Verdict::Unknown,
            first: true,
            contrary: 0,
            borne_out: Verdict::Unknown,
            closed: None,
            reason: None,
        }
    }

    /// A changed threshold keeps the verdict (design R9). Something else to try keeps it too, until its first result.
    fn reconfigure(&mut self, settings: config::Monitor, target: IpAddr) {
        let tried = |monitor: &config::Monitor, target| (monitor.kind.clone(), monitor.port, target);
        if tried(&self.settings, self.target) != tried(&settings, target) {
            self.first = true;
            self.contrary = 0;
            self.closed = None;
        }
        self.settings = settings;
        self.target = target;
    }

    fn take(&mut self, now: Instant, result: &ProbeResult) {
        let (says, reason) = match result {
            ProbeResult::Success => (Verdict::Up, None),
            ProbeResult::Degraded(reason) => (Verdict::Degraded, Some(reason.clone())),
            ProbeResult::Failure(reason) => (Verdict::Down, Some(reason.clone())),
        };
        let closed = self.closed.take().is_some_and(|since| now.since(since) <= FRESH) && says == Verdict::Down;
        self.reason = reason;
        let needed = self.count(says);
        if self.first || closed || needed.is_some_and(|needed| self.contrary >= needed) {
            self.verdict = if self.first || closed { says } else { self.borne_out };
            self.contrary = 0;
        }
        self.first = false;
    }

    /// Counts a result that speaks against the verdict; returns how many are needed.
    fn count(&mut self, says: Verdict) -> Option<u32> {
        let (needed, weaker): (_, fn(Verdict, Verdict) -> Verdict) = match says.cmp(&self.verdict) {
            Ordering::Equal => {
                self.contrary = 0;
                return None;
            }
            Ordering::Less => (self.settings.fall, Ord::max),
            Ordering::Greater => (self.settings.rise, Ord::min),
        };
        // What was counted on the other side of the verdict is void.
        let goes_on = self.contrary > 0 && says.cmp(&self.verdict) == self.borne_out.cmp(&self.verdict);
        (self.contrary, self.borne_out) =
            if goes_on { (self.contrary + 1, weaker(self.borne_out, says)) } else { (1, says) };
        Some(needed)
    }

    fn order(&self) -> ProbeOrder {
        ProbeOrder {
            target: self.target,
            port: self.settings.port,
            kind: self.settings.kind.clone(),
            interval: if self.contrary > 0 { self.settings.recheck } else { self.settings.interval },
            timeout: self.settings.timeout,
        }
    }
}

/// A verdict that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    /// The new verdict.
    pub(crate) verdict: Verdict,
    /// The probe's words.
    pub(crate) reason: Arc<str>,
}

/// The monitors that run on this server: those of every virtual host whose list it is on, and of every endpoint that it
/// probes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Monitors(BTreeMap<MonitorId, Monitor>);

impl Monitors {
    /// Takes over a configuration. Who stays keeps its verdict.
    pub(crate) fn reconfigure(&mut self, me: &ServerName, config: &ClusterConfig) {
        let mut wanted = BTreeSet::new();
        for (id, target, settings) in targets(me, config) {
            match self.0.get_mut(&id) {
                Some(monitor) => monitor.reconfigure(settings.clone(), target),
                None => {
                    self.0.insert(id.clone(), Monitor::new(settings.clone(), target));
                }
            }
            wanted.insert(id);
        }
        self.0.retain(|id, _| wanted.contains(id));
    }

    /// A listener on this port of this machine was closed: the monitors that have to be probed at once. What is down
    /// already is not, nor is what runs elsewhere.
    pub(crate) fn suspect(&mut self, now: Instant, port: u16) -> Vec<MonitorId> {
        let here = |id: &MonitorId| matches!(id.subject, Subject::VirtualHost(_));
        let about = |monitor: &Monitor| monitor.settings.port == Some(port) && monitor.verdict != Verdict::Down;
        let concerned = self.0.iter_mut().filter(|(id, monitor)| here(id) && about(monitor));
        concerned
            .map(|(id, monitor)| {
                monitor.closed = Some(now);
                id.clone()
            })
            .collect()
    }

    /// Takes a probe's result. Returns the new verdict if it changed. A late result of a monitor that is gone is ignored.
    pub(crate) fn take(&mut self, now: Instant, id: &MonitorId, result: &ProbeResult) -> Option<Change> {
        let monitor = self.0.get_mut(id)?;
        let before = monitor.verdict;
        monitor.take(now, result);
        let reason = monitor.reason.clone().unwrap_or_else(|| "answers as it should".into());
        (monitor.verdict != before).then_some(Change { verdict: monitor.verdict, reason })
    }

    /// The verdict here; unknown for a monitor that doesn't run here.
    pub(crate) fn verdict(&self, id: &MonitorId) -> Verdict {
        self.0.get(id).map_or(Verdict::Unknown, |monitor| monitor.verdict)
    }

    /// What the last probe said against it.
    pub(crate) fn reason(&self, id: &MonitorId) -> Option<Arc<str>> {
        self.0.get(id)?.reason.clone()
    }

    /// Every verdict, by monitor key, as heartbeats carry them.
    pub(crate) fn verdicts(&self) -> BTreeMap<u64, Verdict> {
        self.0.iter().map(|(id, monitor)| (id.key(), monitor.verdict)).collect()
    }

    /// The probes that should be running.
    pub(crate) fn orders(&self) -> BTreeMap<MonitorId, ProbeOrder> {
        self.0.iter().map(|(id, monitor)| (id.clone(), monitor.order())).collect()
    }

    /// Whether every monitor has a verdict.
    pub(crate) fn are_known(&self) -> bool {
        self.0.values().all(|monitor| monitor.verdict != Verdict::Unknown)
    }

    /// The longest that a probe may take.
    pub(crate) fn longest_timeout(&self) -> Duration {
        self.0.values().map(|monitor| monitor.settings.timeout).max().unwrap_or_default()
    }
}

/// What a server has to try, and where: its own address for virtual hosts, theirs for endpoints.
fn targets<'c>(me: &ServerName, config: &'c ClusterConfig) -> Vec<(MonitorId, IpAddr, &'c config::Monitor)> {
    let own = config.servers.get(me).map(|server| server.address);
    let hosts = config.virtual_hosts.iter().filter(|(_, host)| host.servers.contains(me));
    let hosts = hosts.flat_map(|(name, host)| {
        host.monitors.iter().map(move |monitor| (MonitorId::of_host(name, &monitor.name), own, monitor))
    });
    let endpoints = config.endpoints.iter().filter(|(_, endpoint)| endpoint.probed_by.contains(me));
    let endpoints = endpoints.flat_map(|(name, endpoint)| endpoint.monitors(name));
    let hosts = hosts.filter_map(|(id, own, monitor)| Some((id, own?, monitor)));
    hosts.chain(endpoints).collect()
}

#[cfg(test)]
mod tests {
    use model::config::probe::{ProbeKind, TcpProbe};
    use proptest::prelude::*;

    use super::*;

    fn settings(rise: u32, fall: u32) -> config::Monitor {
        config::Monitor {
            name: "tcp-80".into(),
            kind: ProbeKind::Tcp(TcpProbe::default()),
            port: Some(80),
            interval: Duration::from_secs(1),
            recheck: Duration::from_millis(100),
            timeout: Duration::from_secs(1),
            rise,
            fall,
            priority: 0,
        }
    }

    fn monitor(rise: u32, fall: u32) -> Monitor {
        Monitor::new(settings(rise, fall), "10.77.0.11".parse().unwrap())
    }

    fn feed(monitor: &mut Monitor, results: &str) -> String {
        results
            .chars()
            .map(|result| {
                let result = match result {
                    '+' => ProbeResult::Success,
                    '~' => ProbeResult::Degraded("slow".into()),
                    _ => ProbeResult::Failure("connection refused".into()),
                };
                monitor.take(Instant::BOOT, &result);
                let doubt = monitor.order().interval == monitor.settings.recheck;
                match (monitor.verdict, doubt) {
                    (Verdict::Up, false) => 'U',
                    (Verdict::Up, true) => 'u',
                    (Verdict::Degraded, false) => 'G',
                    (Verdict::Degraded, true) => 'g',
                    (Verdict::Down, false) => 'D',
                    (Verdict::Down, true) => 'd',
                    (Verdict::Unknown, _) => '?',
                }
            })
            .collect()
    }

    #[test]
    fn rise_and_fall() {
        // Upper case: sure; lower case: in doubt, and probed faster.
        assert_eq!(feed(&mut monitor(2, 2), "+-+--+-++"), "UuUuDdDdU");
        assert_eq!(feed(&mut monitor(3, 1), "+-+++"), "UDddU");
        assert_eq!(feed(&mut monitor(1, 3), "---+---"), "DDDUuuD");
    }

    #[test]
    fn a_verdict_goes_as_far_as_every_result_of_the_streak_bears_out() {
        assert_eq!(feed(&mut monitor(2, 2), "~~++~~--"), "GGgUuGgD");
        assert_eq!(feed(&mut monitor(2, 2), "+-~--"), "UuGgD", "a failure and a degraded result: degraded at least");
        assert_eq!(feed(&mut monitor(2, 2), "-+~++"), "DdGgU");
        assert_eq!(feed(&mut monitor(2, 2), "~+-+-"), "Ggggg", "better and worse are no streak");
        assert_eq!(feed(&mut monitor(3, 1), "+~-~~~"), "UGDddG", "`fall` counts anew at each level");
    }

    #[test]
    fn a_closed_listener_lets_one_failure_decide_while_the_news_is_fresh() {
        let closed = |after: Duration, results: &str| {
            let mut monitor = monitor(2, 3);
            feed(&mut monitor, "+");
            monitor.closed = Some(Instant::BOOT);
            let failure = ProbeResult::Failure("connection refused".into());
            let first = if results.starts_with('+') { &ProbeResult::Success } else { &failure };
            monitor.take(Instant::BOOT + after, first);
            (monitor.verdict, feed(&mut monitor, &results[1..]))
        };
        assert_eq!(closed(FRESH, "--+-++"), (Verdict::Down, "DdDdU".into()), "and `rise` brings it back, as ever");
        assert_eq!(closed(FRESH + Duration::from_nanos(1), "---"), (Verdict::Up, "uD".into()), "old news");
        assert_eq!(closed(Duration::ZERO, "+---"), (Verdict::Up, "uuD".into()), "somebody listens there");
    }

    #[test]
    fn changed_thresholds_keep_the_verdict_and_another_port_decides_anew() {
        let mut monitor = monitor(2, 2);
        feed(&mut monitor, "+");
        monitor.reconfigure(settings(2, 3), monitor.target);
        assert_eq!(monitor.verdict, Verdict::Up);
        assert_eq!(feed(&mut monitor, "--"), "uu");
        monitor.reconfigure(config::Monitor { port: Some(81), ..settings(2, 3) }, monitor.target);
        assert_eq!(monitor.verdict, Verdict::Up, "kept until something is known");
        assert_eq!(feed(&mut monitor, "-"), "D", "the first result decides alone");
    }

    proptest! {
        /// A verdict changes only after `rise` or `fall` equal results in a row.
        #[test]
        fn never_turns_early(rise in 1u32..5, fall in 1u32..5, results in prop::collection::vec(any::<bool>(), 1..60)) {
            let mut monitor = monitor(rise, fall);
            let mut streak = 0u32;
            let mut last = None;
            for (index, up) in results.into_iter().enumerate() {
                streak = if last == Some(up) { streak + 1 } else { 1 };
                last = Some(up);
                let before = monitor.verdict;
                feed(&mut monitor, if up { "+" } else { "-" });
                if index > 0 && monitor.verdict != before {
                    prop_assert_eq!(streak, if up { rise } else { fall });
                }
                prop_assert_ne!(monitor.verdict, Verdict::Unknown);
            }
        }
    }
}
