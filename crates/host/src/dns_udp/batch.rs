//! Many datagrams a system call: recvmmsg(2) and sendmmsg(2) over memory that is set up once.
//!
//! Invariants: nothing is allocated after [`Batch::new`]; a reply goes to where its query came from, from the address
//! that was asked.

use std::{
    io,
    marker::PhantomData,
    mem::zeroed,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::AsRawFd,
    ptr::{NonNull, null_mut},
};

use crate::packet_info::{Control, Local};

/// Datagrams a system call.
pub(super) const BATCH: usize = 64;
/// Longest query that is read, in bytes. RFC 1035 knows none over 512; the rest is for options (RFC 6891). An odd number
/// of cache lines, so that the beginnings of all queries do not compete for the same few places in the cache.
const QUERY: usize = 33 * 64;
/// Longest reply, in bytes: at least the 4,096 that the configuration allows; also an odd number of cache lines.
const REPLY: usize = 65 * 64;

/// All memory of a batch, in one piece. It is only ever reached through [`Batch::memory`], by raw pointers, because the
/// headers hold pointers into it.
struct Memory {
    queries: [[u8; QUERY]; BATCH],
    replies: [[u8; REPLY]; BATCH],
    peers: [libc::sockaddr_in6; BATCH],
    controls: [Control; BATCH],
    query_parts: [libc::iovec; BATCH],
    reply_parts: [libc::iovec; BATCH],
    received: [libc::mmsghdr; BATCH],
    sending: [libc::mmsghdr; BATCH],
}

/// Memory and headers for [`BATCH`] datagrams.
pub(super) struct Batch {
    memory: NonNull<Memory>,
    /// How many of `received` the last call filled.
    filled: usize,
    /// How many of `sending` are ready.
    ready: usize,
    owned: PhantomData<Memory>,
}

/// A datagram that was received.
pub(super) struct Query<'a> {
    /// Its bytes, as far as they were read.
    pub(super) bytes: &'a [u8],
    /// It was longer than what was read.
    pub(super) cut: bool,
    /// Who sent it; IPv4 that came by an IPv6 socket as IPv4.
    pub(super) client: IpAddr,
    /// From which port.
    pub(super) port: u16,
    /// Room for the reply.
    pub(super) reply: &'a mut [u8; REPLY],
}

