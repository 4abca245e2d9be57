//! One answering thread: receive, [`dns::respond_limited`], send, until told to stop.
//!
//! Invariants: on the way of a plain query nothing is allocated, no lock is taken and nobody is waited for; a fault while
//! answering costs the datagrams at hand and is counted, the thread goes on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use dns::{Client, Limiter, Outcome, View};
use socket2::Socket;
use tokio::sync::mpsc;

use super::{
    Deferred, ReplyTo,
    batch::{BATCH, Batch},
};
use crate::{
    clock, confine,
    dns_counters::{Cell, Dropped, Writers::One},
    dns_socket::GLANCE,
    dns_usage::Samples,
};

/// Batches taken from one busy socket before the others have their turn.
const ROUNDS: usize = 8;
/// One batch in so many is timed: two looks at the clock for each would cost a hundredth of an answer.
const TIMED: u32 = 16;
/// Rest after an error of the kernel's that says nothing about a datagram, such as want of memory.
const REST: Duration = Duration::from_millis(1);

/// What a thread is told while it runs.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// End.
    pub(super) stop: AtomicBool,
    /// There are new sockets.
    changed: AtomicBool,
    sockets: Mutex<Vec<Arc<Socket>>>,
}

impl Orders {
    /// From now on, listen on these alone.
    pub(super) fn set_sockets(&self, sockets: Vec<Arc<Socket>>) {
        *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = sockets;
        self.changed.store(true, Ordering::Release);
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn new_sockets(&self) -> Option<Vec<Arc<Socket>>> {
        let changed = self.changed.load(Ordering::Relaxed) && self.changed.swap(false, Ordering::Acquire);
        changed.then(|| self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// An answering thread's own things.
pub(super) struct Worker {
    orders: Arc<Orders>,
    cell: Arc<Cell>,
    samples: Arc<Samples>,
    views: Cache<Arc<ArcSwap<View>>, Arc<View>>,
    defer: mpsc::Sender<Deferred>,
    /// Where the rotation of pools stands.
    turn: u32,
    /// Batches so far.
    batches: u32,
    limiter: Limiter,
    sockets: Vec<Arc<Socket>>,
    polled: Vec<libc::pollfd>,
}

impl Worker {
    pub(super) fn new(
        orders: Arc<Orders>,
        (cell, samples): (Arc<Cell>, Arc<Samples>),
        views: Arc<ArcSwap<View>>,
        defer: mpsc::Sender<Deferred>,
        turn: u32,
        limiter: Limiter,
    ) -> Self {
        let views = Cache::new(views);
        Self { orders, cell, samples, views, defer, turn, batches: 0, limiter, sockets: Vec::new(), polled: Vec::new() }
    }

    /// Answers until told to stop.
    pub(super) fn run(mut self) {
        confine::this_thread();
        let mut batch = Batch::new();
        while !self.orders.stopping() {
            // The hook has printed what went wrong.
            if catch_unwind(AssertUnwindSafe(|| self.answer_until_stopped(&mut batch))).is_err() {
                self.cell.dropped(One, Dropped::Fault);
            }
        }
    }

    fn answer_until_stopped(&mut self, batch: &mut Batch) {
        while !self.orders.stopping() {
            if let Some(sockets) = self.orders.new_sockets() {
                self.polled = sockets.iter().map(polled).collect();
                self.sockets = sockets;
            }
            match &self.sockets[..] {
                [only] => {
                    let only = Arc::clone(only);
                    self.serve(batch, &only, true);
                }
                _ => self.serve_ready(batch),
            }
        }
    }

    /// Waits for any socket, and serves those that have something.
    fn serve_ready(&mut self, batch: &mut Batch) {
        // SAFETY: the array is ours and as long as said; the descriptors are open, for `sockets` holds them.
        let ready = unsafe {
            let (sockets, count) = (self.polled.as_mut_ptr(), self.polled.len());
            libc::poll(sockets, count as libc::nfds_t, GLANCE.as_millis() as libc::c_int)
        };
        if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            std::thread::sleep(REST);
        }
        for i in 0..if ready > 0 { self.polled.len() } else { 0 } {
            if self.polled[i].revents != 0 {
                let socket = Arc::clone(&self.sockets[i]);
                let full = |_: &usize| self.serve(batch, &socket, false) == BATCH;
                (0..ROUNDS).take_while(full).for_each(drop);
            }
        }
    }

    /// One batch from `socket`; how many datagrams it had.
    fn serve(&mut self, batch: &mut Batch, socket: &Arc<Socket>, wait: bool) -> usize {
        let count = match batch.receive(&**socket, wait) {
            Ok(count) => count,
            Err(error) => {
                use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
                if !matches!(error.kind(), Interrupted | TimedOut | WouldBlock) {
                    std::thread::sleep(REST);
                }
                return 0;
            }
        };
        let now = clock::wall_micros();
        self.batches = self.batches.wrapping_add(1);
        let began = self.batches.is_multiple_of(TIMED).then(clock::awake);
        let view = self.views.load();
        // A single query has nobody to wait with.
        if count > 1 && view.is_vast() {
            view.foresee(batch.queries(), prefetch);
        }
        for i in 0..count {
            self.answer(batch, i, socket, now);
        }
        let ready = batch.ready();
        let refused = batch.send(&**socket);
        (0..refused).for_each(|_| self.cell.dropped(One, Dropped::Send));
        if let Some(began) = began {
            // Whoever came with others has waited for them.
            let took = clock::awake().saturating_sub(began).as_micros();
            self.cell.answered(One, (ready - refused) as u64, u64::try_from(took).unwrap_or(u64::MAX));
        }
        // The answers are out: nobody waits for this.
        self.samples.note(self.batches, batch.replies());
        count
    }

    fn answer(&mut self, batch: &mut Batch, i: usize, socket: &Arc<Socket>, now: u64) {
        let query = batch.query(i);
        if query.cut {
            return self.cell.dropped(One, Dropped::TooLong);
        }
        if query.port == 0 || !can_reply_to(query.client) {
            return self.cell.dropped(One, Dropped::Source);
        }
        let (view, client) = (self.views.load(), Client { address: query.client, now });
        match dns::respond_limited(view, client, query.bytes, query.reply, &mut self.turn, &mut self.limiter) {
            Outcome::Reply(length) => {
                self.cell.reply(One, &query.reply[..length]);
                batch.reply(i, length);
            }
            Outcome::Defer => {
                let Ok(place) = self.defer.try_reserve() else {
                    return self.cell.dropped(One, Dropped::QueueFull);
                };
                self.cell.deferred(One);
                let query = query.bytes.to_vec();
                let (client, local) = batch.return_address(i);
                place.send(Deferred { query, reply: ReplyTo { socket: Arc::downgrade(socket), client, local } });
            }
            Outcome::Drop => self.cell.dropped(One, Dropped::NotAQuery),
            Outcome::Limited => self.cell.dropped(One, Dropped::Limited),
        }
    }
}

/// Asks the processor to fetch a line of memory, without waiting for it.
fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads nothing and takes any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(line.cast());
    }
    // Elsewhere there is no stable way to say it.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Not an address that stands for nobody or for many.
fn can_reply_to(client: IpAddr) -> bool {
    !client.is_unspecified() && !client.is_multicast() && client != IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn polled(socket: &Arc<Socket>) -> libc::pollfd {
    libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}
