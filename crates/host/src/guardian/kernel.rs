//! Removing virtual addresses with netlink messages made by hand, over one socket that is open beforehand.
//!
//! The guardian has no runtime and must need nothing when the daemon is gone: no new descriptor, no thread. Only two
//! requests are made here: delete one address, and tell all addresses.
//!
//! Invariant: [`Kernel::release`] says yes only after a whole dump of the kernel's table showed no address that is
//! listed or carries our mark.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    thread,
    time::Duration,
};

use model::net::InterfaceIndex;

use crate::address::PROTOCOL;

/// The longest wait for one answer of the kernel. It normally takes microseconds.
static PATIENCE: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 500_000 };
/// How often what does not go is tried again, and after which pause.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// `struct nlmsghdr`, `struct ifaddrmsg`, `struct nlattr` (netlink(7), rtnetlink(7)), in bytes.
const HEADER: usize = 16;
const ROW: usize = 8;
const ATTRIBUTE: usize = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_PROTO: u16 = 11;
const DUMP: u16 = (libc::NLM_F_ROOT | libc::NLM_F_MATCH) as u16;
const MARK: &[u8] = b":vip";

/// The socket.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: takes numbers only; returns a new descriptor or -1.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = libc::socklen_t::try_from(size_of::<libc::timeval>()).expect("small");
        // SAFETY: the pointer and the size describe a timeval that outlives the call.
        let set =
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const PATIENCE).cast(), size) };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        // A dump comes in pieces of up to 32 KiB.
        Ok(Self { socket, sequence: 0, buffer: vec![0; 64 * 1024] })
    }

    /// Removes these addresses and all that carry our mark. Succeeds only when the kernel has none of them any more.
    ///
    /// # Errors
    /// The kernel's last refusal. What could be removed is removed.
    pub(super) fn release(&mut self, listed: &[(IpAddr, InterfaceIndex)]) -> io::Result<()> {
        for (address, interface) in listed {
            // Whether it is gone is seen below.
            let _ = self.delete(*address, *interface);
        }
        let mut last = io::Error::other("addresses come back as fast as they are removed");
        for _ in 0..TRIES {
            match self.left(listed) {
                Ok(left) if left.is_empty() => return Ok(()),
                Ok(left) => {
                    for (address, interface) in left {
                        if let Err(error) = self.delete(address, interface) {
                            last = error;
                        }
                    }
                }
                Err(error) => last = error,
            }
            thread::sleep(PAUSE);
        }
        match self.left(listed) {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(_) | Err(_) => Err(last),
        }
    }

    /// Deletes one address; fine where it is not there.
    fn delete(&mut self, address: IpAddr, interface: InterfaceIndex) -> io::Result<()> {
        let (family, prefix, bytes) = match address {
            IpAddr::V4(four) => (libc::AF_INET, 32, four.octets().to_vec()),
            IpAddr::V6(six) => (libc::AF_INET6, 128, six.octets().to_vec()),
        };
        let mut body = row(family, prefix, interface.0);
        for kind in [IFA_LOCAL, IFA_ADDRESS] {
            let length = u16::try_from(ATTRIBUTE + bytes.len()).expect("small");
            body.extend_from_slice(&length.to_ne_bytes());
            body.extend_from_slice(&kind.to_ne_bytes());
            body.extend_from_slice(&bytes);
        }
        let mut error = 0;
        self.request(libc::RTM_DELADDR, libc::NLM_F_ACK as u16, &body, |_, _| {}, &mut error)?;
        match error {
            0 | libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Which addresses the kernel has that are listed, or ours by their mark.
    fn left(&mut self, listed: &[(IpAddr, InterfaceIndex)]) -> io::Result<Vec<(IpAddr, InterfaceIndex)>> {
        let mut left = Vec::new();
        let mut error = 0;
        let take = |kind: u16, body: &[u8]| {
            if kind == libc::RTM_NEWADDR
                && let Some((address, interface, marked)) = parse(body)
                && (marked || listed.contains(&(address, interface)))
            {
                left.push((address, interface));
            }
        };
        self.request(libc::RTM_GETADDR, DUMP, &row(libc::AF_UNSPEC, 0, 0), take, &mut error)?;
        if error == 0 { Ok(left) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    /// One request and all of its answer. `error` becomes what the kernel says at the end.
    fn request(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut take: impl FnMut(u16, &[u8]),
        error: &mut i32,
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend_from_slice(&u32::try_from(HEADER + body.len()).expect("small").to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        request.extend_from_slice(&self.sequence.to_ne_bytes());
        request.extend_from_slice(&0_u32.to_ne_bytes());
        request.extend_from_slice(body);
        // SAFETY: the pointer and the length describe `request`, which outlives the call.
        if unsafe { libc::send(self.socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        loop {
            let length = self.receive()?;
            let mut rest = &self.buffer[..length];
            while let Some((header, body, next)) = message(rest) {
                rest = next;
                if header.sequence != self.sequence {
                    continue; // The late answer to a request that we gave up.
                }
                if i32::from(header.kind) == libc::NLMSG_ERROR || i32::from(header.kind) == libc::NLMSG_DONE {
                    *error = body.first_chunk().map_or(0, |code| -i32::from_ne_bytes(*code));
                    return Ok(());
                }
                take(header.kind, body);
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        loop {
            let (start, length) = (self.buffer.as_mut_ptr().cast(), self.buffer.len());
            // SAFETY: the pointer and the length describe `buffer`, which is writable and outlives the call.
            let received = unsafe { libc::recv(self.socket.as_raw_fd(), start, length, 0) };
            match usize::try_from(received) {
                Ok(received) => return Ok(received),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
    }
}

struct Header {
    kind: u16,
    sequence: u32,
}

/// The first message, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let whole = bytes.get(..length)?;
    let header = Header {
        kind: u16::from_ne_bytes(*whole.get(4..)?.first_chunk()?),
        sequence: u32::from_ne_bytes(*whole.get(8..)?.first_chunk()?),
    };
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((header, whole.get(HEADER..)?, next))
}

fn row(family: i32, prefix: u8, interface: u32) -> Vec<u8> {
    let family = u8::try_from(family).expect("a small number");
    let mut row = vec![family, prefix, 0, 0];
    row.extend_from_slice(&interface.to_ne_bytes());
    row
}

/// An address, its interface, and whether it carries our mark.
fn parse(body: &[u8]) -> Option<(IpAddr, InterfaceIndex, bool)> {
    let (row, mut rest) = body.split_at_checked(ROW)?;
    let interface = InterfaceIndex(u32::from_ne_bytes(*row[4..].first_chunk()?));
    let (mut local, mut address, mut marked) = (None, None, false);
    while let Some(length) = rest.first_chunk().map(|length| usize::from(u16::from_ne_bytes(*length))) {
        let Some(value) = rest.get(ATTRIBUTE..length) else { break };
        match u16::from_ne_bytes(*rest[2..].first_chunk()?) {
            IFA_LOCAL => local = ip(value),
            IFA_ADDRESS => address = ip(value),
            IFA_LABEL => marked |= row[1] == 32 && value.strip_suffix(&[0]).unwrap_or(value).ends_with(MARK),
            IFA_PROTO => marked |= value == [PROTOCOL],
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let whole = matches!((local.or(address)?, row[1]), (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128));
    Some((local.or(address)?, interface, marked)).filter(|_| whole)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|four| Ipv4Addr::from(*four).into()),
        16 => bytes.first_chunk::<16>().map(|six| Ipv6Addr::from(*six).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_gone() {
        let mut kernel = Kernel::open().unwrap();
        let loopback = (IpAddr::from([127, 0, 0, 1]), InterfaceIndex(1));
        let absent = (IpAddr::from([192, 0, 2, 77]), InterfaceIndex(1));
        kernel.release(&[absent]).unwrap();
        assert_eq!(kernel.left(&[loopback]).unwrap(), [], "127.0.0.1/8 is no virtual address");
    }

    #[test]
    fn a_torn_message_ends_the_reading() {
        let whole = {
            let mut body = row(libc::AF_INET, 32, 7);
            body.extend_from_slice(&[8, 0, 2, 0, 10, 77, 0, 1, 5, 0, 11, 0, PROTOCOL, 0, 0, 0]);
            body
        };
        assert_eq!(parse(&whole), Some((IpAddr::from([10, 77, 0, 1]), InterfaceIndex(7), true)));
        for end in 0..whole.len() {
            let _ends = parse(&whole[..end]);
            assert!(message(&whole[..end]).is_none_or(|(_, body, _)| body.len() <= end));
        }
    }
}
