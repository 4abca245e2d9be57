//! Virtual addresses in a real kernel's tables.

#![allow(clippy::print_stdout)] // tells its reader how long leases lasted

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use host::{Report, address::PROTOCOL, lab::Host};
use model::{
    net::{Interface, InterfaceIndex, Prefix},
    report::AddressOutcome,
};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol},
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, MulticastGroup, new_multicast_connection};
use support::*;

fn start(host: &Host) -> (Fed, Reports) {
    let (sink, reports) = reports();
    let addresses = host.run(|| Fed::start(sink)).expect("a thread");
    (addresses, reports)
}

/// With a gate at certain reports.
fn start_gated(host: &Host, at: fn(&Report) -> bool) -> (Fed, Reports, Gate) {
    let (sink, reports) = reports();
    let (sink, gate) = Gate::before(sink, at);
    let addresses = host.run(|| Fed::start(sink)).expect("a thread");
    (addresses, reports, gate)
}

fn both(interface: InterfaceIndex) -> BTreeMap<IpAddr, InterfaceIndex> {
    [ip("10.77.0.101"), ip("fd00:77::101")].map(|address| (address, interface)).into()
}

fn expect(reports: &Reports, wanted: &[(IpAddr, AddressOutcome)]) {
    let mut outcomes: Vec<_> = wanted.iter().map(|_| reports.outcome()).collect();
    outcomes.sort_by_key(|(address, _)| *address);
    assert_eq!(outcomes, wanted);
}

/// The same outcome for both addresses of [`both`].
fn expect_both(reports: &Reports, outcome: AddressOutcome) {
    expect(reports, &[(ip("10.77.0.101"), outcome.clone()), (ip("fd00:77::101"), outcome)]);
}

fn flags(row: &AddressMessage) -> AddressFlags {
    let flags = row.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    flags.expect("flags")
}

/// Valid and preferred for so many seconds.
fn lifetimes(row: &AddressMessage) -> (u32, u32) {
    let life = row.attributes.iter().find_map(|attribute| match attribute {
        // The kernel tells what is left, in whole seconds.
        AddressAttribute::CacheInfo(life) => Some((life.ifa_valid.max(2), life.ifa_preferred)),
        _ => None,
    });
    let (valid, preferred) = life.expect("lifetimes");
    (valid, if preferred == 1 { 2 } else { preferred })
}

#[test]
fn addresses_come_with_our_marks_and_go_without_a_trace() {
    in_lab("addresses_come_with_our_marks_and_go_without_a_trace", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (addresses, reports) = start(&host);
        addresses.set(both(eth0));
        expect_both(&reports, AddressOutcome::Present);

        let protocol = AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL));
        let [four] = &rows(&host, ip("10.77.0.101"))[..] else { unreachable!("one row") };
        assert_eq!((four.header.prefix_len, four.header.index), (32, eth0.0));
        assert_eq!(flags(four), AddressFlags::Noprefixroute, "and not for ever");
        assert_eq!(lifetimes(four), (2, 2));
        assert!(four.attributes.contains(&protocol));
        assert!(four.attributes.contains(&AddressAttribute::Label("eth0:vip".into())));

        let [six] = &rows(&host, ip("fd00:77::101"))[..] else { unreachable!("one row") };
        assert_eq!((six.header.prefix_len, six.header.index), (128, eth0.0));
        let wanted = AddressFlags::Noprefixroute | AddressFlags::Nodad;
        assert_eq!(lifetimes(six), (2, 0));
        assert_eq!(flags(six), wanted | AddressFlags::Deprecated, "usable at once, and never a preferred source");
        assert!(six.attributes.contains(&protocol));

        addresses.set(BTreeMap::new());
        expect_both(&reports, AddressOutcome::Absent);
        assert_eq!(rows(&host, ip("10.77.0.101")), []);
        assert_eq!(rows(&host, ip("fd00:77::101")), []);
        assert_eq!(rows(&host, ip("10.77.0.11")).len(), 1, "the machine's own stays");
    });
}

/// Not a test of its own: a daemon that other tests kill or stop. Says what its addresses become of.
#[test]
#[ignore = "run by another test"]
fn holds_until_killed() {
    let Ok(index) = std::env::var("STANDIN_TEST_INTERFACE") else { return };
    let index = InterfaceIndex(index.parse().expect("a number"));
    let (sink, reports) = reports();
    let addresses = Fed::start(sink);
    addresses.set(both(index));
    loop {
        let (address, outcome) = reports.until_the_end();
        writeln!(std::io::stdout(), "\n{address} {outcome:?}").expect("a pipe");
    }
}

