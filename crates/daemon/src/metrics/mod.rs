//! Every metric of the daemon: name, help and labels in one table, and the values that threads keep between scrapes.
//!
//! Two kinds. *Kept* values (counters and histograms here) are raised where things happen. *Sampled* values are read
//! from their owner when somebody scrapes: the core's counters and health, and the DNS threads' own counters, each
//! written by one thread alone; see [`scrape`].
//!
//! Deliberately not here: a `with_label_values` on any path that runs once per DNS query.

pub(crate) mod scrape;

use model::{
    event::RecoveryStep,
    hook::{HookMoment, HookOutcome},
};
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, GenericCounterVec},
};

/// One metric's name, help and labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declaration {
    /// The name, with the `standin_` prefix.
    pub name: &'static str,
    /// What it counts, for people.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
}

impl Declaration {
    fn opts(self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

macro_rules! declare {
    ($($ident:ident = $name:literal $labels:tt $help:literal;)*) => {
        $(#[doc = $help] pub(crate) const $ident: Declaration =
            Declaration { name: $name, help: $help, labels: &$labels };)*

        #[cfg(test)]
        /// Every metric that the daemon exports, besides those of the process itself (`process_...`).
        pub(crate) const ALL: &[Declaration] = &[$($ident),*];
    };
}

declare! {
    BUILD_INFO = "standin_build_info" ["version"] "Always 1; the label says which version runs.";
    UPTIME = "standin_uptime_seconds" [] "Seconds since this daemon started.";
    GUARDIAN_UP = "standin_guardian_up" [] "1 while the process lives that cleans up if this daemon dies or hangs.";
    STATE = "standin_state" ["state"] "1 for the state that this server is in, 0 for the others.";
    CONFIG_INFO = "standin_config_info" ["hash"] "Always 1; the label is the hash of the configuration in force.";
    CONFIG_VERSION = "standin_config_version" [] "Configurations that this daemon has applied since it started.";
    CONFIG_REFUSED = "standin_config_refused" [] "1 while the last configuration offered was refused.";
    CONFIG_CONFLICTS = "standin_config_conflicts" [] "Servers that run another configuration than this one.";
    CONFIG_CLASHES = "standin_config_clashes" [] "Objects of the document with several values, which somebody must settle.";
    CONFIG_HELD = "standin_config_held" [] "Objects that are not in force as the document has them.";
    CONFIG_DISK_FAILING = "standin_config_disk_failing" [] "1 while the disk does not keep the document.";
    CONFIG_RELOADS = "standin_config_reloads_total" ["result"] "Configurations offered, by result.";
    HEARTBEATS_SENT = "standin_heartbeats_sent_total" [] "Heartbeat datagrams handed to the network.";
    HEARTBEATS_BROADCAST = "standin_heartbeats_broadcast_total" []
        "Heartbeat datagrams broadcast on Ethernet, each counted once, on however many interfaces.";
    HEARTBEATS_RECEIVED = "standin_heartbeats_received_total" [] "Heartbeat datagrams accepted.";
    HEARTBEATS_REDUNDANT = "standin_heartbeats_redundant_total" []
        "Authentic heartbeat datagrams that told nothing new: second copies over another path, or relayed by others.";
    HEARTBEATS_RELAYED = "standin_heartbeats_relayed_total" [] "Heartbeat datagrams forwarded for others.";
    PATH_UP = "standin_heartbeat_path_up" ["server", "path"] "1 while the member is heard straight over the path.";
    PATH_LOSSES = "standin_heartbeat_path_losses_total" ["server", "path"]
        "Times that a living member was no longer heard over the path.";
    OVERSLEPT = "standin_overslept_total" [] "Times that the daemon did not run for longer than the detection time.";
    ISOLATIONS = "standin_isolations_total" [] "Times that the partition policy made this server let go of everything.";
    SEND_ERRORS = "standin_heartbeat_send_errors_total" [] "Heartbeat datagrams that the kernel did not take.";
    DATAGRAMS_REFUSED = "standin_datagrams_refused_total" ["reason"] "Datagrams on the heartbeat socket refused.";
    SERVERS = "standin_servers" ["state"] "Members of the cluster by state, this server included.";
    SERVER_UP = "standin_server_up" ["server"] "1 while this server believes that the member is alive.";
    VIRTUAL_HOST_ACTIVE = "standin_virtual_host_active" ["virtual_host"]
        "1 while this server holds the virtual host.";
    VIRTUAL_HOST_HELD = "standin_virtual_host_held" ["virtual_host"]
        "1 while any living server is known to hold the virtual host.";
    VIRTUAL_HOST_AT_PRIMARY = "standin_virtual_host_at_primary" ["virtual_host"]
        "1 while the virtual host is held by the first server of its list.";
    VIRTUAL_HOST_TERM = "standin_virtual_host_term" ["virtual_host"]
        "The number of the virtual host's current holding; each change of hands raises it.";
    MOVES = "standin_moves_total" ["cause"] "Virtual hosts that this server has taken, by cause.";
    MOVE_DURATION = "standin_move_duration_seconds" []
        "Time from this server's decision to take a virtual host until the kernel had confirmed its addresses.";
    RELEASE_DURATION = "standin_release_duration_seconds" []
        "Time from this server's decision to give a virtual host up until the kernel had confirmed the removal.";
    DETECTION_DURATION = "standin_detection_duration_seconds" [] "Silence of a peer until it was declared dead.";
    FAILOVER_DURATION = "standin_failover_duration_seconds" []
        "Time from the last word of a dead server until this server held a virtual host of its.";
    HANDOVER_DURATION = "standin_handover_duration_seconds" []
        "Time from the decision to give a virtual host up for another server until that one said that it held it.";
    RIVALS = "standin_rivals_total" ["virtual_host"] "Sightings of two servers that claim one virtual host.";
    ADDRESSES_RESTORED = "standin_addresses_restored_total" ["virtual_host"]
        "Addresses deleted by somebody else and put back.";
    ADDRESSES_REFUSED = "standin_addresses_refused_total" ["virtual_host"]
        "Addresses refused by the kernel, or found to belong to somebody else.";
    MONITOR_VERDICT = "standin_monitor_verdict" ["virtual_host", "monitor", "verdict"]
        "1 for the verdict of the monitor on this server, 0 for the others.";
    MONITOR_HELD = "standin_monitor_held" ["virtual_host", "monitor", "hold"]
        "1 while the monitor counts on this server as something else than its probes find, by why.";
    MONITOR_FLIPS = "standin_monitor_flips_total" ["virtual_host", "monitor"]
        "Changes of the monitor's verdict on this server.";
    ENDPOINT_VERDICT = "standin_endpoint_verdict" ["endpoint", "verdict"]
        "1 for what the majority of those who probe the endpoint find, 0 for the other verdicts.";
    ENDPOINT_MONITOR_VERDICT = "standin_endpoint_monitor_verdict" ["endpoint", "address", "monitor", "verdict"]
        "1 for the verdict of the endpoint's monitor as this server probes it, 0 for the others.";
    ENDPOINT_MONITOR_FLIPS = "standin_endpoint_monitor_flips_total" ["endpoint", "address", "monitor"]
        "Changes of the verdict of the endpoint's monitor as this server probes it.";
    ENDPOINT_FLIPS = "standin_endpoint_flips_total" ["endpoint"] "Changes of the endpoint's verdict.";
    SHARED_FAULT = "standin_shared_fault" []
        "1 while services fail on most servers at once, for a shared cause.";
    HOOK_RUNS = "standin_hook_runs_total" ["moment", "outcome"] "Hooks run, or due and not run, by outcome.";
    HOOK_DURATION = "standin_hook_duration_seconds" [] "How long hooks ran.";
    RECOVERIES = "standin_recoveries_total" ["end"]
        "Services that failed and have a recovery program, by how that ended: recovered, given-up, or withheld (too soon again).";
    RECOVERY_RUNS = "standin_recovery_runs_total" ["outcome"] "Recovery programs run, or due and not run, by outcome.";
    NOTIFICATIONS = "standin_notifications_total" ["channel", "result"]
        "Attempts of this server to notify by the channel, by result: delivered or failed; and messages given-up after too many.";
    NOTIFICATIONS_WAITING = "standin_notifications_waiting" ["channel"]
        "Incidents whose news this server has still to send: a quiet time or a failure holds them back.";
    EVENTS = "standin_events_total" ["event", "level"] "Journal entries by kind.";
    DRIVER_LATENESS = "standin_driver_lateness_seconds" [] "How late the driver handled its deadlines.";
    QUEUE_DROPPED = "standin_queue_dropped_total" ["queue"] "What a full queue had to drop.";
    LOG_BYTES = "standin_log_bytes" [] "Length of the cluster's log on the disk.";
    DNS_QUERIES = "standin_dns_queries_total" ["type"] "DNS queries by type.";
    DNS_RESPONSES = "standin_dns_responses_total" ["rcode"] "DNS responses by response code.";
    DNS_DROPPED = "standin_dns_dropped_total" ["reason"] "DNS datagrams that got no response, by reason.";
    DNS_TRUNCATED = "standin_dns_truncated_total" [] "DNS responses with TC set.";
    DNS_ANSWER_DURATION = "standin_dns_answer_duration_seconds" []
        "Time from taking a UDP query from the kernel until its response was handed to it, of one batch in sixteen.";
    DNS_SERIAL = "standin_dns_serial" [] "The zone serial that this server answers.";
    DNS_ANSWERED = "standin_pool_member_answered" ["pool", "member"]
        "1 while DNS answers contain the pool's member.";
    VIEW_REBUILD = "standin_view_rebuild_duration_seconds" []
        "Time to build the DNS answers anew after health or zones changed.";
}

/// Seconds: from 10 µs to 10 s.
const FAST: [f64; 18] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5,
    1.0, 10.0,
];

/// The values kept between scrapes. Cheap to share; every field may be raised from any thread.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// [`CONFIG_RELOADS`].
    pub config_reloads: IntCounterVec,
    /// [`SEND_ERRORS`].
    pub send_errors: IntCounter,
    /// [`PATH_LOSSES`].
    pub path_losses: IntCounterVec,
    /// [`MOVES`].
    pub moves: IntCounterVec,
    /// [`MOVE_DURATION`].
    pub move_duration: Histogram,
    /// [`RELEASE_DURATION`].
    pub release_duration: Histogram,
    /// [`DETECTION_DURATION`].
    pub detection_duration: Histogram,
    /// [`FAILOVER_DURATION`].
    pub failover_duration: Histogram,
    /// [`HANDOVER_DURATION`].
    pub handover_duration: Histogram,
    /// [`RIVALS`].
    pub rivals: IntCounterVec,
    /// [`ADDRESSES_RESTORED`].
    pub addresses_restored: IntCounterVec,
    /// [`ADDRESSES_REFUSED`].
    pub addresses_refused: IntCounterVec,
    /// [`MONITOR_FLIPS`].
    pub monitor_flips: IntCounterVec,
    /// [`ENDPOINT_MONITOR_FLIPS`].
    pub endpoint_monitor_flips: IntCounterVec,
    /// [`ENDPOINT_FLIPS`].
    pub endpoint_flips: IntCounterVec,
    /// [`HOOK_RUNS`].
    pub hook_runs: IntCounterVec,
    /// [`HOOK_DURATION`].
    pub hook_duration: Histogram,
    /// [`RECOVERIES`].
    pub recoveries: IntCounterVec,
    /// [`RECOVERY_RUNS`].
    pub recovery_runs: IntCounterVec,
    /// [`NOTIFICATIONS`].
    pub notifications: IntCounterVec,
    /// [`NOTIFICATIONS_WAITING`].
    pub notifications_waiting: IntGaugeVec,
    /// [`EVENTS`].
    pub events: IntCounterVec,
    /// [`DRIVER_LATENESS`].
    pub driver_lateness: Histogram,
    /// [`QUEUE_DROPPED`] of the driver's queue: heartbeat datagrams.
    pub heartbeats_dropped: IntCounter,
    /// [`QUEUE_DROPPED`] of the journal's queue: events.
    pub journal_dropped: IntCounter,
    /// [`QUEUE_DROPPED`] of the cluster log's queue: events, also those that the disk did not take.
    pub log_dropped: IntCounter,
    /// [`LOG_BYTES`].
    pub log_bytes: IntGauge,
    /// [`VIEW_REBUILD`].
    pub view_rebuild: Histogram,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let kept = Kept(&registry);
        let queue_dropped = kept.counters(QUEUE_DROPPED);
        let this = Self {
            config_reloads: kept.counters(CONFIG_RELOADS),
            send_errors: kept.counter(SEND_ERRORS),
            path_losses: kept.counters(PATH_LOSSES),
            moves: kept.counters(MOVES),
            move_duration: kept.histogram(MOVE_DURATION),
            release_duration: kept.histogram(RELEASE_DURATION),
            detection_duration: kept.histogram(DETECTION_DURATION),
            failover_duration: kept.histogram(FAILOVER_DURATION),
            handover_duration: kept.histogram(HANDOVER_DURATION),
            rivals: kept.counters(RIVALS),
            addresses_restored: kept.counters(ADDRESSES_RESTORED),
            addresses_refused: kept.counters(ADDRESSES_REFUSED),
            monitor_flips: kept.counters(MONITOR_FLIPS),
            endpoint_monitor_flips: kept.counters(ENDPOINT_MONITOR_FLIPS),
            endpoint_flips: kept.counters(ENDPOINT_FLIPS),
            hook_runs: kept.counters(HOOK_RUNS),
            hook_duration: kept.histogram(HOOK_DURATION),
            recoveries: kept.counters(RECOVERIES),
            recovery_runs: kept.counters(RECOVERY_RUNS),
            notifications: kept.counters(NOTIFICATIONS),
            notifications_waiting: kept.gauges(NOTIFICATIONS_WAITING),
            events: kept.counters(EVENTS),
            driver_lateness: kept.histogram(DRIVER_LATENESS),
            heartbeats_dropped: queue_dropped.with_label_values(&["heartbeats"]),
            journal_dropped: queue_dropped.with_label_values(&["journal"]),
            log_dropped: queue_dropped.with_label_values(&["log"]),
            log_bytes: kept.gauge(LOG_BYTES),
            view_rebuild: kept.histogram(VIEW_REBUILD),
            registry,
        };
        // A counter that appears only with its first increment hides that increment from `rate()`.
        ["applied", "refused"].iter().for_each(|result| drop(this.config_reloads.with_label_values(&[result])));
        RecoveryStep::ENDS.iter().for_each(|end| drop(this.recoveries.with_label_values(&[end])));
        HookOutcome::ALL.iter().for_each(|it| drop(this.recovery_runs.with_label_values(&[it.word()])));
        for moment in HookMoment::ALL {
            HookOutcome::ALL.iter().for_each(|it| drop(this.hook_runs.with_label_values(&[moment.word(), it.word()])));
        }
        this
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes kept values and registers them.
struct Kept<'a>(&'a Registry);

impl Kept<'_> {
    fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let made = made.expect("the declaration is valid");
        self.0.register(Box::new(made.clone())).expect("each metric is declared once");
        made
    }

    fn gauge(&self, declaration: Declaration) -> IntGauge {
        self.register(IntGauge::with_opts(declaration.opts()))
    }

    fn gauges(&self, declaration: Declaration) -> IntGaugeVec {
        self.register(IntGaugeVec::new(declaration.opts(), declaration.labels))
    }

    fn counter(&self, declaration: Declaration) -> IntCounter {
        self.register(IntCounter::with_opts(declaration.opts()))
    }

    fn counters(&self, declaration: Declaration) -> IntCounterVec {
        self.register(GenericCounterVec::new(declaration.opts(), declaration.labels))
    }

    fn histogram(&self, declaration: Declaration) -> Histogram {
        let opts = HistogramOpts::new(declaration.name, declaration.help).buckets(FAST.to_vec());
        self.register(Histogram::with_opts(opts))
    }
}

#[cfg(test)]
mod tests;
