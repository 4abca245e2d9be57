//! DNS over UDP: threads that answer by themselves whatever [`respond`](fn@dns::respond) can answer, and defer the rest.
//!
//! Every thread has a socket of its own at each place (SO_REUSEPORT: the kernel spreads clients over them), its own memory,
//! counters and copy of the pointer to the [`View`]; threads share nothing that is written. They listen at
//! the configured addresses, and with a specific one also at every virtual address of its family, at the same port.
//!
//! Invariants: a reply leaves from the address that was asked; what cannot be answered here goes through one bounded queue,
//! and is dropped and counted when that is full; nobody who holds up DNS holds up anything else.
//!
//! Deliberately not here: what an answer is (`dns`), TCP and what was deferred ([`crate::dns_stream`]).

mod batch;
mod worker;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak, atomic::Ordering},
    thread::{self, JoinHandle},
};

use arc_swap::ArcSwap;
use dns::{Limiter, View, usage::Sheet};
use socket2::Socket;
use tokio::sync::mpsc;

use crate::{
    dns_counters::{Cell, DnsCounts},
    dns_socket::{self, Place, hang_up, places},
    dns_usage::Samples,
    entropy,
    packet_info::{self, Local, overflowed},
};

use self::worker::{Orders, Worker};

/// A datagram for the general server.
#[derive(Debug)]
pub struct Deferred {
    /// What arrived.
    pub query: Vec<u8>,
    /// Where the reply goes.
    pub reply: ReplyTo,
}

/// The way back to a client: the socket, the client's address, the address that it asked. It does not keep the socket
/// open: after the stop of the threads the port is free, whatever still waits in the queue.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    socket: Weak<Socket>,
    client: SocketAddr,
    local: Option<Local>,
}

impl ReplyTo {
    /// Who asked.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// Sends the reply, without waiting. It is lost where there is no room, as UDP may.
    pub fn send(&self, reply: &[u8]) -> io::Result<()> {
        let socket = self.socket.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        packet_info::send(&*socket, reply, self.client, self.local).map(drop)
    }
}

/// An answering thread, from outside.
#[derive(Debug)]
struct Thread {
    orders: Arc<Orders>,
    cell: Arc<Cell>,
    samples: Arc<Samples>,
    handle: Option<JoinHandle<()>>,
}

/// The answering threads. They end when this is dropped.
#[derive(Debug)]
pub struct DnsUdp {
    /// The configured places, with the ports that the kernel chose for port 0.
    listen: Vec<SocketAddr>,
    threads: Vec<Thread>,
    /// The sockets at each place, one per thread.
    sockets: BTreeMap<Place, Vec<Arc<Socket>>>,
    /// What closed sockets had lost.
    overflowed: u64,
}

impl DnsUdp {
    /// Opens the sockets and starts `threads` threads (at least one, none without anything to listen on). They answer from
    /// the newest of `views`, and send what they cannot answer to `defer`.
    ///
    /// # Errors
    ///
    /// The address that could not be bound, and why; nothing is left running then.
    pub fn start(
        listen: &[SocketAddr],
        virtual_addresses: &[IpAddr],
        threads: usize,
        views: &Arc<ArcSwap<View>>,
        defer: &mpsc::Sender<Deferred>,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let threads = if listen.is_empty() { 0 } else { threads.max(1) };
        let mut this = Self { listen: Vec::new(), threads: Vec::new(), sockets: BTreeMap::new(), overflowed: 0 };
        for place in places(listen, &[]) {
            let place = this.open(place, threads)?;
            this.listen.push(place.address);
        }
        for number in 0..threads {
            let (orders, cell, samples) = (Arc::<Orders>::default(), Arc::<Cell>::default(), Arc::new(Samples::new()));
            // Threads begin their rotations in different places, so that few clients see the same first answer.
            let turn = entropy::spread() as u32;
            let limiter = Limiter::new(threads, entropy::spread());
            let counted = (Arc::clone(&cell), Arc::clone(&samples));
            let worker = Worker::new(Arc::clone(&orders), counted, Arc::clone(views), defer.clone(), turn, limiter);
            this.threads.push(Thread { orders, cell, samples, handle: None });
            this.hand_out_sockets();
            let started = thread::Builder::new().name(format!("dns-{number}")).spawn(|| worker.run());
            let handle = started.map_err(|error| (listen[0], error))?;
            this.threads[number].handle = Some(handle);
        }
        this.set_virtual_addresses(virtual_addresses)?;
        Ok(this)
    }

    /// Listens on these virtual addresses besides the configured ones, and no longer on those given before. Sockets that
    /// stay are not touched: no query to them is lost. Threads notice within a quarter of a second.
    ///
    /// # Errors
    ///
    /// The address that could not be bound, and why; the places are the old ones then.
    pub fn set_virtual_addresses(&mut self, virtual_addresses: &[IpAddr]) -> Result<(), (SocketAddr, io::Error)> {
        let wanted = places(&self.listen, virtual_addresses);
        let added: Vec<Place> = wanted.iter().filter(|place| !self.sockets.contains_key(place)).copied().collect();
        for (number, place) in added.iter().enumerate() {
            if let Err(error) = self.open(*place, self.threads.len()) {
                for opened in &added[..number] {
                    self.sockets.remove(opened);
                }
                return Err(error);
            }
        }
        let before = std::mem::take(&mut self.sockets);
        for (place, sockets) in before {
            if wanted.contains(&place) {
                self.sockets.insert(place, sockets);
            } else {
                self.overflowed += sockets.iter().map(overflowed).sum::<u64>();
            }
        }
        self.hand_out_sockets();
        Ok(())
    }

    /// Opens one socket per thread at a place, whose port is then known.
    fn open(&mut self, place: Place, threads: usize) -> Result<Place, (SocketAddr, io::Error)> {
        let (place, sockets) = dns_socket::udp(place, threads).map_err(|error| (place.address, error))?;
        self.sockets.insert(place, sockets.into_iter().map(Arc::new).collect());
        Ok(place)
    }

    fn hand_out_sockets(&self) {
        for (number, thread) in self.threads.iter().enumerate() {
            let own = self.sockets.values().filter_map(|sockets| sockets.get(number)).cloned();
            thread.orders.set_sockets(own.collect());
        }
    }

    /// The configured addresses, with the ports that the kernel chose for port 0.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// What all threads have counted so far.
    pub fn counts(&self) -> DnsCounts {
        let mut counts = DnsCounts::new();
        for thread in &self.threads {
            counts.add_cell(&thread.cell);
        }
        let open: u64 = self.sockets.values().flatten().map(overflowed).sum();
        counts.overflowed = self.overflowed + open;
        counts
    }

    /// Takes what each thread has noted since the last time; `spare` is an empty sheet, and is one again afterwards.
    pub fn take_usage(&self, spare: &mut Box<Sheet>, mut each: impl FnMut(&Sheet)) {
        for thread in &self.threads {
            thread.samples.take(spare);
            each(spare);
            spare.clear();
        }
    }

    /// Ends the threads and closes the sockets, and waits until that is done. What they are answering is answered.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for DnsUdp {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.orders.stop.store(true, Ordering::Relaxed);
        }
        for socket in self.sockets.values().flatten() {
            hang_up(&**socket);
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                // A panic there has been printed already.
                drop(handle.join());
            }
        }
    }
}
