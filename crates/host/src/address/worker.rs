//! The thread that adds, deletes and renews.
//!
//! It wakes when a wish or the kernel's news is there, and while it holds anything every half second for the renewal. What it
//! may not renew any more it deletes, all of it, before it says so: whoever is told may be the one that hangs.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    net::IpAddr,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use model::{Instant, net::InterfaceIndex, report::AddressOutcome};
use netlink_packet_route::{RouteNetlinkMessage, address::AddressMessage};

use super::{
    Shared,
    leftover::Leftovers,
    message,
    neighbours::Neighbours,
    netlink::{Netlink, words},
    renew::{Place, Renewals},
    rhythm::{Round, SOON, TOO_OLD},
};
use crate::{Report, Sink, clock, schedule};

/// How long after a failure the kernel is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// An address that the kernel has of ours.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// Just before the kernel was asked for what it has acknowledged: it runs out no sooner than `LEASE` later.
    since: Instant,
    /// It has been renewed since it was added.
    renewed: bool,
}

impl Lease {
    fn begun(asked: Instant) -> Self {
        Self { since: asked, renewed: false }
    }

    fn is_too_old(&self, now: Instant) -> bool {
        now.since(self.since) >= TOO_OLD
    }
}

/// The thread that changes addresses.
struct Worker {
    shared: Arc<Shared>,
    sink: Sink,
    netlink: Netlink,
    renewals: Renewals,
    leftovers: Leftovers,
    neighbours: Neighbours,
    /// What the kernel has of ours.
    held: BTreeMap<Place, Lease>,
    /// Wished for, but lost: not added again before the wish is made anew.
    ended: BTreeSet<IpAddr>,
    /// Additions wait until we are fed again.
    postponed: bool,
    /// The last renewal.
    round: Round,
    /// What has failed is tried again then.
    again: Instant,
    /// What the kernel said to the last attempt.
    failing: BTreeMap<IpAddr, Arc<str>>,
    /// Who is still owed an answer in this round.
    owed: BTreeSet<IpAddr>,
}

