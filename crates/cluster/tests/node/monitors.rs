//! What counts instead of what the probes find: latches, damping, `disabled`, an operator's word; groups and priorities.

use std::sync::Arc;

use cluster::Command;
use model::{
    config::{ClusterConfig, Damping, Handling, Monitor, Severity},
    event::Event,
    health::{Hold, Verdict},
};

use crate::stage::{Stage, config, host, monitored, ms, name};

/// Two servers, a virtual host with one monitor that is handled so.
fn handled(handling: Handling) -> ClusterConfig {
    let mut config = monitored(config("a b", &["v1: a b"]), "v1");
    config.virtual_hosts.get_mut(&host("v1")).unwrap().monitors[0].handling = handling;
    config
}

fn holds(stage: &Stage, server: &str) -> Vec<(Hold, bool)> {
    let hold = |event: &Event| match event {
        Event::MonitorHeld { hold, .. } => Some((*hold, true)),
        Event::MonitorFreed { hold, .. } => Some((*hold, false)),
        _ => None,
    };
    stage.events(server).into_iter().filter_map(hold).collect()
}

fn fails_and_recovers(stage: &mut Stage, server: &str) {
    stage.machine(server).service = Some(false);
    stage.run(ms(3_000));
    stage.machine(server).service = Some(true);
    stage.run(ms(5_000));
}

#[test]
fn on_record_a_failure_moves_nothing_and_keeps_nothing_out_of_dns() {
    let mut stage = Stage::settled(handled(Handling { severity: Severity::Record, ..Handling::default() }));
    stage.machine("a").service = Some(false);
    stage.run(ms(5_000));
    assert_eq!(stage.holders("v1"), "a");
    assert_eq!(stage.node("b").health().virtual_hosts[&host("v1")].verdict, Verdict::Up);
    let changed = |event: &Event| matches!(event, Event::MonitorChanged { verdict: Verdict::Down, .. });
    assert!(stage.events("a").iter().any(|event| changed(event)), "and it is told");
}

#[test]
fn a_latched_monitor_stays_failed_until_it_is_reset() {
    let mut stage = Stage::settled(handled(Handling { severity: Severity::Latch, ..Handling::default() }));
    fails_and_recovers(&mut stage, "a");
    assert_eq!(stage.holders("v1"), "b", "its service is well again, and nobody has looked at it");
    assert_eq!(holds(&stage, "a"), [(Hold::Latched, true)]);
    let status = stage.node("b").status(stage.now);
    let monitor = &status.virtual_hosts[0].servers[0].monitors[0];
    assert_eq!((monitor.verdict.as_str(), monitor.found.as_str()), ("down", "up"));
    assert_eq!(monitor.held.as_deref(), Some("latched"), "every server knows why");
    stage.command("a", Command::Reset { monitor: "v1/tcp-80".into() });
    stage.run(ms(3_000));
    assert_eq!(stage.holders("v1"), "a");
    assert_eq!(holds(&stage, "a"), [(Hold::Latched, true), (Hold::Latched, false)]);
}

#[test]
fn who_has_never_worked_is_not_latched() {
    let mut stage = Stage::new(handled(Handling { severity: Severity::Latch, ..Handling::default() }));
    stage.machine("a").service = Some(false);
    stage.start("a");
    stage.start("b");
    stage.run(ms(3_000));
    assert_eq!(stage.holders("v1"), "b");
    stage.machine("a").service = Some(true);
    stage.run(ms(5_000));
    assert_eq!(stage.holders("v1"), "a", "its service only came up later than its daemon");
}