/// A process on a host that holds [`both`] addresses, and what it says.
fn daemon(host: &Host, interface: InterfaceIndex) -> (Child, impl Iterator<Item = String>) {
    let mut daemon = host
        .command(std::env::current_exe().expect("this program"))
        .args(["--exact", "holds_until_killed", "--ignored", "--nocapture"])
        .env("STANDIN_TEST_INTERFACE", interface.0.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a daemon");
    let lines = BufReader::new(daemon.stdout.take().expect("piped")).lines();
    let mut said =
        lines.map(|line| line.expect("text")).filter(|line| line.starts_with("10.") || line.starts_with("fd"));
    let present: BTreeSet<String> = said.by_ref().take(2).collect();
    assert_eq!(present, BTreeSet::from(["10.77.0.101 Present".into(), "fd00:77::101 Present".into()]));
    (daemon, said)
}

fn signal(daemon: &Child, signal: i32) {
    let pid = i32::try_from(daemon.id()).expect("a process");
    // SAFETY: it sends a signal to a child that has not been waited for; no memory is touched.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// What the kernel says of [`both`] addresses: whether each is there, or gone.
struct Kernel(Receiver<(IpAddr, bool)>);

impl Kernel {
    fn watch(host: &Host) -> Self {
        let (sender, receiver) = channel();
        let (ready, started) = channel();
        let watch = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
                let (connection, _, mut notifications) = new_multicast_connection(&groups).expect("netlink");
                tokio::spawn(connection);
                ready.send(()).expect("the test waits");
                while let Some((message, _)) = notifications.next().await {
                    let (row, there) = match message.payload {
                        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(row)) => (row, true),
                        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(row)) => (row, false),
                        _ => continue,
                    };
                    let of = |address: &&IpAddr| row.attributes.contains(&AddressAttribute::Address(**address));
                    let both = [ip("10.77.0.101"), ip("fd00:77::101")];
                    let Some(address) = both.iter().find(of) else { continue };
                    if sender.send((*address, there)).is_err() {
                        return;
                    }
                }
            });
        };
        // The thread is in the host's namespace, as is the one that starts it.
        host.run(|| thread::spawn(watch)).expect("a thread");
        started.recv_timeout(PATIENCE).expect("it watches");
        Self(receiver)
    }

    /// Until both addresses are gone. Renewals before that are passed over.
    fn await_both_gone(&self) {
        let mut gone = BTreeSet::new();
        while gone.len() < 2 {
            match self.0.recv_timeout(PATIENCE).expect("the leases end") {
                (address, false) => gone.insert(address),
                (address, true) => gone.remove(&address),
            };
        }
    }
}

fn nothing_held(host: &Host) {
    assert_eq!(rows(host, ip("10.77.0.101")), []);
    assert_eq!(rows(host, ip("fd00:77::101")), []);
    assert_eq!(rows(host, ip("10.77.0.11")).len(), 1, "the machine's own stays");
}

#[test]
fn what_an_earlier_run_left_is_swept_at_the_start() {
    in_lab("what_an_earlier_run_left_is_swept_at_the_start", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        // Without a lease, lest it be the kernel that takes them away.
        for (address, length) in [(ip("10.77.0.101"), 32), (ip("fd00:77::101"), 128)] {
            netlink(&host, |handle| async move {
                let mut request = handle.address().add(eth0.0, address, length);
                let mark = AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL));
                request.message_mut().attributes.push(mark);
                request.execute().await
            })
            .expect("a leftover");
        }
        let (_addresses, reports) = start(&host);
        nothing_held(&host);
        assert_eq!(reports.outcomes_so_far(), [], "nobody asked for them in this run");
    });
}

