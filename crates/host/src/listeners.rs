//! The thread that hears of listening TCP sockets that close: the kernel tells of every socket that it destroys
//! (sock_diag(7), the destroy groups), a fraction of a millisecond after the close or the death of the process.
//!
//! Invariants: a filter in the kernel lets through only what was on a watched port and had no peer, which is what tells a
//! listener from a connection; so a busy server's closing connections wake nobody here. With no port to watch the groups
//! are left, and the kernel composes no messages at all. A port is reported at most once in 20 ms, however often
//! listeners on it come and go, and never forgotten. After an overrun (ENOBUFS) every watched port is reported once.
//!
//! Deliberately not here: whether the service is dead. Another socket may listen on the same port (SO_REUSEPORT, another
//! address), or the service has come back already; and a socket that was bound and never listened looks the same. A report
//! is a reason to look, no more. Of sockets in other network namespaces nothing is heard, and nothing at all from a kernel
//! that lacks `inet_diag` or `tcp_diag`: nobody may depend on a report.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use rtnetlink::sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use socket2::{SockFilter, SockRef};

use crate::{
    Report, Sink,
    wake::{Wake, poll, readable},
};

/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY` (linux/sock_diag.h).
const GROUPS: [u32; 2] = [1, 3];

/// `SOCK_DIAG_BY_FAMILY`, the type of the messages.
const BY_FAMILY: u16 = 20;

/// Where a message has the ports, in network byte order: behind `nlmsghdr` (16 bytes) and the first word of
/// `inet_diag_msg` (linux/inet_diag.h).
const SOURCE_PORT: usize = 20;
const PEER_PORT: usize = 22;

/// Least time between two reports of one port.
const PACE: Duration = Duration::from_millis(20);

/// Room for what arrives while a busy machine lets the thread wait.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// More ports than fit into a filter (`BPF_MAXINSNS`) are told apart by the thread.
const FILTERED: usize = 2000;

/// The listening. It ends when dropped.
#[derive(Debug)]
pub struct Listeners {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: Socket,
    watched: Mutex<BTreeSet<u16>>,
    wake: Wake,
    stop: AtomicBool,
    messages: AtomicU64,
}

impl Listeners {
    /// No port is watched yet.
    ///
    /// # Errors
    ///
    /// The kernel's: no such netlink family here, or the threads are used up.
    pub fn start(sink: Sink) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.set_non_blocking(true)?;
        // The kernel grants what its limit allows; less is no failure.
        socket.set_rx_buf_sz(libc::c_int::try_from(RECEIVE_BUFFER).expect("it fits"))?;
        SockRef::from(&socket).attach_filter(&filter(&BTreeSet::new()))?;
        socket.bind_auto()?;
        let shared = Arc::new(Shared {
            socket,
            watched: Mutex::default(),
            wake: Wake::new()?,
            stop: AtomicBool::new(false),
            messages: AtomicU64::new(0),
        });
        let thread = Builder::new().name("standin-listen".into()).spawn({
            let shared = Arc::clone(&shared);
            move || listen(&shared, &sink)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The ports whose listeners matter from now on, of whatever address and family. Never blocks.
    ///
    /// # Errors
    ///
    /// The kernel's; some or all closings go unheard then.
    pub fn watch(&self, ports: BTreeSet<u16>) -> io::Result<()> {
        let mut watched = self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if *watched == ports {
            return Ok(());
        }
        let had_any = !watched.is_empty();
        *watched = ports;
        // Replaces the old filter at once.
        SockRef::from(&self.shared.socket).attach_filter(&filter(&watched))?;
        for group in GROUPS.into_iter().filter(|_| watched.is_empty() == had_any) {
            if had_any {
                self.shared.socket.drop_membership(group)?;
            } else {
                self.shared.socket.add_membership(group)?;
            }
        }
        Ok(())
    }

    /// Messages that the kernel's filter has let through so far.
    pub fn messages(&self) -> u64 {
        self.shared.messages.load(Ordering::Relaxed)
    }

    /// Ends the thread; nothing is reported after this returns.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake.ring();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so already; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lets through the messages about sockets without a peer on these ports (classic BPF; loads convert the byte order).
fn filter(ports: &BTreeSet<u16>) -> Vec<SockFilter> {
    const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const EQUALS: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let load = |at: usize| SockFilter::new(LOAD_HALF, 0, 0, u32::try_from(at).expect("a small offset"));
    // The next instruction is passed over unless the value is this one.
    let only_if = |value: u16| SockFilter::new(EQUALS, 0, 1, u32::from(value));
    let (pass, refuse) = (|| SockFilter::new(RETURN, 0, 0, u32::MAX), || SockFilter::new(RETURN, 0, 0, 0));
    let mut program = vec![load(PEER_PORT), SockFilter::new(EQUALS, 1, 0, 0), refuse(), load(SOURCE_PORT)];
    if ports.len() > FILTERED {
        program.push(pass());
        return program;
    }
    for port in ports {
        program.extend([only_if(*port), pass()]);
    }
    program.push(refuse());
    program
}

/// The source port of a socket without a peer, from one message; none if it is about something else.
fn listener(message: &[u8]) -> Option<u16> {
    let half = |at: usize| message.get(at..at + 2).map(|bytes| [bytes[0], bytes[1]]);
    // The type is in the machine's byte order, behind the length.
    let about_socket = u16::from_ne_bytes(half(4)?) == BY_FAMILY;
    (about_socket && u16::from_be_bytes(half(PEER_PORT)?) == 0).then_some(u16::from_be_bytes(half(SOURCE_PORT)?))
}

/// What is to be reported, and when each port was last.
#[derive(Debug, Default)]
struct Pace {
    waiting: BTreeSet<u16>,
    reported: BTreeMap<u16, Instant>,
}

impl Pace {
    /// The ports whose turn it is.
    fn due(&mut self, now: Instant) -> BTreeSet<u16> {
        self.reported.retain(|_, at| now.duration_since(*at) < PACE);
        let (later, due) = self.waiting.iter().partition(|port| self.reported.contains_key(port));
        self.waiting = later;
        self.reported.extend(BTreeSet::iter(&due).map(|port| (*port, now)));
        due
    }

    /// How long until the next one's turn, in milliseconds, not less; -1 for nothing waits.
    fn patience(&self, now: Instant) -> libc::c_int {
        let next = self.waiting.iter().filter_map(|port| self.reported.get(port)).min();
        next.map_or(-1, |at| {
            let left = PACE.saturating_sub(now.duration_since(*at)).as_millis() + 1;
            libc::c_int::try_from(left).expect("no longer than the pace")
        })
    }
}

/// The thread.
fn listen(shared: &Shared, sink: &Sink) {
    let mut pace = Pace::default();
    loop {
        let mut fds = [readable(shared.wake.fd()), readable(shared.socket.as_raw_fd())];
        if let Err(error) = poll(&mut fds, pace.patience(Instant::now())) {
            tracing::error!(%error, "closing listeners go unheard from now on; probes go on");
            return;
        }
        // Bounded, so that a flood cannot keep us from seeing `stop`.
        for _ in 0..64 {
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            match receive(shared) {
                Ok(port) => pace.waiting.extend(port),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    tracing::warn!(
                        "the kernel's notices about closed sockets overran: every monitored port is looked at"
                    );
                    pace.waiting.extend(shared.watched.lock().unwrap_or_else(PoisonError::into_inner).iter());
                }
                // Such as a signal.
                Err(_) => {}
            }
        }
        for port in pace.due(Instant::now()) {
            sink(Report::ListenerClosed { port });
        }
    }
}

/// Reads one message: the watched port that it is about, if any. What came before a filter was in place may be about others.
fn receive(shared: &Shared) -> io::Result<Option<u16>> {
    let mut buffer = [0; 128];
    let mut room = &mut buffer[..];
    let (length, from) = shared.socket.recv_from(&mut room, 0)?;
    shared.messages.fetch_add(1, Ordering::Relaxed);
    // Only the kernel is believed.
    let port = listener(&buffer[..length.min(128)]).filter(|_| from.port_number() == 0);
    let watched = shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(port.filter(|port| watched.contains(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reported_at_once_then_paced_and_never_forgotten() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.patience(start), -1);
        pace.waiting.extend([80, 443]);
        assert_eq!(pace.due(start), BTreeSet::from([80, 443]));
        assert_eq!(pace.patience(start), -1);
        pace.waiting.extend([80, 80, 22]);
        assert_eq!(pace.due(at(5)), BTreeSet::from([22]), "80 was, a moment ago");
        assert_eq!(pace.patience(at(5)), 16);
        assert_eq!(pace.due(at(19)), BTreeSet::new());
        assert_eq!(pace.due(at(21)), BTreeSet::from([80]));
        assert_eq!(pace.due(at(60)), BTreeSet::new());
        assert_eq!(pace.patience(at(60)), -1);
    }

    #[test]
    fn only_sockets_without_a_peer_are_listeners() {
        let message = |kind: u16, source: u16, peer: u16| {
            let mut bytes = vec![0; 88];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[20..22].copy_from_slice(&source.to_be_bytes());
            bytes[22..24].copy_from_slice(&peer.to_be_bytes());
            bytes
        };
        assert_eq!(listener(&message(BY_FAMILY, 8080, 0)), Some(8080));
        assert_eq!(listener(&message(BY_FAMILY, 8080, 40_000)), None);
        assert_eq!(listener(&message(2, 8080, 0)), None, "an error message");
        assert_eq!(listener(&message(BY_FAMILY, 8080, 0)[..23]), None, "cut off");
    }
}
