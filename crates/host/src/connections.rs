//! Ends the TCP connections through addresses that this machine has given up (sock_diag(7), `SOCK_DESTROY`).
//!
//! The other end has moved on: whoever still waits here, a server process or a buffer that is sent again and again, would
//! wait for minutes, and be in the way when the address comes back. Used by the guardian too: no runtime, no thread.
//!
//! Invariants: only sockets whose own address is one of those asked for are touched, found by a filter in the kernel;
//! IPv4 connections of IPv6 sockets are among them. Listening sockets stay, and so does what only waits out its time
//! (TIME-WAIT, of which there may be very many and which hold nobody up). Memory and time are bounded by [`AT_ONCE`] and
//! [`ROUNDS`]; what is beyond stays as it was. The kernel names each socket by a cookie, so none that took another's place
//! is hit.
//!
//! Deliberately not here: when an address is gone, and that nobody waits for this.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use socket2::SockRef;

/// Sockets read from the kernel before they are ended, and how often that is done for one family.
const AT_ONCE: usize = 4096;
const ROUNDS: usize = 64;
/// Addresses in one filter. A filter's jumps reach 64 KiB, and checking it takes the kernel the square of its length.
const FILTERED: usize = 64;
/// The longest wait for one answer of the kernel, which goes through all sockets of the machine for some.
const PATIENCE: Duration = Duration::from_secs(1);

/// linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
/// linux/netlink.h.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
/// linux/inet_diag.h: the attribute, and the instructions of the kernel's own filter language.
const BYTECODE: u16 = 1;
const JUMP: u8 = 1;
const SOURCE: u8 = 7;

const HEADER: usize = 16;
/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
const ID: usize = 48;
/// The states of net/tcp_states.h in which somebody may wait for the other end: ESTABLISHED (1) to FIN-WAIT-2 (5),
/// CLOSE-WAIT (8), LAST-ACK (9), CLOSING (11).
const STATES: u32 = 0b1011_0011_1110;

/// A socket as the kernel names it.
type Id = [u8; ID];

