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

fn died(heard_ms: u64, silent_ms: u64, by: &str) -> (u64, &str, serde_json::Value) {
    (heard_ms + silent_ms, by, json!({"event": "peer-dead", "server": "web1", "silent_ms": silent_ms}))
}

#[test]
fn every_witness_narrows_down_when_a_server_died() {
    let refused = |at, by| (at, by, json!({"event": "peer-refused", "server": "web1", "silent_ms": 9}));
    let stories =
        told(&[refused(10_019, "web3"), refused(10_031, "web2"), died(10_000, 162, "web2"), died(10_001, 163, "web3")]);
    // Heard at 10,000 and 10,001, refused at 10,019.
    assert_eq!((stories[0].began_ms, stories[0].began_within_ms), (10_010, 9));
    let later = told(&[died(10_000, 162, "web2"), refused(10_170, "web3"), died(10_001, 190, "web3")]);
    assert_eq!((later[0].began_ms, later[0].began_within_ms), (10_025, 25), "that tells nothing new");
}

#[test]
fn whose_machine_still_answers_is_missed_only_when_it_ceases_to() {
    let stories = told(&[
        (1_000, "web1", active("v1")),
        died(10_000, 162, "web2"),
        (10_170, "web2", json!({"event": "holder-answers", "virtual_host": "v1"})),
        (12_340, "web2", json!({"event": "taking", "virtual_host": "v1", "cause": "server-dead", "unanswered_ms": 40})),
        (12_342, "web2", active("v1")),
    ]);
    let moved = &stories[0].moves[0];
    assert_eq!((moved.gap_ms, moved.gap_within_ms), (Some(42), 12));
    assert_eq!((stories[0].began_ms, stories[0].trouble), (10_025, Trouble::Died));
}

#[test]
fn a_daemon_that_ends_by_itself_is_no_planned_stop_and_says_afterwards_how_it_was() {
    let left = json!({"event": "peer-left", "server": "web1", "planned": false, "silent_ms": 30});
    let mut events = vec![
        (1_000, "web1", active("v1")),
        (10_030, "web2", left.clone()),
        (10_031, "web3", left),
        (10_031, "web2", taking("v1", "server-left")),
        (10_033, "web2", active("v1")),
    ];
    let story = &told(&events)[0];
    assert_eq!((story.trouble, story.began_ms, story.began_within_ms), (Trouble::DaemonDied, 10_015, 15));
    assert_eq!((story.moves[0].gap_ms, story.ended_ms), (Some(3), None));

    let own =
        |how: &str| json!({"event": "daemon-ended", "how": how, "ended_ms": 190, "within_ms": 0, "released_ms": 172});
    events.push((10_200, "web1", own("died")));
    events.push((10_300, "web2", json!({"event": "peer-alive", "server": "web1", "boot": "x"})));
    let stories = told(&events);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!((story.began_ms, story.began_within_ms, story.ended_ms), (10_010, 0, Some(10_300)));
    assert_eq!((story.moves[0].gap_ms, story.moves[0].gap_within_ms), (Some(5), 0));
    events[5].2 = own("hung");
    let story = &told(&events)[0];
    assert_eq!(story.trouble, Trouble::Hung);
    assert!(story.cause.contains("its guardian killed it"), "{}", story.cause);
}

#[test]
fn a_service_failed_between_two_probes() {
    let monitor = |verdict: &str, since: u64, within: u64| {
        json!({"event": "monitor-changed", "monitor": {"virtual_host": "v2", "monitor": "http"}, "verdict": verdict,
            "reason": "r", "since_ms": since, "within_ms": within})
    };
    let stories = told(&[
        (1_000, "web2", active("v2")),
        (7_000, "web2", monitor("down", 2_500, 500)),
        (7_001, "web2", released("v2")),
        (7_003, "web3", active("v2")),
        (9_000, "web2", monitor("up", 250, 50)),
    ]);
    let story = &stories[0];
    assert_eq!((story.began_ms, story.began_within_ms), (4_500, 500));
    assert_eq!((story.moves[0].gap_ms, story.moves[0].gap_within_ms), (Some(2_503), 500));
    assert_eq!((story.ended_ms, story.ended_within_ms), (Some(8_750), 50));
}

