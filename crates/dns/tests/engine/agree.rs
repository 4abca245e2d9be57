//! Fast path, slow path and the naive oracle say the same for generated zones, health and questions.

use std::{net::IpAddr, sync::Arc};

use dns::{Outcome, Transport, View, Zone, Zones};
use hickory_proto::{
    op::Message,
    rr::{Name, RecordType},
};
use model::Health;
use proptest::prelude::*;

use crate::{
    oracle::{Expected, Oracle, Plain},
    support::{CLIENT, ask_bytes, config, healthy, name, query, sorted, without, zone},
};

const LABELS: &[&str] = &["a", "b", "*", "sub", "www"];
const ORIGINS: &[&str] = &["z.test.", "sub.z.test.", "a.sub.z.test.", "other.test."];

/// Up to four labels below one of the origins, now and then elsewhere.
fn any_name() -> impl Strategy<Value = String> {
    let origins: Vec<_> = ORIGINS.iter().copied().chain(["test.", "foreign.example."]).collect();
    (prop::collection::vec(prop::sample::select(LABELS), 0..4), prop::sample::select(origins))
        .prop_map(|(labels, origin)| labels.iter().map(|label| format!("{label}.")).collect::<String>() + origin)
}

/// What one owner has: a CNAME alone, or a mixture.
fn owner() -> impl Strategy<Value = Vec<String>> {
    let data = prop_oneof![
        4 => (0..4u8).prop_map(|n| format!("A 10.9.0.{n}")),
        2 => (0..4u8).prop_map(|n| format!("AAAA fd00::{n}")),
        2 => Just("TXT some".to_owned()),
        1 => any_name().prop_map(|name| format!("MX 10 {name}")),
        2 => any_name().prop_map(|name| format!("NS {name}")),
        1 => any_name().prop_map(|name| format!("DNAME {name}")),
        1 => Just("DS digest".to_owned()),
    ];
    let pool = prop_oneof![Just("www"), Just("all")];
    prop_oneof![
        6 => prop::collection::vec(data, 1..4),
        2 => any_name().prop_map(|name| vec![format!("CNAME {name}")]),
        1 => pool.clone().prop_map(|pool| vec![format!("POOL {pool}")]),
        1 => pool.prop_map(|pool| vec![format!("POOL {pool}"), "TXT beside".into()]),
    ]
}

/// Owners and what they have.
type Owners = Vec<(String, Vec<String>)>;

fn owners() -> impl Strategy<Value = Owners> {
    let labels = prop::collection::vec(prop::sample::select(LABELS), 1..4).prop_map(|labels| labels.join("."));
    let apex = prop_oneof![
        6 => Just(vec!["MX 10 a.z.test.".to_owned()]),
        1 => any_name().prop_map(|name| vec![format!("DNAME {name}")]),
        1 => Just(vec!["POOL www".to_owned()]),
    ];
    (prop::collection::btree_map(labels, owner(), 0..12), apex)
        .prop_map(|(owners, apex)| [("@".to_owned(), apex)].into_iter().chain(owners).collect())
}

fn zone_of((origin, owners): &(&str, Owners)) -> Zone {
    let soa = format!("@ SOA ns1.{origin} admin.{origin} 0 3600 600 86400 60\n@ NS ns1.{origin}\nns1 A 10.0.0.101\n");
    let lines = owners.iter().flat_map(|(owner, data)| data.iter().map(move |data| format!("{owner} {data}\n")));
    zone(origin, &(soa + &lines.collect::<String>()))
}

fn zones() -> impl Strategy<Value = Vec<(&'static str, Owners)>> {
    let one = |origin: &'static str| owners().prop_map(move |owners| (origin, owners));
    prop::sample::subsequence(ORIGINS, 1..=ORIGINS.len())
        .prop_flat_map(move |origins| origins.into_iter().map(one).collect::<Vec<_>>())
}

fn health() -> impl Strategy<Value = Health> {
    let mut isolated = healthy();
    isolated.isolated = true;
    prop_oneof![4 => Just(healthy()), 2 => Just(without(2, "web1")), 1 => Just(isolated)]
}

/// The pools' answers, told by what the health above means; pools have tests of their own.
fn addresses(health: &Health, pool: &str) -> Option<Vec<IpAddr>> {
    let ids: &[&str] = match (pool, health.isolated, *health == healthy()) {
        (_, true, _) => return None,
        ("www", _, true) => &["10.0.0.101", "10.0.0.102", "10.0.0.103", "fd00::1:1", "fd00::1:2", "fd00::1:3"],
        ("www", _, false) => &["10.0.0.101", "10.0.0.103", "fd00::1:1", "fd00::1:3"],
        (_, _, true) => &["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2", "10.0.0.103", "fd00::1:3"],
        (_, _, false) => &["10.0.0.1", "fd00::1", "10.0.0.103", "fd00::1:3"],
    };
    Some(ids.iter().map(|id| id.parse().unwrap()).collect())
}

fn kind() -> impl Strategy<Value = RecordType> {
    use RecordType::*;
    prop_oneof![
        4 => Just(A),
        6 => prop::sample::select(vec![AAAA, TXT, MX, NS, SOA, CNAME, DNAME, DS, ANY, SRV, Unknown(1234)]),
    ]
}

fn said(message: &Message) -> Expected {
    Expected {
        rcode: message.metadata.response_code.to_string(),
        authoritative: message.metadata.authoritative,
        answers: sorted(&message.answers),
        authority: sorted(&message.authorities),
        additional: sorted(&message.additionals),
    }
}

fn check(view: &View, expected: &Expected, qname: &Name, kind: RecordType) -> Result<(), TestCaseError> {
    let fast = ask_bytes(view, &query(qname, kind, Some(4096)), &mut 0);
    let fast_message = Message::from_vec(&fast).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert!(!fast_message.metadata.truncation);
    prop_assert_eq!(&said(&fast_message), expected, "fast path, {} {}", qname, kind);
    let mut slow = Vec::new();
    let outcome = view.answer_any(CLIENT, &query(qname, kind, Some(4096)), Transport::Tcp, &mut slow, &mut 0);
    prop_assert_eq!(outcome, Outcome::Reply(slow.len()));
    prop_assert_eq!(&fast, &slow, "the same bytes by TCP");
    let answer = view.lookup(qname, kind, &mut 0);
    prop_assert_eq!(answer.rcode, fast_message.metadata.response_code);
    prop_assert_eq!(answer.answers, fast_message.answers);
    prop_assert_eq!(answer.authority, fast_message.authorities);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn engine_and_oracle_agree(
        zones in zones(),
        health in health().no_shrink(),
        questions in prop::collection::vec((any_name(), kind()), 1..40),
    ) {
        let mut config = config();
        config.dns.max_udp_size = 4096;
        let zones: Vec<_> = zones.iter().map(zone_of).collect();
        let view = View::build(&Arc::new(Zones::compile(zones.clone(), &config)), &health, "web1");
        let pools = |pool: &str| addresses(&health, pool);
        let zones: Vec<_> = zones.iter().map(Plain::of).collect();
        let oracle = Oracle { zones: &zones, pools: &pools, serial: health.serial };
        for (qname, kind) in questions {
            let qname = name(&qname);
            check(&view, &oracle.answer(&qname, kind), &qname, kind)?;
        }
    }
}
