//! What ICMP says about datagrams that we sent: IP_RECVERR (ip(7)) and IPV6_RECVERR (ipv6(7)) keep it in a queue beside the
//! socket's, each message with the address that the datagram was sent to.
//!
//! Deliberately not here: whether to believe it. The kernel checks that a message quotes a datagram of this socket; who is on
//! the way, or on the link, can make one up.

use std::{
    io,
    mem::{MaybeUninit, zeroed},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
};

use socket2::{SockAddr, SockAddrStorage};

use crate::packet_info::set_option;

/// One message of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Nobody listens at this address: port unreachable.
    Refused(SocketAddr),
    /// Anything else, such as a host that does not answer ARP: silence tells that, too.
    Other,
}

/// Room for the control messages: an extended error, and the address of who complained.
const CONTROL: usize = 256;

/// From now on the kernel keeps what ICMP says.
pub(super) fn enable(socket: &impl AsRawFd, listen: SocketAddr) -> io::Result<()> {
    if listen.is_ipv6() {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
    }
    if listen.is_ipv4() || listen.ip().is_unspecified() {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    }
    Ok(())
}

/// Takes the next message; none when the queue is empty.
pub(super) fn next(socket: &impl AsRawFd) -> Option<Failure> {
    #[repr(C, align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    let mut to = MaybeUninit::new(SockAddrStorage::zeroed());
    // SAFETY: every pointer in the header is to a local that outlives the call, with its true length. There is no room for
    // the datagram itself, which the kernel cuts off.
    let (received, header) = unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_name = to.as_mut_ptr().cast();
        header.msg_namelen = size_of::<SockAddrStorage>() as _;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
        (libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT), header)
    };
    if received < 0 {
        return None;
    }
    // SAFETY: it was zeroed, and the kernel filled in `msg_namelen` bytes.
    let to = unsafe { SockAddr::new(to.assume_init(), header.msg_namelen) }.as_socket();
    let refused = is_refusal(&header);
    let canonical = |to: SocketAddr| match to.ip().to_canonical() {
        IpAddr::V4(four) => SocketAddr::from((four, to.port())),
        IpAddr::V6(_) => to,
    };
    Some(to.filter(|_| refused).map_or(Failure::Other, |to| Failure::Refused(canonical(to))))
}

/// Whether the message that the kernel put there is a port unreachable, of either family.
fn is_refusal(header: &libc::msghdr) -> bool {
    let mut refused = false;
    // SAFETY: the macros stay within the control buffer of `header`, whose length the kernel has set. The payload is read
    // unaligned and only if the kernel says that it is that long.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let told = matches!(
                ((*message).cmsg_level, (*message).cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            );
            let least = libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) as usize;
            if told && (*message).cmsg_len as usize >= least {
                let error = libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned();
                let by_icmp = matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
                refused |= by_icmp && i32::try_from(error.ee_errno) == Ok(libc::ECONNREFUSED);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    refused
}
