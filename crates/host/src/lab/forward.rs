//! Lets the outer world in: what arrives on a socket of this machine's own network is relayed to an address inside.
//!
//! Used by `standin demo --keep`, so that `dig` and a browser outside reach the servers inside. Invariants: at most
//! [`CLIENTS`] UDP clients and [`CONNECTIONS`] TCP connections at a time; further clients are dropped or wait, those
//! already served are not disturbed. Everything ends when the [`Forward`] is dropped.
//!
//! Deliberately not here: the client's address. Inside, everything seems to come from the host that relays.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Semaphore, oneshot};

use super::Host;

/// UDP clients at a time.
pub const CLIENTS: usize = 128;
/// TCP connections at a time; further ones wait in the backlog.
pub const CONNECTIONS: usize = 128;
/// How long a UDP client that neither asks nor is answered keeps its place.
const UDP_IDLE: Duration = Duration::from_secs(5);
/// How long the connection inside may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Longest datagram.
const LONGEST_DATAGRAM: usize = 65_535;

/// A running relay; it stops when dropped.
#[derive(Debug)]
pub struct Forward {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Relays datagrams between `outer` and `inner`, which is reached from the host `through`.
    pub fn udp(outer: UdpSocket, through: &Host, inner: SocketAddr) -> io::Result<Self> {
        outer.set_nonblocking(true)?;
        let through = through.clone();
        Self::start("forward-udp", async move {
            match tokio::net::UdpSocket::from_std(outer) {
                Ok(outer) => relay_datagrams(outer, through, inner).await,
                Err(error) => tracing::warn!(%error, "cannot relay datagrams"),
            }
        })
    }

    /// Relays connections to `outer` on to `inner`, which is reached from the host `through`.
    pub fn tcp(outer: TcpListener, through: &Host, inner: SocketAddr) -> io::Result<Self> {
        outer.set_nonblocking(true)?;
        let through = through.clone();
        Self::start("forward-tcp", async move {
            match tokio::net::TcpListener::from_std(outer) {
                Ok(outer) => relay_connections(outer, through, inner).await,
                Err(error) => tracing::warn!(%error, "cannot relay connections"),
            }
        })
    }

    fn start(name: &str, relay: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = relay => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            drop(thread.join());
        }
    }
}

/// The socket inside that stands for each client outside.
type Clients = Arc<Mutex<HashMap<SocketAddr, Arc<tokio::net::UdpSocket>>>>;

async fn relay_datagrams(outer: tokio::net::UdpSocket, through: Host, inner: SocketAddr) {
    let (outer, clients) = (Arc::new(outer), Clients::default());
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        // An error here is an ICMP message about an earlier reply.
        let Ok((length, client)) = outer.recv_from(&mut buffer).await else { continue };
        let known = clients.lock().unwrap_or_else(PoisonError::into_inner).get(&client).cloned();
        let socket = match known {
            Some(socket) => socket,
            None => match new_client(&outer, &through, inner, client, &clients) {
                Ok(Some(socket)) => socket,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot relay a datagram");
                    continue;
                }
            },
        };
        // Lost as on any network; the client asks again.
        let _ = socket.send(&buffer[..length]).await;
    }
}

/// A place for a new client, unless all are taken.
fn new_client(
    outer: &Arc<tokio::net::UdpSocket>,
    through: &Host,
    inner: SocketAddr,
    client: SocketAddr,
    clients: &Clients,
) -> io::Result<Option<Arc<tokio::net::UdpSocket>>> {
    if clients.lock().unwrap_or_else(PoisonError::into_inner).len() >= CLIENTS {
        return Ok(None);
    }
    let open = || {
        let socket = Socket::new(Domain::for_address(inner), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.connect(&inner.into())?;
        io::Result::Ok(socket)
    };
    let socket = Arc::new(tokio::net::UdpSocket::from_std(through.run(open).flatten()?.into())?);
    clients.lock().unwrap_or_else(PoisonError::into_inner).insert(client, Arc::clone(&socket));
    let (outer, clients, replies) = (Arc::clone(outer), Arc::clone(clients), Arc::clone(&socket));
    tokio::spawn(async move {
        let mut buffer = vec![0; LONGEST_DATAGRAM];
        while let Ok(received) = tokio::time::timeout(UDP_IDLE, replies.recv(&mut buffer)).await {
            if let Ok(length) = received {
                let _ = outer.send_to(&buffer[..length], client).await;
            }
        }
        clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&client);
    });
    Ok(Some(socket))
}

async fn relay_connections(outer: tokio::net::TcpListener, through: Host, inner: SocketAddr) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((mut client, _)) = outer.accept().await else {
            // Out of descriptors, or a connection that was gone before it was taken.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let through = through.clone();
        tokio::spawn(async move {
            let _place = place;
            match connect(&through, inner).await {
                // Either side's end or reset is the end of both.
                Ok(mut server) => drop(tokio::io::copy_bidirectional(&mut client, &mut server).await),
                Err(error) => tracing::debug!(%error, "cannot relay a connection"),
            }
        });
    }
}

async fn connect(through: &Host, inner: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let open = || {
        let socket = Socket::new(Domain::for_address(inner), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        io::Result::Ok(socket)
    };
    let socket = tokio::net::TcpSocket::from_std_stream(through.run(open).flatten()?.into());
    tokio::time::timeout(CONNECT_PATIENCE, socket.connect(inner)).await?
}
