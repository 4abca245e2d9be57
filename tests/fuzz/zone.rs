//! One fuzz input as a zone template, with what must hold whatever the text. Shared by the fuzz target and by the test
//! that replays the corpus.
//!
//! The input stands once alone and once behind a SOA and name servers, so that the fuzzer reaches valid zones soon; an
//! `$INCLUDE` gets the input itself.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use dns::zone::load;
use model::{
    PoolName, ServerName, VirtualHostName, ZoneName,
    config::{
        AllDown, ClusterConfig, DnsSettings, Failback, HeartbeatSettings, PartitionPolicy, Policy, Pool, PoolMember,
        Server, SharedCause, Ttl, UnknownPolicy, VirtualHost,
    },
};

const HEAD: &str = "$TTL 60\n@ SOA ns1 h 0 1h 15m 1w 5\n@ NAMESERVERS ns1=v1\n";

/// Reads the input as a template.
pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    check(&text, &text);
    check(&format!("{HEAD}{text}"), &text);
}

/// Nothing panics; every mistake has a place in a file; what is accepted and printed reads back the same.
fn check(text: &str, included: &str) {
    let name = ZoneName::new("lb.example.test");
    let config = config();
    let variables = BTreeMap::from([("host".to_owned(), "web".to_owned())]);
    let mut left = 40;
    let mut include = |_: &str| {
        left -= 1;
        if left > 0 { Ok(included.to_owned()) } else { Err("enough".to_owned()) }
    };
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 101));
    match load(&name, "f", text, &variables, &config, &mut include) {
        Ok(zone) => {
            let printed = zone.render(&|_| vec![address], 7);
            let again = load(&name, "p", &printed, &BTreeMap::new(), &config, &mut |_| Err(String::new()));
            let again = again.map_err(|mistakes| format!("{}\n{printed}", mistakes[0]));
            let again = again.expect("what is printed is valid").render(&|_| Vec::new(), 7);
            assert_eq!(records(&again), records(&printed));
        }
        Err(mistakes) => {
            assert!((1..=100).contains(&mistakes.len()));
            for mistake in mistakes {
                assert!(mistake.line >= 1 && mistake.column >= 1 && mistake.width >= 1);
                assert!(!mistake.message.is_empty());
                assert!(!mistake.to_string().is_empty());
            }
        }
    }
}

/// A zone's lines without their order: what follows a pool is printed last, and once read in it stands among the others.
fn records(printed: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    lines
}

fn config() -> ClusterConfig {
    let server = ServerName::new("web1");
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let host = VirtualHost {
        addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 101))],
        servers: vec![server.clone()],
        failback: Failback::Auto,
        failback_delay: Duration::from_secs(1),
        always_active: true,
        groups: BTreeMap::new(),
        hooks: BTreeMap::new(),
        monitors: Vec::new(),
    };
    let pool = Pool {
        members: vec![PoolMember::VirtualHost(VirtualHostName::new("v1"))],
        policy: Policy::RoundRobin,
        ttl: Ttl::fixed(5),
        max_answers: None,
        keep_doubled: false,
        degraded_weight: 100,
        all_down: AllDown::All,
        unknown: UnknownPolicy::Servfail,
    };
    ClusterConfig {
        name: Arc::from("fuzz"),
        digest: 1,
        heartbeat: HeartbeatSettings::default(),
        partition: PartitionPolicy::Availability,
        shared_cause: SharedCause::default(),
        servers: BTreeMap::from([(
            server,
            Server { address, also: Vec::new(), heartbeat: SocketAddr::new(address, 7946) },
        )]),
        virtual_hosts: BTreeMap::from([(VirtualHostName::new("v1"), host)]),
        endpoints: BTreeMap::new(),
        pools: BTreeMap::from([(PoolName::new("www"), pool)]),
        zones: BTreeMap::new(),
        dns: DnsSettings::default(),
        channels: BTreeMap::new(),
    }
}
