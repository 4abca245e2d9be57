//! Every thread, and how they start and stop together.
//!
//! | thread or task | owner | input, depth | when full | stops by |
//! |---|---|---|---|---|
//! | `standin-driver` | `driver` | `sync_channel`, 1,024 | reports wait | `Message::Stop` |
//! | the same | `host::heartbeat` | the heartbeat socket, packet sockets | the kernel drops, counted | the same |
//! | `standin-publish` | `publish` | a cell, 1 | the newest health wins | `Publisher::close` |
//! | `standin-holds` | `holds` | a cell, 1 | the newest holds win | `Holds::close` |
//! | `standin-journal` | `journal` | 8,192 events | events dropped and counted | its last sender goes |
//! | `standin-log` | `cluster_log` | a channel, 1,024 | events dropped and counted; peers wait | its last handle goes |
//! | netlink | `host::address` | a cell, 1 | the newest set wins | dropped with the driver |
//! | `standin-ether` | `host::ether` | a cell, interfaces to open | the newest set wins | dropped with the driver |
//! | `standin-leftover` | `host::address` | a cell, released addresses | merged | dropped with the driver |
//! | ARP and ND | `host::wire` | its own bounded queue | said there | dropped with the driver |
//! | `standin-echo` | `host::echo` | witnesses to ask, each once | merged; bounds said there | dropped with the driver |
//! | `standin-probes`, a task for each monitor | `host::probe` | a cell, 1 | the newest set wins | dropped with the driver |
//! | `standin-listen` | `host::listeners` | a netlink socket | the kernel drops, then every monitored port is looked at | dropped with the driver |
//! | `standin-hooks`, and `standin-hook` for each run | `host::hook` | `sync_channel`, 1,024; bounds said there | the hook does not run, which is told | dropped with the driver, last |
//! | DNS over UDP, TCP | `host::dns_udp`, `host::dns_stream` | sockets | the kernel drops, counted | `NameService::stop` |
//! | what DNS is asked most: `standin-io` | `name_service`, `usage` | a sheet a thread, bounds said there | what is rare is forgotten | a cancellation token |
//! | admin, metrics: `standin-io` | `admin`, `gate` | connections, bounds said there | closed at once | a cancellation token |
//! | the console's picture: `standin-io` | `console::live` | a number, 1 | the newest state is drawn | a cancellation token |
//! | heartbeats kept for incidents: `standin-io` | `recorder::keep` | the log's arrivals | those missed are told by later ones | a cancellation token |
//! | notifications: `standin-io` | `notify` | a tick a second; one attempt a channel | nothing is queued: the newest word is sent | a cancellation token |
//! | membership: `standin-io` | `circle`, `link` | 64 frames a link | the link ends, and is dialled again | a cancellation token |
//! | signals, watchdog: the main thread | `serve` | signals | the kernel merges them | the end of [`serve`] |
//! | `standin-desk`, in document mode | `desk` | `sync_channel`, 64 | the request is refused | its last handle goes |
//! | reading configuration, a blocking thread | `reload` | one under way, one more remembered | merged | with the runtime |
//!
//! Start: configuration → bind every socket → spawn → the driver has answered once → ready. Stop: SIGTERM or SIGINT →
//! resign, and wait for the core's goodbye, at most [`FAREWELL`] → DNS off → admin off → driver, publisher and journal
//! end, in this order → exit. Dropping the driver's hands takes the addresses away, whatever happened before.
//!
//! Deliberately not here: decisions; what any of the threads does.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use cluster::{Command, Effects, Node, Settings};
use dns::{View, Zones};
use host::{
    address::Addresses, echo::Echo, ether::Ether, guardian::Ward, heartbeat::Heartbeats, hook::Hooks,
    listeners::Listeners, peer::PeerSocket, probe::Probes, wire::Wire,
};
use model::{Health, MonitorId, config::ClusterConfig, health::LastingHold};
use sd_notify::NotifyState;
use tokio::{
    runtime::Runtime,
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::Access,
    admin::{self, Admin},
    audit::Audit,
    circle::Circle,
    cluster_log::{self, Log},
    console::{self, Console},
    desk::{self, Desk},
    driver::{Driver, Inbox, Message, Pulse, Queue},
    execute::{Hands, peers},
    gate,
    holds::Holds,
    journal::{History, Journal},
    link::Topic,
    load::{Loaded, Mode},
    metrics::Metrics,
    name_service::NameService,
    notify::{self, Notify},
    publish::Publisher,
    recorder::{Recorder, keep::Kept},
    serial,
    serve::serve,
    start_error::StartError,
    status::{Applied, Ethernet},
};

