//! What the kernel tests share: a place to make networks, reports to wait for, and a look into the kernel's tables.

// Each test program uses some of it.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    future::Future,
    io::Write,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use host::{
    Report, Sink,
    address::Addresses,
    lab::{Host, Lab, enter},
    wire::Wire,
};
use model::{
    net::{InterfaceIndex, MacAddress},
    report::{AddressOutcome, DuplicateCheck},
};
use netlink_packet_route::{
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkMessage},
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};

/// How long a test waits for what must happen before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `body` where networks may be made: here, or in a second run of this test program. Where neither is possible the
/// test says so and passes, except in CI.
pub(crate) fn in_lab(test: &str, body: impl FnOnce(Lab)) {
    match enter::rerun_test(test) {
        Ok(None) => body(Lab::new().expect("a switch")),
        Ok(Some(status)) => assert!(status.success(), "{test} failed inside"),
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{error}");
            // Not through `eprintln!`, which the test program would swallow.
            let _ = writeln!(std::io::stderr(), "{test} skipped: {error}");
        }
    }
}

/// Two machines on a switch: 10.77.0.11 and .12, fd00:77::11 and ::12.
pub(crate) fn two_hosts(lab: &mut Lab) -> (Host, Host) {
    let one = lab.host("web1", &["10.77.0.11/24", "fd00:77::11/64"]).expect("a host");
    let two = lab.host("web2", &["10.77.0.12/24", "fd00:77::12/64"]).expect("a host");
    await_connection(&one, ip("10.77.0.12"));
    (one, two)
}

/// Until the switch passes frames to and fro, which on a busy machine it begins to do a little after the hosts are up.
/// Probes leave no trace in anybody's tables.
fn await_connection(from: &Host, to: IpAddr) {
    let (sink, reports) = reports();
    let (eth0, _) = interface(from, "eth0");
    let wire = from.run(|| Wire::start(sink)).expect("a thread").expect("a descriptor");
    let connected = (0..100).any(|_| {
        wire.check_duplicate(to, eth0);
        matches!(reports.next(), Report::Duplicate { check: DuplicateCheck::InUse(_), .. })
    });
    assert!(connected, "the switch passes frames");
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Reports in the order of their arrival.
pub(crate) struct Reports(Receiver<Report>);

pub(crate) fn reports() -> (Sink, Reports) {
    let (sender, receiver) = channel();
    (Arc::new(move |report| sender.send(report).unwrap_or(())), Reports(receiver))
}

impl Reports {
    pub(crate) fn next(&self) -> Report {
        self.0.recv_timeout(PATIENCE).expect("a report")
    }

    /// The first report from which `pick` makes something; others before it are passed over.
    pub(crate) fn until<T>(&self, what: &str, mut pick: impl FnMut(&Report) -> Option<T>) -> T {
        let (deadline, mut passed) = (Instant::now() + PATIENCE, Vec::new());
        while let Ok(report) = self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(found) = pick(&report) {
                return found;
            }
            passed.push(report);
        }
        unreachable!("waited for {what}; came instead: {passed:#?}");
    }

    /// All reports that are already there.
    pub(crate) fn rest(&self) -> Vec<Report> {
        self.0.try_iter().collect()
    }

    /// The next report about an address.
    pub(crate) fn outcome(&self) -> (IpAddr, AddressOutcome) {
        self.until("an outcome", |report| match report {
            Report::Address { address, outcome } => Some((*address, outcome.clone())),
            _ => None,
        })
    }

    /// The next report about an address, however long it takes.
    pub(crate) fn until_the_end(&self) -> (IpAddr, AddressOutcome) {
        loop {
            if let Report::Address { address, outcome } = self.0.recv().expect("its sender lives") {
                return (address, outcome);
            }
        }
    }

    /// All reports that are already there.
    pub(crate) fn so_far(&self) -> Vec<Report> {
        self.0.try_iter().collect()
    }

    /// All outcomes that are already there.
    pub(crate) fn outcomes_so_far(&self) -> Vec<(IpAddr, AddressOutcome)> {
        let outcome = |report| match report {
            Report::Address { address, outcome } => Some((address, outcome)),
            _ => None,
        };
        self.0.try_iter().filter_map(outcome).collect()
    }
}

/// Stops the thread that brings a certain report, until it is let go.
pub(crate) struct Gate {
    armed: Arc<AtomicBool>,
    stopped: Receiver<()>,
    go: SyncSender<()>,
}

