//! One fuzz input as a DNS message to the engine, with what must hold whatever the bytes. Shared by the fuzz target and
//! by the test that replays the corpus.
//!
//! Replies are read by a strict reader of its own: counts, lengths, pointers that lead backwards, no stray byte.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, LazyLock},
};

use dns::{Outcome, Transport, View, Zones};
use model::{
    Health, ServerName, VirtualHostName, ZoneName,
    config::parse_cluster,
    health::{ServerHealth, ServerState, Verdict, VirtualHostHealth},
};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const CLUSTER: &str = r#"
[cluster]
name = "fuzz"
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[virtual-host.virtual1]
addresses = ["10.77.0.101", "fd00:77::101"]
servers = ["web1", "web2"]
[virtual-host.virtual2]
addresses = ["10.77.0.102"]
servers = ["web2", "web1"]
[pool.www]
members = ["virtual1", "virtual2", "web1"]
"#;

const TEMPLATE: &str = r"
$TTL 300
@ SOA ns1 hostmaster 0 1h 15m 1w 60
@ NAMESERVERS ns1=virtual1 ns2=virtual2
@ MX 10 mail
@ TXT hello
www POOL www
www TXT pool
mail A 10.77.0.7
mail AAAA fd00:77::7
web CNAME www
lost CNAME host.sub
away CNAME www.elsewhere.test.
*.wild TXT any
*.wild MX 10 mail
*.cwild CNAME www
under.deep.wild A 10.77.0.9
sub NS ns.sub
sub NS ns1
ns.sub A 10.77.0.8
a.b.c TXT leaf
$GENERATE 1-60 many A 10.78.0.$
$GENERATE 1-40 big TXT abcdefghijklmnopqrstuvwxyz-$
";

static VIEW: LazyLock<View> = LazyLock::new(|| {
    let config = parse_cluster("cluster.toml", CLUSTER).expect("a valid cluster file");
    let name = ZoneName::new("lb.example.test");
    let zone = dns::zone::load(&name, "lb.zone", TEMPLATE, &BTreeMap::new(), &config, &mut |_| Err(String::new()));
    let zones = Zones::compile(vec![zone.expect("a valid template")], &config);
    let alive = ServerHealth { state: ServerState::Alive, standby: false };
    let held = |by| VirtualHostHealth { active: Some(ServerName::new(by)), at_primary: true, verdict: Verdict::Up };
    let health = Health {
        settled: true,
        serial: 2_026_112_301,
        servers: ["web1", "web2"].map(|name| (ServerName::new(name), alive)).into(),
        endpoints: BTreeMap::new(),
        calm: BTreeMap::new(),
        virtual_hosts: BTreeMap::from([
            (VirtualHostName::new("virtual1"), held("web1")),
            (VirtualHostName::new("virtual2"), held("web2")),
        ]),
        ..Health::default()
    };
    View::build(&Arc::new(zones.with_cookies([7; 16])), &health, "web1")
});

/// Asks the engine by every way.
pub(crate) fn run(input: &[u8]) {
    let mut out = [0xA5; 4096 + 16];
    let fast = dns::respond(&VIEW, CLIENT, input, &mut out[..4096], &mut 7);
    assert!(out[4096..].iter().all(|byte| *byte == 0xA5), "nothing behind the buffer");
    if let Outcome::Reply(length) = fast {
        assert!(length <= 1232);
        read(input, &out[..length]);
    }
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut reply = Vec::new();
        match VIEW.answer_any(CLIENT, input, transport, &mut reply, &mut 7) {
            Outcome::Reply(length) => {
                assert_eq!(length, reply.len());
                assert!(transport == Transport::Tcp || length <= 1232);
                read(input, &reply);
            }
            Outcome::Drop => assert_eq!(fast, Outcome::Drop),
            Outcome::Defer | Outcome::Limited => unreachable!("the slow path neither defers nor counts"),
        }
        if let (Outcome::Reply(length), Transport::Udp) = (fast, transport) {
            assert_eq!(out[..length], reply[..], "both paths say the same");
        }
    }
    let small = 12 + input.len() % 500;
    let outcome = dns::respond(&VIEW, CLIENT, input, &mut out[..small], &mut 7);
    if let Outcome::Reply(length) = outcome {
        assert!(length <= small);
        read(input, &out[..length]);
    }
}

/// Reads a reply to its last byte.
fn read(query: &[u8], reply: &[u8]) {
    assert_eq!(reply[..2], query[..2], "the id");
    assert_eq!(reply[2] & 0xF9, query[2] & 0x79 | 0x80, "a response; opcode and RD as they came");
    assert_eq!(reply[3] & 0xF0, 0, "RA, Z, AD and CD are clear");
    let count = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    let mut at = 12;
    for _ in 0..count(4) {
        at = name(reply, at) + 4;
        assert_eq!(reply[12..at], query[12..at], "the question, letter case kept");
    }
    let mut opts = 0;
    for record in 0..count(6) + count(8) + count(10) {
        at = name(reply, at);
        let (rtype, length) = (count(at), count(at + 8));
        at += 10;
        opts += usize::from(rtype == 41);
        assert!(rtype != 41 || record >= count(6) + count(8), "the OPT is an additional record");
        match rtype {
            2 | 5 | 12 => assert_eq!(name(reply, at), at + length),
            15 => assert_eq!(name(reply, at + 2), at + length),
            6 => assert_eq!(name(reply, name(reply, at)) + 20, at + length),
            1 => assert_eq!(length, 4),
            28 => assert_eq!(length, 16),
            _ => {}
        }
        at += length;
    }
    assert!(opts <= 1);
    assert_eq!(at, reply.len(), "no stray bytes");
}

/// Where the name at `start` ends. Its pointers lead backwards, and it is no longer than 255 bytes.
fn name(message: &[u8], start: usize) -> usize {
    let (mut at, mut end, mut length) = (start, None, 0);
    loop {
        let label = usize::from(message[at]);
        if label >= 192 {
            let target = (label & 63) << 8 | usize::from(message[at + 1]);
            assert!(target < at && target >= 12, "a pointer leads backwards");
            end = end.or(Some(at + 2));
            at = target;
            continue;
        }
        assert!(label < 64);
        (at, length) = (at + 1 + label, length + 1 + label);
        assert!(length <= 255);
        if label == 0 {
            return end.unwrap_or(at);
        }
    }
}
