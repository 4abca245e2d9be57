//! Other authoritative servers as oracles: Knot DNS and NSD serve the example as rendered, on loopback, and every name
//! of it, those between, below and beside, gets the same answers from them as from us.
//!
//! Debian packages: knot, nsd. Where one is not installed its part is skipped and says so; with `CI=true` that is a failure.

mod peer_support;
mod zone_support;

use std::{collections::BTreeSet, fs, net::IpAddr, sync::Arc};

use dns::{Outcome, View, Zone, Zones, respond};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{LowerName, Name, Record, RecordType},
};
use model::{
    Health, ServerName,
    config::ClusterConfig,
    health::{ServerHealth, ServerState, Verdict, VirtualHostHealth},
};
use peer_support::{KNOT, NSD, Peer, Program};
use zone_support::{ZONE, cluster, load, members, templates};

/// Types asked of every name.
const TYPES: [RecordType; 12] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CAA,
    RecordType::CNAME,
    RecordType::DS,
    RecordType::HTTPS,
    RecordType::MX,
    RecordType::NS,
    RecordType::SOA,
    RecordType::SRV,
    RecordType::TXT,
    RecordType::Unknown(65_400),
];

/// What two servers must agree on.
#[derive(PartialEq, Debug)]
struct Essence {
    rcode: String,
    authoritative: bool,
    answer: BTreeSet<String>,
    /// Where the answer ends without data: the SOA or the delegation, and its glue.
    ending: BTreeSet<String>,
}

impl Essence {
    fn of(reply: &[u8], asked: RecordType) -> Self {
        let Ok(message) = Message::from_vec(reply) else {
            // hickory-proto reads no record without data; such a reply is compared by its header and its last bytes.
            return Self {
                rcode: format!("{:?}", &reply[3..12]),
                authoritative: reply[2] & 4 != 0,
                answer: BTreeSet::from([format!("{:?}", &reply[reply.len() - 10..])]),
                ending: BTreeSet::new(),
            };
        };
        let texts = |records: &[Record]| records.iter().map(|r| r.to_string().to_ascii_lowercase()).collect();
        let has_data = message.answers.iter().any(|record| record.record_type() == asked);
        let is_referral = message.authorities.iter().any(|record| record.record_type() == RecordType::NS);
        let mut ending: BTreeSet<String> = if has_data { BTreeSet::new() } else { texts(&message.authorities) };
        if !has_data && is_referral {
            ending.extend(texts(&message.additionals));
        }
        Self {
            rcode: format!("{:?}", message.metadata.response_code),
            authoritative: message.metadata.authoritative,
            answer: texts(&message.answers),
            ending,
        }
    }
}

/// Every owner, every name above one, and names below and beside them.
fn names(owners: impl Iterator<Item = LowerName>, apex: &Name) -> BTreeSet<Name> {
    let mut names = BTreeSet::new();
    for owner in owners {
        let mut name = Name::from(owner);
        while apex.zone_of(&name) {
            for label in ["below", "*", "zz-beside"] {
                names.extend(name.prepend_label(label));
            }
            names.extend(name.prepend_label("a").and_then(|below| below.prepend_label("b")));
            names.insert(name.clone());
            name = name.base_name();
        }
    }
    names
}

/// Every server alive, every virtual host up at its primary: pools answer with all their members.
fn view(zone: Zone, cluster: &ClusterConfig) -> View {
    let alive = ServerHealth { state: ServerState::Alive, standby: false };
    let held = |server: &ServerName| VirtualHostHealth {
        active: Some(server.clone()),
        at_primary: true,
        verdict: Verdict::Up,
    };
    let hosts = cluster.virtual_hosts.iter();
    let health = Health {
        settled: true,
        serial: 7,
        servers: cluster.servers.keys().map(|name| (name.clone(), alive)).collect(),
        endpoints: std::collections::BTreeMap::new(),
        calm: std::collections::BTreeMap::new(),
        virtual_hosts: hosts.map(|(name, host)| (name.clone(), held(&host.servers[0]))).collect(),
        ..Health::default()
    };
    View::build(&Arc::new(Zones::compile(vec![zone], cluster)), &health, "web1")
}

/// Serves one template by both and tells every difference; nothing where the other is not installed.
fn compare(program: &Program, cluster_file: &str, template: &str) -> Option<Vec<String>> {
    let cluster = cluster(cluster_file);
    let zone = load(&cluster, template).map_err(|mistakes| mistakes[0].to_string()).expect("a valid template");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let text = zone.render(&|pool| members(&cluster, pool), 7);
    fs::write(folder.path().join(ZONE), text).expect("the zone can be written");
    let peer = Peer::start(program, folder.path(), &[ZONE])?;

    let names = names(zone.owners.iter().map(|owner| owner.name()), &zone.origin);
    let view = view(zone, &cluster);
    let (mut differences, mut turn) = (Vec::new(), 0);
    for (name, asked) in names.iter().flat_map(|name| TYPES.map(|asked| (name, asked))) {
        let mut query = Message::new(77, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(name.clone(), asked));
        let query = query.to_vec().expect("a message");
        let mut out = [0; 4096];
        let Outcome::Reply(length) = respond(&view, IpAddr::from([127, 0, 0, 1]), &query, &mut out, &mut turn) else {
            unreachable!("a plain query is answered at once")
        };
        let ours = Essence::of(&out[..length], asked);
        let theirs = Essence::of(&peer.ask(&query), asked);
        if ours != theirs {
            differences.push(format!("{template}: {name} {asked}\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    Some(differences)
}

/// The example and every valid template.
fn compare_all(program: &Program) {
    let example = ("zones/example/cluster.toml", "zones/example/lb.zone".to_owned());
    let valid = templates("zones/valid").into_iter().map(|template| ("zones/test-cluster.toml", template));
    let mut differences = Vec::new();
    for (cluster, template) in [example].into_iter().chain(valid) {
        let Some(more) = compare(program, cluster, &template) else { return };
        differences.extend(more);
    }
    let first = differences[..differences.len().min(20)].join("\n");
    assert!(differences.is_empty(), "{} differences\n{first}", differences.len());
}

#[test]
fn knot_answers_the_same() {
    compare_all(&KNOT);
}

#[test]
fn nsd_answers_the_same() {
    compare_all(&NSD);
}
