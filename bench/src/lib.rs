//! What the benchmarks share: a cluster of ten servers with ten pools, and zones of any size, as an operator writes them.
//!
//! Invariants: everything goes through the product's own readers; nothing is prepared behind their back.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use dns::{View, Zone, Zones};
use model::{
    Health, ServerName, VirtualHostName, ZoneName,
    config::{ClusterConfig, parse_cluster},
    health::{ServerHealth, ServerState, Verdict, VirtualHostHealth},
};

/// Servers, virtual hosts, pools, and members of each pool.
pub const COUNT: usize = 10;

/// Ten servers with a virtual host each, IPv4 and IPv6, and pools `pool1` to `pool10` of all of them.
pub fn config() -> ClusterConfig {
    config_with(COUNT)
}

/// The same with more pools.
pub fn config_with(pools: usize) -> ClusterConfig {
    let mut text = "[cluster]\nname = \"bench\"\n".to_owned();
    let members: Vec<_> = (1..=COUNT).map(|n| format!("\"virtual{n}\"")).collect();
    for n in 1..=COUNT {
        let server = format!("[server.web{n}]\naddress = \"10.77.0.{n}\"\n");
        let addresses = format!("\"10.77.0.{}\", \"fd00:77::{}\"", 100 + n, 100 + n);
        let host = format!("[virtual-host.virtual{n}]\naddresses = [{addresses}]\nservers = [\"web{n}\"]\n");
        text += &(server + &host);
    }
    for n in 1..=pools {
        write!(text, "[pool.pool{n}]\nmembers = [{}]\n", members.join(", ")).expect("text grows");
    }
    parse_cluster("cluster.toml", &text).expect("a valid cluster file")
}

/// Everything is up and at home.
pub fn healthy() -> Health {
    let held = |n| VirtualHostHealth {
        active: Some(ServerName::new(&format!("web{n}"))),
        at_primary: true,
        verdict: Verdict::Up,
    };
    let alive = ServerHealth { state: ServerState::Alive, standby: false };
    Health {
        settled: true,
        serial: 1,
        servers: (1..=COUNT).map(|n| (ServerName::new(&format!("web{n}")), alive)).collect(),
        virtual_hosts: (1..=COUNT).map(|n| (VirtualHostName::new(&format!("virtual{n}")), held(n))).collect(),
        ..Health::default()
    }
}

/// The template of `lb.example.test` with `www` and the other pools, and `names` hosts with two addresses each.
pub fn template(names: usize) -> String {
    template_with(COUNT, names)
}

/// The same with more pools.
pub fn template_with(pools: usize, names: usize) -> String {
    let mut text = "$TTL 5\n@ SOA ns1 hostmaster 0 1h 15m 1w 5\n@ NAMESERVERS ns1=virtual1 ns2=virtual2\n".to_owned();
    for n in 1..=pools {
        let name = if n == 1 { "www".to_owned() } else { format!("www{n}") };
        writeln!(text, "{name} POOL pool{n}").expect("text grows");
    }
    for n in 0..names {
        let [a, b, c] = [n >> 16, n >> 8, n].map(|byte| byte & 255);
        writeln!(text, "h{n} A 10.{a}.{b}.{c}\nh{n} A 11.{a}.{b}.{c}").expect("text grows");
    }
    text
}

/// Reads such a template.
pub fn load(text: &str) -> Zone {
    load_for(&config(), text)
}

fn load_for(config: &ClusterConfig, text: &str) -> Zone {
    let name = ZoneName::new("lb.example.test");
    let zone = dns::zone::load(&name, "lb.zone", text, &BTreeMap::new(), config, &mut |_| Err(String::new()));
    zone.expect("a valid zone")
}

/// That zone, compiled.
pub fn zones(names: usize) -> Arc<Zones> {
    Arc::new(Zones::compile(vec![load(&template(names))], &config()))
}

/// A zone with as many pools.
pub fn zones_with(pools: usize, names: usize) -> Arc<Zones> {
    let config = config_with(pools);
    Arc::new(Zones::compile(vec![load_for(&config, &template_with(pools, names))], &config))
}

/// That zone with everything up.
pub fn view(names: usize) -> View {
    View::build(&zones(names), &healthy(), "web1")
}

/// A query with RD and an OPT of 1,232 bytes.
pub fn query(name: &str, rtype: u16) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&rtype.to_be_bytes());
    query.extend_from_slice(&[0, 1, 0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]);
    query
}
