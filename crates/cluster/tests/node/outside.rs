//! Virtual addresses as peers reach them: a broken path is told apart from a failed service, and moves once.

use cluster::Command;
use model::event::{Cause, Event};

use crate::stage::{Stage, config, monitored, ms};

fn three() -> Stage {
    Stage::settled(monitored(config("a b c", &["v1: a b c"]), "v1"))
}

fn takes(stage: &Stage) -> Vec<(String, Cause)> {
    let take = |(_, server, happening): &(_, model::ServerName, crate::stage::Happening)| match happening {
        crate::stage::Happening::Event(Event::Taking { cause, .. }) => Some((server.to_string(), *cause)),
        _ => None,
    };
    stage.log.iter().filter_map(take).collect()
}

fn told(stage: &Stage, server: &str) -> Vec<String> {
    let names = |names: &[model::ServerName]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    let word = |event: &Event| match event {
        Event::PathDown { unseen_by, seen_by, .. } => Some(format!("{}|{}", names(unseen_by), names(seen_by))),
        Event::PathUp { .. } => Some("up".to_owned()),
        Event::HeldDown { for_ms, .. } => Some(format!("held down {for_ms}")),
        _ => None,
    };
    stage.events(server).into_iter().filter_map(word).collect()
}

#[test]
fn a_path_that_is_broken_to_the_holder_moves_the_address_once() {
    let mut stage = three();
    stage.machine("a").hidden = true;
    let gap = stage.until(|stage| stage.holders("v1") == "b");
    assert!(gap > ms(5_000) && gap < ms(8_000), "{gap:?}");
    stage.run(ms(40_000));
    assert_eq!(takes(&stage), [("b".to_owned(), Cause::Unseen)], "and stays");
    assert_eq!(told(&stage, "a"), ["b c|", "held down 60000"]);
    let status = stage.node("c").status(stage.now);
    let seen: Vec<_> = status.virtual_hosts[0].seen_by.iter().map(|seen| (&*seen.server, &*seen.verdict)).collect();
    assert_eq!(seen, [("a", "up"), ("a", "up"), ("c", "up"), ("c", "up")]);
}

#[test]
fn after_the_hold_down_it_goes_home_and_the_next_one_is_longer() {
    let mut stage = three();
    stage.machine("a").hidden = true;
    stage.until(|stage| stage.holders("v1") == "b");
    stage.machine("a").hidden = false;
    stage.run(ms(50_000));
    let home = stage.until(|stage| stage.holders("v1") == "a");
    assert!(home > ms(5_000) && home < ms(15_000), "{home:?}");
    stage.log.clear();
    stage.machine("a").hidden = true;
    stage.until(|stage| stage.holders("v1") == "b");
    assert!(told(&stage, "a").contains(&"held down 120000".to_owned()));
    stage.machine("a").hidden = false;
    stage.command("a", Command::Reset { monitor: "v1/tcp-80".into() });
    let home = stage.until(|stage| stage.holders("v1") == "a");
    assert!(home < ms(3_000), "the operator says that it is mended: {home:?}");
}

#[test]
fn what_others_did_not_reach_is_forgotten_when_something_else_is_tried() {
    let mut stage = three();
    stage.machine("a").hidden = true;
    stage.until(|stage| stage.holders("v1") == "b");
    for server in ["a", "b", "c"] {
        stage.reload(server, config("a b c", &["v1: a b c"]));
    }
    let home = stage.until(|stage| stage.holders("v1") == "a");
    assert!(home < ms(3_000), "without monitors nobody can say that it is not reached: {home:?}");
}

#[test]
fn where_nobody_is_reached_the_address_moves_once_at_most() {
    let mut stage = three();
    for server in ["a", "b", "c"] {
        stage.machine(server).hidden = true;
    }
    stage.run(ms(50_000));
    assert!(takes(&stage).len() <= 1, "{:?}", takes(&stage));
    assert!(!stage.holders("v1").is_empty());
}

#[test]
fn one_against_one_is_told_and_moves_nothing() {
    let mut stage = Stage::settled(monitored(config("a b", &["v1: a b"]), "v1"));
    stage.machine("a").hidden = true;
    stage.run(ms(30_000));
    assert_eq!(takes(&stage), []);
    assert_eq!(told(&stage, "a"), ["b|"]);
    stage.machine("a").hidden = false;
    stage.run(ms(3_000));
    assert_eq!(told(&stage, "a"), ["b|", "up"]);
}

#[test]
fn who_reaches_nobody_has_no_vote() {
    let config = monitored(monitored(config("a b c", &["v1: a b c", "v2: b a c"]), "v1"), "v2");
    let mut stage = Stage::settled(config);
    stage.machine("c").sees_nothing = true;
    stage.run(ms(10_000));
    assert_eq!(told(&stage, "a").last().map(String::as_str).unwrap_or("up"), "up");
    assert_eq!(takes(&stage), []);
}

#[test]
fn a_failed_service_is_no_broken_path() {
    let mut stage = three();
    stage.machine("a").service = Some(false);
    stage.until(|stage| stage.holders("v1") == "b");
    stage.run(ms(10_000));
    assert_eq!(takes(&stage), [("b".to_owned(), Cause::ServiceFailed)]);
    assert!(!told(&stage, "a").iter().any(|word| word.starts_with("held down")));
}
