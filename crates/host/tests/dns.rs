//! DNS over real sockets on loopback: what a client sends, what it gets, from which address, and what it cannot break.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may fail as tests do

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use dns::{View, Zones};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType},
};
use host::{
    dns_counters::{DnsCounts, Dropped},
    dns_stream::DnsStream,
    dns_udp::DnsUdp,
};
use model::{
    Health, ServerName, ZoneName,
    config::parse_cluster,
    health::{ServerHealth, ServerState},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

const CLUSTER: &str = r#"
[cluster]
name = "example"
partition = { policy = "availability" }
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[server.web3]
address = "10.77.0.13"
[pool.www]
members = ["web1", "web2", "web3"]
[zone."lb.example.test"]
template = "lb.zone"
"#;

const ZONE: &str = r#"
$TTL 60
@     SOA   ns1 hostmaster 0 3600 600 86400 5
@     NS    ns1
ns1   A     10.77.0.11
www   POOL  www
many  TXT   "$LONG"
"#;

fn view() -> View {
    let config = parse_cluster("cluster.toml", CLUSTER).expect("the configuration is valid");
    let texts: String = (0..30).map(|n| format!("many TXT \"{n:0>200}\"\n")).collect();
    let text = ZONE.replace("many  TXT   \"$LONG\"\n", &texts);
    let none = &mut |name: &str| Err(format!("{name} is not here"));
    let origin = ZoneName::new("lb.example.test");
    let zone = dns::zone::load(&origin, "lb.zone", &text, &BTreeMap::new(), &config, none).expect("a valid zone");
    let alive = ServerHealth { state: ServerState::Alive, standby: false };
    let servers = ["web1", "web2", "web3"].map(|name| (ServerName::new(name), alive));
    let health = Health { settled: true, serial: 2026112301, servers: servers.into(), ..Health::default() };
    View::build(&Arc::new(Zones::compile(vec![zone], &config)), &health, "web1")
}

/// All of DNS, as the daemon runs it.
struct Server {
    udp: DnsUdp,
    stream: DnsStream,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(listen: &[&str], virtual_addresses: &[&str], threads: usize) -> Self {
        let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
        let virtual_addresses = addresses(virtual_addresses);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let views = Arc::new(arc_swap::ArcSwap::from_pointee(view()));
        // The UDP port that the kernel chooses may be taken for TCP, by another test.
        for _ in 0..20 {
            let (defer, deferred) = tokio::sync::mpsc::channel(256);
            let udp = DnsUdp::start(&listen, &virtual_addresses, threads, &views, &defer).expect("UDP listens");
            let places = udp.local_addresses().to_vec();
            match DnsStream::start(runtime.handle(), &places, &virtual_addresses, &views, deferred) {
                Ok(stream) => return Self { udp, stream, runtime },
                Err((_, error)) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
            }
        }
        panic!("no port is free for both UDP and TCP");
    }

    fn at(&self, address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), self.udp.local_addresses()[0].port())
    }

    fn counts(&self) -> DnsCounts {
        let mut counts = self.udp.counts();
        counts.add(&self.stream.counts());
        counts
    }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A connected socket: it hears only whoever it asked.
