//! Whether a packet of some size gets to a machine and back whole, for commands that look for the cause of trouble.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::packet;
use crate::entropy;

/// Tries; each waits so long.
const TRIES: usize = 2;
const PATIENCE: Duration = Duration::from_millis(300);
/// Headers of IP.
const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;

/// Whether an echo request whose IP packet has `size` bytes, and must not be fragmented, is answered. It blocks.
///
/// # Errors
/// No right to ask (CAP_NET_RAW), or no route. A packet too long for our own interface is no error: it does not pass.
pub fn size_passes(target: IpAddr, size: usize) -> io::Result<bool> {
    let (domain, protocol, header) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, HEADER_V4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, HEADER_V6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    never_fragment(&socket, target.is_ipv4())?;
    let identifier = entropy::spread() as u16;
    socket.attach_filter(&packet::filter(target.is_ipv4(), identifier))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SocketAddr::new(target, 0).into())?;
    let request = packet::long_request(target, identifier, size.saturating_sub(header));
    for _ in 0..TRIES {
        match socket.send(&request) {
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => return Ok(false),
            sent => sent?,
        };
        // The filter lets nothing but replies to this request through.
        let mut buffer = [MaybeUninit::uninit(); 64];
        match socket.recv(&mut buffer) {
            Ok(_) => return Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Neither here nor on the way, whatever is known of the path.
fn never_fragment(socket: &Socket, v4: bool) -> io::Result<()> {
    let (level, option, value) = match v4 {
        true => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        false => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
    };
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four");
    // SAFETY: the descriptor is open, and the pointer and length are those of `value`, which outlives the call.
    let failed = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
