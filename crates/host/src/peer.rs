//! The heartbeat socket: one UDP socket that sends and receives.
//!
//! Invariants: sending never blocks; what the kernel cannot take at once is an error and lost, as on the wire. The
//! receiver thread hands each datagram to the [`Sink`] and waits for nothing else; whoever owns the queue behind it drops
//! and counts when it is full. So with refusals: an ICMP port unreachable that comes back for a datagram of ours is handed on
//! with the address that it was sent to (`errors`). Datagrams above [`LARGEST`] bytes are none of ours and are dropped here.
//!
//! Deliberately not here: what the bytes mean, who is allowed to send them. And no SO_REUSEADDR: on UDP it is no help at a
//! restart, and it would let a second daemon take the datagrams of the first without a word.

mod errors;

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Builder, JoinHandle},
};

use model::net::Origin;
use socket2::{Domain, Protocol, Socket, Type};

use self::errors::Failure;
use crate::{
    Report, Sink, confine, schedule,
    wake::{Wake, poll, readable},
};

/// The longest datagram that is handed on, in bytes.
pub const LARGEST: usize = 2048;

/// Class selector 6, "network control" (RFC 4594 section 3.2), in the place of the old type of service.
const CLASS_SELECTOR_6: u32 = 0xc0;

/// Room for what arrives while a busy machine lets the receiver wait.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// The socket, and the thread that reads it. Both end when it is dropped.
#[derive(Debug)]
pub struct PeerSocket {
    shared: Arc<Shared>,
    receiver: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    /// An IPv6 socket, to which IPv4 addresses are mapped ones.
    six: bool,
    wake: Wake,
    stop: AtomicBool,
    oversized: AtomicU64,
}

impl PeerSocket {
    /// Opens the socket and starts the receiver.
    ///
    /// # Errors
    ///
    /// The kernel's: the address is not this machine's, or somebody has the port already.
    pub fn bind(listen: SocketAddr, sink: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            socket: open(listen)?,
            six: listen.is_ipv6(),
            wake: Wake::new()?,
            stop: AtomicBool::new(false),
            oversized: AtomicU64::new(0),
        });
        let receiver = Builder::new().name("standin-peer".into()).spawn({
            let shared = Arc::clone(&shared);
            move || receive(&shared, &sink)
        })?;
        Ok(Self { shared, receiver: Some(receiver) })
    }

    /// Where the socket listens; tells the port where none was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.socket.local_addr()
    }

    /// Sends one datagram, or fails at once.
    ///
    /// # Errors
    ///
    /// The kernel's: no route, link down, or no room in the send buffer. The datagram is lost.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let to = match (to.ip(), self.shared.six) {
            (IpAddr::V4(ip), true) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), to.port()),
            (IpAddr::V4(_), false) | (IpAddr::V6(_), _) => to,
        };
        let sent = match self.shared.socket.send_to(bytes, to) {
            // What ICMP says of an earlier datagram, to whomever, fails the next call in its place, and is over with that.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.shared.socket.send_to(bytes, to),
            sent => sent,
        };
        sent.map(drop)
    }

    /// Datagrams dropped for their length so far.
    pub fn oversized(&self) -> u64 {
        self.shared.oversized.load(Ordering::Relaxed)
    }

    /// Ends the receiver; nothing is reported after this returns.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake.ring();
        if let Some(receiver) = self.receiver.take() {
            // A receiver that panicked has told so already; there is nothing left to end.
            let _ = receiver.join();
        }
    }
}

