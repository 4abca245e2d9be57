//! The journal: the only place where an event becomes log fields, counters and history.
//!
//! The driver hands events over through a bounded queue and never waits: what a full queue drops is counted. A thread of
//! its own writes the log, and hands every entry on to the cluster's log (`cluster_log`), so that a stuck disk or console stops nobody else. History is a ring of the last
//! [`HISTORY`] entries, for the admin API; wall-clock time enters here, for display.
//!
//! Deliberately not here: decisions, and the log lines of modules that only report their own technical state.

mod about;
mod durations;
mod words;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use model::{
    MonitorId, ServerName, Subject, VirtualHostName,
    event::{Cause, Event, RecoveryStep},
    hook::{HookMoment, HookOutcome},
    net::Path,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Level;

use self::durations::Durations;
pub(crate) use self::words::label as cause_word;
pub use self::words::sentence;
use crate::{
    cluster_log::{Log, wall_ms},
    metrics::Metrics,
};

/// Entries kept for the admin API.
pub(crate) const HISTORY: usize = 1000;
/// Events that may wait for the log: a thousand virtual hosts may move at a time, with some events each.
const DEPTH: usize = 8192;

/// One line of the history.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Entry {
    /// Counts the entries of this run, from 1: a gap means that the queue was full.
    pub sequence: u64,
    /// When it was written, RFC 3339, UTC.
    pub time: String,
    /// `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// One sentence.
    pub message: String,
    /// The event's kind and fields, as in `model::event`.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// The last entries. Cheap to share.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Arc<Mutex<VecDeque<Arc<Entry>>>>);

impl History {
    /// The entries kept, oldest first.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn push(&self, entry: Entry) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == HISTORY {
            ring.pop_front();
        }
        ring.push_back(Arc::new(entry));
    }
}

/// Events of one instant, and which, as the wall clock says.
type Batch = (u64, Vec<Event>);

/// Where events go. Never waits.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    queue: SyncSender<Batch>,
    /// Events that wait.
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Journal {
    /// Starts the journal's thread, which ends when the last `Journal` is gone and the queue is empty.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn start(
        metrics: Arc<Metrics>,
        history: History,
        log: Option<Log>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, events) = sync_channel(DEPTH);
        let (counters, waiting) = (metrics.clone(), Arc::default());
        let left = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("standin-journal".into()).spawn(move || {
            let (causes, durations) = (BTreeMap::new(), Durations::default());
            Writer { counters, history, log, sequence: 0, causes, durations }.run(&events, &left)
        })?;
        Ok((Self { queue, waiting, metrics }, thread))
    }

    /// Writes one event, or counts it as dropped.
    pub(crate) fn record(&self, event: Event) {
        self.record_all(vec![event]);
    }

    /// Writes the events of one instant; the journal's thread is woken once. What there is no room for is counted as dropped.
    pub(crate) fn record_all(&self, mut events: Vec<Event>) {
        let all = events.len();
        let waiting = self.waiting.fetch_add(all, Ordering::Relaxed);
        events.truncate(DEPTH.saturating_sub(waiting));
        let kept = events.len();
        // Now, and not when the queue comes to it: incidents are measured by it.
        let full = kept > 0 && self.queue.try_send((wall_ms(), events)).is_err();
        let dropped = if full { all } else { all - kept };
        self.waiting.fetch_sub(dropped, Ordering::Relaxed);
        self.metrics.journal_dropped.inc_by(dropped as u64);
    }
}

/// Events that go to the journal together, with everything that one input leads to: hundreds of addresses may move at a time.
#[derive(Debug)]
pub(crate) struct Gathered {
    journal: Journal,
    events: Vec<Event>,
}

impl From<Journal> for Gathered {
    fn from(journal: Journal) -> Self {
        Self { journal, events: Vec::new() }
    }
}

