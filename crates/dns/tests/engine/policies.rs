//! Policies of pools: shares by weight, failover order, elastic TTL; and endpoints as members.

use std::collections::BTreeMap;

use dns::View;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType::{A, AAAA},
};
use model::{
    EndpointName, Health, PoolName,
    config::{AllDown, ClusterConfig, Endpoint, Policy, PoolMember, Ttl, UnknownPolicy},
    health::{EndpointHealth, Verdict},
};

use crate::support::{ask_bytes, config, example, healthy, name, query, view_of};

/// Four endpoints, of which `e4` has two addresses, in the pool `www`.
fn endpoints(edit: impl FnOnce(&mut model::config::Pool)) -> ClusterConfig {
    let mut config = config();
    for n in 1..=4_u8 {
        let mut addresses = vec![format!("10.1.0.{n}").parse().unwrap(), format!("fd00::4:{n}").parse().unwrap()];
        if n == 4 {
            addresses.push("10.1.0.5".parse().unwrap());
        }
        let endpoint = Endpoint { addresses, probed_by: Vec::new(), monitors: Vec::new() };
        config.endpoints.insert(EndpointName::new(&format!("e{n}")), endpoint);
    }
    let pool = config.pools.get_mut(&PoolName::new("www")).unwrap();
    pool.members = config.endpoints.keys().cloned().map(PoolMember::Endpoint).collect();
    edit(pool);
    config
}

/// One letter an endpoint: up, degraded, down or unknown.
fn verdicts(letters: &str) -> Health {
    let verdict = |letter| match letter {
        'u' => Verdict::Up,
        'g' => Verdict::Degraded,
        'd' => Verdict::Down,
        _ => Verdict::Unknown,
    };
    let one = |(n, letter): (usize, char)| {
        (EndpointName::new(&format!("e{}", n + 1)), EndpointHealth { verdict: verdict(letter) })
    };
    Health { endpoints: letters.chars().enumerate().map(one).collect(), ..healthy() }
}

fn answer(view: &View, kind: hickory_proto::rr::RecordType, turn: &mut u32) -> Message {
    let asked = query(&name("www.lb.example.test."), kind, None);
    Message::from_vec(&ask_bytes(view, &asked, turn)).unwrap()
}

fn addresses(view: &View, kind: hickory_proto::rr::RecordType) -> Vec<String> {
    answer(view, kind, &mut 0).answers.iter().map(|record| record.data.to_string()).collect()
}