/// The longest wait for the core's goodbye.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);
/// The longest wait for requests under way.
const DRAIN: Duration = Duration::from_millis(500);

/// A daemon that runs.
pub(crate) struct Running {
    /// Where the node file is, for reloads.
    pub config: PathBuf,
    /// What was loaded last.
    pub loaded: Loaded,
    /// The driver's queue.
    pub queue: Queue,
    /// Shows that the driver lives.
    pub pulse: Pulse,
    /// The tie to the guardian; none where nobody guards.
    pub ward: Option<Ward>,
    /// DNS sockets.
    pub name_service: Arc<NameService>,
    /// True after the core's goodbye; closed when the driver ends.
    pub goodbye: watch::Receiver<bool>,
    /// The admin socket, as it was opened: a reload may name another one.
    socket: PathBuf,
    /// What the admin API goes by; membership and the document, too.
    pub admin: Arc<Admin>,
    threads: Threads,
    runtime: Runtime,
    stop: CancellationToken,
}

struct Threads {
    driver: JoinHandle<()>,
    publisher: (Publisher, JoinHandle<()>),
    holds: (Holds, JoinHandle<()>),
    journal: JoinHandle<()>,
    log: Option<JoinHandle<()>>,
    desk: Option<JoinHandle<()>>,
}

