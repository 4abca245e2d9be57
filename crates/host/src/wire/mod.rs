//! What is said on the link itself: announcements of virtual addresses, questions who has an address, and what others say
//! of addresses that are ours.
//!
//! One thread has the packet sockets, one for each interface that was ever needed, and waits on them and on [`Wire`]'s
//! mailbox at the same time. pnet, its only user, stays inside this module.
//!
//! Invariants: no call waits. The mailbox is bounded by the addresses that exist: what is asked for twice before the
//! thread gets to it is done once, and nothing is dropped. Every question is answered; where the link cannot be used,
//! that is silence, which means a free address, a holder that is gone, or an unreachable witness.
//!
//! Deliberately not here: when to announce and how often, and what a rival means.

mod filter;
mod frame;
mod link;
mod question;

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use model::{
    Instant,
    net::{InterfaceIndex, MacAddress, Prefix},
};
use pnet::datalink::NetworkInterface;

use self::{frame::Heard, link::Link, question::Questions};
use crate::{
    Report, Sink, clock, confine, schedule,
    wake::{Wake, poll, readable},
};

/// The thread. It ends when this is dropped; open questions stay unanswered then.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    wake: Wake,
}

#[derive(Default, Debug)]
struct Mailbox {
    announce: BTreeMap<IpAddr, InterfaceIndex>,
    check: BTreeSet<(IpAddr, InterfaceIndex)>,
    holder: BTreeMap<(IpAddr, InterfaceIndex), Duration>,
    witness: BTreeMap<(IpAddr, InterfaceIndex), Duration>,
    watch: Option<BTreeMap<IpAddr, InterfaceIndex>>,
    stop: bool,
}

/// A rival who goes on is reported no more often.
const RIVAL_PAUSE: Duration = Duration::from_millis(100);

impl Wire {
    /// Starts the thread. Interfaces are opened when they are first needed.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread or descriptor.
    pub fn start(sink: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared { mailbox: Mutex::default(), wake: Wake::new()? });
        let engine = Engine {
            shared: Arc::clone(&shared),
            sink,
            links: BTreeMap::new(),
            questions: Questions::default(),
            rivals: BTreeMap::new(),
        };
        let thread = Builder::new().name("standin-wire".into()).spawn(move || engine.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Tells each link once where these addresses are now.
    pub fn announce(&self, addresses: BTreeMap<IpAddr, InterfaceIndex>) {
        self.post(|mailbox| mailbox.announce.extend(addresses));
    }

    /// These addresses should be ours alone, each on its link, whole: whoever else says to have one is told as
    /// [`Report::Rival`], at a limited rate.
    pub fn watch(&self, addresses: BTreeMap<IpAddr, InterfaceIndex>) {
        self.post(|mailbox| mailbox.watch = Some(addresses));
    }

    /// Asks the link whether somebody has the address; [`Report::Duplicate`] within about 100 ms.
    pub fn check_duplicate(&self, address: IpAddr, interface: InterfaceIndex) {
        self.post(|mailbox| {
            mailbox.check.insert((address, interface));
        });
    }

    /// Asks each link who has these addresses, whose holder has fallen silent; [`Report::Holder`]
    /// for each within `patience`.
    pub fn ask_holder(&self, addresses: BTreeMap<IpAddr, InterfaceIndex>, patience: Duration) {
        self.post(|mailbox| mailbox.holder.extend(addresses.into_iter().map(|place| (place, patience))));
    }

    /// Asks the link whether the address lives; [`Report::Witness`] within `patience`.
    pub fn ask_witness(&self, address: IpAddr, interface: InterfaceIndex, patience: Duration) {
        self.post(|mailbox| {
            mailbox.witness.insert((address, interface), patience);
        });
    }

    /// Ends the thread, which sends what is still in the mailbox first. Nothing is reported after this returns.
    pub fn stop(&mut self) {
        self.post(|mailbox| mailbox.stop = true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so already; there is nothing left to end.
            let _ = thread.join();
        }
    }

    fn post(&self, change: impl FnOnce(&mut Mailbox)) {
        change(&mut self.shared.lock());
        self.shared.wake.ring();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().expect("no holder of this lock panics")
    }
}

/// What the thread owns.
struct Engine {
    shared: Arc<Shared>,
    sink: Sink,
    links: BTreeMap<InterfaceIndex, Link>,
    questions: Questions,
    /// When a rival was last reported; bounded by the addresses that are watched.
    rivals: BTreeMap<IpAddr, Instant>,
}

impl Engine {
    fn run(mut self) {
        confine::this_thread();
        // An announcement that waits behind a busy machine's work is an outage. Refused without the privilege, harmlessly.
        let _ = schedule::prefer_this_thread();
        loop {
            let mail = mem::take(&mut *self.shared.lock());
            self.announce(&mail.announce);
            if mail.stop {
                return;
            }
            if let Some(addresses) = &mail.watch {
                self.watch(addresses);
            }
            self.begin(mail);
            self.ask();
            self.stop_listening();
            if let Err(error) = self.wait() {
                tracing::error!(%error, "the wire's thread cannot wait and ends");
                return;
            }
            let silent = self.questions.silent(clock::now());
            silent.into_iter().for_each(|report| (self.sink)(report));
        }
    }

