//! Heartbeats straight on Ethernet: the same sealed datagrams that go by UDP, as broadcast frames of an EtherType of our own.
//! No address, route or packet filter of IP stands in their way.
//!
//! A frame is: the EtherType 0x88B5 (IEEE Std 802, Local Experimental EtherType 1), `MAGIC`, the datagram's length (2 bytes,
//! big-endian), the datagram; then whatever pads a short frame to Ethernet's least length. Other users of that EtherType on the
//! link have another magic.
//!
//! One thread has a packet socket for each interface that is wanted. Invariants: a filter in the kernel lets through what
//! begins with the magic and was broadcast by somebody else, and it is attached before the socket is bound, and bound to this
//! EtherType alone: other traffic wakes nobody and is never queued. Sending and receiving are done by the caller and never
//! wait; what the kernel cannot take at once is lost, as on the wire, and what finds `RECEIVE_BUFFER` full it drops and counts.
//! Opening and closing, which wait for the kernel, are the thread's. An interface that cannot be opened, or has failed, is
//! tried again every second, and its trouble is told in the log once.
//!
//! No pnet here, unlike in `wire`: its channel waits in select(2), which knows no descriptor above 1023, and it does not tell
//! who sent a frame. A socket of type SOCK_DGRAM has the kernel make the header, with the interface's MAC of that moment.
//!
//! The guardian says its farewell with a `Voice`, which opens one socket beforehand and hears nothing.
//!
//! Deliberately not here: which interfaces, and what the bytes mean (`cluster`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use model::{
    Instant,
    net::{InterfaceIndex, MacAddress, Origin},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{
    clock,
    heartbeat::Heard,
    packet_info::{overflowed, set_option},
    peer::LARGEST,
    wake::{Wake, poll, readable},
};

/// IEEE Std 802, Local Experimental EtherType 1.
const ETHER_TYPE: u16 = 0x88b5;
/// Tells our frames from those of others who experiment.
const MAGIC: [u8; 4] = *b"STDE";
/// Magic and length.
const HEAD: usize = 6;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Room for what arrives while the driver is busy.
const RECEIVE_BUFFER: usize = 256 * 1024;
/// `TC_PRIO_INTERACTIVE` (linux/pkt_sched.h): the best that needs no privilege.
const PRIORITY: libc::c_int = 6;
/// What could not be opened, or closed, is tried again after that.
const AGAIN: Duration = Duration::from_secs(1);

/// The thread, and what it has open. It ends when this is dropped.
#[derive(Debug)]
pub struct Ether {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// For those who want to know how it does. Cheap to share.
#[derive(Clone, Debug)]
pub struct EtherView(Arc<Shared>);

/// How it does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EtherState {
    /// Names of the interfaces in use.
    pub open: Vec<String>,
    /// Why others are not.
    pub failed: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    /// What is open. The driver reads it at each wait, and never waits for a thread that has been interrupted with a lock.
    open: ArcSwap<Open>,
    links: Mutex<Links>,
    wake: Wake,
}

type Open = BTreeMap<InterfaceIndex, Arc<Link>>;

#[derive(Default, Debug)]
struct Links {
    wanted: BTreeSet<InterfaceIndex>,
    /// Those that went down or away while they were listened to: to be closed.
    lost: Vec<InterfaceIndex>,
    failed: BTreeMap<InterfaceIndex, String>,
    stop: bool,
}

