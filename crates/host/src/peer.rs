//! The heartbeat socket: one UDP socket that sends and receives.
//!
//! Invariants: neither sending nor receiving ever waits; what the kernel cannot take at once is an error and lost, as on the
//! wire, and what finds `RECEIVE_BUFFER` full is dropped by the kernel, which counts it. An ICMP port unreachable that comes
//! back for a datagram of ours is told with the address that it was sent to (`errors`). Datagrams above [`LARGEST`] bytes are
//! none of ours and are dropped here.
//!
//! Deliberately not here: what the bytes mean, who is allowed to send them; and waiting (`heartbeat`). And no SO_REUSEADDR: on
//! UDP it is no help at a restart, and it would let a second daemon take the datagrams of the first without a word.

mod errors;

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, RawFd},
};

use model::net::Origin;
use socket2::{Domain, Protocol, Socket, Type};

use self::errors::Failure;
use crate::heartbeat::Heard;

/// The longest datagram that is handed on, in bytes.
pub const LARGEST: usize = 2048;

/// Class selector 6, "network control" (RFC 4594 section 3.2), in the place of the old type of service.
const CLASS_SELECTOR_6: u32 = 0xc0;

/// Room for what arrives while the driver is busy.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// Messages of the error queue that are looked at in a row for one that matters.
const FAILURES: usize = 64;

/// The socket.
#[derive(Debug)]
pub struct PeerSocket {
    socket: UdpSocket,
    /// An IPv6 socket, to which IPv4 addresses are mapped ones.
    six: bool,
    oversized: u64,
}

impl PeerSocket {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// The kernel's: the address is not this machine's, or somebody has the port already.
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: open(listen)?, six: listen.is_ipv6(), oversized: 0 })
    }

    /// Where the socket listens; tells the port where none was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends one datagram, or fails at once.
    ///
    /// # Errors
    ///
    /// The kernel's: no route, link down, or no room in the send buffer. The datagram is lost.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let to = match (to.ip(), self.six) {
            (IpAddr::V4(ip), true) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), to.port()),
            (IpAddr::V4(_), false) | (IpAddr::V6(_), _) => to,
        };
        let sent = match self.socket.send_to(bytes, to) {
            // What ICMP says of an earlier datagram, to whomever, fails the next call in its place, and is over with that.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.socket.send_to(bytes, to),
            sent => sent,
        };
        sent.map(drop)
    }

    /// The datagram that has waited longest; none where none waits, or where that one is none of ours.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        let mut buffer = [0; LARGEST + 1];
        // An error is such as a signal, or a checksum that was wrong.
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        if length > LARGEST {
            self.oversized += 1;
            return None;
        }
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        Some(Heard::Datagram { from: Origin::Udp(from), bytes: buffer[..length].to_vec() })
    }

    /// The next refusal in the error queue; none where there is none among the first few messages.
    pub(crate) fn hear_refusal(&mut self) -> Option<Heard> {
        let failures = std::iter::from_fn(|| errors::next(&self.socket)).take(FAILURES);
        let mut refused = failures.filter_map(|failure| match failure {
            Failure::Refused(to) => Some(Heard::Refused { to }),
            Failure::Other => None,
        });
        refused.next()
    }

    /// Datagrams dropped for their length so far.
    pub fn oversized(&self) -> u64 {
        self.oversized
    }
}

