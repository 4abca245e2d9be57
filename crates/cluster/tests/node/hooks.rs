//! Hooks: a `before-take` hook delays the addresses of its own virtual host, up to its limit, and changes nothing else.

use std::{sync::Arc, time::Duration};

use cluster::{Command, DeadlineName, Input};
use model::{
    config::{ClusterConfig, Hook},
    event::{Cause, Event},
    hook::{HookMoment, HookOrder, HookOutcome},
};

use crate::stage::{Happening, Stage, config, host, ip, ms, name};

const LIMIT: Duration = Duration::from_millis(500);

/// A hook for each of these moments of a virtual host.
fn hooked(mut config: ClusterConfig, virtual_host: &str, moments: &[HookMoment]) -> ClusterConfig {
    for (position, moment) in moments.iter().enumerate() {
        let (program, arguments): (_, Vec<Arc<str>>) = ("/hook".into(), Vec::new());
        let hook = Hook { position, program, arguments, user: None, timeout: LIMIT };
        config.virtual_hosts.get_mut(&host(virtual_host)).unwrap().hooks.insert(*moment, hook);
    }
    config
}

/// Two servers; a's hosts move to b.
fn two(moments: &[HookMoment]) -> Stage {
    Stage::settled(hooked(config("a b", &["v1: a b", "v2: a b"]), "v1", moments))
}

fn orders(stage: &Stage, server: &str) -> Vec<HookOrder> {
    let of = |(_, at, happening): &(_, _, Happening)| match happening {
        Happening::Hook(order) if *at == name(server) => Some(order.clone()),
        _ => None,
    };
    stage.log.iter().filter_map(of).collect()
}

/// What a server did for v1, in order: hooks, phases, addresses.
fn course(stage: &Stage, server: &str) -> Vec<String> {
    let of = |(_, at, happening): &(_, _, Happening)| {
        let word = match happening {
            Happening::Hook(order) => order.id.moment.word().to_owned(),
            Happening::Event(Event::Active { virtual_host, .. }) if *virtual_host == host("v1") => "active".into(),
            Happening::Event(Event::Released { virtual_host, .. }) if *virtual_host == host("v1") => "released".into(),
            Happening::Added(address) if *address == ip("10.77.0.101") => "added".into(),
            Happening::Removed(address) if *address == ip("10.77.0.101") => "removed".into(),
            _ => return None,
        };
        (*at == name(server)).then_some(word)
    };
    stage.log.iter().filter_map(of).collect()
}

#[test]
fn hooks_stand_around_taking_and_releasing() {
    let mut stage = two(&HookMoment::ALL);
    stage.command("a", Command::Standby(name("a")));
    stage.run(ms(100));
    assert_eq!(stage.holders("v1"), "b");
    assert_eq!(course(&stage, "a"), ["before-release", "removed", "released", "after-release"]);
    assert_eq!(course(&stage, "b"), ["before-take", "added", "active", "after-take"]);
    let [before, after] = &orders(&stage, "b")[..] else { panic!("{:?}", orders(&stage, "b")) };
    assert_eq!((before.cause, before.peer.clone()), (Cause::Standby, Some(name("a"))));
    assert_eq!((after.cause, after.peer.clone()), (Cause::Standby, Some(name("a"))));
    assert_eq!(before.term, after.term);
    let to = &orders(&stage, "a")[1];
    assert_eq!((to.cause, to.peer.clone()), (Cause::Standby, Some(name("b"))));
    assert_eq!(to.term.next(), before.term, "the holding that ended");
    assert_eq!(before.addresses, [(ip("10.77.0.101"), Some("eth0".into())), (ip("fd00:77::101"), Some("eth0".into()))]);
    stage.run(ms(10));
    let status = stage.node("b").status(stage.now);
    let words: Vec<_> = status.virtual_hosts[0].hooks.iter().map(|hook| (&*hook.on, hook.outcome.as_deref())).collect();
    assert_eq!(
        words,
        [
            ("before-take", Some("succeeded")),
            ("after-take", Some("succeeded")),
            ("before-release", None),
            ("after-release", None)
        ]
    );
}

#[test]
fn before_take_delays_one_virtual_host_and_no_other() {
    let mut stage = two(&[HookMoment::BeforeTake]);
    stage.machine("b").hooks = Some((ms(300), HookOutcome::Succeeded));
    stage.kill("a");
    let other = stage.until(|stage| stage.holders("v2") == "b");
    assert_eq!(stage.holders("v1"), "");
    let waited = stage.until(|stage| stage.holders("v1") == "b");
    assert!(other < ms(200) && waited >= ms(295) && waited < ms(302), "{other:?}, then {waited:?}");
}

#[test]
fn a_hook_that_fails_delays_and_does_not_refuse() {
    for outcome in [HookOutcome::Failed, HookOutcome::Refused, HookOutcome::NotRun, HookOutcome::TimedOut] {
        let mut stage = two(&[HookMoment::BeforeTake]);
        stage.machine("b").hooks = Some((ms(20), outcome));
        stage.kill("a");
        stage.until(|stage| stage.holders("v2") == "b");
        let waited = stage.until(|stage| stage.holders("v1") == "b");
        assert!(waited < ms(22), "{outcome:?}: {waited:?}");
        let told = |event: &&&Event| matches!(event, Event::HookRan { report, .. } if report.outcome == outcome);
        assert_eq!(stage.events("b").iter().filter(told).count(), 1);
    }
}