#[test]
fn a_service_that_works_less_well_is_a_story_until_it_works_as_it_should() {
    let monitor = |verdict: &str| json!({"event": "monitor-changed", "monitor": {"virtual_host": "v2", "monitor": "http"}, "verdict": verdict, "reason": "r"});
    let stories = told(&[
        (1_000, "web2", active("v2")),
        (5_000, "web2", monitor("degraded")),
        (5_001, "web2", released("v2")),
        (5_003, "web3", active("v2")),
        (8_000, "web2", monitor("down")),
        (8_500, "web2", monitor("degraded")),
        (9_000, "web2", monitor("up")),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!((story.trouble, story.began_ms, story.ended_ms), (Trouble::ServiceDown, 5_000, Some(9_000)));
    assert_eq!(story.moves[0].gap_ms, Some(2), "it was served until then");
    let stories = told(&[(1_000, "web2", active("v2")), (5_000, "web2", monitor("degraded"))]);
    assert_eq!((stories[0].trouble, stories[0].stayed.as_ref()), (Trouble::Degraded, None));
}

#[test]
fn clients_answers_are_told_before_during_and_after() {
    let answers = |count: usize, before: usize, member: &str, ago: u64| {
        let set = |count: usize| json!({"count": count, "listed": (1..=count).map(|last| format!("192.0.2.{last}")).collect::<Vec<_>>()});
        json!({"event": "answers-changed", "pool": "lb", "before": set(before), "after": set(count), "added": [],
            "dropped": [], "members": [member], "ago_ms": ago})
    };
    let stories = told(&[
        (1_000, "web1", active("v1")),
        (9_950, "web3", answers(3, 2, "v1", 0)),
        // One server's publisher was quicker than the other's journal.
        (10_161, "web3", answers(2, 3, "v1", 0)),
        died(10_000, 162, "web2"),
        (10_162, "web2", answers(2, 3, "v1", 2)),
        (10_163, "web2", taking("v1", "server-dead")),
        (10_164, "web2", active("v1")),
        (20_000, "web2", json!({"event": "peer-alive", "server": "web1", "boot": "x"})),
        (20_100, "web2", answers(3, 2, "v2", 100)),
        (90_000, "web2", answers(1, 3, "v9", 0)),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    let [pool] = &story.answers[..] else { panic!("{:#?}", story.answers) };
    assert_eq!((pool.pool.as_str(), pool.before.count), ("lb", Some(3)));
    let changes: Vec<_> =
        pool.changes.iter().map(|one| (one.at_ms, one.server.as_str(), one.servers, one.answers.count)).collect();
    assert_eq!(changes, [(10_160, "web2", 2, Some(2)), (20_000, "web2", 1, Some(3))]);
    assert_eq!(pool.fewer_ms(30_000), 9_840);
    assert_eq!(story.timeline.iter().filter(|line| line.message == "answers-changed").count(), 2, "each change once");
}

#[test]
fn an_id_finds_its_story_also_when_an_earlier_witness_has_spoken() {
    let known = told(&[died(10_000, 162, "web2")]);
    let all = told(&[died(9_999, 161, "web3"), died(10_000, 162, "web2")]);
    assert_ne!(all[0].id, known[0].id);
    // Numbers in a stream do not change; in this test they count all entries.
    let renamed = known[0].id.replace("-1-", "-2-");
    assert!(all[0].is_called(&renamed) && all[0].is_called(&all[0].id), "{all:#?}");
}

#[test]
fn who_is_not_heard_and_does_not_hear_is_cut_off_also_where_both_sides_go_on() {
    let alive = |at, by, of: &str| (at, by, json!({"event": "peer-alive", "server": of, "boot": "x"}));
    let healed = [alive(20_000, "web2", "web1"), alive(20_001, "web1", "web2"), alive(20_001, "web3", "web1")];
    let mut dead = vec![("web1", "web2"), ("web2", "web1"), ("web1", "web3"), ("web3", "web1")];
    // Whoever speaks first.
    for _ in 0..4 {
        dead.rotate_left(1);
        let event = |(number, (by, of)): (u64, &(&'static str, &str))| {
            let silent = 155 + number;
            (10_005 + silent, *by, json!({"event": "peer-dead", "server": of, "silent_ms": silent}))
        };
        let mut all: Vec<_> = (0..).zip(&dead).map(event).collect();
        all.push((10_500, "web1", json!({"event": "endpoint-changed", "endpoint": "e0", "verdict": "down"})));
        all.extend(healed.clone());
        let answers = |count: usize| json!({"count": count, "listed": []});
        let changed = |at: u64, before, after| {
            (
                at,
                "web2",
                json!({"event": "answers-changed", "pool": "lb", "before": answers(before), "after": answers(after), "members": ["v1"], "ago_ms": 0}),
            )
        };
        // Told as a part of whichever story there was at that moment.
        all.insert(1, changed(10_160, 6, 4));
        all.insert(all.len() - 3, changed(11_000, 4, 6));
        let stories = told(&all);
        let [story] = &stories[..] else { panic!("{dead:?}: {stories:#?}") };
        let counts: Vec<_> = story.answers[0].changes.iter().map(|change| change.answers.count).collect();
        assert_eq!((story.answers[0].before.count, &counts[..]), (Some(6), &[Some(4), Some(6)][..]), "{dead:?}");
        assert_eq!((story.subject.as_str(), story.trouble), ("web1", Trouble::CutOff), "{dead:?}");
        assert_eq!((story.began_ms, story.began_within_ms), (10_030, 25), "{dead:?}");
        assert!(story.ended_ms.is_some(), "{story:#?}");
    }
}

/// Who has lost its link lets go at once, and answers less before the others know: that is when clients were answered less.
#[test]
fn what_was_answered_before_is_what_whoever_changed_first_says() {
    let answers = |count: Option<usize>| json!({"count": count, "listed": []});
    let changed = |at: u64, by, before, after| {
        let (before, after) = (answers(before), answers(after));
        (
            at,
            by,
            json!({"event": "answers-changed", "pool": "lb", "before": before, "after": after, "members": ["v1"], "ago_ms": 0}),
        )
    };
    let dead = |at, by, of: &str| (at, by, json!({"event": "peer-dead", "server": of, "silent_ms": 162}));
    let alive = |at, by, of: &str| (at, by, json!({"event": "peer-alive", "server": of, "boot": "x"}));
    let stories = told(&[
        changed(10_118, "web1", Some(6), Some(4)),
        (10_124, "web1", json!({"event": "isolated"})),
        changed(10_128, "web1", Some(4), None),
        dead(10_162, "web1", "web2"),
        dead(10_162, "web1", "web3"),
        dead(10_163, "web2", "web1"),
        dead(10_163, "web3", "web1"),
        changed(10_168, "web3", Some(6), Some(4)),
        changed(10_171, "web2", Some(6), Some(4)),
        (10_875, "web1", json!({"event": "rejoined"})),
        alive(10_876, "web1", "web2"),
        alive(10_876, "web1", "web3"),
        alive(10_877, "web2", "web1"),
        alive(10_878, "web3", "web1"),
        changed(10_879, "web2", Some(4), Some(6)),
        changed(10_881, "web3", Some(4), Some(6)),
        changed(11_028, "web1", None, Some(6)),
    ]);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    let [pool] = &story.answers[..] else { panic!("{story:#?}") };
    let changes: Vec<_> =
        pool.changes.iter().map(|one| (one.at_ms, one.server.as_str(), one.servers, one.answers.count)).collect();
    assert_eq!(pool.before.count, Some(6), "{pool:#?}");
    let expected = [(10_118, "web1", 3, Some(4)), (10_128, "web1", 1, None), (10_879, "web2", 3, Some(6))];
    assert_eq!(changes, expected);
}
