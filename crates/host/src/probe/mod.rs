//! Probes of service monitors: tasks, one for each monitor, all on one thread; a file for each protocol.
//!
//! One thread, so that thousands of probes wake nobody but it, and never take more than one core. What ends at the same
//! moment is reported together.
//!
//! [`Probes::set`] takes the whole set of orders; what is unchanged goes on undisturbed. The first probe starts at once
//! (spread a little, so that a hundred monitors don't all knock together), the second anywhere within an interval after
//! that, so that thousands keep out of each other's way; each further one an interval after the *start* of
//! the last, give or take 5 %. [`Probes::now`] does not wait for that.
//!
//! Invariants: one probe at a time for each monitor, so a slow service is not asked more often than it answers. Every probe
//! that began ends in one report, unless its order is withdrawn or it is begun anew by [`Probes::now`].
//!
//! Bounds: each attempt has one deadline for all that it does, each conversation a limit to what is read (`wire`), and what
//! no deadline reaches, files and programs, a thread of its own for each monitor (`kept`).
//!
//! Deliberately not here: thresholds and verdicts; names (targets are addresses, so no resolver is in the way).

mod attempt;
mod datagram;
mod der;
mod disk;
mod dns;
mod exec;
mod file;
mod ftp;
mod greeting;
mod grpc;
mod http;
mod icmp;
mod imap;
mod kept;
mod ldap;
mod mysql;
mod nfs;
mod nntp;
mod ntp;
mod persistent;
mod pop3;
mod postgresql;
mod process;
mod push;
mod redis;
mod route;
mod smb;
mod smtp;
mod ssh;
mod systemd;
mod tcp;
mod telnet;
mod tls;
mod wire;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use model::{
    MonitorId, Subject,
    config::ProbeKind,
    report::{ProbeOrder, ProbeResult, Probed},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout, timeout_at},
};

pub use self::tls::trusted;
use self::{
    attempt::{Ended, Farewell, attempt},
    kept::Kept,
};
use crate::{Report, Sink, entropy};

/// First probes start within this time for each that begins, at most within [`FIRST_WITHIN`], or a tenth of the interval if
/// that is less: nobody is answered with confidence before all are back.
const EACH_WITHIN: Duration = Duration::from_micros(200);
const FIRST_WITHIN: Duration = Duration::from_millis(20);

/// Intervals vary by one part in so many, either way.
const JITTER: u32 = 20;

/// Probes of different monitors that are due within this time begin together: thousands of them would wake the machine as
/// often, and each awakening costs more than a probe.
const TOGETHER: Duration = Duration::from_millis(5);

/// How long after the verdict a connection is given to end in peace, if the next probe is not due before.
const FAREWELL: Duration = Duration::from_secs(1);

/// Results that wait to be reported, at most; who has more waits.
const RESULTS: usize = 256;

/// Where the tasks leave their results.
type Results = mpsc::Sender<Probed>;

/// The running probes. They are aborted when it is dropped.
pub struct Probes {
    runtime: Handle,
    results: Results,
    running: Mutex<BTreeMap<MonitorId, Running>>,
    /// Ends the thread when it is dropped.
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Running {
    order: watch::Sender<ProbeOrder>,
    now: Arc<Notify>,
    /// What the service reports by itself, where it does.
    reports: Option<mpsc::Sender<ProbeResult>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Probes {
    /// Nothing is probed yet.
    ///
    /// # Errors
    /// When there is no thread, or no epoll, for them.
    pub fn start(sink: Sink) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let ((results, finished), (end, ended)) = (mpsc::channel(RESULTS), oneshot::channel());
        let thread = thread::Builder::new().name("standin-probes".into()).spawn(move || {
            runtime.spawn(report(finished, sink));
            // Whether it was sent or dropped, it is the end.
            let _dropped = runtime.block_on(ended);
            // Nobody is waited for who may hang.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, results, running: Mutex::default(), end: Some(end), thread: Some(thread) })
    }

    /// The probes that should be running from now on. A new interval or timeout counts from the last probe's start; a new
    /// target begins anew.
    pub fn set(&self, orders: BTreeMap<MonitorId, ProbeOrder>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|monitor, probe| {
            orders.get(monitor).is_some_and(|order| same_target(&probe.order.borrow(), order))
        });
        let begin = orders.keys().filter(|monitor| !running.contains_key(monitor)).count();
        let within = FIRST_WITHIN.min(EACH_WITHIN * u32::try_from(begin).unwrap_or(u32::MAX));
        for (monitor, order) in orders {
            match running.get(&monitor) {
                Some(probe) => {
                    probe.order.send_if_modified(|old| {
                        let changed = *old != order;
                        *old = order;
                        changed
                    });
                }
                None => {
                    let probe = self.begin(monitor.clone(), order, within);
                    running.insert(monitor, probe);
                }
            }
        }
    }

    /// Probes at once: there is news of the service. A probe that is under way knows nothing of it and is begun anew, once;
    /// the next one comes an interval after this one. Nothing happens for a monitor without an order.
    pub fn now(&self, monitor: &MonitorId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(probe) = running.get(monitor) {
            probe.now.notify_one();
        }
    }

    /// A service reports how it is.
    ///
    /// # Errors
    /// There is no such monitor here, none that waits for reports, or too many wait already.
    pub fn push(&self, monitor: &MonitorId, result: ProbeResult) -> Result<(), PushError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = running.get(monitor).ok_or(PushError::Unknown)?.reports.as_ref().ok_or(PushError::NotPushed)?;
        reports.try_send(result).map_err(|_| PushError::Full)
    }

    /// Aborts all. A result that is just being reported may still arrive.
    pub fn stop(&self) {
        self.set(BTreeMap::new());
    }

    fn begin(&self, monitor: MonitorId, order: ProbeOrder, within: Duration) -> Running {
        let wait = spread(within.min(order.interval / 10));
        let (now, results, pushed) = (Arc::new(Notify::new()), self.results.clone(), pushed_within(&order));
        let (sender, receiver) = watch::channel(order);
        let (reports, task) = match pushed {
            Some(within) => {
                let (reports, waiting) = mpsc::channel(push::DEPTH);
                (Some(reports), self.runtime.spawn(push::run(monitor, within, waiting, results)))
            }
            None => (None, self.runtime.spawn(probe(monitor, wait, receiver, now.clone(), results))),
        };
        Running { order: sender, now, reports, task }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop();
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so already.
            let _panicked = thread.join();
        }
    }
}