impl Ether {
    /// Starts the thread; nothing is open yet.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread or descriptor.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared { open: ArcSwap::default(), links: Mutex::default(), wake: Wake::new()? });
        let thread = Builder::new().name("standin-ether".into()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The interfaces to send and listen on from now on, whole. Never waits: the thread opens and closes.
    pub fn set(&self, interfaces: BTreeSet<InterfaceIndex>) {
        self.shared.lock().wanted = interfaces;
        self.shared.wake.ring();
    }

    /// Sends the datagram once on each interface that is open. Never waits.
    ///
    /// # Errors
    ///
    /// The kernel's last one; the frame is lost on that interface.
    pub fn broadcast(&self, datagram: &[u8]) -> io::Result<()> {
        let frame = frame(datagram)?;
        let mut sent = Ok(());
        for link in self.shared.open.load().values() {
            // On every one, whatever another says.
            sent = link.send(&frame).and(sent);
        }
        sent
    }

    /// Each interface that is open, with what to wait for to hear something there.
    pub(crate) fn descriptors(&self, mut each: impl FnMut(InterfaceIndex, RawFd)) {
        self.shared.open.load().iter().for_each(|(index, link)| each(*index, link.fd()));
    }

    /// A datagram that waits on that interface; none where none does, or where that one is none of ours. Never waits.
    pub(crate) fn hear(&self, index: InterfaceIndex) -> Option<Heard> {
        let open = self.shared.open.load();
        let link = open.get(&index)?;
        link.receive(index).unwrap_or_else(|error| {
            let mut links = self.shared.lock();
            links.fail(index, &link.name, &error);
            links.lost.push(index);
            self.shared.wake.ring();
            None
        })
    }

    /// Frames that the kernel has dropped on what is open, because nobody had read those before.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.open.load().values().map(|link| overflowed(&link.socket)).sum()
    }

    /// The interfaces that are open.
    pub fn interfaces(&self) -> Vec<InterfaceIndex> {
        self.shared.open.load().keys().copied().collect()
    }

    /// For the status.
    pub fn view(&self) -> EtherView {
        EtherView(Arc::clone(&self.shared))
    }

