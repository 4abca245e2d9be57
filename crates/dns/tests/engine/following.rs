//! Records that follow a pool: SRV-POOL and HTTPS-POOL, from the template to the answer.

use std::collections::BTreeMap;

use dns::{View, Zone};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType::{self, A, ANY, HTTPS, SRV, TXT},
};
use model::{
    Health, PoolName, ZoneName,
    config::{AllDown, ClusterConfig, Policy, Ttl},
};

use crate::support::{ask_bytes, config, healthy, name, query, view_of, without};

const TEMPLATE: &str = "\
$TTL 300
@ SOA ns1 hostmaster 0 60 30 3600 5
@ NS ns1
ns1 A 10.0.0.7
www POOL www
www HTTPS-POOL www *.hosts alpn=h2
_http._tcp SRV-POOL www 80 *.hosts
_imap._tcp 7 SRV-POOL all 143 *.servers
alias._tcp CNAME _http._tcp
";

fn load(config: &ClusterConfig, text: &str) -> Result<Zone, String> {
    let mut nothing = |file: &str| Err(file.to_owned());
    let name = ZoneName::new("lb.example.test");
    dns::zone::load(&name, "lb.zone", text, &BTreeMap::new(), config, &mut nothing)
        .map_err(|mistakes| mistakes.iter().map(|mistake| format!("{}: {}", mistake.line, mistake.message)).collect())
}

fn answer(view: &View, label: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let asked = query(&name(&format!("{label}.lb.example.test.")), kind, Some(1232));
    let message = Message::from_vec(&ask_bytes(view, &asked, &mut 0)).unwrap();
    let records = message.answers.iter();
    let records =
        records.map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data));
    (message.metadata.response_code, records.collect())
}

fn under(policy: Policy, health: &Health) -> View {
    let mut config = config();
    let pool = config.pools.get_mut(&PoolName::new("www")).unwrap();
    pool.policy = policy;
    pool.keep_doubled = true;
    pool.all_down = AllDown::Nodata;
    pool.ttl = Ttl { min: 2, max: 20 };
    view_of(vec![load(&config, TEMPLATE).unwrap()], &config, health)
}

#[test]
fn one_srv_record_for_each_member_that_is_answered() {
    let view = under(Policy::RoundRobin, &healthy());
    let expected =
        [1, 2, 3].map(|n| format!("_http._tcp.lb.example.test. 2 SRV 1 1 80 virtual{n}.hosts.lb.example.test."));
    assert_eq!(answer(&view, "_http._tcp", SRV), (ResponseCode::NoError, expected.into()));
    let (_, addresses) = answer(&view, "virtual2.hosts", A);
    assert_eq!(addresses, ["virtual2.hosts.lb.example.test. 300 A 10.0.0.102"], "the targets resolve");
    let (_, servers) = answer(&view, "_imap._tcp", SRV);
    assert_eq!(servers[0], "_imap._tcp.lb.example.test. 7 SRV 1 1 143 web1.servers.lb.example.test.");
    let mut calm = healthy();
    calm.calm.insert(PoolName::new("www"), 16);
    assert!(answer(&under(Policy::RoundRobin, &calm), "_http._tcp", SRV).1[0].contains(" 16 SRV "));
}

#[test]
fn priorities_are_the_order_of_failover_and_weights_those_of_the_pool() {
    let of = |policy, health: &Health| {
        let (_, records) = answer(&under(policy, health), "_http._tcp", SRV);
        records.iter().map(|record| record.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let mut dead = healthy();
    dead.virtual_hosts.values_mut().next().unwrap().active = None;
    assert_eq!(
        of(Policy::Failover, &healthy()),
        [1, 2, 3].map(|n| format!("{n} 0 80 virtual{n}.hosts.lb.example.test."))
    );
    assert_eq!(
        of(Policy::Failover, &dead),
        [(1, 2), (2, 3)].map(|(place, n)| format!("{place} 0 80 virtual{n}.hosts.lb.example.test."))
    );
    assert_eq!(
        of(Policy::Weighted(vec![5, 0, 2]), &healthy()),
        [(5, 1), (2, 3)].map(|(weight, n)| format!("1 {weight} 80 virtual{n}.hosts.lb.example.test."))
    );
}

#[test]
fn https_records_carry_the_members_addresses_as_hints() {
    let (_, records) = answer(&under(Policy::Failover, &without(1, "web2")), "www", HTTPS);
    assert_eq!(records.len(), 3);
    assert!(
        records[1].starts_with("www.lb.example.test. 2 HTTPS 2 virtual2.hosts.lb.example.test. alpn="),
        "{records:?}"
    );
    assert!(records[1].contains("ipv4hint=10.0.0.102") && records[1].contains("ipv6hint=fd00::1:2"), "{records:?}");
}

#[test]
fn what_is_not_known_or_not_there_is_said_as_for_addresses() {
    let mut nobody = healthy();
    nobody.virtual_hosts.values_mut().for_each(|host| host.active = None);
    assert_eq!(answer(&under(Policy::RoundRobin, &nobody), "_http._tcp", SRV), (ResponseCode::NoError, vec![]));
    let isolated = Health { isolated: true, ..healthy() };
    assert_eq!(answer(&under(Policy::RoundRobin, &isolated), "_http._tcp", SRV).0, ResponseCode::ServFail);
    let view = under(Policy::RoundRobin, &healthy());
    assert_eq!(answer(&view, "_http._tcp", TXT), (ResponseCode::NoError, vec![]));
    assert_eq!(answer(&view, "_http._tcp", ANY).1.len(), 3);
    assert_eq!(answer(&view, "nothing._tcp", SRV).0, ResponseCode::NXDomain);
    let (_, through) = answer(&view, "alias._tcp", SRV);
    assert_eq!(through.len(), 4);
    assert!(through[3].starts_with("_http._tcp.lb.example.test. 2 SRV"), "{through:?}");
}

#[test]
fn a_rendered_zone_is_plain_and_loads_again() {
    let config = config();
    let zone = load(&config, TEMPLATE).unwrap();
    let members =
        |pool: &PoolName| config.pools[pool].members.iter().flat_map(|member| config.addresses_of(member)).collect();
    let text = zone.render(&members, 7);
    assert!(text.contains("_http._tcp.lb.example.test.\t5\tIN\tSRV\t1 1 80 virtual1.hosts.lb.example.test."), "{text}");
    assert!(!text.contains("POOL"), "{text}");
    let again = load(&config, &text).unwrap();
    assert_eq!(again.render(&members, 7).lines().count(), text.lines().count());
}