fn owned(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

/// How many of a thousand answers begin with each address.
fn firsts(view: &View) -> BTreeMap<String, u32> {
    let (mut turn, mut counts) = (0, BTreeMap::new());
    for _ in 0..1000 {
        let answer = answer(view, A, &mut turn);
        *counts.entry(answer.answers[0].data.to_string()).or_default() += 1;
    }
    counts
}

fn of(counts: &BTreeMap<String, u32>, address: &str) -> u32 {
    counts.get(address).copied().unwrap_or(0)
}

#[test]
fn a_dead_endpoint_leaves_in_both_families() {
    let config = endpoints(|_| ());
    let view = view_of(vec![example()], &config, &verdicts("uduu"));
    assert_eq!(addresses(&view, AAAA), ["fd00::4:1", "fd00::4:3", "fd00::4:4"]);
    let mut four = addresses(&view, A);
    four.sort();
    assert_eq!(four, ["10.1.0.1", "10.1.0.3", "10.1.0.4", "10.1.0.5"]);
    let status = view.pools().into_iter().find(|pool| pool.name == "www").unwrap();
    assert_eq!(status.members[1].why, "most of those who probe it find it down");
    assert!(!status.members[1].answered);
}

#[test]
fn a_members_share_does_not_grow_with_its_addresses() {
    let view = view_of(vec![example()], &endpoints(|_| ()), &verdicts("uuuu"));
    let counts = firsts(&view);
    assert_eq!([1, 2, 3].map(|n| of(&counts, &format!("10.1.0.{n}"))), [250; 3]);
    assert_eq!([4, 5].map(|n| of(&counts, &format!("10.1.0.{n}"))), [125; 2]);
}

#[test]
fn weights_decide_who_comes_first_and_who_is_in_a_short_answer() {
    let weighted = |at_most| {
        endpoints(|pool| {
            pool.policy = Policy::Weighted(vec![3, 1, 0, 1]);
            pool.max_answers = at_most;
        })
    };
    for at_most in [None, Some(1), Some(2)] {
        let counts = firsts(&view_of(vec![example()], &weighted(at_most), &verdicts("uuuu")));
        assert_eq!([1, 2, 3, 4, 5].map(|n| of(&counts, &format!("10.1.0.{n}"))), [600, 200, 0, 100, 100]);
    }
    let view = view_of(vec![example()], &weighted(None), &verdicts("uuuu"));
    let status = view.pools().into_iter().find(|pool| pool.name == "www").unwrap();
    assert_eq!(status.members[2].why, "could be answered; its weight is 0 and others live");
    let last = view_of(vec![example()], &weighted(None), &verdicts("ddud"));
    assert_eq!(addresses(&last, A), ["10.1.0.3"], "weight 0 helps out");
    assert_eq!(firsts(&view_of(vec![example()], &weighted(Some(1)), &verdicts("dddd"))).len(), 5, "all down: all");
}

#[test]
fn failover_answers_the_first_that_lives() {
    let config = endpoints(|pool| pool.policy = Policy::Failover);
    for (letters, four, six) in [
        ("uuuu", vec!["10.1.0.1"], vec!["fd00::4:1"]),
        ("duuu", vec!["10.1.0.2"], vec!["fd00::4:2"]),
        ("dddu", vec!["10.1.0.4", "10.1.0.5"], vec!["fd00::4:4"]),
    ] {
        let view = view_of(vec![example()], &config, &verdicts(letters));
        assert_eq!((addresses(&view, A), addresses(&view, AAAA)), (owned(&four), owned(&six)), "{letters}");
    }
    let view = view_of(vec![example()], &config, &verdicts("uuuu"));
    let status = view.pools().into_iter().find(|pool| pool.name == "www").unwrap();
    assert_eq!(status.members[1].why, "could be answered; e1 comes first");
}

#[test]
fn the_unknown_count_as_the_pool_says() {
    let rcode = |config: &ClusterConfig, letters| {
        let view = view_of(vec![example()], config, &verdicts(letters));
        let answer = answer(&view, A, &mut 0);
        (answer.metadata.response_code, answer.answers.len())
    };
    let strict = endpoints(|pool| pool.all_down = AllDown::Nodata);
    assert_eq!(rcode(&strict, "u???"), (ResponseCode::NoError, 1));
    assert_eq!(rcode(&strict, "d?dd"), (ResponseCode::ServFail, 0), "not down, so not NODATA");
    assert_eq!(rcode(&strict, "dddd"), (ResponseCode::NoError, 0));
    let trusting = endpoints(|pool| pool.unknown = UnknownPolicy::All);
    assert_eq!(rcode(&trusting, "u??d"), (ResponseCode::NoError, 3));
}

#[test]
fn the_ttl_is_as_long_as_the_calm_within_limits() {
    let ttl = |ttl, calm: u32| {
        let health = Health { calm: [(PoolName::new("www"), calm)].into(), ..verdicts("uuuu") };
        let config = endpoints(|pool| pool.ttl = ttl);
        let text = "@ 9 SOA ns1 hostmaster 0 60 30 3600 5\n@ 9 NS ns1\nns1 9 A 10.0.0.7\nwww POOL www\n";
        let name = model::ZoneName::new("lb.example.test");
        let mut nothing = |file: &str| Err(file.to_owned());
        let zone = dns::zone::load(&name, "lb.zone", text, &BTreeMap::new(), &config, &mut nothing).unwrap();
        let view = view_of(vec![zone], &config, &health);
        answer(&view, A, &mut 0).answers[0].ttl
    };
    let elastic = Ttl { min: 5, max: 30 };
    assert_eq!([0, 4, 8, 16, 30, 64].map(|calm| ttl(elastic, calm)), [5, 5, 8, 16, 30, 30]);
    assert_eq!([0, 64].map(|calm| ttl(Ttl::fixed(10), calm)), [10, 10]);
}

/// Whose answers come first, of a thousand, by endpoint.
fn shares(config: &ClusterConfig, letters: &str) -> [u32; 4] {
    let counts = firsts(&view_of(vec![example()], config, &verdicts(letters)));
    [1, 2, 3, 4].map(|n| of(&counts, &format!("10.1.0.{n}")) + if n == 4 { of(&counts, "10.1.0.5") } else { 0 })
}

fn whys(config: &ClusterConfig, letters: &str) -> Vec<String> {
    let view = view_of(vec![example()], config, &verdicts(letters));
    let status = view.pools().into_iter().find(|pool| pool.name == "www").unwrap();
    status.members.into_iter().map(|member| member.why).collect()
}

#[test]
fn who_is_degraded_weighs_as_much_less_as_the_pool_says() {
    let with = |percent, policy: Policy, at_most| {
        endpoints(move |pool| (pool.degraded_weight, pool.policy, pool.max_answers) = (percent, policy, at_most))
    };
    for at_most in [None, Some(1), Some(2)] {
        assert_eq!(shares(&with(100, Policy::RoundRobin, at_most), "uguu"), [250; 4], "the default");
        assert_eq!(shares(&with(25, Policy::RoundRobin, at_most), "gguu"), [100, 100, 400, 400]);
        assert_eq!(shares(&with(50, Policy::RoundRobin, at_most), "gddg"), [500, 0, 0, 500], "nobody is better");
        let weighted = with(50, Policy::Weighted(vec![2, 4, 1, 1]), at_most);
        assert_eq!(shares(&weighted, "ggdu"), [250, 500, 0, 250]);
    }
    let half = with(50, Policy::RoundRobin, None);
    assert_eq!(whys(&half, "gudu")[0], "up, and not as it should be, and counts 50 % of its weight");
    assert_eq!(whys(&with(100, Policy::RoundRobin, None), "gudu")[0], "up, and not as it should be");
}

#[test]
fn who_is_degraded_and_weighs_nothing_helps_out() {
    let none = |policy: Policy| endpoints(move |pool| (pool.degraded_weight, pool.policy) = (0, policy));
    assert_eq!(shares(&none(Policy::RoundRobin), "guud"), [0, 500, 500, 0]);
    let why = "could be answered; it is degraded, `degraded-weight` is 0, and others are well";
    assert_eq!(whys(&none(Policy::RoundRobin), "guud")[0], why);
    let weighted = || none(Policy::Weighted(vec![3, 1, 0, 1]));
    assert_eq!(shares(&weighted(), "gdud"), [750, 0, 250, 0], "weight 0 counts as 1 where there is nobody else");
    assert_eq!(shares(&weighted(), "ggdd"), [750, 250, 0, 0], "all are degraded: their weights count");
    assert_eq!(shares(&none(Policy::Failover), "guud"), [1000, 0, 0, 0], "the first that lives");
}

#[test]
fn a_virtual_host_is_degraded_as_its_service_is() {
    let mut config = config();
    config.pools.get_mut(&PoolName::new("www")).unwrap().degraded_weight = 50;
    let mut health = healthy();
    let second = health.virtual_hosts.get_mut(&model::VirtualHostName::new("virtual2")).unwrap();
    second.verdict = Verdict::Degraded;
    let view = view_of(vec![example()], &config, &health);
    let counts = firsts(&view);
    assert_eq!([1, 2, 3].map(|n| of(&counts, &format!("10.0.0.10{n}"))), [400, 200, 400]);
    let status = view.pools().into_iter().find(|pool| pool.name == "www").unwrap();
    let why = "held by web2; its service is degraded, and counts 50 % of its weight";
    assert_eq!((status.members[1].answered, status.members[1].why.as_str()), (true, why));
}
