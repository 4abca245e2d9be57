//! Rate limiting, cookies and extended errors over real sockets, from daemons that serve the example.
//!
//! Nothing is timed: a client sends a burst and behind it, from the same socket, a question with a cookie, which is always
//! answered. When that answer is there, all that was sent before it has been dealt with.

mod stage_support;

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{
        Name, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};
use host::lab::Host;
use stage_support::{CLUSTER, PATIENCE, await_status, on_stage, three, v4, v6};

const WWW: &str = "www.lb.example.test.";
/// More than the limit, and few enough for the kernel's receive buffers.
const BURST: u16 = 150;
/// The question that ends a burst.
const LAST: u16 = 9999;
const BADCOOKIE: u16 = 23;
const REFUSED: u16 = 5;
const CLIENTS_PART: &[u8] = b"standin!";

fn cluster() -> String {
    format!("{CLUSTER}\n[dns]\nrate-limit = {{ per-second = 10, slip = 2 }}\n")
}

fn query(id: u16, name: &str, kind: RecordType, cookie: Option<&[u8]>) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    if let Some(cookie) = cookie {
        edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), cookie.to_vec()));
    }
    message.edns = Some(edns);
    message.to_vec().expect("a message")
}

/// An option's data in a reply.
fn option(reply: &Message, code: EdnsCode) -> Option<Vec<u8>> {
    match reply.edns.as_ref()?.option(code)? {
        EdnsOption::Unknown(_, data) => Some(data.clone()),
        _ => None,
    }
}

fn cookie(reply: &Message) -> Vec<u8> {
    option(reply, EdnsCode::Cookie).expect("a cookie")
}

/// The code of the extended error and its text.
fn extended_error(reply: &Message) -> Option<(u16, String)> {
    let data = option(reply, EdnsCode::Unknown(15))?;
    let (code, text) = data.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*code), String::from_utf8_lossy(text).into_owned()))
}

fn rcode(reply: &Message) -> u16 {
    reply.metadata.response_code.into()
}

/// What a real client sees of an address.
struct Client {
    socket: UdpSocket,
}

impl Client {
    fn new(host: &Host, server: IpAddr) -> Self {
        let open = || {
            let any = if server.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect((server, 53))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            io::Result::Ok(socket)
        };
        Self { socket: host.run(open).flatten().expect("a socket") }
    }

    fn send(&self, query: &[u8]) {
        self.socket.send(query).expect("the server is there");
    }

    fn receive(&self) -> Message {
        let mut reply = [0; 4096];
        let length = self.socket.recv(&mut reply).expect("a reply");
        Message::from_vec(&reply[..length]).expect("a well-formed reply")
    }

    fn ask(&self, name: &str, kind: RecordType, cookie: Option<&[u8]>) -> Message {
        self.send(&query(LAST, name, kind, cookie));
        self.receive()
    }

    /// The replies to a burst of questions for www, sent at once. `good` is a cookie that is good here.
    fn burst(&self, shown: Option<&[u8]>, good: &[u8]) -> Vec<Message> {
        for id in 0..BURST {
            self.send(&query(id, WWW, RecordType::A, shown));
        }
        self.send(&query(LAST, WWW, RecordType::A, Some(good)));
        let replies = std::iter::repeat_with(|| self.receive());
        replies.take_while(|reply| reply.metadata.id != LAST).collect()
    }
}

fn is_whole(reply: &Message) -> bool {
    rcode(reply) == 0 && !reply.metadata.truncation && reply.answers.len() == 3
}

/// One question over TCP.
fn over_tcp(host: &Host, server: IpAddr, query: &[u8]) -> Message {
    let exchange = || {
        let mut stream = TcpStream::connect(SocketAddr::new(server, 53))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = u16::try_from(query.len()).expect("short").to_be_bytes();
        stream.write_all(&[&length, query].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply)?;
        io::Result::Ok(reply)
    };
    let reply = host.run(exchange).flatten().expect("a reply over TCP");
    Message::from_vec(&reply).expect("a well-formed reply")
}

