//! The cluster's log: every server's events, on every server, in causal order (`chronicle`), on the disk.
//!
//! The journal notes this server's events; `talk` fetches the others'. A thread of its own gives numbers and stamps and
//! writes. Whoever hands it events never waits: what a full queue drops is counted, and leaves no gap in the numbers.
//!
//! Invariants: no peer is told of an entry that is not on the disk. What is searched is a snapshot: readers and the writer do
//! not wait for each other.
//!
//! Deliberately not here: what an event means (`journal`), what makes an incident (`chronicle::incident`).

mod block;
mod bloom;
mod search;
mod store;
pub(crate) mod talk;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use chronicle::{Clock, Entry, Level, Query, Stamp, Stream, Vector};
use model::{Instant, ServerName};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use self::search::{Found, Order};
use self::store::{Snapshot, Store};
use crate::metrics::Metrics;

/// Where it is, below the state directory.
const DIRECTORY: &str = "log";
/// Its bound on the disk, in bytes; compressed as they are, more than a million events.
const MOST_BYTES: u64 = 128 << 20;
/// Events that may wait for the disk.
const DEPTH: usize = 1024;
/// So many of them are written at once.
const BATCH: usize = 512;
/// Searches at once; more wait.
const SEARCHES: usize = 2;
/// The last entries in the order of their arrival, for whoever follows.
const ARRIVALS: usize = 4096;

/// An event of this server, before it has its place in the log.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// See [`Entry::level`].
    pub level: Level,
    /// See [`Entry::security`].
    pub security: bool,
    /// See [`Entry::message`].
    pub message: String,
    /// See [`Entry::about`].
    pub about: Vec<String>,
    /// See [`Entry::fields`].
    pub fields: Map<String, Value>,
}

enum Job {
    Note(Noted),
    /// Another server's entries; answered when they are on the disk.
    Take(Stream, Vec<Entry>, oneshot::Sender<io::Result<()>>),
    /// A peer's clock.
    Heard(Stamp),
    /// A peer has more of this stream of ours than we: our disk is an old one.
    Surpassed(Stream),
}

#[derive(Debug, Default)]
struct Arrivals {
    count: u64,
    last: VecDeque<Arc<Entry>>,
}

/// What arrived after a given moment.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// In the order of arrival.
    pub entries: Vec<Arc<Entry>>,
    /// How many have arrived since the start: the next moment.
    pub count: u64,
    /// Some are not among the last ones any more.
    pub missed: bool,
}

/// For everybody who writes or reads. Cheap to share.
#[derive(Clone)]
pub struct Log {
    jobs: mpsc::Sender<Job>,
    rows: Arc<ArcSwap<Snapshot>>,
    arrivals: Arc<Mutex<Arrivals>>,
    news: watch::Receiver<u64>,
    own: Arc<ArcSwap<Stream>>,
    stamp: Arc<ArcSwap<Stamp>>,
    metrics: Arc<Metrics>,
    /// Between heartbeats, when the daemon started: how exactly a death is known.
    pub heartbeat: Duration,
    /// Searches at once: each may read everything.
    pub(crate) searches: Arc<Semaphore>,
    /// Streams that are being fetched, and until when nobody else need.
    fetched: Arc<Mutex<BTreeMap<Stream, Instant>>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in `state_dir` and starts its thread, which ends when the last `Log` is gone.
    ///
    /// # Errors
    /// The disk's, or that the thread cannot be made.
    pub(crate) fn start(
        this: &ServerName,
        state_dir: &Path,
        heartbeat: Duration,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let store = Store::open(&state_dir.join(DIRECTORY), MOST_BYTES)?;
        let own = store.rows().keys().filter(|stream| stream.server == *this).max().cloned();
        let own = own.unwrap_or_else(|| Stream { server: this.clone(), epoch: wall_ms() });
        let last = store::last(store.rows(), &own).map(|last| last.stamp).unwrap_or_default();
        let (jobs, waiting) = mpsc::channel(DEPTH);
        let (tell, news) = watch::channel(0);
        let log = Self {
            jobs,
            rows: Arc::new(ArcSwap::from_pointee(store.rows().clone())),
            arrivals: Arc::default(),
            news,
            own: Arc::new(ArcSwap::from_pointee(own)),
            stamp: Arc::new(ArcSwap::from_pointee(last)),
            metrics,
            heartbeat,
            searches: Arc::new(Semaphore::new(SEARCHES)),
            fetched: Arc::default(),
        };
        let writer = Writer {
            store,
            clock: Clock::after(last),
            failing: false,
            rows: log.rows.clone(),
            arrivals: log.arrivals.clone(),
            own: log.own.clone(),
            stamp: log.stamp.clone(),
            metrics: log.metrics.clone(),
            tell,
        };
        let thread = thread::Builder::new().name("standin-log".into()).spawn(move || writer.run(waiting))?;
        Ok((log, thread))
    }

    /// The same without anybody who reads its counters.
    ///
    /// # Errors
    /// The disk's, or that the thread cannot be made.
    pub fn alone(this: &ServerName, state_dir: &Path, heartbeat: Duration) -> io::Result<(Self, JoinHandle<()>)> {
        Self::start(this, state_dir, heartbeat, Arc::new(Metrics::new()))
    }

