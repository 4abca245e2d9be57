//! A new configuration: what stays is not touched (R9).

use cluster::Input;
use model::{
    config::ClusterConfig,
    event::{Cause, Event},
    health::Verdict,
};

use crate::stage::{Happening, Stage, config, host, ip, monitored, ms, name};

fn reload_all(stage: &mut Stage, mut config: ClusterConfig) {
    config.digest += 1;
    for server in ["a", "b"] {
        stage.reload(server, config.clone());
        stage.run(ms(20));
    }
}

#[test]
fn what_stays_is_not_touched() {
    let mut stage = Stage::settled(config("a b", &["v1: a b", "v2: b a"]));
    let term = stage.node("a").status(stage.now).virtual_hosts[0].term;
    reload_all(&mut stage, config("a b", &["v1: a b", "v2: b a", "v3: a b"]));
    stage.run(ms(1_000));
    let third = |address: &std::net::IpAddr| *address == ip("10.77.0.103") || *address == ip("fd00:77::103");
    for (_, _, happening) in &stage.log {
        match happening {
            Happening::Added(address) | Happening::Removed(address) => assert!(third(address), "{address}"),
            Happening::Event(_)
            | Happening::Announced(_)
            | Happening::Asked
            | Happening::ProbedAtOnce
            | Happening::Hook(_)
            | Happening::Recovery(_) => {}
        }
    }
    assert_eq!(stage.holders("v3"), "a");
    assert_eq!(stage.node("a").status(stage.now).virtual_hosts[0].term, term);
    assert_eq!(stage.node("a").health().serial, stage.node("b").health().serial);
    assert!(stage.node("a").health().serial > 1);
}

#[test]
fn what_is_removed_is_released() {
    let mut stage = Stage::settled(config("a b", &["v1: a b", "v2: a b"]));
    let mut smaller = config("a b", &["v1: a b"]);
    smaller.digest = 2;
    stage.reload("a", smaller);
    stage.run(ms(10));
    assert!(!stage.machine("a").kernel.contains(&ip("10.77.0.102")));
    assert_eq!(stage.holders("v1"), "a");
    let cause = |event: &&&Event| matches!(event, Event::Releasing { cause: Cause::Configuration, .. });
    assert_eq!(stage.events("a").iter().filter(cause).count(), 1);
}

#[test]
fn a_changed_list_leads_to_a_hand_over() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    reload_all(&mut stage, config("a b", &["v1: b a"]));
    stage.run(ms(100));
    assert_eq!(stage.holders("v1"), "b");
    reload_all(&mut stage, config("a b", &["v1: a"]));
    stage.run(ms(100));
    assert_eq!(stage.holders("v1"), "a", "also where the holder is no longer on the list");
}

#[test]
fn a_new_address_is_proven_and_joins_the_others() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    let mut more = config("a b", &["v1: a b"]);
    more.virtual_hosts.get_mut(&host("v1")).unwrap().addresses.extend([ip("10.77.0.150"), ip("10.77.0.151")]);
    let mac = model::net::MacAddress([9; 6]);
    stage.strangers.insert(ip("10.77.0.151"), mac);
    reload_all(&mut stage, more);
    stage.run(ms(500));
    let kernel = &stage.machine("a").kernel;
    assert!(kernel.contains(&ip("10.77.0.150")) && !kernel.contains(&ip("10.77.0.151")));
    assert_eq!(stage.changes(), 1);
    let status = stage.node("a").status(stage.now);
    assert_eq!(status.virtual_hosts[0].state, "active");
    let reason = status.virtual_hosts[0].reason.as_deref();
    assert_eq!(reason, Some("10.77.0.151 is left out: in use by 09:09:09:09:09:09"));
}

#[test]
fn changed_thresholds_keep_the_verdicts_and_a_changed_probe_until_its_first_result() {
    let mut stage = Stage::settled(monitored(config("a b", &["v1: a b"]), "v1"));
    let mut changed = monitored(config("a b", &["v1: a b"]), "v1");
    let monitor = &mut changed.virtual_hosts.get_mut(&host("v1")).unwrap().monitors[0];
    monitor.rise = 5;
    monitor.port = Some(81);
    reload_all(&mut stage, changed);
    assert_eq!(stage.node("a").health().virtual_hosts[&host("v1")].verdict, Verdict::Up);
    stage.run(ms(3_000));
    assert_eq!(stage.changes(), 0);
}

#[test]
fn differing_configurations_are_told_once_and_so_is_agreement() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    let mut other = config("a b", &["v1: a b"]);
    other.digest = 2;
    stage.reload("a", other.clone());
    stage.run(ms(500));
    assert_eq!(stage.node("a").health().serial, 2);
    assert_eq!(stage.node("b").health().serial, 2, "the highest serial is everybody's");
    let differs = Event::ConfigurationDiffers { server: name("a"), digest: 2 };
    assert_eq!(stage.events("b").into_iter().filter(|event| **event == differs).count(), 1);
    assert_eq!(stage.node("b").status(stage.now).servers[0].config_agrees, Some(false));
    stage.reload("b", other);
    stage.run(ms(500));
    assert!(stage.events("a").contains(&&Event::ConfigurationAgrees { server: name("b") }));
}

#[test]
fn an_interface_that_comes_up_again_is_announced_on() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    let mut interfaces = stage.interfaces("a");
    interfaces[0].mac.0[1] = 99;
    stage.input("a", Input::Interfaces(interfaces));
    assert_eq!(stage.last_word(ip("10.77.0.101")), Some("a"));
    assert_eq!(stage.changes(), 0);
}