    /// Ends the thread. What is open is closed with the last view of it.
    pub fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.ring();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so already; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Drop for Ether {
    fn drop(&mut self) {
        self.stop();
    }
}

impl EtherView {
    /// How it does now.
    pub fn state(&self) -> EtherState {
        EtherState {
            open: self.0.open.load().values().map(|link| link.name.clone()).collect(),
            failed: self.0.lock().failed.values().cloned().collect(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread owns.
struct Engine<'a> {
    shared: &'a Shared,
    wanted: BTreeSet<InterfaceIndex>,
    links: Open,
    /// Closed by this thread and no other, for that takes the kernel a while: as soon as nobody else has it any more.
    closing: Vec<Arc<Link>>,
    /// When to try again what is not done.
    again: Option<Instant>,
}

/// The thread.
fn run(shared: &Shared) {
    let mut engine =
        Engine { shared, wanted: BTreeSet::new(), links: BTreeMap::new(), closing: Vec::new(), again: None };
    while engine.obey() {
        if let Err(error) = engine.wait() {
            tracing::error!(%error, "the thread that opens interfaces for Ethernet heartbeats cannot wait and ends");
            return;
        }
    }
}

impl Engine<'_> {
    /// Opens and closes until what is open is what is wanted, as far as it can be had. Returns whether to go on.
    fn obey(&mut self) -> bool {
        let (stop, lost) = {
            let mut shared = self.shared.lock();
            self.wanted.clone_from(&shared.wanted);
            (shared.stop, std::mem::take(&mut shared.lost))
        };
        self.closing.extend(lost.iter().filter_map(|index| self.links.remove(index)));
        let unwanted = self.links.extract_if(.., |index, _| !self.wanted.contains(index));
        self.closing.extend(unwanted.map(|(_, link)| link));
        let missing: Vec<_> = self.wanted.iter().filter(|index| !self.links.contains_key(index)).copied().collect();
        for index in missing {
            match Link::open(index) {
                Ok(link) => {
                    tracing::info!(interface = link.name, "heartbeats go by Ethernet broadcast, too");
                    self.links.insert(index, Arc::new(link));
                }
                Err(error) => self.shared.lock().fail(index, &name(index), &error),
            }
        }
        let mut shared = self.shared.lock();
        shared.failed.retain(|index, _| self.wanted.contains(index) && !self.links.contains_key(index));
        drop(shared);
        self.shared.open.store(Arc::new(self.links.clone()));
        self.closing.retain(|link| Arc::strong_count(link) > 1);
        let done = self.links.len() == self.wanted.len() && self.closing.is_empty();
        self.again = (!done).then(|| clock::now() + AGAIN);
        !stop
    }

    /// Waits until there is something to [`Self::obey`].
    fn wait(&mut self) -> io::Result<()> {
        let patience = self.again.map(|again| again.since(clock::now()).as_millis() + 1);
        let patience = patience.map_or(-1, |ms| libc::c_int::try_from(ms).expect("a second at most"));
        poll(&mut [readable(self.shared.wake.fd())], patience)?;
        self.shared.wake.hush();
        Ok(())
    }
}

impl Links {
    /// An interface cannot be used. Told once for each reason.
    fn fail(&mut self, index: InterfaceIndex, name: &str, error: &io::Error) {
        let reason = format!("{name}: {error}");
        let before = self.failed.insert(index, reason.clone());
        if before.as_ref() != Some(&reason) {
            tracing::warn!(interface = name, %error, "heartbeats cannot go by Ethernet broadcast there; they go by UDP alone");
        }
    }
}

/// The interface's name, or its number where it has none any more.
fn name(index: InterfaceIndex) -> String {
    let mut buffer = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer is as long as the kernel's longest name with its NUL.
    let found = unsafe { libc::if_indextoname(index.0, buffer.as_mut_ptr().cast()) };
    let name = std::ffi::CStr::from_bytes_until_nul(&buffer).ok().filter(|_| !found.is_null());
    name.map_or_else(|| format!("interface {}", index.0), |name| name.to_string_lossy().into_owned())
}

/// An interface's packet socket.
#[derive(Debug)]
struct Link {
    socket: Socket,
    to: libc::sockaddr_ll,
    name: String,
}

impl Link {
    fn open(index: InterfaceIndex) -> io::Result<Self> {
        // Without a protocol it receives nothing until it is bound.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(Protocol::from(0)))?;
        socket.attach_filter(&filter())?;
        // The kernel grants what its limit allows; less is no failure.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY)?;
        let to = everybody(index)?;
        // SAFETY: the pointer and the length describe `to`, which outlives the call and is only read.
        if unsafe { libc::bind(socket.as_raw_fd(), (&raw const to).cast(), ADDRESS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // An interface that is down is bound to, and says so now.
        match socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(Self { socket, to, name: name(index) }),
        }
    }

    fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.socket, &self.to, frame)
    }

    /// A datagram that has arrived. An error means that the interface went down or away.
    fn receive(&self, interface: InterfaceIndex) -> io::Result<Option<Heard>> {
        let mut buffer = [0_u8; HEAD + LARGEST];
        let (mut from, mut length) = (nowhere(), ADDRESS);
        // SAFETY: the pointers and lengths describe `buffer` and `from`, which are writable and outlive the call.
        let received = unsafe {
            let from = (&raw mut from).cast();
            let flags = libc::MSG_DONTWAIT;
            libc::recvfrom(self.fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags, from, &raw mut length)
        };
        let Ok(received) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        };
        let ([a, b, c, d, e, f, ..], Some(datagram)) = (from.sll_addr, payload(&buffer[..received])) else {
            return Ok(None);
        };
        let from = Origin::Ethernet { interface, mac: MacAddress([a, b, c, d, e, f]) };
        Ok(Some(Heard::Datagram { from, bytes: datagram.to_vec() }))
    }
}

/// Sends frames on any interface, and hears nothing.
#[derive(Debug)]
pub(crate) struct Voice(Socket);

impl Voice {
    pub(crate) fn open() -> io::Result<Self> {
        // Without a protocol, and not bound, it receives nothing.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(Protocol::from(0)))?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY)?;
        Ok(Self(socket))
    }

