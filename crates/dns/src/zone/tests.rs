//! Loading and printing zones. Mistakes have their own corpus: `zones/invalid`, run by `tests/zones.rs`.

mod laws;
mod limits;
mod reading;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use model::{
    PoolName, ServerName, VirtualHostName, ZoneName,
    config::{
        AllDown, ClusterConfig, DnsSettings, Failback, HeartbeatSettings, PartitionPolicy, Policy, Pool, PoolMember,
        Server, SharedCause, Ttl, UnknownPolicy, VirtualHost,
    },
    diagnostic::Diagnostic,
};

use super::{Zone, load};

/// Three servers, three virtual hosts, the pools `www` and `mail`.
fn config() -> ClusterConfig {
    let address = |text: String| text.parse::<IpAddr>().expect("an address");
    let servers: Vec<ServerName> = (1..=3).map(|n| ServerName::new(&format!("web{n}"))).collect();
    let virtual_host = |n: u8| VirtualHost {
        addresses: vec![address(format!("10.77.0.10{n}")), address(format!("fd00:77::10{n}"))],
        servers: servers.clone(),
        failback: Failback::Auto,
        failback_delay: std::time::Duration::from_secs(1),
        always_active: true,
        groups: BTreeMap::new(),
        hooks: BTreeMap::new(),
        monitors: Vec::new(),
    };
    let server = |n: u8| Server {
        address: address(format!("10.77.0.1{n}")),
        also: vec![address(format!("fd00:77::1{n}"))],
        heartbeat: format!("10.77.0.1{n}:7946").parse().expect("a socket address"),
    };
    let pool = |members: &[&str], ttl| Pool {
        members: members.iter().map(|name| PoolMember::VirtualHost(VirtualHostName::new(name))).collect(),
        policy: Policy::RoundRobin,
        ttl: Ttl::fixed(ttl),
        max_answers: None,
        keep_doubled: false,
        degraded_weight: 100,
        all_down: AllDown::All,
        unknown: UnknownPolicy::Servfail,
    };
    ClusterConfig {
        name: Arc::from("example"),
        digest: 0,
        heartbeat: HeartbeatSettings::default(),
        partition: PartitionPolicy::Availability,
        shared_cause: SharedCause::default(),
        servers: (1..=3).map(|n| (servers[usize::from(n) - 1].clone(), server(n))).collect(),
        virtual_hosts: (1..=3).map(|n| (VirtualHostName::new(&format!("virtual{n}")), virtual_host(n))).collect(),
        endpoints: BTreeMap::new(),
        pools: BTreeMap::from([
            (PoolName::new("www"), pool(&["virtual1", "virtual2", "virtual3"], 5)),
            (PoolName::new("mail"), pool(&["virtual1", "virtual2"], 10)),
        ]),
        zones: BTreeMap::new(),
        dns: DnsSettings::default(),
        channels: BTreeMap::new(),
    }
}

/// The addresses of every member of a pool.
fn members(config: &ClusterConfig) -> impl Fn(&PoolName) -> Vec<IpAddr> {
    |pool| config.pools[pool].members.iter().flat_map(|member| config.addresses_of(member)).collect()
}

fn load_with(text: &str, include: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Zone, Vec<Diagnostic>> {
    let variables = BTreeMap::from([
        ("host".to_owned(), "web".to_owned()),
        ("spf".to_owned(), "v=spf1 mx; -all".to_owned()),
        ("empty".to_owned(), String::new()),
    ]);
    load(&ZoneName::new("lb.example.test"), "lb.zone", text, &variables, &config(), include)
}

/// Loads `text` behind a SOA and a name server.
fn body(text: &str) -> Result<Zone, Vec<Diagnostic>> {
    let head = "$TTL 300\n@ SOA ns1 hostmaster 0 1h 15m 1w 60\n@ NAMESERVERS ns1=virtual1\n";
    load_with(&format!("{head}{text}"), &mut |_| Err("no such file".to_owned()))
}

/// The records of `text` as the master file prints them, without SOA, NS and glue.
fn records(text: &str) -> Vec<String> {
    let zone = body(text).map_err(|errors| one_line_each(&errors)).expect(text);
    let config = config();
    let printed = zone.render(&members(&config), 7);
    let own =
        |line: &&str| !line.starts_with('$') && !line.contains("\tSOA\t") && !line.contains("ns1.lb.example.test.");
    printed.lines().filter(own).map(|line| line.replace("lb.example.test.", "~").replace('\t', " ")).collect()
}

/// The messages of the mistakes in `text`, with their lines counted from its own first one.
fn mistakes(text: &str) -> Vec<String> {
    let errors = body(text).expect_err(text);
    errors.iter().map(|error| format!("{}:{} {}", error.line - 3, error.column, error.message)).collect()
}

fn one_line_each(errors: &[Diagnostic]) -> String {
    errors.iter().map(|error| format!("{}:{}: {}\n", error.line, error.column, error.message)).collect()
}