impl Batch {
    pub(super) fn new() -> Self {
        // SAFETY: every field of `Memory` is numbers or raw pointers, for which zero bytes are a value.
        let memory = unsafe { Box::<Memory>::new_zeroed().assume_init() };
        // SAFETY: `Box::into_raw` never returns null.
        let memory = unsafe { NonNull::new_unchecked(Box::into_raw(memory)) };
        let batch = Self { memory, filled: BATCH, ready: 0, owned: PhantomData };
        let m = memory.as_ptr();
        for i in 0..BATCH {
            // SAFETY: `i` is in bounds; the pointers point into the same allocation, which lives as long as the batch.
            unsafe {
                (*m).query_parts[i] = libc::iovec { iov_base: (&raw mut (*m).queries[i]).cast(), iov_len: QUERY };
                (*m).reply_parts[i] = libc::iovec { iov_base: (&raw mut (*m).replies[i]).cast(), iov_len: 0 };
                let header = &raw mut (*m).received[i].msg_hdr;
                (*header).msg_name = (&raw mut (*m).peers[i]).cast();
                (*header).msg_iov = &raw mut (*m).query_parts[i];
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*m).controls[i]).cast();
            }
        }
        batch
    }

    /// Receives up to [`BATCH`] datagrams and says how many; replies not sent yet are forgotten. With `wait`, waits for
    /// the first one as long as the socket's timeout; otherwise takes only what is there.
    pub(super) fn receive(&mut self, socket: &impl AsRawFd, wait: bool) -> io::Result<usize> {
        let m = self.memory.as_ptr();
        for i in 0..self.filled {
            // SAFETY: `filled` is at most BATCH; these are the fields that the kernel has overwritten, and replies'
            // lengths.
            unsafe {
                let header = &raw mut (*m).received[i].msg_hdr;
                (*header).msg_namelen = size_of::<libc::sockaddr_in6>() as _;
                (*header).msg_controllen = Control::SIZE;
                (*m).reply_parts[i].iov_len = 0;
            }
        }
        (self.filled, self.ready) = (0, 0);
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: BATCH headers, each with pointers into this memory and their true lengths.
        let count = unsafe {
            let headers = (&raw mut (*m).received).cast();
            libc::recvmmsg(socket.as_raw_fd(), headers, BATCH as _, flags, null_mut())
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        self.filled = count as usize;
        Ok(self.filled)
    }

    /// Datagram `i` of those received.
    pub(super) fn query(&mut self, i: usize) -> Query<'_> {
        assert!(i < self.filled, "only what was received is looked at");
        let m = self.memory.as_ptr();
        // SAFETY: `i` is in bounds; the kernel wrote `msg_len` bytes of the query at most; query and reply are different
        // fields, borrowed from `self` for as long as the result lives.
        unsafe {
            let header = &(*m).received[i];
            let length = (header.msg_len as usize).min(QUERY);
            let (client, port) = self.peer(i);
            Query {
                bytes: &(&(*m).queries[i])[..length],
                cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                client,
                port,
                reply: &mut (*m).replies[i],
            }
        }
    }

    /// The bytes of all datagrams received.
    pub(super) fn queries(&self) -> impl Iterator<Item = &[u8]> {
        let m = self.memory.as_ptr();
        // SAFETY: `i` is in bounds; the kernel wrote `msg_len` bytes of the query at most; nothing else is borrowed while
        // the result lives.
        (0..self.filled).map(move |i| unsafe {
            let length = ((*m).received[i].msg_len as usize).min(QUERY);
            &(&(*m).queries[i])[..length]
        })
    }

    /// The replies to what was received last, be they sent or not, each with who asked.
    pub(super) fn replies(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        let m = self.memory.as_ptr();
        // SAFETY: `i` is in bounds; `reply` has checked the length; nothing else is borrowed while the result lives.
        let reply = move |i: usize| unsafe { &(&(*m).replies[i])[..(*m).reply_parts[i].iov_len] };
        (0..self.filled)
            .map(move |i| (i, reply(i)))
            .filter(|(_, reply)| !reply.is_empty())
            .map(|(i, reply)| (self.peer(i).0, reply))
    }

    /// Who sent datagram `i`. Anything but an Internet address, which no Internet socket gives, is port 0.
    fn peer(&self, i: usize) -> (IpAddr, u16) {
        let m = self.memory.as_ptr();
        // SAFETY: `i` is in bounds (the caller's); a sockaddr_in6 is as large as a sockaddr_in and as well aligned, and
        // both are plain numbers; the kernel says by the family which of them it wrote.
        unsafe {
            let six = &(*m).peers[i];
            match libc::c_int::from(six.sin6_family) {
                libc::AF_INET => {
                    let four = (&raw const (*m).peers[i]).cast::<libc::sockaddr_in>().read();
                    (IpAddr::V4(Ipv4Addr::from(four.sin_addr.s_addr.to_ne_bytes())), u16::from_be(four.sin_port))
                }
                libc::AF_INET6 => {
                    let address = IpAddr::V6(Ipv6Addr::from(six.sin6_addr.s6_addr));
                    (address.to_canonical(), u16::from_be(six.sin6_port))
                }
                _ => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            }
        }
    }

    /// The full address of who sent datagram `i`, as a reply on the same socket needs it, and the address asked.
    pub(super) fn return_address(&mut self, i: usize) -> (SocketAddr, Option<Local>) {
        assert!(i < self.filled, "only what was received is looked at");
        let local = self.local(i);
        let (client, port) = self.peer(i);
        // SAFETY: `i` is in bounds; see `peer` for the union of the two address structures.
        let peer = unsafe {
            let six = &(*self.memory.as_ptr()).peers[i];
            match libc::c_int::from(six.sin6_family) {
                libc::AF_INET6 => {
                    let address = Ipv6Addr::from(six.sin6_addr.s6_addr);
                    SocketAddrV6::new(address, port, six.sin6_flowinfo, six.sin6_scope_id).into()
                }
                _ => SocketAddr::new(client, port),
            }
        };
        (peer, local)
    }

    /// The address that datagram `i` was sent to, on sockets that ask for it.
    fn local(&mut self, i: usize) -> Option<Local> {
        let m = self.memory.as_ptr();
        // SAFETY: `i` is in bounds (the caller's); no other borrow of the control buffer exists.
        unsafe {
            let length = (*m).received[i].msg_hdr.msg_controllen;
            if length == 0 { None } else { (*m).controls[i].read(length) }
        }
    }

    /// Makes the first `length` bytes of the reply to datagram `i` ready to go.
    pub(super) fn reply(&mut self, i: usize, length: usize) {
        assert!(i < self.filled && self.ready < BATCH && length <= REPLY, "one reply a query, no longer than its room");
        let local = self.local(i);
        let m = self.memory.as_ptr();
        // SAFETY: `i` and `ready` are in bounds; the pointers point into the same memory.
        unsafe {
            (*m).reply_parts[i].iov_len = length;
            let mut header: libc::msghdr = zeroed();
            header.msg_name = (&raw mut (*m).peers[i]).cast();
            header.msg_namelen = (*m).received[i].msg_hdr.msg_namelen;
            header.msg_iov = &raw mut (*m).reply_parts[i];
            header.msg_iovlen = 1;
            if let Some(local) = local {
                header.msg_controllen = (*m).controls[i].write(local);
                header.msg_control = (&raw mut (*m).controls[i]).cast();
            }
            (*m).sending[self.ready].msg_hdr = header;
        }
        self.ready += 1;
    }

    /// How many replies are ready to go.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Sends what is ready, and says how many replies the kernel refused.
    pub(super) fn send(&mut self, socket: &impl AsRawFd) -> usize {
        let m = self.memory.as_ptr();
        let (mut done, mut refused) = (0, 0);
        while done < self.ready {
            // SAFETY: `done..ready` are headers that `reply` has set up, with pointers into this memory.
            let sent = unsafe {
                let headers = (&raw mut (*m).sending).cast::<libc::mmsghdr>().add(done);
                libc::sendmmsg(socket.as_raw_fd(), headers, (self.ready - done) as _, 0)
            };
            if sent > 0 {
                done += sent as usize;
            } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                // The error is about the first one alone: no route, no address any more, no room in time.
                (done, refused) = (done + 1, refused + 1);
            }
        }
        self.ready = 0;
        refused
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw` and is given back once.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}
