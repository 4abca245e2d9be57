//! Recovery programs: a failure counts only when they have not helped, within their limits, and never time and again.

use std::time::Duration;

use cluster::Command;
use model::{
    config::{ClusterConfig, Handling, Hook, Recovery, Severity},
    event::{Event, RecoveryStep},
    health::Verdict,
    hook::HookOutcome,
};

use crate::stage::{Happening, Stage, config, host, monitored, ms, name};

const LIMIT: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_millis(2_000);
const PAUSE: Duration = Duration::from_secs(60);

fn recovery(attempts: u32) -> Recovery {
    let hook = Hook { position: 0, program: "/mend".into(), arguments: Vec::new(), user: None, timeout: LIMIT };
    Recovery { hook, attempts, window: WINDOW, pause: PAUSE }
}

/// Two servers, a virtual host with one monitor and so many attempts to recover it. No damping in the way.
fn mended(attempts: u32) -> ClusterConfig {
    let mut config = monitored(config("a b", &["v1: a b"]), "v1");
    let recovery = (attempts > 0).then(|| recovery(attempts));
    config.virtual_hosts.get_mut(&host("v1")).unwrap().monitors[0].handling =
        Handling { recovery, ..Handling::default() };
    config
}

/// When its program was run.
fn runs(stage: &Stage) -> usize {
    stage.log.iter().filter(|(_, _, it)| matches!(it, Happening::Recovery(_))).count()
}

fn ends(stage: &Stage) -> Vec<&'static str> {
    let end = |event: &Event| match event {
        Event::Recovery { step, .. } => step.end(),
        _ => None,
    };
    stage.events("a").into_iter().filter_map(end).collect()
}

/// The service of a fails and comes back as soon as a program has run.
fn fails_and_is_mended(stage: &mut Stage) {
    let before = runs(stage);
    stage.machine("a").service = Some(false);
    stage.until(|stage| runs(stage) > before);
    stage.machine("a").service = Some(true);
    stage.run(ms(3_000));
}

#[test]
fn what_its_program_mends_never_leaves_the_server() {
    let mut stage = Stage::settled(mended(1));
    let before = stage.changes();
    stage.machine("a").service = Some(false);
    stage.until(|stage| runs(stage) == 1);
    let status = stage.node("a").status(stage.now);
    let monitor = &status.virtual_hosts[0].servers[0].monitors[0];
    assert_eq!(monitor.verdict, "up");
    assert_eq!(monitor.reason.as_deref(), Some("recovering, attempt 1 of 1: connection refused"));
    assert_eq!(monitor.own.as_ref().unwrap().recovering.as_deref(), Some("recovering, attempt 1 of 1"));
    stage.run(ms(300));
    let recovering = |stage: &Stage| {
        ["a", "b"].map(|at| stage.node(at).status(stage.now).virtual_hosts[0].servers[0].monitors[0].recovering)
    };
    assert_eq!(recovering(&stage), [true; 2], "it says so itself, and the other has heard it");
    stage.machine("a").service = Some(true);
    stage.run(ms(5_000));
    assert_eq!((stage.holders("v1").as_str(), stage.changes()), ("a", before));
    assert_eq!((ends(&stage), runs(&stage)), (vec!["recovered"], 1));
    assert_eq!(stage.node("b").health().virtual_hosts[&host("v1")].verdict, Verdict::Up);
    let changed = |event: &&Event| matches!(event, Event::MonitorChanged { .. });
    assert!(!stage.events("a").into_iter().any(|event| changed(&event)), "the verdict never changed");
    assert_eq!(recovering(&stage), [false; 2]);
    let monitor = &stage.node("a").status(stage.now).virtual_hosts[0].servers[0].monitors[0];
    assert_eq!((monitor.reason.as_deref(), monitor.own.as_ref().unwrap().flips), (None, 0));
}

#[test]
fn what_it_does_not_mend_moves_when_its_window_is_over() {
    let mut stage = Stage::settled(mended(1));
    stage.machine("a").service = Some(false);
    stage.until(|stage| runs(stage) == 1);
    let waited = stage.until(|stage| stage.holders("v1") == "b");
    assert!((WINDOW..WINDOW + ms(20)).contains(&waited), "{waited:?}");
    assert_eq!((ends(&stage), runs(&stage)), (vec!["given-up"], 1));
}

