//! Zones, health and queries in a few words.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use dns::{
    Outcome, View, Zone, Zones,
    zone::{Owners, PoolUse},
};
use hickory_proto::{
    op::Message,
    rr::{Name, RData, Record, RecordType, rdata::NULL},
};
use model::{
    Health, PoolName, ServerName, VirtualHostName, ZoneName,
    config::{
        AllDown, ClusterConfig, DnsSettings, Failback, HeartbeatSettings, PartitionPolicy, Policy, Pool, PoolMember,
        Server, SharedCause, Ttl, UnknownPolicy, VirtualHost,
    },
    health::{ServerHealth, ServerState, Verdict, VirtualHostHealth},
};

pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// Three servers with a virtual host each; pools `www` (virtual hosts), `all` (servers and a virtual host).
pub(crate) fn config() -> ClusterConfig {
    let server = |n: u8| Server {
        address: IpAddr::from([10, 0, 0, n]),
        also: vec![format!("fd00::{n}").parse().unwrap()],
        heartbeat: format!("10.0.0.{n}:7946").parse().unwrap(),
    };
    let names = ["web1", "web2", "web3"];
    let host = |n: usize| VirtualHost {
        addresses: vec![IpAddr::from([10, 0, 0, 101 + n as u8]), format!("fd00::1:{}", n + 1).parse().unwrap()],
        servers: (0..3).map(|next| ServerName::new(names[(n + next) % 3])).collect(),
        failback: Failback::Auto,
        failback_delay: std::time::Duration::from_secs(1),
        always_active: true,
        groups: BTreeMap::new(),
        hooks: BTreeMap::new(),
        monitors: Vec::new(),
    };
    let virtual_host = |n: usize| PoolMember::VirtualHost(VirtualHostName::new(&format!("virtual{n}")));
    let pool = |members: Vec<PoolMember>| Pool {
        members,
        policy: Policy::RoundRobin,
        ttl: Ttl::fixed(5),
        max_answers: None,
        keep_doubled: false,
        degraded_weight: 100,
        all_down: AllDown::All,
        unknown: UnknownPolicy::Servfail,
    };
    ClusterConfig {
        name: "example".into(),
        digest: 0,
        heartbeat: HeartbeatSettings::default(),
        partition: PartitionPolicy::Availability,
        shared_cause: SharedCause::default(),
        servers: (1..).zip(names).map(|(n, name)| (ServerName::new(name), server(n))).collect(),
        virtual_hosts: (0..3).map(|n| (VirtualHostName::new(&format!("virtual{}", n + 1)), host(n))).collect(),
        endpoints: BTreeMap::new(),
        pools: BTreeMap::from([
            (PoolName::new("www"), pool((1..=3).map(virtual_host).collect())),
            (
                PoolName::new("all"),
                pool(vec![
                    PoolMember::Server(ServerName::new("web1")),
                    PoolMember::Server(ServerName::new("web2")),
                    virtual_host(3),
                ]),
            ),
        ]),
        zones: BTreeMap::new(),
        dns: DnsSettings::default(),
        channels: BTreeMap::new(),
    }
}

/// Everything is up and at home.
pub(crate) fn healthy() -> Health {
    let alive = ServerHealth { state: ServerState::Alive, standby: false };
    Health {
        revision: 1,
        settled: true,
        isolated: false,
        serial: 2_026_112_301,
        servers: ["web1", "web2", "web3"].map(|name| (ServerName::new(name), alive)).into(),
        calm: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        virtual_hosts: (1..=3)
            .map(|n| (VirtualHostName::new(&format!("virtual{n}")), held(&format!("web{n}"), true)))
            .collect(),
    }
}

/// Held by `by`, whose service is up.
pub(crate) fn held(by: &str, at_primary: bool) -> VirtualHostHealth {
    VirtualHostHealth { active: Some(ServerName::new(by)), at_primary, verdict: Verdict::Up }
}

/// Server `n` is dead and its virtual host sits on `backup`.
pub(crate) fn without(n: u8, backup: &str) -> Health {
    let mut health = healthy();
    health.servers.get_mut(&ServerName::new(&format!("web{n}"))).unwrap().state = ServerState::Dead;
    health.virtual_hosts.insert(VirtualHostName::new(&format!("virtual{n}")), held(backup, false));
    health
}