    /// Sends the datagram once there. Never waits.
    pub(crate) fn broadcast(&self, interface: InterfaceIndex, datagram: &[u8]) -> io::Result<()> {
        send(&self.0, &everybody(interface)?, &frame(datagram)?)
    }
}

fn frame(datagram: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(datagram.len()).map_err(io::Error::other)?;
    Ok([&MAGIC[..], &length.to_be_bytes(), datagram].concat())
}

/// The broadcast address on an interface, with our EtherType.
fn everybody(interface: InterfaceIndex) -> io::Result<libc::sockaddr_ll> {
    let mut to = nowhere();
    to.sll_family = u16::try_from(libc::AF_PACKET).expect("a small number");
    to.sll_protocol = ETHER_TYPE.to_be();
    to.sll_ifindex = i32::try_from(interface.0).map_err(io::Error::other)?;
    to.sll_halen = 6;
    to.sll_addr[..6].copy_from_slice(&BROADCAST);
    Ok(to)
}

fn send(socket: &Socket, to: &libc::sockaddr_ll, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the pointers and lengths describe `frame` and `to`, which outlive the call and are only read.
    let sent = unsafe {
        let to = (&raw const *to).cast();
        libc::sendto(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT, to, ADDRESS)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

fn nowhere() -> libc::sockaddr_ll {
    // SAFETY: an address structure of zeros is valid.
    unsafe { std::mem::zeroed() }
}

/// The datagram in a frame, without its padding; none where it is not ours or was cut short.
fn payload(frame: &[u8]) -> Option<&[u8]> {
    let rest = frame.strip_prefix(&MAGIC)?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(..u16::from_be_bytes(*length).into()).filter(|datagram| !datagram.is_empty())
}

/// Lets through broadcasts that begin with the magic. What we send ourselves is `PACKET_OUTGOING`, not a broadcast.
fn filter() -> Vec<SockFilter> {
    const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const EQUALS: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    /// `SKF_AD_OFF + SKF_AD_PKTTYPE`.
    const PACKET_TYPE: u32 = (-0x1000_i32 + 4) as u32;
    const PACKET_BROADCAST: u32 = 1;
    vec![
        // The filter of a SOCK_DGRAM socket sees what is behind Ethernet's header.
        SockFilter::new(LOAD_WORD, 0, 0, 0),
        SockFilter::new(EQUALS, 0, 3, u32::from_be_bytes(MAGIC)),
        SockFilter::new(LOAD_WORD, 0, 0, PACKET_TYPE),
        SockFilter::new(EQUALS, 0, 1, PACKET_BROADCAST),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_is_cut_and_what_was_cut_short_is_nothing() {
        let frame = [&MAGIC[..], &[0, 3], b"abc", &[0; 40]].concat();
        assert_eq!(payload(&frame), Some(&b"abc"[..]));
        for end in 0..9 {
            assert_eq!(payload(&frame[..end]), None);
        }
        assert_eq!(payload(&[&MAGIC[..], &[0, 0], &[0; 40]].concat()), None);
        assert_eq!(payload(&[b"STDX", &[0, 3][..], b"abc"].concat()), None);
    }

    #[test]
    fn an_interface_that_does_not_exist_is_told_and_nothing_is_sent() {
        let mut ether = Ether::start().unwrap();
        ether.set(BTreeSet::from([InterfaceIndex(9_999_999)]));
        let view = ether.view();
        while view.state().failed.is_empty() {
            std::thread::yield_now();
        }
        assert!(view.state().open.is_empty());
        ether.broadcast(b"hello").unwrap();
        ether.set(BTreeSet::new());
        while !view.state().failed.is_empty() {
            std::thread::yield_now();
        }
        ether.stop();
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_read_within_its_bounds(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let frame = [&MAGIC[..], &bytes].concat();
            if let Some(datagram) = payload(&frame) {
                prop_assert!(datagram.len() + HEAD <= frame.len());
            }
        }
    }
}