fn client(target: SocketAddr) -> UdpSocket {
    let own = if target.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(own).unwrap();
    socket.connect(target).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn query(id: u16, name: &str, rtype: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    message
}

fn exchange(socket: &UdpSocket, query: &[u8]) -> Message {
    socket.send(query).unwrap();
    receive(socket)
}

fn receive(socket: &UdpSocket) -> Message {
    let mut reply = [0; 4096];
    let length = socket.recv(&mut reply).expect("a reply");
    Message::from_vec(&reply[..length]).expect("a well-formed reply")
}

fn ask(socket: &UdpSocket, name: &str, rtype: RecordType) -> Message {
    let reply = exchange(socket, &query(7, name, rtype).to_vec().unwrap());
    assert_eq!((reply.metadata.id, reply.metadata.message_type), (7, MessageType::Response));
    reply
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn connect(target: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&target, PATIENCE).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn addresses_in(reply: &Message) -> Vec<String> {
    reply.answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn both_families_answer_and_pools_rotate() {
    let server = Server::start(&["127.0.0.1:0"], &[], 2);
    let port = server.at("127.0.0.1").port();
    let six = Server::start(&["[::1]:0"], &[], 1);
    for target in [server.at("127.0.0.1"), six.at("::1")] {
        let socket = client(target);
        let mut first = Vec::new();
        for _ in 0..3 {
            let reply = ask(&socket, "WWW.lb.example.test.", RecordType::A);
            assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 3));
            assert!(reply.metadata.authoritative);
            assert_eq!(reply.queries[0].name().to_ascii(), "WWW.lb.example.test.", "the letter case is kept");
            first.push(addresses_in(&reply)[0].clone());
        }
        first.sort();
        assert_eq!(first, ["10.77.0.11", "10.77.0.12", "10.77.0.13"]);
        let missing = ask(&socket, "none.lb.example.test.", RecordType::A);
        assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(missing.authorities.len(), 1);
    }
    let counts = server.counts();
    assert_eq!(counts.types[0], ("A", 4));
    assert_eq!((counts.rcodes[0], counts.rcodes[3]), (("NOERROR", 3), ("NXDOMAIN", 1)));
    let Server { udp, stream, runtime } = server;
    udp.stop();
    stream.stop();
    drop(runtime);
    UdpSocket::bind(("127.0.0.1", port)).expect("the port is free again");
}

#[test]
fn every_thread_answers() {
    let server = Server::start(&["127.0.0.1:0"], &[], 4);
    // The kernel spreads clients over sockets by their ports.
    let sockets: Vec<UdpSocket> = (0..64).map(|_| client(server.at("127.0.0.1"))).collect();
    for socket in &sockets {
        socket.send(&query(9, "ns1.lb.example.test.", RecordType::A).to_vec().unwrap()).unwrap();
    }
    for socket in &sockets {
        assert_eq!(addresses_in(&receive(socket)), ["10.77.0.11"]);
    }
    assert_eq!(server.counts().replies(), 64);
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    for listen in [&["0.0.0.0:0"][..], &["[::]:0"]] {
        let server = Server::start(listen, &[], 1);
        let mut targets = vec!["127.0.0.1", "127.0.0.2", "127.99.1.7"];
        if listen[0].starts_with('[') {
            targets.push("::1");
        }
        for target in targets {
            let socket = client(server.at(target));
            assert_eq!(addresses_in(&ask(&socket, "ns1.lb.example.test.", RecordType::A)), ["10.77.0.11"]);
            // The deferred way too.
            assert_eq!(identity(&socket), "web1");
            let mut stream = connect(server.at(target));
            stream.write_all(&frame(&query(1, "ns1.lb.example.test.", RecordType::A).to_vec().unwrap())).unwrap();
            assert_eq!(read_frame(&mut stream).expect("a reply")[..2], [0, 1]);
        }
    }
}

/// `dig CH TXT id.server`: not for the fast path.
fn identity(socket: &UdpSocket) -> String {
    let mut message = query(11, "id.server.", RecordType::TXT);
    message.queries[0].set_query_class(DNSClass::CH);
    let reply = exchange(socket, &message.to_vec().unwrap());
    assert_eq!((reply.metadata.id, reply.answers.len()), (11, 1));
    match &reply.answers[0].data {
        RData::TXT(text) => text.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_deferred_is_answered_and_counted() {
    let server = Server::start(&["127.0.0.1:0"], &[], 1);
    let socket = client(server.at("127.0.0.1"));
    assert_eq!(identity(&socket), "web1");
    let mut version = query(12, "ns1.lb.example.test.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1).set_max_payload(1232);
    version.edns = Some(edns);
    let reply = exchange(&socket, &version.to_vec().unwrap());
    // BADVERS; hickory calls it BADSIG, which has the same number (RFC 6895 section 2.3).
    assert_eq!(u16::from(reply.metadata.response_code), 16);
    let counts = server.counts();
    assert_eq!((counts.deferred, counts.replies()), (2, 2));
}

#[test]
fn what_is_no_query_gets_an_error_or_silence() {
    let server = Server::start(&["127.0.0.1:0"], &[], 1);
    let socket = client(server.at("127.0.0.1"));
    let plain = query(5, "ns1.lb.example.test.", RecordType::A).to_vec().unwrap();
    // A response, something shorter than a header, and a datagram longer than any query.
    let mut response = plain.clone();
    response[2] |= 0x80;
    for silent in [&response[..], &plain[..11], &[], &[0; 3000]] {
        socket.send(silent).unwrap();
    }
    let mut two = plain.clone();
    two[5] = 2;
    assert_eq!(exchange(&socket, &two).metadata.response_code, ResponseCode::FormErr);
    let mut cut = plain.clone();
    cut.truncate(plain.len() - 3);
    assert_eq!(exchange(&socket, &cut).metadata.response_code, ResponseCode::FormErr);
    let mut update = plain.clone();
    update[2] |= 5 << 3;
    assert_eq!(exchange(&socket, &update).metadata.response_code, ResponseCode::NotImp);
    let counts = server.counts();
    assert_eq!((counts.dropped_for(Dropped::NotAQuery), counts.dropped_for(Dropped::TooLong)), (3, 1));
    assert_eq!(counts.replies(), 3, "nothing else was answered");
}

#[test]
fn an_answer_too_large_for_udp_is_truncated_and_whole_over_tcp() {
    let server = Server::start(&["127.0.0.1:0"], &[], 1);
    let socket = client(server.at("127.0.0.1"));
    let mut large = query(3, "many.lb.example.test.", RecordType::TXT);
    for size in [None, Some(512), Some(4096)] {
        large.edns = size.map(|size| {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            edns
        });
        let bytes = large.to_vec().unwrap();
        socket.send(&bytes).unwrap();
        let mut reply = [0; 4096];
        let length = socket.recv(&mut reply).expect("a reply");
        assert!(length <= size.map_or(512, |size| usize::from(size).min(1232)), "{length} bytes for {size:?}");
        let reply = Message::from_vec(&reply[..length]).expect("whole records");
        assert!(reply.metadata.truncation);
        assert_eq!(reply.edns.is_some(), size.is_some());
        let mut stream = connect(server.at("127.0.0.1"));
        stream.write_all(&frame(&bytes)).unwrap();
        let whole = Message::from_vec(&read_frame(&mut stream).expect("a reply")).unwrap();
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 30);
    }
    assert_eq!(server.counts().truncated, 3);
}

#[test]
fn a_connection_takes_many_queries_at_once() {
    let server = Server::start(&["127.0.0.1:0"], &[], 1);
    let mut stream = connect(server.at("127.0.0.1"));
    let queries = (0..200).flat_map(|id| frame(&query(id, "www.lb.example.test.", RecordType::A).to_vec().unwrap()));
    let mut bytes: Vec<u8> = queries.collect();
    // Cut in the middle of a message, and of a length.
    let rest = bytes.split_off(1001);
    stream.write_all(&bytes).unwrap();
    stream.write_all(&rest).unwrap();
    // Who has said everything still hears everything.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    for id in 0..200_u16 {
        let reply = Message::from_vec(&read_frame(&mut stream).expect("a reply")).unwrap();
        assert_eq!((reply.metadata.id, reply.answers.len()), (id, 3));
    }
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn a_connection_that_sends_rubbish_gets_an_error_and_harms_nobody() {
    let server = Server::start(&["127.0.0.1:0"], &[], 1);
    let mut other = connect(server.at("127.0.0.1"));
    let mut stream = connect(server.at("127.0.0.1"));
    stream.write_all(&frame(&[0xFF; 40][..])).unwrap();
    // All bits set is a response: no reply, and the end.
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    let mut stream = connect(server.at("127.0.0.1"));
    stream.write_all(&frame(&[0; 12])).unwrap();
    let reply = Message::from_vec(&read_frame(&mut stream).expect("a reply")).unwrap();
    assert_eq!(reply.metadata.response_code, ResponseCode::FormErr);
    other.write_all(&frame(&query(2, "ns1.lb.example.test.", RecordType::A).to_vec().unwrap())).unwrap();
    assert_eq!(read_frame(&mut other).expect("a reply")[..2], [0, 2]);
}

#[test]
fn one_client_cannot_take_all_connections() {
    let server = Server::start(&["127.0.0.1:0"], &[], 1);
    let ask = frame(&query(2, "ns1.lb.example.test.", RecordType::A).to_vec().unwrap());
    let mut served = Vec::new();
    let refused = (0..=200).any(|_| {
        let mut stream = connect(server.at("127.0.0.1"));
        let reply = stream.write_all(&ask).and_then(|()| read_frame(&mut stream));
        served.push(stream);
        reply.is_err()
    });
    assert!(refused, "{} connections of one client", served.len());
    assert_eq!(server.counts().dropped_for(Dropped::Connections), 1);
    assert_eq!(server.stream.connections(), served.len() - 1);
    let from_elsewhere = {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.2:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.connect(&server.at("127.0.0.1").into()).unwrap();
        TcpStream::from(socket)
    };
    let mut stream = from_elsewhere;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&ask).unwrap();
    assert_eq!(read_frame(&mut stream).expect("another client is served")[..2], [0, 2]);
    drop((served, stream));
    let start = Instant::now();
    while server.stream.connections() > 0 {
        assert!(start.elapsed() < PATIENCE, "places are given back");
        std::thread::yield_now();
    }
}

#[test]
fn virtual_addresses_come_and_go_and_need_not_be_here() {
    let mut server = Server::start(&["127.0.0.1:0"], &["192.0.2.1", "2001:db8::1"], 2);
    let port = server.at("127.0.0.1").port();
    let asked = |target: &str| {
        let socket = client(SocketAddr::new(target.parse().unwrap(), port));
        let query = query(1, "ns1.lb.example.test.", RecordType::A).to_vec().unwrap();
        socket.send(&query)?;
        socket.recv(&mut [0; 512])
    };
    assert_eq!(asked("127.0.0.9").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let virtual_addresses = addresses(&["127.0.0.9", "192.0.2.7"]);
    server.udp.set_virtual_addresses(&virtual_addresses).unwrap();
    server.stream.set_virtual_addresses(&virtual_addresses).unwrap();
    asked("127.0.0.9").expect("an answer");
    asked("127.0.0.1").expect("an answer");
    connect(SocketAddr::new("127.0.0.9".parse().unwrap(), port));
    server.udp.set_virtual_addresses(&[]).unwrap();
    server.stream.set_virtual_addresses(&[]).unwrap();
    // The threads let go of it within a moment; what they had not read by then is lost, so ask again.
    let gone = client(SocketAddr::new("127.0.0.9".parse().unwrap(), port));
    gone.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let plain = query(1, "ns1.lb.example.test.", RecordType::A).to_vec().unwrap();
    let start = Instant::now();
    while gone.send(&plain).and_then(|_| gone.recv(&mut [0; 512])).map_err(|error| error.kind())
        != Err(io::ErrorKind::ConnectionRefused)
    {
        assert!(start.elapsed() < PATIENCE, "the address is let go");
    }
    asked("127.0.0.1").expect("an answer");
}

#[test]
fn a_second_server_is_refused_and_the_first_one_goes_on() {
    let server = Server::start(&["127.0.0.1:0"], &[], 2);
    let views = Arc::new(arc_swap::ArcSwap::from_pointee(view()));
    let (defer, deferred) = tokio::sync::mpsc::channel(1);
    let place = server.at("127.0.0.1");
    let (at, error) = DnsUdp::start(&[place], &[], 1, &views, &defer).expect_err("taken");
    assert_eq!((at, error.kind()), (place, io::ErrorKind::AddrInUse));
    let second = DnsStream::start(server.runtime.handle(), &[place], &[], &views, deferred);
    let (at, error) = second.expect_err("taken");
    assert_eq!((at, error.kind()), (place, io::ErrorKind::AddrInUse));
    ask(&client(place), "ns1.lb.example.test.", RecordType::A);
}

#[test]
fn the_ports_are_free_as_soon_as_it_has_stopped() {
    let Server { mut udp, mut stream, runtime } = Server::start(&["127.0.0.1:0"], &[], 2);
    let place = udp.local_addresses()[0];
    let views = Arc::new(arc_swap::ArcSwap::from_pointee(view()));
    let mut deferred_query = query(1, "id.server.", RecordType::TXT);
    deferred_query.queries[0].set_query_class(DNSClass::CH);
    let deferred_query = deferred_query.to_vec().unwrap();
    for _ in 0..20 {
        // A connection that stays, and queries that nobody waits for.
        let open = connect(place);
        let socket = client(place);
        for _ in 0..20 {
            socket.send(&deferred_query).unwrap();
        }
        udp.stop();
        stream.stop();
        let (defer, deferred) = tokio::sync::mpsc::channel(256);
        udp = DnsUdp::start(&[place], &[], 2, &views, &defer).expect("UDP again");
        stream = DnsStream::start(runtime.handle(), &[place], &[], &views, deferred).expect("TCP again");
        drop(open);
    }
    ask(&client(place), "ns1.lb.example.test.", RecordType::A);
}

#[test]
fn a_new_view_is_answered_at_once() {
    let views = Arc::new(arc_swap::ArcSwap::from_pointee(view()));
    let (defer, _deferred) = tokio::sync::mpsc::channel(1);
    let udp = DnsUdp::start(&["127.0.0.1:0".parse().unwrap()], &[], 1, &views, &defer).unwrap();
    let socket = client(udp.local_addresses()[0]);
    assert_eq!(ask(&socket, "ns1.lb.example.test.", RecordType::A).answers.len(), 1);
    let config = parse_cluster("cluster.toml", CLUSTER).unwrap();
    let empty = View::build(&Arc::new(Zones::compile(Vec::<dns::Zone>::new(), &config)), &Health::default(), "web1");
    views.store(Arc::new(empty));
    let reply = ask(&socket, "ns1.lb.example.test.", RecordType::A);
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
}

/// Random bytes, and queries with random bytes in them.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let plain = query(0x1234, "www.lb.example.test.", RecordType::A).to_vec().unwrap();
    let bent = (proptest::collection::vec((0..plain.len(), any::<u8>()), 1..4), 0..plain.len()).prop_map(
        move |(changes, cut)| {
            let mut bytes = plain.clone();
            for (at, value) in changes {
                bytes[at] = value;
            }
            bytes.truncate(plain.len() - cut / 4);
            bytes
        },
    );
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..600), bent]
}

#[test]
fn ten_thousand_hostile_datagrams_change_nothing() {
    let server = Server::start(&["127.0.0.1:0"], &[], 1);
    let socket = client(server.at("127.0.0.1"));
    let probing = client(server.at("127.0.0.1"));
    let mut runner = TestRunner::new(Config::default());
    let strategy = hostile();
    for round in 0..100 {
        for _ in 0..100 {
            socket.send(&strategy.new_tree(&mut runner).unwrap().current()).unwrap();
        }
        // In step, so that none is lost on the way.
        let reply = ask(&probing, "www.lb.example.test.", RecordType::A);
        assert_eq!(reply.answers.len(), 3, "round {round}");
    }
    let counts = server.counts();
    assert_eq!(counts.dropped_for(Dropped::Fault), 0);
    assert!(counts.deferred > 0 && counts.dropped_for(Dropped::NotAQuery) > 0, "{counts:?}");
}