impl Drop for PeerSocket {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        // The wildcard serves both families.
        socket.set_only_v6(listen.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
        socket.set_tclass_v6(CLASS_SELECTOR_6)?;
    }
    if listen.is_ipv4() || listen.ip().is_unspecified() {
        socket.set_tos_v4(CLASS_SELECTOR_6)?;
    }
    // The kernel grants what its limit allows; less is no failure.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    errors::enable(&socket, listen)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

/// The receiver thread.
fn receive(shared: &Shared, sink: &Sink) {
    confine::this_thread();
    // Heartbeats that wait behind a busy machine's work look like a dead peer. Refused without the privilege, harmlessly.
    let _ = schedule::prefer_this_thread();
    let mut buffer = [0; LARGEST + 1];
    loop {
        let mut fds = [readable(shared.wake.fd()), readable(shared.socket.as_raw_fd())];
        if let Err(error) = poll(&mut fds, -1) {
            tracing::error!(%error, "the heartbeat receiver cannot wait and ends");
            return;
        }
        if fds[1].revents & libc::POLLERR != 0 {
            let failures = std::iter::from_fn(|| errors::next(&shared.socket)).take(64);
            failures.for_each(|failure| match failure {
                Failure::Refused(to) => sink(Report::Refused { to }),
                Failure::Other => {}
            });
        }
        // Bounded, so that a flood cannot keep us from seeing `stop`.
        for _ in 0..64 {
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            match shared.socket.recv_from(&mut buffer) {
                Ok((length, _)) if length > LARGEST => {
                    shared.oversized.fetch_add(1, Ordering::Relaxed);
                }
                Ok((length, from)) => {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    sink(Report::Datagram { from: Origin::Udp(from), bytes: buffer[..length].to_vec() });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Such as a signal, or a checksum that was wrong.
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, channel},
        time::Duration,
    };

    use super::*;

    fn listen(address: &str) -> (PeerSocket, Receiver<Report>) {
        let (sender, receiver) = channel();
        let sink: Sink = Arc::new(move |report| sender.send(report).unwrap_or(()));
        (PeerSocket::bind(address.parse().unwrap(), sink).unwrap(), receiver)
    }

    fn next(reports: &Receiver<Report>) -> (SocketAddr, Vec<u8>) {
        match reports.recv_timeout(Duration::from_secs(10)).expect("a datagram arrives") {
            Report::Datagram { from: Origin::Udp(from), bytes } => (from, bytes),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn datagrams_arrive_with_their_sender() {
        let (one, to_one) = listen("127.0.0.1:0");
        let (two, to_two) = listen("127.0.0.1:0");
        one.send(two.local_addr().unwrap(), b"hello").unwrap();
        assert_eq!(next(&to_two), (one.local_addr().unwrap(), b"hello".to_vec()));
        two.send(one.local_addr().unwrap(), &[7; LARGEST]).unwrap();
        assert_eq!(next(&to_one), (two.local_addr().unwrap(), vec![7; LARGEST]));
    }

    #[test]
    fn what_is_too_long_is_dropped_and_counted() {
        let (one, _) = listen("127.0.0.1:0");
        let (two, to_two) = listen("127.0.0.1:0");
        let to = two.local_addr().unwrap();
        one.send(to, &[7; LARGEST + 1]).unwrap();
        one.send(to, b"next").unwrap();
        assert_eq!(next(&to_two).1, b"next");
        assert_eq!(two.oversized(), 1);
    }

    #[test]
    fn a_second_daemon_cannot_take_the_port() {
        let (one, _) = listen("127.0.0.1:0");
        let error = PeerSocket::bind(one.local_addr().unwrap(), Arc::new(drop)).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_port_is_free_after_the_stop() {
        let (one, reports) = listen("127.0.0.1:0");
        let address = one.local_addr().unwrap();
        drop(one);
        assert!(reports.recv().is_err(), "the receiver has ended and let go of the sink");
        PeerSocket::bind(address, Arc::new(drop)).expect("free again");
    }

    #[test]
    fn the_ipv6_wildcard_speaks_ipv4_too() {
        let (wild, to_wild) = listen("[::]:0");
        let (four, to_four) = listen("127.0.0.1:0");
        let port = wild.local_addr().unwrap().port();
        four.send(SocketAddr::new("127.0.0.1".parse().unwrap(), port), b"a").unwrap();
        assert_eq!(next(&to_wild), (four.local_addr().unwrap(), b"a".to_vec()));
        wild.send(four.local_addr().unwrap(), b"b").unwrap();
        assert_eq!(next(&to_four), (SocketAddr::new("127.0.0.1".parse().unwrap(), port), b"b".to_vec()));
    }

    #[test]
    fn a_closed_port_is_told_with_its_address_and_the_next_datagram_still_goes() {
        for (address, wild) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0"), ("127.0.0.1:0", "[::]:0")] {
            let closed = listen(address).0.local_addr().unwrap();
            let (one, to_one) = listen(wild);
            let (two, to_two) = listen(address);
            for _ in 0..2 {
                one.send(closed, b"lost").unwrap();
                one.send(two.local_addr().unwrap(), b"hello").unwrap();
                assert_eq!(next(&to_two).1, b"hello");
                assert_eq!(to_one.recv_timeout(Duration::from_secs(10)), Ok(Report::Refused { to: closed }));
            }
        }
    }

    #[test]
    fn heartbeats_are_marked_as_network_control() {
        let (four, _) = listen("127.0.0.1:0");
        assert_eq!(socket2::SockRef::from(&four.shared.socket).tos_v4().unwrap(), CLASS_SELECTOR_6);
        let (six, _) = listen("[::]:0");
        let socket = socket2::SockRef::from(&six.shared.socket);
        assert_eq!(socket.tclass_v6().unwrap(), CLASS_SELECTOR_6);
        assert_eq!(socket.tos_v4().unwrap(), CLASS_SELECTOR_6);
    }
}