    fn announce(&mut self, addresses: &BTreeMap<IpAddr, InterfaceIndex>) {
        for (&address, &interface) in addresses {
            self.on_link(interface, |link| {
                let mac = link.mac()?;
                frame::announcement(mac, address).iter().try_for_each(|frame| link.send(frame))
            });
        }
    }

    fn watch(&mut self, addresses: &BTreeMap<IpAddr, InterfaceIndex>) {
        self.rivals.retain(|address, _| addresses.contains_key(address));
        let links: BTreeSet<InterfaceIndex> = self.links.keys().chain(addresses.values()).copied().collect();
        for index in links {
            let here = addresses.iter().filter(|(_, link)| **link == index).map(|(address, _)| *address).collect();
            self.on_link(index, |link| link.watch(here));
        }
    }

    /// Somebody else has said to have an address of ours.
    fn rival(&mut self, Heard { address, mac }: Heard) {
        let now = clock::now();
        let reported = self.rivals.get(&address).is_some_and(|last| now.since(*last) < RIVAL_PAUSE);
        // Our own MACs may have changed since they were last looked at, so they are looked at now.
        if reported || own_macs(&pnet::datalink::interfaces()).contains(&mac) {
            return;
        }
        self.rivals.insert(address, now);
        (self.sink)(Report::Rival { address, mac });
    }

    fn begin(&mut self, Mailbox { announce: _, check, holder, witness, watch: _, stop: _ }: Mailbox) {
        if check.is_empty() && holder.is_empty() && witness.is_empty() {
            return;
        }
        let now = clock::now();
        let interfaces = pnet::datalink::interfaces();
        let own = own_macs(&interfaces);
        for (address, interface) in check {
            self.questions.check_duplicate(now, address, interface, own.clone());
        }
        for ((address, interface), patience) in holder {
            self.questions.ask_holder(now, address, interface, (own.clone(), patience));
        }
        for ((address, interface), patience) in witness {
            let source = source(&interfaces, interface, address);
            self.questions.ask_witness(now, address, interface, (source, patience));
        }
    }

    /// Sends the questions that are due, listening first.
    fn ask(&mut self) {
        for ask in self.questions.due(clock::now()) {
            self.on_link(ask.interface, |link| {
                link.listen(true)?;
                let mac = link.mac()?;
                frame::question(mac, ask.source, ask.target).map_or(Ok(()), |frame| link.send(&frame))
            });
        }
    }

    fn stop_listening(&mut self) {
        let idle =
            |(index, link): &(&InterfaceIndex, &mut Link)| link.is_listening() && !self.questions.open_on(**index);
        let failed: Vec<InterfaceIndex> = self
            .links
            .iter_mut()
            .filter(idle)
            .filter_map(|(index, link)| link.listen(false).err().map(|_| *index))
            .collect();
        failed.iter().for_each(|index| drop(self.links.remove(index)));
    }

