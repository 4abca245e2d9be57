//! Which sockets DNS listens on, for UDP and TCP alike.
//!
//! The rule: every configured address as it stands; a wildcard covers all addresses of its family; a specific address
//! brings every virtual address of its family at the same port. Those are bound with IP_FREEBIND, so virtual addresses may
//! come and go while the socket stays, and a local stub resolver on 127.0.0.53 is no obstacle. `[::]` takes IPv4 too,
//! unless an IPv4 address is configured beside it at the same port.
//!
//! Invariants: no address twice; a port that another program (or another daemon of ours) holds is refused, although our own
//! threads share it with SO_REUSEPORT.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::packet_info;

/// Wished-for size of a UDP socket's queues, in bytes; the kernel may give less.
const QUEUE: usize = 4 << 20;
/// How long a thread waits for a datagram before it looks around.
pub(crate) const GLANCE: Duration = Duration::from_millis(250);
/// How long sending may wait for room.
const SEND_PATIENCE: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A place to listen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    /// Address and port; port 0 lets the kernel choose.
    pub(crate) address: SocketAddr,
    /// The machine need not have the address.
    pub(crate) is_virtual: bool,
    /// An IPv6 wildcard that leaves IPv4 to other places.
    only_v6: bool,
}

impl Place {
    /// The same place at another port.
    pub(crate) fn at_port(mut self, port: u16) -> Self {
        self.address.set_port(port);
        self
    }
}

/// The configured places, then those of the virtual addresses.
pub(crate) fn places(listen: &[SocketAddr], virtual_addresses: &[IpAddr]) -> Vec<Place> {
    let mut seen = BTreeSet::new();
    let mut places = Vec::new();
    let v4_at = |port| listen.iter().any(|other| other.is_ipv4() && other.port() == port);
    for &address in listen {
        let only_v6 = address.is_ipv6() && (!address.ip().is_unspecified() || v4_at(address.port()));
        if seen.insert(address) {
            places.push(Place { address, is_virtual: false, only_v6 });
        }
    }
    for configured in listen.iter().filter(|configured| !configured.ip().is_unspecified()) {
        for &address in virtual_addresses {
            let place = SocketAddr::new(address, configured.port());
            let covered = seen.contains(&unspecified(place));
            if address.is_ipv4() == configured.is_ipv4() && !covered && seen.insert(place) {
                places.push(Place { address: place, is_virtual: true, only_v6: address.is_ipv6() });
            }
        }
    }
    places
}

fn unspecified(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) => IpAddr::from([0; 4]),
        SocketAddr::V6(_) => IpAddr::from([0; 16]),
    };
    SocketAddr::new(ip, address.port())
}

/// The UDP sockets of `count` threads at one place, each of which waits [`GLANCE`] at most, and the place with its port.
///
/// The first one is bound before it agrees to share: the kernel lets every process of the same user share such a port, and
/// two daemons would each get half of the queries.
pub(crate) fn udp(place: Place, count: usize) -> io::Result<(Place, Vec<Socket>)> {
    let (mut place, mut sockets) = (place, Vec::with_capacity(count));
    for number in 0..count {
        let socket = unbound_udp(place)?;
        if number > 0 {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&place.address.into())?;
        socket.set_reuse_port(true)?;
        place = place.at_port(bound_address(&socket)?.port());
        sockets.push(socket);
    }
    Ok((place, sockets))
}

fn unbound_udp(place: Place) -> io::Result<Socket> {
    let socket = unbound(place, Type::DGRAM, Protocol::UDP)?;
    socket.set_read_timeout(Some(GLANCE))?;
    socket.set_write_timeout(Some(SEND_PATIENCE))?;
    for (force, option) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        // Beyond the system's limit only with CAP_NET_ADMIN; without it, as much as is allowed.
        if packet_info::set_option(&socket, libc::SOL_SOCKET, force, QUEUE as libc::c_int).is_err() {
            packet_info::set_option(&socket, libc::SOL_SOCKET, option, QUEUE as libc::c_int)?;
        }
    }
    // Answers are never larger than any path takes; a forged "fragmentation needed" shall not shrink them.
    let omit = match place.address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
    };
    packet_info::set_option(&socket, omit.0, omit.1, omit.2)?;
    if place.address.ip().is_unspecified() {
        packet_info::enable(&socket, place.address.ip())?;
    }
    Ok(socket)
}

