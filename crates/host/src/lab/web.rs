//! A small service for a lab's host, to be probed, asked and stopped: over HTTP it answers its name on `/` and 200 on
//! `/health`, over UDP it sends every datagram back with its name behind it, from the address that was asked.
//!
//! Both sit on the same port of all addresses, so that virtual addresses may come and go. Invariants: after
//! [`Web::stop`] the port is closed, and connections to it are refused; memory is bounded whatever clients do.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, oneshot},
};

use super::Host;
use crate::packet_info;

/// Longest request head that is read, in bytes.
const LONGEST_HEAD: usize = 8 * 1024;
/// Longest datagram that is echoed, in bytes.
const LONGEST_DATAGRAM: usize = 512;
/// Connections at a time; further ones wait in the backlog.
const CONNECTIONS: usize = 256;
/// How long a client may take for its request and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running service; it stops when dropped.
#[derive(Debug)]
pub struct Web {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Starts it on `port` of all addresses, IPv4 and IPv6, of `host`. It answers the host's name.
    pub fn start(host: &Host, port: u16) -> io::Result<Self> {
        let (listener, echo) = host.run(|| open(port)).flatten()?;
        let (stop, stopped) = oneshot::channel();
        let name: Arc<str> = host.name().into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name(format!("web-{name}")).spawn(move || {
            let served = runtime.block_on(async {
                let (listener, echo) = (TcpListener::from_std(listener)?, UdpSocket::from_std(echo)?);
                tokio::select! {
                    () = serve_http(listener, Arc::clone(&name)) => {}
                    () = serve_echo(echo, Arc::clone(&name)) => {}
                    _ = stopped => {}
                }
                io::Result::Ok(())
            });
            if let Err(error) = served {
                tracing::warn!(host = %name, %error, "web service ended");
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Closes the port and every connection, and waits until that is done.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            drop(thread.join());
        }
    }
}

/// Dual-stack sockets: they take IPv4 as mapped addresses. A host without IPv6 gets IPv4 only.
fn open(port: u16) -> io::Result<(std::net::TcpListener, std::net::UdpSocket)> {
    let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let four = SocketAddr::from(([0, 0, 0, 0], port));
    let socket = |kind, protocol| match Socket::new(Domain::IPV6, kind, Some(protocol)) {
        Ok(socket) => socket.set_only_v6(false).map(|()| (socket, six)),
        Err(_) => Socket::new(Domain::IPV4, kind, Some(protocol)).map(|socket| (socket, four)),
    };
    let (listener, address) = socket(Type::STREAM, Protocol::TCP)?;
    listener.set_reuse_address(true)?;
    listener.set_nonblocking(true)?;
    listener.bind(&address.into())?;
    listener.listen(128)?;
    let (echo, address) = socket(Type::DGRAM, Protocol::UDP)?;
    echo.set_nonblocking(true)?;
    packet_info::enable(&echo, address.ip())?;
    echo.bind(&address.into())?;
    Ok((listener.into(), echo.into()))
}

async fn serve_http(listener: TcpListener, name: Arc<str>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let name = Arc::clone(&name);
                tokio::spawn(async move {
                    let _place = place;
                    // A client that breaks off or dawdles harms only itself.
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, &name)).await;
                });
            }
            // Out of descriptors, or a connection that was gone before it was taken.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// One request, one answer, end of connection (RFC 9112).
async fn answer(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let path = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let (status, body) = match path {
        b"/" => ("200 OK", format!("{name}\n")),
        b"/health" => ("200 OK", "ok\n".to_owned()),
        _ => ("404 Not Found", "not found\n".to_owned()),
    };
    let length = body.len();
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

async fn serve_echo(socket: UdpSocket, name: Arc<str>) {
    let mut buffer = [0; LONGEST_DATAGRAM];
    loop {
        let received = socket.async_io(Interest::READABLE, || packet_info::receive(&socket, &mut buffer)).await;
        // An error here is an ICMP message about an earlier reply.
        let Ok((length, peer, local)) = received else { continue };
        let mut reply = buffer[..length].to_vec();
        reply.extend_from_slice(name.as_bytes());
        // A full queue loses a datagram, as networks do.
        let _ = packet_info::send(&socket, &reply, peer, local);
    }
}
