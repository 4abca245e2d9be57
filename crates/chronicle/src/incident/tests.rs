use serde_json::json;

use super::*;
use crate::{Entry, Stamp};

/// `(milliseconds, who notes it, the event)`.
fn told(events: &[(u64, &str, serde_json::Value)]) -> Vec<Incident> {
    let mut teller = Teller::new(50);
    for (sequence, (wall_ms, by, fields)) in (1..).zip(events) {
        let serde_json::Value::Object(fields) = fields.clone() else { unreachable!("events are objects") };
        teller.hear(&Entry {
            stamp: Stamp { wall_ms: *wall_ms, count: 0 },
            stream: format!("{by}-0000000000000001").parse().unwrap(),
            sequence,
            level: Level::Warn,
            security: false,
            message: fields["event"].as_str().unwrap().to_owned(),
            about: Vec::new(),
            fields,
        });
    }
    teller.finish()
}

fn active(host: &str) -> serde_json::Value {
    json!({"event": "active", "virtual_host": host, "term": 2, "took_us": 900})
}

fn taking(host: &str, cause: &str) -> serde_json::Value {
    json!({"event": "taking", "virtual_host": host, "term": 2, "cause": cause})
}

fn released(host: &str) -> serde_json::Value {
    json!({"event": "released", "virtual_host": host, "took_us": 300})
}

