//! When everything fails at once: what moves, what stays, and what is no reason to stay.

use cluster::Command;
use model::{config::ClusterConfig, event::Event};

use crate::stage::{Stage, config, host, monitored, ms, name};

/// Three servers, three virtual hosts at home on each of them; the services of a machine fail together.
fn three() -> ClusterConfig {
    let hosts = ["v1: a b c", "v2: b c a", "v3: c a b"];
    ["v1", "v2", "v3"].into_iter().fold(config("a b c", &hosts), monitored)
}

fn fails(stage: &mut Stage, servers: &str, works: bool) {
    servers.split(' ').for_each(|server| stage.machine(server).service = Some(works));
}

fn placed(stage: &Stage) -> String {
    ["v1", "v2", "v3"].map(|host| stage.holders(host)).join(" ")
}

/// How often each kind was told by each server.
fn told(stage: &Stage) -> [(usize, usize); 3] {
    let count = |server, kind: fn(&&&Event) -> bool| stage.events(server).iter().filter(kind).count();
    ["a", "b", "c"].map(|server| {
        let begun = count(server, |event| matches!(event, Event::SharedFault { .. }));
        (begun, count(server, |event| matches!(event, Event::SharedFaultOver { .. })))
    })
}

#[test]
fn the_first_failure_moves_and_those_after_it_do_not() {
    let mut stage = Stage::settled(three());
    fails(&mut stage, "a", false);
    stage.until(|stage| placed(stage) == "b b c");
    fails(&mut stage, "b", false);
    stage.run(ms(1_300));
    assert_eq!(told(&stage), [(1, 0); 3]);
    let before = stage.changes();
    fails(&mut stage, "c", false);
    stage.run(ms(20_000));
    assert_eq!((placed(&stage).as_str(), stage.changes()), ("b b c", before));
    let status = stage.node("c").status(stage.now).shared_fault.unwrap();
    assert_eq!((status.failed, status.watched, status.stays), (9, 9, false));
    fails(&mut stage, "c", true);
    stage.run(ms(1_500));
    fails(&mut stage, "a b", true);
    while placed(&stage) != "a b c" {
        assert_eq!(placed(&stage), "b b c", "nobody runs to the first that is back");
        let moved = |stage: &Stage| stage.holders("v1") != "b";
        stage.until(moved);
        stage.run(ms(2));
    }
    assert_eq!((told(&stage), stage.node("b").status(stage.now).shared_fault), ([(1, 1); 3], None));
    assert_eq!(stage.changes(), before + 4, "v1 is at home again, by failback");
}

#[test]
fn where_it_works_all_the_same_is_used_when_all_is_quiet() {
    let mut stage = Stage::settled(three());
    fails(&mut stage, "a", false);
    stage.until(|stage| placed(stage) == "b b c");
    fails(&mut stage, "b", false);
    stage.until(|stage| told(stage) == [(1, 0); 3]);
    stage.run(ms(1));
    let waited = stage.until(|stage| placed(stage) == "c c c");
    assert!((ms(2_990)..ms(3_010)).contains(&waited), "a span, on time: {waited:?}");
}

#[test]
fn who_dies_or_goes_on_standby_meanwhile_is_stood_in_for_at_once() {
    let mut stage = Stage::settled(three());
    fails(&mut stage, "a", false);
    stage.until(|stage| placed(stage) == "b b c");
    fails(&mut stage, "b", false);
    stage.until(|stage| told(stage) == [(1, 0); 3]);
    stage.command("b", Command::Standby(name("b")));
    let waited = stage.until(|stage| placed(stage) == "c c c");
    assert!(waited < ms(20), "{waited:?}");

    let mut stage = Stage::settled(three());
    fails(&mut stage, "a", false);
    stage.until(|stage| placed(stage) == "b b c");
    fails(&mut stage, "b", false);
    stage.until(|stage| told(stage) == [(1, 0); 3]);
    stage.kill("b");
    let waited = stage.until(|stage| placed(stage) == "c c c");
    assert!(waited < ms(250), "{waited:?}");
}

#[test]
fn an_operators_word_and_what_is_on_record_are_no_evidence() {
    let mut stage = Stage::settled(three());
    for server in ["a", "b", "c"] {
        for host in ["v1", "v2", "v3"] {
            let monitor = format!("{host}/tcp-80").into();
            stage.command(server, Command::Force { monitor, up: false, lasts: None });
        }
    }
    stage.run(ms(1_000));
    assert_eq!(told(&stage), [(0, 0); 3]);

    let mut recorded = three();
    for spec in recorded.virtual_hosts.values_mut() {
        spec.monitors[0].handling.severity = model::config::Severity::Record;
    }
    let mut stage = Stage::settled(recorded);
    fails(&mut stage, "a b c", false);
    stage.run(ms(5_000));
    assert_eq!(told(&stage), [(0, 0); 3]);
}

#[test]
fn what_is_to_be_placed_nowhere_is() {
    let mut config = three();
    config.virtual_hosts.get_mut(&host("v1")).unwrap().always_active = false;
    let mut stage = Stage::settled(config);
    fails(&mut stage, "a b c", false);
    stage.run(ms(2_500));
    assert_eq!(told(&stage), [(1, 0); 3]);
    assert_eq!(placed(&stage), " b c");
    fails(&mut stage, "c", true);
    let waited = stage.until(|stage| stage.holders("v1") == "c");
    assert!(waited < ms(1_500), "nobody held it: {waited:?}");
}
