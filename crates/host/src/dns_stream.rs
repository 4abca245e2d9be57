//! DNS over TCP (RFC 7766), and UDP queries that the answering threads have deferred.
//!
//! Framing, pipelining and timeouts of connections are hickory-server's: its stream takes the next query only when the last
//! reply is written, and its timeout runs from message to message, so that whoever dribbles bytes or does not read is cut
//! off. Around it stands what it does not have: a limit of connections, in total and per client. The replies are the bytes
//! of [`View::answer_any`], over the same nodes as the fast path; they do not pass through hickory's message encoder,
//! which would put worse compression and, where it has to cut, malformed messages in their place.
//!
//! Invariants: connections are bounded, and far from the process's limit of open files; a fault while answering costs one
//! query; nothing here touches the UDP threads.
//!
//! Deliberately not here: transfers, TLS.

mod limits;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Shutdown, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use dns::{Client, Outcome, Transport, View, usage::Sheet};
use futures_util::StreamExt;
use hickory_server::{
    net::{BufDnsStreamHandle, DnsStreamHandle, runtime::iocompat::AsyncIoTokioAsStd, tcp::TcpStream},
    proto::op::SerialMessage,
    server::TimeoutStream,
};
use socket2::{SockRef, Socket};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use self::limits::{Limits, Ticket};
use crate::{
    clock,
    dns_counters::{Cell, DnsCounts, Dropped, Writers::Many},
    dns_socket::{self, Place, bound_address, places},
    dns_udp::Deferred,
    dns_usage::Samples,
    entropy,
};

/// What clients get.
const PATIENCE: Patience = Patience { usual: Duration::from_secs(10), under_pressure: Duration::from_secs(2) };
/// Replies that wait to be written on one connection. One query at a time is answered, so one would do.
const UNWRITTEN: usize = 4;
/// Bytes of replies that the kernel keeps for a client that does not read, beyond what is under way to it. Without it
/// the kernel would take megabytes for each.
const UNSENT: u32 = 64 * 1024;
/// Rest after an error of accept(2) that is not about one connection, such as too many open files.
const REST: Duration = Duration::from_millis(50);

/// How long a connection may take for its next query, or for reading a reply (RFC 7766 section 6.2.3).
#[derive(Clone, Copy, Debug)]
struct Patience {
    usual: Duration,
    /// While more than half of all connections are taken.
    under_pressure: Duration,
}

/// What every answer needs.
#[derive(Debug)]
struct Answerer {
    patience: Patience,
    views: Arc<ArcSwap<View>>,
    cell: Cell,
    /// Every reply is noted where nobody else is just noting one.
    samples: Samples,
    /// Where the next connection's rotation of pools begins.
    turn: AtomicU32,
    limits: Arc<Limits>,
}

impl Answerer {
    fn new(views: &Arc<ArcSwap<View>>, patience: Patience) -> Self {
        let turn = AtomicU32::new(entropy::spread() as u32);
        let (views, limits) = (Arc::clone(views), Limits::of_this_process());
        Self { patience, views, cell: Cell::default(), samples: Samples::new(), turn, limits }
    }

    fn answer(&self, client: IpAddr, query: &[u8], transport: Transport, turn: &mut u32) -> Option<Vec<u8>> {
        let mut reply = Vec::new();
        let view = self.views.load();
        let client = Client { address: client.to_canonical(), now: clock::wall_micros() };
        let respond = || view.answer_any(client, query, transport, &mut reply, turn);
        // The hook has printed what went wrong.
        match catch_unwind(AssertUnwindSafe(respond)) {
            Ok(Outcome::Reply(_)) => {
                self.cell.reply(Many, &reply);
                self.samples.note_one(client.address, &reply);
                return Some(reply);
            }
            Ok(Outcome::Defer | Outcome::Drop | Outcome::Limited) => self.cell.dropped(Many, Dropped::NotAQuery),
            Err(_) => self.cell.dropped(Many, Dropped::Fault),
        }
        None
    }

    /// Both halves move on: connections mostly ask once, and shall not all see the same first answer.
    fn next_turn(&self) -> u32 {
        self.turn.fetch_add(0x0001_0001, Ordering::Relaxed)
    }
}

/// A task that takes connections, and its socket.
#[derive(Debug)]
struct Listener {
    task: AbortHandle,
    socket: Socket,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        // The task goes when the runtime comes to it; the port is free from here on.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The general server. It ends when this is dropped.
#[derive(Debug)]
pub struct DnsStream {
    runtime: Handle,
    answerer: Arc<Answerer>,
    /// The configured places, with the ports that the kernel chose for port 0.
    listen: Vec<SocketAddr>,
    listeners: BTreeMap<Place, Listener>,
    deferred: AbortHandle,
    gate: Arc<Gate>,
}

/// Closed when the server ends. A deferred query is answered while this is held: whoever has closed it knows that no
/// task has a UDP socket in its hands any more.
type Gate = Mutex<bool>;

impl DnsStream {
    /// Listens for connections, and answers what comes by `deferred`, from the newest of `views`, on `runtime`. `listen` are
    /// the addresses that UDP is bound to.
    ///
    /// # Errors
    ///
    /// The address that could not be bound, and why; nothing is left running then.
    pub fn start(
        runtime: &Handle,
        listen: &[SocketAddr],
        virtual_addresses: &[IpAddr],
        views: &Arc<ArcSwap<View>>,
        deferred: mpsc::Receiver<Deferred>,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let answerer = Arc::new(Answerer::new(views, PATIENCE));
        let gate = Arc::<Gate>::default();
        let answering = answer_deferred(Arc::clone(&answerer), deferred, Arc::clone(&gate));
        let deferred = runtime.spawn(answering).abort_handle();
        let (runtime, listeners) = (runtime.clone(), BTreeMap::new());
        let mut this = Self { runtime, answerer, listen: Vec::new(), listeners, deferred, gate };
        for place in places(listen, &[]) {
            let place = this.open(place)?;
            this.listen.push(place.address);
        }
        this.set_virtual_addresses(virtual_addresses)?;
        Ok(this)
    }