#[test]
fn a_flapping_service_moves_its_address_a_few_times_and_then_stays_away_for_a_while() {
    let damping = Damping { half_life: ms(20_000), suppress: 2, reuse: 1 };
    let mut stage = Stage::settled(handled(Handling { damping: Some(damping), ..Handling::default() }));
    for _ in 0..10 {
        fails_and_recovers(&mut stage, "a");
    }
    let moves = stage.events("b").iter().filter(|event| matches!(event, Event::Taking { .. })).count();
    assert!((2..=4).contains(&moves), "{moves}");
    assert_eq!(stage.holders("v1"), "b");
    assert_eq!(holds(&stage, "a"), [(Hold::Damped, true)]);
    let own = stage.node("a").status(stage.now).virtual_hosts[0].servers[0].monitors[0].own.clone().unwrap();
    assert!(own.held_for_ms.is_some_and(|ms| (1..60_000).contains(&ms)), "{own:?}");
    assert_eq!(own.flips, 20);
    let back = stage.until(|stage| stage.holders("v1") == "a");
    assert!(back > ms(10_000), "{back:?}");
    assert_eq!(holds(&stage, "a"), [(Hold::Damped, true), (Hold::Damped, false)]);
}

#[test]
fn where_every_server_is_damped_the_address_stays() {
    let damping = Damping { half_life: ms(20_000), suppress: 2, reuse: 1 };
    let mut stage = Stage::settled(handled(Handling { damping: Some(damping), ..Handling::default() }));
    for _ in 0..8 {
        fails_and_recovers(&mut stage, "a");
        fails_and_recovers(&mut stage, "b");
    }
    stage.log.clear();
    for _ in 0..3 {
        fails_and_recovers(&mut stage, "a");
        fails_and_recovers(&mut stage, "b");
    }
    assert!(!stage.holders("v1").is_empty());
    let moves = ["a", "b"]
        .map(|server| stage.events(server).iter().filter(|event| matches!(event, Event::Taking { .. })).count());
    assert_eq!(moves, [0, 0], "both have failed too often: nobody is better");
}

#[test]
fn an_operators_word_counts_until_it_expires_or_is_taken_back() {
    let mut stage = Stage::settled(handled(Handling::default()));
    let force = |up, lasts| Command::Force { monitor: Arc::from("v1/tcp-80"), up, lasts };
    stage.command("a", force(false, Some(ms(10_000))));
    stage.run(ms(1_000));
    assert_eq!(stage.holders("v1"), "b");
    stage.run(ms(8_000));
    assert_eq!(stage.holders("v1"), "b");
    let back = stage.until(|stage| stage.holders("v1") == "a");
    assert!(back < ms(3_000), "{back:?}");
    assert_eq!(holds(&stage, "a"), [(Hold::ForcedDown, true), (Hold::ForcedDown, false)]);

    stage.machine("a").service = Some(false);
    stage.command("a", force(true, None));
    stage.run(ms(60_000));
    assert_eq!(stage.holders("v1"), "a", "up, says the operator");
    stage.command("a", Command::Reset { monitor: "v1/tcp-80".into() });
    stage.until(|stage| stage.holders("v1") == "b");

    let before = stage.log.len();
    stage.command("b", Command::Force { monitor: "v1/other".into(), up: false, lasts: None });
    assert_eq!(stage.log.len(), before, "there is no such monitor");
}