#[test]
fn a_program_that_fails_is_tried_again_at_once_and_no_more_often_than_allowed() {
    let mut stage = Stage::settled(mended(3));
    stage.machine("a").hooks = Some((ms(20), HookOutcome::Failed));
    stage.machine("a").service = Some(false);
    stage.until(|stage| runs(stage) == 1);
    let waited = stage.until(|stage| stage.holders("v1") == "b");
    assert!(waited < ms(80), "{waited:?}");
    assert_eq!((ends(&stage), runs(&stage)), (vec!["given-up"], 3));
    let order = |(_, _, it): &(_, _, Happening)| match it {
        Happening::Recovery(order) => Some((order.attempt, order.attempts, order.id.number, order.reason.to_string())),
        _ => None,
    };
    let orders: Vec<_> = stage.log.iter().filter_map(order).collect();
    let refused = || "connection refused".to_owned();
    assert_eq!(orders, [(1, 3, 1, refused()), (2, 3, 2, refused()), (3, 3, 3, refused())]);
}

#[test]
fn a_program_that_may_not_run_is_not_tried_again() {
    for outcome in [HookOutcome::Refused, HookOutcome::NotRun] {
        let mut stage = Stage::settled(mended(3));
        stage.machine("a").hooks = Some((ms(1), outcome));
        stage.machine("a").service = Some(false);
        stage.until(|stage| runs(stage) == 1);
        let waited = stage.until(|stage| stage.holders("v1") == "b");
        assert!(waited < ms(20) && runs(&stage) == 1, "{outcome:?}: {waited:?}");
    }
}

#[test]
fn a_program_of_which_nothing_is_heard_has_its_limit_and_no_window() {
    let mut stage = Stage::settled(mended(2));
    stage.machine("a").hooks = None;
    stage.machine("a").service = Some(false);
    stage.until(|stage| runs(stage) == 1);
    let waited = stage.until(|stage| stage.holders("v1") == "b");
    assert!((LIMIT * 2..LIMIT * 2 + ms(20)).contains(&waited), "{waited:?}");
    assert_eq!(runs(&stage), 2);
}

#[test]
fn the_end_of_a_run_that_is_not_waited_for_any_longer_changes_nothing() {
    let mut stage = Stage::settled(mended(2));
    // The first run ends while the second one is waited for, and says that it has succeeded.
    stage.machine("a").hooks = Some((LIMIT + ms(100), HookOutcome::Succeeded));
    stage.machine("a").service = Some(false);
    stage.until(|stage| runs(stage) == 1);
    let waited = stage.until(|stage| stage.holders("v1") == "b");
    assert!(waited < LIMIT * 2 + ms(20), "no window was opened: {waited:?}");
    stage.run(ms(1_000));
    let ran = |event: &&&Event| matches!(event, Event::Recovery { step: RecoveryStep::Ran { .. }, .. });
    assert_eq!(stage.events("a").iter().filter(ran).count(), 2, "both are told");
}

#[test]
fn a_service_that_fails_again_soon_moves_and_the_pauses_grow() {
    let mut stage = Stage::settled(mended(1));
    fails_and_is_mended(&mut stage);
    assert_eq!(ends(&stage), ["recovered"]);
    stage.machine("a").service = Some(false);
    stage.until(|stage| stage.holders("v1") == "b");
    assert_eq!((ends(&stage), runs(&stage)), (vec!["recovered", "withheld"], 1));
    stage.machine("a").service = Some(true);
    stage.run(PAUSE);
    assert_eq!(stage.holders("v1"), "a");
    fails_and_is_mended(&mut stage);
    assert_eq!((stage.holders("v1").as_str(), runs(&stage)), ("a", 2), "the pause was over");
    stage.run(PAUSE + ms(10_000));
    stage.machine("a").service = Some(false);
    stage.until(|stage| stage.holders("v1") == "b");
    assert_eq!(runs(&stage), 2, "this pause is twice as long");
    stage.machine("a").service = Some(true);
    stage.run(PAUSE * 10);
    fails_and_is_mended(&mut stage);
    stage.run(PAUSE);
    fails_and_is_mended(&mut stage);
    assert_eq!((stage.holders("v1").as_str(), runs(&stage)), ("a", 4), "who is well for long begins anew");
}