impl Gate {
    /// `sink`, with a gate at the reports that `at` picks.
    pub(crate) fn before(sink: Sink, at: fn(&Report) -> bool) -> (Sink, Self) {
        let ((stop, stopped), (go, gone)) = (sync_channel(0), sync_channel(0));
        let (armed, gone) = (Arc::new(AtomicBool::new(false)), Mutex::new(gone));
        let gate = Self { armed: Arc::clone(&armed), stopped, go };
        let gated = move |report| {
            let here = at(&report);
            sink(report);
            if here && armed.swap(false, Ordering::SeqCst) {
                stop.send(()).expect("the test waits");
                gone.lock().expect("nobody panics").recv().expect("the test goes on");
            }
        };
        (Arc::new(gated), gate)
    }

    /// Does `cause`, which must bring such a report, and then `meanwhile` with the thread stopped.
    pub(crate) fn stopped(&self, cause: impl FnOnce(), meanwhile: impl FnOnce()) {
        self.armed.store(true, Ordering::SeqCst);
        cause();
        self.stopped.recv_timeout(PATIENCE).expect("the thread comes to the gate");
        meanwhile();
        self.go.send(()).expect("the thread waits");
    }
}

/// Addresses, and a thread that feeds them as a driver does.
pub(crate) struct Fed {
    addresses: Arc<Mutex<Addresses>>,
    /// The feeding ends when this is dropped.
    feeding: Option<Sender<()>>,
}

impl Fed {
    pub(crate) fn start(sink: Sink) -> Self {
        let addresses = Arc::new(Mutex::new(Addresses::start(sink).expect("netlink")));
        let (feeding, told) = channel();
        let fed = Arc::clone(&addresses);
        thread::spawn(move || {
            while told.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
                fed.lock().expect("nobody panics").feed();
            }
        });
        Self { addresses, feeding: Some(feeding) }
    }

    pub(crate) fn set(&self, desired: BTreeMap<IpAddr, InterfaceIndex>) {
        self.addresses.lock().expect("nobody panics").set(desired);
    }

    pub(crate) fn stop(&self) {
        self.addresses.lock().expect("nobody panics").stop();
    }

    /// From now on nobody feeds them.
    pub(crate) fn starve(&mut self) {
        self.feeding = None;
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.starve();
        self.stop();
    }
}

/// Runs netlink requests on a host.
pub(crate) fn netlink<R: Send, F: Future<Output = R>>(host: &Host, requests: impl FnOnce(Handle) -> F + Send) -> R {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().expect("netlink");
            tokio::spawn(connection);
            requests(handle).await
        })
    };
    host.run(run).expect("a thread on the host")
}

async fn all<T, E: std::fmt::Debug>(rows: impl Stream<Item = Result<T, E>>) -> Vec<T> {
    rows.map(|row| row.expect("a row")).collect().await
}

pub(crate) fn links(host: &Host) -> Vec<LinkMessage> {
    netlink(host, |handle| async move { all(handle.link().get().execute()).await })
}

/// The number and the MAC of an interface.
pub(crate) fn interface(host: &Host, name: &str) -> (InterfaceIndex, MacAddress) {
    let named = |link: &LinkMessage| link.attributes.contains(&LinkAttribute::IfName(name.to_owned()));
    let link = links(host).into_iter().find(named).expect("the interface");
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok().map(MacAddress),
        _ => None,
    });
    (InterfaceIndex(link.header.index), mac.expect("a MAC"))
}

/// The kernel's rows for one address.
pub(crate) fn rows(host: &Host, address: IpAddr) -> Vec<AddressMessage> {
    let about = |row: &AddressMessage| row.attributes.contains(&AddressAttribute::Address(address));
    let all = netlink(host, |handle| async move { all(handle.address().get().execute()).await });
    all.into_iter().filter(about).collect()
}

pub(crate) fn add_address(host: &Host, interface: InterfaceIndex, address: IpAddr, length: u8) {
    let add = |handle: Handle| async move {
        let mut request = handle.address().add(interface.0, address, length);
        if address.is_ipv6() {
            let flags = netlink_packet_route::address::AddressFlags::Nodad;
            request.message_mut().attributes.push(AddressAttribute::Flags(flags));
        }
        request.execute().await
    };
    netlink(host, add).expect("the address is added");
}

pub(crate) fn delete_address(host: &Host, address: IpAddr) {
    for row in rows(host, address) {
        netlink(host, |handle| async move { handle.address().del(row).execute().await }).expect("the address goes");
    }
}

pub(crate) fn set_up(host: &Host, interface: InterfaceIndex, up: bool) {
    let message = LinkMessageBuilder::<LinkUnspec>::new().index(interface.0);
    let message = if up { message.up() } else { message.down() }.build();
    netlink(host, |handle| async move { handle.link().set(message).execute().await }).expect("the link changes");
}