#[test]
fn latches_and_an_operators_word_outlive_the_daemon() {
    let mut stage = Stage::settled(handled(Handling { severity: Severity::Latch, ..Handling::default() }));
    let restart = |stage: &mut Stage| {
        stage.kill("a");
        stage.run(ms(1_000));
        stage.log.clear();
        stage.start("a");
        stage.run(ms(3_000));
    };
    let held = |stage: &Stage| {
        let status = stage.node("a").status(stage.now);
        let monitor = &status.virtual_hosts[0].servers[0].monitors[0];
        (monitor.held.clone().unwrap_or_default(), monitor.own.as_ref().unwrap().held_for_ms)
    };
    fails_and_recovers(&mut stage, "a");
    restart(&mut stage);
    assert_eq!((held(&stage), stage.holders("v1").as_str()), (("latched".into(), None), "b"));
    assert_eq!(holds(&stage, "a"), [(Hold::Latched, true)], "told anew");
    let force = |up, lasts| Command::Force { monitor: Arc::from("v1/tcp-80"), up, lasts };
    stage.command("a", force(true, Some(ms(60_000))));
    restart(&mut stage);
    let (hold, left) = held(&stage);
    assert_eq!((hold.as_str(), stage.holders("v1").as_str()), ("forced-up", "a"));
    assert!(left.is_some_and(|left| (55_000..=56_000).contains(&left)), "time goes on without a daemon: {left:?}");
    stage.command("a", Command::Reset { monitor: "v1/tcp-80".into() });
    assert!(stage.machine("a").holds.is_empty());
    restart(&mut stage);
    assert_eq!((held(&stage), stage.holders("v1").as_str()), ((String::new(), None), "a"));
    stage.command("a", force(false, Some(ms(2_000))));
    stage.kill("a");
    stage.run(ms(3_000));
    stage.start("a");
    stage.run(ms(3_000));
    assert_eq!((held(&stage), stage.holders("v1").as_str()), ((String::new(), None), "a"), "its end came meanwhile");
    assert!(stage.machine("a").holds.is_empty(), "and is kept, too");
}

#[test]
fn what_is_not_there_any_more_is_not_inherited() {
    let mut stage = Stage::settled(handled(Handling { severity: Severity::Latch, ..Handling::default() }));
    fails_and_recovers(&mut stage, "a");
    stage.kill("a");
    stage.config = Arc::new(handled(Handling::default()));
    stage.start("a");
    assert!(stage.machine("a").holds.is_empty(), "the monitor latches no more, from the first moment on");
}

#[test]
fn disabled_counts_as_failed_and_still_reports() {
    let mut stage = Stage::settled(handled(Handling { disabled: vec![name("a")], ..Handling::default() }));
    assert_eq!(stage.holders("v1"), "b");
    let status = stage.node("b").status(stage.now);
    let monitor = &status.virtual_hosts[0].servers[0].monitors[0];
    assert_eq!((monitor.found.as_str(), monitor.held.as_deref()), ("up", Some("disabled")));
    stage.reload("a", handled(Handling::default()));
    stage.reload("b", handled(Handling::default()));
    stage.until(|stage| stage.holders("v1") == "a");
}

#[test]
fn a_group_that_needs_one_of_two_moves_only_when_both_are_down() {
    // All monitors of the stage share one service; so the second one is disabled on a instead.
    let member = |monitor: &Monitor, name_: &str, disabled| Monitor {
        name: name_.into(),
        handling: Handling { group: Some("web".into()), disabled, ..Handling::default() },
        ..monitor.clone()
    };
    let with = |needed: usize| {
        let mut config = handled(Handling::default());
        let spec = config.virtual_hosts.get_mut(&host("v1")).unwrap();
        let one = spec.monitors[0].clone();
        spec.monitors = vec![member(&one, "one", Vec::new()), member(&one, "two", vec![name("a")])];
        spec.groups = [(Arc::from("web"), needed)].into();
        config
    };
    assert_eq!(Stage::settled(with(1)).holders("v1"), "a", "one is enough");
    assert_eq!(Stage::settled(with(2)).holders("v1"), "b");
}

#[test]
fn a_result_that_changes_nothing_has_no_effect_at_all() {
    let mut stage = Stage::settled(handled(Handling::default()));
    let monitor = model::MonitorId::of_host(&host("v1"), &"tcp-80".into());
    stage.log.clear();
    let now = stage.now;
    let node = stage.machine("a").node.as_mut().unwrap();
    let mut effects = cluster::Effects::new();
    node.handle(now, cluster::Input::Deadline, &mut effects);
    let mut effects = cluster::Effects::new();
    let result = model::report::ProbeResult::Success;
    node.handle(now, cluster::Input::Probe { monitor, result, took: None }, &mut effects);
    assert_eq!(effects.as_slice(), []);
}
