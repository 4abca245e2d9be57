//! Reasons: each way to an answer in words, and the pool that decides.

use crate::support::{healthy, view, without};

fn steps(name: &str, kind: &str) -> (String, Vec<String>) {
    let why = view(&without(1, "web2")).why(name, kind).unwrap();
    (why.rcode, why.steps)
}

#[test]
fn each_way_to_an_answer_is_told() {
    let expect = |name: &str, kind: &str, rcode: &str, last: &str| {
        let (found, steps) = steps(name, kind);
        assert_eq!((found.as_str(), steps.last().map(String::as_str)), (rcode, Some(last)), "{name} {kind}");
    };
    expect("www.lb.example.test", "a", "NOERROR", "www.lb.example.test. has the addresses of the pool www");
    expect("www.lb.example.test.", "TXT", "NOERROR", "www.lb.example.test. has records of type TXT");
    expect("www.lb.example.test", "SRV", "NOERROR", "www.lb.example.test. exists and has no record of type SRV");
    expect("www.elsewhere.test", "A", "REFUSED", "www.elsewhere.test. is in no zone of ours");
    let (rcode, aliases) = steps("web.lb.example.test", "TYPE1");
    assert_eq!(rcode, "NOERROR");
    assert_eq!(aliases.len(), 2, "{aliases:?}");
    assert_eq!(aliases[0], "web.lb.example.test. is an alias (CNAME) of www.lb.example.test.");
    let nothing = "nothing.lb.example.test. does not exist; the closest name that does is lb.example.test.";
    expect("nothing.lb.example.test", "A", "NXDOMAIN", nothing);
}

#[test]
fn the_pool_says_who_is_in_and_which_rule_decided() {
    let why = view(&without(1, "web2")).why("www.lb.example.test", "A").unwrap();
    let pool = why.pool.unwrap();
    assert_eq!((pool.name.as_str(), pool.policy.as_str(), pool.ttl), ("www", "round-robin", 5));
    assert_eq!(pool.rule, "each living member comes first equally often");
    assert_eq!(pool.ttl_why, "it is fixed");
    assert_eq!(pool.members[0].why, "on backup web2, which already answers for virtual2");
    assert_eq!(
        why.answer,
        ["www.lb.example.test.\t5\tIN\tA\t10.0.0.102", "www.lb.example.test.\t5\tIN\tA\t10.0.0.103"]
    );
    let isolated = model::Health { isolated: true, ..healthy() };
    let why = view(&isolated).why("www.lb.example.test", "A").unwrap();
    assert_eq!(why.rcode, "SERVFAIL");
    assert!(why.pool.unwrap().rule.starts_with("this server is isolated"));
}

#[test]
fn what_is_no_name_or_type_is_refused() {
    assert!(view(&healthy()).why("a..b", "A").is_err());
    assert!(view(&healthy()).why("www.lb.example.test", "WHATEVER").is_err());
}
