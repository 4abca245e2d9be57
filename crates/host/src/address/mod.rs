//! The virtual addresses of this machine: makes the kernel's table agree with what is wished.
//!
//! [`Addresses::set`] takes the whole wish; the newest wins. A thread of its own compares it with what the kernel has and
//! adds and deletes the difference; a second one listens to the kernel (`watch`) and has put back at once what others
//! delete.
//!
//! Invariants: an address is reported present or absent only after the kernel has confirmed it. Every address whose wish
//! changed is answered, even where there was nothing to do; what stays wished is never touched. What fails is tried
//! again every second. What an earlier run left behind is gone before [`Addresses::start`] returns, and what this run
//! holds is gone when it stops. (Kernels before 5.18 keep no mark on IPv6 addresses: there a leftover stays.)
//!
//! Every address is on lease: the kernel removes it [`LEASE`] after the last renewal, whatever has become of this process.
//! All are renewed together, and only while whoever decides shows that it lives ([`Addresses::feed`]). A renewal never
//! brings back what may have run out: that is reported as lost, and is not added again before it is wished for anew.
//!
//! Connections through an address that is gone are ended (`leftover`), after its absence was reported; connections through
//! what stays are never touched.
//!
//! Whoever takes an address has its neighbours asked for anew that were asked for in vain (`neighbours`).
//!
//! Deliberately not here: who should hold an address; announcing it (`wire`).

mod filter;
mod leftover;
mod message;
mod neighbours;
mod netlink;
mod renew;
mod rhythm;
mod tables;
mod watch;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io, mem,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use model::{Instant, net::InterfaceIndex};
use tokio::sync::Notify;

use crate::{Sink, clock};

pub use self::message::PROTOCOL;

/// The kernel removes an address so long after its last renewal, or up to 1.25 s later: it removes several at a time.
pub const LEASE: Duration = Duration::from_secs(2);

/// Leases are renewed while the last [`Addresses::feed`] is younger than this.
const FED: Duration = Duration::from_secs(1);

/// The two threads. They end, and the addresses go, when it is dropped.
#[derive(Debug)]
pub struct Addresses {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads and the handle share.
#[derive(Default, Debug)]
struct Shared {
    cell: Mutex<Cell>,
    /// Something in the cell is new.
    changed: Notify,
    /// The watching thread should end.
    ended: Notify,
    /// When whoever decides last showed that it lives, in nanoseconds since boot.
    fed: AtomicU64,
}

/// Bounded by the number of addresses ever wished at a time; the newest wish replaces the one before.
#[derive(Default, Debug)]
struct Cell {
    desired: BTreeMap<IpAddr, InterfaceIndex>,
    /// Whose wish changed since the worker looked: these are owed an answer.
    owed: BTreeSet<IpAddr>,
    /// What the kernel said is gone.
    lost: BTreeSet<(IpAddr, InterfaceIndex)>,
    /// The kernel may have said things that we missed.
    resync: bool,
    stop: bool,
}

impl Addresses {
    /// Removes what an earlier run left behind, reports interfaces and gateways, and waits for wishes.
    ///
    /// # Errors
    ///
    /// Netlink is not there, or a leftover cannot be removed.
    pub fn start(sink: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut addresses = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        let (ready, started) = sync_channel(1);
        let (of_worker, its_sink) = (Arc::clone(&shared), Arc::clone(&sink));
        addresses.threads.push(spawn("standin-address", move || worker::work(of_worker, its_sink, ready))?);
        started.recv().unwrap_or_else(|_| Err(gone()))?;
        let (ready, started) = sync_channel(1);
        addresses.threads.push(spawn("standin-links", move || watch::run(shared, sink, ready))?);
        started.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(addresses)
    }

    /// Whoever decides about the addresses shows that it lives. To be called at least every 250 ms; without it for a
    /// second leases are not renewed any more. An atomic store.
    pub fn feed(&self) {
        self.shared.feed();
    }

    /// The addresses that this machine should have from now on, and on which interface. Never waits. Shows, as
    /// [`Addresses::feed`] does, that its caller lives.
    pub fn set(&self, desired: BTreeMap<IpAddr, InterfaceIndex>) {
        self.shared.feed();
        let mut cell = self.shared.lock();
        let old = mem::take(&mut cell.desired);
        let differ = |address: &&IpAddr| old.get(address) != desired.get(address);
        cell.owed.extend(old.keys().chain(desired.keys()).filter(differ));
        cell.desired = desired;
        drop(cell);
        self.shared.changed.notify_one();
    }

    /// Removes every address, reports it, and ends the threads. Nothing is reported after this returns.
    pub fn stop(&mut self) {
        self.set(BTreeMap::new());
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        self.shared.ended.notify_one();
        for thread in self.threads.drain(..) {
            // A thread that panicked has told so already; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().expect("no holder of this lock panics")
    }

    fn feed(&self) {
        self.fed.store(clock::now().as_nanos(), Ordering::Relaxed);
    }

    /// Whether leases may be renewed.
    fn is_fed(&self, now: Instant) -> bool {
        now.since(Instant::from_nanos(self.fed.load(Ordering::Relaxed))) < FED
    }

    fn stopped(&self) -> bool {
        self.lock().stop
    }

    fn wants(&self, address: IpAddr, interface: InterfaceIndex) -> bool {
        self.lock().desired.get(&address) == Some(&interface)
    }

    /// The kernel says that the address is gone.
    fn lost(&self, address: IpAddr, interface: InterfaceIndex) {
        let mut cell = self.lock();
        if cell.desired.get(&address) == Some(&interface) {
            cell.lost.insert((address, interface));
            self.changed.notify_one();
        }
    }

    /// Notifications were lost: compare with the kernel itself.
    fn resync(&self) {
        self.lock().resync = true;
        self.changed.notify_one();
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread ended before it began")
}

/// A thread with a small runtime of its own.
fn spawn<F: Future<Output = ()>>(name: &str, life: impl FnOnce() -> F + Send + 'static) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Builder::new().name(name.into()).spawn(move || runtime.block_on(life()))
}