#[test]
fn a_closed_port_does_not_go_round_the_recovery() {
    let mut stage = Stage::settled(mended(1));
    let before = stage.changes();
    stage.machine("a").service = Some(false);
    stage.input("a", cluster::Input::ListenerClosed { port: 80 });
    let noticed = stage.until(|stage| runs(stage) == 1);
    assert!(noticed < ms(5), "as soon as without a recovery: {noticed:?}");
    stage.input("a", cluster::Input::ListenerClosed { port: 80 });
    stage.run(ms(200));
    stage.machine("a").service = Some(true);
    stage.run(ms(3_000));
    assert_eq!((stage.holders("v1").as_str(), stage.changes()), ("a", before));
}

#[test]
fn what_peers_do_not_reach_meanwhile_is_no_broken_path() {
    let monitor = mended(1).virtual_hosts[&host("v1")].monitors[0].clone();
    let mut config = monitored(config("a b c", &["v1: a b c"]), "v1");
    let spec = config.virtual_hosts.get_mut(&host("v1")).unwrap();
    spec.monitors[0] = monitor;
    let recovery = spec.monitors[0].handling.recovery.as_mut().unwrap();
    (recovery.hook.timeout, recovery.window) = (ms(30_000), ms(30_000));
    let mut stage = Stage::settled(config);
    stage.run(ms(10_000));
    stage.machine("a").hooks = None;
    stage.machine("a").service = Some(false);
    stage.run(ms(25_000));
    assert_eq!(stage.holders("v1"), "a", "its program is at work still");
    let path = |event: &&Event| matches!(event, Event::PathDown { .. } | Event::HeldDown { .. });
    assert!(!stage.events("a").into_iter().any(|event| path(&event)));
}

#[test]
fn who_is_on_standby_never_worked_or_is_held_is_not_recovered() {
    let mut stage = Stage::settled(mended(1));
    stage.command("a", Command::Standby(name("a")));
    stage.machine("a").service = Some(false);
    stage.run(ms(5_000));
    assert_eq!(runs(&stage), 0, "an operator may be at work there");

    let mut stage = Stage::new(mended(1));
    stage.machine("a").service = Some(false);
    stage.start("a");
    stage.start("b");
    stage.run(ms(5_000));
    assert_eq!((stage.holders("v1").as_str(), runs(&stage)), ("b", 0), "it may only come up");

    let mut stage = Stage::settled(mended(1));
    stage.command("a", Command::Force { monitor: "v1/tcp-80".into(), up: true, lasts: None });
    stage.machine("a").service = Some(false);
    stage.run(ms(5_000));
    assert_eq!((stage.holders("v1").as_str(), runs(&stage)), ("a", 0));
}

#[test]
fn a_latch_waits_for_the_recovery_too() {
    let mut config = mended(1);
    config.virtual_hosts.get_mut(&host("v1")).unwrap().monitors[0].handling.severity = Severity::Latch;
    let mut stage = Stage::settled(config);
    fails_and_is_mended(&mut stage);
    assert_eq!(stage.holders("v1"), "a");
    let held = |event: &&Event| matches!(event, Event::MonitorHeld { .. });
    assert!(!stage.events("a").into_iter().any(|event| held(&event)));
    stage.machine("a").service = Some(false);
    stage.run(ms(5_000));
    assert!(stage.events("a").into_iter().any(|event| held(&event)), "its pause is not over: it has failed");
}

#[test]
fn without_its_recovery_the_failure_counts_at_once() {
    let mut stage = Stage::settled(mended(1));
    stage.machine("a").service = Some(false);
    stage.until(|stage| runs(stage) == 1);
    let without = ClusterConfig { digest: 2, ..mended(0) };
    stage.reload("a", without.clone());
    stage.reload("b", without);
    let waited = stage.until(|stage| stage.holders("v1") == "b");
    assert!(waited < ms(100), "{waited:?}");
    let down = |event: &&Event| matches!(event, Event::MonitorChanged { verdict: Verdict::Down, .. });
    assert!(stage.events("a").into_iter().any(|event| down(&event)));
}
