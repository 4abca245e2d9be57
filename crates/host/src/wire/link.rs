//! One interface's packet socket, under a pnet channel.
//!
//! Invariants: no frame is queued that the filter has not let through, for the filter is attached before the socket is
//! bound. Nobody listens unless a question is open: otherwise the filter is deaf, and a busy link wakes nobody. Our own
//! frames are not heard, and the interface is not made promiscuous.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    time::Duration,
};

use model::net::{InterfaceIndex, MacAddress};
use pnet::datalink::{Channel, ChannelType, Config, DataLinkReceiver, DataLinkSender, NetworkInterface, channel};

use super::frame::{Heard, parse};

/// A send that finds no room for so long has failed.
const SEND_PATIENCE: Duration = Duration::from_millis(10);

/// Frames taken at a time, so that a flood on one link cannot starve the others.
const AT_A_TIME: usize = 256;

/// An open interface.
pub(super) struct Link {
    /// pnet owns the socket; this is another descriptor of the same.
    fd: OwnedFd,
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
    listening: bool,
}

impl Link {
    /// Opens the interface, deaf.
    pub(super) fn open(interface: InterfaceIndex) -> io::Result<Self> {
        let socket = socket()?;
        attach(socket.as_raw_fd(), &DEAF)?;
        ignore_outgoing(socket.as_raw_fd());
        let fd = socket.try_clone()?;
        let config = Config {
            write_buffer_size: 256,
            read_buffer_size: 2048,
            read_timeout: Some(Duration::ZERO),
            write_timeout: Some(SEND_PATIENCE),
            channel_type: ChannelType::Layer2,
            promiscuous: false,
            // pnet closes it, also when it fails.
            socket_fd: Some(socket.into_raw_fd()),
            ..Config::default()
        };
        // pnet looks at the index alone, and at the MAC, which the kernel ignores in a bind.
        let index = interface.0;
        let interface = NetworkInterface {
            name: String::new(),
            description: String::new(),
            index,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        };
        match channel(&interface, config)? {
            Channel::Ethernet(sender, receiver) => Ok(Self { fd, sender, receiver, listening: false }),
            _ => Err(io::Error::other("not an Ethernet channel")),
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening
    }

    /// The interface's MAC as it is now: bonds and administrators change them.
    pub(super) fn mac(&self) -> io::Result<MacAddress> {
        // SAFETY: an address structure of zeros is valid.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is writable and `length` is its size, so the kernel writes no further.
        if unsafe { libc::getsockname(self.fd(), (&raw mut address).cast(), &raw mut length) } != 0 {
            return Err(io::Error::last_os_error());
        }
        match (address.sll_hatype, address.sll_halen, address.sll_addr) {
            (libc::ARPHRD_ETHER, 6, [a, b, c, d, e, f, _, _]) => Ok(MacAddress([a, b, c, d, e, f])),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "not an Ethernet interface, or gone")),
        }
    }

    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.sender.send_to(frame, None).unwrap_or_else(|| Err(io::Error::other("nothing was sent")))
    }

    /// Listens from now on, or no longer. What was heard before a question is no answer to it: it goes.
    pub(super) fn listen(&mut self, listening: bool) -> io::Result<()> {
        if self.listening != listening {
            attach(self.fd(), if listening { &NEIGHBOURS } else { &DEAF })?;
            self.listening = listening;
            if !listening {
                self.receive(&mut |_| {})?;
            }
        }
        Ok(())
    }

    /// Takes what has been heard. An error means that the interface went down or away.
    pub(super) fn receive(&mut self, each: &mut dyn FnMut(Heard)) -> io::Result<()> {
        for _ in 0..AT_A_TIME {
            match self.receiver.next() {
                Ok(frame) => parse(frame).into_iter().for_each(&mut *each),
                Err(error) => {
                    return match error.kind() {
                        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                        _ => Err(error),
                    };
                }
            }
        }
        Ok(())
    }
}

/// A packet socket that receives nothing yet: protocol 0 until it is bound.
fn socket() -> io::Result<OwnedFd> {
    // SAFETY: socket takes three integers and returns a new descriptor or -1.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(fd: RawFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).expect("a handful of instructions"),
        // The kernel reads the program and copies it.
        filter: filter.as_ptr().cast_mut(),
    };
    let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: `program` describes `filter`; both outlive the call, which only reads them.
    let failed =
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const program).cast(), length) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Not hearing ourselves saves work; whoever asks tells our own MACs apart all the same. Kernels before 4.20 refuse.
fn ignore_outgoing(fd: RawFd) {
    let yes: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `yes` is readable, of the length told, and outlives the call.
    unsafe {
        libc::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, (&raw const yes).cast(), length);
    }
}

const fn load_half(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

const fn load_byte(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// Skips `jt` instructions where the loaded value is `k`, else `jf`.
const fn equals(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k }
}

/// Ends the program: so many bytes of the frame are kept.
const fn keep(bytes: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: bytes }
}

/// Hears nothing.
const DEAF: [libc::sock_filter; 1] = [keep(0)];

/// ARP, and neighbour advertisements (ICMPv6 type 136 right behind the IPv6 header).
const NEIGHBOURS: [libc::sock_filter; 9] = [
    load_half(12),
    equals(0x0806, 6, 0),
    equals(0x86dd, 0, 4),
    load_byte(20),
    equals(58, 0, 2),
    load_byte(54),
    equals(136, 1, 0),
    keep(0),
    keep(2048),
];