impl AsRawFd for PeerSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{bell::Bell, heartbeat::Heartbeats};

    /// What a test awaits normally comes in microseconds.
    const PATIENCE: Duration = Duration::from_secs(10);

    struct Listener {
        bell: Bell,
        ears: Heartbeats,
    }

    impl Listener {
        fn socket(&self) -> &PeerSocket {
            self.ears.socket()
        }

        fn address(&self) -> SocketAddr {
            self.socket().local_addr().unwrap()
        }

        fn next(&mut self) -> Heard {
            for _ in 0..10 {
                self.ears.wait(&self.bell, PATIENCE);
                if let Some(heard) = self.ears.hear() {
                    return heard;
                }
            }
            unreachable!("nothing is heard");
        }

        fn datagram(&mut self) -> (SocketAddr, Vec<u8>) {
            match self.next() {
                Heard::Datagram { from: Origin::Udp(from), bytes } => (from, bytes),
                other => unreachable!("{other:?}"),
            }
        }
    }

    fn listen(address: &str) -> Listener {
        let socket = PeerSocket::bind(address.parse().unwrap()).unwrap();
        Listener { bell: Bell::new().unwrap(), ears: Heartbeats::new(socket, None) }
    }

    #[test]
    fn datagrams_arrive_with_their_sender() {
        let (mut one, mut two) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
        one.socket().send(two.address(), b"hello").unwrap();
        assert_eq!(two.datagram(), (one.address(), b"hello".to_vec()));
        two.socket().send(one.address(), &[7; LARGEST]).unwrap();
        assert_eq!(one.datagram(), (two.address(), vec![7; LARGEST]));
    }

    #[test]
    fn what_is_too_long_is_dropped_and_counted() {
        let (one, mut two) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
        one.socket().send(two.address(), &[7; LARGEST + 1]).unwrap();
        one.socket().send(two.address(), b"next").unwrap();
        assert_eq!(two.datagram().1, b"next");
        assert_eq!(two.socket().oversized(), 1);
    }

    #[test]
    fn what_finds_the_buffer_full_is_counted_and_the_rest_is_heard() {
        let (one, mut two) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
        let sent = 2 * RECEIVE_BUFFER / LARGEST * 4;
        (0..sent).for_each(|_| one.socket().send(two.address(), &[7; LARGEST]).unwrap());
        let dropped = two.ears.dropped();
        assert!(dropped > 0);
        assert_eq!(two.ears.dropped(), 0, "told once");
        (dropped..u64::try_from(sent).unwrap()).for_each(|_| drop(two.datagram()));
    }

    #[test]
    fn what_came_before_the_beginning_is_forgotten() {
        let (one, mut two) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
        (0..100).for_each(|_| one.socket().send(two.address(), b"old").unwrap());
        two.ears.forget(&two.bell);
        one.socket().send(two.address(), b"new").unwrap();
        assert_eq!(two.datagram().1, b"new");
    }

    #[test]
    fn a_second_daemon_cannot_take_the_port() {
        let one = listen("127.0.0.1:0");
        let error = PeerSocket::bind(one.address()).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let address = one.address();
        drop(one);
        PeerSocket::bind(address).expect("free again");
    }

    #[test]
    fn the_ipv6_wildcard_speaks_ipv4_too() {
        let (mut wild, mut four) = (listen("[::]:0"), listen("127.0.0.1:0"));
        let port = wild.address().port();
        four.socket().send(SocketAddr::new("127.0.0.1".parse().unwrap(), port), b"a").unwrap();
        assert_eq!(wild.datagram(), (four.address(), b"a".to_vec()));
        wild.socket().send(four.address(), b"b").unwrap();
        assert_eq!(four.datagram(), (SocketAddr::new("127.0.0.1".parse().unwrap(), port), b"b".to_vec()));
    }

    #[test]
    fn a_closed_port_is_told_with_its_address_and_the_next_datagram_still_goes() {
        for (address, wild) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0"), ("127.0.0.1:0", "[::]:0")] {
            let closed = listen(address).address();
            let (mut one, mut two) = (listen(wild), listen(address));
            for _ in 0..2 {
                one.socket().send(closed, b"lost").unwrap();
                one.socket().send(two.address(), b"hello").unwrap();
                assert_eq!(two.datagram().1, b"hello");
                assert_eq!(one.next(), Heard::Refused { to: closed });
            }
        }
    }

    #[test]
    fn heartbeats_are_marked_as_network_control() {
        let four = listen("127.0.0.1:0");
        assert_eq!(socket2::SockRef::from(&four.socket().socket).tos_v4().unwrap(), CLASS_SELECTOR_6);
        let six = listen("[::]:0");
        let socket = socket2::SockRef::from(&six.socket().socket);
        assert_eq!(socket.tclass_v6().unwrap(), CLASS_SELECTOR_6);
        assert_eq!(socket.tos_v4().unwrap(), CLASS_SELECTOR_6);
    }
}
