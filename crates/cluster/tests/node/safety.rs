//! Oversleeping, and false suspicion.

use cluster::{Command, Input};
use model::{
    event::{Cause, Event},
    net::Origin,
};

use crate::stage::{Stage, config, ms};

#[test]
fn who_sleeps_longer_than_the_detection_time_lets_go_first() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.freeze("a", ms(1_000));
    // The other has taken over meanwhile; the sleeper's very first action is to let go.
    let overslept = stage.events("a").iter().position(|event| matches!(event, Event::Overslept { .. }));
    let released =
        stage.events("a").iter().position(|event| matches!(event, Event::Releasing { cause: Cause::Overslept, .. }));
    assert!(overslept.is_some() && released.is_some_and(|released| released == overslept.unwrap_or(0) + 1));
    stage.run(ms(2));
    assert_eq!(stage.holders("v1"), "b");
    stage.run(ms(900));
    assert_eq!(stage.holders("v1"), "b", "the failback delay runs anew");
    stage.run(ms(500));
    assert_eq!(stage.holders("v1"), "a");
}

#[test]
fn who_loses_its_lease_lets_go_listens_and_leaves_it_to_the_next() {
    let mut stage = Stage::settled(config("a b", &["v1: a b", "v2: b a"]));
    let term = stage.node("a").status(stage.now).virtual_hosts[0].term;
    stage.lose_leases("a");
    assert_eq!(stage.node("a").status(stage.now).state, "listening");
    let released = |event: &&&Event| matches!(event, Event::Releasing { cause: Cause::LeaseLost, .. });
    assert_eq!(stage.events("a").iter().filter(released).count(), 1);
    let back = |stage: &Stage| stage.holders("v1") == "b";
    let gap = stage.until(back);
    assert!(gap < ms(10), "the claim is withdrawn as soon as the kernel has confirmed: {gap:?}");
    assert!(stage.node("b").status(stage.now).virtual_hosts[0].term > term);
    stage.run(ms(2_000));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a", "b"));
}

#[test]
fn a_server_alone_that_loses_its_lease_takes_it_anew() {
    let mut stage = Stage::settled(config("a", &["v1: a"]));
    stage.lose_leases("a");
    assert_eq!(stage.holders("v1"), "");
    stage.run(ms(1_000));
    assert_eq!(stage.holders("v1"), "a");
    assert!(stage.events("a").iter().any(|event| matches!(event, Event::Active { .. })));
}

#[test]
fn a_cluster_that_sleeps_as_one_is_back_soon() {
    let mut stage = Stage::settled(config("a b", &["v1: a b", "v2: b a"]));
    stage.machine("b").frozen = true;
    stage.freeze("a", ms(1_000));
    stage.machine("b").frozen = false;
    stage.run(ms(400));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a", "b"));
}

#[test]
fn a_short_nap_moves_nothing() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c"]));
    for _ in 0..20 {
        stage.freeze("a", ms(90));
        stage.run(ms(60));
    }
    assert_eq!(stage.changes(), 0);
    assert_eq!(stage.node("a").counters().overslept, 0);
}

#[test]
fn a_lost_heartbeat_moves_nothing() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    for _ in 0..10 {
        stage.part("a", "b");
        stage.run(ms(49));
        stage.heal();
        stage.run(ms(200));
    }
    assert!(stage.events("b").iter().any(|event| matches!(event, Event::PeerRecovered { .. })));
    assert_eq!(stage.changes(), 0);
}

#[test]
fn a_peers_quick_restart_leaves_what_others_hold() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c", "v2: c b a"]));
    stage.kill("b");
    stage.start("b");
    stage.run(ms(3_000));
    assert_eq!(stage.changes(), 0);
}

#[test]
fn rubbish_decides_nothing() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    let from = Origin::Udp("10.77.0.66:7946".parse().unwrap());
    for length in 0..200 {
        stage.input("a", Input::Datagram { from, bytes: vec![length; usize::from(length)] });
    }
    assert_eq!(stage.changes(), 0);
    assert_eq!(stage.node("a").counters().refused.values().sum::<u64>(), 200);
}

#[test]
fn servers_that_come_back_at_the_same_time_do_not_take_each_others_addresses() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c", "v2: b c a", "v3: c a b"]));
    let words = ["a", "b", "c"];
    words.iter().for_each(|server| stage.machine(server).frozen = true);
    stage.run(ms(1_000));
    stage.log.clear();
    words.iter().for_each(|server| stage.machine(server).frozen = false);
    stage.run(ms(1_000));
    let takes = |server: &str| stage.events(server).into_iter().filter(|it| matches!(it, Event::Taking { .. })).count();
    assert_eq!(words.map(takes), [1, 1, 1]);
    assert_eq!((stage.holders("v1"), stage.holders("v2"), stage.holders("v3")), ("a".into(), "b".into(), "c".into()));
}

/// "a" sleeps while "b" resigns, comes back and holds it; then "b" hangs and "a" awakes.
fn a_sleeps_through_a_goodbye(list: &str) {
    let mut stage = Stage::settled(config("a b", &[list]));
    stage.machine("a").frozen = true;
    // What it held its guardian has let go.
    stage.machine("a").kernel.clear();
    stage.until(|stage| stage.holders("v1") == "b");
    stage.command("b", Command::Resign);
    stage.run(ms(3_000));
    assert!(stage.machine("b").said_goodbye);
    stage.kill("b");
    stage.start("b");
    stage.until(|stage| stage.holders("v1") == "b");
    // Its daemon hangs, and so does its guardian: its addresses stay. Of this run "a" has heard nothing that proves it.
    stage.run(ms(1_000));
    stage.machine("b").frozen = true;
    stage.run(ms(100));
    stage.freeze("a", ms(1));
    stage.run(ms(1_000));
    assert_eq!(stage.holders("v1"), "b", "the goodbye in the queue was that of the run before");
    stage.machine("b").kernel.clear();
    let taken = stage.until(|stage| stage.holders("v1") == "a");
    assert!(taken < ms(3_000), "the wire is asked again and again: {taken:?}");
}

#[test]
fn who_slept_takes_nothing_on_the_last_word_of_a_run_that_another_has_followed() {
    a_sleeps_through_a_goodbye("v1: b a");
}

#[test]
fn who_held_it_before_it_slept_asks_the_wire_as_well() {
    a_sleeps_through_a_goodbye("v1: a b");
}
