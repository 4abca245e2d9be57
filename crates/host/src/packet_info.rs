//! The local address of a datagram: which address it was sent to, and from which the reply shall leave.
//!
//! A socket on a wildcard address would otherwise reply from whatever address the route prefers, and clients drop a reply
//! from another address than the one they asked. IP_PKTINFO (ip(7)) and IPV6_RECVPKTINFO (RFC 3542 section 6) say and set it.
//!
//! Deliberately not here: sockets bound to one address, which need nothing of this.

use std::{
    io,
    mem::{MaybeUninit, zeroed},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use socket2::{SockAddr, SockAddrStorage};

/// Room for the control messages of one datagram.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control([u8; Control::SIZE]);

/// A local address, with the interface where the address alone is ambiguous (link-local), else 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Local {
    /// The address.
    pub(crate) address: IpAddr,
    /// The interface's index, or 0 for the one that the route says.
    pub(crate) interface: u32,
}

impl Control {
    pub(crate) const SIZE: usize = 64;

    pub(crate) const fn new() -> Self {
        Self([0; Self::SIZE])
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Where the datagram was sent to, by what `recvmsg` or `recvmmsg` put here; `length` is the header's
    /// `msg_controllen` after the call.
    pub(crate) fn read(&mut self, length: usize) -> Option<Local> {
        let mut found = None;
        // SAFETY: an all-zero msghdr is valid; it points at this buffer, which the macros never leave, for
        // `msg_controllen` bounds them. Payloads are read unaligned and only if the kernel says they are that long.
        unsafe {
            let mut header: libc::msghdr = zeroed();
            header.msg_control = self.as_mut_ptr();
            header.msg_controllen = length.min(Self::SIZE) as _;
            let mut message = libc::CMSG_FIRSTHDR(&header);
            while !message.is_null() {
                let data = libc::CMSG_DATA(message);
                let holds = |bytes: usize| (*message).cmsg_len as usize >= libc::CMSG_LEN(bytes as u32) as usize;
                match ((*message).cmsg_level, (*message).cmsg_type) {
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                        let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                        found = Some(Local::v4(info.ipi_spec_dst));
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                        found = Some(Local::v6(data.cast::<libc::in6_pktinfo>().read_unaligned()));
                    }
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(&header, message);
            }
        }
        found
    }

    /// Puts here what makes `sendmsg` or `sendmmsg` send from `local`; the result is the header's `msg_controllen`.
    pub(crate) fn write(&mut self, local: Local) -> usize {
        match local.address {
            IpAddr::V4(address) => {
                let source = libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
                let any = libc::in_addr { s_addr: 0 };
                let ipi_ifindex = local.interface as libc::c_int;
                let info = libc::in_pktinfo { ipi_ifindex, ipi_spec_dst: source, ipi_addr: any };
                self.put(libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            IpAddr::V6(address) => {
                let ipi6_addr = libc::in6_addr { s6_addr: address.octets() };
                let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: local.interface };
                self.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
        }
    }

    fn put<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
        // SAFETY: CMSG_LEN and CMSG_SPACE only calculate. The buffer is aligned as a cmsghdr and longer than the space of
        // either packet-info structure, the only `T`s used.
        unsafe {
            let space = libc::CMSG_SPACE(size_of::<T>() as u32) as usize;
            debug_assert!(space <= Self::SIZE);
            let message = self.0.as_mut_ptr().cast::<libc::cmsghdr>();
            (*message).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
            (*message).cmsg_level = level;
            (*message).cmsg_type = kind;
            libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
            space
        }
    }
}

impl Local {
    fn v4(address: libc::in_addr) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::from(address.s_addr.to_ne_bytes())), interface: 0 }
    }

    fn v6(info: libc::in6_pktinfo) -> Self {
        let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
        let interface = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
        Self { address: IpAddr::V6(address), interface }
    }
}

/// Has the kernel tell the local address of every datagram of `socket`, which is of the family of `bound`.
pub(crate) fn enable(socket: &impl AsRawFd, bound: IpAddr) -> io::Result<()> {
    match bound {
        IpAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        IpAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Sets an integer socket option that socket2 does not know.
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads one c_int, which outlives the call.
    let result = unsafe {
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many datagrams the kernel has dropped at this socket because its queue was full. Zero on kernels before 4.12.
pub(crate) fn overflowed(socket: &impl AsRawFd) -> u64 {
    let mut values = [0_u32; 16];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `values`.
    let result = unsafe {
        let (to, room) = (values.as_mut_ptr().cast(), &raw mut length);
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, to, room)
    };
    if result == 0 { u64::from(values[libc::SK_MEMINFO_DROPS as usize]) } else { 0 }
}

/// Receives one datagram: its length, sender and local address.
pub(crate) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<Local>)> {
    let mut control = Control::new();
    let mut peer = MaybeUninit::new(SockAddrStorage::zeroed());
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: every pointer in the header is to a local that outlives the call, with its true length; a SockAddrStorage
    // is as large as any address that the kernel writes.
    let (received, header) = unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_name = peer.as_mut_ptr().cast();
        header.msg_namelen = size_of::<SockAddrStorage>() as _;
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr();
        header.msg_controllen = Control::SIZE as _;
        (libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC), header)
    };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was zeroed, and the kernel filled in `msg_namelen` bytes.
    let peer = unsafe { SockAddr::new(peer.assume_init(), header.msg_namelen) };
    let peer = peer.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((received as usize, peer, control.read(header.msg_controllen as _)))
}

/// Sends one datagram to `peer`, from `local` if given. Never waits: a full queue is an error.
pub(crate) fn send(socket: &impl AsRawFd, bytes: &[u8], peer: SocketAddr, local: Option<Local>) -> io::Result<usize> {
    let mut control = Control::new();
    let peer = SockAddr::from(peer);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: every pointer in the header is to a value that outlives the call, with its true length; the kernel only
    // reads through them.
    let sent = unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_name = peer.as_ptr().cast_mut().cast();
        header.msg_namelen = peer.len();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        if let Some(local) = local {
            header.msg_controllen = control.write(local) as _;
            header.msg_control = control.as_mut_ptr();
        }
        libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_DONTWAIT)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}