/// Reports what ended since it last did. Where the sink waits for room, so do all probes.
async fn report(mut finished: mpsc::Receiver<Probed>, sink: Sink) {
    let mut results = Vec::new();
    while finished.recv_many(&mut results, RESULTS).await > 0 {
        sink(Report::Probes(std::mem::take(&mut results)));
    }
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

/// Why a service's report was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PushError {
    /// There is no such monitor on this server.
    #[error("no such monitor runs on this server")]
    Unknown,
    /// The monitor tries the service itself.
    #[error("this monitor is not of type \"push\"")]
    NotPushed,
    /// Reports come faster than they are dealt with.
    #[error("too many reports wait")]
    Full,
}

fn pushed_within(order: &ProbeOrder) -> Option<Duration> {
    match &order.kind {
        ProbeKind::Push(probe) => Some(probe.within),
        _ => None,
    }
}

fn same_target(a: &ProbeOrder, b: &ProbeOrder) -> bool {
    (a.target, a.port, &a.kind) == (b.target, b.port, &b.kind)
}

/// One monitor's task. Ends when the order is withdrawn.
async fn probe(
    monitor: MonitorId,
    wait: Duration,
    mut order: watch::Receiver<ProbeOrder>,
    news: Arc<Notify>,
    results: Results,
) {
    sleep_until(Instant::now() + wait).await;
    let mut kept = Kept::default();
    let mut first = true;
    loop {
        let mut began = Instant::now();
        let now = order.borrow_and_update().clone();
        let Ended { result, farewell: leftover } = tokio::select! {
            ended = attempt(&now, &mut kept) => ended,
            // Begun anew only once, so that a flood of news cannot keep it from its end.
            () = news.notified() => {
                began = Instant::now();
                kept.http.clear();
                attempt(&now, &mut kept).await
            }
        };
        let took = Some(began.elapsed());
        let elsewhere = matches!(monitor.subject, Subject::Endpoint(..));
        let lost = elsewhere && matches!(result, ProbeResult::Failure(_)) && !route::exists(now.target);
        let result = if lost { ProbeResult::NoRoute } else { result };
        if results.send((monitor.clone(), result, took)).await.is_err() {
            return;
        }
        let waiting = async {
            tokio::select! {
                goes_on = wait_for_next(began, std::mem::take(&mut first), &mut order) => goes_on,
                () = news.notified() => {
                    kept.http.clear();
                    true
                }
                () = kept.news() => true,
            }
        };
        tokio::pin!(waiting);
        // The next probe does not wait for a server that won't let go of the last.
        let goes_on = tokio::select! {
            goes_on = &mut waiting => goes_on,
            () = farewell(leftover) => waiting.await,
        };
        if !goes_on {
            return;
        }
    }
}

/// Until an interval after `began`, for the second probe a part of it; a new order is obeyed at once. False when the order is
/// withdrawn.
async fn wait_for_next(began: Instant, second: bool, order: &mut watch::Receiver<ProbeOrder>) -> bool {
    let jitter = entropy::spread();
    loop {
        let next = began + pause(order.borrow().interval, second, jitter);
        match timeout_at(together(next), order.changed()).await {
            Err(_) => return true,
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
        }
    }
}

/// From a probe's start to the next one's.
fn pause(interval: Duration, second: bool, random: u64) -> Duration {
    match second {
        // A service is not tried twice in a moment.
        true => (interval / 10).max(fraction(interval, random)),
        false => interval - interval / JITTER + fraction(interval / JITTER * 2, random),
    }
}

/// The next moment, not before `at`, at which probes begin.
fn together(at: Instant) -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(Instant::now);
    let beyond = at.saturating_duration_since(first).as_nanos() % TOGETHER.as_nanos();
    let beyond = u64::try_from(beyond).expect("less than the grid");
    if beyond == 0 { at } else { at + TOGETHER - Duration::from_nanos(beyond) }
}

/// A random part of `span`.
fn spread(span: Duration) -> Duration {
    fraction(span, entropy::spread())
}

fn fraction(span: Duration, random: u64) -> Duration {
    const PARTS: u32 = 1 << 16;
    let part = u32::try_from(random % u64::from(PARTS)).expect("less than the parts");
    span / PARTS * part
}

/// Ends a connection as clients end theirs. Whoever talks on for longer is cut off.
async fn farewell(leftover: Option<Farewell>) {
    if let Some(leftover) = leftover {
        // Who does not let go in time is let go.
        let _cut_off = timeout(FAREWELL, leftover).await;
    }
}

/// Tries once, out of any turn, and reports to nobody.
pub async fn once(order: &ProbeOrder) -> ProbeResult {
    let ended = attempt(order, &mut Kept::default()).await;
    farewell(ended.farewell).await;
    ended.result
}

#[cfg(test)]
mod tests;