/// The connection to the kernel.
#[derive(Debug)]
pub(crate) struct Connections {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Connections {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::new() })
    }

    /// Ends the connections of these addresses, each if `gone` still says so right before. Returns how many.
    ///
    /// # Errors
    /// The kernel cannot (`EOPNOTSUPP`, `ENOENT`), will not (`EPERM`), or did not answer. What was ended is ended; this
    /// connection to the kernel is of no more use.
    pub(crate) fn end(&mut self, addresses: &BTreeSet<IpAddr>, gone: &dyn Fn(IpAddr) -> bool) -> io::Result<usize> {
        // A dump comes in pieces of up to 32 KiB; between two ends, which are rare, the room is given back.
        self.buffer.resize(64 * 1024, 0);
        let all: Vec<IpAddr> = addresses.iter().copied().collect();
        let mut ended = 0;
        for some in all.chunks(FILTERED) {
            let fours: Vec<IpAddr> = some.iter().copied().filter(IpAddr::is_ipv4).collect();
            // IPv6 sockets may have either.
            for (family, some) in [(libc::AF_INET, &fours[..]), (libc::AF_INET6, some)] {
                if !some.is_empty() {
                    ended += self.end_family(family, &filter(some), gone)?;
                }
            }
        }
        self.buffer = Vec::new();
        Ok(ended)
    }

    fn end_family(&mut self, family: i32, filter: &[u8], gone: &dyn Fn(IpAddr) -> bool) -> io::Result<usize> {
        let mut ended = 0;
        for _ in 0..ROUNDS {
            let (found, before) = (self.find(family, filter)?, ended);
            for id in &found {
                if gone(local(family, id)) && self.destroy(family, id)? {
                    ended += 1;
                }
            }
            if found.len() < AT_ONCE || ended == before {
                break;
            }
        }
        Ok(ended)
    }

    /// The sockets that the filter lets through, at most [`AT_ONCE`].
    fn find(&mut self, family: i32, filter: &[u8]) -> io::Result<Vec<Id>> {
        let mut body = about(family, STATES, &[0; ID]);
        let length = u16::try_from(4 + filter.len()).expect("bounded by FILTERED");
        body.extend_from_slice(&length.to_ne_bytes());
        body.extend_from_slice(&BYTECODE.to_ne_bytes());
        body.extend_from_slice(filter);
        let mut found = Vec::new();
        let answer = self.request(BY_FAMILY, DUMP, &body, |message| {
            // Behind family, state, timer and retransmissions.
            if let Some(id) = message.get(4..).and_then(|rest| rest.first_chunk())
                && found.len() < AT_ONCE
            {
                found.push(*id);
            }
        })?;
        match answer {
            0 => Ok(found),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Whether it was there still.
    fn destroy(&mut self, family: i32, id: &Id) -> io::Result<bool> {
        match self.request(DESTROY, ACKNOWLEDGE, &about(family, u32::MAX, id), |_| {})? {
            0 => Ok(true),
            libc::ENOENT | libc::ESTALE => Ok(false),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// One request and all of its answer; returns the error number at its end.
    fn request(&mut self, kind: u16, flags: u16, body: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<i32> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend_from_slice(&u32::try_from(HEADER + body.len()).expect("small").to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        request.extend_from_slice(&self.sequence.to_ne_bytes());
        request.extend_from_slice(&0_u32.to_ne_bytes());
        request.extend_from_slice(body);
        self.socket.send(&request, 0)?;
        loop {
            let mut room = &mut self.buffer[..];
            let length = self.socket.recv(&mut room, 0)?;
            let mut rest = &self.buffer[..length.min(self.buffer.len())];
            while let Some((kind, body, next)) = message(rest) {
                rest = next;
                if kind == ERROR || kind == DONE {
                    return Ok(body.first_chunk().map_or(0, |code| -i32::from_ne_bytes(*code)));
                }
                take(body);
            }
        }
    }
}

/// `struct inet_diag_req_v2`.
fn about(family: i32, states: u32, id: &Id) -> Vec<u8> {
    let family = u8::try_from(family).expect("a small number");
    let mut body = vec![family, libc::IPPROTO_TCP as u8, 0, 0];
    body.extend_from_slice(&states.to_ne_bytes());
    body.extend_from_slice(id);
    body
}

/// A program for the kernel: is the socket's own address one of these? It accepts by reaching the end, and refuses by
/// jumping beyond it. A condition on an IPv4 address holds for the IPv4 connections of IPv6 sockets as well.
fn filter(addresses: &[IpAddr]) -> Vec<u8> {
    let instruction = |code: u8, yes: usize, no: usize| {
        let (yes, no) = (u8::try_from(yes).expect("short"), u16::try_from(no).expect("bounded by FILTERED"));
        [&[code, yes][..], &no.to_ne_bytes()].concat()
    };
    let mut program: Vec<u8> = Vec::new();
    // From the last to the first: what follows is known by its length.
    for address in addresses.iter().rev() {
        let (family, bytes) = match address {
            IpAddr::V4(four) => (libc::AF_INET, four.octets().to_vec()),
            IpAddr::V6(six) => (libc::AF_INET6, six.octets().to_vec()),
        };
        // `struct inet_diag_hostcond`: family, the prefix's length in bits, any port.
        let prefix = u8::try_from(bytes.len() * 8).expect("32 or 128");
        let mut condition = vec![u8::try_from(family).expect("small"), prefix, 0, 0];
        condition.extend_from_slice(&(-1_i32).to_ne_bytes());
        condition.extend_from_slice(&bytes);
        let length = 4 + condition.len();
        // Where it does not hold: the next one, behind the jump that it is followed by; from the last one, beyond the end.
        let mut step = [instruction(SOURCE, length, length + 4), condition].concat();
        if !program.is_empty() {
            step.extend(instruction(JUMP, 4, 4 + program.len()));
        }
        step.extend(program);
        program = step;
    }
    program
}

/// A socket's own address.
fn local(family: i32, id: &Id) -> IpAddr {
    let source: [u8; 16] = *id[4..].first_chunk().expect("an id is longer");
    if family == libc::AF_INET {
        let [a, b, c, d, ..] = source;
        return Ipv4Addr::from([a, b, c, d]).into();
    }
    IpAddr::V6(Ipv6Addr::from(source)).to_canonical()
}

/// The first message's type, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let whole = bytes.get(..length)?;
    let kind = u16::from_ne_bytes(*whole.get(4..)?.first_chunk()?);
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, whole.get(HEADER..)?, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel makes of a program (`inet_diag_bc_run`), for a socket with this address.
    fn accepts(program: &[u8], address: IpAddr) -> bool {
        let (mut at, end) = (0, program.len());
        while at < end {
            let (code, yes) = (program[at], usize::from(program[at + 1]));
            let no = usize::from(u16::from_ne_bytes([program[at + 2], program[at + 3]]));
            let bytes = match address {
                IpAddr::V4(four) => four.octets().to_vec(),
                IpAddr::V6(six) => six.octets().to_vec(),
            };
            let holds = code == SOURCE
                && usize::from(program[at + 5]) == bytes.len() * 8
                && program[at + 12..].starts_with(&bytes);
            at += if holds { yes } else { no };
        }
        at == end
    }

    #[test]
    fn a_filter_accepts_its_addresses_and_no_other() {
        let address = |last: u8| {
            if last.is_multiple_of(2) {
                [10, 77, 0, last].into()
            } else {
                [0xfd00, 0, 0, 0, 0, 0, 0, last.into()].into()
            }
        };
        for count in [1, 2, 3, FILTERED] {
            let some: Vec<IpAddr> = (1..).take(count).map(address).collect();
            let program = filter(&some);
            for last in 0..100 {
                assert_eq!(accepts(&program, address(last)), some.contains(&address(last)), "{last} of {count}");
            }
        }
    }

    #[test]
    fn the_kernel_takes_the_longest_filter() {
        let some: BTreeSet<IpAddr> = (0..200).map(|last| [0xfd00, 0x77, 0, 0, 0, 0, 9, last].into()).collect();
        let mut connections = Connections::open().unwrap();
        assert_eq!(connections.end(&some, &|_| true).unwrap(), 0);
    }

    #[test]
    fn a_torn_message_ends_the_reading() {
        let whole = [&24_u32.to_ne_bytes()[..], &BY_FAMILY.to_ne_bytes(), &[0; 18]].concat();
        assert_eq!(message(&whole).map(|(kind, body, rest)| (kind, body.len(), rest.len())), Some((BY_FAMILY, 8, 0)));
        for end in 0..whole.len() {
            assert!(message(&whole[..end]).is_none());
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mut id = [0; ID];
        id[4..20].copy_from_slice(&Ipv4Addr::new(10, 77, 0, 101).to_ipv6_mapped().octets());
        assert_eq!(local(libc::AF_INET6, &id), IpAddr::from([10, 77, 0, 101]));
    }
}