impl Gathered {
    /// One more, for the next [`Gathered::record`].
    pub(crate) fn add(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Writes what has been gathered. Whether that was anything.
    pub(crate) fn record(&mut self) -> bool {
        let any = !self.events.is_empty();
        if any {
            self.journal.record_all(std::mem::take(&mut self.events));
        }
        any
    }
}

struct Writer {
    counters: Arc<Metrics>,
    history: History,
    /// The cluster's log; none where the disk has no place for it.
    log: Option<Log>,
    sequence: u64,
    /// Why the takings under way began: a move is counted when it is complete.
    causes: BTreeMap<VirtualHostName, Cause>,
    durations: Durations,
}

impl Writer {
    fn run(mut self, batches: &Receiver<Batch>, waiting: &AtomicUsize) {
        for (wall_ms, events) in batches {
            for event in &events {
                self.write(wall_ms, event);
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn write(&mut self, wall_ms: u64, event: &Event) {
        self.sequence += 1;
        let level = words::level(event);
        let message = sentence(event);
        let fields = match serde_json::to_value(event) {
            Ok(Value::Object(fields)) => fields,
            // An event is a struct variant with an internal tag: always an object.
            Ok(_) | Err(_) => Map::new(),
        };
        let kind = fields.get("event").and_then(Value::as_str).unwrap_or("unknown");
        self.counters.events.with_label_values(&[kind, level_word(level)]).inc();
        self.count(event);
        self.durations.note(host::clock::now(), event, &self.counters);
        let (time, level_word) = (now(), level_word(level));
        // History before the log: whoever has read the line finds the entry.
        self.history.push(Entry {
            sequence: self.sequence,
            time,
            level: level_word,
            message: message.clone(),
            fields: fields.clone(),
        });
        log(level, &message, &fields);
        if let Some(log) = &self.log {
            log.note(about::noted(wall_ms, event, level, message, fields));
        }
    }

    fn count_move(&mut self, virtual_host: &VirtualHostName, took_us: u64) {
        let cause = self.causes.remove(virtual_host).map_or("unheld", words::label);
        self.counters.moves.with_label_values(&[cause]).inc();
        self.counters.move_duration.observe(seconds(took_us));
    }

    fn count(&mut self, event: &Event) {
        let counters = &self.counters;
        match event {
            Event::Taking { virtual_host, cause, .. } => drop(self.causes.insert(virtual_host.clone(), *cause)),
            Event::Active { virtual_host, took_us, .. } => self.count_move(virtual_host, *took_us),
            Event::Released { took_us, .. } => counters.release_duration.observe(seconds(*took_us)),
            Event::Rivals { virtual_host, .. } => one(&counters.rivals, virtual_host.as_str()),
            Event::AddressRestored { virtual_host, .. } => one(&counters.addresses_restored, virtual_host.as_str()),
            Event::TakeFailed { virtual_host, .. } | Event::AddressRefused { virtual_host, .. } => {
                one(&counters.addresses_refused, virtual_host.as_str());
            }
            Event::MonitorChanged { monitor, .. } => flipped(counters, monitor),
            Event::EndpointChanged { endpoint, .. } => one(&counters.endpoint_flips, endpoint.as_str()),
            Event::HookRan { moment, report, .. } => ran(counters, *moment, report.outcome, report.took_us),
            Event::Recovery { step, .. } => tried(counters, step),
            Event::ConfigurationApplied { .. } => one(&counters.config_reloads, "applied"),
            Event::ConfigurationRefused { .. } => one(&counters.config_reloads, "refused"),
            Event::PathLost { server, path, .. } => lost(counters, server, *path),
            Event::Started { .. }
            | Event::Listened
            | Event::DaemonEnded { .. }
            | Event::AnswersChanged { .. }
            | Event::Resigning
            | Event::PeerAlive { .. }
            | Event::PeerSuspected { .. }
            | Event::PeerRefused { .. }
            | Event::PeerRecovered { .. }
            | Event::PathRestored { .. }
            | Event::PeerDead { .. }
            | Event::PeerLeft { .. }
            | Event::OneWayLoss { .. }
            | Event::OneWayHealed { .. }
            | Event::DatagramsRefused { .. }
            | Event::ConfigurationEdited { .. }
            | Event::ConfigurationReceived { .. }
            | Event::ConfigurationClashes { .. }
            | Event::ConfigurationDiffers { .. }
            | Event::ConfigurationAgrees { .. }
            | Event::Isolated
            | Event::Rejoined
            | Event::Overslept { .. }
            | Event::TargetChanged { .. }
            | Event::Releasing { .. }
            | Event::RivalGone { .. }
            | Event::RivalOnTheWire { .. }
            | Event::HolderAnswers { .. }
            | Event::HolderUnreachable { .. }
            | Event::HolderChanged { .. }
            | Event::MonitorHeld { .. }
            | Event::PathDown { .. }
            | Event::PathUp { .. }
            | Event::HeldDown { .. }
            | Event::MonitorFreed { .. }
            | Event::SharedFault { .. }
            | Event::SharedFaultOver { .. }
            | Event::HookOverdue { .. }
            | Event::Notified(_)
            | Event::NotifyFailed(_)
            | Event::Done { .. }
            | Event::Denied { .. }
            | Event::Linked { .. }
            | Event::Unlinked { .. }
            | Event::Rotation { .. }
            | Event::Restored { .. }
            | Event::Cloned { .. }
            | Event::Expelled { .. }
            | Event::Standby { .. } => {}
        }
    }
}

fn one(counter: &prometheus::IntCounterVec, label: &str) {
    counter.with_label_values(&[label]).inc();
}

/// A peer is not heard over a path any more.
fn lost(counters: &Metrics, server: &ServerName, path: Path) {
    counters.path_losses.with_label_values(&[server.as_str(), path.word()]).inc();
}

/// A hook has ended, or was due and not run.
fn ran(counters: &Metrics, moment: HookMoment, outcome: HookOutcome, took_us: u64) {
    counters.hook_runs.with_label_values(&[moment.word(), outcome.word()]).inc();
    match outcome {
        HookOutcome::Succeeded | HookOutcome::Failed | HookOutcome::TimedOut => {
            counters.hook_duration.observe(seconds(took_us));
        }
        HookOutcome::Refused | HookOutcome::NotRun => {}
    }
}

/// A recovery has ended, or a run of its program.
fn tried(counters: &Metrics, step: &RecoveryStep) {
    if let RecoveryStep::Ran { report } = step {
        one(&counters.recovery_runs, report.outcome.word());
    }
    if let Some(end) = step.end() {
        one(&counters.recoveries, end);
    }
}

/// A monitor's verdict changed.
fn flipped(counters: &Metrics, monitor: &MonitorId) {
    let name = &*monitor.monitor;
    match &monitor.subject {
        Subject::VirtualHost(host) => counters.monitor_flips.with_label_values(&[host.as_str(), name]),
        Subject::Endpoint(endpoint, address) => {
            counters.endpoint_monitor_flips.with_label_values(&[endpoint.as_str(), &address.to_string(), name])
        }
        // Told by its holder.
        Subject::Held(..) => return,
    }
    .inc();
}

/// The wall clock, to the millisecond, for display.
fn now() -> String {
    jiff::Timestamp::try_from(host::clock::wall()).map_or_else(|_| String::new(), |now| format!("{now:.3}"))
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Writes one log line. Tracing wants to know field names at compile time, so these are all that events have; a field
/// that an event does not have stays out of the line.
fn log(level: Level, message: &str, fields: &Map<String, Value>) {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    let monitor = |name: &str| fields.get("monitor").and_then(|monitor| monitor.get(name)).and_then(Value::as_str);
    let flag = |name: &str| fields.get(name).and_then(Value::as_bool);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                event = text("event"),
                server = text("server"),
                virtual_host = text("virtual_host").or(monitor("virtual_host")),
                endpoint = text("endpoint").or(monitor("endpoint")),
                monitor = monitor("monitor"),
                verdict = text("verdict"),
                address = text("address").or(monitor("address")),
                cause = text("cause"),
                from = text("from"),
                to = text("to"),
                who = text("who"),
                action = text("action"),
                what = text("what"),
                channel = text("channel"),
                delivery = text("delivery"),
                attempts = number("attempts"),
                key = text("key"),
                step = text("step"),
                known = number("known"),
                path = text("path"),
                term = number("term"),
                rival = text("rival"),
                winner = text("winner"),
                active = text("active"),
                reason = text("reason"),
                refusal = fields.get("reason").filter(|value| value.is_object()).map(tracing::field::display),
                count = number("count"),
                up = number("up"),
                down = number("down"),
                pool = text("pool"),
                ended_ms = number("ended_ms"),
                since_ms = number("since_ms"),
                within_ms = number("within_ms"),
                unanswered_ms = number("unanswered_ms"),
                silent_ms = number("silent_ms"),
                deaf_ms = number("deaf_ms"),
                slept_ms = number("slept_ms"),
                took_us = number("took_us"),
                waited_ms = number("waited_ms"),
                moment = text("moment"),
                outcome = text("outcome"),
                stdout = text("stdout").filter(|said| !said.is_empty()),
                stderr = text("stderr").filter(|said| !said.is_empty()),
                boot = text("boot"),
                digest = number("digest").map(|digest| tracing::field::display(format!("{digest:016x}"))),
                on = flag("on"),
                "{message}"
            )
        };
    }
    match level {
        Level::ERROR => line!(error),
        Level::WARN => line!(warn),
        Level::INFO => line!(info),
        Level::DEBUG => line!(debug),
        Level::TRACE => line!(trace),
    }
}

#[cfg(test)]
mod tests;