/// A listening TCP socket, non-blocking.
pub(crate) fn tcp(place: Place) -> io::Result<Socket> {
    let socket = unbound(place, Type::STREAM, Protocol::TCP)?;
    // Old connections in TIME_WAIT do not keep the port; a listener of somebody else does.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&place.address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn unbound(place: Place, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(place.address), kind, Some(protocol))?;
    if place.address.is_ipv6() {
        socket.set_only_v6(place.only_v6)?;
    }
    match place.address {
        _ if !place.is_virtual => {}
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    Ok(socket)
}

/// Where a socket is bound, with the port that the kernel chose.
pub(crate) fn bound_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Wakes whoever waits for this socket; it receives nothing from then on.
pub(crate) fn hang_up(socket: &impl AsRawFd) {
    use std::os::fd::BorrowedFd;
    // SAFETY: the descriptor is open as long as `socket` is borrowed.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    // Linux says "not connected" and wakes the reader all the same (inet_shutdown).
    let _ = SockRef::from(&fd).shutdown(std::net::Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(listen: &[&str], virtual_addresses: &[&str]) -> Vec<String> {
        let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
        let virtual_addresses: Vec<IpAddr> = virtual_addresses.iter().map(|text| text.parse().unwrap()).collect();
        let show = |place: Place| {
            let marks = [(place.is_virtual, " virtual"), (place.only_v6, " only-v6")];
            let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
            format!("{}{marks}", place.address)
        };
        places(&listen, &virtual_addresses).into_iter().map(show).collect()
    }

    #[test]
    fn a_specific_address_brings_the_virtual_ones_of_its_family() {
        let virtual_addresses = ["10.77.0.101", "10.77.0.102", "fd00:77::101"];
        assert_eq!(
            shown(&["10.77.0.11:53"], &virtual_addresses),
            ["10.77.0.11:53", "10.77.0.101:53 virtual", "10.77.0.102:53 virtual"]
        );
        assert_eq!(
            shown(&["10.77.0.11:53", "[fd00:77::11]:5353", "127.0.0.1:53"], &virtual_addresses),
            [
                "10.77.0.11:53",
                "[fd00:77::11]:5353 only-v6",
                "127.0.0.1:53",
                "10.77.0.101:53 virtual",
                "10.77.0.102:53 virtual",
                "[fd00:77::101]:5353 virtual only-v6",
            ]
        );
    }

    #[test]
    fn a_wildcard_needs_no_others() {
        assert_eq!(shown(&["0.0.0.0:53"], &["10.77.0.101"]), ["0.0.0.0:53"]);
        assert_eq!(shown(&["[::]:53"], &["10.77.0.101", "fd00::1"]), ["[::]:53"]);
        assert_eq!(shown(&["[::]:53", "0.0.0.0:53"], &["fd00::1"]), ["[::]:53 only-v6", "0.0.0.0:53"]);
        assert_eq!(shown(&["0.0.0.0:53", "10.0.0.1:53"], &["10.0.0.9"]), ["0.0.0.0:53", "10.0.0.1:53"]);
    }

    #[test]
    fn no_address_twice() {
        assert_eq!(shown(&["10.0.0.1:53", "10.0.0.1:53"], &["10.0.0.1", "10.0.0.1"]), ["10.0.0.1:53"]);
    }

    fn loopback() -> Place {
        places(&["127.0.0.1:0".parse().unwrap()], &[])[0]
    }

    #[test]
    fn a_port_that_is_taken_is_refused_even_if_it_is_shared() {
        let (place, sockets) = udp(loopback(), 2).unwrap();
        assert_eq!(sockets.len(), 2);
        assert!(sockets.iter().all(|socket| bound_address(socket).unwrap() == place.address));
        assert_eq!(udp(place, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(sockets);
        udp(place, 1).unwrap();
    }

    #[test]
    fn an_address_that_is_not_here_can_only_be_bound_as_a_virtual_one() {
        let places = places(&["127.0.0.1:0".parse().unwrap()], &["192.0.2.1".parse().unwrap()]);
        udp(places[1], 1).unwrap();
        tcp(places[1]).unwrap();
        let mine = Place { is_virtual: false, ..places[1] };
        assert_eq!(udp(mine, 1).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn what_the_kernel_drops_is_seen() {
        let (place, sockets) = udp(loopback(), 1).unwrap();
        sockets[0].set_recv_buffer_size(4096).unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            client.send_to(&[0; 512], place.address).unwrap();
        }
        assert!((1..100).contains(&packet_info::overflowed(&sockets[0])), "{}", packet_info::overflowed(&sockets[0]));
    }
}