/// A zone from lines `owner TYPE data`, owners relative to the origin, `@` for the origin. Names in data are absolute.
/// `POOL name` is a pool. TTLs: 300, pools 5, SOA 600.
pub(crate) fn zone(origin: &str, lines: &str) -> Zone {
    let apex = name(origin);
    let (mut records, mut pools): (Vec<(Name, u32, RData)>, Vec<_>) = (Vec::new(), Vec::new());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let [owner, kind, data] = [(); 3].map(|()| words.next().unwrap_or_else(|| panic!("three words: {line}")));
        let owner = if owner == "@" { apex.clone() } else { name(owner).append_domain(&apex).unwrap() };
        if kind == "POOL" {
            pools.push((owner, PoolUse { pool: PoolName::new(data), ttl: Ttl::fixed(5) }));
            continue;
        }
        let kind: RecordType = kind.parse().unwrap();
        let ttl = if kind == RecordType::SOA { 600 } else { 300 };
        let data = rdata(kind, data);
        let same = |(other, _, before): &(Name, u32, RData)| {
            // A DNAME is alone in its set (RFC 6672 section 2.4).
            let alone = kind == RecordType::DNAME && before.record_type() == kind;
            *other == owner && (alone || *before == data)
        };
        if !records.iter().any(same) {
            records.push((owner, ttl, data));
        }
    }
    let owners = Owners::from_records(&apex, records, pools);
    let text = origin.trim_end_matches('.');
    Zone {
        name: ZoneName::new(text),
        origin: apex,
        serial_from_cluster: true,
        owners,
        followers: Vec::new(),
        refers: Default::default(),
        layout: Default::default(),
    }
}

fn rdata(kind: RecordType, data: &str) -> RData {
    match kind {
        RecordType::DNAME => {
            let target = name(data);
            let mut wire = Vec::new();
            for label in target.iter() {
                wire.push(label.len() as u8);
                wire.extend_from_slice(label);
            }
            wire.push(0);
            RData::Unknown { code: kind, rdata: NULL::with(wire) }
        }
        RecordType::DS => RData::Unknown { code: kind, rdata: NULL::with(data.as_bytes().to_vec()) },
        _ => RData::try_from_str(kind, data).unwrap_or_else(|error| panic!("{kind} {data}: {error}")),
    }
}

pub(crate) const SOA: &str = "@ SOA ns1.lb.example.test. admin.lb.example.test. 0 3600 600 86400 60";

/// The zone that most tests ask.
pub(crate) fn example() -> Zone {
    let lines = "
        @ NS ns1.lb.example.test.
        @ NS ns2.lb.example.test.
        @ MX 10 mail.lb.example.test.
        @ TXT hello
        ns1 A 10.0.0.101
        ns2 A 10.0.0.102
        www POOL www
        www TXT pool
        all POOL all
        mail A 10.0.0.7
        mail AAAA fd00::7
        web CNAME www.lb.example.test.
        away CNAME www.elsewhere.test.
        lost CNAME nothing.lb.example.test.
        chain CNAME web.lb.example.test.
        loop1 CNAME loop2.lb.example.test.
        loop2 CNAME loop1.lb.example.test.
        intosub CNAME host.sub.lb.example.test.
        *.wild TXT any
        *.wild MX 10 mail.lb.example.test.
        under.deep.wild A 10.0.0.9
        *.cwild CNAME www.lb.example.test.
        sub NS ns.sub.lb.example.test.
        sub NS ns1.lb.example.test.
        ns.sub A 10.0.0.8
        ns.sub AAAA fd00::8
        hidden.sub A 10.0.0.66
        a.b.c TXT leaf
        tree DNAME lb.example.test.
        many A 10.1.0.0
    ";
    let many: String = (1..60).map(|n| format!("many A 10.1.0.{n}\n")).collect();
    zone("lb.example.test.", &format!("{SOA}\n{lines}\n{many}"))
}

pub(crate) fn view_of(zones: Vec<Zone>, config: &ClusterConfig, health: &Health) -> View {
    View::build(&Arc::new(Zones::compile(zones, config)), health, "web1")
}

/// The example under `health`.
pub(crate) fn view(health: &Health) -> View {
    view_of(vec![example()], &config(), health)
}

/// A query's bytes: RD set, id 0x1234; EDNS with this size where given.
pub(crate) fn query(qname: &Name, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in qname.iter() {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes.extend_from_slice(&u16::from(kind).to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    if let Some(size) = edns {
        bytes.extend_from_slice(&[0, 0, 41]);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&[0; 6]);
    }
    bytes
}

/// What the fast path replies.
pub(crate) fn ask_bytes(view: &View, query: &[u8], turn: &mut u32) -> Vec<u8> {
    let mut out = [0xAA; 4096];
    match dns::respond(view, CLIENT, query, &mut out, turn) {
        Outcome::Reply(length) => out[..length].to_vec(),
        other => panic!("{other:?} for {query:02x?}"),
    }
}

/// The fast path's reply to a question with EDNS, decoded.
pub(crate) fn ask(view: &View, qname: &str, kind: RecordType) -> Message {
    let reply = ask_bytes(view, &query(&name(qname), kind, Some(1232)), &mut 0);
    Message::from_vec(&reply).unwrap()
}

/// Records as lines, lower case, in order.
pub(crate) fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.to_string().to_lowercase()).collect()
}

/// Records as a sorted list of lines: sets have no order.
pub(crate) fn sorted(records: &[Record]) -> Vec<String> {
    let mut lines = lines(records);
    lines.sort();
    lines
}
