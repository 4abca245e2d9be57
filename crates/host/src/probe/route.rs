//! Whether this machine has a route somewhere: then a probe that failed says something about its target.
//!
//! connect(2) on a UDP socket looks the route up and sends nothing. A route that leads to nobody is one nevertheless, and what a
//! router on the way says (ICMP) is not asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Discard (RFC 863): nothing is sent there.
const PORT: u16 = 9;

/// Whether there is one to `target`. Where a socket cannot be had, there is said to be.
pub(super) fn exists(target: IpAddr) -> bool {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).map_or(true, |socket| socket.connect((target, PORT)).is_ok())
}
