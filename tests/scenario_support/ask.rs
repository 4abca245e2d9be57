//! What a server's DNS says of the pools: real queries, answered by the shipped data plane.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
    sync::Arc,
};

use dns::{Outcome, View, Zones, respond};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use model::{
    PoolName, ZoneName,
    config::{ClusterConfig, ZoneSettings},
};

const ZONE: &str = "lb.example.test";

/// A zone with a name for each pool.
pub(crate) fn zones(config: &ClusterConfig) -> Arc<Zones> {
    let mut template =
        "@ 60 SOA ns.example.test. hostmaster.example.test. 0 60 30 3600 5\n@ 60 NS ns.example.test.\n".to_owned();
    for pool in config.pools.keys() {
        writeln!(template, "{pool} POOL {pool}").expect("writing to a string cannot fail");
    }
    let mut config = config.clone();
    let settings = ZoneSettings { template: "lb.zone".into(), variables: BTreeMap::new() };
    config.zones = BTreeMap::from([(ZoneName::new(ZONE), settings)]);
    let mut nothing = |file: &str| Err(file.to_owned());
    let name = ZoneName::new(ZONE);
    let zone = dns::zone::load(&name, "lb.zone", &template, &BTreeMap::new(), &config, &mut nothing);
    let zone = zone.map_err(|mistakes| format!("{mistakes:?}")).expect("the template is valid");
    Arc::new(Zones::compile(vec![zone], &config))
}

/// What the name of each pool is answered with.
pub(crate) fn all(view: &View, config: &ClusterConfig) -> BTreeMap<String, String> {
    config.pools.keys().map(|pool| (pool.to_string(), one(view, pool))).collect()
}

fn one(view: &View, pool: &PoolName) -> String {
    let mut addresses = BTreeSet::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let reply = ask(view, pool, kind);
        match reply.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::ServFail => return "SERVFAIL".to_owned(),
            other => return format!("{other:?}"),
        }
        addresses.extend(reply.answers.iter().filter_map(|record| match &record.data {
            RData::A(four) => Some(IpAddr::V4(four.0)),
            RData::AAAA(six) => Some(IpAddr::V6(six.0)),
            _ => None,
        }));
    }
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") }
}

fn ask(view: &View, pool: &PoolName, kind: RecordType) -> Message {
    let name = Name::from_ascii(format!("{pool}.{ZONE}.")).expect("a pool's name is a domain name");
    let mut query = Message::new(1, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(name, kind));
    let query = query.to_vec().expect("a plain query");
    let mut out = [0; 4096];
    // Every question is the first: the order of rotation doesn't matter here.
    let outcome = respond(view, IpAddr::from([10, 77, 0, 99]), &query, &mut out, &mut 0);
    let Outcome::Reply(length) = outcome else { unreachable!("plain queries are answered at once") };
    Message::from_vec(&out[..length]).expect("a well-formed reply")
}