pub(super) async fn work(shared: Arc<Shared>, sink: Sink, ready: SyncSender<io::Result<()>>) {
    // A takeover that waits behind a busy machine's work is an outage. Refused without the privilege, harmlessly.
    let _ = schedule::prefer_this_thread();
    match begin(shared, sink).await {
        Ok(mut worker) => {
            let _ = ready.send(Ok(()));
            worker.run().await;
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

async fn begin(shared: Arc<Shared>, sink: Sink) -> io::Result<Worker> {
    let now = clock::now();
    let worker = Worker {
        shared,
        sink,
        netlink: Netlink::connect()?,
        renewals: Renewals::open()?,
        leftovers: Leftovers::start()?,
        neighbours: Neighbours::default(),
        held: BTreeMap::new(),
        ended: BTreeSet::new(),
        postponed: false,
        round: Round { begun: now, succeeded: true },
        again: now,
        failing: BTreeMap::new(),
        owed: BTreeSet::new(),
    };
    worker.sweep().await?;
    Ok(worker)
}

impl Worker {
    /// Deletes all that carries our mark: nothing is wished yet.
    async fn sweep(&self) -> io::Result<()> {
        let leftovers = self.ours().await?;
        for &(address, interface) in &leftovers {
            tracing::warn!(%address, interface = interface.0, "removing an address that an earlier run left behind");
            self.netlink.delete(message::delete(address, interface)).await.map_err(|error| {
                io::Error::new(error.kind(), format!("cannot remove the leftover address {address}: {}", words(&error)))
            })?;
        }
        self.leftovers.released(leftovers.into_iter().map(|(address, _)| address));
        Ok(())
    }

    /// What the kernel has of ours.
    async fn ours(&self) -> io::Result<BTreeSet<Place>> {
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
        let mut news = true;
        loop {
            let (desired, lost, resync, stop) = {
                let mut cell = self.shared.lock();
                self.owed.extend(mem::take(&mut cell.owed));
                (cell.desired.clone(), mem::take(&mut cell.lost), mem::take(&mut cell.resync), cell.stop)
            };
            self.ended.retain(|address| desired.contains_key(address) && !self.owed.contains(address));
            self.lapse(&desired).await;
            self.restore(&desired, lost, resync).await;
            let now = clock::now();
            let again = now >= self.again && (self.postponed || !self.failing.is_empty());
            if again && !news {
                self.reconnect_if_broken().await;
            }
            if news || again {
                self.reconcile(&desired).await;
                self.again = now + if self.postponed { SOON } else { AGAIN };
            }
            if stop {
                for (address, interface) in self.held.keys() {
                    tracing::error!(%address, interface = interface.0, "left behind: the kernel would not remove it");
                }
                return;
            }
            self.renew(&desired).await;
            news = self.wait().await;
        }
    }

    /// Until there is news, which is what it returns, or something is due.
    async fn wait(&self) -> bool {
        let now = clock::now();
        let failing = self.postponed || !self.failing.is_empty();
        let renewal = (!self.held.is_empty()).then(|| self.round.next(now, self.six()));
        let changed = self.shared.changed.notified();
        match failing.then_some(self.again).into_iter().chain(renewal).min() {
            Some(due) => tokio::time::timeout(due.since(now), changed).await.is_ok(),
            None => {
                changed.await;
                true
            }
        }
    }

    /// How many IPv6 addresses are held.
    fn six(&self) -> usize {
        self.held.keys().filter(|(address, _)| address.is_ipv6()).count()
    }

    /// Begins the leases of all addresses anew, where it is time and we are fed.
    async fn renew(&mut self, desired: &BTreeMap<IpAddr, InterfaceIndex>) {
        let asked = clock::now();
        let due = self.round.is_over(asked, self.six());
        if self.held.is_empty() || !due || !self.shared.is_fed(asked) {
            return;
        }
        let may = |((address, interface), lease): (&Place, &Lease)| {
            (desired.get(address) == Some(interface) && !lease.is_too_old(asked)).then_some((*address, *interface))
        };
        let leases: Vec<Place> = self.held.iter().filter_map(may).collect();
        let answer = self.renewals.renew(&leases);
        let told = clock::now();
        self.round = Round { begun: asked, succeeded: answer.is_ok() };
        let unsure: BTreeSet<Place> = match answer {
            Ok(refused) => refused.into_iter().collect(),
            Err(error) => {
                tracing::warn!(%error, "the leases of the virtual addresses could not be renewed; trying again");
                if let Ok(renewals) = Renewals::open() {
                    self.renewals = renewals;
                }
                leases.iter().copied().collect()
            }
        };
        let mut late = Vec::new();
        for place in leases {
            let Some(lease) = self.held.get_mut(&place) else { continue };
            if lease.is_too_old(told) {
                // This process may have been stopped on the way to the kernel: the lease may have run out in between, and
                // the renewal have brought the address back.
                late.push(place);
            } else if !unsure.contains(&place) {
                *lease = Lease { since: asked, renewed: true };
            }
        }
        self.lose(late).await;
    }

    /// What was not renewed in time is lost: the kernel may have removed it, and others may hold it.
    async fn lapse(&mut self, desired: &BTreeMap<IpAddr, InterfaceIndex>) {
        let now = clock::now();
        let lapsed = |((address, interface), lease): (&Place, &Lease)| {
            (desired.get(address) == Some(interface) && lease.is_too_old(now)).then_some((*address, *interface))
        };
        let lapsed = self.held.iter().filter_map(lapsed).collect();
        self.lose(lapsed).await;
    }

    /// Makes sure that these are gone, and then says so.
    async fn lose(&mut self, places: Vec<Place>) {
        let mut failed = Vec::new();
        let mut gone = Vec::new();
        for (address, interface) in places {
            match self.netlink.delete(message::delete(address, interface)).await {
                Ok(()) => {
                    self.held.remove(&(address, interface));
                    self.ended.insert(address);
                    gone.push((address, interface));
                }
                Err(error) => failed.push((address, error)),
            }
        }
        for &(address, interface) in &gone {
            tracing::error!(%address, interface = interface.0, "the lease ran out before it was renewed; the address is lost");
            self.report(address, AddressOutcome::Lost);
        }
        if !gone.is_empty() {
            self.leftovers.released(gone.into_iter().map(|(address, _)| address));
        }
        for (address, error) in failed {
            self.failed(address, &error);
        }
    }

    /// Puts back what others deleted. What is there after all, because the news is older than our own last change, is
    /// left alone; except where a renewal has put it back already, before the news of its absence reached us.
    async fn restore(&mut self, desired: &BTreeMap<IpAddr, InterfaceIndex>, mut lost: BTreeSet<Place>, resync: bool) {
        if resync && let Ok(ours) = self.ours().await {
            lost.extend(self.held.keys().filter(|place| !ours.contains(place)));
        }
        let mut late = Vec::new();
        for (address, interface) in lost {
            let Some(lease) = self.held.get(&(address, interface)).copied() else { continue };
            if desired.get(&address) != Some(&interface) {
                continue;
            }
            let asked = clock::now();
            if lease.is_too_old(asked) || !self.shared.is_fed(asked) {
                late.push((address, interface));
                continue;
            }
            let restored = match self.netlink.add(message::add(address, interface)).await {
                Ok(()) => {
                    self.held.insert((address, interface), Lease::begun(asked));
                    true
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => lease.renewed,
                Err(error) => {
                    self.held.remove(&(address, interface));
                    self.failed(address, &error);
                    false
                }
            };
            if restored {
                tracing::warn!(%address, interface = interface.0, "somebody else deleted the address; it is back");
                self.report(address, AddressOutcome::Restored);
            }
        }
        self.lose(late).await;
    }

    /// Makes the kernel's table agree with the wish and answers whom an answer is owed.
    async fn reconcile(&mut self, desired: &BTreeMap<IpAddr, InterfaceIndex>) {
        let unwanted = |(address, interface): &&Place| desired.get(address) != Some(interface);
        let mut released = Vec::new();
        for (address, interface) in self.held.keys().filter(unwanted).copied().collect::<Vec<_>>() {
            match self.netlink.delete(message::delete(address, interface)).await {
                Ok(()) => {
                    self.held.remove(&(address, interface));
                    if !desired.contains_key(&address) {
                        self.report(address, AddressOutcome::Absent);
                        released.push(address);
                    }
                }
                Err(error) => self.failed(address, &error),
            }
        }
        if !released.is_empty() {
            self.leftovers.released(released);
        }
        self.postponed = false;
        let mut taken = BTreeSet::new();
        for (&address, &interface) in desired {
            // Held as wished, or its removal from another interface failed and comes first; or lost.
            if held(&self.held, address) || self.ended.contains(&address) {
                continue;
            }
            let asked = clock::now();
            if !self.shared.is_fed(asked) {
                self.postponed = true;
                continue;
            }
            match self.add(address, interface).await {
                Ok(()) => {
                    self.held.insert((address, interface), Lease::begun(asked));
                    self.report(address, AddressOutcome::Present);
                    taken.insert(interface);
                }
                Err(error) => self.failed(address, &error),
            }
        }
        self.neighbours.ask_anew(&self.netlink, taken);
        self.failing.retain(|address, _| desired.contains_key(address) || held(&self.held, *address));
        for address in mem::take(&mut self.owed) {
            // Whose wish changed to and fro before we looked: the kernel has long been as wished.
            match desired.get(&address) {
                // Postponed: still owed.
                Some(_) if !held(&self.held, address) => {
                    self.owed.insert(address);
                }
                Some(_) => self.report(address, AddressOutcome::Present),
                None => self.report(address, AddressOutcome::Absent),
            }
        }
    }

    async fn add(&self, address: IpAddr, interface: InterfaceIndex) -> io::Result<()> {
        self.leftovers.back(address);
        match self.netlink.add(message::add(address, interface)).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.ours().await?.contains(&(address, interface)) {
                    // For who knows how long still.
                    self.netlink.delete(message::delete(address, interface)).await?;
                    return self.netlink.add(message::add(address, interface)).await;
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

fn held(all: &BTreeMap<Place, Lease>, address: IpAddr) -> bool {
    all.range((address, InterfaceIndex(0))..=(address, InterfaceIndex(u32::MAX))).next().is_some()
}