/// The sockets of the admin API.
struct Doors {
    local: UnixListener,
    remote: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

/// How a run ended, as planned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It was told to stop.
    Stopped,
    /// This server does not belong to the cluster any more, or is a copy of one that does: why.
    Expelled(String),
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// When it cannot start: what, and what to do.
pub(crate) fn run(config: &Path, loaded: Loaded, ward: Option<Ward>) -> Result<End, StartError> {
    if let Err(error) = host::descriptors::raise() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    if let Err(error) = host::memory::return_large() {
        tracing::debug!(%error, "large pieces of memory stay with the daemon");
    }
    let running = start(config.to_owned(), loaded, ward)?;
    let runtime = running.runtime.handle().clone();
    let mut running = running;
    let end = runtime.block_on(serve(&mut running));
    running.end();
    end
}

fn start(config: PathBuf, mut loaded: Loaded, ward: Option<Ward>) -> Result<Running, StartError> {
    loaded.complain();
    let (zones, identity, view) = first_answers(&mut loaded);
    let (node, runtime) = (&loaded.node, runtime()?);
    let (metrics, history) = (Arc::new(Metrics::new()), History::default());
    let (queue, messages) = Queue::new().map_err(|error| StartError::new("make a queue", error))?;
    let (desk, desk_thread) = desk(&loaded, &queue)?.unzip();
    // Bind.
    let socket = heartbeats(node.heartbeat_listen)?;
    let doors = Doors::open(&loaded)?;
    let name_service = Arc::new(NameService::start(&loaded, view.clone(), runtime.handle())?);

    // Spawn.
    let thread = |error| StartError::new("start a thread", error);
    let (log, log_thread) = cluster_log(&loaded, &metrics).unzip();
    let (journal, journal_thread) = Journal::start(metrics.clone(), history.clone(), log.clone()).map_err(thread)?;
    ward.iter().filter_map(Ward::before).for_each(|event| journal.record(event));
    let (stop, audit) = (CancellationToken::new(), Arc::new(Audit::new(journal.clone())));
    let circle = circle(&loaded, (desk.as_ref(), log.as_ref()), &audit, &queue, &stop)?;
    let publisher =
        Publisher::start(zones, identity, view.clone(), journal.clone(), metrics.clone()).map_err(thread)?;
    let (held, holds) = Holds::open(&node.state_dir).map_err(thread)?;
    let ((ether, ethernet), (farewell, goodbye)) = (ether(node.heartbeat_ethernet), watch::channel(false));
    let probes = Arc::new(Probes::start(queue.sink()).map_err(thread)?);
    let kept = recorder(&loaded, log.as_ref(), &runtime, &stop);
    let hands = Hands {
        ward: ward.clone(),
        detection: loaded.cluster.heartbeat.detection(),
        this: node.name.clone(),
        peers: peers(&loaded.cluster),
        heartbeats: Heartbeats::new(socket, ether),
        addresses: permitted("change addresses", &loaded.cluster, Addresses::start(noted(&queue, ward.as_ref())))?,
        wire: permitted("send ARP and neighbour discovery", &loaded.cluster, Wire::start(queue.sink()))?,
        probes: probes.clone(),
        echo: Echo::start(queue.sink()).map_err(thread)?,
        listeners: listeners(&queue),
        publisher: publisher.0.clone(),
        holds: holds.0.clone(),
        journal: journal.into(),
        metrics: metrics.clone(),
        recorder: kept.recorder.clone(),
        late: Duration::ZERO,
        goodbye: farewell,
        hooks: Hooks::start(queue.sink()).map_err(thread)?,
    };
    let (pulse, driver) = drive(settings(&loaded, held)?, &loaded, hands, messages, &metrics)?;
    let admin = Arc::new(Admin {
        this: node.name.clone(),
        queue: queue.clone(),
        view,
        history,
        log,
        kept,
        metrics,
        name_service: name_service.clone(),
        ward: ward.clone(),
        probes: Arc::downgrade(&probes),
        ethernet,
        access: Access::new(circle, audit),
        desk,
        cluster_file: node.cluster_file.clone(),
        console: Console::new(publisher.0.generation.clone()).map_err(thread)?,
        notify: Notify::new(&loaded),
    });
    doors.serve(&runtime, &admin, &stop)?;
    let socket = loaded.node.socket.clone();
    let threads = Threads { driver, publisher, holds, journal: journal_thread, log: log_thread, desk: desk_thread };
    Ok(Running { config, socket, loaded, queue, pulse, ward, name_service, goodbye, admin, threads, runtime, stop })
}

/// The socket that hears the others.
fn heartbeats(listen: SocketAddr) -> Result<PeerSocket, StartError> {
    PeerSocket::bind(listen).map_err(|error| StartError::listen("heartbeats", listen, error))
}

/// The zones, what DNS calls this server, and its answers before anything is known.
fn first_answers(loaded: &mut Loaded) -> (Arc<Zones>, String, Arc<ArcSwap<View>>) {
    let zones = Zones::compile(std::mem::take(&mut loaded.zones), &loaded.cluster);
    let zones = Arc::new(zones.with_cookies(loaded.cookie_secrets()));
    let identity = if loaded.cluster.dns.identity { loaded.node.name.to_string() } else { String::new() };
    let view = Arc::new(ArcSwap::from_pointee(View::build(&zones, &Health::default(), &identity)));
    (zones, identity, view)
}

/// The flight recorder, and what it keeps for incidents.
fn recorder(loaded: &Loaded, log: Option<&Log>, runtime: &Runtime, stop: &CancellationToken) -> Kept {
    let recorder = Recorder::default();
    recorder.know_peers(&peers(&loaded.cluster));
    let kept = Kept::new(recorder, &loaded.node.state_dir);
    if let Some(log) = log {
        runtime.spawn(kept.clone().follow(log.clone(), stop.clone()));
    }
    kept
}

/// Starts the driver, with a core of its own.
fn drive(
    settings: Settings,
    loaded: &Loaded,
    hands: Hands,
    messages: Inbox,
    metrics: &Arc<Metrics>,
) -> Result<(Pulse, JoinHandle<()>), StartError> {
    let (mut effects, recorder) = (Effects::new(), hands.recorder.clone());
    let core = Node::new(host::clock::now(), settings, &mut effects);
    let applied = Applied::first(&loaded.node.name, &loaded.cluster);
    let started = Driver::start(core, effects, hands, messages, applied, metrics.clone(), recorder);
    started.map_err(|error| StartError::new("start a thread", error))
}

/// This server's membership; none before a cluster was made.
fn circle(
    loaded: &Loaded,
    (desk, log): (Option<&desk::Handle>, Option<&Log>),
    audit: &Arc<Audit>,
    queue: &Queue,
    stop: &CancellationToken,
) -> Result<Option<Arc<Circle>>, StartError> {
    let node = &loaded.node;
    let circle = Circle::open(&node.state_dir, node.admin_listen, audit.clone(), queue.clone(), stop)
        .map_err(|error| StartError::new("take part in the cluster", io::Error::other(error)))?;
    if let (Some(circle), Some(desk)) = (&circle, desk) {
        circle.links.converse_by(Topic::Document, desk::converse::by(desk.clone()));
    }
    if let (Some(circle), Some(log)) = (&circle, log) {
        circle.links.converse_by(Topic::Log, cluster_log::talk::by(log.clone()));
    }
    Ok(circle)
}

/// The cluster's log. Nothing that a server does for its clients depends on it.
fn cluster_log(loaded: &Loaded, metrics: &Arc<Metrics>) -> Option<(Log, JoinHandle<()>)> {
    let node = &loaded.node;
    Log::start(&node.name, &node.state_dir, loaded.cluster.heartbeat.interval, metrics.clone())
        .inspect_err(|error| {
            let path = node.state_dir.display();
            tracing::warn!(%error, %path, "the cluster's log has no place on the disk: only the last events are kept");
        })
        .ok()
}

/// The document's desk; none in file mode.
fn desk(loaded: &Loaded, queue: &Queue) -> Result<Option<(desk::Handle, JoinHandle<()>)>, StartError> {
    if loaded.mode == Mode::File {
        return Ok(None);
    }
    let node = &loaded.node;
    let open = |error: desk::OpenError| {
        StartError::new(
            &format!("open the document in {}", node.state_dir.display()),
            io::Error::other(error.to_string()),
        )
        .advice("does another standin run with the same `state-dir`?")
    };
    let desk = Desk::open(&node.name, &node.state_dir, loaded.cookie_secrets()).map_err(open)?;
    let queue = queue.clone();
    let tell = move |event| {
        let _ended = queue.send(Message::Record(event));
    };
    desk.start(Arc::new(tell)).map(Some).map_err(|error| StartError::new("start a thread", error))
}

/// The threads for input and output.
fn runtime() -> Result<Runtime, StartError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(2).thread_name("standin-io").enable_all().build();
    built.map_err(|error| StartError::new("start the threads for input and output", error))
}