    /// Listens on these virtual addresses besides the configured ones, and no longer on those given before, whose
    /// connections end. Other connections are not touched.
    ///
    /// # Errors
    ///
    /// The address that could not be bound, and why; the places are the old ones then.
    pub fn set_virtual_addresses(&mut self, virtual_addresses: &[IpAddr]) -> Result<(), (SocketAddr, io::Error)> {
        let wanted = places(&self.listen, virtual_addresses);
        let added: Vec<Place> = wanted.iter().filter(|place| !self.listeners.contains_key(place)).copied().collect();
        for (number, place) in added.iter().enumerate() {
            if let Err(error) = self.open(*place) {
                for opened in &added[..number] {
                    self.listeners.remove(opened);
                }
                return Err(error);
            }
        }
        self.listeners.retain(|place, _| wanted.contains(place));
        Ok(())
    }

    /// Listens at a place, whose port is then known.
    fn open(&mut self, place: Place) -> Result<Place, (SocketAddr, io::Error)> {
        let failed = |error| (place.address, error);
        let socket = dns_socket::tcp(place).map_err(failed)?;
        let place = place.at_port(bound_address(&socket).map_err(failed)?.port());
        let _inside = self.runtime.enter();
        let listener = socket.try_clone().and_then(|socket| TcpListener::from_std(socket.into())).map_err(failed)?;
        let task = self.runtime.spawn(accept(Arc::clone(&self.answerer), listener)).abort_handle();
        self.listeners.insert(place, Listener { task, socket });
        Ok(place)
    }

    /// The configured addresses, with the ports that the kernel chose for port 0.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// What was counted so far: connections, and replies to deferred queries.
    pub fn counts(&self) -> DnsCounts {
        let mut counts = DnsCounts::new();
        counts.add_cell(&self.answerer.cell);
        counts
    }

    /// Takes what was noted since the last time, as `DnsUdp::take_usage`.
    pub fn take_usage(&self, spare: &mut Box<Sheet>, each: impl FnOnce(&Sheet)) {
        self.answerer.samples.take(spare);
        each(spare);
        spare.clear();
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.answerer.limits.taken()
    }

    /// Closes every listener and connection.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for DnsStream {
    fn drop(&mut self) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.deferred.abort();
    }
}

async fn answer_deferred(answerer: Arc<Answerer>, mut deferred: mpsc::Receiver<Deferred>, gate: Arc<Gate>) {
    let mut turn = answerer.next_turn();
    while let Some(Deferred { query, reply: to }) = deferred.recv().await {
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return;
        }
        let reply = answerer.answer(to.client().ip(), &query, Transport::Udp, &mut turn);
        if reply.is_some_and(|reply| to.send(&reply).is_err()) {
            answerer.cell.dropped(Many, Dropped::Send);
        }
    }
}

/// Takes connections at one place. They end with this task.
async fn accept(answerer: Arc<Answerer>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_about_one_connection(&error) => continue,
            // The socket was shut down.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(error) => {
                tracing::warn!(%error, "cannot accept DNS connections");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        match answerer.limits.admit(client.ip()) {
            Some(ticket) => drop(connections.spawn(serve(Arc::clone(&answerer), stream, client, ticket))),
            // Closed at once: the client knows that it must try another server, or later.
            None => answerer.cell.dropped(Many, Dropped::Connections),
        }
    }
}

/// The client has gone before it was taken, or its network has (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable
    )
}

async fn serve(answerer: Arc<Answerer>, stream: tokio::net::TcpStream, client: SocketAddr, ticket: Ticket) {
    // A reply is written whole; waiting to fill a segment only delays the last one.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
    let Patience { usual, under_pressure } = answerer.patience;
    let idle = if ticket.under_pressure() { under_pressure } else { usual };
    let (stream, mut replies): (_, BufDnsStreamHandle) =
        TcpStream::from_stream_with_buffer_size(AsyncIoTokioAsStd(stream), client, UNWRITTEN);
    let mut queries = TimeoutStream::new(stream, idle);
    let mut turn = answerer.next_turn();
    // An error is the end as well: a reset, a half message, or silence for too long.
    while let Some(Ok(query)) = queries.next().await {
        let Some(reply) = answerer.answer(client.ip(), query.bytes(), Transport::Tcp, &mut turn) else { return };
        if replies.send(SerialMessage::new(reply, client)).is_err() {
            return;
        }
    }
}
