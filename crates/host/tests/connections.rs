//! What becomes of TCP connections when their address goes, and when it stays.

mod support;

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use host::{lab::Host, wire::Wire};
use model::{net::InterfaceIndex, report::AddressOutcome};
use support::*;

const FOUR: &str = "10.77.0.101";
const SIX: &str = "fd00:77::101";

fn both(interface: InterfaceIndex) -> BTreeMap<IpAddr, InterfaceIndex> {
    [ip(FOUR), ip(SIX)].map(|address| (address, interface)).into()
}

/// Waits for outcomes of [`both`].
fn expect_both(reports: &Reports, wanted: &AddressOutcome) {
    for _ in 0..2 {
        assert_eq!(&reports.outcome().1, wanted);
    }
}

fn listen(host: &Host, at: &str) -> TcpListener {
    host.run(|| TcpListener::bind(at)).expect("a thread").expect("a listener")
}

/// A connection between `client` and a listener at `to`: the client's end, and the server's.
fn connect(client: &Host, to: SocketAddr, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let connect = || TcpStream::connect_timeout(&to, PATIENCE);
    let ours = client.run(connect).expect("a thread").expect("a connection");
    let (theirs, _) = listener.accept().expect("a connection");
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        end.set_nodelay(true).expect("an option");
    }
    passes(&ours, &theirs);
    (ours, theirs)
}

/// A byte goes through.
fn passes(mut from: &TcpStream, mut to: &TcpStream) {
    from.write_all(&[7]).expect("it can be sent");
    let mut byte = [0];
    to.read_exact(&mut byte).expect("it arrives");
    assert_eq!(byte, [7]);
}

fn ended(mut end: &TcpStream) -> io::ErrorKind {
    end.read(&mut [0]).expect_err("it has ended").kind()
}

/// Connections (no listeners, nothing that waits out its time) in a kernel's tables whose own address is a virtual one.
fn in_tables(host: &Host) -> usize {
    let read = || ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")));
    let tables = host.run(read).expect("a thread");
    // As the kernel prints them: words in the machine's order.
    let [four, six] = [u32::from_ne_bytes([10, 77, 0, 101]), u32::from_ne_bytes([0, 0, 1, 1])];
    let last = [format!("{four:08X}"), format!("{six:08X}")];
    let ours = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let address = fields[1].split(':').next().expect("address and port");
        last.iter().any(|last| address.ends_with(last)) && !["0A", "06"].contains(&fields[3])
    };
    tables.iter().map(|table| table.as_ref().expect("a table").lines().skip(1).filter(ours).count()).sum()
}

#[test]
fn connections_through_a_released_address_end_and_no_others() {
    in_lab("connections_through_a_released_address_end_and_no_others", |mut lab| {
        let (old, new) = two_hosts(&mut lab);
        let client = lab.host("client", &["10.77.0.200/24", "fd00:77::200/64"]).expect("a host");
        let (eth0, _) = interface(&old, "eth0");
        let (sink, told) = reports();
        let addresses = old.run(|| Fed::start(sink)).expect("a thread");
        addresses.set(both(eth0));
        expect_both(&told, &AddressOutcome::Present);

        // An IPv6 socket with connections of both families, and an IPv4 one.
        let (dual, plain) = (listen(&old, "[::]:80"), listen(&old, "0.0.0.0:81"));
        let at = |address: &str, port| SocketAddr::new(ip(address), port);
        let mut doomed = vec![
            connect(&client, at(FOUR, 80), &dual),
            connect(&client, at(SIX, 80), &dual),
            connect(&client, at(FOUR, 81), &plain),
        ];
        let spared = [
            connect(&client, at("10.77.0.11", 80), &dual),
            connect(&client, at("fd00:77::11", 80), &dual),
            connect(&client, at("10.77.0.11", 81), &plain),
        ];
        assert_eq!(in_tables(&old), 3);

        addresses.set(BTreeMap::new());
        expect_both(&told, &AddressOutcome::Absent);
        for (_, theirs) in &doomed {
            // Without us it would wait here for ever.
            assert_eq!(ended(theirs), io::ErrorKind::ConnectionAborted);
        }
        assert_eq!(in_tables(&old), 0);
        for (ours, theirs) in &spared {
            passes(ours, theirs);
            passes(theirs, ours);
        }
        connect(&client, at("10.77.0.11", 80), &dual);

        // The new holder knows nothing of them, and says so to whoever goes on.
        let (eth0, _) = interface(&new, "eth0");
        let (sink, told) = reports();
        let (its, wire) =
            new.run(|| (Fed::start(sink.clone()), Wire::start(sink).expect("a descriptor"))).expect("a thread");
        its.set(both(eth0));
        expect_both(&told, &AddressOutcome::Present);
        wire.announce(both(eth0));
        for (ours, _) in &mut doomed {
            // The first one may still be on its way to the old holder.
            let reset = (0..100).find_map(|_| {
                ours.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
                ours.write_all(&[7])
                    .and_then(|()| ours.read(&mut [0]).map(drop))
                    .err()
                    .filter(|error| !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
            });
            let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
            assert!(reset.as_ref().is_some_and(|error| kinds.contains(&error.kind())), "{reset:?}");
        }
    });
}

#[test]
fn a_connection_stays_when_its_address_is_put_back_or_stays() {
    in_lab("a_connection_stays_when_its_address_is_put_back_or_stays", |mut lab| {
        let (host, client) = two_hosts(&mut lab);
        let (eth0, _) = interface(&host, "eth0");
        let (sink, reports) = reports();
        let addresses = host.run(|| Fed::start(sink)).expect("a thread");
        let other = BTreeMap::from([(ip("10.77.0.102"), eth0)]);
        addresses.set(both(eth0).into_iter().chain(other).collect());
        expect_both(&reports, &AddressOutcome::Present);
        assert_eq!(reports.outcome().1, AddressOutcome::Present);
        let dual = listen(&host, "[::]:80");
        let kept = [FOUR, SIX].map(|address| connect(&client, SocketAddr::new(ip(address), 80), &dual));
        let (_ours, theirs) = connect(&client, SocketAddr::new(ip("10.77.0.102"), 80), &dual);

        for address in [FOUR, SIX] {
            delete_address(&host, ip(address));
            assert_eq!(reports.outcome(), (ip(address), AddressOutcome::Restored));
        }
        // Another one goes: that it has been dealt with is seen by its own connection.
        addresses.set(both(eth0));
        assert_eq!(reports.outcome().1, AddressOutcome::Absent);
        assert_eq!(ended(&theirs), io::ErrorKind::ConnectionAborted);
        for (ours, theirs) in &kept {
            passes(ours, theirs);
            passes(theirs, ours);
        }
    });
}