#[test]
fn a_hook_of_which_nothing_is_heard_is_waited_for_up_to_its_limit() {
    let mut stage = two(&[HookMoment::BeforeTake]);
    stage.machine("b").hooks = None;
    stage.kill("a");
    stage.until(|stage| stage.holders("v2") == "b");
    stage.run(ms(1));
    let mut named = false;
    let begun = stage.now;
    while stage.holders("v1").is_empty() {
        named |= matches!(stage.node("b").next_deadline(), Some((_, DeadlineName::Hook(of))) if of == host("v1"));
        stage.run(ms(1));
        assert!(stage.now.since(begun) < LIMIT + ms(2));
    }
    assert!(stage.now.since(begun) > LIMIT - ms(10) && named);
    let overdue = Event::HookOverdue { virtual_host: host("v1"), waited_ms: 500 };
    assert!(stage.events("b").contains(&&overdue));
}

#[test]
fn while_a_hook_runs_nobody_else_takes_it_and_nobody_is_told_that_it_is_held() {
    let mut stage = Stage::settled(hooked(config("a b c", &["v1: a b c"]), "v1", &[HookMoment::BeforeTake]));
    stage.machine("b").hooks = Some((ms(400), HookOutcome::Succeeded));
    stage.kill("a");
    stage.until(|stage| !orders(stage, "b").is_empty());
    stage.run(ms(10));
    while stage.holders("v1").is_empty() {
        for server in ["b", "c"] {
            assert_eq!(stage.node(server).health().virtual_hosts[&host("v1")].active, None, "{server}'s DNS");
        }
        assert_eq!(orders(&stage, "c"), []);
        stage.run(ms(10));
    }
    assert_eq!(stage.holders("v1"), "b");
    // A taker that dies meanwhile is stood in for like a holder.
    stage.command("b", Command::Standby(name("b")));
    stage.run(ms(2_000));
    assert_eq!(stage.holders("v1"), "c");
}

#[test]
fn a_taker_that_dies_while_its_hook_runs_is_stood_in_for() {
    let mut stage = Stage::settled(hooked(config("a b c", &["v1: a b c"]), "v1", &[HookMoment::BeforeTake]));
    stage.machine("b").hooks = Some((ms(400), HookOutcome::Succeeded));
    stage.kill("a");
    stage.until(|stage| !orders(stage, "b").is_empty());
    stage.run(ms(50));
    stage.kill("b");
    let waited = stage.until(|stage| stage.holders("v1") == "c");
    assert!(waited < ms(200), "{waited:?}");
}

#[test]
fn a_take_is_given_up_at_once_when_the_target_changes() {
    let mut stage = two(&[HookMoment::BeforeTake, HookMoment::BeforeRelease, HookMoment::AfterRelease]);
    stage.machine("b").hooks = Some((ms(450), HookOutcome::Succeeded));
    stage.command("a", Command::Standby(name("a")));
    stage.until(|stage| !orders(stage, "b").is_empty());
    stage.command("b", Command::Standby(name("b")));
    stage.command("a", Command::Resume(name("a")));
    let waited = stage.until(|stage| stage.holders("v1") == "a");
    assert!(waited < ms(5), "{waited:?}");
    // What was begun is ended; nothing has been added and removed for it.
    assert_eq!(course(&stage, "b"), ["before-take", "before-release", "released", "after-release"]);
    stage.run(ms(1_000));
    assert_eq!(stage.holders("v1"), "a", "the end of a hook that nobody waits for changes nothing");
}

#[test]
fn a_release_waits_for_no_hook() {
    let mut stage = two(&[HookMoment::BeforeRelease, HookMoment::AfterRelease]);
    stage.machine("a").hooks = None;
    stage.command("a", Command::Standby(name("a")));
    let waited = stage.until(|stage| stage.holders("v1") == "b" && stage.holders("v2") == "b");
    assert!(waited < ms(3), "{waited:?}");
}

#[test]
fn an_address_that_somebody_claims_by_then_is_not_taken() {
    let mut stage = two(&[HookMoment::BeforeTake]);
    stage.machine("b").hooks = Some((ms(300), HookOutcome::Succeeded));
    // b believes a to be dead, and is wrong.
    stage.part("a", "b");
    stage.until(|stage| !orders(stage, "b").is_empty());
    stage.run(ms(100));
    stage.heal();
    for _ in 0..3_000 {
        stage.run(ms(1));
        assert_eq!(stage.holders("v1"), "a");
    }
}

#[test]
fn what_comes_for_a_virtual_host_that_is_no_more_is_only_recorded() {
    let mut stage = two(&[HookMoment::AfterRelease]);
    stage.machine("a").hooks = Some((ms(100), HookOutcome::Failed));
    let without = config("a b", &["v1: a b", "v2: a b"]);
    let mut without = ClusterConfig { digest: 2, ..without };
    without.virtual_hosts.remove(&host("v1"));
    stage.reload("a", without);
    stage.run(ms(200));
    let ran = |event: &&&Event| matches!(event, Event::HookRan { report, .. } if report.outcome == HookOutcome::Failed);
    assert_eq!(stage.events("a").iter().filter(ran).count(), 1);
    stage.input("a", Input::Deadline);
}

#[test]
fn a_silent_holder_whose_machine_answers_by_then_is_waited_for() {
    let mut stage = two(&[HookMoment::BeforeTake]);
    stage.machine("b").hooks = Some((ms(300), HookOutcome::Succeeded));
    stage.kill("a");
    stage.until(|stage| !orders(stage, "b").is_empty());
    // Its machine was out of reach, and is within reach again before its leases have ended.
    stage.machine("a").kernel.insert(ip("10.77.0.101"));
    stage.run(ms(600));
    assert_eq!(stage.holders("v1"), "", "b has not taken what a's machine answers for");
    assert!(!stage.machine("b").kernel.contains(&ip("10.77.0.101")));
    stage.machine("a").kernel.clear();
    let waited = stage.until(|stage| stage.holders("v1") == "b");
    assert!(waited < ms(200), "{waited:?}");
}