#[test]
fn a_death_is_one_story_from_the_silence_to_the_return() {
    let stories = told(&[
        (1_000, "web1", taking("v1", "unheld")),
        (1_001, "web1", active("v1")),
        (60_100, "web2", json!({"event": "peer-suspected", "server": "web1", "silent_ms": 75})),
        (60_150, "web2", json!({"event": "peer-dead", "server": "web1", "silent_ms": 150})),
        (60_152, "web3", json!({"event": "peer-dead", "server": "web1", "silent_ms": 151})),
        (60_152, "web2", taking("v1", "server-dead")),
        (60_154, "web2", active("v1")),
        (90_000, "web2", json!({"event": "peer-alive", "server": "web1", "boot": "x"})),
        (90_001, "web3", json!({"event": "peer-alive", "server": "web1", "boot": "x"})),
        (91_000, "web2", released("v1")),
        (91_001, "web1", taking("v1", "failback")),
        (91_002, "web1", active("v1")),
        (99_000, "web2", json!({"event": "peer-suspected", "server": "web1", "silent_ms": 75})),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!((story.subject.as_str(), story.trouble), ("web1", Trouble::Died));
    // Silent for 150 ms at 60,150: last heard at 60,000, dead 25 ms after that.
    assert_eq!((story.began_ms, story.ended_ms), (60_025, Some(90_001)));
    let moves: Vec<_> =
        story.moves.iter().map(|m| (m.from.as_deref(), m.to.as_str(), m.gap_ms, m.cause.as_str())).collect();
    assert_eq!(moves, [(Some("web1"), "web2", Some(129), "server-dead"), (Some("web2"), "web1", Some(2), "failback")]);
    assert_eq!(story.timeline.len(), 10, "{:#?}", story.timeline);
    assert_eq!(story.timeline[0].message, "peer-suspected");
}

#[test]
fn a_server_that_says_it_was_alone_did_not_die() {
    let stories = told(&[
        (10_000, "web2", json!({"event": "peer-dead", "server": "web1", "silent_ms": 150})),
        (10_001, "web1", json!({"event": "peer-dead", "server": "web2", "silent_ms": 150})),
        (10_002, "web1", json!({"event": "isolated"})),
        (10_003, "web1", json!({"event": "peer-dead", "server": "web3", "silent_ms": 150})),
        (20_000, "web1", json!({"event": "rejoined"})),
        (20_000, "web2", json!({"event": "peer-alive", "server": "web1", "boot": "x"})),
        (20_001, "web1", json!({"event": "peer-alive", "server": "web2", "boot": "x"})),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!((story.subject.as_str(), story.trouble, story.ended_ms), ("web1", Trouble::CutOff, Some(20_000)));
    let lines: Vec<_> = story.timeline.iter().map(|line| (line.server.as_str(), line.message.as_str())).collect();
    assert_eq!(lines[..4], [("web2", "peer-dead"), ("web1", "peer-dead"), ("web1", "isolated"), ("web1", "peer-dead")]);
}

#[test]
fn a_failed_service_moves_with_its_gap_and_returns() {
    let monitor = |verdict: &str| json!({"event": "monitor-changed", "monitor": {"virtual_host": "v2", "monitor": "http"}, "verdict": verdict, "reason": "r"});
    let stories = told(&[
        (1_000, "web2", active("v2")),
        (5_000, "web2", monitor("down")),
        (5_000, "web2", json!({"event": "releasing", "virtual_host": "v2", "to": "web3", "cause": "service-failed"})),
        (5_001, "web2", released("v2")),
        (5_001, "web3", taking("v2", "service-failed")),
        (5_002, "web3", active("v2")),
        (9_000, "web2", monitor("up")),
        (10_000, "web3", released("v2")),
        (10_002, "web2", active("v2")),
        (30_000, "web2", monitor("down")),
    ]);
    let [story, next] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!((story.trouble, story.began_ms, story.ended_ms), (Trouble::ServiceDown, 5_000, Some(9_000)));
    let gaps: Vec<_> = story.moves.iter().map(|moved| moved.gap_ms).collect();
    assert_eq!(gaps, [Some(2), Some(2)]);
    assert_eq!((next.began_ms, next.ended_ms, next.moves.len()), (30_000, None, 0));
}

#[test]
fn a_release_that_is_noted_behind_its_taking_is_no_change_of_hands() {
    let stories = told(&[
        (1_000, "web2", active("v1")),
        (2_000, "web1", json!({"event": "standby", "server": "web2", "on": true})),
        (2_001, "web1", taking("v1", "standby")),
        (2_002, "web1", active("v1")),
        (2_002, "web2", released("v1")),
        (5_000, "web3", json!({"event": "peer-dead", "server": "web1", "silent_ms": 150})),
        (5_001, "web3", active("v1")),
    ]);
    let moves: Vec<_> = stories.iter().flat_map(|story| &story.moves).collect();
    let hops: Vec<_> = moves.iter().map(|m| (m.from.as_deref(), m.to.as_str(), m.gap_ms)).collect();
    assert_eq!(hops, [(Some("web2"), "web1", Some(0)), (Some("web1"), "web3", Some(126))]);
}

#[test]
fn a_stop_of_which_only_others_tell_has_its_moves_too() {
    let stories = told(&[
        (1_000, "web3", active("v3")),
        (4_000, "web3", active("v4")),
        (4_001, "web1", taking("v4", "failback")),
        (4_002, "web1", active("v4")),
        (5_011, "web1", taking("v3", "server-left")),
        (5_012, "web1", active("v3")),
        (5_020, "web1", json!({"event": "peer-left", "server": "web3"})),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!((story.moves.len(), story.moves[0].from.as_deref()), (1, Some("web3")));
    assert_eq!(story.timeline.len(), 3);
}

#[test]
fn a_planned_stop_says_so_and_counts_from_the_release() {
    let stories = told(&[
        (1_000, "web3", active("v3")),
        (5_000, "web3", json!({"event": "resigning"})),
        (5_010, "web3", released("v3")),
        (5_011, "web1", taking("v3", "server-left")),
        (5_012, "web1", active("v3")),
        (5_020, "web1", json!({"event": "peer-left", "server": "web3"})),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert!(story.trouble.is_planned() && story.ended_ms.is_none());
    assert_eq!((story.subject.as_str(), story.longest_gap_ms()), ("web3", Some(2)));
}

#[test]
fn what_fails_everywhere_is_one_story_that_all_servers_end() {
    let fault = json!({"event": "shared-fault", "failed": 6, "watched": 6, "servers": 3});
    let over = json!({"event": "shared-fault-over", "failed": 0, "watched": 6, "lasted_ms": 900});
    let stories = told(&[
        (1_000, "web1", fault.clone()),
        (1_002, "web2", fault),
        (1_900, "web1", over.clone()),
        (1_904, "web2", over),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!((story.trouble, story.ended_ms), (Trouble::SharedCause, Some(1_904)));
}

#[test]
fn what_is_suspected_and_recovers_is_no_incident() {
    let stories = told(&[
        (1_000, "web2", json!({"event": "peer-suspected", "server": "web1", "silent_ms": 75})),
        (1_010, "web2", json!({"event": "peer-recovered", "server": "web1"})),
    ]);
    assert_eq!(stories, []);
}

#[test]
fn a_story_lists_so_many_lines_and_counts_the_rest() {
    let flips = (0..300_u64).map(|n| (1_000 + n, "web2", json!({"event": "path-down", "virtual_host": "v1"})));
    let stories = told(&flips.collect::<Vec<_>>());
    assert_eq!((stories.len(), stories[0].timeline.len(), stories[0].more), (1, LONGEST, 100));
}
