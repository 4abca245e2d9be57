//! The paths that heartbeats take, UDP and Ethernet, and the one wait for all that may wake the driver: a datagram on
//! either, and the bell of its queue.
//!
//! The driver reads the sockets itself: a heartbeat wakes one thread and not two, and the two copies of a heartbeat, which
//! come in the same moment, wake it once.
//!
//! Invariants: nothing but [`Heartbeats::wait`] waits, and that for the given time at most. A flood on one path keeps neither
//! the other from being heard nor the queue from being read: after each wait at most one datagram is taken from each
//! socket. What comes faster than that waits in the kernel's buffers, which are bounded; what finds them full is dropped there
//! and counted ([`Heartbeats::dropped`]).
//!
//! Deliberately not here: what the bytes mean, and which interfaces (`cluster`).

use std::{net::SocketAddr, os::fd::AsRawFd, thread, time::Duration};

use model::net::{InterfaceIndex, Origin};

use crate::{
    bell::Bell,
    ether::Ether,
    packet_info::overflowed,
    peer::PeerSocket,
    wake::{poll_for, readable},
};

/// What is heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A datagram on the heartbeat socket, or in a frame.
    Datagram {
        /// Where from.
        from: Origin,
        /// What.
        bytes: Vec<u8>,
    },
    /// A machine says that nobody listens where a heartbeat was sent to.
    Refused {
        /// Where.
        to: SocketAddr,
    },
}

/// Datagrams of each socket that are thrown away in a row before the driver begins.
const STALE: usize = 4096;

/// Both paths.
#[derive(Debug)]
pub struct Heartbeats {
    socket: PeerSocket,
    ether: Option<Ether>,
    /// What the last wait has found to be readable and has not been read since.
    ready: Ready,
    /// What the kernel had dropped when it was last asked.
    dropped: u64,
    /// What is waited for, and the interfaces behind the last of it: here only so that they need no memory at each wait.
    fds: Vec<libc::pollfd>,
    links: Vec<InterfaceIndex>,
}

#[derive(Default, Debug)]
struct Ready {
    refusals: bool,
    datagram: bool,
    frames: Vec<InterfaceIndex>,
}

impl Ready {
    fn is_something(&self) -> bool {
        self.refusals || self.datagram || !self.frames.is_empty()
    }
}

/// Where the bell, the socket and the first link are among the descriptors.
const BELL: usize = 0;
const SOCKET: usize = 1;
const LINKS: usize = 2;

impl Heartbeats {
    /// Over the socket, and straight on Ethernet where that is given.
    pub fn new(socket: PeerSocket, ether: Option<Ether>) -> Self {
        Self { socket, ether, ready: Ready::default(), dropped: 0, fds: Vec::new(), links: Vec::new() }
    }

    /// The heartbeat socket.
    pub fn socket(&self) -> &PeerSocket {
        &self.socket
    }

    /// Ethernet; none where it is switched off or cannot be had.
    pub fn ether(&self) -> Option<&Ether> {
        self.ether.as_ref()
    }

    /// Waits until something can be heard or the bell has been rung, for `patience` at most; not at all while something that
    /// the wait before has found is still unheard, or what is looked at first would always come first. A link that is opened
    /// meanwhile is listened to from the next wait on.
    pub fn wait(&mut self, bell: &Bell, patience: Duration) {
        if self.ready.is_something() {
            return;
        }
        self.fds.clear();
        self.links.clear();
        self.fds.extend([readable(bell.fd()), readable(self.socket.as_raw_fd())]);
        if let Some(ether) = &self.ether {
            ether.descriptors(|index, fd| {
                self.fds.push(readable(fd));
                self.links.push(index);
            });
        }
        if poll_for(&mut self.fds, patience).is_err() {
            // The kernel has no memory, for a moment: whatever there is to hear is tried, and the driver goes on.
            thread::sleep(patience.min(Duration::from_millis(1)));
            self.fds.iter_mut().for_each(|fd| fd.revents = libc::POLLIN);
        }
        if self.fds[BELL].revents != 0 {
            bell.hush();
        }
        let socket = self.fds[SOCKET].revents;
        self.ready.refusals = socket & libc::POLLERR != 0;
        // An error, too, is over only once it has been read.
        self.ready.datagram = socket != 0;
        let found = self.links.iter().zip(&self.fds[LINKS..]).filter(|(_, fd)| fd.revents != 0);
        self.ready.frames.extend(found.map(|(index, _)| *index));
    }

    /// Something that the last wait has found; none where that has all been heard. Never waits.
    pub fn hear(&mut self) -> Option<Heard> {
        if std::mem::take(&mut self.ready.refusals)
            && let Some(refused) = self.socket.hear_refusal()
        {
            return Some(refused);
        }
        if std::mem::take(&mut self.ready.datagram)
            && let Some(datagram) = self.socket.hear()
        {
            return Some(datagram);
        }
        while let Some(index) = self.ready.frames.pop() {
            if let Some(frame) = self.ether.as_ref().and_then(|ether| ether.hear(index)) {
                return Some(frame);
            }
        }
        None
    }

    /// Throws away what has arrived while nobody listened: it is not how things are.
    pub fn forget(&mut self, bell: &Bell) {
        for _ in 0..STALE {
            self.wait(bell, Duration::ZERO);
            if !self.ready.is_something() {
                return;
            }
            while self.hear().is_some() {}
        }
    }

    /// Datagrams that the kernel dropped, because nobody had read those before, since this was last asked.
    pub fn dropped(&mut self) -> u64 {
        let links = self.ether.as_ref().map(Ether::dropped).unwrap_or_default();
        let now = overflowed(&self.socket) + links;
        // Fewer than before where a link was closed.
        let new = now.saturating_sub(self.dropped);
        self.dropped = now;
        new
    }
}
