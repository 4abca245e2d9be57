//! ICMP and ICMPv6 echo (RFC 792, RFC 4443).
//!
//! By the kernel's echo sockets where this user may have them (`net.ipv4.ping_group_range`), else by a raw one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{
    attempt::{Deadline, Failed},
    datagram,
};
use crate::entropy;

/// Echo request and reply, of ICMP and of ICMPv6.
const FOUR: (u8, u8) = (8, 0);
const SIX: (u8, u8) = (128, 129);

pub(super) async fn run(target: IpAddr, deadline: Deadline) -> Result<(), Failed> {
    let socket = open(target).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Failed::lost("this user may not ping: see net.ipv4.ping_group_range"),
        _ => error.into(),
    })?;
    let (request, reply) = if target.is_ipv4() { FOUR } else { SIX };
    let cookie = [entropy::spread().to_ne_bytes(), entropy::spread().to_ne_bytes()].concat();
    let mut echo = [&[request, 0, 0, 0, 0, 0, 0, 1][..], &cookie].concat();
    let sum = checksum(&echo);
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    // A raw socket of IPv4 also gets the header. The cookie tells ours from all else.
    let fits = |answer: &[u8]| {
        let at = answer.len().checked_sub(echo.len())?;
        (answer[at] == reply && answer[at + 8..] == cookie[..]).then_some(())
    };
    datagram::ask(&socket, &echo, deadline, "echo", fits).await
}

fn open(target: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket =
        Socket::new(domain, Type::DGRAM, Some(protocol)).or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)))?;
    socket.set_nonblocking(true)?;
    socket.connect(&SocketAddr::new(target, 0).into())?;
    UdpSocket::from_std(socket.into())
}

/// RFC 1071; the kernel makes those of ICMPv6 and of echo sockets itself.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
    let sum = words.sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}
