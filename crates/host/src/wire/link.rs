//! One interface's packet socket, under a pnet channel.
//!
//! Invariants: no frame is queued that the filter has not let through, for the filter is attached before the socket is
//! bound. Unless a question is open the filter lets through only what others say of the addresses that are watched, and
//! nothing where there are none: a busy link wakes nobody. Our own frames are not heard, and the interface is not made
//! promiscuous.

use std::{
    collections::BTreeSet,
    io, mem,
    net::IpAddr,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    time::Duration,
};

use model::net::{InterfaceIndex, MacAddress};
use pnet::datalink::{Channel, ChannelType, Config, DataLinkReceiver, DataLinkSender, NetworkInterface, channel};

use super::{
    filter,
    frame::{Heard, parse},
};

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
    /// A question is open: everything that neighbours say is heard.
    listening: bool,
    /// Addresses that only we should speak of.
    watched: BTreeSet<IpAddr>,
}

impl Link {
    /// Opens the interface, deaf.
    pub(super) fn open(interface: InterfaceIndex) -> io::Result<Self> {
        let socket = socket()?;
        attach(socket.as_raw_fd(), &filter::watching(&BTreeSet::new()))?;
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
            Channel::Ethernet(sender, receiver) => {
                Ok(Self { fd, sender, receiver, listening: false, watched: BTreeSet::new() })
            }
            _ => Err(io::Error::other("not an Ethernet channel")),
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening
    }

    /// Whether anything at all can be heard.
    pub(super) fn is_open(&self) -> bool {
        self.listening || !self.watched.is_empty()
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

    /// Listens to everybody from now on, or no longer.
    pub(super) fn listen(&mut self, listening: bool) -> io::Result<()> {
        if self.listening == listening {
            return Ok(());
        }
        self.listening = listening;
        self.tune()
    }

    /// Hears from now on what others say of these addresses.
    pub(super) fn watch(&mut self, watched: BTreeSet<IpAddr>) -> io::Result<()> {
        if self.watched == watched {
            return Ok(());
        }
        self.watched = watched;
        if self.listening { Ok(()) } else { self.tune() }
    }

    pub(super) fn watches(&self, address: IpAddr) -> bool {
        self.watched.contains(&address)
    }

    fn tune(&self) -> io::Result<()> {
        if self.listening {
            attach(self.fd(), &filter::NEIGHBOURS)
        } else {
            attach(self.fd(), &filter::watching(&self.watched))
        }
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
        len: u16::try_from(filter.len()).expect("no longer than the kernel takes"),
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