#[test]
fn leases_are_renewed_while_somebody_decides_and_no_longer() {
    in_lab("leases_are_renewed_while_somebody_decides_and_no_longer", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (mut addresses, reports) = start(&host);
        let kernel = Kernel::watch(&host);
        addresses.set(both(eth0));
        expect_both(&reports, AddressOutcome::Present);
        // Eight renewals of two addresses: more than three seconds, longer than a lease and the kernel's batching.
        let mut seen = BTreeMap::new();
        while seen.len() < 2 || seen.values().any(|count| *count < 8) {
            let (address, there) = kernel.0.recv_timeout(PATIENCE).expect("a renewal");
            assert!(there, "{address} is kept");
            *seen.entry(address).or_insert(0) += 1;
        }
        let news = reports.so_far();
        assert!(!news.iter().any(|report| matches!(report, Report::Address { .. })), "no renewal is news: {news:?}");
        let interfaces = news.iter().filter(|report| matches!(report, Report::Interfaces(_))).count();
        assert!(interfaces <= 1, "but for the one at the start: {news:?}");

        addresses.starve();
        let starved = Instant::now();
        kernel.await_both_gone();
        println!("gone {:?} after the last feeding", starved.elapsed());
        expect_both(&reports, AddressOutcome::Lost);
        nothing_held(&host);

        // Only a new wish brings them back.
        addresses.set(BTreeMap::new());
        expect_both(&reports, AddressOutcome::Absent);
        addresses.set(both(eth0));
        expect_both(&reports, AddressOutcome::Present);
    });
}

#[test]
fn what_a_killed_daemon_held_goes_by_itself() {
    in_lab("what_a_killed_daemon_held_goes_by_itself", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let kernel = Kernel::watch(&host);
        let (mut daemon, _) = daemon(&host, eth0);
        daemon.kill().expect("it runs");
        let killed = Instant::now();
        daemon.wait().expect("it ends");
        kernel.await_both_gone();
        println!("gone {:?} after SIGKILL", killed.elapsed());
        nothing_held(&host);
    });
}

#[test]
fn who_was_stopped_for_longer_than_the_lease_does_not_bring_it_back() {
    in_lab("who_was_stopped_for_longer_than_the_lease_does_not_bring_it_back", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let kernel = Kernel::watch(&host);
        let (mut daemon, said) = daemon(&host, eth0);
        signal(&daemon, libc::SIGSTOP);
        let stopped = Instant::now();
        kernel.await_both_gone();
        println!("gone {:?} after SIGSTOP", stopped.elapsed());
        // Four seconds in all: whatever this process counts by has run out.
        thread::sleep(Duration::from_secs(4).saturating_sub(stopped.elapsed()));
        signal(&daemon, libc::SIGCONT);
        let lost: BTreeSet<String> = said.take(2).collect();
        assert_eq!(lost, BTreeSet::from(["10.77.0.101 Lost".into(), "fd00:77::101 Lost".into()]));
        nothing_held(&host);
        // It goes round several times more, and they stay away.
        assert_eq!(kernel.0.recv_timeout(Duration::from_secs(1)), Err(RecvTimeoutError::Timeout));
        daemon.kill().expect("it runs");
        daemon.wait().expect("it ends");
    });
}

#[test]
fn two_hundred_leases_are_renewed_as_one() {
    in_lab("two_hundred_leases_are_renewed_as_one", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (addresses, reports) = start(&host);
        let fours = (0..100).map(|last| IpAddr::from([10, 77, 1, last]));
        let sixes = (0..100).map(|last| IpAddr::from([0xfd00, 0x77, 0, 0, 0, 0, 1, last]));
        let all: BTreeMap<IpAddr, InterfaceIndex> = fours.chain(sixes).map(|address| (address, eth0)).collect();
        addresses.set(all.clone());
        let present: BTreeSet<IpAddr> = all.keys().map(|_| reports.outcome().0).collect();
        assert!(present.iter().eq(all.keys()));
        let (begun, used) = (Instant::now(), cpu_time());
        // Longer than any lease.
        thread::sleep(Duration::from_secs(5));
        let (after, rounds) = (cpu_time(), begun.elapsed().as_secs_f64() / 0.5);
        let (own, kernel) = ((after.0 - used.0) / rounds, (after.1 - used.1) / rounds);
        println!("per round of 200 renewals: {own:.0} µs of CPU, and {kernel:.0} µs in the kernel");
        let held = all.keys().filter(|address| rows(&host, **address).len() == 1).count();
        assert_eq!(held, 200);
        assert_eq!(reports.outcomes_so_far(), []);
    });
}

/// CPU time of this whole process: its own, and the kernel's for it.
fn cpu_time() -> (f64, f64) {
    // SAFETY: all zeros is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid, writable rusage, and the call writes nothing else.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
    let micros = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    (micros(usage.ru_utime), micros(usage.ru_stime))
}

