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
//! Deliberately not here: who should hold an address; announcing it (`wire`). The kernel lease (a lifetime that is
//! renewed) has its place in `message::add`.

mod message;
mod netlink;
mod tables;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io, mem,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use model::{net::InterfaceIndex, report::AddressOutcome};
use netlink_packet_route::{RouteNetlinkMessage, address::AddressMessage};
use tokio::sync::Notify;

use self::netlink::{Netlink, words};
use crate::{Report, Sink, schedule};

pub use self::message::PROTOCOL;

/// How long after a failure the kernel is asked again.
const AGAIN: Duration = Duration::from_secs(1);

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
        addresses.threads.push(spawn("standin-address", move || work(of_worker, its_sink, ready))?);
        started.recv().unwrap_or_else(|_| Err(gone()))?;
        let (ready, started) = sync_channel(1);
        addresses.threads.push(spawn("standin-links", move || watch::run(shared, sink, ready))?);
        started.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(addresses)
    }

    /// The addresses that this machine should have from now on, and on which interface. Never waits.
    pub fn set(&self, desired: BTreeMap<IpAddr, InterfaceIndex>) {
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

/// The thread that changes addresses.
struct Worker {
    shared: Arc<Shared>,
    sink: Sink,
    netlink: Netlink,
    /// What the kernel has of ours.
    held: BTreeSet<(IpAddr, InterfaceIndex)>,
    /// What the kernel said to the last attempt.
    failing: BTreeMap<IpAddr, Arc<str>>,
    /// Who is still owed an answer in this round.
    owed: BTreeSet<IpAddr>,
}

async fn work(shared: Arc<Shared>, sink: Sink, ready: SyncSender<io::Result<()>>) {
    // A takeover that waits behind a busy machine's work is an outage. Refused without the privilege, harmlessly.
    let _ = schedule::prefer_this_thread();
    let (held, failing, owed) = Default::default();
    let begun = match Netlink::connect() {
        Ok(netlink) => {
            let worker = Worker { shared, sink, netlink, held, failing, owed };
            worker.sweep().await.map(|()| worker)
        }
        Err(error) => Err(error),
    };
    match begun {
        Ok(mut worker) => {
            let _ = ready.send(Ok(()));
            worker.run().await;
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

impl Worker {
    /// Deletes all that carries our mark: nothing is wished yet.
    async fn sweep(&self) -> io::Result<()> {
        for (address, interface) in self.ours().await? {
            tracing::warn!(%address, interface = interface.0, "removing an address that an earlier run left behind");
            self.netlink.delete(message::delete(address, interface)).await.map_err(|error| {
                io::Error::new(error.kind(), format!("cannot remove the leftover address {address}: {}", words(&error)))
            })?;
        }
        Ok(())
    }

    /// What the kernel has of ours.
    async fn ours(&self) -> io::Result<BTreeSet<(IpAddr, InterfaceIndex)>> {
        let rows = self.netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?;
        let ours = rows.iter().filter_map(|row| match row {
            RouteNetlinkMessage::NewAddress(row) if message::is_ours(row) => {
                Some((message::local(row)?, InterfaceIndex(row.header.index)))
            }
            _ => None,
        });
        Ok(ours.collect())
    }

    async fn run(&mut self) {
        loop {
            let (desired, lost, resync, stop) = {
                let mut cell = self.shared.lock();
                self.owed.extend(mem::take(&mut cell.owed));
                (cell.desired.clone(), mem::take(&mut cell.lost), mem::take(&mut cell.resync), cell.stop)
            };
            self.restore(&desired, lost, resync).await;
            self.reconcile(&desired).await;
            if stop {
                for (address, interface) in &self.held {
                    tracing::error!(%address, interface = interface.0, "left behind: the kernel would not remove it");
                }
                return;
            }
            let shared = Arc::clone(&self.shared);
            if self.failing.is_empty() {
                shared.changed.notified().await;
            } else if tokio::time::timeout(AGAIN, shared.changed.notified()).await.is_err() {
                self.reconnect_if_broken().await;
            }
        }
    }

    /// Puts back what others deleted. What is there after all, because the news is older than our own last change, is
    /// left alone.
    async fn restore(
        &mut self,
        desired: &BTreeMap<IpAddr, InterfaceIndex>,
        mut lost: BTreeSet<(IpAddr, InterfaceIndex)>,
        resync: bool,
    ) {
        if resync && let Ok(ours) = self.ours().await {
            lost.extend(self.held.difference(&ours));
        }
        for (address, interface) in lost {
            if desired.get(&address) != Some(&interface) || !self.held.contains(&(address, interface)) {
                continue;
            }
            match self.netlink.add(message::add(address, interface, message::FOREVER)).await {
                Ok(()) => {
                    tracing::warn!(%address, interface = interface.0, "somebody else deleted the address; it is back");
                    self.report(address, AddressOutcome::Restored);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    self.held.remove(&(address, interface));
                    self.failed(address, &error);
                }
            }
        }
    }

    /// Makes the kernel's table agree with the wish and answers whom an answer is owed.
    async fn reconcile(&mut self, desired: &BTreeMap<IpAddr, InterfaceIndex>) {
        let unwanted = |(address, interface): &&_| desired.get(address) != Some(interface);
        for (address, interface) in self.held.iter().filter(unwanted).copied().collect::<Vec<_>>() {
            match self.netlink.delete(message::delete(address, interface)).await {
                Ok(()) => {
                    self.held.remove(&(address, interface));
                    if !desired.contains_key(&address) {
                        self.report(address, AddressOutcome::Absent);
                    }
                }
                Err(error) => self.failed(address, &error),
            }
        }
        for (&address, &interface) in desired {
            let moving = self.held.range((address, InterfaceIndex(0))..=(address, InterfaceIndex(u32::MAX))).next();
            if moving.is_some() {
                continue; // Held as wished, or its removal from another interface failed and comes first.
            }
            match self.add(address, interface).await {
                Ok(()) => {
                    self.held.insert((address, interface));
                    self.report(address, AddressOutcome::Present);
                }
                Err(error) => self.failed(address, &error),
            }
        }
        self.failing.retain(|address, _| desired.contains_key(address) || held(&self.held, *address));
        for address in mem::take(&mut self.owed) {
            // Whose wish changed to and fro before we looked: the kernel has long been as wished.
            match desired.get(&address) {
                Some(_) => self.report(address, AddressOutcome::Present),
                None => self.report(address, AddressOutcome::Absent),
            }
        }
    }

    async fn add(&self, address: IpAddr, interface: InterfaceIndex) -> io::Result<()> {
        match self.netlink.add(message::add(address, interface, message::FOREVER)).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.ours().await?.contains(&(address, interface)) {
                    return Ok(());
                }
                Err(io::Error::other("the interface has this address already, and not from Standin"))
            }
            result => result,
        }
    }

    fn report(&mut self, address: IpAddr, outcome: AddressOutcome) {
        self.owed.remove(&address);
        self.failing.remove(&address);
        (self.sink)(Report::Address { address, outcome });
    }

    /// Reports a failure unless it is the one that was reported before.
    fn failed(&mut self, address: IpAddr, error: &io::Error) {
        let text: Arc<str> = words(error).into();
        let owed = self.owed.remove(&address);
        if self.failing.insert(address, Arc::clone(&text)).as_ref() != Some(&text) || owed {
            (self.sink)(Report::Address { address, outcome: AddressOutcome::Failed(text) });
        }
    }

    /// A connection that broke stays so; a fresh one costs little, and only while something fails.
    async fn reconnect_if_broken(&mut self) {
        if self.ours().await.is_err()
            && let Ok(netlink) = Netlink::connect()
        {
            self.netlink = netlink;
            self.shared.lock().resync = true;
        }
    }
}

fn held(all: &BTreeSet<(IpAddr, InterfaceIndex)>, address: IpAddr) -> bool {
    all.range((address, InterfaceIndex(0))..=(address, InterfaceIndex(u32::MAX))).next().is_some()
}
