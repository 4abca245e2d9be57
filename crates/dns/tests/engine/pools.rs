//! Pools: who is answered, in which order, and what is said about it.

use std::sync::Arc;

use dns::{View, Zones};
use hickory_proto::{
    op::ResponseCode,
    rr::RecordType::{self, A, AAAA, ANY, TXT},
};
use model::{
    Health, PoolName, ServerName, VirtualHostName,
    config::{AllDown, ClusterConfig, UnknownPolicy},
    health::{ServerState, Verdict},
};

use crate::support::{ask, ask_bytes, config, example, healthy, held, name, query, view, view_of, without};

/// The addresses in an answer, in its order.
fn addresses(view: &View, pool: &str, kind: RecordType, turn: &mut u32) -> Vec<String> {
    let asked = query(&name(&format!("{pool}.lb.example.test.")), kind, None);
    let message = hickory_proto::op::Message::from_vec(&ask_bytes(view, &asked, turn)).unwrap();
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

fn sorted(view: &View, pool: &str, kind: RecordType) -> Vec<String> {
    let mut addresses = addresses(view, pool, kind, &mut 0);
    addresses.sort();
    addresses
}

fn rcode(view: &View, qname: &str, kind: RecordType) -> ResponseCode {
    ask(view, qname, kind).metadata.response_code
}

/// `member: in|out: why` for a pool.
fn reasons(view: &View, pool: &str) -> Vec<String> {
    let status = view.pools().into_iter().find(|status| status.name == pool).unwrap();
    let members = status.members.into_iter();
    members
        .map(|member| format!("{}: {}: {}", member.name, if member.answered { "in" } else { "out" }, member.why))
        .collect()
}

fn change(config: &mut ClusterConfig, pool: &str, edit: impl FnOnce(&mut model::config::Pool)) {
    edit(config.pools.get_mut(&PoolName::new(pool)).unwrap());
}

/// Nobody lives.
fn dark() -> Health {
    let mut health = healthy();
    health.servers.values_mut().for_each(|server| server.state = ServerState::Dead);
    health.virtual_hosts.values_mut().for_each(|host| {
        host.active = None;
        host.verdict = Verdict::Unknown;
    });
    health
}

#[test]
fn every_living_member_is_answered_in_both_families() {
    let view = view(&healthy());
    assert_eq!(sorted(&view, "www", A), ["10.0.0.101", "10.0.0.102", "10.0.0.103"]);
    assert_eq!(sorted(&view, "www", AAAA), ["fd00::1:1", "fd00::1:2", "fd00::1:3"]);
    assert_eq!(sorted(&view, "all", A), ["10.0.0.1", "10.0.0.103", "10.0.0.2"]);
    assert_eq!(
        reasons(&view, "www"),
        ["virtual1: in: held by web1", "virtual2: in: held by web2", "virtual3: in: held by web3",]
    );
    assert_eq!(reasons(&view, "all"), ["web1: in: alive", "web2: in: alive", "virtual3: in: held by web3"]);
}

#[test]
fn each_answer_starts_one_further_also_when_families_alternate() {
    let view = view(&healthy());
    let mut turn = 0;
    let mut firsts = Vec::new();
    for _ in 0..6 {
        let four = addresses(&view, "www", A, &mut turn);
        let six = addresses(&view, "www", AAAA, &mut turn);
        assert_eq!((four.len(), six.len()), (3, 3));
        let at = ["10.0.0.101", "10.0.0.102", "10.0.0.103"].iter().position(|first| *first == four[0]).unwrap();
        let order = (0..3).map(|next| format!("10.0.0.10{}", (at + next) % 3 + 1));
        assert_eq!(four, order.collect::<Vec<_>>());
        firsts.push((at, six[0].clone()));
    }
    let expected = [0, 1, 2, 0, 1, 2].map(|at| (at, format!("fd00::1:{}", at + 1)));
    assert_eq!(firsts, expected);
    // Around the end of the counter too.
    turn = u32::MAX;
    assert_eq!(addresses(&view, "www", A, &mut turn).len(), 3);
    assert_eq!(turn, 0xFFFF_0000);
    assert_eq!(addresses(&view, "www", AAAA, &mut turn).len(), 3);
    assert_eq!(turn, 0);
}

#[test]
fn max_answers_rotates_through_all() {
    let mut config = config();
    change(&mut config, "www", |pool| pool.max_answers = Some(2));
    let view = view_of(vec![example()], &config, &healthy());
    let mut turn = 0;
    let answers: Vec<_> = (0..3).map(|_| addresses(&view, "www", A, &mut turn)).collect();
    assert_eq!(answers, [["10.0.0.101", "10.0.0.102"], ["10.0.0.102", "10.0.0.103"], ["10.0.0.103", "10.0.0.101"],]);
}

#[test]
fn the_dead_and_those_on_standby_are_left_out() {
    let mut health = without(1, "web2");
    health.servers.get_mut(&ServerName::new("web2")).unwrap().standby = true;
    let view = view(&health);
    assert_eq!(sorted(&view, "all", A), ["10.0.0.103"]);
    assert_eq!(reasons(&view, "all"), ["web1: out: dead", "web2: out: on standby", "virtual3: in: held by web3"]);
}

#[test]
fn a_virtual_host_whose_service_is_down_or_that_nobody_holds_is_left_out() {
    let mut health = healthy();
    health.virtual_hosts.get_mut(&VirtualHostName::new("virtual1")).unwrap().verdict = Verdict::Down;
    let second = health.virtual_hosts.get_mut(&VirtualHostName::new("virtual2")).unwrap();
    (second.active, second.verdict) = (None, Verdict::Unknown);
    health.virtual_hosts.get_mut(&VirtualHostName::new("virtual3")).unwrap().verdict = Verdict::Unknown;
    let view = view(&health);
    assert_eq!(sorted(&view, "www", A), ["10.0.0.103"], "an unknown verdict is not down");
    assert_eq!(
        reasons(&view, "www"),
        ["virtual1: out: its service is down on web1", "virtual2: out: held by nobody", "virtual3: in: held by web3",]
    );
}

#[test]
fn a_doubled_virtual_host_is_thinned_out_unless_kept() {
    let health = without(1, "web2");
    let dropped = view(&health);
    assert_eq!(sorted(&dropped, "www", A), ["10.0.0.102", "10.0.0.103"]);
    assert_eq!(reasons(&dropped, "www")[0], "virtual1: out: on backup web2, which already answers for virtual2");
    let mut config = config();
    change(&mut config, "www", |pool| pool.keep_doubled = true);
    let kept = view_of(vec![example()], &config, &health);
    assert_eq!(sorted(&kept, "www", A), ["10.0.0.101", "10.0.0.102", "10.0.0.103"]);
    assert_eq!(reasons(&kept, "www")[0], "virtual1: in: held by backup web2");
}

#[test]
fn a_backup_that_answers_itself_doubles_too_and_one_that_does_not_answers() {
    let on_web2 = view(&without(3, "web2"));
    assert_eq!(sorted(&on_web2, "all", A), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(reasons(&on_web2, "all")[2], "virtual3: out: on backup web2, which already answers for web2");
    // virtual1 and virtual2 both on web3, whose own virtual host nobody holds: web3 answers once.
    let mut health = healthy();
    health.virtual_hosts.insert(VirtualHostName::new("virtual1"), held("web3", false));
    health.virtual_hosts.insert(VirtualHostName::new("virtual2"), held("web3", false));
    health.virtual_hosts.get_mut(&VirtualHostName::new("virtual3")).unwrap().active = None;
    let on_web3 = view(&health);
    assert_eq!(sorted(&on_web3, "www", A), ["10.0.0.101"]);
    assert_eq!(reasons(&on_web3, "www")[1], "virtual2: out: on backup web3, which already answers for virtual1");
}

#[test]
fn an_address_stays_where_its_holder_answers_in_the_other_family_only() {
    let mut config = config();
    config.virtual_hosts.get_mut(&VirtualHostName::new("virtual2")).unwrap().addresses.truncate(1);
    let view = view_of(vec![example()], &config, &without(1, "web2"));
    assert_eq!(sorted(&view, "www", A), ["10.0.0.102", "10.0.0.103"]);
    assert_eq!(sorted(&view, "www", AAAA), ["fd00::1:1", "fd00::1:3"]);
    assert!(reasons(&view, "www")[0].starts_with("virtual1: in:"));
}

#[test]
fn all_down_follows_its_policy_and_the_name_exists_still() {
    let with = |policy| {
        let mut config = config();
        change(&mut config, "www", |pool| pool.all_down = policy);
        view_of(vec![example()], &config, &dark())
    };
    let all = with(AllDown::All);
    assert_eq!(sorted(&all, "www", A).len(), 3);
    assert_eq!(reasons(&all, "www")[0], "virtual1: in: held by nobody; everything is down, so all are answered");
    let nodata = with(AllDown::Nodata);
    assert_eq!(sorted(&nodata, "www", A).len(), 0);
    assert_eq!(reasons(&nodata, "www")[0], "virtual1: out: held by nobody");
    let servfail = with(AllDown::Servfail);
    for kind in [A, AAAA, ANY] {
        let message = ask(&servfail, "www.lb.example.test.", kind);
        assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
        assert!(!message.metadata.authoritative && message.authorities.is_empty());
    }
    assert_eq!(rcode(&servfail, "www.lb.example.test.", TXT), ResponseCode::NoError, "what is static is known");
    let message = ask(&servfail, "web.lb.example.test.", A);
    assert_eq!(
        (message.metadata.response_code, message.answers.len()),
        (ResponseCode::ServFail, 0),
        "through an alias"
    );
}

#[test]
fn nothing_is_answered_from_ignorance() {
    let mut health = healthy();
    health.settled = false;
    let waiting = view(&health);
    assert_eq!(rcode(&waiting, "www.lb.example.test.", A), ResponseCode::ServFail);
    assert_eq!(rcode(&waiting, "mail.lb.example.test.", A), ResponseCode::NoError);
    assert_eq!(reasons(&waiting, "www")[0], "virtual1: out: held by web1; nothing is known yet");
    let mut config = config();
    change(&mut config, "www", |pool| pool.unknown = UnknownPolicy::All);
    let bold = view_of(vec![example()], &config, &health);
    assert_eq!(sorted(&bold, "www", A).len(), 3);
    health.isolated = true;
    let isolated = view_of(vec![example()], &config, &health);
    assert_eq!(rcode(&isolated, "www.lb.example.test.", A), ResponseCode::ServFail);
    assert_eq!(rcode(&isolated, "ns1.lb.example.test.", A), ResponseCode::NoError);
    assert!(reasons(&isolated, "www")[0].ends_with("this server is isolated and vouches for nothing"));
}

#[test]
fn views_share_the_zones() {
    let zones = Arc::new(Zones::compile(vec![example()], &config()));
    let views: Vec<_> = (0..3).map(|_| View::build(&zones, &healthy(), "web1")).collect();
    assert_eq!(Arc::strong_count(&zones), 4, "no view has a copy");
    assert_eq!(views[0].serial(), 2_026_112_301);
    assert_eq!(views[0].zone_names().map(|name| name.as_str()).collect::<Vec<_>>(), ["lb.example.test"]);
}

#[test]
fn an_unconfigured_health_answers_nobody() {
    let view = view(&Health { settled: true, ..Health::default() });
    assert_eq!(reasons(&view, "all")[0], "web1: in: not heard so far; everything is down, so all are answered");
}