#[test]
fn what_others_delete_comes_back() {
    in_lab("what_others_delete_comes_back", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (addresses, reports) = start(&host);
        addresses.set(both(eth0));
        expect_both(&reports, AddressOutcome::Present);
        for address in [ip("10.77.0.101"), ip("fd00:77::101")] {
            delete_address(&host, address);
            expect(&reports, &[(address, AddressOutcome::Restored)]);
            assert_eq!(rows(&host, address).len(), 1);
        }
        // The kernel itself takes IPv6 addresses from an interface that goes down.
        set_up(&host, eth0, false);
        expect(&reports, &[(ip("fd00:77::101"), AddressOutcome::Restored)]);
        set_up(&host, eth0, true);
        addresses.set(BTreeMap::new());
        expect_both(&reports, AddressOutcome::Absent);
        assert_eq!(reports.outcomes_so_far(), [], "our own removal is not taken for somebody else's");
    });
}

#[test]
fn what_was_deleted_while_we_could_not_listen_comes_back() {
    in_lab("what_was_deleted_while_we_could_not_listen_comes_back", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (addresses, reports, gate) = start_gated(&host, |report| matches!(report, Report::Interfaces(_)));
        addresses.set(both(eth0));
        expect_both(&reports, AddressOutcome::Present);
        // More than fits into the listener's socket, so that the kernel drops what comes next.
        let flood = |handle: rtnetlink::Handle| async move {
            for (third, last) in (1..=10).flat_map(|third| (1..=100).map(move |last| (third, last))) {
                let request = handle.address().add(eth0.0, IpAddr::from([10, 88, third, last]), 24);
                request.execute().await.expect("added");
            }
        };
        gate.stopped(
            || add_address(&host, eth0, ip("10.77.0.99"), 24),
            || {
                netlink(&host, flood);
                both(eth0).into_keys().for_each(|address| delete_address(&host, address));
            },
        );
        expect_both(&reports, AddressOutcome::Restored);
        interfaces(&reports, "all thousand", |eth0| eth0.own.len() > 1000);
    });
}

#[test]
fn an_address_moves_between_interfaces() {
    in_lab("an_address_moves_between_interfaces", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let pair = LinkVeth::new("a-rather-long-1", "a-rather-long-2").up().build();
        netlink(&host, |handle| async move { handle.link().add(pair).execute().await }).expect("a second interface");
        let (other, _) = interface(&host, "a-rather-long-1");
        let (addresses, reports) = start(&host);
        for interface in [eth0, other, eth0] {
            addresses.set(both(interface));
            expect_both(&reports, AddressOutcome::Present);
            for address in both(interface).keys() {
                let found: Vec<u32> = rows(&host, *address).iter().map(|row| row.header.index).collect();
                assert_eq!(found, [interface.0]);
            }
        }
        assert_eq!(reports.outcomes_so_far(), [], "a move is no absence");
    });
}

#[test]
fn every_change_of_mind_is_answered() {
    in_lab("every_change_of_mind_is_answered", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (addresses, reports, gate) = start_gated(&host, |report| matches!(report, Report::Address { .. }));
        let (first, other) = (ip("10.77.0.101"), ip("10.77.0.102"));
        let with = |address| BTreeMap::from([(address, eth0)]);
        let present = |address| (address, AddressOutcome::Present);
        let absent = |address| (address, AddressOutcome::Absent);
        addresses.set(with(first));
        expect(&reports, &[present(first)]);
        // To and fro before the worker looks: the kernel has it all the time, and we are told so again.
        gate.stopped(
            || addresses.set([with(first), with(other)].into_iter().flatten().collect()),
            || {
                addresses.set(with(other));
                addresses.set([with(first), with(other)].into_iter().flatten().collect());
            },
        );
        expect(&reports, &[present(other)]);
        expect(&reports, &[present(first)]);
        // And fro and to: it was never there.
        gate.stopped(
            || addresses.set(with(first)),
            || {
                addresses.set([with(first), with(other)].into_iter().flatten().collect());
                addresses.set(with(first));
            },
        );
        expect(&reports, &[absent(other)]);
        expect(&reports, &[absent(other)]);
        addresses.set(with(first));
        addresses.set(BTreeMap::new());
        expect(&reports, &[absent(first)]);
        assert_eq!(reports.outcomes_so_far(), [], "what stayed wished is not told again");
    });
}