    /// Notes an event of this server, or counts it as dropped. Never waits.
    pub fn note(&self, noted: Noted) {
        if self.jobs.try_send(Job::Note(noted)).is_err() {
            self.metrics.log_dropped.inc();
        }
    }

    /// Keeps another server's entries: when it returns, they are on the disk.
    async fn take(&self, stream: Stream, entries: Vec<Entry>) -> io::Result<()> {
        let (done, kept) = oneshot::channel();
        let ended = || io::Error::other("the daemon is stopping");
        self.jobs.send(Job::Take(stream, entries, done)).await.map_err(|_| ended())?;
        kept.await.map_err(|_| ended())?
    }

    /// Searches: the first `most` entries that are wanted. It reads files, so it belongs on a thread that may wait.
    ///
    /// # Errors
    /// The disk's, or that a block is damaged.
    pub fn search(&self, query: &Query, order: Order, most: usize) -> io::Result<Found> {
        search::search(&self.rows.load(), query, order, most)
    }

    /// What there is of each stream.
    pub(crate) fn vector(&self) -> Vector {
        store::vector(&self.rows.load())
    }

    /// What arrived after the first `count` entries since the start, in the order of arrival; where so many have not arrived,
    /// whoever asks knows the count of an earlier run, and has missed what came since.
    pub(crate) fn arrived(&self, count: u64) -> Arrived {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let new = usize::try_from(arrivals.count.saturating_sub(count)).unwrap_or(usize::MAX);
        let skip = arrivals.last.len().saturating_sub(new);
        let entries = arrivals.last.iter().skip(skip).cloned().collect();
        Arrived { entries, count: arrivals.count, missed: new > arrivals.last.len() || count > arrivals.count }
    }

    /// Changes with every arrival: how many there were.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = host::clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct Writer {
    store: Store,
    clock: Clock,
    /// The disk did not take the last entries: told once.
    failing: bool,
    rows: Arc<ArcSwap<Snapshot>>,
    arrivals: Arc<Mutex<Arrivals>>,
    own: Arc<ArcSwap<Stream>>,
    stamp: Arc<ArcSwap<Stamp>>,
    metrics: Arc<Metrics>,
    tell: watch::Sender<u64>,
}

impl Writer {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
            let mut noted = Vec::new();
            for job in batch.drain(..) {
                match job {
                    Job::Note(event) => noted.push(event),
                    Job::Take(stream, entries, done) => {
                        let _gone = done.send(self.take(&stream, entries));
                    }
                    Job::Heard(stamp) => self.observe(stamp),
                    Job::Surpassed(stream) => {
                        if stream == **self.own.load() {
                            self.begin_stream();
                        }
                    }
                }
            }
            self.write(noted);
        }
    }

    fn observe(&mut self, stamp: Stamp) {
        // A peer whose clock is far ahead is not followed; its entries are good all the same.
        if let Err(error) = self.clock.observe(stamp, wall_ms()) {
            tracing::debug!(%error, "a peer's clock is not followed");
        }
    }

    /// Later entries of this server get a stream of their own.
    fn begin_stream(&mut self) {
        let before = self.own.load_full();
        let epoch = wall_ms().max(before.epoch.saturating_add(1));
        self.own.store(Arc::new(Stream { server: before.server.clone(), epoch }));
        self.clock = Clock::default();
    }

    fn write(&mut self, noted: Vec<Noted>) {
        let Some(first) = noted.first() else { return };
        if self.clock.is_stuck(first.wall_ms) {
            self.begin_stream();
        }
        let stream = Stream::clone(&self.own.load());
        let mut next = store::vector(self.store.rows()).next(&stream);
        let mut clock = self.clock;
        let number = |Noted { wall_ms, level, security, message, about, fields }| {
            let sequence = next;
            next += 1;
            Entry {
                stamp: clock.tick(wall_ms),
                stream: stream.clone(),
                sequence,
                level,
                security,
                message,
                about,
                fields,
            }
        };
        let entries: Vec<Entry> = noted.into_iter().map(number).collect();
        let count = entries.len() as u64;
        match self.store.append(&stream, entries) {
            Ok(taken) => {
                self.clock = clock;
                self.failing = false;
                self.publish(taken);
            }
            Err(error) => {
                self.metrics.log_dropped.inc_by(count);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the cluster's log cannot be kept on the disk: events are missing from it");
                }
            }
        }
    }

    fn take(&mut self, stream: &Stream, entries: Vec<Entry>) -> io::Result<()> {
        if *stream == **self.own.load() {
            return Ok(());
        }
        let last = entries.last().map(|entry| entry.stamp);
        let taken = self.store.append(stream, entries)?;
        last.into_iter().for_each(|stamp| self.observe(stamp));
        self.publish(taken);
        Ok(())
    }

    fn publish(&self, taken: Vec<Arc<Entry>>) {
        self.rows.store(Arc::new(self.store.rows().clone()));
        self.stamp.store(Arc::new(self.clock.last()));
        self.metrics.log_bytes.set(i64::try_from(self.store.bytes()).unwrap_or(i64::MAX));
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.count += taken.len() as u64;
        arrivals.last.extend(taken);
        let surplus = arrivals.last.len().saturating_sub(ARRIVALS);
        arrivals.last.drain(..surplus);
        self.tell.send_replace(arrivals.count);
    }
}