#[test]
fn a_network_over_its_limit_is_sent_to_tcp_and_no_other_one_notices() {
    on_stage("a_network_over_its_limit_is_sent_to_tcp_and_no_other_one_notices", || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stage = three(directory.path(), &cluster());
        let client = Client::new(&stage.client, v4(11));
        let good = cookie(&client.ask(WWW, RecordType::A, Some(CLIENTS_PART)));
        let replies = client.burst(None, &good);
        let whole = replies.iter().filter(|reply| is_whole(reply)).count();
        let truncated = replies.iter().filter(|reply| reply.metadata.truncation).count();
        assert_eq!(whole + truncated, replies.len(), "nothing else is sent");
        assert!(whole >= 8 && truncated >= 1, "{whole} whole, {truncated} truncated");
        assert!(replies.len() < usize::from(BURST), "all {BURST} were answered");
        assert!(replies.iter().filter(|reply| reply.metadata.truncation).all(|reply| reply.answers.is_empty()));
        // A true client comes by TCP.
        assert!(is_whole(&over_tcp(&stage.client, v4(11), &query(1, WWW, RecordType::A, None))));
        // Another kind of reply, another network, another server: none of them is over its limit.
        assert_eq!(rcode(&client.ask("nothing.lb.example.test.", RecordType::A, None)), 3);
        assert!(is_whole(&Client::new(&stage.client, v6(0x11)).ask(WWW, RecordType::A, None)));
        assert!(is_whole(&Client::new(&stage.client, v4(12)).ask(WWW, RecordType::A, None)));
    });
}

#[test]
fn a_cookie_of_one_server_lifts_the_limit_of_all() {
    on_stage("a_cookie_of_one_server_lifts_the_limit_of_all", || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stage = three(directory.path(), &cluster());
        let (first, second) = (Client::new(&stage.client, v4(11)), Client::new(&stage.client, v4(102)));
        let good = cookie(&first.ask(WWW, RecordType::A, Some(CLIENTS_PART)));
        assert_eq!((good.len(), &good[..8]), (24, CLIENTS_PART));
        for client in [&first, &second] {
            let replies = client.burst(Some(&good), &good);
            assert_eq!(replies.len(), usize::from(BURST));
            assert!(replies.iter().all(|reply| is_whole(reply) && cookie(reply)[..8] == *CLIENTS_PART));
        }
        // Who speaks of cookies and shows none is given one, and told to come back with it (RFC 7873 section 5.2.3).
        let replies = second.burst(Some(CLIENTS_PART), &good);
        let told = replies.iter().find(|reply| rcode(reply) == BADCOOKIE).expect("BADCOOKIE beyond the limit");
        assert!(told.answers.is_empty() && !replies.iter().any(|reply| reply.metadata.truncation));
        assert!(is_whole(&second.ask(WWW, RecordType::A, Some(&cookie(told)))));
        // A forged one lifts nothing.
        let mut forged = good.clone();
        forged[23] ^= 1;
        let replies = second.burst(Some(&forged), &good);
        assert!(replies.len() < usize::from(BURST) && replies.iter().any(|reply| rcode(reply) == BADCOOKIE));
    });
}

#[test]
fn extended_errors_say_why() {
    on_stage("extended_errors_say_why", || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut stage = three(directory.path(), CLUSTER);
        let client = Client::new(&stage.client, v4(11));
        assert_eq!(extended_error(&client.ask(WWW, RecordType::A, None)), None);
        let foreign = client.ask("example.org.", RecordType::A, None);
        assert_eq!((rcode(&foreign), extended_error(&foreign)), (REFUSED, Some((20, String::new()))));
        let transfer = over_tcp(&stage.client, v4(11), &query(1, "lb.example.test.", RecordType::AXFR, None));
        assert_eq!((rcode(&transfer), extended_error(&transfer)), (REFUSED, Some((18, String::new()))));

        for server in ["web1", "web2", "web3"] {
            stage.stop_web(server).expect("a web service");
        }
        await_status(&stage, "web1", "every web service is down", |status| {
            let www = status.pools.iter().find(|pool| pool.name == "www").expect("a pool");
            www.members.iter().all(|member| member.why.contains("everything is down"))
        });
        let all_down = client.ask(WWW, RecordType::A, None);
        let why = "every member of the pool is down".to_owned();
        assert_eq!((rcode(&all_down), extended_error(&all_down)), (0, Some((0, why))));

        // Cut off from its peers and from the router: it vouches for no pool, and for everything else.
        stage.lab.partition(&[&["web2", "web3", "router"], &["web1", "client"]]).expect("a switch");
        await_status(&stage, "web1", "it hears no other", |status| {
            status.servers.iter().filter(|server| server.name != "web1").all(|server| server.state == "dead")
        });
        let begun = std::time::Instant::now();
        let isolated = loop {
            let reply = client.ask(WWW, RecordType::A, None);
            if rcode(&reply) == 2 {
                break reply;
            }
            assert!(begun.elapsed() < PATIENCE, "it still vouches: {reply:?}");
        };
        assert_eq!(extended_error(&isolated), Some((23, "this server hears no other one".to_owned())));
        assert_eq!(rcode(&client.ask("router.lb.example.test.", RecordType::A, None)), 0);
    });
}