#[test]
fn refusals_come_in_the_kernels_words_and_are_tried_again() {
    in_lab("refusals_come_in_the_kernels_words_and_are_tried_again", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (addresses, reports) = start(&host);
        let later = InterfaceIndex(4321);
        addresses.set(BTreeMap::from([(ip("10.77.0.101"), later)]));
        expect(&reports, &[(ip("10.77.0.101"), AddressOutcome::Failed("No such device".into()))]);
        let mut pair = LinkVeth::new("eth1", "eth2").up().build();
        pair.header.index = later.0;
        netlink(&host, |handle| async move { handle.link().add(pair).execute().await }).expect("it comes");
        expect(&reports, &[(ip("10.77.0.101"), AddressOutcome::Present)]);
    });
}

#[test]
fn an_address_of_the_machine_itself_is_left_alone() {
    in_lab("an_address_of_the_machine_itself_is_left_alone", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        add_address(&host, eth0, ip("10.77.0.101"), 32);
        let (addresses, reports) = start(&host);
        addresses.set(both(eth0));
        let refused = "the interface has this address already, and not from Standin";
        let present = (ip("fd00:77::101"), AddressOutcome::Present);
        expect(&reports, &[(ip("10.77.0.101"), AddressOutcome::Failed(refused.into())), present]);
        addresses.stop();
        assert_eq!(rows(&host, ip("10.77.0.101")).len(), 1);
        assert_eq!(rows(&host, ip("fd00:77::101")), [], "what we held goes with us");
    });
}

fn interfaces(reports: &Reports, what: &str, wanted: impl Fn(&Interface) -> bool) -> Interface {
    reports.until(what, |report| match report {
        Report::Interfaces(all) => match &all[..] {
            [eth0] if wanted(eth0) => Some(eth0.clone()),
            _ => None,
        },
        _ => None,
    })
}

#[test]
fn the_machines_interfaces_are_reported_whole() {
    in_lab("the_machines_interfaces_are_reported_whole", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, mac) = interface(&host, "eth0");
        let (addresses, reports) = start(&host);
        let own = |interface: &Interface| {
            let link_local = |prefix: &&Prefix| !prefix.to_string().starts_with("fe80::");
            interface.own.iter().filter(link_local).map(Prefix::to_string).collect::<Vec<_>>()
        };
        let first = match reports.next() {
            Report::Interfaces(all) => all,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(first.len(), 1, "without the loopback");
        assert_eq!((first[0].index, &*first[0].name, first[0].mac, first[0].up), (eth0, "eth0", mac, true));
        assert_eq!(own(&first[0]), ["10.77.0.11/24", "fd00:77::11/64"]);

        addresses.set(both(eth0));
        add_address(&host, eth0, ip("10.77.0.99"), 24);
        let more = interfaces(&reports, "the new address", |eth0| own(eth0).len() == 3);
        assert_eq!(own(&more), ["10.77.0.11/24", "10.77.0.99/24", "fd00:77::11/64"], "and no virtual one");
        let other = vec![2, 0, 0, 0, 0, 0x77];
        let change = LinkMessageBuilder::<LinkUnspec>::new().index(eth0.0).address(other.clone()).build();
        netlink(&host, |handle| async move { handle.link().set(change).execute().await }).expect("another MAC");
        interfaces(&reports, "the other MAC", |eth0| eth0.mac.0[..] == other[..]);
        lab.unplug("web1").expect("a cable");
        interfaces(&reports, "no carrier", |eth0| !eth0.up);
        lab.plug("web1").expect("a cable");
        interfaces(&reports, "carrier", |eth0| eth0.up);
        set_up(&host, eth0, false);
        interfaces(&reports, "down", |eth0| !eth0.up);
    });
}

#[test]
fn default_gateways_are_reported() {
    in_lab("default_gateways_are_reported", |mut lab| {
        let (host, _) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (_addresses, reports) = start(&host);
        let gateways = |wanted: &[&str]| {
            let wanted: Vec<IpAddr> = wanted.iter().map(|text| ip(text)).collect();
            reports.until(&format!("{wanted:?}"), |report| match report {
                Report::Gateways(found) => (*found == wanted).then_some(()),
                _ => None,
            });
        };
        gateways(&[]);
        host.default_route(ip("10.77.0.254")).expect("a route");
        gateways(&["10.77.0.254"]);
        // IPv4 routes go with the interface, and the kernel does not say so.
        set_up(&host, eth0, false);
        gateways(&[]);
    });
}