/// What the core begins with: a run of its own.
fn settings(loaded: &Loaded, holds: BTreeMap<MonitorId, LastingHold>) -> Result<Settings, StartError> {
    let node = &loaded.node;
    let boot = host::entropy::boot_id().map_err(|error| StartError::new("get random bytes", error))?;
    Ok(Settings {
        name: node.name.clone(),
        boot,
        keys: loaded.keys.clone(),
        serial: serial::at_start(&node.state_dir),
        config: loaded.cluster.clone(),
        ethernet: node.heartbeat_ethernet,
        holds,
    })
}

/// Where the kernel's word about addresses goes: past the guardian's list.
fn noted(queue: &Queue, ward: Option<&Ward>) -> host::Sink {
    ward.map_or_else(|| queue.sink(), |ward| ward.noting(queue.sink()))
}

/// A module that needs privileges. Without them a server can still serve DNS, as long as it has no address to hold.
fn permitted<T>(what: &str, config: &ClusterConfig, module: io::Result<T>) -> Result<Option<T>, StartError> {
    match module {
        Ok(module) => Ok(Some(module)),
        Err(error) if config.virtual_hosts.is_empty() => {
            tracing::warn!(%error, "this process may not {what}; there is no virtual host, so it goes on");
            Ok(None)
        }
        Err(error) => Err(StartError::new(what, error).advice(
            "holding virtual hosts needs CAP_NET_ADMIN and CAP_NET_RAW: run it as root, or by the systemd unit",
        )),
    }
}

/// The second heartbeat path, and what the status tells of it. Without it heartbeats go by UDP alone.
fn ether(wanted: bool) -> (Option<Ether>, Ethernet) {
    let start = || {
        Ether::start()
            .inspect_err(|error| tracing::warn!(%error, "no heartbeats by Ethernet broadcast: they go by UDP alone"))
            .ok()
    };
    let ether = wanted.then(start).flatten();
    let view = ether.as_ref().map(Ether::view);
    (ether, Ethernet { wanted, view })
}

/// Without them a closed port is noticed by the next probe, which is later.
fn listeners(queue: &Queue) -> Option<Listeners> {
    Listeners::start(queue.sink())
        .inspect_err(|error| {
            tracing::warn!(%error, "the kernel does not tell when a port closes; services are probed at intervals only");
        })
        .ok()
}