    /// Waits for mail, for frames on the links that listen, or for the next deadline; takes the frames in.
    fn wait(&mut self) -> io::Result<()> {
        let (indices, mut fds): (Vec<_>, Vec<_>) = self
            .links
            .iter()
            .filter(|(_, link)| link.is_open())
            .map(|(index, link)| (*index, readable(link.fd())))
            .unzip();
        fds.push(readable(self.shared.wake.fd()));
        let timeout = self.questions.next_deadline().map_or(-1, |deadline| millis(deadline.since(clock::now())));
        poll(&mut fds, timeout)?;
        self.shared.wake.hush();
        for (index, fd) in indices.into_iter().zip(&fds) {
            if fd.revents == 0 {
                continue;
            }
            let mut heard = Vec::new();
            let mut rivals = Vec::new();
            self.on_link(index, |link| {
                link.receive(&mut |frame| heard.push(frame))?;
                rivals.extend(heard.iter().filter(|heard| link.watches(heard.address)).copied());
                Ok(())
            });
            for report in heard.into_iter().flat_map(|heard| self.questions.heard(index, heard)) {
                (self.sink)(report);
            }
            rivals.into_iter().for_each(|heard| self.rival(heard));
        }
        Ok(())
    }

    /// Does something on a link, opening it if need be. A link that fails is closed and opened anew next time: it may have
    /// been down, or another interface has the number now.
    fn on_link(&mut self, index: InterfaceIndex, act: impl FnOnce(&mut Link) -> io::Result<()>) {
        let result = match self.links.remove(&index).map_or_else(|| Link::open(index), Ok) {
            Ok(mut link) => act(&mut link).map(|()| link),
            Err(error) => Err(error),
        };
        match result {
            Ok(link) => {
                self.links.insert(index, link);
            }
            Err(error) => tracing::warn!(interface = index.0, %error, "the link cannot be used"),
        }
    }
}

/// This machine's Ethernet addresses.
fn own_macs(interfaces: &[NetworkInterface]) -> Vec<MacAddress> {
    interfaces.iter().filter_map(|interface| interface.mac).map(|mac| MacAddress(mac.octets())).collect()
}

/// Milliseconds for poll(2), rounded up so that the deadline has passed when it returns.
fn millis(span: Duration) -> libc::c_int {
    libc::c_int::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
}

/// The address that we ask `target` from: our own of its subnet, else any of its family on that interface, else none.
/// Virtual addresses, which have no subnet, are not ours to ask from.
fn source(interfaces: &[NetworkInterface], index: InterfaceIndex, target: IpAddr) -> IpAddr {
    let (none, whole): (IpAddr, u8) = match target {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), 32),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), 128),
    };
    let own: Vec<Prefix> = interfaces
        .iter()
        .filter(|interface| interface.index == index.0)
        .flat_map(|interface| &interface.ips)
        .map(|network| Prefix { address: network.ip(), length: network.prefix() })
        .filter(|own| own.address.is_ipv4() == target.is_ipv4() && own.length < whole)
        .collect();
    let found = own.iter().find(|own| own.contains(target)).or(own.first());
    found.map_or(none, |own| own.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn interface(index: u32, ips: &[&str]) -> NetworkInterface {
        NetworkInterface {
            name: "eth0".into(),
            description: String::new(),
            index,
            mac: None,
            ips: ips.iter().map(|text| text.parse().unwrap()).collect(),
            flags: 0,
        }
    }

    #[test]
    fn a_witness_is_asked_from_our_address_of_its_subnet() {
        let eth0 = ["10.0.0.100/32", "10.1.0.1/24", "10.0.0.1/24", "fd00::9/128", "fe80::1/64", "fd00::1/64"];
        let interfaces = [interface(3, &["10.0.0.7/24"]), interface(2, &eth0)];
        let from = |target| source(&interfaces, InterfaceIndex(2), ip(target));
        assert_eq!(from("10.0.0.254"), ip("10.0.0.1"));
        assert_eq!(from("192.0.2.1"), ip("10.1.0.1"), "a gateway beyond the subnet is possible");
        assert_eq!(from("fe80::fe"), ip("fe80::1"));
        assert_eq!(from("fd00::fe"), ip("fd00::1"));
        assert_eq!(source(&interfaces, InterfaceIndex(3), ip("fd00::fe")), ip("::"));
        assert_eq!(source(&interfaces, InterfaceIndex(9), ip("10.0.0.254")), ip("0.0.0.0"));
    }

    #[test]
    fn poll_never_returns_before_the_deadline() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(30)), 30);
        assert_eq!(millis(Duration::MAX), libc::c_int::MAX);
    }
}
