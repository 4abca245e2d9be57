//! Planned moves (R4): nobody takes before the holder's kernel has let go, and nobody waits longer than that takes.

use cluster::Command;
use model::{
    config::Failback,
    event::{Cause, Event},
};

use crate::stage::{Stage, config, host, ip, ms, name};

#[test]
fn a_planned_stop_hands_over_in_a_round_trip() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c", "v2: a c b", "v3: b a c"]));
    stage.command("a", Command::Resign);
    let total = stage.until(|stage| stage.machines[&name("a")].said_goodbye);
    // Three ways through the network (0.2 ms each) and one change of the kernel (0.5 ms).
    assert!(total < ms(2), "{total:?}");
    stage.until(|stage| stage.holders("v1") == "b" && stage.holders("v2") == "c" && stage.holders("v3") == "b");
    assert!(stage.now.since(stage.log[0].0) < ms(2));
    stage.run(ms(1));
    let left = |event: &&Event| matches!(event, Event::PeerLeft { server, planned: true, .. } if *server == name("a"));
    assert!(stage.events("b").iter().any(left));
    assert_eq!(stage.node("a").next_deadline(), None);
    stage.run(ms(1_000));
    assert!(
        !stage.events("b").iter().any(|event| matches!(event, Event::PeerDead { .. } | Event::PeerSuspected { .. }))
    );
}

#[test]
fn nobody_takes_before_the_holder_has_let_go() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.command("a", Command::Standby(name("a")));
    let mut held = String::from("a");
    for _ in 0..100 {
        stage.run(std::time::Duration::from_micros(50));
        let now = stage.holders("v1");
        assert_ne!(now, "a b");
        held = now;
    }
    assert_eq!(held, "b");
}

#[test]
fn servers_that_become_able_in_the_same_moment_do_not_both_take() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c"]));
    for server in ["a", "b", "c"] {
        stage.command(server, Command::Standby(name(server)));
    }
    stage.run(ms(100));
    assert_eq!(stage.holders("v1"), "");
    for server in ["c", "b", "a"] {
        stage.command(server, Command::Resume(name(server)));
    }
    for _ in 0..200 {
        stage.run(std::time::Duration::from_micros(50));
        assert!(["", "a"].contains(&&*stage.holders("v1")), "{}", stage.holders("v1"));
    }
    assert_eq!(stage.holders("v1"), "a", "and they agree within a few round trips");
}

#[test]
fn standby_and_resume() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.command("b", Command::Standby(name("a")));
    stage.run(ms(100));
    assert_eq!(stage.holders("v1"), "a", "a command about another server is none of ours");
    stage.command("a", Command::Standby(name("a")));
    stage.run(ms(10));
    assert_eq!(stage.holders("v1"), "b");
    assert_eq!(stage.node("a").status(stage.now).state, "standby");
    assert!(stage.node("b").health().servers[&name("a")].standby);
    stage.run(ms(3_000));
    assert_eq!(stage.holders("v1"), "b");
    stage.command("a", Command::Resume(name("a")));
    stage.run(ms(900));
    assert_eq!(stage.holders("v1"), "b", "steady only after the delay");
    stage.run(ms(200));
    assert_eq!(stage.holders("v1"), "a");
    let standby = |on| Event::Standby { server: name("a"), on };
    assert!(stage.events("a").contains(&&standby(true)) && stage.events("a").contains(&&standby(false)));
}

#[test]
fn sticky_stays_where_it_is() {
    let mut configuration = config("a b", &["v1: a b"]);
    configuration.virtual_hosts.get_mut(&host("v1")).unwrap().failback = Failback::Sticky;
    let mut stage = Stage::settled(configuration);
    stage.kill("a");
    stage.until(|stage| stage.holders("v1") == "b");
    stage.start("a");
    stage.run(ms(5_000));
    assert_eq!(stage.holders("v1"), "b");
}

#[test]
fn standby_of_all_leaves_nothing_held() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.command("b", Command::Standby(name("b")));
    stage.command("a", Command::Standby(name("a")));
    stage.run(ms(200));
    assert_eq!(stage.holders("v1"), "");
    assert_eq!(stage.node("a").status(stage.now).virtual_hosts[0].state, "unheld");
}

#[test]
fn a_target_that_is_never_ready_is_not_waited_for() {
    // b hears a, a hears b, but b's words stop the moment that a must go: a lets go after two intervals at most.
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.cut("b", "a");
    stage.command("a", Command::Standby(name("a")));
    let waited = stage.until(|stage| stage.holders("v1") != "a");
    assert!(waited <= ms(101), "{waited:?}");
    let released = |event: &&&Event| matches!(event, Event::Releasing { cause: Cause::Standby, .. });
    assert_eq!(stage.events("a").iter().filter(released).count(), 1);
}

#[test]
fn a_stop_is_not_held_up_for_ever_by_a_kernel_that_does_not_let_go() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.machine("a").refuses_to_remove = true;
    stage.command("a", Command::Resign);
    let total = stage.until(|stage| stage.machines[&name("a")].said_goodbye);
    assert!(total <= ms(2_200), "{total:?}");
    let left = stage.events("b").iter().any(|event| matches!(event, Event::PeerLeft { .. }));
    assert!(!left, "peers are not told that the address is free");
}

#[test]
fn announcements_follow_the_schedule() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.kill("a");
    stage.until(|stage| stage.holders("v1") == "b");
    let start = stage.now;
    stage.run(ms(70_000));
    let times: Vec<u128> = stage
        .log
        .iter()
        .filter(|(_, _, it)| matches!(it, crate::stage::Happening::Announced(addresses) if addresses.contains(&ip("10.77.0.101"))))
        .map(|(at, _, _)| at.since(start).as_millis())
        .collect();
    assert_eq!(times, [0, 50, 200, 1_000, 3_000, 63_000]);
}

#[test]
fn repeated_announcements_are_paced() {
    let words: Vec<String> = (0..40).map(|number| format!("v{number}: a b")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut stage = Stage::settled(config("a b", &words));
    stage.kill("a");
    stage.until(|stage| stage.holders("v39") == "b");
    stage.run(ms(1_000));
    let sizes: Vec<usize> = stage
        .log
        .iter()
        .filter_map(|(_, _, it)| match it {
            crate::stage::Happening::Announced(addresses) => Some(addresses.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 3 * 80, "at once, after 50 ms, after 200 ms");
    let (first, repeats) = sizes.split_first().expect("something was announced");
    assert_eq!(*first, 80, "all that the kernel confirms at a time is announced at once");
    assert!(repeats.iter().all(|size| *size <= 32), "{repeats:?}");
    assert_eq!(repeats.len(), 6, "{repeats:?}");
}