impl Doors {
    fn open(loaded: &Loaded) -> Result<Self, StartError> {
        let node = &loaded.node;
        let tcp = |what: &str, address: Option<SocketAddr>| {
            address
                .map(|address| {
                    let listener = TcpListener::bind(address).and_then(|listener| {
                        listener.set_nonblocking(true)?;
                        Ok(listener)
                    });
                    listener.map_err(|error| StartError::listen(what, address, error))
                })
                .transpose()
        };
        let local = admin::socket::bind(&node.socket).map_err(|error| {
            StartError::new(&format!("open the admin socket {}", node.socket.display()), error)
                .advice("`socket` in the node file names it; does another standin run?")
        })?;
        Ok(Self { local, remote: tcp("admin", node.admin_listen)?, metrics: tcp("metrics", node.metrics_listen)? })
    }

    fn serve(self, runtime: &Runtime, admin: &Arc<Admin>, stop: &CancellationToken) -> Result<(), StartError> {
        // Tokio's listeners register with the runtime around them.
        let _inside = runtime.enter();
        let taken = |error: io::Error| StartError::new("serve the admin API", error);
        let local = tokio::net::UnixListener::from_std(self.local).map_err(taken)?;
        runtime.spawn(gate::serve_socket(local, admin::api(admin), stop.clone()));
        let tcp = |listener| tokio::net::TcpListener::from_std(listener).map_err(taken);
        if let Some(listener) = self.remote {
            let (listener, router, stop) = (tcp(listener)?, admin::api(admin), stop.clone());
            match &admin.access.circle {
                Some(circle) => runtime.spawn(gate::run(circle.clone(), listener, router, stop)),
                None => runtime.spawn(gate::serve_plain(listener, router, stop)),
            };
        }
        runtime.spawn(console::draw(admin.clone(), stop.clone()));
        runtime.spawn(admin.name_service.clone().watch(stop.clone()));
        runtime.spawn(notify::run(admin.clone(), stop.clone()));
        if let Some(circle) = &admin.access.circle {
            circle.start(runtime.handle());
        }
        if let Some(listener) = self.metrics {
            runtime.spawn(gate::serve_plain(tcp(listener)?, admin::metrics(admin), stop.clone()));
        }
        Ok(())
    }
}

impl Running {
    /// Asks the core to hand everything over, and waits for its goodbye.
    pub(crate) async fn resign(&mut self) {
        let (done, _ignored) = oneshot::channel();
        let message = Message::Command { command: Command::Resign, done };
        let queue = self.queue.clone();
        let farewell = async {
            // Waits for room: this one must arrive.
            let _sent = tokio::task::spawn_blocking(move || queue.send(message)).await;
            // An error means that the driver has ended, and holds nothing any more.
            let _said = self.goodbye.wait_for(|said| *said).await;
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("the handing-over took longer than {} s: stopping all the same", FAREWELL.as_secs());
        }
    }

    /// A thread that has ended although nobody told it to: it panicked. What it did is not done any more, and no other
    /// thread can do it, so the other servers had better stand in.
    pub(crate) fn broken(&self) -> Option<&'static str> {
        let threads = [
            ("driver", &self.threads.driver),
            ("publisher", &self.threads.publisher.1),
            ("holds", &self.threads.holds.1),
            ("journal", &self.threads.journal),
        ];
        let desk = self.threads.desk.iter().map(|thread| ("desk", thread));
        let log = self.threads.log.iter().map(|thread| ("log", thread));
        threads.into_iter().chain(desk).chain(log).find(|(_, thread)| thread.is_finished()).map(|(name, _)| name)
    }

    /// Stops everything, in order.
    fn end(self) {
        let _status = sd_notify::notify(&[NotifyState::Stopping]);
        self.name_service.stop();
        self.stop.cancel();
        self.admin.access.audit.close();
        let _ended = self.queue.send(Message::Stop);
        let (publisher, publisher_thread) = self.threads.publisher;
        join("driver", self.threads.driver);
        publisher.close();
        join("publisher", publisher_thread);
        let (holds, holds_thread) = self.threads.holds;
        holds.close();
        join("holds", holds_thread);
        // Driver, publisher and audit had it.
        join("journal", self.threads.journal);
        self.runtime.shutdown_timeout(DRAIN);
        // The runtime's tasks had the last handles of desk and log but these.
        drop(self.admin);
        let last = [("desk", self.threads.desk), ("log", self.threads.log)];
        last.into_iter()
            .filter_map(|(name, thread)| Some((name, thread?)))
            .for_each(|(name, thread)| join(name, thread));
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the admin socket is gone already");
        }
    }
}

fn join(name: &str, thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the {name} thread panicked");
    }
}
